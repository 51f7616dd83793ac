"""`Semaphore`: a few at a time, in the whole cluster."""

from __future__ import annotations

from typing import Any

from jupyterfut.client.client import Client
from jupyterfut.client.timeouts import Timeout, to_seconds
from jupyterfut.coord.leases import Leased
from jupyterfut.coord.named import ask_async, whole_number


class Semaphore(Leased):
    """Limits how many tasks use something at the same time: a database, a license, a disk.

    max_leases: how many; at least 1 (ValueError), and the same in all objects of a name (ValueError where they meet: at the first `acquire`).
    name: what other clients and tasks know it by; without one it gets a name of its own, and can be passed to tasks as an argument.
    client: as in `Queue`.
    register, scheduler_rpc, loop: are accepted and not used.

    Leases are given to those who wait in the order in which they came. A lease whose holder's process dies, or loses its link for good, comes back;
    none is ever lost to a timeout. In an asynchronous client all methods return awaitables, and `async with` takes the place of `with`.

    >>> from jupyterfut import Client
    >>> def limited(x, semaphore):
    ...     with semaphore:
    ...         return x + 1
    >>> with Client(processes=False) as client:
    ...     semaphore = Semaphore(max_leases=2, name="database")
    ...     client.gather(client.map(limited, range(3), semaphore=semaphore))
    [1, 2, 3]
    """

    _acquire_op = "semaphore_acquire"
    _release_op = "semaphore_release"

    def __init__(
        self,
        max_leases: int = 1,
        name: str | None = None,
        client: Client | None = None,
        register: bool = True,
        scheduler_rpc: Any = None,
        loop: Any = None,
    ) -> None:
        self.max_leases = whole_number(max_leases, "max_leases")
        if self.max_leases < 1:
            raise ValueError(f"a Semaphore has at least one lease, not {max_leases}")
        super().__init__(name, client)

    async def _ready(self) -> Semaphore:
        await ask_async(self.client, "semaphore_create", self._wanted())
        return self

    def _arguments(self) -> dict[str, Any]:
        return {"name": self.name, "max_leases": self.max_leases}

    def _wanted(self) -> dict[str, Any]:
        return {"name": self.name, "max_leases": self.max_leases}

    def _given_back(self, holder: str) -> dict[str, Any]:
        return {"name": self.name, "holder": holder, "n": 1}

    def acquire(self, timeout: Timeout = None) -> Any:
        """Wait for a lease; whether there was one within `timeout` (seconds, `timedelta`, "10 ms"; zero tries once; None: as long as it takes).

        Blocks, or returns an awaitable. Raises ValueError when the name stands for a semaphore with another `max_leases`.

        >>> with Client(processes=False):
        ...     semaphore = Semaphore(max_leases=2)
        ...     semaphore.acquire(), semaphore.acquire(), semaphore.acquire(timeout=0), semaphore.get_value()
        (True, True, False, 2)
        """
        return self._acquire(to_seconds(timeout), n=1)

    def get_value(self) -> Any:
        """How many leases are given out, to anybody. Blocks for one answer of the scheduler, or returns an awaitable."""
        return self._ask("semaphore_value", {"name": self.name})

    def close(self) -> Any:
        """Forget the semaphore and all its leases, for everybody; who waits for one gets `ClosedError`. It begins anew when it is used again.

        Blocks for one answer of the scheduler; in an asynchronous client the returned awaitable need not be awaited. Does nothing when the client is
        closed.
        """
        self._leases.clear()
        return self._let_go("semaphore_close")
