"""What every cluster object has in common, whoever starts its processes: a name, an address, workers, `scale`, `close`, `get_client`, `with`.

A cluster lives on one event loop: the caller's (`asynchronous=True`: what takes time returns an awaitable) or a loop thread's (the same methods
block). Subclasses write four coroutines (`listening`, `ready`, `scale_async`, `close_async`) that run on that loop.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeVar

from jupyterfut import config, plugins
from jupyterfut.comm import Security
from jupyterfut.runtime.host import LoopThread

if TYPE_CHECKING:
    from jupyterfut.views.snapshots import ClusterView

T = TypeVar("T")

ClusterStatus = Literal["starting", "running", "closing", "closed"]


class WorkerInfo(NamedTuple):
    """One worker of a cluster, as its starter knows it."""

    name: str
    address: str | None  #: None while it starts
    pid: int | None  #: None while there is no process
    nthreads: int
    memory_limit_bytes: int  #: 0: none
    status: str  #: "starting", "running", "waiting" (it died, and starts again), "closing"
    restarts: int  #: how often it was started again


class Cluster:
    """A scheduler and its workers, started and stopped together. Use a subclass, such as `LocalCluster`."""

    name: str
    asynchronous: bool
    security: Security

    def __init__(self, loop_thread: LoopThread | None) -> None:
        self._loop_thread = loop_thread  # None when asynchronous

    # --- what subclasses write

    async def listening(self) -> str:
        """Wait until the scheduler's address is known, and return it. Clients may connect from then on."""
        raise TypeError(f"{type(self).__name__} does not say how it starts")

    async def ready(self) -> None:
        """Wait until the first workers have joined. Raises WorkerStartError when they cannot; the cluster is closed then."""
        raise TypeError(f"{type(self).__name__} does not say how it starts")

    async def scale_async(self, n: int) -> None:
        """`scale`, on the cluster's loop."""
        raise TypeError(f"{type(self).__name__} cannot be scaled")

    async def close_async(self) -> None:
        """`close`, on the cluster's loop."""
        raise TypeError(f"{type(self).__name__} does not say how it ends")

    @property
    def status(self) -> ClusterStatus:
        """starting, running, closing or closed."""
        raise TypeError(f"{type(self).__name__} has no status")

    @property
    def scheduler_address(self) -> str:
        """Where clients and workers connect: `tcp://127.0.0.1:40123`; "" until it is known."""
        raise TypeError(f"{type(self).__name__} has no address")

    @property
    def workers(self) -> dict[str, WorkerInfo]:
        """The workers by name, as known now."""
        raise TypeError(f"{type(self).__name__} has no workers")

    # --- for users

    @property
    def address(self) -> str:
        """The same as `scheduler_address`."""
        return self.scheduler_address

    def scale(self, n: int) -> Any:
        """Start or stop workers until there are `n`, and wait until the new ones have joined. The newest leave first; what only they held is computed
        again. Blocks, or returns an awaitable when `asynchronous`. Raises ValueError for a negative number and ClosedError once closed."""
        if type(n) is not int or n < 0:
            raise ValueError(f"a cluster has a whole number of workers, at least 0, not {n!r}")
        return self._sync(self.scale_async(n))

    def close(self) -> Any:
        """End the cluster: workers, scheduler, and everything started for them. Idempotent. Blocks, or returns an awaitable when `asynchronous`."""
        return self._sync(self.close_async())

    def get_client(self) -> Any:
        """A new `Client` of this cluster, synchronous or not as the cluster is."""
        return plugins.load("client")(self, asynchronous=self.asynchronous)

    def _sync(self, coroutine: Coroutine[Any, Any, T]) -> Any:
        """Run to the end on the loop thread; or hand the coroutine to the asynchronous caller."""
        return coroutine if self._loop_thread is None else self._loop_thread.run(coroutine)

    def __enter__(self) -> Self:
        if self.asynchronous:
            raise TypeError("an asynchronous cluster is entered with 'async with'")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        if not self.asynchronous:
            raise TypeError("'async with' takes a cluster made with asynchronous=True")
        await self.ready()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        await self.close_async()

    def __await__(self) -> Generator[Any, None, Self]:
        return self._ready_self().__await__()

    async def _ready_self(self) -> Self:
        await self.ready()
        return self

    def snapshot(self) -> ClusterView:
        """What a view shows of the cluster."""
        from jupyterfut.views.snapshots import ClusterView, WorkerView

        workers = tuple(
            WorkerView(w.name, w.address or "", w.nthreads, w.memory_limit_bytes, status=w.status) for w in self.workers.values()
        )  # fmt: skip
        return ClusterView(self.scheduler_address, workers, self.name, type(self).__name__, self.status)

    def __repr__(self) -> str:
        from jupyterfut.views import text

        return text.cluster(self.snapshot(), static=config.settings().notebook.display == "static")

    def _repr_html_(self) -> str:
        from jupyterfut.views import html

        return html.cluster(self.snapshot(), static=config.settings().notebook.display == "static")
