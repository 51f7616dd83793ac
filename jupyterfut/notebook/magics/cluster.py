"""`%cluster`: start a cluster, stop it, change its size, use another, list them; and keep one over the kernel's end."""

from __future__ import annotations

import inspect
import re
import socket
import time
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class, no_var_expand

from jupyterfut import config
from jupyterfut.client.client import Client
from jupyterfut.client.current import default_client, make_default, open_clients
from jupyterfut.client.running import cluster_of
from jupyterfut.deploy import registry
from jupyterfut.deploy.cluster import Cluster
from jupyterfut.deploy.kernel import KernelIdentity, kernel_identity
from jupyterfut.deploy.local import LocalCluster
from jupyterfut.notebook import clients
from jupyterfut.notebook.background import perform
from jupyterfut.notebook.held import holdings, reunion
from jupyterfut.notebook.magics.arguments import Parser, magic_with, memory, text, whole
from jupyterfut.notebook.magics.listings import Listing, lasting
from jupyterfut.runtime.connections import ConnectionInfo
from jupyterfut.views.tables import Table
from jupyterfut.views.text import count

PARSER = Parser("%cluster", "The cluster that this notebook uses, and others. Without a command: show it.")
_commands = PARSER.commands()


def _command(name: str, about: str) -> Any:
    return _commands.add_parser(name, help=about, description=about)


_start = _command("start", "start a cluster on this machine and use it; one that this notebook has kept is used again")
_start.add_argument("-n", "--workers", type=whole, metavar="N", help="how many workers (as many as the machine's cores suggest)")
_start.add_argument("-t", "--threads", type=whole, metavar="N", help="of each worker")
_start.add_argument("-m", "--memory", type=memory, default="auto", metavar="SIZE", help="of each worker: 2GB, 0.5 of the machine's, auto, none")
_start.add_argument("--name", type=text, help="what it is called (after the notebook, if it is kept)")
_start.add_argument("--keep", action="store_true", help="it outlives the kernel: after a restart %%load_ext jupyterfut finds it, with the results")
_start.add_argument("--in-kernel", action="store_true", help="workers are threads of the kernel, and get objects by reference")
_stop = _command("stop", "end a cluster: the one in use, or another by its name or address")
_stop.add_argument("name", nargs="?", type=text, metavar="NAME", help="its name or address")
_scale = _command("scale", "have so many workers; those that leave hand over what they hold")
_scale.add_argument("n", type=whole, metavar="N", help="how many workers")
_adapt = _command("adapt", "have as many workers as the work asks for, between the two numbers; scale ends it")
_adapt.add_argument("minimum", type=whole, metavar="A", help="at least")
_adapt.add_argument("maximum", nargs="?", type=whole, metavar="B", help="at most (no limit)")
_use = _command("use", "use this cluster from now on: its client is what get_client() gives")
_use.add_argument("name", type=text, metavar="NAME", help="its name or address")
_command("list", "the clusters of this user on this machine")
_command("restart", "replace all workers by fresh ones; every future is cancelled")


@magics_class
class ClusterMagic(Magics):  # type: ignore[misc]  # IPython has no types
    """`%cluster`."""

    @no_var_expand
    @line_magic
    @magic_with(PARSER)
    def cluster(self, line: str) -> Any:
        __tracebackhide__ = True
        options = PARSER.read(line)
        return getattr(self, f"_{options.command or 'show'}")(options)

    def _show(self, options: Any) -> Cluster:
        return cluster_of(_client())

    def _start(self, options: Any) -> None:
        if options.in_kernel and options.keep:
            raise UsageError("%cluster start: threads of the kernel cannot outlive it: --keep or --in-kernel, not both")
        if options.threads == 0:
            raise UsageError("%cluster start: a worker has at least one thread")
        identity = kernel_identity()
        kept = [info for info in (holdings.find(identity) if identity is not None else []) if options.name in (None, info.name)]
        if kept and (options.keep or options.name is not None):
            client = clients.client_on(kept[0].address)
            make_default(client)
            reunion.show(self.shell, client, f"jupyterfut: the cluster {kept[0].name!r} of this notebook is running already, and in use now")
            return
        settings = {
            "n_workers": options.workers, "threads_per_worker": options.threads, "processes": not options.in_kernel,
            "memory_limit": options.memory,
        }  # fmt: skip
        if not options.keep:
            client = clients.keep(Client(name=options.name, **settings))
            print(clients.started_line(client))  # noqa: T201  # the magic's answer
            return
        name = options.name or _free_name(identity)
        client = clients.keep(Client(LocalCluster(name=name, detached=True, **settings)))
        line = clients.started_line(client).replace("a local cluster", f"the cluster {name!r}")
        print(f"{line}; it is kept when the kernel ends (%cluster stop ends it)")  # noqa: T201

    def _stop(self, options: Any) -> None:
        client = _client() if options.name is None else _client_of(options.name)
        info = _info_of(client.address if client is not None else options.name)
        if client is None:
            if info is None:
                raise UsageError(f"%cluster stop: no cluster {options.name!r} runs on this machine ({_running()})")
            registry.stop(info)
        elif client.asynchronous:
            perform(client, client.shutdown(), lambda _: print("jupyterfut: the cluster has ended"))  # noqa: T201
            return
        else:
            client.shutdown()
            if info is not None:
                registry.stop(info)  # until its process is gone
        static = config.settings().notebook.display == "static"
        name = "" if static or info is None else f" {info.name!r}"
        print(f"jupyterfut: the cluster{name} has ended")  # noqa: T201

    def _scale(self, options: Any) -> None:
        client = _client()
        self._do(client, cluster_of(client).scale(options.n), f"jupyterfut: the cluster has {count(options.n, 'worker')}")

    def _adapt(self, options: Any) -> None:
        if options.maximum is not None and options.maximum < max(1, options.minimum):
            raise UsageError("%cluster adapt A B: B is at least 1, and not below A")
        client = _client()
        limit = "any number of" if options.maximum is None else f"up to {options.maximum}"
        begun = cluster_of(client).adapt(options.minimum, options.maximum)
        self._do(client, begun if client.asynchronous else None, f"jupyterfut: from {options.minimum} {limit} workers, as the work asks for")

    def _use(self, options: Any) -> None:
        client = _client_of(options.name) or clients.client_on(options.name)
        make_default(client)
        info = _info_of(client.address)
        print(f"jupyterfut: using the cluster {info.name if info is not None else client.address!r}")  # noqa: T201

    def _list(self, options: Any) -> Listing:
        return Listing([clusters_table(registry.clusters(), static=config.settings().notebook.display == "static")])

    def _restart(self, options: Any) -> None:
        client = _client()
        self._do(client, client.restart(), "jupyterfut: the cluster has fresh workers, and all futures are cancelled")

    @staticmethod
    def _do(client: Client, done: Any, line: str) -> None:
        """Say the line when it is done: it is, unless it is to be awaited."""
        if inspect.isawaitable(done):
            perform(client, _wait(done), lambda _: print(line))  # noqa: T201  # the magic's answer
        else:
            print(line)  # noqa: T201


def clusters_table(found: list[ConnectionInfo], *, static: bool) -> Table:
    """The clusters of this machine, oldest first."""
    if not found:
        return Table(below="No cluster of processes runs on this machine (%cluster start).")
    identity = kernel_identity()
    try:
        used = default_client().address
    except ValueError:
        used = ""
    rows = []
    for info in found:
        row = (info.name, _whose(info, identity), "in use" if info.address == used else "")
        rows.append(row if static else (*row, f"{lasting(time.time() - info.started)} ago", info.address))
    head = ("name", "belongs to", "")
    return Table(head if static else (*head, "started", "address"), rows)


def _whose(info: ConnectionInfo, identity: KernelIdentity | None) -> str:
    kept = ", kept" if info.detached else ""
    if identity is not None and identity.is_mine(info.kernel_id, info.session, info.kernel_file):
        return f"this notebook{kept}"
    if info.session:
        return f"{Path(info.session).name}{kept}"
    if info.kernel_id:
        return f"kernel {info.kernel_id[:8]}{kept}"
    return "itself" if info.detached else f"process {info.pid}"


def _client() -> Client:
    """The client of the cluster in use. Nothing is started for this."""
    try:
        client: Client = default_client()
    except ValueError:
        raise UsageError("%cluster: no cluster is in use (%cluster start, or %cluster use NAME)") from None
    return client


def _client_of(name: str) -> Client | None:
    """An open client of the cluster with this name or address."""
    info = _info_of(name)
    for client in reversed(open_clients()):
        if name in (client.address, getattr(client.cluster, "name", None)) or (info is not None and client.address == info.address):
            return client
    return None


def _info_of(name: str) -> ConnectionInfo | None:
    """The connection file of the cluster with this name or address. Two with one name are told apart by address only."""
    here = [info for info in registry.clusters() if name in (info.name, info.address) and info.host == socket.gethostname()]
    if len(here) > 1:
        raise UsageError(f"{len(here)} clusters are called {name!r}: use the address of one ({', '.join(info.address for info in here)})")
    return here[0] if here else None


def _running() -> str:
    names = ", ".join(repr(info.name) for info in registry.clusters())
    return f"running: {names}" if names else "none does"


def _free_name(identity: KernelIdentity | None) -> str:
    """A name for a cluster that is kept: that of the notebook, which nobody else has here."""
    taken = {info.name for info in registry.clusters()}
    base = Path(identity.session).stem if identity is not None and identity.session else "notebook"
    base = re.sub(r"[^\w.-]+", "-", base).strip("-") or "notebook"
    return next(name for name in (base, *(f"{base}-{n}" for n in range(2, 1000))) if name not in taken)


async def _wait(awaitable: Any) -> None:
    await awaitable
