"""What is wanted of workers beyond results: records of some loggers, which tasks ran when, and what the dashboard shows.

Each client says what it wants, whole, whenever that changes; workers are told what all want together (of each logger the lowest level), and so is a
worker that joins. What viewers of the dashboard look at is added to that (`look`): workers then tell by themselves, so often that the scheduler hears
about as much from a thousand of them as from a few. Nothing is counted or kept here while tasks run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple

from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.query import BadRequest
from jupyterfut.core.scheduler.state import ClientState, State
from jupyterfut.ids import Address
from jupyterfut.wire.messages import Observe

MESSAGES_A_SECOND: Final = 200
"""So many messages of one kind a second the scheduler wants to hear of all workers together, while somebody looks."""

ROWS_A_SECOND: Final = 2_000
"""And so many rows of what ran, where calls are short and many."""

LOG_LEVEL: Final = 20
"""Log lines that are shown, from this level on (INFO)."""


class Wish(NamedTuple):
    """What one client wants."""

    loggers: dict[str, int]  #: name ("" is the root) -> the lowest level
    tasks: bool  #: rows of finished tasks


NOTHING = Observe({}, False)


class Observing:
    """The wishes of all clients, what viewers look at, and the sum."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.wishes: dict[ClientState, Wish] = {}
        self.topics: frozenset[str] = frozenset()  #: of the dashboard, that somebody looks at
        self.told = NOTHING
        self.ops: dict[str, Callable[[ClientState, dict[str, Any]], Any]] = {"observe": self.observe}

    def observe(self, client: ClientState, args: dict[str, Any]) -> None:
        """From now on the client wants this, and nothing else."""
        loggers, tasks = args["loggers"], args["tasks"]
        if type(loggers) is not dict or not all(type(name) is str and type(level) is int for name, level in loggers.items()):
            raise BadRequest("loggers must be a dict of names and levels")
        wish = Wish(dict(loggers), bool(tasks))
        if wish == Wish({}, False):
            self.wishes.pop(client, None)
        else:
            self.wishes[client] = wish
        self._tell()

    def look(self, topics: Collection[str]) -> None:
        """From now on somebody looks at these topics of the dashboard, and at nothing else."""
        if self.topics != (now := frozenset(topics)):
            self.topics = now
            self._tell()

    def client_left(self, client: ClientState) -> None:
        """It wants nothing any more."""
        if self.wishes.pop(client, None) is not None:
            self._tell()

    def worker_came(self, address: Address) -> None:
        """It is told before its first task. The others may have to tell less often now."""
        self._tell()
        worker = self.state.workers.get(address)
        if worker is not None and self.told != NOTHING and not any(type(message) is Observe for message in worker.outbox.messages):
            post.append(self.state, worker.outbox, self._copy())

    def worker_left(self) -> None:
        """Those who stay may tell more often."""
        if self.topics:
            self._tell()

    def _tell(self) -> None:
        loggers: dict[str, float] = {}
        for wish in self.wishes.values():
            for name, level in wish.loggers.items():
                loggers[name] = min(level, loggers.get(name, level))
        together = Observe(loggers, any(wish.tasks for wish in self.wishes.values()), *self._shown())
        if together != self.told:
            self.told = together
            for worker in self.state.workers.values():
                post.append(self.state, worker.outbox, self._copy())

    def _copy(self) -> Observe:
        return self.told._replace(loggers=dict(self.told.loggers))

    def _shown(self) -> tuple[float, float, float, int, float]:
        """The rest of `Observe`. Numbers of workers and threads count as the next power of two, so that not every newcomer changes it for all."""
        topics = self.topics
        if not topics:
            return 0.0, 0.0, 0.0, 0, 0.0
        workers = 1 << max(len(self.state.workers) - 1, 0).bit_length()
        threads = 1 << max(sum(worker.nthreads for worker in self.state.workers.values()) - 1, 0).bit_length()
        stream_s = min(2.0, max(0.1, workers / MESSAGES_A_SECOND)) if "task-stream" in topics else 0.0
        grain_s = min(1.0, max(0.005, threads / ROWS_A_SECOND)) if "task-stream" in topics else 0.0
        profile_s = min(5.0, max(1.0, workers / MESSAGES_A_SECOND)) if "profile" in topics else 0.0
        beat_s = max(0.25 if "workers" in topics else 1.0, workers / MESSAGES_A_SECOND)
        return stream_s, grain_s, profile_s, LOG_LEVEL if "events" in topics else 0, beat_s
