"""The process of a local cluster: a scheduler and, beside it, a nanny for each worker process.

Started by `deploy.LocalCluster` with one line of JSON on stdin (`HostSettings`). It answers on stdout with lines of JSON:

    {"event": "listening", "address": ..., "pid": ...,     at once: clients may connect (they are served when the rest is up)
     "dashboard": link or ""}
    {"event": "workers", "workers": [{...}, ...]}           whenever that changed
    {"event": "ready"} or {"event": "failed", "error": ...} the first workers have joined, or cannot
    {"event": "done", "id": ..., "kind": ..., "error": ...} the answer to {"op": "scale"}, {"op": "adapt"}, {"op": "stop_adapting"}, with an "id"
    {"event": "wish", "n": ...}                             the load asks for so many workers

and listens on stdin for these and {"op": "close"}. The end of stdin is the end of its owner, hence its own, unless it was started detached.

What counts here is the time to the first result. So the order is: bind the port, start the worker processes, tell the owner the address, and only
then import the rest, while workers and client do the same.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from jupyterfut.runtime import child, interfaces, worker_process

if TYPE_CHECKING:
    import asyncio

    from jupyterfut.runtime.nanny import Nanny

BACKLOG = 1024


def host_settings(
    *,
    name: str,
    token: str,
    n_workers: int,
    threads_per_worker: int,
    memory_limit_bytes: int,
    host: str = "127.0.0.1",
    port: int = 0,
    resources: dict[str, float] | None = None,
    tls: dict[str, str] | None = None,
    detached: bool = False,
    kernel_id: str | None = None,
    session: str = "",
    kernel_file: str = "",
    local_directory: str | None = None,
    dashboard: str = "",
    config: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """What a host is told on its stdin. `config` is `Settings.to_dict()`; `dashboard` where the dashboard listens, "" for none."""
    return {
        "name": name, "token": token, "n_workers": n_workers, "threads_per_worker": threads_per_worker, "memory_limit": memory_limit_bytes,
        "host": host, "port": port, "resources": resources or {}, "tls": tls, "detached": detached, "kernel_id": kernel_id,
        "session": session, "kernel_file": kernel_file, "local_directory": local_directory,
        "dashboard": dashboard, "config": config,
    }  # fmt: skip


def main() -> int:
    """The whole life of the process. Returns its exit code."""
    parent = child.begin()
    settings = parent.settings
    try:
        listener = _bind(settings["host"], settings["port"])
    except OSError as error:
        parent.report({"event": "failed", "error": f"cannot listen on {settings['host']}:{settings['port']}: {error.strerror or error}"})
        return 1
    log = log_to_file(settings["name"]) if settings["detached"] else None
    address = interfaces.join("tls" if settings["tls"] else "tcp", interfaces.reachable_host(settings["host"]), listener.getsockname()[1])
    specs = [_spec(settings, address, str(number)) for number in range(settings["n_workers"])]
    workers = [worker_process.spawn_worker(spec) for spec in specs]
    dashboard = _open_dashboard(settings)
    parent.report({"event": "listening", "address": address, "pid": os.getpid(), "dashboard": "" if dashboard is None else dashboard.link})
    code = _serve(parent, listener, address, workers, dashboard)
    if log is not None and code == 0:
        os.unlink(log)
    return code


def _bind(host: str, port: int) -> socket.socket:
    listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=BACKLOG)
    listener.setblocking(False)
    return listener


def _open_dashboard(settings: dict[str, Any]) -> Any:
    """Bind the dashboard's port, so that its link is known."""
    if not settings["dashboard"]:
        return None
    from jupyterfut import config, plugins

    config.use(config.Settings.from_dict(settings["config"], "the parent's settings"))
    owner = "detached" if settings["detached"] else "kernel" if settings["kernel_id"] else "process"
    return plugins.load("dashboard", "serve")(
        settings["dashboard"], kernel=settings["kernel_id"] or "", session=settings["session"], owner=owner, tls=settings["tls"]
    )


def log_to_file(name: str) -> str:
    """A detached cluster outlives its terminal: what it and its workers print goes to a file beside the connection file. Returns its path."""
    from jupyterfut.runtime import connections

    path = connections.file_path(name, ".log")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_TRUNC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    return str(path)


def _spec(settings: dict[str, Any], address: str, name: str) -> dict[str, Any]:
    return worker_process.worker_settings(
        address, token=settings["token"], name=name, nthreads=settings["threads_per_worker"], memory_limit_bytes=settings["memory_limit"],
        resources=settings["resources"], host=settings["host"], tls=settings["tls"], local_directory=settings["local_directory"],
        config=settings["config"],
    )  # fmt: skip


def _serve(parent: child.Parent, listener: socket.socket, address: str, workers: list[subprocess.Popen[bytes]], dashboard: Any) -> int:
    import asyncio

    from jupyterfut import config
    from jupyterfut.runtime.host import new_event_loop

    config.use(config.Settings.from_dict(parent.settings["config"], "the parent's settings"))
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(Host(parent, listener, address, dashboard).run(workers))


class Host:
    """The scheduler and the nannies of one process."""

    def __init__(self, parent: child.Parent, listener: socket.socket, address: str, dashboard: Any = None) -> None:
        self._parent = parent
        self._dashboard = dashboard
        self._listener = listener
        self._address = address
        self._nannies: list[Nanny] = []
        self._next_number = 0
        self._jobs: set[asyncio.Task[None]] = set()

    async def run(self, workers: list[subprocess.Popen[bytes]]) -> int:
        """Serve until told to stop, or until the owner is gone. Returns the exit code."""
        import asyncio

        from jupyterfut.comm import Security
        from jupyterfut.runtime import connections, logs
        from jupyterfut.runtime.insider import Insider
        from jupyterfut.runtime.process import on_stop_signals, relax_gc
        from jupyterfut.runtime.scheduler_server import Scheduler
        from jupyterfut.runtime.workforce import Workforce

        settings = self._parent.settings
        tls = settings["tls"] or {}
        self._security = Security(token=settings["token"], tls_cert=tls.get("cert"), tls_key=tls.get("key"), tls_ca=tls.get("ca"))
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        on_stop_signals(self._loop, self._stop.set)
        relax_gc()
        logs.tell_more()
        lifeline = self._parent.lines(self._loop, self._on_line, self._on_parent_lost)
        connections.remember_token(self._address, settings["token"])
        scheduler = Scheduler(sock=self._listener, security=self._security, name=settings["name"], dashboard=self._dashboard)
        async with scheduler as self._scheduler:
            info = connections.write_connection_file(
                self._address,
                settings["token"],
                settings["name"],
                kernel_id=settings["kernel_id"],
                session=settings["session"],
                kernel_file=settings["kernel_file"],
                dashboard=None if self._dashboard is None else self._dashboard.link,
                detached=settings["detached"],
                tls_ca=tls.get("ca"),
            )
            self._workforce = Workforce(self, Insider(self._scheduler), lambda n: self._parent.report({"event": "wish", "n": n}))
            self._scheduler.admin.ops.update({"cluster_scale": self._scale, "cluster_adapt": self._adapt})
            try:
                for process in workers:
                    self._add_nanny(process)
                self._start_job(self._report_ready())
                self._start_job(self._stop_with_scheduler())
                await self._stop.wait()
            finally:
                for job in self._jobs:
                    job.cancel()
                await self._workforce.close()
                await asyncio.gather(*(nanny.close() for nanny in self._nannies))
                connections.remove_connection_file(info)
                lifeline.close()
                self._parent.end_reports()
        return 0

    # --- the owner speaks

    def _on_line(self, message: dict[str, Any]) -> None:
        match message.get("op"):
            case "scale":
                self._start_job(self._answer(message, self._workforce.scale(int(message["n"]), message["timeout_s"])))
            case "adapt":
                self._start_job(self._answer(message, self._adapt(message)))
            case "stop_adapting":
                self._start_job(self._answer(message, self._workforce.stop_adapting()))
            case "close":
                self._stop.set()

    # --- a client speaks: of a cluster whose owner has gone, or that somebody else started

    async def _scale(self, args: dict[str, Any]) -> None:
        """Have so many workers."""
        await self._workforce.scale(int(args["n"]), args["timeout_s"])
        self._report_workers()

    async def _adapt(self, args: dict[str, Any]) -> None:
        """Have as many as the load asks for; None: as many as there are."""
        if args["options"] is None:
            await self._workforce.stop_adapting()
        else:
            await self._workforce.adapt({"nthreads": self._parent.settings["threads_per_worker"], **args["options"]})

    async def _answer(self, message: dict[str, Any], work: Coroutine[Any, Any, None]) -> None:
        from jupyterfut.errors import JupyterfutError

        kind = error = None
        try:
            await work
        except JupyterfutError as failure:
            kind, error = type(failure).__name__, str(failure)
        self._report_workers()
        self._parent.report({"event": "done", "id": message.get("id"), "kind": kind, "error": error})

    def _on_parent_lost(self) -> None:
        if not self._parent.settings["detached"]:
            self._stop.set()

    # --- nannies

    def _add_nanny(self, process: subprocess.Popen[bytes] | None = None) -> Nanny:
        from jupyterfut.runtime.nanny import Nanny

        settings = self._parent.settings
        nanny = Nanny(
            self._address, nthreads=settings["threads_per_worker"], name=str(self._next_number), memory_limit=settings["memory_limit"],
            resources=settings["resources"], host=settings["host"], security=self._security, local_directory=settings["local_directory"],
            allow_run=self._scheduler.admin.allow_run,
            on_died=lambda died: self._scheduler.worker_died(*died), on_change=lambda _nanny: self._report_workers(),
        )  # fmt: skip
        self._next_number += 1
        self._nannies.append(nanny)
        nanny.launch(process)
        leave = self._scheduler.add_nanny(nanny.id, nanny.name, nanny.admin.answer)
        self._start_job(self._forget_when_finished(nanny, leave))
        return nanny

    async def _forget_when_finished(self, nanny: Nanny, leave: Callable[[], None]) -> None:
        await nanny.finished()
        leave()
        if nanny in self._nannies and not self._stop.is_set():
            self._nannies.remove(nanny)
            self._report_workers()

    # --- as `runtime.workforce.Staff`

    def present(self) -> dict[str, str | None]:
        """The workers by name, oldest first."""
        return {nanny.name: nanny.worker_address for nanny in self._nannies}

    async def start(self, count: int) -> None:
        """Start so many more."""
        import asyncio

        added = [self._add_nanny() for _ in range(count)]
        outcomes = await asyncio.gather(*(nanny.joined() for nanny in added), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def end(self, names: list[str]) -> None:
        """End these."""
        import asyncio

        leaving = [nanny for nanny in self._nannies if nanny.name in names]
        await asyncio.gather(*(nanny.close() for nanny in leaving))
        self._nannies = [nanny for nanny in self._nannies if nanny not in leaving]
        self._report_workers()

    async def _report_ready(self) -> None:
        import asyncio

        outcomes = await asyncio.gather(*(nanny.joined() for nanny in list(self._nannies)), return_exceptions=True)
        errors = [str(outcome) for outcome in outcomes if outcome is not None]
        self._parent.report({"event": "failed", "error": errors[0]} if errors else {"event": "ready"})

    async def _stop_with_scheduler(self) -> None:
        await self._scheduler.finished()
        self._stop.set()

    def _report_workers(self) -> None:
        workers = [
            {"name": n.name, "address": n.worker_address, "pid": n.pid, "nthreads": n.nthreads, "memory_limit": n.memory_limit_bytes,
             "status": n.status, "restarts": n.restarts}
            for n in self._nannies
        ]  # fmt: skip
        self._parent.report({"event": "workers", "workers": workers})

    def _start_job(self, job: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._job_ended)

    def _job_ended(self, task: asyncio.Task[None]) -> None:
        self._jobs.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler({"message": "a job of the cluster's host failed", "exception": error, "task": task})


if __name__ == "__main__":
    sys.exit(main())
