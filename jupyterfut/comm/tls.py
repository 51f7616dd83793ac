"""TLS: the same frames through asyncio's SSL transport, whose `BufferedProtocol` lets decrypted bytes land where they belong. Encryption copies
anyway, so pieces of a frame are
written one after the other.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any, cast

from jupyterfut.comm.addresses import format_address, parse_address
from jupyterfut.comm.framed import HANDSHAKE_BYTES, FramedStream, established
from jupyterfut.comm.security import Security
from jupyterfut.comm.stream import Stream
from jupyterfut.comm.tcp import TcpListener, bind, open_socket, tune
from jupyterfut.errors import ConnectionFailed, HandshakeError
from jupyterfut.ids import Address
from jupyterfut.wire.codec import Buffer, PackLocal
from jupyterfut.wire.framing import FrameLimits


class TlsStream(FramedStream, asyncio.BufferedProtocol):
    """A stream on asyncio's SSL transport."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._transport: asyncio.Transport | None = None
        self._scratch = bytearray(HANDSHAKE_BYTES)

    # --- asyncio's half

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's has all of its methods and is not a subclass
        self._transport = transport
        transport.set_write_buffer_limits(high=2**31 - 1)  # `pending_bytes` says how much waits; nobody pauses
        own, peer = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        self.local_address = format_address("tls", own[0], own[1]) if own else self.local_address
        self.peer_address = format_address("tls", peer[0], peer[1]) if peer else self.peer_address
        self._greet()

    def get_buffer(self, sizehint: int) -> memoryview | bytearray:
        return self._scratch if self._handshake is not None or self._over else self._reader.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        if self._over:
            return
        if self._handshake is not None:
            self._handshake_received(bytes(self._scratch[:nbytes]))
            return
        self._deliver(self._reader.received(nbytes))

    def eof_received(self) -> None:
        self._ended("the other side closed the connection")

    def connection_lost(self, error: Exception | None) -> None:
        self._ended(f"{type(error).__name__}: {error}" if error else "the other side closed the connection")
        self._transport = None
        if not self._closed.done():
            self._closed.set_result(None)

    # --- ours

    def _write(self, pieces: list[Buffer]) -> None:
        if self._transport is not None:
            for piece in pieces:
                self._transport.write(piece)

    def _read_on(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def _read_off(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def _drop(self, flush: bool) -> None:
        if self._transport is not None:
            if flush:
                self._transport.close()
            else:
                self._transport.abort()

    @property
    def pending_bytes(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0


async def connect(
    address: str,
    *,
    security: Security | None = None,
    hello: dict[str, Any] | None = None,
    timeout_s: float = 10.0,
    pack_local: PackLocal | None = None,
    limits: FrameLimits | None = None,
) -> Stream:
    """See `jupyterfut.comm.connect`."""
    security = security or Security()
    context = security.connecting_context()
    loop = asyncio.get_running_loop()

    def make() -> TlsStream:
        return TlsStream(connecting=True, token=security.token, hello=hello, pack_local=pack_local, limits=limits)

    begun = loop.time()
    try:
        async with asyncio.timeout(timeout_s) as deadline:
            sock = await open_socket(address)
            tune(sock)
            try:
                _, stream = await loop.create_connection(make, sock=sock, ssl=context, server_hostname=parse_address(address).host)
            except BaseException:
                sock.close()
                raise
    except TimeoutError:
        if not deadline.expired():
            raise
        raise ConnectionFailed(f"no TLS connection with {address} within {timeout_s:g} s") from None
    except ssl.SSLError as error:
        raise HandshakeError(f"{address}: TLS failed: {error}") from error
    except (ConnectionError, EOFError) as error:
        if isinstance(error, ConnectionFailed):
            raise
        raise HandshakeError(f"{address}: the other side closed the connection during the TLS handshake (does it speak TLS?)") from error
    await established(stream, address, timeout_s, begun)
    return stream


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
) -> TcpListener:
    """See `jupyterfut.comm.listen`."""
    security = security or Security()
    context = security.listening_context()
    loop = asyncio.get_running_loop()
    sock, contact = bind(address) if sock is None else (sock, Address(address))

    def stream() -> TlsStream:
        return TlsStream(connecting=False, token=security.token, hello=hello, pack_local=pack_local, limits=limits)

    async def make(accepted: socket.socket) -> TlsStream:
        tune(accepted)
        peer = format_address("tls", *accepted.getpeername()[:2])
        try:
            made = stream()  # uvloop's call returns its own protocol, not this one
            await loop.connect_accepted_socket(lambda: made, accepted, ssl=context, ssl_handshake_timeout=handshake_timeout_s)
        except (OSError, EOFError) as error:
            accepted.close()
            raise HandshakeError(f"{peer}: TLS failed: {error}") from error
        return made

    return TcpListener(sock, contact, on_stream, make, handshake_timeout_s)
