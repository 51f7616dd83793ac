"""Bad company: each gets one clear error or log line, and the listener lives on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from comm_helpers import End, pair
from test_comm_streams import certificates  # noqa: F401  # a fixture

from jupyterfut import comm
from jupyterfut.comm import Security
from jupyterfut.comm.addresses import parse_address
from jupyterfut.errors import ConnectionFailed, HandshakeError, WrongToken
from jupyterfut.wire.framing import HEADER, MAGIC, FrameLimits
from jupyterfut.wire.handshake import PROTOCOL, Handshake
from jupyterfut.wire.messages import GetData, WantKeys

TOKEN = Security(token="secret")


@contextlib.asynccontextmanager
async def server(address: str = "tcp://127.0.0.1:0", security: Security = TOKEN, **options: Any) -> AsyncIterator[tuple[comm.Listener, list[End]]]:
    ends: list[End] = []
    listener = await comm.listen(address, lambda stream: ends.append(End(stream)), security=security, **options)
    try:
        yield listener, ends
        good = End(await comm.connect(listener.address, security=security))  # whatever happened, it still welcomes friends
        good.stream.send([WantKeys(["alive"])])
        while not ends or ends[-1].heard.empty():
            await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(_tick())), 20)
        good.stream.close()
        await good.stream.wait_closed()
        await ends[-1].end()
    finally:
        listener.close()
        for end in ends:
            end.stream.abort()


async def _tick() -> None:
    await asyncio.sleep(0)


async def raw(address: str, *data: bytes) -> bytes:
    """Say something rude, and read until the other side closes."""
    reader, writer = await asyncio.open_connection(*parse_address(address)[1:])
    for piece in data:
        writer.write(piece)
    try:
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"\0" * 1000], ids=["http", "tls", "zeros"])
def test_garbage_on_the_port(garbage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with server() as (listener, _):
            assert await raw(listener.address, garbage) == b""

    asyncio.run(story())
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "not a jupyterfut peer" in caplog.text


@pytest.mark.parametrize("token", ["wrong", None])
def test_a_wrong_token(token: str | None, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with server() as (listener, _):
            with pytest.raises(WrongToken, match=f"{listener.address}.*token"):
                await comm.connect(listener.address, security=Security(token=token))

    asyncio.run(story())
    assert len(caplog.records) == 1
    assert "turned a connection away" in caplog.text
    assert "secret" not in caplog.text


def test_another_version(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with server() as (listener, _):
            reader, writer = await asyncio.open_connection(*parse_address(listener.address)[1:])
            stranger = Handshake(connecting=True, token="secret", hello={"jupyterfut": "99.1"}, nonce=bytes(32), protocol=99)
            writer.write(stranger.start())
            with pytest.raises(HandshakeError, match=f"speaks protocol {PROTOCOL}, here it is protocol 99: install the same version"):
                while data := await reader.read(1000):
                    writer.write(stranger.received(data))
            writer.write(stranger.last_words)
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    asyncio.run(story())
    assert len(caplog.records) == 1
    assert "jupyterfut 99.1" in caplog.text
    assert f"speaks protocol 99, here it is protocol {PROTOCOL}" in caplog.text


def test_silence_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with server(handshake_timeout_s=0.1) as (listener, _):
            assert await raw(listener.address) == b""

    asyncio.run(story())
    assert "no handshake" in caplog.text


def test_a_listener_that_says_nothing() -> None:
    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:
            address = f"tcp://127.0.0.1:{mute.getsockname()[1]}"
            with pytest.raises(ConnectionFailed, match=f"no handshake with {address} within 0.1 s"):
                await comm.connect(address, timeout_s=0.1)

    asyncio.run(story())


def test_a_listener_that_is_something_else() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def story() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as web:
            port = web.sockets[0].getsockname()[1]
            with pytest.raises(HandshakeError, match="not a jupyterfut peer"):
                await comm.connect(f"tcp://127.0.0.1:{port}")

    asyncio.run(story())


def write(end: End, data: bytes) -> None:
    end.stream._write([data])  # type: ignore[attr-defined]  # past the codec


@pytest.mark.parametrize(
    ("spoil", "log"),
    [
        (lambda end: write(end, HEADER.pack(MAGIC, 0, 2**60, 0, 0)), "over the limit"),
        (lambda end: write(end, b"garbage" * 20), "not a frame"),
        (lambda end: write(end, HEADER.pack(MAGIC, 0, 3, 0, 0) + b"\x91\x91\x05"), "WantKeys has 1 fields, not 0"),
        (lambda end: write(end, HEADER.pack(MAGIC, 0, 3, 0, 0) + b"\xc1\xc1\xc1"), "malformed MessagePack"),
    ],
    ids=["2^60 bytes", "garbage", "wrong fields", "bad body"],
)
def test_a_bad_frame_ends_its_connection_only(spoil: Callable[[End], None], log: str, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with server() as (listener, ends):
            bad = End(await comm.connect(listener.address, security=TOKEN))
            bad.stream.send([WantKeys(["before"])])
            spoil(bad)
            assert await bad.end()
            assert await ends[0].hear() == [WantKeys(["before"])]
            assert "protocol error" in await ends[0].end()

    asyncio.run(story())
    assert len(caplog.records) == 1
    assert log in caplog.text


def test_a_truncated_frame(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with server() as (listener, ends):
            bad = End(await comm.connect(listener.address, security=TOKEN))
            write(bad, HEADER.pack(MAGIC, 0, 100, 0, 0) + b"half")
            bad.stream.close()
            await bad.stream.wait_closed()
            while not ends:
                await asyncio.sleep(0)
            await ends[0].end()

    asyncio.run(story())
    assert len(caplog.records) == 1
    assert "in the midst of a frame" in caplog.text


def test_limits_are_settings(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with pair("tcp://127.0.0.1:0", limits=FrameLimits(body_bytes=1000)) as (a, b):
            a.stream.send([GetData(1, ["k" * 2000])])
            assert "over the limit of 1000" in await b.end()
            await a.end()

    asyncio.run(story())


def test_a_closed_listener_gives_up_its_handshakes() -> None:
    async def story() -> None:
        listener = await comm.listen("tcp://127.0.0.1:0", print, security=TOKEN)
        hanging = asyncio.ensure_future(raw(listener.address, b"jupy"))
        while not listener._tasks:  # type: ignore[attr-defined]  # until it has been accepted
            await asyncio.sleep(0)
        listener.close()
        assert await hanging == b""
        with pytest.raises(ConnectionFailed, match="nobody listens"):
            await comm.connect(listener.address)

    asyncio.run(story())


def test_tls_is_told_from_plain_tcp(certificates: Security, caplog: pytest.LogCaptureFixture) -> None:  # noqa: F811  # the fixture
    async def story() -> None:
        async with server("tls://127.0.0.1:0", certificates) as (listener, _):
            with pytest.raises(HandshakeError, match="closed the connection during the handshake"):
                await comm.connect(listener.address.replace("tls", "tcp"), security=certificates)
        async with server("tcp://127.0.0.1:0", certificates) as (listener, _):
            with pytest.raises(HandshakeError, match="TLS"):
                await comm.connect(listener.address.replace("tcp", "tls"), security=certificates)

    asyncio.run(story())


def test_tls_refuses_strangers_and_wrong_tokens(certificates: Security) -> None:  # noqa: F811  # the fixture
    async def story() -> None:
        async with server("tls://127.0.0.1:0", certificates) as (listener, _):
            with pytest.raises(HandshakeError, match="TLS failed.*certificate verify failed"):
                await comm.connect(listener.address, security=Security(token="secret"))
            with pytest.raises(WrongToken):
                await comm.connect(listener.address, security=Security(token="wrong", tls_ca=certificates.tls_ca))
        mutual = Security("secret", certificates.tls_cert, certificates.tls_key, certificates.tls_ca, tls_client_certs=True)
        async with server("tls://127.0.0.1:0", mutual) as (listener, _):
            with pytest.raises(HandshakeError):
                await comm.connect(listener.address, security=Security(token="secret", tls_ca=certificates.tls_ca))

    asyncio.run(story())


def test_missing_certificates_are_named(certificates: Security) -> None:  # noqa: F811  # the fixture
    with pytest.raises(ConnectionFailed, match="/no/such/file"):
        asyncio.run(comm.connect("tls://127.0.0.1:1", security=Security(tls_ca="/no/such/file")))
