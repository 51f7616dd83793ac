"""What every test must keep: after it, threads, child processes and file descriptors are back where they were before it.

The check waits for stragglers, a few seconds at most and without a sleep: for a thread in `join`, for a process on its pidfd, for garbage by
collecting it. A test that runs longer than five minutes ends the run, with the tracebacks of all threads (`faulthandler_timeout` in pyproject.toml).
"""

from __future__ import annotations

import gc
import os
import re
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyterfut import config

PATIENCE_S = 5.0


# A shell starts what it puts into the background with Ctrl-C ignored, and Python leaves it so. Here, and in the processes tests start, it counts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def process_wide() -> None:
    """What the first event loop of a process opens for good (libuv's pipe for signals), before the first test looks."""
    from jupyterfut.runtime.host import new_event_loop

    new_event_loop().close()


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest, runtime_directory: Path) -> Iterator[None]:
    """Fails the test that leaves a thread, a process, a file descriptor or a connection file behind."""
    if request.node.get_closest_marker("leaks_allowed") is not None:
        yield
        return
    threads, processes, descriptors = _threads(), _children(), _descriptors()
    yield
    deadline = time.monotonic() + PATIENCE_S
    leaks = [
        *_leaked_threads(threads, deadline),
        *_leaked_processes(processes, str(runtime_directory), deadline),
        *_leaked_descriptors(descriptors),
        *(f"connection file {path.name}" for path in runtime_directory.glob("jupyterfut-*.json")),
    ]
    if leaks:
        pytest.fail("left behind:\n  " + "\n  ".join(leaks), pytrace=False)


@pytest.fixture(autouse=True)
def runtime_directory(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Connection files of a test go to a directory of its own, and settings of the machine it runs on do not reach it."""
    directory = tmp_path_factory.mktemp("runtime")
    for name in [name for name in os.environ if name.startswith("JUPYTERFUT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(directory))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(directory / "config"))
    monkeypatch.setattr(config, "_chosen", [])
    config._read.cache_clear()
    return directory


@pytest.fixture(scope="module")
def kernel_loop() -> Iterator[None]:
    """Blocking clients of Jupyter kernels keep one event loop for good. Made here, it is nobody's leak."""
    from jupyter_core.utils import ensure_event_loop

    loop = ensure_event_loop()
    yield
    loop.close()


def _leaked_threads(before: set[threading.Thread], deadline: float) -> list[str]:
    for thread in _threads() - before:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [f"thread {thread.name!r}" for thread in _threads() - before]


def _threads() -> set[threading.Thread]:
    """All but those that a living event loop keeps for blocking calls: they end with the loop, and a loop left open is found by its descriptors."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith(("asyncio_", "uvloop_"))}


def _leaked_processes(before: dict[int, str], mark: str, deadline: float) -> list[str]:
    for pid in (_children() | _marked(mark)).keys() - before.keys():
        _wait_for_end(pid, deadline)
    after = _children() | _marked(mark)
    # A browser's helper processes come and go as it likes, and end with it.
    return [f"process {pid}: {command}" for pid, command in after.items() if pid not in before and not re.search(r"chrom.* --type=", command)]


def _leaked_descriptors(before: dict[int, str]) -> list[str]:
    after = _descriptors()
    if len(after) > len(before):
        gc.collect()  # what only a reference cycle keeps open is not a leak of ours to find, it ends with the cycle
        after = _descriptors()
    new = [f"file descriptor {fd}: {target}" for fd, target in after.items() if before.get(fd) != target]
    # A library that opened something for good (a module's shared object, /dev/urandom) on first use is no leak; sockets, pipes and shared memory are.
    kinds = ("socket:", "pipe:", "pidfd", "eventpoll", "memfd:")
    return [text for text in new if any(kind in text for kind in kinds)] if len(after) > len(before) else []


def _wait_for_end(pid: int, deadline: float) -> None:
    """Until the process is gone or a zombie. It need not be our child."""
    try:
        pidfd = os.pidfd_open(pid)
    except (OSError, AttributeError):
        return
    try:
        select.select([pidfd], [], [], max(0.0, deadline - time.monotonic()))
    finally:
        os.close(pidfd)


def _children() -> dict[int, str]:
    """Our descendants with their command lines. Our own zombies count until they are reaped."""
    if sys.platform != "linux":
        import psutil

        return {child.pid: " ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)}
    parents: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(entry.path, "stat").read_bytes()
            except OSError:
                continue  # it ended while we looked
            state, parent = stat.rpartition(b")")[2].split()[:2]
            if state != b"Z" or int(parent) == os.getpid():
                parents[int(entry.name)] = int(parent)
    mine = {os.getpid()}
    grown = True
    while grown:
        new = {pid for pid, parent in parents.items() if parent in mine} - mine
        mine |= new
        grown = bool(new)
    return {pid: _command(pid) for pid in mine - {os.getpid()}}


def _marked(mark: str) -> dict[int, str]:
    """Processes that were started by this test, by its directory in their environment, wherever they hang in the tree: orphans too."""
    found: dict[int, str] = {}
    for entry in os.scandir("/proc") if os.path.isdir("/proc/self") else ():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if mark.encode() in Path(entry.path, "environ").read_bytes():
                    found[int(entry.name)] = _command(int(entry.name))
            except OSError:
                continue  # somebody else's, or it ended while we looked
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200]
    except OSError:
        return "(gone)"


def _descriptors() -> dict[int, str]:
    """Our open file descriptors, with what they are open on."""
    found: dict[int, str] = {}
    if not os.path.isdir("/proc/self/fd"):
        return found
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the descriptor of this very listing
    return found
