"""What tasks print and display, on its way to whoever submitted them.

Workers say it on the topic `output:<client id>`, as `[key, origin, parts]`, before they say that the task has ended. Here it is noted in the future's
log, and handed to the sink: the terminal (or whatever else stdout and stderr are) unless the notebook layer has put one in its place.

Parts are `["out", text]`, `["err", text]`, `["display", {"data", "metadata", "display_id", "update"}]`, `["clear", wait]`, and `["end"]`: the task
has come to its end in the middle of a line. Text comes in pieces, cut anywhere.

Everything here runs on the session's loop, so nothing here may raise, or wait for anybody.
"""

from __future__ import annotations

import threading
import weakref
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

from jupyterfut.client import current
from jupyterfut.client.origins import client_and_cell
from jupyterfut.client.outlets import outlets
from jupyterfut.config import settings
from jupyterfut.core.client.state import Record
from jupyterfut.ids import Key
from jupyterfut.views.lines import Log, OpenLine, take
from jupyterfut.views.text import short_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jupyterfut.client.client import Client
    from jupyterfut.client.session import Session

STREAMS = {"out": "stdout", "err": "stderr"}
"""The names of parts that are text, and of the streams."""

_LINE_LIMIT = 64_000
"""Characters of a line that are kept back in a terminal until the line ends."""


class Sink(Protocol):
    """Where output is shown. Called on the loops of clients, several at the same time perhaps."""

    def take(self, client: Client, key: str, cell: str, parts: list[list[Any]]) -> bool:
        """A task has said something; `cell` is the second half of its origin. True: it is in the middle of something, so its end is of interest."""

    def under(self, cell: str) -> AbstractContextManager[None]:
        """Inside, what this thread itself writes to stdout and stderr is of this cell."""

    def knows(self, cell: str) -> bool:
        """Whether there is such a cell."""

    def ended(self, client: Client, key: str) -> None:
        """A task that was in the middle of something has come to its end, or will not be heard of any more."""

    def left(self, client: Client) -> None:
        """The client's session is over."""


sink: Sink | None = None
"""Put here by the notebook layer; None: the terminal."""


class Output:
    """What the tasks of one client say."""

    def __init__(self, client: Client) -> None:
        self._owner = weakref.ref(client)  # the session listens with this, and must not keep a client alive that nobody has
        self._session = client._session
        self._unfinished: set[str] = set()  # keys of tasks in the middle of something
        self._silent: set[str] = set()  # keys, and origins

    def begin(self) -> None:
        """Hear what is said from now on. Never blocks."""
        self._session.listen(f"output:{self._session.machine.client}", self._heard)
        self._session.at_end.append(self._all_ended)

    def _heard(self, said: list[Any]) -> None:
        client = self._owner()
        if client is None:
            return
        key, origin, parts = said
        record = self.note(key, parts)
        if settings().client.output == "off" or key in self._silent or origin in self._silent:
            return
        if not (terminal if sink is None else sink).take(client, key, client_and_cell(origin)[1], parts):
            self._unfinished.discard(key)
        elif key not in self._unfinished:
            self._unfinished.add(key)
            self._await_end(record)

    def silence(self, keys_or_origins: Iterable[str]) -> None:
        """What these tasks say is written down in their futures' logs, and shown nowhere."""
        self._silent.update(keys_or_origins)

    def note(self, key: str, parts: list[list[Any]]) -> Record | None:
        """In the log of the key, if a future of it is here: its record."""
        session = self._session
        with session.lock:
            record = session.state.records.get(Key(key))
            if record is not None:
                if record.log is None:
                    record.log = Log(settings().client.log_chars)
                note(record.log, parts)
        return record

    def _await_end(self, record: Record | None) -> None:
        """If a future of it is here we shall know; of the others, it tells with a part of its own."""
        if record is None:
            return
        with self._session.lock:
            if record.status == "pending":
                if record.waiters is None:
                    record.waiters = []
                record.waiters.append(self._resolved)

    def _resolved(self, record: Record) -> None:
        """The waiter of such a task."""
        client = self._owner()
        if client is not None and record.key in self._unfinished:
            self._unfinished.discard(record.key)
            (terminal if sink is None else sink).ended(client, record.key)

    def _all_ended(self, reason: str) -> None:
        """The session is over."""
        client = self._owner()
        if client is None:
            return
        unfinished, self._unfinished = self._unfinished, set()
        for key in unfinished:
            (terminal if sink is None else sink).ended(client, key)
        (terminal if sink is None else sink).left(client)


def note(log: Log, parts: list[list[Any]]) -> None:
    """Write down what can be written down: text, and the text of displays."""
    for part in parts:
        if part[0] in STREAMS:
            log.write(part[1])
        elif part[0] == "display" and not part[1].get("update"):
            log.end_line()
            log.write(f"{plain_text(part[1])}\n")
        elif part[0] in ("clear", "end"):
            log.end_line()


def plain_text(display: dict[str, Any]) -> str:
    """What a display is where there is only text."""
    data = display["data"]
    return str(data["text/plain"]) if "text/plain" in data else f"<{', '.join(data)}>"


def show_in_cell(client: Client, key: str, origin: str, parts: list[list[Any]]) -> bool:
    """Show what a task said in another way than on its topic, if it has a cell here. False: it has none."""
    cell = cell_here(origin)
    if not cell or sink is None:
        return False
    if settings().client.output != "off":
        sink.take(client, key, cell, parts)
    return True


def cell_here(origin: str) -> str:
    """The cell that an origin names, if it is one of this process's notebook; else ""."""
    client_id, cell = client_and_cell(origin)
    if not cell or sink is None or not sink.knows(cell):
        return ""
    return cell if any(client.id == client_id for client in current.open_clients()) else ""


def under_cell(origin: str) -> AbstractContextManager[object]:
    """Inside, what this thread writes to stdout and stderr goes to the cell that an origin names, if it is one of this process's notebook."""
    cell = cell_here(origin)
    return sink.under(cell) if cell and sink is not None else nullcontext()


def log_of(session: Session, record: Record) -> str:
    """`Future.log`."""
    with session.lock:
        return record.log.text() if record.log is not None else ""


class Terminal:
    """stdout and stderr of this process. Lines of two tasks do not mix: a line is written when it has ended, or its task has."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # clients may be on several loops
        self._open: dict[str, tuple[str, dict[str, OpenLine]]] = {}  # key -> prefix, and the unfinished line of each stream

    def take(self, client: Client, key: str, cell: str, parts: list[list[Any]]) -> bool:
        """Write the lines that have ended."""
        if client._session.local:  # the task shares our stdout: what it writes appears as if it had written there itself
            for part in parts:
                if part[0] in STREAMS:
                    write(STREAMS[part[0]], part[1])
                elif part[0] == "display":
                    write("stdout", f"{plain_text(part[1])}\n")
            return False
        prefix = f"[{short_key(key).rstrip('…')}] " if settings().client.output == "prefix" else ""
        for part in parts:
            if part[0] in STREAMS:
                self._write_lines(key, prefix, STREAMS[part[0]], part[1])
            elif part[0] == "display":
                self._write_lines(key, prefix, "stdout", f"{plain_text(part[1])}\n")
            elif part[0] == "end":
                self.ended(client, key)
        return key in self._open

    def _write_lines(self, key: str, prefix: str, stream: str, text: str) -> None:
        with self._lock:
            lines = self._open.pop(key, (prefix, {}))[1]
            line = lines.pop(stream, OpenLine())
            finished = take(line, text)
            if len(line.text) > _LINE_LIMIT:
                finished += f"{line.text}\n"
                line.clear()
            if line:
                lines[stream] = line
            if lines:
                self._open[key] = prefix, lines
        if finished:
            write(stream, _prefixed(prefix, finished))

    def ended(self, client: Client, key: str) -> None:
        """Write the last line, though it has no end."""
        with self._lock:
            prefix, lines = self._open.pop(key, ("", {}))
        for stream, line in lines.items():
            write(stream, _prefixed(prefix, f"{line.text}\n"))

    def left(self, client: Client) -> None:
        """Nothing of it is left here: unfinished lines were ended one by one."""


terminal = Terminal()


def _prefixed(prefix: str, lines: str) -> str:
    """The lines, each of which ends, with the prefix before each."""
    if not prefix:
        return lines
    return "".join([f"{prefix}{line}\n" for line in lines[:-1].split("\n")])


def write(stream: str, text: str) -> None:
    """Write to stdout or stderr as they are now. Never waits, never raises."""
    outlets[stream].write(text)
