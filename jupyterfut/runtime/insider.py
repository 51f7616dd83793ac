"""A client of the scheduler in the scheduler's own process: asks and listens without a socket.

Whoever starts and ends the workers of a cluster lives beside its scheduler and has questions, such as whom to retire. They take the road of every
other client's, so the machine has no second door. It joins with the first question and leaves with `close`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jupyterfut import errors
from jupyterfut.errors import ClosedError, JupyterfutError
from jupyterfut.ids import ClientId
from jupyterfut.wire.messages import ClientHello, Failure, Goodbye, Message, Notices, Reply, Request

if TYPE_CHECKING:
    from jupyterfut.runtime.scheduler_server import Scheduler


class Insider:
    """One such client. Everything happens on the scheduler's loop."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._door: InsiderDoor | None = None

    async def ask(self, op: str, args: dict[str, Any]) -> Any:
        """The scheduler's answer, whenever it comes. Raises what it fails with, ClosedError when the scheduler ends before."""
        return await self._open().ask(op, args)

    async def listen(self, topic: str, fn: Callable[[Any], object]) -> None:
        """Let `fn(value)` be called on the loop for what is told on the topic from now on."""
        door = self._open()
        door.listeners[topic] = fn
        await door.ask("subscribe", {"topic": topic})

    def close(self) -> None:
        """Leave. A later question joins again."""
        if self._door is not None:
            door, self._door = self._door, None
            door.leave()

    def _open(self) -> InsiderDoor:
        if self._door is None or self._door.closed:
            self._door = InsiderDoor()
            self._door.join(self._scheduler)
        return self._door


class InsiderDoor:
    """What the scheduler's server takes for the link to a client."""

    def __init__(self) -> None:
        self.listeners: dict[str, Callable[[Any], object]] = {}
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._questions: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._say: Callable[[Message], None] = _to_nobody

    def join(self, scheduler: Scheduler) -> None:
        """Say hello."""
        self._say = scheduler.add_insider(self)
        self._say(ClientHello(ClientId(f"insider-{secrets.token_hex(8)}"), "insider", False, 0, {"viewer": True}))

    def leave(self) -> None:
        """Say goodbye."""
        if not self.closed:
            self._say(Goodbye("done"))

    async def ask(self, op: str, args: dict[str, Any]) -> Any:
        """One question."""
        self._number += 1
        question = self._questions[self._number] = self._loop.create_future()
        self._say(Request(self._number, op, args))
        return await question

    # --- what the server calls

    def send(self, message: Message) -> None:
        """The scheduler says something."""
        if type(message) is Reply:
            question = self._questions.pop(message.id, None)
            if question is not None and not question.done():
                if message.failure is not None:
                    question.set_exception(error_from(message.failure))
                else:
                    question.set_result(message.value)
        elif type(message) is Notices:
            for topic, value in zip(message.topics, message.values, strict=True):
                if topic in self.listeners:
                    self._loop.call_soon(self.listeners[topic], value)

    def hurry(self) -> None:
        """Everything has arrived already."""

    def close(self) -> None:
        """The scheduler has closed, or taken leave."""
        self.closed = True
        questions, self._questions = self._questions, {}
        for question in questions.values():
            if not question.done():
                question.set_exception(ClosedError("the scheduler was closed"))

    async def wait_closed(self) -> None:
        """It is closed at once."""


def error_from(failure: Failure) -> JupyterfutError:
    """What the scheduler itself answers, as an exception."""
    kind = getattr(errors, failure.kind, None)
    return kind(failure.text) if isinstance(kind, type) and issubclass(kind, JupyterfutError) else errors.ConfigError(failure.text)


def _to_nobody(message: Message) -> None:
    raise ClosedError("it has not joined a scheduler")
