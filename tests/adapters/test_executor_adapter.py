"""`client.get_executor()` does what the standard library's own executors do (after CPython's `test_concurrent_futures`), and what ours can."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import queue
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from jupyterfut import CancelledError, Client, Event, get_client, get_worker
from jupyterfut.errors import TimeoutError  # noqa: A004


@pytest.fixture(params=["one process", "processes"])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Of its own for each test: its thread for callbacks starts with the first call."""
    with Client(processes=request.param == "processes", n_workers=1, threads_per_worker=2) as client:
        yield client


@pytest.fixture
def executor(client: Client) -> Iterator[concurrent.futures.Executor]:
    with client.get_executor() as executor:
        yield executor


def wait_for(name: str) -> str:
    Event(name).wait()
    return name


def capture(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


# --- as in CPython's ExecutorTest


def test_submit(executor: concurrent.futures.Executor) -> None:
    future = executor.submit(pow, 2, 8)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result() == 256
    assert future.done()
    assert not future.running()
    assert future.exception() is None


def test_all_keywords_are_the_functions_own(executor: concurrent.futures.Executor) -> None:
    named = {"self": 2, "fn": 3, "key": 4, "workers": 5, "pure": 6}
    assert executor.submit(capture, 1, **named).result() == ((1,), named)
    with pytest.raises(TypeError):
        executor.submit(fn=capture, arg=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        executor.submit(arg=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="not callable"):
        executor.submit(1)  # type: ignore[arg-type]


def test_map(executor: concurrent.futures.Executor) -> None:
    assert list(executor.map(pow, range(10), range(10))) == list(map(pow, range(10), range(10)))
    assert list(executor.map(pow, range(10), range(10), chunksize=3)) == list(map(pow, range(10), range(10)))
    assert list(executor.map(pow, range(7), [2] * 3)) == [0, 1, 4]
    assert list(executor.map(abs, ())) == []


def test_map_exception(executor: concurrent.futures.Executor) -> None:
    results = executor.map(divmod, [1, 1, 1, 1], [2, 3, 0, 5])
    assert next(results) == (0, 1)
    assert next(results) == (0, 1)
    with pytest.raises(ZeroDivisionError):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_map_timeout(client: Client, executor: concurrent.futures.Executor) -> None:
    results = executor.map(wait_for, ["never"], timeout=0.05)
    with pytest.raises(concurrent.futures.TimeoutError):
        next(results)


def test_map_takes_rows_at_once_or_as_they_are_needed(executor: concurrent.futures.Executor) -> None:
    taken = []

    def rows() -> Iterator[int]:
        for row in range(20):
            taken.append(row)
            yield row

    executor.map(abs, rows())
    assert len(taken) == 20
    taken.clear()
    results = executor.map(abs, rows(), buffersize=3)
    assert len(taken) == 3
    assert next(results) == 0
    assert len(taken) == 4
    assert list(results) == list(range(1, 20))


def test_map_of_bad_options(executor: concurrent.futures.Executor) -> None:
    with pytest.raises(TypeError, match="no option 'nix'"):
        executor.map(abs, [1], nix=2)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="chunksize must be >= 1"):
        executor.map(abs, [1], chunksize=0)
    with pytest.raises(ValueError, match="buffersize must be None or > 0"):
        executor.map(abs, [1], buffersize=0)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="buffersize must be an integer or None"):
        executor.map(abs, [1], buffersize="2")  # type: ignore[call-arg]


def test_a_dropped_map_cancels_the_rest(client: Client, executor: concurrent.futures.Executor) -> None:
    results = executor.map(lambda i: i if i == 0 else wait_for("never"), range(50))
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    never_begun = executor.map(wait_for, ["never"] * 50)
    del results, never_begun
    gc.collect()
    client.scheduler_info()
    assert not client.futures
    assert executor.submit(abs, -1).result() == 1  # no thread is left to those that nobody waits for ...
    client.submit(lambda: Event("never").set()).result()  # ... once they end


def test_shutdown(client: Client) -> None:
    executor = client.get_executor()
    futures = [executor.submit(abs, -i) for i in range(5)]
    executor.shutdown()
    executor.shutdown()
    assert all(future.done() for future in futures)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(abs, 1)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.map(abs, [1])
    assert [future.result() for future in futures] == list(range(5))


@pytest.mark.parametrize("options", [{"wait": False}, {"cancel_futures": True}])
def test_shutdown_that_cancels(client: Client, options: dict[str, bool]) -> None:
    executor = client.get_executor()
    futures = [executor.submit(wait_for, "never") for _ in range(3)]
    results = executor.map(wait_for, ["never"])
    executor.shutdown(**options)
    assert concurrent.futures.wait(futures, timeout=10).not_done == set()
    assert all(future.cancelled() for future in futures)
    with pytest.raises(CancelledError):
        next(results)
    client.submit(lambda: Event("never").set()).result()


def test_with(client: Client) -> None:
    with client.get_executor() as executor:
        future = executor.submit(abs, -1)
    assert future.done()


def test_nobody_has_to_keep_the_future(client: Client) -> None:
    with client.get_executor() as executor:
        executor.submit(lambda: get_client().set_metadata(["ran"], True))
    assert client.get_metadata(["ran"]) is True


def test_arguments_are_let_go() -> None:
    class Thing:
        def go(self) -> None: ...

    thing = Thing()
    ended = threading.Event()
    ref = weakref.ref(thing, lambda _: ended.set())
    with Client(n_workers=1, threads_per_worker=1) as client, client.get_executor() as executor:
        future = executor.submit(thing.go)
        del thing
        future.result()
        gc.collect()
        assert ended.wait(10)
        assert ref() is None


# --- as in CPython's FutureTests, with calls that are under way


def test_callbacks(executor: concurrent.futures.Executor) -> None:
    called: queue.SimpleQueue[Any] = queue.SimpleQueue()
    good, bad = executor.submit(abs, -1), executor.submit(divmod, 1, 0)
    for future in (good, bad):
        future.add_done_callback(called.put)
    assert {called.get(timeout=10), called.get(timeout=10)} == {good, bad}
    assert isinstance(bad.exception(), ZeroDivisionError)


def test_cancel_reaches_the_task(client: Client, executor: concurrent.futures.Executor) -> None:
    future = executor.submit(wait_for, "never")
    assert future.cancel()
    assert concurrent.futures.wait([future], timeout=10).done == {future}
    assert future.cancelled()
    assert future.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()
    client.scheduler_info()
    assert not client.futures
    client.submit(lambda: Event("never").set()).result()


def test_what_is_done_cannot_be_cancelled(executor: concurrent.futures.Executor) -> None:
    future = executor.submit(abs, -1)
    future.result()
    assert not future.cancel()


def test_a_cancelled_task_cancels_the_future(client: Client, executor: concurrent.futures.Executor) -> None:
    future = executor.submit(wait_for, "never")
    (key,) = [key for key in client.futures if key.startswith("wait_for")]
    client.cancel([type(client.submit(abs, 1))(key, client)])
    assert list(concurrent.futures.as_completed([future], timeout=10)) == [future]
    assert future.cancelled()
    client.submit(lambda: Event("never").set()).result()


def test_the_end_of_the_client(client: Client) -> None:
    executor = client.get_executor()
    future = executor.submit(wait_for, "never")
    client.close()
    assert concurrent.futures.wait([future], timeout=10).done == {future}
    assert future.cancelled()
    with pytest.raises(RuntimeError, match="closed"):
        executor.submit(abs, 1)


def test_timeouts(client: Client, executor: concurrent.futures.Executor) -> None:
    future = executor.submit(wait_for, "go")
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(timeout=0.01)
    with pytest.raises(TimeoutError.__bases__[1]):
        future.exception(timeout=0)
    client.submit(lambda: Event("go").set()).result()
    assert future.result(timeout=10) == "go"


def test_wait_and_as_completed(executor: concurrent.futures.Executor) -> None:
    futures = [executor.submit(abs, -i) for i in range(20)]
    assert sorted(future.result() for future in concurrent.futures.as_completed(futures)) == list(range(20))
    assert concurrent.futures.wait(futures).not_done == set()


# --- ours


def test_unknown_options(client: Client) -> None:
    with pytest.raises(TypeError, match="no option 'nix' .there are: workers, resources"):
        client.get_executor(nix=1)
    with pytest.raises(ValueError, match="retries"):
        client.get_executor(retries=-1)


def test_options(client: Client) -> None:
    name = str(next(iter(client.scheduler_info()["workers"].values()))["name"])
    with client.get_executor(workers=name, retries=1, priority=2) as executor:
        assert executor.submit(lambda: str(get_worker().name)).result() == name
        assert list(executor.map(lambda _: str(get_worker().name), range(2), chunksize=2)) == [name] * 2


@pytest.mark.parametrize("pure", [False, True])
def test_pure_calls_run_once(client: Client, pure: bool) -> None:
    with client.get_executor(pure=pure) as executor:
        held = client.submit(wait_for, "pure")
        futures = [executor.submit(wait_for, "pure") for _ in range(3)]
        assert len([key for key in client.futures if key.startswith("wait_for")]) == (1 if pure else 4)
        client.submit(lambda: Event("pure").set()).result()
        assert [future.result() for future in futures] == ["pure"] * 3
        assert held.result() == "pure"


def test_in_an_event_loop(executor: concurrent.futures.Executor) -> None:
    async def story() -> Any:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*[loop.run_in_executor(executor, pow, i, 2) for i in range(5)])

    assert asyncio.run(story()) == [0, 1, 4, 9, 16]


def test_of_an_asynchronous_client() -> None:
    async def story() -> None:
        async with Client(processes=False, n_workers=1, threads_per_worker=2, asynchronous=True) as client:
            executor = client.get_executor()
            loop = asyncio.get_running_loop()
            assert await loop.run_in_executor(executor, pow, 2, 3) == 8
            assert await asyncio.to_thread(lambda: list(executor.map(abs, [-1, -2]))) == [1, 2]
            with pytest.raises(ZeroDivisionError):
                await loop.run_in_executor(executor, divmod, 1, 0)
            waiting = executor.submit(wait_for, "never")
            assert waiting.cancel()
            executor.shutdown(wait=False)
            await client.submit(lambda: Event("never").set())

    asyncio.run(story())


def test_inside_a_task_of_a_worker_with_one_thread() -> None:
    def task(n: int) -> int:
        with get_client().get_executor() as executor:
            return sum(executor.map(abs, range(n))) + executor.submit(abs, -1).result()

    with Client(processes=False, n_workers=1, threads_per_worker=1) as client:
        assert client.gather(client.map(task, [3, 4])) == [4, 7]


def test_large_results(client: Client) -> None:
    with client.get_executor() as executor:
        assert len(executor.submit(bytes, 1_000_000).result()) == 1_000_000
        assert [len(value) for value in executor.map(bytes, [300_000, 400_000])] == [300_000, 400_000]
