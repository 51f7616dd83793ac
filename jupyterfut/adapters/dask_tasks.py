"""What a worker runs for the nodes of a dask graph that are no plain calls: data, aliases, tasks with tasks inside.

Kept free of imports: the nodes bring dask along when there are any.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

RUNS_CODE_OF_TASKS = True
"""For `runtime.interrupting`: what this module calls is the user's code, and may be interrupted."""


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
