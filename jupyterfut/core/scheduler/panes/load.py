"""What the scheduler itself does: the topic "load", in samples.

What its process and its loop are like the shell measures (`watching.Measures`), and only when a sample is taken. Rates are over the time since the
sample before.
"""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar, Final

from jupyterfut.core.scheduler.panes.source import Options, Snapshot, Source
from jupyterfut.core.scheduler.panes.summary import sum_of, taken
from jupyterfut.wire import panes

KEPT: Final = 1_200
"""Samples that are told to who begins to look: five minutes."""

KEPT_S: Final = 600.0
"""Older samples are not told, although nobody has looked since."""

COLUMNS: Final = (
    "at", "cpu", "lag_s", "memory", "received", "sent", "submitted", "done", "waiting", "queued", "processing", "workers", "idle", "worker_cpu",
    "worker_memory",
)  # fmt: skip


class Load(Source):
    topic: ClassVar[str] = "load"
    interval_s: ClassVar[float] = 0.25

    def begin(self) -> None:
        self._kept: deque[tuple[Any, ...]] = getattr(self, "_kept", deque(maxlen=KEPT))
        while self._kept and self._kept[0][0] < self.now() - KEPT_S:
            self._kept.popleft()
        self._fresh: tuple[Any, ...] | None = None
        self._mark()

    def _mark(self) -> None:
        """Rates count from here."""
        self._since = self.state.now
        self._measured = self.machine.panes.measure()
        self._counted = (self.state.next_seq, self.state.done)

    def collect(self) -> None:
        state = self.state
        took_s = state.now - self._since
        self._fresh = None
        if took_s < self.interval_s / 2:
            return  # somebody has just begun to look
        before, (submitted, done) = self._measured, self._counted
        self._mark()
        measured = self._measured
        counts = sum_of(state.groups.values())
        cpu, memory, _ = taken(state)
        self._fresh = (
            self.now(),
            round((measured.cpu_s - before.cpu_s) / took_s, 4),
            round(measured.lag_s, 6),
            measured.memory_bytes,
            round((measured.received - before.received) / took_s, 1),
            round((measured.sent - before.sent) / took_s, 1),
            round((state.next_seq - submitted) / took_s, 1),
            round((state.done - done) / took_s, 1),
            counts["waiting"],
            counts["queued"],
            counts["processing"],
            len(state.workers),
            len(state.idle),
            round(cpu, 3),
            memory,
        )
        self._kept.append(self._fresh)

    def whole(self, options: Options) -> Snapshot:
        return self._columns(True, list(self._kept))

    def news(self, options: Options) -> Snapshot | None:
        return None if self._fresh is None else self._columns(False, [self._fresh])

    @staticmethod
    def _columns(reset: bool, rows: list[tuple[Any, ...]]) -> Snapshot:
        columns = zip(*rows, strict=True) if rows else [()] * len(COLUMNS)
        told: panes.Load = {"reset": reset, **dict(zip(COLUMNS, map(list, columns), strict=True))}  # type: ignore[typeddict-item]  # all of them
        return dict(told)
