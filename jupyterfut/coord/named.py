"""What all coordination objects share: a name that the scheduler knows, a client to speak through, and one way to ask, with and without `await`.

An object is a name and nothing else: what it stands for lives in the scheduler (`core.scheduler.coord`), where everybody who knows the name meets. So
it may be made anywhere, travel in arguments and results, and be used by any number of threads. Which client it speaks through is decided when it
speaks: inside a task the task's own, elsewhere the one that it was given, or the current one of the place where it was made, or of where it is used.
A copy that has travelled never makes a client.
"""

from __future__ import annotations

import operator
import uuid
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Self

from jupyterfut.client import current
from jupyterfut.client.client import Client
from jupyterfut.client.latches import Answer, LoopGate
from jupyterfut.client.outcomes import exception_of
from jupyterfut.client.timeouts import Deadline
from jupyterfut.config import settings
from jupyterfut.core.client import events as ev
from jupyterfut.runtime.context import current_worker

Shape = Callable[[Client, Any], Any]
"""(client, answer): what the user gets for the scheduler's answer."""

Undo = Callable[[Client, Any], object]
"""(client, answer): gives back what the answer brings."""

LATER: Any = object()
"""As the `client` of a copy that has just arrived: it looks for one when it is used."""


class Named:
    """A name in the scheduler."""

    name: str

    def __init__(self, name: str | None, client: Client | None) -> None:
        kind = type(self).__name__
        if name is not None and not isinstance(name, str):
            raise TypeError(f"the name of a {kind} is a string, not {name!r}"[:500])
        if client is not None and client is not LATER and not isinstance(client, Client):
            raise TypeError(f"the client of a {kind} is a Client, not {client!r}"[:500])
        self.name = name or f"{kind.lower()}-{uuid.uuid4().hex}"
        self._given = client if client is not LATER else None
        self._found = _at_hand() if client is None else None

    def _client_or_none(self) -> Client | None:
        try:
            return self.client
        except RuntimeError:
            return None  # it is found when the object is used

    @property
    def client(self) -> Client:
        """The client that it speaks through here and now. Never blocks, never makes one. Raises RuntimeError when there is none."""
        bound = self._given or self._found
        worker = current_worker()
        if worker is not None:
            # In an in-process cluster objects travel by reference: what a task uses may be bound to its kernel's client, which may be asynchronous.
            if bound is None or bound.address == worker.scheduler_address:
                return current.get_client()
            return bound
        if bound is None or (bound.status == "closed" and self._given is None):
            try:
                bound = self._found = current.default_client()
            except ValueError:
                if bound is None:
                    raise RuntimeError(f"{self!r} has no client here: make one with Client(), or give it one (client=)") from None
        return bound

    def __await__(self) -> Generator[Any, None, Self]:
        """`await Queue("x")` gives the queue, as in dask.distributed, once the scheduler has heard of it."""
        return self._ready().__await__()

    async def _ready(self) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrive, (type(self), self._arguments())

    def _arguments(self) -> dict[str, Any]:
        """What to make a copy with."""
        return {"name": self.name}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    # --- questions

    def _ask(self, op: str, args: dict[str, Any], wait_s: float | None = 0.0, shape: Shape | None = None, undo: Undo | None = None) -> Any:
        """Through the client here: `ask`, or the awaitable of `ask_async` where that client is asynchronous."""
        client = self.client
        if client.asynchronous:
            return ask_async(client, op, args, wait_s, shape, undo)
        return ask(client, op, args, wait_s, shape, undo)

    def _let_go(self, op: str) -> Any:
        """Have the scheduler forget this name. It is told at once, also if nobody awaits its answer; when the client is closed there is nobody to
        tell."""
        client = self.client
        args = {"name": self.name}
        if client.asynchronous:
            return Told(client, op, args)
        if client.status != "closed":
            ask(client, op, args)
        return None


class Told:
    """What asynchronous callers get for something that is done whether or not they await it: the scheduler has been told, and has answered once
    this was awaited."""

    __slots__ = ("_answer", "_gate")

    def __init__(self, client: Client, op: str, args: dict[str, Any]) -> None:
        self._gate = LoopGate()
        self._answer = Answer(self._gate.open)
        if client._session.closed is None:
            client._session.post(ev.Ask(self._answer, op, args))
        else:
            self._gate.open()

    def __await__(self) -> Generator[Any, None, None]:
        return self._wait().__await__()

    async def _wait(self) -> None:
        await self._gate.wait(None)
        if self._answer.failure is not None:
            raise exception_of(self._answer.failure)


def ask(client: Client, op: str, args: dict[str, Any], wait_s: float | None = 0.0, shape: Shape | None = None, undo: Undo | None = None) -> Any:
    """The scheduler's answer, shaped. Blocks.

    wait_s: how long the scheduler lets the question wait (None: for ever); it answers in any case then, so it is only given a little longer here.
    undo: what to do with an answer that comes when nobody waits for it any more (Ctrl-C, a cancelled coroutine). On the loop, as a rule.
    """
    answer = client._session.ask_blocking(op, args, _patience(wait_s), None if undo is None else partial(undo, client))
    if shape is None:
        return answer
    try:
        return shape(client, answer)
    except Exception:
        raise
    except BaseException:  # Ctrl-C has come just now
        if undo is not None:
            undo(client, answer)
        raise


async def ask_async(
    client: Client, op: str, args: dict[str, Any], wait_s: float | None = 0.0, shape: Shape | None = None, undo: Undo | None = None
) -> Any:
    """The same from a coroutine, in any loop."""
    answer = await client._session.ask(op, args, _patience(wait_s), None if undo is None else partial(undo, client))
    return answer if shape is None else shape(client, answer)


def whole_number(value: object, what: str) -> int:
    """The value as an int. Raises TypeError when it is none, in the words of `what`."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{what} is a whole number, not {value!r}"[:500])
    return operator.index(value)


def _arrive(kind: Callable[..., Named], arguments: dict[str, Any]) -> Named:
    """Unpickle one."""
    return kind(**arguments, client=LATER)


def _at_hand() -> Client | None:
    """The client of the place where an object is made, if there is one. (Inside a task it is found when it is needed: few tasks need one.)"""
    chosen = current.chosen.get()
    worker = current_worker()
    if worker is not None:
        return chosen if chosen is not None and chosen.address != worker.scheduler_address else None
    try:
        return current.default_client()
    except ValueError:
        return None


def _patience(wait_s: float | None) -> Deadline:
    return Deadline(None if wait_s is None else wait_s + settings().client.timeout_s)


def tell(client: Client, op: str, args: dict[str, Any]) -> None:
    """A question whose answer nobody waits for. Never blocks: a finalizer may do it, and the loop. Does nothing when the client is closed."""
    session = client._session
    if session.closed is None:
        session.post(ev.Ask(unheard, op, args))


def unheard(value: Any, failure: Any) -> None:
    """The asker who needs no answer."""
