"""A `concurrent.futures.Executor` whose calls run on a cluster, for libraries that know that interface only.

Each call is a task, and each task has a `concurrent.futures.Future` here, which gets the result when it arrives. The task's own future is kept until
then, so that the call runs whether or not somebody keeps what `submit` returned. Whether a task has started is not known here: its future is
pending until it is done, and can be cancelled as long.
"""

from __future__ import annotations

import concurrent.futures
import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from jupyterfut.client.futures import Future
from jupyterfut.client.submit import make_options
from jupyterfut.client.timeouts import Deadline, Timeout
from jupyterfut.core.client import events as ev
from jupyterfut.errors import ClosedError
from jupyterfut.runtime.context import blocking
from jupyterfut.serde.functions import function_name

if TYPE_CHECKING:
    from jupyterfut.client.client import Client

_OPTIONS = ("workers", "resources", "retries", "priority", "allow_other_workers", "pure")


class CallFuture(concurrent.futures.Future[Any]):
    """A `concurrent.futures.Future` of a task. Inside a task, waiting for it gives the waiting task's place away."""

    def result(self, timeout: float | None = None) -> Any:
        if self.done():
            return super().result(0)
        with blocking():
            return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        if self.done():
            return super().exception(0)
        with blocking():
            return super().exception(timeout)


class ClientExecutor(concurrent.futures.Executor):
    """What `Client.get_executor` returns, and says more of. Many threads may share one.

    >>> from jupyterfut import Client
    >>> with Client(processes=False) as client, client.get_executor() as executor:
    ...     sorted(done.result() for done in concurrent.futures.as_completed([executor.submit(abs, -1), executor.submit(abs, -2)]))
    [1, 2]
    """

    def __init__(self, client: Client, **options: Any) -> None:
        unknown = [name for name in options if name not in _OPTIONS]
        if unknown:
            raise TypeError(f"get_executor takes no option {', '.join(map(repr, unknown))} (there are: {', '.join(_OPTIONS)})")
        self._client = client
        self._pure = bool(options.pop("pure", False))
        self._options = make_options(**options)
        self._lock = threading.RLock()  # re-entrant: what is pickled may submit
        self._running: dict[CallFuture, Future] = {}  # until done
        self._iterating: weakref.WeakSet[_Calls] = weakref.WeakSet()
        self._closed = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._client.address}{' (shut down)' if self._closed else ''}>"

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> CallFuture:
        """Have `fn(*args, **kwargs)` called on a worker. All keyword arguments are the function's own.

        Never blocks. Raises RuntimeError after `shutdown` (and when the client is closed), TypeError, `SerializationError`.
        """
        outer = CallFuture()
        with self._lock:  # so that `shutdown` sees all that got in
            future = self._running[outer] = self._task(fn, args, kwargs)
        outer.add_done_callback(self._outer_done)
        if self._client._asynchronous:
            self._client._session.loop.call_soon_threadsafe(_follow, future, outer)
        else:
            future.add_done_callback(lambda done: _hand_over(done, outer))
        return outer

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: Timeout = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        **unknown: Any,
    ) -> Iterator[Any]:
        """The results of `fn` on the elements of the iterables, in order, as `concurrent.futures.Executor.map` gives them. The calls are made at
        once; with `buffersize`, at most so many ahead of what was taken (as in Python 3.14). `chunksize` calls make one task.

        The iterator's `next` blocks; raises the call's exception, TimeoutError when a result is not there `timeout` seconds after `map` was called.
        When the iterator is closed or dropped, the calls that are not done are cancelled.

        Raises RuntimeError after `shutdown`, TypeError for an unknown option, ValueError.
        """
        if unknown:
            raise TypeError(f"map takes no option {', '.join(map(repr, unknown))} (there are: 'timeout', 'chunksize', 'buffersize')")
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        if not iterables:
            raise TypeError("map takes a function and at least one iterable")
        deadline = Deadline(timeout)
        self._check_open()
        calls = _Calls(self, fn, iterables, chunksize, buffersize)
        with self._lock:
            self._iterating.add(calls)
        results = calls.results(deadline)
        next(results)  # from now on its end, whichever it is, cancels what is left
        return results

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. `wait`: block until all calls are done. Without it, or with `cancel_futures`, those that are not done are cancelled.
        Idempotent."""
        with self._lock:
            self._closed = True
            running = dict(self._running)
            mapped = list(self._iterating)
        if cancel_futures or not wait:
            for outer in running:
                outer.cancel()
            for calls in mapped:
                calls.cancel()
        if wait:
            with blocking():
                concurrent.futures.wait(running)
            self._client._gathering.until_done([future._record for calls in mapped for future in calls.made], None)

    # --- tasks

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if self._client._session.closed is not None:
            raise RuntimeError(f"cannot schedule new futures: {self._client._session.closed}")

    def _task(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future:
        self._check_open()
        return self._client._submitting.submit(fn, args, kwargs, None, self._pure, self._options)

    def _cancel(self, futures: list[Future]) -> None:
        """Without waiting, since this may run in the garbage collector, or on the loop."""
        records = [future._record for future in futures if not future.done()]
        if records:
            try:
                self._client._session.post(ev.Cancel(records, False, "its executor's future was cancelled"))
            except ClosedError:
                return  # then they have ended already

    def _outer_done(self, outer: concurrent.futures.Future[Any]) -> None:
        with self._lock:
            future = self._running.pop(outer, None)  # type: ignore[call-overload]  # it was made by us
        if future is not None and outer.cancelled():
            self._cancel([future])


def _follow(future: Future, outer: CallFuture) -> None:
    """On the loop of an asynchronous client."""
    task = future._client._session.loop.create_task(_hand_over_async(future, outer))
    _following.add(task)
    task.add_done_callback(_following.discard)


_following: set[Any] = set()


class _Calls:
    """The calls of one `map`: those that were made and not taken."""

    def __init__(self, executor: ClientExecutor, fn: Callable[..., Any], iterables: tuple[Any, ...], chunksize: int, buffersize: int | None) -> None:
        self._executor = executor
        self._rows: Iterator[tuple[Any, ...]] = zip(*iterables, strict=False)
        self._fn = fn if chunksize == 1 else _Chunk(fn)
        self._chunksize = chunksize
        self.made: deque[Future] = deque()
        if buffersize is not None:
            while len(self.made) < buffersize and self._make():
                pass
        elif chunksize == 1:
            self._make_all(iterables)
        else:
            self._make_all((iter(lambda: list(islice(self._rows, chunksize)), []),))

    def _make_all(self, iterables: tuple[Iterable[Any], ...]) -> None:
        executor = self._executor
        self.made.extend(executor._client._submitting.map(self._fn, iterables, {}, None, executor._pure, executor._options, None))
        self._rows = iter(())

    def _make(self) -> bool:
        chunk = list(islice(self._rows, self._chunksize))
        if chunk:
            self.made.append(self._executor._task(self._fn, chunk[0] if self._chunksize == 1 else (chunk,), {}))
        return bool(chunk)

    def results(self, deadline: Deadline) -> Generator[Any, None, None]:
        gathering = self._executor._client._gathering
        try:
            yield
            while self.made:
                value = gathering.one(self.made[0], deadline.left())
                self.made.popleft()
                if not self._executor._closed:
                    self._make()
                if self._chunksize == 1:
                    yield value
                else:
                    yield from value
        finally:
            self.cancel()

    def cancel(self) -> None:
        self._executor._cancel(list(self.made))


class _Chunk:
    """A function of one call as a function of several."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn
        self.__name__ = function_name(fn)

    def __call__(self, rows: list[tuple[Any, ...]]) -> list[Any]:
        return [self.fn(*row) for row in rows]

    def __jupyterfut_parts__(self) -> tuple[Any, ...]:
        return (self.fn,)


# --- from a task's future to the one that somebody holds


def _hand_over(future: Future, outer: CallFuture) -> None:
    """In the client's thread for callbacks, where a large result may be waited for."""
    value = error = None
    if future.status != "cancelled":
        try:
            value = future._client._gathering.one(future, None)
        except BaseException as problem:  # noqa: BLE001  # whatever it is, it belongs to who asks the future
            error = problem
    _settle(future, outer, value, error)


async def _hand_over_async(future: Future, outer: CallFuture) -> None:
    value = error = None
    try:
        value = await future._client._gathering.one_async(future, None)
    except BaseException as problem:  # noqa: BLE001  # as above
        error = problem
    _settle(future, outer, value, error)


def _settle(future: Future, outer: CallFuture, value: Any, error: BaseException | None) -> None:
    if future.status == "cancelled":
        outer.cancel()
    if not outer.set_running_or_notify_cancel():
        return  # cancelled at either end; who waits for it is told now
    if error is not None:
        outer.set_exception(error)
    else:
        outer.set_result(value)
