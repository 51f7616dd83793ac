"""The notebook layer takes its place in a Jupyter kernel: once a process, when the first client is made there or the extension is loaded.

From then on each cell is known while it runs (`current`), tasks carry it in their origin, and what they say goes to the cell (`output`). Others of
the layer learn here when a cell begins and ends (`on_cell_start`, `on_cell_end`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from jupyterfut.client import origins
from jupyterfut.client import output as client_output
from jupyterfut.deploy.kernel import kernel_identity
from jupyterfut.notebook import current, live
from jupyterfut.notebook.current import Cell
from jupyterfut.notebook.errors import stopping
from jupyterfut.notebook.errors.tracebacks import Labels
from jupyterfut.notebook.held.holdings import Telling
from jupyterfut.notebook.output.page import Page

if TYPE_CHECKING:
    from jupyterfut.client.client import Client

logger = logging.getLogger("jupyterfut.notebook")

StartListener = Callable[[Cell], object]
EndListener = Callable[[Cell, Any], object]

_lock = threading.Lock()
_attached: Attached | None = None
_at_start: list[StartListener] = []
_at_end: list[EndListener] = []


class Attached:
    """The layer's place in one kernel."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.page = Page(shell)
        self.bell = stopping.SignalBell()
        self.labels = Labels(shell)
        identity = kernel_identity()
        self.telling = Telling(shell, identity) if identity is not None else None

    def take(self) -> None:
        """Begin: the cell that runs right now is the first."""
        self.shell.events.register("pre_run_cell", self._begins)
        self.shell.events.register("post_run_cell", self._ends)
        request = self._request()
        if (request.get("header") or {}).get("msg_type") == "execute_request":
            current.begin(request, int(self.shell.displayhook.prompt_count))
        origins.cell_of_call = self._cell_of_first_call
        origins.facts_of_cell = current.facts
        client_output.sink = self.page
        live.offer(self.shell)
        on_cell_end(stopping.cell_ended)
        on_cell_start(self.bell.hang)
        self.labels.begin()
        if self.telling is not None:
            on_cell_start(self.telling.cell_began)
            on_cell_end(self.telling.cell_ended)

    def leave(self) -> None:
        """End, as if it had never been there."""
        self.shell.events.unregister("pre_run_cell", self._begins)
        self.shell.events.unregister("post_run_cell", self._ends)
        origins.cell_of_call = origins.facts_of_cell = None
        client_output.sink = None
        self.page.close()
        live.withdraw(self.shell)
        off(stopping.cell_ended)
        off(self.bell.hang)
        self.bell.close()
        self.labels.end()
        if self.telling is not None:
            off(self.telling.cell_began)
            off(self.telling.cell_ended)
            self.telling.end()
        current.forget()

    def _begins(self, info: Any) -> None:
        """In the thread that runs the cell."""
        cell = current.begin(self._request(), int(self.shell.displayhook.prompt_count))
        if cell is None:
            return
        self.page.see_streams()
        self.page.enter_thread()
        origins.cell_of_call = current.id_of_call
        for fn in _at_start.copy():
            _call(fn, cell)

    def _ends(self, result: Any) -> None:
        cell = current.end(self._request())
        if cell is None:
            return
        for fn in _at_end.copy():
            _call(fn, cell, result)
        self.page.flush(cell)  # before the kernel says that the cell is done: nobody may listen afterwards

    def _request(self) -> dict[str, Any]:
        request: dict[str, Any] = self.shell.kernel.get_parent("shell")
        return request

    def _cell_of_first_call(self) -> str:
        """In the cell that was running when we came, in whose thread we have not been yet."""
        self.page.enter_thread()
        return current.id_of_call()


def below() -> AbstractContextManager[None]:
    """Inside, what tasks of the running cell say is kept back, to stand below what the cell shows. Does nothing without an ipykernel."""
    return nullcontext() if _attached is None else _attached.page.below()


def attach(client: Client | None = None) -> None:
    """Take the layer's place in this process's kernel. Called in every thread, as often as one likes; does nothing without an ipykernel.

    `client` is the one that was made; the layer serves all of them.
    """
    global _attached
    shell = _shell()
    with _lock:
        if _attached is not None and _attached.shell is not shell:
            _attached.leave()
            _attached = None
        if _attached is None and shell is not None:
            _attached = Attached(shell)
            _attached.take()
        attached = _attached
    if client is not None and attached is not None and attached.telling is not None:
        attached.telling.client_came(client)


def detach() -> None:
    """Undo `attach`: what tasks say goes to the kernel's own stdout and stderr. Does nothing if it was not attached."""
    global _attached
    with _lock:
        attached, _attached = _attached, None
    if attached is not None:
        attached.leave()


def on_cell_start(fn: StartListener) -> None:
    """Have `fn(cell)` called when a cell begins, in the thread that runs it. What it raises is logged. A second time changes nothing."""
    if fn not in _at_start:
        _at_start.append(fn)


def on_cell_end(fn: EndListener) -> None:
    """Have `fn(cell, result)` called when a cell's code has been run, well or not, in the thread that ran it. `result` is IPython's
    `ExecutionResult`. What it raises is logged. A second time changes nothing."""
    if fn not in _at_end:
        _at_end.append(fn)


def off(fn: Callable[..., object]) -> None:
    """Take an `on_cell_start` or `on_cell_end` back. Does nothing if there was none."""
    for listeners in (_at_start, _at_end):
        if fn in listeners:
            listeners.remove(fn)


def _call(fn: Callable[..., object], *args: Any) -> None:
    try:
        fn(*args)
    except Exception:  # the cell has nothing to do with it
        logger.exception("what was to be done when a cell begins or ends")


def _shell() -> Any:
    """IPython's shell, if it speaks to Jupyter the way ipykernel does."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    kernel = getattr(shell, "kernel", None)
    return shell if all(hasattr(kernel, name) for name in ("session", "iopub_socket", "get_parent")) else None
