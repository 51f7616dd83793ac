"""How dask finds a client, and when it must not."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading

import dask

from jupyterfut import Client


@dask.delayed
def where() -> str:
    return threading.current_thread().name


def in_a_new_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_client_made_before_dask_is_imported() -> None:
    assert in_a_new_process("""
import sys
from jupyterfut import Client
with Client(processes=False) as client:
    assert "dask" not in sys.modules
    import dask
    print(dask.delayed(lambda: __import__("threading").current_thread().name)().compute())
    assert dask.config.get("scheduler")
assert dask.config.get("scheduler", None) is None
""").endswith("-task")


def test_neither_the_package_nor_a_client_imports_dask_or_joblib() -> None:
    assert in_a_new_process("""
import sys, jupyterfut
with jupyterfut.Client(processes=False) as client:
    client.submit(abs, -1).result()
print(sorted({"dask", "joblib", "numpy"} & set(sys.modules)))
""") == "[]"


def test_a_client_made_while_another_thread_imports_dask() -> None:
    assert in_a_new_process("""
import threading
from jupyterfut import Client
thread = threading.Thread(target=__import__, args=("dask",))
thread.start()
with Client(processes=False) as client:
    thread.join()
    import dask
    print(dask.delayed(lambda: __import__("threading").current_thread().name)().compute())
""").endswith("-task")


def test_closing_the_client_leaves_dask_as_it_was() -> None:
    from dask.base import DaskMethodsMixin

    before = dict(dask.config.config), list(dask.config.defaults), DaskMethodsMixin.__await__
    with Client(processes=False), Client(processes=False):
        assert dask.config.get("scheduler")
    assert (dict(dask.config.config), list(dask.config.defaults), DaskMethodsMixin.__await__) == before
    assert where().compute(scheduler="sync") == threading.current_thread().name
    assert dask.base.get_scheduler() is None


def test_a_client_that_was_dropped_is_none() -> None:
    client = Client(processes=False)
    del client
    with Client(processes=False):  # until now it was the default client, which needs no name
        gc.collect()
    assert not dask.config.get("scheduler", None)


def test_what_the_user_sets_wins() -> None:
    with Client(processes=False):
        assert where().compute().endswith("-task")
        assert where().compute(scheduler="sync") == threading.current_thread().name
        with dask.config.set(scheduler="sync"):
            assert where().compute() == threading.current_thread().name
        assert where().compute().endswith("-task")


def test_what_the_user_had_set_wins() -> None:
    with dask.config.set(scheduler="sync"):
        with Client(processes=False):
            assert where().compute() == threading.current_thread().name
        assert dask.config.get("scheduler") == "sync"
    assert dask.config.get("scheduler", None) is None


def test_a_client_that_is_no_default_is_asked_by_name_only() -> None:
    with Client(processes=False, set_as_default=False) as client:
        assert dask.base.get_scheduler() is None
        assert where().compute(scheduler=client).endswith("-task")
        with client.as_current():
            assert where().compute().endswith("-task")
        assert dask.base.get_scheduler() is None


def test_nested_clients() -> None:
    with Client(processes=False, name="outer") as outer, Client(processes=False, name="inner") as inner:
        one = dask.delayed(abs)(-1).persist()
        with outer.as_current():
            other = dask.delayed(abs)(-2).persist()
        assert [one.key in client.futures for client in (outer, inner)] == [False, True]
        assert [other.key in client.futures for client in (outer, inner)] == [True, False]


def test_configuration_can_be_refreshed_with_a_client() -> None:
    with Client(processes=False):
        dask.config.refresh()
        assert where().compute().endswith("-task")
    dask.config.refresh()
    assert dask.config.get("scheduler", None) is None
