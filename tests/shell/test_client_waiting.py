"""`wait` and `as_completed` in all their forms."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from jupyterfut import CancelledError, Client, Future, TimeoutError, as_completed, wait  # noqa: A004


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(processes=False, n_workers=1, threads_per_worker=4) as client:
        yield client


def inc(x: int) -> int:
    return x + 1


def div(x: int, y: int) -> float:
    return x / y


class Held:
    """A task that waits until the test lets it go."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def __call__(self, value: Any = None) -> Any:
        assert self.gate.wait(20)
        return value


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.gate.set()


def test_wait_returns_done_and_not_done(client: Client, held: Held) -> None:
    fine, bad, slow = client.submit(inc, 1), client.submit(div, 1, 0), client.submit(held, pure=False)
    done, not_done = wait([fine, bad], timeout=10)
    assert (done, not_done) == ({fine, bad}, set())
    assert wait(fine).done == {fine}
    assert wait([]) == (set(), set())
    with pytest.raises(TimeoutError, match="still pending after 0.01 s"):
        wait([fine, slow], timeout="10 ms")
    with pytest.raises(TimeoutError):
        wait(slow, timeout=0)
    done, not_done = wait([slow, fine], return_when="FIRST_COMPLETED")
    assert (done, not_done) == ({fine}, {slow})
    with pytest.raises(TimeoutError, match="none of 1"):
        wait([slow], timeout=0.01, return_when="FIRST_COMPLETED")
    assert not slow._record.waiters
    for wrong in (5, [5], "text"):
        with pytest.raises(TypeError, match="wait takes futures"):
            wait(wrong)
    with pytest.raises(ValueError, match="SOME_COMPLETED"):
        wait([fine], return_when="SOME_COMPLETED")  # type: ignore[arg-type]  # on purpose


def test_wait_for_the_first_of_several(client: Client, held: Held) -> None:
    other = Held()
    slow, slower = client.submit(held, pure=False), client.submit(other, pure=False)
    threading.Timer(0.05, held.gate.set).start()
    done, not_done = wait([slower, slow], timeout=10, return_when="FIRST_COMPLETED")
    assert (done, not_done) == ({slow}, {slower})
    other.gate.set()


def test_as_completed_yields_each_when_it_is_done(client: Client) -> None:
    futures = client.map(inc, range(50))
    seen = []
    for future in as_completed(futures):
        assert future.done()
        seen.append(future)
    assert set(seen) == set(futures)
    assert len(seen) == 50


def test_futures_added_while_iterating_are_yielded_too(client: Client) -> None:
    results = []
    seq = as_completed([client.submit(inc, 0)])
    for future in seq:
        results.append(future.result())
        if future.result() < 5:
            seq.add(client.submit(inc, future.result()))
    assert results == [1, 2, 3, 4, 5]
    seq.update(client.map(inc, [10, 11]))  # also after its end
    assert sorted(future.result() for future in seq) == [11, 12]
    assert seq.is_empty()


def test_a_future_added_twice_is_yielded_twice(client: Client, held: Held) -> None:
    done = client.submit(inc, 1)
    done.result(10)
    slow = client.submit(held, pure=False)
    seq = as_completed([done, slow, done, slow])
    assert seq.count() == 4
    held.gate.set()
    assert sorted(future.key for future in seq) == sorted([done.key, done.key, slow.key, slow.key])


def test_results_and_errors(client: Client) -> None:
    assert sorted(result for _, result in as_completed(client.map(inc, range(4)), with_results=True)) == [1, 2, 3, 4]
    bad, fine = client.submit(div, 1, 0), client.submit(inc, 1)
    with pytest.raises(ZeroDivisionError):
        list(as_completed([bad], with_results=True))
    gone = client.submit(inc, 2, workers="nobody")
    gone.cancel()
    found = dict(as_completed([bad, fine, gone], with_results=True, raise_errors=False))
    assert isinstance(found[bad], ZeroDivisionError)
    assert isinstance(found[gone], CancelledError)
    assert found[fine] == 2
    assert list(as_completed([bad])) == [bad]  # without results nothing is raised


def test_batches(client: Client, held: Held) -> None:
    futures = client.map(inc, range(20))
    assert sum(len(batch) for batch in as_completed(futures).batches()) == 20
    pairs = [pair for batch in as_completed(futures, with_results=True).batches() for pair in batch]
    assert sorted(result for _, result in pairs) == list(range(1, 21))
    slow = client.submit(held, pure=False)
    seq = as_completed([slow])
    assert seq.next_batch(block=False) == []
    assert not seq.has_ready()
    held.gate.set()
    assert seq.next_batch() == [slow]
    with pytest.raises(StopIteration):
        seq.next_batch()


def test_next_count_clear_and_timeout(client: Client, held: Held) -> None:
    slow = client.submit(held, pure=False)
    seq = as_completed([slow, client.submit(inc, 1)])
    assert seq.next(timeout=10).result() == 2
    with pytest.raises(TimeoutError, match="none of the 1 futures left"):
        seq.next(timeout="10 ms")
    assert seq.count() == 1
    seq.clear()
    assert (seq.count(), seq.is_empty(), list(seq)) == (0, True, [])
    assert not slow._record.waiters
    with pytest.raises(TimeoutError):
        list(as_completed([slow], timeout=0.01))
    for wrong in (5, [5]):
        with pytest.raises(TypeError, match="as_completed takes futures"):
            as_completed(wrong)
    with pytest.raises(TypeError, match="as_completed takes futures"):
        as_completed().add(5)  # type: ignore[arg-type]  # on purpose


def test_one_thread_adds_while_another_iterates(client: Client, held: Held) -> None:
    seq = as_completed([client.submit(held, 0, pure=False)])
    seen: list[Any] = []
    reader = threading.Thread(target=lambda: seen.extend(future.result() for future in seq))
    reader.start()
    for i in range(1, 20):
        seq.add(client.submit(inc, i - 1))
    held.gate.set()
    reader.join(20)
    assert sorted(seen) == list(range(20))


def test_async_for_works_in_any_loop(client: Client) -> None:
    async def collect() -> list[int]:
        found = [await future async for future in as_completed(client.map(inc, range(5)))]
        batches = [pair async for batch in as_completed(client.map(inc, range(5, 8)), with_results=True).batches() for pair in batch]
        return sorted(found) + sorted(result for _, result in batches)

    expected = [1, 2, 3, 4, 5, 6, 7, 8]
    assert asyncio.run(collect()) == expected
    assert client.sync(collect) == expected


def test_await_in_any_loop(client: Client, held: Held) -> None:
    async def both() -> Any:
        slow = client.submit(held, 7, pure=False)
        asyncio.get_running_loop().call_later(0.02, held.gate.set)
        values = await asyncio.gather(slow, client.submit(inc, 1))
        with pytest.raises(ZeroDivisionError):
            await client.submit(div, 1, 0)
        return values

    assert asyncio.run(both()) == [7, 2]
    assert client.sync(both) == [7, 2]


def test_waiting_for_many_costs_the_same_for_each(client: Client, held: Held) -> None:
    slow = client.submit(held, pure=False)
    futures = [client.submit(lambda x, i: i, slow, i) for i in range(2000)]
    seq = as_completed(futures)
    assert all(len(future._record.waiters or ()) == 1 for future in futures)
    held.gate.set()
    count = 0
    for future in seq:
        assert isinstance(future, Future)
        count += 1
    assert count == 2000
