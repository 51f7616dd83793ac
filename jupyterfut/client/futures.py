"""`Future`: a reference to a result that lives, or will live, with the workers.

A future is two pointers: its client and the record of its key (`core.client.state`), which it shares with all futures of that key in the client.
Its death is one append to a deque: the loop counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from jupyterfut.client.eventual import Eventual
from jupyterfut.client.outcomes import value_of
from jupyterfut.client.output import log_of
from jupyterfut.client.showing import Showing
from jupyterfut.client.timeouts import Timeout
from jupyterfut.core.client import events as ev
from jupyterfut.core.client.state import Record
from jupyterfut.ids import Key
from jupyterfut.serde.futures import found
from jupyterfut.serde.tracebacks import fold
from jupyterfut.views import text
from jupyterfut.views.snapshots import FutureView

if TYPE_CHECKING:
    from jupyterfut.client.client import Client


class Future(Showing, Eventual):
    """A task's result, present or to come. Made by `Client.submit`, `map`, `scatter`; `Future(key, client)` refers to a task that somebody else
    submitted.

    The result stays on the cluster as long as a future of it is alive anywhere (here, in another client, in a task's arguments, in a queue). When
    the last one dies the cluster forgets the result, and stops working on what nobody wants.

    In an asynchronous client, and on the loop of a synchronous one (`client.sync`), `result`, `exception`, `traceback`, `cancel` and `retry`
    return awaitables; everywhere else they block. `await future` works in every running event loop.

    >>> from jupyterfut import Client
    >>> with Client(processes=False) as client:
    ...     future = client.submit(sum, [1, 2])
    ...     future.result(timeout="10 s")
    3
    """

    __slots__ = ("__weakref__",)
    __dask_future__ = True  # in a dask graph it stands for its task

    def __init__(self, key: str | Record, client: Client | None = None) -> None:
        if type(key) is not Record:
            client, key = _adopt(key, client)  # type: ignore[arg-type]  # mypy does not narrow by `type(...) is not`
        self._record: Record = key
        self._client: Client = client  # type: ignore[assignment]  # every Record comes with its client

    def __del__(self) -> None:
        try:
            session = self._client._session
        except AttributeError:
            return  # its __init__ has raised
        session.deaths.append(self._record)
        if session.asleep:
            session.wake()

    # --- what it is

    @property
    def type(self) -> str | None:
        """The name of the result's type, such as `int` or `numpy.ndarray`; None until it is known. Never blocks."""
        return self._record.type

    @property
    def nbytes(self) -> int:
        """The result's size in bytes, as measured where it was made; 0 until it is known. Never blocks."""
        return self._record.nbytes

    @property
    def log(self) -> str:
        """What the task has printed until now, to stdout and stderr in order, and what it has displayed, as text. Of its runs, if there were several,
        one after the other. Never blocks; what the task has said is here before its result is.

        Progress bars are kept in their last state. Of more than `client.log_chars` (200,000) characters the first and the last are kept. It is here
        as long as a future of the task is, and only for what was said while this client had one: the tasks that a task submits are heard of where
        the first one was submitted from.

        >>> from jupyterfut import Client
        >>> with Client(processes=False) as client:
        ...     future = client.submit(print, "hello from a task", pure=False)
        ...     future.result()
        ...     future.log
        hello from a task
        'hello from a task\\n'
        """
        return log_of(self._client._session, self._record)

    # --- what it holds

    def result(self, timeout: Timeout = None) -> Any:
        """Wait for the task and return its result, fetched from a worker if it is large. Each call gives a fresh copy (the object itself in an
        in-process cluster). The result of a task with `actor=True` is an `Actor`.

        Raises the task's own exception, with the remote frames, the user's first; `CancelledError` or `LostData` when there will be no result;
        `TimeoutError` when the task has not ended within `timeout` (seconds, `timedelta`, "10 ms"; zero looks once). A transfer that has begun in
        time is not cut off.
        """
        client = self._client
        if client.asynchronous:
            return client._gathering.one_async(self, timeout)
        record = self._record
        if record.status == "finished":
            payload = record.payload
            if payload is not None:
                return value_of(client, payload)
        try:
            return client._gathering.one(self, timeout)
        except BaseException as error:
            fold(error)
            raise

    # --- what can be done with it

    def cancel(self, reason: str | None = None, msg: str | None = None, force: bool = False) -> Any:
        """Cancel the task and what depends on it (see `Client.cancel`). `msg` is another name of `reason`.

        A task that runs is interrupted, in worker processes: its Python code gets a `TaskInterrupted` (a `KeyboardInterrupt`: `finally` and `with`
        blocks run, `except Exception` lets it through), a wait for a future, a queue or a lock ends at once, an `async def` task is cancelled at its
        next `await`. Code in C (`time.sleep`, a long call of NumPy) ends first. Imports are not torn. So its slot is free again; what it has done
        stays done. Not interrupted are: tasks of in-process workers, methods of actors, tasks that another client wants as well, and those whose
        futures merely die (`release`, `del`). The setting `worker.interrupt` turns it off.
        """
        return self._client.cancel([self], force=force, reason=reason if reason is not None else msg)

    def retry(self) -> Any:
        """Run a failed task again, and the failed tasks that it stands on (see `Client.retry`)."""
        return self._client.retry([self])

    def release(self) -> None:
        """Let go of the result now, as the future's death would. The future counts as cancelled afterwards. Never blocks; a second call does
        nothing."""
        record = self._record
        released = Record(record.key)
        released.status = "cancelled"
        released.type = record.type
        released.reason = "this future was released"
        self._record = released
        session = self._client._session
        session.deaths.append(record)
        if session.asleep:
            session.wake()

    # --- travel

    def __reduce__(self) -> tuple[Callable[..., Future], tuple[str, str | None, str]]:
        """Whoever unpickles it gets a future of the client at hand there: of the task that it arrives in, or of a client of the same cluster."""
        found(self._record.key)
        return _arrive, (self._record.key, self._client._session.cluster_id, self._client.address)

    def __dask_tokenize__(self) -> tuple[str, str]:
        """For dask: two futures of one task are the same."""
        return type(self).__name__, self._record.key

    def __repr__(self) -> str:
        return text.future(self._view(), static=self._client._static_display)

    def _repr_html_(self) -> str:
        from jupyterfut.views import html

        return html.future(self._view(), static=self._client._static_display)

    def _view(self) -> FutureView:
        """What is known of it, for `repr` and for the notebook."""
        record = self._record
        reason = record.reason or ""
        if record.status == "pending":
            reason = self._client._why_pending(self)
        elif record.failure is not None:
            reason = f"{record.failure.kind}: {record.failure.text}"
        return FutureView(record.key, record.status, record.type or "", reason, record.nbytes if record.status == "finished" else None)


def _adopt(key: str, client: Client | None) -> tuple[Client, Record]:
    """For `Future(key)`: the client, and the record of a task that somebody else submitted."""
    if not isinstance(key, str):
        raise TypeError(f"a key is a string, not {key!r}")
    if client is None:
        from jupyterfut.client.current import get_client

        client = get_client()
    return client, client._session.hold(Key(key))


def _arrive(key: str, cluster: str | None, address: str) -> Future:
    """Unpickle a future."""
    from jupyterfut.client.current import client_for

    client = client_for(cluster, address)
    return Future(client._session.hold(Key(key)), client)


def futures_of(obj: object, client: Client | None = None) -> list[Future]:
    """The futures inside `obj`: bare, in lists, tuples, sets and dict values however nested, and those of a dask collection's graph. Each once, in
    order.

    `client`: only this client's. Raises `CancelledError` if one of them is cancelled, as `dask.distributed` does.

    >>> from jupyterfut import Client
    >>> with Client(processes=False) as client:
    ...     a, b = client.map(abs, [-1, -2])
    ...     futures_of({"first": a, "others": [b, 3]}) == [a, b]
    True
    """
    futures = [future for future in _walk(obj) if client is None or future._client is client]
    cancelled = [future.key for future in futures if future.status == "cancelled"]
    if cancelled:
        from jupyterfut.errors import CancelledError

        raise CancelledError(f"cancelled: {', '.join(cancelled[:5])}")
    return futures


def _walk(obj: object) -> list[Future]:
    found_futures: dict[Future, None] = {}
    stack = [obj]
    seen: set[int] = set()
    while stack:
        item = stack.pop()
        if isinstance(item, Future):
            found_futures[item] = None
            continue
        if id(item) in seen:
            continue
        if isinstance(item, (list, tuple, set, frozenset)):
            seen.add(id(item))
            stack.extend(reversed(list(item)))
        elif isinstance(item, dict):
            seen.add(id(item))
            stack.extend(reversed(list(item.values())))
        elif callable(graph := getattr(item, "__dask_graph__", None)):
            seen.add(id(item))
            stack.append(dict(graph() or {}))
    return list(found_futures)


def futures_within(obj: object, verb: str) -> list[Future]:
    """The futures in `obj`, however nested. Raises TypeError when there is none, unless `obj` is an empty container."""
    futures = _walk(obj)
    if not futures and not (isinstance(obj, (list, tuple, set, frozenset, dict)) and not obj):
        raise TypeError(f"{verb} takes futures, not {type(obj).__name__} {obj!r}"[:500])
    return futures


def as_futures(fs: object, verb: str) -> list[Any]:
    """One future (of a task, or of an actor's call), or an iterable of futures, as a list. Raises TypeError, naming what is none."""
    if isinstance(fs, Eventual):
        return [fs]
    if isinstance(fs, dict):
        fs = fs.values()
    elif hasattr(fs, "__dask_graph__"):
        return _walk(fs)
    if not isinstance(fs, Iterable) or isinstance(fs, (str, bytes)):
        raise TypeError(f"{verb} takes futures, not {type(fs).__name__}")
    futures = list(fs)
    for future in futures:
        if not isinstance(future, Eventual):
            raise TypeError(f"{verb} takes futures, not {type(future).__name__}: {future!r}"[:500])
    return futures


def fire_and_forget(obj: object) -> None:
    """Let the tasks run to their end even if nobody holds a future of them: for their side effects. Takes a future or anything that contains some.
    Never blocks.

    >>> from jupyterfut import Client
    >>> with Client(processes=False) as client:
    ...     fire_and_forget(client.submit(print, "noted", pure=False))
    """
    by_client: dict[Client, list[Record]] = {}
    for future in futures_within(obj, "fire_and_forget"):
        by_client.setdefault(future._client, []).append(future._record)
    for client, records in by_client.items():
        client._session.post(ev.Keep(records))


class Callbacks:
    """Calls what users gave to be called: in one thread of its own, started with the first; or on the loop of an asynchronous client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._thread: Any = None
        self._queue: Any = None

    def add(self, future: Eventual, fn: Callable[[Any], object]) -> None:
        session = self._client._session

        def resolved(record: Record) -> None:
            self.call(self._done, future, fn)

        with session.lock:
            record = future._record
            if record.status == "pending":
                if record.waiters is None:
                    record.waiters = []
                record.waiters.append(resolved)
                return
        self.call(self._done, future, fn)

    def call(self, fn: Callable[..., object], *args: Any) -> None:
        """Call `fn(*args)` soon, after what was to be called before. It must not raise."""
        session = self._client._session
        if self._client._asynchronous:
            session.loop.call_soon_threadsafe(fn, *args)
            return
        if self._thread is None:
            if self._client.status == "closed":
                fn(*args)
                return
            self._start()
        self._queue.put((fn, args))

    def _start(self) -> None:
        import queue
        import threading

        with self._client._session.lock:
            if self._thread is None:
                self._queue = queue.SimpleQueue()
                self._thread = threading.Thread(target=self._run, args=(self._queue,), name="jupyterfut-callbacks", daemon=True)
                self._thread.start()

    @classmethod
    def _run(cls, queue: Any) -> None:
        while (item := queue.get()) is not None:
            fn, args = item
            fn(*args)
            del item, fn, args  # the last reference must not wait for the next callback

    @staticmethod
    def _done(future: Future, fn: Callable[[Future], object]) -> None:
        try:
            fn(future)
        except Exception:  # the user's own, and nobody waits for it
            import logging

            logging.getLogger("jupyterfut.client").exception("a done callback of %s raised", future.key)

    def close(self, *, wait: bool = True) -> None:
        """Let the callbacks that are due run, and end the thread. From inside a callback it does not wait."""
        import threading

        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            if wait and thread is not threading.current_thread():
                thread.join(timeout=5)
