"""`Event`: a flag that everybody in the cluster can set, clear and wait for. The scheduler keeps it, and who waits."""

from __future__ import annotations

from typing import Any

from jupyterfut.client.client import Client
from jupyterfut.client.timeouts import Timeout, to_seconds
from jupyterfut.coord.named import Named


class Event(Named):
    """A flag of the cluster, as `threading.Event` is one of a process. It is not set at first; nobody owns it.

    name: what other clients and tasks know it by; without one it gets a name of its own.
    client: as in `Queue`.

    In an asynchronous client all methods return awaitables.

    >>> from jupyterfut import Client
    >>> with Client(processes=False) as client:
    ...     event = Event("go")
    ...     future = client.submit(lambda: Event("go").wait())
    ...     event.set()
    ...     future.result()
    True
    """

    def __init__(self, name: str | None = None, client: Client | None = None) -> None:
        super().__init__(name, client)

    def wait(self, timeout: Timeout = None) -> Any:
        """Wait until it is set; True then, False after `timeout` (seconds, `timedelta`, "10 ms"; zero looks once; None: as long as it takes), as in
        `threading.Event`. Blocks, or returns an awaitable."""
        wait_s = to_seconds(timeout)
        return self._ask("event_wait", {"name": self.name, "timeout_s": wait_s}, wait_s)

    def set(self) -> Any:
        """Set it: all who wait go on. Blocks for one answer of the scheduler, or returns an awaitable."""
        return self._ask("event_set", {"name": self.name})

    def clear(self) -> Any:
        """Clear it: `wait` waits again. Blocks for one answer of the scheduler, or returns an awaitable."""
        return self._ask("event_clear", {"name": self.name})

    def is_set(self) -> Any:
        """Whether it is set. Blocks for one answer of the scheduler, or returns an awaitable."""
        return self._ask("event_is_set", {"name": self.name})
