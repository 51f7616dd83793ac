"""Streams of messages between two processes (or two parts of one). The runtime calls `connect` and `listen`; the address's scheme picks the
transport.

A transport is a module with the coroutines `connect` and `listen` of the signatures below. Ours are `tcp`, `tls` and `inproc`; others are found
through the
entry-point group `jupyterfut.transports` under the name of their scheme.
"""

from __future__ import annotations

import importlib
import socket
from collections.abc import Callable
from typing import Any

from jupyterfut import plugins
from jupyterfut.comm.addresses import format_address, parse_address
from jupyterfut.comm.security import Security
from jupyterfut.comm.stream import Listener, Stream
from jupyterfut.config import settings
from jupyterfut.wire.codec import PackLocal
from jupyterfut.wire.framing import FrameLimits

__all__ = ["Listener", "Security", "Stream", "connect", "format_address", "listen", "parse_address"]

_TRANSPORTS = {"tcp": "jupyterfut.comm.tcp", "tls": "jupyterfut.comm.tls", "inproc": "jupyterfut.comm.inproc"}


def _transport(address: str) -> Any:
    scheme = parse_address(address).scheme
    module = _TRANSPORTS.get(scheme)
    if module is not None:
        return importlib.import_module(module)
    try:
        return plugins.load("transports", scheme)
    except LookupError:
        known = ", ".join(sorted([*_TRANSPORTS, *plugins.names("transports")]))
        raise ValueError(f"not an address: {address!r} (no transport is called {scheme!r}; there are: {known})") from None


def _limits() -> FrameLimits:
    return FrameLimits(body_bytes=settings().comm.frame_bytes_limit)


async def connect(
    address: str,
    *,
    security: Security | None = None,
    hello: dict[str, Any] | None = None,
    timeout_s: float = 10.0,
    pack_local: PackLocal | None = None,
    limits: FrameLimits | None = None,
) -> Stream:
    """Connect, prove the token, exchange hellos; then call the stream's `start`.

    `pack_local` makes a sendable payload of a `Local`, on transports that leave the process. Raises `ConnectionFailed` (nobody listens, or
    `timeout_s` seconds passed),
    its subclasses `WrongToken` and `HandshakeError`, and ValueError for a bad address; each names the address.
    """
    stream: Stream = await _transport(address).connect(
        address, security=security, hello=hello, timeout_s=timeout_s, pack_local=pack_local, limits=limits or _limits()
    )
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
) -> Listener:
    """Listen until `close`. `on_stream(stream)` is called for each connection whose handshake is done, and calls its `start`. Port 0: any free one,
    see `address`.
    `sock`: a bound socket that listens already, whose `address` the caller knows; it belongs to the listener from now on.

    A connection that fails its handshake is logged in one line and forgotten. Raises `ConnectionFailed` when the address cannot be bound, ValueError
    when it is none.
    """
    listener: Listener = await _transport(address).listen(
        address,
        on_stream,
        security=security,
        hello=hello,
        pack_local=pack_local,
        limits=limits or _limits(),
        handshake_timeout_s=handshake_timeout_s,
        sock=sock,
    )
    return listener
