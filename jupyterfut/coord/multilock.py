"""`MultiLock`: several locks at once, or so many of them, without the deadlocks that come from taking one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jupyterfut.client.client import Client
from jupyterfut.client.timeouts import Timeout
from jupyterfut.coord.leases import Leased, blocking_s
from jupyterfut.coord.named import whole_number


class MultiLock(Leased):
    """Acquires all its names at once, or none. Two of them that share a name never hold it together; whatever the order of their names, they do not
    deadlock.

    names: what is protected; at least one name. They are other names than those of `Lock`.
    client: as in `Queue`.

    `with` and `async with` take all names. When the holder's process dies, or loses its link for good, they are free. In an asynchronous client all
    methods but `locked` return awaitables.

    >>> from jupyterfut import Client
    >>> with Client(processes=False):
    ...     with MultiLock(["disk", "network"]):
    ...         MultiLock(["network", "printer"]).acquire(timeout=0)
    False
    """

    _acquire_op = "multilock_acquire"
    _release_op = "multilock_release"

    def __init__(self, names: Iterable[str] = (), client: Client | None = None) -> None:
        if isinstance(names, str) or not isinstance(names, Iterable):
            raise TypeError(f"the names of a MultiLock are a list of strings, not {names!r}"[:500])
        given: list[object] = list(names)
        for name in given:
            if not isinstance(name, str):
                raise TypeError(f"the names of a MultiLock are strings, not {name!r}"[:500])
        self.names = [str(name) for name in dict.fromkeys(given)]
        if not self.names:
            raise ValueError("a MultiLock needs at least one name")
        super().__init__(" + ".join(self.names), client)

    def _arguments(self) -> dict[str, Any]:
        return {"names": self.names}

    def _wanted(self) -> dict[str, Any]:
        return {"names": self.names, "num": len(self.names)}

    def _given_back(self, holder: str) -> dict[str, Any]:
        return {"holder": holder}

    def acquire(self, blocking: bool = True, timeout: Timeout = None, num_locks: int | None = None) -> Any:
        """Wait until all names are free (or `num_locks` of them), and take them; whether that was done in time.

        blocking: False tries once.
        timeout: seconds, `timedelta`, "10 ms"; zero tries once; None (or -1): as long as it takes.
        num_locks: so many of the names are enough, any of them.

        Blocks, or returns an awaitable. Raises ValueError for a timeout with `blocking=False`, and for a `num_locks` that makes no sense.
        """
        wanted = len(self.names) if num_locks is None else whole_number(num_locks, "num_locks")
        if not 1 <= wanted <= len(self.names):
            raise ValueError(f"num_locks is a number from 1 to {len(self.names)}, the number of names, not {num_locks}")
        return self._acquire(blocking_s(blocking, timeout), num=wanted)

    def locked(self) -> bool:
        """Whether this object holds its locks (as in dask.distributed; another one's do not count). Never blocks."""
        return bool(self._leases)
