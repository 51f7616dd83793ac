"""A cluster in one line: the topic "summary", for lists of clusters, the status bar and the head of the dashboard.

Processor and memory are what the workers said with their last heartbeats. Everything else is known here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import ClassVar

from jupyterfut.core.scheduler.panes.source import Options, Snapshot, StateSource
from jupyterfut.core.scheduler.state import ERRED, MEMORY, PROCESSING, QUEUED, RELEASED, STATES, WAITING, GroupState, State
from jupyterfut.wire import panes

LATELY_S = 3.0
"""Rates are over so many seconds."""


class Pace:
    """How fast a count grows: by the second, lately."""

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def rate(self, now: float, count: int) -> float:
        """The rate up to now. The first time it is not known, and 0."""
        samples = self._samples
        while len(samples) > 1 and samples[1][0] <= now - LATELY_S:
            samples.popleft()
        samples.append((now, count))
        began, before = samples[0]
        return round((count - before) / (now - began), 3) if now > began else 0.0

    def forget(self) -> None:
        """Begin anew."""
        self._samples.clear()


class Summary(StateSource):
    topic: ClassVar[str] = "summary"
    interval_s: ClassVar[float] = 0.5

    def begin(self) -> None:
        self._pace = Pace()

    def collect(self) -> None:
        self._rate = self._pace.rate(self.state.now, self.state.done)

    def snapshot(self, options: Options) -> Snapshot:
        state = self.state
        workers = state.workers.values()
        limits = [worker.memory_limit_bytes for worker in workers]
        cpu, memory, spilled = taken(state)
        wish = self.machine.adaptation.wish
        people = kernels(state)
        told: panes.Summary = {
            "at": self.now(),
            "workers": len(workers),
            "threads": sum(worker.nthreads for worker in workers),
            "cpu": round(cpu, 3),
            "memory": memory,
            "memory_limit": sum(limits) if all(limits) else 0,
            "spilled": spilled,
            "tasks": counts_of(state),
            "done": state.done,
            "rate": self._rate,
            "clients": sum(client.worker is None and not client.is_viewer for client in state.clients.values()),
            "kernels": list(people),
            "sessions": list(people.values()),
            "adaptive": None if wish is None else {"minimum": wish.minimum, "maximum": wish.maximum},
            "can_scale": self.machine.panes.can_scale(),
        }
        return dict(told)


def taken(state: State) -> tuple[float, int, int]:
    """What all workers together take, as far as they have said: processor (1 is one core), memory of their processes, and of the disk."""
    cpu = memory = spilled = 0.0
    processes: dict[tuple[object, int], None] = {}
    for worker in state.workers.values():
        metrics = worker.metrics
        spilled += metrics.get("spilled_bytes", 0.0)
        process = (worker.info.get("host"), worker.pid)
        if process not in processes:  # of several workers in one process each says what the process takes
            processes[process] = None
            cpu += metrics.get("cpu", 0.0)
            memory += metrics.get("memory_bytes", 0.0)
    return cpu, int(memory), int(spilled)


def kernels(state: State) -> dict[str, str]:
    """The Jupyter kernels whose clients are here, and the notebook of each."""
    found: dict[str, str] = {}
    for client in state.clients.values():
        kernel = client.info.get("kernel")
        if kernel and not client.is_viewer:
            found[str(kernel)] = str(client.info.get("session") or "") or found.get(str(kernel), "")
    return found


def counts_of(state: State) -> panes.TaskCounts:
    """How many tasks of the whole cluster are in which state."""
    return sum_of(state.groups.values())


def sum_of(groups: Iterable[GroupState]) -> panes.TaskCounts:
    """How many tasks of these groups are in which state."""
    counts = dict.fromkeys(STATES, 0)
    for group in groups:
        for at, n in group.counts.items():
            counts[at] += n
    return as_counts(counts)


def as_counts(counts: dict[str, int]) -> panes.TaskCounts:
    """Counts by state, as they are told."""
    return {
        "waiting": counts[WAITING],
        "queued": counts[QUEUED],
        "processing": counts[PROCESSING],
        "memory": counts[MEMORY],
        "erred": counts[ERRED],
        "released": counts[RELEASED],
    }
