"""A worker: the shell around the worker's machine. It decodes, lets the machine decide, and performs each effect.

On its event loop: one stream to the scheduler, one server for data, links to the other workers' data servers. Beside it: the executor's threads.
Every way in ends in `_settle`, which sends what has gathered as one batch and sets the timer that the machine wants.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from jupyterfut import config, plugins
from jupyterfut._version import __version__
from jupyterfut.comm import Listener, Security, Stream, connect, listen
from jupyterfut.core.effects import LinkLost, Log, Received, Send, Tick
from jupyterfut.core.worker.events import (
    SCHEDULER,
    AnswerPut,
    Beat,
    Connect,
    Connected,
    ConnectFailed,
    CutClient,
    DataPut,
    Drop,
    DropFunctions,
    End,
    Executed,
    Failed,
    Fetch,
    Fetched,
    FetchFailed,
    FromClient,
    Interrupt,
    LearnFunctions,
    MemoryShort,
    NotRun,
    Run,
    Said,
    Start,
    Stop,
    ToClient,
    Watch,
    Withdraw,
    Withdrawn,
    WorkerEvent,
)
from jupyterfut.core.worker.events import Store as StoreEffect
from jupyterfut.core.worker.machine import WorkerMachine
from jupyterfut.core.worker.settings import WorkerSettings
from jupyterfut.errors import ClosedError, ConfigError, ConnectionFailed, HandshakeError, JupyterfutError, ProtocolError
from jupyterfut.ids import Address, ClientId, Key
from jupyterfut.runtime import connections, logs
from jupyterfut.runtime.actors import ActorHost
from jupyterfut.runtime.client_link import ClientLink
from jupyterfut.runtime.context import current_task
from jupyterfut.runtime.data_server import DataLinks, DataServer, Heard, Ops
from jupyterfut.runtime.executor import Done, Executor, Raised, Unrun
from jupyterfut.runtime.interfaces import interface_towards, is_loopback
from jupyterfut.runtime.observer import Observer
from jupyterfut.runtime.output import streams
from jupyterfut.runtime.output.collector import Collector
from jupyterfut.runtime.process import cpu_count, parse_memory_limit
from jupyterfut.runtime.store import Store, make_directory
from jupyterfut.runtime.vitals import Vitals, own_memory_bytes
from jupyterfut.serde.notes import pack
from jupyterfut.wire.messages import Heartbeat, Message, Notify, Plugins, PutData
from jupyterfut.wire.payload import payload_nbytes

if TYPE_CHECKING:
    import tempfile

    from jupyterfut.runtime.telling import Telling
    from jupyterfut.runtime.worker_plugins import WorkerPlugins

logger = logging.getLogger("jupyterfut.worker")

_numbers = itertools.count(1)

Status = Literal["new", "starting", "running", "closing", "closed"]


class Worker:
    """One worker, in this process and on the running event loop.

        async with Scheduler(port=0) as s, Worker(s.address, nthreads=2) as w:
            ...

    `start()` returns when the scheduler has taken the worker in; it raises ConnectionFailed (WrongToken, HandshakeError) when that cannot be. A
    worker that loses its scheduler looks for it again until it is closed. Tasks reach their worker with `get_worker()`; what they store in its
    attributes stays there for later tasks.

    `nthreads`: how many tasks run at once; default: the cores of the machine. `memory_limit`: "auto" (the machine's memory), bytes, a text such as
    "4GB", a share of the machine's memory (a float up to 1), or None; past a part of it (`worker.memory_spill`) results are written to
    `local_directory`. `resources`: what tasks may ask for, such as `{"GPU": 2}`. `host`: where its data server listens; default: loopback if the
    scheduler is there, else the interface that leads to the scheduler. `token` defaults to what `connections.token_for` knows of the scheduler.
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
        nanny: str = "",
    ) -> None:
        if nthreads is not None and nthreads < 1:
            raise ConfigError(f"nthreads must be at least 1, not {nthreads}")
        self.scheduler_address = scheduler_address
        self.name = str(name) if name is not None else f"{socket.gethostname()}-{os.getpid()}-{next(_numbers)}"
        self.nthreads = nthreads or cpu_count()
        self.memory_limit_bytes = parse_memory_limit(memory_limit)
        self.resources = dict(resources or {})
        self.settings = settings or config.settings()
        self._files_under = local_directory or self.settings.worker.local_directory or None
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self.address = Address("")  #: of its data server, which is also its name to the cluster; "" until it has started
        self.status: Status = "new"
        self.data_ops: Ops = {op: partial(self._administer, op) for op in ADMIN_OPS}  #: what anybody may ask of this worker by `Request`
        self.heard: Heard = {}  #: who listens here to what is published
        self._security = security or Security(token=token or connections.token_for(scheduler_address))
        self._host = host
        self._port = port
        self._nanny = nanny
        self._local = scheduler_address.startswith("inproc://")
        self._stream: Stream | None = None
        self._outbox: list[Message] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._jobs: set[asyncio.Task[None]] = set()
        self._last_refusal = ""
        self._vitals = Vitals()
        self._memory_bytes = 0
        self._memory_checked_at = float("-inf")

    # --- for its owner

    async def start(self) -> Worker:
        """Listen, connect, and wait until the scheduler has taken this worker in. Raises ConnectionFailed when it does not."""
        if self.status != "new":
            raise ClosedError(f"worker {self.name!r} cannot start: it is {self.status}")
        self.status = "starting"
        loop = self.loop = asyncio.get_running_loop()
        self._joined: asyncio.Future[None] = loop.create_future()
        self._finished = asyncio.Event()
        limits = self.settings.worker
        self._store = Store(int(limits.memory_spill * self.memory_limit_bytes), self._files_under)
        self._plugins: WorkerPlugins | None = None  # made for the first plugin
        shared_bytes = self.settings.comm.shared_memory_bytes
        self._data_server = DataServer(self._store, self._on_put, local=self._local, shared_bytes=shared_bytes, ops=self.data_ops, heard=self.heard)
        self._data_links = DataLinks(self._security, self.settings.comm.connect_timeout_s, shared_bytes=shared_bytes)
        on_stream = self._data_server.on_stream
        logs.acquire(limits.log_lines)
        try:
            self._listener: Listener = await listen(self._listen_address(), on_stream, security=self._security, hello=self._data_server.hello)
        except (OSError, JupyterfutError, ValueError):
            await self._data_server.close()
            logs.release()
            self.status = "closed"
            self._finished.set()
            raise
        self.address = Address(self._listener.address)
        plugins.host(self)  # so that dask and joblib inside tasks find us
        self.client_link = ClientLink(loop, self.scheduler_address, self._from_client, self._report)
        thread_name = f"jupyterfut-{self.name}"
        self._actors = ActorHost(self, self.client_link, thread_name, local=self._local)
        self._data_server.host(self._actors)
        self._executor = Executor(
            self, self.client_link, self._store, self.nthreads, thread_name, local=self._local, wake=self._wake, on_actor=self._actors.born,
            profile_s=(limits.profile_interval_s, limits.profile_slice_s), interrupts=limits.interrupt == "yes",
        )  # fmt: skip
        self._executor.profiler.sources.append((self._actors.desks, self._actors.bottom))
        desks = [self._executor.desks, self._actors.desks]
        self.outputs = Collector(loop, self._executor.say, self._unsent_bytes, limits.output_bytes, desks, self._origin_of)
        self._executor.outputs = self.outputs
        streams.acquire(self.outputs)
        self._observer = Observer(lambda: self.address, self._executor.say, quiet=self._local)
        self._telling: Telling | None = None  # made when somebody looks
        self.data_ops.update(
            task_stream=self._observer.task_stream, clock=self._observer.clock, story=self._story, tell_start=self._executor.tell_start
        )  # fmt: skip
        self.machine = WorkerMachine(
            self.address, self.name, self.nthreads, memory_limit_bytes=self.memory_limit_bytes, resources=self.resources, pid=os.getpid(),
            info=self._facts(), settings=WorkerSettings(inline_bytes=limits.inline_bytes, heartbeat_s=limits.heartbeat_s),
        )  # fmt: skip
        self._performers: dict[type[Any], Callable[[Any], None]] = {
            Send: self._send, Log: self._log, Connect: self._connect, Beat: self._beat, End: self._end,
            LearnFunctions: self._learn, DropFunctions: self._drop_functions, Run: self._run, Withdraw: self._withdraw, Interrupt: self._interrupt,
            Watch: self._watch, StoreEffect: self._keep, Drop: self._drop, Fetch: self._fetch, AnswerPut: self._answer_put,
            ToClient: self._to_client, CutClient: self._cut_client,
        }  # fmt: skip
        self._handle(Start())
        self._settle()
        try:
            await asyncio.wait_for(asyncio.shield(self._joined), self.settings.comm.connect_timeout_s)
        except TimeoutError:
            await self.close()
            reason = self._last_refusal or f"no answer within {self.settings.comm.connect_timeout_s:g} s"
            raise ConnectionFailed(f"worker {self.name!r} cannot join the scheduler at {self.scheduler_address}: {reason}") from None
        except JupyterfutError:
            await self.close()
            raise
        self.status = "running"
        logger.info("worker %s at %s, %d threads, has joined the scheduler at %s", self.name, self.address, self.nthreads, self.scheduler_address)
        return self

    async def close(self, reason: str = "closed") -> None:
        """Say goodbye and end. Calls that run cannot be stopped: they are waited for a moment and then left to end by themselves. Idempotent."""
        if self.status in ("closing", "closed"):
            if self.status == "closing":
                await self._finished.wait()
            return
        if self.status == "new":
            self.status = "closed"
            return
        self.status = "closing"
        if not self._joined.done():
            self._joined.cancel()
        self.outputs.close()
        self._report()
        self._handle(Stop(reason))
        self._settle()
        self._observer.close()
        if self._telling is not None:
            self._telling.close()
        self._executor.close()
        self._actors.close()
        if self._timer is not None:
            self._timer.cancel()
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        if self._plugins is not None:
            await self._plugins.close()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        self._listener.close()
        plugins.host(self, present=False)
        await asyncio.gather(self._data_server.close(), self._data_links.close())
        if stream is not None:
            await stream.wait_closed()
        if not all(await asyncio.gather(self._executor.join(_JOIN_S), self._actors.join(_JOIN_S))):
            logger.info("worker %s is closed while a task, or a method of an actor, still runs", self.name)
        streams.release(self.outputs)
        self._store.close()
        if self._directory is not None:
            from jupyterfut.runtime import uploads

            uploads.forget(self._directory.name)
            self._directory.cleanup()
        logs.release()
        self.status = "closed"
        self._finished.set()

    async def finished(self) -> None:
        """Wait until the worker is closed, by whomever. To be called after `start`."""
        await self._finished.wait()

    async def __aenter__(self) -> Worker:
        return await self.start()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Worker {self.name!r} {self.address or 'no address'}: {self.status}, {self.nthreads} threads>"

    # --- for its tasks and plugins

    @property
    def local_directory(self) -> str:
        """A directory of this worker's own, which goes when the worker is closed: uploaded files are here. From any thread."""
        if self._directory is None:
            with _directory_lock:
                if self._directory is None:
                    self._directory = make_directory(self._files_under, "worker")
        return self._directory.name

    @property
    def plugins(self) -> dict[str, Any]:
        """The plugins that are set up here, by name."""
        return self._plugins.here if self._plugins is not None else {}

    @property
    def client(self) -> Any:
        """The client that the tasks of this worker share: what `get_client()` gives inside them."""
        return plugins.load("client_of_worker")(self)

    def code_changed(self) -> None:
        """Modules have been loaded anew: functions that tasks name are unpickled afresh from now on. From any thread."""
        self._executor.forget_code()

    @property
    def actors(self) -> dict[Key, Any]:
        """The actors that live here: the objects themselves, by key. To look at: who calls their methods from here does so beside their threads."""
        return {key: actor.instance for key, actor in self._actors.hosted.items()}

    def get_current_task(self) -> Key:
        """The key of the task that calls this. Raises ValueError outside of tasks."""
        task = current_task()
        if task is None:
            raise ValueError("get_current_task() was called outside of a task")
        return task.key

    def log_event(self, topic: str | Collection[str], msg: Any) -> None:
        """Say `msg` on a topic, or on several, as `Client.log_event` does: a dict with this worker's address added to it as "worker"; anything else
        becomes `{"msg": msg, "worker": address}` (as in dask.distributed). From any thread; never blocks. What a task says comes before its result.
        Raises `SerializationError`, ValueError (too large), TypeError (the topic)."""
        named: Any = topic
        topics = list(named) if isinstance(named, Collection) and not isinstance(named, str) else [named]
        for one in topics:
            if not isinstance(one, str):
                raise TypeError(f"a topic is a string, not {one!r}")
        value = pack({**(msg if isinstance(msg, dict) else {"msg": msg}), "worker": self.address}, "an event")
        for one in topics:
            self.say_event(one, value)

    def say_event(self, topic: str, value: list[Any]) -> None:
        """The same for an event that is in its form already (`serde.notes`)."""
        self._executor.say(f"event:{topic}", value)

    @property
    def echoes(self) -> bool:
        """Whether what tasks print at the client is printed here, too: not when this is the client's own process."""
        return not self._local and self.settings.worker.echo_prints != "no"

    # --- ways in

    def _handle(self, event: WorkerEvent) -> None:
        performers = self._performers
        for effect in self.machine.handle(event, time.monotonic()):
            performers[type(effect)](effect)
        if self._plugins is not None and self._plugins.watching:
            self._plugins.tell()

    def _settle(self) -> None:
        """After everything that happens: say what is to be said, set the timer."""
        if self._outbox and self._stream is not None:
            outbox, self._outbox = self._outbox, []
            self._say(outbox)
        if not self._joined.done() and self.machine.link.state == "up":
            self._joined.set_result(None)
        wake = self.machine.next_wake()
        if wake != self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = wake
            self._timer = None if wake is None else self.loop.call_later(max(0.0, wake - time.monotonic()), self._on_timer)

    def _say(self, messages: list[Message]) -> None:
        assert self._stream is not None
        try:
            self._stream.send(messages)
        except JupyterfutError as error:
            if len(messages) == 1:
                logger.error("worker %s cannot send %s: %s", self.name, type(messages[0]).__name__, error)
                return
            for message in messages:  # one of them cannot be written: the others go alone
                self._say([message])

    def _on_timer(self) -> None:
        self._timer = self._timer_at = None
        self._handle(Tick())
        self._settle()

    def _on_messages(self, messages: list[Message]) -> None:
        for message in messages:
            if type(message) is Plugins:
                self._change_plugins(message)
            else:
                self._handle(Received(SCHEDULER, message))
        self._settle()

    def _change_plugins(self, message: Plugins) -> None:
        if self._plugins is None:
            from jupyterfut.runtime.worker_plugins import WorkerPlugins

            self._plugins = WorkerPlugins(self)
        self._plugins.receive(message)

    def _administer(self, op: str, args: dict[str, Any]) -> Any:
        """A request that is rare enough to load its handler then."""
        from jupyterfut.runtime.admin import WorkerAdmin

        return getattr(WorkerAdmin(self), op)(args)

    def say(self, message: Message) -> None:
        """Tell the scheduler something that is no business of the machine's. Without a link nobody hears it."""
        if self._stream is not None and self.machine.link.state == "up":
            self._outbox.append(message)
            self._settle()

    def _on_closed(self, reason: object) -> None:
        if self._stream is not None:
            self._stream = None
            self._outbox.clear()
            self._report()
            self._handle(LinkLost(SCHEDULER, str(reason)))
            self._settle()

    def _on_put(self, token: int, message: PutData) -> None:
        self._handle(DataPut(token, message.client, message.keys, message.payloads, message.types))
        self._settle()

    def _from_client(self, client: ClientId, messages: list[Message]) -> None:
        for message in messages:
            self._handle(FromClient(client, message))
        self._settle()

    def _wake(self) -> None:
        """From any thread: there are outcomes."""
        try:
            self.loop.call_soon_threadsafe(self._on_wake)
        except RuntimeError:
            if not self.loop.is_closed():
                raise

    def _on_wake(self) -> None:
        if self.status != "closed":
            self._report()
            self._settle()

    def _report(self) -> None:
        """Tell the machine what became of calls, in order, equal things as one event. First of all, what the calls submitted is said."""
        if self.outputs.below is not None and self._executor.outcomes:
            self._look_below()
        outcomes = self._executor.take()
        if self.client_link.on_flush is not None:
            self.client_link.on_flush()
        groups = [(type(outcomes[0]), outcomes)] if len(outcomes) == 1 else itertools.groupby(outcomes, type)
        for kind, group in groups:
            rows: list[Any] = list(group)
            if kind is tuple:
                self._handle(_executed(rows))
                self._executor.stored([row[0] for row in rows])
                if self._actors.newborn:
                    self._actors.discard([row[2] for row in rows])
            elif kind is Raised:
                self._handle(Failed([r.key for r in rows], [r.attempt for r in rows], [r.failure for r in rows], [r.duration_s for r in rows]))
            elif kind is Unrun:
                self._handle(NotRun([r.key for r in rows], [r.attempt for r in rows], [r.lost for r in rows]))
            elif kind is Notify:
                self._handle(Said([row.topics[0] for row in rows], [row.values[0] for row in rows]))
            else:
                for row in rows:  # Blocked, Unblocked: events already
                    self._handle(row)
        if outcomes and self._telling is not None:
            self._telling.ended()
        if outcomes and self.memory_limit_bytes and not self._local and time.monotonic() - self._memory_checked_at >= _MEMORY_CHECK_S:
            self._check_memory()

    def _look_below(self) -> None:
        """What calls have written below Python that were too short to look for themselves is told before all outcomes."""
        for topic, value in self.outputs.look_below():
            self._executor.outcomes.appendleft(Notify([topic], [value]))

    def _origin_of(self, key: Key) -> str:
        task = self.machine.tasks.get(key)
        return "" if task is None else task.origin

    def _unsent_bytes(self) -> int:
        return self._stream.pending_bytes if self._stream is not None else 0

    def _check_memory(self) -> None:
        """How much the process takes: from `memory_spill` of the limit on results go to disk, from `memory_pause` on one call runs at a time."""
        self._memory_checked_at = time.monotonic()
        self._memory_bytes = own_memory_bytes()
        if self.memory_limit_bytes and not self._local:  # in-process workers share their memory with everything else
            limits = self.settings.worker
            self._store.relieve(self._memory_bytes - int(limits.memory_spill * self.memory_limit_bytes))
            short = self._memory_bytes > limits.memory_pause * self.memory_limit_bytes
            if short != self.machine.slots.paused:
                logger.warning("worker %s takes %.2f GB: %s", self.name, self._memory_bytes / 1e9, _ONE_AT_A_TIME if short else _AS_BEFORE)
                self._handle(MemoryShort(short))

    # --- effects: the stream

    def _send(self, effect: Send) -> None:
        self._outbox.append(effect.message)

    def _log(self, effect: Log) -> None:
        logger.log(logging.getLevelNamesMapping()[effect.level.upper()], "%s", effect.text)

    def _connect(self, effect: Connect) -> None:
        self._start_job(self._open_stream())

    async def _open_stream(self) -> None:
        try:
            hello = {"role": "worker", "name": self.name}
            stream = await connect(self.scheduler_address, security=self._security, hello=hello, timeout_s=self.settings.comm.connect_timeout_s)
        except (OSError, JupyterfutError) as error:
            self._last_refusal = str(error)
            final = isinstance(error, (HandshakeError, ProtocolError)) and not self._joined.done()
            if final:
                self._joined.set_exception(error)
            self._handle(ConnectFailed(str(error), final))
        else:
            self._stream = stream
            self.client_link.cluster_id = stream.hello.get("id")
            stream.start(self._on_messages, self._on_closed)
            self._handle(Connected())
        self._settle()

    def _beat(self, effect: Beat) -> None:
        self._check_memory()
        own: dict[str, float] = {"memory_bytes": self._memory_bytes, "spilled_bytes": self._store.disk_bytes}
        own.update(self._vitals.rates(self._data_server.received_bytes, self._data_server.sent_bytes))
        self._outbox.append(Heartbeat({**effect.metrics, **own}, time.perf_counter()))
        if self._telling is not None:
            self._telling.beat()

    def _end(self, effect: End) -> None:
        if not self._joined.done():
            self._joined.set_exception(ConnectionFailed(f"the scheduler at {self.scheduler_address} turned this worker away: {effect.reason}"))
        else:
            self._closing = self.loop.create_task(self.close(effect.reason))

    # --- effects: calls

    def _learn(self, effect: LearnFunctions) -> None:
        self._executor.learn(effect.ids, effect.payloads, effect.names)

    def _drop_functions(self, effect: DropFunctions) -> None:
        self._executor.forget(effect.ids)

    def _run(self, effect: Run) -> None:
        streams.recover()
        self._executor.run(effect.calls)

    def _withdraw(self, effect: Withdraw) -> None:
        withdraw = self._executor.withdraw
        self._handle(Withdrawn(effect.keys, effect.attempts, [withdraw(attempt) for attempt in effect.attempts]))

    def _interrupt(self, effect: Interrupt) -> None:
        self._executor.interrupt(effect.attempts)

    def _story(self, args: dict[str, Any]) -> list[list[Any]]:
        """What the machine's journal says about keys, in seconds since 1970."""
        epoch_s = time.time() - time.monotonic()
        return [[now + epoch_s, key, f"worker {self.name}: {what}", detail] for now, key, what, detail in self.machine.story(*args["keys"])]

    def _watch(self, effect: Watch) -> None:
        self._observer.watch(effect.loggers, effect.tasks, effect.stream_s > 0)
        self._executor.rows = self._store.rows = self._actors.rows = self._observer.rows
        if self._telling is None:
            if not (effect.stream_s or effect.profile_s or effect.log_level):
                return
            from jupyterfut.runtime.telling import Telling

            self._telling = Telling(self, self._observer, self._executor, self.say, alone=not self._local)
        self._telling.watch(effect)

    # --- effects: data

    def _keep(self, effect: StoreEffect) -> None:
        self._store.put(effect.keys, effect.payloads, effect.nbytes)
        if self._actors.newborn:
            self._actors.keep(effect.payloads)

    def _drop(self, effect: Drop) -> None:
        self._store.drop(effect.keys)
        if self._actors.hosted:
            self._actors.drop(effect.keys)

    def _fetch(self, effect: Fetch) -> None:
        self._start_job(self._fetch_from(effect))

    async def _fetch_from(self, effect: Fetch) -> None:
        event: WorkerEvent
        start = time.perf_counter()
        try:
            answer = await self._data_links.get(effect.address, effect.keys)
            event = Fetched(effect.request, answer.keys, answer.payloads)
            nbytes = sum(map(payload_nbytes, answer.payloads))
            if not self._local:  # else they were passed by reference
                self._vitals.fetched_bytes += nbytes
            if self._observer.rows is not None:
                self._observer.rows.append(("transfer", effect.keys[0], start, time.perf_counter(), 0, effect.address, nbytes, True, "transfer"))
                if self._telling is not None:
                    self._telling.ended()
        except (OSError, JupyterfutError) as error:
            event = FetchFailed(effect.request, str(error))
        self._handle(event)
        self._settle()

    def _answer_put(self, effect: AnswerPut) -> None:
        self._data_server.answer_put(effect.token, effect.failure)

    def _to_client(self, effect: ToClient) -> None:
        self.client_link.receive(effect.client, effect.message)

    def _cut_client(self, effect: CutClient) -> None:
        self.client_link.cut(effect.client, effect.reason)

    # --- inside

    def _start_job(self, job: Any) -> None:
        task = self.loop.create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._job_ended)

    def _job_ended(self, task: asyncio.Task[None]) -> None:
        self._jobs.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.loop.call_exception_handler({"message": f"a job of worker {self.name} failed", "exception": error, "task": task})

    def _listen_address(self) -> str:
        if self._local:
            return "inproc://"
        scheme, _, rest = self.scheduler_address.partition("://")
        scheduler_host, _, scheduler_port = rest.rpartition(":")
        scheduler_host = scheduler_host.strip("[]")
        host = self._host or ("127.0.0.1" if is_loopback(scheduler_host) else interface_towards(scheduler_host, int(scheduler_port)))
        return f"{scheme}://[{host}]:{self._port}" if ":" in host else f"{scheme}://{host}:{self._port}"

    def _facts(self) -> dict[str, Any]:
        return {
            "host": socket.gethostname(), "python": ".".join(map(str, sys.version_info[:3])), "jupyterfut": __version__,
            "nanny": self._nanny, "in_process": self._local,
        }  # fmt: skip


ADMIN_OPS = ("run", "call_stack", "profile", "logs", "versions")
"""The requests that `runtime.admin` answers."""

_directory_lock = threading.Lock()

_JOIN_S = 1.0
"""How long `close` waits for running calls."""

_MEMORY_CHECK_S = 0.1
"""Results are a reason to look at the process's memory, but no more often than this."""

_ONE_AT_A_TIME = "one task runs at a time until it takes less than `worker.memory_pause` of its limit"
_AS_BEFORE = "as many tasks run at a time as it has threads again"


def _executed(rows: list[Done]) -> Executed:
    if len(rows) == 1:  # a third of what the general way costs
        key, attempt, payload, type_name, size, duration_s, held = rows[0]
        return Executed([key], [attempt], [payload], [type_name], [size], [duration_s], {key: held} if held else {})
    keys, attempts, payloads, types, nbytes, durations, holds = map(list, zip(*rows, strict=True))
    return Executed(keys, attempts, payloads, types, nbytes, durations, {key: held for key, held in zip(keys, holds, strict=True) if held})
