"""What each topic of the dashboard tells, one rule a test. The cluster is played by hand; invariants are checked after each event."""

from __future__ import annotations

import random
from typing import Any

import pytest
from shapes import columns_misfit, misfits
from test_scheduler_machine import Cluster

from jupyterfut.core.effects import LinkLost, Tick
from jupyterfut.core.scheduler.groups import BOUNDS_S, ENDED_KEPT
from jupyterfut.core.scheduler.panes import graph, progress
from jupyterfut.core.scheduler.panes.watching import Measures
from jupyterfut.wire import messages as m
from jupyterfut.wire.panes import SNAPSHOTS, TOPIC_PREFIX

VIEWER = 50
HEART = {
    "cpu": 0.5, "memory_bytes": 1_000, "managed_bytes": 16, "spilled_bytes": 8, "received_bytes_s": 3.0, "sent_bytes_s": 4.0, "paused": 0.0,
}  # fmt: skip


class Seen(Cluster):
    """A viewer looks at everything, and what it is told must have the shapes that are promised."""

    def __init__(self, workers: int = 1, nthreads: int = 1, clients: int = 1, topics: Any = tuple(SNAPSHOTS), **config: Any) -> None:
        super().__init__(workers, nthreads, clients, **config)
        self.machine.state.epoch_s = 1_000.0
        self.snapshots: dict[str, list[Any]] = {topic: [] for topic in SNAPSHOTS}
        self.say(VIEWER, m.ClientHello("viewer-1", "viewer", False, 0, {"viewer": True}))
        self.watch(*topics)

    def watch(self, *topics: str) -> None:
        self.say(VIEWER, m.Request(1, "watch", {"topics": {topic: {} for topic in topics}}))

    def look(self, seconds: float = 2.0) -> None:
        """Time passes, and what is told meanwhile is noted."""
        until = self.now + seconds
        while (at := self.machine.panes.due) is not None and at <= until:
            self.now = max(self.now, at)
            self.handle(Tick())
        self.now = until
        for notices in self.heard(VIEWER, m.Notices):
            for topic, value in zip(notices.topics, notices.values, strict=True):
                name = topic.removeprefix(TOPIC_PREFIX)
                assert not list(misfits(value, SNAPSHOTS[name])), name
                self.snapshots[name].append(value)

    def last(self, topic: str) -> Any:
        self.look()
        return self.snapshots[topic][-1]

    def rows(self, topic: str) -> list[dict[str, Any]]:
        """The columns of the last snapshot, as rows."""
        told = self.last(topic)
        lists = [name for name, value in told.items() if type(value) is list and len(value) == len(told["name"])]
        return [dict(zip(lists, row, strict=True)) for row in zip(*(told[name] for name in lists), strict=True)]

    def run_all(self, worker: int = 0, **more: Any) -> None:
        self.done(worker, self.sent(worker), **more)

    def beat(self, worker: int = 0, **metrics: float) -> None:
        self.say(100 + worker, m.Heartbeat({**HEART, **metrics}))

    def group(self, name: str = "inc") -> dict[str, Any]:
        return next(group for group in self.last("progress")["groups"] if group["name"] == name)


# --- summary


def test_a_cluster_in_one_line() -> None:
    c = Seen(workers=2, nthreads=4, topics=("summary",))
    c.say(51, m.ClientHello("nb", "nb", False, 0, {"kernel": "k1", "session": "/a.ipynb"}))
    c.submit("x", "y")
    c.run_all(0)
    c.beat(0)
    c.beat(1, cpu=2.0)
    c.say(VIEWER, m.Request(2, "subscribe", {"topic": "adaptive"}))
    c.say(VIEWER, m.Request(2, "adapt", {"minimum": 1, "maximum": 5}))
    told = c.last("summary")
    assert (told["workers"], told["threads"], told["cpu"], told["memory"], told["spilled"]) == (2, 8, 2.5, 2_000, 16)
    assert (told["done"], sum(told["tasks"].values()), told["clients"]) == (len(c.machine.state.workers_by_name["w0"].has), 2, 2)
    assert (told["kernels"], told["sessions"], told["adaptive"], told["can_scale"]) == (["k1"], ["/a.ipynb"], {"minimum": 1, "maximum": 5}, False)


def test_workers_of_one_process_count_its_memory_once() -> None:
    c = Seen(workers=0, topics=("summary",))
    for i in range(3):
        c.say(100 + i, m.WorkerHello(f"inproc://{i}", f"w{i}", 2, 1_000, {}, 77, [], [], [], {}))
        c.beat(i)
    told = c.last("summary")
    assert (told["cpu"], told["memory"], told["memory_limit"], told["threads"]) == (0.5, 1_000, 3_000, 6)


def test_a_rate_is_over_the_last_seconds() -> None:
    c = Seen(topics=("summary",))
    for i in range(20):
        c.submit(f"x-{i}")
        c.run_all()
        c.look(0.5)
    assert c.snapshots["summary"][-1]["rate"] == pytest.approx(2.0)
    c.look(10.0)
    assert c.last("summary")["rate"] == 0.0 and c.last("summary")["done"] == 20


# --- progress


def test_a_group_counts_its_tasks_from_the_first_to_the_last() -> None:
    c = Seen(topics=("progress",))
    c.submit(*(f"x-{i}" for i in range(5)), origin="client-0/1")
    told = c.group()
    assert told["tasks"]["queued"] + told["tasks"]["processing"] == 5 and told["ended_at"] is None and told["origin"] == "client-0/1"
    while sent := c.sent():
        c.done(0, sent)
    ended_at = 1_000.0 + c.now
    told = c.group()
    assert (told["done"], told["tasks"]["memory"], told["ended_at"]) == (5, 5, ended_at)
    c.release(*(f"x-{i}" for i in range(5)))
    told = c.group()
    assert (told["done"], sum(told["tasks"].values()), told["ended_at"]) == (5, 0, ended_at)
    assert c.last("progress")["done"] == 5


def test_failures_are_done_too() -> None:
    c = Seen(topics=("progress", "summary"))
    c.submit("x")
    c.submit("y", after=["x"])
    c.failed(0, {"x": c.sent()["x"]})
    told = c.group()
    assert (told["done"], told["tasks"]["erred"]) == (2, 2) and c.last("summary")["done"] == 2


def test_a_function_from_two_cells_makes_two_rows_and_what_works_stands_first() -> None:
    c = Seen(workers=2, topics=("progress",))
    c.submit("a", origin="client-0/1")
    c.submit("b", origin="client-0/2")
    for worker in (0, 1):
        sent = c.sent(worker)
        c.done(worker, {key: attempt for key, attempt in sent.items() if key == "b"})
    groups = c.last("progress")["groups"]
    assert [group["origin"] for group in groups] == ["client-0/1", "client-0/2"]
    assert [group["ended_at"] is None for group in groups] == [True, False]


def test_a_client_that_calls_again_after_a_pause_begins_anew_and_a_cell_does_not() -> None:
    for origin, done in (("client-0", 1), ("client-0/3", 2)):
        c = Seen(topics=("progress",))
        c.submit("x-0", origin=origin)
        c.run_all()
        c.release("x-0")
        number = c.group()["id"]
        c.submit("x-1", origin=origin)
        c.run_all()
        assert c.group()["done"] == done and (c.group()["id"] == number) == (origin == "client-0/3")


def test_what_was_scattered_is_data() -> None:
    c = Seen(topics=("progress",))
    c.say(100, m.AddData(1, "client-0", ["d-1"], [8], ["int"]))
    told = c.group("data")
    assert (told["tasks"]["memory"], told["done"], told["origin"]) == (1, 1, "client-0")


def test_many_groups_are_one_row_at_the_end() -> None:
    c = Seen(topics=("progress",))
    n = progress.ROWS + 50
    for i in range(n):
        c.submit(f"x-{i}", origin=f"client-0/{i}")
    told = c.last("progress")
    assert len(told["groups"]) == progress.ROWS and told["others"]["name"] == "50 others"
    assert sum(told["others"]["tasks"].values()) == 50 and sum(told["total"].values()) == n


def test_groups_that_are_over_are_forgotten_in_time() -> None:
    c = Cluster()
    n = 2 * ENDED_KEPT + 1
    for i in range(n):
        c.submit(f"x-{i}", origin=f"client-0/{i}")
        c.done(0, c.sent())
        c.release(f"x-{i}")
        c.now += 0.01
    groups = c.machine.state.groups
    assert len(groups) == ENDED_KEPT + 1 and c.machine.state.done == n
    assert ("f", f"client-0/{n - 1}") in groups and ("f", "client-0/0") not in groups


def test_a_name_that_gets_a_recipe_changes_its_group() -> None:
    c = Cluster()
    c.submit("y", after=["x"])  # nobody knows x
    assert c.task("x").group.name == "data"
    c.submit("x", origin="client-0/1")
    assert c.task("x").group.origin == "client-0/1"


# --- timings


def test_how_long_calls_take() -> None:
    c = Seen(topics=("timings",))
    for i, seconds in enumerate((0.001, 0.003, 0.5)):
        c.submit(f"x-{i}")
        c.run_all(seconds=seconds)
    c.submit("bad")
    c.failed(0, c.sent())
    (row,) = c.rows("timings")
    assert (row["name"], row["count"], row["erred"], row["min_s"], row["max_s"], row["nbytes"]) == ("inc", 3, 1, 0.001, 0.5, 24)
    assert row["total_s"] == pytest.approx(0.505) and row["mean_s"] == pytest.approx(0.505 / 4)
    told = c.last("timings")
    assert told["bounds_s"] == list(BOUNDS_S) and sum(told["histogram"][0]) == 3
    assert [BOUNDS_S[i] >= 0.5 > BOUNDS_S[i - 1] for i, n in enumerate(told["histogram"][0]) if n][-1]


def test_sums_are_kept_while_nobody_looks_and_histograms_are_not() -> None:
    c = Seen(topics=())
    c.submit("x")
    c.run_all()
    c.watch("timings")
    told = c.last("timings")
    assert told["count"] == [1] and told["min_s"] == [0.001] and sum(told["histogram"][0]) == 0
    c.watch()
    assert c.machine.state.times["inc"].histogram is None


def test_a_function_that_has_only_failed_has_finite_times() -> None:
    c = Seen(topics=("timings",))
    c.submit("x")
    c.failed(0, c.sent())
    (row,) = c.rows("timings")
    assert (row["count"], row["erred"], row["min_s"], row["max_s"]) == (0, 1, 0.0, 0.0)


# --- workers


def test_the_workers_in_columns() -> None:
    c = Seen(workers=2, topics=("workers",))
    c.submit("x", "y", "z")
    c.beat(0, paused=1.0)
    rows = c.rows("workers")
    assert [row["name"] for row in rows] == ["w0", "w1"] and [row["state"] for row in rows] == ["paused", "running"]
    assert sum(row["processing"] for row in rows) == 3 and sum(row["executing"] for row in rows) == 2
    assert (rows[0]["received"], rows[0]["sent"], rows[0]["spilled"], rows[0]["memory"]) == (3.0, 4.0, 8, 1_000)
    c.done(0, c.sent(0))
    assert c.rows("workers")[0]["held"] == len(c.machine.state.workers_by_name["w0"].has)


def test_a_worker_that_says_nothing_is_silent() -> None:
    c = Seen(topics=("workers",))
    c.look(16.0)
    assert c.rows("workers")[0]["state"] == "silent"
    c.beat()
    assert c.rows("workers")[0]["state"] == "running"


def test_that_time_passes_is_no_news() -> None:
    c = Seen(topics=("workers", "summary", "progress", "timings", "graph", "cells"))
    c.look(5.0)
    before = {topic: len(told) for topic, told in c.snapshots.items()}
    c.look(5.0)
    assert before == {topic: len(told) for topic, told in c.snapshots.items()}


# --- load


def test_what_the_scheduler_does_comes_in_samples() -> None:
    c = Seen(topics=())
    measured = iter(Measures(0.1 * i, 1_000, 0.001, 100 * i, 50 * i) for i in range(1_000))
    c.machine.panes.measure = lambda: next(measured)
    c.watch("load")
    c.look(0.1)
    c.submit(*(f"x-{i}" for i in range(10)))
    c.look(1.0)
    first, *others = c.snapshots["load"]
    assert first["reset"] and first["at"] == [] and len(others) >= 3 and not any(told["reset"] for told in others)
    sample = others[0]
    assert (sample["cpu"], sample["received"], sample["sent"], sample["submitted"]) == ([0.4], [400.0], [200.0], [40.0])
    assert sample["queued"][0] + sample["processing"][0] == 10 and sample["workers"] == [1]


def test_who_looks_again_gets_the_last_minutes() -> None:
    c = Seen(topics=("load",))
    c.look(3.0)
    c.watch()
    c.look(60.0)
    c.watch("load")
    told = c.last("load")
    resets = [told for told in c.snapshots["load"] if told["reset"]]
    assert len(resets) == 2 and len(resets[1]["at"]) >= 10 and not columns_misfit(told, list(told)[1:])
    c.watch()
    c.look(1_000.0)
    c.watch("load")
    c.look(0.1)
    assert [told for told in c.snapshots["load"] if told["reset"]][-1]["at"] == []


# --- graph


def test_few_tasks_are_nodes() -> None:
    c = Seen(topics=("graph",))
    c.submit("x")
    c.submit("y", after=["x"])
    told = c.last("graph")
    assert [(node["id"], node["label"], node["count"]) for node in told["nodes"]] == [("x", "inc", 1), ("y", "inc", 1)]
    assert told["edges"] == [(0, 1)] and (told["tasks"], told["looked_at"], told["grouped"]) == (2, 2, False)
    c.done(0, {"x": c.sent()["x"]})
    assert [node["done"] for node in c.last("graph")["nodes"]] == [1, 0]


def test_many_tasks_are_nodes_by_groups() -> None:
    c = Seen(topics=("graph",))
    n = graph.TASKS
    c.submit(*(f"x-{i}" for i in range(n)), origin="client-0/1")
    c.say(1, m.Functions(["g"], [b"g"], ["total"]))
    c.say(1, m.SubmitTasks("g", ["sum"], [b"args"], [[f"x-{i}" for i in range(n)]], [], m.TaskOptions(origin="client-0/2")))
    told = c.last("graph")
    assert told["grouped"] and {node["label"]: node["count"] for node in told["nodes"]} == {"inc": n, "total": 1}
    names = [node["label"] for node in told["nodes"]]
    assert [(names[a], names[b]) for a, b in told["edges"]] == [("inc", "total")]


# --- events


def test_who_comes_and_goes_and_what_fails_has_a_line() -> None:
    c = Seen(topics=())
    c.submit("x")
    c.submit("y", after=["x"])
    c.failed(0, {"x": c.sent()["x"]})
    c.watch("events")  # all that was before is there too
    told = c.last("events")
    assert told["reset"]
    lines = [(row["kind"], row["level"], row["source"]) for row in told["rows"]]
    assert lines == [("client", "info", "client-0"), ("worker", "info", "w0"), ("task", "error", "inc")]
    assert told["rows"][2]["text"] == "ValueError: no" and told["rows"][2]["key"] == "x"
    c.handle(LinkLost(100, "cable"))
    told = c.last("events")
    assert not told["reset"] and [(row["level"], row["source"], row["text"]) for row in told["rows"]] == [("warning", "w0", "has left: cable")]


def test_a_worker_that_says_goodbye_is_no_warning() -> None:
    c = Seen(topics=("events",))
    c.say(100, m.Goodbye("closed"))
    assert c.last("events")["rows"][-1]["level"] == "info"


def test_events_of_people_have_lines() -> None:
    c = Seen(topics=("events",))
    c.look()
    c.say(1, m.Notify(["event:loss", "event:loss", "event:model"], [[9, 0, {"step": 3}], [9, 0, "low"], [9, 1, b"pickle"]]))
    rows = c.last("events")["rows"]
    assert [(row["kind"], row["source"], row["text"]) for row in rows] == [
        ("event", "loss", "step=3"), ("event", "loss", "low"), ("event", "model", "(a pickled value)"),
    ]  # fmt: skip
    c.look()
    assert c.snapshots["events"][-1]["rows"] == rows  # each once


def test_log_lines_come_while_somebody_looks() -> None:
    c = Seen(topics=())
    asked: list[bool] = []
    c.machine.panes.listen = asked.append
    events: Any = c.machine.panes.sources["events"]
    events.logged(1_000.0, 30, "a", "before")
    c.watch("events")
    c.look()
    c.now = 5.0
    events.logged(1_005.0, 30, "jupyterfut.scheduler", "late")
    c.say(100, m.Logged(50.0, 2, [49.0], [40], ["app"], ["bad"], ["x-1"]))
    told = c.last("events")
    assert [(row["source"], row["level"], row["text"], row["key"]) for row in told["rows"]] == [
        ("w0 app", "error", "bad", "x-1"), ("jupyterfut.scheduler", "warning", "late", ""),
    ]  # fmt: skip
    assert told["dropped"] == 2 and told["rows"][0]["at"] == pytest.approx(1_004.0)
    c.watch()
    assert asked == [True, False]


def test_a_flood_of_events_is_bounded() -> None:
    c = Seen(topics=("events",))
    c.look()
    n = 7_000
    c.say(1, m.Notify(["event:a"] * n, [[9, 0, str(i)] for i in range(n)]))
    told = c.last("events")
    assert len(told["rows"]) == 1_000 and told["rows"][-1]["text"] == str(n - 1) and told["dropped"] >= 0


# --- cells


def test_a_cell_sums_up_its_groups() -> None:
    c = Seen(workers=0, clients=0, topics=("cells",))
    c.say(1, m.ClientHello("nb", "script", False, 0, {"kernel": "k", "session": "/a.ipynb"}))
    c.say(1, m.Functions(["f", "g"], [b"f", b"g"], ["inc", "dec"]))
    c.say(1, m.Request(1, "cell_told", {"cell": "3", "cell_id": "abc", "number": 5, "title": "fs = c.map(inc, xs)", "submitted": False}))
    c.worker(0)
    c.submit("x", origin="nb/3")
    c.say(1, m.SubmitTasks("g", ["y"], [b"args"], [], [], m.TaskOptions(origin="nb/3")))
    c.submit("z", origin="nb")
    cell, script = sorted(c.last("cells")["rows"], key=lambda row: -len(row["origin"]))
    assert (cell["origin"], cell["number"], cell["title"], cell["kernel"], cell["session"]) == ("nb/3", 5, "fs = c.map(inc, xs)", "k", "/a.ipynb")
    assert (script["title"], script["number"], script["session"]) == ("script", 0, "/a.ipynb")
    assert cell["ended_at"] is None and sum(cell["tasks"].values()) == 2
    while sent := c.sent():
        c.done(0, sent)
    cell, script = sorted(c.last("cells")["rows"], key=lambda row: -len(row["origin"]))
    assert cell["done"] == 2 and cell["ended_at"] == 1_000.0 + c.now - 2.0 and cell["running_s"] == pytest.approx(0.002)


# --- all of them


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_what_is_told_has_its_shape(seed: int) -> None:
    dice = random.Random(seed)
    c = Seen(workers=2, nthreads=2, clients=2, inline_bytes=dice.choice((0, 16_384)))
    keys: list[str] = []
    for step in range(60):
        act = 0 if step == 30 else dice.randrange(8)
        if act < 3:
            fresh = [f"k-{step}-{i}" for i in range(450 if step == 30 else dice.randrange(1, 4))]
            after = dice.sample(keys, min(len(keys), dice.randrange(3)))
            c.submit(*fresh, after=after, client=dice.randrange(2), origin=dice.choice(("client-0", "client-0/1", f"client-1/{step}")))
            keys += fresh
        elif act < 6:
            worker = dice.randrange(2)
            sent = c.sent(worker)
            bad = {key: attempt for key, attempt in sent.items() if dice.random() < 0.1}
            if c.machine.state.workers_by_name.get(f"w{worker}") is not None:
                c.failed(worker, bad)
                c.done(worker, {key: attempt for key, attempt in sent.items() if key not in bad}, payload=dice.choice((None, b"1")))
                c.beat(worker)
        elif act == 6 and keys:
            c.release(*dice.sample(keys, min(len(keys), 20)), client=dice.randrange(2))
        elif step % 10 == 0:
            c.handle(LinkLost(100, "cable"))
            c.worker(0, 2)
        c.look(dice.choice((0.0, 0.1, 1.0)))
    assert all(c.snapshots[topic] for topic in SNAPSHOTS)
    for name in ("workers", "timings"):
        told = c.last(name)
        lists = [field for field, value in told.items() if type(value) is list and field != "bounds_s"]
        assert not columns_misfit(told, lists)


def test_an_empty_cluster_has_something_to_tell() -> None:
    c = Seen(workers=0, clients=0)
    c.look()
    assert all(c.snapshots[topic] for topic in SNAPSHOTS) and c.snapshots["workers"][0]["name"] == []
