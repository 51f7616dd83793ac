"""Processes, as far as the system tells about them: is one alive, since when, how much memory does it use, when does it end.

The facts come from `/proc` and pidfds on Linux, from portable calls elsewhere (psutil, if it is installed, for what only it knows). Nothing here
waits by polling: `ProcessWatch` is told by the kernel, through a pidfd on the event loop, or by a thread that sits in `wait()` where there are none.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from jupyterfut.config import parse_bytes
from jupyterfut.errors import ConfigError

if TYPE_CHECKING:
    import asyncio


def start_mark(pid: int) -> str:
    """A text that differs between two processes that had the same pid one after the other; "" where the platform tells none.

    On Linux: the start time in clock ticks since boot, field 22 of `/proc/<pid>/stat` (proc_pid_stat(5)).
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        return ""


def is_alive(pid: int, mark: str = "") -> bool:
    """Whether a process runs that has this pid (and this `start_mark`, if given). A zombie counts as gone."""
    if sys.platform == "win32":
        return _is_alive_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it runs, as another user
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return not os.path.isdir("/proc/self")  # gone between the two looks; or a platform without /proc
    return fields[0] not in (b"Z", b"X") and (not mark or fields[19].decode() == mark)


def _is_alive_windows(pid: int) -> bool:
    if sys.platform != "win32":
        return False
    import ctypes

    synchronize, still_waiting = 0x00100000, 0x102
    kernel32 = ctypes.windll.kernel32
    handle = kernel32.OpenProcess(synchronize, False, pid)
    if not handle:
        return False
    try:
        return bool(kernel32.WaitForSingleObject(handle, 0) == still_waiting)
    finally:
        kernel32.CloseHandle(handle)


def wait_gone(pid: int, timeout_s: float, mark: str = "") -> bool:
    """Block until a process that need not be our child is gone (or a zombie); False when it is not after `timeout_s` seconds."""
    if sys.platform == "linux":
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            if mark and start_mark(pid) != mark:
                return True  # another process has got its pid
            return bool(select.select([pidfd], [], [], timeout_s)[0])
        finally:
            os.close(pidfd)
    deadline = time.monotonic() + timeout_s
    while is_alive(pid, mark):  # no event tells of a stranger's end here
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def memory_bytes(pid: int) -> int | None:
    """The resident memory of a process in bytes; None when it is gone or the platform (without psutil) cannot tell."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        if sys.platform == "linux":
            return None
    try:
        import psutil
    except ImportError:
        return None
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None


def mapped_shared_bytes(pid: int) -> int:
    """How much of a process's resident memory is shared memory that it has mapped; 0 where the platform cannot tell."""
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith("RssShmem:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu_count() -> int:
    """How many cores this process may use: its affinity, cut to the cgroup's CPU quota (containers), at least 1.

    >>> cpu_count() >= 1
    True
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for quota_file, period_file in (("/sys/fs/cgroup/cpu.max", ""), ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us")):
        text = _read(quota_file)
        parts = text.split() + (_read(period_file).split() if period_file else [])
        if len(parts) == 2 and parts[0].isdigit() and parts[1].isdigit() and int(parts[1]) > 0:
            count = min(count, max(1, -(-int(parts[0]) // int(parts[1]))))
    return max(1, count)


def total_memory_bytes() -> int:
    """How much memory this process may use: the machine's, cut to the cgroup's limit (containers) and to RLIMIT_AS. 0 when unknown."""
    if sys.platform == "win32":
        try:
            import psutil
        except ImportError:
            return 0
        return int(psutil.virtual_memory().total)
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit_file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = _read(limit_file).strip()
        if text.isdigit() and int(text) > 0:
            total = min(total, int(text))
    import resource

    soft, _hard = resource.getrlimit(resource.RLIMIT_AS)
    return min(total, soft) if soft > 0 else total  # RLIM_INFINITY is -1


def parse_memory_limit(limit: int | float | str | None, nworkers: int = 1) -> int:
    """A worker's memory limit in bytes, 0 for none. "auto": the machine's memory shared by `nworkers`; a float up to 1: that share of the machine's
    memory; else a size (`parse_bytes`). Raises ConfigError.

    >>> parse_memory_limit("2 GB"), parse_memory_limit(None), parse_memory_limit(0)
    (2000000000, 0, 0)
    """
    if limit is None or limit == "none":
        return 0
    if limit == "auto":
        return total_memory_bytes() // max(1, nworkers)
    try:
        if isinstance(limit, float) and limit <= 1:
            return int(parse_bytes(limit * total_memory_bytes()))
        return parse_bytes(limit)
    except ValueError as error:
        raise ConfigError(f"memory_limit: {error}") from error


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""


class ProcessWatch:
    """Calls `on_exit(exit_code)` once, on the loop, when a child process has ended; it reaps the process too.

    Uses a pidfd (Linux 5.3) on the loop; elsewhere one daemon thread that sits in `wait()`. The exit code is `Popen.returncode`: negative for a
    signal. `cancel()` ends the watch without the call.
    """

    def __init__(self, process: subprocess.Popen[bytes], on_exit: Callable[[int], object], loop: asyncio.AbstractEventLoop) -> None:
        self._process = process
        self._on_exit: Callable[[int], object] | None = on_exit
        self._loop = loop
        self._pidfd = _open_pidfd(process.pid)
        if self._pidfd >= 0:
            self._loop.add_reader(self._pidfd, self._ended)
        else:
            threading.Thread(target=self._wait_in_thread, name=f"jupyterfut-wait-{process.pid}", daemon=True).start()

    def cancel(self) -> None:
        """Watch no more. Idempotent."""
        self._on_exit = None
        self._close_pidfd()

    def _close_pidfd(self) -> None:
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _wait_in_thread(self) -> None:
        self._process.wait()
        try:
            self._loop.call_soon_threadsafe(self._ended)
        except RuntimeError:
            return  # the loop is closed: nobody listens any more

    def _ended(self) -> None:
        self._close_pidfd()
        exit_code = self._process.wait()  # at once: the process has ended
        on_exit, self._on_exit = self._on_exit, None
        if on_exit is not None:
            on_exit(exit_code)


def _open_pidfd(pid: int) -> int:
    if sys.platform != "linux":
        return -1
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1  # an older kernel, or a sandbox that forbids it


def on_stop_signals(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """SIGTERM and SIGINT (Ctrl-C) call `callback` on the loop. In the main thread only, for the rest of the process's life."""
    for number in (signal.SIGTERM, signal.SIGINT):
        if sys.platform == "win32":
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(callback))
        else:
            loop.add_signal_handler(number, callback)


def describe_exit(exit_code: int) -> str:
    """An exit code for people.

    >>> describe_exit(1), describe_exit(-9)
    ('exit code 1', 'killed by SIGKILL')
    """
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"killed by signal {-exit_code}"


def relax_gc() -> None:
    """Tell the garbage collector of a server process that nearly everything here lives long: what was imported is never looked at again, and young
    objects are looked at once per 50,000 instead of 700. Tasks die by reference count (the machines undo their cycles themselves), so all that the
    default costs buys nothing: half of the scheduler's time (docs/design/decisions/hot-roads.md)."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
