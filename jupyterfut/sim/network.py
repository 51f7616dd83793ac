"""Links between the simulated processes: ordered, late, and sometimes broken.

A `Link` is what `comm` gives to a runtime: one ordered duplex stream. Messages sent at one instant travel as one frame (the outbox is flushed once
per loop tick), each frame arrives after a random delay, and no frame overtakes another one of its direction. Three things can happen to a link:

- `close(end)`: that end hears nothing more; the other end receives what was sent before, then learns that the link is gone;
- `drop()`: the link breaks. Each end learns it at its own time, and each direction delivers only a part of what was in flight;
- `stall()` / `heal()`: nothing arrives at either end, neither frames nor the news of a close, until it heals; then all of it does, in order.

The two ends are objects with `receive(link, messages)` and `link_lost(link, reason)`.
"""

from __future__ import annotations

from random import Random
from typing import Any, Protocol

from jupyterfut.sim.clock import Clock
from jupyterfut.wire.messages import Message


class End(Protocol):
    """One who holds an end of a link."""

    def receive(self, link: Link, messages: list[Message]) -> None: ...

    def link_lost(self, link: Link, reason: str) -> None: ...


class _Direction:
    """What flows towards one end."""

    __slots__ = ("cut_at", "frame", "frame_at", "last_arrival", "open", "to")

    def __init__(self, to: End) -> None:
        self.to = to
        self.open = True  # the receiving end still listens
        self.cut_at: float | None = None  # frames that would arrive later than this are lost
        self.frame: list[Message] | None = None
        self.frame_at = -1.0
        self.last_arrival = 0.0


class Link:
    """One ordered duplex stream. Ends are numbered 0 and 1; `send(0, m)` means that end 0 speaks."""

    __slots__ = ("_clock", "_directions", "_held", "_network", "broken", "delay_s", "name", "stalled")

    def __init__(self, network: Network, name: str, end0: End, end1: End, delay_s: tuple[float, float]) -> None:
        self._network = network
        self._clock = network.clock
        self.name = name
        self.delay_s = delay_s
        self._directions = (_Direction(end1), _Direction(end0))  # indexed by the end that speaks
        self._held: list[tuple[Any, ...]] = []
        self.stalled = False
        self.broken = False

    def __repr__(self) -> str:
        return f"<Link {self.name}{' stalled' if self.stalled else ''}{' broken' if self.broken else ''}>"

    def send(self, end: int, message: Message) -> None:
        """End `end` sends a message."""
        direction = self._directions[end]
        now = self._clock.now
        if direction.frame is not None and direction.frame_at == now:
            direction.frame.append(message)
            return
        if not self._directions[1 - end].open:
            return  # this end has closed the link, or knows that it is gone
        low, high = self.delay_s
        arrival = now + low + (high - low) * self._network.random()
        if arrival <= direction.last_arrival:
            arrival = direction.last_arrival
        direction.last_arrival = arrival
        direction.frame = frame = [message]
        direction.frame_at = now
        self._clock.at(arrival, self._arrive, direction, frame)

    def _arrive(self, direction: _Direction, frame: list[Message]) -> None:
        if self.stalled:
            self._held.append((self._arrive, direction, frame))
            return
        if direction.frame is frame:
            direction.frame = None
        if not direction.open:
            return
        if direction.cut_at is not None and self._clock.now > direction.cut_at:
            return
        if direction.cut_at is not None and len(frame) > 1:
            frame = frame[: 1 + int(self._network.random() * len(frame))]  # a broken link cuts anywhere
            direction.cut_at = self._clock.now - 1.0
        direction.to.receive(self, frame)

    def close(self, end: int, reason: str = "closed by the other side") -> None:
        """End `end` closes: it hears nothing more; the other end hears what was sent before, then that the link is lost."""
        inward = self._directions[1 - end]
        if not inward.open:
            return
        inward.open = False
        outward = self._directions[end]
        outward.frame = None
        low, high = self.delay_s
        arrival = max(self._clock.now + low + (high - low) * self._network.random(), outward.last_arrival)
        outward.last_arrival = arrival
        self._clock.at(arrival, self._lose, outward, reason)

    def drop(self, reason: str = "the link broke") -> None:
        """The link breaks: each end learns it at its own time, and what is in flight is lost from some point on."""
        if self.broken:
            return
        self.broken = True
        for direction in self._directions:
            notice = self._network.notice_s()
            direction.cut_at = self._clock.now + notice * self._network.random()
            self._clock.after(notice, self._lose, direction, reason)

    def _lose(self, direction: _Direction, reason: str) -> None:
        if self.stalled:
            self._held.append((self._lose, direction, reason))
            return
        if direction.open:
            direction.open = False
            direction.to.link_lost(self, reason)

    def stall(self) -> None:
        """Nothing arrives at either end until `heal`."""
        self.stalled = True

    def heal(self) -> None:
        """What was held back arrives now, in order."""
        self.stalled = False
        held, self._held = self._held, []
        for fn, *args in held:
            self._clock.after(0.0, fn, *args)

    def is_open(self, end: int) -> bool:
        """Whether end `end` still takes the link for good."""
        return self._directions[1 - end].open


class Network:
    """Makes links and holds their chance: one `Random` of its own, so that a change to the workload does not move every delay.

    `delay_s` is the range of a frame's delay, `notice_range_s` the time after which an end sees that its link broke.
    """

    def __init__(self, clock: Clock, random: Random, delay_s: tuple[float, float], notice_range_s: tuple[float, float]) -> None:
        self.clock = clock
        self.rng = random
        self.random = random.random
        self.delay_s = delay_s
        self.notice_range_s = notice_range_s
        self.links_made = 0

    def connect(self, name: str, end0: End, end1: End, delay_s: tuple[float, float] | None = None) -> Link:
        """A fresh link, open at once at both ends."""
        self.links_made += 1
        return Link(self, f"{name}#{self.links_made}", end0, end1, delay_s or self.delay_s)

    def delay(self) -> float:
        """One random delay in seconds."""
        low, high = self.delay_s
        return low + (high - low) * self.random()

    def notice_s(self) -> float:
        """How long it takes one end to see that its link broke."""
        low, high = self.notice_range_s
        return low + (high - low) * self.random()
