"""How one of our processes starts another, and how the child knows that its parent is gone.

A parent calls `spawn(module, settings)`: the child gets one line of JSON on its stdin (tokens never stand in argv or the environment, where others
could read them) and may answer with lines of JSON on its stdout. Both pipes stay open. The child's end of stdin is its *life line*: it reaches its
end when the parent ends, by whatever way, `kill -9` included.

A child calls `begin()` first: it reads the settings and moves both pipes away from fds 0 and 1, so that what a task prints goes to stderr's place and
`input()` in a task meets an end of file, not our protocol. `Parent.report(...)` sends a line back; `Parent.on_lost(loop, callback)` tells of the
parent's end through the loop; `Parent.die_with_it()` lets the kernel kill the process then, even if its interpreter is stuck.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio  # imports take time, and a host starts its workers before it imports more than this

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Not `-m`: a task that uses multiprocessing would import our main module again in its children, and a package that is importable here only because of
# sys.path would not be found there. The last argument is for people who read `ps`.
_START = "import sys; r = {root!r}; r in sys.path or sys.path.insert(0, r); from {module} import main; sys.exit(main())"

SETTINGS_BYTES_LIMIT = 16 * 2**20
UNSENT_BYTES_LIMIT = 2**20
"""A parent that has left so much unread is not told any more."""


def spawn(
    module: str, settings: dict[str, Any], *, title: str, env: dict[str, str] | None = None, output_pipes: bool = False
) -> subprocess.Popen[bytes]:
    """Start `module`'s `main()` in a fresh interpreter and give it `settings`. Returns at once; never blocks on the child.

    The child runs in a session of its own, so that Ctrl-C in a terminal, or the interrupt of a notebook kernel, reaches only the parent. `settings`
    is completed by `sys_path`, so that what is importable here is importable there. Whoever holds `process.stdin` holds the child's life line. `env`
    is added to this process's environment. `output_pipes`: two pipes in which the child may catch what it writes to fds 1 and 2
    (`settings["output_pipes"]`: reading and writing end of each); what it has not read when it dies, `last_words` gives.
    """
    pipes = [*os.pipe(), *os.pipe()] if output_pipes and sys.platform != "win32" else []
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", _START.format(root=_ROOT, module=module), title],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, bufsize=0,
            env={**os.environ, **env} if env else None, pass_fds=pipes,
        )  # fmt: skip
    except OSError:
        for fd in pipes:
            os.close(fd)
        raise
    for end in pipes[1::2]:
        os.close(end)
    _unread[process] = _Unread(pipes[0::2])
    line = json.dumps({"sys_path": [p for p in sys.path if p], "output_pipes": pipes, **settings}).encode() + b"\n"
    assert process.stdin is not None
    try:
        # A pipe holds 64 kB and settings are far smaller. Should they not be, this waits for the child to read them.
        process.stdin.write(line)
    except BrokenPipeError:
        pass  # the child has died already: whoever watches the process learns it from its exit code
    _parents_ends.add(process)
    return process


def last_words(process: subprocess.Popen[bytes]) -> bytes:
    """What a child with `output_pipes` that has ended left in them. Once; never blocks."""
    unread = _unread.pop(process, None)
    return unread.take() if unread is not None else b""


def pass_on(words: bytes) -> None:
    """Write to this process's own stderr what a child would have written there. Nobody may be there to read it."""
    view = memoryview(words)
    try:
        while view:
            view = view[os.write(2, view) :]
    except OSError:
        return


class _Unread:
    """Reading ends of a child's pipes, which outlive it here."""

    def __init__(self, ends: list[int]) -> None:
        self._ends = ends

    def take(self) -> bytes:
        found = b""
        for end in self._ends:
            os.set_blocking(end, False)
            try:
                while len(found) < _LAST_WORDS_LIMIT and (chunk := os.read(end, 65536)):
                    found += chunk
            except BlockingIOError:  # a process that the child had started holds it open
                continue
        self.close()
        return found

    def close(self) -> None:
        ends, self._ends = self._ends, []
        for end in ends:
            os.close(end)

    def __del__(self) -> None:
        self.close()


_LAST_WORDS_LIMIT = 4 * 2**20
_unread: weakref.WeakKeyDictionary[subprocess.Popen[bytes], _Unread] = weakref.WeakKeyDictionary()
_parents_ends: weakref.WeakSet[subprocess.Popen[bytes]] = weakref.WeakSet()


def _close_in_fork() -> None:
    """A process forked from this one (a multiprocessing pool, on Linux) must not hold life lines: they would outlast the parent of whom they tell."""
    for process in list(_parents_ends):
        if process.stdin is not None:
            process.stdin.close()
    for unread in list(_unread.values()):
        unread.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_fork)


class Parent:
    """A child's view of the process that started it. `settings` is what it was given."""

    def __init__(self, settings: dict[str, Any], lifeline: int, reports: int, rest: bytes = b"") -> None:
        self.settings = settings
        self._rest = rest  # what the parent had written after the settings
        self._lifeline = lifeline
        self._reports = reports
        self._unsent = bytearray()
        self._loop: asyncio.AbstractEventLoop | None = None

    def report(self, message: dict[str, Any]) -> None:
        """Send one line to the parent. No error if nobody listens any more; and no waiting for a parent that does not read, once `lines` was
        called."""
        if self._reports >= 0:
            self._unsent += json.dumps(message).encode() + b"\n"
            self._flush()

    def _flush(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: os.write(self._reports, self._unsent)]
        except BlockingIOError:
            if self._loop is not None and len(self._unsent) < UNSENT_BYTES_LIMIT:
                self._loop.add_writer(self._reports, self._flush)
                return
            self.end_reports()
        except OSError:
            self.end_reports()
        if self._loop is not None and self._reports >= 0:
            self._loop.remove_writer(self._reports)

    def end_reports(self) -> None:
        """Close the way back: the parent's reader sees its end. Idempotent."""
        if self._reports >= 0:
            if self._loop is not None:
                self._loop.remove_writer(self._reports)
            os.close(self._reports)
            self._reports = -1

    def lines(self, loop: asyncio.AbstractEventLoop, on_line: Callable[[dict[str, Any]], object], on_lost: Callable[[], object]) -> LineReader:
        """Further lines from the parent go to `on_line` on the loop, its end to `on_lost`, once."""
        if sys.platform != "win32":
            self._loop = loop
            os.set_blocking(self._reports, False)
        return LineReader(self._lifeline, on_line, on_lost, loop, self._rest)

    def on_lost(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> LineReader:
        """Call `callback` on the loop when the parent is gone."""
        return self.lines(loop, lambda _message: None, callback)

    def die_with_it(self) -> None:
        """From now on the end of the parent is the end of this process, at once and without cleaning up, even while a task holds the interpreter.

        On Linux the kernel does it (`F_SETSIG` on the life line with SIGKILL, fcntl(2)), so no parent writes to the life line afterwards. Elsewhere
        a daemon thread waits for the end of the pipe.
        """
        if sys.platform == "linux":
            import fcntl
            import signal

            fcntl.fcntl(self._lifeline, fcntl.F_SETOWN, os.getpid())
            fcntl.fcntl(self._lifeline, fcntl.F_SETSIG, signal.SIGKILL)
            fcntl.fcntl(self._lifeline, fcntl.F_SETFL, fcntl.fcntl(self._lifeline, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
            try:
                lost = os.read(self._lifeline, 1) == b""  # it may have ended just before
            except BlockingIOError:
                lost = False
            if lost:
                os._exit(1)
        else:
            threading.Thread(target=self._exit_at_end, name="jupyterfut-lifeline", daemon=True).start()

    def _exit_at_end(self) -> None:
        while os.read(self._lifeline, 4096):
            pass
        os._exit(1)


def begin() -> Parent:
    """The first call of a child's `main`: reads the settings and takes the pipes away from fds 0 and 1. Exits with code 2 when there are none."""
    received = bytearray()
    while b"\n" not in received:
        chunk = os.read(0, 65536)
        if not chunk or len(received) > SETTINGS_BYTES_LIMIT:
            sys.exit("this program is started by jupyterfut itself: it expects its settings, one line of JSON, on stdin")
        received += chunk
    line, _, rest = bytes(received).partition(b"\n")
    settings: dict[str, Any] = json.loads(line)
    lifeline, reports = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    for path in settings.get("sys_path", ()):
        if path not in sys.path:
            sys.path.append(path)
    return Parent(settings, lifeline, reports, rest)


class LineReader:
    """Reads lines of JSON from a pipe on an event loop and takes the pipe over (closes it at its end, or when told).

    A line that is not a JSON object is dropped: on a child's stdout it can only be something that was printed before `begin()`.
    """

    def __init__(
        self,
        fd: int,
        on_line: Callable[[dict[str, Any]], object],
        on_end: Callable[[], object],
        loop: asyncio.AbstractEventLoop,
        received: bytes = b"",
    ) -> None:
        self._fd = fd
        self._on_line = on_line
        self._on_end = on_end
        self._loop = loop
        self._buffer = b""
        if received:
            loop.call_soon(self._take, received)
        self._threaded = sys.platform == "win32"  # pipes cannot be selected there
        if self._threaded:
            threading.Thread(target=self._read_in_thread, name="jupyterfut-pipe", daemon=True).start()
        else:
            os.set_blocking(fd, False)
            loop.add_reader(fd, self._readable)

    def close(self) -> None:
        """Read no more. Idempotent; `on_end` is not called."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            if not self._threaded:
                self._loop.remove_reader(fd)
                os.close(fd)

    def finish(self) -> None:
        """The writer has ended: take what it had still written, then close. `on_end` is not called."""
        if not self._threaded:
            self._on_end = _nothing
            try:
                while self._fd >= 0:
                    self._take(os.read(self._fd, 65536))
            except BlockingIOError:
                self.close()  # a child of the child holds the pipe open: nobody writes protocol there any more
        self.close()

    def _readable(self) -> None:
        try:
            self._take(os.read(self._fd, 65536))
        except BlockingIOError:
            return

    def _read_in_thread(self) -> None:
        fd = self._fd
        chunk = b"-"
        while chunk:
            chunk = os.read(fd, 65536)
            try:
                self._loop.call_soon_threadsafe(self._take, chunk)
            except RuntimeError:
                break  # the loop is closed: nobody listens any more
        os.close(fd)

    def _take(self, chunk: bytes) -> None:
        if self._fd < 0:
            return
        if not chunk:
            self.close()
            self._on_end()
            return
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if isinstance(message, dict):
                self._on_line(message)


def take_fd(pipe: IO[bytes]) -> int:
    """The pipe's file descriptor, now owned by the caller; the file object is closed."""
    fd = os.dup(pipe.fileno())
    pipe.close()
    return fd


def _nothing() -> None:
    """Nobody wants to know."""
