"""The worker's machine, as three-line stories. `World` plays the scheduler, the threads and the peers; `said()` is what went to the scheduler since
the last look, so that every story can end with "and nothing else was sent"."""

from __future__ import annotations

from typing import Any

import pytest

from jupyterfut.core.effects import LinkLost, Log, Received, Send, Tick
from jupyterfut.core.worker import events as ev
from jupyterfut.core.worker.invariants import check
from jupyterfut.core.worker.machine import WorkerMachine
from jupyterfut.core.worker.settings import WorkerSettings
from jupyterfut.wire import messages as ms
from jupyterfut.wire.payload import Local


class World:
    def __init__(self, nthreads: int = 1, **settings: Any) -> None:
        self.machine = WorkerMachine("tcp://w", "w", nthreads, settings=WorkerSettings(**settings))  # type: ignore[arg-type]  # plain strings
        self.now = 0.0
        self.attempts = 0
        self.queue: list[ev.Call] = []  # handed over, in order
        self.running: dict[str, ev.Call] = {}
        self.stored: dict[str, Any] = {}
        self.fetches: list[ev.Fetch] = []
        self.other: list[Any] = []  # effects that a story asks for by kind
        self._said: list[Any] = []
        self.refuse_withdraw: set[int] = set()
        self.post(ev.Start())

    def join(self) -> World:
        self.post(ev.Connected())
        self.hear(ms.Welcome(False, {}))
        self.hear(ms.Functions(["f"], [b"f"], ["f"]))
        self.said()
        self.other.clear()
        return self

    def post(self, event: Any) -> None:
        effects = self.machine.handle(event, self.now)
        check(self.machine)
        for effect in effects:
            match effect:
                case Send():
                    self._said.append(effect.message)
                case ev.Run():
                    self.queue += effect.calls
                case ev.Withdraw():
                    waiting = {call.attempt for call in self.queue} - self.refuse_withdraw
                    self.queue = [call for call in self.queue if call.attempt not in effect.attempts or call.attempt in self.refuse_withdraw]
                    self.post(ev.Withdrawn(effect.keys, effect.attempts, [attempt in waiting for attempt in effect.attempts]))
                case ev.Store():
                    self.stored.update(zip(effect.keys, effect.payloads, strict=True))
                case ev.Drop():
                    for key in effect.keys:
                        del self.stored[key]
                case ev.Fetch():
                    self.fetches.append(effect)
                case _:
                    self.other.append(effect)
        assert set(self.stored) == set(self.machine.memory.nbytes)

    def hear(self, message: Any) -> None:
        self.post(Received(ev.SCHEDULER, message))

    def said(self) -> list[Any]:
        said, self._said = self._said, []
        return said

    def did(self, kind: type) -> list[Any]:
        chosen = [effect for effect in self.other if type(effect) is kind]
        self.other = [effect for effect in self.other if type(effect) is not kind]
        return chosen

    # the scheduler's side

    def compute(
        self, *keys: str, needs: list[str] | None = None, inline: Any = (), where: Any = (), priority: float = 0, actor: bool = False
    ) -> list[int]:
        first = self.attempts + 1
        self.attempts += len(keys)
        attempts = list(range(first, self.attempts + 1))
        rows = [list(needs) for _ in keys] if needs is not None else []
        priorities = [[-priority, float(attempt)] for attempt in attempts]
        self.hear(ms.Compute("f", list(keys), attempts, [b"args"] * len(keys), priorities, rows, dict(inline), dict(where), None, actor, ""))
        return attempts

    # the threads' side

    def start(self, count: int = 1) -> list[str]:
        """The next calls leave the run queue and run."""
        started, self.queue = self.queue[:count], self.queue[count:]
        self.running.update({call.key: call for call in started})
        return [call.key for call in started]

    def finish(self, *keys: str, nbytes: int = 1, duration_s: float = 1.0, payload: Any = b"v") -> None:
        calls = [self.running.pop(key) for key in keys]
        attempts = [call.attempt for call in calls]
        n = len(keys)
        self.post(ev.Executed(list(keys), attempts, [payload] * n, ["int"] * n, [nbytes] * n, [duration_s] * n, {}))

    def run(self, *keys: str, **options: Any) -> None:
        """These calls, which are next in the run queue, run and end."""
        assert self.start(len(keys)) == list(keys)
        self.finish(*keys, **options)

    def fail(self, key: str) -> None:
        call = self.running.pop(key)
        self.post(ev.Failed([key], [call.attempt], [failure(key)], [1.0]))

    def handed(self) -> list[str]:
        return [call.key for call in self.queue]


def failure(key: str) -> ms.Failure:
    return ms.Failure("ValueError", "no", b"pickled", "", key)


def done(key: str, attempt: int, **fields: Any) -> ms.TasksDone:
    row = {"keys": [key], "attempts": [attempt], "payloads": [b"v"], "types": ["int"], "nbytes": [1], "durations": [1.0], "holds": {}, **fields}
    return ms.TasksDone(**row)


@pytest.fixture
def world() -> World:
    return World().join()


# --- one task


def test_a_task_runs_and_is_reported(world):
    [attempt] = world.compute("x")
    world.run("x")
    assert world.said() == [done("x", attempt)]
    assert world.stored == {"x": b"v"}
    assert world.handed() == []


def test_a_large_result_stays_here(world):
    world.compute("x")
    world.run("x", nbytes=10**6)
    assert world.said() == [done("x", 1, payloads=[None], nbytes=[10**6])]


def test_the_scheduler_says_what_is_large():
    world = World()
    world.post(ev.Connected())
    world.hear(ms.Welcome(False, {"inline_bytes": 10, "heartbeat_s": 7}))
    world.hear(ms.Functions(["f"], [b"f"], ["f"]))
    world.said()
    world.compute("x")
    world.run("x", nbytes=11)
    assert world.said()[0].payloads == [None]
    assert world.machine.next_wake() == 7


def test_an_object_passed_by_reference_always_comes_along(world):
    world.compute("x")
    world.run("x", nbytes=10**6, payload=Local([], 10**6))
    assert type(world.said()[0].payloads[0]) is Local


def test_an_actors_description_always_comes_along(world):
    world.compute("x", actor=True)
    world.run("x", nbytes=10**6, payload=b"description")
    assert world.said()[0].payloads == [b"description"]
    assert world.queue == []


def test_a_failure_is_reported_and_nothing_kept(world):
    [attempt] = world.compute("x")
    world.start()
    world.fail("x")
    assert world.said() == [ms.TasksFailed(["x"], [attempt], [failure("x")], [1.0])]
    assert world.stored == {}
    assert not world.machine.tasks


def test_reschedule_gives_the_task_back(world):
    [attempt] = world.compute("x")
    world.start()
    world.post(ev.NotRun(["x"], [attempt], [[]]))
    assert world.said() == [ms.TasksReturned(["x"], [attempt], [[]])]


def test_a_function_that_never_came_is_a_failure(world):
    world.hear(ms.Compute("g", ["x"], [1], [b""], [[0.0, 1.0]], [], {}, {}, None, False, ""))
    [answer] = world.said()
    assert type(answer) is ms.TasksFailed
    assert answer.failures[0].kind == "ProtocolError"


def test_a_result_with_futures_says_which(world):
    [attempt] = world.compute("x")
    world.start()
    world.post(ev.Executed(["x"], [attempt], [b"v"], ["list"], [1], [0.1], {"x": ["y"]}))
    assert world.said()[0].holds == {"x": ["y"]}


# --- order and lookahead


def test_higher_priority_runs_first_then_first_come(world):
    world.compute("a", "b", "c")
    world.compute("urgent", priority=5)
    for key in ("a", "urgent", "b", "c"):
        world.run(key)


def test_unmeasured_and_long_tasks_are_handed_over_one_a_thread():
    world = World(nthreads=2).join()
    world.compute("a", "b", "c", "d")
    assert world.handed() == ["a", "b"]
    world.run("a", duration_s=1.0)
    assert world.handed() == ["b", "c"]


def test_tiny_tasks_are_handed_over_in_bulk(world):
    world.compute("a", *[f"x{i}" for i in range(2000)])
    world.run("a", duration_s=1e-6)
    assert 500 < len(world.handed()) < 2000


def test_the_lookahead_shrinks_when_tasks_become_long(world):
    world.compute("a", *[f"x{i}" for i in range(2000)])
    world.run("a", duration_s=1e-6)
    many = len(world.handed())
    world.run("x0", duration_s=10.0)
    assert len(world.handed()) == many - 1


def test_a_blocked_task_frees_its_slot(world):
    first, _ = world.compute("a", "b")
    world.start()
    world.post(ev.Blocked("a", first))
    assert world.handed() == ["b"]
    assert world.said() == [ms.TaskBlocked("a", first)]
    world.post(ev.Unblocked("a", first))
    assert world.said() == [ms.TaskUnblocked("a", first)]


def test_what_came_back_waits_for_no_one_but_lets_no_new_one_start(world):
    first, _, _ = world.compute("a", "b", "c")
    world.start()
    world.post(ev.Blocked("a", first))
    world.post(ev.Unblocked("a", first))
    world.run("b")
    assert world.handed() == []
    world.finish("a")
    assert world.handed() == ["c"]


def test_while_memory_is_short_one_task_runs_at_a_time():
    world = World(nthreads=2).join()
    world.post(ev.MemoryShort(True))
    world.compute("a", "b", "c", "d")
    assert world.handed() == ["a"]
    world.run("a", duration_s=1e-6)
    assert world.handed() == ["b"]
    world.post(ev.MemoryShort(False))
    assert world.handed() == ["b", "c", "d"]


# --- inputs


def test_inline_inputs_need_nothing(world):
    world.compute("y", needs=["x"], inline={"x": b"1"})
    assert world.queue[0].inline["x"] == b"1"
    assert world.fetches == []


def test_a_chain_sent_ahead_runs_without_a_word_in_between(world):
    world.compute("x")
    world.compute("y", needs=["x"])
    assert world.handed() == ["x"]
    world.run("x")
    assert world.handed() == ["y"]


def measured(world):
    """The function is known to take microseconds."""
    world.compute("m")
    world.run("m", duration_s=1e-6)
    world.said()


def test_behind_the_maker_of_its_input_a_short_task_goes_into_the_run_queue_at_once(world):
    measured(world)
    world.compute("x")
    world.compute("y", needs=["x"])
    world.compute("z", needs=["y"])
    assert world.handed() == ["x", "y", "z"]
    world.start(3)
    world.finish("x", "y", "z")
    assert [message.keys for message in world.said()] == [["x", "y", "z"]]
    assert not world.machine.tasks


def test_what_came_to_a_thread_before_its_input_was_made_waits_like_any_other(world):
    measured(world)
    world.compute("x")
    [attempt] = world.compute("y", needs=["x"])
    world.start(2)
    world.running.pop("y")
    world.post(ev.NotRun(["y"], [attempt], [["x"]]))
    assert world.said() == []
    world.finish("x")
    assert world.handed() == ["y"]


def test_a_failed_maker_brings_its_followers_back_to_wait(world):
    measured(world)
    world.compute("x")
    [attempt] = world.compute("y", needs=["x"])
    world.start(2)
    world.fail("x")
    world.running.pop("y")
    world.post(ev.NotRun(["y"], [attempt], [["x"]]))
    assert [type(message) for message in world.said()] == [ms.TasksFailed]
    world.hear(ms.CancelTasks(["y"], [attempt]))
    assert not world.machine.tasks
    assert not world.machine.awaited


def test_with_two_threads_nothing_follows():
    world = World(nthreads=2).join()
    measured(world)
    world.compute("x")
    world.compute("y", needs=["x"])
    assert world.handed() == ["x"]


def test_a_failed_input_leaves_its_dependants_waiting_for_the_scheduler(world):
    world.compute("x")
    [attempt] = world.compute("y", needs=["x"])
    world.start()
    world.fail("x")
    assert [type(m) for m in world.said()] == [ms.TasksFailed]
    world.hear(ms.CancelTasks(["y"], [attempt]))
    assert world.said() == []
    assert not world.machine.tasks
    assert not world.machine.awaited


def test_a_retried_input_wakes_its_dependant(world):
    world.compute("x")
    world.compute("y", needs=["x"])
    world.start()
    world.fail("x")
    world.compute("x")
    world.run("x")
    assert world.handed() == ["y"]


def test_inputs_are_fetched_in_one_batch_a_peer(world):
    world.compute("y", needs=["a", "b", "c"], where={"a": ["p"], "b": ["p"], "c": ["q"]})
    assert [(f.address, f.keys) for f in world.fetches] == [("p", ["a", "b"]), ("q", ["c"])]
    world.post(ev.Fetched(world.fetches[0].request, ["a", "b"], [b"1", b"2"]))
    assert world.said() == [ms.ReplicasAdded(["a", "b"])]
    assert world.handed() == []
    world.post(ev.Fetched(world.fetches[1].request, ["c"], [b"3"]))
    assert world.said() == [ms.ReplicasAdded(["c"])]
    assert world.handed() == ["y"]


def test_one_request_a_peer_the_next_batch_gathers_meanwhile(world):
    world.compute("y", needs=["a"], where={"a": ["p"]})
    world.compute("z", needs=["b"], where={"b": ["p"]})
    world.compute("w", needs=["c", "a"], where={"a": ["p"], "c": ["p"]})
    assert [f.keys for f in world.fetches] == [["a"]]
    world.post(ev.Fetched(1, ["a"], [b"1"]))
    assert [f.keys for f in world.fetches] == [["a"], ["b", "c"]]


def test_the_less_busy_source_is_asked(world):
    world.compute("y", needs=["a", "b"], where={"a": ["p", "q"], "b": ["p", "q"]})
    assert [(f.address, f.keys) for f in world.fetches] == [("p", ["a"]), ("q", ["b"])]


def test_sources_are_tried_in_turn_and_then_the_task_goes_back(world):
    [attempt] = world.compute("y", needs=["a"], where={"a": ["p", "q"]})
    world.post(ev.Fetched(1, [], []))
    world.post(ev.FetchFailed(2, "no route"))
    assert [f.address for f in world.fetches] == ["p", "q"]
    assert world.said() == [ms.TasksReturned(["y"], [attempt], [[["a", "p"], ["a", "q"]]])]
    assert not world.machine.tasks
    assert not world.machine.fetches.wanted


def test_an_unreachable_peer_is_not_asked_for_the_next_batch(world):
    world.compute("y", needs=["a"], where={"a": ["p"]})
    world.compute("z", needs=["b"], where={"b": ["p", "q"]})
    world.compute("w", needs=["c"], where={"c": ["p"]})
    world.said()
    world.post(ev.FetchFailed(1, "no route"))
    assert [m.keys for m in world.said()] == [["y", "w"]]
    assert [f.address for f in world.fetches] == ["p", "q"]


def test_what_is_said_to_be_here_and_is_not_goes_back(world):
    [attempt] = world.compute("y", needs=["a"], where={"a": ["tcp://w"]})
    assert world.said() == [ms.TasksReturned(["y"], [attempt], [[["a", "tcp://w"]]])]


def test_a_copy_that_nobody_waits_for_any_more_is_not_kept(world):
    [attempt] = world.compute("y", needs=["a"], where={"a": ["p"]})
    world.hear(ms.CancelTasks(["y"], [attempt]))
    world.post(ev.Fetched(1, ["a"], [b"1"]))
    assert world.said() == []
    assert world.stored == {}


def test_a_key_wanted_again_while_the_old_request_is_open(world):
    [attempt] = world.compute("y", needs=["a"], where={"a": ["p"]})
    world.hear(ms.CancelTasks(["y"], [attempt]))
    world.compute("y", needs=["a"], where={"a": ["q"]})
    world.post(ev.Fetched(1, ["a"], [b"1"]))
    assert world.handed() == ["y"]
    assert world.said() == [ms.ReplicasAdded(["a"])]
    world.post(ev.Fetched(2, ["a"], [b"1"]))
    assert world.said() == []


def test_an_input_given_twice_counts_once(world):
    world.compute("y", needs=["a", "a"], where={"a": ["p"]})
    world.post(ev.Fetched(1, ["a"], [b"1"]))
    assert world.handed() == ["y"]
    world.run("y")
    assert not world.machine.memory.pins


def test_an_input_that_the_disk_lost_is_reported(world):
    world.compute("x")
    world.run("x")
    first, second = world.compute("y", "z", needs=["x"])
    world.said()
    world.start()
    world.post(ev.NotRun(["y"], [first], [["x"]]))
    [back] = world.said()
    assert sorted(back.keys) == ["y", "z"]
    assert back.missing == [[["x", "tcp://w"]]] * 2
    assert world.stored == {}
    assert second in back.attempts


# --- release


def test_released_data_is_dropped(world):
    world.compute("x")
    world.run("x")
    world.hear(ms.ReleaseData(["x", "unknown", "x"]))
    assert world.stored == {}
    assert world.machine.memory.total_nbytes == 0


def test_data_that_a_task_needs_outlives_its_release(world):
    world.compute("x")
    world.run("x")
    world.compute("y", needs=["x"])
    world.hear(ms.ReleaseData(["x"]))
    assert "x" in world.stored
    world.run("y")
    assert set(world.stored) == {"y"}


# --- cancel


@pytest.mark.parametrize("where", ["waiting", "ready", "handed"])
def test_a_cancelled_task_is_forgotten_without_a_word(world, where):
    if where != "handed":
        world.compute("busy")
    [attempt] = world.compute("x", needs=["a"], where={"a": ["p"]}) if where == "waiting" else world.compute("x")
    world.hear(ms.CancelTasks(["x"], [attempt]))
    assert world.said() == []
    assert "x" not in world.machine.tasks
    assert "x" not in world.handed()


def test_a_cancelled_running_call_ends_as_an_orphan(world):
    [attempt] = world.compute("x")
    world.start()
    world.hear(ms.CancelTasks(["x"], [attempt]))
    world.compute("next")
    assert world.handed() == []  # the thread is still busy
    world.finish("x")
    assert world.said() == []
    assert world.stored == {}
    assert world.handed() == ["next"]


def test_a_new_attempt_beside_an_orphan_of_the_same_key():
    world = World(nthreads=2).join()
    [old] = world.compute("x")
    world.start()
    orphan = world.running.pop("x")
    world.hear(ms.CancelTasks(["x"], [old]))
    [new] = world.compute("x")
    world.run("x")
    assert world.said() == [done("x", new)]
    world.running["x"] = orphan
    world.finish("x", payload=b"old")
    assert world.said() == []
    assert world.stored == {"x": b"v"}


def test_a_newer_attempt_replaces_an_older_one(world):
    world.compute("x")
    [new] = world.compute("x")
    world.run("x")
    assert world.said() == [done("x", new)]


def test_cancel_of_an_older_attempt_is_too_late(world):
    world.compute("x")
    world.hear(ms.CancelTasks(["x"], [99]))
    world.run("x")
    assert len(world.said()) == 1


# --- steal


def test_what_waits_or_is_ready_is_given_at_once(world):
    attempts = world.compute("busy", "x")
    attempts += world.compute("y", needs=["a"], where={"a": ["p"]})
    world.start()
    world.hear(ms.StealTasks(["x", "y", "busy"], [attempts[1], attempts[2], attempts[0]]))
    assert world.said() == [
        ms.StealAnswer(["x", "y"], [attempts[1], attempts[2]], [True, True]),
        ms.StealAnswer(["busy"], [attempts[0]], [False]),
    ]
    world.finish("busy")
    assert world.handed() == []


def test_a_handed_task_is_withdrawn(world):
    [attempt] = world.compute("x")
    world.hear(ms.StealTasks(["x"], [attempt]))
    assert world.said() == [ms.StealAnswer(["x"], [attempt], [True])]
    assert not world.machine.tasks
    assert not world.machine.slots.busy


def test_a_steal_that_comes_too_late(world):
    [attempt] = world.compute("x")
    world.run("x")
    world.said()
    world.hear(ms.StealTasks(["x"], [attempt]))
    assert world.said() == [ms.StealAnswer(["x"], [attempt], [False])]


def test_what_was_made_for_an_older_attempt_goes_when_the_key_is_asked_for_again(world):
    world.compute("x")
    world.run("x")  # the scheduler has cancelled it meanwhile, and will have no use for the result
    [attempt] = world.compute("x")
    assert not world.stored
    world.hear(ms.StealTasks(["x"], [attempt]))
    assert not world.stored
    assert not world.machine.tasks


def test_a_stolen_task_that_is_cancelled_meanwhile_is_still_answered():
    world = World().join()
    [attempt] = world.compute("x")
    effects = world.machine.handle(Received(ev.SCHEDULER, ms.StealTasks(["x"], [attempt])), 0)
    assert [type(e) for e in effects] == [ev.Withdraw]
    world.hear(ms.CancelTasks(["x"], [attempt]))
    world.post(ev.Withdrawn(["x"], [attempt], [True]))
    assert world.said() == [ms.StealAnswer(["x"], [attempt], [True])]
    assert not world.machine.slots.busy


# --- the link


def test_hello_comes_first_and_heartbeats_follow():
    world = World()
    assert world.did(ev.Connect) == [ev.Connect()]
    world.post(ev.Connected())
    [hello] = world.said()
    assert type(hello) is ms.WorkerHello
    assert hello.held_keys == []
    world.hear(ms.Welcome(False, {"heartbeat_s": 3}))
    assert world.machine.next_wake() == 3
    world.now = 3
    world.post(Tick())
    assert world.did(ev.Beat) == [ev.Beat({"executing": 0, "ready": 0, "managed_bytes": 0, "paused": 0.0})]
    assert world.machine.next_wake() == 6


def test_a_lost_link_leaves_orphans_and_what_is_held(world):
    world.compute("kept", "running", "waiting")
    world.run("kept")
    world.start()
    world.said()
    world.post(LinkLost(ev.SCHEDULER, "gone"))
    assert world.did(ev.Connect) == [ev.Connect()]
    assert world.did(ev.DropFunctions) == [ev.DropFunctions(["f"])]
    world.finish("running")
    assert not world.machine.tasks
    assert world.handed() == []
    assert set(world.stored) == {"kept"}
    world.post(ev.Connected())
    [hello] = world.said()
    assert (hello.held_keys, hello.held_nbytes, hello.held_types) == (["kept"], [1], ["int"])


def test_what_the_old_link_wanted_stolen_is_not_answered_on_the_new_one(world):
    [attempt] = world.compute("x")
    effects = world.machine.handle(Received(ev.SCHEDULER, ms.StealTasks(["x"], [attempt])), 0)
    assert effects == [ev.Withdraw(["x"], [attempt])]
    world.post(LinkLost(ev.SCHEDULER, "gone"))
    world.post(ev.Connected())
    world.said()
    world.hear(ms.Welcome(False, {}))
    world.post(ev.Withdrawn(["x"], [attempt], [True]))
    assert world.said() == []
    assert not world.machine.slots.busy


def test_attempts_to_connect_back_off_and_end():
    world = World(retry_first_s=1, retry_max_s=3, give_up_s=8)
    waits = []
    while not world.did(ev.End):
        world.post(ev.ConnectFailed("nobody", final=False))
        wake = world.machine.next_wake()
        if wake is not None:
            waits.append(wake - world.now)
            world.now = wake
            world.post(Tick())
    assert waits == [1, 2, 3, 3]
    assert world.machine.link.state == "ended"


def test_a_wrong_token_is_final():
    world = World()
    world.post(ev.ConnectFailed("wrong token", final=True))
    assert world.did(ev.End) == [ev.End("wrong token")]
    assert world.machine.next_wake() is None


def test_a_scheduler_that_hangs_up_before_its_welcome_is_not_called_at_once():
    world = World()
    world.did(ev.Connect)
    world.post(ev.Connected())
    world.post(LinkLost(ev.SCHEDULER, "full"))
    assert world.did(ev.Connect) == []
    assert world.machine.next_wake() is not None


def test_goodbye_of_the_scheduler_ends_the_worker(world):
    world.compute("x")
    world.hear(ms.Goodbye("closed"))
    assert world.did(ev.End) == [ev.End("closed")]
    assert not world.machine.tasks
    assert world.machine.next_wake() is None


def test_stop_says_goodbye(world):
    world.post(ev.Stop("closed"))
    assert world.said() == [ms.Goodbye("closed")]
    world.post(LinkLost(ev.SCHEDULER, "gone"))
    assert world.did(ev.Connect) == []


def test_a_message_that_is_not_for_workers_is_logged(world):
    world.hear(ms.KeysLost([], ""))
    assert [type(e) for e in world.other] == [Log]
    assert world.said() == []


# --- scattered data and task clients


def test_scattered_data_is_answered_when_the_scheduler_knows(world):
    world.compute("y", needs=["d"])
    world.post(ev.DataPut(7, "c", ["d", "d"], [b"12", b"12"], ["bytes", "bytes"]))
    [add] = world.said()
    assert add == ms.AddData(1, "c", ["d"], [2], ["bytes"])
    assert world.handed() == ["y"]
    assert world.did(ev.AnswerPut) == []
    world.hear(ms.Reply(1, None, None))
    assert world.did(ev.AnswerPut) == [ev.AnswerPut(7, None)]


def test_scattered_data_without_a_scheduler_is_refused():
    world = World()
    world.post(ev.DataPut(7, "c", ["d"], [b"1"], ["bytes"]))
    [answer] = world.did(ev.AnswerPut)
    assert answer.failure.kind == "ConnectionFailed"
    assert world.stored == {}


def test_a_scatter_under_way_fails_with_the_link_and_its_data_is_offered(world):
    world.post(ev.DataPut(7, "c", ["d"], [b"1"], ["bytes"]))
    world.said()
    world.post(LinkLost(ev.SCHEDULER, "gone"))
    assert world.did(ev.AnswerPut)[0].failure is not None
    world.post(ev.Connected())
    assert world.said()[0].held_keys == ["d"]


def test_a_task_client_shares_the_stream(world):
    world.post(ev.FromClient("c", ms.ClientHello("c", "c", False)))
    world.post(ev.FromClient("c", ms.WantKeys(["x"])))
    world.hear(ms.AsClient("c", ms.KeysPending(["x"])))
    world.post(ev.FromClient("c", ms.Goodbye("")))
    world.hear(ms.AsClient("c", ms.KeysPending(["x"])))
    assert [type(m.message) for m in world.said()] == [ms.ClientHello, ms.WantKeys, ms.Goodbye]
    assert world.other == [ev.ToClient("c", ms.KeysPending(["x"]))]


def test_a_task_client_ends_with_the_link(world):
    world.post(ev.FromClient("c", ms.ClientHello("c", "c", False)))
    world.said()
    world.post(LinkLost(ev.SCHEDULER, "gone"))
    assert [e.client for e in world.did(ev.CutClient)] == ["c"]
    world.post(ev.Connected())
    world.hear(ms.Welcome(False, {}))
    world.said()
    world.post(ev.FromClient("c", ms.WantKeys(["x"])))
    assert [e.client for e in world.did(ev.CutClient)] == ["c"]
    assert world.said() == []


def test_the_journal_tells_the_story(world):
    world.compute("x")
    world.run("x")
    assert [what for _, _, what, _ in world.machine.story("x")] == ["ready", "handed", "done"]
