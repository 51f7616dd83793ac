"""Copies, moves and retirements, message by message. `Cluster` plays workers and clients by hand; stories of whole clusters are in `tests/sim`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from test_scheduler_machine import Cluster

from jupyterfut.core.effects import LinkLost, Tick
from jupyterfut.core.scheduler.replicas import UNDER_WAY_COPIES, plan_moves
from jupyterfut.wire import messages as m

LARGE = 10**6


class Copying(Cluster):
    """With requests, and workers that hold large results."""

    def __init__(self, workers: int = 3, **config: Any) -> None:
        super().__init__(workers=workers, **config)
        self.numbers: Iterator[int] = iter(range(1, 1_000_000))

    def hold(self, worker: int, *keys: str, nbytes: int = LARGE) -> None:
        """Scattered data arrives at this worker."""
        n = len(keys)
        self.say(100 + worker, m.AddData(1, "client-0", list(keys), [nbytes] * n, ["bytes"] * n))
        self.mail.clear()

    def ask(self, op: str, **args: Any) -> int:
        number = next(self.numbers)
        self.say(1, m.Request(number, op, args))
        return number

    def answer(self) -> m.Reply | None:
        replies = self.heard(1, m.Reply)
        assert len(replies) < 2
        return replies[0] if replies else None

    def wanted(self, worker: int) -> dict[str, list[str]]:
        """What the worker was told to copy since the last look, and from where ([]: it came along)."""
        found: dict[str, list[str]] = {}
        for message in self.heard(100 + worker, m.Replicate):
            found.update({key: message.where.get(key, []) for key in message.keys})
            assert message.inline.keys().isdisjoint(message.where) and message.inline.keys() | message.where.keys() == set(message.keys)
        return found

    def copied(self, worker: int, *keys: str) -> None:
        self.say(100 + worker, m.ReplicasAdded(list(keys)))

    def failed_copies(self, worker: int, *keys: str, at: int) -> None:
        self.say(100 + worker, m.ReplicasFailed(list(keys), [[[key, f"tcp://10.0.0.{at}:1"]] for key in keys]))

    def where(self, key: str) -> set[str]:
        return {worker.name for worker in self.task(key).who_has}


def address(worker: int) -> str:
    return f"tcp://10.0.0.{worker}:1"


# --- replicate


def test_one_message_a_worker_and_an_answer_at_the_end() -> None:
    c = Copying()
    c.hold(0, "x", "y")
    c.ask("replicate", keys=["x", "y"])
    assert c.wanted(1) == c.wanted(2) == {"x": [address(0)], "y": [address(0)]}
    c.copied(1, "x", "y")
    c.copied(2, "x")
    assert c.answer() is None
    c.copied(2, "y")
    reply = c.answer()
    assert reply is not None and reply.value == 4 and c.where("x") == {"w0", "w1", "w2"}
    c.release("x", "y")
    assert c.heard(100)[-1] == c.heard(101)[-1] == m.ReleaseData(["x", "y"]) and not c.rest()


def test_a_tree_of_copies() -> None:
    c = Copying(workers=8)
    c.hold(0, "x")
    c.ask("replicate", keys=["x"], branching_factor=2)
    first = [i for i in range(8) if c.wanted(i)]
    assert len(first) == 2
    c.copied(first[0], "x")
    sources = [source for i in range(8) for source in c.wanted(i).get("x", ())]
    assert len(sources) >= 4 and address(first[0]) in sources


def test_what_the_scheduler_keeps_comes_along() -> None:
    c = Copying()
    c.say(1, m.Request(0, "scatter_small", {"keys": ["s"], "payloads": [b"1"], "types": ["int"], "nbytes": [8]}))
    c.mail.clear()
    c.ask("replicate", keys=["s"], n=2)
    (message,) = [message for i in range(3) for message in c.heard(100 + i, m.Replicate)][:1]
    assert message.inline == {"s": b"1"} and not message.where


def test_a_copy_is_kept_until_it_has_arrived_although_nobody_wants_it_any_more() -> None:
    c = Copying(workers=2)
    c.hold(0, "x")
    c.ask("replicate", keys=["x"])
    c.release("x")
    assert not c.heard(100, m.ReleaseData)
    c.copied(1, "x")
    assert c.heard(100, m.ReleaseData) == c.heard(101, m.ReleaseData) == [m.ReleaseData(["x"])]
    assert c.answer() is not None and not c.rest()


def test_who_gave_up_waiting_leaves_copies_that_go_on() -> None:
    c = Copying(workers=2)
    c.hold(0, "x")
    number = c.ask("replicate", keys=["x"])
    c.say(1, m.Abandon([number]))
    reply = c.answer()
    assert reply is not None and reply.failure is not None and reply.failure.kind == "CancelledError"
    c.copied(1, "x")
    assert c.where("x") == {"w0", "w1"} and c.answer() is None


def test_two_who_want_the_same_copy_share_it() -> None:
    c = Copying(workers=2)
    c.hold(0, "x")
    c.ask("replicate", keys=["x"])
    c.ask("replicate", keys=["x"])
    assert list(c.wanted(1)) == ["x"] and not c.wanted(1)
    c.copied(1, "x")
    assert [reply.value for reply in c.heard(1, m.Reply)] == [1, 1]


def test_a_result_that_is_still_being_made_is_waited_for() -> None:
    c = Copying(workers=2)
    c.submit("x")
    c.ask("replicate", keys=["x"])
    maker = 0 if c.task("x").worker is c.machine.state.workers_by_name["w0"] else 1
    c.done(maker, c.sent(maker), payload=None)
    assert c.wanted(1 - maker) == {"x": [address(maker)]}


def test_a_failed_task_has_no_copies() -> None:
    c = Copying(workers=2)
    c.submit("x")
    maker = 0 if c.task("x").worker is c.machine.state.workers_by_name["w0"] else 1
    c.failed(maker, c.sent(maker))
    c.ask("replicate", keys=["x"])
    reply = c.answer()
    assert reply is not None and reply.failure is not None and reply.failure.kind == "NotCopied" and "erred" in reply.failure.text


def test_holders_are_doubted_only_after_a_few_failures() -> None:
    c = Copying(workers=2)
    c.submit("x")
    maker = 0 if c.task("x").worker is c.machine.state.workers_by_name["w0"] else 1
    c.done(maker, c.sent(maker), payload=None)
    c.ask("replicate", keys=["x"])
    for _ in range(2):
        c.failed_copies(1 - maker, "x", at=maker)
        assert c.task("x").state == "memory"
    c.failed_copies(1 - maker, "x", at=maker)
    assert c.task("x").state == "processing"  # it is made again


def test_a_copy_that_never_comes_is_given_up_in_the_end() -> None:
    c = Copying(workers=2)
    c.hold(0, "x")
    c.ask("replicate", keys=["x"])
    tries = 0
    while c.wanted(1):
        tries += 1
        c.failed_copies(1, "x", at=0)
    reply = c.answer()
    assert 3 < tries < 20 and reply is not None and reply.failure is not None and reply.failure.kind == "NotCopied"
    assert c.where("x") == {"w0"} and c.task("x").state == "memory"


def test_wrong_arguments() -> None:
    c = Copying()
    c.hold(0, "x")
    for args, kind in (
        ({"keys": ["nothing"]}, "NoSuchKey"),
        ({"keys": ["x"], "n": 0}, "ValueError"),
        ({"keys": ["x"], "n": "many"}, "ValueError"),
        ({"keys": ["x"], "workers": ["w9"]}, "ValueError"),
        ({"keys": ["x"], "branching_factor": -1}, "ValueError"),
        ({}, "ValueError"),
    ):
        c.ask("replicate", **args)
        reply = c.answer()
        assert reply is not None and reply.failure is not None and reply.failure.kind == kind, args
    assert not c.machine.replicas.jobs


# --- rebalance


def moves(c: Copying) -> list[tuple[str, str, str]]:
    workers = list(c.machine.state.workers.values())
    tasks = list({task: None for worker in workers for task in worker.has})
    return [(task.key, source.name, target.name) for task, source, target in plan_moves(c.machine.replicas, tasks, workers)]


@pytest.mark.parametrize(
    ("held", "count"),
    [
        ([[], [], []], 0),
        ([[100], [], []], 0),  # it cannot be divided
        ([[100, 100], [], []], 1),
        ([[100] * 9, [], []], 6),
        ([[100] * 3, [100] * 3, [100] * 3], 0),
        ([[1000, 10, 10], [], []], 2),
        ([[100] * 6, [300, 300], []], 3),
        ([[0] * 5, [], []], 0),
    ],
)
def test_what_moves(held: list[list[int]], count: int) -> None:
    c = Copying()
    for worker, sizes in enumerate(held):
        for i, size in enumerate(sizes):
            c.hold(worker, f"x{worker}-{i}", nbytes=size)
    planned = moves(c)
    assert len(planned) == count
    loads = {f"w{worker}": sum(sizes) for worker, sizes in enumerate(held)}
    before = max(loads.values())
    for key, source, target in planned:
        size = c.task(key).nbytes
        loads[source] -= size
        loads[target] += size
    assert max(loads.values()) <= before


def test_the_original_goes_when_the_copy_is_there() -> None:
    c = Copying(workers=2)
    c.hold(0, "x", "y")
    c.ask("rebalance")
    (key,) = c.wanted(1)
    assert c.where(key) == {"w0"}
    c.copied(1, key)
    reply = c.answer()
    assert c.where(key) == {"w1"} and c.heard(100) == [m.ReleaseData([key])] and reply is not None and reply.value == 1


def test_what_moves_does_not_travel_all_at_once() -> None:
    c = Copying(workers=2)
    keys = [f"x{i}" for i in range(3 * UNDER_WAY_COPIES)]
    c.hold(0, *keys, nbytes=10)
    c.ask("rebalance")
    first = list(c.wanted(1))
    assert len(first) == UNDER_WAY_COPIES
    c.copied(1, *first)
    assert 400 < len(c.wanted(1)) <= len(keys) // 2 - UNDER_WAY_COPIES


# --- retirement


def test_the_road_of_a_retirement() -> None:
    c = Copying(workers=2)
    c.hold(0, "x")
    c.ask("retire_workers", workers=["w0"])
    assert c.wanted(1) == {"x": [address(0)]} and c.answer() is None
    c.submit("y")
    assert c.sent(1) and not c.sent(0)
    c.copied(1, "x")
    assert c.heard(100) == [m.Goodbye("retired")] and c.closed[100] == "retired"
    reply = c.answer()
    assert reply is not None and list(reply.value) == [address(0)] and reply.value[address(0)]["actors"] == []
    assert c.where("x") == {"w1"}


def test_what_it_still_makes_moves_too() -> None:
    c = Copying(workers=2)
    c.submit("x", workers=["w0"], allow_other_workers=True)
    attempts = c.sent(0)
    c.ask("retire_workers", workers=["w0"])
    assert [steal.keys for steal in c.heard(100, m.StealTasks)] == [["x"]]
    c.say(100, m.StealAnswer(["x"], list(attempts.values()), [False]))
    c.done(0, attempts, payload=None)
    assert c.wanted(1) == {"x": [address(0)]}
    c.copied(1, "x")
    assert 100 in c.closed


def test_results_that_the_scheduler_keeps_need_not_move() -> None:
    c = Copying(workers=2)
    c.submit("x", workers=["w0"], allow_other_workers=True)
    c.done(0, c.sent(0))
    c.ask("retire_workers", workers=["w0"])
    assert 100 in c.closed and not c.wanted(1)
    assert c.task("x").state == "memory"


def test_a_deadline_for_what_runs() -> None:
    c = Copying(workers=2)
    c.submit("x", workers=["w0"], allow_other_workers=True)
    c.sent(0)
    c.ask("retire_workers", workers=["w0"], timeout_s=5.0)
    at = c.machine.next_wake()
    assert at == 5.0 and 100 not in c.closed
    c.now = 5.0
    c.handle(Tick())
    assert 100 in c.closed and list(c.sent(1)) == ["x"] and c.task("x").deaths == 0


def test_an_actor_ends_with_its_worker_and_the_answer_says_so() -> None:
    c = Copying(workers=2)
    c.submit("a", workers=["w0"], actor=True)
    c.done(0, c.sent(0), payload=None)
    c.ask("retire_workers", n=1)
    reply = c.answer()
    assert reply is not None and list(reply.value) == [address(1)]  # who has none goes first
    c.worker(1)
    c.ask("retire_workers", workers=["w0"])
    reply = c.answer()
    assert reply is not None and reply.value[address(0)]["actors"] == ["a"]
    assert c.task("a").state == "erred"


def test_nobody_else_is_there() -> None:
    c = Copying(workers=1)
    c.hold(0, "x")
    c.ask("retire_workers", workers=["w0"])
    reply = c.answer()
    assert reply is not None and reply.failure is not None and reply.failure.kind == "NotRetired"
    assert c.where("x") == {"w0"} and not c.machine.state.workers_by_name["w0"].retiring
    c.ask("retire_workers", workers=["w0"], force=True)
    assert 100 in c.closed


def test_when_the_last_other_worker_dies_it_works_on() -> None:
    c = Copying(workers=2)
    c.hold(0, "x")
    c.ask("retire_workers", workers=["w0"])
    c.handle(LinkLost(101, "cable"))
    reply = c.answer()
    assert reply is not None and reply.failure is not None and reply.failure.kind == "NotRetired"
    c.submit("y")
    assert list(c.sent(0)) == ["y"]


def test_a_retirement_that_is_asked_for_twice_answers_both() -> None:
    c = Copying(workers=2)
    c.hold(0, "x")
    c.ask("retire_workers", workers=["w0"])
    c.ask("retire_workers", names=["w0"])
    c.wanted(1)
    c.copied(1, "x")
    assert len(c.heard(1, m.Reply)) == 2


def test_scattered_data_does_not_go_to_a_worker_that_leaves() -> None:
    c = Copying(workers=2)
    c.hold(0, "x")
    c.ask("retire_workers", workers=["w0"])
    c.ask("plan_scatter", count=4)
    reply = c.answer()
    assert reply is not None and {tuple(place) for place in reply.value} == {(address(1),)}
    c.ask("plan_scatter", count=1, workers=["w0"])
    reply = c.answer()
    assert reply is not None and reply.failure is not None
    c.ask("workforce")
    reply = c.answer()
    assert reply is not None and reply.value == {"staying": [address(1)], "leaving": [address(0)]}


def test_memory_limits_say_how_many_can_be_spared() -> None:
    c = Copying(workers=4)
    for worker in c.machine.state.workers.values():
        worker.memory_limit_bytes = 100
    c.hold(0, "x", nbytes=90)
    c.ask("retire_workers")
    reply = c.answer()
    assert reply is not None and len(reply.value) == 2  # 180 bytes are wanted, two workers have 200


def test_without_limits_one_idle_worker_stays() -> None:
    c = Copying(workers=4)
    c.ask("retire_workers")
    reply = c.answer()
    assert reply is not None and len(reply.value) == 3
    c.ask("retire_workers", target=0)
    reply = c.answer()
    assert reply is not None and len(reply.value) == 1


def test_an_emptied_worker_takes_no_more_data() -> None:
    c = Copying(workers=2)
    c.ask("retire_workers", workers=["w0"], close=False)
    reply = c.answer()
    assert reply is not None and list(reply.value) == [address(0)]
    c.say(100, m.AddData(7, "client-0", ["x"], [LARGE], ["bytes"]))
    answer, release = c.heard(100)
    assert answer.failure.kind == "ConnectionFailed" and release == m.ReleaseData(["x"])
    assert "x" not in c.machine.state.tasks
