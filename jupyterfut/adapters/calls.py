"""Many calls of different functions as rows of one: what a worker runs for a dask graph's tasks and for joblib's batches.

A row's arguments are the call's own function, arguments and keyword arguments, with the results of other tasks in their places already, as in every
other row. Functions of the user's notebook are not pickled with each call: they travel once, in the `Caller`, and the calls name them by number.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

RUNS_CODE_OF_TASKS = True
"""For `runtime.interrupting`: what this module calls is the user's code, and may be interrupted."""

_NO_OPTIONS: Mapping[str, Any] = {}


def run(function: Callable[..., Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] = _NO_OPTIONS) -> Any:
    """One call.

    >>> run(pow, (2, 10))
    1024
    """
    return function(*args, **kwargs)


class Caller:
    """`run`, with the functions that its calls share."""

    __slots__ = ("__weakref__", "parts", "token")
    __name__ = "run"

    def __init__(self, token: str, parts: tuple[Any, ...]) -> None:
        self.token = token  #: tells this one from all others
        self.parts = parts  #: what the calls name by number
        _callers[token] = self

    def __call__(self, function: Callable[..., Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] = _NO_OPTIONS) -> Any:
        return function(*args, **kwargs)

    def __jupyterfut_parts__(self) -> tuple[Any, ...]:
        """For `serde.functions`: whose source lines go along."""
        return self.parts

    def __reduce__(self) -> tuple[type[Caller], tuple[str, tuple[Any, ...]]]:
        return Caller, (self.token, self.parts)


_callers: weakref.WeakValueDictionary[str, Caller] = weakref.WeakValueDictionary()
"""Those that this process may yet run calls of, by token."""


def shared(token: str, number: int) -> Any:
    """Stands in a pickled call for a part of its caller, which is there: a worker loads the function of a row before its arguments."""
    return _callers[token].parts[number]
