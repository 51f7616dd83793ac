"""Clusters over several machines, started through the system's `ssh`.

One ssh connection to the scheduler's machine, one to each machine with workers, each with a process of ours at its far end (`runtime.remote_main`,
`deploy.remote`). Everything else (clients, workers, data) goes over the cluster's own connections. When this process ends, or a connection breaks,
the processes at its far end do too.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import os
import sys
import warnings
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jupyterfut import config
from jupyterfut._version import __version__
from jupyterfut.comm import Security
from jupyterfut.deploy.cluster import Cluster, ClusterStatus, WorkerInfo
from jupyterfut.deploy.remote import Login, RemoteProcess, login
from jupyterfut.errors import ClosedError, ConfigError, WorkerStartError
from jupyterfut.runtime import connections
from jupyterfut.runtime.host import LoopThread
from jupyterfut.runtime.interfaces import is_loopback
from jupyterfut.runtime.workforce import Workforce

WORKER_OPTIONS = ("nthreads", "n_workers", "memory_limit", "resources", "local_directory", "host", "port")
SCHEDULER_OPTIONS = ("host", "port")

_WORKER_DEFAULTS = {"nthreads": None, "memory_limit": "auto", "resources": None, "local_directory": None, "host": None, "port": 0}

_numbers = itertools.count(1)


class SSHCluster(Cluster):
    """A cluster on the machines that `hosts` names: the scheduler on the first, workers on each of the others. (Name a machine twice to have the
    scheduler and workers on it.) It is reached with the `ssh` of this machine, its configuration, keys and agent.

    - `hosts`: names or addresses as for `ssh`: at least two.
    - `connect_options`: for all hosts, or a list with a dict for each: `username`, `port`, `identity_file` (or `client_keys`), `known_hosts` (a file;
      None takes any host key), `config_file`, `connect_timeout` (seconds), `options` ({"ProxyJump": "gate"}: any of ssh_config(5)), `ssh` (the
      command).
    - `worker_options`: of each worker: `nthreads` (default: the machine's cores, shared by its workers), `n_workers` (of each entry in `hosts`,
      default 1), `memory_limit`, `resources`, `local_directory`, `host` (the interface on which other workers reach it), `port`.
    - `scheduler_options`: `host` (the interface to listen on), `port`.
    - `remote_python`: the interpreter there: a command for the remote shell, or a list with one for each host; default: the path of this one.
      jupyterfut must be installed for it, in the same version.
    - `security`: beyond loopback the scheduler wants TLS files, whose contents are brought to the hosts through ssh; or `allow_plain=True`, on a
      network that is trusted.
    - `name`, `asynchronous`: as for `LocalCluster`.

    Blocks until the workers have joined; with `asynchronous=True` it returns at once and is awaited. `scale(n)` and `adapt()` start workers on the
    hosts that have fewest. Raises WorkerStartError with what ssh or the remote process said (no ssh, unknown host key, no permission, jupyterfut not
    installed), ConfigError and TypeError for options that make no sense. The names are those of dask.distributed; there `connect_options` are
    asyncssh's.

        with SSHCluster(["node1", "node1", "node2"], worker_options={"nthreads": 4}, security=security) as cluster, Client(cluster) as client:
            ...

    >>> SSHCluster(["only-one"])
    Traceback (most recent call last):
        ...
    jupyterfut.errors.ConfigError: hosts are at least two: the scheduler's, and one for each worker; not ['only-one']
    """

    def __init__(
        self,
        hosts: Sequence[str] | None = None,
        connect_options: dict[str, Any] | list[dict[str, Any]] | None = None,
        worker_options: dict[str, Any] | None = None,
        scheduler_options: dict[str, Any] | None = None,
        *,
        remote_python: str | Sequence[str] | None = None,
        security: Security | None = None,
        allow_plain: bool = False,
        name: str | None = None,
        asynchronous: bool = False,
        settings: config.Settings | None = None,
        loop_thread: LoopThread | None = None,
        wait: bool = True,
    ) -> None:
        self.asynchronous = asynchronous
        self.name = name if name is not None else f"ssh-{os.getpid()}-{next(_numbers)}"
        self._status: ClusterStatus = "starting"
        self._settings = settings or config.settings()
        self._worker_options = _known("worker_options", worker_options, WORKER_OPTIONS)
        self._scheduler_options = _known("scheduler_options", scheduler_options, SCHEDULER_OPTIONS)
        self._logins = _logins(hosts, connect_options, remote_python)
        token = (security.token if security is not None else None) or connections.new_token()
        self.security = dataclasses.replace(security or Security(), token=token)
        self._tls = _tls_texts(self.security)
        far = [where.host for where in self._logins if not is_loopback(where.host)]
        if far and not self._tls and not allow_plain:
            raise ConfigError(f"the scheduler can be reached from other machines ({far[0]}): give security= with TLS files, or allow_plain=True")
        self._default_host = "0.0.0.0" if far else "127.0.0.1"
        self._processes: list[RemoteProcess] = []
        self._staff = _Staff(self._start_worker, self._end_workers)
        self._parts: dict[Login, RemoteProcess] = {}
        self._listening: asyncio.Task[str] | None = None
        self._ready: asyncio.Task[None] | None = None
        self._address = ""
        self._dashboard_link = ""
        self._workforce: Workforce | None = None
        self._owns_loop_thread = not asynchronous and loop_thread is None
        if self._owns_loop_thread:
            loop_thread = LoopThread(f"jupyterfut-{self.name}")
        super().__init__(None if asynchronous else loop_thread)
        if self._owns_loop_thread and loop_thread is not None:
            loop_thread.start()
        self._let_go = weakref.finalize(self, _abandon, self._processes, loop_thread if self._owns_loop_thread else None, self.name)
        self._let_go.atexit = False  # the end of this process closes the life lines anyway
        if wait and loop_thread is not None:
            try:
                loop_thread.run(self.ready())
            except BaseException:  # KeyboardInterrupt too: nobody will have this cluster to close it
                self.close()
                raise

    # --- the five coroutines of a cluster

    async def listening(self) -> str:
        """The scheduler's address, as soon as clients may connect. Raises WorkerStartError when it does not come up; the cluster is closed then."""
        if self._listening is None:
            self._listening = asyncio.get_running_loop().create_task(self._start_scheduler())
        try:
            return await asyncio.shield(self._listening)
        except BaseException:
            await self.close_async()
            raise

    async def ready(self) -> None:
        """Wait until the first workers have joined. Raises WorkerStartError when they cannot; the cluster is closed then."""
        await self.listening()
        if self._ready is None:
            self._ready = asyncio.get_running_loop().create_task(self._start_first_workers())
        try:
            await asyncio.shield(self._ready)
        except BaseException:
            await self.close_async()
            raise
        if self._status == "starting":
            self._status = "running"

    async def scale_async(self, n: int, timeout_s: float | None = None) -> None:
        """`scale`, on the cluster's loop."""
        await (await self._open_workforce()).scale(n, timeout_s)

    async def adapt_async(self, options: dict[str, Any] | None) -> None:
        """Begin to adapt; None: stop."""
        workforce = await self._open_workforce()
        if options is None:
            await workforce.stop_adapting()
        else:
            await workforce.adapt({"nthreads": self._worker_options.get("nthreads") or 1, **options})

    async def close_async(self) -> None:
        """`close`, on the cluster's loop."""
        if self._status == "closed":
            return
        self._status = "closing"
        self._let_go.detach()
        for task in (self._ready, self._listening):
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in (self._ready, self._listening) if task is not None), return_exceptions=True)
        if self._workforce is not None:
            await self._workforce.close()
        await asyncio.gather(*(process.close() for process in self._processes[1:]))  # workers first
        await asyncio.gather(*(process.close() for process in self._processes[:1]))
        if self._address:
            connections.forget_token(self._address)
        self._status = "closed"

    async def finished(self) -> None:
        """Return when the cluster has ended, by whomever: `close`, a client's `shutdown()`, a kill, a broken connection. From the cluster's loop."""
        await self.listening()
        await self._processes[0].finished()

    def close(self) -> Any:
        """End the cluster: workers, scheduler, and the connections. Idempotent. Blocks, or returns an awaitable when `asynchronous`."""
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
        """starting, running, closing or closed. A cluster whose scheduler has ended, or was cut off, is closed."""
        return "closed" if self._processes and self._processes[0].ended else self._status

    @property
    def dashboard_link(self) -> str:
        """The dashboard, with the token that opens it. It listens on the scheduler's machine, as a rule for that machine only: `ssh -L` leads
        there."""
        return self._dashboard_link

    @property
    def scheduler_address(self) -> str:
        """Where clients and workers connect; "" until it is known."""
        return self._address

    @property
    def workers(self) -> dict[str, WorkerInfo]:
        """The workers by name, as known now."""
        found = {name: info for reported in self._staff.reported.values() for name, info in reported.items()}
        return {name: found[name] for name in sorted(found, key=int)}

    # --- how it is done

    async def _start_scheduler(self) -> str:
        options = {"host": self._default_host, "port": 0, **self._scheduler_options}
        dashboard = self._settings.dashboard.address
        process = self._start(self._logins[0], {"role": "scheduler", "name": self.name, "dashboard": dashboard, **options}, "the scheduler")
        begun = await self._begun(process)
        self._address, self._dashboard_link = begun["address"], begun["dashboard"]
        connections.remember_token(self._address, self.security.token or "")
        self._workforce = Workforce(self._staff, _Door(process), self._wished)
        return self._address

    async def _start_first_workers(self) -> None:
        machines = list(dict.fromkeys(self._logins[1:]))
        each = self._worker_options.get("n_workers", 1)
        shares = {where: each * self._logins[1:].count(where) for where in machines}
        await asyncio.gather(*(self._open_machine(where, share) for where, share in shares.items()))
        places = [where for where in self._logins[1:] for _ in range(each)]
        await self._staff.start_at(places)

    async def _open_machine(self, where: Login, share: int) -> None:
        settings = {**_WORKER_DEFAULTS, **self._worker_options, "role": "workers", "scheduler": self._address, "n_workers": share}
        process = self._start(where, settings, "the worker")
        process.on_event = lambda message: self._staff.report(where, message)
        process.on_ended = lambda: self._staff.report(where, {"event": "workers", "workers": []})
        await self._begun(process)
        self._parts[where] = process
        self._staff.machines.append(where)

    def _start(self, where: Login, settings: dict[str, Any], what: str) -> RemoteProcess:
        common = {"token": self.security.token, "tls": self._tls, "config": self._settings.to_dict(), "version": __version__}
        process = RemoteProcess(where, {**settings, **common}, what, close_timeout_s=self._settings.deploy.close_timeout_s)
        self._processes.append(process)
        return process

    async def _begun(self, process: RemoteProcess) -> dict[str, Any]:
        timeout_s = self._settings.deploy.start_timeout_s
        try:
            return await asyncio.wait_for(asyncio.shield(process.begun), timeout_s)
        except TimeoutError:
            raise WorkerStartError(f"{process.what} did not come up on {process.where.host} within {timeout_s:g} s") from None

    async def _start_worker(self, where: Login, name: str) -> None:
        await self._parts[where].ask("start", name=name)

    async def _end_workers(self, where: Login, names: list[str]) -> None:
        await self._parts[where].ask("end", names=names)

    async def _open_workforce(self) -> Workforce:
        if self.status in ("closing", "closed"):
            raise ClosedError(f"the cluster {self.name!r} is {self.status}")
        await self.ready()
        assert self._workforce is not None
        return self._workforce


class _Staff:
    """The workers on all machines: `runtime.workforce.Staff`."""

    def __init__(self, start: Callable[[Login, str], Any], end: Callable[[Login, list[str]], Any]) -> None:
        self.machines: list[Login] = []
        self.reported: dict[Login, dict[str, WorkerInfo]] = {}
        self._start = start
        self._end = end
        self._next_number = 0

    def report(self, where: Login, message: dict[str, Any]) -> None:
        """A machine tells of its workers."""
        if message["event"] == "workers":
            self.reported[where] = {
                w["name"]: WorkerInfo(w["name"], w["address"], w["pid"], w["nthreads"], w["memory_limit"], w["status"], w["restarts"])
                for w in message["workers"]
            }

    def present(self) -> dict[str, str | None]:
        """The workers by name, oldest first."""
        found = {name: info.address for reported in self.reported.values() for name, info in reported.items()}
        return {name: found[name] for name in sorted(found, key=int)}

    async def start(self, count: int) -> None:
        """Start so many more, where there are fewest."""
        loads = {where: len(self.reported.get(where, ())) for where in self.machines}
        places = []
        for _ in range(count):
            where = min(loads, key=loads.__getitem__)
            loads[where] += 1
            places.append(where)
        await self.start_at(places)

    async def start_at(self, places: list[Login]) -> None:
        """Start one worker at each of these places, and wait until they have joined."""
        names = [str(self._next_number + i) for i in range(len(places))]
        self._next_number += len(places)
        started = [self._start(where, name) for where, name in zip(places, names, strict=True)]
        outcomes = await asyncio.gather(*started, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def end(self, names: list[str]) -> None:
        """End these."""
        theirs = {where: [name for name in names if name in reported] for where, reported in self.reported.items()}
        await asyncio.gather(*(self._end(where, some) for where, some in theirs.items() if some))


class _Door:
    """The way to the remote scheduler: `runtime.workforce.Door`."""

    def __init__(self, process: RemoteProcess) -> None:
        self._process = process
        self._listeners: dict[str, Callable[[Any], object]] = {}
        process.on_event = self._on_event

    async def ask(self, op: str, args: dict[str, Any]) -> Any:
        """A request's answer."""
        return await self._process.ask("ask", request=op, args=args)

    async def listen(self, topic: str, fn: Callable[[Any], object]) -> None:
        """Let `fn(value)` be called for each notice on the topic."""
        self._listeners[topic] = fn
        await self._process.ask("listen", topic=topic)

    def close(self) -> None:
        """Nobody listens any more."""
        self._listeners.clear()
        self._process.tell("leave")

    def _on_event(self, message: dict[str, Any]) -> None:
        if message["event"] == "notice" and message["topic"] in self._listeners:
            self._listeners[message["topic"]](message["value"])


def _known(what: str, options: dict[str, Any] | None, names: tuple[str, ...]) -> dict[str, Any]:
    unknown = [name for name in options or {} if name not in names]
    if unknown:
        raise TypeError(f"{what} knows no {', '.join(map(repr, unknown))} (it knows {', '.join(names)})")
    return dict(options or {})


def _logins(
    hosts: Sequence[str] | None, connect_options: dict[str, Any] | list[dict[str, Any]] | None, remote_python: str | Sequence[str] | None
) -> list[Login]:
    if isinstance(hosts, str) or hosts is None or len(hosts) < 2 or not all(isinstance(host, str) for host in hosts):
        raise ConfigError(f"hosts are at least two: the scheduler's, and one for each worker; not {hosts!r}")
    each = connect_options if isinstance(connect_options, list) else [connect_options or {}] * len(hosts)
    pythons = [remote_python or sys.executable] * len(hosts) if remote_python is None or isinstance(remote_python, str) else list(remote_python)
    for what, given in (("connect_options", each), ("remote_python", pythons)):
        if len(given) != len(hosts):
            raise ConfigError(f"{what} has one for each host: {len(hosts)}, not {len(given)}")
    return [login(host, options, str(python)) for host, options, python in zip(hosts, each, pythons, strict=True)]


def _tls_texts(security: Security) -> dict[str, str] | None:
    files = {"cert": security.tls_cert, "key": security.tls_key, "ca": security.tls_ca}
    try:
        return {name: Path(path).read_text() for name, path in files.items() if path} or None
    except OSError as error:
        raise ConfigError(f"cannot read the certificates of {security!r}: {error}") from error


def _abandon(processes: list[RemoteProcess], loop_thread: LoopThread | None, name: str) -> None:
    """The last reference to a cluster is gone and nobody has closed it. Runs in the garbage collector, in any thread: it must not wait."""
    warnings.warn(f"the cluster {name!r} was never closed", ResourceWarning, stacklevel=2)
    if loop_thread is not None:
        loop_thread.call_soon(_end_abandoned, processes, loop_thread)
    else:
        for process in processes:
            process.let_go()


def _end_abandoned(processes: list[RemoteProcess], loop_thread: LoopThread) -> None:
    async def end() -> None:
        await asyncio.gather(*(process.close() for process in processes))

    task = loop_thread.loop.create_task(end())
    task.add_done_callback(lambda _task: loop_thread.stop())
