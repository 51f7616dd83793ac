"""The client over a cluster of processes: what has to be pickled, what a worker process may do to itself, and scripts without a guard."""

from __future__ import annotations

import operator
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyterfut import Client, KilledWorker, as_completed, get_client
from jupyterfut.errors import RemoteError, SerializationError


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client(n_workers=2, threads_per_worker=1, set_as_default=False) as client:
        # The connections for large results are opened when first needed, and kept: now, so that no test seems to leave one behind.
        client.gather([client.submit(bytes, 100_000, workers=worker, pure=False) for worker in client.nthreads()])
        yield client


def inc(x: int) -> int:
    return x + 1


class Unpicklable:
    def __reduce__(self) -> Any:
        raise TypeError("not me")


class Poison:
    """Can be pickled, and not unpickled."""

    def __reduce__(self) -> Any:
        return _explode, ()


def _explode() -> None:
    raise ValueError("a bad arrival")


class Stubborn(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")
        self.lock = threading.Lock()


def raise_stubborn() -> None:
    raise Stubborn(1, 2)


def test_many_calls(client: Client) -> None:
    futures = client.map(inc, range(5000))
    assert client.gather(futures) == list(range(1, 5001))
    assert client.gather(client.submit(sum, futures)) == sum(range(1, 5001))


def test_what_cannot_be_pickled_fails_in_submit(client: Client) -> None:
    lock = threading.Lock()
    for call in (
        lambda: client.submit(inc, lock),
        lambda: client.submit(inc, x=[lock]),
        lambda: client.submit(lambda: lock),
        lambda: client.map(inc, [1, lock]),
        lambda: client.scatter({"x": lock}),
        lambda: client.submit(inc, Unpicklable()),
    ):
        with pytest.raises(SerializationError, match="cannot pickle"):
            call()
    assert client.submit(inc, 1).result(20) == 2


def test_what_cannot_be_unpickled_or_sent_back_is_the_futures_error(client: Client) -> None:
    poisoned = client.submit(inc, Poison())
    error = poisoned.exception(20)
    chain = [error, error.__cause__] if error.__cause__ is not None else [error]
    assert any("a bad arrival" in str(one) for one in chain)
    with pytest.raises(SerializationError):
        client.submit(threading.Lock).result(20)
    with pytest.raises((RemoteError, Stubborn), match="1 and 2"):
        client.submit(raise_stubborn).result(20)


def test_a_call_that_ends_its_process_is_tried_elsewhere_and_given_up() -> None:
    with Client(n_workers=2, threads_per_worker=1) as client:
        future = client.submit(os._exit, 3)
        with pytest.raises(KilledWorker, match=future.key):
            future.result(60)
        client.wait_for_workers(2, timeout=60)
        assert client.gather(client.map(inc, range(10))) == list(range(1, 11))


def explore(n: int) -> int:
    client = get_client()
    return sum(result for _, result in as_completed(client.map(inc, range(n)), with_results=True))


def test_tasks_from_tasks_in_processes(client: Client) -> None:
    assert client.gather(client.map(explore, [3, 4, 5])) == [6, 10, 15]


def test_large_values_travel_both_ways(client: Client) -> None:
    numpy = pytest.importorskip("numpy")
    data = numpy.arange(1_000_000)
    future = client.scatter(data)
    assert client.submit(numpy.sum, future).result(20) == data.sum()
    doubled = client.submit(operator.mul, future, 2)
    assert (doubled.result(20) == data * 2).all()
    assert doubled.type == "numpy.ndarray"
    assert (client.gather([future, doubled])[0] == data).all()


def test_a_changed_closure_is_seen_by_the_next_call(client: Client) -> None:
    factor = [2]

    def times(x: int) -> int:
        return x * factor[0]

    assert client.submit(times, 4).result(20) == 8
    factor[0] = 3
    assert client.submit(times, 4).result(20) == 12


def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        from jupyterfut import Client

        print("once")
        client = Client(n_workers=2, threads_per_worker=1)

        def inc(x):
            return x + 1

        print(client.gather(client.map(inc, [1, 2])))
        """)  # and it ends without closing anything
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[2], env=_environment()
    )
    assert done.stdout.splitlines() == ["once", "[2, 3]"]
    assert done.returncode == 0
    assert done.stderr == ""


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])}


def test_the_import_is_light() -> None:
    code = """if True:
        import sys, time
        start = time.perf_counter()
        import jupyterfut
        print(time.perf_counter() - start, *[name in sys.modules for name in ("asyncio", "typing")])
    """
    times = []
    for _ in range(5):
        start = time.monotonic()
        out = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, timeout=60, check=True, env=_environment(), cwd="/")
        seconds, heavy, typing = out.stdout.split()
        assert (heavy, typing) == ("False", "False")
        times.append(float(seconds))
        assert time.monotonic() - start < 30
    assert min(times) < 0.06
