"""The asynchronous client, in the caller's own loop, over real sockets; and what belongs to the loop of a synchronous one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from jupyterfut import CancelledError, Client, Scheduler, TimeoutError, Worker, as_completed, default_client, get_client, wait  # noqa: A004


def inc(x: int) -> int:
    return x + 1


def div(x: int, y: int) -> float:
    return x / y


def run(work: Callable[[Client], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with Scheduler(port=0) as s, Worker(s.address, nthreads=2, token=s.token), Client(s.address, asynchronous=True) as client:
            return await work(client)

    return asyncio.run(main())


def test_everything_is_awaited() -> None:
    async def work(client: Client) -> None:
        future = client.submit(inc, 1)
        assert await future == 2
        assert await future.result() == 2
        assert await future == 2  # twice
        assert await client.gather(client.map(inc, range(5))) == [1, 2, 3, 4, 5]
        assert [await value for value in client.gather(iter(client.map(inc, range(2))))] == [1, 2]
        bad = client.submit(div, 1, 0)
        with pytest.raises(ZeroDivisionError):
            await bad
        assert isinstance(await bad.exception(), ZeroDivisionError)
        assert await bad.traceback() is not None
        done, not_done = await wait([future, bad])
        assert (len(done), len(not_done)) == (2, 0)
        assert [f async for f in as_completed([future])] == [future]
        scattered = await client.scatter([1, 2])
        assert await client.gather(scattered) == [1, 2]
        assert len(await client.nthreads()) == 1
        assert "workers" in await client.scheduler_info()
        await client.wait_for_workers(1)
        assert "inc" in repr(future)
        assert client.address in repr(client)
        assert client.asynchronous

    run(work)


def test_cancel_retry_and_timeouts() -> None:
    async def work(client: Client) -> None:
        never = client.submit(inc, 1, workers="nobody")
        below = client.submit(inc, never)
        with pytest.raises(TimeoutError):
            await never.result(timeout="10 ms")
        with pytest.raises(TimeoutError):
            await wait(never, timeout=0)
        with pytest.raises(TimeoutError):
            await client.gather([never], timeout=0.01)
        with pytest.raises(TimeoutError):
            await wait([never, below], timeout=0.01, return_when="FIRST_COMPLETED")
        await asyncio.sleep(0)
        never.cancel()  # done at once, awaited or not
        assert never.cancelled()
        await client.cancel(below)
        assert below.cancelled()
        with pytest.raises(CancelledError):
            await below
        bad = client.submit(div, 1, 0)
        with pytest.raises(ZeroDivisionError):
            await bad
        await bad.retry()
        with pytest.raises(ZeroDivisionError):
            await bad

    run(work)


def test_callbacks_run_on_the_loop() -> None:
    async def work(client: Client) -> None:
        seen: list[Any] = []
        future = client.submit(inc, 1)
        future.add_done_callback(lambda f: seen.append((f, threading.current_thread())))
        await future
        future.add_done_callback(lambda f: seen.append((f, threading.current_thread())))
        await wait(client.submit(inc, 2))
        assert seen == [(future, threading.current_thread())] * 2

    run(work)


def test_a_client_is_awaited_or_entered_and_closed_twice() -> None:
    async def main() -> None:
        async with Scheduler(port=0) as s, Worker(s.address, nthreads=1, token=s.token):
            client = await Client(s.address, asynchronous=True)
            assert await client is client
            assert default_client() is client
            assert get_client() is client
            assert await client.submit(inc, 1) == 2
            await client.close()
            await client.close()
            never = Client(s.address, asynchronous=True)
            await never.close()
            sync_client_error = pytest.raises(TypeError, match="async with")
            with sync_client_error, Client(s.address, asynchronous=True):
                pass

    asyncio.run(main())


def test_calls_before_the_client_is_awaited_are_sent_when_it_is() -> None:
    async def main() -> None:
        async with Scheduler(port=0) as s, Worker(s.address, nthreads=1, token=s.token):
            client = Client(s.address, asynchronous=True)
            future = client.submit(inc, 1)
            async with client:
                assert await future == 2

    asyncio.run(main())


def test_a_whole_cluster_in_the_callers_loop() -> None:
    async def main() -> None:
        async with Client(asynchronous=True, processes=False, threads_per_worker=1) as client:
            assert await client.submit(inc, 1) == 2
            future = client.submit(inc, 1)
        assert future.cancelled()

    asyncio.run(main())


def test_a_synchronous_client_runs_coroutines_on_its_loop() -> None:
    with Client(processes=False, threads_per_worker=1) as client:

        async def work(x: int, *, y: int) -> Any:
            assert client.asynchronous
            assert get_client() is client
            assert asyncio.get_running_loop() is client.loop
            await asyncio.sleep(0)
            values = await client.gather([client.submit(inc, x), client.submit(inc, y)])
            assert await client.submit(inc, 5).result() == 6
            await client.cancel(client.submit(inc, 1, workers="nobody"))
            assert await client.scatter([1]) is not None
            return values

        assert client.sync(work, 1, y=2) == [2, 3]
        assert not client.asynchronous

        async def broken() -> None:
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            client.sync(broken)
        with pytest.raises(TimeoutError):
            client.sync(asyncio.sleep, 20, callback_timeout=0.02)
        with pytest.raises(TypeError, match="not awaited"):
            asyncio.run(_await(client))


async def _await(client: Client) -> None:
    await client


def test_closing_on_the_own_loop_is_awaited() -> None:
    client = Client(processes=False, threads_per_worker=1)

    async def work() -> None:
        await client.close()

    client.sync(work)
    assert client.status == "closed"
