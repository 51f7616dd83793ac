"""How a client with a link of its own reaches the scheduler: a session that outlives its links.

Both ends keep a `core.ordered.Session`. What a link carries between a client and the scheduler are its numbered frames; when the link breaks the
client connects again, the two ends tell each other what they have, and say again what is missing, so that neither machine hears anything twice or too
late. Only when the scheduler has forgotten the client do both begin anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jupyterfut.core.effects import LinkBack, LinkLost, Received
from jupyterfut.core.ordered import NumberedFrame, Session
from jupyterfut.ids import ClientId, PeerId
from jupyterfut.sim.network import Link
from jupyterfut.wire.messages import ClientHello, Message, Taken, Welcome

if TYPE_CHECKING:
    from jupyterfut.sim.clients import SimClient
    from jupyterfut.sim.nodes import SimScheduler
    from jupyterfut.sim.world import World


class Road:
    """The client's end."""

    def __init__(self, world: World, client: SimClient) -> None:
        self.world = world
        self.client = client
        self.link: Link | None = None
        self.session = Session()
        self.away_until = 0.0
        self._opening = False  # `ClientHello` is about to be sent
        self.open = False  # the scheduler's first frame on this link is here
        self._closed = False

    def connect(self) -> None:
        """Make a link and open the session on it."""
        if self._closed or not self.client.alive:
            return
        world = self.world
        if self.client.name in world.stalled or world.now() < self.away_until:
            self.client.after(max(self.away_until - world.now(), 0.0) + 0.2 * (1 + world.rng.random()), self.connect)
            return
        self.link = world.network.connect(self.client.name, world.scheduler, self)
        world.scheduler.accept_client(self.link)
        self.open = False
        self._opening = True
        self.client.connect()
        assert not self._opening, f"{self.client} did not say hello at once"

    def send(self, message: Message) -> None:
        """The client's machine says this."""
        if self._opening:
            self._opening = False
            assert self.link is not None
            assert type(message) is ClientHello, f"{self.client} begins with {message}"
            self.link.send(1, self.session.opening([message]))
            return
        frame = self.session.send([message])
        if self.link is not None and self.open:
            self.link.send(1, frame)

    def close(self) -> None:
        """The client closes."""
        self._closed = True
        if self.link is not None:
            self.link.close(1)
            self.link = None

    def vanish(self, for_s: float) -> None:
        """The client's machine sleeps: its link breaks, and it does not come back for so long."""
        self.away_until = self.world.now() + for_s
        if self.link is not None:
            self.link.drop("the client's machine sleeps")

    # --- end of a link

    def receive(self, link: Link, messages: list[Message]) -> None:
        """A frame of the link has arrived: some numbered frames."""
        self.client.enter(self._read, (link, messages))

    def _read(self, link: Link, frames: list[Any]) -> None:
        for frame in frames:
            if link is not self.link:
                return
            if not self.open:
                self._first(link, frame)
            else:
                for message in self.session.receive(frame):
                    self.client.post(Received(PeerId(0), message))
        if link is self.link and self.open and self.session.ack_due:
            link.send(1, self.session.ack())

    def _first(self, link: Link, frame: NumberedFrame) -> None:
        """The scheduler's first frame on this link: its answer to hello."""
        welcome = frame.messages[0]
        assert type(welcome) is Welcome, frame
        if not welcome.resumed and self.client.machine.state.welcomed:
            self.world.oracle.forgive(self.client)
            self.session = Session()
        for message in self.session.receive(frame):
            self.client.post(Received(PeerId(0), message))
        self.open = True
        for again in self.session.resume(frame.acknowledged):
            link.send(1, again)

    def link_lost(self, link: Link, reason: str) -> None:
        """The link is gone."""
        self.client.enter(self._lost, (link, reason))

    def _lost(self, link: Link, reason: str) -> None:
        if link is self.link:
            self.link = None
            self.open = False
            self.client.after(0.01 + 0.5 * self.world.rng.random(), self.connect)


class SchedulerRoad:
    """The scheduler's end of one client's session: one peer, whatever link it is on."""

    def __init__(self, scheduler: SimScheduler, peer: PeerId, client: ClientId) -> None:
        self.scheduler = scheduler
        self.peer = peer
        self.client = client
        self.session = Session()
        self.link: Link | None = None
        self.lost_at: float | None = None
        self._opening = False

    def open(self, link: Link, first: NumberedFrame, *, new: bool) -> None:
        """The client has connected (again), and this is its first frame. In a new session what it says of an older one counts for nothing."""
        scheduler = self.scheduler
        if self.link is not None:  # its old link was not seen to break
            self.link.close(0)
        back = self.lost_at is not None
        self.link = None
        self.lost_at = None
        if new:
            first = first._replace(acknowledged=0)
        messages = self.session.receive(first)
        if back:
            scheduler.post(LinkBack(self.peer))
        self.link = link
        self._opening = True
        for message in messages:
            scheduler.post(Received(self.peer, message))
        assert not self._opening, f"{self.client} was not welcomed"
        for again in self.session.resume(first.acknowledged):
            link.send(0, again)

    def send(self, message: Message) -> None:
        """The scheduler's machine says this."""
        if self._opening and type(message) is Welcome:
            assert self.link is not None
            self._opening = False
            self.link.send(0, self.session.opening([message]))
            return
        frame = self.session.send([message])
        if self.link is not None and not self._opening:
            self.link.send(0, frame)

    def read(self, frames: list[Any]) -> None:
        """Numbered frames have arrived."""
        for frame in frames:
            for message in self.session.receive(frame):
                self.scheduler.world.oracle.scheduler_hears(self.peer, message)
                if type(message) is Taken:
                    self.scheduler.world.ledger.hears(self.client, message)
                self.scheduler.post(Received(self.peer, message))
        if self.link is not None and self.session.ack_due:
            self.link.send(0, self.session.ack())

    def lose(self, reason: str) -> None:
        """The link is gone; the session waits."""
        self.link = None
        self.lost_at = self.scheduler.clock.now
        self.scheduler.post(LinkLost(self.peer, reason))

    def close(self, reason: str) -> None:
        """The machine has done with this client."""
        if self.link is not None:
            self.link.close(0, reason)
            self.link = None
