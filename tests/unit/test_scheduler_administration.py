"""The scheduler's machine and its owner: plugins, nannies and restarts, with workers, nannies and clients played by hand."""

from __future__ import annotations

from typing import Any

import pytest
from test_scheduler_machine import Cluster

from jupyterfut.core.effects import LinkLost, Received, Tick
from jupyterfut.core.scheduler.invariants import check
from jupyterfut.wire import messages as m

FAILURE = m.Failure("ValueError", "no", b"pickle", "", "")


class Owned(Cluster):
    """With nannies: nanny i is peer 200 + i and supervises worker i."""

    def __init__(self, workers: int = 2, clients: int = 1, nannies: int | None = None, **config: Any) -> None:
        self.questions: dict[int, list[Any]] = {}
        super().__init__(0, 1, clients, **config)
        for i in range(workers if nannies is None else nannies):
            self.nanny(i)
        for i in range(workers):
            self.worker(i)
        self.mail.clear()

    def nanny(self, i: int) -> None:
        self.say(200 + i, m.NannyHello(f"n{i}", 1, {"id": f"nanny-{i}"}))

    def worker(self, i: int, nthreads: int = 1, resources: Any = None, held: Any = None, generation: int = 0) -> None:
        address = f"tcp://10.0.{generation}.{i}:1"
        hello = m.WorkerHello(address, f"w{i}", nthreads, 0, {}, 100 + i, [], [], [], {"nanny": f"nanny-{i}"})
        self.say(100 + i + 1000 * generation, hello)

    def ask(self, number: int, question: str, **args: Any) -> None:
        self.say(1, m.Request(number, question, args))

    def asked(self, i: int) -> list[m.Request]:
        """What the nanny has been asked since the last look."""
        return self.heard(200 + i, m.Request)

    def answer(self, client: int = 0) -> Any:
        (reply,) = self.heard(1 + client, m.Reply)
        return reply.failure if reply.failure is not None else reply.value

    def lose(self, i: int) -> None:
        self.handle(LinkLost(100 + i, "gone"))

    def plugins(self, i: int, generation: int = 0) -> list[m.Plugins]:
        return self.heard(100 + i + 1000 * generation, m.Plugins)

    def set_up(self, i: int, message: m.Plugins, failure: m.Failure | None = None) -> None:
        self.say(100 + i, m.Reply(message.id, None, failure))

    def register(self, number: int, name: str, payload: bytes = b"p", **more: Any) -> None:
        self.ask(number, "register_plugin", kind="worker", name=name, payload=payload, **more)


@pytest.fixture
def cluster() -> Owned:
    return Owned()


# --- plugins


def test_a_plugin_is_registered_when_all_have_set_it_up(cluster: Owned) -> None:
    cluster.register(1, "a")
    (first,), (second,) = cluster.plugins(0), cluster.plugins(1)
    assert (first.plugins, first.joining) == ({"a": b"p"}, False)
    cluster.set_up(0, first)
    assert cluster.heard(1) == []
    cluster.set_up(1, second)
    assert cluster.answer() == {"tcp://10.0.0.0:1": "OK", "tcp://10.0.0.1:1": "OK"}


def test_late_workers_get_all_plugins_first_of_all(cluster: Owned) -> None:
    for number, name in enumerate("ab"):
        cluster.register(number, name, name.encode())
        cluster.set_up(0, cluster.plugins(0)[0])
        cluster.set_up(1, cluster.plugins(1)[0])
    cluster.submit("x", workers=["w5"])
    cluster.mail.clear()
    cluster.worker(5)
    welcome, plugins, *_ = cluster.heard(105)
    assert type(welcome) is m.Welcome
    assert plugins == m.Plugins(0, [], {"a": b"a", "b": b"b"}, True)
    cluster.say(105, m.Reply(0, None, FAILURE))  # it has logged that itself


def test_a_plugin_that_fails_somewhere_is_taken_out_everywhere(cluster: Owned) -> None:
    cluster.register(1, "a")
    cluster.set_up(0, cluster.plugins(0)[0])
    cluster.set_up(1, cluster.plugins(1)[0], FAILURE)
    assert cluster.answer() == FAILURE
    (undo,) = cluster.plugins(0)
    assert (undo.removed, undo.plugins) == (["a"], {})
    assert cluster.plugins(1) == []
    cluster.set_up(0, undo)
    cluster.worker(5)
    assert cluster.plugins(5) == []


def test_a_worker_that_goes_is_not_waited_for(cluster: Owned) -> None:
    cluster.register(1, "a")
    cluster.set_up(0, cluster.plugins(0)[0])
    cluster.lose(1)
    assert cluster.answer() == {"tcp://10.0.0.0:1": "OK"}
    cluster.register(2, "b")
    cluster.lose(0)
    assert cluster.answer() == {}


def test_idempotent_and_unregistered(cluster: Owned) -> None:
    cluster.register(1, "a")
    cluster.register(2, "a", b"other", idempotent=True)
    assert cluster.answer() == {}
    (first,), (second,) = cluster.plugins(0), cluster.plugins(1)
    cluster.set_up(0, first)
    cluster.set_up(1, second)
    cluster.mail.clear()
    cluster.ask(3, "unregister_plugin", kind="worker", name="a")
    cluster.set_up(0, cluster.plugins(0)[0])
    cluster.set_up(1, cluster.plugins(1)[0], FAILURE)  # teardown is not allowed to fail, but a worker may say so
    assert cluster.answer() == FAILURE
    cluster.ask(4, "unregister_plugin", kind="worker", name="a")
    assert cluster.answer().text == "there is no worker plugin 'a'"
    cluster.ask(5, "register_plugin", kind="table", name="a", payload=b"p")
    assert "no plugins of the kind" in cluster.answer().text
    cluster.ask(6, "register_plugin", kind="worker")
    assert "malformed" in cluster.answer().text


def test_a_client_that_gives_up_or_goes(cluster: Owned) -> None:
    cluster.register(1, "a", timeout_s=1.0)
    (first,), (second,) = cluster.plugins(0), cluster.plugins(1)
    cluster.set_up(0, first)
    cluster.now = 2.0
    cluster.handle(Tick())
    assert "not set up yet on w1" in cluster.answer().text
    cluster.set_up(1, second)
    cluster.register(2, "b")
    cluster.say(1, m.Abandon([2]))
    assert cluster.answer().kind == "CancelledError"
    cluster.register(3, "c")
    cluster.say(1, m.Goodbye("enough"))
    for i in (0, 1):
        for message in cluster.plugins(i):
            cluster.set_up(i, message)
    cluster.worker(5)
    assert list(cluster.plugins(5)[0].plugins) == ["a", "b", "c"]


def test_another_takes_the_name_while_the_first_fails(cluster: Owned) -> None:
    cluster.register(1, "a", b"first")
    old = cluster.plugins(0) + cluster.plugins(1)
    cluster.register(2, "a", b"second")
    cluster.set_up(0, old[0], FAILURE)
    cluster.set_up(1, old[1])
    assert cluster.answer() == FAILURE
    new = cluster.plugins(0) + cluster.plugins(1)
    assert [message.plugins for message in new] == [{"a": b"second"}] * 2  # the failure of the first takes nothing out
    cluster.set_up(0, new[0])
    cluster.set_up(1, new[1])
    assert len(cluster.answer()) == 2


def test_plugins_of_nannies(cluster: Owned) -> None:
    cluster.ask(1, "register_plugin", kind="nanny", name="a", payload=b"p")
    for i in (0, 1):
        (question,) = cluster.asked(i)
        assert question.op == "plugins"
        assert question.args["plugins"] == {"a": b"p"}
        cluster.say(200 + i, m.Reply(question.id, None, None))
    assert cluster.answer() == {"nanny-0": "OK", "nanny-1": "OK"}
    cluster.nanny(7)
    assert cluster.asked(7)[0].args["plugins"] == {"a": b"p"}
    cluster.ask(2, "unregister_plugin", kind="nanny", name="a")
    cluster.handle(LinkLost(207, "gone"))
    for i in (0, 1):
        cluster.say(200 + i, m.Reply(cluster.asked(i)[0].id, None, None))
    assert set(cluster.answer()) == {"nanny-0", "nanny-1"}


# --- restarts


def test_restart_cancels_everything_and_asks_the_nannies() -> None:
    cluster = Owned(clients=2)
    cluster.submit("x", "y")
    cluster.submit("z", after=["x"], client=1)
    cluster.done(0, cluster.sent(0))
    cluster.mail.clear()
    cluster.ask(9, "restart", wait=True, timeout_s=10.0)
    assert not cluster.machine.state.tasks
    (ours,), (theirs,) = cluster.heard(1, m.KeysCancelled), cluster.heard(2, m.KeysCancelled)
    assert (set(ours.keys), set(theirs.keys)) == ({"x", "y"}, {"z"})
    for i in (0, 1):
        (question,) = cluster.asked(i)
        assert (question.op, question.args) == ("restart", {"wait": True})
        cluster.lose(i)
        cluster.worker(i, generation=1)
        cluster.say(200 + i, m.Reply(question.id, None, None))
    assert cluster.answer() == {"answers": {"n0": [None, None], "n1": [None, None]}, "missing": [], "kept": []}
    cluster.submit("x")
    assert cluster.heard(1100, m.Compute) or cluster.heard(1101, m.Compute)


def test_new_tasks_wait_for_the_fresh_workers(cluster: Owned) -> None:
    cluster.ask(9, "restart", wait=True, timeout_s=10.0)
    cluster.submit("x")
    assert cluster.task("x").state == "queued"
    cluster.lose(0)
    cluster.worker(0, generation=1)
    assert cluster.heard(1100, m.Compute)


def test_who_is_restarted_is_not_to_blame(cluster: Owned) -> None:
    generation = 0
    cluster.submit("x", workers=["w0"])
    for generation in range(5):
        address = f"tcp://10.0.{generation}.0:1"
        cluster.ask(generation, "restart_workers", workers=[address], timeout_s=None)
        (question,) = cluster.asked(0)
        cluster.handle(LinkLost(100 + 1000 * generation, "killed"))
        cluster.worker(0, generation=generation + 1)
        cluster.say(200, m.Reply(question.id, None, None))
        (reply,) = cluster.heard(1, m.Reply)
        assert list(reply.value["answers"]) == [address]
    assert cluster.task("x").deaths == 0
    assert cluster.task("x").state == "processing"


def test_a_worker_that_cannot_be_replaced_works_on(cluster: Owned) -> None:
    cluster.ask(1, "restart_workers", workers=["w0", "w1"], timeout_s=None)
    (one,), (two,) = cluster.asked(0), cluster.asked(1)
    cluster.say(200, m.Reply(one.id, None, FAILURE))
    cluster.handle(LinkLost(201, "its machine is gone"))
    answers = cluster.answer()["answers"]
    assert answers["tcp://10.0.0.0:1"] == [None, FAILURE]
    assert answers["tcp://10.0.0.1:1"][1].kind == "ConnectionFailed"
    cluster.submit("x", "y")
    assert cluster.sent(0)
    assert cluster.sent(1)
    assert two.op == "restart"


def test_a_restart_that_takes_too_long(cluster: Owned) -> None:
    cluster.ask(1, "restart", wait=True, timeout_s=1.0)
    cluster.say(200, m.Reply(cluster.asked(0)[0].id, None, None))
    cluster.now = 1.5
    cluster.handle(Tick())
    assert cluster.answer() == {"answers": {"n0": [None, None]}, "missing": ["n1"], "kept": []}
    cluster.say(201, m.Reply(cluster.asked(1)[0].id, None, None))  # late: nobody waits
    assert cluster.heard(1) == []


def test_workers_without_a_nanny() -> None:
    cluster = Owned(workers=2, nannies=1)
    cluster.submit("x", "y", "z")
    cluster.ask(1, "restart", wait=True, timeout_s=1.0)
    cluster.say(200, m.Reply(cluster.asked(0)[0].id, None, None))
    assert cluster.heard(101, m.CancelTasks)
    value = next(message.value for message in cluster.heard(1) if type(message) is m.Reply)
    assert value["kept"] == ["tcp://10.0.0.1:1"]
    cluster.ask(2, "restart_workers", workers=["w1"])
    assert "only workers with a nanny can be restarted" in cluster.answer().text
    cluster.ask(3, "restart_workers", workers=["w0", "nobody"])
    assert "no worker matches 'nobody'" in cluster.answer().text
    assert not cluster.asked(0)


def test_what_is_held_outlives_a_restart(cluster: Owned) -> None:
    """A queue holds a future: its result is made again on a fresh worker."""
    cluster.submit("x", workers=["w0"])
    cluster.done(0, cluster.sent(0), payload=None)
    cluster.ask(1, "queue_put", name="q", maxsize=0, value=b"future", holds=["x"], timeout_s=None)
    cluster.ask(2, "restart", wait=True, timeout_s=None)
    assert cluster.task("x").state == "memory"
    cluster.lose(0)
    assert cluster.task("x").state == "queued"
    cluster.worker(0, generation=1)
    assert cluster.heard(1100, m.Compute)


def test_a_nanny_that_connects_again_answers_nothing_old(cluster: Owned) -> None:
    cluster.ask(1, "restart_workers", workers=["w0"], timeout_s=None)
    cluster.machine.handle(Received(250, m.NannyHello("n0", 1, {"id": "nanny-0"})), 0.0)
    check(cluster.machine)
    (reply,) = cluster.heard(1, m.Reply) or [None]
    answer = reply.value["answers"]["tcp://10.0.0.0:1"] if reply else None
    assert answer is None or answer[1].kind == "ConnectionFailed"


def test_questions_to_nannies(cluster: Owned) -> None:
    cluster.ask(1, "ask_nannies", workers=["w1"], op="logs", args={"n": 3})
    (question,) = cluster.asked(1)
    assert question.args == {"n": 3}
    cluster.say(201, m.Reply(question.id, ["line"], None))
    assert cluster.answer()["answers"] == {"tcp://10.0.0.1:1": [["line"], None]}
    cluster.ask(2, "ask_nannies", workers=["nobody"], op="logs", args={})
    assert "no worker matches" in cluster.answer().text
    cluster.worker(9)
    cluster.mail.clear()
    cluster.ask(3, "ask_nannies", workers=["w9"], op="logs", args={})
    assert "has no nanny" in cluster.answer().text
    cluster.lose(1)
    cluster.ask(4, "ask_nannies", workers=None, op="logs", args={})
    for i in (0, 1):
        cluster.say(200 + i, m.Reply(cluster.asked(i)[0].id, [], None))
    assert set(cluster.answer()["answers"]) == {"tcp://10.0.0.0:1", "n1"}  # the second has no worker at the moment
