"""`Client`: the door to a cluster. Wide, since users need the width, and shallow: each method names the module that does the work.

It starts or finds a cluster (`target`, `deploy`), keeps one `session` with its scheduler over a `link`, and lives on an event loop: the shared
loop thread (`loops`), the caller's own loop (`asynchronous=True`), or its worker's (inside tasks).
"""

from __future__ import annotations

import asyncio
import atexit
import builtins
import concurrent.futures
import inspect
import os
import threading
import weakref
from collections.abc import Callable, Collection, Coroutine, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from jupyterfut.client import current, info, loops, target
from jupyterfut.client.futures import Callbacks, Future, futures_within
from jupyterfut.client.gather import Errors, Gathering
from jupyterfut.client.latches import Answer, LoopGate
from jupyterfut.client.link import SchedulerLink, WorkerLink
from jupyterfut.client.scatter import Scattering
from jupyterfut.client.session import Session
from jupyterfut.client.submit import DEFAULT_OPTIONS, Submitting, make_options
from jupyterfut.client.timeouts import Deadline, Timeout, to_seconds
from jupyterfut.comm import Security
from jupyterfut.config import settings
from jupyterfut.core.client import events as ev
from jupyterfut.errors import ClosedError, TimeoutError  # noqa: A004
from jupyterfut.ids import ClientId
from jupyterfut.runtime.context import TaskContext, blocking
from jupyterfut.runtime.data_server import DataLinks
from jupyterfut.views import text
from jupyterfut.views.snapshots import ClientView, ClusterView, WorkerView

T = TypeVar("T")

ClientStatus = Literal["connecting", "running", "closed"]


class Client:
    """A connection to a cluster, for submitting work and holding its results as futures.

    address: where the scheduler is: "tcp://host:port", "tls://host:port"; the name of a cluster that runs on this machine; a cluster object; a
        `Scheduler`. None starts a `LocalCluster` that ends with the client, and takes its options (`n_workers=`, `threads_per_worker=`,
        `processes=False`, `memory_limit=`, `name=` ...).
    scheduler_file: a connection file instead of an address.
    security: token and certificates (`Security`); a token is found by itself for clusters of this user on this machine.
    timeout: for connecting, in seconds (or "10 s"); default: the setting `comm.connect_timeout_s`, or `deploy.start_timeout_s` when a cluster is
        started.
    asynchronous: live on the caller's event loop; methods that would block return awaitables, and the client is awaited (`await
        Client(asynchronous=True)`, `async with`).
    loop: is accepted and not used.
    set_as_default: be what `get_client()` and `default_client()` give.

    Blocks until it is connected. Raises `ConnectionFailed` (nobody listens there), `WrongToken`, `HandshakeError` (another version),
    `WorkerStartError`, TypeError for an option that does not exist. One client may be shared by many threads.

    >>> with Client(processes=False) as client:
    ...     client.submit(pow, 2, 10).result()
    1024
    """

    def __init__(
        self,
        address: Any = None,
        *,
        timeout: Timeout = None,
        set_as_default: bool = True,
        scheduler_file: str | Path | None = None,
        security: Security | None = None,
        asynchronous: bool = False,
        name: str | None = None,
        loop: Any = None,
        **cluster_options: Any,
    ) -> None:
        self._asynchronous = bool(asynchronous)
        self._timeout_s = to_seconds(timeout)
        self.set_as_default = set_as_default
        self._thread = None  # the shared loop thread, while this client uses it
        self._owns_cluster = False
        self._starting: asyncio.Task[None] | None = None
        starts_cluster = address is None and scheduler_file is None
        if cluster_options and not starts_cluster:
            raise TypeError(
                f"Client() with an address takes no option {', '.join(map(repr, cluster_options))}: options of a cluster are for starting one"
            )
        self.name = name or "client"
        self.status: ClientStatus = "connecting"
        self.cluster: Any = None  #: the cluster that was given or started, None if there is only an address
        if not asynchronous:
            self._thread = loops.acquire()
        try:
            session_loop = self._thread.loop if self._thread is not None else _running_loop()
            self._assemble(Session(ClientId(f"client-{os.urandom(16).hex()}"), self.name, session_loop))
            if starts_cluster:
                self.cluster = _launch(self._thread, name, security, cluster_options)
                self._owns_cluster = True
                self._target = target.Target("", self.cluster.security, self.cluster)
            else:
                self._target = target.find(address, scheduler_file, security)
                self.cluster = self._target.cluster
            if self._thread is not None:
                self._thread.run(self._start())
        except BaseException:
            if self._thread is not None:
                self._give_up()
            raise

    def _assemble(self, session: Session) -> None:
        self._session = session
        self._links = DataLinks(None)
        self._submitting = Submitting(self)
        self._gathering = Gathering(self)
        self._scattering = Scattering(self)
        self._callbacks = Callbacks(self)
        self._reasons: dict[str, str] = {}
        self._static_display = os.environ.get("JUPYTERFUT_DISPLAY") == "static"

    @classmethod
    def _of_worker(cls, task: TaskContext) -> Client:
        """The client that the tasks of one worker share: over its stream, on its loop, with no lease of its own. Made in the thread of the task
        that asks first."""
        door = task.client_link
        client = cls.__new__(cls)
        client._asynchronous = False
        client._timeout_s = None
        client.set_as_default = False
        client._thread = None
        client._owns_cluster = False
        client._starting = None
        client.name = "task"
        client.status = "connecting"
        client.cluster = None
        client._target = target.Target(door.scheduler_address, Security())
        session = Session(ClientId(f"client-{os.urandom(16).hex()}"), client.name, door.loop)
        client._assemble(session)
        link = WorkerLink(session, door, client._when_ended())
        if _is_running(door.loop):
            link.open()
        else:
            opened = threading.Event()
            door.loop.call_soon_threadsafe(link.open)
            door.loop.call_soon_threadsafe(opened.set)
            opened.wait()
        client.status = "running"
        client._links = DataLinks(task.worker._security, shared_bytes=settings().comm.shared_memory_bytes)
        return client

    # --- life

    async def _start(self) -> None:
        """On the session's loop: find the scheduler's address, connect, be welcomed, wait for the first workers of a cluster of our own."""
        session = self._session
        deploying = settings().deploy.start_timeout_s
        limit = self._timeout_s if self._timeout_s is not None else (deploying if self._owns_cluster else None)
        try:
            async with asyncio.timeout(limit):
                address = self._target.address
                if self.cluster is not None and not address:
                    address = await self.cluster.listening()
                    self._target = target.Target(address, self.cluster.security, self.cluster)
                limits = settings().comm
                self._links = DataLinks(self._target.security, limits.connect_timeout_s, shared_bytes=limits.shared_memory_bytes)
                link = SchedulerLink(session, address, self._target.security, self._when_ended())
                await link.open(self._timeout_s)
                if self._owns_cluster:
                    await self.cluster.ready()
        except builtins.TimeoutError as error:
            if isinstance(error, TimeoutError):
                raise
            raise TimeoutError(f"no connection to {self._target.address or 'the cluster'} within {limit} s") from error
        self.status = "running"
        current.register(self, self.set_as_default)

    def _when_ended(self) -> Callable[[str], None]:
        """What the link calls when the session is over though nobody called `close`. (The link must not keep a client alive that nobody has.)"""
        ref = weakref.ref(self)

        def ended(reason: str) -> None:
            client = ref()
            if client is not None and client.status != "closed":
                client.status = "closed"
                current.unregister(client)
                _finish(client._session.loop, client._links.close())

        return ended

    def _give_up(self) -> None:
        """The constructor has failed: leave nothing behind."""
        thread, self._thread = self._thread, None
        assert thread is not None
        self.status = "closed"
        try:
            if hasattr(self, "_session"):
                thread.run(self._stop())
        finally:
            loops.release(thread)

    async def _stop(self) -> None:
        """On the session's loop: end everything that belongs to this client."""
        self.status = "closed"
        current.unregister(self)
        session = self._session
        session.leave("the client is closed")
        await self._links.close()
        if isinstance(session.link, SchedulerLink):
            await session.link.wait_closed()
        if self._owns_cluster and self.cluster is not None:
            await self.cluster.close_async()

    def close(self, timeout: Timeout = None) -> Any:
        """Say goodbye: all futures of this client end cancelled, and the cluster ends if this client started it. Idempotent.

        Blocks, or returns an awaitable in an asynchronous client. Inside a task it does nothing: that client belongs to the worker, and other tasks
        use it.
        """
        if self._asynchronous:
            return self._close_async()
        thread = self._thread
        if thread is None:
            return None
        if thread.in_loop_thread:  # in `client.sync(...)`, or collected there
            return self._close_async()
        self._thread = None
        try:
            thread.run(self._stop(), to_seconds(timeout))
        finally:
            self._callbacks.close()
            loops.release(thread)
        return None

    async def _close_async(self) -> None:
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait([self._starting])
        if self.status == "closed" and self._session.closed is not None:
            return
        await self._stop()
        self._callbacks.close()
        thread, self._thread = self._thread, None
        if thread is not None:
            loops.release(thread)

    def shutdown(self) -> Any:
        """End the cluster (the one that was started, or given, or the scheduler at the address) and this client. Blocks, or returns an awaitable."""
        if self._asynchronous or self.asynchronous:
            return self._shutdown_async()
        self._run(self._end_cluster())
        self.close()
        return None

    async def _shutdown_async(self) -> None:
        await self._end_cluster()
        await self._close_async()

    async def _end_cluster(self) -> None:
        if self.cluster is not None:
            cluster, self.cluster = self.cluster, None
            ended = cluster.close_async()
            await ended
        else:
            await self._session.ask("shutdown", {}, Deadline(settings().client.timeout_s))

    def __enter__(self) -> Self:
        if self._asynchronous:
            raise TypeError("an asynchronous client is entered with 'async with'")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        await self._close_async()

    def __await__(self) -> Generator[Any, None, Self]:
        return self._started().__await__()

    async def _started(self) -> Self:
        if not self._asynchronous:
            raise TypeError("a synchronous client is not awaited: make it with asynchronous=True")
        if self.status == "connecting":
            if self._starting is None:
                self._session.loop = asyncio.get_running_loop()
                self._starting = asyncio.create_task(self._start())
            try:
                await asyncio.shield(self._starting)
            except BaseException:
                self._starting.cancel()
                await self._stop()
                raise
        return self

    def __del__(self) -> None:
        # Futures keep their client alive. If nobody has one, nobody needs the client.
        session = getattr(self, "_session", None)
        if session is None or session.closed is not None or self._thread is None:
            return
        thread, self._thread = self._thread, None
        if thread.is_running:
            thread.call_soon(_abandon, session, self._links, self.cluster if self._owns_cluster else None, thread)

    @property
    def asynchronous(self) -> bool:
        """Whether methods return awaitables here: in an asynchronous client, and for any client in code that runs on its loop (`client.sync`)."""
        return self._asynchronous or threading.get_ident() == self._session.thread_id

    @property
    def address(self) -> str:
        """The scheduler's address."""
        return self._target.address

    @property
    def id(self) -> str:
        """This client's own name in the cluster."""
        return self._session.machine.client

    @property
    def cluster_id(self) -> str | None:
        """The id of the scheduler that it talks to."""
        return self._session.cluster_id

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the client lives on."""
        return self._session.loop

    @property
    def futures(self) -> dict[str, str]:
        """The keys that this client holds futures of, with their status, as known now. Never blocks."""
        with self._session.lock:
            return {key: record.status for key, record in self._session.state.records.items()}

    @contextmanager
    def as_current(self) -> Iterator[Self]:
        """Inside the block `get_client()` and `default_client()` give this client. Blocks nest as a stack, local to the thread and to the asyncio
        task."""
        token = current.chosen.set(self)
        try:
            yield self
        finally:
            current.chosen.reset(token)

    # --- running coroutines: on the loop, from here

    def sync(self, func: Callable[..., Any], *args: Any, asynchronous: bool | None = None, callback_timeout: Timeout = None, **kwargs: Any) -> Any:
        """Run the coroutine function `func(*args, **kwargs)` on the client's loop, where futures are awaited, and return its result.

        Blocks; a KeyboardInterrupt cancels the coroutine and returns at once. In an asynchronous client it returns the awaitable.
        callback_timeout: raise `TimeoutError` after so many seconds.

        >>> async def both(a, b):
        ...     return await a + await b
        >>> with Client(processes=False) as client:
        ...     client.sync(both, client.submit(abs, -1), client.submit(abs, -2))
        3
        """
        coroutine = self._with_me(func, args, kwargs)
        if self.asynchronous if asynchronous is None else asynchronous:
            return coroutine
        return self._run(coroutine, callback_timeout)

    async def _with_me(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        token = current.chosen.set(self)
        try:
            result = func(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result
        finally:
            current.chosen.reset(token)

    def _run(self, coroutine: Coroutine[Any, Any, T], timeout: Timeout = None) -> T:
        """Run a coroutine on the session's loop, and block for its end."""
        session = self._session
        if session.loop.is_closed() or (session.closed is not None and self.status == "closed"):
            coroutine.close()
            raise ClosedError(session.closed or "the client is closed")
        deadline = Deadline(timeout)
        future = asyncio.run_coroutine_threadsafe(coroutine, session.loop)
        try:
            with blocking():
                return future.result(deadline.left())
        except concurrent.futures.TimeoutError:
            if future.done():
                raise
            future.cancel()
            raise TimeoutError(f"no end within {deadline}") from None
        except BaseException:
            future.cancel()
            raise

    async def _on_loop(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the session's loop, from a coroutine in any."""
        if asyncio.get_running_loop() is self._session.loop:
            return await coroutine
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._session.loop))

    def _sync_or_await(self, coroutine: Coroutine[Any, Any, T]) -> Any:
        return coroutine if self.asynchronous else self._run(coroutine)

    # --- calls (`submit`)

    def submit(
        self,
        func: Callable[..., Any],
        /,
        *args: Any,
        key: str | None = None,
        workers: Any = None,
        resources: dict[str, float] | None = None,
        retries: int | None = None,
        priority: float = 0,
        allow_other_workers: bool = False,
        actor: bool = False,
        actors: bool = False,
        pure: bool = True,
        **kwargs: Any,
    ) -> Future:
        """Have `func(*args, **kwargs)` called on a worker; returns its `Future` at once.

        Futures may stand anywhere in the arguments: bare, or in lists, tuples, sets, dict values and named tuples; the call waits for them and
        gets their results.

        key: the task's name in the cluster; by default made of the function's name and a hash of function and arguments, so that the same call
            made twice, by any client or task, runs once; with `pure=False` each call is new.
        workers: addresses, hosts or names (strings or integers) of the workers that may run it; with `allow_other_workers` a wish only. A task
            whose workers are not there stays pending, and its repr says why.
        resources: what a run takes of a worker's resources, such as {"GPU": 1}.
        retries: how often a failure is tried again.
        priority: higher runs first; among equals, first come first served.
        actor: the result is an actor (`actors` is the same).

        Never blocks. Raises TypeError (not callable, a key that is no string) and `SerializationError` (an argument that cannot be pickled) at
        once. `ClosedError` once closed.

        >>> with Client(processes=False) as client:
        ...     total = client.submit(sum, [client.submit(abs, -1), client.submit(abs, -2)])
        ...     total.result()
        3
        """
        if workers is None and not (resources or retries or priority or allow_other_workers or actor or actors):
            options = DEFAULT_OPTIONS
        else:
            options = make_options(workers, resources, retries, priority, allow_other_workers, actor or actors)
        return self._submitting.submit(func, args, kwargs, key, pure, options)

    def map(
        self,
        func: Callable[..., Any],
        /,
        *iterables: Iterable[Any],
        key: str | Collection[str] | None = None,
        workers: Any = None,
        resources: dict[str, float] | None = None,
        retries: int | None = None,
        priority: float = 0,
        allow_other_workers: bool = False,
        actor: bool = False,
        actors: bool = False,
        pure: bool = True,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[Future]:
        """Have `func` called on the elements of the iterables, as the builtin `map` does (up to the shortest); returns a list of futures in order.

        Takes generators, ranges, arrays; a million elements are fine. `kwargs` are the same for every call. Rows leave in chunks of at most
        `batch_size`, so that the first tasks run while the iterables are still being read. key: a prefix for the keys, or one for each call. The
        other options are those of `submit`.

        Blocks only as long as the iterables do. Raises what `submit` raises.

        >>> with Client(processes=False) as client:
        ...     client.gather(client.map(pow, range(3), [2, 2, 2]))
        [0, 1, 4]
        """
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size is a number of calls, at least 1, not {batch_size!r}")
        options = make_options(workers, resources, retries, priority, allow_other_workers, actor or actors)
        return self._submitting.map(func, iterables, kwargs, key, pure, options, batch_size)

    # --- results and data (`gather`, `scatter`)

    def gather(self, futures: Any, errors: Errors = "raise", direct: bool | None = None, timeout: Timeout = None) -> Any:
        """The results of futures, in the shape that they came in: one future, a list, tuple, set or dict (of lists ...), or a generator, which
        gives a generator.

        errors: "raise" the exception of the first that failed, as soon as one has; or "skip" those that failed.
        timeout: raise `TimeoutError` when they are not all done by then. direct: is accepted and not used, since large results always come
            straight from the workers.
        Blocks, or returns an awaitable in an asynchronous client.

        >>> with Client(processes=False) as client:
        ...     client.gather({"a": client.submit(abs, -1), "b": [client.submit(abs, -2)]})
        {'a': 1, 'b': [2]}
        """
        if isinstance(futures, Iterator):
            return (self.gather(future, errors, direct, timeout) for future in futures)
        if self.asynchronous:
            return self._gathering.gather_async(futures, errors, timeout)
        return self._gathering.gather(futures, errors, timeout)

    def scatter(
        self,
        data: Any,
        workers: Any = None,
        broadcast: bool | int = False,
        direct: bool | None = None,
        hash: bool = True,  # noqa: A002  # the name that users of dask.distributed know
        timeout: Timeout = None,
    ) -> Any:
        """Put data on the cluster; returns futures that are finished already.

        One object gives one future; a list, tuple, set, range or iterator gives one for each element (spread round robin over the workers'
        threads), in the same kind of container; a dict gives a dict, and its keys name the tasks. Equal values share the key `typename-<hash>`,
        unless `hash=False`.

        workers: where to (see `submit`). broadcast: to every worker. timeout: `TimeoutError` when no worker takes it by then. direct: is accepted
            and not used.
        Blocks, or returns an awaitable in an asynchronous client. Raises `SerializationError`.

        >>> with Client(processes=False) as client:
        ...     client.submit(sum, client.scatter([1, 2, 3])).result()
        6
        """
        items, finish = self._scattering.prepare(data, hash)
        if self.asynchronous:
            return self._scatter_async(items, finish, workers, broadcast, timeout)
        self._run(self._scattering.place(items, workers, broadcast, timeout))
        return finish()

    async def _scatter_async(self, items: Any, finish: Callable[[], Any], workers: Any, broadcast: bool | int, timeout: Timeout) -> Any:
        await self._on_loop(self._scattering.place(items, workers, broadcast, timeout))
        return finish()

    # --- changing one's mind

    def cancel(self, futures: Any, force: bool = False, reason: str | None = None, msg: str | None = None) -> Any:
        """Cancel tasks and all that depend on them: they will not run, or their results are dropped. Their futures raise `CancelledError`.

        A key that another client wants as well stays alive for that client, unless `force`. `reason` (or `msg`) becomes part of the error.
        Blocks until the scheduler has answered, so that dependants are cancelled too when it returns; or returns an awaitable. (The cancelling
        itself is not put off.)
        """
        records = [future._record for future in futures_within(futures, "cancel")]
        text_of_reason = reason if reason is not None else msg if msg is not None else "cancelled by its client"
        return self._tell(ev.Cancel(records, bool(force), text_of_reason))

    def retry(self, futures: Any) -> Any:
        """Run failed tasks again, together with the failed and forgotten tasks that they stand on. Their futures are pending again; others are
        left alone.

        Blocks for one answer of the scheduler, or returns an awaitable.
        """
        return self._tell(ev.Retry([future._record for future in futures_within(futures, "retry")]))

    def _tell(self, event: Any) -> Any:
        """Post an event, and wait until the scheduler has heard of it and we of what followed at once."""
        session = self._session
        session.post(event)
        if self.asynchronous:
            if _is_running(session.loop):
                session.drain()
            gate = LoopGate()
            answer = Answer(gate.open)
            session.post(ev.Ask(answer, "locate", {"keys": []}))
            return _Acknowledged(gate)
        session.ask_blocking("locate", {"keys": []}, Deadline(settings().client.timeout_s))
        return None

    # --- the cluster (`info`)

    def scheduler_info(self) -> Any:
        """Facts about the cluster: `workers` ({address: {name, nthreads, memory_limit_bytes, ...}}), `tasks` ({state: count}). Blocks, or returns
        an awaitable."""
        return info.scheduler_info(self)

    def who_has(self, futures: Any = None) -> Any:
        """{key: [addresses of workers that hold its result]}, of all keys or of these futures (or keys). Blocks, or returns an awaitable."""
        return info.who_has(self, futures)

    def has_what(self, workers: Any = None) -> Any:
        """{worker's address: [keys of the results it holds]}. Blocks, or returns an awaitable."""
        return info.has_what(self, workers)

    def processing(self, workers: Any = None) -> Any:
        """{worker's address: [keys that it was given and has not finished]}. Blocks, or returns an awaitable."""
        return info.processing(self, workers)

    def nthreads(self, workers: Any = None) -> Any:
        """{worker's address: its number of threads}. Blocks, or returns an awaitable."""
        return info.nthreads(self, workers)

    ncores = nthreads

    def nbytes(self, futures: Any = None) -> dict[str, int]:
        """{key: bytes} of the results that this client's futures refer to. Never blocks."""
        return info.nbytes(self, futures)

    def story(self, *keys_or_futures: Any) -> Any:
        """What the scheduler's journal says of these keys: lists of [time, key, what happened, detail], oldest first. Blocks, or returns an
        awaitable."""
        return info.story(self, keys_or_futures)

    def wait_for_workers(self, n_workers: Any = 1, timeout: Timeout = None) -> Any:
        """Wait until the cluster has at least `n_workers` workers. Blocks, or returns an awaitable. Raises `TimeoutError`."""
        return info.wait_for_workers(self, n_workers, timeout)

    def _why_pending(self, future: Future) -> str:
        """For a repr: only a task that is particular about its worker is asked after, and never for long."""
        record = future._record
        if not record.particular or self.status != "running":
            return ""
        key = record.key
        if not self.asynchronous:
            return info.why_pending(self, key, 0.5)

        def learn(value: Any, failure: Any) -> None:
            if len(self._reasons) > 1000:
                self._reasons.clear()
            self._reasons[key] = str(value or "") if failure is None else ""

        self._session.post(ev.Ask(learn, "why_pending", {"key": key}))
        return self._reasons.get(key, "")  # what it said last time: a repr cannot wait here

    # --- how it looks (`views`)

    def __repr__(self) -> str:
        return text.client(self._view(), static=self._static_display)

    def _repr_html_(self) -> str:
        from jupyterfut.views import html

        return html.client(self._view(), static=self._static_display)

    def __reduce__(self) -> tuple[Callable[..., Client], tuple[str | None, str]]:
        """A client that a function refers to travels as "the client there": in a task, its worker's."""
        return current.client_for, (self.cluster_id, self.address)

    def _view(self) -> ClientView:
        """What is known of it, for `repr` and for the notebook. Asks the scheduler, for half a second at most, unless that would block the loop."""
        cluster = None
        if self.status == "running" and not self.asynchronous:
            try:
                facts = info.ask(self, "identity", {}, 0.5)
            except (ClosedError, builtins.TimeoutError):
                facts = None  # a repr has to say something even when the scheduler does not
            if facts is not None:
                cluster = _cluster_view(self.address, self.cluster, facts)
        return ClientView(self.address, self.status, cluster, len(self._session.state.records), "")


class _Acknowledged:
    """What `cancel` and `retry` return to asynchronous callers. What they do is done whether or not somebody awaits this."""

    __slots__ = ("_gate",)

    def __init__(self, gate: LoopGate) -> None:
        self._gate = gate

    def __await__(self) -> Generator[Any, None, None]:
        return self._wait().__await__()

    async def _wait(self) -> None:
        await self._gate.wait(None)


def _launch(thread: Any, name: str | None, security: Security | None, options: dict[str, Any]) -> Any:
    from jupyterfut.deploy.local import LocalCluster

    if security is not None:
        options["security"] = security
    return LocalCluster.launch(loop_thread=thread, name=name, asynchronous=thread is None, **options)


def _cluster_view(address: str, cluster: Any, facts: dict[str, Any]) -> ClusterView:
    workers = [
        WorkerView(
            str(worker["name"]), where, worker["nthreads"], worker["memory_limit_bytes"], int(worker["metrics"].get("memory_bytes", 0)),
            worker["metrics"].get("cpu"), worker["executing"], max(0, worker["processing"] - worker["executing"]), "running", worker["resources"],
        )
        for where, worker in facts["workers"].items()
    ]  # fmt: skip
    return ClusterView(address, tuple(workers), getattr(cluster, "name", ""), type(cluster).__name__ if cluster is not None else "Cluster")


def _running_loop() -> Any:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None  # an asynchronous client made outside of a loop gets its loop when it is awaited


def _is_running(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the caller runs in this loop."""
    return _running_loop() is loop


def _abandon(session: Session, links: DataLinks, cluster: Any, thread: Any) -> None:
    """On the loop: a client was collected that nobody had closed."""
    session.leave("the client was dropped")

    async def end() -> None:
        await links.close()
        if cluster is not None:
            await cluster.close_async()
        loops.release(thread)

    _finish(session.loop, end())


def _finish(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None]) -> None:
    """Let a coroutine run to its end in the background of its loop."""
    task = loop.create_task(coroutine)
    _ending.add(task)
    task.add_done_callback(_ending.discard)


_ending: set[asyncio.Task[None]] = set()


@atexit.register
def _close_all() -> None:
    """Clients that are open when the interpreter ends say goodbye, and end the clusters that they started."""
    for client in current.open_clients():
        if not client._asynchronous:
            client.close(timeout=10)
