"""Two ends of a stream in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from jupyterfut import comm
from jupyterfut.comm import Stream
from jupyterfut.wire.messages import Message


class End:
    """Listens to a stream and keeps what it hears."""

    def __init__(self, stream: Stream, start: bool = True) -> None:
        self.stream = stream
        self.heard: asyncio.Queue[Message] = asyncio.Queue()
        self.batches: list[int] = []
        self.reason: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if start:
            self.start()

    def start(self) -> None:
        self.stream.start(self.take, self.reason.set_result)

    def take(self, messages: list[Message]) -> None:
        self.batches.append(len(messages))
        for message in messages:
            self.heard.put_nowait(message)

    async def hear(self, count: int = 1) -> list[Message]:
        return [await asyncio.wait_for(self.heard.get(), 20) for _ in range(count)]

    async def end(self) -> str:
        return await asyncio.wait_for(asyncio.shield(self.reason), 5)


@contextlib.asynccontextmanager
async def pair(address: str, security: comm.Security | None = None, **options: Any) -> AsyncIterator[tuple[End, End]]:
    """(the side that connected, the side that listened), both started."""
    arrived: asyncio.Future[End] = asyncio.get_running_loop().create_future()
    listener = await comm.listen(address, lambda stream: arrived.set_result(End(stream)), security=security, hello={"side": "listener"}, **options)
    ends: list[End] = []
    try:
        ends.append(End(await comm.connect(listener.address, security=security, hello={"side": "connector"})))
        ends.append(await asyncio.wait_for(arrived, 20))
        yield ends[0], ends[1]
    finally:
        listener.close()
        for end in ends:
            end.stream.abort()
            await end.stream.wait_closed()
