"""Functions whose call is a submit."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator

import pytest

import jupyterfut
from jupyterfut import Client, Future, task
from jupyterfut.client.task import TaskFunction


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(processes=False, n_workers=2, threads_per_worker=1) as client:
        yield client


@task
def fib(n: int) -> int:
    """The n-th."""
    return n if n < 2 else sum(future.result() for future in (fib(n - 1), fib(n - 2)))


def test_a_call_is_a_submit(client: Client) -> None:
    @client.task
    def inc(x: int, by: int = 1) -> int:
        """One more."""
        return x + by

    future = inc(inc(1), by=10)
    assert isinstance(future, Future)
    assert future.result(20) == 12
    assert future.key.startswith("inc-")
    assert (inc.__name__, inc.__doc__, inc.local(1)) == ("inc", "One more.", 2)
    assert client.gather(inc.map([1, 2, 3])) == [2, 3, 4]


def test_equal_calls_are_one_task(client: Client) -> None:
    @client.task
    def same(x: int) -> int:
        return x

    @client.task(pure=False)
    def fresh(x: int) -> int:
        return x

    assert same(1).key == same(1).key == client.submit(same.local, 1).key
    assert fresh(1).key != fresh(1).key


def test_options_for_all_calls(client: Client) -> None:
    @client.task(workers="1", pure=False)
    def where() -> str:
        return jupyterfut.get_worker().name

    assert where().result(20) == "1"
    assert where.with_options(workers="0")().result(20) == "0"


def test_it_calls_itself_in_tasks(client: Client) -> None:
    assert fib(7).result(30) == 13


def test_it_calls_itself_on_other_processes() -> None:
    with Client(n_workers=1, threads_per_worker=2):

        @task
        def count(n: int) -> int:
            return 0 if n == 0 else count(n - 1).result() + 1

        assert count(4).result(60) == 4


def test_keywords_that_are_called_as_options(client: Client) -> None:
    @client.task
    def say(key: str, workers: int) -> str:
        return f"{key} {workers}"

    assert say(key="k", workers=3).result(20) == "k 3"


def test_of_two_clients_its_own(client: Client) -> None:
    with Client(processes=False) as other:
        assert client.task(abs)(-1).client is client
        assert task(abs)(-1).client is other


def test_as_a_method(client: Client) -> None:
    class Box:
        def __init__(self, x: int) -> None:
            self.x = x

        @task
        def plus(self, y: int) -> int:
            return self.x + y

    assert Box(1).plus(2).result(20) == 3


def test_in_an_asynchronous_client() -> None:
    async def main() -> int:
        async with Client(asynchronous=True, processes=False) as client:
            return await client.task(abs)(-5)

    assert asyncio.run(main()) == 5


def test_it_travels(client: Client) -> None:
    again = pickle.loads(pickle.dumps(fib))
    assert isinstance(again, TaskFunction)
    assert again is fib


def test_what_is_wrong_is_said(client: Client) -> None:
    with pytest.raises(TypeError, match="no option 'worker'"):
        client.task(worker="a")
    with pytest.raises(TypeError, match="takes a function, not 3"):
        task(3)
