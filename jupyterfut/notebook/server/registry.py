"""The clusters of one Jupyter server: those of this machine, whoever started them, those that it starts, and those elsewhere that it was told of.

`Registry` keeps the list (`diagnostics.clusters.Clusters`) that pages are shown, and is the one place that changes clusters. An id is made of what a
connection file says, so two servers have the same one for a cluster, and a server that starts again too. A cluster that is being started has an id of
its own until it can be found ("new-..."); that stands for it afterwards as well.
"""

from __future__ import annotations

import asyncio
import builtins
import hashlib
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from jupyterfut.comm import Security
from jupyterfut.deploy import registry
from jupyterfut.diagnostics.clusters import Clusters, NoSuchCluster, Where, cluster_info
from jupyterfut.diagnostics.viewer import WORKERS_ASKED
from jupyterfut.errors import JupyterfutError, WorkerStartError
from jupyterfut.notebook.server.asking import Asking
from jupyterfut.notebook.server.connection_files import ConnectionFiles
from jupyterfut.notebook.server.environments import Environment
from jupyterfut.notebook.server.forms import Bounds, Remote
from jupyterfut.notebook.server.launching import Launch
from jupyterfut.runtime.connections import ConnectionInfo
from jupyterfut.wire.panes import ClusterInfo

FAILURES_KEPT = 10
"""So many clusters that did not start stay in the list, with the reason, until they are dismissed."""


class Conflict(JupyterfutError):
    """What is asked for does not go together with what there is."""


class Limits(NamedTuple):
    """How long things may take, in seconds."""

    answer_s: float = 10.0  #: a question to a scheduler, connection included
    start_s: float = 15.0  #: until a cluster that was started is listed; then the page is told that it comes
    stop_s: float = 20.0  #: until a cluster that was told to end has ended; then it is killed


class Registry:
    """Made and used on the server's event loop. `start`, and `close` at the end, which ends the clusters that the server has started, but for the
    detached ones."""

    def __init__(self, *, directory: str, limits: Limits, log: logging.Logger) -> None:
        self.clusters = Clusters()
        self.limits = limits
        self._directory = directory
        self._log = log
        self._files = ConnectionFiles(self._found, log)
        self._known: dict[str, ConnectionInfo] = {}  # by id: of this machine
        self._remotes: dict[str, Remote] = {}
        self._launches: dict[str, Launch] = {}  # by the id until it is found
        self._places: dict[str, str] = {}  # "new-..." -> the id under which it was found
        self._arrivals: dict[str, asyncio.Future[str]] = {}  # "new-..." -> the id, when it is found
        self._failed: dict[str, None] = {}  # those in the list only to tell why they are not there
        self._stopping: set[str] = set()
        self._stoppers = ThreadPoolExecutor(16, "jupyterfut-stop")  # who waits for an end that takes long holds up nobody else
        self._lost: set[str] = set()  # those whose loss we have looked into
        self._unlisten = self.clusters.listen(self._list_changed)

    # --- life

    async def start(self) -> None:
        """Find out what there is, and be told from now on."""
        await self._files.start()

    async def close(self) -> None:
        """End what this server has started, leave everything else alone."""
        self._unlisten()
        launches = list(self._launches.values())
        for launch in launches:
            if launch.detached:
                launch.leave()
        await self._files.close()
        await asyncio.gather(*(launch.close(self.limits.stop_s) for launch in launches if not launch.detached))
        await self.clusters.close()
        for arrival in self._arrivals.values():
            arrival.cancel()
        self._stoppers.shutdown(wait=False, cancel_futures=True)

    # --- what is known

    async def look(self) -> None:
        """Make sure that the list is as the files are now."""
        try:
            async with asyncio.timeout(self.limits.answer_s):
                await self._files.look()
        except builtins.TimeoutError:
            self._log.warning("the directory of connection files does not answer: the list of clusters may be old")

    def id_of(self, cluster: str) -> str:
        """The id of today: that of a cluster which was being started may be the old one. Raises NoSuchCluster."""
        cluster = self._places.get(cluster, cluster)
        self.clusters.info(cluster)
        return cluster

    def info(self, cluster: str) -> ClusterInfo:
        """One line of the list. Raises NoSuchCluster."""
        return self.clusters.info(self.id_of(cluster))

    def free_name(self) -> str:
        """A name that no cluster of this list has."""
        taken = self._names()
        number = 1
        while f"cluster-{number}" in taken:
            number += 1
        return f"cluster-{number}"

    def _names(self) -> set[str]:
        return {info["name"] for info in self.clusters.infos() if info["id"] not in self._failed}

    # --- starting

    async def launch(self, wish: dict[str, Any], environment: Environment) -> ClusterInfo:
        """Start a cluster. Returns its line when it can be found; or, if that takes longer, the line of one that is starting.

        Raises Conflict when there is one of this name, WorkerStartError when it does not start.
        """
        if wish["name"] in self._names():
            raise Conflict(f"there is a cluster called {wish['name']!r} already")
        new = f"new-{os.urandom(6).hex()}"
        arrival = self._arrivals[new] = asyncio.get_running_loop().create_future()
        launch = Launch(wish, environment, self._directory, lambda: self._launch_changed(new))
        self._launches[new] = launch
        owner = "detached" if launch.detached else "server"
        self.clusters.put(cluster_info(new, name=launch.name, pid=launch.pid, started=time.time(), owner=owner, state="starting"))
        try:
            async with asyncio.timeout(self.limits.start_s):
                found = await asyncio.shield(arrival)
        except builtins.TimeoutError:
            return self.info(new)  # it goes on, and pages see how
        except WorkerStartError:
            self._dismiss(new)  # who asked is told: no need to list it
            raise
        return self.clusters.info(found)

    def _launch_changed(self, new: str) -> None:
        """It has an address now, or is ready, or has ended."""
        launch, arrival = self._launches[new], self._arrivals[new]
        if launch.ended:
            del self._launches[new]
            if launch.error:
                self._fail(new, launch)
            elif not arrival.done():
                arrival.set_exception(WorkerStartError(f"the cluster {launch.name!r} was stopped before it had started"))
                arrival.exception()  # perhaps nobody waits any more
                self.clusters.remove(new)
            if (found := self._places.get(new)) in self._known:
                self._show(found, self._known[found])
            self._files.look_soon()
        elif launch.ready and (found := self._places.get(new)) in self._known:
            self._show(found, self._known[found])
        else:
            self._files.look_soon()

    def _fail(self, new: str, launch: Launch) -> None:
        """It has not started: say why, to who waits, and in the list."""
        arrival = self._arrivals[new]
        self._log.warning("the cluster %r did not start: %s", launch.name, launch.error)
        self._failed[new] = None
        self._places.pop(new, None)
        self.clusters.put(cluster_info(new, name=launch.name, started=time.time(), owner="server", state="lost", text=launch.error))
        if not arrival.done():
            arrival.set_exception(WorkerStartError(launch.error))
            arrival.exception()
        while len(self._failed) > FAILURES_KEPT:
            self._dismiss(next(iter(self._failed)))

    def _dismiss(self, new: str) -> None:
        self._failed.pop(new, None)
        self._arrivals.pop(new, None)
        self.clusters.remove(new)

    # --- finding

    def _found(self, infos: list[ConnectionInfo]) -> None:
        """These run on this machine now."""
        found = {cluster_id(info): info for info in infos}
        for cluster in self._known.keys() - found.keys():
            del self._known[cluster]
            self._stopping.discard(cluster)
            self._lost.discard(cluster)
            for new in [new for new, place in self._places.items() if place == cluster and new not in self._launches]:
                del self._places[new], self._arrivals[new]
            self.clusters.remove(cluster)
        for cluster, info in found.items():
            self._arrived(cluster, info)
            if self._known.get(cluster) != info:
                self._known[cluster] = info
                self._show(cluster, info)

    def _arrived(self, cluster: str, info: ConnectionInfo) -> None:
        """Perhaps it is one that we have started."""
        for new, launch in self._launches.items():
            if launch.address == info.address and new not in self._places:
                self._places[new] = cluster
                self.clusters.remove(new)
                self._known.pop(cluster, None)  # to be shown as ours
                if not self._arrivals[new].done():
                    asyncio.get_running_loop().call_soon(self._tell_arrival, new, cluster)
        for cluster, remote in list(self._remotes.items()):
            if remote.address == info.address:
                self._forget_remote(cluster)

    def _tell_arrival(self, new: str, cluster: str) -> None:
        if not self._arrivals[new].done():
            self._arrivals[new].set_result(cluster)

    def _show(self, cluster: str, info: ConnectionInfo) -> None:
        launch = self._launch_of(cluster)
        state = "stopping" if cluster in self._stopping else "starting" if launch is not None and not launch.ready else "running"
        owner = "detached" if info.detached else "server" if launch is not None else "kernel" if info.kernel_id else "process"
        line = cluster_info(
            cluster, name=info.name, address=info.address, host=info.host, pid=info.pid, started=info.started, kernel=info.kernel_id or "",
            session=info.session, owner=owner, state=state,
        )  # fmt: skip
        scales = launch is not None and launch.type == "ssh"
        self.clusters.put(line, Where(info.address, Security(info.token, tls_ca=info.tls_ca), scales))

    def _launch_of(self, cluster: str) -> Launch | None:
        return next((launch for new, launch in self._launches.items() if self._places.get(new) == cluster), None)

    def _list_changed(self) -> None:
        """A cluster whose connection is lost may have been killed: then its file is old, and the next look removes it."""
        lost = {info["id"] for info in self.clusters.infos() if info["state"] == "lost"} & self._known.keys()
        if lost - self._lost:
            self._files.look_soon()
        self._lost = lost

    # --- changing

    async def resize(self, cluster: str, wanted: int | Bounds | None) -> bool:
        """Have so many workers, adapt between bounds, or adapt no more. True when it is done, False when it is under way still.

        Raises NoSuchCluster, TimeoutError, ConnectionFailed, Conflict (its workers cannot be started from here), and what the cluster answers with.
        """
        cluster = self.id_of(cluster)
        launch = self._launch_of(cluster)
        if launch is not None and launch.type == "ssh":
            return await self._resize_launch(launch, wanted)
        op = "cluster_adapt"
        args: dict[str, Any] = {"options": wanted._asdict() if isinstance(wanted, Bounds) else None}
        if isinstance(wanted, int):
            op, args = "cluster_scale", {"n": wanted, "timeout_s": None}
        async with Asking(self.clusters, cluster, self.limits.answer_s) as asking:
            try:
                return await asking.order(op, args)
            except ValueError as error:
                if "knows no request" not in str(error):
                    raise
                raise Conflict("the workers of this cluster are started by whoever started it, not from here") from error

    async def _resize_launch(self, launch: Launch, wanted: int | Bounds | None) -> bool:
        """The workers of a cluster over several machines are started by the process that holds the connections."""
        if isinstance(wanted, int):
            order = launch.ask("scale", n=wanted)
        else:
            order = launch.ask("adapt", options=None if wanted is None else wanted._asdict())
        try:
            async with asyncio.timeout(self.limits.answer_s):
                await order
        except builtins.TimeoutError:
            return False
        return True

    async def restart(self, cluster: str) -> bool:
        """Replace all workers; every task is forgotten. True when they are back, False when that is under way still. Raises as `resize`."""
        async with Asking(self.clusters, self.id_of(cluster), self.limits.answer_s) as asking:
            return await asking.order("restart", {"wait": True, "timeout_s": None})

    async def stop(self, cluster: str) -> None:
        """End a cluster, whoever started it, by force if it does not end in time; return when it is gone. One that did not start leaves the list.

        Raises NoSuchCluster, PermissionError (its process is somebody else's), TimeoutError and ConnectionFailed (it runs elsewhere, and cannot be
        told).
        """
        cluster = self._places.get(cluster, cluster)
        if cluster in self._failed:
            self._dismiss(cluster)
            return
        launch = self._launches.get(cluster) or self._launch_of(cluster)
        info = self._known.get(cluster)
        if info is None and launch is None:
            await self._stop_remote(self.id_of(cluster))
            return
        self._stopping.add(cluster)
        self.clusters.change(cluster, state="stopping")
        try:
            if launch is not None and launch.detached and info is not None:
                launch.is_stopped()
            elif launch is not None:
                await launch.close(self.limits.stop_s)
            if info is not None:
                await asyncio.get_running_loop().run_in_executor(self._stoppers, registry.stop, info, self.limits.stop_s)
        finally:
            self._stopping.discard(cluster)
            if cluster in self._known:
                self._show(cluster, self._known[cluster])
            await self.look()

    async def _stop_remote(self, cluster: str) -> None:
        async with Asking(self.clusters, cluster, self.limits.answer_s) as asking:
            self.clusters.change(cluster, state="stopping")
            try:
                await asking.ask("shutdown", {})
            except BaseException:
                self.clusters.change(cluster, state="running")
                raise
        self._forget_remote(cluster)

    # --- clusters elsewhere

    async def add_remote(self, remote: Remote) -> ClusterInfo:
        """List a cluster that runs elsewhere, if it answers. Its token stays here, in memory.

        Raises Conflict when it is listed already, HandshakeError (the token, the version), ConnectionFailed, TimeoutError.
        """
        for info in self.clusters.infos():
            if info["address"] == remote.address:
                raise Conflict(f"it is in the list already, as {info['name']!r}")
        if remote.name in self._names():
            raise Conflict(f"there is a cluster called {remote.name!r} already")
        cluster = "remote-" + hashlib.sha256(remote.address.encode()).hexdigest()[:12]
        trial = Clusters()
        trial.put(cluster_info(cluster, name=remote.name), Where(remote.address, remote.security))
        try:
            async with Asking(trial, cluster, self.limits.answer_s) as asking:
                await asking.ask("locate", {"keys": []})
        finally:
            await trial.close()
        host = remote.address.partition("://")[2].rpartition(":")[0]
        self._remotes[cluster] = remote
        self.clusters.put(
            cluster_info(cluster, name=remote.name, address=remote.address, host=host, started=time.time(), owner="remote"),
            Where(remote.address, remote.security),
        )
        return self.clusters.info(cluster)

    def remove_remote(self, cluster: str) -> None:
        """List it no more; it runs on. Raises NoSuchCluster for everything but what `add_remote` has listed."""
        if cluster not in self._remotes:
            raise NoSuchCluster(f"no remote cluster {cluster!r} was added here")
        self._forget_remote(cluster)

    def _forget_remote(self, cluster: str) -> None:
        del self._remotes[cluster]
        self.clusters.remove(cluster)

    # --- logs

    async def logs(self, cluster: str, n: int) -> dict[str, Any]:
        """The newest `n` lines of each: what the cluster's processes printed (`output`, where this server can see it), what its scheduler and its
        workers logged (pairs of level and text). What could not be had is told in `errors`."""
        if cluster in self._failed:
            return {"output": self.clusters.info(cluster)["text"].splitlines()[-n:], "scheduler": [], "workers": {}, "errors": []}
        cluster = self.id_of(cluster)
        launch = self._launches.get(cluster) or self._launch_of(cluster)
        told: dict[str, Any] = {"output": list(launch.lines)[-n:] if launch is not None else [], "scheduler": [], "workers": {}, "errors": []}
        info = self._known.get(cluster)
        if info is not None and info.detached:
            told["output"] = await asyncio.to_thread(_tail, info.path.removesuffix(".json") + ".log", n)
        if launch is not None and info is None:
            return told  # it has no scheduler yet
        try:
            async with Asking(self.clusters, cluster, self.limits.answer_s) as asking:
                told["scheduler"] = (await asking.ask("scheduler_logs", {"n": n}))[::-1]
                workers = list(await asking.ask("nthreads", {"workers": None}))
                if len(workers) > WORKERS_ASKED:
                    told["errors"].append(f"these are the logs of {WORKERS_ASKED} of {len(workers)} workers")
                if workers:
                    answers = await asking.ask_workers("worker_logs", {"n": n, "workers": workers[:WORKERS_ASKED]})
                    told["workers"] = {address: lines[::-1] for address, lines in answers["answers"].items()}
                    told["errors"] += [f"{address}: {text}" for address, text in answers["errors"].items()]
        except (JupyterfutError, OSError) as error:
            told["errors"].append(str(error))
        return told


def cluster_id(info: ConnectionInfo) -> str:
    """What names a cluster of this machine: another one for each scheduler process, and the same in every server."""
    return hashlib.sha256(f"{info.host}|{info.pid}|{info.pid_mark}|{info.address}".encode()).hexdigest()[:16]


def _tail(path: str, n: int) -> list[str]:
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 400 * n))
            return file.read().decode(errors="replace").splitlines()[-n:]
    except OSError:
        return []
