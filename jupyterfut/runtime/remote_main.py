"""What runs on another machine for a cluster that was started over ssh: a scheduler, or the nannies of workers.

`deploy.SSHCluster` starts it there and speaks with it through ssh's pipes as with a process of this machine (`runtime.child`): one line of JSON with
the settings first (the token among them, never in argv), then lines both ways. The end of stdin is the end of the cluster's owner, or of the
connection with it, and so of this process and all that it has started.

A scheduler reports `listening` with its address, and answers for the owner (`runtime.insider`):

    {"op": "ask", "id": ..., "request": ..., "args": ...}    {"event": "done", "id": ..., "value": ..., "kind": ..., "error": ...}
    {"op": "listen", "id": ..., "topic": ...}                {"event": "notice", "topic": ..., "value": ...}
    {"op": "leave"}                                          nobody listens any more

Nannies report `ready`, then `workers` whenever something changed, and take

    {"op": "start", "id": ..., "name": ...}                  done when the worker has joined
    {"op": "end", "id": ..., "names": [...]}                 done when they have ended

Both end at {"op": "close"}. When they cannot begin they report `failed`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from jupyterfut import config, plugins
from jupyterfut._version import __version__
from jupyterfut.comm import Security
from jupyterfut.errors import JupyterfutError
from jupyterfut.runtime import child, interfaces
from jupyterfut.runtime.host import new_event_loop
from jupyterfut.runtime.insider import Insider
from jupyterfut.runtime.nanny import Nanny
from jupyterfut.runtime.process import on_stop_signals, parse_memory_limit, relax_gc
from jupyterfut.runtime.scheduler_server import Scheduler


def main() -> int:
    """The whole life of the process. Returns its exit code."""
    parent = child.begin()
    settings = parent.settings
    if settings["version"] != __version__:
        parent.report({"event": "failed", "error": f"jupyterfut {__version__} is installed there, {settings['version']} here"})
        return 1
    directory = tempfile.mkdtemp(prefix="jupyterfut-tls-") if settings["tls"] else None
    try:
        config.use(config.Settings.from_dict(settings["config"], "the owner's settings"))
        security = _security(settings, directory)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run((_RemoteScheduler if settings["role"] == "scheduler" else _RemoteWorkers)(parent, security).run())
    except (JupyterfutError, OSError) as error:
        return _failed(parent, error)
    finally:
        if directory is not None:
            shutil.rmtree(directory)


def _failed(parent: child.Parent, error: Exception) -> int:
    parent.report({"event": "failed", "error": f"{type(error).__name__}: {error}"})
    return 1


def _security(settings: dict[str, Any], directory: str | None) -> Security:
    """The texts of the TLS files become files that only this user reads, for as long as the process lives."""
    paths: dict[str, str] = {}
    for name, text in (settings["tls"] or {}).items():
        assert directory is not None
        path = Path(directory, f"{name}.pem")
        path.touch(mode=0o600)
        path.write_text(text)
        paths[name] = str(path)
    return Security(token=settings["token"], tls_cert=paths.get("cert"), tls_key=paths.get("key"), tls_ca=paths.get("ca"))


class _Remote:
    """What both have in common: lines from the owner, jobs, the end."""

    def __init__(self, parent: child.Parent, security: Security) -> None:
        self._parent = parent
        self._security = security
        self._jobs: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Serve until told to stop, or until the owner is gone."""
        loop = asyncio.get_running_loop()
        stop = self._stop = asyncio.Event()
        on_stop_signals(loop, stop.set)
        relax_gc()
        lifeline = self._parent.lines(loop, self._on_line, stop.set)
        try:
            await self._serve(stop)
        except (JupyterfutError, OSError) as error:
            return _failed(self._parent, error)
        finally:
            for job in self._jobs:
                job.cancel()
            lifeline.close()
            self._parent.end_reports()
        return 0

    async def _serve(self, stop: asyncio.Event) -> None:
        raise TypeError(f"{type(self).__name__} has nothing to serve")

    def _work(self, message: dict[str, Any]) -> Coroutine[Any, Any, Any] | None:
        raise TypeError(f"{type(self).__name__} does nothing")

    def _on_line(self, message: dict[str, Any]) -> None:
        if message.get("op") == "close":
            self._stop.set()
            return
        work = self._work(message)
        if work is not None:
            job = asyncio.get_running_loop().create_task(self._answer(message["id"], work))
            self._jobs.add(job)
            job.add_done_callback(self._jobs.discard)

    async def _answer(self, number: int, work: Coroutine[Any, Any, Any]) -> None:
        value = kind = error = None
        try:
            value = await work
        except (JupyterfutError, OSError) as failure:
            kind, error = type(failure).__name__, str(failure)
        self._parent.report({"event": "done", "id": number, "value": value, "kind": kind, "error": error})


class _RemoteScheduler(_Remote):
    async def _serve(self, stop: asyncio.Event) -> None:
        settings = self._parent.settings
        dashboard = None
        if settings["dashboard"]:
            tls = {"cert": self._security.tls_cert, "key": self._security.tls_key} if self._security.tls_cert else None
            dashboard = plugins.load("dashboard", "serve")(settings["dashboard"], tls=tls)
        link = "" if dashboard is None else dashboard.link
        where = {"host": settings["host"], "port": settings["port"]}
        async with Scheduler(**where, security=self._security, name=settings["name"], dashboard=dashboard) as scheduler:
            self._insider = Insider(scheduler)
            scheme, _, rest = scheduler.address.partition("://")
            host, _, port = rest.rpartition(":")
            address = interfaces.join(scheme, interfaces.reachable_host(host.strip("[]")), int(port))
            self._parent.report({"event": "listening", "address": address, "pid": os.getpid(), "dashboard": link})
            finished = asyncio.create_task(scheduler.finished())
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait((finished, stopped), return_when=asyncio.FIRST_COMPLETED)
            finished.cancel()
            stopped.cancel()

    def _work(self, message: dict[str, Any]) -> Coroutine[Any, Any, Any] | None:
        match message["op"]:
            case "ask":
                return self._insider.ask(message["request"], message["args"])
            case "listen":
                return self._insider.listen(message["topic"], partial(self._notice, message["topic"]))
            case "leave":
                self._insider.close()
        return None

    def _notice(self, topic: str, value: Any) -> None:
        self._parent.report({"event": "notice", "topic": topic, "value": value})


class _RemoteWorkers(_Remote):
    async def _serve(self, stop: asyncio.Event) -> None:
        self._nannies: dict[str, Nanny] = {}
        self._memory_limit = parse_memory_limit(self._parent.settings["memory_limit"], self._parent.settings["n_workers"])
        self._parent.report({"event": "ready", "pid": os.getpid()})
        try:
            await stop.wait()
        finally:
            await asyncio.gather(*(nanny.close() for nanny in self._nannies.values()))

    def _work(self, message: dict[str, Any]) -> Coroutine[Any, Any, Any] | None:
        match message["op"]:
            case "start":
                return self._start(message["name"])
            case "end":
                return self._end(message["names"])
        return None

    async def _start(self, name: str) -> None:
        settings = self._parent.settings
        nanny = self._nannies[name] = Nanny(
            settings["scheduler"], nthreads=settings["nthreads"], name=name, memory_limit=self._memory_limit, resources=settings["resources"],
            host=settings["host"], port=settings["port"], security=self._security, local_directory=settings["local_directory"],
            on_change=lambda nanny: self._report(),
        )  # fmt: skip
        forgetting = asyncio.get_running_loop().create_task(self._forget_when_finished(nanny))
        self._jobs.add(forgetting)
        forgetting.add_done_callback(self._jobs.discard)
        await nanny.start()

    async def _forget_when_finished(self, nanny: Nanny) -> None:
        await nanny.finished()
        if self._nannies.get(nanny.name) is nanny and nanny.status == "closed":
            del self._nannies[nanny.name]
            self._report()

    async def _end(self, names: list[str]) -> None:
        leaving = [self._nannies.pop(name) for name in names if name in self._nannies]
        await asyncio.gather(*(nanny.close() for nanny in leaving))
        self._report()

    def _report(self) -> None:
        workers = [
            {"name": n.name, "address": n.worker_address, "pid": n.pid, "nthreads": n.nthreads, "memory_limit": n.memory_limit_bytes,
             "status": n.status, "restarts": n.restarts}
            for n in self._nannies.values()
        ]  # fmt: skip
        self._parent.report({"event": "workers", "workers": workers})
