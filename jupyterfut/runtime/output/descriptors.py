"""File descriptors 1 and 2 of a worker's process: what C extensions, `os.write` and subprocesses write there.

The two become pipes, which a thread reads. What comes out belongs to the task that runs; of several, to the one that was started last; with none
running, it goes on to where the descriptor led before, as do the worker's own log lines, crash dumps (`faulthandler`), and whatever is printed
outside of tasks. Python's own `sys.stdout` and `sys.stderr` do not come this way (`streams`).

Output must be there before the result of the task that wrote it. So a task that took a millisecond or longer looks at the pipes when it ends; for
shorter ones, the worker's loop does it before it reports a batch of results. C's `stdout` is made line-buffered, and flushed at the end of tasks
that took 10 ms: what shorter ones leave in its buffer comes with a later one.

What a process that dies leaves in the pipes, its nanny reads and passes on: "assertion failed", the last line of an `abort`.

A pipe holds 1 MB. C code that writes more than that without ever letting go of the interpreter would wait for its reader forever; the standard
library and subprocesses always let go. Not on Windows: there the descriptors stay as they are.
"""

from __future__ import annotations

import codecs
import faulthandler
import os
import select
import sys
import threading
import time
from collections.abc import Callable
from time import perf_counter
from typing import Any, TextIO

from jupyterfut.runtime.output import attribution
from jupyterfut.runtime.output.collector import TaskOutput
from jupyterfut.runtime.output.parts import Kind

LOOK_S = 0.001
"""A task that took so long looks at the pipes at its end (2 µs)."""

FLUSH_C_S = 0.01
"""A task that took so long flushes C's stdout (1 µs; the first of them imports ctypes, 5 ms)."""

_GATHER_S = 0.02
_PIPE_BYTES = 2**20
_CHUNK_BYTES = 2**16


class Descriptors:
    """Both descriptors of this process, from now on until it ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # who reads, hands over, before another reads
        self._ends: dict[int, Kind] = {}
        self._real: dict[Kind, int] = {}
        self._decoders: dict[Kind, codecs.IncrementalDecoder] = {}
        self._flush_c: Callable[[], object] | None = None
        self._looked_at = 0.0
        self._poll = select.poll()  # under the lock: one may be used by one thread at a time
        self._lasting_poll = select.poll()  # the reader's

    def divert(self, pipes: list[int]) -> None:
        """Put pipes in place of both, the real ones behind `sys.stdout` and `sys.stderr`, and start the thread that reads."""
        rows: list[tuple[int, Kind, str, int, int]] = [(1, "out", "stdout", pipes[0], pipes[1]), (2, "err", "stderr", pipes[2], pipes[3])]
        for fd, kind, name, end, into in rows:
            stream = getattr(sys, name)
            if stream is not None:
                stream.flush()
            real = os.dup(fd)
            # A log is read while it is written: its lines leave one by one, also where Python would gather them.
            text: TextIO = open(real, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115  # for good
            setattr(sys, name, text)
            os.set_inheritable(end, False)
            _enlarge(into)
            os.dup2(into, fd)
            os.close(into)
            os.set_blocking(end, False)
            self._keep(end, real, kind)
        if faulthandler.is_enabled():
            faulthandler.enable(sys.stderr)
        os.register_at_fork(after_in_child=self._in_fork)
        threading.Thread(target=self._read, name="jupyterfut-output", daemon=True).start()

    def _keep(self, end: int, real: int, kind: Kind) -> None:
        self._ends[end] = kind
        self._real[kind] = real
        self._decoders[kind] = codecs.getincrementaldecoder("utf-8")("replace")
        self._poll.register(end, select.POLLIN)
        self._lasting_poll.register(end, select.POLLIN)

    # --- at the end of a task

    def task_ended(self, duration_s: float) -> None:
        """In the thread of a task that ends, which still counts as running: what it has written is to be its own."""
        if duration_s >= FLUSH_C_S:
            if self._flush_c is None:
                self._flush_c = _c_stdout()
            self._flush_c()
        self.look(attribution.newest_task)

    def look(self, owner: Callable[[], TaskOutput | None]) -> None:
        """Whatever is in the pipes now goes to that task; with None, to the real descriptors. Never waits for more."""
        with self._lock:
            if self._poll.poll(0):
                self._take(owner)

    def catch_up(self) -> None:
        """A task prints or displays: what a subprocess wrote before comes before it. Looks once in a millisecond: no subprocess is faster."""
        now = perf_counter()
        if now - self._looked_at >= LOOK_S:
            self._looked_at = now
            self.look(attribution.newest_task)

    # --- in between

    def _read(self) -> None:
        while True:
            self._lasting_poll.poll()
            time.sleep(_GATHER_S)  # the pipe gathers meanwhile: fewer rounds, and what comes just before a death is still in it
            with self._lock:
                for output in self._take(attribution.newest_task):
                    output.flush()  # it has waited

    def _take(self, owner: Callable[[], TaskOutput | None]) -> set[TaskOutput]:
        """Read what is there. Returns to whom it went."""
        owners = set()
        for end, kind in self._ends.items():
            try:
                for _ in range(_PIPE_BYTES // _CHUNK_BYTES):
                    data = os.read(end, _CHUNK_BYTES)
                    output = owner()
                    if output is None:
                        _write_all(self._real[kind], data)
                    else:
                        output.write(kind, self._decoders[kind].decode(data))
                        owners.add(output)
                    if len(data) < _CHUNK_BYTES:
                        break
            except BlockingIOError:
                continue
        return owners

    def _in_fork(self) -> None:
        """A process forked from this one writes into the pipes and must not read from them."""
        global current
        current = None
        for end in self._ends:
            os.close(end)
        self._ends.clear()


def _write_all(fd: int, data: bytes) -> None:
    """Nobody may be there to read it (a closed terminal): then it is gone, as it would have been without us."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError:
        return


def _enlarge(fd: int) -> None:
    """A pipe holds 64 kB unless told otherwise."""
    if sys.platform == "linux":
        import fcntl

        try:
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        except OSError:
            return  # this user has too many large pipes already: a smaller one does as well


def _c_stdout() -> Callable[[], object]:
    """What flushes C's stdout, which from now on is line-buffered: it became a pipe, for which C gathers 4 kB."""
    import ctypes

    libc: Any = ctypes.CDLL(None)  # its calls let go of the interpreter
    stdout = ctypes.c_void_p.in_dll(libc, "__stdoutp" if sys.platform == "darwin" else "stdout")
    libc.fflush(stdout)
    libc.setvbuf(stdout, None, 1 if sys.platform != "win32" else 64, 0)  # _IOLBF
    return lambda: libc.fflush(stdout)


current: Descriptors | None = None
"""Those of this process, once they are diverted."""


def divert(pipes: list[int]) -> None:
    """This process is a worker's own. Before the worker starts, once. `pipes`: reading and writing end of two; none: they are made here."""
    global current
    attribution.own_process()
    if sys.platform != "win32" and current is None:
        current = Descriptors()
        current.divert(pipes or [*os.pipe(), *os.pipe()])
