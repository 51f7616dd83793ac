"""Events by topic: saying them, reading those that were kept, and having a handler called for those that come.

An event is anything that can be pickled, with a name of its topic. It goes to the scheduler as a notice, which stamps it, keeps it in the topic's
ring, and passes it on to the clients that have subscribed. The two topics on which tasks print and warn (`printing`) have handlers from the start.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import weakref
from collections.abc import Callable, Collection, Generator
from typing import TYPE_CHECKING, Any

from jupyterfut.client import info, printing
from jupyterfut.serde.notes import pack, unpack

if TYPE_CHECKING:
    from jupyterfut.client.client import Client

logger = logging.getLogger("jupyterfut.client")

Handler = Callable[[tuple[float, Any]], Any]


class Said:
    """What a method that never blocks returns in an asynchronous client: it was done already, and may be awaited or not."""

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


def topics_of(topic: Any) -> list[str]:
    """One topic or several. Raises TypeError."""
    names = [topic] if isinstance(topic, str) else list(topic) if isinstance(topic, Collection) else [topic]
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"a topic is a string, not {name!r}")
    return names


def log_event(client: Client, topic: Any, msg: Any) -> Said | None:
    """Say an event on a topic, or on each of several."""
    names = topics_of(topic)
    value = pack(msg, "an event")
    for name in names:
        client._session.notify(f"event:{name}", value)
    return Said() if client.asynchronous else None


def get_events(client: Client, topic: str | None) -> Any:
    """The events that the scheduler has kept: `(time, msg)`, oldest first; by topic when none is named."""
    if topic is not None and not isinstance(topic, str):
        raise TypeError(f"a topic is a string, not {topic!r}")
    return info.ask(client, "get_events", {"topic": topic}, shape=_events_by_topic if topic is None else _events)


def _events(rows: list[list[Any]]) -> tuple[tuple[float, Any], ...]:
    return tuple((time_s, unpack(form, data)) for time_s, form, data in rows)


def _events_by_topic(rings: dict[str, list[list[Any]]]) -> dict[str, tuple[tuple[float, Any], ...]]:
    return {topic: _events(rows) for topic, rows in rings.items()}


class Subscriptions:
    """The handlers of one client, one a topic."""

    def __init__(self, client: Client) -> None:
        self._owner = weakref.ref(client)  # the session listens with this, and must not keep a client alive that nobody has
        self._session = client._session
        self._handlers: dict[str, Callable[[Any], None]] = {}  # topic -> what listens for it at the session
        self._jobs: set[asyncio.Future[Any]] = set()  # handlers that are coroutines, on the loop

    def begin(self) -> None:
        """Let what tasks print and warn appear here."""
        self._listen("print", printing.printer(self._owner))
        self._listen("warn", printing.warner(self._owner))

    def subscribe(self, topic: str, handler: Handler) -> None:
        """Have `handler((time, msg))` called from now on, in place of the topic's handler so far."""
        if not isinstance(topic, str):
            raise TypeError(f"a topic is a string, not {topic!r}")
        if not callable(handler):
            raise TypeError(f"a handler must be callable, not {handler!r}")

        def heard(event: list[Any]) -> None:
            time_s, form, data = event
            client = self._owner()
            if client is not None:
                client._callbacks.call(self._handle, topic, handler, (time_s, unpack(form, data)))

        self._listen(topic, heard)

    def unsubscribe(self, topic: str) -> None:
        """Raises ValueError, naming what there is, for a topic without a handler."""
        with self._session.lock:
            listener = self._handlers.pop(topic, None)
        if listener is None:
            raise ValueError(f"no handler is subscribed to {topic!r} (there are: {', '.join(sorted(self._handlers)) or 'none'})")
        self._session.unlisten(f"event:{topic}", listener)

    def listens(self, topic: str) -> bool:
        """Whether the topic has a handler here."""
        return topic in self._handlers

    def _listen(self, topic: str, listener: Callable[[Any], None]) -> None:
        session = self._session
        with session.lock:
            before = self._handlers.get(topic)
            self._handlers[topic] = listener
            session.listen(f"event:{topic}", listener)
        if before is not None:
            session.unlisten(f"event:{topic}", before)

    def _handle(self, topic: str, handler: Handler, event: tuple[float, Any]) -> None:
        """In the thread of the callbacks, or on the loop of an asynchronous client."""
        try:
            result = handler(event)
        except Exception:  # the user's own, and nobody waits for it
            logger.exception("the handler of events on %r raised", topic)
            return
        if inspect.isawaitable(result):
            self._session.loop.call_soon_threadsafe(self._await, topic, result)

    def _await(self, topic: str, result: Any) -> None:
        job = asyncio.ensure_future(result)
        self._jobs.add(job)

        def ended(job: asyncio.Future[Any]) -> None:
            self._jobs.discard(job)
            if not job.cancelled() and (error := job.exception()) is not None:
                logger.error("the handler of events on %r raised", topic, exc_info=error)

        job.add_done_callback(ended)

    async def close(self) -> None:
        """On the loop: handlers that have not come to their end are cancelled."""
        jobs = list(self._jobs)
        for job in jobs:
            job.cancel()
        if jobs:
            await asyncio.wait(jobs)
