"""The two ways from a viewer to a scheduler: a stream to its address, or, in the scheduler's own process, no stream at all.

Both take messages in `send` and hand over what comes as lists; both say once that they are lost. Over a stream a viewer speaks as a client does
(`runtime.peer`), but it never goes on with an old conversation: it holds nothing that could be lost, and a new one tells it all that it watches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from jupyterfut import comm
from jupyterfut.comm import Security
from jupyterfut.runtime.insider import InsiderDoor
from jupyterfut.runtime.peer import Link, OnLost, OnMessages
from jupyterfut.wire.messages import Message

if TYPE_CHECKING:
    from jupyterfut.runtime.scheduler_server import Scheduler


class Line(Protocol):
    """A way to a scheduler. All of it runs on one event loop."""

    def send(self, message: Message) -> None:
        """Never blocks; keeps the order. Nothing happens after the end."""

    def close(self) -> None:
        """Send what was said, then end. Nothing is handed over any more."""

    def abort(self) -> None:
        """End at once."""

    async def wait_closed(self) -> None:
        """After `close` or `abort`: return when nothing is left of it."""


async def over_stream(address: str, security: Security | None, timeout_s: float, on_messages: OnMessages, on_lost: OnLost) -> Line:
    """Connect to a scheduler. Raises ConnectionFailed, its subclasses WrongToken and HandshakeError, ValueError for a bad address."""
    stream = await comm.connect(address, security=security, hello={"role": "viewer"}, timeout_s=timeout_s)
    link = Link(on_messages, on_lost, resumable=True)
    link.attach(stream)
    return link


class InsideLine:
    """To a scheduler on this very loop: messages pass by reference, so what comes is to be read only. Also what the scheduler's server takes for the
    link to a client."""

    def __init__(self, scheduler: Scheduler, on_messages: OnMessages, on_lost: OnLost) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_messages = on_messages
        self._on_lost = on_lost
        self._inbox: list[Message] = []
        self._over = False
        self._say: Callable[[Message], None] = scheduler.add_insider(_Door(self))

    def send(self, message: Message) -> None:
        """Heard at once; the answers come later."""
        if not self._over:
            self._say(message)

    def close(self) -> None:
        """Nothing is handed over any more. (Goodbye is the viewer's to say.)"""
        self._over = True
        self._inbox = []

    abort = close

    async def wait_closed(self) -> None:
        """It is closed at once."""

    # --- what the door hears

    def told(self, message: Message) -> None:
        """The scheduler says something, in the midst of its own work: it is read when that is done."""
        if self._over:
            return
        if not self._inbox:
            self._loop.call_soon(self._deliver)
        self._inbox.append(message)

    def ended(self) -> None:
        """The scheduler has closed, or taken leave of this client."""
        if not self._over:
            self.close()
            self._loop.call_soon(self._on_lost, "the scheduler was closed")

    def _deliver(self) -> None:
        inbox, self._inbox = self._inbox, []
        if inbox:
            self._on_messages(inbox)


class _Door(InsiderDoor):
    """The server's side of an `InsideLine`."""

    def __init__(self, line: InsideLine) -> None:
        super().__init__()
        self._line = line

    def send(self, message: Message) -> None:
        self._line.told(message)

    def close(self) -> None:
        self.closed = True
        self._line.ended()
