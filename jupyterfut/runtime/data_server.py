"""The way of large values: from the worker that holds them straight to whoever needs them, and scattered data straight to the worker.

`DataServer` answers `GetData` from the worker's store (what is on disk is read in a thread) and hands `PutData` to the worker, which answers when the
scheduler knows of the data. `DataLinks` is the asking side: one stream a peer, opened when first needed and kept, any number of questions under way.
Whoever has something else to ask of one worker (`client.run`, what it is doing) asks it over the same streams: `Request`, answered by `Reply`.
What somebody publishes for those who listen at a worker (`Published`) is told over them too, and has no answer.
Between processes of one machine the large parts go through shared memory (`sharing`); copying into it is done in a thread, too.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from jupyterfut.comm import Security, Stream, connect
from jupyterfut.errors import ClosedError, ConnectionFailed, JupyterfutError, ProtocolError
from jupyterfut.ids import Address, ClientId, Key
from jupyterfut.runtime.actors import ActorHost
from jupyterfut.runtime.sharing import Neighbour, Sharing
from jupyterfut.runtime.store import Store, ValueLost
from jupyterfut.serde import exception_from_failure, failure_from_exception
from jupyterfut.wire.messages import (
    ActorCalls,
    DataSent,
    DataStored,
    DataTaken,
    Failure,
    GetData,
    MemoryRead,
    Message,
    Published,
    PutData,
    Reply,
    Request,
    Taken,
)
from jupyterfut.wire.payload import Local, Payload, payload_nbytes

logger = logging.getLogger("jupyterfut.worker")

Ops = dict[str, Callable[[dict[str, Any]], Any]]
"""What may be asked by `Request`: op -> handler of its `args`. It returns the answer (plain MessagePack values and payloads) or an awaitable of it;
what it raises is an answer too."""

Heard = dict[str, Callable[[list[Payload]], object]]
"""Who listens at a worker: topic -> where messages that are published on it go. The others are dropped."""

OnPut = Callable[[int, PutData], None]
"""(token, message): data has arrived. The answer goes to `DataServer.answer_put(token, failure)`."""


class DataServer:
    """The answering side. `local`: objects may be passed by reference (`comm.inproc`). `shared_bytes`: parts of values from this size on go through
    shared memory where they can; 0: none."""

    def __init__(
        self, store: Store, on_put: OnPut, *, local: bool, shared_bytes: int = 0, ops: Ops | None = None, heard: Heard | None = None
    ) -> None:
        self._store = store
        self._ops = {} if ops is None else ops
        self._heard = {} if heard is None else heard
        self._on_put = on_put
        self._local = local
        self._sharing = Sharing(0 if local else shared_bytes)
        self._streams: dict[Stream, _Asker] = {}
        self._actors: ActorHost | None = None
        self.received_bytes = 0  #: of values that crossed a border between processes, so far
        self.sent_bytes = 0
        self._puts: dict[int, tuple[Stream, int]] = {}  # token -> who waits, and for the answer to which message
        self._next_token = 1
        self._jobs: set[asyncio.Task[None]] = set()  # that read from disk, copy, or answer a `Request`

    @property
    def hello(self) -> dict[str, Any]:
        """What to say of it in the handshake."""
        return {"role": "data", **self._sharing.hello}

    def host(self, actors: ActorHost) -> None:
        """Calls of actors go there."""
        self._actors = actors

    def on_stream(self, stream: Stream) -> None:
        """Somebody has connected (and knows the token)."""
        asker = self._streams[stream] = _Asker(self._sharing, stream.hello)
        stream.start(partial(self._on_messages, stream), partial(self._on_closed, stream))
        stream.send([*asker.neighbour.first_words])

    def answer_put(self, token: int, failure: Failure | None) -> None:
        """The data is known to the scheduler now, or will not be."""
        stream, number = self._puts.pop(token)
        if stream in self._streams:
            stream.send([DataStored(number, failure)])

    async def close(self) -> None:
        """Close all streams. Idempotent."""
        for task in self._jobs:
            task.cancel()
        streams = list(self._streams)
        self._streams.clear()
        for stream in streams:
            stream.close()
        await asyncio.gather(*(stream.wait_closed() for stream in streams), *self._jobs, return_exceptions=True)
        self._sharing.close()

    def _on_messages(self, stream: Stream, messages: list[Message]) -> None:
        asker = self._streams[stream]
        for message in messages:
            if type(message) is GetData:
                self._get(stream, asker, message)
            elif type(message) is PutData:
                if not self._put(stream, asker, message):
                    return
            elif type(message) is Request:
                self._start_job(self._answer_request(stream, message))
            elif type(message) is Published:
                listener = self._heard.get(message.topic)
                if listener is not None:
                    listener(message.payloads)
            elif type(message) is ActorCalls and self._actors is not None:
                self._actors.on_calls(stream, message)
            elif type(message) is Taken and self._actors is not None:
                self._actors.on_taken(stream, message)
            elif type(message) is DataTaken:
                asker.sent.pop(message.id, None)
            elif type(message) is MemoryRead:
                asker.neighbour.hear(message)
            else:
                self._cut(stream)
                return

    def _on_closed(self, stream: Stream, reason: object) -> None:
        self._streams.pop(stream, None)
        if self._actors is not None:
            self._actors.on_gone(stream)

    def _cut(self, stream: Stream) -> None:
        stream.abort()
        self._on_closed(stream, "")

    def _put(self, stream: Stream, asker: _Asker, message: PutData) -> bool:
        """False: the stream is cut."""
        try:
            payloads = asker.neighbour.unpack(message.payloads, message.shared)
        except ProtocolError as error:
            logger.warning("closing the connection with %s: %s", stream.peer_address, error)
            self._cut(stream)
            return False
        whole = [payload for payload in payloads if payload is not None]
        if len(whole) < len(payloads):
            text = "the data went away, or could not be opened, before it was stored"
            stream.send([DataStored(message.id, Failure("LostData", text, None, "", message.keys[payloads.index(None)]))])
            return True
        if not self._local:
            self.received_bytes += sum(map(payload_nbytes, whole))
        token = self._next_token
        self._next_token += 1
        self._puts[token] = (stream, message.id)
        self._on_put(token, message._replace(payloads=whole, shared=[]))
        return True

    def _get(self, stream: Stream, asker: _Asker, message: GetData) -> None:
        store = self._store
        if not any(store.on_disk(key) for key in message.keys):
            answer = self._answer(message)
            if not asker.neighbour.is_to_copy(answer.payloads):
                self._send(stream, answer)
                return
        self._start_job(self._get_slowly(stream, asker, message))

    def _start_job(self, job: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    async def _answer_request(self, stream: Stream, request: Request) -> None:
        value, failure = None, None
        try:
            handler = self._ops.get(request.op)
            if handler is None:
                raise ValueError(f"a worker knows no request {request.op!r}")
            value = handler(request.args)
            if inspect.isawaitable(value):
                value = await value
        except Exception as error:  # noqa: BLE001  # it belongs to the one who asked
            value, failure = None, failure_from_exception(error, Key(""), local=self._local)
        if stream not in self._streams:
            return
        try:
            stream.send([Reply(request.id, value, failure)])
        except JupyterfutError as error:
            stream.send([Reply(request.id, None, failure_from_exception(error, Key(""), local=self._local))])

    async def _get_slowly(self, stream: Stream, asker: _Asker, message: GetData) -> None:
        answer = await asyncio.to_thread(self._answer, message)
        if asker.neighbour.is_to_copy(answer.payloads):
            await asyncio.to_thread(self._sharing.copy, answer.payloads)
        self._send(stream, answer)

    def _send(self, stream: Stream, answer: DataSent) -> None:
        asker = self._streams.get(stream)
        if asker is None:
            return
        if not self._local:
            self.sent_bytes += sum(map(payload_nbytes, answer.payloads))
        payloads, shared = asker.neighbour.pack(answer.payloads)
        if shared:
            asker.sent[answer.id] = answer.payloads
        stream.send([answer._replace(payloads=payloads, shared=shared)])

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
        return DataSent(message.id, keys, payloads, [])


class _Asker:
    """One stream of a data server: who is at its other end, and what shared memory it has been told of and not yet opened."""

    def __init__(self, sharing: Sharing, hello: dict[str, Any]) -> None:
        self.neighbour = Neighbour(sharing, hello)
        self.sent: dict[int, list[Payload]] = {}


class DataLinks:
    """All streams of one process to data servers. Its coroutines run on one event loop. `shared_bytes`: as for `DataServer`."""

    def __init__(self, security: Security | None, timeout_s: float = 10.0, *, shared_bytes: int = 0) -> None:
        self.security = security
        self._timeout_s = timeout_s
        self._sharing: Sharing | None = None  # made for the first stream
        self._shared_bytes = shared_bytes
        self._links: dict[Address, asyncio.Task[_DataLink]] = {}
        self._untold: dict[Address, list[Message]] = {}  # what waits for its connection
        self._telling: set[asyncio.Task[None]] = set()
        self._closed = False

    async def get(self, address: Address, keys: list[Key]) -> DataSent:
        """What of `keys` the worker at `address` holds. Raises ConnectionFailed when it cannot be reached, or breaks off."""
        link = await self._link(address)
        answer: DataSent = await link.ask(partial(GetData, keys=keys))
        return answer if not answer.shared else link.taken(answer)

    async def put(self, address: Address, client: ClientId, keys: list[Key], payloads: list[Payload], types: list[str]) -> Failure | None:
        """Give data to the worker. Returns, once the scheduler knows of it, why it was not stored, or None. Raises ConnectionFailed."""
        link = await self._link(address)
        packed, shared = await link.packed(payloads)
        answer: DataStored = await link.ask(partial(PutData, client=client, keys=keys, payloads=packed, types=types, shared=shared))
        return answer.failure  # the worker has opened what `payloads` keeps in shared memory

    async def ask(self, address: Address, op: str, args: dict[str, Any]) -> Any:
        """The answer of the worker at `address` to a `Request`. Raises what it raised there, or ConnectionFailed. No timeout."""
        link = await self._link(address)
        answer: Reply = await link.ask(partial(Request, op=op, args=args))
        if answer.failure is not None:
            raise exception_from_failure(answer.failure)
        return answer.value

    def tell(self, address: Address, message: Message) -> None:
        """Send something that has no answer. Never blocks. What is told one address arrives in order; if it cannot be reached, nothing of it does."""
        untold = self._untold.get(address)
        if untold is not None:
            untold.append(message)
            return
        task = self._links.get(address)
        if task is not None and task.done() and not task.cancelled() and task.exception() is None:
            task.result().send(message)
        elif not self._closed:
            self._untold[address] = [message]
            telling = asyncio.get_running_loop().create_task(self._tell(address))
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)

    async def _tell(self, address: Address) -> None:
        link = None
        try:
            link = await self._link(address)
        except (OSError, JupyterfutError) as error:
            logger.info("nothing can be told worker %s: %s", address, error)
        finally:
            untold = self._untold.pop(address)
        if link is not None:
            for message in untold:
                link.send(message)

    async def close(self) -> None:
        """Close all streams. What is under way ends with ConnectionFailed. Idempotent."""
        self._closed = True
        for telling in self._telling:
            telling.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)
        tasks = list(self._links.values())
        self._links.clear()
        for task in tasks:
            task.cancel()
        links = [outcome for outcome in await asyncio.gather(*tasks, return_exceptions=True) if isinstance(outcome, _DataLink)]
        await asyncio.gather(*(link.close() for link in links))
        if self._sharing is not None:
            self._sharing.close()

    async def _link(self, address: Address) -> _DataLink:
        if self._closed:
            raise ClosedError("the data links are closed")
        task = self._links.get(address)
        if task is None:
            task = self._links[address] = asyncio.get_running_loop().create_task(self._open(address))
            task.add_done_callback(partial(self._opened, address))
        return await asyncio.shield(task)  # one asker's timeout must not cut the others' connection

    async def _open(self, address: Address) -> _DataLink:
        if self._sharing is None:
            self._sharing = Sharing(self._shared_bytes)
        hello = {"role": "data", **self._sharing.hello}
        stream = await connect(address, security=self.security, hello=hello, timeout_s=self._timeout_s)
        return _DataLink(address, stream, self._sharing, partial(self._forget, address))

    def _opened(self, address: Address, task: asyncio.Task[_DataLink]) -> None:
        if task.cancelled() or task.exception() is not None:
            self._forget(address)

    def _forget(self, address: Address) -> None:
        self._links.pop(address, None)


class _DataLink:
    """One stream to one data server, with the questions that wait for their answers."""

    def __init__(self, address: Address, stream: Stream, sharing: Sharing, on_broken: Callable[[], None]) -> None:
        self._address = address
        self._stream = stream
        self._sharing = sharing
        self._neighbour = Neighbour(sharing, stream.hello)
        self._introduced = asyncio.Event()  # the other side has said its first words, or has none, or is gone
        self._on_broken = on_broken
        self._next_number = 1
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._broken: str | None = None
        stream.start(self._on_messages, self._on_closed)
        if self._neighbour.first_words:
            stream.send([*self._neighbour.first_words])
        else:
            self._introduced.set()

    async def packed(self, payloads: list[Payload]) -> tuple[list[Payload], list[list[int]]]:
        """What to send of them, and the references beside it. The memory that these name belongs to `payloads`."""
        await self._introduced.wait()
        if self._neighbour.is_to_copy(payloads):
            await asyncio.to_thread(self._sharing.copy, payloads)
        return self._neighbour.pack(payloads)

    def taken(self, answer: DataSent) -> DataSent:
        """The answer with whole payloads. What cannot be opened is left out, like what the worker does not hold. Raises ConnectionFailed when the
        references make no sense."""
        try:
            payloads = self._neighbour.unpack(answer.payloads, answer.shared)
        except ProtocolError as error:
            logger.warning("closing the connection with %s: %s", self._address, error)
            self._stream.abort()
            self._on_closed(error)
            raise ConnectionFailed(f"the connection to worker {self._address} broke: {error}") from error
        self._stream.send([DataTaken(answer.id)])
        found = [(key, payload) for key, payload in zip(answer.keys, payloads, strict=True) if payload is not None]
        return DataSent(answer.id, [key for key, _ in found], [payload for _, payload in found], [])

    def send(self, message: Message) -> None:
        """Without an answer. What no frame can take is dropped, and so is everything on a broken stream."""
        if self._broken is None:
            try:
                self._stream.send([message])
            except JupyterfutError as error:
                logger.error("%s cannot be sent to worker %s: %s", type(message).__name__, self._address, error)

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
            if type(message) is MemoryRead:
                self._neighbour.hear(message)
                self._introduced.set()
                continue
            future = self._waiting.get(message[0]) if type(message) in (DataSent, DataStored, Reply) else None
            if future is not None and not future.done():
                future.set_result(message)

    def _on_closed(self, reason: object) -> None:
        if self._broken is None:
            self._broken = str(reason)
            self._introduced.set()
            self._on_broken()
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(ConnectionFailed(f"the connection to worker {self._address} broke: {reason}"))
