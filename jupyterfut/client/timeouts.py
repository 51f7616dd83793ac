"""Timeouts as users give them: seconds, a `timedelta`, or a text such as "10 ms"; None waits for ever; zero still tries once."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TypeAlias

from jupyterfut.config import parse_seconds

Timeout: TypeAlias = float | str | timedelta | None


def to_seconds(timeout: Timeout) -> float | None:
    """Seconds, or None. Raises ValueError for a negative one or a text without sense.

    >>> to_seconds("10 ms"), to_seconds(2), to_seconds(None)
    (0.01, 2.0, None)
    """
    if timeout is None:
        return None
    seconds = parse_seconds(timeout)
    if seconds < 0:
        raise ValueError(f"a timeout of {timeout} is negative")
    return seconds


class Deadline:
    """A timeout that runs: what is left of it for the next step.

    >>> Deadline(None).left() is None
    True
    """

    __slots__ = ("at", "timeout_s")

    def __init__(self, timeout: Timeout) -> None:
        self.timeout_s = to_seconds(timeout)
        self.at = None if self.timeout_s is None else time.monotonic() + self.timeout_s

    def left(self) -> float | None:
        """Seconds, at least 0; None: for ever."""
        return None if self.at is None else max(0.0, self.at - time.monotonic())

    def __str__(self) -> str:
        return f"{self.timeout_s:g} s" if self.timeout_s is not None else "for ever"
