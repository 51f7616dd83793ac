"""Coordination when links break, loops differ, and many threads come and go."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from typing import Any

import pytest
from coord_stories import play, waiting

from jupyterfut import Client, Event, Lock, Pub, Queue, Scheduler, Semaphore, Sub, Variable, Worker
from jupyterfut.client import values
from jupyterfut.coord.topics import topics_of
from jupyterfut.errors import ClosedError, ConnectionFailed
from jupyterfut.ids import Address
from jupyterfut.wire.messages import Notify, Published


def break_links(s: Scheduler) -> None:
    """As a network does it: all streams of clients end, from outside."""
    for peer in list(s._clients.values()):
        stream = s._links[peer].stream
        if stream is not None:
            stream._sock.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]  # a socket stream


def test_a_broken_link_loses_nothing_and_doubles_nothing() -> None:
    async def main() -> None:
        async with Scheduler(port=0) as s, Client(s, asynchronous=True) as client, Client(s, asynchronous=True) as other:
            queue, sub, pub = Queue("q", client=client), await Sub("t", client=client), await Pub("t", client=other)
            lock = Lock("x", client=client)
            getting = [await waiting(client, queue.get()) for _ in range(5)]
            await lock.acquire()
            for i in range(10):
                break_links(s)
                putting = asyncio.ensure_future(Queue("q", client=other).put(i))
                pub.put(i)
                if i == 5:
                    break_links(s)
                await putting
            assert await asyncio.gather(*getting) == [0, 1, 2, 3, 4]
            assert await queue.get(batch=5) == [5, 6, 7, 8, 9]
            assert [await sub.get() for _ in range(10)] == list(range(10))
            assert not await Lock("x", client=other).acquire(timeout=0)  # a broken link is no death
            await lock.release()

    asyncio.run(main())


def test_a_new_scheduler_knows_nothing_and_is_told_who_listens() -> None:
    async def main() -> None:
        s = await Scheduler(port=0).start()
        client = await Client(s, asynchronous=True)
        port = int(s.address.rpartition(":")[2])
        sub, pub, lock = await Sub("t"), await Pub("t"), Lock("x")
        await lock.acquire()
        getting = await waiting(client, Queue("q").get())
        s._listener.close()
        break_links(s)
        s._links.clear()  # it was killed: it says no goodbye
        await s.close()
        async with Scheduler(port=port, token=s.token) as again, Worker(again.address, nthreads=1, token=s.token):
            with pytest.raises(ConnectionFailed):
                await getting
            await client.scheduler_info()
            pub.put(1)
            assert await sub.get(timeout=20) == 1

            def publish() -> None:
                Pub("t").put(2)

            await client.submit(publish)
            assert await sub.get(timeout=20) == 2
            with pytest.raises(RuntimeError, match="not held"):
                await lock.release()
            await client.close()

    asyncio.run(main())


def test_a_worker_that_lost_its_scheduler_ends_the_waits_of_its_tasks() -> None:
    ended: list[BaseException] = []

    def read() -> None:
        sub = Sub("t")
        Queue("ready").put(1)
        try:
            sub.get()
        except BaseException as error:
            ended.append(error)
            raise

    async def main() -> None:
        async with Scheduler(host="inproc") as s, Worker(s.address, nthreads=1) as w, Client(s, asynchronous=True) as client:
            reading = client.submit(read)
            await Queue("ready").get()
            await w.close()
            reading.release()
        assert ended
        assert not w.heard

    asyncio.run(main())


def test_a_synchronous_client_is_good_for_any_loop() -> None:
    async def talk(client: Client) -> None:
        async with Lock("x") as lock:
            assert lock.locked()
            assert not await asyncio.to_thread(Lock("x").acquire, timeout=0)
        async with Semaphore(1, "s"):
            pass
        sub = Sub("t")
        Pub("t").put(1)
        async for message in sub:
            assert message == 1
            break
        assert (await Queue("q", maxsize=2)).qsize() == 0
        reading = asyncio.ensure_future(sub.__anext__())
        await asyncio.sleep(0)
        client.submit(lambda: Pub("t").put(2)).result()
        assert await reading == 2

    with Client(processes=False, n_workers=1) as client:
        asyncio.run(talk(client))


def test_thirty_threads_come_and_go() -> None:
    with Client(processes=False, n_workers=2, threads_per_worker=2) as client:
        errors: list[BaseException] = []

        def work(i: int) -> None:
            try:
                for n in range(5):
                    sub = Sub(f"t{i % 3}")
                    pub = Pub(f"t{i % 3}")
                    pub.put((i, n))
                    while sub.get(timeout=30) != (i, n):
                        pass
                    with Lock(f"l{i % 3}"), Semaphore(2, "s"):
                        Variable(f"v{i}").set(n)
                        assert Variable(f"v{i}").get() == n
                    Event(f"e{i}").set()
                    assert Event(f"e{i}").wait(timeout=30)
                    Event(f"e{i}").clear()
                    Variable(f"v{i}").delete()
                    del sub, pub
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        client.gather(client.map(work, range(30, 40)))
        assert not errors
        Semaphore(2, "s").close()
        gc.collect()
        client.sync(asyncio.sleep, 0)
        client.scheduler_info()
        topics = topics_of(client)
        assert not topics.hearing
        assert not topics.publishing
        pub = Pub("t0")
        assert pub.subscribers == {}


def test_an_interrupt_while_a_value_is_unpickled_puts_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(client: Client, payload: Any) -> Any:
        raise KeyboardInterrupt

    with Client(processes=False, n_workers=1) as client:
        queue = Queue("q")
        queue.put([client.submit(abs, -1)])
        with monkeypatch.context() as patch:
            patch.setattr(values, "opened", interrupted)
            with pytest.raises(KeyboardInterrupt):
                queue.get()
        (future,) = queue.get(timeout=30)
        assert future.result() == 1
        del future
        gc.collect()
        client.scheduler_info()
        assert client.futures == {}


def test_in_functions_that_run_on_workers() -> None:
    async def put(x: int) -> int:
        await Queue("q").put(x)
        return x

    async def story(client: Client) -> None:
        assert list((await client.run(put, 1)).values()) == [1]
        assert await Queue("q").get() == 1

    play(story, "127.0.0.1")


def test_telling_a_worker_keeps_its_order_and_survives_what_cannot_be_told(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Scheduler(port=0) as s, Worker(s.address, nthreads=1) as w, Client(s, asynchronous=True) as client:
            heard: list[Any] = []
            reached = {10: asyncio.Event(), 20: asyncio.Event()}

            def hear(payloads: list[Any]) -> None:
                heard.extend(payloads)
                if len(heard) in reached:
                    reached[len(heard)].set()

            w.heard["t"] = hear
            links = client._links
            for i in range(10):
                links.tell(w.address, Published("t", [b"%d" % i]))  # while it connects
            links.tell(w.address, Published("t", [object()]))  # type: ignore[list-item]  # what no frame can take
            links.tell(w.address, Published("nobody listens", [b""]))
            links.tell(Address("tcp://127.0.0.1:1"), Published("t", [b"nobody is there"]))
            await reached[10].wait()
            for i in range(10, 20):
                links.tell(w.address, Published("t", [b"%d" % i]))
            await reached[20].wait()
            assert heard == [b"%d" % i for i in range(20)]
            links.tell(Address("tcp://127.0.0.1:2"), Published("t", [b"it is closed while it connects"]))
        links.tell(w.address, Published("t", [b"it is closed"]))

    with caplog.at_level("ERROR"):
        asyncio.run(main())
    assert "Published cannot be sent" in caplog.text


def test_notices_of_one_moment_leave_together() -> None:
    async def story(client: Client) -> None:
        sub, pub = await Sub("t"), await Pub("t")
        sent: list[Any] = []
        send = client._session._send
        client._session._send = lambda messages: (sent.extend(messages), send(messages))[1]  # type: ignore[method-assign]
        for i in range(5):
            pub.put(i)
        assert [await sub.get() for _ in range(5)] == list(range(5))
        assert [len(message.topics) for message in sent if type(message) is Notify] == [5]

    play(story)


def test_a_publisher_outlives_its_client() -> None:
    with Client(processes=False, n_workers=1):
        pub, old = Pub("t"), Sub("t")
        pub.put(1)
        assert old.get(timeout=10) == 1
    with Client(processes=False, n_workers=1):
        sub = Sub("t")
        pub.put(2)  # finds out who listens
        assert sub.get(timeout=10) == 2
        assert pub.subscribers == {"kernels": 1}
        with pytest.raises(ClosedError):
            old.get()


def test_an_asynchronous_client_that_nobody_awaits() -> None:
    async def main() -> None:
        client = Client("tcp://127.0.0.1:1", asynchronous=True)
        Pub("t", client=client).put(1)
        Sub("t", client=client)
        Queue("q", client=client, maxsize=1).put(1).close()
        gc.collect()
        await client.close()

    asyncio.run(main())
