"""What a nanny tells its worker process, and the start of that process.

Kept apart from the nanny and free of heavy imports, so that a host can start its worker processes before it has imported the rest of itself.
"""

from __future__ import annotations

import os
import socket
import subprocess
from typing import Any, Protocol

from jupyterfut.runtime import child

MODULE = "jupyterfut.runtime.worker_main"


class _HasTls(Protocol):
    @property
    def tls_cert(self) -> str | None: ...
    @property
    def tls_key(self) -> str | None: ...
    @property
    def tls_ca(self) -> str | None: ...


def tls_settings(security: _HasTls) -> dict[str, str] | None:
    """The TLS files of a `Security`, as a child is told of them; None when it uses none."""
    files = {"cert": security.tls_cert, "key": security.tls_key, "ca": security.tls_ca}
    return {name: path for name, path in files.items() if path} or None


def worker_settings(
    scheduler_address: str,
    *,
    token: str | None,
    name: str,
    nthreads: int,
    memory_limit_bytes: int,
    resources: dict[str, float] | None = None,
    host: str | None = None,
    port: int = 0,
    tls: dict[str, str] | None = None,
    local_directory: str | None = None,
    config: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """The one line of JSON that `runtime.worker_main` reads from its stdin. `config` is `Settings.to_dict()`."""
    return {
        "scheduler": scheduler_address,
        "token": token,
        "name": name,
        "nthreads": nthreads,
        "memory_limit": memory_limit_bytes,
        "resources": resources or {},
        "host": host,
        "port": port,
        "tls": tls,
        "local_directory": local_directory,
        "config": config,
        "nanny": f"{socket.gethostname()}-{os.getpid()}-{name}",  # by which the scheduler knows who supervises it
    }


def spawn_worker(spec: dict[str, Any], env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a worker process, with `env` added to this process's environment. Returns at once."""
    return child.spawn(MODULE, spec, title=f"jupyterfut worker {spec['name']}", env=env, output_pipes=True)
