"""When to tell: what has changed is told at once, and at most ten times a second.

A thread that exists while there is something to tell, and goes when nothing has changed for a while. It belongs to no client, so that forms of
several clients leave in one message, and neither a client's loop nor the kernel's main thread waits for their drawing. Nothing is looked at
regularly: who has changed says so (`wake`), and what is to be told again later is asked for (`later`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

INTERVAL_S = 0.1
"""Between two tellings, at least."""

SHARE = 0.05
"""Of one core's time, for drawing: if it takes long, it happens less often."""

IDLE_S = 5.0
"""After so long without news the thread ends."""


class Pace(Generic[T]):
    """Calls `tell` with those that have changed, each once, in a thread of its own."""

    def __init__(self, tell: Callable[[list[T]], None]) -> None:
        self._tell = tell
        self._news: dict[T, None] = {}
        self._due: dict[T, float] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def wake(self, one: T) -> None:
        """It has changed. Never blocks for long; from any thread."""
        with self._changed:
            self._news[one] = None
            self._go()

    def later(self, one: T, after_s: float) -> None:
        """Tell it after so long, if nothing happens before."""
        with self._changed:
            self._due.setdefault(one, time.monotonic() + after_s)
            self._go()

    def forget(self, one: T) -> None:
        """It is not to be told any more."""
        with self._changed:
            self._news.pop(one, None)
            self._due.pop(one, None)

    def close(self) -> None:
        """Nothing is told any more. Waits until what is being told has been told."""
        with self._changed:
            self._closed = True
            thread = self._thread
            self._changed.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _go(self) -> None:
        if self._closed:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="jupyterfut-forms", daemon=True)
            self._thread.start()
        else:
            self._changed.notify()

    def _run(self) -> None:
        rest_until = 0.0
        while True:
            with self._changed:
                batch = self._wait(rest_until)
                if batch is None:
                    self._thread = None
                    return
            began, spent = time.monotonic(), time.thread_time()
            self._tell(batch)
            rest_until = max(began + INTERVAL_S, time.monotonic() + (time.thread_time() - spent) / SHARE)
            del batch

    def _wait(self, rest_until: float) -> list[T] | None:
        """Those to be told now; None when there has been nothing for long."""
        idle_at = time.monotonic() + IDLE_S
        while True:
            if self._closed:
                return None
            now = time.monotonic()
            for one in [one for one, due in self._due.items() if due <= now]:
                del self._due[one]
                self._news[one] = None
            if self._news and now >= rest_until:
                batch = list(self._news)
                self._news.clear()
                return batch
            if self._news:
                until = rest_until
            elif self._due:
                until = min(self._due.values())
            elif now >= idle_at:
                return None
            else:
                until = idle_at
            self._changed.wait(until - now)
