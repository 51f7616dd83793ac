"""The way of large values: from the worker that holds them straight to whoever needs them, and scattered data straight to the worker.

`DataServer` answers `GetData` from the worker's store (what is on disk is read in a thread) and hands `PutData` to the worker, which answers when the
scheduler knows of the data. `DataLinks` is the asking side: one stream a peer, opened when first needed and kept, any number of questions under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from jupyterfut.comm import Security, Stream, connect
from jupyterfut.errors import ClosedError, ConnectionFailed
from jupyterfut.ids import Address, ClientId, Key
from jupyterfut.runtime.store import Store, ValueLost
from jupyterfut.wire.messages import DataSent, DataStored, Failure, GetData, Message, PutData
from jupyterfut.wire.payload import Local, Payload

OnPut = Callable[[int, PutData], None]
"""(token, message): data has arrived. The answer goes to `DataServer.answer_put(token, failure)`."""


class DataServer:
    """The answering side. `local`: objects may be passed by reference (`comm.inproc`)."""

    def __init__(self, store: Store, on_put: OnPut, *, local: bool) -> None:
        self._store = store
        self._on_put = on_put
        self._local = local
        self._streams: set[Stream] = set()
        self._puts: dict[int, tuple[Stream, int]] = {}  # token -> who waits, and for the answer to which message
        self._next_token = 1
        self._reading: set[asyncio.Task[None]] = set()

    def on_stream(self, stream: Stream) -> None:
        """Somebody has connected (and knows the token)."""
        self._streams.add(stream)
        stream.start(partial(self._on_messages, stream), partial(self._on_closed, stream))

    def answer_put(self, token: int, failure: Failure | None) -> None:
        """The data is known to the scheduler now, or will not be."""
        stream, number = self._puts.pop(token)
        if stream in self._streams:
            stream.send([DataStored(number, failure)])

    async def close(self) -> None:
        """Close all streams. Idempotent."""
        for task in self._reading:
            task.cancel()
        streams = list(self._streams)
        self._streams.clear()
        for stream in streams:
            stream.close()
        await asyncio.gather(*(stream.wait_closed() for stream in streams), *self._reading, return_exceptions=True)

    def _on_messages(self, stream: Stream, messages: list[Message]) -> None:
        for message in messages:
            if type(message) is GetData:
                self._get(stream, message)
            elif type(message) is PutData:
                token = self._next_token
                self._next_token += 1
                self._puts[token] = (stream, message.id)
                self._on_put(token, message)
            else:
                stream.abort()
                self._streams.discard(stream)
                return

    def _on_closed(self, stream: Stream, reason: object) -> None:
        self._streams.discard(stream)

    def _get(self, stream: Stream, message: GetData) -> None:
        store = self._store
        if any(store.on_disk(key) for key in message.keys):
            task = asyncio.get_running_loop().create_task(self._get_slowly(stream, message))
            self._reading.add(task)
            task.add_done_callback(self._reading.discard)
        else:
            stream.send([self._answer(message)])

    async def _get_slowly(self, stream: Stream, message: GetData) -> None:
        answer = await asyncio.to_thread(self._answer, message)
        if stream in self._streams:
            stream.send([answer])

    def _answer(self, message: GetData) -> DataSent:
        """What is asked for and can be sent. An actor stays where it is."""
        keys: list[Key] = []
        payloads: list[Payload] = []
        for key in dict.fromkeys(message.keys):
            try:
                payload = self._store.get(key)
            except ValueLost:
                continue  # left out of the answer: the asker tries another worker
            if self._local or type(payload) is not Local:
                keys.append(key)
                payloads.append(payload)
        return DataSent(message.id, keys, payloads)


class DataLinks:
    """All streams of one process to data servers. Its coroutines run on one event loop."""

    def __init__(self, security: Security | None, timeout_s: float = 10.0) -> None:
        self._security = security
        self._timeout_s = timeout_s
        self._links: dict[Address, asyncio.Task[_DataLink]] = {}
        self._closed = False

    async def get(self, address: Address, keys: list[Key]) -> DataSent:
        """What of `keys` the worker at `address` holds. Raises ConnectionFailed when it cannot be reached, or breaks off."""
        link = await self._link(address)
        answer: DataSent = await link.ask(partial(GetData, keys=keys))
        return answer

    async def put(self, address: Address, client: ClientId, keys: list[Key], payloads: list[Payload], types: list[str]) -> Failure | None:
        """Give data to the worker. Returns, once the scheduler knows of it, why it was not stored, or None. Raises ConnectionFailed."""
        link = await self._link(address)
        answer: DataStored = await link.ask(partial(PutData, client=client, keys=keys, payloads=payloads, types=types))
        return answer.failure

    async def close(self) -> None:
        """Close all streams. What is under way ends with ConnectionFailed. Idempotent."""
        self._closed = True
        tasks = list(self._links.values())
        self._links.clear()
        for task in tasks:
            task.cancel()
        links = [outcome for outcome in await asyncio.gather(*tasks, return_exceptions=True) if isinstance(outcome, _DataLink)]
        await asyncio.gather(*(link.close() for link in links))

    async def _link(self, address: Address) -> _DataLink:
        if self._closed:
            raise ClosedError("the data links are closed")
        task = self._links.get(address)
        if task is None:
            task = self._links[address] = asyncio.get_running_loop().create_task(self._open(address))
            task.add_done_callback(partial(self._opened, address))
        return await asyncio.shield(task)  # one asker's timeout must not cut the others' connection

    async def _open(self, address: Address) -> _DataLink:
        stream = await connect(address, security=self._security, hello={"role": "data"}, timeout_s=self._timeout_s)
        return _DataLink(address, stream, partial(self._forget, address))

    def _opened(self, address: Address, task: asyncio.Task[_DataLink]) -> None:
        if task.cancelled() or task.exception() is not None:
            self._forget(address)

    def _forget(self, address: Address) -> None:
        self._links.pop(address, None)


class _DataLink:
    """One stream to one data server, with the questions that wait for their answers."""

    def __init__(self, address: Address, stream: Stream, on_broken: Callable[[], None]) -> None:
        self._address = address
        self._stream = stream
        self._on_broken = on_broken
        self._next_number = 1
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._broken: str | None = None
        stream.start(self._on_messages, self._on_closed)

    async def ask(self, make: Callable[[int], Message]) -> Any:
        if self._broken is not None:
            raise ConnectionFailed(f"the connection to worker {self._address} is closed: {self._broken}")
        number = self._next_number
        self._next_number += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._stream.send([make(number)])
        try:
            return await future
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        self._stream.close()
        self._on_closed("closed on this side")
        await self._stream.wait_closed()

    def _on_messages(self, messages: list[Message]) -> None:
        for message in messages:
            future = self._waiting.get(message[0]) if type(message) in (DataSent, DataStored) else None
            if future is not None and not future.done():
                future.set_result(message)

    def _on_closed(self, reason: object) -> None:
        if self._broken is None:
            self._broken = str(reason)
            self._on_broken()
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(ConnectionFailed(f"the connection to worker {self._address} broke: {reason}"))
