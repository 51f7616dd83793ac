"""`jupyterfut cluster start|list|stop`: the clusters of this user on this machine, whatever started them."""

from __future__ import annotations

import argparse
import json
import time

from jupyterfut.cli import cluster_start
from jupyterfut.deploy import registry
from jupyterfut.runtime.connections import ConnectionInfo


def main(arguments: list[str]) -> int:
    """Run the command. Exit code 1 when a cluster to stop is not found."""
    parser = argparse.ArgumentParser("jupyterfut cluster", description="The clusters that run on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    cluster_start.add_to(commands)
    listing = commands.add_parser("list", help="list them")
    listing.add_argument("--json", action="store_true", help="as JSON, without tokens")
    stopping = commands.add_parser("stop", help="stop one, or all")
    which = stopping.add_mutually_exclusive_group(required=True)
    which.add_argument("name", nargs="?", help="the cluster's name, or its scheduler's address")
    which.add_argument("--all", action="store_true", help="stop every cluster of this user on this machine")
    args = parser.parse_args(arguments)
    if args.command == "start":
        return cluster_start.run(args)
    if args.command == "list":
        return _list(as_json=args.json)
    return _stop(registry.clusters() if args.all else [_named(args.name)])


def _named(name: str) -> ConnectionInfo:
    for info in registry.clusters():
        if info.address == name:
            return info
    return registry.find(name)


def _list(*, as_json: bool) -> int:
    clusters = registry.clusters()
    if as_json:
        shown = ("name", "address", "pid", "started", "kernel_id", "detached", "path")  # the dashboard's link has a token in it
        print(json.dumps([{field: getattr(info, field) for field in shown} for info in clusters], indent=1))
        return 0
    if not clusters:
        print("no cluster runs on this machine")
        return 0
    rows = [("NAME", "ADDRESS", "PID", "AGE", "BELONGS TO")]
    for info in clusters:
        owner = "itself" if info.detached else f"kernel {info.kernel_id}" if info.kernel_id else "its process"
        rows.append((info.name, info.address, str(info.pid), _age(time.time() - info.started), owner))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _stop(clusters: list[ConnectionInfo]) -> int:
    for info in clusters:
        ended = registry.stop(info)
        print(f"{info.name}: " + ("stopped" if ended else "did not end when asked: killed"))
    return 0


def _age(seconds: float) -> str:
    """How long ago, in one unit.

    >>> _age(5), _age(150), _age(7200), _age(200_000)
    ('5 s', '2 min', '2 h', '2 d')
    """
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(max(0, seconds))} s"
