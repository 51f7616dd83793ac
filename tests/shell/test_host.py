"""The loop's own thread."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest

from jupyterfut import errors
from jupyterfut.errors import ClosedError
from jupyterfut.runtime.host import LoopThread


@pytest.fixture(params=[True, False], ids=["uvloop", "asyncio"])
def host(request: pytest.FixtureRequest) -> Iterator[LoopThread]:
    host = LoopThread("test", uvloop=request.param)
    host.start()
    yield host
    host.stop()


async def now() -> str:
    return threading.current_thread().name


async def forever() -> NoReturn:
    await asyncio.Event().wait()
    raise AssertionError("never")


def test_it_runs_coroutines_elsewhere(host: LoopThread) -> None:
    assert host.run(now()) == "test"
    host.start()  # again, to no effect


def test_errors_and_timeouts_come_back(host: LoopThread) -> None:
    async def fail() -> None:
        raise KeyError("mine")

    async def time_out() -> None:
        raise TimeoutError("the coroutine's own")

    with pytest.raises(KeyError, match="mine"):
        host.run(fail())
    with pytest.raises(TimeoutError, match="own"):
        host.run(time_out(), timeout_s=10)
    before = time.monotonic()
    with pytest.raises(errors.TimeoutError, match=r"within 0\.05 s"):
        host.run(forever(), timeout_s=0.05)
    assert time.monotonic() - before < 5


def test_calls_keep_their_order_and_are_made_in_batches(host: LoopThread) -> None:
    seen: list[int] = []
    done = threading.Event()
    blocked = threading.Event()
    loop = host.loop
    host.loop = counting = Counting(loop)  # type: ignore[assignment]  # a stand-in
    try:
        host.call_soon(blocked.wait)
        for i in range(10_000):
            host.call_soon(seen.append, i)
        host.call_soon(done.set)
        blocked.set()
        assert done.wait(10)
    finally:
        host.loop = loop
    assert seen == list(range(10_000))
    assert counting.wakes <= 2


class Counting:
    """The loop, with its wake-ups counted."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.wakes = 0

    def call_soon_threadsafe(self, function: Callable[..., object]) -> None:
        self.wakes += 1
        self.loop.call_soon_threadsafe(function)


def test_many_threads(host: LoopThread) -> None:
    seen: list[tuple[int, int]] = []

    def work(number: int) -> None:
        for i in range(500):
            host.call_soon(seen.append, (number, i))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    host.run(now())
    assert sorted(seen) == [(n, i) for n in range(8) for i in range(500)]
    assert [i for n, i in seen if n == 3] == list(range(500))


def test_one_bad_call_stops_no_other(host: LoopThread, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[int] = []
    host.call_soon(lambda: 1 / 0)
    host.call_soon(seen.append, 1)
    host.run(now())
    assert seen == [1]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_blocking_in_the_loops_thread_is_refused(host: LoopThread) -> None:
    async def inside() -> None:
        host.run(now())

    with pytest.raises(RuntimeError, match="use await"):
        host.run(inside())


def test_stop_cancels_what_runs(host: LoopThread) -> None:
    cancelled = threading.Event()

    async def stubborn() -> None:
        try:
            await forever()
        finally:
            cancelled.set()

    host.call_soon(lambda: setattr(host, "task", host.loop.create_task(stubborn())))
    waiter = threading.Thread(target=lambda: pytest.raises(ClosedError, host.run, forever()))
    waiter.start()
    while len(host.run(tasks())) < 3:
        pass
    host.stop()
    waiter.join(10)
    assert not waiter.is_alive()
    assert cancelled.is_set()
    assert host.loop.is_closed()
    host.stop()
    host.call_soon(print, "nobody")
    with pytest.raises(ClosedError):
        host.run(now())
    with pytest.raises(ClosedError):
        host.start()


async def tasks() -> list[object]:
    return list(asyncio.all_tasks())


def test_it_can_stop_itself(host: LoopThread) -> None:
    host.call_soon(host.stop)
    assert host._thread is not None
    host._thread.join(10)
    assert host.loop.is_closed()


def test_never_started() -> None:
    host = LoopThread("idle")
    with pytest.raises(ClosedError):
        host.run(now())
    host.stop()
    assert "stopped" in repr(host)
