"""Futures and calls, over a cluster in this process."""

from __future__ import annotations

import gc
import operator
import pickle
import threading
import weakref
from collections import namedtuple
from collections.abc import Iterator
from typing import Any

import pytest

from jupyterfut import CancelledError, Client, Executor, Future, Task, TimeoutError, fire_and_forget, futures_of  # noqa: A004
from jupyterfut.errors import SerializationError

Point = namedtuple("Point", "x y")  # the plain kind is what users make


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(processes=False, n_workers=1, threads_per_worker=2, set_as_default=False) as client:
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


def test_submit_and_result(client: Client) -> None:
    future = client.submit(inc, 10)
    assert future.result(timeout=10) == 11
    assert future.done()
    assert not future.cancelled()
    assert (future.status, future.type, future.client) == ("finished", "int", client)
    assert repr(future) == f"<Future: status: finished, type: int, key: {future.key}>"
    assert future.key.startswith("inc-")
    assert Executor is Client
    assert Task is Future


def test_keyword_arguments_and_every_place_a_future_can_stand(client: Client) -> None:
    one, two = client.submit(inc, 0), client.submit(inc, 1)

    def show(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    nested = client.submit(show, one, [one, (two, {3})], {"k": two, "deep": [{"x": one}]}, Point(one, 5), named=two, listed=[one])
    assert nested.result(10) == ((1, [1, (2, {3})], {"k": 2, "deep": [{"x": 1}]}, Point(1, 5)), {"named": 2, "listed": [1]})
    assert type(nested.result()[0][3]) is Point
    assert client.submit(sum, {one, two}).result(10) == 3
    assert client.submit(sorted, frozenset([one, two])).result(10) == [1, 2]


def test_the_same_call_is_the_same_key(client: Client) -> None:
    a, b = client.submit(inc, 5), client.submit(inc, 5)
    assert a.key == b.key
    assert a is not b
    assert client.submit(inc, 5, pure=False).key != a.key
    assert client.submit(inc, 6).key != a.key
    assert client.map(inc, [5])[0].key == a.key
    assert client.submit(inc, x=5).key != client.submit(inc, x=6).key


def test_equal_calls_run_once(client: Client) -> None:
    runs: list[int] = []
    lock = threading.Lock()  # makes it a function that is known by its identity, whatever becomes of `runs`

    def count(x: int) -> int:
        with lock:
            runs.append(x)
        return x

    futures = [client.submit(count, 7) for _ in range(5)]
    assert client.gather(futures) == [7] * 5
    assert runs == [7]


def test_own_keys(client: Client) -> None:
    assert client.submit(inc, 1, key="mine").key == "mine"
    futures = client.map(inc, [1, 2], key=["first", "second"])
    assert [future.key for future in futures] == ["first", "second"]
    assert all(future.key.startswith("many-") for future in client.map(inc, [1, 2], key="many"))
    with pytest.raises(ValueError, match="fewer keys"):
        client.map(inc, [1, 2, 3], key=["a", "b"])


def test_errors_come_back_with_the_users_own_lines(client: Client) -> None:
    future = client.submit(div, 1, 0)
    with pytest.raises(ZeroDivisionError, match="division by zero") as info:
        future.result(10)
    assert future.status == "error"
    assert "div" in [frame.name for frame in info.traceback]
    ours = [frame for frame in info.traceback if "/jupyterfut/" in str(frame.path)]
    assert len(ours) <= 5
    assert isinstance(future.exception(), ZeroDivisionError)
    assert future.traceback() is not None
    dependant = client.submit(inc, future)
    with pytest.raises(ZeroDivisionError):
        dependant.result(10)
    assert repr(dependant).startswith("<Future: status: error, key: inc-")
    assert client.submit(inc, 1).exception(10) is None
    assert client.submit(inc, 1).traceback(10) is None


def test_retries_and_retry(client: Client) -> None:
    tries: list[int] = []

    def flaky(needed: int) -> int:
        tries.append(1)
        if len(tries) < needed:
            raise ValueError(f"try {len(tries)}")
        return len(tries)

    assert client.submit(flaky, 3, retries=2).result(10) == 3
    tries.clear()
    failed = client.submit(flaky, 2, pure=False)
    with pytest.raises(ValueError, match="try 1"):
        failed.result(10)
    below = client.submit(inc, failed)
    with pytest.raises(ValueError, match="try 1"):
        below.result(10)
    below.retry()
    assert below.result(10) == 3
    assert failed.result(10) == 2


def test_cancel_reaches_dependants(client: Client, held: Held) -> None:
    first = client.submit(held, 1, pure=False)
    second = client.submit(inc, first)
    third = client.submit(inc, second)
    second.cancel()
    assert (second.cancelled(), third.cancelled(), first.cancelled()) == (True, True, False)
    with pytest.raises(CancelledError, match="cancelled by its client"):
        second.result(10)
    with pytest.raises(CancelledError, match=third.key):
        third.result(10)
    assert isinstance(second.exception(), CancelledError)
    first.cancel(reason="enough")
    with pytest.raises(CancelledError, match="enough"):
        first.result()
    again = client.submit(inc, first.client.submit(inc, 0))
    assert again.result(10) == 2


def test_a_cancelled_call_can_be_made_again(client: Client) -> None:
    one = client.submit(inc, 100)
    one.result(10)
    one.cancel()
    two = client.submit(inc, 100)
    assert two.key == one.key
    assert two.result(10) == 101
    assert one.cancelled()


def test_timeouts(client: Client, held: Held) -> None:
    future = client.submit(held, pure=False)
    for timeout in (0, 0.01, "10 ms"):
        with pytest.raises(TimeoutError, match="still pending"):
            future.result(timeout=timeout)
    with pytest.raises(TimeoutError):
        future.exception(timeout=0)
    with pytest.raises(ValueError, match="not a duration"):
        future.result(timeout=-1)
    assert future._record.waiters in (None, [])
    held.gate.set()
    future.result(10)
    assert future.result(timeout=0) is None


def test_done_callbacks_run_once_each_and_may_block(client: Client, held: Held) -> None:
    seen: list[Any] = []
    both = threading.Event()

    def note(future: Future) -> None:
        seen.append((future.status, future.result()))
        if len(seen) == 2:
            both.set()

    def broken(future: Future) -> None:
        raise RuntimeError("a callback's own error is logged")

    future = client.submit(held, 5, pure=False)
    future.add_done_callback(broken)
    future.add_done_callback(note)
    held.gate.set()
    future.result(10)
    future.add_done_callback(note)
    assert both.wait(10)
    assert seen == [("finished", 5)] * 2
    with pytest.raises(TypeError, match="callable"):
        future.add_done_callback(5)  # type: ignore[arg-type]  # on purpose


def test_dropped_futures_let_the_cluster_forget(client: Client) -> None:
    future = client.submit(inc, 12345)
    future.result(10)
    key = future.key
    assert key in client.futures
    del future
    gc.collect()
    client.who_has([key])  # may leave in one batch with the release, and before it
    assert client.who_has([key]) == {key: []}  # this question travels behind it
    assert key not in client.futures


def test_release_lets_go_at_once_and_only_once(client: Client) -> None:
    a, b = client.submit(inc, 4321), client.submit(inc, 4321)
    a.result(10)
    a.release()
    a.release()
    assert a.status == "cancelled"
    del a
    assert b.result() == 4322


def test_a_dependency_lives_as_long_as_its_dependants_need_it(client: Client, held: Held) -> None:
    first = client.submit(held, 1, pure=False)
    second = client.submit(inc, first)
    del first
    gc.collect()
    held.gate.set()
    assert second.result(10) == 2


def test_functions_are_forgotten_with_their_last_user(client: Client) -> None:
    def local(x: int) -> int:
        return x * 2

    assert client.submit(local, 4).result(10) == 8
    ref = weakref.ref(local)
    functions = len(client._session.state.functions)
    del local
    gc.collect()
    client.who_has([])
    assert len(client._session.state.functions) < functions or ref() is not None


def test_a_changed_function_is_another_function(client: Client) -> None:
    scale = 2

    def times(x: int) -> int:
        return x * scale

    assert client.submit(times, 10).result(10) == 20
    scale = 3
    assert client.submit(times, 10).result(10) == 30


def test_by_reference_in_one_process(client: Client) -> None:
    box: list[int] = [1]
    lock = threading.Lock()  # cannot be pickled

    def same(x: Any) -> bool:
        return x is box and lock is not None

    assert client.submit(same, box).result(10) is True
    assert client.submit(operator.attrgetter("locked"), lock).result(10)() is False
    assert client.scatter({"box": box})["box"].result() is box


def test_futures_of_and_fire_and_forget(client: Client) -> None:
    done = threading.Event()
    a, b = client.submit(inc, 1), client.submit(inc, 2)
    assert futures_of([a, {"x": (b, a)}]) == [a, b]
    assert futures_of(5) == []
    fire_and_forget(client.submit(done.set, pure=False))
    assert done.wait(10)
    with pytest.raises(TypeError, match="takes futures"):
        fire_and_forget(5)


def test_a_future_of_a_key(client: Client) -> None:
    first = client.submit(inc, 77, key="seventy-eight")
    again = Future("seventy-eight", client)
    assert again.result(10) == 78
    del first
    assert again.result(10) == 78
    nobody = Future("never-submitted", client)
    assert nobody.exception(10) is not None
    with pytest.raises(TypeError, match="a key is a string"):
        Future(5, client)  # type: ignore[arg-type]  # on purpose


def test_a_pickled_future_finds_its_client(client: Client) -> None:
    future = client.submit(inc, 1)
    with client.as_current():
        copy = pickle.loads(pickle.dumps(future))
    assert copy.client is client
    assert copy.key == future.key
    assert copy.result(10) == 2


def test_map_takes_what_the_builtin_takes(client: Client) -> None:
    assert client.gather(client.map(inc, range(5))) == [1, 2, 3, 4, 5]
    assert client.gather(client.map(inc, (i for i in range(3)))) == [1, 2, 3]
    assert client.gather(client.map(operator.add, [1, 2, 3], [10, 20])) == [11, 22]
    assert client.gather(client.map(pow, [2, 3], exp=2)) == [4, 9]
    assert client.map(inc, []) == []
    numpy = pytest.importorskip("numpy")
    assert client.gather(client.map(inc, numpy.arange(3))) == [1, 2, 3]
    assert client.gather(client.map(inc, client.map(inc, [1, 2]))) == [3, 4]
    assert client.gather(client.map(inc, range(300), batch_size=7)) == list(range(1, 301))
    assert len({future.key for future in client.map(inc, [1, 1], pure=False)}) == 2


def test_many_threads_share_one_client(client: Client) -> None:
    results: dict[int, list[int]] = {}

    def work(number: int) -> None:
        futures = [client.submit(inc, i) for i in range(20)] + client.map(inc, range(20))
        results[number] = client.gather(futures)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 30
    assert all(values == list(range(1, 21)) * 2 for values in results.values())


def test_priorities_come_first(client: Client, held: Held) -> None:
    order: list[int] = []
    blockers = [client.submit(held, pure=False) for _ in range(2)]
    low = [client.submit(order.append, i, pure=False) for i in range(3)]
    high = [client.submit(order.append, i, priority=10, pure=False) for i in range(10, 13)]
    held.gate.set()
    client.gather([*blockers, *low, *high])
    assert max(order.index(i) for i in range(10, 13)) < max(order.index(i) for i in range(3))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda c: c.submit(5), TypeError, "5 is not callable"),
        (lambda c: c.map(5, [1]), TypeError, "5 is not callable"),
        (lambda c: c.map(inc), TypeError, "at least one iterable"),
        (lambda c: c.map(inc, 5), TypeError, "takes iterables, not int"),
        (lambda c: c.map(inc, c.submit(inc, 1)), TypeError, "a future is none"),
        (lambda c: c.submit(inc, 1, key=5), TypeError, "a key is a string, not 5"),
        (lambda c: c.submit(inc, 1, retries=-1), ValueError, "retries"),
        (lambda c: c.submit(inc, 1, priority="high"), TypeError, "priority"),
        (lambda c: c.submit(inc, 1, resources={"GPU": -1}), ValueError, "GPU"),
        (lambda c: c.submit(inc, 1, resources=["GPU"]), TypeError, "resources"),
        (lambda c: c.submit(inc, 1, workers=3.5), TypeError, "workers"),
        (lambda c: c.submit(inc, 1, allow_other_workers=True), ValueError, "allow_other_workers"),
        (lambda c: c.map(inc, [1], batch_size=0), ValueError, "batch_size"),
        (lambda c: c.gather([c.submit(inc, 1)], errors="loud"), ValueError, "loud"),
        (lambda c: c.cancel(5), TypeError, "cancel takes futures"),
        (lambda c: c.wait_for_workers(-1), ValueError, "-1"),
        (lambda c: c.wait_for_workers(9, timeout="10 ms"), TimeoutError, "9"),
        (lambda c: c.gather(c.submit(inc, 1), wrong=1), TypeError, "wrong"),
    ],
)
def test_bad_input_gets_one_clear_error(client: Client, call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call(client)
    assert client.submit(inc, 1).result(10) == 2


def test_a_worker_that_does_not_exist_is_waited_for_and_the_repr_says_so(client: Client) -> None:
    future = client.submit(inc, 1, workers="nobody")
    assert "no worker matches nobody" in repr(future)
    greedy = client.map(inc, [2], resources={"GPU": 4})[0]
    assert "GPU=4" in repr(greedy)
    assert "GPU=4" in future._repr_html_() + greedy._repr_html_()
    here = next(iter(client.nthreads()))
    assert client.submit(inc, 3, workers=here).result(10) == 4


def test_two_clients_of_one_cluster_and_of_two() -> None:
    with Client(processes=False, threads_per_worker=1) as a, Client(a.cluster) as b, Client(processes=False, threads_per_worker=1) as other:
        x = a.submit(inc, 1)
        y = b.submit(inc, x)
        assert y.result(10) == 3
        assert b.submit(inc, 1).key == x.key
        with pytest.raises(ValueError, match="another cluster"):
            other.submit(inc, x)
        with pytest.raises(ValueError, match="another cluster"):
            other.gather([x])
        z = b.submit(inc, 50)
        z.result(10)
        same = a.submit(inc, 50)
        same.result(10)
        a.cancel(same)
        assert same.cancelled()
        assert z.result(10) == 51  # another client wants it


def test_everything_ends_with_the_client() -> None:
    client = Client(processes=False, threads_per_worker=1)
    done, waiting = client.submit(inc, 1), client.submit(inc, 2, workers="nobody")
    done.result(10)
    client.close()
    client.close()
    assert (done.status, waiting.status, client.status) == ("cancelled", "cancelled", "closed")
    with pytest.raises(CancelledError, match="closed"):
        waiting.result()
    from jupyterfut.errors import ClosedError

    for call in (lambda: client.submit(inc, 1), lambda: client.map(inc, [1]), lambda: client.scatter(1), lambda: client.nthreads()):
        with pytest.raises(ClosedError):
            call()
    assert "closed" in repr(client)


def test_a_result_that_cannot_be_pickled_is_an_error_of_the_future() -> None:
    assert issubclass(SerializationError, TypeError)


def test_a_raised_error_does_not_keep_the_raisers_variables(client: Client) -> None:
    class Precious:
        pass

    failed = client.submit(div, 1, 0)
    client.gather([failed], errors="skip")

    def handle() -> weakref.ref[Precious]:
        precious = Precious()
        with pytest.raises(ZeroDivisionError):
            failed.result(10)
        return weakref.ref(precious)

    ref = handle()
    gc.collect()
    assert ref() is None
    assert failed.exception() is not failed.exception()
