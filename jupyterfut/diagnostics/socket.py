"""What a page and the server that shows it say to each other: JSON texts over a websocket, or over a notebook's comm.

    page -> server   {"type": "watch", "cluster": id, "topics": {topic: options}}     all that the page wants of this cluster from now on
                     {"type": "ask", "id": n, "cluster": id, "op": name, "args": {}}  one question (`ASKS`)
    server -> page   {"type": "clusters", "clusters": [ClusterInfo, ...]}             the whole list, at once and whenever it has changed
                     {"type": "snapshot", "cluster": id, "topic": name, "data": {}}   as in `wire.panes`
                     {"type": "answer", "id": n, "value": ...}                        or with "error": text instead of the value
                     {"type": "trouble", "cluster": id, "text": text}                 what is wrong with what is watched there; "" when it is over

Pages only look. What changes a cluster has other doors.

A `Page` is the server's side of one of them, whatever carries the texts. It sends the next text when the last one is gone, so a page that is slow, or
far away, decides how much it is told: of topics that tell how things are it gets the newest snapshot, lists of clusters come twice a second at most,
and of topics that tell what is new (those with `reset`), when too much has piled up, it gets a fresh beginning instead.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from jupyterfut.diagnostics.clusters import Clusters
from jupyterfut.diagnostics.viewer import OF_WORKERS, Viewer, ViewerState
from jupyterfut.errors import JupyterfutError

logger = logging.getLogger("jupyterfut.diagnostics")

ASKS = frozenset({"story", "why_pending", "call_stack", "worker_logs", "scheduler_logs", "identity", "processing", "who_has"})
"""What a page may ask. All of it only reads."""

LIST_S = 0.5
"""The list of clusters is sent so often at most."""
LINGER_S = 10.0
"""A cluster that a page looks at no more is left after so long: it may look again."""
ROWS_WAITING = 50_000
"""When so many new rows of one topic wait for a page, it gets a fresh beginning instead."""
MESSAGES_WAITING = 200
"""The same for messages."""
PART = 2_000
"""So many elements of a list are written at once: that takes a millisecond."""
ASKED_AT_ONCE = 20
"""Questions of one page that may be under way."""

Send = Callable[[str], Awaitable[object]]


class Page:
    """One page. `send(text)` returns when there is room for the next text; when it raises, the page is gone: it is told nothing more, and the host
    closes it. Made and used on one event loop: `open`, `hear` for each text that comes, `close`."""

    def __init__(self, clusters: Clusters, send: Send) -> None:
        self._clusters = clusters
        self._send = send
        self._looks: dict[str, _Look] = {}
        self._words: deque[dict[str, Any]] = deque()  # answers and troubles, in order
        self._list_due = False
        self._list_at = -math.inf  # when the list was sent last
        self._list_timer: asyncio.TimerHandle | None = None
        self._something = asyncio.Event()
        self._asking: set[asyncio.Task[None]] = set()
        self._stops: list[Callable[[], None]] = []
        self._talking: asyncio.Task[None] | None = None
        self._closed = False

    def open(self) -> None:
        """The page is there: it is told of the clusters. Never blocks."""
        if self._talking is None and not self._closed:
            self._loop = asyncio.get_running_loop()
            self._stops = [self._clusters.listen(self._list_changed), self._clusters.look()]
            self._list_due = True
            self._something.set()
            self._talking = self._loop.create_task(self._talk())

    async def close(self) -> None:
        """The page is gone, or is to go. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        for stop in self._stops:
            stop()
        if self._list_timer is not None:
            self._list_timer.cancel()
        jobs = [task for task in (self._talking, *self._asking) if task is not None]
        for task in jobs:
            task.cancel()
        looks = list(self._looks.values())
        self._looks.clear()
        await asyncio.gather(*jobs, *(look.close() for look in looks), return_exceptions=True)

    # --- what the page says

    def hear(self, text: str | bytes) -> None:
        """One text of the page. Never blocks, never raises: what makes no sense is answered with a trouble that says so."""
        if self._closed:
            return
        try:
            message = json.loads(text)
            match message:
                case {"type": "watch", "cluster": str(cluster), "topics": dict(topics)} if all(isinstance(one, dict) for one in topics.values()):
                    self._watch(cluster, topics)
                case {"type": "ask", "id": int(number), "cluster": str(cluster), "op": str(op), "args": dict(args)}:
                    self._ask(number, cluster, op, args)
                case _:
                    self._say({"type": "trouble", "cluster": "", "text": f"the server does not understand {str(text)[:200]}"})
        except (ValueError, RecursionError) as error:
            self._say({"type": "trouble", "cluster": "", "text": f"the server cannot read what the page says: {error}"})

    def _watch(self, cluster: str, topics: dict[str, dict[str, Any]]) -> None:
        look = self._looks.get(cluster)
        if look is None:
            if not topics:
                return
            look = self._looks[cluster] = _Look(self, cluster)
        look.watch(topics)

    def _ask(self, number: int, cluster: str, op: str, args: dict[str, Any]) -> None:
        error = ""
        if op not in ASKS:
            error = f"a page may not ask {op!r} (it may ask {', '.join(sorted(ASKS))})"
        elif len(self._asking) >= ASKED_AT_ONCE:
            error = f"{ASKED_AT_ONCE} questions are under way already"
        if error:
            self._say({"type": "answer", "id": number, "error": error})
            return
        task = self._loop.create_task(self._answer(number, cluster, op, args))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _answer(self, number: int, cluster: str, op: str, args: dict[str, Any]) -> None:
        try:
            value = await (self._clusters.ask_workers if op in OF_WORKERS else self._clusters.ask)(cluster, op, args)
        except (JupyterfutError, OSError) as error:
            self._say({"type": "answer", "id": number, "error": str(error)})
        else:
            self._say({"type": "answer", "id": number, "value": value})

    # --- what it is told

    def _say(self, message: dict[str, Any]) -> None:
        self._words.append(message)
        self._something.set()

    def _list_changed(self) -> None:
        for look in list(self._looks.values()):
            look.cluster_changed()
        if self._list_due or self._list_timer is not None:
            return
        self._list_timer = self._loop.call_at(max(self._loop.time(), self._list_at + LIST_S), self._list_is_due)

    def _list_is_due(self) -> None:
        self._list_timer = None
        self._list_due = True
        self._something.set()

    async def _talk(self) -> None:
        """Send what there is to say, one text after the other."""
        while True:
            await self._something.wait()
            self._something.clear()
            while (message := self._next()) is not None:
                try:
                    await self._send(await written(message))
                except Exception as error:  # noqa: BLE001  # however its host says that the page is gone
                    logger.debug("a page is gone: %s", error)
                    return
            for look in self._looks.values():
                look.caught_up()

    def _next(self) -> dict[str, Any] | None:
        if self._words:
            return self._words.popleft()
        if self._list_due:
            self._list_due = False
            self._list_at = self._loop.time()
            return {"type": "clusters", "clusters": self._clusters.infos()}
        for cluster, look in list(self._looks.items()):
            found = look.next()
            if found is not None:
                self._looks[cluster] = self._looks.pop(cluster)  # the others come first next time
                return {"type": "snapshot", "cluster": cluster, "topic": found[0], "data": found[1]}
        return None


class _Look:
    """What one page sees of one cluster."""

    def __init__(self, page: Page, cluster: str) -> None:
        self._page = page
        self._cluster = cluster
        self._topics: dict[str, dict[str, Any]] = {}
        self._viewer: Viewer | None = None
        self._trouble = ""
        self._states: dict[str, dict[str, Any]] = {}  # the newest snapshot of each, not yet sent
        self._news: dict[str, deque[dict[str, Any]]] = {}  # increments not yet sent
        self._rows: dict[str, int] = {}  # in `_news`
        self._shed: set[str] = set()  # topics of which too much has piled up: to begin again when the page has caught up
        self._fresh: set[str] = set()  # topics of increments whose beginning has not come yet
        self._lingering: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def watch(self, topics: dict[str, dict[str, Any]]) -> None:
        """The page's whole wish."""
        changed = {topic for topic in self._topics.keys() | topics.keys() if self._topics.get(topic) != topics.get(topic)}
        self._topics = topics
        for topic in changed:
            self._states.pop(topic, None)
            self._drop_news(topic)
            self._shed.discard(topic)
            self._fresh.add(topic)
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        if topics:
            self._open()
        else:
            self._lingering = asyncio.get_running_loop().call_later(LINGER_S, self._leave)
            self._tell_trouble("")
        if self._viewer is not None:
            self._viewer.watch(topics)

    def cluster_changed(self) -> None:
        """The list of clusters has changed: this one may have come or gone."""
        if self._viewer is None and self._topics and self._cluster in self._page._clusters:
            self._open()
            if self._viewer is not None:
                self._viewer.watch(self._topics)
        elif self._cluster not in self._page._clusters:
            self._leave()
            if self._topics:
                self._tell_trouble("the cluster has ended")

    def _open(self) -> None:
        if self._viewer is not None:
            return
        try:
            self._viewer = self._page._clusters.viewer(self._cluster, self._told, self._state_changed)
        except JupyterfutError as error:
            self._tell_trouble(str(error))
            return
        self._tell_trouble("")
        self._viewer.start()

    def _leave(self) -> None:
        """Nobody looks any more, or there is nothing to look at."""
        self._lingering = None
        viewer, self._viewer = self._viewer, None
        if viewer is not None:
            task = asyncio.get_running_loop().create_task(viewer.close())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """The page is gone."""
        if self._lingering is not None:
            self._lingering.cancel()
        self._leave()
        await asyncio.gather(*self._ending)

    # --- what comes from the scheduler

    def _state_changed(self, state: ViewerState, text: str) -> None:
        if self._topics:
            self._tell_trouble(text)

    def _tell_trouble(self, text: str) -> None:
        if text != self._trouble:
            self._trouble = text
            self._page._say({"type": "trouble", "cluster": self._cluster, "text": text})

    def _told(self, topic: str, data: dict[str, Any]) -> None:
        if topic not in self._topics or topic in self._shed:
            return
        if "reset" not in data:
            self._states[topic] = data
        elif data["reset"]:
            self._drop_news(topic)
            self._fresh.discard(topic)
            self._news[topic] = deque([data])
            self._rows[topic] = 0  # a beginning is bounded by who tells it
        elif topic in self._fresh:
            return  # it follows something that the page was not told
        else:
            waiting = self._news.setdefault(topic, deque())
            self._rows[topic] = self._rows.get(topic, 0) + rows_in(data)
            waiting.append(data)
            if self._rows[topic] > ROWS_WAITING or len(waiting) > MESSAGES_WAITING:
                self._drop_news(topic)
                self._shed.add(topic)
        self._page._something.set()

    def _drop_news(self, topic: str) -> None:
        self._news.pop(topic, None)
        self._rows.pop(topic, None)

    def next(self) -> tuple[str, dict[str, Any]] | None:
        """What is to be sent next: (topic, snapshot)."""
        for topic in self._states:
            return topic, self._states.pop(topic)
        for topic, waiting in self._news.items():
            data = waiting.popleft()
            self._rows[topic] -= rows_in(data) if not data["reset"] else 0
            if not waiting:
                self._drop_news(topic)
            return topic, data
        return None

    def caught_up(self) -> None:
        """The page has taken all that there was."""
        if self._shed and self._viewer is not None:
            again = list(self._shed)
            self._fresh |= self._shed
            self._shed.clear()
            self._viewer.begin_again(*again)


def rows_in(data: dict[str, Any]) -> int:
    """How many rows a snapshot tells: the length of its longest list.

    >>> rows_in({"reset": False, "at": [1.0, 2.0], "cpu": [0.5, 0.5]})
    2
    """
    return max((len(value) for value in data.values() if isinstance(value, list)), default=0)


async def written(message: dict[str, Any]) -> str:
    """The text of a message. A long one, such as a task stream's beginning, is written in parts, between which others have their turn: the event loop
    may be a scheduler's."""
    data = message.get("data")
    if not isinstance(data, dict) or rows_in(data) <= PART:
        return to_json(message)
    fields: list[str] = []
    for name, value in data.items():
        if isinstance(value, list) and len(value) > PART:
            parts = []
            for start in range(0, len(value), PART):
                parts.append(to_json(value[start : start + PART])[1:-1])
                await asyncio.sleep(0)
            fields.append(f"{to_json(name)}:[{','.join(parts)}]")
        else:
            fields.append(f"{to_json(name)}:{to_json(value)}")
    head = to_json({name: value for name, value in message.items() if name != "data"})
    return f'{head[:-1]},"data":{{{",".join(fields)}}}}}'


def to_json(message: Any) -> str:
    """A text that any browser can read: what JSON has no words for (not a number, infinite) is null.

    >>> to_json({"cpu": [0.5, math.nan]})
    '{"cpu":[0.5,null]}'
    """
    try:
        return json.dumps(message, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=str)
    except ValueError:
        return json.dumps(_readable(message), separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=str)


def _readable(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _readable(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_readable(one) for one in value]
    return value
