"""A local cluster without processes: scheduler and workers on the caller's own event loop, tasks on threads, objects passed by reference.

The same servers as everywhere, over `comm.inproc`; nothing listens on a socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from jupyterfut import config, plugins
from jupyterfut.comm import Security
from jupyterfut.deploy.cluster import WorkerInfo
from jupyterfut.deploy.kernel import current_kernel_id, kernel_identity
from jupyterfut.errors import JupyterfutError, WorkerStartError
from jupyterfut.runtime.insider import Insider
from jupyterfut.runtime.scheduler_server import Scheduler
from jupyterfut.runtime.worker_server import Worker
from jupyterfut.runtime.workforce import Workforce


class InProcess:
    """Owns the scheduler and the workers. Everything but the constructor runs on one event loop."""

    def __init__(
        self,
        *,
        name: str,
        token: str,
        n_workers: int,
        threads_per_worker: int,
        memory_limit_bytes: int,
        resources: dict[str, float] | None,
        local_directory: str | None,
        dashboard: str = "",
        settings: config.Settings,
    ) -> None:
        self.address = ""
        self.dashboard_link = ""
        self._dashboard = dashboard
        self.workers: dict[str, WorkerInfo] = {}
        self._name = name
        self._security = Security(token=token)
        self._n_workers = n_workers
        self._threads_per_worker = threads_per_worker
        self._memory_limit_bytes = memory_limit_bytes
        self._resources = resources
        self._local_directory = local_directory
        self._settings = settings
        self._next_number = 0
        self._scheduler: Scheduler | None = None
        self._started: dict[str, Worker] = {}
        self._leave: dict[str, Callable[[], None]] = {}  # what takes a worker's nanny out of the scheduler
        self._lock: asyncio.Lock | None = None
        self._restarting: set[str] = set()  # workers that are closed so that another follows
        self._closed = False
        self.on_wish: Callable[[int], object] = lambda n: None  #: called when the load asks for another number of workers

    @property
    def ended(self) -> bool:
        """The scheduler is closed, by whomever."""
        return self._scheduler is not None and self._scheduler.closed

    async def listening(self) -> str:
        """Start the scheduler, if it has not been; its address."""
        if self._lock is None:
            self._lock = asyncio.Lock()
        async with self._lock:
            if self._scheduler is None:
                dashboard = self._open_dashboard()
                scheduler = Scheduler(host="inproc", security=self._security, name=self._name, config=self._settings, dashboard=dashboard)
                await scheduler.start()
                self._scheduler = scheduler
                self._workforce = Workforce(self, Insider(scheduler), lambda n: self.on_wish(n))
                self.address = scheduler.address
        return self.address

    def _open_dashboard(self) -> Any:
        if not self._dashboard:
            return None
        kernel = kernel_identity()
        dashboard = plugins.load("dashboard", "serve")(
            self._dashboard,
            kernel=(current_kernel_id() or "") if kernel is not None else "",
            session=kernel.session if kernel is not None else "",
            owner="process" if kernel is None else "kernel",
        )
        if dashboard is not None:
            self.dashboard_link = dashboard.link
        return dashboard

    async def ready(self) -> None:
        """Start the workers, if they have not been."""
        await self.listening()
        if not self._next_number:
            await self.start(self._n_workers)

    async def finished(self) -> None:
        """Return when the scheduler is closed, by whomever."""
        await self.listening()
        assert self._scheduler is not None
        await self._scheduler.finished()

    async def scale(self, n: int, timeout_s: float | None) -> None:
        """Start or retire workers until there are `n`."""
        await self.listening()
        await self._workforce.scale(n, timeout_s)

    async def adapt(self, options: dict[str, Any]) -> None:
        """Have as many workers as the load asks for."""
        await self.listening()
        await self._workforce.adapt({"nthreads": self._threads_per_worker, **options})

    async def stop_adapting(self) -> None:
        """Leave the number as it is."""
        await self.listening()
        await self._workforce.stop_adapting()

    # --- as `runtime.workforce.Staff`

    def present(self) -> dict[str, str | None]:
        """The workers by name, oldest first."""
        retired = [name for name, worker in self._started.items() if worker.status in ("closing", "closed") and name not in self._restarting]
        for name in retired:  # by a client
            del self._started[name], self.workers[name]
            self._leave.pop(name)()
        return {name: worker.address for name, worker in self._started.items()}

    async def start(self, count: int) -> None:
        """Start so many more."""
        assert self._lock is not None
        async with self._lock:
            for _ in range(count):
                await self._add_worker()

    async def end(self, names: list[str]) -> None:
        """End these."""
        assert self._lock is not None
        async with self._lock:
            names = [name for name in names if name in self._started]
            await asyncio.gather(*(self._started[name].close() for name in names))
            for name in names:
                del self._started[name], self.workers[name]
                self._leave.pop(name)()

    async def close(self) -> None:
        """End the workers, then the scheduler. A restart that is under way ends first."""
        self._closed = True
        if self._scheduler is not None:
            await self._workforce.close()
        async with AsyncExitStack() as stack:
            if self._scheduler is not None:
                stack.push_async_callback(self._scheduler.close)
            if self._lock is not None:
                async with self._lock:
                    for worker in self._started.values():
                        stack.push_async_callback(worker.close)
        self._started.clear()
        self.workers.clear()

    def let_go(self) -> None:
        """Nothing can be done from outside of the loop, and nothing is left when it ends."""

    async def _add_worker(self) -> None:
        name = str(self._next_number)
        self._next_number += 1
        await self._start_worker(name)
        assert self._scheduler is not None
        self._leave[name] = self._scheduler.add_nanny(self._nanny_id(name), name, partial(self._ask_nanny, name))

    def _nanny_id(self, name: str) -> str:
        return f"{self.address}-{name}"

    async def _ask_nanny(self, name: str, op: str, args: dict[str, Any]) -> None:
        """There is no process to supervise, but workers are started again here, too. A task that still runs goes on in its thread, and its result is
        dropped."""
        if op != "restart":
            raise ValueError(f"the workers of a cluster without processes have no nannies, which could do that: {op}")
        assert self._lock is not None
        async with self._lock:
            if name in self._started and not self._closed:
                self._restarting.add(name)
                try:
                    await self._started[name].close("restarted")
                    await self._start_worker(name)
                finally:
                    self._restarting.discard(name)

    async def _start_worker(self, name: str) -> None:
        worker = Worker(
            self.address, nthreads=self._threads_per_worker, name=name, memory_limit=self._memory_limit_bytes, resources=self._resources,
            security=self._security, local_directory=self._local_directory, nanny=self._nanny_id(name), settings=self._settings,
        )  # fmt: skip
        try:
            await worker.start()
        except (JupyterfutError, OSError) as error:
            raise WorkerStartError(f"worker {name!r} did not start: {error}") from error
        self._started[name] = worker
        self.workers[name] = WorkerInfo(name, worker.address, None, self._threads_per_worker, self._memory_limit_bytes, "running", 0)
