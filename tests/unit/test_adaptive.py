"""How many workers there should be: the rule as a table, when it is told, and how a cluster follows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from test_scheduler_machine import Cluster

from jupyterfut import LocalCluster, errors
from jupyterfut.core.effects import LinkLost, Tick
from jupyterfut.core.scheduler.adaptive import Load, Wish, wanted
from jupyterfut.runtime.workforce import Workforce
from jupyterfut.wire import messages as m

BUSY_4 = Load(workers=4, threads=4, busy=4, runnable=4, work_s=2.0)
IDLE_4 = Load(workers=4, threads=4)


@pytest.mark.parametrize(
    ("load", "wish", "n"),
    [
        (Load(), Wish(), 0),
        (Load(), Wish(minimum=2), 2),
        (Load(runnable=1, work_s=0.001), Wish(), 1),  # something is to do
        (Load(runnable=100, work_s=50.0), Wish(), 10),  # 50 s of work in 5 s
        (Load(runnable=100, work_s=50.0), Wish(nthreads=4), 3),
        (Load(runnable=3, work_s=1000.0), Wish(), 3),  # no more threads than tasks
        (Load(runnable=100, work_s=50.0), Wish(maximum=7), 7),
        (Load(runnable=100, work_s=50.0), Wish(target_duration_s=50.0), 1),
        (Load(runnable=9, work_s=1.0), Wish(target_duration_s=0.0), 9),
        (Load(workers=2, threads=8, runnable=100, work_s=50.0), Wish(nthreads=1), 3),  # workers like those that are here
        (IDLE_4, Wish(), 0),
        (IDLE_4, Wish(minimum=1, maximum=10), 1),
        (BUSY_4, Wish(), 4),  # none with running work is taken away
        (BUSY_4._replace(busy=1, runnable=1), Wish(), 1),
        (BUSY_4, Wish(maximum=2), 2),
        (IDLE_4._replace(stored_bytes=10), Wish(), 1),  # results want to be somewhere
        (IDLE_4._replace(stored_bytes=30, limit_bytes=100), Wish(), 3),  # twice as much memory as there are bytes
        (IDLE_4._replace(stored_bytes=90, limit_bytes=100), Wish(maximum=20), 8),
    ],
)
def test_the_rule(load: Load, wish: Wish, n: int) -> None:
    assert wanted(load, wish) == n


# --- when it is told


class Adapting(Cluster):
    """A scheduler whose first client wants to know."""

    def __init__(self, workers: int = 1, **wish: Any) -> None:
        super().__init__(workers=workers)
        self.say(1, m.Request(1, "subscribe", {"topic": "adaptive"}))
        self.say(1, m.Request(2, "adapt", {"target_duration_s": 1.0, "interval_s": 1.0, "wait_count": 3, **wish}))
        self.first = self.heard(1, m.Reply)[-1].value

    def after(self, seconds: float) -> list[int]:
        """What is told while so much time passes, with a tick whenever the machine wants one."""
        end = self.now + seconds
        while (at := self.machine.next_wake()) is not None and at <= end:
            self.now = max(self.now, at)
            self.handle(Tick())
        self.now = end
        self.handle(Tick())
        return [value for message in self.heard(1, m.Notices) for value in message.values]


def test_more_at_once_and_fewer_after_a_while() -> None:
    c = Adapting(maximum=8)
    assert c.first == 1
    c.submit(*[f"x{i}" for i in range(10)])
    assert c.after(1.0) == [8]  # nothing was heard for a second, so each takes as long at least
    attempts = c.sent()
    c.done(0, attempts, seconds=0.5)
    while attempts := c.sent():
        c.done(0, attempts, seconds=0.5)
    assert c.after(2.5) == []
    assert c.after(2.0) == [1]  # for the results
    c.release(*[f"x{i}" for i in range(10)])
    assert c.after(4.0) == [0]
    c.handle(LinkLost(100, "it has left"))
    assert c.after(100.0) == []  # and then nothing, for there is no news


def test_work_that_comes_in_waves_keeps_its_workers() -> None:
    c = Adapting(maximum=8)
    told: list[int] = []
    for wave in range(4):
        keys = [f"x{wave}-{i}" for i in range(10)]
        c.submit(*keys, retries=wave)
        told += c.after(1.0)
        while attempts := c.sent():
            c.done(0, attempts, seconds=0.5)
        c.release(*keys)
        told += c.after(2.0)
    assert told == [8, 6]  # and 6 is what a wave needs


def test_long_tasks_of_unknown_duration_make_themselves_felt() -> None:
    c = Adapting(maximum=4, target_duration_s=5.0)
    c.submit("a", "b", "c", "d")
    assert c.after(1.0) == []  # two seconds of work, for all one knows
    told = c.after(30.0)
    assert told == sorted(told) and told[-1] == 4


def test_the_first_answer_counts_those_that_are_there() -> None:
    c = Adapting(workers=3, minimum=1, maximum=10)
    assert c.first == 3
    assert c.after(4.0) == [1]
    assert c.after(60.0) == [1] * 5  # they are still there: it is said again, after 1, 2, 4 ... seconds
    c = Adapting(workers=3, maximum=2)
    assert c.first == 2


def test_nobody_listens_any_more() -> None:
    c = Adapting(workers=3)
    c.say(1, m.Goodbye("done"))
    c.after(10.0)
    assert c.machine.adaptation.wish is None


def test_numbers_that_make_no_sense_are_refused() -> None:
    c = Cluster()
    for wrong in ({"minimum": -1}, {"minimum": 3, "maximum": 2}, {"interval_s": 0}, {"wait_count": 0}, {"nonsense": 1}):
        c.say(1, m.Request(1, "adapt", wrong))
        assert c.heard(1, m.Reply)[-1].failure.kind == "ValueError"


# --- following


class Staff:
    """A cluster whose workers are names."""

    def __init__(self, count: int) -> None:
        self.workers: dict[str, str | None] = {f"w{i}": f"tcp://{i}" for i in range(count)}
        self.count = count

    def present(self) -> dict[str, str | None]:
        return dict(self.workers)

    async def start(self, count: int) -> None:
        for _ in range(count):
            self.workers[f"w{self.count}"] = f"tcp://{self.count}"
            self.count += 1

    async def end(self, names: list[str]) -> None:
        for name in names:
            del self.workers[name]


class Door:
    """A scheduler that lets workers go: the first ones of those that it is asked about, but for `keeps`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.keeps: set[str] = set()
        self.first = 1
        self.error: Exception | None = None
        self.fn: Callable[[int], object] | None = None
        self.closed = 0
        self.leaving: list[str] = []
        self.known: Callable[[], list[str]] = list

    async def ask(self, op: str, args: dict[str, Any]) -> Any:
        if op == "workforce":
            return {"staying": [address for address in self.known() if address not in self.leaving], "leaving": self.leaving}
        self.asked.append((op, args))
        if op == "retire_workers":
            if self.error is not None:
                raise self.error
            return {address: {} for address in [a for a in args["among"] if a not in self.keeps][: args["n"]]}
        return self.first if op == "adapt" else None

    async def listen(self, topic: str, fn: Callable[[Any], object]) -> None:
        self.fn = fn

    def close(self) -> None:
        self.closed += 1


def story(play: Callable[[Workforce, Staff, Door], Any], count: int = 3) -> Staff:
    """Let `play` happen to a cluster of so many workers; its staff afterwards."""
    staff, door = Staff(count), Door()
    door.known = lambda: [address for address in staff.workers.values() if address is not None]

    async def main() -> None:
        workforce = Workforce(staff, door)
        try:
            await play(workforce, staff, door)
        finally:
            await workforce.close()

    asyncio.run(main())
    return staff


def test_scale_starts_and_retires() -> None:
    async def play(workforce: Workforce, staff: Staff, door: Door) -> None:
        await workforce.scale(5)
        assert len(staff.workers) == 5 and not door.asked
        await workforce.scale(2, timeout_s=7.0)
        (question,) = door.asked
        assert question[1]["n"] == 3 and question[1]["timeout_s"] == 7.0 and not question[1]["close"] and not question[1]["force"]
        assert list(staff.workers) == ["w3", "w4"]
        await workforce.scale(0)
        assert door.asked[-1][1]["force"] and not staff.workers

    story(play)


def test_those_that_have_not_joined_end_without_ceremony_and_the_lost_too() -> None:
    async def play(workforce: Workforce, staff: Staff, door: Door) -> None:
        staff.workers["w1"] = None
        await workforce.scale(2)
        assert not door.asked and list(staff.workers) == ["w0", "w2"]
        door.known = lambda: ["tcp://0"]  # it has never heard of w2
        await workforce.scale(2)
        assert list(staff.workers) == ["w0", "w3"]

    story(play)


def test_those_that_are_leaving_do_not_count() -> None:
    async def play(workforce: Workforce, staff: Staff, door: Door) -> None:
        door.leaving = ["tcp://1"]
        await workforce.scale(3)
        assert list(staff.workers) == ["w0", "w1", "w2", "w3"] and not door.asked

    story(play)


def test_what_cannot_retire_stays_and_is_said() -> None:
    async def play(workforce: Workforce, staff: Staff, door: Door) -> None:
        door.error = errors.NotRetired("w0 holds something")
        with pytest.raises(errors.NotRetired, match="holds something"):
            await workforce.scale(1)

    assert len(story(play).workers) == 3


def test_adapting_follows_every_word_and_takes_idle_ones_only() -> None:
    async def settle() -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def play(workforce: Workforce, staff: Staff, door: Door) -> None:
        door.first = 3
        await workforce.adapt({"minimum": 1})
        await settle()
        assert len(staff.workers) == 3 and door.fn is not None
        door.fn(5)
        await settle()
        assert len(staff.workers) == 5
        door.keeps = {"tcp://0", "tcp://1", "tcp://2", "tcp://3"}  # busy
        door.fn(1)
        await settle()
        assert len(staff.workers) == 4 and door.asked[-1][1]["idle_only"]
        await workforce.scale(6)
        door.fn(1)
        await settle()
        assert len(staff.workers) == 6 and ("adapt_off", {}) in door.asked and door.closed

    story(play)


def test_closed_is_closed() -> None:
    async def play(workforce: Workforce, staff: Staff, door: Door) -> None:
        await workforce.close()
        with pytest.raises(errors.ClosedError):
            await workforce.scale(1)
        with pytest.raises(errors.ClosedError):
            await workforce.adapt({})

    story(play)


def test_options_are_checked_where_they_are_given() -> None:
    with LocalCluster(n_workers=0, processes=False) as cluster:
        for wrong in (
            {"minimum": -1}, {"minimum": 1.5}, {"minimum": 3, "maximum": 2}, {"maximum": 0}, {"interval": "soon"}, {"interval": 0},
            {"wait_count": 0}, {"target_duration": float("inf")},
        ):  # fmt: skip
            with pytest.raises(ValueError, match=next(reversed(wrong))):
                cluster.adapt(**wrong)  # type: ignore[arg-type]  # that is the point
        with pytest.raises(TypeError, match="worker_key"):
            cluster.adapt(worker_key=str)
        adaptive = cluster.adapt(minimum=0, maximum=float("inf"), interval="500 ms")
        assert adaptive.maximum is None and adaptive.interval_s == 0.5 and "any number" in repr(adaptive)
        adaptive.stop()
        adaptive.stop()
        assert "stopped" in repr(adaptive)
    with pytest.raises(errors.ClosedError):
        cluster.adapt()
