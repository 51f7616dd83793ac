"""What `Lock`, `Semaphore` and `MultiLock` share: leases, which the scheduler gives out, and which an object remembers until it gives them back.

A lease has a name that its taker makes up, and belongs to the client through which it was taken: when that is forgotten (its process died, its worker
is lost, its time without a link is over) the scheduler gives what it held to the next who waits.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple, Self

from jupyterfut.client.client import Client
from jupyterfut.client.timeouts import Timeout, to_seconds
from jupyterfut.coord.named import Named, ask, ask_async, tell


class Lease(NamedTuple):
    """One successful `acquire`."""

    client: Client
    holder: str


class Leased(Named):
    """Something to acquire and release."""

    _acquire_op: str
    _release_op: str

    def __init__(self, name: str | None, client: Client | None) -> None:
        self._leases: deque[Lease] = deque()  # threads append and remove; each step by itself is atomic
        super().__init__(name, client)

    def _wanted(self) -> dict[str, Any]:
        """What is asked for."""
        return {"name": self.name}

    def _given_back(self, holder: str) -> dict[str, Any]:
        """What is given back."""
        return {"name": self.name, "holder": holder}

    # --- acquire

    def _acquire(self, wait_s: float | None, **more: Any) -> Any:
        holder = _new_holder()
        args = {**self._wanted(), **more, "holder": holder, "timeout_s": wait_s}
        return self._ask(self._acquire_op, args, wait_s, partial(self._acquired, holder), partial(self._unwanted, holder))

    def _acquired(self, holder: str, client: Client, answer: Any) -> bool:
        if answer:
            self._leases.append(Lease(client, holder))
        return bool(answer)

    def _unwanted(self, holder: str, client: Client, answer: Any) -> None:
        """On the loop: it was acquired when nobody waited for it any more."""
        if answer:
            tell(client, self._release_op, self._given_back(holder))

    # --- release

    def release(self) -> Any:
        """Give back what this object has acquired, the oldest first (inside a task: what was acquired on this worker first). Blocks for one answer of
        the scheduler, or returns an awaitable; the result is True, as in dask.distributed.

        Raises RuntimeError when it holds nothing, also when another object of the same name does. When the client that acquired it was closed, it has
        gone back by itself, and nothing happens.
        """
        here = self.client
        lease = self._next_to_release(here)
        if here.asynchronous:
            return self._release_async(lease)
        if lease.client._session.closed is None:
            ask(lease.client, self._release_op, self._given_back(lease.holder))
        return True

    async def _release_async(self, lease: Lease) -> bool:
        if lease.client._session.closed is None:
            await ask_async(lease.client, self._release_op, self._given_back(lease.holder))
        return True

    def _next_to_release(self, here: Client) -> Lease:
        for lease in [lease for lease in list(self._leases) if lease.client is here] or list(self._leases):
            try:
                self._leases.remove(lease)
            except ValueError:
                continue  # another thread released it first
            return lease
        raise RuntimeError(f"{self!r} cannot be released: this object has not acquired it, or has released it already")

    # --- with

    def __enter__(self) -> Self:
        if self.client.asynchronous:
            raise TypeError(f"{self!r} is entered with 'async with' here, since its client is asynchronous")
        self._acquire(None)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.release()

    async def __aenter__(self) -> Self:
        holder = _new_holder()
        args = {**self._wanted(), "holder": holder, "timeout_s": None}
        await ask_async(self.client, self._acquire_op, args, None, partial(self._acquired, holder), partial(self._unwanted, holder))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        await self._release_async(self._next_to_release(self.client))


def blocking_s(blocking: bool, timeout: Timeout) -> float | None:
    """The seconds of `acquire(blocking, timeout)`: what `threading.Lock` says of the two holds here (-1 is for ever, too)."""
    if not blocking:
        if timeout is not None and timeout != -1:
            raise ValueError("acquire(blocking=False) takes no timeout")
        return 0.0
    return None if timeout == -1 else to_seconds(timeout)


_PROCESS = os.urandom(8).hex()
_numbers = itertools.count(1)


def _new_holder() -> str:
    return f"{_PROCESS}-{next(_numbers)}"
