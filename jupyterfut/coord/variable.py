"""`Variable`: one value that tasks, workers and kernels share. It is kept by the scheduler; whoever gets it before it was set waits there."""

from __future__ import annotations

from typing import Any

from jupyterfut.client.client import Client
from jupyterfut.client.timeouts import Timeout, to_seconds
from jupyterfut.client.values import for_scheduler, let_be, unpacked
from jupyterfut.coord.named import Named


class Variable(Named):
    """A global variable of the cluster, for a future or a small value.

    name: what other clients and tasks know it by; without one it gets a name of its own.
    client: as in `Queue`.

    A future in it keeps its task alive until the variable is set anew or deleted, also after the client that set it is gone; whoever gets it knows
    its state at once. In an asynchronous client all methods return awaitables.

    >>> from jupyterfut import Client
    >>> with Client(processes=False):
    ...     stop = Variable("stopping-criterion")
    ...     stop.set(False)
    ...     stop.get()
    False
    """

    def __init__(self, name: str | None = None, client: Client | None = None) -> None:
        super().__init__(name, client)

    def set(self, value: Any, timeout: Timeout = None) -> Any:
        """Give it this value. Whoever waits in `get` gets it.

        Blocks until the scheduler has it, `timeout` at most (default: `client.timeout_s`). Raises ValueError for a value larger than
        `scheduler.value_limit_bytes` (scatter it, and set the future), `SerializationError`, `TimeoutError`.
        """
        payload, holds = for_scheduler(self.client, value, self)
        wait_s = to_seconds(timeout)
        return self._ask("variable_set", {"name": self.name, "value": payload, "holds": holds}, 0.0 if wait_s is None else wait_s)

    def get(self, timeout: Timeout = None) -> Any:
        """The value. Blocks until it has one, for `timeout` (seconds, `timedelta`, "10 ms"; zero looks once; None: as long as it takes). Raises
        `TimeoutError`, and what unpickling the value raises."""
        wait_s = to_seconds(timeout)
        return self._ask("variable_get", {"name": self.name, "timeout_s": wait_s}, wait_s, unpacked, let_be)

    def delete(self) -> Any:
        """Forget the value, for everybody: `get` waits for the next one.

        Blocks for one answer of the scheduler; in an asynchronous client the returned awaitable need not be awaited. Does nothing when the client is
        closed.
        """
        return self._let_go("variable_delete")
