"""The websocket of one page: `diagnostics.socket.Page` behind the server's login.

It asks for a login and for an origin that the server allows, as the sockets of kernels do; everything on it only looks. What changes a cluster goes
through `handlers`.
"""

from __future__ import annotations

from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.websocket import WebSocketMixin
from tornado import web
from tornado.websocket import WebSocketHandler

from jupyterfut.diagnostics.socket import Page
from jupyterfut.notebook.server.handlers import LoggedIn


class PageSocket(WebSocketMixin, LoggedIn, WebSocketHandler):
    """Carries texts between a page and its `Page`."""

    _page: Page | None = None

    @ws_authenticated
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Open the socket, for who may read."""
        if not await ensure_async(self.authorizer.is_authorized(self, self.current_user, "read", self.auth_resource)):
            raise web.HTTPError(403)
        self._registry = await self.extension.registry()
        await super().get(*args, **kwargs)

    def get_compression_options(self) -> dict[str, Any]:
        """Snapshots are columns of numbers and shrink to a fifth, at little cost."""
        return {"compression_level": 1, "mem_level": 8}

    def open(self, *args: Any, **kwargs: Any) -> None:
        """The page is there."""
        super().open(*args, **kwargs)
        self._page = Page(self._registry.clusters, self.write_message)
        self.extension.pages.add(self)
        self._page.open()

    def on_message(self, message: str | bytes) -> None:
        """The page says something."""
        if self._page is not None:
            self._page.hear(message)

    def on_close(self) -> None:
        """The page is gone."""
        super().on_close()
        if self._page is not None:
            self.extension.run(self._forget(self._page))
            self._page = None

    async def _forget(self, page: Page) -> None:
        await page.close()
        self.extension.pages.discard(self)

    async def shut(self) -> None:
        """The server ends."""
        page, self._page = self._page, None
        self.close(1001, "the server ends")
        if page is not None:
            await page.close()
