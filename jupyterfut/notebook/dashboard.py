"""Panes of the dashboard as a notebook's output: `client.dashboard("task-stream")`.

The output is an anywidget whose module (labextension/src/output) draws the panes that JupyterLab's tabs show. The widget's comm carries what a page
and its server say to each other elsewhere over a websocket (`diagnostics.socket`); the kernel is the server. Its side lives on the clients' event
loop, and messages of the page are handled on a subshell, so panes move while a cell runs. Only those that are in sight are told anything.

    page -> kernel   {"t": "hello", "page": id}       a page begins to look; also in answer to "who"
                     {"t": "text", "page": id, "text": ...}
                     {"t": "ack", "page": id, "n": n} all texts up to the n-th have come
                     {"t": "bye", "page": id}
    kernel -> page   {"t": "text", "page": id, "n": n}, with the text as a buffer
                     {"t": "who", "page": id}         we know no such page (any more)
                     {"t": "over", "text": why}       to all pages: nothing will come any more

A page that does not say `ack` any more is gone (nobody tells a kernel that a browser was closed): it is told less, and then nothing.
"""

from __future__ import annotations

import asyncio
import builtins
import logging
import socket
from collections.abc import Callable
from html import escape
from importlib.resources import files
from typing import Any

from jupyterfut.client import loops
from jupyterfut.client.client import Client
from jupyterfut.client.terminal import in_notebook
from jupyterfut.config import settings
from jupyterfut.diagnostics.clusters import Clusters, Where, cluster_info
from jupyterfut.diagnostics.socket import Page
from jupyterfut.errors import ClosedError
from jupyterfut.notebook.live.link import past_the_cell
from jupyterfut.views.style import PLAIN, piece

logger = logging.getLogger("jupyterfut.notebook")

WINDOW = 100
"""So many texts may be on their way to a page."""
STALLED_S = 2.0
"""A page that has taken none of them for so long gets one text in this time,"""
GONE_S = 60.0
"""and after so long nothing any more, until it says something."""
PAGES = 8
"""So many pages may look at one output."""

LEAST_HEIGHT = 100


class Dashboard:
    """Panes of one cluster, as an output. Made by `Client.dashboard`."""

    def __init__(self, client: Client, panes: tuple[str, ...], height: int | None) -> None:
        for pane in panes:
            if not isinstance(pane, str):
                raise TypeError(f"panes are named, such as 'task-stream', not {pane!r}")
        if height is not None and (type(height) is not int or height < LEAST_HEIGHT):
            raise ValueError(f"height is a number of pixels, at least {LEAST_HEIGHT}, not {height!r}")
        if client._session.closed is not None:
            raise ClosedError(client._session.closed)
        self.panes = panes or ("overview",)
        self.height = height
        self._name = getattr(client.cluster, "name", "") or client.address
        self._url = client.dashboard_link.partition("?")[0]  # what stands in documents opens nothing
        self._client = client
        self._widget: Any = None

    def __repr__(self) -> str:
        return f"<Dashboard of {self._name!r}: {', '.join(self.panes)}>"

    def _repr_html_(self) -> str:
        static = settings().notebook.display == "static"
        where = "" if static or not self._url else f'<div class="jf-why">The dashboard is at <a href="{escape(self._url)}">{escape(self._url)}</a>'
        if where:
            where += "; <code>client.dashboard_link</code> opens it.</div>"
        told = f"<div><b>Dashboard</b> of {escape(self._name)}: {escape(', '.join(self.panes))}</div>"
        return piece("chip", f"{told}{where}", PLAIN, f"Dashboard of {self._name}")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        """The widget, where there can be one; text and HTML for documents."""
        plain = {"text/plain": repr(self), "text/html": self._repr_html_()}
        if not in_notebook() or settings().notebook.display == "static":
            return plain
        try:
            widget = self.widget
        except ImportError:
            hint = '<div class="jf-why">It moves in the notebook once anywidget is installed: <code>%pip install anywidget</code></div>'
            return {**plain, "text/html": plain["text/html"] + hint}
        bundle = widget._repr_mimebundle_()
        shown, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return ({**shown, **plain}, metadata) if shown else plain

    @property
    def widget(self) -> Any:
        """The ipywidgets model, to be put into layouts of one's own; made with the first use. Raises ImportError without anywidget."""
        if self._widget is None:
            self._widget = _make_widget(self.panes, self.height, self._name)
            self._widget.join(Kernel(self._client, self._widget.send))
        return self._widget

    def close(self) -> None:
        """It shows nothing any more."""
        widget, self._widget = self._widget, None
        if widget is not None:
            widget.close()


def show(client: Client, panes: tuple[str, ...], height: int | None) -> Dashboard:
    """See `Client.dashboard`."""
    return Dashboard(client, panes, height)


class Kernel:
    """The kernel's side of one output. `send(content, buffers=)` goes to the pages; what they say comes to `hear`. Both from any thread."""

    def __init__(self, client: Client, send: Callable[..., object]) -> None:
        self._thread = loops.acquire()
        self._send = send
        self._carriers: dict[str, _Carrier] = {}
        self._closed = False
        self._jobs: set[asyncio.Task[None]] = set()
        target = client._target
        owner = getattr(client.cluster, "name", "") or client.address
        self._info = cluster_info("cluster", name=owner, address=client.address, host=socket.gethostname())
        self._where = Where(client.address, target.security)
        self._clusters: Clusters | None = None
        client._session.at_end.append(lambda reason: self._thread.call_soon(self._over, reason))

    def hear(self, content: Any) -> None:
        """A page says something."""
        if isinstance(content, dict) and isinstance(content.get("page"), str):
            self._thread.call_soon(self._heard, content)

    def close(self) -> None:
        """The output is gone. A second call does nothing."""
        self._thread.call_soon(self._over, "the output was closed")

    # --- on the loop

    def _heard(self, content: dict[str, Any]) -> None:
        if self._closed:
            return
        name, kind = content["page"], content.get("t")
        carrier = self._carriers.get(name)
        if kind == "hello":
            if carrier is not None:
                self._drop(name)
            if self._clusters is None:
                self._clusters = Clusters()
                self._clusters.put(self._info, self._where)
            while len(self._carriers) >= PAGES:
                self._drop(next(iter(self._carriers)))
            self._carriers[name] = _Carrier(name, self._clusters, self._send)
        elif kind == "bye":
            self._drop(name)
        elif carrier is None:
            self._send({"t": "who", "page": name})
        elif carrier.heard(content):
            self._drop(name)
            self._send({"t": "who", "page": name})

    def _drop(self, name: str) -> None:
        carrier = self._carriers.pop(name, None)
        if carrier is not None:
            self._start(carrier.page.close())

    def _over(self, reason: str) -> None:
        if not self._closed:
            self._closed = True
            self._send({"t": "over", "text": reason})
            self._start(self._end())

    async def _end(self) -> None:
        for carrier in self._carriers.values():
            await carrier.page.close()
        self._carriers.clear()
        if self._clusters is not None:
            await self._clusters.close()
        await asyncio.gather(*self._jobs - {asyncio.current_task()}, return_exceptions=True)
        loops.release(self._thread)

    def _start(self, job: Any) -> None:
        task = asyncio.get_running_loop().create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)


class _Carrier:
    """Texts to and from one page."""

    def __init__(self, name: str, clusters: Clusters, send: Callable[..., object]) -> None:
        self._name = name
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._sent = self._taken = 0
        self._heard_at = self._loop.time()
        self._room = asyncio.Event()
        self._gone = False
        self.page = Page(clusters, self._carry)
        self.page.open()

    def heard(self, content: dict[str, Any]) -> bool:
        """The page says something. Returns whether it had been given up."""
        self._heard_at = self._loop.time()
        if content.get("t") == "text":
            self.page.hear(str(content.get("text")))
        elif content.get("t") == "ack" and type(content.get("n")) is int:
            self._taken = max(self._taken, content["n"])
            self._room.set()
        return self._gone

    async def _carry(self, text: str) -> None:
        self._sent += 1
        self._send({"t": "text", "page": self._name, "n": self._sent}, buffers=[text.encode()])
        if self._sent - self._taken < WINDOW:
            return
        self._room.clear()
        try:
            async with asyncio.timeout(STALLED_S):
                await self._room.wait()
        except builtins.TimeoutError:
            if self._loop.time() - self._heard_at > GONE_S:
                self._gone = True
                raise ConnectionError("the page does not answer") from None


def _make_widget(panes: tuple[str, ...], height: int | None, name: str) -> Any:
    """Made late: importing ipywidgets takes a tenth of a second."""
    import anywidget
    import traitlets

    static = files("jupyterfut.diagnostics.dashboard").joinpath("static")
    module = static.joinpath("output.js")
    if not module.is_file():
        raise ImportError("this installation of jupyterfut was made without the front end (JUPYTERFUT_SKIP_JS)")

    class DashboardWidget(anywidget.AnyWidget):  # type: ignore[misc]  # anywidget is taken as Any
        _esm = module.read_text(encoding="utf-8")
        _css = static.joinpath("output.css").read_text(encoding="utf-8")
        panes = traitlets.List(traitlets.Unicode()).tag(sync=True)
        height = traitlets.Int(0).tag(sync=True)
        cluster = traitlets.Unicode().tag(sync=True)
        memory = traitlets.Dict().tag(sync=True)  # what panes remember

        def join(self, kernel: Kernel) -> None:
            """Let the pages of this model speak with the kernel's side."""
            self._kernel = kernel
            past_the_cell(self)
            self.on_msg(lambda widget, content, buffers: kernel.hear(content))

        def close(self) -> None:
            self._kernel.close()
            super().close()

    return DashboardWidget(panes=list(panes), height=height or 0, cluster=name)
