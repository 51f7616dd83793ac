"""The client's connection: how it is found, refused, broken, taken up again, and given up."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from jupyterfut import CancelledError, Client, LocalCluster, Scheduler, Security, TimeoutError, Worker  # noqa: A004
from jupyterfut.config import Settings, use
from jupyterfut.errors import ClosedError, ConnectionFailed, HandshakeError, LostData, WrongToken
from jupyterfut.runtime import connections


def inc(x: int) -> int:
    return x + 1


def _break_links(s: Scheduler) -> None:
    """As a network does it: all streams of clients end, from outside."""
    for peer in list(s._clients.values()):
        stream = s._links[peer].stream
        if stream is not None:
            stream._sock.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]  # a socket stream


def test_a_broken_link_comes_back_and_nothing_was_lost() -> None:
    async def main() -> None:
        async with Scheduler(port=0) as s, Worker(s.address, nthreads=1, token=s.token), Client(s, asynchronous=True) as client:
            held = await client.submit(inc, 1)
            assert held == 2
            keep = client.submit(inc, 1)
            for round_ in range(5):
                futures = client.map(inc, range(100 * round_, 100 * round_ + 50))
                await asyncio.sleep(0)
                _break_links(s)
                futures += client.map(inc, range(100 * round_ + 50, 100 * round_ + 100))
                assert await client.gather(futures, timeout=20) == list(range(100 * round_ + 1, 100 * round_ + 101))
            assert keep.status == "finished"
            assert client.status == "running"

    asyncio.run(main())


def test_after_the_lease_everything_ends_with_a_clear_error() -> None:
    use(Settings.from_dict({"scheduler": {"lease_s": 0.05}}))
    try:

        async def main() -> None:
            async with Scheduler(port=0) as s, Worker(s.address, nthreads=1, token=s.token):
                client = await Client(s, asynchronous=True)
                done, waiting = client.submit(inc, 1), client.submit(inc, 2, workers="nobody")
                assert await done == 2
                asking = asyncio.ensure_future(client.wait_for_workers(5))
                await asyncio.sleep(0)
                s._listener.close()
                _break_links(s)
                with pytest.raises(CancelledError, match="connection to the scheduler is lost"):
                    await waiting
                with pytest.raises(ConnectionFailed):
                    await asking
                with pytest.raises(LostData, match="connection to the scheduler is lost"):
                    await done
                assert (done.status, waiting.status, client.status) == ("lost", "cancelled", "closed")
                with pytest.raises(ClosedError, match="connection to the scheduler is lost"):
                    client.submit(inc, 1)
                await client.close()

        asyncio.run(main())
    finally:
        use(Settings())


def test_a_new_scheduler_at_the_old_address_does_not_know_our_futures() -> None:
    async def main() -> None:
        s = await Scheduler(port=0).start()
        client = await Client(s, asynchronous=True)
        port = int(s.address.rpartition(":")[2])
        waiting = client.submit(inc, 1)
        await client.nthreads()
        s._listener.close()
        _break_links(s)
        s._links.clear()  # it was killed: it says no goodbye
        await s.close()
        async with Scheduler(port=port, token=s.token) as again, Worker(again.address, nthreads=1, token=s.token):
            with pytest.raises(CancelledError):
                await waiting.result(timeout=20)
            assert client.status == "running"  # it is welcome there, as a new client
            assert await client.submit(inc, 1).result(timeout=20) == 2
            assert client.cluster_id == again.id
            await client.close()

    asyncio.run(main())


def test_a_scheduler_that_closes_says_so() -> None:
    async def main() -> None:
        async with Scheduler(port=0) as s:
            client = await Client(s, asynchronous=True)
            waiting = client.submit(inc, 1)
        with pytest.raises(CancelledError, match="closed"):
            await waiting.result(timeout=20)
        assert client.status == "closed"
        with pytest.raises(ClosedError, match="closed"):
            client.submit(inc, 1)
        await client.close()

    asyncio.run(main())


def test_nobody_listens() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with pytest.raises(ConnectionFailed, match=str(port)):
        Client(f"tcp://127.0.0.1:{port}")

    async def main() -> None:
        with pytest.raises(ConnectionFailed, match=str(port)):
            await Client(f"127.0.0.1:{port}", asynchronous=True)

    asyncio.run(main())


def test_somebody_else_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk_nonsense() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 20)
                connection.recv(10_000)

        thread = threading.Thread(target=talk_nonsense)
        thread.start()
        with pytest.raises(HandshakeError):
            Client(f"tcp://127.0.0.1:{server.getsockname()[1]}", timeout=5)
        thread.join(5)


def test_somebody_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with pytest.raises((ConnectionFailed, TimeoutError)):
            Client(f"tcp://127.0.0.1:{server.getsockname()[1]}", timeout="50 ms")


def test_a_wrong_token() -> None:
    async def main() -> None:
        async with Scheduler(port=0) as s:
            with pytest.raises(WrongToken):
                await Client(s.address, security=Security(token="not this one"), asynchronous=True)
            async with Client(s.address, asynchronous=True) as client:  # the cluster lives on
                assert await client.nthreads() == {}

    asyncio.run(main())


def test_ways_to_name_a_cluster(tmp_path: Path) -> None:
    async def main() -> None:
        async with Scheduler(port=0) as s, Worker(s.address, nthreads=1, token=s.token):
            info = connections.write_connection_file(s.address, s.token, "mill")
            file = tmp_path / "scheduler.json"
            file.write_text(json.dumps({"address": s.address, "token": s.token, "pid": info.pid}))
            connections.forget_token(s.address)
            for arguments in ({"address": "mill"}, {"scheduler_file": str(file)}, {"address": s.address}, {"address": s}):
                async with Client(**arguments, asynchronous=True) as client:
                    assert await client.submit(inc, 1) == 2
            connections.remove_connection_file(info)
            with pytest.raises(ConnectionFailed, match="no cluster called 'mill' runs"):
                await Client("mill", asynchronous=True)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"address": "tcp://[::1"}, ValueError, "::1"),
        ({"address": "localhost:99999999"}, ValueError, "99999999"),
        ({"address": "smoke://here:1"}, ValueError, "smoke"),
        ({"address": 5}, TypeError, "5"),
        ({"address": "tcp://127.0.0.1:1", "n_workers": 2}, TypeError, "n_workers"),
        ({"address": "tcp://127.0.0.1:1", "scheduler_file": "x"}, TypeError, "not both"),
        ({"address": "tcp://127.0.0.1:1", "security": "secret"}, TypeError, "Security"),
        ({"address": "tcp://127.0.0.1:1", "timeout": -1}, ValueError, "-1"),
        ({"scheduler_file": "/nowhere/at-all.json"}, ConnectionFailed, "at-all.json"),
        ({"processes": False, "n_wrokers": 2}, TypeError, "n_wrokers"),
    ],
)
def test_bad_addresses_and_options(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Client(**arguments)


def test_a_cluster_of_ones_own_outlives_its_clients() -> None:
    with LocalCluster(processes=False, threads_per_worker=1) as cluster:
        with Client(cluster) as client:
            assert client.cluster is cluster
            assert client.submit(inc, 1).result(10) == 2
        with cluster.get_client() as client:
            assert client.submit(inc, 1).result(10) == 2


def test_a_client_that_nobody_has_ends() -> None:
    import gc

    client = Client(processes=False, threads_per_worker=1, set_as_default=False)
    future = client.submit(inc, 1)
    assert future.result(10) == 2
    thread = client._thread
    del client
    gc.collect()
    assert thread.is_running  # its future keeps it
    del future
    gc.collect()
    thread._thread.join(10)
    assert not thread.is_running


def test_the_latest_client_lives_without_a_name() -> None:
    from jupyterfut import default_client

    Client(processes=False, threads_per_worker=1)
    assert default_client().submit(inc, 1).result(10) == 2
    default_client().close()
