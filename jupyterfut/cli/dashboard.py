"""`jupyterfut dashboard [NAME]`: opens the dashboard of a cluster that runs on this machine, or prints its link."""

from __future__ import annotations

import argparse
import sys

from jupyterfut.deploy import registry
from jupyterfut.errors import ConnectionFailed
from jupyterfut.runtime.connections import ConnectionInfo


def main(arguments: list[str]) -> int:
    """Run the command. Raises ConnectionFailed when there is no such cluster, or it has no dashboard."""
    parser = argparse.ArgumentParser(
        "jupyterfut dashboard", description="Open the dashboard of a cluster on this machine. The link holds a token: who has it may look."
    )
    parser.add_argument("name", nargs="?", help="the cluster's name, or its scheduler's address; not needed while only one runs")
    parser.add_argument("--print", action="store_true", dest="only_print", help="print the link, and open no browser")
    args = parser.parse_args(arguments)
    info = _chosen(args.name)
    if not info.dashboard:
        raise ConnectionFailed(f"the cluster {info.name!r} has no dashboard (the setting dashboard.address, or --dashboard-address)")
    if args.only_print or not _open(info.dashboard):
        print(info.dashboard)
    else:
        print(f"the dashboard of {info.name!r} is open in the browser", file=sys.stderr)
    return 0


def _chosen(name: str | None) -> ConnectionInfo:
    clusters = registry.clusters()
    if name is None:
        if len(clusters) == 1:
            return clusters[0]
        running = ", ".join(repr(info.name) for info in clusters) or "none"
        raise ConnectionFailed(f"say which cluster is meant (running on this machine: {running})")
    for info in clusters:
        if info.address == name:
            return info
    return registry.find(name)


def _open(link: str) -> bool:
    """Whether there is a browser, which now shows the link."""
    import webbrowser

    return webbrowser.open(link)
