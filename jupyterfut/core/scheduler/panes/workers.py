"""The workers, in columns: the topic "workers".

Processor, memory and network are what each said with its last heartbeat (they come more often while somebody looks); what it has to do and what it
holds is known here, and as fresh as the snapshot.
"""

from __future__ import annotations

from typing import ClassVar, Final

from jupyterfut.core.scheduler.panes.source import Options, Snapshot, StateSource
from jupyterfut.core.scheduler.state import WorkerState
from jupyterfut.wire import panes

SILENT_BEATS: Final = 3.0
"""A worker that has said nothing for so many heartbeats is called silent."""


class Workers(StateSource):
    topic: ClassVar[str] = "workers"
    interval_s: ClassVar[float] = 0.1
    restless: ClassVar[tuple[str, ...]] = ("at", "seen_s")

    def snapshot(self, options: Options) -> Snapshot:
        now = self.state.now
        workers = list(self.state.workers.values())
        metrics = [worker.metrics for worker in workers]
        spilled = [int(one.get("spilled_bytes", 0.0)) for one in metrics]
        told: panes.Workers = {
            "at": self.now(),
            "address": [worker.address for worker in workers],
            "name": [worker.name for worker in workers],
            "host": [str(worker.info.get("host", "")) for worker in workers],
            "pid": [worker.pid for worker in workers],
            "threads": [worker.nthreads for worker in workers],
            "state": [self._state(worker) for worker in workers],
            "cpu": [round(one.get("cpu", 0.0), 3) for one in metrics],
            "memory": [int(one.get("memory_bytes", 0.0)) for one in metrics],
            "managed": [max(0, worker.nbytes - on_disk) for worker, on_disk in zip(workers, spilled, strict=True)],
            "spilled": spilled,
            "memory_limit": [worker.memory_limit_bytes for worker in workers],
            "executing": [min(len(worker.processing) - worker.blocked, worker.nthreads) for worker in workers],
            "processing": [len(worker.processing) for worker in workers],
            "held": [len(worker.has) for worker in workers],
            "occupancy_s": [round(worker.occupancy_s, 4) for worker in workers],
            "received": [round(one.get("received_bytes_s", 0.0), 1) for one in metrics],
            "sent": [round(one.get("sent_bytes_s", 0.0), 1) for one in metrics],
            "seen_s": [round(now - worker.last_seen, 1) for worker in workers],
        }
        return dict(told)

    def _state(self, worker: WorkerState) -> str:
        if worker.restarting:
            return "restarting"
        if worker.retiring:
            return "retiring"
        if self.state.now - worker.last_seen > SILENT_BEATS * self.state.config.heartbeat_s:
            return "silent"
        return "paused" if worker.metrics.get("paused") else "running"
