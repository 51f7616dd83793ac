"""Small values that the scheduler keeps for people: metadata, and what is said by events.

`plain` takes what MessagePack can carry, and makes a copy, so that nobody changes afterwards what was said (in an in-process cluster it is passed by
reference). `pack` makes an event's form of any value, `[nbytes, form, data]`: plain where the value comes back exactly as it was, else pickled; so
the scheduler and whoever reads its snapshots can show most events without opening anything.
"""

from __future__ import annotations

from typing import Any

from jupyterfut.errors import SerializationError
from jupyterfut.serde.pickles import dumps, loads
from jupyterfut.wire.payload import Blob, payload_nbytes

NOTE_BYTES_LIMIT = 2**20
"""The scheduler keeps notes; data belongs on workers."""

PLAIN = 0
PICKLED = 1


class NotPlain(SerializationError):
    """A value that is not made of plain data only."""


def plain(value: Any, what: str, *, exact: bool = False) -> tuple[Any, int]:
    """A copy of plain data and its size in bytes: None, bool, int, float, str, bytes, lists and tuples of such, dicts of such with strings as keys.
    Tuples become lists; with `exact` they are refused, and subclasses with them.

    Raises `NotPlain` (a TypeError), which names the place, and ValueError when it is larger than `NOTE_BYTES_LIMIT`.

    >>> plain({"a": [1, (2, 3)]}, "metadata")
    ({'a': [1, [2, 3]]}, 48)
    """
    copy, nbytes = _plain(value, what, "", exact, 0)
    _check_size(nbytes, what)
    return copy, nbytes


def pack(value: Any, what: str) -> list[Any]:
    """The form in which an event travels. Raises `SerializationError` and ValueError (too large)."""
    try:
        data, nbytes = plain(value, what, exact=True)
    except NotPlain:
        payload = dumps(value)
        if type(payload) is Blob:  # its buffers are still the user's own
            payload = Blob(bytes(payload.head), [bytes(buffer) for buffer in payload.buffers])
        nbytes = payload_nbytes(payload)
        _check_size(nbytes, what)
        return [nbytes, PICKLED, payload]
    return [nbytes, PLAIN, data]


def unpack(form: int, data: Any) -> Any:
    """The value of an event; nobody else has it. Raises what its unpickling raises.

    >>> unpack(*pack({"loss": (1, 2)}, "an event")[1:])
    {'loss': (1, 2)}
    """
    return _copied(data) if form == PLAIN else loads(data)


def _check_size(nbytes: int, what: str) -> None:
    if nbytes > NOTE_BYTES_LIMIT:
        raise ValueError(f"{what} is for small things, up to {NOTE_BYTES_LIMIT:,} bytes; this one has {nbytes:,}: use scatter, or publish_dataset")


def _plain(value: Any, what: str, where: str, exact: bool, depth: int) -> tuple[Any, int]:
    kind = type(value)
    if value is None or kind is bool or kind is float:
        return value, 9
    if kind is int:
        if not -(2**63) <= value < 2**64:
            raise NotPlain(f"{what}{where}: an integer beyond 64 bits")
        return value, 9
    if kind is str:
        try:
            return value, len(value.encode()) + 5
        except UnicodeEncodeError:
            raise NotPlain(f"{what}{where}: a string with half a character (a lone surrogate)") from None
    if kind is bytes:
        return value, len(value) + 5
    if depth >= 100:
        raise NotPlain(f"{what}{where[:40]}...: more than 100 levels deep, or inside itself")
    if kind is list or (kind is tuple and not exact):
        rows = [_plain(one, what, f"{where}[{i}]", exact, depth + 1) for i, one in enumerate(value)]
        return [copy for copy, _ in rows], 5 + sum(nbytes for _, nbytes in rows)
    if kind is dict:
        copies = {}
        size = 5
        for name, one in value.items():
            if type(name) is not str:
                raise NotPlain(f"{what}{where}: the key {name!r} is no string but {type(name).__name__}")
            copies[name], nbytes = _plain(one, what, f"{where}[{name!r}]", exact, depth + 1)
            size += nbytes + _plain(name, what, where, exact, depth)[1]
        return copies, size
    if not exact and isinstance(value, (bool, int, float, str)):  # NumPy's float64, an enumeration: what it is beneath
        beneath = next(base for base in (bool, int, float, str) if isinstance(value, base))
        return _plain(beneath(value), what, where, exact, depth)
    if not exact and getattr(value, "ndim", None) == 0 and callable(getattr(value, "item", None)):  # a NumPy number
        return _plain(value.item(), what, where, True, depth)
    raise NotPlain(f"{what}{where}: {kind.__name__} is not plain data (None, bool, int, float, str, bytes, list, dict)")


def _copied(data: Any) -> Any:
    if type(data) is list:
        return [_copied(one) for one in data]
    if type(data) is dict:
        return {name: _copied(one) for name, one in data.items()}
    return data
