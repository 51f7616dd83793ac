"""`LocalCluster`: a scheduler and workers on this machine, as processes or as threads of this process.

With processes (the default), one child process runs the scheduler and starts the worker processes, so that a busy notebook never slows the
scheduler down. With threads, scheduler and workers live on the client's own loop and pass objects by reference (`comm.inproc`).
"""

from __future__ import annotations

import atexit
import dataclasses
import itertools
import math
import os
import warnings
import weakref
from typing import TYPE_CHECKING, Any

from jupyterfut import config
from jupyterfut.comm import Security
from jupyterfut.deploy.cluster import Cluster, ClusterStatus, WorkerInfo
from jupyterfut.deploy.host_process import HostProcess
from jupyterfut.deploy.kernel import current_kernel_id, kernel_identity
from jupyterfut.errors import ClosedError, ConfigError
from jupyterfut.runtime import connections, worker_process
from jupyterfut.runtime.host import LoopThread
from jupyterfut.runtime.host_main import host_settings
from jupyterfut.runtime.interfaces import host_and_port, is_loopback
from jupyterfut.runtime.process import cpu_count, parse_memory_limit

if TYPE_CHECKING:
    from jupyterfut.deploy.in_process import InProcess

_numbers = itertools.count(1)
_open: weakref.WeakSet[HostProcess] = weakref.WeakSet()


def default_shape(n_workers: int | None, threads_per_worker: int | None, processes: bool, cpus: int) -> tuple[int, int]:
    """How many workers of how many threads: what `dask.distributed.LocalCluster` chooses, so that notebooks behave as their readers expect.

    >>> default_shape(None, None, True, 2), default_shape(None, None, True, 12), default_shape(None, None, False, 8)
    ((2, 1), (4, 3), (1, 8))
    >>> default_shape(2, None, True, 8), default_shape(None, 2, True, 8), default_shape(0, None, True, 8)
    ((2, 4), (4, 2), (0, 8))
    """
    if n_workers is None and threads_per_worker is None:
        if not processes:
            return 1, cpus
        workers = cpus if cpus <= 4 else min(n for n in range(1, cpus + 1) if cpus % n == 0 and n >= math.sqrt(cpus))
        return workers, cpus // workers
    if n_workers is None:
        assert threads_per_worker is not None
        return (max(1, cpus // threads_per_worker) if processes else 1), threads_per_worker
    return n_workers, threads_per_worker or max(1, cpus // max(1, n_workers))


class LocalCluster(Cluster):
    """A cluster on this machine.

    - `n_workers`, `threads_per_worker`: default to what the machine's cores suggest (`default_shape`).
    - `processes`: workers are processes of their own (True), or threads of this process that get objects by reference (False).
    - `memory_limit`: of each worker: "auto" (its share of the machine's memory), bytes, "4GB", a share of the machine's memory (0.5), or None.
    - `name`: what `Client("name")` and `jupyterfut cluster` call it; by default one that tells this process.
    - `detached`: outlives this process and this object, and logs to a file beside its connection file. It ends with `close()`,
      `Client.shutdown()` or `jupyterfut cluster stop NAME`.
    - `host`, `port`: where the scheduler listens. Beyond loopback it wants a `security` with TLS files, or `allow_plain=True`.
    - `resources`: what each worker offers (`{"GPU": 1}`). `local_directory`: where workers spill. `settings`: in place of this process's own.
    - `loop_thread`, `wait=False`: for a `Client` that starts the cluster on its own loop, see `launch`.
    - `dashboard_address`: where the scheduler's dashboard listens (":8787", "127.0.0.1:8787"; see `dashboard_link`), instead of what the setting
      `dashboard.address` says; None or "": there is none. Beyond loopback it wants what `host` wants.
    - `ip`, `scheduler_port`: what dask.distributed calls `host` and `port`. `worker_dashboard_address`, `silence_logs` and `loop` are accepted and
      not used.

    Blocks until the workers have joined. With `asynchronous=True` it returns at once and is awaited (`async with LocalCluster(asynchronous=True)
    as c`). Raises WorkerStartError when the cluster does not come up, ConfigError for an option that makes no sense. A cluster that is neither
    closed nor detached ends with this process, however that ends.

    >>> with LocalCluster(n_workers=1, threads_per_worker=1) as cluster:
    ...     len(cluster.workers)
    1
    """

    def __init__(
        self,
        n_workers: int | None = None,
        threads_per_worker: int | None = None,
        processes: bool = True,
        memory_limit: int | float | str | None = "auto",
        name: str | None = None,
        detached: bool = False,
        asynchronous: bool = False,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        security: Security | None = None,
        allow_plain: bool = False,
        resources: dict[str, float] | None = None,
        local_directory: str | None = None,
        settings: config.Settings | None = None,
        loop_thread: LoopThread | None = None,
        wait: bool = True,
        ip: str | None = None,
        scheduler_port: int | None = None,
        dashboard_address: str | int | None = "auto",
        worker_dashboard_address: Any = None,
        silence_logs: Any = None,
        loop: Any = None,
    ) -> None:
        host, port = ip or host, port if scheduler_port is None else scheduler_port
        for option, number in (("n_workers", n_workers), ("threads_per_worker", threads_per_worker)):
            if number is not None and (type(number) is not int or number < (option == "threads_per_worker")):
                raise ConfigError(f"{option} must be a whole number of at least {int(option == 'threads_per_worker')}, not {number!r}")
        if detached and not processes:
            raise ConfigError("threads of this process cannot outlive it: detached=True needs processes=True")
        self.asynchronous = asynchronous
        self.processes = processes
        self.detached = detached
        self.name = name if name is not None else f"local-{os.getpid()}-{next(_numbers)}"
        self._status: ClusterStatus = "starting"
        settings = settings or config.settings()
        n, threads = default_shape(n_workers, threads_per_worker, processes, cpu_count())
        token = (security.token if security is not None else None) or connections.new_token()
        files = worker_process.tls_settings(security) if security is not None else None
        if not allow_plain and not files and processes and not is_loopback(host):
            raise ConfigError(f"a scheduler on {host} can be reached from other machines: give security= with TLS files, or allow_plain=True")
        dashboard = str(settings.dashboard.address if dashboard_address == "auto" else "" if dashboard_address is None else dashboard_address)
        if dashboard and not allow_plain and not files and not is_loopback(host_and_port(dashboard)[0]):
            raise ConfigError(f"a dashboard at {dashboard} can be reached from other machines: give security= with TLS files, or allow_plain=True")
        self._token = token
        self._part: HostProcess | InProcess
        if processes:
            if settings.worker.echo_prints == "auto" and not detached:  # workers print where the client does: one line would stand there twice
                settings = settings._replace(worker=settings.worker._replace(echo_prints="no"))
            kernel = kernel_identity()
            self._part = HostProcess(
                host_settings(
                    name=self.name, token=token, n_workers=n, threads_per_worker=threads, memory_limit_bytes=parse_memory_limit(memory_limit, n),
                    host=host, port=port, resources=resources, tls=files, detached=detached, kernel_id=current_kernel_id(),
                    session=kernel.session if kernel is not None else "", kernel_file=kernel.file if kernel is not None else "",
                    local_directory=local_directory, dashboard=dashboard, config=settings.to_dict(),
                ),
                start_timeout_s=settings.deploy.start_timeout_s, close_timeout_s=settings.deploy.close_timeout_s,
            )  # fmt: skip
            if not detached:
                _open.add(self._part)
        else:
            from jupyterfut.deploy.in_process import InProcess

            self._part = InProcess(
                name=self.name, token=token, n_workers=n, threads_per_worker=threads, memory_limit_bytes=parse_memory_limit(memory_limit, n),
                resources=resources, local_directory=local_directory, dashboard=dashboard, settings=settings,
            )  # fmt: skip
        self.security = dataclasses.replace(security or Security(), token=token)
        self._owns_loop_thread = not asynchronous and loop_thread is None
        if self._owns_loop_thread:
            loop_thread = LoopThread(f"jupyterfut-{self.name}")
        super().__init__(None if asynchronous else loop_thread)
        if self._owns_loop_thread and loop_thread is not None:
            loop_thread.start()
        self._let_go = weakref.finalize(self, _abandon, self._part, loop_thread if self._owns_loop_thread else None, self.name, detached)
        self._let_go.atexit = False  # `_close_at_exit` waits for the end, which a finalizer must not
        if not asynchronous and not self._owns_loop_thread:
            self._let_go.detach()  # whoever gave the loop thread (a Client) ends the cluster with itself
        if wait and loop_thread is not None:
            try:
                loop_thread.run(self.ready())
            except BaseException:  # KeyboardInterrupt too: nobody will have this cluster to close it
                self.close()
                raise

    @classmethod
    def launch(cls, *, loop_thread: LoopThread | None = None, **options: Any) -> LocalCluster:
        """Start without waiting, for a caller with more to do meanwhile (`Client()`): processes are on their way when it returns. Takes the
        options of the class. Then, on the loop of `loop_thread` (or the caller's, when `asynchronous`), `await listening()` gives the address, and
        `await ready()` returns when the workers are there."""
        return cls(loop_thread=loop_thread, wait=False, **options)

    # --- the five coroutines of a cluster

    async def listening(self) -> str:
        """The scheduler's address, as soon as clients may connect. Raises WorkerStartError when the cluster does not come up."""
        try:
            address = await self._part.listening()
        except BaseException:
            await self.close_async()
            raise
        connections.remember_token(address, self._token)
        return address

    async def ready(self) -> None:
        """Wait until the first workers have joined. Raises WorkerStartError when they cannot; the cluster is closed then."""
        await self.listening()
        try:
            await self._part.ready()
        except BaseException:
            await self.close_async()
            raise
        if self._status == "starting":
            self._status = "running"

    async def scale_async(self, n: int, timeout_s: float | None = None) -> None:
        """`scale`, on the cluster's loop."""
        self._must_be_open()
        await self._part.scale(n, timeout_s)

    async def adapt_async(self, options: dict[str, Any] | None) -> None:
        """Begin to adapt; None: stop."""
        self._must_be_open()
        if options is None:
            await self._part.stop_adapting()
        else:
            self._part.on_wish = self._wished
            await self._part.adapt(options)

    def _must_be_open(self) -> None:
        if self.status in ("closing", "closed"):
            raise ClosedError(f"the cluster {self.name!r} is {self.status}")

    async def close_async(self) -> None:
        """`close`, on the cluster's loop."""
        if self._status == "closed":
            return
        self._status = "closing"
        self._let_go.detach()
        await self._part.close()
        if isinstance(self._part, HostProcess):
            _open.discard(self._part)
        if self._part.address:
            connections.forget_token(self._part.address)
        self._status = "closed"

    async def finished(self) -> None:
        """Return when the cluster has ended, by whomever: `close`, a client's `shutdown()`, a kill. From the cluster's loop."""
        await self._part.finished()

    def leave(self) -> None:
        """Let a detached cluster go on by itself: this object has no more to do with it, and counts as closed. From the cluster's loop."""
        if not self.detached or not isinstance(self._part, HostProcess):
            raise ConfigError(f"the cluster {self.name!r} is not detached: it ends with its owner")
        self._let_go.detach()
        self._part.leave()
        self._status = "closed"

    def close(self) -> Any:
        """End the cluster: workers, scheduler, and everything started for them. Idempotent. Blocks, or returns an awaitable when `asynchronous`."""
        if self._loop_thread is None:
            return self.close_async()
        if self._loop_thread.is_running:
            self._loop_thread.run(self.close_async())
        if self._owns_loop_thread:
            self._loop_thread.stop()
        return None

    # --- what is known

    @property
    def status(self) -> ClusterStatus:
        """starting, running, closing or closed. A cluster whose scheduler ended by itself (`Client.shutdown()`, a kill) is closed."""
        return "closed" if self._part.ended else self._status

    @property
    def scheduler_address(self) -> str:
        """Where clients and workers connect: `tcp://127.0.0.1:40123`; "" until it is known."""
        return self._part.address

    @property
    def dashboard_link(self) -> str:
        """See `Cluster.dashboard_link`."""
        return self._part.dashboard_link

    @property
    def workers(self) -> dict[str, WorkerInfo]:
        """The workers by name, as known now."""
        return dict(self._part.workers)


def _abandon(part: HostProcess | InProcess, loop_thread: LoopThread | None, name: str, detached: bool) -> None:
    """The last reference to a cluster is gone and nobody has closed it. Runs in the garbage collector, in any thread: it must not wait."""
    if not detached:
        warnings.warn(f"the cluster {name!r} was never closed", ResourceWarning, stacklevel=2)
    if loop_thread is not None:
        loop_thread.call_soon(_end_abandoned, part, loop_thread, detached)
    else:
        part.let_go()


def _end_abandoned(part: HostProcess | InProcess, loop_thread: LoopThread, detached: bool) -> None:
    if detached and isinstance(part, HostProcess):
        part.leave()
        loop_thread.stop()
    else:
        task = loop_thread.loop.create_task(part.close())
        task.add_done_callback(lambda _task: loop_thread.stop())


def _close_at_exit() -> None:
    """End what is still open when the interpreter ends, so that nothing is left behind (and nothing was killed, as the life line would see to it)."""
    for part in list(_open):
        part.end_now()


atexit.register(_close_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open.clear)  # a fork's end is not the end of its parent's clusters
