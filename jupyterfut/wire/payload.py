"""Payloads: values that the runtime carries and never opens.

A payload is made and opened at the two ends only (`serde`), where the user's code lives. Between them it is one of

- `bytes`: one whole pickle, for anything small;
- `Blob`: a pickle and its out-of-band buffers (pickle protocol 5), which are written to the socket and read from it without a copy;
- `Local`: the object itself, between threads of one process (`comm/inproc`). It never meets a codec.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias


class Blob:
    """A pickle (`head`) whose large parts stand beside it in `buffers`, in the order in which `pickle.loads(buffers=)` wants them."""

    __slots__ = ("buffers", "head")

    def __init__(self, head: bytes | bytearray | memoryview, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        self.head = head
        self.buffers = buffers

    def __repr__(self) -> str:
        return f"<Blob {payload_nbytes(self)} bytes in {len(self.buffers)} buffers>"


class Local:
    """A value passed by reference inside one process. `nbytes` is its estimated size, for the scheduler's accounts."""

    __slots__ = ("nbytes", "value")

    def __init__(self, value: Any, nbytes: int) -> None:
        self.value = value
        self.nbytes = nbytes

    def __repr__(self) -> str:
        return f"<Local {type(self.value).__name__}>"


Payload: TypeAlias = bytes | Blob | Local


def payload_nbytes(payload: Payload) -> int:
    """The size of a payload in bytes, as it would cross a socket (`Local`: as estimated).

    >>> payload_nbytes(b"abc")
    3
    """
    if type(payload) is bytes:
        return len(payload)
    if type(payload) is Blob:
        return len(payload.head) + sum(memoryview(b).nbytes for b in payload.buffers)
    if type(payload) is Local:
        return payload.nbytes
    raise TypeError(f"not a payload: {type(payload).__name__}")
