"""A session's way to its scheduler: a connection of its own that outlives its streams, or, inside tasks, the stream of its worker.

`SchedulerLink` connects, and after a break connects again with growing pauses for as long as the lease lasts (`runtime.peer`); neither the machine
nor the user hears of that. `WorkerLink` shares its worker's stream and ends with it. It keeps two orders together with the worker: what a task
submitted is said before the task's own end, and the death of its futures after.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from jupyterfut.client.latches import Answer, LoopGate
from jupyterfut.client.session import Session
from jupyterfut.comm import Security
from jupyterfut.config import settings
from jupyterfut.core.client import events as ev
from jupyterfut.errors import ConnectionFailed
from jupyterfut.ids import Key
from jupyterfut.runtime.client_link import ClientLink
from jupyterfut.runtime.peer import Dialer
from jupyterfut.wire.messages import Failure, KeysFailed, Message, Reply, Request, SubmitTasks


class SchedulerLink:
    """The client's own connection. Made and used on the session's loop. `ended(reason)` is called when the session is over without the user's
    will."""

    def __init__(self, session: Session, address: str, security: Security, ended: Callable[[str], None]) -> None:
        self._session = session
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        session.local = address.startswith("inproc://")
        self._dialer = Dialer(
            address,
            on_connected=self._connected,
            on_messages=session.receive,
            on_lost=self._lost,
            security=security,
            hello={"role": "client", "name": session.machine.name},
            patience_s=settings().scheduler.lease_s,
            resumable=True,
            on_unsendable=self._unsendable,
        )

    async def open(self, timeout_s: float | None) -> None:
        """Connect, and be welcomed. Raises what `comm.connect` raises, and ConnectionFailed when the scheduler leaves before its welcome."""
        session = self._session
        session.start(self)
        gate = LoopGate()
        session.welcomed = Answer(gate.open)
        await self._dialer.connect(timeout_s if timeout_s is not None else settings().comm.connect_timeout_s)
        await gate.wait(None)
        if session.closed is not None:
            raise ConnectionFailed(session.closed)

    def _connected(self) -> None:
        """A stream stands, the first or a later one, perhaps to another scheduler at the same address."""
        stream = self._dialer.link.stream
        if stream is not None:
            self._session.cluster_id = stream.hello.get("id")
        self._session.handle(ev.Connected())

    def send(self, messages: list[Message]) -> None:
        self._dialer.link.send_now(messages)  # what one drain says is one frame already: waiting for the end of the tick would only cost time

    def cut(self, reason: str) -> None:
        self._dialer.close()
        self._session.welcomed(None, None)
        self._ended(reason)

    async def wait_closed(self) -> None:
        """After `cut`: return when everything was sent."""
        await self._dialer.wait_closed()

    def _lost(self, reason: str) -> None:
        self._session.lose(reason)
        self._session.welcomed(None, None)
        self._ended(reason)

    def _unsendable(self, message: Message, error: Exception) -> None:
        """A message that no frame can take (too large, as a rule): whoever said it gets the error, as if the scheduler had answered so."""
        answers: list[Message] = []
        if type(message) is SubmitTasks:
            answers = [KeysFailed(message.keys, [Failure("SerializationError", f"cannot be sent: {error}", None, "", key) for key in message.keys])]
        elif type(message) is Request:
            answers = [Reply(message.id, None, Failure("SerializationError", f"cannot be sent: {error}", None, "", Key("")))]
        if answers:
            self._loop.call_soon(self._session.receive, answers)


class WorkerLink:
    """The worker's stream, shared."""

    def __init__(self, session: Session, door: ClientLink, ended: Callable[[str], None]) -> None:
        self._session = session
        self._ended = ended
        self._door = door
        self._stream = door.open(session.machine.client)
        session.local = door.scheduler_address.startswith("inproc://")
        session.cluster_id = door.cluster_id

    def open(self) -> None:
        """Say hello. On the worker's loop."""
        session, door = self._session, self._door
        session.start(self)
        door.on_flush = session.drain_commands
        door.future_key = _future_key
        door.fence = session.fence
        session.before_release = door.flush_outcomes
        self._stream.start(session.receive, self._lost)
        session.handle(ev.Connected())

    def send(self, messages: list[Message]) -> None:
        self._stream.send(messages)

    def cut(self, reason: str) -> None:
        self._release()
        self._stream.close()
        self._ended(reason)

    def _lost(self, reason: str) -> None:
        self._release()
        self._session.lose(reason)
        self._ended(reason)

    def _release(self) -> None:
        if self._door.on_flush == self._session.drain_commands:
            self._door.on_flush = None
        self._session.before_release = None


def _future_key(value: object) -> Key | None:
    """For an in-process worker, whose results pass by reference: a future or an actor inside one belongs to the task's client, not to the one that
    will receive it."""
    from jupyterfut.client.actors import reference_key

    return reference_key(value)
