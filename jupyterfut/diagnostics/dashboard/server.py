"""The web server of a scheduler's dashboard: the page, its files, and one websocket a page. Imported with the first visitor.

It lives on the scheduler's event loop, so everything here is short; what pages are told is made, bounded and paced by the scheduler itself
(`core.scheduler.panes`) and by `diagnostics.socket`.
"""

from __future__ import annotations

import asyncio
import builtins
import logging
import os
import socket
import ssl
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.web import Application, RequestHandler, StaticFileHandler
from tornado.websocket import WebSocketHandler

from jupyterfut.comm import Security
from jupyterfut.config import settings
from jupyterfut.diagnostics.clusters import Clusters, Where, cluster_info
from jupyterfut.diagnostics.dashboard.access import Access, is_same_origin
from jupyterfut.diagnostics.socket import Page

if TYPE_CHECKING:
    from jupyterfut.diagnostics.dashboard import Dashboard
    from jupyterfut.runtime.scheduler_server import Scheduler

logger = logging.getLogger("jupyterfut.diagnostics")

STATIC = Path(__file__).with_name("static")
"""Built from labextension/src/standalone."""

OVER = 4000
"""The close code of a websocket whose scheduler has ended (labextension/src/feed/websocket.ts)."""

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self' ws: wss:; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
    "Server": "jupyterfut",
}


class Server:
    """The server of one dashboard."""

    def __init__(self, dashboard: Dashboard, scheduler: Scheduler) -> None:
        self.access = Access(dashboard.token, dashboard.port, settings().dashboard.hosts)
        self.is_tls = dashboard.tls is not None
        self.clusters = Clusters()
        info = cluster_info(
            scheduler.id, name=scheduler.name, address=scheduler.address, host=socket.gethostname(), pid=os.getpid(), started=scheduler.started,
            **dashboard.owner,
        )  # fmt: skip
        self.clusters.put(info, Where(scheduler))
        self.pages: set[Socket] = set()
        self.leaving: set[asyncio.Task[None]] = set()
        application = Application(
            [
                (r"/()", Files, {"path": STATIC, "default_filename": "index.html"}),
                (r"/socket", Socket),
                (r"/(.*)", Files, {"path": STATIC}),
            ],
            default_handler_class=Files,
            default_handler_args={"path": STATIC},
            dashboard=self,
            log_function=_log,
            websocket_ping_interval=20,
            websocket_max_message_size=1_000_000,
        )
        tls: ssl.SSLContext | None = None
        if dashboard.tls is not None:
            tls = Security(tls_cert=dashboard.tls["cert"], tls_key=dashboard.tls["key"]).listening_context()
        self._http = HTTPServer(application, ssl_options=tls, max_body_size=65536, max_header_size=65536, idle_connection_timeout=60.0)

    def start(self, sock: socket.socket) -> None:
        """Serve at this socket, which listens already."""
        self._http.add_socket(sock)

    async def close(self) -> None:
        """Say goodbye to the pages, and end."""
        self._http.stop()
        for page in list(self.pages):
            page.close(OVER, "The scheduler has closed.")
        try:
            async with asyncio.timeout(1.0):
                await self._http.close_all_connections()
        except builtins.TimeoutError:
            logger.info("a page of the dashboard did not leave in time")
        await asyncio.gather(*self.leaving)
        await self.clusters.close()


class _Guarded(RequestHandler):
    """Lets in who may look."""

    @property
    def dashboard(self) -> Server:
        server: Server = self.settings["dashboard"]
        return server

    def set_default_headers(self) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        access = self.dashboard.access
        if not access.knows_host(self.request.host):
            self._refuse(
                f"this dashboard is not known as {self.request.host!r}: open it by the machine's address, or list the name in the setting "
                "dashboard.hosts"
            )
            return
        if (token := self.get_query_argument("token", None)) is not None:
            if not access.is_token(token):
                self._refuse("the token in this link is not (or no longer) this dashboard's: each scheduler has a new one")
            elif self.request.method == "GET" and "Upgrade" not in self.request.headers:
                self._let_in(access)
            return
        if not access.is_session(self.get_cookie(access.cookie)):
            self._refuse("the link with its token opens this dashboard: `client.dashboard_link`, or `jupyterfut dashboard` in a terminal")

    def _let_in(self, access: Access) -> None:
        """The token becomes a cookie, and leaves the address."""
        self.set_cookie(access.cookie, access.session, httponly=True, samesite="Lax", secure=self.dashboard.is_tls)
        rest = [(name, value.decode()) for name, values in self.request.query_arguments.items() if name != "token" for value in values]
        self.redirect(f"./{'?' + urlencode(rest) if rest else ''}")

    def _refuse(self, why: str) -> None:
        self.set_status(403)
        self.finish(_text_page("No entry", why))

    def write_error(self, status_code: int, **more: Any) -> None:
        """What is wrong, in a page of one line."""
        self.finish(_text_page(str(status_code), self._reason))


class Files(_Guarded, StaticFileHandler):
    """The page and what belongs to it."""

    async def get(self, path: str, include_body: bool = True) -> None:
        if not path and not (STATIC / "index.html").exists():
            self.finish(
                _text_page("The page has not been built", "this installation of jupyterfut was made without the front end (JUPYTERFUT_SKIP_JS)")
            )
            return
        await super().get(path, include_body)

    def compute_etag(self) -> str | None:
        return StaticFileHandler.compute_etag(self)


class Socket(_Guarded, WebSocketHandler):
    """One page's websocket."""

    _page: Page | None = None

    def check_origin(self, origin: str) -> bool:
        return is_same_origin(origin, self.request.host)

    def open(self, *args: str, **kwargs: str) -> None:
        self._page = Page(self.dashboard.clusters, self._take)
        self.dashboard.pages.add(self)
        self._page.open()

    async def _take(self, text: str) -> None:
        await self.write_message(text)

    def on_message(self, message: str | bytes) -> None:
        if self._page is not None:
            self._page.hear(message)

    def on_close(self) -> None:
        dashboard = self.dashboard
        dashboard.pages.discard(self)
        if self._page is not None:
            task = asyncio.get_running_loop().create_task(self._page.close())
            dashboard.leaving.add(task)
            task.add_done_callback(dashboard.leaving.discard)


def _text_page(title: str, text: str) -> str:
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        f"<title>jupyterfut: {escape(title)}</title>"
        '<body style="font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:20vh auto;padding:0 1em">'
        f"<h1 style='font-size:1.2em'>{escape(title)}</h1><p>{escape(text[:1].upper() + text[1:])}.</p>"
    )


def _log(handler: RequestHandler) -> None:
    request: HTTPServerRequest = handler.request
    logger.debug("dashboard: %d %s %s (%.1f ms)", handler.get_status(), request.method, request.path, 1e3 * request.request_time())
