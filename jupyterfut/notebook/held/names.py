"""The names of the notebook that hold futures, and the shape in which they hold them.

A name may hold a future, an actor, or a list, tuple, set or dict of futures, however nested. Its *shape* and the futures' keys, in order, are what is
written down of it with the scheduler, in plain values, and what a later kernel makes the same thing of: None for a future, "actor", a kind alone
("list") for a container of nothing but futures, otherwise `[kind, parts]` and for dicts `["dict", keys, parts]`. What else stands in a container of
futures (numbers, strings) is written down as a value; what cannot be is no reason to forget the futures beside it, and comes back as None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, NamedTuple, TypeAlias

from jupyterfut.client.actors import Actor
from jupyterfut.client.future_list import FutureList
from jupyterfut.client.futures import Future

Shape: TypeAlias = "str | list[Any] | None"

LOOKED_AT = 16
"""A container counts as one of futures if one is among its first so many elements: the notebook may hold lists of millions of other things."""

DEPTH = 8
"""Deeper than this nobody looks."""

_KINDS: dict[type, str] = {list: "list", tuple: "tuple", set: "set", frozenset: "frozenset", dict: "dict"}
_MAKERS: dict[str, Callable[[Iterable[Any]], Any]] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
_PLAIN = (str, int, float, bool, type(None))
_NEVER = frozenset([*_PLAIN, complex, bytes, type, ModuleType, FunctionType, BuiltinFunctionType])
"""Values of these types, most of a notebook's, hold no futures: looking at them costs nothing else."""


class Held(NamedTuple):
    """What a name holds."""

    shape: Shape
    futures: list[Future]


def names_with_futures(namespace: Mapping[str, Any], hidden: Iterable[str] = ()) -> dict[str, Held]:
    """The names that hold futures, those of the notebook's user: names that begin with an underscore are IPython's.

    >>> names_with_futures({"x": 1, "_": 2})
    {}
    """
    found: dict[str, Held] = {}
    hidden = frozenset(hidden)
    for name, value in list(namespace.items()):
        if type(value) in _NEVER or name.startswith("_") or name in hidden:
            continue
        held = held_in(value)
        if held is not None:
            found[name] = held
    return found


def held_in(value: Any) -> Held | None:
    """The shape of a value and the futures in it; None if there are none."""
    if isinstance(value, Future):
        return Held(None, [value])
    if isinstance(value, Actor):
        return Held("actor", [value._actor_future])
    if not _is_of_futures(value, DEPTH):
        return None
    futures: list[Future] = []
    shape = _shape_of(value, futures, DEPTH)
    return Held(shape, futures) if futures else None


def remade(shape: Shape, futures: Iterator[Future], actor: Callable[[Future], Any]) -> Any:
    """The value again, of futures in the order in which they were found. `actor` makes an actor of its future.

    >>> remade(["dict", ["a", "b"], [None, ["value", 3]]], iter(["future"]), repr)
    {'a': 'future', 'b': 3}
    """
    if shape is None:
        return next(futures)
    if shape == "actor":
        return actor(next(futures))
    if isinstance(shape, str):
        return _make(shape, list(futures))
    kind, *rest = shape
    if kind == "value":
        return rest[0]
    if kind == "many":  # a flat container inside another one
        return _make(rest[0], [next(futures) for _ in range(rest[1])])
    parts = [remade(part, futures, actor) for part in rest[-1]]
    return dict(zip(map(_key, rest[0]), parts, strict=True)) if kind == "dict" else _make(kind, parts)


def with_values(value: Any, values: Mapping[Future, Any]) -> Any:
    """The same thing with values in place of the futures that have one.

    >>> with_values([1, (2, 3)], {})
    [1, (2, 3)]
    """
    if isinstance(value, Future):
        return values.get(value, value)
    kind = _kind(value)
    if kind is None:
        return value
    if kind == "dict":
        return {key: with_values(part, values) for key, part in value.items()}
    return _MAKERS[kind](with_values(part, values) for part in value)


def actors_in(shape: Shape, futures: Iterator[Future]) -> list[Future]:
    """The futures, out of those of a value with this shape, that stood there as actors."""
    found: list[Future] = []

    def keep(future: Future) -> Future:
        found.append(future)
        return future

    remade(shape, futures, keep)
    return found


def _make(kind: str, parts: list[Any]) -> Any:
    if kind == "list" and set(map(type, parts)) == {Future}:
        return FutureList(parts)  # as `map` had made it
    return _MAKERS[kind](parts)


def _is_of_futures(value: Any, depth: int) -> bool:
    if isinstance(value, (Future, Actor)):
        return True
    kind = _kind(value)
    if kind is None or not depth:
        return False
    parts = value.values() if kind == "dict" else value
    return any(_is_of_futures(part, depth - 1) for part, _ in zip(parts, range(LOOKED_AT), strict=False))


def _kind(value: Any) -> str | None:
    """The kind of a container. A subclass that only adds to `list` is one, for that is what `map` returns; others are opaque, as in a call."""
    kind = _KINDS.get(type(value))
    return "list" if kind is None and isinstance(value, list) and type(value).__module__.startswith("jupyterfut.") else kind


def _shape_of(value: Any, futures: list[Future], depth: int, inside: bool = False) -> Shape:
    kind = _kind(value)
    if isinstance(value, Future):
        futures.append(value)
        return None
    if isinstance(value, Actor):
        futures.append(value._actor_future)
        return "actor"
    if kind is None or not depth:
        return ["value", value if type(value) in _PLAIN else None]
    if kind == "dict":
        return ["dict", [_plain_key(key) for key in value], [_shape_of(part, futures, depth - 1, True) for part in value.values()]]
    parts = list(value)
    if set(map(type, parts)) == {Future}:
        futures += parts
        return ["many", kind, len(parts)] if inside else kind
    return [kind, [_shape_of(part, futures, depth - 1, True) for part in parts]]


def _plain_key(key: Any) -> Any:
    """A key of a dict as it is written down: tuples are lists there. One that is no plain value is written as its text."""
    if type(key) is tuple:
        return [_plain_key(part) for part in key]
    return key if type(key) in _PLAIN else repr(key)


def _key(written: Any) -> Any:
    return tuple(map(_key, written)) if isinstance(written, (list, tuple)) else written
