"""Shared memory between real processes: values arrive, may be changed, and are gone with the last who needs them, however processes end."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from jupyterfut import Client
from jupyterfut.comm.shared import live_bytes

numpy = pytest.importorskip("numpy")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shared memory is used on Linux only")

SIZE = 8_000_000


def ones(size: int) -> Any:
    return numpy.ones(size, dtype="u1")


def total(array: Any) -> int:
    return int(array.sum())


def held() -> int:
    """How much shared memory the worker that runs this keeps."""
    return live_bytes()


def shared_of(pid: int) -> list[int]:
    """The inodes of the shared memory that a process has open; its probes are a page each."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if "memfd:jupyterfut" in os.readlink(entry) and entry.stat().st_size >= SIZE:
                found.append(entry.stat().st_ino)
        except FileNotFoundError:
            continue  # the descriptor of this very listing
    return sorted(set(found))


def test_one_copy_serves_all_who_look() -> None:
    with Client(n_workers=2, threads_per_worker=1, set_as_default=False) as client:
        pids = [worker.pid for worker in client.cluster.workers.values()]
        data = numpy.arange(SIZE, dtype="u1")
        future = client.scatter(data, workers=["0"])
        (inode,) = shared_of(pids[0])
        assert shared_of(os.getpid()) == []  # handed over
        assert client.submit(total, future, workers=["1"]).result() == total(data)
        assert shared_of(pids[1]) == [inode]
        first, second = future.result(), client.gather(future)
        assert shared_of(os.getpid()) == [inode]
        first[:] = 0
        assert (second == data).all()
        assert client.submit(total, future, workers=["1"], pure=False).result() == total(data)

        del future  # the workers let it go, and we still have it
        assert [client.submit(held, workers=name, pure=False).result() for name in ("0", "1")] == [0, 0]
        assert shared_of(pids[0]) == shared_of(pids[1]) == []
        assert (second == data).all()
        del first, second
        assert live_bytes() == 0


def test_a_result_is_copied_when_it_is_first_asked_for() -> None:
    with Client(n_workers=1, threads_per_worker=1, set_as_default=False) as client:
        (worker,) = client.cluster.workers.values()
        future = client.submit(ones, SIZE)
        assert client.submit(total, future).result() == SIZE
        assert shared_of(worker.pid) == []
        assert total(future.result()) == SIZE
        (inode,) = shared_of(worker.pid)
        assert total(future.result()) == SIZE
        assert shared_of(worker.pid) == [inode]
        assert client.submit(held, pure=False).result() == SIZE


def test_a_killed_worker_leaves_nothing_and_takes_nothing_away() -> None:
    with Client(n_workers=1, threads_per_worker=1, set_as_default=False) as client:
        (worker,) = client.cluster.workers.values()
        future = client.submit(ones, SIZE)
        array = future.result()
        os.kill(worker.pid, signal.SIGKILL)
        assert total(array) == SIZE
        assert total(client.submit(ones, SIZE, pure=False).result()) == SIZE
        assert total(future.result()) == SIZE  # made again
        del array, future
        assert live_bytes() == 0
