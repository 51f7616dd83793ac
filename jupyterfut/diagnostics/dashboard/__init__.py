"""The dashboard that a scheduler's process serves itself: the panes as a page, at `http://127.0.0.1:PORT/?token=...`.

What it costs before anybody looks is one bound socket. With the first connection the web server (tornado) is imported, in a thread, and takes the
socket over; from then on it lives on the scheduler's own event loop and reads the scheduler's snapshots by reference (`diagnostics.lines`).

Who may look: whoever knows the link. The token in it is exchanged for a cookie and dropped from the address (`access`). The page only reads.
"""

from __future__ import annotations

import importlib
import os
import socket
from typing import TYPE_CHECKING, Any

from jupyterfut.config import settings
from jupyterfut.errors import ConfigError, ConnectionFailed, JupyterfutError
from jupyterfut.runtime import interfaces

if TYPE_CHECKING:
    import asyncio
    import logging

    from jupyterfut.runtime.scheduler_server import Scheduler

BACKLOG = 64


def serve(address: str | int, **options: Any) -> Dashboard | None:
    """A `Dashboard` for a scheduler that is about to start. None when it cannot be, which is logged: computing does not depend on being looked at."""
    try:
        return Dashboard(address, **options)
    except JupyterfutError as error:
        _logger().error("there is no dashboard: %s", error)
        return None


class Dashboard:
    """A door that waits for its first visitor. Binds at once, so that the `link` is known before there is a scheduler.

    address: "127.0.0.1:8787", ":8787" (loopback), "8787", 0 or ":0" (any free port), "0.0.0.0:8787" (every interface). A port that is taken is
        replaced by a free one, with a warning.
    tls: paths of certificate and key ("cert", "key"): beyond loopback the dashboard speaks https.
    kernel, session, owner: whose cluster it is, for the page.

    Raises ConfigError for what is no address, ConnectionFailed when nothing can be bound there. `begin` and `close` run on the scheduler's loop.

    >>> door = Dashboard(":0")
    >>> door.link.startswith("http://127.0.0.1:")
    True
    >>> door.abandon()
    """

    def __init__(
        self,
        address: str | int = "127.0.0.1:0",
        *,
        kernel: str = "",
        session: str = "",
        owner: str = "process",
        tls: dict[str, str] | None = None,
    ) -> None:
        host, port = interfaces.host_and_port(address)
        self.tls = tls if tls and not interfaces.is_loopback(host) else None
        self.owner = {"kernel": kernel, "session": session, "owner": owner}
        self.token = os.urandom(32).hex()
        self._sock: socket.socket | None = _bind(host, port)
        self.port: int = self._sock.getsockname()[1]
        scheme = "https" if self.tls else "http"
        self.url = f"{interfaces.join(scheme, interfaces.reachable_host(host), self.port)}/"  #: without the token
        try:
            self.link = f"{_shown_at(self.url, self.port)}?token={self.token}"
        except ConfigError:
            self._sock.close()
            raise
        self._scheduler: Scheduler | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening: asyncio.Task[None] | None = None
        self._server: Any = None

    def __repr__(self) -> str:
        return f"<Dashboard {self.url}>"

    def begin(self, scheduler: Scheduler) -> None:
        """From now on show this scheduler to whoever comes. Never blocks."""
        import asyncio

        assert self._sock is not None
        self._scheduler = scheduler
        self._loop = asyncio.get_running_loop()
        self._sock.setblocking(False)
        self._loop.add_reader(self._sock.fileno(), self._first)

    def _first(self) -> None:
        """Somebody knocks."""
        assert self._loop is not None
        assert self._sock is not None
        self._loop.remove_reader(self._sock.fileno())
        self._opening = self._loop.create_task(self._open())

    async def _open(self) -> None:
        import asyncio

        try:
            server = await asyncio.to_thread(importlib.import_module, "jupyterfut.diagnostics.dashboard.server")
        except Exception:  # noqa: BLE001  # whatever is wrong with the web server's installation: it is logged, and tasks go on
            _logger().exception("the dashboard cannot be served")
            self.abandon()
            return
        assert self._scheduler is not None
        assert self._sock is not None
        self._server = server.Server(self, self._scheduler)
        sock, self._sock = self._sock, None
        self._server.start(sock)

    async def close(self) -> None:
        """Tell the pages that it is over, and end. Takes a second at most. A second call does nothing."""
        if self._opening is not None:
            import asyncio

            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        self.abandon()
        if self._server is not None:
            server, self._server = self._server, None
            await server.close()

    def abandon(self) -> None:
        """Close the socket, if no server has it. Nothing happens if it is closed."""
        sock, self._sock = self._sock, None
        if sock is not None:
            if self._loop is not None:
                self._loop.remove_reader(sock.fileno())
            sock.close()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        why = error.strerror or str(error)
    try:
        sock = socket.create_server((host, 0), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConnectionFailed(f"the dashboard cannot listen on {host}: {error.strerror or error}") from error
    _logger().warning("the dashboard cannot listen on %s:%d (%s): it is at port %d", host, port, why, sock.getsockname()[1])
    return sock


def _shown_at(url: str, port: int) -> str:
    """Where browsers find it: where it listens, or as the setting `dashboard.link` says."""
    template = settings().dashboard.link
    if not template:
        return url
    try:
        shown = template.format(port=port, **os.environ)
    except (KeyError, IndexError, ValueError) as error:
        raise ConfigError(f"the setting dashboard.link, {template!r}, cannot be filled in: {error}") from error
    return shown if shown.endswith("/") else f"{shown}/"


def _logger() -> logging.Logger:
    import logging  # a scheduler's process has more urgent things to import

    return logging.getLogger("jupyterfut.scheduler")
