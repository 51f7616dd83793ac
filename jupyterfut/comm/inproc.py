"""Streams inside one process: message objects pass by reference, in order, through the event loop of the side that receives. No codec, no socket, no
token (whoever can connect
is this process already). The two sides may live in different loops, in different threads.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from jupyterfut.comm.addresses import parse_address
from jupyterfut.comm.framed import own_hello
from jupyterfut.comm.security import Security
from jupyterfut.comm.stream import OnClosed, OnFrame, OnMessages, Stream
from jupyterfut.errors import ConnectionFailed
from jupyterfut.ids import Address
from jupyterfut.wire.codec import PackLocal
from jupyterfut.wire.framing import FrameLimits
from jupyterfut.wire.messages import Message

_listeners: dict[str, InprocListener] = {}
_numbers = itertools.count(1)

_END = -1  #: in place of a frame number: the other side has closed


class InprocStream(Stream):
    """One end of a pair. `_join` makes two."""

    def __init__(self, loop: asyncio.AbstractEventLoop, own: Address, peer: Address, hello: dict[str, Any]) -> None:
        self.loop = loop
        self.hello = hello
        self.local_address = own
        self.peer_address = peer
        self._other: InprocStream | None = None
        self._inbox: deque[tuple[int, int, list[Message] | str]] = deque()
        self._woken = False
        self._over = False
        self._on_messages: OnMessages | None = None
        self._on_frame: OnFrame | None = None
        self._on_closed: OnClosed | None = None

    def __repr__(self) -> str:
        return f"<InprocStream {self.local_address} -> {self.peer_address}{' closed' if self._over else ''}>"

    def start(self, on_messages: OnMessages, on_closed: OnClosed) -> None:
        self._on_messages, self._on_frame, self._on_closed = on_messages, None, on_closed
        self._wake()

    def start_frames(self, on_frame: OnFrame, on_closed: OnClosed) -> None:
        self._on_messages, self._on_frame, self._on_closed = None, on_frame, on_closed
        self._wake()

    def _put(self, number: int, acknowledged: int, content: list[Message] | str) -> None:
        """Called by the other end, perhaps in another thread."""
        self._inbox.append((number, acknowledged, content))
        self._wake()

    def _wake(self) -> None:
        if self._woken:
            return
        self._woken = True
        if asyncio._get_running_loop() is self.loop:
            self.loop.call_soon(self._deliver)
            return
        try:
            self.loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:
            if not self.loop.is_closed():
                raise
            self._inbox.clear()  # our loop has ended without closing us: nobody will read this

    def _deliver(self) -> None:
        # The flag falls first: who puts something in after our last look wakes us again.
        self._woken = False
        if self._on_closed is None:
            return  # not started
        gathered: list[Message] = []
        while self._inbox and not self._over:
            number, acknowledged, content = self._inbox.popleft()
            if isinstance(content, str):
                self._tell(gathered)
                if not self._over:
                    self._over = True
                    self._other = None
                    self._on_closed(content)
                return
            if self._on_frame is not None:
                self._call(self._on_frame, number, acknowledged, content)
            else:
                gathered += content
        self._tell(gathered)

    def _tell(self, gathered: list[Message]) -> None:
        if gathered and self._on_messages is not None and not self._over:
            self._call(self._on_messages, gathered)

    def _call(self, listener: Callable[..., object], *args: Any) -> None:
        try:
            listener(*args)
        except Exception as error:  # noqa: BLE001  # reported as every error in a callback is
            self.loop.call_exception_handler({"message": f"error in {listener!r}, called by {self!r}", "exception": error})

    def send_frame(self, messages: list[Message], number: int, acknowledged: int) -> None:
        if not self._over and self._other is not None:
            self._other._put(number, acknowledged, messages)

    def check(self, messages: list[Message]) -> None:
        """Anything can be passed by reference."""

    @property
    def pending_bytes(self) -> int:
        return 0

    @property
    def is_closed(self) -> bool:
        return self._over

    def close(self) -> None:
        if self._over:
            return
        self._over = True
        other, self._other = self._other, None
        self._inbox.clear()
        if other is not None:
            other._put(_END, 0, "the other side closed the connection")

    def abort(self) -> None:
        self.close()

    async def wait_closed(self) -> None:
        return


class InprocListener:
    """A name under which others in this process connect."""

    def __init__(self, name: str, on_stream: Callable[[Stream], object], hello: dict[str, Any]) -> None:
        self.address = Address(f"inproc://{name}")
        self.loop = asyncio.get_running_loop()
        self.hello = hello
        self._name = name
        self._on_stream = on_stream
        self._open = True
        _listeners[name] = self

    def __repr__(self) -> str:
        return f"<InprocListener {self.address}{'' if self._open else ' closed'}>"

    def arrived(self, stream: InprocStream) -> None:
        """A connection, in this listener's own loop."""
        if self._open:
            self._on_stream(stream)
        else:
            stream.close()

    def close(self) -> None:
        """Give the name up. Streams live on."""
        self._open = False
        if _listeners.get(self._name) is self:
            del _listeners[self._name]


async def connect(
    address: str,
    *,
    security: Security | None = None,
    hello: dict[str, Any] | None = None,
    timeout_s: float = 10.0,
    pack_local: PackLocal | None = None,
    limits: FrameLimits | None = None,
) -> Stream:
    """See `jupyterfut.comm.connect`. Only what shares this process can be reached."""
    name = parse_address(address).host
    listener = _listeners.get(name)
    if listener is None or listener.loop.is_closed():
        raise ConnectionFailed(f"nobody listens at {address} (an inproc address is known in its own process only)")
    loop = asyncio.get_running_loop()
    own = Address(f"inproc://{name}/{next(_numbers)}")
    here = InprocStream(loop, own, listener.address, listener.hello)
    there = InprocStream(listener.loop, listener.address, own, own_hello(hello))
    here._other, there._other = there, here
    if listener.loop is loop:
        loop.call_soon(listener.arrived, there)
    else:
        listener.loop.call_soon_threadsafe(listener.arrived, there)
    return here


async def listen(
    address: str,
    on_stream: Callable[[Stream], object],
    *,
    security: Security | None = None,
    hello: dict[str, Any] | None = None,
    pack_local: PackLocal | None = None,
    limits: FrameLimits | None = None,
    handshake_timeout_s: float = 10.0,
    sock: socket.socket | None = None,
) -> InprocListener:
    """See `jupyterfut.comm.listen`. An address without a name gets one."""
    name = parse_address(address).host or f"{os.getpid()}-{next(_numbers)}"
    if name in _listeners:
        raise ConnectionFailed(f"cannot listen at {address}: somebody does already")
    return InprocListener(name, on_stream, own_hello(hello))
