"""`Pub` and `Sub`: messages to whoever listens, straight from worker to worker. What objects of one client share is in `topics`."""

from __future__ import annotations

from typing import Any, Self

from jupyterfut.client.client import Client
from jupyterfut.client.timeouts import Timeout, to_seconds
from jupyterfut.client.values import opened, packed
from jupyterfut.coord.mailbox import Mailbox
from jupyterfut.coord.named import LATER, Named, ask, ask_async, whole_number
from jupyterfut.coord.topics import Hearing, Publishing, topics_of


class Pub(Named):
    """Publishes messages on a topic, to all `Sub` objects of the cluster that have the same name.

    name: the topic.
    client: as in `Queue`.

    A message goes from the publishing process straight to the workers that listen; only on the way to a listening kernel it passes the scheduler, and
    must not be larger than `scheduler.value_limit_bytes` then. What is published while nobody listens is dropped, as in dask.distributed. From the
    moment when the publisher knows of a subscriber nothing is lost on the way to it, and the order is kept, unless a connection breaks. The publisher
    knows of a `Sub` before it learns of anything that followed from it: the result of a task that had made one, an `Event` that was set, an item of a
    queue.

    A future in a message belongs to whoever unpickles it; nobody but its publisher keeps its task alive on the way (a `Queue` does).

    Blocks for one answer of the scheduler (who listens?); not in an asynchronous client, where what is put meanwhile waits for the answer, which
    `await Pub("x")` waits for, too.

    >>> from jupyterfut import Client, Sub
    >>> with Client(processes=False):
    ...     sub = Sub("progress")
    ...     Pub("progress").put({"done": 3})
    ...     sub.get(timeout="10 s")
    {'done': 3}
    """

    def __init__(self, name: str, client: Client | None = None) -> None:
        if not name:
            raise TypeError(f"the name of a Pub is the topic, a string that is not empty, not {name!r}"[:500])
        self._publishing: Publishing | None = None
        super().__init__(name, client)
        if client is not LATER:
            here = self._client_or_none()
            if here is not None:
                self._at(here)
                if not here.asynchronous:
                    _wait(here)

    def put(self, value: Any) -> None:
        """Publish a message. Never blocks, in any thread or coroutine; what the network does not take at once waits in memory.

        The message is pickled once, now (in an in-process cluster it travels as it is, by reference). Raises `SerializationError`, ValueError when a
        kernel listens and the message is too large for the scheduler, `ClosedError`.
        """
        here = self.client
        payload, _holds = packed(here, value)
        self._at(here).put(payload, self)

    @property
    def subscribers(self) -> dict[str, int]:
        """Who listens, as known here now: the address of each worker, with 1, and "kernels" with their number, if there are any. Never blocks."""
        publishing = self._at(self.client)
        listeners: dict[str, int] = {str(address): 1 for address in publishing.workers}
        if publishing.kernels:
            listeners["kernels"] = publishing.kernels
        return listeners

    async def _ready(self) -> Self:
        here = self.client
        self._at(here)
        await _wait_async(here)
        return self

    def _at(self, here: Client) -> Publishing:
        """Where it publishes: with the client that it was first used with, as long as that is there."""
        publishing = self._publishing
        if publishing is None or publishing.topics.session.closed is not None:
            publishing = self._publishing = topics_of(here).publish(self.name)
        return publishing

    def __del__(self) -> None:
        publishing = getattr(self, "_publishing", None)
        if publishing is not None:
            publishing.topics.call_soon(publishing.leave)


class Sub(Named):
    """Hears what is published on a topic: everything since it was made, once each.

    name: the topic.
    client: as in `Queue`.
    maxlen: how many messages it keeps while nobody reads them, the oldest go first; None: all, as long as there is memory.

    `get` waits for the next message; so does iterating, `for message in sub:`, `async for message in sub:`, which never ends by itself. Threads and
    tasks that share one object share its messages, each goes to one of them. A copy that has travelled to another process hears what is published
    after it was first used there. When its client is closed, reading ends with `ClosedError` after the last message.

    Blocks until the scheduler knows of it; not in an asynchronous client, where `await Sub("x")` does. Every publisher hears of it, see `Pub`.

    >>> from jupyterfut import Client, Pub
    >>> def count(n):
    ...     pub = Pub("counting")
    ...     for i in range(n):
    ...         pub.put(i)
    >>> with Client(processes=False) as client:
    ...     sub = Sub("counting")
    ...     future = client.submit(count, 3)
    ...     [sub.get(timeout="10 s") for _ in range(3)]
    [0, 1, 2]
    """

    def __init__(self, name: str, client: Client | None = None, maxlen: int | None = None) -> None:
        if not name:
            raise TypeError(f"the name of a Sub is the topic, a string that is not empty, not {name!r}"[:500])
        self.maxlen = None if maxlen is None else whole_number(maxlen, "the maxlen of a Sub")
        if self.maxlen is not None and self.maxlen < 1:
            raise ValueError(f"the maxlen of a Sub is at least 1, not {maxlen}")
        self._hearing: Hearing | None = None
        super().__init__(name, client)
        self._mailbox = Mailbox(repr(self), self.maxlen)
        if client is not LATER:
            here = self._client_or_none()
            if here is not None:
                self._start(here)
                if not here.asynchronous:
                    _wait(here)

    def _arguments(self) -> dict[str, Any]:
        return {"name": self.name, "maxlen": self.maxlen}

    def get(self, timeout: Timeout = None) -> Any:
        """The next message. Blocks while there is none, for `timeout` (seconds, `timedelta`, "10 ms"; zero looks once; None: as long as it takes), or
        returns an awaitable.

        Raises `TimeoutError`, `ClosedError`, and what unpickling the message raises. A wait that is interrupted loses no message.
        """
        wait_s = to_seconds(timeout)
        here = self.client
        if self._hearing is None:
            self._start(here)
        if here.asynchronous:
            return self._get_async(here, wait_s)
        return opened(here, self._mailbox.take(wait_s))

    next = get

    async def _get_async(self, here: Client, wait_s: float | None) -> Any:
        return opened(here, await self._mailbox.take_async(wait_s))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        """The next message. Blocks; see `get`."""
        if self.client.asynchronous:
            raise TypeError(f"{self!r} is iterated with 'async for' here, since its client is asynchronous")
        return self.get()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        here = self.client
        if self._hearing is None:
            self._start(here)
        return await self._get_async(here, None)

    async def _ready(self) -> Self:
        here = self.client
        if self._hearing is None:
            self._start(here)
        await _wait_async(here)
        return self

    def _start(self, here: Client) -> None:
        self._hearing = topics_of(here).hear(self.name, self._mailbox)

    def __del__(self) -> None:
        hearing = getattr(self, "_hearing", None)
        if hearing is not None:
            hearing.topics.call_soon(hearing.leave, self._mailbox)


def _wait(client: Client) -> None:
    """Until the scheduler has heard what was said so far, and we its answers."""
    ask(client, "locate", {"keys": []})


async def _wait_async(client: Client) -> None:
    await ask_async(client, "locate", {"keys": []})
