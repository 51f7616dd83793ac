"""What a worker tells by itself, while somebody looks at the dashboard: what ran (`Ran`), where its threads have been (`Sampled`), its log lines
(`Logged`).

The scheduler says which of these somebody wants, and how often (`Observe`). What ran is gathered from the time on when something has ended, for as
long as it says, and condensed (`core/worker/stream`); samples go with the heartbeats, which are as frequent as that; lines go at once. So an idle
worker says nothing, and one that nobody looks at has not even loaded this module. Everything here runs on the worker's loop; only log records come
from other threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from time import monotonic, perf_counter, time
from typing import TYPE_CHECKING, Any

from jupyterfut.core.samples import pack
from jupyterfut.core.worker.events import Watch
from jupyterfut.core.worker.stream import Stream
from jupyterfut.runtime.context import current_task
from jupyterfut.runtime.logs import Line, Tap
from jupyterfut.runtime.observer import Rate
from jupyterfut.runtime.profiler import place_of
from jupyterfut.wire.messages import Logged, Message, Ran, Sampled

if TYPE_CHECKING:
    from jupyterfut.runtime.executor import Executor
    from jupyterfut.runtime.observer import Observer
    from jupyterfut.runtime.worker_server import Worker

OPEN_S = 1.0
"""What has been running for so long is told although it has not ended."""

NODES = 400
"""So many frames of a profile are told at a time; what was seen less often than these is counted with the frame above."""

LINES_AT_ONCE = 1_000
LINES_A_SECOND = 200
"""More log lines than anybody reads are counted, and not told."""


class Telling:
    """One worker's. `alone`: it has a process of its own, whose log lines are all its own; otherwise those are that its tasks write."""

    def __init__(self, worker: Worker, observer: Observer, executor: Executor, say: Callable[[Message], None], *, alone: bool) -> None:
        self._worker = worker
        self._observer = observer
        self._executor = executor
        self._say = say
        self._alone = alone
        self._loop = asyncio.get_running_loop()
        self._wish = Watch({}, False)
        self._stream: Stream | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._open: list[tuple[str, float]] = []  # what ran for long when it was told last
        self._profiled_at = 0.0
        self._tap: Tap | None = None
        self._rate = Rate(LINES_AT_ONCE, LINES_A_SECOND)
        self._lines: list[tuple[float, Line, str]] = []
        self._lines_dropped = 0
        self._lock = threading.Lock()  # of the lines

    def watch(self, wish: Watch) -> None:
        """From now on this, and nothing else. What has not been told yet of what is wanted no more never will be."""
        before, self._wish = self._wish, wish
        if (wish.stream_s, wish.grain_s) != (before.stream_s, before.grain_s):
            self._stop_timer()
            self._open = []
            if not wish.stream_s:
                self._stream = None
            elif self._stream is None:
                self._stream = Stream(wish.grain_s)
            else:
                self._stream.grain_s = wish.grain_s
                self.ended()
        if bool(wish.profile_s) != bool(before.profile_s):
            self._executor.profiler.collect(self._executor.name_of if wish.profile_s else None)
        if wish.log_level != before.log_level:
            if self._tap is not None:
                self._tap.remove()
            self._tap = Tap(wish.log_level, self._heard) if wish.log_level else None

    def close(self) -> None:
        """Nothing any more. Idempotent."""
        self.watch(Watch({}, False))

    def beat(self) -> None:
        """It is time for a heartbeat: tell what has changed without anything that ended."""
        wish = self._wish
        if self._stream is not None and self._timer is None and (self._observer.rows or self._running() != self._open):
            self._tell_rows()
        if wish.profile_s and monotonic() - self._profiled_at >= 0.9 * wish.profile_s:
            self._profiled_at = monotonic()
            self._tell_samples()

    # --- what ran

    def ended(self) -> None:
        """Something has ended, and is to be told before long."""
        if self._stream is not None and self._timer is None:
            self._timer = self._loop.call_later(self._wish.stream_s, self._tell_rows)

    def _running(self) -> list[tuple[str, float]]:
        return [(key, start) for key, start, _, _ in self._executor.running(perf_counter() - OPEN_S)]

    def _tell_rows(self) -> None:
        self._stop_timer()
        stream = self._stream
        assert stream is not None
        stream.feed(self._observer.take(), self._threads)
        now = perf_counter()
        running = self._executor.running(now - OPEN_S)
        self._open = [(key, start) for key, start, _, _ in running]
        stream.still(running, now, self._threads)
        dropped, stream.dropped = stream.dropped, 0
        columns: dict[str, Any] = stream.take()
        self._say(Ran(now=perf_counter(), dropped=dropped, **columns))

    def _threads(self) -> set[int]:
        return {ident for desks, _ in self._executor.profiler.sources for ident in list(desks)}

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- where the threads have been

    def _tell_samples(self) -> None:
        profiler = self._executor.profiler
        trees = profiler.take()
        if trees:
            frames, columns = pack(trees, place_of, NODES)
            self._say(Sampled(profiler.interval_s, frames, columns))

    # --- log lines

    def _heard(self, line: Line) -> None:
        """From any thread."""
        task = current_task()
        if not self._alone and (task is None or task.worker is not self._worker):
            return
        with self._lock:
            if type(self._rate.take(monotonic())) is str:
                self._lines_dropped += 1
                return
            first = not self._lines
            self._lines.append((perf_counter() - (time() - line.created), line, "" if task is None else task.key))
        if first:
            try:
                self._loop.call_soon_threadsafe(self._tell_lines)
            except RuntimeError:
                if not self._loop.is_closed():
                    raise

    def _tell_lines(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
            dropped, self._lines_dropped = self._lines_dropped, 0
        if lines and self._wish.log_level:
            times, said, keys = map(list, zip(*lines, strict=True))
            levels, loggers, texts = ([line[i] for line in said] for i in (1, 2, 3))
            self._say(Logged(perf_counter(), dropped, times, levels, loggers, texts, keys))
