"""What a nanny is asked through the scheduler: to restart its worker, to set up plugins, to run a function, for its log and its versions.

A nanny in the scheduler's own process is reached by a `NannyDoor`, which looks like a link to the scheduler's server; any other over a stream of its
own (`NannyLink`), which it opens again whenever it breaks. Both end in `answer(op, args)`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from jupyterfut.comm import Security, Stream, connect
from jupyterfut.errors import JupyterfutError
from jupyterfut.ids import Key
from jupyterfut.runtime import logs
from jupyterfut.wire.messages import Message, NannyHello, Reply, Request

if TYPE_CHECKING:
    from jupyterfut.runtime.nanny import Nanny

logger = logging.getLogger("jupyterfut.nanny")

Answer = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""(op, args) -> value. What it raises goes to the one who asked."""


class NannyAdmin:
    """The handlers of one nanny, and its plugins. `allow_run`: whether users' functions and plugins may run in its process."""

    def __init__(self, nanny: Nanny, allow_run: bool) -> None:
        self.plugins: dict[str, Any] = {}
        self._nanny = nanny
        self._allow_run = allow_run
        self._turn = asyncio.Lock()
        self._ops: dict[str, Callable[[dict[str, Any]], Awaitable[Any]]] = {
            "restart": self._restart,
            "plugins": self._change_plugins,
            "run": self._run,
            "logs": self._logs,
        }

    async def answer(self, op: str, args: dict[str, Any]) -> Any:
        """See `Answer`."""
        handler = self._ops.get(op)
        if handler is None:
            raise ValueError(f"a nanny knows no request {op!r}")
        return await handler(args)

    async def _restart(self, args: dict[str, Any]) -> None:
        await self._nanny.restart()
        if args.get("wait", True):
            await self._nanny.running()

    async def _run(self, args: dict[str, Any]) -> Any:
        self._check_allowed()
        from jupyterfut.runtime.side_threads import call, in_thread, inject
        from jupyterfut.serde import dumps, loads

        name = f"jupyterfut-{self._nanny.name}-nanny-run"
        function, positional, keywords = await in_thread(name, loads, args["call"])
        keywords = inject(function, positional, keywords, {"nanny": self._nanny, "dask_worker": self._nanny, "worker": self._nanny})
        return dumps(await call(name, function, *positional, **keywords))

    async def _logs(self, args: dict[str, Any]) -> list[list[str]]:
        return logs.newest(args.get("n"), "jupyterfut.nanny")

    async def _change_plugins(self, args: dict[str, Any]) -> None:
        from jupyterfut.runtime.side_threads import call, in_thread
        from jupyterfut.serde import loads

        async with self._turn:
            for name in args["removed"]:
                await self._remove(name)
            for name, payload in args["plugins"].items():
                self._check_allowed()
                await self._remove(name)
                thread = f"jupyterfut-{self._nanny.name}-nanny-plugin"
                plugin = await in_thread(thread, loads, payload)
                if (setup := getattr(plugin, "setup", None)) is not None:
                    await call(thread, setup, self._nanny)
                self.plugins[name] = plugin

    async def _remove(self, name: str) -> None:
        from jupyterfut.runtime.side_threads import call

        plugin = self.plugins.pop(name, None)
        if (teardown := getattr(plugin, "teardown", None)) is not None:
            try:
                await call(f"jupyterfut-{self._nanny.name}-nanny-plugin", teardown, self._nanny)
            except Exception:
                logger.exception("plugin %r of the nanny of worker %s raised in teardown", name, self._nanny.name)

    async def close(self) -> None:
        """The nanny ends: tear down its plugins, the newest first."""
        for name in reversed(list(self.plugins)):
            await self._remove(name)

    def _check_allowed(self) -> None:
        if not self._allow_run:
            raise PermissionError("this nanny lives in a scheduler's process that runs no users' code (the setting scheduler.allow_run)")


async def reply_of(answer: Answer, request: Request) -> Reply:
    """The answer to a request, or why there is none."""
    from jupyterfut.serde import failure_from_exception

    try:
        return Reply(request.id, await answer(request.op, request.args), None)
    except Exception as error:  # noqa: BLE001  # it belongs to the one who asked
        return Reply(request.id, None, failure_from_exception(error, Key("")))


class NannyDoor:
    """In the scheduler's process, in place of a link to a nanny."""

    def __init__(self, answer: Answer, on_reply: Callable[[Reply], object]) -> None:
        self.closed = False
        self._answer = answer
        self._on_reply = on_reply
        self._jobs: set[asyncio.Task[None]] = set()

    def send(self, message: Message) -> None:
        """Never blocks; the reply comes later."""
        if type(message) is Request and not self.closed:
            job = asyncio.get_running_loop().create_task(self._perform(message))
            self._jobs.add(job)
            job.add_done_callback(self._jobs.discard)

    async def _perform(self, request: Request) -> None:
        reply = await reply_of(self._answer, request)
        if not self.closed:
            self._on_reply(reply)

    def hurry(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Nobody listens any more."""
        self.closed = True
        for job in self._jobs:
            job.cancel()

    async def wait_closed(self) -> None:
        """After `close`: until all has ended."""
        await asyncio.gather(*self._jobs, return_exceptions=True)


class NannyLink:
    """A nanny's own stream to a scheduler elsewhere: says `NannyHello`, answers requests, and is opened again whenever it breaks."""

    def __init__(self, address: str, security: Security, hello: NannyHello, answer: Answer) -> None:
        self._address = address
        self._security = security
        self._hello = hello
        self._answer = answer
        self._stream: Stream | None = None
        self._unsent: list[Message] = []
        self._jobs: set[asyncio.Task[None]] = set()
        self._closed = False
        self._job: asyncio.Task[None] | None = None
        self._last_error = ""

    def start(self) -> None:
        """Connect, in the background."""
        self._job = asyncio.get_running_loop().create_task(self._keep_open())

    def send(self, message: Message) -> None:
        """Say something now, or as soon as the scheduler can be reached."""
        if self._stream is None:
            self._unsent.append(message)
        else:
            self._stream.send([message])

    async def close(self) -> None:
        """Send what is on its way, and end."""
        self._closed = True
        if self._job is not None:
            self._job.cancel()
            await asyncio.wait([self._job])
        stream, self._stream = self._stream, None
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        if stream is not None:
            stream.close()
            await stream.wait_closed()
        elif self._unsent:
            logger.warning("the scheduler was not told of the last of worker %s: %s", self._hello.name, self._last_error or "no connection")

    async def _keep_open(self) -> None:
        pause_s = 0.05
        while True:
            ended = asyncio.Event()
            try:
                stream = await connect(self._address, security=self._security, hello={"role": "nanny", "name": self._hello.name})
            except (JupyterfutError, OSError) as error:
                self._last_error = str(error)
                await asyncio.sleep(pause_s * (0.5 + random.random()))
                pause_s = min(5.0, pause_s * 2)
                continue
            pause_s = 0.05
            stream.start(self._on_messages, partial(_set, ended))
            unsent, self._unsent = self._unsent, []
            stream.send([self._hello, *unsent])
            self._stream = stream
            try:
                await ended.wait()
            finally:
                if not self._closed:
                    self._stream = None

    def _on_messages(self, messages: list[Message]) -> None:
        for message in messages:
            if type(message) is Request:
                job = asyncio.get_running_loop().create_task(self._perform(message))
                self._jobs.add(job)
                job.add_done_callback(self._jobs.discard)

    async def _perform(self, request: Request) -> None:
        reply = await reply_of(self._answer, request)
        if self._stream is not None:
            self._stream.send([reply])


def _set(ended: asyncio.Event, reason: object) -> None:
    ended.set()
