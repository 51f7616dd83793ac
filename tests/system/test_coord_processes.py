"""Coordination between processes: futures through queues, publishing from worker to worker, and what a killed process held or waited for.

No test sleeps: they wait for events of the cluster itself.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from jupyterfut import Client, Event, Lock, MultiLock, Pub, Queue, Semaphore, Sub, TimeoutError, Variable, config, fire_and_forget, get_client  # noqa: A004
from jupyterfut.errors import KilledWorker

numpy = pytest.importorskip("numpy")


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client(n_workers=2, threads_per_worker=2) as client:
        # Connections between workers are opened when first needed, and kept: now, so that no test seems to leave one behind.
        client.gather([client.submit(bytes, 100_000, workers=worker, pure=False) for worker in client.nthreads()])
        yield client


def inc(x: int) -> int:
    return x + 1


# --- futures and values through queues and variables


def test_the_seeds_loop_over_a_queue_of_futures(client: Client) -> None:
    queue: Queue = Queue()

    def load_and_submit(x: int) -> None:
        data = x * 10
        queue.put(get_client().submit(inc, data))

    for x in range(10):
        fire_and_forget(client.submit(load_and_submit, x))
    assert sorted(queue.get(timeout=60).result() for _ in range(10)) == [x * 10 + 1 for x in range(10)]


def test_errors_and_large_results_through_a_queue(client: Client) -> None:
    queue = Queue("mixed")

    def work(x: int) -> None:
        try:
            1 / x
        except ZeroDivisionError as error:
            queue.put(str(error))
        else:
            queue.put(get_client().submit(numpy.full, 300_000, x))

    client.gather(client.map(work, [0, 3]))
    items = [queue.get(timeout=60) for _ in range(2)]
    (text,) = [item for item in items if isinstance(item, str)]
    (future,) = [item for item in items if not isinstance(item, str)]
    assert "division" in text
    array = future.result()
    assert (array.shape, array[0]) == ((300_000,), 3)


def test_a_future_outlives_the_client_that_put_it_there(client: Client) -> None:
    with Client(client.cluster, set_as_default=False) as other:
        Queue("legacy", client=other).put({"future": other.submit(inc, 41)})
        Variable("legacy", client=other).set(other.submit(numpy.ones, 200_000))
    assert Queue("legacy").get()["future"].result() == 42
    assert Variable("legacy").get().result().sum() == 200_000
    Variable("legacy").delete()


def test_a_chain_of_workers_and_queues(client: Client) -> None:
    def stage(source: Queue, target: Queue, n: int) -> None:
        for _ in range(n):
            target.put(source.get() + 1)

    async def stage_async(source: Queue, target: Queue, n: int) -> None:
        for _ in range(n):
            await target.put(await source.get() + 1)

    queues = [Queue(maxsize=2) for _ in range(7)]
    stages = [client.submit((stage, stage_async)[i % 2], queues[i], queues[i + 1], 50) for i in range(6)]
    collected: list[int] = []
    reader = threading.Thread(target=lambda: collected.extend(queues[-1].get() for _ in range(50)))
    reader.start()
    for n in range(50):
        queues[0].put(n)
    reader.join(60)
    client.gather(stages)
    assert collected == [n + 6 for n in range(50)]


# --- locks and the like


def test_the_seeds_lock_semaphore_and_event(client: Client) -> None:
    lock, sem = Lock(), Semaphore(max_leases=2, name="database")

    def load(name: str, lock: Any = None) -> int:
        with lock:
            return len(name)

    def access_limited(x: int, sem: Any) -> int:
        with sem:
            return x

    def wait_for_event(x: int) -> int:
        Event("my-event").wait()
        return x

    assert client.gather(client.map(load, ["a", "bc"], lock=lock)) == [1, 2]
    assert client.gather(client.map(access_limited, range(10), sem=sem)) == list(range(10))
    sem.close()
    tasks = client.map(wait_for_event, range(10))
    Event("my-event").set()
    assert client.gather(tasks) == list(range(10))


def test_a_lock_keeps_processes_apart(client: Client, tmp_path: Any) -> None:
    path = str(tmp_path / "count")
    with open(path, "w") as file:
        file.write("0")

    def count(i: int, path: str) -> None:
        with Lock("the-file"):
            with open(path) as file:
                n = int(file.read())
            with open(path, "w") as file:
                file.write(str(n + 1))

    client.gather([client.submit(count, i, path) for i in range(60)])
    with open(path) as file:
        assert file.read() == "60"


def hold_and_say(kind: str) -> None:
    """Takes something, says so, and waits for something that never comes."""
    held = {"lock": lambda: Lock("mortal"), "semaphore": lambda: Semaphore(1, "mortal"), "multilock": lambda: MultiLock(["mortal", "x"])}[kind]()
    with held:
        Queue("pids").put(os.getpid())
        Queue("never").get()


@pytest.mark.parametrize("kind", ["lock", "semaphore", "multilock"])
def test_what_a_killed_worker_held_goes_to_who_waits(kind: str) -> None:
    with Client(n_workers=2, threads_per_worker=1) as client:
        holder = client.submit(hold_and_say, kind, workers="0")
        pid = Queue("pids").get(timeout=60)
        mine = {"lock": Lock("mortal"), "semaphore": Semaphore(1, "mortal"), "multilock": MultiLock(["mortal"])}[kind]
        assert mine.acquire(timeout=0) is False
        holder.release()  # or it would run again, and take it again
        taken: list[bool] = []
        waiter = threading.Thread(target=lambda: taken.append(mine.acquire(timeout=60)))
        waiter.start()
        client.scheduler_info()
        os.kill(pid, signal.SIGKILL)
        waiter.join(60)
        assert taken == [True]
        assert mine.release()


def test_a_killed_worker_waits_for_nothing_any_more() -> None:
    async def wait_in_line(queue: Queue) -> Any:
        waiting = asyncio.ensure_future(queue.get())
        await asyncio.sleep(0)  # it has asked
        await Queue("pids").put(os.getpid())
        return await waiting

    with Client(n_workers=2, threads_per_worker=1) as client:
        queue = Queue("line")
        waiting = client.submit(wait_in_line, queue, workers="0")
        pid = Queue("pids").get(timeout=60)
        waiting.release()
        os.kill(pid, signal.SIGKILL)
        client.submit(inc, 2, workers="0").result(timeout=60)  # a new process is there, so the old one was given up
        queue.put("for the living")
        assert queue.get(timeout=30) == "for the living"


def test_what_a_killed_kernel_held_comes_back() -> None:
    script = """
import sys
from jupyterfut import Client, Lock, Queue
client = Client(sys.argv[1])
Lock("kernel").acquire()
Queue("line").put("holds")
Queue("never").get()
"""
    config.use(config.Settings.from_dict({"scheduler": {"lease_s": 0.3}}))
    with Client(n_workers=1, threads_per_worker=1) as client:
        environment = {**os.environ, "JUPYTERFUT_TOKEN": client.cluster.security.token}
        with subprocess.Popen([sys.executable, "-c", script, client.address], env=environment) as kernel:
            assert Queue("line").get(timeout=60) == "holds"
            assert not Lock("kernel").acquire(timeout=0)
            kernel.kill()
        assert Lock("kernel").acquire(timeout=60)


# --- publish and subscribe


def subscribe(topic: str, n: int) -> list[Any]:
    sub = Sub(topic)
    Queue("listening").put(1)
    return [sub.get() for _ in range(n)]


def publish(topic: str, who: int, n: int) -> int:
    pub = Pub(topic)
    for i in range(n):
        pub.put((who, i))
    return len(pub.subscribers)


def test_workers_publish_to_workers(client: Client) -> None:
    workers = list(client.nthreads())
    listening = [client.submit(subscribe, "workers", 200, workers=worker, pure=False) for worker in workers]
    Queue("listening").get(batch=2, timeout=60)
    assert client.gather([client.submit(publish, "workers", i, 100, workers=worker) for i, worker in enumerate(workers)]) == [2, 2]
    for heard in client.gather(listening):
        for who in range(2):
            assert [i for w, i in heard if w == who] == list(range(100))


def test_arrays_go_straight_between_workers(client: Client) -> None:
    def exchange(rank: int) -> float:
        mine, theirs = Pub(f"column-{rank}"), Sub(f"column-{1 - rank}")
        Queue("ready").put(rank)
        Event("both").wait()
        array = numpy.full(2_000_000, float(rank + 1))
        for _ in range(3):
            mine.put(array)
            array = array + theirs.get()
        return float(array[0])

    futures = [client.submit(exchange, rank, workers=worker) for rank, worker in enumerate(client.nthreads())]
    Queue("ready").get(batch=2, timeout=60)
    Event("both").set()
    assert client.gather(futures) == [12.0, 12.0]


def test_a_kernel_hears_workers_and_is_heard(client: Client) -> None:
    sub, pub = Sub("progress"), Pub("orders")

    def work() -> str:
        orders, progress = Sub("orders"), Pub("progress")
        progress.put("ready")
        for order in orders:
            if order == "stop":
                return "stopped"
            progress.put(order * 2)
        raise AssertionError("orders ended")

    future = client.submit(work)
    assert sub.get(timeout=60) == "ready"
    for i in range(10):
        pub.put(i)
    assert [sub.get(timeout=60) for _ in range(10)] == [i * 2 for i in range(10)]
    pub.put("stop")
    assert future.result() == "stopped"


def test_a_killed_subscriber_is_forgotten() -> None:
    def subscribe_and_say(topic: str) -> Any:
        sub = Sub(topic)
        Queue("pids").put(os.getpid())
        return sub.get()

    with Client(n_workers=2, threads_per_worker=1) as client:
        pub = Pub("mortal")
        one, other = [client.submit(subscribe_and_say, "mortal", workers=str(i), pure=False, retries=0) for i in range(2)]
        pids = Queue("pids").get(batch=2, timeout=60)
        assert len(pub.subscribers) == 2
        one.release()
        pid = client.submit(os.getpid, workers="0", pure=False).result(timeout=60)
        assert pid in pids
        os.kill(pid, signal.SIGKILL)
        client.submit(inc, 1, workers="0").result(timeout=60)  # in the new process
        assert len(pub.subscribers) == 1
        pub.put("who is left")
        assert other.result(timeout=60) == "who is left"


def test_asynchronous_clients_of_processes() -> None:
    async def main() -> None:
        async with Client(n_workers=1, threads_per_worker=1, asynchronous=True) as client:
            queue, sub = await Queue("q"), await Sub("progress")
            future = client.submit(lambda q: [Pub("progress").put(i) for i in range(3)] and q.get(), queue)
            assert [await sub.get() for _ in range(3)] == [0, 1, 2]
            await queue.put("done")
            assert await future == "done"
            async with Lock("x") as lock:
                assert await lock.locked()
            with pytest.raises(TimeoutError):
                await queue.get(timeout="10 ms")

    asyncio.run(main())


def test_a_task_that_kills_its_worker_while_it_holds_a_lock() -> None:
    def die() -> None:
        with Lock("deadly"):
            os.kill(os.getpid(), signal.SIGKILL)

    with Client(n_workers=1, threads_per_worker=1) as client:
        with pytest.raises(KilledWorker):
            client.submit(die).result(timeout=120)
        assert Lock("deadly").acquire(timeout=30)
