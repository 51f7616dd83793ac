"""`jupyterfut cluster start`: a cluster that belongs to this command or, detached, to nobody; on this machine, or over machines reached with ssh.

For people it prints where the cluster is and stays until Ctrl-C, SIGTERM, `jupyterfut cluster stop NAME` or a client's `shutdown()`. For programs in
any environment (the Jupyter server extension) there is `--pipe`: options come as one line of JSON on stdin, whose end is the end of the cluster,
unless it is detached; what happens is told as lines of JSON on stdout. Nothing secret stands in arguments.

    in   {"type": "local" | "ssh", "name": ..., "detached": ..., "adapt": {...} | null, "options": {...}}    the first line; options of the class
    in   {"op": "scale", "id": ..., "n": ...} | {"op": "adapt", "id": ..., "options": {...} | null}          later ones
    out  {"event": "listening", "address": ..., "name": ...}   clients may connect
    out  {"event": "ready"} | {"event": "failed", "error": ...}
    out  {"event": "done", "id": ..., "error": ... | null}

A cluster over ssh has its scheduler elsewhere, so this process, which holds the connections, writes the connection file that it is found by here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyterfut.cli import options
from jupyterfut.errors import ConfigError, JupyterfutError, WorkerStartError
from jupyterfut.runtime import child, connections
from jupyterfut.runtime.host import new_event_loop

if TYPE_CHECKING:
    from jupyterfut.deploy.cluster import Cluster

TYPES = ("local", "ssh")

WISHES = {
    "local": (
        "n_workers", "threads_per_worker", "memory_limit", "resources", "local_directory", "host", "port", "dashboard_address", "allow_plain", "tls",
    ),
    "ssh": ("hosts", "connect_options", "worker_options", "scheduler_options", "remote_python", "allow_plain", "tls"),
}  # fmt: skip
"""The options of a type: those of `LocalCluster` and `SSHCluster` that can be written down, and "tls": {"cert": file, "key": file, "ca": file}."""


def add_to(commands: Any) -> None:
    """The command's own options, for `jupyterfut cluster`."""
    parser = commands.add_parser("start", help="start one, and stay until it ends; or leave it running (--detached)")
    parser.add_argument("--type", choices=TYPES, default="local", help="on this machine (local, the default) or on others, reached with ssh")
    parser.add_argument("--name", help="the cluster's name, for Client(NAME) and 'jupyterfut cluster'")
    parser.add_argument("--detached", action="store_true", help="return when it runs; it ends with 'jupyterfut cluster stop'")
    parser.add_argument("--n-workers", type=options.whole(0), metavar="N", help="how many workers (ssh: on each host)")
    parser.add_argument("--threads-per-worker", type=options.whole(1), metavar="N", help="threads of each worker")
    parser.add_argument("--memory-limit", metavar="SIZE", help="of each worker: auto (default), none, or a size such as 4GB")
    parser.add_argument("--resources", type=options.parse_resources, metavar="NAME=N", help="what each worker offers: GPU=1,MEM=2.5")
    parser.add_argument("--local-directory", metavar="DIR", help="where results go that do not fit into memory")
    parser.add_argument("--adapt", type=_bounds, metavar="MIN:MAX", help="as many workers as there is work for, between the two")
    parser.add_argument("--host", help="interface that the scheduler listens on")
    parser.add_argument("--port", type=options.whole(0), help="port that it listens on (default: any free one)")
    parser.add_argument(
        "--dashboard-address", metavar="ADDRESS", help="where the dashboard listens, such as :8787 (default: any free port); '': none"
    )
    parser.add_argument("--hosts", metavar="A,B,...", help="ssh: the scheduler's machine, then the workers'")
    parser.add_argument("--username", help="ssh: who to log in as")
    parser.add_argument("--identity-file", metavar="FILE", help="ssh: the private key")
    parser.add_argument("--remote-python", metavar="COMMAND", help="ssh: the interpreter there (default: the path of this one)")
    parser.add_argument("--no-tls", action="store_true", help="allow a scheduler that other machines can reach without TLS")
    parser.add_argument("--pipe", action="store_true", help="for programs: options as JSON on stdin, what happens as JSON on stdout")
    options.add_tls(parser)


def run(args: argparse.Namespace) -> int:
    """Start the cluster and stay with it. Exit code 0 when it was told to end, 1 when it did not come up."""
    if args.pipe:
        return serve_program()
    wish = _wish(args)
    if args.detached and args.type == "ssh":
        return _leave_behind(wish)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_serve_people(wish))


def _wish(args: argparse.Namespace) -> dict[str, Any]:
    """What a program would say on the pipe."""
    tls = {kind: str(Path(path).absolute()) for kind in ("cert", "key", "ca") if (path := getattr(args, f"tls_{kind}")) is not None}
    chosen: dict[str, Any] = {"allow_plain": args.no_tls, "tls": tls or None}
    if args.type == "ssh":
        chosen["hosts"] = [host.strip() for host in (args.hosts or "").split(",") if host.strip()]
        chosen["connect_options"] = {name: value for name in ("username", "identity_file") if (value := getattr(args, name)) is not None}
        chosen["remote_python"] = args.remote_python
        worker = {
            "n_workers": args.n_workers, "nthreads": args.threads_per_worker, "memory_limit": args.memory_limit, "resources": args.resources,
            "local_directory": args.local_directory,
        }  # fmt: skip
        chosen["worker_options"] = {name: value for name, value in worker.items() if value is not None}
        chosen["scheduler_options"] = {name: value for name in ("host", "port") if (value := getattr(args, name)) is not None}
    else:
        for name in ("n_workers", "threads_per_worker", "memory_limit", "resources", "local_directory", "host", "port", "dashboard_address"):
            if (value := getattr(args, name)) is not None:
                chosen[name] = value
        for name in ("hosts", "username", "identity_file", "remote_python"):
            if getattr(args, name) is not None:
                raise ConfigError(f"--{name.replace('_', '-')} is for --type ssh")
    return {"type": args.type, "name": args.name, "detached": args.detached, "adapt": args.adapt, "options": chosen}


def _bounds(text: str) -> dict[str, int | None]:
    """`1:8` as the options of `adapt`; `1:` has no maximum.

    >>> _bounds("1:8"), _bounds("0:")
    ({'minimum': 1, 'maximum': 8}, {'minimum': 0, 'maximum': None})
    """
    low, colon, high = text.partition(":")
    if not colon or not low.isdecimal() or not (high.isdecimal() or high == ""):
        raise argparse.ArgumentTypeError(f"{text!r} is not MIN:MAX, such as 1:8")
    return {"minimum": int(low), "maximum": int(high) if high else None}


# --- the cluster


def make(wish: dict[str, Any]) -> Cluster:
    """The cluster object for a wish, on its way. Call it on the loop that it shall live on. Raises ConfigError for a wish that cannot be met."""
    from jupyterfut.comm import Security

    kind, given = wish.get("type", "local"), wish.get("options") or {}
    if kind not in TYPES:
        raise ConfigError(f"there is no type of cluster {kind!r} (there are: {', '.join(TYPES)})")
    unknown = [name for name in given if name not in WISHES[kind]]
    if unknown:
        raise ConfigError(f"a cluster of type {kind} knows no {', '.join(map(repr, unknown))} (it knows {', '.join(WISHES[kind])})")
    chosen = {name: value for name, value in given.items() if value is not None and name != "tls"}
    if wish.get("name"):
        chosen["name"] = str(wish["name"])
    tls = given.get("tls")
    if tls:
        if missing := [path for path in tls.values() if not Path(path).is_file()]:
            raise ConfigError(f"tls: there is no file {missing[0]}")
        chosen["security"] = Security(**{f"tls_{kind}": path for kind, path in tls.items()})
    try:
        if kind == "ssh":
            from jupyterfut.deploy.ssh import SSHCluster

            return SSHCluster(**chosen, asynchronous=True)
        from jupyterfut.deploy.local import LocalCluster

        return LocalCluster(**chosen, detached=bool(wish.get("detached")), asynchronous=True)
    except TypeError as error:
        raise ConfigError(str(error)) from error


class _Held:
    """A cluster that comes up, is there, and ends; with its connection file, if it needs one of ours."""

    def __init__(self, wish: dict[str, Any], tell: Callable[[dict[str, Any]], object]) -> None:
        self.cluster = make(wish)
        self._wish = wish
        self._tell = tell
        self._info: connections.ConnectionInfo | None = None

    async def come_up(self) -> None:
        """Until the first workers are there."""
        cluster = self.cluster
        address = await cluster.listening()
        if self._wish["type"] == "ssh":
            self._info = connections.write_connection_file(
                address, cluster.security.token or "", cluster.name, detached=bool(self._wish.get("detached")), tls_ca=cluster.security.tls_ca
            )
        self._tell({"event": "listening", "address": address, "name": cluster.name})
        await cluster.ready()
        if self._wish.get("adapt") is not None:
            await self.adapt(self._wish["adapt"])
        self._tell({"event": "ready", "address": address, "name": cluster.name, "workers": len(cluster.workers)})

    async def adapt(self, wanted: dict[str, Any] | None) -> None:
        """Begin with these options, or stop."""
        if wanted is None:
            await self.cluster.adapt_async(None)
        else:
            await self.cluster.adapt(**wanted)

    async def last(self, stop: asyncio.Event) -> None:
        """Until the cluster has ended, or shall end; then it has. One that is its own process and detached is left to itself at once."""
        if self._wish["type"] == "local" and self._wish.get("detached"):
            self.cluster.leave()  # type: ignore[attr-defined]  # a LocalCluster's
            return
        await _first(stop.wait(), self.cluster.finished())

    async def close(self) -> None:
        """The end of it."""
        try:
            await self.cluster.close_async()
        finally:
            if self._info is not None:
                connections.remove_connection_file(self._info)


async def _live(wish: dict[str, Any], tell: Callable[[dict[str, Any]], object], stop: asyncio.Event, held: list[_Held]) -> bool:
    """The whole life of a cluster. `held` gets it while it lives. Returns whether it was there before it was told to end."""
    here = _Held(wish, tell)
    held.append(here)
    try:
        if not await _first(here.come_up(), stop.wait()):
            return False
        await here.last(stop)
        return True
    finally:
        held.clear()
        await here.close()


async def _first(one: Coroutine[Any, Any, Any], other: Coroutine[Any, Any, Any]) -> bool:
    """Wait for one of two; the other is cancelled. Whether it was the first one. Raises what it raises."""
    tasks = [asyncio.ensure_future(one), asyncio.ensure_future(other)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        first = tasks[0].done()
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    if first and isinstance(outcomes[0], BaseException):
        raise outcomes[0]
    return first


# --- for people


async def _serve_people(wish: dict[str, Any]) -> int:
    from jupyterfut.runtime.process import on_stop_signals

    stop = asyncio.Event()
    on_stop_signals(asyncio.get_running_loop(), stop.set)
    if not await _live(wish, _print, stop, []):
        return 130
    if not wish["detached"]:
        print("cluster ended", flush=True)
    return 0


def _print(message: dict[str, Any]) -> None:
    if message["event"] == "ready":
        name, workers = message["name"], message["workers"]
        print(f"cluster {name!r} at {message['address']}, {workers} worker{'s' * (workers != 1)}")
        print(f"clients find it by its name: Client({name!r})\nits end: jupyterfut cluster stop {name}", flush=True)


def _leave_behind(wish: dict[str, Any]) -> int:
    """Start another process that holds the connections, and leave it to itself when the cluster is there."""
    command = [sys.executable, "-m", "jupyterfut", "cluster", "start", "--pipe"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(wish).encode() + b"\n")
    process.stdin.flush()
    for line in process.stdout:
        message = json.loads(line)
        if message["event"] == "failed":
            process.wait()
            raise WorkerStartError(message["error"])
        _print(message)
        if message["event"] == "ready":
            return 0
    raise WorkerStartError(f"the cluster's process ended (exit code {process.wait()})")


# --- for programs


def serve_program() -> int:
    """The cluster of a program: see the top of the file."""
    parent = child.begin()
    wish = {"type": "local", **parent.settings}
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_serve_program(parent, wish))


async def _serve_program(parent: child.Parent, wish: dict[str, Any]) -> int:
    from jupyterfut.runtime.host_main import log_to_file
    from jupyterfut.runtime.process import on_stop_signals

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    on_stop_signals(loop, stop.set)
    held: list[_Held] = []
    jobs: set[asyncio.Task[None]] = set()

    def on_line(message: dict[str, Any]) -> None:
        task = loop.create_task(_answer(parent, held, message))
        jobs.add(task)
        task.add_done_callback(jobs.discard)

    def on_parent_lost() -> None:
        if not wish.get("detached"):
            stop.set()

    log = None
    if wish.get("detached") and wish["type"] == "ssh":
        wish["name"] = wish.get("name") or f"ssh-{os.getpid()}"
        log = log_to_file(wish["name"])
    lifeline = parent.lines(loop, on_line, on_parent_lost)
    try:
        await _live(wish, parent.report, stop, held)
    except JupyterfutError as error:
        parent.report({"event": "failed", "error": str(error)})
        return 1
    finally:
        for job in jobs:
            job.cancel()
        lifeline.close()
        parent.end_reports()
        if log is not None:
            os.unlink(log)
    return 0


async def _answer(parent: child.Parent, held: list[_Held], message: dict[str, Any]) -> None:
    error = None
    try:
        if not held:
            raise ConfigError("the cluster has ended")
        if message.get("op") == "scale":
            await held[0].cluster.scale(message["n"])
        elif message.get("op") == "adapt":
            await held[0].adapt(message["options"])
        else:
            raise ConfigError(f"a cluster knows no {message.get('op')!r}")
    except (JupyterfutError, TypeError, ValueError, KeyError) as failure:
        error = str(failure)
    parent.report({"event": "done", "id": message.get("id"), "error": error})
