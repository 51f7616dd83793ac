"""Connection files: how a process finds a cluster on this machine, and the token that opens it.

The process that runs a scheduler writes one small JSON file (address, token, pid, name, ...) into the user's Jupyter runtime directory; clients, the
command line and the sidebar read them. Only their owner can read them (mode 0600), they appear whole or not at all (written beside and renamed), and
one whose process is gone is *stale*: it is not listed, and the next listing removes it.

The token of a cluster that this very process started is kept in memory (`remember_token`), so that nothing needs a file to reach its own cluster.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from jupyterfut.errors import ConnectionFailed
from jupyterfut.runtime.process import is_alive, start_mark

_PREFIX = "jupyterfut-"
_tokens: dict[str, str] = {}


class ConnectionInfo(NamedTuple):
    """What a connection file says. `repr` leaves the token out."""

    address: str  #: where the scheduler listens: `tcp://127.0.0.1:40123`
    token: str  #: what every connection must prove to know
    pid: int  #: the process that runs the scheduler
    name: str  #: the cluster's name, as `Client("name")` and `jupyterfut cluster` use it
    started: float  #: when, in seconds since 1970
    host: str  #: the machine, since home directories may be shared between machines
    pid_mark: str = ""  #: tells this process from a later one with the same pid; "" where the platform has no such mark
    kernel_id: str | None = None  #: the Jupyter kernel that started it
    session: str = ""  #: that kernel's notebook, by its path; "" where nobody tells
    kernel_file: str = ""  #: that kernel's connection file
    dashboard: str | None = None  #: the dashboard's URL
    detached: bool = False  #: outlives whoever started it
    tls_ca: str | None = None  #: path of the certificate that a client needs for a `tls://` address
    path: str = ""  #: the file itself

    def __repr__(self) -> str:
        return f"<ConnectionInfo {self.name!r} at {self.address}, pid {self.pid}>"

    @property
    def stale(self) -> bool:
        """True when the process is known to be gone. Of a process on another machine nothing is known, so it is not stale."""
        return self.host == socket.gethostname() and not is_alive(self.pid, self.pid_mark)


def runtime_dir() -> Path:
    """The directory where Jupyter keeps connection files of this user, found by Jupyter's own rules (`jupyter --runtime-dir`) without importing
    `jupyter_core`: `JUPYTER_RUNTIME_DIR`, else `runtime` in `JUPYTER_DATA_DIR`, else in the platform's data directory. It need not exist yet."""
    environ = os.environ
    if explicit := environ.get("JUPYTER_RUNTIME_DIR"):
        return Path(explicit)
    if data := environ.get("JUPYTER_DATA_DIR"):
        return Path(data) / "runtime"
    home = Path.home()
    if sys.platform == "darwin":
        platform_dirs = environ.get("JUPYTER_PLATFORM_DIRS", "").lower() in {"1", "true", "yes", "on"}
        return home / "Library" / ("Application Support/Jupyter" if platform_dirs else "Jupyter") / "runtime"
    if sys.platform == "win32":
        roaming = environ.get("APPDATA")
        return (Path(roaming) / "jupyter" if roaming else home / ".jupyter" / "data") / "runtime"
    return Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "jupyter" / "runtime"


def file_path(name: str, suffix: str) -> Path:
    """Where this process keeps a file of the cluster `name`."""
    return runtime_dir() / f"{_PREFIX}{_safe(name)}-{os.getpid()}{suffix}"


def new_token() -> str:
    """A fresh token: 256 random bits as 64 hex digits."""
    return os.urandom(32).hex()


def write_connection_file(
    address: str,
    token: str,
    name: str,
    *,
    kernel_id: str | None = None,
    session: str = "",
    kernel_file: str = "",
    dashboard: str | None = None,
    detached: bool = False,
    tls_ca: str | None = None,
    path: str | Path | None = None,
) -> ConnectionInfo:
    """Write the file for a scheduler that runs in this process, and return what it says (with its `path`).

    It goes to the runtime directory (made with mode 0700 if it is missing), or to `path`. Raises OSError when it cannot be written.
    The writer removes it with `remove_connection_file` when it ends; if it is killed, the file is stale and the next reader removes it.
    """
    target = Path(path) if path is not None else file_path(name, ".json")
    info = ConnectionInfo(
        address=address, token=token, pid=os.getpid(), name=name, started=time.time(), host=socket.gethostname(), pid_mark=start_mark(os.getpid()),
        kernel_id=kernel_id, session=session, kernel_file=kernel_file, dashboard=dashboard, detached=detached, tls_ca=tls_ca, path=str(target),
    )  # fmt: skip
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Created with mode 0600, never opened if it exists, and renamed when it is whole: no reader ever sees half a file or another mode.
    temporary = target.parent / f".jupyterfut-{os.getpid()}-{os.urandom(8).hex()}"
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({k: v for k, v in info._asdict().items() if k != "path"}, file, indent=1)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return info


def read_connection_file(path: str | Path) -> ConnectionInfo:
    """What the file says. Raises ConnectionFailed when it is missing, unreadable, or not a connection file; the text names the file."""
    try:
        raw = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConnectionFailed(f"cannot read the connection file {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ConnectionFailed(f"{path} is not a connection file: {error}") from error
    return _parse(raw, path)


def _parse(raw: Any, path: str | Path) -> ConnectionInfo:
    required = {"address": str, "token": str, "pid": int}
    if not isinstance(raw, dict):
        raise ConnectionFailed(f"{path} is not a connection file: not a JSON object")
    for field_name, kind in required.items():
        if not isinstance(raw.get(field_name), kind):
            raise ConnectionFailed(f"{path} is not a connection file: no {field_name!r} in it")
    values = {"name": "", "started": 0.0, "host": ""} | {k: v for k, v in raw.items() if k in ConnectionInfo._fields} | {"path": str(path)}
    return ConnectionInfo(**values)


def list_connection_files() -> list[ConnectionInfo]:
    """The clusters of this user, oldest first. Files of processes that are gone are removed on the way; a file that cannot be read as a
    connection file is left alone."""
    found: list[ConnectionInfo] = []
    try:
        paths = sorted(runtime_dir().glob(f"{_PREFIX}*.json"))
    except OSError:
        return found  # no directory: no clusters
    for path in paths:
        try:
            info = read_connection_file(path)
        except ConnectionFailed:
            continue  # it went away meanwhile, or is somebody else's
        if info.stale:
            path.unlink(missing_ok=True)
        else:
            found.append(info)
    return sorted(found, key=lambda info: info.started)


def remove_connection_file(info: ConnectionInfo) -> None:
    """Remove the file of a cluster that ends. No error if it is gone already."""
    Path(info.path).unlink(missing_ok=True)


def remember_token(address: str, token: str) -> None:
    """Keep the token of a cluster that this process knows, for `token_for`. In memory only."""
    _tokens[address] = token


def forget_token(address: str) -> None:
    """The cluster at `address` has ended."""
    _tokens.pop(address, None)


def token_for(address: str) -> str | None:
    """The token for a scheduler's address: from this process's memory, then from the connection files, then from `JUPYTERFUT_TOKEN`; else None."""
    if (token := _tokens.get(address)) is not None:
        return token
    for info in list_connection_files():
        if info.address == address:
            return info.token
    return os.environ.get("JUPYTERFUT_TOKEN") or None


def _safe(name: str) -> str:
    """The name with nothing in it that a file name should not hold."""
    return re.sub(r"[^A-Za-z0-9_.]+", "_", name)[:80]
