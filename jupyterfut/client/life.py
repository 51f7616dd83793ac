"""The life of a client: how it is made, connected, closed, and dropped; and how coroutines get onto its loop.

A client lives on an event loop: the shared loop thread (`loops`), the caller's own loop (`asynchronous=True`), or its worker's (inside tasks).
What it can do for the user is in `client`.
"""

from __future__ import annotations

import asyncio
import atexit
import builtins
import concurrent.futures
import inspect
import logging
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast

from jupyterfut import plugins
from jupyterfut.client import current, loops, target
from jupyterfut.client.actor_calls import Calling
from jupyterfut.client.following import Followers
from jupyterfut.client.futures import Callbacks
from jupyterfut.client.gather import Gathering
from jupyterfut.client.link import SchedulerLink, WorkerLink
from jupyterfut.client.observing import Observing
from jupyterfut.client.origins import Origins
from jupyterfut.client.output import Output
from jupyterfut.client.scatter import Scattering
from jupyterfut.client.session import Session
from jupyterfut.client.submit import Submitting
from jupyterfut.client.terminal import in_notebook
from jupyterfut.client.timeouts import Deadline, Timeout, to_seconds
from jupyterfut.client.topics import Subscriptions
from jupyterfut.comm import Security
from jupyterfut.config import settings
from jupyterfut.core.client import events as ev
from jupyterfut.deploy.kernel import kernel_identity
from jupyterfut.errors import ClosedError, TimeoutError  # noqa: A004
from jupyterfut.ids import ClientId
from jupyterfut.runtime.context import blocking
from jupyterfut.runtime.data_server import DataLinks

if TYPE_CHECKING:
    from jupyterfut.client.client import Client
    from jupyterfut.runtime.worker_server import Worker

logger = logging.getLogger("jupyterfut.client")

T = TypeVar("T")

ClientStatus = Literal["connecting", "running", "closed"]

NOT_USED = ("heartbeat_interval", "direct_to_workers", "serializers", "deserializers", "extensions", "connection_limit")
"""Options of dask.distributed's client that decide nothing here."""


class ClientLife:
    """What every client does before and after it is of use. `Client` is the only subclass."""

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
        self._unopened: WorkerLink | None = None
        self._stopped = False
        for option in NOT_USED:
            cluster_options.pop(option, None)
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
            self._assemble(Session(ClientId(f"client-{os.urandom(16).hex()}"), self.name, session_loop, _who_we_are()))
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

    def _assemble(self, session: Session, *, of_worker: bool = False) -> None:
        client = cast("Client", self)  # the only class that is made of this one
        self._session = session
        self._links = DataLinks(None)
        self._origins = Origins("" if of_worker else session.machine.client, partial(_tell_cell, session))
        self._submitting = Submitting(client)
        self._gathering = Gathering(client)
        self._scattering = Scattering(client)
        self._callbacks = Callbacks(client)
        self._calling = Calling(client)
        self._subscriptions = Subscriptions(client)
        self._observing = Observing(client)
        self._output = Output(client)
        self._followers = Followers(client)
        session.on_new_conversation = self._observing.begin_again
        session.at_welcome.append(self._origins.begin_again)
        self._reasons: dict[str, str] = {}
        self._static_display = os.environ.get("JUPYTERFUT_DISPLAY") == "static"

    @classmethod
    def _of_worker(cls, worker: Worker) -> Self:
        """The client that the tasks of one worker share: over its stream, on its loop, with no lease of its own. Made by the task that asks first,
        and opened by all who ask meanwhile (`_open_in_worker`)."""
        door = worker.client_link
        client = cls.__new__(cls)
        client._asynchronous = False
        client._timeout_s = None
        client.set_as_default = False
        client._thread = None
        client._owns_cluster = False
        client._starting = None
        client._stopped = False
        client.name = "task"
        client.status = "connecting"
        client.cluster = None
        client._target = target.Target(door.scheduler_address, Security())
        session = Session(ClientId(f"client-{os.urandom(16).hex()}"), client.name, door.loop)
        client._assemble(session, of_worker=True)
        client._unopened = WorkerLink(session, door, client._when_ended())
        client._links = DataLinks(worker._security, shared_bytes=settings().comm.shared_memory_bytes)
        return client

    def _open_in_worker(self) -> None:
        """Say hello over the worker's stream, on its loop. A thread waits until that is done, so it must not hold a lock that the loop may want."""
        loop = self._session.loop
        if is_running(loop):
            self._say_hello()
            return
        said = threading.Event()
        loop.call_soon_threadsafe(self._say_hello)
        loop.call_soon_threadsafe(said.set)
        said.wait()

    def _say_hello(self) -> None:
        link, self._unopened = self._unopened, None
        if link is not None:
            link.open()
            self.status = "running"

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
        self._subscriptions.begin()
        self._output.begin()
        _tell_notebook(cast("Client", self))
        current.register(cast("Client", self), self.set_as_default)

    def _when_ended(self) -> Callable[[str], None]:
        """What the link calls when the session is over though nobody called `close`. (The link must not keep a client alive that nobody has.)"""
        ref = weakref.ref(self)

        def ended(reason: str) -> None:
            client = ref()
            if client is not None and client.status != "closed":
                client.status = "closed"
                current.unregister(cast("Client", client))
                client._callbacks.close(wait=False)
                _finish(client._session.loop, client._links.close())
                _finish(client._session.loop, client._calling.close())

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
        self._stopped = True
        self.status = "closed"
        current.unregister(cast("Client", self))
        session = self._session
        session.leave("the client is closed")
        await self._subscriptions.close()
        await self._calling.close()
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
        if self._stopped:
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
            await cluster.end_async()
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
            thread.call_soon(_abandon, session, self._calling, self._links, self.cluster if self._owns_cluster else None, thread)

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

    @classmethod
    def current(cls) -> Any:
        """The client at hand, as `default_client()` gives it. Raises ValueError when there is none. Never blocks."""
        return current.default_client()

    @contextmanager
    def as_current(self) -> Iterator[Self]:
        """Inside the block `get_client()` and `default_client()` give this client. Blocks nest as a stack, local to the thread and to the asyncio
        task.

        >>> from jupyterfut import Client, get_client
        >>> with Client(processes=False) as one, Client(processes=False) as other:
        ...     with one.as_current():
        ...         get_client() is one
        True
        """
        token = current.chosen.set(cast("Client", self))
        try:
            yield self
        finally:
            current.chosen.reset(token)

    # --- running coroutines: on the loop, from here

    def sync(self, func: Callable[..., Any], *args: Any, asynchronous: bool | None = None, callback_timeout: Timeout = None, **kwargs: Any) -> Any:
        """Run the coroutine function `func(*args, **kwargs)` on the client's loop, where futures are awaited, and return its result.

        Blocks; a KeyboardInterrupt cancels the coroutine and returns at once. In an asynchronous client it returns the awaitable.
        callback_timeout: raise `TimeoutError` after so many seconds.

        >>> from jupyterfut import Client
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
        token = current.chosen.set(cast("Client", self))
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
            with blocking(future.cancel):
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


def _who_we_are() -> dict[str, Any]:
    """The notebook that a client made here belongs to, so that whoever looks at the cluster sees whose it is."""
    identity = kernel_identity()
    return {} if identity is None else {"kernel": identity.kernel, "session": identity.session}


def _tell_cell(session: Session, facts: dict[str, Any]) -> None:
    """Let the scheduler know of the notebook cell whose first task is about to be sent. Never blocks. (It holds no client, whose last reference is
    its end.)"""
    if session.closed is None:
        session.post(ev.Ask(_not_awaited, "cell_told", facts))


def _not_awaited(value: Any, failure: Any) -> None:
    """The answer to what was only told."""


def _tell_notebook(client: Client) -> None:
    """In a Jupyter kernel: let the notebook layer know of the client, so that what its tasks show finds its way to the cells. Computing must not
    depend on what goes wrong there, so that is logged."""
    if not in_notebook():
        return
    try:
        plugins.load("notebook", "attach")(client)
    except Exception:
        logger.exception("the notebook layer could not be attached: output of tasks will not appear under the cells")


def _launch(thread: Any, name: str | None, security: Security | None, options: dict[str, Any]) -> Any:
    from jupyterfut.deploy.local import LocalCluster

    if security is not None:
        options["security"] = security
    return LocalCluster.launch(loop_thread=thread, name=name, asynchronous=thread is None, **options)


def _running_loop() -> Any:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None  # an asynchronous client made outside of a loop gets its loop when it is awaited


def is_running(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the caller runs in this loop."""
    return _running_loop() is loop


def _abandon(session: Session, calling: Calling, links: DataLinks, cluster: Any, thread: Any) -> None:
    """On the loop: a client was collected that nobody had closed."""
    plugins.host(session.machine.client, present=False)
    session.leave("the client was dropped")

    async def end() -> None:
        await calling.close()
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


before_goodbyes: list[Callable[[], object]] = []
"""To be called when the interpreter ends, before open clients say goodbye. Nothing here may block."""


@atexit.register
def _close_all() -> None:
    """Clients that are open when the interpreter ends say goodbye, and end the clusters that they started."""
    for call in before_goodbyes:
        call()
    for client in current.open_clients():
        if not client._asynchronous:
            client.close(timeout=10)
