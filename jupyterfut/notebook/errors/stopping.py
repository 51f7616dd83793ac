"""Stop: a cell that is interrupted while it waits takes back what it has submitted.

The rule is that of the notebook's stop button: it stops the cell. If the interrupt came out of a wait of ours (`result()`, `await`, `gather`, `wait`,
`as_completed`, `%gather`, `--wait`), all unfinished tasks of that cell are cancelled, with those that they have submitted, and process workers
interrupt those that run. What other cells have begun goes on, and so does everything if the cell was interrupted in code of its own, or has caught
the `KeyboardInterrupt` itself. One line under the cell says what was cancelled.

A cell with `await` is interrupted by ipykernel, which cancels it; but its loop may sleep on until something else wakes it, so we let signals wake it
(`SignalBell`).
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any

from jupyterfut.client.current import open_clients
from jupyterfut.client.origins import SEPARATOR
from jupyterfut.client.timeouts import Deadline
from jupyterfut.errors import JupyterfutError
from jupyterfut.serde.tracebacks import CAME_FROM_A_WAIT, is_ours

if TYPE_CHECKING:
    from jupyterfut.client.client import Client
    from jupyterfut.notebook.current import Cell

logger = logging.getLogger("jupyterfut.notebook")

ANSWER_S = 5.0
"""So long the scheduler may take to answer; a second interrupt ends the wait."""

_telling: set[asyncio.Task[None]] = set()


def cell_ended(cell: Cell, result: Any) -> None:
    """The listener for `attach.on_cell_end`."""
    error = getattr(result, "error_in_exec", None)
    if not isinstance(error, (KeyboardInterrupt, asyncio.CancelledError)) or not came_from_a_wait(error):
        return
    for client in open_clients():
        args = {"origin": f"{client.id}{SEPARATOR}{cell.id}", "reason": "its cell was interrupted"}
        if client.asynchronous:
            task = client.loop.create_task(_cancel_async(client, args))
            _telling.add(task)
            task.add_done_callback(_telling.discard)
            continue
        try:
            answer = client._session.ask_blocking("cancel_origin", args, Deadline(ANSWER_S))
        except JupyterfutError as trouble:
            _say(f"Interrupted, but the tasks of this cell could not be cancelled: {trouble}")
        else:
            _say(what_was_cancelled(answer))


async def _cancel_async(client: Client, args: dict[str, Any]) -> None:
    try:
        answer = await client._session.ask("cancel_origin", args, Deadline(ANSWER_S))
    except JupyterfutError as trouble:
        _say(f"Interrupted, but the tasks of this cell could not be cancelled: {trouble}")
    else:
        _say(what_was_cancelled(answer))


def what_was_cancelled(answer: dict[str, Any]) -> str:
    """One line, or "" if there was nothing.

    >>> what_was_cancelled({"tasks": 12, "running": 2, "names": {"inc": 9, "add": 3}})
    'Interrupted: cancelled 12 tasks of this cell (9 inc, 3 add), of which 2 were at work.'
    >>> what_was_cancelled({"tasks": 0, "running": 0, "names": {}})
    ''
    """
    number, running, names = answer["tasks"], answer["running"], answer["names"]
    if not number:
        return ""
    parts = [f"{count} {name}" if number > 1 else name for name, count in list(names.items())[:4]]
    if len(names) > 4:
        parts.append(f"{len(names) - 4} more names")
    work = f", of which {running} {'was' if running == 1 else 'were'} at work" if number > 1 and running else ""
    return f"Interrupted: cancelled {number} task{'s' if number > 1 else ''} of this cell ({', '.join(parts)}){work}."


def came_from_a_wait(error: BaseException | None) -> bool:
    """Whether the interrupt reached the user's code out of ours."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if CAME_FROM_A_WAIT in vars(error):
            return True
        tb: TracebackType | None = error.__traceback__
        while tb is not None:
            if is_ours(tb.tb_frame.f_code.co_filename):
                return True
            tb = tb.tb_next
        error = error.__cause__ or error.__context__  # an `await` that is interrupted is cancelled first
    return False


class SignalBell:
    """Wakes the main thread's event loop when a signal has come."""

    def __init__(self) -> None:
        self._ends: tuple[socket.socket, socket.socket] | None = None
        self._hung = False

    def hang(self, cell: Cell) -> None:
        """The listener for `attach.on_cell_start`: the first time that it is called in the main thread, where a loop runs, it begins."""
        if self._hung or threading.current_thread() is not threading.main_thread():
            return
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._hung = True
        heard, rung = socket.socketpair()
        heard.setblocking(False)
        rung.setblocking(False)
        before = signal.set_wakeup_fd(rung.fileno(), warn_on_full_buffer=False)
        if before != -1:  # somebody does that already
            signal.set_wakeup_fd(before)
            heard.close()
            rung.close()
            return
        self._ends = heard, rung
        self._loop.add_reader(heard, self._drain)

    def _drain(self) -> None:
        if self._ends is not None:
            self._ends[0].recv(4096)

    def close(self) -> None:
        """Undo it. In the main thread."""
        if self._ends is not None:
            (heard, rung), self._ends = self._ends, None
            if signal.set_wakeup_fd(-1) != rung.fileno():
                logger.warning("somebody else has taken the wake-up descriptor for signals, and loses it")
            self._loop.remove_reader(heard)
            heard.close()
            rung.close()


def _say(line: str) -> None:
    if line:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
