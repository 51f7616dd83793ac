"""`Lock`: one at a time, in the whole cluster."""

from __future__ import annotations

from typing import Any

from jupyterfut.client.client import Client
from jupyterfut.client.timeouts import Timeout
from jupyterfut.coord.leases import Leased, blocking_s


class Lock(Leased):
    """A lock of the cluster, as `threading.Lock` is one of a process: `with lock:`, or `async with lock:` in coroutines.

    name: what everybody calls the thing that it protects; without one it gets a name of its own, and can be passed to tasks as an argument.
    client: as in `Queue`.
    scheduler_rpc, loop: are accepted and not used.

    It is given to those who wait in the order in which they came; when its holder's process dies, or loses its link for good, to the next one. It is
    not re-entrant. Only the object that acquired it can release it (any thread may). Inside a task, waiting gives the task's place to another. In an
    asynchronous client all methods return awaitables.

    >>> from jupyterfut import Client
    >>> def load(path):
    ...     with Lock("the-production-database"):
    ...         return len(path)
    >>> with Client(processes=False) as client:
    ...     client.gather(client.map(load, ["a.csv", "bc.csv"]))
    [5, 6]
    """

    _acquire_op = "lock_acquire"
    _release_op = "lock_release"

    def __init__(self, name: str | None = None, client: Client | None = None, scheduler_rpc: Any = None, loop: Any = None) -> None:
        super().__init__(name, client)

    def acquire(self, blocking: bool = True, timeout: Timeout = None) -> Any:
        """Wait until the lock is free, and take it; whether that was done in time.

        blocking: False tries once.
        timeout: seconds, `timedelta`, "10 ms"; zero tries once; None (or -1): as long as it takes.

        Blocks, or returns an awaitable. Raises ValueError for a timeout with `blocking=False`, as `threading.Lock` does.

        >>> with Client(processes=False):
        ...     lock = Lock("x")
        ...     lock.acquire(), Lock("x").acquire(timeout="10 ms"), lock.release()
        (True, False, True)
        """
        return self._acquire(blocking_s(blocking, timeout))

    def locked(self) -> Any:
        """Whether somebody holds it. Blocks for one answer of the scheduler, or returns an awaitable."""
        return self._ask("lock_locked", {"name": self.name})
