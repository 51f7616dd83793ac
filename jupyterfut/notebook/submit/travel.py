"""What a captured pickle refers to, put in its place on the worker: the values of futures, and the large pieces that travelled alone.

A cell gets copies of large pieces: it may change an array in place, as it might in the notebook, and the next cell finds the one that was sent.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Sequence
from types import FunctionType
from typing import Any

from jupyterfut.serde.calls import loads_call
from jupyterfut.wire.payload import Blob


class _Arrived(threading.local):
    """For the pickle that this thread reads."""

    parts: Sequence[bytes] = ()
    made: dict[int, Any] = {}


_arrived = _Arrived()


def unpacked(data: bytes, values: Sequence[Any], buffers: Sequence[bytes] = (), parts: Sequence[bytes] = ()) -> tuple[FunctionType, dict[str, Any]]:
    """The anchor and the names of a captured pickle. Raises whatever their unpickling raises."""
    outer = _arrived.parts, _arrived.made
    _arrived.parts, _arrived.made = parts, {}
    try:
        (anchor, names), _ = loads_call(Blob(data, [bytearray(buffer) for buffer in buffers]), values)
    finally:
        _arrived.parts, _arrived.made = outer
    return anchor, names


def part_here(index: int) -> Any:
    """The large value with this number; the same object for all names that stood for it."""
    made = _arrived.made
    if index not in made:
        made[index] = pickle.loads(_arrived.parts[index])
    return made[index]
