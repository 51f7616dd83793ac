"""Users who look at the dashboard while everything else happens, in a random plan.

`watch` is one wish of one client: some topics, or none. What it is told is noted here, and two things are demanded: that each topic begins before
the wish is answered, with a reset where it is told in increments; and that, when all has come to rest, what each viewer was told last is how things
stand.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, Final

from jupyterfut.core.scheduler.panes.summary import counts_of
from jupyterfut.sim.workload import Step
from jupyterfut.wire.panes import SNAPSHOTS, TOPIC_PREFIX

if TYPE_CHECKING:
    from jupyterfut.sim.clients import SimClient
    from jupyterfut.sim.world import World
    from jupyterfut.wire.messages import Failure

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
        self.topics: list[str] = []
        self.last: dict[str, dict[str, Any]] = {}
        self.begun: dict[str, None] = {}  # topics of which a beginning was told since it wanted them

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

    def answered(self, number: int, failure: Failure | None) -> None:
        """The scheduler knows of this wish. What came before the answer began each topic."""
        assert failure is None or failure.kind in MAY_FAIL, failure
        if failure is None and number == self.wishes:
            late = [topic for topic in self.topics if topic not in self.begun]
            assert not late, f"nothing, or no beginning, was told of {late}"


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
        here = {client.id for audience in watched.audiences for client in audience.members} if watched is not None else set()
        for client in world.clients:
            if client.alive and not client.left and client.client_id in here:
                last = client.viewing.last.get(topic)
                told = None if last is None else last["total" if topic == "progress" else "tasks"]
                if told != truth:
                    wrong.append(f"{client.name} was told by {topic}: {told}, in truth {truth}")
    return wrong


def watch(world: World, client: SimClient) -> None:
    """One wish, in place of the one before."""
    viewing = client.viewing
    args = viewing.wish(world.rng)
    number = viewing.wishes
    client.ask("watch", args, lambda value, failure: viewing.answered(number, failure))
