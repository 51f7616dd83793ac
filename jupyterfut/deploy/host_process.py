"""A local cluster of processes, seen from its owner: one child process (`runtime.host_main`) that holds the scheduler and starts the workers.

The child is started by the constructor, before there is a loop; the rest happens on one loop. Lines of JSON go both ways; `runtime.host_main` says
which. The child ends when told, when our end of its stdin closes (also by our death), or when it is killed because it took too long.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import subprocess
from collections.abc import Callable
from typing import Any

from jupyterfut import errors
from jupyterfut.deploy.cluster import WorkerInfo
from jupyterfut.errors import ClosedError, JupyterfutError, WorkerStartError
from jupyterfut.runtime import child
from jupyterfut.runtime.process import ProcessWatch, describe_exit

logger = logging.getLogger("jupyterfut.deploy")

MODULE = "jupyterfut.runtime.host_main"


_let_go: list[subprocess.Popen[bytes]] = []


def reap() -> None:
    """Take notice of let-go children that have ended, so that none stays a zombie for as long as this process lives."""
    _let_go[:] = [process for process in _let_go if process.poll() is None]


class HostProcess:
    """Owns the child process. Everything but the constructor and `end_now` runs on one event loop."""

    def __init__(self, settings: dict[str, Any], *, start_timeout_s: float, close_timeout_s: float) -> None:
        self._start_timeout_s = start_timeout_s
        self._close_timeout_s = close_timeout_s
        self.address = ""
        self.dashboard_link = ""
        self.workers: dict[str, WorkerInfo] = {}
        reap()
        self.process: subprocess.Popen[bytes] = child.spawn(MODULE, settings, title=f"jupyterfut cluster {settings['name']}")
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[None]] = {}
        self.on_wish: Callable[[int], object] = lambda n: None  #: called when the load asks for another number of workers
        self._attached = False
        self.ended = False  #: the child is gone, for whatever reason
        self._closing = False

    def _attach(self) -> None:
        """Listen to the child, from the first coroutine on."""
        if self._attached:
            return
        self._attached = True
        loop = asyncio.get_running_loop()
        self._listening: asyncio.Future[str] = loop.create_future()
        self._ready: asyncio.Future[None] = loop.create_future()
        self._gone = asyncio.Event()
        for future in (self._listening, self._ready):
            future.add_done_callback(_mark_retrieved)
        assert self.process.stdout is not None
        self._lines = child.LineReader(child.take_fd(self.process.stdout), self._on_line, _nothing, loop)
        self._watch = ProcessWatch(self.process, self._on_exit, loop)
        self._timer = loop.call_later(self._start_timeout_s, self._on_start_timeout)

    async def listening(self) -> str:
        """The scheduler's address, as soon as it is known."""
        self._attach()
        return await asyncio.shield(self._listening)

    async def ready(self) -> None:
        """Wait until the first workers have joined."""
        self._attach()
        await asyncio.shield(self._ready)

    async def finished(self) -> None:
        """Return when the child is gone."""
        self._attach()
        await self._gone.wait()

    async def scale(self, n: int, timeout_s: float | None) -> None:
        """Wait until there are `n` workers."""
        await self._ask({"op": "scale", "n": n, "timeout_s": timeout_s})

    async def adapt(self, options: dict[str, Any]) -> None:
        """Have as many workers as the load asks for."""
        await self._ask({"op": "adapt", "options": options})

    async def stop_adapting(self) -> None:
        """Leave the number as it is."""
        await self._ask({"op": "stop_adapting"})

    async def _ask(self, message: dict[str, Any]) -> None:
        self._attach()
        if self.ended or self._closing:
            raise ClosedError("the cluster is closed")
        number = next(self._numbers)
        done = self._asked[number] = asyncio.get_running_loop().create_future()
        self._say({**message, "id": number})
        await done

    async def close(self) -> None:
        """Tell the child to end, wait until it has, kill it if it takes too long."""
        self._attach()
        if not self.ended and not self._closing:
            self._closing = True
            self._timer.cancel()
            self._say({"op": "close"})
            self._close_stdin()
            self._timer = asyncio.get_running_loop().call_later(self._close_timeout_s, self._on_close_timeout)
        await self._gone.wait()

    def let_go(self) -> None:
        """Close the life line without a word and without waiting, from any thread: the child ends, unless it was started detached."""
        self._close_stdin()
        _let_go.append(self.process)

    def leave(self) -> None:
        """Leave a detached child to itself: listen to it no more."""
        if self._attached and not self.ended:
            self._lines.close()
            self._watch.cancel()
            self._timer.cancel()
        self.let_go()

    def end_now(self) -> None:
        """For the end of the interpreter, when no loop runs any more: close the life line and wait for the child. Not on the loop."""
        self._close_stdin()
        try:
            self.process.wait(self._close_timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    # --- the child speaks

    def _on_line(self, message: dict[str, Any]) -> None:
        match message.get("event"):
            case "listening":
                self.address = message["address"]
                self.dashboard_link = message["dashboard"]
                self._listening.set_result(self.address)
            case "ready":
                self._timer.cancel()
                if not self._ready.done():
                    self._ready.set_result(None)
            case "failed":
                self._fail(message["error"])
            case "workers":
                self.workers = {
                    w["name"]: WorkerInfo(w["name"], w["address"], w["pid"], w["nthreads"], w["memory_limit"], w["status"], w["restarts"])
                    for w in message["workers"]
                }
            case "wish":
                self.on_wish(message["n"])
            case "done":
                done = self._asked.pop(message["id"], None)
                if done is not None and not done.done():
                    if message["kind"]:
                        done.set_exception(getattr(errors, message["kind"], JupyterfutError)(message["error"]))
                    else:
                        done.set_result(None)

    def _on_exit(self, exit_code: int) -> None:
        self._lines.finish()
        self._timer.cancel()
        self.ended = True
        self._close_stdin()
        self._fail(f"the cluster's process ended ({describe_exit(exit_code)})")
        for done in self._asked.values():
            if not done.done():
                done.set_exception(ClosedError("the cluster has ended"))
        self._asked.clear()
        self.workers = {}
        self._gone.set()
        if not self._closing and exit_code != 0:
            logger.warning("the cluster's process (pid %d) ended: %s", self.process.pid, describe_exit(exit_code))

    def _on_start_timeout(self) -> None:
        self._fail(f"the cluster did not come up within {self._start_timeout_s:g} s")

    def _on_close_timeout(self) -> None:
        logger.warning("the cluster's process (pid %d) did not end within %g s: killing it", self.process.pid, self._close_timeout_s)
        self.process.kill()

    def _fail(self, text: str) -> None:
        for future in (self._listening, self._ready):
            if not future.done():
                future.set_exception(WorkerStartError(text))

    # --- speaking to the child

    def _say(self, message: dict[str, Any]) -> None:
        stdin = self.process.stdin
        if stdin is None or stdin.closed:
            return
        try:
            stdin.write(json.dumps(message).encode() + b"\n")
        except BrokenPipeError:
            self._close_stdin()  # the child is gone: `_on_exit` says so to everybody

    def _close_stdin(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()


def _mark_retrieved(future: asyncio.Future[Any]) -> None:
    """Nobody may be waiting: that is no reason for asyncio's log line about an exception never retrieved."""
    if not future.cancelled():
        future.exception()


def _nothing() -> None:
    """The pipe has ended: the process's end tells more."""
