"""How a client inside a task speaks to the scheduler: over its worker's stream, every message wrapped in `AsClient`; no connection, no lease.

There is one `ClientLink` a worker. The client layer keeps its client in `client` and opens a `ClientStream` for it, which is used like any stream.
Two orders have to be kept between what a task says as a client and the task's own end, and the worker and the client keep them together:

- what a task submitted comes before its result (which may contain those futures): the worker calls `on_flush` before it reports;
- the death of a task's futures comes after its result (which may keep them alive): the client calls `flush_outcomes` before it says `ReleaseKeys`.

All of it runs on the worker's loop, except where a docstring says otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from jupyterfut.ids import ClientId, Key
from jupyterfut.wire.messages import Goodbye, Message

OnMessages = Callable[[list[Message]], object]
OnClosed = Callable[[str], object]


class ClientLink:
    """A worker's door for the clients inside its tasks."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        scheduler_address: str,
        say: Callable[[ClientId, list[Message]], None],
        flush_outcomes: Callable[[], None],
    ) -> None:
        self.loop = loop
        self.scheduler_address = scheduler_address
        self.client: Any = None  #: for the client layer: the one client that all tasks of this worker share; None when it was cut
        self.on_flush: Callable[[], object] | None = None  #: for the client layer: say now what tasks have submitted so far
        self.future_key: Callable[[object], Key | None] | None = None  #: for the client layer: which values are futures (any thread)
        self.fence: Callable[[], Awaitable[None]] | None = None  #: for the client layer: wait until the scheduler has read what clients have said
        self.cluster_id: str | None = None  #: the scheduler's id
        self.flush_outcomes = flush_outcomes  #: report the ends of calls that are known by now
        self.say = say
        self.streams: dict[ClientId, ClientStream] = {}

    def open(self, client: ClientId) -> ClientStream:
        """A stream for this client. It has to begin with `ClientHello`."""
        stream = ClientStream(self, client)
        self.streams[client] = stream
        return stream

    def receive(self, client: ClientId, message: Message) -> None:
        """The scheduler says something to a client; without a stream, nobody listens any more."""
        stream = self.streams.get(client)
        if stream is not None and stream.on_messages is not None:
            stream.on_messages([message])

    def cut(self, client: ClientId, reason: str) -> None:
        """The stream below this client's is gone."""
        stream = self.streams.pop(client, None)
        if stream is not None:
            stream.end(reason)


class ClientStream:
    """One client's stream, as `comm.Stream` is: `start`, `send`, `close`, `abort`, and two callbacks."""

    def __init__(self, link: ClientLink, client: ClientId) -> None:
        self.peer_address = link.scheduler_address
        self.local_address = ""
        self.hello: dict[str, Any] = {}
        self.pending_bytes = 0
        self.on_messages: OnMessages | None = None
        self._on_closed: OnClosed | None = None
        self._link = link
        self._client = client

    def start(self, on_messages: OnMessages, on_closed: OnClosed) -> None:
        """From now on `on_messages(list)` gets what the scheduler says, and `on_closed(reason)` is called once, at the end."""
        self.on_messages = on_messages
        self._on_closed = on_closed

    def send(self, messages: list[Message]) -> None:
        """Never blocks; keeps the order. Nothing happens after the end."""
        if self._link.streams.get(self._client) is self:
            self._link.say(self._client, messages)

    def close(self) -> None:
        """Say goodbye and end. `on_closed` is not called."""
        if self._link.streams.get(self._client) is self:
            self._link.say(self._client, [Goodbye("the client was closed")])
            del self._link.streams[self._client]
        self.on_messages = self._on_closed = None

    abort = close

    def end(self, reason: str) -> None:
        """The other side is gone."""
        on_closed, self.on_messages, self._on_closed = self._on_closed, None, None
        if on_closed is not None:
            on_closed(reason)
