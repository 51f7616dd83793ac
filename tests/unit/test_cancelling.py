"""Taking tasks back: whom it reaches, what workers are told, and which way a failure came. `Cluster` is that of the scheduler's machine."""

from __future__ import annotations

from typing import Any

from test_scheduler_machine import Cluster
from test_worker_machine import World

from jupyterfut.core.worker import events as ev
from jupyterfut.wire import messages as m


def cancel_origin(c: Cluster, origin: str, client: int = 0) -> Any:
    c.say(1 + client, m.Request(7, "cancel_origin", {"origin": origin, "reason": "the cell was interrupted"}))
    mail = c.heard(1 + client)
    (reply,) = [message for message in mail if type(message) is m.Reply]
    c.told = [key for message in mail if type(message) is m.KeysCancelled for key in message.keys]  # type: ignore[attr-defined]  # for the test
    return reply.value if reply.failure is None else reply.failure


def interrupted(c: Cluster, worker: int = 0) -> list[str]:
    return [key for message in c.heard(100 + worker, m.CancelTasks) if message.interrupt for key in message.keys]


def test_an_origin_is_taken_back_and_no_other() -> None:
    c = Cluster(unknown_duration_s=10.0)
    c.submit("add-1", origin="client-0/3")
    c.submit("add-2", "inc-1", origin="client-0/3")
    c.submit("other", origin="client-0/4")
    c.submit("plain", origin="client-0")
    sent = [key for key in c.sent() if key in ("add-1", "add-2", "inc-1")]
    answer = cancel_origin(c, "client-0/3")
    assert answer == {"tasks": 3, "running": len(sent), "names": {"add": 2, "inc": 1}}
    assert sorted(c.told) == ["add-1", "add-2", "inc-1"]  # type: ignore[attr-defined]  # see above
    assert sorted(interrupted(c)) == sent
    assert sorted(c.machine.state.tasks) == ["other", "plain"]


def test_what_is_finished_stays() -> None:
    c = Cluster()
    c.submit("x", origin="client-0/1")
    c.done(0, c.sent())
    assert cancel_origin(c, "client-0/1") == {"tasks": 0, "running": 0, "names": {}}
    assert c.task("x").state == "memory"


def test_what_another_client_wants_goes_on_for_it() -> None:
    c = Cluster(clients=2)
    c.submit("x", origin="client-0/1")
    c.submit("x", client=1, origin="client-1/9")
    c.mail.clear()
    assert cancel_origin(c, "client-0/1")["tasks"] == 0
    assert c.told == ["x"]  # type: ignore[attr-defined]  # see above
    assert interrupted(c) == []
    assert c.task("x").wanted_by == (c.machine.state.clients["client-1"],)  # type: ignore[index]  # a plain string


def test_nobody_takes_back_what_belongs_to_others() -> None:
    c = Cluster(clients=2)
    c.submit("x", origin="client-0/1")
    for origin in ("client-0/1", "client-0", "", 5, "client-11"):
        assert cancel_origin(c, origin, client=1).kind == "ValueError"  # type: ignore[arg-type]  # bad input
    assert "x" in c.machine.state.tasks


def test_nested_tasks_go_with_their_cell() -> None:
    c = Cluster(unknown_duration_s=10.0, nthreads=2)
    c.submit("outer", origin="client-0/1")
    inner = m.SubmitTasks("f", ["inner"], [b"args"], [], [], m.TaskOptions(origin="client-0/1"))
    for message in (m.ClientHello("task-client", "task", False), m.Functions(["f"], [b"f"], ["inc"]), inner):  # type: ignore[list-item, arg-type]
        c.say(100, m.AsClient("task-client", message))  # type: ignore[arg-type]  # a plain string
    c.mail.clear()
    assert cancel_origin(c, "client-0/1")["tasks"] == 2
    mail = c.heard(100)
    assert m.AsClient("task-client", m.KeysCancelled(["inner"], "the cell was interrupted")) in mail  # type: ignore[arg-type, list-item]
    assert sorted(key for message in mail if type(message) is m.CancelTasks for key in message.keys) == ["inner", "outer"]


def test_what_stands_on_it_goes_too_and_what_was_to_run_in_any_case() -> None:
    c = Cluster(unknown_duration_s=10.0)
    c.submit("x", origin="client-0/1")
    c.submit("y", after=["x"], origin="client-0/2")
    c.say(1, m.FireAndForget(["x"]))
    assert cancel_origin(c, "client-0/1")["tasks"] == 2
    assert not c.machine.state.tasks


def test_cancel_interrupts_and_release_does_not() -> None:
    for word, stops in ((m.CancelKeys(["x"], False), True), (m.ReleaseKeys(["x"]), False)):
        c = Cluster()
        c.submit("x")
        c.mail.clear()
        c.say(1, word)
        (message,) = c.heard(100, m.CancelTasks)
        assert (message.keys, message.interrupt) == (["x"], stops)


def test_a_started_call_is_interrupted_and_one_that_waits_is_withdrawn() -> None:
    world = World(nthreads=2, lookahead_s=10.0).join()
    attempts = world.compute("x", "y")
    assert world.start() == ["x"]
    world.hear(m.CancelTasks(["x", "y"], attempts, True))
    (effect,) = world.did(ev.Interrupt)
    assert effect == ev.Interrupt(["x", "y"], attempts)  # performed after the `Withdraw`, when y is gone
    assert world.handed() == []
    world.fail("x")
    assert world.said() == []


def test_a_task_that_is_let_go_runs_to_its_end() -> None:
    world = World().join()
    attempts = world.compute("x")
    world.start()
    world.hear(m.CancelTasks(["x"], attempts))
    assert not world.did(ev.Interrupt)


def test_a_failure_tells_whose_it_was_and_which_way_it_came() -> None:
    c = Cluster(unknown_duration_s=10.0)
    c.submit("k0", origin="client-0/5")
    for i in range(1, 4):
        c.submit(f"k{i}", after=[f"k{i - 1}"], origin="client-0/6")
    c.say(100, m.TasksFailed(["k0"], [c.sent()["k0"]], [m.Failure("ValueError", "no", b"p", "", "k0")], [0.1]))  # type: ignore[arg-type, list-item]
    failures = {key: failure for message in c.heard(1, m.KeysFailed) for key, failure in zip(message.keys, message.failures, strict=True)}
    assert {failure.origin for failure in failures.values()} == {"client-0/5"}
    assert [failures[f"k{i}"].through for i in range(4)] == [[], [], ["k1"], ["k1", "k2"]]
    c.submit("late", after=["k3"])
    (told,) = c.heard(1, m.KeysFailed)
    assert told.failures[0].through == ["k1", "k2", "k3"]


def test_of_a_long_way_the_first_and_last_are_named() -> None:
    c = Cluster(unknown_duration_s=10.0)
    c.submit("k0")
    for i in range(1, 40):
        c.submit(f"k{i}", after=[f"k{i - 1}"])
    c.say(100, m.TasksFailed(["k0"], [c.sent()["k0"]], [m.Failure("ValueError", "no", b"p", "", "k0")], [0.1]))  # type: ignore[arg-type, list-item]
    c.heard(1)
    failure = c.task("k39").failure
    assert failure is not None
    assert failure.through == ["k1", "k2", "k3", "k4", "...", "k36", "k37", "k38"]
