"""The nanny: keeps one worker process running.

It starts the process (`runtime.worker_main`), starts it again when it dies (with growing waits when it keeps dying), kills it when its memory
passes the limit or when it hangs at close, and says `WorkerDied` to the scheduler, which so learns the exit code. The worker cannot outlive it:
its stdin is a life line that breaks with the nanny (`runtime.child`). The nanny itself runs no user code, so it can hardly be brought down by any.

Input: the kernel's word that the process ended (pidfd), the worker's lines on its stdout, `close()`. Everything happens on one event loop.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
import os
import socket
import subprocess
from collections.abc import Callable
from typing import Any, Literal

from jupyterfut import config
from jupyterfut.comm import Security
from jupyterfut.errors import ConfigError, WorkerStartError
from jupyterfut.runtime import child, connections, logs, worker_process
from jupyterfut.runtime.nanny_admin import NannyAdmin, NannyLink
from jupyterfut.runtime.process import ProcessWatch, cpu_count, describe_exit, memory_bytes, parse_memory_limit
from jupyterfut.wire.messages import NannyHello, WorkerDied

logger = logging.getLogger("jupyterfut.nanny")

RESTART_EXIT_CODE = 75
"""A worker that ends with this code (EX_TEMPFAIL of sysexits.h) asks to be started again; that is no death."""

START_ATTEMPTS = 3
"""A worker that has died so often before it joined for the first time is given up."""

_numbers = itertools.count(1)

Status = Literal["new", "starting", "running", "waiting", "closing", "closed"]


class Nanny:
    """Supervises one worker process for a scheduler.

        async with Scheduler(port=0) as s, Nanny(s.address, nthreads=2) as n:
            ...

    `start()` returns when the worker has joined the scheduler; it raises WorkerStartError with the worker's own words when it cannot (nobody listens,
    wrong token, a bad option). `close()` ends the worker: asked first, killed after `nanny.close_timeout_s`. `memory_limit` is "auto" (the machine's
    memory), bytes, a text such as "4GB", or None. `token` defaults to what `connections.token_for` knows of the address.

    `on_died(WorkerDied)` is called in place of a message to the scheduler, for a nanny that lives in the scheduler's process; `on_change(nanny)`
    after each change of `status` or `worker_address`. `allow_run`: whether clients may run functions and plugins in the nanny's process.
    """

    def __init__(
        self,
        scheduler_address: str,
        *,
        nthreads: int | None = None,
        name: str | int | None = None,
        memory_limit: int | float | str | None = "auto",
        resources: dict[str, float] | None = None,
        host: str | None = None,
        port: int = 0,
        security: Security | None = None,
        token: str | None = None,
        local_directory: str | None = None,
        settings: config.Settings | None = None,
        allow_run: bool = True,
        on_died: Callable[[WorkerDied], object] | None = None,
        on_change: Callable[[Nanny], object] | None = None,
    ) -> None:
        if nthreads is not None and nthreads < 1:
            raise ConfigError(f"nthreads must be at least 1, not {nthreads}")
        self.scheduler_address = scheduler_address
        self.name = str(name) if name is not None else f"{socket.gethostname()}-{os.getpid()}-{next(_numbers)}"
        self.nthreads = nthreads or cpu_count()
        self.memory_limit_bytes = parse_memory_limit(memory_limit)
        self.settings = settings or config.settings()
        self.status: Status = "new"
        self.restarts = 0  #: how often the worker was started again
        self.worker_address: str | None = None  #: the running worker's address; None until it has joined
        token = token or (security.token if security is not None else None) or connections.token_for(scheduler_address)
        self._security = dataclasses.replace(security or Security(), token=token)
        self._spec = worker_process.worker_settings(
            scheduler_address, token=token, name=self.name, nthreads=self.nthreads,
            memory_limit_bytes=self.memory_limit_bytes, resources=resources, host=host, port=port, tls=worker_process.tls_settings(self._security),
            local_directory=local_directory, config=self.settings.to_dict(),
        )  # fmt: skip
        self.id: str = self._spec["nanny"]  #: its name to the scheduler
        self.env: dict[str, str] = {}  #: added to the environment of the next worker process, for plugins
        self.admin = NannyAdmin(self, allow_run)
        self._on_died = on_died
        self._on_change = on_change
        self._link: NannyLink | None = None
        self._logs_released = False
        self._running: asyncio.Future[None] | None = None  # resolved when the present process has joined, or no process will
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: ProcessWatch | None = None
        self._reports: child.LineReader | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._joined: asyncio.Future[None] | None = None  # how the first start came out
        self._gone = asyncio.Event()  # the current process has ended
        self._finished = asyncio.Event()  # no process will follow
        self._replacing = False  # the current process ends so that another follows
        self._started_at = 0.0
        self._deaths_in_a_row = 0
        self._worker_says = ""  # the worker's own words about its failure
        self._killed_for = ""

    # --- for its owner

    @property
    def pid(self) -> int | None:
        """The worker process's pid; None when there is none."""
        return self._process.pid if self._process is not None else None

    def launch(self, process: subprocess.Popen[bytes] | None = None) -> None:
        """Start the worker process and return at once; `joined()` waits. On the event loop only. `process`: one that was spawned with these
        settings."""
        loop = asyncio.get_running_loop()
        if self._joined is None:
            self._joined = loop.create_future()
            self._joined.add_done_callback(_mark_retrieved)
            logs.acquire(self.settings.worker.log_lines)
            if self._on_died is None:
                hello = NannyHello(self.name, os.getpid(), {"host": socket.gethostname(), "id": self.id})
                self._link = NannyLink(self.scheduler_address, self._security, hello, self.admin.answer)
                self._link.start()
        if self._running is None or self._running.done():
            self._running = loop.create_future()
            self._running.add_done_callback(_mark_retrieved)
        self._started_at = loop.time()
        self._worker_says = self._killed_for = ""
        self._gone.clear()
        self._process = process or worker_process.spawn_worker(self._spec, self.env)
        assert self._process.stdout is not None
        self._reports = child.LineReader(child.take_fd(self._process.stdout), self._on_report, _nothing, loop)
        self._watch = ProcessWatch(self._process, self._on_exit, loop)
        self._set_timer("start", self.settings.nanny.start_timeout_s, self._on_start_timeout)
        if self.memory_limit_bytes:
            self._set_timer("memory", self.settings.nanny.memory_check_s, self._check_memory)
        self._set_status("starting")

    async def start(self) -> Nanny:
        """Start the worker and wait until it has joined the scheduler. Raises WorkerStartError when it cannot."""
        if self.status == "new":
            self.launch()
        await self.joined()
        return self

    async def joined(self) -> None:
        """Wait until the first worker process has joined the scheduler. Raises WorkerStartError when it cannot; the nanny is closed then."""
        assert self._joined is not None, "launch() comes first"
        await asyncio.shield(self._joined)

    async def running(self) -> None:
        """Wait until the present worker process has joined the scheduler (one that dies before is followed by another). Raises WorkerStartError when
        none will."""
        assert self._running is not None, "launch() comes first"
        await asyncio.shield(self._running)

    async def restart(self) -> None:
        """End the worker process (asked first, killed after `nanny.close_timeout_s`, also if a task holds the interpreter) and start a fresh one;
        returns when that has been started (`worker_address` is None until it has joined)."""
        if self.status in ("closing", "closed"):
            return
        if self._replacing:  # already asked: both wait for the same process
            await self._gone.wait()
            return
        self._replacing = True
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_future()
            self._running.add_done_callback(_mark_retrieved)
        try:
            await self._end_process()
        finally:
            self._replacing = False
        self._deaths_in_a_row = 0
        if self.status not in ("closing", "closed"):
            self._launch_again()

    async def close(self) -> None:
        """End the worker (SIGTERM, and SIGKILL after `nanny.close_timeout_s`) and everything of the nanny. Idempotent."""
        if self.status != "closed":
            self._set_status("closing")
            self._fail_start(f"worker {self.name!r} was closed while it was starting")
            await self._end_process()
        await self.admin.close()
        if self._link is not None:
            await self._link.close()
        if self.status != "closed":
            self._set_status("closed")
        if self._joined is not None and not self._logs_released:
            self._logs_released = True
            logs.release()

    async def finished(self) -> None:
        """Wait until no worker process will follow any more: it ended on purpose (exit code 0), could not start, or the nanny was closed."""
        await self._finished.wait()

    async def __aenter__(self) -> Nanny:
        return await self.start()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Nanny {self.name!r}: {self.status}, pid {self.pid}, {self.nthreads} threads, scheduler {self.scheduler_address}>"

    # --- what happens

    def _on_report(self, message: dict[str, Any]) -> None:
        if message.get("event") == "ready":
            self.worker_address = message.get("address")
            logger.info("worker %s runs as pid %s at %s", self.name, self.pid, self.worker_address)
            self._cancel_timer("start")
            if self._joined is not None and not self._joined.done():
                self._joined.set_result(None)
            if self._running is not None and not self._running.done():
                self._running.set_result(None)
            self._set_status("running")
        elif message.get("event") == "failed":
            self._worker_says = str(message.get("error", ""))

    def _on_exit(self, exit_code: int) -> None:
        loop = asyncio.get_running_loop()
        assert self._process is not None
        assert self._reports is not None
        self._reports.finish()  # its last words may still be in the pipe
        child.pass_on(child.last_words(self._process))
        for name in list(self._timers):
            self._cancel_timer(name)
        pid = self._process.pid
        _close_stdin(self._process)
        self._process = self._watch = self._reports = self.worker_address = None
        self._gone.set()
        if self.status == "closing" or self._replacing:
            return
        text = self._worker_says or self._killed_for or describe_exit(exit_code)
        if exit_code == 0 and not self._worker_says:
            self._fail_start(f"worker {self.name!r} ended before it joined the scheduler")
            self._set_status("closed")
            return
        if exit_code == RESTART_EXIT_CODE:
            self._launch_again()
            return
        self._deaths_in_a_row = 1 if loop.time() - self._started_at >= self.settings.nanny.stable_s else self._deaths_in_a_row + 1
        # A worker that says why it cannot start will not do better next time. One that was killed may have joined already, and its word is lost.
        final = self._worker_says or self._deaths_in_a_row >= START_ATTEMPTS
        if final and self._fail_start(f"worker {self.name!r} did not start: {text}"):
            self._set_status("closed")
            return
        limits = self.settings.nanny
        wait_s = 0.0 if self._deaths_in_a_row == 1 else min(limits.backoff_max_s, limits.backoff_first_s * 2 ** min(self._deaths_in_a_row - 2, 30))
        logger.warning("worker %s (pid %d) died: %s; starting it again%s", self.name, pid, text, f" in {wait_s:g} s" if wait_s else "")
        self._tell(WorkerDied(self.name, pid, exit_code, text))
        if wait_s:
            self._set_status("waiting")
            self._set_timer("backoff", wait_s, self._launch_again)
        else:
            self._launch_again()

    def _launch_again(self) -> None:
        self._cancel_timer("backoff")
        self.restarts += 1
        try:
            self.launch()
        except OSError as error:  # no more processes, no more memory: the machine may recover
            logger.error("worker %s cannot be started again: %s", self.name, error)
            self._set_status("waiting")
            self._set_timer("backoff", self.settings.nanny.backoff_max_s, self._launch_again)

    def _on_start_timeout(self) -> None:
        self._kill(f"it had not joined the scheduler after {self.settings.nanny.start_timeout_s:g} s")

    def _check_memory(self) -> None:
        used = memory_bytes(self.pid) if self.pid is not None else None
        if used is None:
            return  # it is ending, or the platform cannot tell
        limit = self.settings.nanny.memory_terminate * self.memory_limit_bytes
        if used > limit:
            share, of = f"{self.settings.nanny.memory_terminate:.0%}", f"{self.memory_limit_bytes / 1e9:.2f} GB"
            self._kill(f"its memory, {used / 1e9:.2f} GB, passed {share} of the limit of {of}")
        else:
            self._set_timer("memory", self.settings.nanny.memory_check_s, self._check_memory)

    # --- how it is done

    def _kill(self, reason: str) -> None:
        self._killed_for = f"killed by its nanny: {reason}"
        if self._process is not None:
            self._process.kill()

    async def _end_process(self) -> None:
        """Ask the process to end, kill it if it does not, wait until it has."""
        self._cancel_timer("backoff")
        if self._process is None:
            return
        if self.worker_address is None:
            self._process.kill()  # still starting: it has nothing to put in order, and may not listen to signals yet
        else:
            self._process.terminate()
            self._set_timer("close", self.settings.nanny.close_timeout_s, self._on_close_timeout)
        await self._gone.wait()

    def _on_close_timeout(self) -> None:
        logger.warning("worker %s (pid %s) has not ended within %g s: killing it", self.name, self.pid, self.settings.nanny.close_timeout_s)
        self._kill("it did not end when told to")

    def _tell(self, died: WorkerDied) -> None:
        """Bring the death to the scheduler, through the owner or over a stream of its own."""
        if self._on_died is not None:
            self._on_died(died)
            return
        if self._link is not None:
            self._link.send(died)

    def _fail_start(self, text: str) -> bool:
        """The first start has failed, if it was still open."""
        if self._joined is None or self._joined.done():
            return False
        self._joined.set_exception(WorkerStartError(text))
        return True

    def _set_status(self, status: Status) -> None:
        self.status = status
        if status in ("closing", "closed"):
            self._finished.set()
            if self._running is not None and not self._running.done():
                self._running.set_exception(WorkerStartError(f"worker {self.name!r} has ended: {self._worker_says or status}"))
        if self._on_change is not None:
            self._on_change(self)

    def _set_timer(self, name: str, delay_s: float, callback: Callable[[], object]) -> None:
        self._cancel_timer(name)
        self._timers[name] = asyncio.get_running_loop().call_later(delay_s, callback)

    def _cancel_timer(self, name: str) -> None:
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()


def _close_stdin(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()


def _mark_retrieved(future: asyncio.Future[None]) -> None:
    """Nobody may be waiting for the start: that is no reason for asyncio's log line about an exception never retrieved."""
    if not future.cancelled():
        future.exception()


def _nothing() -> None:
    """The worker's pipe has ended: its process's end tells more."""
