"""What every cluster object has in common, whoever starts its processes: a name, an address, workers, `scale`, `close`, `get_client`, `with`.

A cluster lives on one event loop: the caller's (`asynchronous=True`: what takes time returns an awaitable) or a loop thread's (the same methods
block). Subclasses write five coroutines (`listening`, `ready`, `scale_async`, `adapt_async`, `close_async`) that run on that loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeVar

from jupyterfut import config, plugins
from jupyterfut.comm import Security
from jupyterfut.runtime.host import LoopThread

if TYPE_CHECKING:
    from datetime import timedelta

    from jupyterfut.deploy.adaptive import Adaptive
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
        self._adaptive: Adaptive | None = None  # the one that is running

    # --- what subclasses write

    async def listening(self) -> str:
        """Wait until the scheduler's address is known, and return it. Clients may connect from then on."""
        raise TypeError(f"{type(self).__name__} does not say how it starts")

    async def ready(self) -> None:
        """Wait until the first workers have joined. Raises WorkerStartError when they cannot; the cluster is closed then."""
        raise TypeError(f"{type(self).__name__} does not say how it starts")

    async def scale_async(self, n: int, timeout_s: float | None = None) -> None:
        """`scale`, on the cluster's loop."""
        raise TypeError(f"{type(self).__name__} cannot be scaled")

    async def adapt_async(self, options: dict[str, Any] | None) -> None:
        """Begin to adapt, with the options of an `Adaptive`; None: stop."""
        raise TypeError(f"{type(self).__name__} cannot adapt")

    async def close_async(self) -> None:
        """`close`, on the cluster's loop."""
        raise TypeError(f"{type(self).__name__} does not say how it ends")

    async def finished(self) -> None:
        """Return when the cluster has ended, by whomever: `close`, a client's `shutdown()`, a kill. From the cluster's loop."""
        raise TypeError(f"{type(self).__name__} does not say when it ends")

    async def end_async(self) -> None:
        """`close`, from any event loop: a client's, which has its own."""
        if self._loop_thread is None or self._loop_thread.in_loop_thread:
            await self.close_async()
        else:
            await asyncio.to_thread(self.close)

    @property
    def status(self) -> ClusterStatus:
        """starting, running, closing or closed."""
        raise TypeError(f"{type(self).__name__} has no status")

    @property
    def scheduler_address(self) -> str:
        """Where clients and workers connect: `tcp://127.0.0.1:40123`; "" until it is known."""
        raise TypeError(f"{type(self).__name__} has no address")

    @property
    def dashboard_link(self) -> str:
        """The dashboard, for a browser on the scheduler's machine, with the token that opens it: `http://127.0.0.1:35791/?token=...`. "" until the
        scheduler listens, and where there is none."""
        return ""

    @property
    def workers(self) -> dict[str, WorkerInfo]:
        """The workers by name, as known now."""
        raise TypeError(f"{type(self).__name__} has no workers")

    # --- for users

    @property
    def address(self) -> str:
        """The same as `scheduler_address`."""
        return self.scheduler_address

    def scale(self, n: int, timeout: float | str | timedelta | None = None) -> Any:
        """Start or retire workers until there are `n`, and wait until the new ones have joined or the others have left.

        Idle workers that hold little leave first, of these the newest; results that only they hold are copied to others first. Tasks that still run
        on one that leaves may go on for `timeout` (seconds, "1 min"; default: the setting `deploy.retire_timeout_s`), then they run again elsewhere.
        With 0 nobody is left to take anything: what was computed is computed again when there are workers, scattered data is lost. Ends an `adapt`.

        Blocks, or returns an awaitable when `asynchronous`; interrupted, it goes on by itself. Raises ValueError for a negative number, ClosedError
        once closed, WorkerStartError, and NotRetired when data could not be moved: then those who hold it stay.

        >>> from jupyterfut import LocalCluster
        >>> with LocalCluster(n_workers=1, threads_per_worker=1, processes=False) as cluster:
        ...     cluster.scale(3)
        ...     len(cluster.workers)
        3
        """
        if type(n) is not int or n < 0:
            raise ValueError(f"a cluster has a whole number of workers, at least 0, not {n!r}")
        timeout_s = config.settings().deploy.retire_timeout_s if timeout is None else config.parse_seconds(timeout)
        if self._adaptive is not None:
            self._adaptive.running = False
            self._adaptive = None
        return self._sync(self.scale_async(n, timeout_s))

    def adapt(self, minimum: int = 0, maximum: int | float | None = None, **options: Any) -> Adaptive:
        """From now on have as many workers as the work asks for, between `minimum` and `maximum` (None: no limit). Returns an `Adaptive`, which says
        what the options are (`interval`, `wait_count`, `target_duration`) and stops it; so does `scale(n)`.

        Blocks until it has begun; in an asynchronous cluster it does not, and the `Adaptive` may be awaited. Raises ConfigError (a ValueError) for
        numbers that make no sense, ClosedError once closed.
        """
        from jupyterfut.deploy.adaptive import Adaptive

        return Adaptive(self, minimum, maximum, **options)

    def _begin_adapting(self, adaptive: Adaptive) -> Any:
        if self._adaptive is not None:
            self._adaptive.running = False
        self._adaptive = adaptive
        if self._loop_thread is None:
            return asyncio.get_running_loop().create_task(self.adapt_async(adaptive.options()))
        self._loop_thread.run(self.adapt_async(adaptive.options()))
        return None

    def _stop_adapting(self, adaptive: Adaptive) -> Any:
        adaptive.running = False
        if self._adaptive is not adaptive:
            return self._sync(_nothing())
        self._adaptive = None
        return self._sync(self.adapt_async(None))

    def _wished(self, n: int) -> None:
        """The load asks for another number of workers."""
        if self._adaptive is not None:
            self._adaptive.wanted = n

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

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Text and HTML, for whatever shows objects as Jupyter does."""
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def _ipython_display_(self) -> None:
        plugins.load("showing")(self)


async def _nothing() -> None:
    """There is nothing to wait for."""
