"""Restarts of worker processes: by nannies of the cluster's own host, and by nannies elsewhere; workers that hang, and work that survives."""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyterfut import (
    CancelledError,
    Client,
    KilledWorker,
    Nanny,
    NannyPlugin,
    Scheduler,
    TimeoutError,  # noqa: A004
    get_client,
)
from jupyterfut.config import NannySettings, Settings
from jupyterfut.errors import ConnectionFailed

QUICK = Settings(nanny=NannySettings(close_timeout_s=0.5))


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(n_workers=2, threads_per_worker=1, set_as_default=False, settings=QUICK) as client:
        yield client


def inc(x: int) -> int:
    return x + 1


def wait_for(path: Path) -> None:
    """In a task: until somebody makes the file. Does not poll: the file is a fifo."""
    with open(path, "rb") as file:
        file.read(1)


def pids(client: Client) -> dict[str, int]:
    return {worker["name"]: worker["pid"] for worker in client.scheduler_info()["workers"].values()}


def test_restart_replaces_every_process(client: Client) -> None:
    before = pids(client)
    futures = client.map(inc, range(10))
    scattered = client.scatter([1, 2, 3])
    client.gather(futures)
    client.run(lambda: setattr(os, "left_behind", True))
    client.restart()
    after = pids(client)
    assert set(after) == set(before)
    assert not set(after.values()) & set(before.values())
    assert {future.status for future in [*futures, *scattered]} == {"cancelled"}
    assert list(client.run(lambda: hasattr(os, "left_behind")).values()) == [False, False]
    assert client.gather(client.map(inc, range(10))) == list(range(1, 11))


def test_restart_of_workers_that_hold_the_interpreter(client: Client, tmp_path: Path) -> None:
    before = pids(client)
    fifo = tmp_path / "started"
    os.mkfifo(fifo)
    reader = threading.Thread(target=fifo.read_bytes)
    reader.start()
    hung = client.submit(_hang_once_heard, str(fifo))
    reader.join()
    client.restart()
    assert not set(pids(client).values()) & set(before.values())
    with pytest.raises(CancelledError):
        hung.result()
    assert client.submit(inc, 1).result() == 2


def _hang_once_heard(fifo: str) -> None:
    Path(fifo).write_bytes(b"x")
    ctypes.PyDLL(None).sleep(600)


def test_restarted_tasks_are_not_blamed(client: Client, tmp_path: Path) -> None:
    """The same task is restarted more often than it may die."""
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    task = client.submit(wait_for, fifo)
    for _ in range(5):
        where = [address for address, keys in client.processing().items() if task.key in keys]
        assert client.restart_workers(where) == {where[0]: "OK"}
    assert task.status == "pending"
    fifo.write_bytes(b"x")
    task.result(timeout=30)


def test_a_worker_that_dies_by_itself_is_blamed(client: Client) -> None:
    with pytest.raises(KilledWorker):
        client.submit(os._exit, 3).result(timeout=60)
    client.restart()
    assert client.submit(inc, 1).result() == 2


def test_results_that_only_they_held_are_computed_again(client: Client) -> None:
    large = client.submit(bytes, 200_000)
    assert len(large.result()) == 200_000
    (holder,) = client.who_has([large])[large.key]
    client.restart_workers([holder])
    assert len(client.submit(len, large).result(timeout=30) * "x") == 200_000
    assert holder not in client.nthreads()


def test_restart_with_queues_of_tasks_and_clients_inside(client: Client) -> None:
    def asks(n: int) -> int:
        return sum(get_client().gather(get_client().map(inc, range(n), pure=False)))

    futures = client.map(asks, range(20))
    client.restart()
    assert {future.status for future in futures} == {"cancelled"}
    assert client.submit(asks, 3).result(timeout=30) == 6


def test_restart_that_takes_too_long(client: Client) -> None:
    with pytest.raises(TimeoutError, match="are not back within 0.01 s"):
        client.restart(timeout=0.01)
    client.wait_for_workers(2, timeout=30)
    late = client.restart_workers(list(client.nthreads()), timeout=0.01, raise_for_error=False)
    assert set(late.values()) == {"timed out"}
    client.restart()  # whoever is being restarted already is waited for
    assert client.gather(client.map(inc, range(4))) == [1, 2, 3, 4]


def test_restart_without_waiting(client: Client) -> None:
    before = set(pids(client).values())
    client.restart(wait_for_workers=False)
    client.wait_for_workers(2, timeout=30)
    assert not before & set(pids(client).values())


# --- nannies with a stream of their own


def elsewhere(work: Any) -> Any:
    async def main() -> Any:
        async with Scheduler(port=0) as s:
            async with Nanny(s.address, nthreads=1, name="n", settings=QUICK) as nanny, Client(s.address, asynchronous=True) as client:
                return await work(client, s, nanny)

    return asyncio.run(main())


def test_restart_through_a_nanny_elsewhere() -> None:
    async def work(client: Client, s: Scheduler, nanny: Nanny) -> None:
        before = nanny.pid
        old = client.submit(inc, 1)
        assert await old == 2
        await client.restart()
        assert nanny.pid != before
        assert old.status == "cancelled"
        (worker,) = await client.nthreads()
        assert await client.restart_workers("n") == {worker: "OK"}
        assert await client.submit(inc, 1) == 2

    elsewhere(work)


def test_a_nanny_whose_stream_breaks_connects_again() -> None:
    async def story(client: Client, s: Scheduler, nanny: Nanny) -> None:
        link = nanny._link
        assert link is not None
        while link._stream is None:
            await asyncio.sleep(0)
        first = link._stream
        s._links[next(iter(s.machine.nannies.here.values())).peer].close()  # the scheduler hangs up
        while link._stream is first or link._stream is None or not s.machine.nannies.here:
            await asyncio.sleep(0)
        assert (await client.run(os.getpid, nanny=True)) is not None
        await client.restart()

    elsewhere(story)


def test_run_at_nannies() -> None:
    async def work(client: Client, s: Scheduler, nanny: Nanny) -> None:
        (worker,) = await client.nthreads()
        assert await client.run(os.getpid, nanny=True) == {worker: os.getpid()}
        assert await client.run(lambda dask_worker: dask_worker.name, nanny=True, workers="n") == {worker: "n"}
        answers = await client.run(_fail, nanny=True, on_error="return")
        assert isinstance(answers[worker], ZeroDivisionError)
        assert await client.run(_fail, nanny=True, on_error="ignore") == {}
        with pytest.raises(ZeroDivisionError):
            await client.run(_fail, nanny=True)

    elsewhere(work)


def _fail() -> None:
    raise ZeroDivisionError


class Prepare(NannyPlugin):
    """The next worker process finds a variable."""

    name = "prepare"
    restart = True

    def setup(self, nanny: Nanny) -> None:
        nanny.env["JF_PREPARED"] = "yes"

    def teardown(self, nanny: Nanny) -> None:
        del nanny.env["JF_PREPARED"]


def test_nanny_plugins() -> None:
    async def work(client: Client, s: Scheduler, nanny: Nanny) -> None:
        assert await client.register_plugin(Prepare()) == {nanny.id: {"status": "OK"}}
        assert await client.submit(os.getenv, "JF_PREPARED") == "yes"
        async with Nanny(s.address, nthreads=1, name="late", settings=QUICK) as late:
            while "prepare" not in late.admin.plugins:
                await asyncio.sleep(0)
        await client.unregister_worker_plugin("prepare", nanny=True)
        assert nanny.env == {}
        assert nanny.admin.plugins == {}

    elsewhere(work)


def test_a_nanny_that_ends_while_it_restarts_its_worker() -> None:
    async def work(client: Client, s: Scheduler, nanny: Nanny) -> None:
        restarting = asyncio.ensure_future(client.restart_workers("n", raise_for_error=False))
        while not nanny._replacing:
            await asyncio.sleep(0)
        await nanny.close()
        (text,) = (await restarting).values()
        assert "closed" in text or "gone" in text or "ended" in text
        with pytest.raises((ValueError, ConnectionFailed)):
            await client.restart_workers("n")

    elsewhere(work)
