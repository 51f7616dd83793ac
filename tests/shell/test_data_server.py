"""Data servers over real loopback sockets: what is held is sent, whole; what is not is left out; who breaks off is noticed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from jupyterfut import comm
from jupyterfut.errors import ClosedError, ConnectionFailed, WrongToken
from jupyterfut.runtime.data_server import DataLinks, DataServer
from jupyterfut.runtime.store import Store
from jupyterfut.wire.messages import Failure, ReleaseData
from jupyterfut.wire.payload import Blob, Local

SECURITY = comm.Security(token="t")
LARGE = Blob(b"head", [b"a" * 3_000_000, b"", bytearray(b"b" * 100_000)])


class Served:
    """A data server with its store and its address."""

    def __init__(self, store):
        self.store = store
        self.puts = []
        self.server = DataServer(store, lambda token, message: self.puts.append((token, message)), local=False)
        self.streams = []
        self.put = asyncio.Event()

    def on_stream(self, stream):
        self.streams.append(stream)
        self.server.on_stream(stream)

    def on_put(self, token, message):
        self.puts.append((token, message))
        self.put.set()


@asynccontextmanager
async def serving(shared_bytes=0, links_share=None, **values):
    served = Served(Store())
    served.server = DataServer(served.store, served.on_put, local=False, shared_bytes=shared_bytes)
    served.store.put(list(values), list(values.values()), [1] * len(values))
    listener = await comm.listen("tcp://127.0.0.1:0", served.on_stream, security=SECURITY, hello=served.server.hello)
    links = DataLinks(SECURITY, shared_bytes=shared_bytes if links_share is None else links_share)
    try:
        yield served, listener.address, links
    finally:
        await links.close()
        listener.close()
        await served.server.close()


def bytes_of(payload):
    return payload if type(payload) is bytes else (bytes(payload.head), [bytes(b) for b in payload.buffers])


def test_values_arrive_whole_and_what_is_not_held_is_left_out():
    async def story():
        async with serving(small=b"1", large=LARGE, actor=Local(object(), 1)) as (_, address, links):
            answer = await links.get(address, ["small", "nothing", "large", "actor", "small"])
            assert dict(zip(answer.keys, map(bytes_of, answer.payloads), strict=True)) == {"small": b"1", "large": bytes_of(LARGE)}

    asyncio.run(story())


def test_one_stream_serves_many_questions_at_once():
    async def story():
        async with serving(x=b"1") as (served, address, links):
            answers = await asyncio.gather(*(links.get(address, ["x"]) for _ in range(50)))
            assert all(answer.payloads == [b"1"] for answer in answers)
            assert len(served.streams) == 1

    asyncio.run(story())


def test_what_is_on_disk_is_read_and_sent(tmp_path):
    async def story():
        async with serving() as (served, address, links):
            served.server._store = store = Store(1000, str(tmp_path))
            store.put(["x", "y"], [b"x" * 5000, b"y" * 5000], [5000, 5000])
            store._wanted.put(False)
            await asyncio.to_thread(store._spiller.join)
            store._spiller = None
            assert store.on_disk("x")
            answer = await links.get(address, ["x", "y"])
            assert answer.payloads == [b"x" * 5000, b"y" * 5000]
            store.close()

    asyncio.run(story())


def test_nobody_there():
    async def story():
        links = DataLinks(SECURITY)
        with pytest.raises(ConnectionFailed):
            await links.get("tcp://127.0.0.1:1", ["x"])
        with pytest.raises(ConnectionFailed):
            await links.get("tcp://127.0.0.1:1", ["x"])
        await links.close()
        with pytest.raises(ClosedError):
            await links.get("tcp://127.0.0.1:1", ["x"])

    asyncio.run(story())


def test_a_wrong_token_gets_nothing():
    async def story():
        async with serving(x=b"1") as (_, address, _links):
            stranger = DataLinks(comm.Security(token="guess"))
            with pytest.raises(WrongToken):
                await stranger.get(address, ["x"])
            await stranger.close()

    asyncio.run(story())


def test_a_server_that_breaks_off_fails_what_waits_and_is_called_again():
    async def story():
        async with serving(x=b"1") as (served, address, links):
            waiting = asyncio.create_task(links.put(address, "c", ["d"], [b"1"], ["bytes"]))
            await served.put.wait()
            served.streams[0].abort()
            with pytest.raises(ConnectionFailed, match="broke"):
                await waiting
            assert (await links.get(address, ["x"])).payloads == [b"1"]
            assert len(served.streams) == 2
            served.server.answer_put(served.puts[0][0], None)  # who asked is gone: no matter

    asyncio.run(story())


def test_a_put_is_answered_when_the_worker_says_so():
    async def story():
        async with serving() as (served, address, links):
            failure = Failure("ConnectionFailed", "no scheduler", None, "", "d")
            for answer in (None, failure):
                served.put.clear()
                waiting = asyncio.create_task(links.put(address, "c", ["d"], [LARGE], ["bytes"]))
                await served.put.wait()
                assert not waiting.done()
                token, message = served.puts[-1]
                assert (message.client, message.keys, message.types, bytes_of(message.payloads[0])) == ("c", ["d"], ["bytes"], bytes_of(LARGE))
                served.server.answer_put(token, answer)
                assert await waiting == answer

    asyncio.run(story())


def test_a_message_that_is_no_question_ends_the_stream():
    async def story():
        async with serving(x=b"1") as (_, address, _links):
            stream = await comm.connect(address, security=SECURITY)
            ended = asyncio.get_running_loop().create_future()
            stream.start(lambda messages: None, ended.set_result)
            stream.send([ReleaseData(["x"])])
            await ended
            stream.close()

    asyncio.run(story())


def test_one_askers_cancellation_does_not_cut_the_others():
    async def story():
        async with serving(x=b"1") as (_, address, links):
            first = asyncio.create_task(links.get(address, ["x"]))
            second = asyncio.create_task(links.get(address, ["x"]))
            await asyncio.sleep(0)
            first.cancel()
            assert (await second).payloads == [b"1"]

    asyncio.run(story())
