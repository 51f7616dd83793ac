"""What simulated functions compute, and what their results look like as payloads.

A value is an integer mixed from the call's constant and its inputs, so that a result that was mixed up anywhere is seen. Small results are `bytes`;
large ones are `Blob`s whose buffer is a view of one shared block of zeros, or, in a world that is one process, `Local`. A result may contain futures:
the keys of the calls that the task submitted.
"""

from __future__ import annotations

from collections.abc import Iterable

from jupyterfut.ids import FunctionId, Key
from jupyterfut.wire.payload import Blob, Local, Payload

ZEROS = memoryview(bytes(2_000_000))

SMALL = 64
"""Up to so many bytes, a result is real bytes (fewer, in fact)."""


def mix(function: str, const: int, inputs: Iterable[int]) -> int:
    """The value of a call.

    >>> mix("add", 1, [2, 3]) == mix("add", 1, [3, 2])
    False
    """
    total = const + 7919 * len(function)
    for value in inputs:
        total = (total * 1_000_003 + value + 12_345) % 2_305_843_009_213_693_951
    return total


def encode(value: int, nbytes: int, futures: tuple[Key, ...] = (), *, local: bool = False) -> Payload:
    """The payload of a result. Up to `SMALL` bytes it is just what it says; a larger one is made to weigh `nbytes`."""
    head = str(value) if not futures else f"{value}|{','.join(futures)}"
    if local:
        return Local(head, nbytes)
    if nbytes <= SMALL:
        return head.encode()
    return Blob(head.encode(), [ZEROS[: nbytes - len(head)]])


def decode(payload: Payload) -> tuple[int, tuple[Key, ...]]:
    """What `encode` was given: the value and the keys of the futures inside."""
    if isinstance(payload, Local):
        head = str(payload.value)
    else:
        head = str(payload.head if isinstance(payload, Blob) else payload, "ascii")
    number, _, keys = head.partition("|")
    return int(number), tuple(Key(key) for key in keys.split(",")) if keys else ()


def function_id(function: str) -> FunctionId:
    """The id under which clients declare a function of this name."""
    return FunctionId(f"fn:{function}")
