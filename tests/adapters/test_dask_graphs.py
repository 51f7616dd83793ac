"""From graphs to rows, without a cluster: names, order, what a row says, and what a worker makes of it."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from operator import add
from typing import Any

import dask.array as da
import pytest
from dask._expr import FinalizeCompute
from dask._task_spec import Alias, DataNode, Dict, GraphNode, List, Set, Task, TaskRef, Tuple, convert_legacy_graph
from dask.base import collections_to_expr
from dask.core import flatten
from dask.order import order as dask_order

from jupyterfut import Client, Future, futures_of
from jupyterfut.adapters import calls
from jupyterfut.adapters.dask_graphs import _call, _resolved
from jupyterfut.adapters.dask_order import depth_first, with_last_users_first
from jupyterfut.serde.calls import loads_call
from jupyterfut.serde.parts import Parts


def value_of(node: GraphNode, results: dict[Any, Any]) -> Any:
    """As a worker makes it: through a pickle, with the results in place."""
    needed: dict[Any, int] = {}
    payload, holds = Parts(calls.shared, "token").dumps(_call(node, needed))
    assert holds == []
    assert set(needed) == set(node.dependencies)
    args, kwargs = loads_call(payload, [results[key] for key in needed])
    return calls.run(*args, **kwargs)


def test_tasks() -> None:
    results = {"a": 1, ("b", 0): 2}
    a, b = TaskRef("a"), TaskRef(("b", 0))
    assert value_of(Task("k", add, a, b), results) == 3
    assert value_of(Task("k", dict, x=a, y=[b, 3]), results) == {"x": 1, "y": [b, 3]}  # dask looks for references where it has put them only
    assert value_of(Task("k", list, List(a, Tuple(b, 5), Set(a), Dict({"z": b}))), results) == [1, (2, 5), {1}, {"z": 2}]
    assert value_of(Task("k", add, Task(None, add, a, 10), b), results) == 13
    assert value_of(Task("k", add, Alias("a"), DataNode("d", 5)), results) == 6
    assert value_of(Alias("k", "a"), results) == 1
    assert value_of(DataNode("k", [1, (2,)]), {}) == [1, (2,)]
    assert value_of(List(a, b), results) == [1, 2]


def test_fused_tasks() -> None:
    first = Task("first", add, TaskRef("a"), 1)
    second = Task("second", add, TaskRef("first"), TaskRef("b"))
    third = Task("third", add, TaskRef("second"), TaskRef("second"))
    assert value_of(GraphNode.fuse(first, second, third), {"a": 1, "b": 10}) == 24
    assert value_of(GraphNode.fuse(GraphNode.fuse(first, second), third), {"a": 1, "b": 10}) == 24
    assert value_of(GraphNode.fuse(DataNode("a", 1), first), {}) == 2


def test_functions_of_main_are_taken_out() -> None:
    def local(x: int) -> int:
        return x + 1

    parts = Parts(calls.shared, "some token")
    payloads = [parts.dumps(_call(Task(("k", i), local, i), {}))[0] for i in range(3)]
    assert parts.found == [local]
    caller = calls.Caller("some token", tuple(parts.found))
    assert [caller(*loads_call(payload)[0]) for payload in payloads] == [1, 2, 3]
    assert max(len(payload) for payload in payloads if isinstance(payload, bytes)) < 100


def test_what_plain_pickle_cannot_do() -> None:
    class Odd:
        def __reduce__(self) -> tuple[Any, ...]:
            raise TypeError("not me")

    parts = Parts(calls.shared, "token")
    with pytest.raises(TypeError, match="not me"):
        parts.dumps((Odd, Odd()))
    assert parts.found == []
    payload, _ = parts.dumps(((x for x in ()).__class__, pickle))  # a module, which cloudpickle does
    assert payload


def test_futures_anywhere_in_a_task() -> None:
    with Client(processes=False, n_workers=1, threads_per_worker=1) as client:
        future = client.submit(abs, -1)
        inner = Task("inner", add, future, [1])
        for node in (
            Task("k", add, future, 1),
            Task("k", sum, [future, (future, {"x": future})]),
            Task("k", add, Task(None, add, future, 1), 1),
            DataNode("k", future),
            DataNode("k", {"x": [future]}),
            GraphNode.fuse(inner, Task("k", len, TaskRef("inner"))),
        ):
            assert _resolved(node).dependencies == {future.key}
            assert _resolved(node).key == "k"
        plain = Task("k", add, 1, [2, (3, {"x": 4})])
        assert _resolved(plain) is plain
        assert client.get({"k": GraphNode.fuse(Task("inner", add, future, 1), Task("k", add, TaskRef("inner"), future))}, "k") == 3


def test_keys_with_one_text() -> None:
    with Client(processes=False, n_workers=1, threads_per_worker=1) as client:
        with pytest.raises(ValueError, match="the same text: 1 and '1'|the same text: '1' and 1"):
            client.get({1: (abs, 1), "1": (abs, 2)}, [1, "1"])
        assert client.get({1: (abs, -5), ("1", 2.5): (add, 2, 2)}, [1, ("1", 2.5)]) == [5, 4]


def test_what_lives_is_not_sent_again() -> None:
    with Client(processes=False, n_workers=1, threads_per_worker=1) as client:
        x = da.ones(4, chunks=2).persist()
        (key, _) = x.__dask_keys__()
        future = client.get({key: (divmod, 1, 0)}, key, sync=False)
        assert isinstance(future, Future)
        assert future.key == futures_of(x)[0].key
        assert future.result().tolist() == [1, 1]


# --- order


def peak(needs: dict[Any, Any], order: Sequence[Any], wanted: set[Any]) -> int:
    """How many results are held at most, when the tasks run one by one in this order."""
    users = dict.fromkeys(order, 0)
    for key in order:
        for one in needs[key]:
            users[one] += 1
    held = most = 0
    seen: set[Any] = set()
    for key in order:
        assert seen.issuperset(needs[key])
        seen.add(key)
        held += 1
        most = max(most, held)
        for one in needs[key]:
            users[one] -= 1
            held -= not users[one] and one not in wanted
    return most


X = da.random.default_rng(0).random((200, 200), chunks=(40, 40))


@pytest.mark.parametrize(
    ("x", "allowed"),
    [(X.sum(), 1), ((X + X.T).mean(), 1), (X.dot(X).sum(), 1), ((X - X.mean(axis=0)).std(), 1.1), (da.cov(X), 1.1), (X.cumsum(axis=0).sum(), 1)],
    ids=["sum", "transposed", "product", "centered", "covariance", "cumulated"],
)
def test_few_results_wait(x: Any, allowed: float) -> None:
    expression = FinalizeCompute(collections_to_expr((x,))).optimize()
    wanted = list(flatten(expression.__dask_keys__()))
    nodes = convert_legacy_graph(expression.__dask_graph__())
    places = {key: place for place, key in enumerate(nodes)}
    first = depth_first(wanted, lambda key: sorted(nodes[key].dependencies, key=places.__getitem__))
    needs = {key: nodes[key].dependencies for key in first}
    ours = peak(needs, with_last_users_first(first, needs), set(wanted))
    places = dask_order(nodes)
    assert ours <= allowed * peak(needs, sorted(first, key=places.__getitem__), set(wanted))
