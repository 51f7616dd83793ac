"""`Queue`: items that tasks, workers and kernels hand to each other, first in, first out.

The items wait in the scheduler. So does a `get` that found nothing and a `put` that found no room, in the order in which they came; each is answered
once. A wait that is interrupted gives back what it was about to get.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from jupyterfut.client.client import Client
from jupyterfut.client.timeouts import Timeout, to_seconds
from jupyterfut.client.values import for_scheduler, let_go, unpacked
from jupyterfut.coord.named import Named, ask_async, tell, whole_number
from jupyterfut.core.client.events import Delivered


class Queue(Named):
    """A queue in the cluster, with the methods of `queue.Queue`, for futures and small values.

    name: what other clients and tasks know it by; without one it gets a name of its own, and can be passed to tasks as an argument.
    client: the client to speak through; by default the one at hand (inside a task always the task's).
    maxsize: from so many items on `put` waits for room; 0: never. The first that says one decides.

    Items are pickled, and a future among them keeps its task alive while it lies in the queue, also after the client that put it there is gone;
    whoever gets it knows its state at once. In an in-process cluster other values travel by reference. Getters are served in the order in which they
    came, and one whose client dies is forgotten. Inside a task, waiting gives the task's place to another. In an asynchronous client all methods
    return awaitables.

    >>> from jupyterfut import Client
    >>> with Client(processes=False) as client:
    ...     queue = Queue("numbers")
    ...     queue.put(client.submit(pow, 2, 10))
    ...     queue.get(timeout="10 s").result()
    1024
    """

    def __init__(self, name: str | None = None, client: Client | None = None, maxsize: int = 0) -> None:
        self.maxsize = max(0, whole_number(maxsize, "the maxsize of a Queue"))
        super().__init__(name, client)
        bound = self._given or self._found
        if self.maxsize and bound is not None:  # before anybody else fills it; otherwise `put` says it
            tell(bound, "queue_create", {"name": self.name, "maxsize": self.maxsize})

    async def _ready(self) -> Queue:
        await ask_async(self.client, "queue_create", {"name": self.name, "maxsize": self.maxsize})
        return self

    def _arguments(self) -> dict[str, Any]:
        return {"name": self.name, "maxsize": self.maxsize}

    def put(self, value: Any, timeout: Timeout = None) -> Any:
        """Append an item. Blocks until the scheduler has it: while the queue is full, for `timeout` (seconds, `timedelta`, "10 ms"; zero tries once;
        None: as long as it takes).

        Raises `TimeoutError` when it is still full then (as dask.distributed does; not `queue.Full`), ValueError for a value larger than
        `scheduler.value_limit_bytes` (scatter it, and put the future), `SerializationError`, and `ClosedError` when the queue is closed
        meanwhile.

        >>> from jupyterfut import Client
        >>> with Client(processes=False):
        ...     queue = Queue(maxsize=1)
        ...     queue.put(1)
        ...     try:
        ...         queue.put(2, timeout="10 ms")
        ...     except TimeoutError:
        ...         print("full")
        full
        """
        wait_s = to_seconds(timeout)
        payload, holds = for_scheduler(self.client, value, self)
        args = {"name": self.name, "maxsize": self.maxsize, "value": payload, "holds": holds, "timeout_s": wait_s}
        return self._ask("queue_put", args, wait_s)

    def get(self, timeout: Timeout = None, batch: bool | int = False) -> Any:
        """Take the oldest item, and return it. Blocks while there is none, for `timeout` (as in `put`).

        batch: True: all items that are there, perhaps none, as a list, at once. A number: a list of so many items, once there are so many.

        Raises `TimeoutError` (as dask.distributed does; not `queue.Empty`) and takes nothing then; `ClosedError` when the queue is closed meanwhile;
        and what unpickling the item raises.

        >>> from jupyterfut import Client
        >>> with Client(processes=False):
        ...     queue = Queue()
        ...     for item in "abc":
        ...         queue.put(item)
        ...     queue.get(), queue.get(batch=True)
        ('a', ['b', 'c'])
        """
        wait_s = to_seconds(timeout)
        args = {"name": self.name, "timeout_s": wait_s, "batch": _batch(batch)}
        return self._ask("queue_get", args, wait_s, _one if batch is False else unpacked, partial(_unget, self.name))

    def qsize(self) -> Any:
        """How many items lie in it. Blocks for one answer of the scheduler, or returns an awaitable."""
        return self._ask("queue_size", {"name": self.name})

    def close(self) -> Any:
        """Drop the queue with all its items; who waits for one of it gets `ClosedError`. It begins anew, empty, when it is used again.

        Blocks for one answer of the scheduler; in an asynchronous client the returned awaitable need not be awaited. Does nothing when the client is
        closed.
        """
        return self._let_go("queue_close")


def _batch(batch: bool | int) -> int | None:
    if batch is False:
        return None
    if batch is True:
        return -1
    wanted = whole_number(batch, "a batch that is not True or False")
    if wanted < 1:
        raise ValueError(f"batch is a number of items, at least 1, not {batch}")
    return wanted


def _one(client: Client, answer: Delivered) -> Any:
    return unpacked(client, answer)[0]


def _unget(name: str, client: Client, answer: Delivered) -> None:
    """On the loop: these were taken for somebody who does not wait any more."""
    if answer.value:
        tell(client, "queue_unget", {"name": name, "values": answer.value, "holds": [record.key for record in answer.records]})
    let_go(client, answer.records)
