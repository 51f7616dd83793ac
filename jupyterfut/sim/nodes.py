"""The simulated processes: what they have in common, and the scheduler's.

A node is a runtime's shell without sockets and threads: it gives events to its machine one at a time, performs the effects in their order, wakes it
when it asked to be woken, and calls the machine's invariants after every event (or every k-th). A node that is dead does nothing any more; one that
is frozen (a process that got no time) does everything later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jupyterfut.core.effects import Close, LinkLost, Log, Received, Send, Tick
from jupyterfut.core.scheduler import SchedulerConfig, SchedulerMachine
from jupyterfut.core.scheduler.invariants import check
from jupyterfut.ids import ClientId, PeerId
from jupyterfut.sim.network import Link
from jupyterfut.sim.roads import SchedulerRoad
from jupyterfut.wire.messages import AsClient, ClientHello, Delivery, Message, Taken

if TYPE_CHECKING:
    from jupyterfut.sim.workers import SimWorker
    from jupyterfut.sim.world import World


class Node:
    """One process. Subclasses set `machine`, `performers` and `check`."""

    machine: Any
    performers: dict[type, Callable[[Any], None]]
    check: Callable[[Any], None]

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.clock = world.clock
        self.name = name
        self.alive = True
        self.frozen = False
        self.offset_s = world.rng.choice((0.0, 17.0, 5_000.0))  # monotonic clocks of different machines have nothing in common
        self.logs: list[Log] = []
        self.drains = 0
        self._parked: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self._inbox: deque[Any] = deque()
        self._draining = False
        self._wake_at: float | None = None
        self._until_check = world.check_every

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}{'' if self.alive else ' dead'}{' frozen' if self.frozen else ''}>"

    # --- time

    def after(self, delay_s: float, fn: Callable[..., object], *args: Any) -> None:
        """Call `fn(*args)` in this process in `delay_s` seconds: not if it is dead by then, later if it is frozen."""
        self.clock.after(delay_s, self.enter, fn, args)

    def enter(self, fn: Callable[..., object], args: tuple[Any, ...]) -> None:
        """Something happens in this process."""
        if self.frozen:
            self._parked.append((fn, args))
        elif self.alive:
            fn(*args)

    def freeze(self) -> None:
        """The process gets no time any more."""
        self.frozen = True

    def thaw(self) -> None:
        """It does now what it should have done, in order."""
        self.frozen = False
        parked, self._parked = self._parked, []
        for fn, args in parked:
            self.clock.after(0.0, self.enter, fn, args)

    def receive(self, link: Link, messages: list[Message]) -> None:
        """End of a link: a frame has arrived."""
        self.enter(self.on_frame, (link, messages))

    def link_lost(self, link: Link, reason: str) -> None:
        """End of a link: it is gone."""
        self.enter(self.on_link_lost, (link, reason))

    def on_frame(self, link: Link, messages: list[Message]) -> None:
        raise AssertionError(f"{self} has no links")

    def on_link_lost(self, link: Link, reason: str) -> None:
        raise AssertionError(f"{self} has no links")

    # --- the machine

    def post(self, event: Any) -> None:
        """Give the machine an event; an event that comes while effects are performed waits for its turn."""
        inbox = self._inbox
        inbox.append(event)
        if self._draining:
            return
        self._draining = True
        machine = self.machine
        performers = self.performers
        now = self.clock.now + self.offset_s
        world = self.world
        while inbox:
            happened = inbox.popleft()
            effects = machine.handle(happened, now)
            world.events += 1
            if world.trace is not None:
                world.trace.note(self, happened, effects)
            for effect in effects:
                performers[type(effect)](effect)
            self._until_check -= 1
            if self._until_check <= 0:
                self._until_check = world.check_every
                if world.check_every:
                    type(self).check(machine)
        self._draining = False
        wake = machine.next_wake()
        if wake is not None and (self._wake_at is None or wake < self._wake_at):
            self._wake_at = wake
            self.clock.background(wake - self.offset_s, self.enter, self._tick, (wake,))

    def _tick(self, wake: float) -> None:
        if self._wake_at != wake:
            return  # a sooner one was asked for since
        self._wake_at = None
        due = self.machine.next_wake()
        if due is None:
            return
        if due <= self.clock.now + self.offset_s + 1e-9:
            self.post(Tick())
        else:
            self._wake_at = due
            self.clock.background(due - self.offset_s, self.enter, self._tick, (due,))

    def on_log(self, effect: Log) -> None:
        self.logs.append(effect)


class SimScheduler(Node):
    """The scheduler's process: its machine, one link to each worker, one session with each client."""

    check = staticmethod(check)

    def __init__(self, world: World, config: SchedulerConfig) -> None:
        super().__init__(world, "scheduler")
        self.machine: SchedulerMachine = SchedulerMachine(config)
        self.workers: dict[PeerId, tuple[Link, SimWorker]] = {}
        self.peers: dict[Link, PeerId] = {}
        self.nannies: dict[Link, PeerId] = {}
        self.roads: dict[PeerId, SchedulerRoad] = {}
        self.roads_of: dict[ClientId, SchedulerRoad] = {}
        self.road_on: dict[Link, SchedulerRoad | None] = {}  # None: the client has not said hello
        self.last_lost: dict[ClientId, float] = {}  # when a client's link was seen to break the last time
        self.next_peer = 1
        self.performers = {Send: self.on_send, Close: self.on_close, Log: self.on_log}

    def _new_peer(self) -> PeerId:
        peer = PeerId(self.next_peer)
        self.next_peer += 1
        return peer

    def accept(self, link: Link, worker: SimWorker) -> None:
        """A worker's stream has come in: a new peer."""
        peer = self._new_peer()
        self.workers[peer] = (link, worker)
        self.peers[link] = peer

    def accept_nanny(self, link: Link) -> None:
        """A nanny's stream has come in."""
        self.nannies[link] = self._new_peer()

    def accept_client(self, link: Link) -> None:
        """A client's stream has come in; its first frame will tell whose it is."""
        self.road_on[link] = None

    def on_frame(self, link: Link, messages: list[Message]) -> None:
        if link in self.road_on:
            self._client_frames(link, messages)
            return
        if link in self.nannies:
            for message in messages:
                self.post(Received(self.nannies[link], message))
            return
        peer = self.peers.get(link)
        oracle = self.world.oracle
        for message in messages:
            if peer is None or link not in self.peers:
                return
            oracle.scheduler_hears(peer, message)
            if type(message) is AsClient and type(message.message) is Taken:
                self.world.ledger.hears(message.client, message.message)
            self.post(Received(peer, message))

    def _client_frames(self, link: Link, frames: list[Any]) -> None:
        road = self.road_on[link]
        if road is None:
            first = frames[0]
            hello = first.messages[0]
            assert type(hello) is ClientHello, first
            road = self.roads_of.get(hello.client)
            new = road is None or not self.machine.knows(hello)
            if new and hello.resume:
                self.world.oracle.session_over(hello.client, known=road is not None)
            if road is None or new:
                road = SchedulerRoad(self, self._new_peer(), hello.client)
                self.roads[road.peer] = road
            old = road.link
            if old is not None:
                self.road_on.pop(old, None)
            self.road_on[link] = road
            road.open(link, first, new=new)
            if road.peer in self.roads:  # after the machine has closed an older one of the same client
                self.roads_of[hello.client] = road
            frames = frames[1:]
        if self.road_on.get(link) is road:
            road.read(frames)

    def on_link_lost(self, link: Link, reason: str) -> None:
        if link in self.road_on:
            road = self.road_on.pop(link)
            if road is not None:
                self.last_lost[road.client] = self.clock.now
                road.lose(reason)
            return
        if link in self.nannies:
            self.post(LinkLost(self.nannies.pop(link), reason))
            return
        peer = self.peers.pop(link, None)
        if peer is not None:
            _, worker = self.workers.pop(peer)
            self.world.oracle.scheduler_loses(peer, worker)
            self.post(LinkLost(peer, reason))

    def on_send(self, effect: Send) -> None:
        stream = self.workers.get(effect.peer)
        if stream is not None:
            message = effect.message
            self.world.oracle.scheduler_says(effect.peer, message)
            if type(message) is AsClient and type(message.message) is Delivery:
                self.world.ledger.delivers(message.client, message.message)
            stream[0].send(0, effect.message)
        else:
            road = self.roads.get(effect.peer)
            if road is not None:
                if type(effect.message) is Delivery:
                    self.world.ledger.delivers(road.client, effect.message)
                road.send(effect.message)

    def on_close(self, effect: Close) -> None:
        stream = self.workers.pop(effect.peer, None)
        if stream is not None:
            link, worker = stream
            del self.peers[link]
            self.world.oracle.scheduler_loses(effect.peer, worker)
            link.close(0, effect.reason)
            return
        road = self.roads.pop(effect.peer, None)
        if road is not None:
            if road.link is not None:
                self.road_on.pop(road.link, None)
            if self.roads_of.get(road.client) is road:
                del self.roads_of[road.client]
            road.close(effect.reason)
