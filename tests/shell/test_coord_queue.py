"""Queues and variables as their users meet them, in clusters without processes: order, waiting, giving up, futures inside, and what is wrong."""

from __future__ import annotations

import asyncio
import gc
import pickle
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from coord_stories import HOSTS, play, waiting

from jupyterfut import Client, Event, Future, Queue, TimeoutError, Variable, default_client, get_client  # noqa: A004
from jupyterfut.errors import ClosedError, SerializationError


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(processes=False, n_workers=1, threads_per_worker=1) as client:
        yield client


def inc(x: int) -> int:
    return x + 1


def div(x: int, y: int) -> float:
    return x / y


# --- a queue


def test_first_in_first_out(client: Client) -> None:
    queue = Queue()
    for item in ("a", None, {"b": [1]}):
        queue.put(item)
    assert queue.qsize() == 3
    assert [queue.get() for _ in range(3)] == ["a", None, {"b": [1]}]
    assert queue.qsize() == 0
    assert queue.get(batch=True) == []


def test_batches(client: Client) -> None:
    queue = Queue("numbers")
    for item in range(5):
        queue.put(item)
    assert queue.get(batch=2) == [0, 1]
    assert queue.get(batch=True) == [2, 3, 4]
    queue.put(5)
    with pytest.raises(TimeoutError, match="numbers"):
        queue.get(batch=2, timeout="10 ms")
    assert queue.get(batch=True) == [5]  # nothing was taken


@pytest.mark.parametrize("timeout", [0, "10 ms", timedelta(milliseconds=10), 0.01])
def test_timeouts(client: Client, timeout: Any) -> None:
    queue = Queue("narrow", maxsize=1)
    with pytest.raises(TimeoutError, match="empty"):
        queue.get(timeout=timeout)
    queue.put(1, timeout=timeout)
    with pytest.raises(TimeoutError, match="full"):
        queue.put(2, timeout=timeout)
    assert queue.get(timeout=timeout) == 1
    with pytest.raises(TimeoutError):
        Variable("unset").get(timeout=timeout)


def test_a_full_queue_makes_putters_wait_in_their_order() -> None:
    async def story(client: Client) -> None:
        queue = await Queue("narrow", maxsize=1)
        await queue.put(0)
        putters = [await waiting(client, queue.put(i)) for i in (1, 2)]
        assert [await queue.get() for _ in range(3)] == [0, 1, 2]
        await asyncio.gather(*putters)

    play(story)


def test_getters_are_served_in_their_order() -> None:
    async def story(client: Client) -> None:
        queue = Queue("q")
        getters = [await waiting(client, queue.get()) for _ in range(3)]
        for item in "abc":
            await queue.put(item)
        assert await asyncio.gather(*getters) == ["a", "b", "c"]

    play(story)


@pytest.mark.parametrize("host", HOSTS)
def test_a_cancelled_wait_takes_nothing(host: str) -> None:
    async def story(client: Client) -> None:
        queue = Queue("q")
        getting = await waiting(client, queue.get())
        getting.cancel()
        await asyncio.gather(getting, return_exceptions=True)
        await queue.put(1)
        assert await queue.get() == 1
        # And when the item is on its way already:
        getting = await waiting(client, queue.get())
        await queue.put(client.submit(inc, 1))
        getting.cancel()
        assert isinstance((await asyncio.gather(getting, return_exceptions=True))[0], (asyncio.CancelledError, Future))
        if getting.cancelled():
            assert await (await queue.get(timeout=10)) == 2

    play(story, host)


def test_an_item_that_comes_for_nobody_goes_back_to_the_front() -> None:
    async def story(client: Client) -> None:
        queue = Queue("q")
        for item in (client.submit(inc, 1), 2, 3):
            await queue.put(item)
        getting = asyncio.ensure_future(queue.get(batch=2))
        await asyncio.sleep(0)  # it has asked
        getting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await getting
        await client.scheduler_info()  # the answer was there before this one, and was given back
        assert await queue.qsize() == 3
        first, second, third = await queue.get(batch=3)
        assert (await first, second, third) == (2, 2, 3)

    play(story)


def test_closing_tells_those_who_wait() -> None:
    async def story(client: Client) -> None:
        queue = await Queue("q", maxsize=1)
        await queue.put(1)
        putting = await waiting(client, queue.put(2))
        queue.close()  # not awaited: said all the same
        with pytest.raises(ClosedError, match="'q'"):
            await putting
        getting = await waiting(client, queue.get())
        await queue.close()
        with pytest.raises(ClosedError, match="'q'"):
            await getting
        assert await queue.qsize() == 0

    play(story)


# --- futures inside


@pytest.mark.parametrize("host", HOSTS)
def test_a_future_arrives_knowing_its_state(host: str) -> None:
    async def story(client: Client) -> None:
        queue = Queue("q")
        good, bad = client.submit(inc, 1), client.submit(div, 1, 0)
        await asyncio.gather(good, bad, return_exceptions=True)
        async with Client(client.cluster or client.address, asynchronous=True, set_as_default=False) as other:
            await queue.put({"good": good, "all": [bad, 3]})
            del good, bad
            item = await Queue("q", client=other).get()
            assert item["good"].client is other
            assert (item["good"].status, item["all"][0].status, item["all"][1]) == ("finished", "error", 3)
            assert await item["good"] == 2
            with pytest.raises(ZeroDivisionError):
                await item["all"][0]

    play(story, host)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("keeper", [Queue, Variable])
def test_a_value_keeps_its_task_alive_when_its_client_is_gone(host: str, keeper: Any) -> None:
    async def story(client: Client) -> None:
        async with Client(client._target.address, security=client._target.security, asynchronous=True, set_as_default=False) as other:
            kept = keeper("kept", client=other)
            future = other.submit(inc, 41)
            await (kept.put([future]) if keeper is Queue else kept.set([future]))
            del future
            gc.collect()
        await client.scheduler_info()
        (future,) = await keeper("kept").get(timeout=10)
        assert await future == 42
        if keeper is Variable:
            (again,) = await keeper("kept").get()
            assert again.key == future.key
            await keeper("kept").delete()
            with pytest.raises(TimeoutError):
                await keeper("kept").get(timeout=0)

    play(story, host)


@pytest.mark.parametrize("host", HOSTS)
def test_what_nobody_holds_any_more_is_forgotten(host: str) -> None:
    async def story(client: Client) -> None:
        queue, variable = Queue("q"), Variable("v")
        future = client.submit(inc, 1)
        key = future.key
        await queue.put(future)
        await variable.set(future)
        del future
        assert (await queue.get()).key == key
        assert (await variable.get()).key == key
        assert key in await client.story(key) or await client.who_has([key]) != {}
        await variable.set(0)
        gc.collect()
        await client.scheduler_info()
        await client.scheduler_info()
        assert client.futures == {}
        assert (await client.who_has([key]))[key] == []

    play(story, host)


def test_a_queue_of_futures_drives_a_loop(client: Client) -> None:
    queue = Queue("work")

    def load_and_submit(x: int) -> None:
        queue.put(get_client().submit(inc, x))

    futures = client.map(load_and_submit, range(20))
    assert sorted(queue.get(timeout=30).result() for _ in futures) == list(range(1, 21))


# --- a variable


def test_a_variable_is_set_and_read(client: Client) -> None:
    variable = Variable("stop")
    variable.set(False)
    assert variable.get() is False
    variable.set({"stage": 2}, timeout="30 s")
    assert Variable("stop").get() == {"stage": 2}
    variable.delete()
    with pytest.raises(TimeoutError, match="stop"):
        variable.get(timeout=0)


def test_who_reads_too_early_waits() -> None:
    async def story(client: Client) -> None:
        readers = [await waiting(client, Variable("v").get()) for _ in range(3)]
        given_up = await waiting(client, Variable("v").get())
        given_up.cancel()
        await Variable("v").set("here")
        assert await asyncio.gather(*readers) == ["here"] * 3

    play(story)


# --- from everywhere


@pytest.mark.parametrize("host", HOSTS)
def test_in_tasks_and_async_tasks_that_wait_on_one_thread(host: str) -> None:
    async def echo(there: Queue, back: Queue) -> None:
        await back.put(await there.get() + 1)

    def ask(there: Queue, back: Queue) -> int:
        there.put(1)
        value: int = back.get()
        return value

    def read() -> Any:
        return Variable("v").get()

    async def story(client: Client) -> None:
        there, back = Queue(), Queue()
        results = [client.submit(read), client.submit(echo, there, back), client.submit(ask, there, back)]  # the first ones wait on the only thread
        assert await results[2] == 2
        await Variable("v").set("seen")
        assert await results[0] == "seen"

    play(story, host)


def test_thirty_threads_share_a_queue(client: Client) -> None:
    queue, results = Queue("shared", maxsize=7), []

    def work(i: int) -> None:
        if i % 2:
            for n in range(20):
                queue.put((i, n))
        else:
            results.extend([queue.get() for _ in range(20)])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [(i, n) for i in range(1, 30, 2) for n in range(20)]
    assert queue.qsize() == 0


def test_copies_find_a_client_when_they_are_used(client: Client) -> None:
    queue = Queue("q", maxsize=3)
    data = [pickle.dumps(one) for one in (queue, Variable("v"), Event("e"))]
    copies = [pickle.loads(one) for one in data]
    assert [copy.name for copy in copies] == ["q", "v", "e"]
    assert copies[0].maxsize == 3
    assert all(copy._given is None and copy._found is None for copy in copies)
    queue.put(1)
    assert copies[0].get() == 1
    assert copies[0].client is client
    client.close()
    orphan = pickle.loads(data[0])
    with pytest.raises(RuntimeError, match="no client"):
        orphan.put(1)


def test_an_object_outlives_its_client_and_keeps_to_the_one_it_was_given() -> None:
    with Client(processes=False, n_workers=1) as first:
        found, given = Queue("q"), Queue("q", client=first)
        with Client(processes=False, n_workers=1) as second:
            assert default_client() is second
            assert found.client is first  # where it was made
            with second.as_current():
                assert Queue("q").client is second
    with Client(processes=False, n_workers=1) as third:
        found.put(1)
        assert found.client is third
        with pytest.raises(ClosedError):
            given.put(1)
        given.close()  # there is nobody to tell
        with pytest.raises(ClosedError):
            given.qsize()


def test_a_client_that_is_synchronous_is_awaited_on_its_own_loop(client: Client) -> None:
    async def talk() -> Any:
        queue = Queue("q")
        await queue.put(1)
        return await queue.get()

    assert client.sync(talk) == 1


# --- what is wrong


def test_bad_input_is_one_clear_error(client: Client) -> None:
    with pytest.raises(TypeError, match="name of a Queue is a string, not 3"):
        Queue(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="client of a Variable"):
        Variable("x", client="tcp://somewhere")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="maxsize"):
        Queue("x", maxsize=1.5)  # type: ignore[arg-type]
    queue = Queue("x", maxsize=-1)  # as in the standard library: no limit
    with pytest.raises(ValueError, match="at least 1"):
        queue.get(batch=0)
    with pytest.raises(TypeError, match="batch"):
        queue.get(batch="all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="negative|duration"):
        queue.get(timeout=-1)
    queue.put(1)
    assert queue.get() == 1


def test_what_is_too_large_or_cannot_be_pickled() -> None:
    async def story(client: Client) -> None:
        queue, large = Queue("q"), bytes(11_000_000)
        with pytest.raises(ValueError, match=r"11\.0 MB is too large for <Queue 'q'>.*client.scatter"):
            await queue.put(large)
        with pytest.raises(ValueError, match="scatter"):
            await Variable("v").set(large)
        with pytest.raises(SerializationError):
            await queue.put(threading.Lock())
        await queue.put(await client.scatter(large))
        assert len(await (await queue.get())) == len(large)

    play(story, "127.0.0.1")


def test_in_a_cluster_of_threads_values_travel_by_reference(client: Client) -> None:
    lock = threading.Lock()
    queue = Queue()
    queue.put([lock, bytes(11_000_000)])
    assert queue.get()[0] is lock


def test_what_was_put_does_not_change_with_its_source() -> None:
    numpy = pytest.importorskip("numpy")

    async def story(client: Client) -> None:
        queue, array = Queue("q"), numpy.zeros(50_000)
        putting = queue.put(array)
        array += 1
        await putting
        assert (await queue.get()).sum() == 0

    play(story, "127.0.0.1")


def test_an_item_that_cannot_be_unpickled_fails_its_reader_only() -> None:
    async def story(client: Client) -> None:
        queue = Queue("q")
        await queue.put(_Poison())
        await queue.put(1)
        with pytest.raises(ZeroDivisionError):
            await queue.get()
        assert await queue.get() == 1

    play(story, "127.0.0.1")


class _Poison:
    def __reduce__(self) -> Any:
        return div, (1, 0)


def test_a_wait_ends_with_its_client() -> None:
    async def story(client: Client) -> None:
        other = await Client(client._target.address, security=client._target.security, asynchronous=True, set_as_default=False)
        getting = await waiting(other, Queue("q", client=other).get())
        await other.close()
        with pytest.raises(ClosedError):
            await getting
        await Queue("q").put(1)
        assert await Queue("q").get() == 1

    play(story)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="a platform without pthread_kill")
@pytest.mark.parametrize("call", [lambda: Queue("q").get(), lambda: Variable("v").get(), lambda: Event("e").wait()])
def test_an_interrupt_ends_the_wait_and_takes_nothing(client: Client, call: Any) -> None:
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        call()
    timer.join()
    Queue("q").put(1)
    assert Queue("q").get(timeout=10) == 1


def test_a_queue_wants_what_lies_in_it_as_another_client_might(client: Client) -> None:
    queue = Queue()
    held, future = client.submit(inc, 1, workers="nobody"), client.submit(inc, 2, workers="nobody")
    queue.put(future)
    client.cancel([held, future])
    came = queue.get()
    assert (held.status, future.status, came.status) == ("cancelled", "cancelled", "pending")
    client.cancel(came)
    assert came.cancelled()
