"""Where is it now? What becomes of the few tasks that somebody looks at, told as it happens.

A client follows keys for as long as it shows them. It is told where each stands, and again whenever that changes, by notices on the topic "follow".
The journal says what has changed, so that tasks nobody follows cost nothing, and with no follower nothing is read. That a task was sent to a worker
is known here; when it has started only the worker knows, and whoever follows asks it (`client.following`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from jupyterfut.core.journal import JournalReader
from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.query import BadRequest
from jupyterfut.core.scheduler.state import ERRED, MEMORY, PROCESSING, QUEUED, RELEASED, WAITING, ClientState, State
from jupyterfut.ids import Key
from jupyterfut.wire.messages import Notices

TOPIC: Final = "follow"

KEYS_LIMIT: Final = 10_000
"""So many keys one client may follow; what shows more is an overview, and has no use for each."""

_SHOWN: Final = {RELEASED: "released", WAITING: "waiting", QUEUED: "queued", PROCESSING: "assigned", MEMORY: "finished", ERRED: "error"}

Place = tuple[str, str, str, int]
"""(state, worker's name, its address, attempt); the worker of a task that was assigned, else ""."""

UNKNOWN: Final[Place] = ("unknown", "", "", 0)


class Following:
    """Who looks at which tasks."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.followers: dict[Key, dict[ClientState, Place]] = {}  #: with what each was told last
        self.by_client: dict[ClientState, dict[Key, None]] = {}
        self.ops: dict[str, Callable[[ClientState, dict[str, Any]], Any]] = {"follow": self.follow, "unfollow": self.unfollow}
        self._reader: JournalReader | None = None

    def follow(self, client: ClientState, args: dict[str, Any]) -> None:
        """The client hears of these keys from now on, first of all where they stand."""
        keys = _keys(args)
        own = self.by_client.setdefault(client, {})
        if len(own) + len(keys) > KEYS_LIMIT:
            raise BadRequest(f"a client may follow {KEYS_LIMIT:,} keys at a time")
        if self._reader is None:
            self._reader = JournalReader(self.state.journal)
        for key in keys:
            own[key] = None
            self._tell(client, key, self.followers.setdefault(key, {}), self.place(key), again=True)

    def unfollow(self, client: ClientState, args: dict[str, Any]) -> None:
        """The client does not look at these any more."""
        own = self.by_client.get(client, {})
        for key in _keys(args):
            if key in own:
                del own[key]
                self._forget(client, key)
        if not own:
            self.client_left(client)

    def client_left(self, client: ClientState) -> None:
        """It looks at nothing any more."""
        for key in self.by_client.pop(client, {}):
            self._forget(client, key)

    def advance(self) -> None:
        """Tell what has changed while one event was handled."""
        if self._reader is None:
            return
        for key in self._reader.touched(self.followers):
            place = self.place(Key(key))
            told = self.followers[Key(key)]
            for client in list(told):
                self._tell(client, Key(key), told, place)
        if not self.followers:
            self._reader = None

    def place(self, key: Key) -> Place:
        """Where the task stands."""
        task = self.state.tasks.get(key)
        if task is None:
            return UNKNOWN
        worker = task.worker if task.state == PROCESSING else None
        if worker is not None:
            return ("assigned", worker.name, worker.address, int(task.attempt))
        return (_SHOWN.get(task.state, "unknown"), task.who_has[0].name if task.who_has else "", "", 0)

    def _tell(self, client: ClientState, key: Key, told: dict[ClientState, Place], place: Place, *, again: bool = False) -> None:
        if again or told.get(client) != place:
            told[client] = place
            post.append(self.state, client.outbox, Notices([TOPIC], [[key, *place]]))

    def _forget(self, client: ClientState, key: Key) -> None:
        told = self.followers.get(key)
        if told is not None:
            told.pop(client, None)
            if not told:
                del self.followers[key]


def _keys(args: dict[str, Any]) -> list[Key]:
    keys = args["keys"]
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise BadRequest("keys must be a list of strings")
    return keys
