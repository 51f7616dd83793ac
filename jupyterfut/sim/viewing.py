"""Users who look at the dashboard while everything else happens, in a random plan.

`watch` is one wish of one client: some topics, or none. What it is told is noted here, and two things are demanded when all has come to rest: that
each topic has begun, with a reset where it is told in increments, and that what each viewer was told last is how things stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING, Any, Final

from jupyterfut.core.scheduler.panes.summary import counts_of
from jupyterfut.sim.workload import Step
from jupyterfut.wire.messages import Logged, Ran, Sampled
from jupyterfut.wire.panes import SNAPSHOTS, TOPIC_PREFIX

if TYPE_CHECKING:
    from jupyterfut.core.worker.events import Watch
    from jupyterfut.sim.clients import SimClient
    from jupyterfut.sim.world import World
    from jupyterfut.wire.messages import Failure, Message

MAY_FAIL: Final = ("ClosedError", "ConnectionFailed", "CancelledError")
"""The client has left, or its session is over."""

TRUE_AT_REST: Final = ("summary", "progress")
"""Of these it is checked that what was told last is true."""


def viewing_steps(rng: Random, clients: int, horizon_s: float) -> list[Step]:
    """For a third of all seeds: a few wishes, of any client."""
    if rng.random() < 0.67:
        return []
    return [Step(rng.uniform(0.0, horizon_s + 1.0), rng.randrange(clients), "watch") for _ in range(rng.choice((1, 2, 5)))]


class Viewing:
    """What one client looks at, and was told."""

    def __init__(self) -> None:
        self.wishes = 0
        self.answered_to = 0
        self.topics: list[str] = []
        self.last: dict[str, dict[str, Any]] = {}
        self.begun: dict[str, None] = {}  # topics of which a beginning was told since it wanted them
        self.lanes = self.names = 0  # of the task stream, told so far

    def wish(self, rng: Random) -> dict[str, Any]:
        """What it wants to see from now on."""
        before, self.topics = self.topics, rng.sample(list(SNAPSHOTS), rng.choice((0, 1, 3, len(SNAPSHOTS))))
        self.wishes += 1
        for topic in self.topics:
            if topic not in before:
                self.begun.pop(topic, None)
        return {"topics": {topic: {} for topic in self.topics}}

    def told(self, topics: list[str], values: list[Any]) -> None:
        """The scheduler has said something."""
        for topic, value in zip(topics, values, strict=True):
            name = topic.removeprefix(TOPIC_PREFIX)
            assert name in SNAPSHOTS, f"told of {topic}"
            if value.get("reset", True):
                self.begun[name] = None
            self.last[name] = value
            if name == "task-stream":
                self.streamed(value)

    def streamed(self, told: dict[str, Any]) -> None:
        """Rows name lanes and functions that are known, and none ends in the future."""
        lanes, names = (0, 0) if told["reset"] else (self.lanes, self.names)
        self.lanes, self.names = lanes + len(told["lanes"]), names + len(told["names"])
        assert max([*told["lane"], *told["open_lane"]], default=-1) < self.lanes, "a row in a lane that nobody was told of"
        assert max([*told["name"], *told["open_name"]], default=-1) < self.names, "a row of a function that nobody was told of"
        assert max([*told["stop"], *told["open_start"]], default=told["now"]) <= told["now"] + 1e-5, "a row that ends in the future"

    def answered(self, number: int, failure: Failure | None) -> None:
        """The scheduler knows of this wish (or the client is not known to it any more)."""
        assert failure is None or failure.kind in MAY_FAIL, failure
        self.answered_to = number


def told_of(watch: Watch, now: float) -> Iterator[Message]:
    """What a worker tells with a heartbeat while somebody looks, `now` by its clock. Its threads are not looked at here: always the same has run."""
    if watch.stream_s:
        starts, stops, counts = [now - 1.0, now - 0.25], [now - 0.5, now], [5, 0]
        yield Ran(now, 0, [0, 1], ["f", "slow"], [0, 0], starts, stops, [0.5, 0.25], counts, [1, 0], [10, 0], ["", "slow-1"])
    if watch.profile_s:
        yield Sampled(0.01, [["f", "f.py", 1]], {"f": [[0, 1], [-1, 0], [3, 3]]})
    if watch.log_level:
        yield Logged(now, 0, [now - 0.1], [30], ["f"], ["it goes on"], [""])


def agrees(world: World) -> bool:
    """Whether what those who look were told last is how things stand."""
    return not list(errors(world))


def errors(world: World) -> list[str]:
    """Who was told what, instead of the truth."""
    machine = world.scheduler.machine
    truth = counts_of(machine.state)
    wrong = []
    for topic in TRUE_AT_REST:
        watched = machine.panes.watched.get(topic)
        for client in world.clients:
            state = machine.state.clients.get(client.client_id)
            if client.alive and not client.left and watched is not None and state is not None and watched.has(state):
                last = client.viewing.last.get(topic)
                told = None if last is None else last["total" if topic == "progress" else "tasks"]
                if told != truth:
                    wrong.append(f"{client.name} was told by {topic}: {told}, in truth {truth}")
    for client in world.clients:
        viewing, state = client.viewing, machine.state.clients.get(client.client_id)
        if client.alive and not client.left and state is not None and viewing.answered_to == viewing.wishes:
            looks = [topic for topic in viewing.topics if (watched := machine.panes.watched.get(topic)) is not None and watched.has(state)]
            late = [topic for topic in looks if topic not in viewing.begun]
            if late:
                wrong.append(f"{client.name} was told nothing, or no beginning, of {late}")
    return wrong


def watch(world: World, client: SimClient) -> None:
    """One wish, in place of the one before."""
    viewing = client.viewing
    args = viewing.wish(world.rng)
    number = viewing.wishes
    client.ask("watch", args, lambda value, failure: viewing.answered(number, failure))
