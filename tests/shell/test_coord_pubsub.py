"""Publishing and subscribing, in clusters without processes, over objects and over sockets: who hears what, in which order, and when it ends."""

from __future__ import annotations

import asyncio
import gc
import pickle
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from coord_stories import HOSTS, play

from jupyterfut import Client, Event, Pub, Queue, Scheduler, Sub, TimeoutError, Worker  # noqa: A004
from jupyterfut.coord.topics import topics_of
from jupyterfut.errors import ClosedError


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(processes=False, n_workers=2, threads_per_worker=2) as client:
        yield client


def listen(n: int, ready: str) -> list[Any]:
    sub = Sub("topic")
    Queue(ready).put(1)
    return [sub.get() for _ in range(n)]


async def listen_async(n: int, ready: str) -> list[Any]:
    sub = await Sub("topic")
    await Queue(ready).put(1)
    heard = []
    async for message in sub:
        heard.append(message)
        if len(heard) == n:
            return heard
    raise AssertionError("it ended")


def publish(n: int) -> None:
    pub = Pub("topic")
    for i in range(n):
        pub.put(i)


def publish_and_go(value: Any) -> None:
    Pub("topic").put(value)


async def publish_async(n: int) -> None:
    pub = Pub("topic")
    for i in range(n):
        pub.put(i)


# --- who hears what


def test_from_here_to_here(client: Client) -> None:
    pub = Pub("topic")
    pub.put("nobody listens yet")
    one, other, elsewhere = Sub("topic"), Sub("topic"), Sub("another topic")
    assert pub.subscribers == {"kernels": 1}
    for i in range(3):
        pub.put({"n": i})
    assert [one.get(timeout=10)["n"] for _ in range(3)] == [0, 1, 2]
    assert next(other) == {"n": 0}
    with pytest.raises(TimeoutError, match="nothing was published"):
        elsewhere.get(timeout="10 ms")
    with pytest.raises(TimeoutError):
        one.get(timeout=0)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("listener", [listen, listen_async])
@pytest.mark.parametrize("publisher", [publish, publish_async])
def test_from_tasks_to_tasks(host: str, listener: Any, publisher: Any) -> None:
    async def story(client: Client) -> None:
        ready = Queue("ready")
        listening = [client.submit(listener, 100, "ready", workers=str(i % 2), pure=False) for i in range(4)]
        await ready.get(batch=4)
        await client.submit(publisher, 100)
        assert await client.gather(listening) == [list(range(100))] * 4

    play(story, host, workers=2, nthreads=2)


@pytest.mark.parametrize("listener", [listen, listen_async])
def test_on_one_thread_listeners_make_room_for_the_publisher(listener: Any) -> None:
    async def story(client: Client) -> None:
        listening = [client.submit(listener, 10, "ready", pure=False) for _ in range(3)]
        await Queue("ready").get(batch=3)
        await client.submit(publish, 10)
        assert await client.gather(listening) == [list(range(10))] * 3

    play(story, "127.0.0.1", workers=1, nthreads=1)


@pytest.mark.parametrize("host", HOSTS)
def test_from_the_kernel_to_tasks_and_back(host: str) -> None:
    async def story(client: Client) -> None:
        sub = await Sub("topic")
        future = client.submit(publish, 5)
        assert [await sub.get() for _ in range(5)] == [0, 1, 2, 3, 4]
        await future
        await client.submit(publish_and_go, "from an object that died at once")
        assert await sub.get(timeout=10) == "from an object that died at once"
        listening = client.submit(listen, 3, "ready")
        pub = Pub("topic")
        await Queue("ready").get()
        assert len(pub.subscribers) == 2
        for i in range(3):
            pub.put(i)
        assert await listening == [0, 1, 2]
        assert [await sub.get() for _ in range(3)] == [0, 1, 2]

    play(story, host)


def test_what_is_put_before_it_is_known_who_listens_is_not_lost() -> None:
    async def story(client: Client) -> None:
        sub = await Sub("topic")
        pub = Pub("topic")  # has not been answered
        for i in range(3):
            pub.put(i)
        assert await pub is pub
        pub.put(3)
        assert [await sub.get(timeout=10) for _ in range(4)] == [0, 1, 2, 3]

    play(story)


def test_a_publisher_knows_of_a_subscriber_before_it_hears_what_followed() -> None:
    async def story(client: Client) -> None:
        pub = await Pub("topic")
        for i in range(20):
            listening = client.submit(listen, 1, "ready", pure=False)
            await Queue("ready").get()
            pub.put(i)
            assert await listening == [i]

    play(story, "127.0.0.1")


def test_many_publishers_each_in_its_order(client: Client) -> None:
    sub = Sub("topic")

    def work(i: int) -> None:
        pub = Pub("topic")
        for n in range(50):
            pub.put((i, n))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(15)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    futures = client.map(work, range(15, 20))
    heard = [sub.get(timeout=30) for _ in range(20 * 50)]
    for i in range(20):
        assert [n for who, n in heard if who == i] == list(range(50))
    client.gather(futures)


def test_threads_that_share_a_sub_share_its_messages(client: Client) -> None:
    sub, pub = Sub("topic"), Pub("topic")
    heard: list[int] = []

    def read() -> None:
        for message in sub:
            if message is None:
                return
            heard.append(message)

    threads = [threading.Thread(target=read) for _ in range(30)]
    for thread in threads:
        thread.start()
    for i in range(300):
        pub.put(i)
    for _ in threads:
        pub.put(None)
    for thread in threads:
        thread.join()
    assert sorted(heard) == list(range(300))


def test_it_keeps_the_newest_if_it_is_told_to(client: Client) -> None:
    sub, everything, pub = Sub("topic", maxlen=2), Sub("topic"), Pub("topic")
    for i in range(5):
        pub.put(i)
    assert [everything.get(timeout=10) for _ in range(5)] == [0, 1, 2, 3, 4]  # so the other has all of them, too
    assert (sub.get(), sub.get()) == (3, 4)


def test_a_copy_hears_from_its_first_use_on() -> None:
    def listen_to(sub: Any) -> Any:
        with pytest.raises(TimeoutError):
            sub.get(timeout=0)
        Event("ready").set()
        return sub.get()

    async def story(client: Client) -> None:
        sub, pub = await Sub("topic"), Pub("topic")
        listening = client.submit(listen_to, sub)
        await Event("ready").wait()
        pub.put("both")
        assert await listening == "both"
        assert await sub.get() == "both"
        copy = pickle.loads(pickle.dumps(pub))
        copy.put("from a copy")
        assert await sub.get() == "from a copy"

    play(story, "127.0.0.1")


# --- values


def test_large_ones_go_straight_to_workers_and_not_through_the_scheduler() -> None:
    def listen_for(ready: str) -> int:
        sub = Sub("large")
        Queue(ready).put(1)
        return len(sub.get())

    async def story(client: Client) -> None:
        pub = Pub("large")
        futures = [client.submit(listen_for, "ready", workers=str(i), pure=False) for i in range(2)]
        await Queue("ready").get(batch=2)
        pub.put(bytes(11_000_000))
        assert await client.gather(futures) == [11_000_000] * 2
        sub = await Sub("large")
        with pytest.raises(ValueError, match="too large for <Pub 'large'>.*scatter"):
            pub.put(bytes(11_000_000))
        pub.put(b"small")
        assert await sub.get() == b"small"

    play(story, "127.0.0.1", workers=2)


def test_by_reference_in_a_cluster_of_threads_and_frozen_elsewhere(client: Client) -> None:
    sub, thing = Sub("topic"), threading.Lock()
    Pub("topic").put(thing)
    assert sub.get() is thing
    numpy = pytest.importorskip("numpy")

    async def story(client: Client) -> None:
        sub, pub, array = await Sub("topic"), await Pub("topic"), numpy.zeros(50_000)
        pub.put(array)
        array += 1
        assert (await sub.get()).sum() == 0

    play(story, "127.0.0.1")


@pytest.mark.parametrize("host", HOSTS)
def test_a_future_in_a_message_belongs_to_its_reader(host: str) -> None:
    def publish_future(x: int) -> None:
        from jupyterfut import get_client

        future = get_client().submit(abs, -x)
        Pub("topic").put([future])
        Event("read").wait()  # it keeps the future until then

    async def story(client: Client) -> None:
        sub = await Sub("topic")
        publishing = client.submit(publish_future, 42)
        (future,) = await sub.get()
        assert future.client is client
        assert await future == 42
        await Event("read").set()
        await publishing

    play(story, host)


# --- the end


def test_a_subscription_ends_with_its_object() -> None:
    async def story(client: Client) -> None:
        pub, sub = await Pub("topic"), await Sub("topic")
        other = await Sub("topic")
        assert pub.subscribers == {"kernels": 1}
        del sub
        gc.collect()
        await asyncio.sleep(0)
        await client.scheduler_info()
        assert pub.subscribers == {"kernels": 1}
        pub.put(1)
        assert await other.get() == 1
        del other
        gc.collect()
        await asyncio.sleep(0)
        await client.scheduler_info()
        assert pub.subscribers == {}
        assert not topics_of(client).hearing
        del pub
        gc.collect()
        await asyncio.sleep(0)
        assert not topics_of(client).publishing
        assert not [topic for topic in client._session.listeners if topic.startswith("pubsub")]

    play(story)


@pytest.mark.parametrize("host", HOSTS)
def test_tasks_leave_no_subscription_behind(host: str) -> None:
    async def story(client: Client) -> None:
        pub = await Pub("topic")
        for _ in range(3):
            listening = client.submit(listen, 1, "ready", pure=False)
            await Queue("ready").get()
            pub.put(1)
            await listening
        del listening
        gc.collect()
        left = Event("left")
        assert await client.submit(left.wait, "10 ms") is False  # a question of the worker's after what it said
        await client.scheduler_info()
        assert pub.subscribers == {}

    play(story, host)


def test_reading_ends_with_the_client(client: Client) -> None:
    sub, pub = Sub("topic"), Pub("topic")
    pub.put(1)
    client.scheduler_info()
    errors: list[BaseException] = []

    def read() -> None:
        try:
            for message in sub:
                assert message == 1
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    client.close()
    thread.join(30)
    assert isinstance(errors[0], (ClosedError, RuntimeError))
    with pytest.raises((ClosedError, RuntimeError)):
        sub.get()
    with pytest.raises((ClosedError, RuntimeError)):
        pub.put(2)


def test_a_worker_that_goes_is_not_told_any_more() -> None:
    async def main() -> None:
        async with Scheduler(port=0) as s, Client(s, asynchronous=True) as client, Worker(s.address, name="stays", token=s.token):
            pub = await Pub("topic")
            async with Worker(s.address, name="goes", token=s.token):
                leaving = client.submit(listen, 1, "ready", workers="goes")
                await Queue("ready").get()
                assert len(pub.subscribers) == 1
                pub.put(1)
                assert await leaving == [1]
                endless = client.submit(listen, 9, "ready", workers="goes", pure=False)
                await Queue("ready").get()
            await client.scheduler_info()
            assert pub.subscribers == {}
            pub.put(2)
            endless.release()
            staying = client.submit(listen, 1, "ready", workers="stays", pure=False)
            await Queue("ready").get()
            pub.put(3)
            assert await staying == [3]

    asyncio.run(main())


def test_a_cancelled_wait_loses_no_message() -> None:
    async def story(client: Client) -> None:
        sub, pub = await Sub("topic"), await Pub("topic")
        readers = [asyncio.ensure_future(sub.get()) for _ in range(3)]
        await asyncio.sleep(0)
        readers[0].cancel()
        for i in range(2):
            pub.put(i)
        await client.scheduler_info()
        assert await asyncio.gather(*readers[1:]) == [0, 1]

    play(story)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="a platform without pthread_kill")
def test_an_interrupt_ends_the_wait(client: Client) -> None:
    main = threading.main_thread().ident
    assert main is not None
    sub = Sub("topic")
    timer = threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        sub.get()
    timer.join()
    Pub("topic").put(1)
    assert sub.get(timeout=10) == 1


def test_bad_input(client: Client) -> None:
    for kind in (Pub, Sub):
        for name in (None, "", 3):
            with pytest.raises(TypeError, match="name of a"):
                kind(name)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="maxlen"):
        Sub("x", maxlen=0)
    with pytest.raises(TypeError, match="maxlen"):
        Sub("x", maxlen="many")  # type: ignore[arg-type]

    async def story(client: Client) -> None:
        with pytest.raises(TypeError, match="async for"):
            next(Sub("x"))

    play(story)
