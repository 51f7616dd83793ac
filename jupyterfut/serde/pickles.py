"""Values to payloads and back. Plain pickle first, which is the fastest and right for nearly everything; cloudpickle when that fails or when the
pickle names `__main__` (or a module registered by value), because what lives there does not exist at the other end.

Large buffers (NumPy arrays and whatever else speaks pickle protocol 5) are not copied into the pickle: they stand beside it in a `Blob`, and go from
their own memory to the socket. They must not be changed between `send` and arrival.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from typing import Any

from jupyterfut.errors import SerializationError
from jupyterfut.ids import Key
from jupyterfut.serde.families import PORTABLE
from jupyterfut.serde.futures import collecting, marks
from jupyterfut.serde.sizes import sizeof, type_name
from jupyterfut.wire.payload import Blob, Local, Payload, payload_nbytes

OUT_OF_BAND_BYTES = 64 * 1024
"""Buffers of this size and more stand beside the pickle: below it one copy is cheaper than one more piece of a frame."""

SHORTEST_GLOBAL = 24
"""A pickle that names `__main__` is longer than this, so the shortest ones need no search."""

_plain_dumps = pickle.dumps
_plain_loads = pickle.loads


_ATOMS = frozenset({int, float, bool, complex, type(None)})


def keep_small(buffer: pickle.PickleBuffer) -> bool:
    """pickle's `buffer_callback` for a first attempt: small buffers are copied into the pickle; a large one leaves a mark, and the attempt is
    void.
    """
    if buffer.raw().nbytes < OUT_OF_BAND_BYTES:
        return True
    marks.last = object()
    return False


class _Bytes:
    """Large `bytes` pickled as a buffer: the sender copies nothing, the receiver once."""

    __slots__ = ("value",)

    def __init__(self, value: bytes) -> None:
        self.value = value

    def __reduce_ex__(self, protocol: Any) -> tuple[type[bytes], tuple[pickle.PickleBuffer]]:
        return bytes, (pickle.PickleBuffer(self.value),)


def dumps(value: object) -> bytes | Blob:
    """The value as a payload. Raises `SerializationError`, whose cause is the pickler's own exception.

    >>> loads(dumps({"a": [1, 2]}))
    {'a': [1, 2]}
    """
    if type(value) in _ATOMS:
        return _plain_dumps(value, 5)
    buffers: list[memoryview] = []
    try:
        if type(value) is bytes and len(value) >= OUT_OF_BAND_BYTES:
            value = _Bytes(value)
        elif type(value).__module__ in PORTABLE:
            value = PORTABLE[type(value).__module__](value)
        data = _plain_dumps(value, 5, buffer_callback=aside(buffers))
    except Exception:  # noqa: BLE001  # of any kind: cloudpickle tries next, and says what is wrong
        return dumps_by_value(value)
    size = len(data)
    if size >= SHORTEST_GLOBAL and by_value_in(data):
        return dumps_by_value(value)
    if buffers or size >= OUT_OF_BAND_BYTES:
        return Blob(data, buffers)
    return data


def dumps_by_value(value: object) -> bytes | Blob:
    """The value as a payload made by cloudpickle: functions and classes of `__main__` travel with their code. Raises `SerializationError`."""
    from jupyterfut.serde.by_value import pickled

    buffers: list[memoryview] = []
    try:
        data = pickled(value, aside(buffers))
    except Exception as error:
        raise SerializationError(f"cannot pickle {_describe(value)}: {type(error).__name__}: {str(error)[:2000]}") from error
    if buffers or len(data) >= OUT_OF_BAND_BYTES:
        return Blob(data, buffers)
    return data


def aside(buffers: list[memoryview]) -> Callable[[pickle.PickleBuffer], bool]:
    """pickle's `buffer_callback` that puts large buffers into the list."""

    def put(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < OUT_OF_BAND_BYTES:
            return True
        buffers.append(raw)
        return False

    return put


def by_value_in(data: bytes) -> bool:
    """Whether a plain pickle names something that does not exist at the other end: `__main__`, or a module registered with cloudpickle by value."""
    if b"__main__" in data:
        return True
    cloudpickle = sys.modules.get("cloudpickle")
    if cloudpickle is None:
        return False
    registered = cloudpickle.list_registry_pickle_by_value()
    return bool(registered) and any(name.encode() in data for name in registered)


def has_name(value: Any) -> bool:
    """Whether the other end can import the function or class, so that a pickle holds its name only."""
    module = getattr(value, "__module__", None)
    if not isinstance(module, str) or by_value_in(module.encode()):
        return False
    place: Any = sys.modules.get(module)
    for part in value.__qualname__.split("."):
        place = getattr(place, part, None)
    return place is value


def loads(payload: Payload) -> Any:
    """The value of a payload. Raises whatever the value's own unpickling raises (an import that fails, say).

    Arrays of a `Blob` use its buffers without a copy: two values loaded from the same `Blob` share them.
    """
    if type(payload) is bytes:
        return _plain_loads(payload)
    if type(payload) is Blob:
        return _plain_loads(payload.head, buffers=payload.buffers)
    if type(payload) is Local:
        return payload.value
    raise TypeError(f"not a payload: {type(payload).__name__}")


def dumps_result(value: object) -> tuple[bytes | Blob, int, list[Key]]:
    """The payload of a task's result, its size in bytes in memory, and the keys of the futures found inside it. Raises `SerializationError`.

    >>> payload, nbytes, holds = dumps_result([1, 2, 3])
    >>> loads(payload), holds
    ([1, 2, 3], [])
    """
    if type(value) in _ATOMS:
        data = _plain_dumps(value, 5)
        return data, max(28, len(data)), []
    mark = marks.last
    payload = dumps(value)
    holds: list[Key] = []
    if marks.last is not mark:
        with collecting() as keys:
            payload = dumps(value)
        holds = list(dict.fromkeys(keys))
    if type(payload) is bytes:
        return payload, max(28, len(payload)), holds
    return payload, max(sizeof(value), payload_nbytes(payload)), holds


def captured(payload: Payload) -> Payload:
    """The payload as it is now: large buffers that may change later are copied. For values that are sent while their owner goes on with them.

    >>> data = bytearray(100_000)
    >>> payload = captured(dumps(pickle.PickleBuffer(data)))
    >>> data[0] = 1
    >>> loads(payload)[0]
    0
    """
    if type(payload) is not Blob or all(type(part) is memoryview and part.readonly for part in payload.buffers):
        return payload
    return Blob(payload.head, [part if type(part) is memoryview and part.readonly else bytearray(part) for part in payload.buffers])


def _describe(value: object) -> str:
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001  # a user's `__repr__` may raise anything
        text = f"(its repr raises {type(error).__name__})"
    return f"{type_name(value)} {text if len(text) <= 200 else text[:200] + '...'}"
