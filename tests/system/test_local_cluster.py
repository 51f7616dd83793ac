"""Local clusters: they come up, do work, and nothing of them is left, however they end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyterfut import Client, LocalCluster, config
from jupyterfut.deploy import host_process, registry
from jupyterfut.deploy.local import default_shape
from jupyterfut.errors import CancelledError, ClosedError, ConfigError, WorkerStartError
from jupyterfut.runtime import connections
from jupyterfut.runtime.process import is_alive, wait_gone


def test_processes_come_up_work_and_end(runtime_directory: Path) -> None:
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster:
        assert cluster.status == "running"
        assert [worker.status for worker in cluster.workers.values()] == ["running", "running"]
        (info,) = connections.list_connection_files()
        assert (info.address, info.name, info.kernel_id, info.detached) == (cluster.scheduler_address, cluster.name, None, False)
        with cluster.get_client() as client:
            pids = client.gather(client.map(lambda _: __import__("os").getpid(), range(20), pure=False))
        assert set(pids) <= {worker.pid for worker in cluster.workers.values()}
        assert os.getpid() not in pids
        assert "workers=2 threads=2" in repr(cluster)
        assert "<" in cluster._repr_html_()
    assert cluster.status == "closed"
    assert cluster.workers == {}
    assert list(runtime_directory.glob("jupyterfut-*")) == []
    cluster.close()  # again: nothing happens


def test_threads_come_up_work_and_end() -> None:
    with LocalCluster(processes=False, n_workers=2, threads_per_worker=2) as cluster, cluster.get_client() as client:
        assert cluster.scheduler_address.startswith("inproc://")
        assert len(cluster.workers) == 2
        thing = object()
        assert client.submit(lambda: thing).result() is thing
        assert client.submit(os.getpid).result() == os.getpid()


def test_asynchronous_in_the_callers_loop() -> None:
    async def story(processes: bool) -> None:
        async with LocalCluster(processes=processes, n_workers=1, threads_per_worker=1, asynchronous=True) as cluster:
            async with cluster.get_client() as client:
                assert await client.submit(sum, [1, 2]) == 3
            await cluster.scale(2)
            assert len(cluster.workers) == 2
            before = threading.active_count()
        assert cluster.status == "closed"
        assert threading.active_count() <= before

    asyncio.run(story(True))
    asyncio.run(story(False))


@pytest.mark.parametrize("processes", [True, False])
def test_scale_up_and_down(processes: bool) -> None:
    with LocalCluster(processes=processes, n_workers=1, threads_per_worker=1) as cluster:
        cluster.scale(3)
        assert sorted(cluster.workers) == ["0", "1", "2"]
        assert all(worker.address for worker in cluster.workers.values())
        cluster.scale(1)
        assert list(cluster.workers) == ["0"]
        cluster.scale(0)
        assert cluster.workers == {}
        cluster.scale(1)
        with cluster.get_client() as client:
            assert client.submit(abs, -1).result() == 1
        with pytest.raises(ValueError, match="at least 0"):
            cluster.scale(-1)
    with pytest.raises(ClosedError):
        cluster.scale(1)


def test_a_worker_that_is_killed_comes_back_and_work_goes_on() -> None:
    with Client(n_workers=1, threads_per_worker=1) as client:
        pid = client.submit(os.getpid).result()
        os.kill(pid, signal.SIGKILL)
        assert client.submit(os.getpid, pure=False).result() != pid


def test_a_task_that_ends_its_process_harms_nobody_else() -> None:
    with Client(n_workers=1, threads_per_worker=1) as client:
        doomed = client.submit(os._exit, 3)
        with pytest.raises(Exception, match="_exit"):
            doomed.result(timeout=60)
        assert client.submit(abs, -2).result(timeout=60) == 2


SCRIPT = """
import os, sys
from jupyterfut import LocalCluster
cluster = LocalCluster(n_workers=2, threads_per_worker=1, {options})
print(cluster._part.process.pid, *[w.pid for w in cluster.workers.values()], flush=True)
{then}
"""


started: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def end_scripts() -> Iterator[None]:
    """No script outlives a test, not even one that failed."""
    yield
    for process in started:
        process.kill()
        process.communicate()
    started.clear()


def start(options: str = "", then: str = "sys.stdin.read()") -> tuple[subprocess.Popen[str], list[int]]:
    """A script that starts a cluster and waits; the pids of the cluster's processes."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(options=options, then=then)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    started.append(process)
    assert process.stdout is not None
    return process, [int(pid) for pid in process.stdout.readline().split()]


def end(process: subprocess.Popen[str]) -> int:
    process.communicate()
    return process.returncode


def test_everything_ends_when_its_owner_is_killed(runtime_directory: Path) -> None:
    owner, pids = start()
    assert len(pids) == 3
    owner.kill()
    for pid in pids:
        assert wait_gone(pid, 10)
    assert end(owner) == -signal.SIGKILL
    assert list(runtime_directory.glob("jupyterfut-*")) == []


def test_a_fork_of_the_owner_does_not_keep_the_cluster() -> None:
    then = """
child = os.fork()
if child == 0:
    os.read(0, 1)  # until the test closes it
    sys.exit()     # with exit handlers: they must not end the parent's cluster
print(cluster.get_client().submit(abs, -5).result(), flush=True)
sys.stdin.read()
"""
    owner, pids = start(then=then)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "5\n"
    owner.kill()
    for pid in pids:
        assert wait_gone(pid, 10)


def test_workers_end_when_their_host_is_killed() -> None:
    owner, (host, *workers) = start(then="cluster._loop_thread.run(cluster._part._gone.wait()); print(cluster, flush=True); cluster.close()")
    os.kill(host, signal.SIGKILL)
    for pid in (host, *workers):
        assert wait_gone(pid, 10)
    assert owner.stdout is not None
    assert owner.stdout.read().endswith("closed>\n")
    assert end(owner) == 0
    assert connections.list_connection_files() == []  # and what the killed host left is swept away


def test_a_script_that_does_not_close_its_cluster_leaves_nothing() -> None:
    owner, pids = start(then="")
    assert end(owner) == 0
    for pid in pids:
        assert not is_alive(pid)


def test_interrupt_reaches_the_script_and_not_the_cluster() -> None:
    then = """
try:
    print("here I wait", flush=True)
    sys.stdin.read()
except KeyboardInterrupt:
    print(cluster.get_client().submit(abs, -4).result(), flush=True)
"""
    owner, pids = start(then=then)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "here I wait\n"
    os.killpg(owner.pid, signal.SIGINT)  # as a terminal does
    assert owner.stdout.readline() == "4\n"
    assert end(owner) == 0
    for pid in pids:
        assert wait_gone(pid, 10)


def test_a_detached_cluster_outlives_its_owner_and_is_found_by_name(runtime_directory: Path) -> None:
    owner, pids = start(options="name='mill', detached=True", then="")
    assert end(owner) == 0
    assert all(is_alive(pid) for pid in pids)
    with Client("mill") as client:
        assert client.submit(abs, -3).result() == 3
        client.run(print, "said by no task")
    (log,) = runtime_directory.glob("jupyterfut-mill-*.log")
    assert "said by no task" in log.read_text()
    info = registry.find("mill")
    assert info.detached
    assert info.pid == pids[0]
    assert registry.stop(info)
    for pid in pids:
        assert wait_gone(pid, 10)
    assert registry.clusters() == []
    assert not log.exists()


@pytest.mark.parametrize("processes", [True, False])
def test_shutdown_by_a_client_ends_the_cluster(processes: bool) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=processes) as cluster, Client(cluster) as other:
        waiting = other.submit(abs, -1, resources={"nobody has this": 1})
        with Client(cluster.scheduler_address, security=cluster.security) as client:
            client.shutdown()
        with pytest.raises(CancelledError, match="closed"):
            waiting.result(timeout=10)
        cluster.close()
        assert cluster.status == "closed"


def test_a_detached_cluster_is_ended_by_a_client() -> None:
    with LocalCluster(n_workers=1, name="mill", detached=True) as cluster:
        (info,) = registry.clusters()
        with Client("mill") as client:
            client.shutdown()
        assert wait_gone(info.pid, 10)
        assert cluster.status == "closed" or cluster._loop_thread is not None
    assert registry.clusters() == []


def test_two_clusters_side_by_side() -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1) as a, LocalCluster(n_workers=1, threads_per_worker=1) as b:
        assert a.name != b.name
        with a.get_client() as x, b.get_client() as y:
            assert x.submit(os.getpid).result() != y.submit(os.getpid).result()


def test_a_port_that_is_taken_is_named() -> None:
    with LocalCluster(n_workers=0) as cluster:
        port = int(cluster.scheduler_address.rpartition(":")[2])
        with pytest.raises(WorkerStartError, match=f"127.0.0.1:{port}"):
            LocalCluster(n_workers=0, port=port)


def test_a_host_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("jupyterfut.deploy.host_process.MODULE", "jupyterfut.no_such_module")
    with pytest.raises(WorkerStartError, match="exit code 1"):
        LocalCluster(n_workers=1)
    assert "no_such_module" in capfd.readouterr().err


def test_a_cluster_that_does_not_come_up_in_time_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "silent_host.py").write_text("import time\ndef main(): time.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr("jupyterfut.deploy.host_process.MODULE", "silent_host")
    settings = config.Settings(deploy=config.DeploySettings(start_timeout_s=0.5, close_timeout_s=0.5))
    with pytest.raises(WorkerStartError, match="within 0.5 s"):
        LocalCluster(n_workers=1, settings=settings)


@pytest.mark.parametrize(
    "options",
    [
        {"n_workers": -1},
        {"n_workers": "two"},
        {"threads_per_worker": 0},
        {"memory_limit": "much"},
        {"detached": True, "processes": False},
        {"host": "0.0.0.0"},
    ],
)
def test_options_that_make_no_sense(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        LocalCluster(**options)  # type: ignore[arg-type]  # on purpose


def test_the_default_shape_is_dasks() -> None:
    for cpus, shape in ((1, (1, 1)), (2, (2, 1)), (4, (4, 1)), (6, (3, 2)), (8, (4, 2)), (16, (4, 4)), (64, (8, 8))):
        assert default_shape(None, None, True, cpus) == shape
        assert default_shape(None, None, False, cpus) == (1, cpus)


@pytest.mark.parametrize("processes", [True, False])
def test_a_cluster_that_is_forgotten_ends(processes: bool) -> None:
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=processes)
    thread = cluster._loop_thread
    assert thread is not None
    holder = [cluster]
    del cluster
    with pytest.warns(ResourceWarning, match="never closed"):
        holder.clear()
    thread._thread.join(10)  # type: ignore[union-attr]  # it was started
    assert connections.list_connection_files() == []


def test_a_detached_cluster_that_is_forgotten_stays() -> None:
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, name="stays", detached=True)
    pid = cluster._part.process.pid  # type: ignore[union-attr]  # processes, not threads
    thread = cluster._loop_thread
    assert thread is not None
    del cluster
    thread._thread.join(10)  # type: ignore[union-attr]  # it was started
    assert is_alive(pid)
    with Client("stays") as client:
        assert client.submit(abs, -1).result(timeout=30) == 1
        client.shutdown()
    assert wait_gone(pid, 10)
    host_process.reap()
