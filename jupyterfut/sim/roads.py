"""How a client with a link of its own reaches the scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyterfut.core.effects import LinkLost, Received
from jupyterfut.ids import PeerId
from jupyterfut.sim.network import Link
from jupyterfut.wire.messages import Message

if TYPE_CHECKING:
    from jupyterfut.sim.clients import SimClient
    from jupyterfut.sim.world import World


class Road:
    """One stream after the other."""

    def __init__(self, world: World, client: SimClient) -> None:
        self.world = world
        self.client = client
        self.link: Link | None = None

    def connect(self) -> None:
        self.link = self.world.network.connect(self.client.name, self.world.scheduler, self)
        self.world.scheduler.accept(self.link)
        self.client.connect()

    def send(self, message: Message) -> None:
        if self.link is not None:
            self.link.send(1, message)

    def close(self) -> None:
        if self.link is not None:
            self.link.close(1)
            self.link = None

    def receive(self, link: Link, messages: list[Message]) -> None:
        self.client.enter(self._read, (link, messages))

    def _read(self, link: Link, messages: list[Message]) -> None:
        for message in messages:
            if link is self.link:
                self.client.post(Received(PeerId(0), message))

    def link_lost(self, link: Link, reason: str) -> None:
        if link is self.link:
            self.link = None
            self.client.enter(self.client.post, (LinkLost(PeerId(0), reason),))
