"""What a worker runs of a dask graph: each of its tasks is one call of a `Graph` (or of `run`) that gets the task's own function and arguments.

The arguments come with the results of other tasks in their place already, as in every other call. What a task needs of dask itself (inner tasks,
fused chains) is in the arguments, as dask's own nodes. Functions of the user's notebook are not pickled with each task: they travel once, in the
`Graph`, and the tasks name them by number (`shared`).

Kept free of heavy imports: the nodes bring dask along when there are any.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_graphs: weakref.WeakValueDictionary[str, Graph] = weakref.WeakValueDictionary()
"""The graphs that this process has unpickled and whose tasks it may yet run, by token."""

_NO_OPTIONS: Mapping[str, Any] = {}


def run(function: Callable[..., Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] = _NO_OPTIONS) -> Any:
    """One task: call its function."""
    return function(*args, **kwargs)


class Graph:
    """`run` for the tasks of one graph, with the functions that they share."""

    __slots__ = ("__weakref__", "parts", "token")
    __name__ = "run"

    def __init__(self, token: str, parts: tuple[Any, ...]) -> None:
        self.token = token  #: tells this graph from all others
        self.parts = parts  #: what the tasks name by number
        _graphs[token] = self

    def __call__(self, function: Callable[..., Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] = _NO_OPTIONS) -> Any:
        return function(*args, **kwargs)

    def __jupyterfut_parts__(self) -> tuple[Any, ...]:
        """For `serde.functions`: whose source lines go along."""
        return self.parts

    def __reduce__(self) -> tuple[type[Graph], tuple[str, tuple[Any, ...]]]:
        return Graph, (self.token, self.parts)


def shared(token: str, number: int) -> Any:
    """Stands in a pickled task for a part of its graph. The graph is there: a worker loads the function of a call before its arguments."""
    return _graphs[token].parts[number]


def itself(value: Any) -> Any:
    """A task that is data, or another name of a task."""
    return value


def evaluate(node: Any, names: Sequence[Any], *values: Any) -> Any:
    """A task with tasks inside: dask's node is called with the results it names."""
    return node(dict(zip(names, values, strict=True)))


def evaluate_chain(steps: Sequence[tuple[Any, Any, Sequence[Any]]], last: Any, names: Sequence[Any], *values: Any) -> Any:
    """Tasks that dask's optimizer has made one, in an order in which they can run. With each stand the names that nobody asks for afterwards."""
    known = dict(zip(names, values, strict=True))
    del values
    for key, node, spent in steps:
        known[key] = node(known)
        for name in spent:
            del known[name]
    return known[last]
