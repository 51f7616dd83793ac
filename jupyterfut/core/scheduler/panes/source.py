"""What a topic of the dashboard is made of: one source a topic, told by `watching` when to take its turns.

How to write one. Subclass `StateSource` where a snapshot says how things stand now, `Source` where each message brings what is new since the last one
(a `reset` begins anew), name the topic and how often it may be told, and add the class to `watching.SOURCES`.

    class Pids(StateSource):
        topic = "pids"                                  # one of wire.panes.SNAPSHOTS
        interval_s = 0.5                                # the shortest time between two turns

        def snapshot(self, options):                    # called once a turn for all who look with the same options
            return {"at": self.now(), "pid": [worker.pid for worker in self.state.workers.values()]}

A source costs nothing while nobody watches: it keeps no accounts of its own on the roads of tasks, it reads what the machine has. What must be
collected while somebody looks is begun in `begin` and ended in `end`; both are called once, for the first who looks and after the last. A source that
lets workers send rows asks them in `begin` and `worker_came`, and gets what they notify on the topic `pane:<topic>` in `heard`, at any time; it keeps
them and says them in its turn.

The order of one turn of a `Source`: `collect()` (close what came since the last turn), then, for each set of options, `news(options)` for those
who have had a first message (None: there is nothing to tell), and `whole(options)`, with `reset` true, for those who have just come or were too slow.
Between turns `whole` alone may be called for newcomers: it then tells what the turns so far have collected, so that `news` goes on from there. How
long a turn takes is measured, and all sources together rest twenty times as long.

A source reads the machine and changes nothing in it. Snapshots go to several viewers, perhaps in this process: they are made anew, and never changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from jupyterfut.core.scheduler.query import BadRequest

if TYPE_CHECKING:
    from jupyterfut.core.scheduler.machine import SchedulerMachine
    from jupyterfut.core.scheduler.state import WorkerState

Options = dict[str, Any]
Snapshot = dict[str, Any]


class Source:
    """What is told on one topic, in increments."""

    topic: ClassVar[str]
    interval_s: ClassVar[float] = 0.1

    def __init__(self, machine: SchedulerMachine) -> None:
        self.machine = machine
        self.state = machine.state

    def now(self) -> float:
        """Seconds since 1970."""
        return self.state.now + self.state.epoch_s

    def options(self, given: Options) -> Options:
        """What a viewer asks for, checked and complete, so that equal wishes are equal. Raises BadRequest; as a rule there are no options."""
        if given:
            raise BadRequest(f"the topic {self.topic!r} has no option {next(iter(given))!r}")
        return {}

    def begin(self) -> None:
        """Somebody looks."""

    def end(self) -> None:
        """Nobody looks any more."""

    def worker_came(self, worker: WorkerState) -> None:
        """A worker has joined, while somebody looks."""

    def worker_left(self, worker: WorkerState) -> None:
        """A worker has gone, while somebody looks."""

    def heard(self, worker: WorkerState, value: Any) -> None:
        """A worker has notified this on the topic, perhaps after the last viewer had gone."""

    def collect(self) -> None:
        """A turn begins."""

    def whole(self, options: Options) -> Snapshot:
        """All there is to show, for one who begins."""
        raise NotImplementedError

    def news(self, options: Options) -> Snapshot | None:
        """What the last `collect` found; None: nothing."""
        raise NotImplementedError


class StateSource(Source):
    """What is told on one topic, whole each time, when it has changed."""

    restless: ClassVar[tuple[str, ...]] = ("at",)  #: fields that change by themselves, and are no news

    def snapshot(self, options: Options) -> Snapshot:
        """How things stand."""
        raise NotImplementedError

    def differs(self, one: Snapshot, other: Snapshot) -> bool:
        """Whether there is something to tell."""
        return any(other[name] != value for name, value in one.items() if name not in self.restless)
