"""What workers are doing: stacks of running tasks, profiles, logs, versions; and what `get_worker()` has to offer."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import jupyterfut
from jupyterfut import Client, Scheduler, Worker, get_client, get_worker
from jupyterfut.client.watching import mismatches
from jupyterfut.config import Settings, WorkerSettings
from jupyterfut.core.profile import History, Node, empty, merge_plain, to_plain


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(processes=False, n_workers=2, threads_per_worker=1, set_as_default=False) as client:
        yield client


def inc(x: int) -> int:
    return x + 1


def busy(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        inner()


def inner() -> None:
    sum(range(2000))


# --- stacks


def test_call_stack_of_running_tasks(client: Client) -> None:
    started, go = threading.Semaphore(0), threading.Event()

    def outer() -> None:
        halt()

    def halt() -> None:
        started.release()
        go.wait()

    first, second = client.submit(outer, pure=False, workers="0"), client.submit(outer, pure=False, workers="1")
    started.acquire()
    started.acquire()
    one, two = client.nthreads()
    stacks = client.call_stack()
    assert {address: list(tasks) for address, tasks in stacks.items()} == {one: [first.key], two: [second.key]}
    frames = stacks[one][first.key]
    assert "in outer" in frames[0]  # ours are left out
    assert "in halt" in frames[1]
    assert "go.wait()" in frames[1]
    assert list(client.call_stack(second)) == [two]
    assert list(client.call_stack([first])) == [one]
    assert list(client.call_stack(keys=[second.key])) == [two]
    assert list(client.call_stack(keys=second.key)) == [two]
    assert client.call_stack(keys=["nothing"]) == {}
    with pytest.raises(TypeError):
        client.call_stack(3)
    go.set()
    client.gather([first, second])
    assert client.call_stack() == {}


def test_call_stack_of_a_coroutine(client: Client) -> None:
    started, go = threading.Event(), asyncio.Event()

    async def outer() -> None:
        await waits()

    async def waits() -> None:
        asyncio.get_running_loop().call_soon(started.set)  # once it waits
        await go.wait()

    future = client.submit(outer)
    started.wait()
    ((key, frames),) = client.call_stack().popitem()[1].items()
    assert key == future.key
    assert ["in outer" in frames[0], "in waits" in frames[1]] == [True, True]
    client.loop.call_soon_threadsafe(go.set)
    future.result()


def test_call_stack_of_an_actor(client: Client) -> None:
    started, go = threading.Event(), threading.Event()

    class Sleeper:
        def rest(self) -> None:
            started.set()
            go.wait()

    made = client.submit(Sleeper, actor=True, workers="1")
    resting = made.result().rest()
    started.wait()
    ((address, tasks),) = client.call_stack().items()
    assert address == list(client.nthreads())[1]
    assert "in rest" in tasks[made.key][0]
    while not client.profile()["count"]:
        continue  # each is a round trip
    go.set()
    resting.result()
    assert client.call_stack() == {}


# --- profiles


def names(tree: dict[str, Any]) -> set[str]:
    return {node["description"]["name"] for node in tree["children"].values()}


def test_a_profile_tells_who_was_busy(client: Client, tmp_path: Path) -> None:
    client.gather([client.submit(busy, 0.25, workers=name, pure=False) for name in "01"])
    (root,) = client.profile(key="busy")["children"].values()
    assert root["description"]["name"] == "busy"
    assert root["description"]["filename"] == __file__
    assert root["description"]["line"] == "def busy(seconds: float) -> None:"
    assert "inner" in names(root)
    assert client.profile()["count"] == root["count"]
    assert client.profile(key="nobody") == empty()
    by_worker = client.profile(merge_workers=False)
    assert sum(tree["count"] for tree in by_worker.values()) == root["count"]
    assert set(by_worker) == set(client.nthreads())
    assert client.profile(workers="1")["count"] == list(by_worker.values())[1]["count"]
    assert client.profile(start="1 min", stop=time.time() + 1)["count"] == root["count"]
    assert client.profile(start=datetime.now().astimezone() + timedelta(days=1)) == empty()
    assert client.profile(stop=timedelta(hours=1)) == empty()
    page = tmp_path / "profile.html"
    tree, figure = client.profile(filename=page, plot=True)
    assert tree["count"] == root["count"]
    assert "busy" in page.read_text()
    assert "<iframe" in figure._repr_html_()


def test_what_cannot_be_profiled(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="servers themselves"):
        client.profile(server=True)
    with pytest.raises(ValueError, match="servers themselves"):
        client.profile(scheduler=True)
    with pytest.raises(FileNotFoundError, match="no directory"):
        client.profile(filename=tmp_path / "nowhere" / "x.html")
    with pytest.raises(ValueError, match="merge_workers"):
        client.profile(filename=tmp_path / "x.html", merge_workers=False)
    with pytest.raises(TypeError, match="prefix"):
        client.profile(key=inc)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="duration"):
        client.profile(start="yesterday")


def test_profiling_switched_off() -> None:
    settings = Settings(worker=WorkerSettings(profile_interval_s=0))
    with Client(processes=False, n_workers=1, set_as_default=False, settings=settings) as client:
        client.submit(busy, 0.05).result()
        assert client.profile() == empty()
        assert not [thread for thread in threading.enumerate() if thread.name.endswith("-profile")]


def test_the_profiler_sleeps_and_wakes(client: Client) -> None:
    (worker, _) = client.cluster._part._started.values()
    profiler = worker._executor.profiler
    for _ in range(2):
        before = client.profile(workers="0")["count"]
        client.submit(busy, 0.1, workers="0", pure=False).result()
        assert client.profile(workers="0")["count"] > before
        while not profiler.asleep:  # it goes to sleep by itself
            profiler._thread.join(0.01)


def test_deep_stacks_and_merged_trees() -> None:
    root = Node()
    root.add(range(500))
    other = Node()
    other.add([0, 1, "elsewhere"])
    root.merge(other)
    plain = to_plain(root, lambda frame: (str(frame), {"name": str(frame)}))
    assert plain["count"] == 2
    assert plain["children"]["0"]["count"] == 2
    twice = merge_plain([plain, plain, empty()])
    assert twice["count"] == 4
    assert twice["children"]["0"]["children"]["1"]["children"]["elsewhere"]["count"] == 2
    assert plain["count"] == 2  # as it was


def test_a_history_keeps_to_its_bound() -> None:
    history = History(slice_s=1.0, limit=10)
    for second in range(1000):
        history.add(float(second), "a" if second % 2 else "b", ["f"])
    assert len(history.slices) <= 10
    assert history.select(None, None, None).count == 1000
    assert history.select(None, None, "a").count == 500
    assert history.select(999.0, None, None).count < 20
    history.add(5.0, "a", ["f"])  # the clock was set back
    assert history.select(None, None, None).count == 1001


# --- logs and versions


def test_logs(client: Client) -> None:
    def says(worker: Worker) -> None:
        logging.getLogger("jupyterfut.worker").warning("worker %s is content", worker.name)
        logging.getLogger("jupyterfut.scheduler").warning("the scheduler listens")

    client.run(says)
    one, two = client.nthreads()
    logs = client.get_worker_logs()
    assert set(logs) == {one, two}
    texts = [text for _, text in logs[one]]
    assert any("worker 0 is content" in text for text in texts)
    assert not any("listens" in text for text in texts)
    ((level, text),) = client.get_worker_logs(n=1, workers="1")[two]
    assert level == "WARNING"
    assert "content" in text
    assert client.get_worker_logs(n=0) == {one: [], two: []}
    assert "the scheduler listens" in client.get_scheduler_logs(n=1)[0][1]
    with pytest.raises(ValueError, match="number of lines"):
        client.get_worker_logs(n=-1)
    with pytest.raises(ValueError, match="number of lines"):
        client.get_scheduler_logs(n="all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no worker matches nobody"):
        client.get_worker_logs(workers="nobody")


def test_warnings_still_reach_stderr(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers = root.handlers[:]
    root.handlers.clear()  # as in a program that has set up nothing
    try:
        logging.getLogger("jupyterfut.worker").warning("nearly out of paper")
        logging.getLogger("jupyterfut.worker").info("all is well")
    finally:
        root.handlers[:] = handlers
    assert capsys.readouterr().err == "nearly out of paper\n"


def test_no_handler_stays_behind() -> None:
    before = list(logging.getLogger("jupyterfut").handlers)
    with Client(processes=False, n_workers=1, set_as_default=False):
        assert len(logging.getLogger("jupyterfut").handlers) == len(before) + 1
    assert logging.getLogger("jupyterfut").handlers == before


def test_versions(client: Client) -> None:
    found = client.get_versions(check=True, packages=["pytest", "no-such-thing"])
    assert set(found) == {"client", "scheduler", "workers"}
    assert set(found["workers"]) == set(client.nthreads())
    for facts in (found["client"], found["scheduler"], *found["workers"].values()):
        assert facts["packages"]["jupyterfut"] == jupyterfut.__version__
        assert facts["packages"]["pytest"] == pytest.__version__
        assert facts["packages"]["no-such-thing"] is None
        assert facts["host"]["OS"]


def test_versions_that_differ() -> None:
    def of(**packages: str) -> dict[str, Any]:
        return {"host": {}, "packages": {"python": "3.12.1", "jupyterfut": "1", "msgpack": "1", "cloudpickle": "3", **packages}}

    same = {"client": of(), "scheduler": of(), "workers": {"w": of(python="3.12.9")}}
    assert mismatches(same, []) == ""
    assert mismatches({**same, "workers": {"w": of(numpy="2")}}, []) == ""  # not loaded elsewhere
    assert "python: client 3.12.1, scheduler 3.12.1, w 3.11.0" in mismatches({**same, "workers": {"w": of(python="3.11.0")}}, [])
    assert "numpy" in mismatches({**same, "client": of(numpy="1"), "workers": {"w": of(numpy="2")}}, [])
    assert "not installed" in mismatches({**same, "workers": {"w": of(mine="2")}}, ["mine"])


# --- what a task finds at its worker


def test_what_a_worker_offers_its_tasks(client: Client) -> None:
    def looks() -> dict[str, Any]:
        worker = get_worker()
        worker.visits = getattr(worker, "visits", 0) + 1
        Path(worker.local_directory, "note").write_text("x")
        return {
            "name": worker.name, "address": worker.address, "nthreads": worker.nthreads, "task": worker.get_current_task(), "visits": worker.visits,
            "same client": worker.client is get_client(), "plugins": worker.plugins, "scheduler": worker.scheduler_address,
        }  # fmt: skip

    client.submit(looks, workers="1", key="first").result()
    found = client.submit(looks, workers="1", key="second").result()
    assert found == {
        "name": "1", "address": list(client.nthreads())[1], "nthreads": 1, "task": "second", "visits": 2, "same client": True, "plugins": {},
        "scheduler": client.address,
    }  # fmt: skip


def test_all_of_it_asynchronously() -> None:
    async def main() -> None:
        async with Scheduler(port=0) as s, Worker(s.address, nthreads=1, name="a"), Client(s.address, asynchronous=True) as client:
            await client.submit(busy, 1.0)
            assert (await client.profile())["count"] > 0
            assert await client.call_stack() == {}
            assert isinstance(await client.get_scheduler_logs(), list)
            assert len(await client.get_worker_logs()) == 1
            assert "client" in await client.get_versions()
            assert (await client.scheduler_info())["address"] == s.address

    asyncio.run(main())
