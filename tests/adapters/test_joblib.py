"""joblib's loops on a client, from the outside and inside tasks, and scikit-learn on top of them."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import joblib
import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_backend, parallel_config

from jupyterfut import Client, get_client, get_worker


@pytest.fixture(params=["one process", "processes"])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Of its own for each test: its thread for callbacks starts with the first loop."""
    with Client(processes=request.param == "processes", n_workers=2, threads_per_worker=1) as client:
        yield client


def square(x: int) -> int:
    return x * x


def test_a_loop(client: Client) -> None:
    with parallel_config("jupyterfut"):
        assert Parallel()(delayed(square)(i) for i in range(1000)) == [i * i for i in range(1000)]
        assert Parallel()(delayed(square)(i) for i in range(0)) == []
        assert Parallel(batch_size=1)(delayed(square)(i) for i in range(50)) == [i * i for i in range(50)]
        assert Parallel(n_jobs=2, batch_size=7, pre_dispatch="all")(delayed(square)(i) for i in range(50)) == [i * i for i in range(50)]
        where = {name for name in Parallel(batch_size=1)(delayed(lambda: str(get_worker().name))() for _ in range(20)) if name}
    assert where == {"0", "1"}
    with parallel_backend("jupyterfut", n_jobs=2):
        assert Parallel()(delayed(square)(i) for i in range(10)) == [i * i for i in range(10)]
    assert Parallel(backend="jupyterfut", n_jobs=2)(delayed(square)(i) for i in range(10)) == [i * i for i in range(10)]
    client.scheduler_info()
    assert not client.futures


def test_generators(client: Client) -> None:
    with parallel_config("jupyterfut"):
        assert list(Parallel(return_as="generator")(delayed(square)(i) for i in range(20))) == [i * i for i in range(20)]
        assert sorted(Parallel(return_as="generator_unordered")(delayed(square)(i) for i in range(20))) == [i * i for i in range(20)]


def test_n_jobs(client: Client) -> None:
    with parallel_config("jupyterfut"):
        assert joblib.effective_n_jobs(-1) == 2
        assert joblib.effective_n_jobs(3) == 3
        assert Parallel(n_jobs=1)(delayed(threading.current_thread)() for _ in range(2)) == [threading.current_thread()] * 2
        with pytest.raises(ValueError, match="n_jobs == 0"):
            Parallel(n_jobs=0)(delayed(square)(i) for i in range(2))


def test_one_thread_is_a_cluster_too() -> None:
    with Client(processes=False, n_workers=1, threads_per_worker=1), parallel_config("jupyterfut"):
        names = Parallel()(delayed(lambda: threading.current_thread().name)() for _ in range(3))
    assert all(name.endswith("-task") for name in names)


def test_the_original_exception_and_the_next_loop(client: Client) -> None:
    def picky(x: int) -> int:
        if x == 5:
            raise KeyError("five")
        return x

    with parallel_config("jupyterfut"):
        with pytest.raises(KeyError, match="five"):
            Parallel(batch_size=1)(delayed(picky)(i) for i in range(40))
        assert Parallel()(delayed(picky)(i) for i in range(5)) == list(range(5))


def test_what_cannot_be_sent_fails_the_loop() -> None:
    with Client(n_workers=1, threads_per_worker=1), parallel_config("jupyterfut"):
        with pytest.raises(TypeError, match="pickle"):
            Parallel(batch_size=1)(delayed(id)(i if i < 30 else threading.Lock()) for i in range(40))  # found in a callback
        with pytest.raises(TypeError, match="pickle"):
            Parallel()(delayed(id)(threading.Lock()) for _ in range(2))
        assert Parallel()(delayed(square)(i) for i in range(3)) == [0, 1, 4]


def test_loops_inside_calls(client: Client) -> None:
    def outer(n: int) -> Any:
        return sum(Parallel()(delayed(square)(i) for i in range(n))), type(joblib.parallel.get_active_backend()[0]).__name__

    with parallel_config("jupyterfut"):
        assert Parallel()(delayed(outer)(n) for n in range(5)) == [(sum(i * i for i in range(n)), "JupyterfutBackend") for n in range(5)]


def test_a_loop_inside_a_task(client: Client) -> None:
    def task(n: int) -> list[int]:
        from joblib import Parallel, delayed, parallel_config

        with parallel_config("jupyterfut"):
            return list(Parallel(n_jobs=2, batch_size=1)(delayed(abs)(-i) for i in range(n)))

    assert client.gather([client.submit(task, n) for n in (3, 4, 5)]) == [[0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4]]


def test_large_arrays_are_scattered_once() -> None:
    data = np.arange(100_000.0)
    with Client(n_workers=2, threads_per_worker=1) as client, parallel_config("jupyterfut"):
        results = Parallel(batch_size=1)(delayed(lambda x, i: (len(get_client().has_what()), x.sum() + i))(data, i) for i in range(8))
        assert [total for _, total in results] == [data.sum() + i for i in range(8)]
        seen = Parallel(batch_size=1)(
            delayed(lambda x: sorted({key for keys in get_client().has_what().values() for key in keys if key.startswith("ndarray-")}))(data)
            for _ in range(8)
        )
        assert {len(keys) for keys in seen} <= {0, 1}
        client.scheduler_info()
        assert not client.futures


def test_data_put_on_every_worker_beforehand(client: Client) -> None:
    data = np.arange(20_000.0)
    with parallel_config("jupyterfut", scatter=[data]):
        assert Parallel(batch_size=1)(delayed(lambda x, i: x[i])(data, i) for i in range(4)) == [0, 1, 2, 3]
    with pytest.raises(TypeError, match="scatter takes a list"), parallel_config("jupyterfut", scatter=data):
        pass


def test_options(client: Client) -> None:
    with parallel_config("jupyterfut", workers="1"):
        assert set(Parallel(batch_size=1)(delayed(lambda: str(get_worker().name))() for _ in range(6))) == {"1"}
    with pytest.raises(TypeError, match="no option 'nix' .there are: workers,"), parallel_config("jupyterfut", nix=1):
        pass


def test_without_a_client() -> None:
    with Client(processes=False, n_workers=1, threads_per_worker=1):
        pass
    with pytest.raises(ValueError, match="there is no client"), parallel_config("jupyterfut"):
        pass


def test_whichever_is_imported_first() -> None:
    for lines in (["import joblib", "from jupyterfut import Client", "client = Client(processes=False)"],
                  ["from jupyterfut import Client", "client = Client(processes=False)", "import joblib"]):  # fmt: skip
        loop = "    print(joblib.Parallel()(joblib.delayed(abs)(-i) for i in range(3)))"
        code = "\n".join([*lines, "with joblib.parallel_config('jupyterfut'):", loop, "client.close()"])
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout.strip()) == (0, "[0, 1, 2]"), done.stderr


def test_scikit_learn() -> None:
    from sklearn.datasets import make_classification
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    features, labels = make_classification(200, 10, random_state=0)
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=3)
    with Client(n_workers=2, threads_per_worker=1), parallel_config("jupyterfut"):
        search.fit(features, labels)
    assert search.best_params_["C"] in (0.1, 1.0)
    assert search.score(features, labels) > 0.7
