"""Waiting for records: one countdown, whatever is counted, with a gate at its end for threads or for asyncio.

A waiter is a callable that stands in `Record.waiters`; the session's loop calls it once with the record when that has resolved. So waiting for n
records costs n appends and n calls in all, and one wake-up at the end.
"""

from __future__ import annotations

import _thread
import asyncio
import threading
from collections.abc import Callable
from typing import Any

from jupyterfut.core.client.state import Record
from jupyterfut.runtime.context import blocking, current_task


class Countdown:
    """Calls `opened()` when `count` records have resolved, or, with `fail_fast`, as soon as one resolves to something else than `finished`.

    `count` is set by `Session.watch`. Opening twice is the gate's to forgive.
    """

    __slots__ = ("count", "fail_fast", "opened")

    def __init__(self, opened: Callable[[], object], fail_fast: bool = False) -> None:
        self.count = 0
        self.opened = opened
        self.fail_fast = fail_fast

    def __call__(self, record: Record) -> None:
        self.count -= 1
        if self.count == 0 or (self.fail_fast and record.status != "finished"):
            self.opened()


class ThreadGate:
    """One thread waits here, any thread opens. A lock is the cheapest primitive that a KeyboardInterrupt gets through."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._lock.acquire()

    def open(self) -> None:
        """Let the waiting thread go on; it stays open."""
        try:
            self._lock.release()
        except RuntimeError:
            return  # it is open already

    def __call__(self, record: Record) -> None:
        """As the waiter of a single record."""
        self.open()

    def wait(self, timeout_s: float | None) -> bool:
        """Block until it opens; False after `timeout_s` seconds. Inside a task, the task counts as seceded meanwhile."""
        if timeout_s is None and current_task() is None:
            return self._lock.acquire()
        if self._lock.acquire(False):
            return True
        if timeout_s is not None and timeout_s <= 0:
            return False
        with blocking(self.open):
            return self._lock.acquire(True, -1 if timeout_s is None else min(timeout_s, threading.TIMEOUT_MAX))


class LoopGate:
    """One coroutine waits here, any thread opens."""

    __slots__ = ("_future", "_loop", "_thread")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = _thread.get_ident()
        self._future: asyncio.Future[None] = self._loop.create_future()

    def open(self) -> None:
        """Let the waiting coroutine go on; it stays open."""
        if _thread.get_ident() == self._thread:
            self._set()
        else:
            try:
                self._loop.call_soon_threadsafe(self._set)
            except RuntimeError:
                if not self._loop.is_closed():  # then nobody waits here any more
                    raise

    def _set(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    async def wait(self, timeout_s: float | None) -> bool:
        """Wait until it opens; False after `timeout_s` seconds. Inside an `async def` task, the task counts as seceded meanwhile."""
        if self._future.done():
            return True
        if timeout_s is not None and timeout_s <= 0:
            return False
        with blocking():
            if timeout_s is None:
                await self._future
            else:
                await asyncio.wait([self._future], timeout=timeout_s)
        return self._future.done()


class Answer:
    """Where the answer to one question arrives: the `asker` of `events.Ask`. Once `undo` is set nobody waits any more, and an answer that still
    comes is given to it."""

    __slots__ = ("arrived", "failure", "opened", "undo", "value")

    def __init__(self, opened: Callable[[], object]) -> None:
        self.opened = opened
        self.arrived = False
        self.undo: Callable[[Any], object] | None = None
        self.value: Any = None
        self.failure: Any = None

    def __call__(self, value: Any, failure: Any) -> None:
        self.value = value
        self.failure = failure
        self.arrived = True
        if self.undo is None:
            self.opened()
        elif failure is None:
            self.undo(value)
