"""What a request brings: its arguments, read and checked before anything is changed.

Whatever is wrong raises `BadRequest`, or KeyError or TypeError, which `query` turns into the error of that request alone.
"""

from __future__ import annotations

from typing import Any

from jupyterfut.core.scheduler.query import BadRequest
from jupyterfut.ids import Key


def text(args: dict[str, Any], field: str) -> str:
    """A string.

    >>> text({"name": "x"}, "name")
    'x'
    """
    value = args[field]
    if type(value) is not str:
        raise BadRequest(f"{field} must be a string, not {type(value).__name__}")
    return value


def texts(args: dict[str, Any], field: str) -> list[str]:
    """Different strings, in their order."""
    values = args[field]
    if type(values) not in (list, tuple) or not all(type(value) is str for value in values):
        raise BadRequest(f"{field} must be a list of strings")
    return list(dict.fromkeys(values))


def keys(args: dict[str, Any], field: str) -> list[Key]:
    """Keys of futures; none when the field is missing."""
    return [Key(key) for key in texts(args, field)] if args.get(field) else []


def number(args: dict[str, Any], field: str, least: int, otherwise: int | None = None) -> int:
    """A whole number, `least` at least."""
    value = args.get(field, otherwise)
    if type(value) is not int or value < least:
        raise BadRequest(f"{field} must be a whole number from {least} on, not {value!r}")
    return value


def timeout_s(args: dict[str, Any]) -> float | None:
    """How long the request may wait: seconds, None for as long as it takes, 0 for one try (and so is what has passed already)."""
    value = args.get("timeout_s")
    if value is None:
        return None
    if type(value) not in (int, float) or value != value:
        raise BadRequest(f"timeout_s must be a number of seconds or None, not {value!r}")
    return max(float(value), 0.0)
