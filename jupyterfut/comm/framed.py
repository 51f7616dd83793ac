"""Messages over a byte stream: handshake first, then frames. TCP and TLS share it and add only how bytes are read and written.

A failure of the other side (garbage, a truncated frame, one over the limit, a wrong token) ends this connection with one line in the log; the
listener lives on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from jupyterfut._version import __version__
from jupyterfut.comm.stream import OnClosed, OnFrame, OnMessages, Stream
from jupyterfut.errors import ConnectionFailed, HandshakeError, JupyterfutError, ProtocolError
from jupyterfut.ids import Address
from jupyterfut.wire.codec import Buffer, Encoder, PackLocal, decode
from jupyterfut.wire.framing import Frame, FrameLimits, FrameReader, frame
from jupyterfut.wire.handshake import NONCE_BYTES, Handshake
from jupyterfut.wire.messages import Message

logger = logging.getLogger("jupyterfut.comm")

HANDSHAKE_BYTES = 4096


def own_hello(hello: dict[str, Any] | None) -> dict[str, Any]:
    """The caller's hello with what every process says of itself."""
    return {"python": ".".join(map(str, sys.version_info[:3])), "jupyterfut": __version__, "pid": os.getpid(), **(hello or {})}


class FramedStream(Stream):
    """The shared half. A transport calls `_handshake_received`, then `_frames_received` and `_ended`; it offers `_write`, `_read_on`, `_read_off`
    and `_drop`.
    """

    def __init__(
        self, *, connecting: bool, token: str | None, hello: dict[str, Any] | None, pack_local: PackLocal | None, limits: FrameLimits | None
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.hello = {}
        self.peer_address = Address("")
        self.local_address = Address("")
        self.ready: asyncio.Future[None] = self.loop.create_future()  #: done with the handshake, or its error
        self._closed: asyncio.Future[None] = self.loop.create_future()
        self._handshake: Handshake | None = Handshake(
            connecting=connecting, token=token, hello=own_hello(hello), nonce=os.urandom(NONCE_BYTES)
        )
        self._encoder = Encoder(pack_local)
        self._limits = limits
        self._reader = FrameReader(limits)
        self._on_messages: OnMessages | None = None
        self._on_frame: OnFrame | None = None
        self._on_closed: OnClosed | None = None
        self._early_end: str | None = None  # ended before `start`
        self._rest = b""
        self._over = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.local_address} -> {self.peer_address}{' closed' if self._over else ''}>"

    # --- what a transport offers

    def _write(self, pieces: list[Buffer]) -> None:
        """Write the pieces in order, now or later."""
        raise AssertionError("a transport's own")

    def _read_on(self) -> None:
        """Let data come."""
        raise AssertionError("a transport's own")

    def _read_off(self) -> None:
        """Leave data in the kernel."""
        raise AssertionError("a transport's own")

    def _drop(self, flush: bool) -> None:
        """Close the socket (after what is pending, with `flush`), then set `_closed`."""
        raise AssertionError("a transport's own")

    # --- handshake

    def _greet(self) -> None:
        assert self._handshake is not None
        words = self._handshake.start()
        if words:
            self._write([words])

    def _handshake_received(self, data: bytes) -> None:
        handshake = self._handshake
        assert handshake is not None
        try:
            answer = handshake.received(data)
        except JupyterfutError as error:
            if handshake.last_words:
                self._write([handshake.last_words])
            self._fail_handshake(error)
            return
        if answer:
            self._write([answer])
        if handshake.done and not self._over:
            self._handshake = None
            self.hello = handshake.hello
            self._rest = handshake.rest
            self._read_off()
            if not self.ready.done():
                self.ready.set_result(None)

    def _fail_handshake(self, error: Exception) -> None:
        self._over = True
        self._drop(flush=True)
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()  # seen, even if nobody waits any more

    # --- frames

    def start(self, on_messages: OnMessages, on_closed: OnClosed) -> None:
        self._on_messages, self._on_frame = on_messages, None
        self._begin(on_closed)

    def start_frames(self, on_frame: OnFrame, on_closed: OnClosed) -> None:
        self._on_messages, self._on_frame = None, on_frame
        self._begin(on_closed)

    def _begin(self, on_closed: OnClosed) -> None:
        again, self._on_closed = self._on_closed is not None, on_closed
        if again:
            return
        if self._early_end is not None:
            self.loop.call_soon(on_closed, self._early_end)
            return
        if self._over:
            return
        if self._rest:
            self.loop.call_soon(self._deliver_rest)
        else:
            self._read_on()

    def _deliver_rest(self) -> None:
        rest, self._rest = self._rest, b""
        if self._over:
            return
        self._deliver(self._reader.feed(rest))
        if not self._over:
            self._read_on()

    def _deliver(self, frames: list[Frame]) -> None:
        """Decode and hand over. One call for all that came at once, unless each frame matters by itself."""
        gathered: list[Message] = []
        for number, acknowledged, body, buffers in frames:
            try:
                messages = decode(body, buffers)
            except ProtocolError as error:
                self._hand_over(gathered)
                if not self._over:
                    self._broken(error)
                return
            if self._on_frame is not None:
                self._call(self._on_frame, number, acknowledged, messages)
                if self._over:
                    return
            else:
                gathered += messages
        self._hand_over(gathered)
        if self._reader.trouble is not None and not self._over:
            self._broken(self._reader.trouble)

    def _hand_over(self, gathered: list[Message]) -> None:
        if gathered and self._on_messages is not None:
            self._call(self._on_messages, gathered)

    def _call(self, listener: Callable[..., object], *args: Any) -> None:
        """A listener's mistake must not cost the frames that came with the one it stumbled over."""
        try:
            listener(*args)
        except Exception as error:  # noqa: BLE001  # reported as every error in a callback is
            self.loop.call_exception_handler({"message": f"error in {listener!r}, called by {self!r}", "exception": error})

    def _broken(self, error: ProtocolError) -> None:
        logger.warning("closing the connection with %s: %s", self.peer_address, error)
        self._ended(f"protocol error: {error}", logged=True)

    def _ended(self, reason: str, logged: bool = False) -> None:
        """The other side or the network ended it."""
        if self._over:
            return
        if self._handshake is not None:
            error = self._handshake.ended()
            self._fail_handshake(error)
            return
        if not logged and not self._reader.at_rest:
            logger.warning("the connection with %s ended in the midst of a frame: %s", self.peer_address, reason)
        self._over = True
        self._drop(flush=False)
        if self._on_closed is None:
            self._early_end = reason
        else:
            self._on_closed(reason)

    def send_frame(self, messages: list[Message], number: int, acknowledged: int) -> None:
        if self._over:
            return
        body, buffers = self._encoder.encode(messages)
        self._write(frame(body, buffers, number, acknowledged, self._limits))

    def check(self, messages: list[Message]) -> None:
        body, buffers = self._encoder.encode(messages)
        frame(body, buffers, 0, 0, self._limits)

    @property
    def is_closed(self) -> bool:
        return self._over

    def close(self) -> None:
        if not self._over:
            self._over = True
            self._drop(flush=True)

    def abort(self) -> None:
        if not self._closed.done():
            self._over = True
            self._drop(flush=False)

    async def wait_closed(self) -> None:
        await asyncio.shield(self._closed)


async def established(stream: FramedStream, address: str, timeout_s: float, begun: float | None = None) -> None:
    """Wait for the handshake until `timeout_s` seconds after `begun` (now). Raises `WrongToken`, `HandshakeError` or `ConnectionFailed`, each naming
    the address; the stream is gone then."""
    try:
        left = timeout_s if begun is None else max(0.0, begun + timeout_s - stream.loop.time())
        await asyncio.wait_for(asyncio.shield(stream.ready), left)
    except TimeoutError:
        stream.abort()
        raise ConnectionFailed(f"no handshake with {address} within {timeout_s:g} s") from None
    except HandshakeError as error:
        raise type(error)(f"{address}: {error}") from None
    except JupyterfutError as error:
        raise HandshakeError(f"{address}: {error}") from None
    except BaseException:
        stream.abort()
        raise
