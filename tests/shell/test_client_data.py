"""`gather` and `scatter`: shapes, errors, large values straight from the workers. Over real sockets, in one loop, and by reference."""

from __future__ import annotations

import asyncio
from collections import namedtuple
from collections.abc import Iterator
from typing import Any

import pytest

from jupyterfut import Client, Future, Scheduler, TimeoutError, Worker  # noqa: A004
from jupyterfut.errors import ConnectionFailed, LostData, SerializationError

numpy = pytest.importorskip("numpy")

Pair = namedtuple("Pair", "a b")  # the plain kind is what users make


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(processes=False, n_workers=2, threads_per_worker=1) as client:
        yield client


def inc(x: int) -> int:
    return x + 1


def div(x: int, y: int) -> float:
    return x / y


def test_gather_keeps_the_shape(client: Client) -> None:
    one, two = client.map(inc, [0, 1])
    assert client.gather(one) == 1
    assert client.gather([one, two, one]) == [1, 2, 1]
    assert client.gather((one, two)) == (1, 2)
    assert client.gather({one, two}) == {1, 2}
    assert client.gather({"a": one, "b": [two, {"c": one}]}) == {"a": 1, "b": [2, {"c": 1}]}
    assert client.gather(Pair(one, two)) == Pair(1, 2)
    assert client.gather([]) == []
    assert client.gather([one, "no future", 5]) == [1, "no future", 5]
    values = client.gather(future for future in [one, two])
    assert not isinstance(values, list)
    assert list(values) == [1, 2]


def test_gather_raises_or_skips(client: Client) -> None:
    good, bad = client.submit(inc, 1), client.submit(div, 1, 0)
    for nested in ([good, bad], {"x": bad}, (bad,)):
        with pytest.raises(ZeroDivisionError):
            client.gather(nested)
    assert client.gather([good, bad], errors="skip") == [2]
    assert client.gather({"good": good, "bad": bad}, errors="skip") == {"good": 2}
    assert client.gather([[bad], (good, bad)], errors="skip") == [[], (2,)]


def test_gather_raises_as_soon_as_one_fails(client: Client) -> None:
    never = client.submit(inc, 1, workers="nobody")
    bad = client.submit(div, 1, 0)
    with pytest.raises(ZeroDivisionError):
        client.gather([never, bad], timeout=20)
    with pytest.raises(ZeroDivisionError):
        client.gather([never, bad], timeout=20)  # also when it has failed before
    with pytest.raises(TimeoutError):
        client.gather([never], timeout="10ms")
    assert not never._record.waiters


def test_scatter_keeps_the_kind(client: Client) -> None:
    one = client.scatter(5)
    assert isinstance(one, Future)
    assert (one.status, one.type, one.result()) == ("finished", "int", 5)
    listed = client.scatter([1, 2])
    assert isinstance(listed, list)
    assert client.gather(listed) == [1, 2]
    assert client.gather(client.scatter((1, 2))) == (1, 2)
    assert client.gather(client.scatter({1, 2})) == {1, 2}
    named = client.scatter({"x": 1, "y": [2]})
    assert {name: future.key for name, future in named.items()} == {"x": "x", "y": "y"}
    assert client.gather(named) == {"x": 1, "y": [2]}
    lazily = client.scatter(i for i in range(3))
    assert not isinstance(lazily, list)
    assert client.gather(list(lazily)) == [0, 1, 2]
    assert client.gather(client.scatter(range(3))) == [0, 1, 2]
    assert client.scatter([]) == []


def test_equal_values_share_a_key_that_begins_with_their_type(client: Client) -> None:
    a, b = client.scatter([3, 3])
    assert a.key == b.key
    assert a.key.startswith("int-")
    c, d = client.scatter([3, 3], hash=False)
    assert c.key != d.key
    assert c.key.startswith("int-")
    assert client.scatter(numpy.arange(3)).key.startswith("ndarray-")


def test_scattered_data_is_for_tasks(client: Client) -> None:
    data = client.scatter(list(range(5)))
    assert client.submit(sum, data).result(10) == 10
    assert client.submit(sum, client.scatter({"all": [1, 2, 3]})["all"]).result(10) == 6
    with pytest.raises(TypeError, match="on the cluster already"):
        client.scatter(data[0])
    with pytest.raises(TypeError, match="strings, not 1"):
        client.scatter({1: 2})


def test_scattered_keys_are_released_with_their_futures(client: Client) -> None:
    future = client.scatter("some text", hash=False)
    key = future.key
    assert client.submit(len, future).result(10) == 9
    del future
    assert key not in client.futures or client.who_has([key]) == {key: []}


def make(n: int) -> Any:
    return numpy.ones(n)


async def _cluster(work: Any, workers: int = 2) -> None:
    async with Scheduler(port=0) as s:
        async with Worker(s.address, nthreads=1, name="a", token=s.token) as a, Worker(s.address, nthreads=1, name="b", token=s.token) as b:
            async with Client(s, asynchronous=True) as client:
                await client.wait_for_workers(2, timeout=10)
                await work(client, a, b)


def test_large_results_come_from_the_workers() -> None:
    async def work(client: Client, a: Worker, b: Worker) -> None:
        x = client.submit(make, 100_000, workers="a")
        y = client.submit(make, 200_000, workers=["b"])
        small = client.submit(inc, 1)
        values = await client.gather([x, y, small, x])
        assert [getattr(value, "size", value) for value in values] == [100_000, 200_000, 2, 100_000]
        assert x._record.payload is None
        assert (await x).sum() == 100_000
        assert await client.who_has([x, y]) == {x.key: [a.address], y.key: [b.address]}
        assert x.key in (await client.has_what("a"))[a.address]
        assert x.nbytes >= 800_000

    asyncio.run(_cluster(work))


def test_large_data_is_scattered_to_the_workers_round_robin_and_to_all() -> None:
    async def work(client: Client, a: Worker, b: Worker) -> None:
        first, second = await client.scatter([numpy.zeros(50_000), numpy.ones(50_000)])
        places = await client.who_has([first, second])
        assert sorted(where for (where,) in places.values()) == sorted([a.address, b.address])
        assert await client.submit(numpy.sum, second) == 50_000
        everywhere = await client.scatter(numpy.arange(50_000), broadcast=True)
        assert sorted((await client.who_has(everywhere))[everywhere.key]) == sorted([a.address, b.address])
        there = await client.scatter({"there": numpy.arange(60_000)}, workers="b")
        assert await client.who_has(["there"]) == {"there": [b.address]}
        assert (await there["there"])[-1] == 59_999
        with pytest.raises(ValueError, match="nobody"):
            await client.scatter(numpy.arange(70_000), workers="nobody")
        with pytest.raises(SerializationError, match="generator"):
            await client.scatter([(i for i in range(3))])

    asyncio.run(_cluster(work))


def test_what_a_worker_does_not_have_is_reported_and_made_again() -> None:
    async def work(client: Client, a: Worker, b: Worker) -> None:
        x = client.submit(make, 100_000, workers="a")
        await client.gather([x])
        get, asked = client._links.get, []

        async def forgetful(address: Any, keys: Any) -> Any:
            asked.append(address)
            answer = await get(address, keys)
            return answer._replace(keys=[], payloads=[]) if len(asked) == 1 else answer

        client._links.get = forgetful  # type: ignore[method-assign]  # a worker that has lost it
        assert (await x).size == 100_000
        assert len(asked) == 2
        with pytest.raises(LostData, match="cannot be fetched"):

            async def never(address: Any, keys: Any) -> Any:
                raise ConnectionFailed(f"no way to {address}")

            client._links.get = never  # type: ignore[method-assign]  # a network without a way
            await x

    asyncio.run(_cluster(work))


def test_scatter_waits_for_the_first_worker() -> None:
    async def main() -> None:
        async with Scheduler(port=0) as s, Client(s, asynchronous=True) as client:
            with pytest.raises(TimeoutError):
                await client.scatter(numpy.arange(50_000), timeout="20 ms")
            waiting = asyncio.create_task(client.scatter(numpy.arange(50_000), timeout=20))
            async with Worker(s.address, nthreads=1, token=s.token):
                future = await waiting
                assert (await future).size == 50_000

    asyncio.run(main())


def test_what_only_a_dead_worker_held_is_computed_again() -> None:
    async def main() -> None:
        async with Scheduler(port=0) as s, Client(s, asynchronous=True) as client:
            async with Worker(s.address, nthreads=1, name="first", token=s.token):
                x = client.submit(make, 100_000)
                scattered = await client.scatter(numpy.arange(50_000))
                assert (await x).size == 100_000
            async with Worker(s.address, nthreads=1, name="second", token=s.token):
                assert (await x).size == 100_000
                with pytest.raises(LostData, match="ndarray"):
                    await scattered
                assert scattered.status == "lost"
                with pytest.raises(LostData):
                    await client.submit(numpy.sum, scattered)
                again = await client.scatter(numpy.arange(50_000))
                assert (again.key, (await again).size) == (scattered.key, 50_000)

    asyncio.run(main())
