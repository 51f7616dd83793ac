"""`jupyterfut scheduler`: a scheduler by hand, for a cluster over several machines.

It writes a connection file, says where it listens, and serves until Ctrl-C, SIGTERM, `jupyterfut cluster stop NAME` or a client's `shutdown()`.
Beyond loopback it wants TLS, unless `--no-tls` says that the network is trusted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

from jupyterfut import config, plugins
from jupyterfut.cli import options
from jupyterfut.errors import ConfigError
from jupyterfut.runtime import connections, interfaces
from jupyterfut.runtime.host import new_event_loop


def main(arguments: list[str]) -> int:
    """Run the command. Exit code 0 when it was told to end."""
    parser = argparse.ArgumentParser("jupyterfut scheduler", description="Run a scheduler. Workers join it with: jupyterfut worker ADDRESS")
    parser.add_argument("--host", default="127.0.0.1", help="interface to listen on (default: %(default)s; 0.0.0.0 for all)")
    parser.add_argument("--port", type=options.whole(0), default=0, help="port to listen on (default: any free one)")
    parser.add_argument("--name", default=f"scheduler-{os.getpid()}", help="the cluster's name, for Client(NAME) and 'jupyterfut cluster'")
    parser.add_argument("--connection-file", metavar="FILE", help="write the connection file here, for Client(scheduler_file=FILE)")
    parser.add_argument("--no-tls", action="store_true", help="allow a host beyond loopback without TLS")
    parser.add_argument(
        "--allow-run", action="store_true",
        help="let clients run functions and plugins in the scheduler's own process (Client.run_on_scheduler); the setting scheduler.allow_run",
    )  # fmt: skip
    parser.add_argument(
        "--dashboard-address", metavar="ADDRESS", default=config.settings().dashboard.address,
        help="where the dashboard listens, such as :8787 (default: the setting dashboard.address, %(default)s); '' for none",
    )  # fmt: skip
    options.add_token(parser)
    options.add_tls(parser)
    args = parser.parse_args(arguments)
    if not interfaces.is_loopback(args.host) and not args.tls_cert and not args.no_tls:
        parser.error(
            f"{args.host} can be reached from other machines: give --tls-cert and --tls-key (and --tls-ca), or --no-tls on a trusted network"
        )
    if args.dashboard_address and not args.tls_cert and not args.no_tls:
        host, _port = interfaces.host_and_port(args.dashboard_address, "--dashboard-address")
        if not interfaces.is_loopback(host):
            parser.error(f"the dashboard on {host} can be reached from other machines: give --tls-cert and --tls-key, or --no-tls")
    if bool(args.tls_cert) != bool(args.tls_key):
        parser.error("--tls-cert and --tls-key go together")
    if args.tls_cert and args.no_tls:
        parser.error("--no-tls and --tls-cert exclude each other")
    token = options.read_token(args.token_file) or os.environ.get("JUPYTERFUT_TOKEN") or connections.new_token()
    if args.connection_file and not Path(args.connection_file).absolute().parent.is_dir():
        raise ConfigError(f"--connection-file: there is no directory {Path(args.connection_file).absolute().parent}")
    args.tls_ca = args.tls_ca and str(Path(args.tls_ca).absolute())  # clients that read it from the connection file are elsewhere
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_serve(args, token))


async def _serve(args: argparse.Namespace, token: str) -> int:
    from jupyterfut.runtime import logs
    from jupyterfut.runtime.process import on_stop_signals, relax_gc
    from jupyterfut.runtime.scheduler_server import Scheduler

    relax_gc()
    logs.tell_more()
    stop = asyncio.Event()
    on_stop_signals(asyncio.get_running_loop(), stop.set)
    allow_run = args.allow_run or config.settings().scheduler.allow_run == "yes"
    security = options.security(args, token)
    dashboard = None
    if args.dashboard_address:
        tls = {"cert": args.tls_cert, "key": args.tls_key} if args.tls_cert else None
        dashboard = plugins.load("dashboard", "serve")(args.dashboard_address, tls=tls)
    link = None if dashboard is None else dashboard.link
    where = {"host": args.host, "port": args.port}
    async with Scheduler(**where, security=security, name=args.name, allow_run=allow_run, dashboard=dashboard) as scheduler:
        address = scheduler.address
        infos: list[connections.ConnectionInfo] = []
        try:
            for path in dict.fromkeys((None, args.connection_file)):  # where `Client(NAME)` and 'jupyterfut cluster' look, and where it was asked for
                infos.append(connections.write_connection_file(address, token, args.name, tls_ca=args.tls_ca, dashboard=link, path=path))
            file = infos[-1].path
            print(f"scheduler {args.name!r} at {address}\nconnection file: {file}\nworkers join with: jupyterfut worker {address}", flush=True)
            if dashboard is not None:
                print(f"dashboard at {dashboard.url}, opened by: jupyterfut dashboard {args.name}", flush=True)
            finished = asyncio.create_task(scheduler.finished())
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait((finished, stopped), return_when=asyncio.FIRST_COMPLETED)
            finished.cancel()
            stopped.cancel()
        finally:
            for info in infos:
                connections.remove_connection_file(info)
    print("scheduler ended", flush=True)
    return 0
