"""`wait` and `as_completed`: callbacks, not a coroutine a future. Waiting for n futures costs O(n) in all, and each completion the same however
many are waited for."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeVar

from jupyterfut.client.eventual import Eventual
from jupyterfut.client.futures import Future, as_futures
from jupyterfut.client.latches import LoopGate, ThreadGate
from jupyterfut.client.outcomes import error_of
from jupyterfut.client.timeouts import Deadline, Timeout
from jupyterfut.core.client.state import Record
from jupyterfut.errors import TimeoutError  # noqa: A004
from jupyterfut.serde.tracebacks import fold

if TYPE_CHECKING:
    from jupyterfut.client.client import Client

Gate = TypeVar("Gate", ThreadGate, LoopGate)
ReturnWhen = Literal["ALL_COMPLETED", "FIRST_COMPLETED"]
ALL_COMPLETED: ReturnWhen = "ALL_COMPLETED"
FIRST_COMPLETED: ReturnWhen = "FIRST_COMPLETED"


class DoneAndNotDoneFutures(NamedTuple):
    """What `wait` returns."""

    done: set[Future]
    not_done: set[Future]


def wait(fs: Any, timeout: Timeout = None, return_when: ReturnWhen = "ALL_COMPLETED") -> Any:
    """Wait until all futures (or, with "FIRST_COMPLETED", at least one) have come to an end, well or not, and return the sets `(done, not_done)`.

    Blocks; in an asynchronous client it returns an awaitable. Raises `TimeoutError` when `timeout` (seconds, `timedelta`, "10 ms"; zero looks
    once) passes before that, as `dask.distributed` does. Cancelled futures are done, as in `concurrent.futures`.

    >>> from jupyterfut import Client
    >>> with Client(processes=False) as client:
    ...     done, not_done = wait(client.map(abs, [-1, -2]))
    >>> len(done), len(not_done)
    (2, 0)
    """
    try:
        return _wait(fs, timeout, return_when)
    except BaseException as error:
        fold(error)
        raise


def _wait(fs: Any, timeout: Timeout, return_when: ReturnWhen) -> Any:
    futures = as_futures(fs, "wait")
    if return_when not in ("ALL_COMPLETED", "FIRST_COMPLETED"):
        raise ValueError(f"return_when is 'ALL_COMPLETED' or 'FIRST_COMPLETED', not {return_when!r}")
    deadline = Deadline(timeout)
    if futures and futures[0]._client.asynchronous:
        return _wait_async(futures, deadline, return_when)
    if return_when == "FIRST_COMPLETED":
        gate = ThreadGate()
        first = _First(gate)
        try:
            if _watch_first(futures, first) and not gate.wait(deadline.left()):
                raise _none_yet(futures, deadline)
        finally:
            _unwatch_first(futures, first)
    else:
        for client, records in _by_client(futures):
            client._gathering.until_done(records, deadline)
    return _split(futures)


async def _wait_async(futures: list[Future], deadline: Deadline, return_when: ReturnWhen) -> DoneAndNotDoneFutures:
    if return_when == "FIRST_COMPLETED":
        gate = LoopGate()
        first = _First(gate)
        try:
            if _watch_first(futures, first) and not await gate.wait(deadline.left()):
                raise _none_yet(futures, deadline)
        finally:
            _unwatch_first(futures, first)
    else:
        for client, records in _by_client(futures):
            await client._gathering.until_done_async(records, deadline)
    return _split(futures)


def _by_client(futures: list[Future]) -> Iterable[tuple[Client, list[Record]]]:
    groups: dict[Client, list[Record]] = {}
    for future in futures:
        groups.setdefault(future._client, []).append(future._record)
    return groups.items()


def _split(futures: list[Future]) -> DoneAndNotDoneFutures:
    done = {future for future in futures if future.done()}
    return DoneAndNotDoneFutures(done, set(futures) - done)


class _First:
    """The waiter of `wait(return_when="FIRST_COMPLETED")`: the first completion opens the gate, the others find it open."""

    __slots__ = ("count", "gate")

    def __init__(self, gate: ThreadGate | LoopGate) -> None:
        self.gate = gate
        self.count = 0

    def __call__(self, record: Record) -> None:
        self.gate.open()


def _watch_first(futures: list[Future], first: _First) -> bool:
    """Whether there is something to wait for: all are pending."""
    for client, records in _by_client(futures):
        if client._session.watch(records, first) < len(records):
            return False
    return bool(futures)


def _unwatch_first(futures: list[Future], first: _First) -> None:
    for client, records in _by_client(futures):
        client._session.unwatch(records, first)


def _none_yet(futures: list[Future], deadline: Deadline) -> TimeoutError:
    return TimeoutError(f"none of {len(futures)} futures has come to an end after {deadline}")


class as_completed:  # noqa: N801  # the name that users of dask.distributed and concurrent.futures know
    """Futures in the order in which they come to an end, well or not.

    fs: one future or an iterable of them; more can be added while iterating, and after. A future added twice is yielded twice. Anything else is a
        TypeError.
    with_results: yield pairs `(future, result)`.
    raise_errors: with results, raise the exception of a failed, cancelled or lost future; if False, the pair holds the exception in the result's
        place.
    loop: is accepted and not used.
    timeout: `TimeoutError` is raised when so much time has passed since the iterator was made and the next future is not there yet.

    `for` blocks; `async for` works in every event loop, whatever the client is. A future that was yielded is done.

    >>> from jupyterfut import Client
    >>> with Client(processes=False) as client:
    ...     sorted(result for future, result in as_completed(client.map(abs, [-1, -2]), with_results=True))
    [1, 2]
    """

    def __init__(self, fs: Any = None, with_results: bool = False, raise_errors: bool = True, timeout: Timeout = None, *, loop: Any = None) -> None:
        self.with_results = with_results
        self.raise_errors = raise_errors
        self._deadline = Deadline(timeout)
        self._lock = threading.RLock()
        self._ready: deque[Future] = deque()
        self._waiting: dict[Record, list[Future]] = {}
        self._gates: set[ThreadGate | LoopGate] = set()  # of those who wait for the next: nearly always one
        if fs is not None:
            self.update(fs)

    # --- what is in it

    def add(self, future: Future) -> None:
        """Yield this future too, once it is done. Never blocks. Works during and after iteration."""
        if not isinstance(future, Eventual):
            raise TypeError(f"as_completed takes futures, not {type(future).__name__}: {future!r}"[:500])
        self.update([future])

    def update(self, futures: Any) -> None:
        """Yield these futures too. Never blocks."""
        pending: dict[Any, list[Record]] = {}
        with self._lock:
            for future in as_futures(futures, "as_completed"):
                record = future._record
                if record.status != "pending":
                    self._ready.append(future)
                    continue
                same = self._waiting.get(record)
                if same is None:
                    self._waiting[record] = [future]
                    pending.setdefault(future._client._session, []).append(record)
                else:
                    same.append(future)
            if self._ready:
                self._open()
        for session, records in pending.items():
            waiter = _Arrivals(self)
            if session.watch(records, waiter) < len(records):  # some have resolved meanwhile
                for record in records:
                    if record.status != "pending":
                        self._arrived(record)

    def count(self) -> int:
        """How many futures are still to be yielded, done or not."""
        with self._lock:
            return len(self._ready) + sum(map(len, self._waiting.values()))

    def is_empty(self) -> bool:
        """Whether all futures were yielded."""
        return not self._ready and not self._waiting

    def has_ready(self) -> bool:
        """Whether the next future is there, so that `next` will not block."""
        return bool(self._ready)

    def clear(self) -> None:
        """Forget all futures that were not yielded yet."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            self._ready.clear()
        for record, futures in waiting.items():
            session = futures[0]._client._session
            with session.lock:
                if record.waiters is not None:
                    record.waiters = [waiter for waiter in record.waiters if not (isinstance(waiter, _Arrivals) and waiter.home() is self)]

    # --- iteration

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        try:
            return self._pair(self._next_future(self._deadline))
        except BaseException as error:
            fold(error)
            raise

    def next(self, timeout: Timeout = None) -> Any:
        """The next future that is done (or pair). Blocks. Raises StopIteration when there is none left, `TimeoutError`."""
        try:
            return self._pair(self._next_future(self._deadline if timeout is None else Deadline(timeout)))
        except BaseException as error:
            fold(error)
            raise

    def next_batch(self, block: bool = True) -> list[Any]:
        """All futures (or pairs) that are done now. With `block` it waits for at least one, and raises StopIteration when there is none left, or
        `TimeoutError`; without, the list may be empty."""
        while True:
            batch = self._pop_all()
            if batch or not block:
                return self._pairs(batch)
            self._wait(self._deadline)

    def batches(self) -> Batches:
        """An iterator (also for `async for`) over lists of what has become done since the last one."""
        return Batches(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while True:
            with self._lock:
                if self._ready:
                    future = self._ready.popleft()
                    break
            await self._wait_async()
        try:
            return await self._pair_async(future)
        except BaseException as error:
            fold(error)
            raise

    async def _next_batch_async(self) -> list[Any]:
        while not (batch := self._pop_all()):
            await self._wait_async()
        return [await self._pair_async(future) for future in batch]

    def _next_future(self, deadline: Deadline) -> Future:
        while True:
            with self._lock:
                if self._ready:
                    return self._ready.popleft()
            self._wait(deadline)

    def _wait(self, deadline: Deadline) -> None:
        """Block until one is ready. Raises StopIteration when there is none to wait for."""
        gate = self._gate_for(ThreadGate)
        if gate is None:
            raise StopIteration
        try:
            if not gate.wait(deadline.left()) and not self._ready:
                raise self._too_late(deadline)
        finally:
            with self._lock:
                self._gates.discard(gate)

    async def _wait_async(self) -> None:
        gate = self._gate_for(LoopGate)
        if gate is None:
            raise StopAsyncIteration
        try:
            if not await gate.wait(self._deadline.left()) and not self._ready:
                raise self._too_late(self._deadline)
        finally:
            with self._lock:
                self._gates.discard(gate)

    def _gate_for(self, kind: type[Gate]) -> Gate | None:
        """A gate that opens with the next arrival (or is open, when there is something); None when nothing is left."""
        with self._lock:
            if not self._ready and not self._waiting:
                return None
            gate = kind()
            if self._ready:
                gate.open()
            else:
                self._gates.add(gate)
            return gate

    def _too_late(self, deadline: Deadline) -> TimeoutError:
        return TimeoutError(f"none of the {self.count()} futures left has come to an end after {deadline}")

    def _pop_all(self) -> list[Future]:
        with self._lock:
            futures = list(self._ready)
            self._ready.clear()
        return futures

    # --- results

    def _pair(self, future: Future) -> Any:
        return self._pairs([future])[0] if self.with_results else future

    def _pairs(self, futures: list[Future]) -> list[Any]:
        if not self.with_results:
            return futures
        finished = [future for future in futures if future.status not in ("error", "cancelled", "lost")]
        values: dict[Future, Any] = {}
        for client in {future._client for future in finished}:
            ours = [future for future in finished if future._client is client]
            values.update(zip(ours, client._gathering.gather(ours, "raise", None), strict=True))
        return [(future, values[future] if future in values else self._error(future)) for future in futures]

    async def _pair_async(self, future: Future) -> Any:
        if not self.with_results:
            return future
        if future.status in ("error", "cancelled", "lost"):
            return future, self._error(future)
        return future, await future._client._gathering.one_async(future, None)

    def _error(self, future: Future) -> BaseException:
        error = error_of(future._record)
        if self.raise_errors:
            raise error
        return error

    # --- from the session's loop

    def _arrived(self, record: Record) -> None:
        with self._lock:
            futures = self._waiting.pop(record, None)
            if futures is not None:
                self._ready.extend(futures)
                self._open()

    def _open(self) -> None:
        for gate in self._gates:
            gate.open()
        self._gates.clear()  # opened once: the arrivals that follow in this batch have nothing to do


class _Arrivals:
    """The waiter of one `as_completed`. It does not keep it alive: when nobody iterates any more, the futures may go."""

    __slots__ = ("count", "home")

    def __init__(self, home: as_completed) -> None:
        self.home = weakref.ref(home)
        self.count = 0

    def __call__(self, record: Record) -> None:
        home = self.home()
        if home is not None:
            home._arrived(record)


class Batches:
    """What `as_completed.batches()` returns."""

    def __init__(self, home: as_completed) -> None:
        self._home = home

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> list[Any]:
        return self._home.next_batch(block=True)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Any]:
        return await self._home._next_batch_async()
