"""What clients ask of the scheduler's process rather than of its machine: to run a function, to call plugins, for its log and its versions.

Here, and only here, a scheduler opens what users have pickled, and only if it may (`scheduler.allow_run`, docs/design/decisions/run-on-scheduler.md).
Plugins are called after the machine has handled an event and its effects are performed: they read its journal, and never stand inside a transition.
Without plugins the whole costs one look at an empty dict for each batch of messages.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from jupyterfut.core.journal import JournalReader
from jupyterfut.ids import ClientId, Key, PeerId
from jupyterfut.runtime import logs
from jupyterfut.wire.messages import AsClient, Message, Reply, Request, SubmitTasks
from jupyterfut.wire.payload import Local

if TYPE_CHECKING:
    from jupyterfut.runtime.scheduler_server import Scheduler

logger = logging.getLogger("jupyterfut.scheduler")

Reader = Callable[..., object]

HOOKS = ("update_graph", "transition", "add_worker", "remove_worker", "add_client", "remove_client", "restart")

CLOSE_S = 5.0
"""So long a scheduler that closes waits for its plugins."""

STATES = {"submitted": "waiting", "sent": "processing", "done": "memory"}
"""What the journal calls what happened to many tasks at once -> the state afterwards."""


class NotAllowed(PermissionError):
    """This scheduler runs no users' code."""


class SchedulerAdmin:
    """The handlers of one scheduler, and its plugins."""

    def __init__(self, scheduler: Scheduler, allow_run: bool) -> None:
        self.allow_run = allow_run
        self.plugins: dict[str, Any] = {}
        self.ops: dict[str, Callable[[dict[str, Any]], Awaitable[Any]]] = {
            "run_on_scheduler": self.run,
            "register_scheduler_plugin": self.register,
            "unregister_scheduler_plugin": self.unregister,
            "scheduler_logs": self.logs,
            "scheduler_versions": self.versions,
        }
        self.watching: dict[str, dict[str, Reader]] = {}  #: hook -> plugin's name -> its method, of those that override it
        self._scheduler = scheduler
        self._reader: JournalReader | None = None
        self._states: dict[str, str] = {}
        self._jobs: set[asyncio.Task[None]] = set()

    # --- requests

    def asked(self, peer: PeerId, message: Message) -> bool:
        """Whether the message is a request for us; then it is being answered."""
        client: ClientId | None = None
        if type(message) is AsClient:
            client, message = message
        if type(message) is not Request or message.op not in self.ops:
            return False
        self._start(self._answer(peer, client, message))
        return True

    async def _answer(self, peer: PeerId, client: ClientId | None, request: Request) -> None:
        from jupyterfut.serde import failure_from_exception

        local = self._scheduler.address.startswith("inproc://")
        try:
            reply = Reply(request.id, await self.ops[request.op](request.args), None)
        except NotAllowed as error:
            refusal = PermissionError(*error.args)
            reply = Reply(request.id, None, failure_from_exception(refusal, Key(""), local=local))
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                raise
            reply = Reply(request.id, None, failure_from_exception(error, Key(""), local=local))
        self._scheduler.say(peer, reply if client is None else AsClient(client, reply))

    def _allowed(self, what: str) -> None:
        if not self.allow_run:
            raise NotAllowed(
                f"this scheduler does not {what}: other people may use it. Start it with 'jupyterfut scheduler --allow-run', or with the setting "
                "scheduler.allow_run=yes"
            )

    async def run(self, args: dict[str, Any]) -> Any:
        """Call a function here, on the loop, so that nothing changes under it; its result, pickled."""
        self._allowed("run users' functions")
        from jupyterfut.runtime.side_threads import inject
        from jupyterfut.serde import dumps, loads

        payload = args["call"]
        function, positional, keywords = loads(payload)
        keywords = inject(function, positional, keywords, {"scheduler": self._scheduler, "dask_scheduler": self._scheduler})
        value = function(*positional, **keywords)
        if inspect.isawaitable(value):
            value = await value
        return Local(value, 0) if type(payload) is Local else dumps(value)

    async def logs(self, args: dict[str, Any]) -> list[list[str]]:
        """The newest log lines of the scheduler (of its process, it may be the user's own)."""
        return logs.newest(args.get("n"), "jupyterfut.scheduler", "jupyterfut.runtime", "jupyterfut.comm")

    async def versions(self, args: dict[str, Any]) -> dict[str, Any]:
        """What runs here."""
        from jupyterfut.runtime import versions

        return await asyncio.to_thread(versions.versions, args.get("packages") or ())

    # --- plugins

    async def register(self, args: dict[str, Any]) -> None:
        """Take in a plugin; one of the same name makes room, unless the request is idempotent."""
        self._allowed("run users' plugins")
        from jupyterfut.runtime.plugin_classes import SchedulerPlugin
        from jupyterfut.serde import loads

        name = str(args["name"])
        if name in self.plugins and args.get("idempotent"):
            return
        plugin = loads(args["plugin"])
        await self._remove(name)
        self.plugins[name] = plugin
        try:
            if (start := getattr(plugin, "start", None)) is not None:
                started = start(self._scheduler)
                if inspect.isawaitable(started):
                    await started
        except BaseException:
            self.plugins.pop(name, None)
            raise
        for hook in HOOKS:
            method = getattr(plugin, hook, None)
            if method is not None and getattr(method, "__func__", None) is not getattr(SchedulerPlugin, hook):
                self.watching.setdefault(hook, {})[name] = method
        if self._reader is None and self.watching:
            self._reader = JournalReader(self._scheduler.machine.journal)
            self._states = {key: task.state for key, task in self._scheduler.machine.state.tasks.items()}

    async def unregister(self, args: dict[str, Any]) -> None:
        """Take out a plugin."""
        if args["name"] not in self.plugins:
            raise ValueError(f"there is no scheduler plugin {args['name']!r}")
        await self._remove(args["name"])

    async def _remove(self, name: str) -> None:
        plugin = self.plugins.pop(name, None)
        for hook, readers in list(self.watching.items()):
            readers.pop(name, None)
            if not readers:
                del self.watching[hook]
        if not self.watching:
            self._reader = None
            self._states.clear()
        if (close := getattr(plugin, "close", None)) is not None:
            try:
                closed = close()
                if inspect.isawaitable(closed):
                    await closed
            except Exception:
                logger.exception("scheduler plugin %r raised in close", name)

    async def close(self) -> None:
        """The scheduler ends: close the plugins, the newest first."""
        for job in self._jobs:
            job.cancel()
        try:
            async with asyncio.timeout(CLOSE_S):
                for name in reversed(list(self.plugins)):
                    await self._remove(name)
        except TimeoutError:
            logger.warning("the scheduler ends though its plugins %s are not closed after %g s", list(self.plugins), CLOSE_S)

    # --- hooks

    def after(self, message: Message | None) -> None:
        """An event was handled (a message, or something else): tell those who watch."""
        client = None
        if type(message) is AsClient:
            client, message = message
        if type(message) is SubmitTasks and "update_graph" in self.watching:
            self._call("update_graph", self._scheduler, client=client or "", keys=set(message.keys), tasks=list(message.keys))
        elif type(message) is Request and message.op == "restart" and "restart" in self.watching:
            self._call("restart", self._scheduler)
        assert self._reader is not None
        for _now, key, what, detail in self._reader.read():
            if what in _MEMBERS:
                hook = _MEMBERS[what]
                if hook in self.watching:
                    self._call(hook, self._scheduler, key)
            elif "transition" in self.watching:
                self._moved(key, what, detail)

    def _moved(self, key: str, what: str, detail: Any) -> None:
        states = self._states
        start, arrow, finish = what.partition(" -> ")
        if not arrow:
            start = states.get(key, "released")
            if what == "released and forgotten":
                if start != "released":
                    self._call("transition", key, start, "released")
                start, finish = "released", "forgotten"
            elif what in STATES:
                finish = STATES[what]
            else:
                return
        if finish == "forgotten":
            states.pop(key, None)
        else:
            states[key] = finish
        if start != finish:
            named = {"worker": detail} if what in ("sent", "done") else {}
            self._call("transition", key, start, finish, **named)

    def _call(self, hook: str, *args: Any, **kwargs: Any) -> None:
        for name, method in list(self.watching.get(hook, {}).items()):
            try:
                result = method(*args, **kwargs)
            except Exception:
                logger.exception("scheduler plugin %r raised in %s", name, hook)
            else:
                if inspect.iscoroutine(result):
                    self._start(self._logged(name, hook, result))

    async def _logged(self, name: str, hook: str, coroutine: Awaitable[Any]) -> None:
        try:
            await coroutine
        except Exception:
            logger.exception("scheduler plugin %r raised in %s", name, hook)

    def _start(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._jobs.add(task)
        task.add_done_callback(partial(_ended, self._jobs))


_MEMBERS = {"worker joined": "add_worker", "worker left": "remove_worker", "client joined": "add_client", "client left": "remove_client"}
"""What the journal says of those who come and go -> the hook."""


def _ended(jobs: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
    jobs.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("an answer to a client has failed", exc_info=error)
