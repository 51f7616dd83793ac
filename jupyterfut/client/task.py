"""`@client.task` and `@jupyterfut.task`: a function whose call is a submit. What `%%submit` is to a notebook, for scripts and for linters."""

from __future__ import annotations

import functools
import operator
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from jupyterfut.client.current import get_client
from jupyterfut.client.futures import Future

if TYPE_CHECKING:
    from jupyterfut.client.client import Client

P = ParamSpec("P")
R = TypeVar("R")

OPTIONS = ("workers", "resources", "retries", "priority", "allow_other_workers", "pure")
"""Those of `Client.submit` that a decorator may fix for all calls."""


class TaskFunction(Generic[P, R]):
    """A function whose call submits it, and gives its `Future` at once. Made by `@client.task` and `@task`.

    `map` calls it for the elements of iterables, as `Client.map` does. `local` is the function itself, to be called here. `with_options(...)` is the
    same function with other options.

    It travels: in a task it submits with that task's client, so that a function may call itself.
    """

    def __init__(self, function: Callable[P, R], client: Client | None, options: dict[str, Any]) -> None:
        functools.update_wrapper(self, function)
        self.local = function
        self._client = client
        self._options = options

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Future:
        """Submit the call. Never blocks. Raises what `Client.submit` raises."""
        return self._at_hand().submit(functools.partial(self.local, **kwargs) if _clashing(kwargs) else self.local, *args, **self._given(kwargs))

    def map(self, *iterables: Iterable[Any]) -> list[Future]:
        """Submit a call for each element (up to the shortest iterable); the futures, in order. Blocks only as long as the iterables do."""
        return self._at_hand().map(self.local, *iterables, **self._options)

    def with_options(self, **options: Any) -> TaskFunction[P, R]:
        """The same function, submitted with these options of `Client.submit` as well. Raises TypeError for one that does not exist."""
        return TaskFunction(self.local, self._client, {**self._options, **_checked(options)})

    def _at_hand(self) -> Client:
        client = self._client
        return client if client is not None and client.status == "running" else get_client()

    def _given(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        return self._options if _clashing(kwargs) else {**kwargs, **self._options}

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """As a method: the instance is the first argument."""
        bound: Any = self
        return self if instance is None else functools.partial(bound, instance)

    def __reduce__(self) -> str | tuple[Callable[..., Any], tuple[Any, ...]]:
        """By name, where one finds it under its name; from a notebook or a script, by value."""
        name, module = getattr(self, "__qualname__", ""), getattr(self, "__module__", "__main__")
        if module != "__main__":
            try:
                if operator.attrgetter(name)(sys.modules[module]) is self:
                    return str(name)
            except (AttributeError, KeyError):
                return TaskFunction, (self.local, None, self._options)
        return TaskFunction, (self.local, None, self._options)

    def __repr__(self) -> str:
        return f"<task function {getattr(self, '__qualname__', self.local)}>"


@overload
def task(function: Callable[P, R], /) -> TaskFunction[P, R]: ...
@overload
def task(*, client: Client | None = None, **options: Any) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...
def task(function: Any = None, /, *, client: Client | None = None, **options: Any) -> Any:
    """Decorate a function, so that calling it submits it to the client at hand (`get_client()`, when it is called) and gives a `Future` at once.

    `@task` alone, or with options of `Client.submit` for all calls: `@task(retries=2, resources={"GPU": 1})`; `workers`, `priority`,
    `allow_other_workers` and `pure` are the others. Futures among the arguments are waited for by the cluster, so calls form a graph. The function
    itself is `.local`; `.map(...)` submits many calls.

    The decorator never blocks. Raises TypeError for an option that does not exist and for what is no function; a call raises ValueError when there is
    no client.

    >>> from jupyterfut import Client
    >>> @task
    ... def double(x):
    ...     return 2 * x
    >>> @task(pure=False)
    ... def total(parts):
    ...     return sum(parts)
    >>> with Client(processes=False) as client:
    ...     total(double.map([1, 2, 3])).result(), double.local(21)
    (12, 42)
    """
    checked = _checked(options)

    def decorate(one: Callable[..., Any]) -> TaskFunction[..., Any]:
        if not callable(one):
            raise TypeError(f"task takes a function, not {one!r}")
        return TaskFunction(one, client, checked)

    return decorate if function is None else decorate(function)


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    for name in options:
        if name not in OPTIONS:
            raise TypeError(f"task has no option {name!r} (it has {', '.join(OPTIONS)})")
    return options


def _clashing(kwargs: dict[str, Any]) -> bool:
    """Whether the function's own keywords are called as options of `submit` are."""
    return not _SUBMIT_TAKES.isdisjoint(kwargs)


_SUBMIT_TAKES = frozenset([*OPTIONS, "key", "actor", "actors"])
