"""Who looks at what of the cluster, and when each is told: the op `watch`, and the turns of the sources.

A client says with `watch` which topics it wants to hear of, whole, in place of what it said before ({} is nothing). It hears the first snapshot of
each at once, and then, whenever there is something new and the topic's turn has come, a notice on `pane:<topic>`. What a topic tells is in
`wire.panes`, and made by a source of its own (how one is written stands in `source`). Those who look at the same topic with the same options get the
same snapshot, made once.

Nobody may be slowed down by being looked at. While nobody watches, nothing here is called. While somebody does, a turn is taken only in a tick of its
own, never while other mail is handled (but for the first, which follows the wish); the time that turns take is measured by the shell's clock, what
sending takes is added, and after a turn all rest for twenty times as long (small ones may follow each other up to `BURST_S`). The one that has waited
longest goes next: what all viewers see together costs at most a twentieth of the scheduler's time, and what is dear is shown less often. A viewer
that does not keep up with reading (`is_behind`), or is away, is told nothing meanwhile, and begins anew when it does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.panes.cells import Cells
from jupyterfut.core.scheduler.panes.clocks import Clocks
from jupyterfut.core.scheduler.panes.events import Events
from jupyterfut.core.scheduler.panes.graph import Graph
from jupyterfut.core.scheduler.panes.load import Load
from jupyterfut.core.scheduler.panes.profile import Profile
from jupyterfut.core.scheduler.panes.progress import Progress
from jupyterfut.core.scheduler.panes.source import Options, Snapshot, Source, StateSource
from jupyterfut.core.scheduler.panes.stream import TaskStream
from jupyterfut.core.scheduler.panes.summary import Summary
from jupyterfut.core.scheduler.panes.timings import Timings
from jupyterfut.core.scheduler.panes.workers import Workers
from jupyterfut.core.scheduler.query import BadRequest
from jupyterfut.core.scheduler.state import ClientState, WorkerState
from jupyterfut.wire.messages import Notices
from jupyterfut.wire.panes import TOPIC_PREFIX

if TYPE_CHECKING:
    from jupyterfut.core.scheduler.machine import SchedulerMachine

SOURCES: Final[tuple[type[Source], ...]] = (Summary, Progress, Timings, Workers, Load, Graph, Profile, TaskStream, Events, Cells)

REST: Final = 20.0
"""After a turn its time is rested so many times."""

SENDING: Final = 0.3
"""To pack and send a snapshot takes such a share of the time that it took to make it, for each viewer (measured: 0.1 to 0.3)."""

BURST_S: Final = 0.02
"""So much rest may be owed before the next turn has to wait: turns of a millisecond together make one tick."""


class Measures(NamedTuple):
    """What only the shell can measure: of the scheduler's process and its loop."""

    cpu_s: float = 0.0  #: processor time so far
    memory_bytes: int = 0
    lag_s: float = 0.0  #: how late the loop was lately
    received: int = 0  #: messages so far
    sent: int = 0


class Audience:
    """Those who look at one topic with the same options. `members`: whether each has had a first snapshot."""

    __slots__ = ("last", "members", "options")

    def __init__(self, options: Options) -> None:
        self.options = options
        self.members: dict[ClientState, bool] = {}
        self.last: Snapshot | None = None  # of a StateSource: what was told in the last turn that told something


class Watched:
    """A topic that somebody looks at."""

    __slots__ = ("audiences", "due", "source")

    def __init__(self, source: Source, now: float) -> None:
        self.source = source
        self.audiences: list[Audience] = []
        self.due = now  # its next turn is not before

    def has(self, client: ClientState) -> bool:
        """Whether the client looks."""
        return any(client in audience.members for audience in self.audiences)


class Watching:
    """All viewers' wishes. `due`: when a Tick is wanted; None while nobody watches."""

    def __init__(self, machine: SchedulerMachine) -> None:
        self._machine = machine
        self._state = machine.state
        self.sources: dict[str, Source] = {source.topic: source(machine) for source in SOURCES}
        self.watched: dict[str, Watched] = {}
        self.clocks = Clocks()  #: of the workers: each heartbeat tells, also while nobody looks
        self.due: float | None = None
        self.spent_s = 0.0  #: in turns, so far
        self._free_at = 0.0  # when the rest after the turns so far is over
        # What the shell knows better; what stands here is for machines without one.
        self.clock: Callable[[], float] = lambda: 0.0  #: the time that turns take, in seconds
        self.measure: Callable[[], Measures] = Measures
        self.can_scale: Callable[[], bool] = lambda: False  #: whether `cluster_scale` and `cluster_adapt` are answered
        self.listen: Callable[[bool], None] = lambda wanted: None  #: from now on say log lines of this process to the source of "events", or not
        self.is_behind: Callable[[ClientState], bool] = lambda client: False  #: whether more has been said to it than it has read lately
        self.ops: dict[str, Callable[[ClientState, dict[str, Any]], Any]] = {"watch": self.watch}

    # --- who looks

    def watch(self, client: ClientState, args: dict[str, Any]) -> None:
        """From now on the client hears of these topics, and of nothing else: `topics` is {topic: {option: value}}. What it has watched already, with
        the same options, goes on; the others begin. Raises BadRequest, and changes nothing, where a topic or an option is not known."""
        topics = args["topics"]
        if type(topics) is not dict:
            raise BadRequest("topics must be a dict of topics and their options")
        wishes: dict[str, Options] = {}
        for topic, given in topics.items():
            source = self.sources.get(topic)
            if source is None:
                raise BadRequest(f"there is no topic {topic!r} to watch; there are {', '.join(self.sources)}")
            if type(given) is not dict:
                raise BadRequest(f"the options of {topic!r} must be a dict")
            wishes[topic] = source.options(given)
        for topic in list(self.watched):
            if topic not in wishes:
                self._leave(topic, client)
        for topic, options in wishes.items():
            self._join(topic, options, client)
        self._machine.observing.look(self.watched)
        self._plan()  # and the machine lets those begin that can: a source that fails is no fault of the wish

    def client_left(self, client: ClientState) -> None:
        """It looks at nothing any more."""
        for topic in list(self.watched):
            self._leave(topic, client)
        self._machine.observing.look(self.watched)
        self._plan()

    def watches(self, topic: str) -> bool:
        """Whether somebody looks."""
        return topic in self.watched

    def _join(self, topic: str, options: Options, client: ClientState) -> None:
        watched = self.watched.get(topic)
        begins = watched is None
        if watched is None:
            watched = self.watched[topic] = Watched(self.sources[topic], self._state.now)
        mine: Audience | None = None
        for audience in list(watched.audiences):
            if audience.options == options:
                mine = audience
            elif audience.members.pop(client, None) is not None and not audience.members:
                watched.audiences.remove(audience)
        if mine is None:
            mine = Audience(options)
            watched.audiences.append(mine)
        mine.members.setdefault(client, False)
        if begins:
            watched.source.begin()

    def _leave(self, topic: str, client: ClientState) -> None:
        watched = self.watched[topic]
        for audience in list(watched.audiences):
            if audience.members.pop(client, None) is not None and not audience.members:
                watched.audiences.remove(audience)
        if not watched.audiences:
            del self.watched[topic]
            watched.source.end()

    # --- turns

    def advance(self) -> None:
        """Take the turns that are due. Called in a tick, and when somebody begins to look."""
        now = self._state.now
        for watched in sorted(self.watched.values(), key=lambda watched: watched.due):
            if self._free_at > now + BURST_S:
                break
            regular = watched.due <= now
            if regular or any(False in audience.members.values() for audience in watched.audiences):
                began = self.clock()
                sent = self._turn(watched, regular)
                took_s = self.clock() - began
                self.spent_s += took_s
                self._free_at = max(self._free_at, now) + REST * took_s * (1 + SENDING * sent)
        self._plan()

    def _plan(self) -> None:
        at = min((watched.due for watched in self.watched.values()), default=None)
        self.due = None if at is None else max(at, self._free_at - BURST_S)

    def _turn(self, watched: Watched, regular: bool) -> int:
        """Collect, tell everybody, and say how many messages that was."""
        source = watched.source
        sent = 0
        if regular:
            watched.due = max(watched.due + source.interval_s, self._state.now + source.interval_s / 2)  # a tick comes late, and the next may not
            source.collect()
        for audience in watched.audiences:
            settled, begin = self._ready(audience)
            if isinstance(source, StateSource):
                if begin or (settled and regular):
                    snapshot = source.snapshot(audience.options)
                    if regular and (audience.last is None or source.differs(snapshot, audience.last)):
                        audience.last = snapshot
                        begin = [*settled, *begin]
                    sent += self._tell(begin, source.topic, snapshot)
            else:
                news = source.news(audience.options) if regular and settled else None
                if news is not None:
                    sent += self._tell(settled, source.topic, news)
                if begin:
                    sent += self._tell(begin, source.topic, source.whole(audience.options))
            for client in begin:
                audience.members[client] = True
        return sent

    def _ready(self, audience: Audience) -> tuple[list[ClientState], list[ClientState]]:
        """Who has had a first snapshot, and who is to get one. Who cannot hear now will begin anew."""
        settled: list[ClientState] = []
        begin: list[ClientState] = []
        for client, told in audience.members.items():
            if client.away_until is not None or self.is_behind(client):
                audience.members[client] = False
            else:
                (settled if told else begin).append(client)
        return settled, begin

    def _tell(self, clients: list[ClientState], topic: str, snapshot: Snapshot) -> int:
        for client in clients:
            post.append(self._state, client.outbox, Notices([TOPIC_PREFIX + topic], [snapshot]))
        return len(clients)

    # --- workers

    def worker_came(self, worker: WorkerState) -> None:
        """It is here, and has not been given anything yet."""
        for watched in self.watched.values():
            watched.source.worker_came(worker)

    def worker_left(self, worker: WorkerState) -> None:
        """It is gone."""
        self.clocks.forget(worker)
        for watched in self.watched.values():
            watched.source.worker_left(worker)

    def logged(self, at: float, level: int, logger: str, text: str) -> None:
        """A log line of the scheduler's process, written `at` (seconds since 1970)."""
        events = self.sources["events"]
        assert isinstance(events, Events)
        events.logged(at, level, logger, text)

    def heard(self, worker: WorkerState, topic: str, value: Any) -> None:
        """A worker has notified something on `pane:<topic>`."""
        source = self.sources.get(topic.removeprefix(TOPIC_PREFIX))
        if source is not None:
            source.heard(worker, value)
