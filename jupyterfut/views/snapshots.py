"""What a view is given: frozen snapshots of a future, a list of futures, an actor, a client, a cluster, its workers, and a notebook cell that runs
as a task.

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
    step: str = ""  #: pending, as far as it is followed: waiting, queued, assigned or running
    worker: str = ""  #: the name of the worker where it runs, or has run
    since: float | None = None  #: running since then, in seconds since 1970
    took_s: float | None = None  #: how long it ran, once it has ended


class FuturesView(NamedTuple):
    """Several futures, in order."""

    codes: bytes  #: one of `CODES` for each
    name: str = ""  #: what the tasks are called: the part that their keys have in common
    kind: str = "Futures"  #: what the form calls them
    rows: tuple[FutureView, ...] = ()  #: each of them, if they are few enough to be listed
    failures: tuple[tuple[str, int, str], ...] = ()  #: what went wrong: the error in one line, how often, the first key
    groups: tuple[tuple[str, bytes], ...] = ()  #: codes by group; empty: not grouped
    since: float | None = None  #: the first was seen then, in seconds since 1970; None once all have ended
    took_s: float | None = None  #: from the first to the last, once all have ended
    released: bool = False  #: nobody in the notebook holds them any more

    @property
    def counts(self) -> dict[str, int]:
        """How many of each; those that occur only."""
        return {name: n for code, name in enumerate(CODES) if (n := self.codes.count(code))}

    @property
    def ended(self) -> bool:
        """Whether nothing of it will change by itself."""
        return not (self.codes.count(0) or self.codes.count(1))


CODES = ("pending", "running", "finished", "error", "cancelled", "lost", "released")
"""What a future can be, each a byte in `FuturesView.codes`. Released: nobody wants it any more."""


class ActorView(NamedTuple):
    """An actor: what it is, and where it lives."""

    name: str  #: of its class
    key: str
    status: str = "running"  #: running, or lost
    worker: str = ""  #: the name or address of its worker
    methods: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    reason: str = ""  #: lost: why


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
    adapts: tuple[int, int | None] | None = None  #: between so many workers (None: no limit), if their number follows the work

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
    """A notebook cell that runs as one task, or, with `for`, as one for each element."""

    name: str
    status: str  #: as a future's
    names: tuple[str, ...] = ()  #: the names it assigns, now futures in the notebook
    reason: str = ""  #: why it failed, in one line
    printed: str = ""  #: what its code printed
    traceback: str = ""  #: of a failed cell: its own lines
    step: str = ""  #: pending, as far as it is followed: waiting, queued, assigned or running
    worker: str = ""  #: the name of the worker where it runs, or has run
    since: float | None = None  #: running (of a `for` cell: submitted) since then, in seconds since 1970
    took_s: float | None = None  #: how long it ran, once it has ended
    codes: bytes = b""  #: of a `for` cell: one of `CODES` for each element
