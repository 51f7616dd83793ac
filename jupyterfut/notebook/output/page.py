"""What tasks say appears under the cell that submitted them: as ordinary `stream` and `display_data` messages whose parent is the request that ran
the cell. So it is drawn, saved and exported by whatever draws, saves and exports the notebook; also when the cell has been done for long.

In comes what clients hear (`client.output`), on their loops; out go messages on the kernel's iopub channel, which take any thread and do not need the
kernel's main thread. `Pane` (in `panes`) decides what goes under one cell, and how often; here it is sent, and kept in order with what the kernel
itself says for that cell: each message of the kernel pushes what was heard before it out first.
"""

from __future__ import annotations

import itertools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

from jupyterfut.client.output import STREAMS, terminal, write
from jupyterfut.config import settings
from jupyterfut.notebook import current
from jupyterfut.notebook.current import Cell
from jupyterfut.notebook.output.panes import Pane

if TYPE_CHECKING:
    from jupyterfut.client.client import Client

logger = logging.getLogger("jupyterfut.notebook")


class Page:
    """One kernel's cells, as far as tasks say something under them. It is the clients' sink."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._kernel = shell.kernel
        self._io = getattr(self._kernel, "iopub_thread", None)
        self._lock = threading.RLock()
        self._panes: dict[str, Pane] = {}  # cell -> what is under it
        self._by_request: dict[str, Pane] = {}  # the same by the id of the request that ran the cell
        self._unfinished: dict[str, Pane] = {}  # key of a task in the middle of something -> where
        self._held: set[str] = set()  # cells about to show something that is to stand first
        self._numbers = itertools.count(1)
        self._closed = False
        self._entered = threading.local()
        self._publisher = shell.display_pub
        self._streams: list[Any] = []  # the kernel's own
        self.see_streams()
        if not hasattr(shell.displayhook, "register_hook"):  # before ipykernel 7.4
            shell.displayhook.finish_displayhook = self._finish_displayhook

    def close(self) -> None:
        """Send what is left, and let go of the kernel."""
        with self._lock:
            for pane in self._panes.values():
                pane.flush(time.monotonic(), everything=True)
            self._closed = True
        for stream in self._streams:
            self._in_io_thread(stream.unregister_hook, self._before)
        vars(self._shell.displayhook).pop("finish_displayhook", None)

    # --- from clients, on their loops

    def take(self, client: Client, key: str, cell: str, parts: list[list[Any]]) -> bool:
        """A task has said something."""
        where = current.find(cell)
        if where is None or self._closed:  # submitted before there was anybody to ask for the cell
            return terminal.take(client, key, cell, parts)
        if current.is_outdated(where):
            return False  # what it said belongs to a run that the reader has replaced
        with self._lock:
            pane = self._panes.get(cell)
            if pane is None:
                pane = self._panes[cell] = self._by_request[where.parent.get("msg_id", "")] = Pane(self, where, settings().notebook.output_chars)
        if current.is_running(where):
            parts = self._not_captured(parts)
            if not parts:
                return False
            self._flush_kernel(whether_or_not=not pane.timed and pane.is_due(time.monotonic()))
        with self._lock:
            unfinished = pane.take(key, parts)
            if unfinished:
                self._unfinished[key] = pane
            else:
                self._unfinished.pop(key, None)
            self._serve(pane, client)
        return unfinished

    def _not_captured(self, parts: list[list[Any]]) -> list[list[Any]]:
        """The cell may have led its output elsewhere (`%%capture`, `redirect_stdout`): then what its tasks say goes there, too. The other parts."""
        rest = []
        for part in parts:
            kind = part[0]
            if kind in STREAMS and not _is_kernels(getattr(sys, STREAMS[kind])):
                write(STREAMS[kind], part[1])
            elif kind == "display" and self._shell.display_pub is not self._publisher:
                transient = {"display_id": part[1]["display_id"]} if part[1].get("display_id") else {}
                publish = self._shell.display_pub.publish
                publish(part[1]["data"], part[1].get("metadata") or {}, transient=transient, update=bool(part[1].get("update")))
            else:
                rest.append(part)
        return rest

    def knows(self, cell: str) -> bool:
        """Whether there is such a cell."""
        return current.find(cell) is not None

    @contextmanager
    def under(self, cell: str) -> Iterator[None]:
        """Inside, what this thread itself writes to stdout and stderr is of this cell."""
        where = current.find(cell)
        undo = [] if where is None else [_set_parent(stream, where.parent) for stream in self._streams]
        try:
            yield
        finally:
            for reset in undo:
                reset()

    def ended(self, client: Client, key: str) -> None:
        """A task has come to its end in the middle of something."""
        with self._lock:
            pane = self._unfinished.pop(key, None)
            if pane is not None:
                pane.ended(key)
                self._serve(pane, client)
        terminal.ended(client, key)

    def left(self, client: Client) -> None:
        """The client's session is over, and its loop may be: timers that it was to keep may never ring."""
        with self._lock:
            for pane in self._panes.values():
                pane.timed = False
                pane.flush(time.monotonic(), everything=True)

    def _serve(self, pane: Pane, client: Client) -> None:
        """Send now what is due, and the rest when it is. (In documents that are checked, all of it when the cell ends, or says something itself: no
        state of a bar in between, the same messages in each run.)"""
        if pane.cell.id in self._held or (settings().notebook.display == "static" and current.is_running(pane.cell)):
            return
        now = time.monotonic()
        if not pane.timed and pane.is_due(now):
            pane.flush(now)
        if pane.pending and not pane.timed:
            pane.timed = True
            client._session.loop.call_later(pane.wait_s(now), self._rang, pane, client)

    def _rang(self, pane: Pane, client: Client) -> None:
        with self._lock:
            pane.timed = False
            if pane.cell.id not in self._held:
                pane.flush(time.monotonic())
            self._serve(pane, client)

    # --- from the kernel

    @contextmanager
    def below(self) -> Iterator[None]:
        """Inside, the running cell submits and shows something. What its tasks say meanwhile comes below that, however fast they are."""
        cell = current.current()
        if cell is None:
            yield
            return
        with self._lock:
            self._held.add(cell.id)
        try:
            yield
        finally:
            with self._lock:
                self._held.discard(cell.id)
                pane = self._panes.get(cell.id)
                if pane is not None and settings().notebook.display != "static":
                    pane.flush(time.monotonic(), everything=True)

    def flush(self, cell: Cell) -> None:
        """Send everything that has been heard for the cell. Never blocks."""
        with self._lock:
            pane = self._panes.get(cell.id)
            if pane is not None:
                pane.flush(time.monotonic(), everything=True)

    def see_streams(self) -> None:
        """Before a cell begins, stdout and stderr are the kernel's: later it may lead them elsewhere."""
        for stream in (sys.stdout, sys.stderr):
            real = _real(stream)
            if _is_kernels(real) and real not in self._streams:
                self._streams.append(real)
                self._in_io_thread(real.register_hook, self._before)

    def enter_thread(self) -> None:
        """In a thread that runs cells: what it displays is kept in order with what tasks say."""
        if getattr(self._entered, "yes", False):
            return
        self._entered.yes = True
        self._shell.display_pub.register_hook(self._before)
        if hasattr(self._shell.displayhook, "register_hook"):
            self._shell.displayhook.register_hook(self._before)

    def _before(self, message: dict[str, Any]) -> dict[str, Any]:
        """A hook of ipykernel's: called with each message before it is sent; in the thread that writes streams, and in those that run cells."""
        if not self._closed and message["header"]["msg_type"] != "update_display_data":
            with self._lock:
                pane = self._by_request.get(message["parent_header"].get("msg_id", ""))
                if pane is not None and pane.cell.id not in self._held:
                    pane.flush(time.monotonic(), everything=True)
                    pane.interrupted()
        return message

    def _finish_displayhook(self) -> None:
        """In the place of the method of that name, in kernels whose results take no hook."""
        hook = self._shell.displayhook
        if hook.msg and hook.msg["content"]["data"]:
            self._flush_kernel(whether_or_not=True)
            self._before(hook.msg)
        type(hook).finish_displayhook(hook)

    def _flush_kernel(self, *, whether_or_not: bool) -> None:
        """What the cell itself has printed until now goes first. Waits for the thread that sends it, not for the one that runs the cell. (To look
        whether there is something is enough, except when what comes next is sent at once: then that thread may be just about to send.)"""
        for stream in self._streams:
            if whether_or_not or getattr(stream, "_flush_pending", True):
                stream.flush()

    # --- to the front end

    def send(self, cell: Cell, kind: str, content: dict[str, Any]) -> None:
        """One message, as an output of the cell. Any thread."""
        session = self._kernel.session
        header = session.msg_header(kind)
        header["msg_id"] = f"{session.session}_{os.getpid()}_jupyterfut_{next(self._numbers)}"  # ipykernel's numbers are not made for several threads
        try:
            session.send(self._kernel.iopub_socket, kind, content, parent=cell.parent, header=header, ident=f"kernel.{kind}".encode())
        except Exception:  # what a task displays may be nothing that JSON can say
            logger.exception("an output of a task cannot be sent to the notebook")

    def _in_io_thread(self, fn: Any, *args: Any) -> None:
        if self._io is None:
            fn(*args)
        else:
            self._io.schedule(lambda: fn(*args))


def _real(stream: Any) -> Any:
    """The stream behind a worker's stand-in, if there is one."""
    return getattr(stream, "real", stream)


def _is_kernels(stream: Any) -> bool:
    """Whether it is one of the kernel's, which send messages."""
    return hasattr(_real(stream), "set_parent") and hasattr(_real(stream), "register_hook")


def _set_parent(stream: Any, parent: dict[str, Any]) -> Callable[[], object]:
    """Let what this thread writes to one of the kernel's streams have this parent; returns how to undo it."""
    if hasattr(stream, "set_thread_parent"):
        return partial(stream.reset_thread_parent, stream.set_thread_parent(parent))
    variable = getattr(stream, "_parent_header", None)  # before ipykernel 7.4
    return partial(variable.reset, variable.set(parent)) if isinstance(variable, ContextVar) else lambda: None
