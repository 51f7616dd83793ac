"""Clients inside tasks, `secede` and `rejoin`, and which client is the current one."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from jupyterfut import (
    Client,
    Future,
    as_completed,
    default_client,
    fire_and_forget,
    get_client,
    get_worker,
    local_client,
    local_executor,
    rejoin,
    secede,
    wait,
    worker_client,
)


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(processes=False, n_workers=1, threads_per_worker=2) as client:
        yield client


@pytest.fixture
def narrow() -> Iterator[Client]:
    """One thread only: whoever waits in it without giving it back waits for ever."""
    with Client(processes=False, n_workers=1, threads_per_worker=1) as client:
        yield client


def inc(x: int) -> int:
    return x + 1


def fib(n: int) -> int:
    if n < 2:
        return n
    client = get_client()
    a, b = client.submit(fib, n - 1), client.submit(fib, n - 2)
    secede()
    values = client.gather([a, b])
    rejoin()
    return sum(values)


def fib_worker_client(n: int) -> int:
    if n < 2:
        return n
    with worker_client() as client:
        a, b = client.submit(fib_worker_client, n - 1), client.submit(fib_worker_client, n - 2)
        return sum(client.gather([a, b]))


def fib_blocking(n: int) -> int:
    if n < 2:
        return n
    client = get_client()
    a, b = client.submit(fib_blocking, n - 1), client.submit(fib_blocking, n - 2)
    return a.result() + b.result()


@pytest.mark.parametrize("func", [fib, fib_worker_client, fib_blocking])
def test_fib_of_100(client: Client, func: Any) -> None:
    assert client.submit(func, 100).result(timeout=60) == 354224848179261915075


def test_waiting_in_any_way_never_deadlocks(narrow: Client) -> None:
    def waits_for_others(how: str) -> Any:
        client = get_client()
        futures = client.map(inc, range(3))
        if how == "gather":
            return client.gather(futures)
        if how == "wait":
            return [future.result() for future in sorted(wait(futures).done, key=lambda future: future.result())]
        if how == "as_completed":
            return sorted(result for _, result in as_completed(futures, with_results=True))
        if how == "exception":
            return [future.exception() or future.result() for future in futures]
        if how == "scatter":
            return client.gather([client.submit(inc, future) for future in client.scatter([0, 1, 2])])
        return client.sync(_gather, futures)

    for how in ("gather", "wait", "as_completed", "exception", "scatter", "sync"):
        assert narrow.submit(waits_for_others, how).result(timeout=20) == [1, 2, 3], how


async def _gather(futures: list[Future]) -> Any:
    return [await future for future in futures]


def test_the_client_inside_a_task_costs_no_connection(client: Client) -> None:
    def which() -> Any:
        one, two = get_client(), get_client()
        return one is two, one.address, get_worker().address, isinstance(one, Client), one.futures

    same, address, worker, is_client, _ = client.submit(which).result(10)
    assert (same, address, is_client) == (True, client.address, True)
    assert worker in client.nthreads()
    assert client.scheduler_info()["clients"] == 2  # ours, and the one that all tasks share


def test_a_future_made_in_a_task_is_returned_and_outlives_it(client: Client) -> None:
    def make() -> Future:
        return get_client().submit(inc, 41)

    inner = client.submit(make, pure=False).result(10)
    assert inner.client is client
    assert inner.result(10) == 42
    nested = client.submit(lambda: {"deep": [get_client().submit(inc, 1)]}, pure=False).result(10)
    assert nested["deep"][0].result(10) == 2


def test_a_future_inside_an_opaque_argument_arrives_as_a_future(client: Client) -> None:
    class Box:
        def __init__(self, future: Future) -> None:
            self.future = future

    def open_box(box: Box) -> Any:
        return type(box.future).__name__, box.future.result()

    assert client.submit(open_box, Box(client.submit(inc, 1))).result(10) == ("Future", 2)


def test_fire_and_forget_from_a_task(client: Client) -> None:
    done = threading.Event()

    def task() -> None:
        fire_and_forget(get_client().submit(done.set, pure=False))

    client.submit(task, pure=False).result(10)
    assert done.wait(10)


def test_the_older_names() -> None:
    assert local_client is worker_client
    assert local_executor is worker_client


def test_outside_of_tasks() -> None:
    for call in (secede, rejoin, get_worker):
        with pytest.raises(ValueError, match="inside tasks"):
            call()
    with pytest.raises(ValueError, match="inside tasks"), worker_client():
        pass
    for call in (default_client, get_client):
        with pytest.raises(ValueError, match="there is no client"):
            call()


def test_the_current_client_is_a_stack_local_to_thread_and_task(client: Client) -> None:
    with Client(client.cluster) as newer:
        assert default_client() is newer
        with client.as_current():
            assert default_client() is client
            with newer.as_current():
                assert get_client() is newer
            assert get_client() is client
            elsewhere: list[Client] = []
            thread = threading.Thread(target=lambda: elsewhere.append(default_client()))
            thread.start()
            thread.join()
            assert elsewhere == [newer]

        async def one(which: Client, order: list[Client]) -> None:
            with which.as_current():
                await asyncio.sleep(0)
                order.append(default_client())

        async def both() -> list[Client]:
            order: list[Client] = []
            await asyncio.gather(one(client, order), one(newer, order))
            return order

        assert asyncio.run(both()) == [client, newer]
        assert contextvars.copy_context().run(default_client) is newer
    assert default_client() is client
    with Client(client.cluster, set_as_default=False):
        assert default_client() is client


def test_as_current_counts_inside_tasks_too(client: Client) -> None:
    def task() -> bool:
        inner = get_client()
        with inner.as_current():
            return default_client() is inner and get_client() is inner

    assert client.submit(task).result(10)


def test_a_coroutine_function_is_a_task_too(client: Client) -> None:
    async def task(x: int) -> Any:
        inner = get_client()
        return await inner.gather(inner.map(inc, range(x)))

    assert client.submit(task, 3).result(10) == [1, 2, 3]


def test_a_client_that_a_function_names_is_the_one_at_its_arrival(client: Client) -> None:
    def task(c: Client) -> int:
        return c.submit(inc, 1).result()

    assert client.submit(task, client).result(10) == 2


def test_functions_that_are_passed_by_reference_do_not_pile_up() -> None:
    with Client(processes=False, n_workers=1) as client:
        box = [0]  # a closure over something mutable: passed as it is, each with an id of its own
        kept = [client.submit(lambda i=i: box[0] + i, pure=False) for i in range(300)]
        assert client.gather(kept) == list(range(300))
        assert client.scheduler_info()["functions"] <= 300
        del kept
        client.scheduler_info()  # behind it the deaths have been told
        assert client.scheduler_info()["functions"] <= 65
        first = client.submit(len, [1])
        assert first.result() == 1


