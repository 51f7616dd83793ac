"""The invisible link between forms and the page: one anywidget model a kernel, opened without a view.

Its module (`link.js`) runs as soon as a page has fetched the model. It looks for elements of this kernel's forms and asks for them (`want`); from
then on it is sent what changes, puts buttons where somebody listens, and sends back what they are to do. All of that goes around the kernel's main
thread: the way out is the kernel's socket, which takes messages from any thread; the way in is a subshell (JupyterLab 4.4, Notebook 7.4,
ipykernel 7). After a page is reloaded the model is fetched again, and asks again.

Where anywidget is missing, or no page fetches widgets, nobody ever says hello, and forms move by `update_display` alone.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from importlib.resources import files
from typing import Any

logger = logging.getLogger("jupyterfut.notebook")

SILENCE_S = 3.0
"""Whoever was asked whether he is there, and says nothing for so long, is not."""

ASK_S = 15.0
"""Whoever was not heard for so long is asked. (Not more often: each message from the page makes JupyterLab show the kernel as idle for a moment.)"""

Act = Callable[[str, str, dict[str, Any]], None]


class Link:
    """The kernel's side. `wanted` is called with the ids that a page asks for, `act` with (form, what, arguments) of a button."""

    def __init__(self, wanted: Callable[[Iterable[str]], None], act: Act) -> None:
        self.id = uuid.uuid4().hex[:12]  # forms of this kernel have names that begin so
        self._wanted = wanted
        self._act = act
        self._lock = threading.Lock()
        self._opened = False
        self._widget: Any = None
        self._seen: set[str] = set()  # forms that a page has asked for
        self._heard_at = 0.0
        self._asked_at = 0.0  # 0: nobody was asked whether he is there since the last time that we heard anything

    def open(self) -> None:
        """Open it, once. Returns at once: to import what it takes, a moment's work, is left to a thread."""
        with self._lock:
            if self._opened:
                return
            self._opened = True
        threading.Thread(target=self._open, name="jupyterfut-link", daemon=True).start()

    def _open(self) -> None:
        try:
            make = _widget_class()
        except ImportError:
            return  # no anywidget: forms move by `update_display`
        try:
            widget = make(key=self.id)
            widget.on_msg(self._hear)
            past_the_cell(widget)
            self._widget = widget
        except Exception:  # computing goes on without buttons
            logger.exception("the forms' link to the page could not be opened")

    def reaches(self, form: str) -> bool:
        """Whether a page shows this form, as far as we know."""
        if form not in self._seen:
            return False
        return not self._asked_at or time.monotonic() - self._asked_at < SILENCE_S

    def push(self, fragments: dict[str, str]) -> None:
        """Send forms as they are now. From time to time the page is asked to say that it is there."""
        now = time.monotonic()
        message: dict[str, Any] = {"t": "push", "now": time.time(), "forms": fragments}
        if not self._asked_at and now - self._heard_at > ASK_S:
            self._asked_at = now
            message["ask"] = True
        self._send(message)

    def forget(self, form: str) -> None:
        """It is not shown any more."""
        self._seen.discard(form)

    def close(self) -> None:
        """The model goes from the pages."""
        widget, self._widget = self._widget, None
        if widget is not None:
            widget.close()

    def _send(self, message: dict[str, Any]) -> None:
        if self._widget is not None:
            self._widget.send(message)

    def _hear(self, widget: Any, content: dict[str, Any], buffers: Any) -> None:
        """A page says something. On a subshell's thread, or, where there are none, on the main one."""
        self._heard_at, self._asked_at = time.monotonic(), 0.0
        kind = content.get("t")
        if kind in ("hello", "want"):
            ids = [one for one in content.get("ids", ()) if isinstance(one, str)]
            if kind == "hello":
                self._send({"t": "welcome", "now": time.time()})
            self._seen.update(ids)
            self._wanted(ids)
        elif kind == "do":
            self._act(str(content.get("form")), str(content.get("do")), dict(content.get("args") or {}))

    def gone(self, ids: list[str]) -> None:
        """Tell the page that these forms are not followed any more."""
        self._seen.difference_update(ids)
        self._send({"t": "gone", "ids": ids})


def esm(name: str = "link.js") -> str:
    """The page's side, as a module's text."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _widget_class() -> Any:
    """Made late: importing ipywidgets takes a tenth of a second, and only who shows a form needs it."""
    import anywidget
    import traitlets

    class LinkModel(anywidget.AnyWidget):  # type: ignore[misc]  # anywidget is taken as Any
        _esm = esm()
        key = traitlets.Unicode().tag(sync=True)

    return LinkModel


def past_the_cell(widget: Any) -> None:
    """Let what a page says to this widget be handled where the page sends it: on a subshell, past the cell that runs.

    ipykernel 7.4 hands it to the shell that last wrote to the comm instead: with ours, which are written to from threads, always to the main one.
    """
    if hasattr(widget.comm, "_reply_subshell_for"):
        widget.comm._reply_subshell_for = _where_it_was_sent


def _where_it_was_sent(data: Any, default: Any) -> Any:
    return default
