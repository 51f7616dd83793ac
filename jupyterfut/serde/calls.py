"""The arguments of one call: `(args, kwargs)` to a payload in which the futures have become `Dep(i)`, and back with their values in place.

The hot road pickles at once and does not look for futures: `Future.__reduce__` leaves a mark in `serde.futures`, and only a pickle that met one is
made again,
with the containers searched. A future counts as a dependency when it stands bare or in lists, tuples, named tuples, sets, frozensets and dict values
of exactly these
types, however nested. One inside anything else (an attribute, a dict key, a subclass of a container) stays a future: its key goes into `holds`.
"""

from __future__ import annotations

import operator
import pickle
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jupyterfut.errors import SerializationError
from jupyterfut.ids import Key
from jupyterfut.serde.futures import collecting, marks
from jupyterfut.serde.pickles import OUT_OF_BAND_BYTES, SHORTEST_GLOBAL, by_value_in, dumps, keep_small, loads
from jupyterfut.wire.payload import Blob, Local, Payload

FindFuture = Callable[[object], "Key | None"]
"""Says the key of a future, and None of anything else."""


class CallSpec(NamedTuple):
    """What `dumps_call` makes of one call."""

    payload: bytes | Blob
    dependencies: list[Key]  #: the i-th one stands where the payload has `Dep(i)`
    holds: list[Key]  #: futures inside opaque arguments


class Dep:
    """Stands in a pickled call for the value of the row's i-th dependency."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index

    def __reduce__(self) -> tuple[Callable[[int], Any], tuple[int]]:
        return _value_of, (self.index,)

    def __repr__(self) -> str:
        return f"Dep({self.index})"


class _Values(threading.local):
    """The dependencies' values of the call that this thread is unpickling."""

    values: Sequence[Any] = ()


_loading = _Values()


def _value_of(index: int) -> Any:
    try:
        return _loading.values[index]
    except IndexError:
        raise SerializationError(f"the call wants the value of its dependency {index}, but was given {len(_loading.values)}") from None


_ATOMS = frozenset({int, float, bool, complex, type(None), str, bytes, bytearray})
_are_atoms = _ATOMS.issuperset
_plain_dumps = pickle.dumps
_plain_loads = pickle.loads
_new = tuple.__new__


def dumps_call(args: tuple[Any, ...], kwargs: Mapping[str, Any], find_future: FindFuture) -> CallSpec:
    """Pickle the arguments of one call. Raises `SerializationError` when an argument cannot be pickled.

    >>> spec = dumps_call((1, 2), {"x": 3}, lambda value: None)
    >>> loads_call(spec.payload, [])
    ((1, 2), {'x': 3})
    """
    # Calls without keyword arguments are pickled as the bare tuple: a fifth less work on the hottest line of the client.
    if not kwargs:
        if _are_atoms(map(type, args)):  # nothing in there can be a future, a large buffer or something of `__main__`
            data = _plain_dumps(args, 5)
            if len(data) < OUT_OF_BAND_BYTES:
                return _new(CallSpec, (data, [], []))
        else:
            spec = _dumps_bare_futures(args, find_future)
            if spec is not None:
                return spec
    call: Any = [args, dict(kwargs)] if kwargs else args
    mark = marks.last
    try:
        data = _plain_dumps(call, 5, buffer_callback=keep_small)
    except Exception:  # noqa: BLE001  # of any kind: `dumps` tries again with cloudpickle, and says what is wrong
        data = b""
    size = len(data)
    if marks.last is mark and (0 < size < SHORTEST_GLOBAL or (0 < size < OUT_OF_BAND_BYTES and not by_value_in(data))):
        return _new(CallSpec, (data, [], []))
    with collecting() as keys:
        payload = dumps(call)
    if not keys:
        return CallSpec(payload, [], [])
    return _dumps_with_futures(args, kwargs, find_future)


def _dumps_bare_futures(args: tuple[Any, ...], find_future: FindFuture) -> CallSpec | None:
    """Futures and plain values side by side, as in `submit(add, a, 1)`: nothing to search, and pickled once. None: there is something else."""
    index_of: dict[Key, int] = {}
    replaced: list[Any] = []
    for value in args:
        if type(value) not in _ATOMS:
            key = find_future(value)
            if key is None:
                return None
            value = Dep(index_of.setdefault(key, len(index_of)))
        replaced.append(value)
    data = _plain_dumps(tuple(replaced), 5)
    return _new(CallSpec, (data, list(index_of), [])) if len(data) < OUT_OF_BAND_BYTES else None


def _dumps_with_futures(args: tuple[Any, ...], kwargs: Mapping[str, Any], find_future: FindFuture) -> CallSpec:
    search = _Search(find_future)
    replaced = tuple([search.replace(value) for value in args])
    named = {name: search.replace(value) for name, value in kwargs.items()}
    with collecting() as keys:
        payload = dumps([replaced, named] if named else replaced)
    return CallSpec(payload, list(search.index_of), list(dict.fromkeys(keys)))


class _Search:
    """Copies the containers that hold futures, with `Dep(i)` in their place. What holds none is kept as it is; what occurs twice stays one object."""

    def __init__(self, find_future: FindFuture) -> None:
        self.find_future = find_future
        self.index_of: dict[Key, int] = {}
        self.done: dict[int, Any] = {}  # id of a container -> its copy, or itself while it is being searched (a container inside itself)

    def replace(self, value: Any) -> Any:
        kind = type(value)
        if kind in _ATOMS:
            return value
        if kind in _CONTAINERS or (issubclass(kind, tuple) and hasattr(kind, "_fields") and kind.__base__ is tuple):
            return self.container(value, kind)
        key = self.find_future(value)
        if key is None:
            return value
        return Dep(self.index_of.setdefault(key, len(self.index_of)))

    def container(self, value: Any, kind: type) -> Any:
        if id(value) in self.done:
            return self.done[id(value)]
        self.done[id(value)] = value
        items = value.values() if kind is dict else value
        if not _ATOMS.issuperset(map(type, items)):
            old = list(items)
            new = [self.replace(item) for item in old]
            if not all(map(operator.is_, old, new)):
                if kind is dict:
                    self.done[id(value)] = dict(zip(value, new, strict=True))
                elif kind in _CONTAINERS:
                    self.done[id(value)] = _CONTAINERS[kind](new)
                else:
                    self.done[id(value)] = kind.__new__(kind, *new)
        return self.done[id(value)]


_CONTAINERS: dict[type, Any] = {kind: kind for kind in (list, tuple, set, frozenset, dict)}
"""Types whose elements are searched: what a copy of one is."""


def list_like(kind: type[list[Any]]) -> None:
    """Lists of this type are treated as plain lists. (Other subclasses of containers are opaque values.)"""
    _CONTAINERS[kind] = list


def loads_call(payload: Payload, dep_values: Sequence[Any] = ()) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call, each `Dep(i)` replaced by `dep_values[i]`. Raises whatever the arguments' own unpickling raises.

    A `Local` payload holds `(args, kwargs)` itself, in which `Dep(i)` stand as objects.
    """
    if type(payload) is bytes and not dep_values:
        call = _plain_loads(payload)
        return (call, {}) if type(call) is tuple else (call[0], call[1])
    if type(payload) is Local:
        args, kwargs = payload.value
        if not dep_values:
            return args, kwargs
        return _resolved(args, dep_values), _resolved(kwargs, dep_values)
    outer, _loading.values = _loading.values, dep_values
    try:
        call = loads(payload)
    finally:
        _loading.values = outer
    return (call, {}) if type(call) is tuple else (call[0], call[1])


def local_call(args: tuple[Any, ...], kwargs: Mapping[str, Any], find_future: FindFuture) -> tuple[tuple[Any, ...], dict[str, Any], list[Key]]:
    """For `Local` payloads: the arguments by reference, with `Dep(i)` for the futures, and the dependencies' keys. Futures in opaque objects stay
    what they are.

    >>> local_call((1, [2]), {}, lambda value: None)
    ((1, [2]), {}, [])
    """
    search = _Search(find_future)
    replaced = tuple([search.replace(value) for value in args])
    named = {name: search.replace(value) for name, value in kwargs.items()}
    return replaced, named, list(search.index_of)


def _resolved(value: Any, values: Sequence[Any]) -> Any:
    """The reverse of `_Search.replace`: containers that hold a `Dep` are copied, the rest is passed on as it is."""

    def find(item: object) -> Any:
        return None

    class Fill(_Search):
        def replace(self, item: Any) -> Any:
            return values[item.index] if type(item) is Dep else super().replace(item)

    return Fill(find).replace(value)
