"""TCP without asyncio's transports: sockets on the loop's reader and writer callbacks. `recv_into` puts bytes where they belong (see `wire.framing`)
and messages are decoded
in the same callback; `sendmsg` takes the pieces of a frame as they are, attempted at once, and what the kernel does not take waits as views of the
same memory.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from jupyterfut.comm.addresses import contact_host, format_address, is_loopback, parse_address
from jupyterfut.comm.framed import HANDSHAKE_BYTES, FramedStream, established, logger
from jupyterfut.comm.security import Security
from jupyterfut.comm.stream import Stream
from jupyterfut.errors import ConnectionFailed, JupyterfutError
from jupyterfut.ids import Address
from jupyterfut.wire.codec import Buffer, PackLocal
from jupyterfut.wire.framing import FrameLimits

_PIECES_PER_CALL = 512  #: well below every system's IOV_MAX
_SMALL_BYTES = 64 * 1024
_READS_PER_TICK = 32  #: then the loop's other work has its turn
_ACCEPTS_PER_TICK = 64
_CLOSE_S = 10.0  #: how long `close` waits for a peer that takes nothing
_LOCAL_BYTES = 512 * 1024
"""The kernel's buffers on loopback. What it would choose itself (6 MB) does not fit into a cache: 64 MB take two to three times as long."""
_DEAD_PEER_S = 60  #: unacknowledged data for so long ends the connection


class TcpStream(FramedStream):
    """A stream on one socket."""

    def __init__(self, sock: socket.socket, scheme: str = "tcp", **options: Any) -> None:
        super().__init__(**options)
        self._sock: socket.socket | None = sock
        self._queue: deque[memoryview] = deque()
        self._pending = 0
        self._closing: asyncio.TimerHandle | None = None
        self._failed = False
        tune(sock)
        self.local_address = _name_of(sock.getsockname, scheme)
        self.peer_address = _name_of(sock.getpeername, scheme)
        self._read_on()
        self._greet()

    def _read_on(self) -> None:
        assert self._sock is not None
        self.loop.add_reader(self._sock, self._readable)

    def _read_off(self) -> None:
        assert self._sock is not None
        self.loop.remove_reader(self._sock)

    # --- in

    def _readable(self) -> None:
        if self._handshake is not None:
            self._read_handshake()
            return
        reader = self._reader
        for _ in range(_READS_PER_TICK):
            sock = self._sock
            if sock is None:
                return
            memory = reader.get_buffer()
            try:
                count = sock.recv_into(memory)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._ended(_reason(error))
                return
            if not count:
                self._ended("the other side closed the connection")
                return
            self._deliver(reader.received(count))
            if count < len(memory) <= _SMALL_BYTES:
                return  # nothing more is there (in the midst of a large buffer more has come meanwhile: to ask costs less than a turn of the loop)

    def _read_handshake(self) -> None:
        assert self._sock is not None
        try:
            data = self._sock.recv(HANDSHAKE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._ended(_reason(error))
            return
        if data:
            self._handshake_received(data)
        else:
            self._ended("the other side closed the connection")

    # --- out

    def _write(self, pieces: list[Buffer]) -> None:
        if self._failed:
            return
        if self._queue:
            self._enqueue(pieces, 0)
            return
        assert self._sock is not None
        try:
            sent = self._sock.send(pieces[0]) if len(pieces) == 1 else self._sock.sendmsg(pieces[:_PIECES_PER_CALL])
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._write_failed(error)
            return
        if len(pieces) > 1 or sent < len(pieces[0]):
            self._enqueue(pieces, sent)
            if self._queue:
                self.loop.add_writer(self._sock, self._writable)

    def _enqueue(self, pieces: list[Buffer], sent: int) -> None:
        """Queue the pieces without their first `sent` bytes."""
        for piece in pieces:
            size = len(piece)
            if sent >= size:
                sent -= size
                continue
            self._queue.append(memoryview(piece)[sent:])
            self._pending += size - sent
            sent = 0

    def _writable(self) -> None:
        if self._sock is None:
            return
        queue = self._queue
        pieces = [queue[i] for i in range(min(len(queue), _PIECES_PER_CALL))]
        try:
            sent = self._sock.sendmsg(pieces)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._write_failed(error)
            return
        self._pending -= sent
        while sent:
            size = len(queue[0])
            if sent < size:
                queue[0] = queue[0][sent:]
                break
            sent -= size
            queue.popleft()
        if not queue:
            self.loop.remove_writer(self._sock)
            if self._closing is not None:
                self._finish()

    def _write_failed(self, error: OSError) -> None:
        """The reading side may still hold the last messages, and will meet the end after them; if nobody reads, tell it in the next tick."""
        self._failed = True
        self._queue.clear()
        self._pending = 0
        if self._sock is not None:
            self.loop.remove_writer(self._sock)
        if self._closing is not None:
            self._finish()
        elif not self._over:
            self.loop.call_soon(self._end_after_write, _reason(error))

    def _end_after_write(self, reason: str) -> None:
        if not self._over and self._sock is not None and self._on_closed is not None:
            self._readable()
        self._ended(reason)

    @property
    def pending_bytes(self) -> int:
        return self._pending

    # --- end

    def _drop(self, flush: bool) -> None:
        if self._sock is None:
            return
        self.loop.remove_reader(self._sock)
        if flush and self._queue:
            if self._closing is None:
                self._closing = self.loop.call_later(_CLOSE_S, self._finish)
            return
        self._finish()

    def _finish(self) -> None:
        sock, self._sock = self._sock, None
        if self._closing is not None:
            self._closing.cancel()
        if sock is None:
            return
        self.loop.remove_reader(sock)
        self.loop.remove_writer(sock)
        self._queue.clear()
        self._pending = 0
        try:
            # A socket closed with unread bytes resets the connection, and could take our last words with it.
            sock.shutdown(socket.SHUT_WR)
            for _ in range(_READS_PER_TICK):
                if not sock.recv(HANDSHAKE_BYTES * 16):
                    break
        except OSError:
            pass  # nothing to read, or gone already: both are what we want
        sock.close()
        if not self._closed.done():
            self._closed.set_result(None)


def tune(sock: socket.socket) -> None:
    """Small frames leave at once; a peer whose machine has died is noticed; on loopback the kernel's buffers fit into the processor's cache."""
    sock.setblocking(False)
    if _is_local(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LOCAL_BYTES)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LOCAL_BYTES)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _DEAD_PEER_S // 2)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_PEER_S * 1000)


def _is_local(sock: socket.socket) -> bool:
    try:
        return is_loopback(str(sock.getpeername()[0]))
    except OSError:
        return False  # gone already


def _name_of(ask: Callable[[], Any], scheme: str) -> Address:
    try:
        name = ask()
    except OSError:  # gone already
        return Address(f"{scheme}://?")
    return format_address(scheme, name[0], name[1])


def _reason(error: OSError) -> str:
    return f"{type(error).__name__}: {error.strerror or error}"


async def open_socket(address: str) -> socket.socket:
    """A connected socket that does not block. Raises `ConnectionFailed` naming the address."""
    _, host, port = parse_address(address)
    loop = asyncio.get_running_loop()
    if port == 0:
        raise ConnectionFailed(f"cannot connect to {address}: it has no port")
    try:
        found = await loop.getaddrinfo(host or "127.0.0.1", port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConnectionFailed(f"cannot connect to {address}: no such host ({error.strerror or error})") from error
    trouble: OSError | None = None
    for family, kind, protocol, _, target in found:
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, target)
        except OSError as error:
            sock.close()
            trouble = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    assert trouble is not None
    raise ConnectionFailed(f"nobody listens at {address}: {_reason(trouble)}") from trouble


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
    begun = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(timeout_s) as deadline:
            sock = await open_socket(address)
    except TimeoutError:
        if not deadline.expired():
            raise
        raise ConnectionFailed(f"no connection with {address} within {timeout_s:g} s") from None
    stream = TcpStream(sock, connecting=True, token=security.token if security else None, hello=hello, pack_local=pack_local, limits=limits)
    await established(stream, address, timeout_s, begun)
    return stream


class TcpListener:
    """Accepts on one socket. Each connection shakes hands in a task of its own, so a slow or hostile one holds up nobody."""

    def __init__(
        self,
        sock: socket.socket,
        address: Address,
        on_stream: Callable[[Stream], object],
        make: Callable[[socket.socket], Any],
        handshake_timeout_s: float,
    ) -> None:
        self.address = address
        self._loop = asyncio.get_running_loop()
        self._sock: socket.socket | None = sock
        self._on_stream = on_stream
        self._make = make
        self._timeout_s = handshake_timeout_s
        self._tasks: dict[asyncio.Task[None], socket.socket] = {}
        self._resume: asyncio.TimerHandle | None = None
        self._loop.add_reader(sock, self._acceptable)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.address}{'' if self._sock else ' closed'}>"

    def _acceptable(self) -> None:
        for _ in range(_ACCEPTS_PER_TICK):
            if self._sock is None:
                return
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
                # The connection stays in the backlog and would call us again at once: let others close something first.
                logger.error("%s cannot accept a connection for a second: %s", self.address, error)
                self._loop.remove_reader(self._sock)
                self._resume = self._loop.call_later(1.0, self._listen_again)
                return
            task = self._loop.create_task(self._welcome(sock))
            self._tasks[task] = sock
            task.add_done_callback(self._welcomed)

    def _welcomed(self, task: asyncio.Task[None]) -> None:
        sock = self._tasks.pop(task)
        if task.cancelled():  # perhaps before its first step
            sock.close()
        elif (error := task.exception()) is not None:
            raise error

    def _listen_again(self) -> None:
        if self._sock is not None:
            self._loop.add_reader(self._sock, self._acceptable)

    async def _welcome(self, sock: socket.socket) -> None:
        name = "?"
        try:
            name = str(_name_of(sock.getpeername, "tcp"))
            stream = await self._make(sock)
            await established(stream, stream.peer_address, self._timeout_s)
        except JupyterfutError as error:
            logger.warning("%s turned a connection away: %s", self.address, error)
            return
        except OSError as error:
            logger.warning("%s lost a connection with %s during the handshake: %s", self.address, name, error)
            sock.close()
            return
        self._on_stream(stream)

    def close(self) -> None:
        """Stop listening, and give up the handshakes under way. Streams live on."""
        sock, self._sock = self._sock, None
        if sock is None:
            return
        if self._resume is not None:
            self._resume.cancel()
        self._loop.remove_reader(sock)
        sock.close()
        for task in list(self._tasks):
            task.cancel()


def bind(address: str) -> tuple[socket.socket, Address]:
    """A listening socket, and the address under which others reach it. Raises `ConnectionFailed` naming the address."""
    scheme, host, port = parse_address(address)
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        found.sort(key=lambda entry: entry[0] != socket.AF_INET)  # 'localhost' is 127.0.0.1 first
        family, kind, protocol, _, target = found[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConnectionFailed(f"cannot listen at {address}: {error.strerror or error}") from error
    try:
        if sys.platform != "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(target)
        sock.listen(1024)
    except OSError as error:
        sock.close()
        raise ConnectionFailed(f"cannot listen at {address}: {error.strerror or error}") from error
    sock.setblocking(False)
    name = sock.getsockname()
    return sock, format_address(scheme, contact_host(name[0]), name[1])


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
    sock, contact = bind(address) if sock is None else (sock, Address(address))
    token = security.token if security else None

    async def make(accepted: socket.socket) -> TcpStream:
        return TcpStream(accepted, connecting=False, token=token, hello=hello, pack_local=pack_local, limits=limits)

    return TcpListener(sock, contact, on_stream, make, handshake_timeout_s)
