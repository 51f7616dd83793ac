"""dask's collections on a client: computed, persisted, made of futures, inside tasks."""

from __future__ import annotations

import asyncio
import gc
import operator
import pickle
import threading
from typing import Any

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from jupyterfut import CancelledError, Client, Future, as_completed, futures_of, get_client, get_worker, wait


@dask.delayed
def inc(x: int) -> int:
    return x + 1


@dask.delayed
def add(x: int, y: int) -> int:
    return x + y


def forgotten(client: Client) -> None:
    """Nobody holds anything, here or there. (dask's collections are cycles; what their end says to the scheduler goes before the second question.)"""
    gc.collect()
    client.scheduler_info()
    assert not client.futures
    assert not any(client.scheduler_info()["tasks"].values())


def test_delayed(client: Client) -> None:
    assert add(inc(1), inc(2)).compute() == 5


def test_delayed_in_containers_and_keywords(client: Client) -> None:
    total = dask.delayed(sum)([inc(1), inc(2), 3])
    table = dask.delayed(dict)(a=inc(1), b=[inc(2), (inc(3),)])
    assert dask.compute(total, table, 7) == (8, {"a": 2, "b": [3, (4,)]}, 7)


def test_dask_compute_keeps_the_shape(client: Client) -> None:
    assert dask.compute({"a": inc(1), "b": [inc(2), 5]}, [inc(0)]) == ({"a": 2, "b": [3, 5]}, [1])


def test_functions_of_main_travel_once_and_right(client: Client) -> None:
    base = 10
    parts = [dask.delayed(lambda x: x + base)(i) for i in range(200)]
    assert dask.delayed(sum)(parts).compute() == sum(range(200)) + 2000


def test_array(client: Client) -> None:
    x = da.arange(100, chunks=7).reshape(10, 10)
    assert (x + x.T).sum().compute() == 2 * 4950
    x = x.rechunk(5)
    np.testing.assert_array_equal((x @ x).compute(), np.arange(100).reshape(10, 10) @ np.arange(100).reshape(10, 10))


def test_array_from_large_chunks(client: Client) -> None:
    data = np.random.default_rng(0).random((400, 400))
    assert da.from_array(data, chunks=(200, 400)).sum().compute() == pytest.approx(data.sum())


def test_bag(client: Client) -> None:
    bag = db.from_sequence(range(100), npartitions=9)
    assert bag.map(lambda x: x * x).filter(lambda x: x % 2 == 0).sum().compute() == sum(x * x for x in range(0, 100, 2))
    assert sorted(bag.groupby(lambda x: x % 3).map(lambda pair: (pair[0], len(pair[1]))).compute()) == [(0, 34), (1, 33), (2, 33)]


def test_dataframe(client: Client) -> None:
    frame = pd.DataFrame({"a": np.arange(60) % 3, "b": np.arange(60.0)})
    ours = dd.from_pandas(frame, npartitions=5)
    pd.testing.assert_series_equal(ours.groupby("a").b.mean().compute(), frame.groupby("a").b.mean())
    assert len(ours[ours.b > 29]) == 30
    assert ours.merge(ours, on="a").shape[0].compute() == 3 * 20 * 20


def test_compute_gives_futures(client: Client) -> None:
    one, two = client.compute([inc(1), 5])
    assert isinstance(one, Future)
    assert (one.result(), two) == (2, 5)
    assert client.compute(inc(2)).result() == 3
    assert client.compute([inc(1), inc(2)], sync=True) == [2, 3]
    assert client.gather(client.compute({"a": inc(1)})) == {"a": 2}
    assert client.compute({"a": inc(1)}, traverse=False) is not None


def test_compute_without_optimizing(client: Client) -> None:
    assert client.compute(da.ones(10, chunks=3).sum(), optimize_graph=False).result() == 10


def test_persisted_collections_stand_on_futures(client: Client) -> None:
    x = da.arange(12, chunks=3).persist()
    assert len(futures_of(x)) == 4
    wait(x)
    assert {future.status for future in futures_of(x)} == {"finished"}
    assert (x + 1).sum().compute() == 78
    b, d = dask.persist(db.range(9, npartitions=3), inc(1))
    f = dd.from_pandas(pd.DataFrame({"a": range(6)}), npartitions=2).persist()
    assert (b.sum().compute(), d.compute(), f.a.sum().compute()) == (36, 2, 15)
    assert [len(futures_of(one)) for one in (b, d, f)] == [3, 1, 2]


def test_what_is_persisted_runs_once(client: Client) -> None:
    calls = client.submit(list, pure=False)
    x = dask.delayed(lambda: object())().persist()
    first, second = client.compute([dask.delayed(id)(x), dask.delayed(id)(x)])
    assert len(futures_of(x)) == 1
    wait([first, second, calls])
    assert client.compute(dask.delayed(type)(x)).result() is object


def test_client_persist_takes_one_or_a_list(client: Client) -> None:
    assert client.persist(inc(1)).compute() == 2
    assert [one.compute() for one in client.persist([inc(1), inc(2)])] == [2, 3]
    with pytest.raises(TypeError, match="takes dask collections, not int"):
        client.persist(1)


def test_nothing_stays_behind(client: Client) -> None:
    x = da.ones((20, 20), chunks=5).persist()
    assert x.sum().compute() == 400
    del x
    forgotten(client)


def test_futures_in_collections(client: Client) -> None:
    one, two = client.submit(int, 1), client.submit(int, "2")
    assert inc(one).compute() == 2
    assert dask.delayed(sum)([one, two, 3]).compute() == 6
    assert dask.delayed(lambda table: sorted(table.values()))({"a": one, "b": (two, one)[0]}).compute() == [1, 2]
    assert dask.delayed(one).compute() == 1
    assert add(dask.delayed(one), y=two).compute() == 3
    assert inc(inc(inc(one))).compute() == 4  # fused or not


def test_collections_from_futures(client: Client) -> None:
    frames = client.map(lambda i: pd.DataFrame({"a": [i, i + 1]}), range(4))
    assert dd.from_delayed(frames, meta=pd.DataFrame({"a": [1]})).a.sum().compute() == 16
    chunks = [client.submit(np.full, 3, float(i)) for i in range(3)]
    x = da.concatenate([da.from_delayed(chunk, (3,), float) for chunk in chunks])
    assert (x + 1).sum().compute() == 18
    assert db.from_delayed([dask.delayed(future) for future in client.map(lambda n: list(range(n)), range(4))]).sum().compute() == 4


def test_get(client: Client) -> None:
    graph = {"x": 1, "y": (operator.add, "x", 1), ("z", 0): (sum, ["x", "y", 10]), "alias": "y"}
    assert client.get(graph, "y") == 2
    assert client.get(graph, [("z", 0), ["x", "alias"], []]) == [13, [1, 2], []]
    future = client.get(graph, ("z", 0), sync=False)
    assert future.key == "('z', 0)"
    assert future.result() == 13


def test_get_takes_futures_in_graphs(client: Client) -> None:
    future = client.submit(int, 5)
    assert client.get({"x": future, "y": (operator.add, "x", 1), "z": (operator.add, "y", future)}, ["x", "z"]) == [5, 11]


def test_get_of_a_key_that_is_not_there(client: Client) -> None:
    with pytest.raises(ValueError, match="the graph has no key 'nix'"):
        client.get({"x": 1}, "nix")


def test_a_cycle_is_an_error_that_names_it_and_the_cluster_goes_on(client: Client) -> None:
    with pytest.raises(ValueError, match="cycle: (x -> y|y -> x)"):
        client.get({"x": (abs, "y"), "y": (abs, "x")}, "x")
    assert client.get({"x": (abs, -1)}, "x") == 1
    forgotten(client)


def test_the_original_exception(client: Client) -> None:
    def broken(x: int) -> float:
        return x / 0

    with pytest.raises(ZeroDivisionError):
        inc(dask.delayed(broken)(1)).compute()
    future = client.compute(inc(dask.delayed(broken)(1)))
    assert isinstance(future.exception(), ZeroDivisionError)
    assert inc(1).compute() == 2


def test_a_key_that_failed_can_be_computed_again(client: Client) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        client.get({"again": (divmod, 1, 0)}, "again")
    client.scheduler_info()  # a word of the scheduler's later
    assert client.get({"again": (divmod, 1, 1)}, "again") == (1, 0)
    assert caught.value.args


def test_persisted_and_cancelled(client: Client) -> None:
    x = da.arange(10, chunks=5).persist()
    client.cancel(x)
    with pytest.raises(CancelledError, match="is not known any more"):
        (x + 1).sum().compute()
    assert da.arange(10, chunks=5).sum().compute() == 45


def test_published(client: Client) -> None:
    client.publish_dataset(x=da.arange(10, chunks=5).persist())
    assert client.get_dataset("x").sum().compute() == 45
    client.unpublish_dataset("x")


def test_coroutine_functions(client: Client) -> None:
    async def later(x: int) -> int:
        return x + 1

    assert inc(dask.delayed(later)(1)).compute() == 3


def test_what_cannot_be_pickled_fails_at_once(processes: Client) -> None:
    with processes.as_current(), pytest.raises(TypeError, match="pickle"):
        dask.delayed(type)(threading.Lock()).compute()
    assert processes.compute(inc(1)).result() == 2


def test_options_and_annotations(client: Client) -> None:
    worker = next(iter(client.scheduler_info()["workers"]))
    name = str(client.scheduler_info()["workers"][worker]["name"])
    where = dask.delayed(lambda: str(get_worker().name), pure=False)
    assert client.compute([where() for _ in range(4)], workers=name, sync=True) == [name] * 4
    with dask.annotate(workers=[name], retries=2):
        lazy = [where() for _ in range(4)]
    assert dask.compute(*lazy, optimize_graph=False) == (name,) * 4
    with dask.annotate(workers=name):
        assert dask.compute(where(), where()) == (name, name)
    with pytest.raises(ValueError, match="retries"):
        client.compute(inc(1), retries=-1)


def test_retries(client: Client) -> None:
    def once(name: str) -> str:
        if get_client().get_metadata([name], 0) == 0:
            get_client().set_metadata([name], 1)
            raise OSError("not yet")
        return "done"

    assert client.compute(dask.delayed(once)(f"tried-{id(client)}"), retries=1).result() == "done"


def test_a_graph_of_thousands(client: Client) -> None:
    parts: list[Any] = [inc(i) for i in range(1000)]
    while len(parts) > 1:
        parts = [dask.delayed(sum)(parts[i : i + 8]) for i in range(0, len(parts), 8)]
    assert parts[0].compute() == sum(range(1, 1001))


# --- inside tasks


@dask.delayed
def fib(n: int) -> int:
    if n < 2:
        return n
    a = fib(n - 1)
    b = fib(n - 2)
    a, b = dask.compute(a, b)
    return int(a + b)


@pytest.mark.parametrize("threads", [1, 2])
def test_fib_on_one_worker(threads: int) -> None:
    with Client(processes=False, n_workers=1, threads_per_worker=threads):
        assert fib(8).compute() == 21


def test_fib_in_processes(processes: Client) -> None:
    with processes.as_current():
        assert fib(7).compute() == 13


def test_collections_inside_a_task(client: Client) -> None:
    def task(n: int) -> tuple[Any, int]:
        import dask.array

        x = dask.array.ones(n, chunks=2).persist()
        return x.sum().compute(), len(futures_of(x))

    assert client.submit(task, 6).result() == (6.0, 3)


def test_persisted_collections_travel(client: Client) -> None:
    x = da.arange(10, chunks=3).persist()
    assert client.submit(lambda x: int(x.sum().compute()), x).result() == 45
    with client.as_current():
        again = pickle.loads(pickle.dumps(x))
    assert (again + 1).sum().compute() == 55
    assert futures_of(again)[0].key == futures_of(x)[0].key


# --- who computes


def test_two_clients_of_one_cluster(processes: Client) -> None:
    with processes.as_current():
        x = da.arange(10, chunks=5).persist()
    with Client(processes.address, set_as_default=False) as other, other.as_current():
        assert (x + 1).sum().compute() == 55


def test_futures_of_another_cluster(processes: Client) -> None:
    with processes.as_current():
        x = da.arange(10, chunks=5).persist()
    with Client(processes=False, n_workers=1, threads_per_worker=1), pytest.raises(ValueError, match="another cluster"):
        (x + 1).sum().compute()


def test_threads_share_a_client(client: Client) -> None:
    results: dict[int, int] = {}

    def work(number: int) -> None:
        with client.as_current():
            results[number] = dask.delayed(sum)([inc(i) for i in range(number)]).compute()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: sum(range(1, number + 1)) for number in range(8)}


def test_asynchronous_client() -> None:
    async def story() -> None:
        async with Client(processes=False, n_workers=1, threads_per_worker=2, asynchronous=True) as client:
            future = client.compute(add(inc(1), 2))
            assert await future == 4
            assert await client.gather(client.compute([inc(1), inc(2)])) == [2, 3]
            assert await client.compute(inc(1), sync=True) == 2
            assert await client.get({"x": (abs, -1)}, ["x"]) == [1]
            x = await da.arange(6, chunks=2).persist()
            assert {one.status for one in futures_of(x)} == {"finished"}
            assert await client.compute(x.sum()) == 15
            assert [await one async for one in as_completed(client.compute([inc(1)]))] == [2]
            with pytest.raises(RuntimeError, match="asynchronous client"):
                inc(1).compute()
            with dask.config.set({"admin.async-client-fallback": "sync"}), pytest.warns(UserWarning, match="falls back"):
                assert inc(1).compute() == 2

    asyncio.run(story())


def test_awaiting_a_collection_of_a_synchronous_client(client: Client) -> None:
    async def story() -> int:
        x = await da.arange(6, chunks=2).persist()
        return len([one for one in futures_of(x) if one.done()])

    assert asyncio.run(story()) == 3
