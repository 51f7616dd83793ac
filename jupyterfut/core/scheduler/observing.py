"""What clients want to hear of workers beyond results: records of some loggers, and which tasks ran when.

Each client says what it wants, whole, whenever that changes; workers are told what all want together (of each logger the lowest level), and so is a
worker that joins. Nothing is counted or kept here while tasks run: workers keep the rows, and whoever wants them asks them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.query import BadRequest
from jupyterfut.core.scheduler.state import ClientState, State
from jupyterfut.ids import Address
from jupyterfut.wire.messages import Observe


class Wish(NamedTuple):
    """What one client wants, or all together."""

    loggers: dict[str, int]  #: name ("" is the root) -> the lowest level
    tasks: bool  #: rows of finished tasks


NOTHING = Wish({}, False)


class Observing:
    """The wishes of all clients, and their sum."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.wishes: dict[ClientState, Wish] = {}
        self.told = NOTHING
        self.ops: dict[str, Callable[[ClientState, dict[str, Any]], Any]] = {"observe": self.observe}

    def observe(self, client: ClientState, args: dict[str, Any]) -> None:
        """From now on the client wants this, and nothing else."""
        loggers, tasks = args["loggers"], args["tasks"]
        if type(loggers) is not dict or not all(type(name) is str and type(level) is int for name, level in loggers.items()):
            raise BadRequest("loggers must be a dict of names and levels")
        wish = Wish(dict(loggers), bool(tasks))
        if wish == NOTHING:
            self.wishes.pop(client, None)
        else:
            self.wishes[client] = wish
        self._tell()

    def client_left(self, client: ClientState) -> None:
        """It wants nothing any more."""
        if self.wishes.pop(client, None) is not None:
            self._tell()

    def worker_came(self, address: Address) -> None:
        """It is told before its first task."""
        worker = self.state.workers.get(address)
        if worker is not None and self.told != NOTHING:
            post.append(self.state, worker.outbox, Observe(dict(self.told.loggers), self.told.tasks))

    def _tell(self) -> None:
        loggers: dict[str, int] = {}
        for wish in self.wishes.values():
            for name, level in wish.loggers.items():
                loggers[name] = min(level, loggers.get(name, level))
        together = Wish(loggers, any(wish.tasks for wish in self.wishes.values()))
        if together != self.told:
            self.told = together
            for worker in self.state.workers.values():
                post.append(self.state, worker.outbox, Observe(dict(loggers), together.tasks))
