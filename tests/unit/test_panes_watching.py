"""Who looks at what of the cluster, and when each is told. The sources are tested in `test_panes_sources`."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from test_scheduler_machine import Cluster

from jupyterfut.core.effects import LinkBack, LinkLost, Tick
from jupyterfut.core.scheduler.panes.source import Options, Snapshot, Source, StateSource
from jupyterfut.core.scheduler.panes.watching import BURST_S, REST, SENDING, Watched
from jupyterfut.core.scheduler.query import BadRequest
from jupyterfut.wire import messages as m
from jupyterfut.wire.panes import SNAPSHOTS


class Counts(StateSource):
    """Tells how many tasks there are."""

    topic: ClassVar[str] = "counts"
    interval_s: ClassVar[float] = 0.5

    def __init__(self, machine: Any) -> None:
        super().__init__(machine)
        self.story: list[str] = []
        self.costs_s = 0.0
        self.spent_s = 0.0

    def options(self, given: Options) -> Options:
        if not given.keys() <= {"times"}:
            raise BadRequest("no")
        return {"times": given.get("times", 1)}

    def begin(self) -> None:
        self.story.append("begin")

    def end(self) -> None:
        self.story.append("end")

    def worker_came(self, worker: Any) -> None:
        self.story.append(f"{worker.name} came")

    def worker_left(self, worker: Any) -> None:
        self.story.append(f"{worker.name} left")

    def snapshot(self, options: Options) -> Snapshot:
        self.story.append("turn")
        self.spent_s += self.costs_s
        return {"at": self.now(), "tasks": len(self.state.tasks) * options["times"]}


class Numbers(Source):
    """Tells what workers say, in increments."""

    topic: ClassVar[str] = "numbers"
    interval_s: ClassVar[float] = 0.5

    def begin(self) -> None:
        self.kept: list[Any] = getattr(self, "kept", [])
        self.pending: list[Any] = []
        self.fresh: list[Any] = []

    def heard(self, worker: Any, value: Any) -> None:
        self.pending.append(value)

    def collect(self) -> None:
        self.fresh, self.pending = self.pending, []
        self.kept += self.fresh

    def whole(self, options: Options) -> Snapshot:
        return {"reset": True, "numbers": list(self.kept)}

    def news(self, options: Options) -> Snapshot | None:
        return {"reset": False, "numbers": self.fresh} if self.fresh else None


class Viewed(Cluster):
    """Three clients that may look, and two sources made for the test."""

    def __init__(self, workers: int = 1) -> None:
        super().__init__(workers, 1, 3)
        panes = self.machine.panes
        self.counts = panes.sources["counts"] = Counts(self.machine)
        self.numbers = panes.sources["numbers"] = Numbers(self.machine)
        panes.clock = lambda: self.counts.spent_s

    def watch(self, client: int = 0, **topics: Options) -> m.Reply:
        self.say(1 + client, m.Request(1, "watch", {"topics": topics}))
        return next(message for message in reversed(self.mail[1 + client]) if type(message) is m.Reply)

    def told(self, client: int = 0) -> list[Any]:
        """What the client has been told since the last look, without the times."""
        values = [value for notices in self.heard(1 + client, m.Notices) for value in notices.values]
        return [{name: one for name, one in value.items() if name != "at"} for value in values]

    def number(self, value: Any) -> None:
        self.say(100, m.Notify(["pane:numbers"], [value]))

    def wait(self, seconds: float) -> None:
        """Time passes, and the machine gets the ticks that it asks for."""
        until = self.now + seconds
        while (at := self.machine.panes.due) is not None and at <= until:
            self.now = max(self.now, at)
            self.handle(Tick())
        self.now = until


def test_the_first_snapshot_comes_at_once_and_the_next_when_something_has_changed() -> None:
    c = Viewed()
    assert c.watch(counts={}).failure is None
    assert c.told() == [{"tasks": 0}]
    c.wait(2.0)
    assert c.told() == []
    c.submit("x", "y", client=1)
    assert c.told() == []
    c.wait(0.5)
    assert c.told() == [{"tasks": 2}]


def test_nothing_is_done_and_no_tick_wanted_while_nobody_looks() -> None:
    c = Viewed()
    c.submit("x")
    assert c.machine.panes.due is None and c.counts.story == []
    c.watch(counts={})
    assert c.machine.panes.due == 0.5 and c.machine.next_wake() == 0.5
    c.watch()
    assert c.machine.panes.due is None and c.counts.story == ["begin", "turn", "end"]


def test_a_wish_takes_the_place_of_the_one_before() -> None:
    c = Viewed()
    c.watch(counts={})
    c.watch(counts={}, numbers={})
    assert c.told() == [{"tasks": 0}, {"reset": True, "numbers": []}]  # what goes on is not told again
    c.watch(numbers={})
    assert c.counts.story[-1] == "end" and list(c.machine.panes.watched) == ["numbers"]


def test_those_with_the_same_options_share_a_snapshot() -> None:
    c = Viewed()
    for client in range(3):
        c.watch(client, counts={} if client < 2 else {"times": 10})
    assert c.told(0) == c.told(1) == c.told(2) == [{"tasks": 0}]
    c.counts.story.clear()
    c.submit("x")
    c.wait(0.5)
    assert c.told(0) == c.told(1) == [{"tasks": 1}] and c.told(2) == [{"tasks": 10}]
    assert c.counts.story == ["turn", "turn"]


def test_other_options_begin_anew() -> None:
    c = Viewed()
    c.submit("x")
    c.watch(counts={})
    c.watch(counts={"times": 3})
    assert c.told() == [{"tasks": 1}, {"tasks": 3}]
    assert [len(watched.audiences) for watched in c.machine.panes.watched.values()] == [1]


def test_increments_begin_with_all_there_is_and_go_on_with_what_is_new() -> None:
    c = Viewed()
    c.watch(0, numbers={})
    c.number(1)
    c.wait(0.5)
    c.number(2)
    c.watch(1, numbers={})
    c.wait(0.5)
    assert c.told(0) == [{"reset": True, "numbers": []}, {"reset": False, "numbers": [1]}, {"reset": False, "numbers": [2]}]
    assert c.told(1) == [{"reset": True, "numbers": [1]}, {"reset": False, "numbers": [2]}]


@pytest.mark.parametrize("topics", [{"counts": {"colour": 1}}, {"nonsense": {}}, {"counts": 7}, [], None])
def test_a_bad_wish_is_refused_and_changes_nothing(topics: Any) -> None:
    c = Viewed()
    c.watch(numbers={})
    c.say(1, m.Request(2, "watch", {"topics": topics}))
    failure = c.heard(1, m.Reply)[-1].failure
    assert failure is not None and failure.kind == "ValueError"
    assert list(c.machine.panes.watched) == ["numbers"]


def test_an_unknown_topic_is_told_which_there_are() -> None:
    c = Viewed()
    assert "summary, " in c.watch(sumary={}).failure.text


def test_a_viewer_that_leaves_or_does_not_come_back_looks_at_nothing() -> None:
    c = Viewed()
    c.watch(0, counts={})
    c.watch(1, counts={})
    c.say(1, m.Goodbye("bye"))
    assert len(c.machine.panes.watched) == 1
    c.handle(LinkLost(2, "cable"))
    c.now += 31.0
    c.handle(Tick())
    assert not c.machine.panes.watched and c.counts.story[-1] == "end" and c.machine.panes.due is None


def test_one_who_is_away_is_told_nothing_and_begins_anew() -> None:
    c = Viewed()
    c.watch(0, counts={}, numbers={})
    c.told()
    c.handle(LinkLost(1, "cable"))
    c.number(1)
    c.wait(5.0)
    assert c.told() == []
    c.handle(LinkBack(1))
    c.wait(0.5)
    assert c.told() == [{"tasks": 0}, {"reset": True, "numbers": [1]}]


def test_one_who_reads_too_slowly_is_told_nothing_and_begins_anew() -> None:
    c = Viewed()
    slow: list[str] = []
    c.machine.panes.is_behind = lambda client: client.id in slow
    c.watch(0, numbers={})
    c.watch(1, numbers={})
    c.told(0), c.told(1)
    slow.append("client-0")
    for i in range(3):
        c.number(i)
        c.wait(0.5)
    assert c.told(0) == [] and len(c.told(1)) == 3
    slow.clear()
    c.wait(0.5)
    assert c.told(0) == [{"reset": True, "numbers": [0, 1, 2]}]


def test_all_turns_together_take_a_twentieth_of_the_time_at_most() -> None:
    c = Viewed()
    c.watch(counts={})
    c.counts.costs_s = 0.1  # much more than a twentieth of half a second
    began = c.now
    for i in range(100):
        c.submit(f"x-{i}")
        c.wait(0.5)
    spent = c.counts.spent_s
    cost = spent * (1 + SENDING)
    assert 0.8 < cost * REST / (c.now - began) <= 1.0 + (0.1 * REST * (1 + SENDING) + BURST_S) / (c.now - began)


def test_what_is_cheap_is_told_beside_what_is_dear() -> None:
    c = Viewed()
    c.counts.costs_s = 0.02
    c.watch(counts={}, numbers={})
    c.told()
    for i in range(20):
        c.submit(f"x-{i}")
        c.number(i)
        c.wait(0.5)
    c.wait(2.0)
    told = c.told()
    assert sum("tasks" in value for value in told) >= 10 and [n for value in told for n in value.get("numbers", ())] == list(range(20))


def test_the_one_that_has_waited_longest_goes_first() -> None:
    c = Viewed()
    c.watch(counts={}, numbers={})
    c.machine.panes.watched["numbers"].due = 0.2
    order: list[str] = []
    for name, source in (("counts", c.counts), ("numbers", c.numbers)):
        source.collect = lambda name=name: order.append(name)  # type: ignore[method-assign,misc]
    c.now = 1.0
    c.handle(Tick())
    assert order == ["numbers", "counts"]


def test_sources_hear_of_workers_while_somebody_looks() -> None:
    c = Viewed()
    c.worker(1)
    c.watch(counts={})
    c.worker(2)
    c.handle(LinkLost(102, "cable"))
    assert c.counts.story == ["begin", "turn", "w2 came", "w2 left"]


def test_what_a_worker_says_of_a_topic_that_is_none_is_passed_over() -> None:
    c = Viewed()
    c.say(100, m.Notify(["pane:nonsense"], [1]))
    assert not c.heard(1)


def test_a_client_cannot_speak_for_a_source() -> None:
    c = Viewed()
    c.watch(numbers={})
    c.say(1, m.Notify(["pane:numbers"], [1]))
    assert c.numbers.pending == []


def test_there_is_a_source_for_each_topic() -> None:
    sources = Cluster().machine.panes.sources
    assert sources.keys() == SNAPSHOTS.keys()
    assert isinstance(Watched(sources["summary"], 0.0).source, StateSource)
