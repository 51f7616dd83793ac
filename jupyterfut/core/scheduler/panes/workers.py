"""The workers, in columns: the topic "workers".

Processor, memory and network are what each said with its last heartbeat (they come more often while somebody looks); what it has to do and what it
holds is known here, and as fresh as the snapshot. With a thousand workers a snapshot is 19,000 values, so what stays as it was is not made again.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from jupyterfut.core.scheduler.panes.source import Options, Snapshot, StateSource
from jupyterfut.core.scheduler.state import WorkerState
from jupyterfut.wire import panes

SILENT_BEATS: Final = 3.0
"""A worker that has said nothing for so many heartbeats is called silent."""

Beat = tuple[str, float, int, int, float, float]
"""State, processor, memory, bytes on disk, bytes received and sent a second."""


class Workers(StateSource):
    topic: ClassVar[str] = "workers"
    interval_s: ClassVar[float] = 0.1
    restless: ClassVar[tuple[str, ...]] = ("at", "seen_s")

    def begin(self) -> None:
        self._beats: dict[WorkerState, tuple[dict[str, float], Beat]] = {}
        self._here: list[WorkerState] | None = None  # those of `_lasting`
        self._lasting: dict[str, list[Any]] = {}

    def end(self) -> None:
        self.begin()

    def worker_left(self, worker: WorkerState) -> None:
        self._beats.pop(worker, None)

    def snapshot(self, options: Options) -> Snapshot:
        workers = list(self.state.workers.values())
        if workers != self._here:
            self._here = workers
            self._lasting = _lasting(workers)
        states, cpu, memory, spilled, received, sent = _columns([self._beat(worker) for worker in workers], 6)
        now = self.state.now
        heard_after = now - SILENT_BEATS * self.state.config.heartbeat_s
        managed = []
        for place, worker in enumerate(workers):
            managed.append(max(0, worker.nbytes - spilled[place]))
            if worker.retiring or worker.last_seen < heard_after:
                states[place] = "restarting" if worker.restarting else "retiring" if worker.retiring else "silent"
        processing = [len(worker.processing) for worker in workers]
        told: panes.Workers = {
            "at": self.now(),
            "address": self._lasting["address"],
            "name": self._lasting["name"],
            "host": self._lasting["host"],
            "pid": self._lasting["pid"],
            "threads": self._lasting["threads"],
            "state": states,
            "cpu": cpu,
            "memory": memory,
            "managed": managed,
            "spilled": spilled,
            "memory_limit": self._lasting["memory_limit"],
            "executing": [min(n - worker.blocked, worker.nthreads) for n, worker in zip(processing, workers, strict=True)],
            "processing": processing,
            "held": [len(worker.has) for worker in workers],
            "occupancy_s": [round(worker.occupancy_s, 4) for worker in workers],
            "received": received,
            "sent": sent,
            "seen_s": [round(now - worker.last_seen, 1) for worker in workers],
        }
        return dict(told)

    def _beat(self, worker: WorkerState) -> Beat:
        """What the last heartbeat said, as it is told; made once for each."""
        metrics = worker.metrics
        known = self._beats.get(worker)
        if known is not None and known[0] is metrics:
            return known[1]
        beat = (
            "paused" if metrics.get("paused") else "running",
            round(metrics.get("cpu", 0.0), 3),
            int(metrics.get("memory_bytes", 0.0)),
            int(metrics.get("spilled_bytes", 0.0)),
            round(metrics.get("received_bytes_s", 0.0), 1),
            round(metrics.get("sent_bytes_s", 0.0), 1),
        )
        self._beats[worker] = (metrics, beat)
        return beat


def _lasting(workers: list[WorkerState]) -> dict[str, list[Any]]:
    """What does not change while the workers are the same."""
    return {
        "address": [worker.address for worker in workers],
        "name": [worker.name for worker in workers],
        "host": [str(worker.info.get("host", "")) for worker in workers],
        "pid": [worker.pid for worker in workers],
        "threads": [worker.nthreads for worker in workers],
        "memory_limit": [worker.memory_limit_bytes for worker in workers],
    }


def _columns(rows: list[Any], count: int) -> list[list[Any]]:
    return list(map(list, zip(*rows, strict=True))) if rows else [[] for _ in range(count)]
