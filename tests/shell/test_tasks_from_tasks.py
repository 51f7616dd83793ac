"""Tasks that submit and wait for tasks, on a real scheduler and a worker with one thread: who waits gives its place away, so nothing ever hangs."""

from __future__ import annotations

import asyncio

import pytest

from jupyterfut.client.client import Client
from jupyterfut.client.current import get_client, get_worker, rejoin, secede
from jupyterfut.runtime.scheduler_server import Scheduler
from jupyterfut.runtime.worker_server import Worker

HOSTS = ["127.0.0.1", "inproc"]


def inc(x):
    return x + 1


def fib(n):
    if n < 2:
        return n
    client = get_client()
    return sum(client.gather([client.submit(fib, n - 1), client.submit(fib, n - 2)]))


async def inc_twice(x):
    client = get_client()
    return await client.submit(inc, await client.submit(inc, x))


def seceding(x):
    secede()
    value = get_client().submit(inc, x).result()
    rejoin()
    return value


def several(n):
    return get_client().map(inc, range(n))


def give_up(x):
    client = get_client()
    client.submit(inc, x)  # nobody holds it: it may run or not, and hangs nobody
    return get_worker().name


def run(story, host, nthreads=1):
    async def play():
        async with Scheduler(host=host) as s, Worker(s.address, nthreads=nthreads, name="w") as w, Client(s.address, asynchronous=True) as client:
            async with asyncio.timeout(60):
                await story(client, w)

    asyncio.run(play())


@pytest.mark.parametrize("host", HOSTS)
def test_a_deep_recursion_on_one_thread(host):
    async def story(client, _):
        assert await client.submit(fib, 60) == 1548008755920

    run(story, host)


@pytest.mark.parametrize("host", HOSTS)
def test_an_async_task_awaits_futures_on_the_only_thread(host):
    async def story(client, _):
        assert await client.gather(client.map(inc_twice, range(5))) == [2, 3, 4, 5, 6]

    run(story, host)


@pytest.mark.parametrize("host", HOSTS)
def test_seceded_tasks_come_back(host):
    async def story(client, _):
        assert await client.gather(client.map(seceding, range(20))) == list(range(1, 21))

    run(story, host)


@pytest.mark.parametrize("host", HOSTS)
def test_a_result_with_futures_keeps_them_alive(host):
    async def story(client, _):
        futures = await client.submit(several, 50)
        assert await client.gather(futures) == list(range(1, 51))

    run(story, host)


@pytest.mark.parametrize("host", HOSTS)
def test_a_future_dropped_inside_a_task(host):
    async def story(client, _):
        assert await client.gather(client.map(give_up, range(30))) == ["w"] * 30

    run(story, host)


@pytest.mark.parametrize("host", HOSTS)
def test_everything_is_forgotten_in_the_end(host):
    async def story(client, worker):
        done = client.submit(fib, 12)
        assert await done == 144
        futures = await client.submit(several, 5)
        await client.gather(futures)
        done.release()
        del done, futures
        client.submit(inc, -1).release()
        while worker.machine.memory.nbytes or worker.machine.tasks:
            await asyncio.sleep(0)

    run(story, host)
