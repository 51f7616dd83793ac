"""The log lines of the scheduler's own process, for who looks at events.

They are listened to only while somebody does (`panes.listen`), in whichever thread they are written, and said on the scheduler's loop. In a process
of our own all of them are the scheduler's; in a user's process those of our loggers are, and what tasks write is said by their worker.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from time import monotonic

from jupyterfut.core.scheduler.observing import LOG_LEVEL
from jupyterfut.runtime import logs
from jupyterfut.runtime.context import current_task
from jupyterfut.runtime.logs import Line, Tap
from jupyterfut.runtime.observer import Rate

LINES_AT_ONCE = 1_000
LINES_A_SECOND = 200
"""More than anybody reads."""


class OwnLines:
    """`say(at, level, logger, text)` is called on the event loop on which this was made, once a line, in order."""

    def __init__(self, say: Callable[[float, int, str, str], object]) -> None:
        self._say = say
        self._loop = asyncio.get_running_loop()
        self._tap: Tap | None = None
        self._rate = Rate(LINES_AT_ONCE, LINES_A_SECOND)
        self._lock = threading.Lock()  # of the rate and the lines
        self._lines: list[Line] = []

    def listen(self, wanted: bool) -> None:
        """From now on say lines, or not any more. Idempotent."""
        if wanted and self._tap is None:
            self._tap = Tap(LOG_LEVEL, self._heard)
        elif not wanted and self._tap is not None:
            self._tap.remove()
            self._tap = None

    def _heard(self, line: Line) -> None:
        """From any thread."""
        if current_task() is not None or not (logs.in_own_process() or f"{line.logger}.".startswith("jupyterfut.")):
            return
        with self._lock:
            refused = self._rate.take(monotonic())
            if refused == "enough":
                line = line._replace(text=f"more than {LINES_A_SECOND} lines a second: what follows is not shown until there are fewer")
            elif refused == "refused":
                return
            first = not self._lines
            self._lines.append(line)
        if first:
            try:
                self._loop.call_soon_threadsafe(self._tell)
            except RuntimeError:
                if not self._loop.is_closed():
                    raise

    def _tell(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
        if self._tap is not None:
            for line in lines:
                self._say(*line)
