"""One peer, as a shell sees it: `send(message)` any time, messages back in lists, and one word when it is gone.

- Everything sent within one tick of the loop leaves as one frame: batches grow when there is much to say. Who has no more to say for now says
  `hurry`: then the first frame of a tick does not wait for its end. Messages that nobody waits for (`RIDERS`) ride with the next frame.
- A client's link to the scheduler is *resumable* (`core.ordered`): while its stream is down the frames are kept, and a new stream goes on where the
old one ended. What opens a stream,
  `ClientHello` one way and `Welcome` the other, travels outside of the count; `Welcome.resumed` says whether the other end still knows the
  conversation.
- `Dialer` is the side that connects, and connects again; `accept` the side that listens.

All of it runs in the loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any, TypeAlias

from jupyterfut import comm
from jupyterfut.comm import Security, Stream
from jupyterfut.core.ordered import NumberedFrame, Session
from jupyterfut.errors import ConnectionFailed, HandshakeError, ProtocolError, SerializationError
from jupyterfut.wire.codec import PackLocal
from jupyterfut.wire.messages import ClientHello, Message, ReleaseData, Welcome

logger = logging.getLogger("jupyterfut.runtime")

OnMessages: TypeAlias = Callable[[list[Message]], object]
OnLost: TypeAlias = Callable[[str], object]

_ACK_S = 0.2  #: at the latest so long after something was received, the other end knows

RIDERS = frozenset({ReleaseData})
"""Nobody waits for these: waking their receiver for them alone would take its time from a task."""
_RIDE_S = 0.005  #: at the latest so long after it was sent, a rider leaves without company


class Link:
    """An outbox and, while it stands, a stream.

    `on_messages(messages)` gets what comes, `on_lost(reason)` is called each time the stream ends from outside. A link that is not resumable is over
    then;
    a resumable one keeps what is sent, until `attach` gives it a new stream, or `close`.
    `on_unsendable(message, error)` gets a message that cannot be written (the batch goes without it); without it the error is logged.
    """

    def __init__(
        self,
        on_messages: OnMessages,
        on_lost: OnLost,
        *,
        resumable: bool = False,
        on_unsendable: Callable[[Message, Exception], object] | None = None,
    ) -> None:
        self.stream: Stream | None = None
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._on_messages = on_messages
        self._on_lost = on_lost
        self._on_unsendable = on_unsendable
        self._outbox: list[Message] = []
        self._flushing = False  # a `_flush` is on its way
        self._hurried = False  # a frame has left early in this tick
        self._ride: asyncio.TimerHandle | None = None  # a rider waits
        self._session = Session() if resumable else None
        self._peer_has = 0  # what the other end said in its opening frame to have received
        self._streams = 0  # that this link has had
        self._held = False  # a stream stands, but numbered frames wait for the other end's opening
        self._ack_timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Link {self.stream if self.stream is not None else 'down'}{' closed' if self.closed else ''}>"

    @property
    def pending_bytes(self) -> int:
        """Bytes that the network has not taken yet."""
        return self.stream.pending_bytes if self.stream is not None else 0

    # --- out

    def send(self, message: Message) -> None:
        """Send with everything else of this tick. Never blocks; does nothing on a closed link."""
        if type(message) is ClientHello or type(message) is Welcome:
            self._open(message)
            return
        self._outbox.append(message)
        if self._flushing:
            return
        if type(message) in RIDERS:
            if self._ride is None:
                self._ride = self._loop.call_later(_RIDE_S, self._ride_ends)
            return
        self._flushing = True
        self._loop.call_soon(self._flush)

    def send_now(self, messages: list[Message]) -> None:
        """Send these with what waits already, at once as one frame. The caller gives the list away."""
        kinds = set(map(type, messages))
        if ClientHello in kinds or Welcome in kinds:
            for message in messages:
                self.send(message)
        elif self._outbox:
            self._outbox += messages
        else:
            self._outbox = messages
        self.flush()

    def hurry(self) -> None:
        """Put what was sent on the stream now, if it is the first frame of this tick. Later ones gather until its end, so haste costs a busy link
        one frame a tick."""
        if self._flushing and not self._hurried:
            self._hurried = True
            self.flush()

    def _open(self, message: Message) -> None:
        """The first message on a new stream; goes before what waits in the outbox."""
        if self.stream is None or self.closed:
            return
        session = self._session
        if session is None:
            self.flush()
            self._put(0, 0, [message])
            return
        if type(message) is ClientHello:
            self._held = message.resume
            if message.resume:
                self._put_frame(session.opening([message]))
                return
            self._session = Session()
            self._put_frame(self._session.opening([message]))
            for frame in session.resume(0):  # said on a stream that broke before the first Welcome: the other end forgets it all
                self._put_frame(self._session.send(frame.messages))
            self.flush()
            return
        if not self._held:  # a second Welcome on one stream is a message like any other
            self._outbox.append(message)
            self.flush()
            return
        resumed: bool = message[0]
        if not resumed and self._streams > 1:
            session = self._session = Session()
            self._outbox = []
        self._held = False
        self._put_frame(session.opening([message]))
        if resumed:
            for frame in session.resume(self._peer_has):
                self._put_frame(frame)
        self.flush()

    def _flush(self) -> None:
        self._flushing = self._hurried = False
        self.flush()

    def _ride_ends(self) -> None:
        self._ride = None
        self.flush()

    def flush(self) -> None:
        """Put what was sent on the stream now, instead of at the end of this tick."""
        if not self._outbox or self.closed:
            return
        session = self._session
        if session is None:
            if self.stream is not None:
                messages, self._outbox = self._outbox, []
                self._put(0, 0, messages)
        elif self.stream is not None and not self._held:
            messages, self._outbox = self._outbox, []
            self._put_frame(session.send(messages))

    def _put_frame(self, frame: NumberedFrame) -> None:
        self._put(frame.number, frame.acknowledged, frame.messages)

    def _put(self, number: int, acknowledged: int, messages: list[Message]) -> None:
        assert self.stream is not None
        try:
            self.stream.send_frame(messages, number, acknowledged)
        except (SerializationError, ProtocolError):
            # One message spoils the batch. The frame keeps its number and its place, without those that cannot be written.
            messages[:] = [message for message in messages if self._is_sendable(message)]
            try:
                self.stream.send_frame(messages, number, acknowledged)
            except ProtocolError:
                self._put_in_parts(number, acknowledged, messages)

    def _put_in_parts(self, number: int, acknowledged: int, messages: list[Message]) -> None:
        """Each message is within the limits, all of them in one frame are not."""
        rest = messages[len(messages) // 2 :]
        del messages[len(messages) // 2 :]
        self._put(number, acknowledged, messages)
        if self._session is not None:
            self._put_frame(self._session.send(rest))
        else:
            self._put(0, 0, rest)

    def _is_sendable(self, message: Message) -> bool:
        assert self.stream is not None
        try:
            self.stream.check([message])
        except (SerializationError, ProtocolError) as error:
            if self._on_unsendable is not None:
                self._on_unsendable(message, error)
            else:
                logger.error("cannot send %s to %s: %s", type(message).__name__, self.stream.peer_address, error)
            return False
        return True

    # --- in

    def attach(self, stream: Stream, peer_has: int = 0) -> None:
        """Speak over this stream from now on. `peer_has`: what the other end's opening frame acknowledged, when that was read already (`accept`).

        On a resumable link nothing but the opening goes out before both ends have opened. An older stream is aborted.
        """
        if self.closed:
            stream.abort()
            return
        self._streams += 1
        old, self.stream = self.stream, stream
        if old is not None:
            old.abort()
        self._peer_has = peer_has
        if self._session is None:
            stream.start(self._on_messages, self._stream_ended)
            self.flush()
        else:
            self._held = True
            stream.start_frames(self._frame_came, self._stream_ended)

    def _frame_came(self, number: int, acknowledged: int, messages: list[Message]) -> None:
        session = self._session
        assert session is not None
        first = messages[0] if messages else None
        try:
            if number == 0 and self._held and type(first) is Welcome:
                self._welcomed(first, acknowledged)
            else:
                messages = session.receive(NumberedFrame(number, acknowledged, messages))
        except ProtocolError as error:
            self._break(f"protocol error: {error}")
            return
        if messages:
            self._on_messages(messages)
        session = self._session
        if session is None or self.stream is None or self._held:
            return
        if session.ack_due and not self._outbox:
            self._put_frame(session.ack())
        elif session.owes_ack and self._ack_timer is None:
            self._ack_timer = self._loop.call_later(_ACK_S, self._ack_late)

    def _welcomed(self, welcome: Welcome, acknowledged: int) -> None:
        """The other end has opened after our `ClientHello(resume=True)`."""
        assert self._session is not None
        self._held = False
        if not welcome.resumed:
            self._session = Session()  # what we said to the other one is nobody's business any more
            self._outbox = []
            return
        for frame in self._session.resume(acknowledged):
            self._put_frame(frame)
        self.flush()

    def _ack_late(self) -> None:
        self._ack_timer = None
        if self._session is not None and self._session.owes_ack and self.stream is not None and not self._held and not self.closed:
            self._put_frame(self._session.ack())

    def _break(self, reason: str) -> None:
        """We end the stream, since the other end does not make sense."""
        stream = self.stream
        if stream is not None:
            logger.warning("closing the connection with %s: %s", stream.peer_address, reason)
            stream.abort()
        self._stream_ended(reason)

    def _stream_ended(self, reason: str) -> None:
        self.stream = None
        if self.closed:
            return
        if self._session is None:
            self.closed = True
            self._outbox = []
        self._on_lost(reason)

    # --- end

    def close(self) -> None:
        """Send what is in the outbox, then end. `on_lost` is not called."""
        if self.closed:
            return
        self.flush()
        self.closed = True
        self._outbox = []
        self._cancel_timers()
        if self.stream is not None:
            self.stream.close()

    def abort(self) -> None:
        """End at once. `on_lost` is not called."""
        self.closed = True
        self._outbox = []
        self._cancel_timers()
        if self.stream is not None:
            self.stream.abort()

    def _cancel_timers(self) -> None:
        for timer in (self._ack_timer, self._ride):
            if timer is not None:
                timer.cancel()

    async def wait_closed(self) -> None:
        """After `close`: return when everything was sent and the socket is gone."""
        if self.stream is not None:
            await self.stream.wait_closed()


def accept(stream: Stream, on_first: Callable[[Stream, int, list[Message]], object]) -> None:
    """Wait for the first frame on a stream that came in, and call `on_first(stream, acknowledged, messages)`, which gives the stream to a `Link`
    (with `attach(stream, acknowledged)`) and delivers the messages, or closes it. A stream that ends before is forgotten."""

    def first(number: int, acknowledged: int, messages: list[Message]) -> None:
        if number != 0 or not messages:
            logger.warning("closing the connection with %s: it does not begin with an opening", stream.peer_address)
            stream.abort()
            return
        on_first(stream, acknowledged, messages)

    def ended(reason: str) -> None:
        logger.info("%s left before it said anything: %s", stream.peer_address, reason)

    stream.start_frames(first, ended)


class Dialer:
    """The connecting side of a link: connects, and after a break connects again with growing pauses.

    `on_connected()` is called for each stream that stands, and sends the opening (`ClientHello`, `WorkerHello`). `on_lost(reason)` is called once,
    when it is given up:
    after `patience_s` seconds without success (for a client its lease), at once for a wrong token or version, at once when `patience_s` is 0.
    `on_down(reason)`, if given, hears of each break.
    """

    def __init__(
        self,
        address: str,
        *,
        on_connected: Callable[[], object],
        on_messages: OnMessages,
        on_lost: OnLost,
        on_down: OnLost | None = None,
        security: Security | None = None,
        hello: dict[str, Any] | None = None,
        patience_s: float = 30.0,
        resumable: bool = True,
        pack_local: PackLocal | None = None,
        on_unsendable: Callable[[Message, Exception], object] | None = None,
    ) -> None:
        self.address = address
        self.link = Link(on_messages, self._broken, resumable=resumable, on_unsendable=on_unsendable)
        self._on_connected = on_connected
        self._on_lost = on_lost
        self._on_down = on_down
        self._security = security
        self._hello = hello
        self._patience_s = patience_s
        self._pack_local = pack_local
        self._task: asyncio.Task[None] | None = None

    async def connect(self, timeout_s: float = 10.0) -> None:
        """The first connection. Raises as `comm.connect` does."""
        await self._connect_once(timeout_s)

    async def _connect_once(self, timeout_s: float) -> None:
        stream = await comm.connect(self.address, security=self._security, hello=self._hello, timeout_s=timeout_s, pack_local=self._pack_local)
        self.link.attach(stream)
        if not self.link.closed:
            self._on_connected()

    def send(self, message: Message) -> None:
        """See `Link.send`."""
        self.link.send(message)

    def _broken(self, reason: str) -> None:
        if self._on_down is not None:
            self._on_down(reason)
        if self._patience_s <= 0 or self.link.closed:
            self._give_up(reason)
        elif self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._connect_again(reason))

    async def _connect_again(self, reason: str) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience_s
        pause = 0.05
        while True:
            left = deadline - loop.time()
            if left <= 0:
                self._task = None
                self._give_up(reason)
                return
            try:
                await self._connect_once(min(left, 10.0))
            except HandshakeError as error:
                self._task = None
                self._give_up(str(error))
                return
            except ConnectionFailed as error:
                reason = str(error)
                await asyncio.sleep(min(left, pause * (0.5 + random.random())))
                pause = min(2.0, pause * 1.6)
            else:
                self._task = None
                return

    def _give_up(self, reason: str) -> None:
        if not self.link.closed or self._patience_s <= 0:
            self.link.abort()
            self._on_lost(reason)

    def close(self) -> None:
        """Send what is in the outbox, end, and give up connecting. `on_lost` is not called."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self.link.close()

    def abort(self) -> None:
        """End at once. `on_lost` is not called."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self.link.abort()

    async def wait_closed(self) -> None:
        """After `close`: return when everything was sent and the socket is gone."""
        await self.link.wait_closed()


class Requests:
    """Questions under way: numbers go out, futures wait.

    >>> async def example():
    ...     requests = Requests()
    ...     number, answer = requests.new()
    ...     requests.answer(number, "yes")
    ...     return await answer
    >>> asyncio.run(example())
    'yes'
    """

    def __init__(self) -> None:
        self._last = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    def new(self) -> tuple[int, asyncio.Future[Any]]:
        """A number for a question, and the future of its answer. A cancelled future's answer is dropped."""
        self._last += 1
        future = self._waiting[self._last] = asyncio.get_running_loop().create_future()
        return self._last, future

    def answer(self, number: int, value: Any) -> None:
        """The answer has come. Unknown numbers are ignored: nobody waits any more."""
        future = self._waiting.pop(number, None)
        if future is not None and not future.done():
            future.set_result(value)

    def fail(self, error: Exception) -> None:
        """No answer will come any more."""
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(error)

    def __len__(self) -> int:
        return len(self._waiting)
