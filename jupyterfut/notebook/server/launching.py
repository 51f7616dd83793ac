"""A cluster that the server starts: `jupyterfut cluster start --pipe`, as a process, with the Python of any environment.

The server holds the end of a pipe, and that is the cluster's life: when the server ends, by whatever way, the cluster does too, unless it was started
detached. What the process reports comes as lines of JSON (`cli.cluster_start` says which), what it and its workers print is kept for the logs, the
newest lines of it, in memory.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import subprocess
from collections import deque
from collections.abc import Callable
from typing import Any

from jupyterfut.deploy.remote import TextReader
from jupyterfut.errors import ClosedError, WorkerStartError
from jupyterfut.notebook.server.environments import Environment
from jupyterfut.runtime import child
from jupyterfut.runtime.process import ProcessWatch, describe_exit

logger = logging.getLogger("jupyterfut.server")

LINES_KEPT = 2_000
"""Of what a cluster prints."""


SECRETS = frozenset({"JUPYTER_TOKEN", "JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN"})
"""Variables that are the server's own business."""

_left: list[subprocess.Popen[bytes]] = []  # detached ones that were still starting: kept, so that nobody takes them for forgotten


class Launch:
    """Owns the process. Made and used on one event loop.

    `on_change()` is called when `address` becomes known, when it is `ready`, and when it has `ended`; `error` then says why, if that was not meant.
    Raises WorkerStartError when there is no such directory, or the interpreter cannot be run.
    """

    def __init__(self, wish: dict[str, Any], environment: Environment, directory: str, on_change: Callable[[], object]) -> None:
        self.name: str = wish["name"]
        self.type: str = wish["type"]
        self.detached = bool(wish["detached"])
        self.environment = environment
        self.address = ""
        self.ready = False
        self.ended = False
        self.error = ""
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[None]] = {}
        self._gone = asyncio.Event()
        self._closing = False  # we have told it to end
        self._meant = False
        self._failure = ""
        if not os.path.isdir(directory):
            raise WorkerStartError(f"there is no directory {directory} to run it in")
        pipe = subprocess.PIPE
        variables = {name: value for name, value in os.environ.items() if name not in SECRETS}
        try:
            process = self._process = subprocess.Popen(
                [environment.python, "-P", "-m", "jupyterfut", "cluster", "start", "--pipe"],
                stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True, bufsize=0, cwd=directory, env=variables | environment.variables,
            )  # fmt: skip
        except OSError as error:
            raise WorkerStartError(f"{environment.title}: cannot run {environment.python}: {error.strerror or error}") from error
        assert process.stdout is not None
        assert process.stderr is not None
        self._reports = child.LineReader(child.take_fd(process.stdout), self._on_report, lambda: None, self._loop)
        self._words = TextReader(child.take_fd(process.stderr), self.lines.append, self._loop)
        self._watch = ProcessWatch(process, self._on_exit, self._loop)
        self._say(wish)

    @property
    def pid(self) -> int:
        """Of the process that was started (the scheduler's is another one)."""
        return self._process.pid

    async def ask(self, op: str, **fields: Any) -> None:
        """Have it do something, and wait until it is done. Raises WorkerStartError with what it says, ClosedError when it has ended."""
        if self.ended or self._closing:
            raise ClosedError(f"the cluster {self.name!r} has ended")
        number = next(self._numbers)
        answer = self._asked[number] = self._loop.create_future()
        self._say({"op": op, "id": number, **fields})
        await answer

    async def close(self, timeout_s: float) -> None:
        """End the cluster, and return when it has ended. It is killed when that takes longer than `timeout_s`; its own processes end with it."""
        if not self.ended and not self._closing:
            self._closing = True
            self._close_stdin()
            if self.detached:
                self._process.terminate()
        try:
            async with asyncio.timeout(timeout_s):
                await self._gone.wait()
        except TimeoutError:
            logger.warning("the cluster %r (pid %d) did not end within %g s: killing it", self.name, self.pid, timeout_s)
            self._process.kill()
            await self._gone.wait()

    def is_stopped(self) -> None:
        """Somebody ends it otherwise: its end is meant."""
        self._meant = True

    def leave(self) -> None:
        """Leave a detached cluster to itself: listen to it no more. What it is about to do, it does."""
        if not self.ended:
            self._closing = self.ended = True
            self._reports.close()
            self._words.close()
            self._watch.cancel()
            self._close_stdin()
            _left.append(self._process)

    # --- what it says

    def _on_report(self, message: dict[str, Any]) -> None:
        match message.get("event"):
            case "listening":
                self.address = str(message["address"])
                self._on_change()
            case "ready":
                self.ready = True
                self._on_change()
            case "failed":
                self._failure = str(message["error"])
            case "done":
                answer = self._asked.pop(message["id"], None)
                if answer is not None and not answer.done():
                    if message["error"]:
                        answer.set_exception(WorkerStartError(str(message["error"])))
                    else:
                        answer.set_result(None)

    def _on_exit(self, exit_code: int) -> None:
        self._reports.finish()
        self._words.finish()
        self._close_stdin()
        self.ended = True
        meant = self._closing or self._meant
        if not meant and not self.ready:
            self.error = self._why(exit_code)
        elif not meant and exit_code != 0:
            logger.warning("the cluster %r (pid %d) has ended: %s", self.name, self.pid, describe_exit(exit_code))
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(ClosedError(f"the cluster {self.name!r} has ended ({describe_exit(exit_code)})"))
        self._asked.clear()
        self._gone.set()
        self._on_change()

    def _why(self, exit_code: int) -> str:
        words = "\n".join(list(self.lines)[-20:])
        title, python = self.environment.title, self.environment.python
        if "No module named jupyterfut" in words or "No module named 'jupyterfut'" in words:
            return f"jupyterfut is not installed in {title}. To install it there: {python} -m pip install jupyterfut"
        if "invalid choice: 'start'" in words or "unrecognized arguments: --pipe" in words:
            return f"jupyterfut in {title} is too old to be started from here: {python} -m pip install -U jupyterfut"
        if "nknown option: -P" in words:
            return f"jupyterfut needs Python 3.11 or later, which {title} ({python}) is not"
        return self._failure or f"the cluster did not start ({describe_exit(exit_code)})" + (f": {words}" if words else "")

    # --- how it is told

    def _say(self, message: dict[str, Any]) -> None:
        stdin = self._process.stdin
        if stdin is None or stdin.closed:
            return
        try:
            stdin.write(json.dumps(message).encode() + b"\n")
        except BrokenPipeError:
            self._close_stdin()  # it is gone: `_on_exit` says so to everybody

    def _close_stdin(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
