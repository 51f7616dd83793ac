"""The sidebar of a page as a user meets it: cards of clusters, the form for a new one, the list of panes. For tests.

What it does it does with mouse and keyboard; what it waits for is what can be seen. Clusters are known by their names.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from browser import lab

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, WebSocket

_ACTIVATE = "() => window.jupyterapp.shell.activateById('jupyterfut-sidebar')"
_OPEN_PANES = """() => [...window.jupyterapp.shell.widgets(window.jupyterapp.name === 'JupyterLab' ? 'main' : 'down')]
  .filter(widget => widget.id.startsWith('jupyterfut-pane-')).map(widget => widget.title.label)"""
_CLOSE_ALL = """() => {
  for (const widget of [...window.jupyterapp.shell.widgets('main')]) widget.dispose();
}"""


class Sidebar:
    """The sidebar of a page, opened."""

    def __init__(self, page: Page) -> None:
        self.page = page
        page.evaluate(_ACTIVATE)
        self.node = page.locator("#jupyterfut-sidebar")
        self.node.wait_for()

    def card(self, name: str) -> Locator:
        """The card of a cluster."""
        return self.node.locator(".jf-cluster").filter(has=self.page.locator(".jf-cluster-title").get_by_text(name, exact=True))

    @property
    def names(self) -> list[str]:
        """The clusters, from the top."""
        return self.node.locator(".jf-cluster-title").all_inner_texts()

    @property
    def current(self) -> Locator:
        """The card of the cluster at hand."""
        return self.node.locator(".jf-cluster.jf-mod-current")

    def wait_current(self, name: str) -> None:
        """Until this cluster is at hand."""
        self.current.locator(".jf-cluster-title").get_by_text(name, exact=True).wait_for()

    def wait_gone(self, name: str) -> None:
        """Until the cluster has left the list."""
        self.card(name).wait_for(state="detached")

    def wait_workers(self, name: str, workers: int) -> None:
        """Until the cluster says that it has so many workers."""
        self.card(name).locator(".jf-cluster-line").filter(has_text=re.compile(rf"^{workers} workers?\b")).wait_for()

    def form(self) -> Locator:
        """The form of the dialog that opens, once it has taken the focus: what is typed before may land in its first field."""
        self.page.wait_for_function("() => document.activeElement?.matches('.jf-form input')")
        return self.page.locator(".jf-form")

    def start(self, name: str, **fields: str) -> None:
        """Start a cluster with the form, as someone who types; returns when it has workers."""
        self.page.locator("[data-command='jupyterfut:start-cluster']").first.click()
        form = self.form()
        for field, text in {"name": name, **fields}.items():
            form.locator(f"input[name='{field}']").fill(text)
        self.page.locator(".jf-dialog .jp-mod-accept").click()
        self.card(name).locator(".jf-cluster-line").filter(has_text=re.compile(r"^[1-9]\d* workers?\b")).wait_for()

    def choose(self, name: str) -> None:
        """Point at a cluster."""
        self.card(name).locator(".jf-cluster-name").click()

    def press(self, name: str, action: str) -> None:
        """One of the buttons below the cluster at hand."""
        self.card(name).get_by_role("button", name=action, exact=True).click()

    def menu(self, name: str, entry: str) -> None:
        """An entry of a cluster's context menu."""
        self.card(name).locator(".jf-cluster-line").click(button="right")
        self.page.locator(".lm-Menu-itemLabel").get_by_text(entry, exact=True).click()

    def accept(self) -> None:
        """Say yes to the dialog that asks."""
        self.page.locator(".jp-Dialog .jp-mod-warn, .jp-Dialog .jp-mod-accept").last.click()

    def open_pane(self, title: str) -> Locator:
        """Click a pane in the list; returns its tab's content when it is drawn."""
        self.node.locator(".jf-panes button").filter(has_text=re.compile(f"^{re.escape(title)}$")).click()
        return self.pane(title)

    def pane(self, title: str) -> Locator:
        """The content of the tab that is shown of this pane."""
        name = self.node.locator(".jf-panes button").filter(has_text=re.compile(f"^{re.escape(title)}$")).get_attribute("data-pane")
        pane = self.page.locator(f".jf-tab[id^='jupyterfut-pane-{name}-']:not(.lm-mod-hidden)")
        pane.wait_for()
        return pane

    @property
    def open_panes(self) -> list[str]:
        """The titles of the tabs with panes."""
        return list(self.page.evaluate(_OPEN_PANES))

    def close_everything(self) -> None:
        """Close all dialogs and tabs, without a question."""
        for dialog in reversed(self.page.locator(".jp-Dialog").all()):
            dialog.press("Escape")
        self.page.evaluate(_CLOSE_ALL)

    def screenshot(self, name: str) -> Path:
        """A picture of the window, below `lab.SCREENSHOTS`."""
        lab.SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        file = lab.SCREENSHOTS / f"{name}.png"
        self.page.screenshot(path=file)
        return file


class Requests:
    """What a page asks of kernels from now on: counts messages to execute something."""

    def __init__(self, page: Page) -> None:
        self.executed = 0
        page.on("websocket", self._see)

    def _see(self, socket: WebSocket) -> None:
        if "/channels" in socket.url:
            socket.on("framesent", self._count)

    def _count(self, payload: Any) -> None:
        data = payload if isinstance(payload, bytes) else str(payload).encode()
        self.executed += b'"execute_request"' in data
