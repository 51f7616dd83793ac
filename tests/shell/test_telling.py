"""What a worker tells by itself while somebody looks, and that it does nothing of it otherwise; and the way of that to a viewer."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from test_worker import Script, gates, large, run, scheduler, worker

from jupyterfut import Client, Scheduler, Worker
from jupyterfut.core.worker.stream import COMPUTE, TRANSFER
from jupyterfut.diagnostics.viewer import Viewer
from jupyterfut.ids import Key
from jupyterfut.runtime import telling
from jupyterfut.runtime.logs import Tap
from jupyterfut.runtime.own_lines import OwnLines
from jupyterfut.runtime.store import Store
from jupyterfut.serde.calls import Dep
from jupyterfut.wire import messages as ms

STREAM = ms.Observe({}, False, stream_s=0.01, grain_s=0.005)
PROFILE = ms.Observe({}, False, profile_s=0.02, beat_s=0.02)
LINES = ms.Observe({}, False, log_level=logging.INFO)
NOTHING = ms.Observe({}, False)


def nothing() -> None:
    pass


def fail() -> None:
    raise ValueError("no")


def complain(what: str) -> None:
    logging.getLogger("somebody.else").warning("it is %s", what)
    logging.getLogger("somebody.else").info("never mind")


def spin_until_let_go() -> None:
    gates["there"].set()
    while not gates["go"].is_set():
        sum(range(1000))


def wait_until_let_go() -> None:
    gates["there"].set()
    assert gates["go"].wait(10)


async def rows_of(script: Script, count: int) -> list[tuple[Any, ...]]:
    """Rows until so many calls have been told: (lane, name, kind, count, erred, key, start, stop)."""
    rows: list[tuple[Any, ...]] = []
    while sum(row[3] for row in rows) < count:
        ran = await script.hear(ms.Ran)
        assert all(stop <= ran.now for stop in ran.stops)
        rows += zip(ran.threads, ran.names, ran.kinds, ran.counts, ran.erred, ran.keys, ran.starts, ran.stops, strict=True)
    assert sum(row[3] for row in rows) == count
    return rows


def test_what_ran_is_told_in_few_rows_while_somebody_looks() -> None:
    async def story() -> None:
        async with scheduler() as script, worker(script, nthreads=1) as w:
            script.compute(nothing, ())
            await script.hear(ms.TasksDone)
            assert w._telling is None and w._executor.rows is None
            script.say(ms.Observe({}, False, stream_s=0.01, grain_s=10.0))
            script.compute(nothing, *[()] * 500)
            rows = await rows_of(script, 500)
            assert len(rows) < 100 and {row[:3] for row in rows} == {(0, "nothing", COMPUTE)}
            script.compute(fail, ())
            [(lane, name, _, _, erred, key, start, stop)] = await rows_of(script, 1)
            assert (lane, name, erred, key) == (0, "fail", 1, "fail-502") and start < stop <= time.perf_counter()
            script.say(NOTHING)
            script.compute(nothing, ())
            await script.hear(ms.TasksDone)
            assert w._executor.rows is None and w._store.rows is None and w._telling._stream is None and w._telling._timer is None

    run(story)


def test_rows_that_are_told_are_there_for_who_asks_too() -> None:
    async def story() -> None:
        async with scheduler() as script, worker(script) as w:
            script.say(ms.Observe({}, True))
            script.compute(nothing, ())
            await script.hear(ms.TasksDone)
            script.say(STREAM._replace(tasks=True))
            script.compute(nothing, (), ())
            await rows_of(script, 2)  # not what ended before
            script.say(ms.Observe({}, True))
            script.compute(nothing, ())
            for _ in range(2):  # the second is heard when the first is done
                script.compute(nothing, ())
                await script.hear(ms.TasksDone)
            columns = w._observer.task_stream({})
            assert len(columns) == 8 and len(columns[1]) >= 5 and set(columns[1]) >= {"nothing-1", "nothing-2", "nothing-3", "nothing-4"}

    run(story)


def test_what_runs_for_long_is_told_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "OPEN_S", 0.0)

    async def story() -> None:
        async with scheduler() as script, worker(script):
            script.say(STREAM._replace(beat_s=0.02))
            script.compute(wait_until_let_go, ())
            while not (ran := await script.hear(ms.Ran)).counts:
                pass
            assert (ran.names, ran.counts, ran.keys) == (["wait_until_let_go"], [0], ["wait_until_let_go-1"])
            gates["go"].set()
            while 1 not in (ran := await script.hear(ms.Ran)).counts:
                pass
            assert ran.counts == [1]

    run(story)


def test_transfers_are_told_and_heartbeats_know_the_network() -> None:
    async def story() -> None:
        async with scheduler() as script, worker(script, "a"), worker(script, "b") as b:
            to_a = script.streams[0]
            script.compute(large, (200_000,), keys=["x"])  # on b
            await script.hear(ms.TasksDone)
            script.streams = [to_a, script.streams[1]][::-1]
            script.say(STREAM._replace(beat_s=0.02))  # to a
            await script.hear(ms.Heartbeat)
            script.compute(len, (Dep(0),), needs=["x"], where={"x": [b.address]})
            rows: list[tuple[Any, ...]] = []
            received = 0.0
            async with asyncio.timeout(10):
                while len(rows) < 2 or not received:
                    message = await script.heard.get()
                    if type(message) is ms.Heartbeat:
                        received += message.metrics["received_bytes_s"]
                        assert message.metrics["sent_bytes_s"] == 0.0 and message.now <= time.perf_counter()
                    elif type(message) is ms.Ran:
                        rows += zip(message.names, message.kinds, message.threads, message.keys, strict=True)
            assert ("transfer", TRANSFER, -1, "x") in rows

    run(story)


class Rows(deque[Any]):
    """Says when something is in it."""

    def __init__(self) -> None:
        super().__init__()
        self.there = threading.Event()

    def append(self, row: Any) -> None:
        super().append(row)
        self.there.set()


def test_the_disk_has_rows(tmp_path: Path) -> None:
    store = Store(10_000, str(tmp_path))
    rows = store.rows = Rows()
    store.put([Key("a"), Key("b")], [bytes(8_000), bytes(8_000)], [8_000, 8_000])
    assert rows.there.wait(10)
    assert store.get(Key("a")) == bytes(8_000)
    store.close()
    assert [(row[0], row[1], row[8]) for row in rows][:2] == [("write", "a", "write"), ("read", "a", "read")]
    assert rows[0][6] > 8_000


def test_where_threads_have_been_is_told_by_function() -> None:
    async def story() -> None:
        async with scheduler() as script, worker(script) as w:
            script.say(PROFILE)
            script.compute(spin_until_let_go, ())
            sampled = await script.hear(ms.Sampled)
            assert list(sampled.trees) == ["spin_until_let_go"] and sampled.interval_s == w.settings.worker.profile_interval_s
            depths, numbers, counts = sampled.trees["spin_until_let_go"]
            assert depths[:2] == [0, 1] and numbers[0] == -1 and counts[0] > 0
            assert sampled.frames[numbers[1]][0] == "spin_until_let_go" and sampled.frames[numbers[1]][1] == __file__
            script.say(NOTHING)
            gates["go"].set()
            await script.hear(ms.TasksDone)
            assert w._executor.profiler.take() == {}

    run(story)


def test_log_lines_are_told_with_their_tasks_and_nothing_is_changed_for_who_logs() -> None:
    async def story() -> None:
        before = (logging.lastResort, list(logging.getLogger().handlers), logging.getLogger("jupyterfut").level)
        async with scheduler() as script, worker(script) as w:
            script.say(LINES)
            script.compute(complain, ("full",))
            logged = await script.hear(ms.Logged)
            assert (logged.levels, logged.loggers, logged.texts, logged.keys) == ([30], ["somebody.else"], ["it is full"], ["complain-1"])
            assert logged.times[0] <= logged.now and logging.getLogger("somebody.else").level == logging.NOTSET
            logging.getLogger("jupyterfut.worker").warning("something %s", 1)
            assert (await script.hear(ms.Logged)).texts == ["something 1"]
            script.say(NOTHING)
            script.compute(nothing, ())
            await script.hear(ms.TasksDone)
            assert w._telling is not None and w._telling._tap is None
        assert before == (logging.lastResort, list(logging.getLogger().handlers), logging.getLogger("jupyterfut").level)

    run(story)


def test_an_in_process_worker_tells_only_what_its_tasks_log() -> None:
    async def story() -> None:
        async with scheduler("inproc://") as script, worker(script, "a"), worker(script, "b"):
            for stream in script.streams:
                stream.send([LINES])
            logging.getLogger("jupyterfut.worker").warning("nobody's")
            script.compute(complain, ("full",))  # on b
            logged = await script.hear(ms.Logged)
            assert logged.texts == ["it is full"]
            script.compute(nothing, ())
            await script.hear(ms.TasksDone)
            assert not [message for message in script.heard._queue if type(message) is ms.Logged]

    run(story)


def test_too_many_lines_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "LINES_AT_ONCE", 3)
    monkeypatch.setattr(telling, "LINES_A_SECOND", 1)

    def chatter() -> None:
        for i in range(10):
            logging.getLogger("jupyterfut.worker").warning("line %d", i)

    async def story() -> None:
        async with scheduler() as script, worker(script):
            script.say(LINES)
            script.compute(chatter, ())
            texts: list[str] = []
            while len(texts) < 3:
                texts += (await script.hear(ms.Logged)).texts
            assert texts == ["line 0", "line 1", "line 2"]

    run(story)


def test_the_schedulers_own_lines_are_heard_while_somebody_looks() -> None:
    async def story() -> None:
        heard: asyncio.Queue[str] = asyncio.Queue()
        lines = OwnLines(lambda at, level, logger, text: heard.put_nowait(text))
        lines.listen(True)
        lines.listen(True)
        logging.getLogger("jupyterfut.scheduler").warning("from the loop")
        await asyncio.to_thread(logging.getLogger("jupyterfut.scheduler").warning, "from a thread")
        logging.getLogger("somebody.else").warning("not ours")
        assert [await heard.get(), await heard.get()] == ["from the loop", "from a thread"]
        lines.listen(False)
        logging.getLogger("jupyterfut.scheduler").warning("unheard")
        assert heard.empty()

    asyncio.run(story())


def test_a_tap_at_a_root_that_is_set_up() -> None:
    assert logging.getLogger().handlers  # pytest's
    heard: list[tuple[str, str]] = []
    tap = Tap(logging.INFO, lambda line: heard.append((line.logger, line.text)))
    try:
        logging.getLogger("somebody.else").error("one")
        logging.getLogger("jupyterfut.worker").error("two")  # comes by twice
        try:
            raise ValueError("why")
        except ValueError:
            logging.getLogger("somebody.else").exception("three")
    finally:
        tap.remove()
        tap.remove()
    assert heard == [("somebody.else", "one"), ("jupyterfut.worker", "two"), ("somebody.else", "three: ValueError: why")]


def test_a_viewer_sees_what_ran_and_where_threads_have_been() -> None:
    async def story() -> None:
        told: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()
        async with (
            Scheduler(port=0) as s,
            Worker(s.address, nthreads=1, name="w"),
            Client(s.address, asynchronous=True, set_as_default=False) as client,
        ):
            viewer = Viewer(s.address, s.security, on_snapshot=lambda topic, snapshot: told.put_nowait((topic, snapshot)))
            viewer.start()
            viewer.watch({"task-stream": {}, "profile": {}})
            await told.get()
            before = time.time()
            names: list[str] = []
            seen: dict[str, int] = {}
            functions: list[str] = []
            futures = client.map(large, range(100))
            spinning = client.submit(spin_until_let_go)
            async with asyncio.timeout(20):
                while "spin_until_let_go" not in functions or sum(seen.values()) < 101:
                    topic, snapshot = await told.get()
                    if topic == "profile":
                        functions = snapshot["functions"]
                        if "spin_until_let_go" in functions:
                            gates["go"].set()
                        continue
                    names += snapshot["names"]
                    for name, count, start, stop in zip(*(snapshot[column] for column in ("name", "count", "start", "stop")), strict=True):
                        seen[names[name]] = seen.get(names[name], 0) + count
                        assert before - 0.5 <= snapshot["base"] + start <= snapshot["base"] + stop <= time.time() + 0.5
            assert seen == {"large": 100, "spin_until_let_go": 1}
            await client.gather([*futures, spinning])
            await viewer.close()

    run(story)


def test_a_viewer_of_events_reads_the_lines_of_workers_and_scheduler() -> None:
    async def story() -> None:
        rows: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        def heard(topic: str, snapshot: dict[str, Any]) -> None:
            for row in snapshot["rows"]:
                rows.put_nowait(row)

        async def line(text: str) -> dict[str, Any]:
            async with asyncio.timeout(20):
                while (row := await rows.get())["text"] != text:
                    pass
                return row

        async with (
            Scheduler(port=0) as s,
            Worker(s.address, nthreads=1, name="w"),
            Client(s.address, asynchronous=True, set_as_default=False) as client,
        ):
            viewer = Viewer(s.address, s.security, on_snapshot=heard)
            viewer.start()
            viewer.watch({"events": {}})
            await rows.get()  # the worker has joined
            future = client.submit(complain, "full")
            of_worker = await line("it is full")
            assert of_worker["kind"] == "log" and of_worker["level"] == "warning" and of_worker["key"] == future.key
            assert of_worker["source"] == "w somebody.else" and abs(of_worker["at"] - time.time()) < 60
            logging.getLogger("jupyterfut.scheduler").warning("it is tired")
            assert (await line("it is tired"))["source"] == "jupyterfut.scheduler"
            viewer.watch({})
            await viewer.ask("nthreads", {})
            assert s._own_lines is not None and s._own_lines._tap is None
            await viewer.close()

    run(story)
