"""Links that break and come back, and the two sides that make them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from jupyterfut import comm
from jupyterfut.comm import Security, Stream
from jupyterfut.core.ordered import ACK_EVERY
from jupyterfut.errors import ConnectionFailed, WrongToken
from jupyterfut.runtime.peer import Dialer, Link, Requests, accept
from jupyterfut.wire.framing import FrameLimits
from jupyterfut.wire.messages import ClientHello, GetData, Message, Reply, WantKeys, Welcome

TOKEN = Security(token="secret")


class Server:
    """What the scheduler's shell does with links, in small."""

    def __init__(self) -> None:
        self.links: dict[str, Link] = {}
        self.heard: list[Message] = []
        self.lost: list[str] = []
        self.news = asyncio.Event()
        self.listener: comm.Listener

    async def start(self, address: str = "tcp://127.0.0.1:0") -> Server:
        self.listener = await comm.listen(address, lambda stream: accept(stream, self.first), security=TOKEN)
        return self

    def first(self, stream: Stream, acknowledged: int, messages: list[Message]) -> None:
        hello = messages[0]
        link = self.links.get(hello.client)
        resumed = bool(hello.resume) and link is not None
        if link is None or not resumed:
            link = self.links[hello.client] = Link(self.take, self.lost.append, resumable=True)
        link.attach(stream, acknowledged)
        link.send(Welcome(resumed, {}))
        self.take(messages[1:])

    def take(self, messages: list[Message]) -> None:
        self.heard += messages
        self.news.set()

    @property
    def link(self) -> Link:
        (link,) = self.links.values()
        return link

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self.news.clear()
                await self.news.wait()


class Client:
    """What a client's shell does with its dialer, in small."""

    def __init__(self, address: str, security: Security = TOKEN, **options: Any) -> None:
        self.heard: list[Message] = []
        self.welcomes: list[bool] = []
        self.down: list[str] = []
        self.lost: list[str] = []
        self.news = asyncio.Event()
        self.dialer = Dialer(
            address,
            on_connected=lambda: self.dialer.send(ClientHello("c", "me", bool(self.welcomes))),
            on_messages=self.take,
            on_lost=self.gone,
            on_down=self.down.append,
            security=security,
            **options,
        )

    def take(self, messages: list[Message]) -> None:
        for message in messages:
            if type(message) is Welcome:
                self.welcomes.append(message.resumed)
            else:
                self.heard.append(message)
        self.news.set()

    def gone(self, reason: str) -> None:
        self.lost.append(reason)
        self.news.set()

    until = Server.until


@contextlib.asynccontextmanager
async def both(**options: Any) -> AsyncIterator[tuple[Server, Client]]:
    server = await Server().start()
    client = Client(server.listener.address, **options)
    try:
        await client.dialer.connect()
        await client.until(lambda: client.welcomes == [False])
        yield server, client
    finally:
        client.dialer.close()
        server.listener.close()
        for link in server.links.values():
            link.close()
        await client.dialer.wait_closed()


def numbers(messages: list[Message]) -> list[int]:
    return [message.id for message in messages]


def test_one_tick_is_one_frame() -> None:
    async def story() -> None:
        async with both() as (server, client):
            batches: list[int] = []
            server.link._on_messages = lambda messages: (batches.append(len(messages)), server.take(messages))
            for i in range(100):
                client.dialer.send(GetData(i, []))
            await server.until(lambda: len(server.heard) == 100)
            assert batches == [100]
            assert numbers(server.heard) == list(range(100))

    asyncio.run(story())


def test_a_broken_stream_loses_nothing() -> None:
    async def story() -> None:
        async with both() as (server, client):
            rng = random.Random(7)
            for turn in range(25):
                for i in range(turn * 10, turn * 10 + 10):
                    client.dialer.send(GetData(i, ["k" * rng.choice((1, 1000, 100_000))]))
                    server.link.send(Reply(i, "v" * rng.choice((1, 100_000)), None))
                    if rng.random() < 0.3:
                        await asyncio.sleep(0)
                stream = rng.choice([client.dialer.link, server.link]).stream
                assert stream is not None
                stream._sock.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]  # the network breaks
                await client.until(lambda turn=turn: len(client.welcomes) == turn + 2)
            await server.until(lambda: len(server.heard) >= 250)
            await client.until(lambda: len(client.heard) >= 250)
            assert numbers(server.heard) == numbers(client.heard) == list(range(250))
            assert client.welcomes == [False] + [True] * 25
            assert client.lost == []

    asyncio.run(story())


def test_who_is_not_known_any_more_begins_anew() -> None:
    async def story() -> None:
        async with both() as (server, client):
            client.dialer.send(GetData(1, []))
            await server.until(lambda: len(server.heard) == 1)
            old = server.links.pop("c")
            old.abort()
            await client.until(lambda: len(client.welcomes) == 2)
            assert client.welcomes == [False, False]
            client.dialer.send(GetData(2, []))
            await server.until(lambda: len(server.heard) == 2)
            server.link.send(Reply(3, None, None))
            await client.until(lambda: numbers(client.heard) == [3])

    asyncio.run(story())


def test_what_was_said_before_the_first_welcome_is_said_again() -> None:
    async def story() -> None:
        server = Server()
        streams: list[Stream] = []

        def on_stream(stream: Stream) -> None:
            if not streams:
                streams.append(stream)
                stream.start(lambda messages: stream.abort(), print)  # gone before a word of welcome
            else:
                accept(stream, server.first)

        server.listener = await comm.listen("tcp://127.0.0.1:0", on_stream, security=TOKEN)
        client = Client(server.listener.address)
        await client.dialer.connect()
        client.dialer.send(GetData(1, []))
        await server.until(lambda: numbers(server.heard) == [1])
        await client.until(lambda: client.welcomes == [False])
        client.dialer.close()
        server.listener.close()
        server.link.close()

    asyncio.run(story())


def test_one_way_traffic_is_forgotten_by_the_sender() -> None:
    async def story() -> None:
        async with both() as (server, client):
            session = client.dialer.link._session
            assert session is not None
            for i in range(3 * ACK_EVERY):
                client.dialer.send(GetData(i, []))
                client.dialer.link.flush()
            await server.until(lambda: len(server.heard) == 3 * ACK_EVERY)
            client.dialer.send(GetData(99, []))
            async with asyncio.timeout(10):
                while session.unacknowledged or numbers(server.heard)[-1] != 99:  # the last one waits for the timer
                    await asyncio.sleep(0.01)

    asyncio.run(story())


def test_a_message_that_cannot_be_sent_spoils_no_other() -> None:
    async def story() -> None:
        refused: list[tuple[Message, Exception]] = []
        async with both(on_unsendable=lambda message, error: refused.append((message, error))) as (server, client):
            client.dialer.send(GetData(1, []))
            client.dialer.send(Reply(2, object(), None))
            client.dialer.send(GetData(3, []))
            await server.until(lambda: len(server.heard) == 2)
            assert numbers(server.heard) == [1, 3]
            assert [message.id for message, _ in refused] == [2]

    asyncio.run(story())


def test_a_batch_over_the_limit_leaves_in_parts() -> None:
    async def story() -> None:
        async with both() as (server, client):
            stream = client.dialer.link.stream
            stream._limits = FrameLimits(body_bytes=1000)  # type: ignore[union-attr]  # the sender's limit
            for i in range(50):
                client.dialer.send(GetData(i, ["k" * 100]))
            await server.until(lambda: len(server.heard) == 50)
            assert numbers(server.heard) == list(range(50))
            server.link.send(Reply(1, "still alive", None))
            await client.until(lambda: numbers(client.heard) == [1])

    asyncio.run(story())


def test_patience_ends() -> None:
    async def story() -> None:
        async with both(patience_s=0.2) as (server, client):
            server.listener.close()
            server.link.abort()
            await client.until(lambda: client.lost != [])
            assert len(client.down) == 1
            assert "nobody listens" in client.lost[0]
            client.dialer.send(GetData(1, []))
            assert client.dialer.link.closed

    asyncio.run(story())


def test_no_patience_no_second_try() -> None:
    async def story() -> None:
        async with both(patience_s=0) as (server, client):
            server.link.abort()
            await client.until(lambda: client.lost != [])
            assert client.lost == client.down

    asyncio.run(story())


def test_a_scheduler_with_another_token_is_given_up_at_once() -> None:
    async def story() -> None:
        async with both() as (server, client):
            address = server.listener.address
            server.listener.close()
            other = await comm.listen(address, print, security=Security(token="other"))
            server.link.abort()
            await client.until(lambda: client.lost != [])
            assert "token" in client.lost[0]
            other.close()

    asyncio.run(story())


@pytest.mark.parametrize(("security", "error"), [(Security(token="wrong"), WrongToken), (TOKEN, ConnectionFailed)])
def test_the_first_connection_fails_at_once(security: Security, error: type[Exception]) -> None:
    async def story() -> None:
        server = await Server().start()
        if error is ConnectionFailed:
            server.listener.close()
        with pytest.raises(error):
            await Client(server.listener.address, security).dialer.connect()
        server.listener.close()

    asyncio.run(story())


def test_who_does_not_open_is_shown_the_door(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        server = await Server().start()
        stream = await comm.connect(server.listener.address, security=TOKEN)
        gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        stream.start(print, gone.set_result)
        stream.send_frame([WantKeys(["x"])], 5, 0)
        assert await gone
        server.listener.close()

    asyncio.run(story())
    assert "does not begin with an opening" in caplog.text


def test_nonsense_numbers_end_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with both() as (server, client):
            stream = client.dialer.link.stream
            assert stream is not None
            stream.send_frame([WantKeys(["x"])], 55, 0)
            await client.until(lambda: True in client.welcomes)
            assert server.lost == ["protocol error: frame 55 follows frame 0"]

    asyncio.run(story())
    assert "frame 55 follows frame 0" in caplog.text


def test_requests() -> None:
    async def story() -> None:
        requests = Requests()
        first, a = requests.new()
        second, b = requests.new()
        requests.answer(second, "b")
        requests.answer(99, "nobody")
        assert await b == "b"
        requests.fail(ConnectionFailed("gone"))
        with pytest.raises(ConnectionFailed, match="gone"):
            await a
        requests.answer(first, "late")
        assert len(requests) == 0

    asyncio.run(story())
