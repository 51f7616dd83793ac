"""What a view is given: frozen snapshots of a future, a client, a cluster, its workers, and a notebook cell that runs as a task.

They are made by whoever owns the thing (`client`, `deploy`, `notebook`) at the moment it is shown, hold plain values only, and are never updated:
what has changed is a new snapshot. Text, HTML and, later, widgets are drawn from the same ones. A field whose value is not known is empty or None and
is not shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class FutureView(NamedTuple):
    """One future."""

    key: str
    status: str  #: pending, finished, error, cancelled or lost
    type: str = ""  #: the result's type name
    reason: str = ""  #: pending: why it has not started; error, cancelled, lost: what happened, in one line
    nbytes: int | None = None  #: the result's size


class WorkerView(NamedTuple):
    """One worker of a cluster."""

    name: str
    address: str
    nthreads: int
    memory_limit_bytes: int = 0  #: 0: no limit is known
    memory_bytes: int = 0  #: resident memory of its process; 0: not known
    cpu: float | None = None  #: share of one core: 1.5 is a core and a half
    executing: int | None = None  #: tasks that run
    ready: int | None = None  #: tasks that wait on the worker for a thread
    status: str = "running"  #: running, paused, closing, closed ...
    resources: Mapping[str, float] = {}


class ClusterView(NamedTuple):
    """A cluster: its scheduler's address and its workers."""

    address: str
    workers: tuple[WorkerView, ...] = ()
    name: str = ""
    kind: str = "Cluster"  #: the class a user sees: LocalCluster ...
    status: str = "running"  #: running, starting, closing or closed

    @property
    def threads(self) -> int:
        return sum(worker.nthreads for worker in self.workers)

    @property
    def memory_limit_bytes(self) -> int:
        """What all workers may use together; 0 when one of them has no known limit."""
        limits = [worker.memory_limit_bytes for worker in self.workers]
        return sum(limits) if all(limits) else 0


class ClientView(NamedTuple):
    """A client, and what it knows of its cluster."""

    address: str  #: of the scheduler
    status: str = "running"  #: running, connecting, closing or closed
    cluster: ClusterView | None = None
    futures: int | None = None  #: results that this client holds
    name: str = ""


class CellView(NamedTuple):
    """A notebook cell that runs as one task."""

    name: str
    status: str  #: as a future's
    names: tuple[str, ...] = ()  #: the names it assigns, now futures in the notebook
    reason: str = ""  #: why it failed, in one line
    printed: str = ""  #: what its code printed
    traceback: str = ""  #: of a failed cell: its own lines
