"""`jupyterfut worker ADDRESS`: workers by hand, on this machine, for a scheduler anywhere.

Each worker is a process under a nanny (or, with `--no-nanny`, this process itself). The command ends when it is told to (Ctrl-C, SIGTERM) or when all
its workers have ended on purpose (the scheduler retired them, or ended).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from jupyterfut.cli import options
from jupyterfut.errors import ConfigError
from jupyterfut.runtime import connections, interfaces, logs
from jupyterfut.runtime.host import new_event_loop
from jupyterfut.runtime.process import cpu_count, on_stop_signals, parse_memory_limit

if TYPE_CHECKING:
    from jupyterfut.comm import Security
    from jupyterfut.runtime.nanny import Nanny
    from jupyterfut.runtime.worker_server import Worker


def main(arguments: list[str]) -> int:
    """Run the command. Exit code 0 when it was told to end, 1 when a worker cannot start."""
    parser = argparse.ArgumentParser("jupyterfut worker", description="Run workers for the scheduler at ADDRESS.")
    parser.add_argument("address", help="the scheduler's address (tcp://... or tls://...), its cluster's name, or the path of a connection file")
    parser.add_argument("--nworkers", type=options.whole(1), default=1, metavar="N", help="how many worker processes (default: %(default)s)")
    parser.add_argument("--nthreads", type=options.whole(1), metavar="N", help="threads of each worker (default: the cores, shared by the workers)")
    parser.add_argument("--memory-limit", default="auto", metavar="SIZE", help="of each worker: auto (default), none, or a size such as 4GB")
    parser.add_argument("--resources", type=options.parse_resources, default={}, metavar="NAME=N", help="what each worker offers: GPU=1,MEM=2.5")
    parser.add_argument("--name", help="the worker's name (with --nworkers: NAME-0, NAME-1, ...)")
    parser.add_argument("--host", help="interface on which other workers reach it (default: the one that leads to the scheduler)")
    parser.add_argument("--local-directory", metavar="DIR", help="where results go that do not fit into memory")
    parser.add_argument("--nanny", action=argparse.BooleanOptionalAction, default=True, help="supervise each worker process (default: yes)")
    options.add_token(parser)
    options.add_tls(parser)
    args = parser.parse_args(arguments)
    if not args.nanny and args.nworkers != 1:
        parser.error("--no-nanny runs the worker in this very process, so there can be only one")
    if args.local_directory and not os.path.isdir(args.local_directory):
        raise ConfigError(f"--local-directory: there is no directory {args.local_directory}")
    args.memory_limit_bytes = parse_memory_limit(args.memory_limit, args.nworkers)
    address, token, ca = _find(args.address)
    token = options.read_token(args.token_file) or token or connections.token_for(address)
    if token is None:
        raise ConfigError(
            f"no token is known for {address}: give --token-file, or set JUPYTERFUT_TOKEN, or run on a machine with its connection file"
        )
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_serve(args, address, options.security(args, token, ca=ca)))


def _find(target: str) -> tuple[str, str | None, str | None]:
    """Address, token and CA file of what the user named."""
    if "://" in target:
        parts = urlsplit(target)
        try:
            complete = bool(parts.hostname and parts.port)
        except ValueError:
            complete = False
        if not complete:
            raise ConfigError(f"{target!r} is not an address, such as tcp://10.0.0.1:8786")
        return target, None, None
    if os.path.sep in target or target.endswith(".json"):
        info = connections.read_connection_file(target)
    else:
        from jupyterfut.deploy.registry import find

        info = find(target)
    return info.address, info.token, info.tls_ca


async def _serve(args: argparse.Namespace, address: str, security: Security) -> int:
    stop = asyncio.Event()
    on_stop_signals(asyncio.get_running_loop(), stop.set)
    parts = urlsplit(address)
    host = args.host or interfaces.interface_towards(parts.hostname or "", parts.port or 0)
    logs.tell_more()
    servers = _servers(args, address, security, host)
    try:
        work = asyncio.create_task(_work(servers, address))
        stopped = asyncio.create_task(_wait(stop))
        await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if work.done():
            work.result()
        work.cancel()
    finally:
        await asyncio.gather(*(server.close() for server in servers))
    return 0


async def _work(servers: list[Nanny] | list[Worker], address: str) -> None:
    await asyncio.gather(*(server.start() for server in servers))
    for server in servers:
        print(f"worker {server.name!r} ({server.nthreads} threads) has joined {address}", flush=True)
    await asyncio.gather(*(server.finished() for server in servers))


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


def _servers(args: argparse.Namespace, address: str, security: Security, host: str) -> list[Nanny] | list[Worker]:
    base = args.name or f"{socket.gethostname()}-{os.getpid()}"
    names = [base] if args.nworkers == 1 else [f"{base}-{number}" for number in range(args.nworkers)]
    nthreads = args.nthreads or max(1, cpu_count() // args.nworkers)
    if args.nanny:
        from jupyterfut.runtime.nanny import Nanny

        return [
            Nanny(
                address, nthreads=nthreads, name=name, memory_limit=args.memory_limit_bytes, resources=args.resources, host=host, security=security,
                local_directory=args.local_directory,
            )
            for name in names
        ]  # fmt: skip
    from jupyterfut.runtime import output
    from jupyterfut.runtime.worker_server import Worker

    output.own_process()
    return [
        Worker(
            address, nthreads=nthreads, name=names[0], memory_limit=args.memory_limit_bytes, resources=args.resources, host=host, security=security,
            local_directory=args.local_directory,
        )
    ]  # fmt: skip
