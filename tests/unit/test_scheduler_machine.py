"""The scheduler's machine, one rule a test. `Cluster` plays workers and clients by hand; after each event the invariants are checked."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from jupyterfut.core.effects import Close, LinkBack, LinkLost, Received, Send, Tick
from jupyterfut.core.scheduler import SchedulerConfig, SchedulerMachine
from jupyterfut.core.scheduler.invariants import at_rest, check
from jupyterfut.core.scheduler.state import TaskState
from jupyterfut.wire import messages as m

BLOB = m.Failure("ValueError", "no", b"pickle", "Traceback", "x")


class Cluster:
    """A machine, the mail it has sent to each peer and nobody has looked at, and a clock that moves by hand."""

    def __init__(self, workers: int = 1, nthreads: int = 1, clients: int = 1, **config: Any) -> None:
        self.machine = SchedulerMachine(SchedulerConfig(**config))
        self.now = 0.0
        self.mail: dict[int, deque[Any]] = {}
        self.closed: dict[int, str] = {}
        for i in range(clients):
            self.say(1 + i, m.ClientHello(f"client-{i}", "", False))
            self.say(1 + i, m.Functions(["f"], [b"f"], ["inc"]))
        for i in range(workers):
            self.worker(i, nthreads)
        self.mail.clear()

    def worker(self, i: int, nthreads: int = 1, resources: dict[str, float] | None = None, held: list[str] | None = None) -> None:
        held = held or []
        hello = m.WorkerHello(f"tcp://10.0.0.{i}:1", f"w{i}", nthreads, 0, resources or {}, 100 + i, held, [8] * len(held), ["int"] * len(held), {})
        self.say(100 + i, hello)

    def handle(self, event: Any) -> None:
        for effect in self.machine.handle(event, self.now):
            if type(effect) is Send:
                self.mail.setdefault(effect.peer, deque()).append(effect.message)
            elif type(effect) is Close:
                self.closed[effect.peer] = effect.reason
        check(self.machine)

    def say(self, peer: int, message: Any) -> None:
        self.handle(Received(peer, message))

    def submit(self, *keys: str, after: list[str] | None = None, client: int = 0, holds: list[str] | None = None, **options: Any) -> None:
        dependencies = [after] * len(keys) if after else []
        held = [holds] * len(keys) if holds else []
        self.say(1 + client, m.SubmitTasks("f", list(keys), [b"args"] * len(keys), dependencies, held, m.TaskOptions(**options)))

    def heard(self, peer: int, kind: type | None = None) -> list[Any]:
        """The mail of a peer since the last look, all of it or of one kind."""
        mail = self.mail.pop(peer, deque())
        return [message for message in mail if kind is None or type(message) is kind]

    def sent(self, worker: int = 0) -> dict[str, int]:
        """Key to attempt, for what the worker was told to compute since the last look."""
        return {key: attempt for message in self.heard(100 + worker, m.Compute) for key, attempt in zip(message.keys, message.attempts, strict=True)}

    def done(self, worker: int, attempts: dict[str, int], payload: bytes | None = b"1", seconds: float = 0.001, **more: Any) -> None:
        n = len(attempts)
        holds = more.get("holds", {})
        self.say(100 + worker, m.TasksDone(list(attempts), list(attempts.values()), [payload] * n, ["int"] * n, [8] * n, [seconds] * n, holds))

    def failed(self, worker: int, attempts: dict[str, int]) -> None:
        n = len(attempts)
        self.say(100 + worker, m.TasksFailed(list(attempts), list(attempts.values()), [BLOB] * n, [0.001] * n))

    def release(self, *keys: str, client: int = 0) -> None:
        self.say(1 + client, m.ReleaseKeys(list(keys)))

    def task(self, key: str) -> TaskState:
        return self.machine.state.tasks[key]

    def ready(self, client: int = 0) -> list[str]:
        return [key for message in self.heard(1 + client, m.KeysReady) for key in message.keys]

    def rest(self) -> list[str]:
        return at_rest(self.machine)


def test_four_messages_make_a_result() -> None:
    c = Cluster()
    c.submit("x")
    functions, compute = c.heard(100)
    assert functions == m.Functions(["f"], [b"f"], ["inc"]) and compute.keys == ["x"]
    c.done(0, {"x": compute.attempts[0]})
    assert c.heard(1) == [m.KeysReady(["x"], [b"1"], ["int"], [8])]
    c.release("x")
    assert c.heard(100) == [m.ReleaseData(["x"])] and not c.rest()


def test_the_same_key_runs_once_for_two_clients() -> None:
    c = Cluster(clients=2)
    c.submit("x", client=0)
    c.submit("x", client=1)
    attempts = c.sent()
    c.done(0, attempts)
    assert len(attempts) == 1 and c.ready(0) == c.ready(1) == ["x"]
    c.release("x", client=0)
    assert c.task("x").state == "memory"
    c.release("x", client=1)
    assert not c.rest()


def test_a_late_answer_is_ignored_and_its_data_dropped() -> None:
    c = Cluster(workers=2)
    c.submit("x")
    first = c.sent(0) or c.sent(1)
    holder = 0 if c.task("x").worker is c.machine.state.workers_by_name["w0"] else 1
    c.handle(LinkLost(100 + holder, "cable"))
    again = c.sent(1 - holder)
    assert list(again) == ["x"] and again["x"] != first["x"]
    c.worker(holder)
    c.heard(100 + holder)
    c.done(holder, first)
    assert c.heard(100 + holder) == [m.ReleaseData(["x"])] and not c.ready()
    c.done(1 - holder, again)
    assert c.ready() == ["x"]


def test_a_lost_result_that_is_wanted_is_made_again() -> None:
    c = Cluster(inline_bytes=0)
    c.submit("x")
    c.done(0, c.sent(), payload=None)
    c.heard(1)
    c.handle(LinkLost(100, "cable"))
    assert c.heard(1) == [m.KeysPending(["x"])]
    c.worker(1)
    c.done(1, c.sent(1), payload=None)
    assert c.ready() == ["x"]


def test_a_small_result_outlives_its_worker() -> None:
    c = Cluster()
    c.submit("x")
    c.done(0, c.sent())
    c.heard(1)
    c.handle(LinkLost(100, "cable"))
    assert not c.heard(1) and c.task("x").state == "memory"
    c.submit("y", after=["x"])
    c.worker(1)
    (compute,) = c.heard(101, m.Compute)
    assert compute.inline == {"x": b"1"} and compute.dependencies == [["x"]]


def test_a_worker_that_comes_back_keeps_what_is_wanted() -> None:
    c = Cluster()
    c.submit("x")
    c.done(0, c.sent(), payload=None)
    c.handle(LinkLost(100, "cable"))
    c.mail.clear()
    c.worker(0, held=["x", "stranger"])
    assert c.ready() == ["x"] and m.ReleaseData(["stranger"]) in c.heard(100)
    assert c.task("x").state == "memory"


def test_a_chain_is_sent_ahead_and_its_failure_recalls_it() -> None:
    c = Cluster()
    c.submit("a")
    c.submit("b", after=["a"])
    c.submit("c", after=["b"])
    attempts = c.sent()
    assert list(attempts) == ["a", "b"] or list(attempts) == ["a", "b", "c"]
    c.failed(0, {"a": attempts["a"]})
    (failed,) = c.heard(1, m.KeysFailed)
    assert sorted(failed.keys) == ["a", "b", "c"] and all(f.payload == BLOB.payload for f in failed.failures)
    cancelled = [key for message in c.heard(100, m.CancelTasks) for key in message.keys]
    assert sorted(cancelled) == [k for k in attempts if k != "a"]
    c.release("a", "b", "c")
    assert not c.rest()


def test_ahead_tasks_do_not_overtake_queued_ones() -> None:
    c = Cluster(unknown_duration_s=1.0)
    c.submit(*[f"a{i}" for i in range(10)])
    c.submit("b", after=["a0"])
    sent = c.sent()
    assert "b" not in sent and "a0" in sent


def test_retries_are_used_up_before_the_failure_is_told() -> None:
    c = Cluster()
    c.submit("x", retries=1)
    c.failed(0, c.sent())
    assert not c.heard(1)
    c.failed(0, c.sent())
    assert c.heard(1) == [m.KeysFailed(["x"], [BLOB])]


def test_a_name_that_gets_its_recipe_late_gets_its_retries_too() -> None:
    """Seed 406163: it was known as the missing input of another, and failed at the first try."""
    c = Cluster()
    c.submit("y", after=["x"])
    c.heard(1)
    c.submit("x", retries=1)
    c.failed(0, c.sent())
    assert not c.heard(1, m.KeysFailed)
    c.failed(0, c.sent())
    assert c.heard(1) == [m.KeysFailed(["x"], [BLOB])]


def test_retry_runs_failed_inputs_again_too() -> None:
    c = Cluster()
    c.submit("a")
    c.submit("b", after=["a"])
    c.failed(0, {"a": c.sent()["a"]})
    c.release("a")
    c.mail.clear()
    c.say(1, m.RetryKeys(["b"]))
    assert c.heard(1) == [m.KeysPending(["b"])]
    attempts = c.sent()
    c.done(0, {"a": attempts["a"]})
    c.done(0, {"b": (attempts | c.sent())["b"]})
    assert c.ready() == ["b"]


def test_cancel_takes_dependants_along_but_not_from_another_client() -> None:
    c = Cluster(clients=2)
    c.submit("a")
    c.submit("b", after=["a"])
    c.submit("b", client=1)
    c.mail.clear()
    c.say(1, m.CancelKeys(["a"], False))
    assert sorted(k for message in c.heard(1, m.KeysCancelled) for k in message.keys) == ["a", "b"]
    assert not c.heard(2) and c.task("a").state == "processing"
    c.say(1, m.CancelKeys(["a"], True))
    assert [message.keys for message in c.heard(2, m.KeysCancelled)] == [["b"]] and not c.rest()


def test_death_of_workers_under_a_task_ends_in_killed_worker() -> None:
    c = Cluster(workers=0, allowed_failures=1)
    c.submit("bad")
    for i in range(2):
        c.worker(i)
        assert "bad" in c.sent(i)
        c.handle(LinkLost(100 + i, "exit code 1"))
    (failed,) = c.heard(1, m.KeysFailed)
    assert failed.failures[0].kind == "KilledWorker" and "bad" in failed.failures[0].text


def test_suspects_run_alone_so_that_neighbours_are_not_blamed() -> None:
    c = Cluster(workers=1)
    c.submit("bad", "good")
    assert list(c.sent()) == ["bad", "good"]
    c.handle(LinkLost(100, "exit code 1"))
    c.worker(1)
    assert len(c.sent(1)) == 1


def test_scattered_data_that_is_gone_is_lost_and_fails_its_dependants() -> None:
    c = Cluster()
    c.say(100, m.AddData(7, "client-0", ["d"], [8], ["ndarray"]))
    assert m.Reply(7, None, None) in c.heard(100)
    c.submit("x", after=["d"], workers=["nobody"])
    c.mail.clear()
    c.handle(LinkLost(100, "cable"))
    lost, failed = c.heard(1)
    assert type(lost) is m.KeysLost and lost.keys == ["d"] and "scattered" in lost.reason
    assert failed.keys == ["x"] and failed.failures[0].kind == "LostData"


def test_priorities_first_then_first_come() -> None:
    c = Cluster(workers=0)
    c.submit("low", priority=-1)
    c.submit("a", "b")
    c.submit("high", priority=5)
    c.worker(0, nthreads=4)
    assert list(c.sent()) == ["high", "a", "b", "low"]


def test_resources_nobody_has_leave_the_task_pending_and_say_why() -> None:
    c = Cluster()
    c.submit("x", resources={"GPU": 2})
    c.say(1, m.Request(1, "why_pending", {"key": "x"}))
    (reply,) = c.heard(1, m.Reply)
    assert reply.value == "no worker has the resources GPU=2"
    c.worker(1, resources={"GPU": 2})
    assert list(c.sent(1)) == ["x"]


def test_resources_are_never_given_twice() -> None:
    c = Cluster(workers=0)
    c.worker(0, nthreads=4, resources={"GPU": 1})
    c.submit("x", "y", resources={"GPU": 1})
    first = c.sent()
    assert list(first) == ["x"]
    c.done(0, first)
    assert list(c.sent()) == ["y"]


@pytest.mark.parametrize("name", ["w1", "tcp://10.0.0.1:1", "10.0.0.1:1", "10.0.0.1"])
def test_workers_are_chosen_by_name_address_or_host(name: str) -> None:
    c = Cluster(workers=3)
    c.submit("x", workers=[name])
    assert list(c.sent(1)) == ["x"]


def test_allow_other_workers_makes_it_a_wish() -> None:
    c = Cluster(workers=1)
    c.submit("x", workers=["w9"], allow_other_workers=True)
    assert list(c.sent(0)) == ["x"]


def test_a_blocked_task_frees_its_slot() -> None:
    c = Cluster(unknown_duration_s=1.0)
    c.submit(*"abc")
    sent = c.sent()
    assert list(sent) == ["a", "b"]
    c.say(100, m.TaskBlocked("a", sent["a"]))
    assert list(c.sent()) == ["c"]


def test_an_idle_worker_takes_back_what_a_busy_one_has_not_started() -> None:
    c = Cluster(workers=1, unknown_duration_s=1.0)
    c.submit("a", "b")
    sent = c.sent(0)
    c.worker(1)
    (steal,) = c.heard(100, m.StealTasks)
    assert steal.keys == ["b"]
    c.now = 1.0
    c.handle(Tick())
    assert not c.heard(100)
    c.say(100, m.StealAnswer(["b"], [sent["b"]], [True]))
    assert list(c.sent(1)) == ["b"]


def test_inputs_that_could_not_be_fetched_are_made_again() -> None:
    c = Cluster(workers=2, inline_bytes=0)
    c.submit("a", workers=["w0"])
    c.done(0, c.sent(0), payload=None)
    c.submit("b", after=["a"], workers=["w1"])
    (compute,) = c.heard(101, m.Compute)
    assert compute.where == {"a": ["tcp://10.0.0.0:1"]}
    c.say(101, m.TasksReturned(["b"], compute.attempts, [[["a", "tcp://10.0.0.0:1"]]]))
    assert list(c.sent(0)) == ["a"] and c.task("b").state == "waiting"


def test_a_client_keeps_its_futures_within_its_lease() -> None:
    c = Cluster(client_lease_s=30.0)
    c.submit("x")
    c.handle(LinkLost(1, "cable"))
    c.now = c.machine.next_wake() or 0.0
    c.handle(LinkBack(1))
    c.done(0, c.sent())
    assert c.ready() == ["x"]


def test_after_the_lease_its_futures_are_released() -> None:
    c = Cluster(client_lease_s=30.0)
    c.submit("x")
    c.handle(LinkLost(1, "cable"))
    c.now = 31.0
    c.handle(Tick())
    assert c.closed[1] == "the client's lease is over" and not c.machine.state.tasks


def test_futures_inside_results_keep_their_tasks_alive() -> None:
    c = Cluster(clients=2)
    c.submit("inner", client=1)
    c.submit("outer")
    sent = c.sent()
    c.done(0, {"inner": sent["inner"]})
    c.done(0, {"outer": sent["outer"]}, holds={"outer": ["inner"]})
    c.release("inner", client=1)
    assert c.task("inner").state == "memory"
    c.release("outer")
    assert not c.rest()


def test_fire_and_forget_runs_to_its_end_without_a_future() -> None:
    c = Cluster()
    c.submit("x")
    c.say(1, m.FireAndForget(["x"]))
    c.release("x")
    assert c.task("x").state == "processing"
    c.done(0, c.sent())
    assert not c.rest()


def test_an_unknown_input_fails_the_task_and_nobody_else() -> None:
    c = Cluster()
    c.submit("x", after=["never-heard-of"])
    (failed,) = c.heard(1, m.KeysFailed)
    assert failed.keys == ["x"] and failed.failures[0].kind == "CancelledError" and "never-heard-of" in failed.failures[0].text
    c.release("x")
    assert not c.rest()


def test_functions_are_forgotten_when_neither_client_nor_task_uses_them() -> None:
    c = Cluster()
    c.submit("x")
    c.done(0, c.sent())
    c.say(1, m.ForgetFunctions(["f"]))
    assert "f" in c.machine.state.functions
    c.release("x")
    assert "f" not in c.machine.state.functions and m.ForgetFunctions(["f"]) in c.heard(100)


def test_a_message_that_is_not_for_this_peer_closes_its_stream_only() -> None:
    c = Cluster()
    c.say(1, m.TasksDone(["x"], [1], [None], [""], [0], [0.0], {}))
    assert "TasksDone" in c.closed[1] and 100 not in c.closed


def test_waiting_for_workers_is_parked_and_answered_once() -> None:
    c = Cluster(workers=1)
    c.say(1, m.Request(5, "wait_for_workers", {"n": 2, "timeout_s": None}))
    assert not c.heard(1)
    c.worker(1)
    assert c.heard(1) == [m.Reply(5, 2, None)]
    c.say(1, m.Request(6, "wait_for_workers", {"n": 3, "timeout_s": 2.0}))
    c.now = 3.0
    c.handle(Tick())
    (reply,) = c.heard(1)
    assert reply.failure.kind == "TimeoutError"


def test_a_malformed_request_is_answered_with_what_is_wrong() -> None:
    c = Cluster()
    c.say(1, m.Request(1, "locate", {}))
    c.say(1, m.Request(2, "no_such_thing", {}))
    one, two = c.heard(1, m.Reply)
    assert one.failure.kind == two.failure.kind == "ValueError" and "no_such_thing" in two.failure.text


def test_a_nanny_tells_of_a_death_before_the_link_does() -> None:
    c = Cluster(workers=2)
    c.submit("x")
    holder = 0 if "x" in c.sent(0) else 1
    c.say(500, m.NannyHello(f"w{holder}", 1, {}))
    c.say(500, m.WorkerDied(f"w{holder}", 100 + holder, -9, "killed by signal 9"))
    assert "x" in c.sent(1 - holder) and c.task("x").deaths == 1
    c.say(500, m.Goodbye("closed"))
    assert c.closed[500] == "goodbye" and 500 not in c.machine.state.peers


def test_a_client_inside_a_task_ends_with_its_worker() -> None:
    c = Cluster(workers=1)
    c.say(100, m.AsClient("inner", m.ClientHello("inner", "", False)))
    c.say(100, m.AsClient("inner", m.Functions(["g"], [b"g"], ["g"])))
    c.say(100, m.AsClient("inner", m.SubmitTasks("g", ["y"], [b""], [], [], m.TaskOptions())))
    c.done(0, c.sent())
    assert any(type(mm) is m.AsClient and mm.message.keys == ["y"] for mm in c.heard(100, m.AsClient) if type(mm.message) is m.KeysReady)
    c.handle(LinkLost(100, "cable"))
    assert "y" not in c.machine.state.tasks and "g" not in c.machine.state.functions


def test_a_task_that_lacked_an_input_runs_once_somebody_makes_it() -> None:
    c = Cluster(clients=2)
    c.submit("b", after=["a"], client=0)
    assert c.heard(1, m.KeysFailed)
    c.submit("a", client=1)
    c.submit("b", after=["a"], client=1)
    attempts = c.sent()
    assert list(attempts) == ["a", "b"] and m.KeysPending(["b"]) in c.heard(1)
    c.done(0, attempts)
    assert c.ready(0) == ["b"] and c.ready(1) == ["a", "b"]


def test_an_actor_waits_behind_no_task():
    c = Cluster(workers=2)
    c.submit("long", "longer")
    c.submit("a", actor=True)
    assert c.task("a").state == "queued"
    worker = c.task("longer").worker
    number = int(worker.name[1:])
    c.done(number, c.sent(number))
    assert c.task("a").worker is worker


def test_actors_that_are_made_at_once_are_spread_evenly():
    c = Cluster(workers=2)
    c.submit(*"abcdef", actor=True)
    assert [len(worker.processing) for worker in c.machine.state.workers.values()] == [3, 3]


def test_more_actors_go_where_fewer_are():
    c = Cluster(workers=2)
    for number in range(6):
        c.submit(f"a{number}", actor=True)
        for worker in (0, 1):
            c.done(worker, c.sent(worker))
    assert [len(worker.has) for worker in c.machine.state.workers.values()] == [3, 3]


def test_an_actor_goes_with_its_worker_although_its_description_is_here():
    c = Cluster()
    c.submit("a", actor=True)
    c.done(0, c.sent())
    c.submit("reader", after=["a"])
    c.handle(LinkLost(100, "gone"))
    (lost,) = c.heard(1, m.KeysLost)
    assert lost.keys == ["a"]
    assert lost.reason.startswith("the actor 'a' is gone")
    assert c.task("a").payload is None
    assert c.task("reader").failure.kind == "ActorLost"


def test_an_actor_is_forgotten_with_its_last_future():
    c = Cluster()
    c.submit("a", actor=True)
    c.done(0, c.sent())
    c.release("a")
    assert c.heard(100, m.ReleaseData) == [m.ReleaseData(["a"])]
    assert not c.machine.transitions.actors
    c.release()
    assert not c.machine.state.tasks


def test_an_actors_description_is_kept_whatever_the_limit():
    c = Cluster(retained_bytes_limit=0)
    c.submit("a", actor=True)
    c.done(0, c.sent(), payload=b"description")
    assert c.task("a").payload == b"description"


def test_what_was_sent_ahead_of_a_task_that_blocks_is_asked_back() -> None:
    c = Cluster()
    c.submit("a")
    c.submit("b", after=["a"])
    attempts = c.sent()
    assert list(attempts) == ["a", "b"]
    c.say(100, m.TaskBlocked("a", attempts["a"]))
    assert c.heard(100, m.StealTasks) == [m.StealTasks(["b"], [attempts["b"]])]
    c.say(100, m.TaskUnblocked("a", attempts["a"]))  # it was for a moment, and b has started: it is not run twice
    c.done(0, {"a": attempts["a"]})
    c.say(100, m.StealAnswer(["b"], [attempts["b"]], [False]))
    c.done(0, {"b": attempts["b"]})
    assert c.ready() == ["a", "b"]


def test_a_false_start_behind_a_task_that_blocks_is_asked_back_once_more() -> None:
    c = Cluster()
    c.submit("a")
    c.submit("b", after=["a"])
    attempts = c.sent()
    c.say(100, m.TaskBlocked("a", attempts["a"]))
    c.heard(100)
    c.say(100, m.StealAnswer(["b"], [attempts["b"]], [False]))  # a thread has it, and finds that its input is missing
    assert c.heard(100) == [m.StealTasks(["b"], [attempts["b"]])]
    c.say(100, m.StealAnswer(["b"], [attempts["b"]], [True]))
    assert c.task("b").state == "waiting"
