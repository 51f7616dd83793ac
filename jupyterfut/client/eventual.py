"""What a task's `Future` and an actor call's `ActorFuture` have in common: a client, a record that resolves once, and the ways to wait for it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from jupyterfut.client.outcomes import error_of
from jupyterfut.client.timeouts import Timeout
from jupyterfut.core.client.state import Record, Status

if TYPE_CHECKING:
    from jupyterfut.client.client import Client


class Eventual:
    """Something that will have a result, or an exception."""

    __slots__ = ("_client", "_record")

    _record: Record
    _client: Client

    @property
    def key(self) -> str:
        """Its name: for a task the same in the whole cluster."""
        return self._record.key

    @property
    def client(self) -> Client:
        """The client that it belongs to."""
        return self._client

    @property
    def status(self) -> Status:
        """`pending`, `finished`, `error`, `cancelled` or `lost`, as known here now. Never blocks."""
        return self._record.status

    def done(self) -> bool:
        """Whether it has come to an end: finished, failed, cancelled or lost. Never blocks."""
        return self._record.status != "pending"

    def cancelled(self) -> bool:
        """Whether it was cancelled. Never blocks."""
        return self._record.status == "cancelled"

    def exception(self, timeout: Timeout = None) -> Any:
        """Wait for the end and return the exception, None if there is none. A cancelled or lost future's is the one that `result` would raise (as
        in dask.distributed). Blocks as `result` does. Raises `TimeoutError`."""
        client = self._client
        if client.asynchronous:
            return self._exception_async(timeout)
        client._gathering.until_done([self._record], timeout)
        return self._error()

    def traceback(self, timeout: Timeout = None) -> Any:
        """Wait for the end and return the exception's traceback (a `types.TracebackType`), None if there is no exception. Raises `TimeoutError`."""
        client = self._client
        if client.asynchronous:
            return self._traceback_async(timeout)
        error = self.exception(timeout)
        return None if error is None else error.__traceback__

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait for the result in any running event loop, whether the client is synchronous or not. It may be awaited again."""
        return self._client._gathering.one_async(self, None).__await__()

    def add_done_callback(self, fn: Callable[[Self], object]) -> None:
        """Call `fn(future)` once it has come to an end (at once, if it has). Never blocks.

        Callbacks run one after the other in a thread of the client's own, so that they may block; on the loop, if the client is asynchronous. What
        they raise is logged.
        """
        if not callable(fn):
            raise TypeError(f"a callback must be callable, not {fn!r}")
        self._client._callbacks.add(self, fn)

    async def _exception_async(self, timeout: Timeout) -> BaseException | None:
        await self._client._gathering.until_done_async([self._record], timeout)
        return self._error()

    async def _traceback_async(self, timeout: Timeout) -> TracebackType | None:
        error = await self._exception_async(timeout)
        return None if error is None else error.__traceback__

    def _error(self) -> BaseException | None:
        return None if self._record.status in ("finished", "pending") else error_of(self._record)
