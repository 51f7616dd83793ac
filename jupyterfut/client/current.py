"""Which client? The one of the innermost `as_current()` block, of the task at hand, or the one made last.

The stack of `as_current()` blocks is a context variable, so it is local to the thread and to the asyncio task. Inside a task, `get_client()` gives
the one client that all tasks of a worker share: it speaks over the worker's own stream and runs on the worker's loop, so it costs no connection.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from jupyterfut import plugins
from jupyterfut.client.timeouts import Timeout
from jupyterfut.runtime.context import TaskContext, current_task, current_worker

if TYPE_CHECKING:
    from jupyterfut.client.client import Client
    from jupyterfut.runtime.worker_server import Worker

chosen: ContextVar[Client | None] = ContextVar("jupyterfut_client", default=None)
"""The client of the innermost `as_current()` block."""

_open: dict[int, weakref.ref[Client]] = {}
_latest: list[Client] = []  # the default client lives even if nobody keeps a name for it; those before it end when nobody has them any more
_lock = threading.Lock()


def register(client: Client, default: bool) -> None:
    """A client was opened; with `default` it is the default one from now on."""
    with _lock:
        _open[id(client)] = weakref.ref(client)
        earlier = list(_latest)
        if default:
            _latest[:] = [client]
    plugins.host(client.id)
    del earlier  # outside of the lock, since this may be the end of that client


def make_default(client: Client) -> None:
    """From now on this open client is what `get_client()` and `default_client()` give. Never blocks."""
    with _lock:
        earlier = list(_latest)
        if _open.pop(id(client), None) is not None:  # to the end of the order
            _open[id(client)] = weakref.ref(client)
        client.set_as_default = True
        _latest[:] = [client]
    del earlier  # outside of the lock, since this may be the end of that client


def unregister(client: Client) -> None:
    """A client was closed."""
    with _lock:
        _open.pop(id(client), None)
        if client in _latest:
            _latest.clear()
    plugins.host(client.id, present=False)


def open_clients() -> list[Client]:
    """The open clients of this process, oldest first. Those inside tasks are not counted."""
    with _lock:
        clients = [ref() for ref in _open.values()]
    return [client for client in clients if client is not None and client.status == "running"]


def default_client() -> Client:
    """The client of the innermost `as_current()` block, else the one made last and still open. Raises ValueError when there is none. Never blocks.

    >>> from jupyterfut import Client
    >>> with Client(processes=False) as client:
    ...     default_client() is client
    True
    """
    client = chosen.get()
    if client is not None and client.status == "running":
        return client
    clients = [client for client in open_clients() if client.set_as_default]
    if not clients:
        raise ValueError("there is no client: make one with Client()")
    return clients[-1]


def get_client(address: str | None = None, timeout: Timeout = None) -> Client:
    """The client at hand: inside a task the worker's own, which costs no connection; elsewhere the current one (`default_client`).

    address: a client of the cluster at this address; one is made if there is none. timeout: for making it.
    Raises ValueError when there is no client and no address. Blocks only if it has to connect.

    >>> from jupyterfut import Client
    >>> def total(n):
    ...     client = get_client()
    ...     return sum(client.gather(client.map(abs, range(-n, 0))))
    >>> with Client(processes=False) as client:
    ...     client.submit(total, 4).result()
    10
    """
    client = chosen.get()
    if client is None or client.status != "running":
        worker = current_worker()
        client = None if worker is None else client_in(worker)
    if client is None and address is None:
        return default_client()
    if client is not None and address in (None, client.address):
        return client
    for one in reversed(open_clients()):
        if one.address == address:
            return one
    from jupyterfut.client.client import Client

    return Client(address, timeout=timeout)


def client_for(cluster: str | None, address: str) -> Client:
    """The client for a future that has just arrived in this thread: one of the cluster with this id or address. (A task knows its scheduler's
    address, which may be written otherwise here, and not its id: if nothing fits, it is the current client.) Raises ValueError when there is none."""
    client = chosen.get()
    if client is not None and client.status == "running" and cluster is not None and client.cluster_id == cluster:
        return client
    worker = current_worker()
    if worker is not None:
        return client_in(worker)
    for client in reversed(open_clients()):
        if client.address == address or (cluster is not None and client.cluster_id == cluster):
            return client
    if cluster is not None:
        raise ValueError("a future has arrived of a cluster to which there is no client here: make one with Client(address) first")
    return default_client()


def client_in(worker: Worker) -> Client:
    """The client that the tasks of this worker share, made when one of them asks for it first."""
    link = worker.client_link
    client: Client | None = link.client
    if client is None or client.status != "running":
        from jupyterfut.client.client import Client as Made

        with _lock:
            client = link.client
            if client is None or client.status == "closed":
                client = link.client = Made._of_worker(worker)
        client._open_in_worker()
    return client


def _task(verb: str) -> TaskContext:
    task = current_task()
    if task is None:
        raise ValueError(f"{verb} works inside tasks only")
    return task


def get_worker() -> Any:
    """The worker that runs this task, or this function of `Client.run`, or this plugin. Raises ValueError elsewhere. Never blocks.

    Of use are its `name`, `address`, `nthreads`, `local_directory`, `plugins`, `client`; and whatever tasks store in attributes of their own, which
    later tasks of the same worker find there.

    >>> from jupyterfut import Client
    >>> with Client(processes=False, n_workers=1, threads_per_worker=2) as client:
    ...     client.submit(lambda: get_worker().nthreads).result()
    2
    """
    worker = current_worker()
    if worker is None:
        raise ValueError("get_worker() works inside tasks, functions of Client.run, and plugins only")
    return worker


def secede() -> None:
    """Take this task out of its worker's pool: it goes on in its thread, and another task starts in its place. A second call does nothing. Never
    blocks.

    A task that waits for futures does not need this: it counts as seceded while it waits. It is for tasks that wait for something else, or watch
    for a long time. Raises ValueError outside of tasks.

    >>> import threading
    >>> from jupyterfut import Client
    >>> rung = threading.Event()
    >>> def watch_the_bell():
    ...     secede()
    ...     return rung.wait(timeout=60)
    >>> with Client(processes=False, n_workers=1, threads_per_worker=1) as client:
    ...     watching = client.submit(watch_the_bell, pure=False)
    ...     client.submit(rung.set, pure=False).result()  # the one thread is free for it
    ...     watching.result()
    True
    """
    _task("secede()").secede()


def rejoin() -> None:
    """Come back into the pool after `secede()`. Blocks until a place is free. Does nothing in a task that has not seceded; raises ValueError
    outside of tasks."""
    _task("rejoin()").rejoin()


@contextmanager
def worker_client(timeout: Timeout = None, separate_thread: bool = True) -> Iterator[Client]:
    """The client inside a task, as the current one, with `secede()` and `rejoin()` around the block (unless `separate_thread=False`).

    `local_client` and `local_executor` are its older names. Raises ValueError outside of tasks.

    >>> from jupyterfut import Client
    >>> def double_all(values):
    ...     with worker_client() as client:
    ...         return client.gather(client.map(lambda x: 2 * x, values))
    >>> with Client(processes=False) as client:
    ...     client.submit(double_all, [1, 2]).result()
    [2, 4]
    """
    task = _task("worker_client()")
    client = client_in(task.worker)
    token = chosen.set(client)
    if separate_thread:
        task.secede()
    try:
        yield client
    finally:
        chosen.reset(token)
        if separate_thread:
            task.rejoin()


local_client = worker_client
local_executor = worker_client
