"""`replicate`, `rebalance` and `retire_workers` as users call them, on real workers in this process and over TCP."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from jupyterfut import Client, Scheduler, Worker, errors
from jupyterfut.client.futures import Future

LARGE = 200_000


@asynccontextmanager
async def cluster(workers: int) -> AsyncIterator[tuple[Client, list[Worker]]]:
    """A scheduler with workers a, b, c, ... over TCP, and an asynchronous client."""
    async with Scheduler(port=0) as scheduler:
        made = [Worker(scheduler.address, nthreads=1, name=name) for name in "abcdef"[:workers]]
        await asyncio.gather(*(worker.start() for worker in made))
        try:
            async with Client(scheduler.address, asynchronous=True) as client:
                yield client, made
        finally:
            await asyncio.gather(*(worker.close() for worker in made))


async def holders(client: Client, future: Future) -> int:
    return len((await client.who_has(future))[future.key])


def test_asynchronous_clients_await_them() -> None:
    async def main() -> None:
        async with cluster(3) as (client, workers):
            big = client.submit(bytes, LARGE)
            assert await client.replicate(big) is None
            assert await holders(client, big) == 3
            await client.replicate([big], n=1)
            assert await holders(client, big) == 1
            data = await client.scatter([bytes(LARGE + i) for i in range(6)], workers="a")
            assert await client.rebalance(data) is None
            held = await client.has_what()
            assert all(len(keys) >= 2 for keys in held.values())
            gone = await client.retire_workers(["a"])
            assert [facts["name"] for facts in gone.values()] == ["a"]
            assert [len(value) for value in await client.gather(data)] == [LARGE + i for i in range(6)]
            await workers[0].finished()
            assert workers[0].status == "closed"

    asyncio.run(main())


def test_workers_end_when_they_have_retired_unless_told_otherwise() -> None:
    async def main() -> None:
        async with cluster(3) as (client, workers):
            await client.retire_workers("a", close_workers=False)
            assert workers[0].status == "running"
            futures = client.map(lambda i: i, range(50))
            await client.gather(futures)
            assert (await client.has_what("a"))[workers[0].address] == []
            gone = await client.retire_workers(n=1)
            assert len(gone) == 1
            with pytest.raises(ValueError, match="nobody"):
                await client.retire_workers(["nobody"])

    asyncio.run(main())


def test_running_tasks_may_end() -> None:
    async def main() -> None:
        go = threading.Event()
        async with cluster(2) as (client, workers):
            started = asyncio.Event()
            loop = asyncio.get_running_loop()

            def wait() -> str:
                loop.call_soon_threadsafe(started.set)
                go.wait()
                return "done"

            local = _Registry.keep(wait)
            future = client.submit(_Registry.call, local, workers="a", allow_other_workers=True, pure=False)
            await started.wait()
            retiring = asyncio.ensure_future(client.retire_workers("a"))
            await client.submit(abs, -1)
            assert not retiring.done()
            go.set()
            assert list(await retiring) == [workers[0].address]
            assert await future == "done"

    asyncio.run(main())


class _Registry:
    """Functions that tasks of this process find by number, so that they need not be pickled."""

    kept: dict[int, object] = {}

    @classmethod
    def keep(cls, function: object) -> int:
        cls.kept[len(cls.kept)] = function
        return len(cls.kept) - 1

    @staticmethod
    def call(number: int) -> object:
        return _Registry.kept[number]()  # type: ignore[operator]  # a function of the test


def test_synchronous_clients_block() -> None:
    with Client(n_workers=2, threads_per_worker=1, processes=False) as client:
        data = client.scatter(bytes(LARGE), workers="0")
        client.replicate([data])
        assert len(client.who_has(data)[data.key]) == 2
        client.rebalance()
        assert next(iter(client.retire_workers(names=[0]).values()))["name"] == "0"
        assert len(data.result()) == LARGE


def test_the_last_worker_does_not_retire_with_data_on_it() -> None:
    async def main() -> None:
        async with cluster(1) as (client, workers):
            data = await client.scatter(bytes(LARGE))
            with pytest.raises(errors.NotRetired, match="no other worker"):
                await client.retire_workers("a")
            assert len(await data) == LARGE
            assert await client.submit(len, data) == LARGE
            assert workers[0].status == "running"

    asyncio.run(main())


def test_failed_futures_and_wrong_arguments_say_so() -> None:
    with Client(n_workers=1, threads_per_worker=1, processes=False) as client:
        with pytest.raises(ZeroDivisionError):
            client.replicate(client.submit(divmod, 1, 0))
        future = client.submit(abs, -1)
        for wrong in (0, -1, "2", True):
            with pytest.raises(ValueError, match="n is a whole number"):
                client.replicate(future, n=wrong)  # type: ignore[arg-type]  # that is the point
        with pytest.raises(ValueError, match="nowhere"):
            client.replicate(future, workers="nowhere")
        with pytest.raises(TypeError, match="takes futures"):
            client.rebalance(7)
        with pytest.raises(ValueError, match="minimum"):
            client.retire_workers(minimum=-1)


def test_a_task_does_not_retire_its_own_worker() -> None:
    def retire(client_name: str) -> str:
        from jupyterfut import get_client, get_worker

        try:
            get_client().retire_workers(str(get_worker().name))
        except ValueError as error:
            return str(error)
        return "it did"

    with Client(n_workers=2, threads_per_worker=1, processes=False) as client:
        assert "own worker" in client.submit(retire, "x", pure=False).result()
        gone = client.submit(lambda: len(__import__("jupyterfut").get_client().retire_workers(n=2)), pure=False).result()
        assert gone == 1


def test_data_is_brought_to_somebody_else_when_a_worker_leaves_meanwhile() -> None:
    async def main() -> None:
        async with cluster(2) as (client, workers):
            plan = client._scattering._plan

            async def late_plan(*args: Any) -> Any:
                planned = await plan(*args)
                client._scattering._plan = plan  # type: ignore[method-assign]  # only once
                await client.retire_workers("a", close_workers=False)
                return [[workers[0].address] for _ in planned]

            client._scattering._plan = late_plan  # type: ignore[method-assign]  # it learns of the workers, and one of them leaves
            data = await client.scatter(np.zeros(LARGE))
            assert (await client.who_has(data))[data.key] == [workers[1].address]
            await client.retire_workers("a")
            assert len(await data) == LARGE

    asyncio.run(main())
