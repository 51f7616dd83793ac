"""Clusters that grow and shrink: data moves before a worker leaves, running tasks may end, and `adapt` follows the work. In this process and with
processes of their own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from jupyterfut import Client, Event, LocalCluster, Queue, errors, get_worker

LARGE = 100_000


@pytest.fixture(params=[False, True], ids=["threads", "processes"])
def cluster(request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=3, threads_per_worker=1, processes=request.param) as cluster:
        yield cluster


def wait_until(cluster: LocalCluster, client: Client, n: int) -> None:
    """Until the scheduler has so many workers. Each question is one more event that it looks at; nothing sleeps."""
    deadline = time.monotonic() + 30.0
    while len(client.nthreads()) != n or len(cluster.workers) != n:
        assert time.monotonic() < deadline, f"{cluster.workers}"
        client.submit(abs, -1, pure=False).result()


def name_of_worker() -> str:
    return str(get_worker().name)


def test_nothing_is_lost_when_a_cluster_shrinks(cluster: LocalCluster) -> None:
    with Client(cluster) as client:
        data = client.scatter([bytes(LARGE + i) for i in range(9)])
        results = client.map(bytes, range(LARGE, LARGE + 9), pure=False)
        client.gather(results)
        cluster.scale(1)
        assert len(cluster.workers) == 1 == len(client.nthreads())
        assert [len(value) for value in client.gather(data)] == [len(value) for value in client.gather(results)] == list(range(LARGE, LARGE + 9))
        story = client.story(*results)
        assert not any("waiting" in str(line[2]) and "memory" in str(line[2]) for line in story)  # nothing was computed again
        cluster.scale(2)
        assert len(cluster.workers) == 2


def wait_for_go() -> str:
    Queue("started").put(name_of_worker())
    Event("go").wait()
    return name_of_worker()


def test_idle_workers_leave_first_and_running_tasks_may_end(cluster: LocalCluster) -> None:
    with Client(cluster) as client:
        started, go = Queue("started"), Event("go")
        future = client.submit(wait_for_go, workers="1", allow_other_workers=True, pure=False)
        assert started.get() == "1"
        cluster.scale(1)
        assert list(cluster.workers) == ["1"]
        cluster.scale(2)
        retiring = threading.Thread(target=client.retire_workers, args=("1",))
        retiring.start()
        client.submit(abs, -1, pure=False).result()
        assert retiring.is_alive() and len(client.nthreads()) == 2
        go.set()
        retiring.join()
        assert future.result() == "1" and len(client.nthreads()) == 1


def test_what_runs_too_long_runs_again_elsewhere(cluster: LocalCluster) -> None:
    with Client(cluster) as client:
        started, go = Queue("started"), Event("go")
        futures = [client.submit(wait_for_go, workers=name, allow_other_workers=True, pure=False) for name in cluster.workers]
        assert {started.get() for _ in futures} == set(cluster.workers)
        cluster.scale(1, timeout="100 ms")
        (stays,) = cluster.workers
        go.set()
        assert client.gather(futures) == [stays] * 3


def test_a_cluster_follows_its_work(cluster: LocalCluster) -> None:
    with Client(cluster) as client:
        adaptive = cluster.adapt(minimum=1, maximum=4, interval="50 ms", target_duration="200 ms", wait_count=2)
        wait_until(cluster, client, 1)
        futures = client.map(time.sleep, [0.05] * 60, pure=False)
        most = 0
        for future in futures:
            future.result()
            most = max(most, len(cluster.workers))
        assert most == 4 and adaptive.wanted is not None
        del futures, future
        wait_until(cluster, client, 1)
        cluster.scale(2)
        assert not adaptive.running and len(cluster.workers) == 2


def test_adapting_stops_when_told_to() -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False) as cluster, Client(cluster) as client:
        first = cluster.adapt(maximum=3, interval="10 ms", target_duration="10 ms")
        second = cluster.adapt(minimum=2, maximum=2, interval="10 ms")
        assert not first.running and second.running
        wait_until(cluster, client, 2)
        first.stop()
        second.stop()
        client.gather(client.map(time.sleep, [0.01] * 30, pure=False))
        assert len(cluster.workers) == 2 and not second.running


def test_from_nothing_to_something_and_back() -> None:
    with LocalCluster(n_workers=0, threads_per_worker=1, processes=False) as cluster, Client(cluster) as client:
        cluster.adapt(minimum=0, maximum=2, interval="10 ms", wait_count=1)
        future = client.submit(abs, -1)
        assert future.result() == 1
        del future
        deadline = time.monotonic() + 30.0
        while cluster.workers:
            assert time.monotonic() < deadline
            client.scheduler_info()


def test_asynchronous_clusters_await_it() -> None:
    async def main() -> None:
        async with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, asynchronous=True) as cluster:
            adaptive = await cluster.adapt(minimum=2, maximum=2)
            async with Client(cluster, asynchronous=True) as client:
                await client.wait_for_workers(2, timeout=30)
            await adaptive.stop()
            await cluster.scale(1)
            assert len(cluster.workers) == 1

    asyncio.run(main())


def test_a_worker_that_a_client_has_retired_is_not_counted(cluster: LocalCluster) -> None:
    with Client(cluster) as client:
        client.retire_workers("1")
        cluster.scale(3)
        wait_until(cluster, client, 3)
        assert "1" not in cluster.workers


def test_scattered_data_on_the_last_worker_is_lost_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster, Client(cluster) as client:
        data = client.scatter(bytes(LARGE))
        result = client.submit(bytes, LARGE)
        result.result()
        cluster.scale(0)
        with pytest.raises(errors.LostData):
            data.result()
        cluster.scale(1)
        assert len(result.result()) == LARGE
