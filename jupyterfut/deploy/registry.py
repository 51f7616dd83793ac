"""The clusters that run on this machine, whoever started them: found through their connection files, stopped by their process.

`Client("name")`, `jupyterfut cluster` and the sidebar look here. Only clusters of the same user can be seen, since only their owner reads the files.
"""

from __future__ import annotations

import os
import signal
import socket
import sys

from jupyterfut.errors import ConnectionFailed
from jupyterfut.runtime import connections
from jupyterfut.runtime.connections import ConnectionInfo
from jupyterfut.runtime.process import is_alive, wait_gone


def clusters() -> list[ConnectionInfo]:
    """What runs on this machine, oldest first."""
    here = socket.gethostname()
    return [info for info in connections.list_connection_files() if info.host == here]


def find(name: str) -> ConnectionInfo:
    """The cluster with this name. Raises ConnectionFailed when there is none, or more than one: then the text lists their pids and addresses."""
    known = clusters()
    found = [info for info in known if info.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        which = ", ".join(f"pid {info.pid} at {info.address}" for info in found)
        raise ConnectionFailed(f"{len(found)} clusters on this machine are called {name!r} ({which}): use the address of one")
    running = ", ".join(repr(info.name) for info in known) or "none"
    raise ConnectionFailed(f"no cluster called {name!r} runs on this machine (running: {running})")


def stop(info: ConnectionInfo, timeout_s: float = 15.0) -> bool:
    """End a cluster on this machine: ask its process, kill it if it has not ended after `timeout_s` seconds. Blocks until it is gone.

    Returns False when it had to be killed. Its workers end with it either way. Raises PermissionError when it is somebody else's.
    """
    if not is_alive(info.pid, info.pid_mark):
        connections.remove_connection_file(info)
        return True
    os.kill(info.pid, signal.SIGTERM)
    ended = wait_gone(info.pid, timeout_s, info.pid_mark)
    if not ended:
        os.kill(info.pid, signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
        wait_gone(info.pid, timeout_s, info.pid_mark)
    connections.remove_connection_file(info)
    return ended
