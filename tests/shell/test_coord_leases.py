"""Locks, semaphores, multilocks and events as their users meet them, in clusters without processes: turns, timeouts, `with`, and what is wrong."""

from __future__ import annotations

import asyncio
import pickle
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from coord_stories import HOSTS, play, waiting

from jupyterfut import Client, Event, Lock, MultiLock, Semaphore
from jupyterfut.errors import ClosedError


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(processes=False, n_workers=2, threads_per_worker=2) as client:
        yield client


# --- locks


@pytest.mark.parametrize("timeout", [0, "10 ms", timedelta(milliseconds=10), 0.01])
def test_a_lock_is_held_by_one(client: Client, timeout: Any) -> None:
    mine, other = Lock("x"), Lock("x")
    assert mine.acquire(timeout=timeout) is True
    assert mine.locked()
    assert other.acquire(timeout=timeout) is False
    assert other.acquire(blocking=False) is False
    assert mine.acquire(False) is False  # not re-entrant
    assert mine.release() is True
    assert not other.locked()
    with other as entered:
        assert entered is other
        assert mine.locked()
    assert not mine.locked()


def test_an_error_inside_releases(client: Client) -> None:
    with pytest.raises(ZeroDivisionError), Lock("x"):
        1 / 0
    assert not Lock("x").locked()


@pytest.mark.parametrize("make", [lambda: Lock("x"), lambda: Semaphore(2, "x"), lambda: MultiLock(["x"])])
def test_releasing_what_is_not_held(client: Client, make: Any) -> None:
    holder, other = make(), make()
    assert holder.acquire()
    with pytest.raises(RuntimeError, match="cannot be released"):
        other.release()
    holder.release()
    with pytest.raises(RuntimeError, match="cannot be released"):
        holder.release()


def test_bad_input(client: Client) -> None:
    with pytest.raises(ValueError, match="at least one lease, not 0"):
        Semaphore(max_leases=0)
    with pytest.raises(TypeError, match="max_leases"):
        Semaphore("database")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="takes no timeout"):
        Lock("x").acquire(blocking=False, timeout=1)
    with pytest.raises(ValueError, match="negative|duration"):
        Lock("x").acquire(timeout=-2)
    assert Lock("y").acquire(timeout=-1)  # for ever, as threading.Lock has it
    for names in ("xy", 3):
        with pytest.raises(TypeError, match="list of strings"):
            MultiLock(names)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="strings, not 3"):
        MultiLock(["x", 3])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="at least one name"):
        MultiLock([])
    with pytest.raises(ValueError, match="from 1 to 2"):
        MultiLock(["x", "y"]).acquire(num_locks=3)
    for kind in (Lock, Event, Semaphore):
        with pytest.raises(TypeError, match="name of a"):
            kind(name=b"bytes")  # type: ignore[arg-type]


def test_two_sizes_of_one_semaphore_meet(client: Client) -> None:
    assert Semaphore(2, "s").acquire()
    with pytest.raises(ValueError, match="has 2 leases, not 3"):
        Semaphore(3, "s").acquire()


def test_locks_are_given_in_the_order_of_waiting() -> None:
    async def story(client: Client) -> None:
        order = []

        async def take(i: int) -> None:
            async with Lock("x"):
                order.append(i)

        first = Lock("x")
        await first.acquire()
        takers = [await waiting(client, take(i)) for i in range(4)]
        takers.pop(1).cancel()
        await first.release()
        await asyncio.gather(*takers)
        assert order == [0, 2, 3]

    play(story)


def test_a_lock_that_comes_for_nobody_goes_on() -> None:
    async def story(client: Client) -> None:
        lock, other = Lock("x"), Lock("x")
        acquiring = asyncio.ensure_future(lock.acquire())
        await asyncio.sleep(0)  # it has asked
        acquiring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await acquiring
        assert await other.acquire(timeout=30)
        with pytest.raises(RuntimeError):
            await lock.release()

    play(story)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("make", [lambda: Lock(), lambda: Semaphore(1), lambda: MultiLock(["a", "b"])])
def test_passed_to_tasks_it_keeps_them_apart(host: str, make: Any) -> None:
    inside = []

    def alone(i: int, lock: Any) -> int:
        with lock:
            inside.append(i)
            count = len(inside)
            inside.remove(i)
        return count

    async def alone_async(i: int, lock: Any) -> int:
        async with lock:
            inside.append(i)
            await asyncio.sleep(0)
            count = len(inside)
            inside.remove(i)
        return count

    async def story(client: Client) -> None:
        lock = make()
        futures = [client.submit((alone, alone_async)[i % 2], i, lock) for i in range(40)]
        assert set(await client.gather(futures)) == {1}

    play(story, host, workers=2, nthreads=3)


def test_thirty_threads_take_turns(client: Client) -> None:
    lock, counts = Lock("x"), [0]

    def work() -> None:
        for _ in range(5):
            with lock:
                count = counts[0]
                lock.locked()
                counts[0] = count + 1

    threads = [threading.Thread(target=work) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [150]


def test_what_a_closed_client_held_goes_to_the_next() -> None:
    async def story(client: Client) -> None:
        other = await Client(client._target.address, security=client._target.security, asynchronous=True, set_as_default=False)
        held = [Lock("x", client=other), Semaphore(1, "x", client=other), MultiLock(["x", "y"], client=other)]
        mine = [Lock("x"), Semaphore(1, "x"), MultiLock(["y"])]
        for one in held:
            assert await one.acquire()
        waiters = [await waiting(client, one.acquire()) for one in mine]
        await other.close()
        assert await asyncio.gather(*waiters) == [True] * 3
        for one in held:
            with pytest.raises(ClosedError):
                await one.acquire()
            assert await one.release() is True  # it has gone back by itself

    play(story)


def test_with_is_refused_where_it_would_have_to_be_awaited() -> None:
    async def story(client: Client) -> None:
        with pytest.raises(TypeError, match="async with"), Lock("x"):
            pass

    play(story)


def test_copies_hold_nothing(client: Client) -> None:
    semaphore = Semaphore(2, "s")
    semaphore.acquire()
    copy = pickle.loads(pickle.dumps(semaphore))
    assert (copy.name, copy.max_leases) == ("s", 2)
    with pytest.raises(RuntimeError):
        copy.release()
    names = pickle.loads(pickle.dumps(MultiLock(["b", "a", "b"]))).names
    assert names == ["b", "a"]
    assert repr(copy) == "<Semaphore 's'>"


# --- semaphores


def test_as_many_as_there_are_leases(client: Client) -> None:
    semaphore = Semaphore(3)
    assert [semaphore.acquire(timeout=0) for _ in range(4)] == [True, True, True, False]
    assert semaphore.get_value() == 3
    semaphore.release()
    assert semaphore.get_value() == 2
    semaphore.close()
    assert semaphore.get_value() == 0
    with pytest.raises(RuntimeError):
        semaphore.release()


def test_closing_a_semaphore_tells_those_who_wait() -> None:
    async def story(client: Client) -> None:
        semaphore = await Semaphore(1, "s")
        await semaphore.acquire()
        acquiring = await waiting(client, Semaphore(1, "s").acquire())
        await semaphore.close()
        with pytest.raises(ClosedError, match="'s'"):
            await acquiring

    play(story)


def test_never_more_tasks_than_leases(client: Client) -> None:
    running, most = [0], [0]
    guard = threading.Lock()

    def limited(i: int, sem: Semaphore) -> int:
        with sem:
            with guard:
                running[0] += 1
                most[0] = max(most[0], running[0])
            Event("never").wait(timeout="2 ms")
            with guard:
                running[0] -= 1
        return i

    sem = Semaphore(max_leases=2, name="database")
    assert client.gather(client.map(limited, range(20), sem=sem)) == list(range(20))
    assert most == [2]
    sem.close()


# --- several at once


def test_multilocks_share_nothing_and_do_not_deadlock(client: Client) -> None:
    held: set[str] = set()

    def work(i: int) -> int:
        names = [["a", "b"], ["b", "c"], ["c", "a"], ["b", "a", "c"]][i % 4]
        with MultiLock(names):
            assert not held.intersection(names)
            held.update(names)
            Event("never").wait(timeout="1 ms")
            held.difference_update(names)
        return i

    assert client.gather(client.map(work, range(40))) == list(range(40))


def test_some_of_several(client: Client) -> None:
    lock, other = MultiLock(["a", "b", "c"]), MultiLock(["a", "b", "c"])
    assert not lock.locked()
    assert lock.acquire(num_locks=1)
    assert lock.locked()
    assert other.acquire(num_locks=2, timeout=0)
    assert not MultiLock(["a", "b", "c"]).acquire(num_locks=1, blocking=False)
    lock.release()
    assert MultiLock(["a", "b", "c"]).acquire(num_locks=1, timeout="10 s")
    other.release()


# --- events


@pytest.mark.parametrize("host", HOSTS)
def test_an_event_lets_all_go_on(host: str) -> None:
    def wait_for_it(x: int) -> bool:
        result: bool = Event("go").wait()
        return result

    async def story(client: Client) -> None:
        event = await Event("go")
        assert not await event.is_set()
        assert await event.wait(timeout="10 ms") is False
        assert await event.wait(0) is False
        here = [await waiting(client, event.wait()) for _ in range(3)]
        given_up = await waiting(client, event.wait())
        given_up.cancel()
        tasks = client.map(wait_for_it, range(10))
        await event.set()
        assert await asyncio.gather(*here) == [True] * 3
        assert await client.gather(tasks) == [True] * 10
        assert await event.is_set()
        await event.clear()
        assert await Event("go").wait(timeout=0) is False

    play(story, host)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="a platform without pthread_kill")
def test_an_interrupted_wait_leaves_the_lock_to_others(client: Client) -> None:
    main = threading.main_thread().ident
    assert main is not None
    holder, other = Lock("x"), Lock("x")
    holder.acquire()
    timer = threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        other.acquire()
    timer.join()
    holder.release()
    assert Lock("x").acquire(timeout=10)
