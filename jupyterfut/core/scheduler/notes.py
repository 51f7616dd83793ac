"""Small things that people leave with the scheduler: metadata under a path of names, and events by topic.

Metadata are plain values in one tree of dicts. Events come in as notices (`Notify` on the topic `event:<topic>`, from clients and from workers), are
stamped with the scheduler's time, kept in a ring a topic, and passed on to whoever has subscribed. What is printed or warned in tasks is an event
too. Both ends agree on an event's form (`serde.notes`): `[nbytes, form, data]`, which is never opened here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from jupyterfut.core.effects import Effect, Log
from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.query import BadRequest
from jupyterfut.core.scheduler.state import ClientState, State, WorkerState
from jupyterfut.ids import Key

EVENT = "event:"
"""Notices on topics that begin so are events; the rest is the topic's name for users."""

TOPICS_KEPT = 1_000
"""Beyond this number of topics, the one that has been silent for longest is forgotten."""


class Ring:
    """The newest events of one topic, within a number and a sum of bytes: `[seconds since 1970, form, data]` each."""

    __slots__ = ("_sizes", "events", "nbytes")

    def __init__(self) -> None:
        self.events: deque[list[Any]] = deque()
        self._sizes: deque[int] = deque()
        self.nbytes = 0

    def add(self, event: list[Any], nbytes: int, length: int, nbytes_limit: int) -> None:
        """Keep one more; the oldest go. The newest stays, however large it is."""
        self.events.append(event)
        self._sizes.append(nbytes)
        self.nbytes += nbytes
        while len(self.events) > max(1, length) or (self.nbytes > nbytes_limit and len(self.events) > 1):
            self.events.popleft()
            self.nbytes -= self._sizes.popleft()


class Notes:
    """Metadata and events."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.metadata: dict[str, Any] = {}
        self.rings: dict[str, Ring] = {}  # the topic that was silent for longest first
        self.ops: dict[str, Callable[[ClientState, dict[str, Any]], Any]] = {
            "set_metadata": self.set_metadata,
            "get_metadata": self.get_metadata,
            "get_events": self.get_events,
        }

    # --- metadata

    def set_metadata(self, client: ClientState, args: dict[str, Any]) -> None:
        """Put a value at a path; dicts on the way are made as needed, and whatever else stands there is replaced."""
        *way, last = _path(args)
        place = self.metadata
        for name in way:
            inner = place.get(name)
            if type(inner) is not dict:
                inner = place[name] = {}
            place = inner
        place[last] = _copy(args["value"])

    def get_metadata(self, client: ClientState, args: dict[str, Any]) -> list[Any]:
        """[True, the value at the path], or [False, why there is none]. The empty path is everything."""
        value: Any = self.metadata
        seen: list[str] = []
        for name in _path(args, may_be_empty=True):
            if type(value) is not dict:
                return [False, f"no metadata {name!r} inside {_written(seen)}, which is no dict but {type(value).__name__}"]
            if name not in value:
                where = f" inside {_written(seen)}" if seen else ""
                return [False, f"no metadata {name!r}{where} (there are: {_names(value)})"]
            value = value[name]
            seen.append(name)
        return [True, _copy(value)]

    # --- events

    def notify(self, sender: ClientState | WorkerState, topic: str, value: Any, effects: list[Effect]) -> None:
        """Pass a notice on to those who have subscribed. An event is stamped and kept first."""
        if not topic.startswith(EVENT):
            post.notice(self.state, topic, self._with_client(sender, value))
            return
        if type(value) is not list or len(value) != 3 or type(value[0]) is not int:
            effects.append(Log("error", f"{sender} sent a malformed event on {topic!r}: dropped"))
            return
        state = self.state
        nbytes, form, data = value
        data = self._with_client(sender, data)
        event = [state.now + state.epoch_s, form, data]
        ring = self.rings.pop(topic, None) or Ring()
        self.rings[topic] = ring
        ring.add(event, nbytes, state.config.events_kept, state.config.events_bytes_limit)
        if len(self.rings) > TOPICS_KEPT:
            del self.rings[next(iter(self.rings))]
        post.notice(state, topic, event)

    def _with_client(self, sender: ClientState | WorkerState, said: Any) -> Any:
        """What a task says knows its key; for whom it runs is known here."""
        if type(said) is dict and type(sender) is WorkerState and said.get("client", "") is None:
            return {**said, "client": self.client_of(said.get("key"))}
        return said

    def client_of(self, key: Any) -> str:
        """Who wants the task that says something: a client outside of tasks if there is one, else one inside; "" if nobody wants it directly."""
        task = self.state.tasks.get(Key(key)) if type(key) is str else None
        if task is None or not task.wanted_by:
            return ""
        return str(next((client for client in task.wanted_by if client.worker is None), task.wanted_by[0]).id)

    def get_events(self, client: ClientState, args: dict[str, Any]) -> Any:
        """The events of a topic, oldest first; with None those of all topics, by topic."""
        topic = args["topic"]
        if topic is None:
            return {name[len(EVENT) :]: list(ring.events) for name, ring in self.rings.items()}
        ring = self.rings.get(f"{EVENT}{topic}")
        return [] if ring is None else list(ring.events)


def _path(args: dict[str, Any], *, may_be_empty: bool = False) -> list[str]:
    path = args["path"]
    if type(path) is not list or not all(type(name) is str for name in path):
        raise BadRequest("a path of metadata is a list of strings", "TypeError")
    if not path and not may_be_empty:
        raise BadRequest("metadata needs a name: the path is empty")
    return path


def _copy(value: Any) -> Any:
    """Plain values of its own: in an in-process cluster the caller's dict would be ours otherwise."""
    if type(value) is dict:
        return {name: _copy(one) for name, one in value.items()}
    if type(value) is list:
        return [_copy(one) for one in value]
    return value


def _written(path: list[str]) -> str:
    return "".join(f"[{name!r}]" for name in path)


def _names(tree: dict[str, Any], limit: int = 20) -> str:
    names = sorted(map(str, tree))
    return ", ".join(map(repr, names[:limit])) + (f" and {len(names) - limit} more" if len(names) > limit else "") if names else "none"
