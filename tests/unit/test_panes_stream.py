"""The task stream and the profile as viewers hear of them, and what workers are asked to tell for that."""

from __future__ import annotations

from typing import Any

import pytest
from test_coord_queues import Talk

from jupyterfut.core.effects import LinkLost, Log, Received
from jupyterfut.core.profile import Node
from jupyterfut.core.samples import DEEPEST, KEPT, NARROWEST, Flame, pack
from jupyterfut.core.scheduler.observing import MESSAGES_A_SECOND, ROWS_A_SECOND
from jupyterfut.core.scheduler.panes import stream as panes_stream
from jupyterfut.core.scheduler.panes.clocks import WINDOW_S, Clocks
from jupyterfut.core.scheduler.panes.stream import COLUMNS
from jupyterfut.core.scheduler.state import WorkerState
from jupyterfut.wire import messages as m
from jupyterfut.wire.panes import Profile, TaskStream


class Looks(Talk):
    """With viewers: `watch`, and what they have been told."""

    def watch(self, client: int = 0, **topics: dict[str, Any]) -> None:
        self.ask("watch", client, topics={topic.replace("_", "-"): options for topic, options in topics.items()})

    def told(self, topic: str = "task-stream", client: int = 0) -> list[dict[str, Any]]:
        return [value for notices in self.heard(1 + client, m.Notices) for of, value in zip(*notices, strict=True) if of == f"pane:{topic}"]

    def ran(self, *rows: tuple[int, str, float, float, int, str], worker: int = 0, at: float = 0.0) -> None:
        """Rows of lane, name, start, stop, count, key. The worker's clock is 1,000 s behind."""
        lanes, names, starts, stops, counts, keys = map(list, zip(*rows, strict=True)) if rows else ([], [], [], [], [], [])
        n = len(rows)
        busy = [stop - start for start, stop in zip(starts, stops, strict=True)]
        self.say(100 + worker, m.Ran(at or self.now - 1000.0, 0, lanes, names, [0] * n, starts, stops, busy, counts, [0] * n, [1] * n, keys))


def looks(**config: Any) -> Looks:
    c = Looks(**config)
    c.now = 5000.0
    c.machine.state.epoch_s = 1e9
    for worker in c.machine.state.workers.values():
        worker.last_seen = c.now
    return c


def rows(told: dict[str, Any]) -> list[tuple[Any, ...]]:
    return list(zip(told["lane"], told["name"], told["start"], told["stop"], told["count"], told["key"], strict=True))


# --- what workers are asked


def test_workers_tell_while_somebody_looks_and_not_longer() -> None:
    c = looks(workers=1, clients=2)
    assert c.heard(100, m.Observe) == []
    c.watch(task_stream={})
    assert c.heard(100, m.Observe) == [m.Observe({}, False, stream_s=0.1, grain_s=0.005, beat_s=1.0)]
    c.watch(client=1, profile={})
    assert c.heard(100, m.Observe) == [m.Observe({}, False, 0.1, 0.005, 1.0, 0, 1.0)]
    c.handle(LinkLost(1, "gone"))
    c.wait(c.machine.state.config.client_lease_s)
    assert c.heard(100, m.Observe) == [m.Observe({}, False, 0.0, 0.0, 1.0, 0, 1.0)]
    c.watch(client=1)
    assert c.heard(100, m.Observe) == [m.Observe({}, False)]


def test_log_lines_and_frequent_heartbeats_are_for_who_looks_at_them() -> None:
    c = looks(workers=1)
    c.machine.observing.look(["events", "workers"])
    c.wait(0.0)
    assert c.heard(100, m.Observe) == [m.Observe({}, False, log_level=20, beat_s=0.25)]


def test_a_wish_of_a_client_stands_beside_what_is_looked_at() -> None:
    c = looks(workers=1)
    c.ask("observe", loggers={"a": 10}, tasks=True)
    c.watch(summary={})
    assert c.heard(100, m.Observe)[-1] == m.Observe({"a": 10}, True, beat_s=1.0)
    c.ask("observe", loggers={}, tasks=False)
    assert c.heard(100, m.Observe) == [m.Observe({}, False, beat_s=1.0)]


def test_many_workers_tell_less_often_and_are_seldom_told_so() -> None:
    c = looks(workers=0)
    c.watch(task_stream={}, profile={})
    for i in range(250):
        c.worker(i, nthreads=4)
    wishes = c.heard(100, m.Observe)
    assert len(wishes) < 10
    last = wishes[-1]
    assert 250 / last.stream_s <= MESSAGES_A_SECOND and 250 / last.beat_s <= MESSAGES_A_SECOND and 1000 / last.grain_s <= ROWS_A_SECOND
    assert c.heard(349, m.Observe) == [last]


# --- the stream


def test_rows_come_by_our_clock_with_lanes_and_names_told_once() -> None:
    c = looks(workers=1, clients=2)
    c.watch(task_stream={})
    (first,) = c.told()
    assert first.keys() == TaskStream.__annotations__.keys()
    assert first["reset"] and first["base"] == 1e9 + 5000 and first["lanes"] == [] and first["now"] == 0.0
    c.now += 2.0
    c.ran((0, "inc", 4001.0, 4001.5, 1, "inc-1"), (1, "inc", 4001.25, 4002.0, 5, ""))
    c.wait(0.2)
    (second,) = c.told()
    assert not second["reset"] and second["names"] == ["inc"]
    assert [(lane["worker"], lane["thread"]) for lane in second["lanes"]] == [("w0", 0), ("w0", 1)]
    assert rows(second) == [(0, 0, 1.0, 1.5, 1, "inc-1"), (1, 0, 1.25, 2.0, 5, "")] and second["nbytes"] == [1, 1]
    c.ran((1, "dec", 4002.0, 4002.1, 1, "dec-1"))
    c.wait(0.2)
    (third,) = c.told()
    assert third["lanes"] == [] and third["names"] == ["dec"] and rows(third)[0][:2] == (1, 1)
    c.wait(10.0)
    assert c.told() == []
    c.watch(client=1, task_stream={})  # who comes later begins with what is kept
    (whole,) = c.told(client=1)
    assert whole["reset"] and len(whole["lanes"]) == 2 and whole["names"] == ["inc", "dec"] and rows(whole) == rows(second) + rows(third)


def test_what_comes_between_two_turns_is_told_once_to_each() -> None:
    c = looks(workers=1, clients=2)
    c.watch(task_stream={})
    c.ran((0, "f", 4000.0, 4000.1, 1, "f-1"))
    c.watch(client=1, task_stream={})
    c.ran((0, "f", 4000.1, 4000.2, 1, "f-2"))
    c.wait(0.5)
    for client in (0, 1):
        keys = [key for told in c.told(client=client) for key in told["key"]]
        assert keys == ["f-1", "f-2"]


def test_what_runs_for_long_stands_in_each_message_until_it_ends() -> None:
    c = looks(workers=2)
    c.watch(task_stream={})
    c.told()
    c.ran((0, "slow", 3990.0, 4000.0, 0, "slow-1"))
    c.wait(0.2)
    (told,) = c.told()
    assert rows(told) == [] and (told["open_lane"], told["open_start"], told["open_key"]) == ([0], [-10.0], ["slow-1"])
    c.ran((0, "f", 4000.0, 4000.1, 1, "f-1"), worker=1)
    c.wait(0.2)
    (told,) = c.told()
    assert told["key"] == ["f-1"] and told["open_key"] == ["slow-1"]
    c.ran((0, "slow", 3990.0, 4000.3, 1, "slow-1"))
    c.wait(0.2)
    (told,) = c.told()
    assert told["key"] == ["slow-1"] and told["open_key"] == []


def test_a_worker_that_goes_takes_along_what_runs_there() -> None:
    c = looks(workers=1)
    c.watch(task_stream={})
    c.ran((0, "slow", 3990.0, 4000.0, 0, "slow-1"))
    c.wait(0.2)
    c.told()
    c.handle(LinkLost(100, "gone"))
    c.wait(0.2)
    (told,) = c.told()
    assert told["open_key"] == []


def test_the_newest_are_kept_and_who_comes_back_soon_finds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panes_stream, "ROWS_KEPT", 3)
    c = looks(workers=1)
    c.watch(task_stream={})
    for i in range(5):
        c.ran((0, "f", 4000.0 + i, 4000.5 + i, 1, f"f-{i}"))
        c.wait(0.2)
    c.told()
    c.watch()
    c.ran((0, "f", 4010.0, 4011.0, 1, "unseen"))
    c.watch(task_stream={})
    (told,) = c.told()
    assert told["key"] == ["f-2", "f-3", "f-4"] and told["reset"]
    c.watch()
    c.wait(panes_stream.FORGOTTEN_S + 1)
    c.watch(task_stream={})
    (told,) = c.told()
    assert told["key"] == [] == told["lanes"]


def test_of_too_many_rows_the_oldest_are_counted_and_no_keys_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panes_stream, "ROWS_A_TURN", 4)
    monkeypatch.setattr(panes_stream, "KEYS_A_TURN", 3)
    c = looks(workers=1)
    c.watch(task_stream={})
    c.told()
    for i in range(6):
        c.ran((0, "f", 4000.0 + i, 4000.5 + i, 1, f"f-{i}"))
    c.wait(0.2)
    (told,) = c.told()
    assert told["dropped"] == 2 and told["key"] == [""] * 4 and all(len(told[name]) == 4 for name in COLUMNS)


def test_lanes_of_workers_that_came_and_went_are_dropped_some_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panes_stream, "LANES_KEPT", 3)
    c = looks(workers=1)
    c.watch(task_stream={})
    c.told()
    c.ran(*[(lane, "f", 4000.0, 4000.1, 1, "") for lane in range(4)])
    c.wait(0.2)
    (told,) = c.told()
    assert told["reset"] and told["lanes"] == []
    c.ran((0, "f", 4000.0, 4000.1, 1, "f-1"))
    c.wait(0.2)
    (told,) = c.told()
    assert not told["reset"] and len(told["lanes"]) == 1 and told["lane"] == [0]


# --- clocks


def test_the_quickest_message_tells_how_far_clocks_are_apart() -> None:
    clocks, worker = Clocks(), WorkerState("tcp://h:1", "w", 1, 1)  # type: ignore[arg-type]  # plain values for ids
    assert clocks.offset(worker, 100.0, 50.0) == 50.0
    assert clocks.offset(worker, 101.0, 50.5) == 50.0  # half a second late
    assert clocks.offset(worker, 102.0, 52.125) == 49.875
    assert clocks.offset(worker, 103.0, 52.0) == 49.875
    assert clocks.offset(worker, 102.0 + 3 * WINDOW_S, 50.0) == 49.875  # of the window before
    assert clocks.offset(worker, 103.0 + 5 * WINDOW_S, 52.0) == 52.0 + 3 * WINDOW_S  # its machine has slept
    clocks.forget(worker)
    assert clocks.offset(worker, 7.0, 0.0) == 7.0


def test_heartbeats_tell_the_time_before_anybody_looks() -> None:
    c = looks(workers=1)
    c.say(100, m.Heartbeat({}, 4000.0))
    c.watch(task_stream={})
    c.told()
    c.now += 1.0
    c.ran((0, "f", 4000.0, 4000.25, 1, "f-1"), at=4000.25)  # three quarters of a second under way
    c.wait(0.2)
    (told,) = c.told()
    assert told["start"] == [0.0] and told["stop"] == [0.25]


# --- the profile


def sampled(count: int = 5, name: str = "inc") -> m.Sampled:
    return m.Sampled(0.01, [[name, "a.py", 3], ["helper", "b.py", 9]], {name: [[0, 1, 2], [-1, 0, 1], [count, count, 1]]})


def test_profiles_of_all_workers_are_one_flame() -> None:
    c = looks(workers=2)
    c.watch(profile={})
    (empty,) = c.told("profile")
    assert empty.keys() == Profile.__annotations__.keys() and empty["samples"] == 0 and empty["root"]["children"] == []
    c.say(100, sampled())
    c.say(101, sampled(7))
    c.say(101, sampled(1, "dec"))
    c.wait(1.5)
    (told,) = c.told("profile")
    assert told["samples"] == 13 and told["functions"] == ["inc", "dec"] and told["interval_s"] == 0.01
    inc, dec = told["root"]["children"]
    assert (inc["name"], inc["file"], inc["line"], inc["count"]) == ("inc", "a.py", 3, 12) and dec["count"] == 1
    assert inc["children"][0]["name"] == "helper" and inc["children"][0]["count"] == 2
    c.wait(5.0)
    assert c.told("profile") == []
    c.watch(profile={"name": "dec"})
    (told,) = c.told("profile")
    assert told["samples"] == 1 and [child["name"] for child in told["root"]["children"]] == ["dec"] and told["functions"] == ["inc", "dec"]
    c.watch()
    c.say(100, sampled())  # too late
    c.watch(profile={})
    assert c.told("profile")[-1]["samples"] == 0


def test_bad_options_and_bad_profiles_hurt_nobody() -> None:
    c = looks(workers=1)
    c.watch(profile={"name": 5})
    assert "function's name" in c.failure().text
    c.watch(profile={"nom": "x"})
    assert "no option 'nom'" in c.failure().text
    c.watch(profile={})
    effects = c.machine.handle(Received(100, m.Sampled(0.01, [], {"f": [[0, 3], [-1, 0], [1, 1]]})), c.now)
    assert [effect.level for effect in effects if isinstance(effect, Log)] == ["error"]


def test_what_is_narrower_than_a_pixel_is_left_out() -> None:
    wide, thin = Node(), Node()
    for i in range(3000):
        wide.add(["f", f"g{i}"] if i < 10 else ["f", "g"])
    for i in range(500):
        thin.add([f"h{i}"])
    flame = Flame()
    flame.add(*pack({"wide": wide, "thin": thin}, lambda frame: (frame, "a.py", 1), 10_000))
    root = flame.tree("")
    assert root["count"] == 3500
    f, *others = root["children"]
    assert others == [] and [child["name"] for child in f["children"]] == ["g"]
    assert f["children"][0]["count"] / root["count"] > NARROWEST


def test_a_flame_stays_small_and_shallow() -> None:
    flame = Flame()
    deep = Node()
    for _ in range(2000):
        deep.add([f"r{i}" for i in range(190)])
    flame.add(*pack({"deep": deep}, lambda frame: (frame, "a.py", 1), 400))
    for i in range(KEPT // 400 + 2):
        tree = Node()
        for j in range(400):
            tree.add([f"f{i}-{j}"])
        flame.add(*pack({"many": tree}, lambda frame: (frame, "a.py", 1), 10_000))
    assert flame._nodes <= KEPT and flame.samples == 2000 + 400 * (KEPT // 400 + 2)
    node, depth = flame.tree("deep"), 0
    while node["children"]:
        node, depth = node["children"][0], depth + 1
    assert depth == DEEPEST


def test_a_worker_sends_what_was_seen_most_often() -> None:
    tree = Node()
    for i in range(1000):
        tree.add(["f", f"g{i}"] if i % 2 else ["f", "hot", f"h{i}"])
    frames, columns = pack({"f": tree}, lambda frame: (frame, "a.py", 1), 50)
    assert [frame[0] for frame in frames] == ["f", "hot"] and columns == {"f": [[0, 1, 2], [-1, 0, 1], [1000, 1000, 500]]}
