"""Large values between processes of one machine: copied once, referred to ever after, by whoever has shown that he can look."""

from __future__ import annotations

import asyncio
import gc
import os
import sys

import pytest
from test_data_server import SECURITY, bytes_of, serving

from jupyterfut import comm, serde
from jupyterfut.comm import shared
from jupyterfut.comm.shared import live_bytes, reference
from jupyterfut.errors import ConnectionFailed
from jupyterfut.runtime.data_server import DataLinks
from jupyterfut.runtime.sharing import Neighbour, Sharing
from jupyterfut.runtime.store import Store
from jupyterfut.wire.messages import DataSent, GetData, MemoryRead, PutData
from jupyterfut.wire.payload import Blob, payload_nbytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shared memory is used on Linux only")

LIMIT = 1_000_000


def large():
    return Blob(b"head", [b"a" * 3_000_000, b"", bytearray(b"b" * 100_000), memoryview(b"c" * 1_500_000)])


def places(blob):
    return [reference(part) is not None for part in (blob.head, *blob.buffers)]


def copied(monkeypatch):
    """The sizes of what is copied into shared memory from now on."""
    sizes = []
    real = shared.shared_copy
    monkeypatch.setattr("jupyterfut.runtime.sharing.shared_copy", lambda buffer: sizes.append(len(buffer)) or real(buffer))
    return sizes


def test_large_parts_are_referred_to_and_a_second_get_copies_nothing(monkeypatch):
    async def story():
        sizes = copied(monkeypatch)
        async with serving(LIMIT, x=large(), small=b"1") as (served, address, links):
            answers = [await links.get(address, ["x", "small"]) for _ in range(3)]
            assert sizes == [3_000_000, 1_500_000]
            for answer in answers:
                assert answer.keys == ["x", "small"]
                assert [bytes_of(payload) for payload in answer.payloads] == [bytes_of(large()), b"1"]
                assert places(answer.payloads[0]) == [False, True, False, False, True]
            assert places(served.store.get("x")) == [False, True, False, False, True]  # the heap has it no more
            first, second = (answer.payloads[0].buffers[0] for answer in answers[:2])
            first[:1] = b"!"
            assert second[:1] == b"a"  # each has its own
            await links.get(address, ["small"])  # whatever was said before has been read now
            assert all(not asker.sent for asker in served.server._streams.values())

    asyncio.run(story())
    gc.collect()
    assert live_bytes() == 0


def test_two_that_ask_at_once_get_the_same_memory(monkeypatch):
    async def story():
        sizes = copied(monkeypatch)
        async with serving(LIMIT, x=large()) as (_, address, links):
            answers = await asyncio.gather(*(links.get(address, ["x"]) for _ in range(5)))
            assert sizes == [3_000_000, 1_500_000]
            assert all(bytes_of(answer.payloads[0]) == bytes_of(large()) for answer in answers)

    asyncio.run(story())


def test_a_put_hands_the_memory_over_and_a_broadcast_copies_once(monkeypatch):
    async def story():
        sizes = copied(monkeypatch)
        async with serving(LIMIT) as (one, here, links), serving(LIMIT) as (two, there, _):
            blob = large()
            puts = [asyncio.create_task(links.put(address, "c", ["d"], [blob], ["bytes"])) for address in (here, there)]
            for served in (one, two):
                await served.put.wait()
                token, message = served.puts[0]
                assert bytes_of(message.payloads[0]) == bytes_of(blob)
                assert places(message.payloads[0]) == [False, True, False, False, True]
                assert message.shared == []
                served.server.answer_put(token, None)
            assert await asyncio.gather(*puts) == [None, None]
            assert sizes == [3_000_000, 1_500_000]
            del blob, puts
            gc.collect()
            assert live_bytes() == 4_500_000  # the receivers keep it alive

    asyncio.run(story())


def test_a_large_pickle_is_shared_too():
    async def story():
        value = [str(i) for i in range(300_000)]
        async with serving(LIMIT, x=serde.dumps(value)) as (_, address, links):
            (payload,) = (await links.get(address, ["x"])).payloads
            assert reference(payload.head) is not None
            assert serde.loads(payload) == value

    asyncio.run(story())


def test_what_was_on_disk_is_shared_when_it_is_asked_for(tmp_path):
    async def story():
        async with serving(LIMIT) as (served, address, links):
            served.server._store = store = Store(1000, str(tmp_path))
            store.put(["x"], [large()], [4_600_000])
            store._wanted.put(False)
            await asyncio.to_thread(store._spiller.join)
            store._spiller = None
            assert store.on_disk("x")
            (payload,) = (await links.get(address, ["x"])).payloads
            assert bytes_of(payload) == bytes_of(large())
            assert places(payload) == [False, True, False, False, True]
            store.close()

    asyncio.run(story())


def test_a_spilled_value_lets_its_memory_go(tmp_path):
    sharing = Sharing(LIMIT)
    blob = large()
    sharing.copy([blob])
    store = Store(5_000_000, str(tmp_path))
    store.put(["x"], [blob], [payload_nbytes(blob)])
    del blob
    assert live_bytes() == 4_500_000
    store.relieve(4_600_000)
    store._wanted.put(False)
    store._spiller.join()
    store._spiller = None
    assert store.on_disk("x")
    assert live_bytes() == 0
    assert bytes_of(store.get("x")) == bytes_of(large())
    store.close()
    sharing.close()


@pytest.mark.parametrize(("server", "asker"), [(0, LIMIT), (LIMIT, 0), (0, 0)])
def test_one_that_does_not_share_gets_bytes(server, asker):
    async def story():
        async with serving(server, asker, x=large()) as (served, address, links):
            (payload,) = (await links.get(address, ["x"])).payloads
            assert (bytes_of(payload), places(payload)) == (bytes_of(large()), [False] * 5)
            put = asyncio.create_task(links.put(address, "c", ["d"], [large()], ["bytes"]))
            await served.put.wait()
            token, message = served.puts[0]
            assert (bytes_of(message.payloads[0]), places(message.payloads[0])) == (bytes_of(large()), [False] * 5)
            served.server.answer_put(token, None)
            assert await put is None

    asyncio.run(story())


def test_one_that_cannot_read_our_memory_gets_bytes(monkeypatch):
    async def story():
        monkeypatch.setattr("jupyterfut.runtime.sharing.read_probe", lambda place: "")  # another machine, another container
        async with serving(LIMIT, x=large()) as (served, address, links):
            (payload,) = (await links.get(address, ["x"])).payloads
            assert (bytes_of(payload), places(payload)) == (bytes_of(large()), [False] * 5)
            put = asyncio.create_task(links.put(address, "c", ["d"], [large()], ["bytes"]))
            await served.put.wait()
            assert places(served.puts[0][1].payloads[0]) == [False] * 5
            served.server.answer_put(served.puts[0][0], None)
            assert await put is None

    asyncio.run(story())


def test_without_room_for_it_a_value_goes_through_the_socket(monkeypatch):
    async def story():
        def full(buffer):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("jupyterfut.runtime.sharing.shared_copy", full)
        async with serving(LIMIT, x=large()) as (_, address, links):
            (payload,) = (await links.get(address, ["x"])).payloads
            assert bytes_of(payload) == bytes_of(large())

    asyncio.run(story())


def test_memory_that_went_away_is_data_that_is_not_there(monkeypatch):
    async def story():
        async with serving(LIMIT, x=large(), y=b"1") as (_, address, links):

            def gone(*place):
                raise FileNotFoundError("gone")

            monkeypatch.setattr("jupyterfut.runtime.sharing.attach", gone)
            assert (await links.get(address, ["x", "y"])).keys == ["y"]
            failure = await links.put(address, "c", ["a", "b"], [b"1", large()], ["bytes", "bytes"])
            assert (failure.kind, failure.key) == ("LostData", "b")
            assert (await links.get(address, ["y"])).payloads == [b"1"]  # the streams live on

    asyncio.run(story())


@pytest.mark.parametrize("row", [[1, 2, 3], [2, 5, 5, 5], [-1, 5, 5, 5], [1, -5, 5, 5]])
def test_references_that_make_no_sense_end_the_stream(row):
    async def story():
        async with serving(LIMIT) as (served, address, _):
            sharing = Sharing(LIMIT)
            stream = await comm.connect(address, security=SECURITY, hello={"role": "data", **sharing.hello})
            ended = asyncio.get_running_loop().create_future()
            stream.start(lambda messages: None, ended.set_result)
            stream.send([*Neighbour(sharing, stream.hello).first_words, PutData(1, "c", ["d"], [Blob(b"", [b""])], ["bytes"], [row])])
            await ended
            assert served.puts == []
            sharing.close()

    asyncio.run(story())


def test_references_from_one_whose_memory_was_never_read_end_the_stream():
    async def story():
        async with serving(LIMIT) as (served, address, _):
            stream = await comm.connect(address, security=SECURITY)  # announces nothing
            ended = asyncio.get_running_loop().create_future()
            stream.start(lambda messages: None, ended.set_result)
            stream.send([PutData(1, "c", ["d"], [Blob(b"", [b""])], ["bytes"], [[1, 5, 5, 5]])])
            await ended
            assert served.puts == []

    asyncio.run(story())


def test_one_that_only_says_that_he_can_read_gets_bytes():
    async def story():
        async with serving(LIMIT, x=large()) as (_, address, _links):
            stream = await comm.connect(address, security=SECURITY, hello={"memory": [os.getpid(), 10**6, 1]})
            heard = []
            answered = asyncio.Event()

            def hear(messages):
                heard.extend(messages)
                if any(type(message) is DataSent for message in heard):
                    answered.set()

            stream.start(hear, lambda reason: None)
            stream.send([MemoryRead("guess"), GetData(1, ["x"])])
            await answered.wait()
            assert heard[0] == MemoryRead("")
            assert heard[1].shared == []
            assert bytes_of(heard[1].payloads[0]) == bytes_of(large())
            stream.close()
            await stream.wait_closed()

    asyncio.run(story())


def test_a_server_that_sends_nonsense_is_left():
    async def story():
        sharing = Sharing(LIMIT)
        ended = asyncio.get_running_loop().create_future()

        def on_stream(stream):
            def answer(messages):
                for message in messages:
                    if type(message) is GetData:
                        stream.send([DataSent(message.id, ["x"], [Blob(b"", [b""])], [[9, 1, 1, 1]])])

            stream.start(answer, ended.set_result)
            stream.send([*Neighbour(sharing, stream.hello).first_words])

        listener = await comm.listen("tcp://127.0.0.1:0", on_stream, security=SECURITY, hello=sharing.hello)
        links = DataLinks(SECURITY, shared_bytes=LIMIT)
        with pytest.raises(ConnectionFailed, match="malformed"):
            await links.get(listener.address, ["x"])
        await ended
        await links.close()
        listener.close()
        sharing.close()

    asyncio.run(story())


def test_a_server_that_leaves_before_its_first_words():

    async def story():
        sharing = Sharing(LIMIT)

        def on_stream(stream):
            stream.start(lambda messages: None, lambda reason: None)
            stream.close()

        listener = await comm.listen("tcp://127.0.0.1:0", on_stream, security=SECURITY, hello=sharing.hello)
        links = DataLinks(SECURITY, shared_bytes=LIMIT)
        with pytest.raises(ConnectionFailed):
            await links.put(listener.address, "c", ["d"], [large()], ["bytes"])
        await links.close()
        listener.close()
        sharing.close()

    asyncio.run(story())
