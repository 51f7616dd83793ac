"""The plugins of one worker: set up in the order in which the scheduler tells of them, called when tasks move, torn down at the end.

`Plugins` messages come in from the scheduler's stream, one after the other; each is answered when all that it asks for is done. While a worker joins,
the executor holds its calls back, so that a plugin is there before the first task. `setup` may raise: then the answer says so, or, for a worker that
joins, the log. What `transition` raises goes to the log, too.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jupyterfut.core.journal import JournalReader
from jupyterfut.ids import Key
from jupyterfut.runtime.context import at_worker
from jupyterfut.runtime.plugin_classes import WorkerPlugin
from jupyterfut.runtime.side_threads import call, in_thread
from jupyterfut.serde import failure_from_exception, loads
from jupyterfut.wire.messages import Failure, Plugins, Reply
from jupyterfut.wire.payload import Blob, Payload

if TYPE_CHECKING:
    from jupyterfut.runtime.worker_server import Worker

logger = logging.getLogger("jupyterfut.worker")

TEARDOWN_S = 5.0
"""So long a worker that closes waits for its plugins."""

STATES = {
    "ready": "ready", "waiting": "waiting", "came too early": "waiting", "handed": "executing", "following": "executing", "done": "memory",
    "inputs are here": "executing", "failed": "error", "not run": "rescheduled", "inputs missing": "rescheduled",
}  # fmt: skip
"""What the machine's journal calls a move -> the state that plugins see afterwards. Everything else: released."""


class WorkerPlugins:
    """`here` is what users see as `worker.plugins`."""

    def __init__(self, worker: Worker) -> None:
        self.here: dict[str, Any] = {}
        self._worker = worker
        self._payloads: dict[str, Payload] = {}
        self.watching: dict[str, Callable[..., object]] = {}  #: the `transition` of those that have one: whom `tell` tells
        self._reader: JournalReader | None = None
        self._states: dict[str, str] = {}
        self._joining = 0
        self._turn = asyncio.Lock()

    def receive(self, message: Plugins) -> None:
        """The scheduler's word. On the loop."""
        worker = self._worker
        if message.joining:
            self._joining += 1
            worker._executor.hold()
        worker._start_job(self._apply(message))

    async def _apply(self, message: Plugins) -> None:
        failure: Failure | None = None
        try:
            async with self._turn:
                for name in message.removed:
                    await self._remove(name)
                for name, payload in message.plugins.items():
                    if message.joining and _is_same(self._payloads.get(name), payload):
                        continue  # the worker has only connected again
                    try:
                        await self._add(name, payload)
                    except BaseException as error:
                        if isinstance(error, asyncio.CancelledError):
                            raise
                        error.add_note(f"(in plugin {name!r} on worker {self._worker.name!r} at {self._worker.address})")
                        if message.joining:
                            logger.exception("plugin %r of worker %s cannot be set up", name, self._worker.name)
                        failure = failure or failure_from_exception(error, Key(""), local=self._worker._local)
        finally:
            if message.joining:
                self._joining -= 1
                if not self._joining:
                    self._worker._executor.release()
        self._worker.say(Reply(message.id, None, failure))

    async def _add(self, name: str, payload: Payload) -> None:
        worker = self._worker
        await self._remove(name)
        at_worker.set(worker)
        plugin = await in_thread(f"jupyterfut-{worker.name}-plugin", loads, payload)
        setup = getattr(plugin, "setup", None)
        if setup is not None:
            await call(f"jupyterfut-{worker.name}-plugin", setup, worker)
        self.here[name] = plugin
        self._payloads[name] = payload
        transition = getattr(plugin, "transition", None)
        if transition is not None and getattr(transition, "__func__", None) is not WorkerPlugin.transition:
            self._watch(name, transition)

    async def _remove(self, name: str) -> None:
        plugin = self.here.pop(name, None)
        self._payloads.pop(name, None)
        self.watching.pop(name, None)
        teardown = getattr(plugin, "teardown", None)
        if teardown is None:
            return
        at_worker.set(self._worker)
        try:
            await call(f"jupyterfut-{self._worker.name}-plugin", teardown, self._worker)
        except Exception:
            logger.exception("plugin %r of worker %s raised in teardown", name, self._worker.name)

    async def close(self) -> None:
        """Tear down all, the newest first."""
        if not self.here:
            return
        try:
            async with asyncio.timeout(TEARDOWN_S), self._turn:
                for name in reversed(list(self.here)):
                    await self._remove(name)
        except TimeoutError:
            logger.warning("worker %s ends though its plugins %s are not torn down after %g s", self._worker.name, list(self.here), TEARDOWN_S)

    # --- tasks that move

    def _watch(self, name: str, transition: Callable[..., object]) -> None:
        if not self.watching:
            self._reader = JournalReader(self._worker.machine.journal)
            self._states = {key: _LIVE.get(task.state, task.state) for key, task in self._worker.machine.tasks.items()}
        takes_worker = _takes(transition, "worker")
        worker = self._worker
        self.watching[name] = (lambda *args: transition(*args, worker=worker)) if takes_worker else transition

    def tell(self) -> None:
        """Tell plugins what the machine has done since the last time. On the loop, after `handle`."""
        assert self._reader is not None
        token = at_worker.set(self._worker)
        states = self._states
        for _now, key, why, _attempt in self._reader.read():
            start, finish = states.get(key, "released"), STATES.get(why, "released")
            if start == finish:
                continue
            if finish in ("ready", "waiting", "executing"):
                states[key] = finish
            else:
                states.pop(key, None)
            for name, transition in list(self.watching.items()):
                try:
                    transition(key, start, finish)
                except Exception:
                    logger.exception("plugin %r of worker %s raised in transition", name, self._worker.name)
        at_worker.reset(token)


_LIVE = {"handed": "executing", "following": "executing"}
"""States of the machine's tasks that plugins know by another name."""


def _is_same(one: Payload | None, other: Payload) -> bool:
    if type(one) is Blob and type(other) is Blob:
        return bytes(one.head) == bytes(other.head) and list(map(bytes, one.buffers)) == list(map(bytes, other.buffers))
    return one == other


def _takes(function: Callable[..., object], name: str) -> bool:
    """Whether it can be called with this keyword."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
    return name in parameters or any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
