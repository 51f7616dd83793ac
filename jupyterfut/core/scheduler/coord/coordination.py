"""All primitives together, as the machine sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from jupyterfut.core.scheduler.coord.datasets import Datasets
from jupyterfut.core.scheduler.coord.events import Events
from jupyterfut.core.scheduler.coord.multilocks import MultiLocks
from jupyterfut.core.scheduler.coord.pubsub import PubSub
from jupyterfut.core.scheduler.coord.queues import Queues
from jupyterfut.core.scheduler.coord.semaphores import Locks, Semaphores
from jupyterfut.core.scheduler.coord.values import Values
from jupyterfut.core.scheduler.coord.variables import Variables
from jupyterfut.core.scheduler.state import ClientState, State, TaskState
from jupyterfut.core.scheduler.transitions import Transitions


class Coordination:
    """`ops` and `late_ops` go into `query`; `taken` and `forget_client` are told by the machine and by `members`."""

    def __init__(self, state: State, transitions: Transitions) -> None:
        self.values = Values(state, transitions)
        self.queues = Queues(state, self.values)
        self.variables = Variables(state, self.values)
        self.datasets = Datasets(self.values)
        self.semaphores = Semaphores(state)
        self.locks = Locks(state)
        self.events = Events(state)
        self.multilocks = MultiLocks(state)
        self.pubsub = PubSub(state)
        self._parts = (self.queues, self.variables, self.datasets, self.semaphores, self.locks, self.events, self.multilocks, self.pubsub)
        self.ops: dict[str, Callable[[ClientState, dict[str, Any]], Any]] = {}
        self.late_ops: dict[str, Callable[[ClientState, int, dict[str, Any]], None]] = {}
        for part in self._parts:
            self.ops.update(part.ops)
            self.late_ops.update(part.late_ops)

    def taken(self, client: ClientState, numbers: list[int]) -> None:
        """The client has received these deliveries."""
        self.values.taken(client, numbers)

    def forget_client(self, client: ClientState) -> None:
        """The client is gone, and waits for nothing any more (`parking` has seen to that): what it held goes on."""
        self.values.forget_client(client)
        self.queues.forget_client()
        self.semaphores.forget_client(client)
        self.locks.forget_client(client)
        self.multilocks.forget_client(client)
        self.pubsub.forget_client(client)

    # --- for invariants

    def held(self) -> Iterator[TaskState]:
        """Each task as often as it is held here."""
        yield from self.values.held()
        yield from self.queues.held()
        yield from self.variables.held()
        yield from self.datasets.held()

    def wrong(self) -> list[str]:
        """What contradicts itself: should be []."""
        return [line for part in self._parts for line in part.wrong()]

    def left(self) -> list[str]:
        """What is there: [] when nobody uses anything."""
        return self.values.left() + [line for part in self._parts for line in part.left()]
