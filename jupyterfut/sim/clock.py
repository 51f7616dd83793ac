"""The virtual clock and the list of what happens next.

Everything in the simulated cluster is a call at a time: a frame that arrives, a task that ends, a fault that strikes. The clock keeps them in a heap,
ties in the order in which they were asked for, so that one seed is one story. Nothing sleeps: time jumps to the next call.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any


class Clock:
    """Virtual time in seconds, from 0.

    >>> clock = Clock()
    >>> seen = []
    >>> clock.at(2.0, seen.append, "later"); clock.at(1.0, seen.append, "sooner")
    >>> while clock.step(): pass
    >>> seen, clock.now
    (['sooner', 'later'], 2.0)
    """

    __slots__ = ("_count", "_heap", "foreground", "now", "steps")

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self.foreground = 0  # calls that are due and are not mere clockwork
        self._count = 0
        self._heap: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []

    def at(self, when: float, fn: Callable[..., object], *args: Any) -> None:
        """Call `fn(*args)` at `when`, or now if that is past."""
        self._count += 1
        self.foreground += 1
        heappush(self._heap, (max(when, self.now), self._count, fn, args))

    def background(self, when: float, fn: Callable[..., object], *args: Any) -> None:
        """As `at`, for clockwork (heartbeats, deadlines): a world in which nothing else is due is idle. Its calls are numbered below zero."""
        self._count += 1
        heappush(self._heap, (max(when, self.now), -self._count, fn, args))

    def after(self, delay_s: float, fn: Callable[..., object], *args: Any) -> None:
        """Call `fn(*args)` in `delay_s` seconds."""
        self._count += 1
        self.foreground += 1
        heappush(self._heap, (self.now + delay_s, self._count, fn, args))

    def step(self) -> bool:
        """Do the next call. False when there is none."""
        if not self._heap:
            return False
        self.now, number, fn, args = heappop(self._heap)
        self.steps += 1
        if number > 0:
            self.foreground -= 1
        fn(*args)
        return True

    def next_at(self) -> float | None:
        """When the next call is due, or None."""
        return self._heap[0][0] if self._heap else None
