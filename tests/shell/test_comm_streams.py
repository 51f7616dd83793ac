"""What every transport must do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop
from comm_helpers import End, pair

from jupyterfut import comm
from jupyterfut.comm import Security
from jupyterfut.errors import ConnectionFailed, SerializationError
from jupyterfut.wire.messages import GetData, Reply, WantKeys
from jupyterfut.wire.payload import Blob, Local

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Security:
    """A certificate authority made for this run, and one certificate."""
    directory: Path = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    paths = {name: str(directory / f"{name}.pem") for name in ("ca", "cert", "key")}
    authority.cert_pem.write_to_path(paths["ca"])
    certificate.private_key_pem.write_to_path(paths["key"])
    certificate.cert_chain_pems[0].write_to_path(paths["cert"])
    return Security(token="secret", tls_ca=paths["ca"], tls_cert=paths["cert"], tls_key=paths["key"])


@pytest.fixture(params=["tcp", "tls", "inproc"])
def address(request: pytest.FixtureRequest) -> str:
    return "inproc://" if request.param == "inproc" else f"{request.param}://127.0.0.1:0"


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    function: Run = request.param
    return function


def test_messages_go_both_ways_in_order(address: str, run: Run, certificates: Security) -> None:
    async def story() -> None:
        async with pair(address, certificates) as (a, b):
            assert (a.stream.hello["side"], b.stream.hello["side"]) == ("listener", "connector")
            assert a.stream.hello["python"]
            assert a.stream.peer_address.startswith(address.partition(":")[0])
            for i in range(300):
                a.stream.send([WantKeys([str(i)]), GetData(i, [])])
            b.stream.send([WantKeys(["back"])])
            heard = await b.hear(600)
            assert heard[::2] == [WantKeys([str(i)]) for i in range(300)]
            assert await a.hear() == [WantKeys(["back"])]

    run(story())


def test_large_buffers_arrive(address: str, run: Run, certificates: Security) -> None:
    async def story() -> None:
        async with pair(address, certificates) as (a, b):
            big = [bytes([i]) * size for i, size in enumerate((20_000_000, 100_000, 3_000_000))]
            a.stream.send([Reply(1, [Blob(b"head", big), b"small"], None), WantKeys(["after"])])
            data, after = await b.hear(2)
            assert [bytes(buffer) for buffer in data.value[0].buffers] == big
            assert data.value[1] == b"small"
            assert after == WantKeys(["after"])
            assert a.stream.pending_bytes == 0

    run(story())


def test_both_may_shout_at_once(address: str, run: Run, certificates: Security) -> None:
    async def story() -> None:
        async with pair(address, certificates) as (a, b):
            for _ in range(3):
                a.stream.send([Reply(1, [Blob(b"", [bytes(5_000_000)])], None)])
                b.stream.send([Reply(2, [Blob(b"", [bytes(5_000_000)])], None)])
            assert [m.id for m in await a.hear(3)] == [2, 2, 2]
            assert [m.id for m in await b.hear(3)] == [1, 1, 1]

    run(story())


def test_what_was_sent_before_close_arrives(address: str, run: Run, certificates: Security) -> None:
    async def story() -> None:
        async with pair(address, certificates) as (a, b):
            a.stream.send([Reply(1, [Blob(b"", [bytes(10_000_000)])], None)])
            a.stream.close()
            a.stream.send([WantKeys(["too late"])])
            assert a.stream.is_closed
            assert (await b.hear())[0].id == 1
            assert "closed" in await b.end()
            assert b.heard.empty()
            await a.stream.wait_closed()
            assert not a.reason.done()  # one's own close is no news
            b.stream.send([WantKeys(["nobody"])])
            b.stream.close()
            b.stream.abort()

    run(story())


def test_an_abort_is_seen_at_the_other_end(address: str, run: Run, certificates: Security) -> None:
    async def story() -> None:
        async with pair(address, certificates) as (a, b):
            a.stream.abort()
            assert await b.end()

    run(story())


def test_nothing_comes_before_start(address: str, run: Run, certificates: Security) -> None:
    async def story() -> None:
        arrived: asyncio.Future[comm.Stream] = asyncio.get_running_loop().create_future()
        listener = await comm.listen(address, arrived.set_result, security=certificates)
        a = await comm.connect(listener.address, security=certificates)
        a.send([WantKeys(["early"])])
        a.close()
        b = End(await arrived, start=False)
        b.start()
        assert await b.hear() == [WantKeys(["early"])]
        assert await b.end()
        listener.close()
        await a.wait_closed()

    run(story())


def test_listeners_can_be_replaced(address: str, run: Run, certificates: Security) -> None:
    async def story() -> None:
        async with pair(address, certificates) as (a, b):
            frames: asyncio.Queue[Any] = asyncio.Queue()
            b.stream.start_frames(lambda *frame: frames.put_nowait(frame), lambda reason: frames.put_nowait(reason))
            a.stream.send_frame([WantKeys(["x"])], 7, 3)
            a.stream.send_frame([], 0, 9)
            assert [await frames.get(), await frames.get()] == [(7, 3, [WantKeys(["x"])]), (0, 9, [])]
            a.stream.close()
            assert "closed" in await frames.get()

    run(story())


def test_a_close_inside_a_callback(address: str, run: Run, certificates: Security) -> None:
    async def story() -> None:
        async with pair(address, certificates) as (a, b):
            heard = []

            def take(messages: list[Any]) -> None:
                heard.extend(messages)
                b.stream.close()

            b.stream.start(take, lambda reason: heard.append(reason))
            a.stream.send([WantKeys(["1"])])
            assert await a.end()
            assert heard == [WantKeys(["1"])]

    run(story())


def test_a_listeners_mistake_costs_nothing_else(address: str, run: Run, certificates: Security, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with pair(address, certificates) as (a, b):
            heard: list[int] = []
            done = asyncio.Event()

            def take(number: int, acknowledged: int, messages: list[Any]) -> None:
                heard.append(number)
                if number == 3:
                    done.set()
                1 / (number - 1)

            b.stream.start_frames(take, print)
            for number in (1, 2, 3):
                a.stream.send_frame([], number, 0)
            await done.wait()
            assert heard == [1, 2, 3]

    run(story())
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_what_cannot_be_sent_is_the_senders_error(run: Run, certificates: Security) -> None:
    async def story() -> None:
        async with pair("tcp://127.0.0.1:0", certificates) as (a, b):
            for bad in (2**70, object(), Local([1], 8)):
                with pytest.raises(SerializationError):
                    a.stream.send([Reply(1, bad, None)])
                with pytest.raises(SerializationError):
                    a.stream.check([Reply(1, bad, None)])
            a.stream.send([WantKeys(["fine"])])
            assert await b.hear() == [WantKeys(["fine"])]

    run(story())


def test_references_stay_references_inside_the_process() -> None:
    async def story() -> None:
        async with pair("inproc://") as (a, b):
            value = object()
            a.stream.send([Reply(1, value, None)])
            assert (await b.hear())[0].value is value

    asyncio.run(story())


def test_two_loops_in_two_threads() -> None:
    """A client's loop and a cluster's loop in one process."""
    address: list[str] = []
    listening, done = threading.Event(), threading.Event()

    async def server() -> None:
        closed = asyncio.get_running_loop().create_future()

        def on_stream(stream: comm.Stream) -> None:
            stream.start(lambda messages: stream.send([Reply(m.id, m.keys, None) for m in messages]), closed.set_result)

        listener = await comm.listen("inproc://meeting-point", on_stream)
        address.append(listener.address)
        listening.set()
        await closed
        listener.close()
        done.set()

    thread = threading.Thread(target=asyncio.run, args=(server(),))
    thread.start()
    listening.wait()

    async def client() -> None:
        a = End(await comm.connect(address[0]))
        for i in range(100):
            a.stream.send([GetData(i, [str(i)])])
        assert [m.id for m in await a.hear(100)] == list(range(100))
        a.stream.close()

    asyncio.run(client())
    thread.join()
    assert done.is_set()


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("tcp://127.0.0.1:1", "nobody listens at tcp://127.0.0.1:1"),
        ("tls://127.0.0.1:1", "nobody listens at tls://127.0.0.1:1"),
        ("inproc://nowhere", "nobody listens at inproc://nowhere"),
        ("tcp://127.0.0.1", "no port"),
        ("tcp://no-such-host.invalid:5", "no such host"),
    ],
)
def test_an_address_nobody_listens_on(where: str, error: str) -> None:
    with pytest.raises(ConnectionFailed, match=error):
        asyncio.run(comm.connect(where, timeout_s=20))


def test_an_address_that_is_taken_or_none_at_all() -> None:
    async def story() -> None:
        listener = await comm.listen("tcp://127.0.0.1:0", print)
        with pytest.raises(ConnectionFailed, match=f"cannot listen at {listener.address}"):
            await comm.listen(listener.address, print)
        listener.close()
        named = await comm.listen("inproc://x", print)
        with pytest.raises(ConnectionFailed, match="cannot listen at inproc://x"):
            await comm.listen("inproc://x", print)
        named.close()
        for bad in ("what://x", "tcp://h:70000", "tcp://h:x", "::1:5"):
            with pytest.raises(ValueError, match="not an address"):
                await comm.connect(bad)
        with pytest.raises(ConnectionFailed, match="needs a certificate"):
            await comm.listen("tls://127.0.0.1:0", print)

    asyncio.run(story())
