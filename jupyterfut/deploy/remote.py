"""One of our processes on another machine, reached through the system's `ssh`: `runtime.remote_main` there, this object here.

`ssh` runs as a child of ours. Its stdin carries our lines and is the life line: when it closes (also by our death), or the connection breaks, the
remote process ends. Its stdout carries the answers. Its stderr is what ssh itself and the remote process have to say: kept for errors until the
process has begun, and from then on handed to our own stderr, where workers of this machine print as well.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import shlex
import subprocess
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from jupyterfut import errors
from jupyterfut.errors import ClosedError, ConfigError, JupyterfutError, WorkerStartError
from jupyterfut.runtime import child
from jupyterfut.runtime.process import ProcessWatch, describe_exit

logger = logging.getLogger("jupyterfut.deploy")

PROGRAM = "from jupyterfut.runtime.remote_main import main; raise SystemExit(main())"

LINES_KEPT = 30
"""Of stderr, for an error's text."""

SSH_FAILED = 255
NOT_FOUND = 127
"""Exit codes of ssh: its own trouble; a remote shell that does not find the command."""


class Login(NamedTuple):
    """How to reach a machine."""

    host: str
    ssh: tuple[str, ...] = ("ssh",)  #: the local command
    options: tuple[str, ...] = ()  #: of ssh
    python: str = "python3"  #: for the remote shell: the interpreter there, perhaps with a command before it

    def command(self) -> list[str]:
        """The arguments of the local process. No secrets in them."""
        return [*self.ssh, *self.options, "--", self.host, f"{self.python} -c {shlex.quote(PROGRAM)}"]


CONNECT_OPTIONS = ("username", "port", "identity_file", "client_keys", "known_hosts", "config_file", "connect_timeout", "options", "ssh")


def login(host: str, connect_options: dict[str, Any], python: str) -> Login:
    """The login for a host, with `connect_options` as users give them. Raises TypeError for an option that does not exist, ConfigError for one that
    cannot be.

    >>> login("node1", {"username": "me", "port": 2222}, "python3").options[-4:]
    ('-l', 'me', '-p', '2222')
    """
    if not host or host.startswith("-"):
        raise ConfigError(f"{host!r} is no host")
    if "password" in connect_options:
        raise ConfigError("connect_options: ssh asks for passwords on a terminal only; use a key (identity_file=...) or an ssh agent")
    unknown = [name for name in connect_options if name not in CONNECT_OPTIONS]
    if unknown:
        raise TypeError(f"connect_options knows no {', '.join(map(repr, unknown))} (it knows {', '.join(CONNECT_OPTIONS)})")
    given = connect_options.get
    options = ["-T", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"]
    options += ["-o", f"ConnectTimeout={int(given('connect_timeout', 10))}"]
    if "known_hosts" in connect_options:  # None: any host key will do, as in asyncssh
        file = given("known_hosts")
        options += ["-o", "UserKnownHostsFile=" + ("/dev/null" if file is None else os.fspath(file))]
        options += ["-o", "StrictHostKeyChecking=no"] if file is None else []
    if given("config_file"):
        options += ["-F", os.fspath(connect_options["config_file"])]
    keys = given("identity_file") or given("client_keys") or []
    for key in [keys] if isinstance(keys, (str, os.PathLike)) else keys:
        options += ["-i", os.fspath(key)]
    for name, value in (given("options") or {}).items():
        options += ["-o", f"{name}={value}"]
    if given("username"):
        options += ["-l", str(given("username"))]
    if given("port"):
        options += ["-p", str(int(connect_options["port"]))]
    command = given("ssh") or "ssh"
    return Login(host, tuple(shlex.split(command) if isinstance(command, str) else command), tuple(options), python)


class RemoteProcess:
    """Owns the ssh process. Everything runs on one event loop, but `let_go`."""

    def __init__(self, where: Login, settings: dict[str, Any], what: str, *, close_timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        self.where = where
        self.what = what  #: for texts: "the scheduler"
        self.ended = False  #: it is gone, for whatever reason
        self.begun: asyncio.Future[dict[str, Any]] = loop.create_future()  #: its first report
        self.begun.add_done_callback(_mark_retrieved)
        self.on_event: Callable[[dict[str, Any]], object] = _nothing  #: reports that answer nothing
        self.on_ended: Callable[[], object] = lambda: None
        self._close_timeout_s = close_timeout_s
        self._closing = False
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._gone = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._words: deque[str] = deque(maxlen=LINES_KEPT)
        pipe = subprocess.PIPE
        try:
            process = subprocess.Popen(where.command(), stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True, bufsize=0)
        except OSError as error:
            text = f"{what} cannot be started on {where.host}: the command {where.ssh[0]!r} cannot be run here ({error.strerror})"
            raise WorkerStartError(f"{text}; is OpenSSH's client installed?") from error
        self.process = process
        assert process.stdout is not None
        assert process.stderr is not None
        self._lines = child.LineReader(child.take_fd(process.stdout), self._on_line, lambda: None, loop)
        self._errors = TextReader(child.take_fd(process.stderr), self._on_words, loop)
        self._watch = ProcessWatch(process, self._on_exit, loop)
        self._say(settings)

    async def ask(self, op: str, **fields: Any) -> Any:
        """The answer to an op. Raises what it fails with, ClosedError when the process ends before."""
        if self.ended or self._closing:
            raise ClosedError(f"{self.what} on {self.where.host} has ended")
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        self._say({"op": op, "id": number, **fields})
        return await answer

    def tell(self, op: str) -> None:
        """Say an op that has no answer."""
        self._say({"op": op})

    async def close(self) -> None:
        """Tell the process to end, wait until it has; kill ssh, which ends it too, if it takes too long."""
        if not self.ended and not self._closing:
            self._closing = True
            self._say({"op": "close"})
            self._close_stdin()
            self._timer = asyncio.get_running_loop().call_later(self._close_timeout_s, self.process.kill)
        await self._gone.wait()

    async def finished(self) -> None:
        """Return when it is gone."""
        await self._gone.wait()

    def let_go(self) -> None:
        """Close the life line without waiting, from any thread."""
        self._close_stdin()

    # --- what comes back

    def _on_line(self, message: dict[str, Any]) -> None:
        event = message.get("event")
        if event == "done":
            answer = self._asked.pop(message["id"], None)
            if answer is not None and not answer.done():
                if message["kind"]:
                    answer.set_exception(_error(message["kind"], message["error"]))
                else:
                    answer.set_result(message["value"])
        elif event == "failed":
            self._fail(f"{self.what} did not start on {self.where.host}: {message['error']}")
        elif not self.begun.done():
            for line in self._words:
                _print(line)
            self.begun.set_result(message)
        else:
            self.on_event(message)

    def _on_words(self, line: str) -> None:
        self._words.append(line)
        if self.begun.done() and not self.begun.exception():
            _print(line)

    def _on_exit(self, exit_code: int) -> None:
        self._lines.finish()
        self._errors.finish()
        if self._timer is not None:
            self._timer.cancel()
        self.ended = True
        self._close_stdin()
        self._fail(self._why(exit_code))
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(ClosedError(f"{self.what} on {self.where.host} has ended ({describe_exit(exit_code)})"))
        self._asked.clear()
        self._gone.set()
        if not self._closing and self.begun.exception() is None:
            logger.warning("%s on %s has ended: %s", self.what, self.where.host, " ".join(self._words) or describe_exit(exit_code))
        self.on_ended()

    def _why(self, exit_code: int) -> str:
        words = "\n".join(self._words) or f"it said nothing ({describe_exit(exit_code)})"
        hint = ""
        if exit_code == SSH_FAILED and "Host key verification failed" in words:
            hint = " (log in once by hand, or give connect_options={'known_hosts': ...}; None takes any key)"
        elif exit_code == SSH_FAILED and "Permission denied" in words:
            hint = " (nobody can be asked for a password here: use a key that the host knows, identity_file=..., or an ssh agent)"
        elif "No module named 'jupyterfut'" in words:
            hint = f" (jupyterfut is not installed for {self.where.python!r} there; another interpreter: remote_python=...)"
        elif exit_code == NOT_FOUND:
            hint = f" (there is no {self.where.python!r} there: give remote_python=...)"
        who = f"ssh to {self.where.host} failed" if exit_code == SSH_FAILED else f"{self.what} did not start on {self.where.host}"
        return f"{who}{hint}: {words}"

    def _fail(self, text: str) -> None:
        if not self.begun.done():
            self.begun.set_exception(WorkerStartError(text))

    # --- how it is said

    def _say(self, message: dict[str, Any]) -> None:
        stdin = self.process.stdin
        if stdin is None or stdin.closed:
            return
        try:
            stdin.write(json.dumps(message).encode() + b"\n")
        except BrokenPipeError:
            self._close_stdin()  # ssh is gone: `_on_exit` says so to everybody

    def _close_stdin(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()


class TextReader:
    """Lines of text from a pipe, on an event loop; the pipe is the reader's from then on."""

    def __init__(self, fd: int, on_line: Callable[[str], object], loop: asyncio.AbstractEventLoop) -> None:
        self._fd = fd
        self._on_line = on_line
        self._loop = loop
        self._buffer = b""
        os.set_blocking(fd, False)
        loop.add_reader(fd, self._readable)

    def finish(self) -> None:
        """The writer has ended: take what it had still written, and close. Idempotent."""
        while self._fd >= 0 and self._readable():
            pass
        self.close()

    def _readable(self) -> bool:
        try:
            chunk = os.read(self._fd, 65536)
        except BlockingIOError:
            return False
        if not chunk:
            self.close()
            return False
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        for line in lines:
            self._on_line(line.decode(errors="replace").rstrip("\r"))
        return True

    def close(self) -> None:
        """Read no more. Idempotent."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._loop.remove_reader(fd)
            os.close(fd)
            if self._buffer:
                self._on_line(self._buffer.decode(errors="replace"))


def _print(line: str) -> None:
    os.write(2, line.encode(errors="replace") + b"\n")


def _error(kind: str, text: str) -> JupyterfutError:
    known = getattr(errors, kind, None)
    return known(text) if isinstance(known, type) and issubclass(known, JupyterfutError) else WorkerStartError(f"{kind}: {text}")


def _mark_retrieved(future: asyncio.Future[Any]) -> None:
    """Nobody may be waiting: that is no reason for asyncio's log line about an exception never retrieved."""
    if not future.cancelled():
        future.exception()


def _nothing(message: dict[str, Any]) -> None:
    """Nobody wants to know."""
