"""Who subscribes to what: the data of publishers goes straight to the workers and does not pass here.

A subscriber names the data server of its worker, or, being a client with no worker, "": then what is published reaches it as notices on the topic
`pubsub-data:<topic>`. A publisher asks who subscribes (`pub_add`), having subscribed to the notices on `pubsub:<topic>`, and hears of every change.
A subscription goes with its client.
"""

from __future__ import annotations

from typing import Any

from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.coord import arguments
from jupyterfut.core.scheduler.query import BadRequest
from jupyterfut.core.scheduler.state import ClientState, State


class PubSub:
    """Subscriptions by topic: how many each client has at which address."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.topics: dict[str, dict[tuple[ClientState, str], int]] = {}
        self._by_client: dict[ClientState, dict[str, None]] = {}
        self.ops = {"sub_add": self.subscribe, "sub_remove": self.unsubscribe, "pub_add": self.publishers}
        self.late_ops: dict[str, Any] = {}

    def subscribe(self, client: ClientState, args: dict[str, Any]) -> None:
        """One subscription more."""
        topic, address = arguments.text(args, "topic"), arguments.text(args, "address")
        subscribers = self.topics.setdefault(topic, {})
        known = subscribers.get((client, address), 0)
        subscribers[client, address] = known + 1
        self._by_client.setdefault(client, {})[topic] = None
        if not known:
            self._tell(topic)

    def unsubscribe(self, client: ClientState, args: dict[str, Any]) -> None:
        """One less."""
        topic, address = arguments.text(args, "topic"), arguments.text(args, "address")
        subscribers = self.topics.get(topic, {})
        if (client, address) not in subscribers:
            raise BadRequest(f"there is no subscription to {topic!r} to end")
        subscribers[client, address] -= 1
        if not subscribers[client, address]:
            self._remove(client, topic, [(client, address)])

    def publishers(self, client: ClientState, args: dict[str, Any]) -> dict[str, Any]:
        """Who subscribes now."""
        return self.subscribers(arguments.text(args, "topic"))

    def subscribers(self, topic: str) -> dict[str, Any]:
        """The workers' data servers, and how many subscribers are clients without one."""
        addresses = [address for _, address in self.topics.get(topic, ())]
        return {"workers": list(dict.fromkeys(address for address in addresses if address)), "clients": addresses.count("")}

    def _remove(self, client: ClientState, topic: str, subscriptions: list[tuple[ClientState, str]]) -> None:
        subscribers = self.topics[topic]
        for subscription in subscriptions:
            del subscribers[subscription]
        if not any(other is client for other, _ in subscribers):
            topics = self._by_client[client]
            del topics[topic]
            if not topics:
                del self._by_client[client]
        if not subscribers:
            del self.topics[topic]
        self._tell(topic)

    def _tell(self, topic: str) -> None:
        post.notice(self._state, f"pubsub:{topic}", self.subscribers(topic))

    def forget_client(self, client: ClientState) -> None:
        """Its subscriptions go with it."""
        for topic in list(self._by_client.get(client, ())):
            self._remove(client, topic, [subscription for subscription in self.topics[topic] if subscription[0] is client])

    # --- for invariants

    def left(self) -> list[str]:
        return [f"{len(subscribers)} subscribers of {topic}" for topic, subscribers in self.topics.items()]

    def wrong(self) -> list[str]:
        """What contradicts itself."""
        pairs = {(client, topic) for topic, subscribers in self.topics.items() for client, _ in subscribers}
        if pairs != {(client, topic) for client, topics in self._by_client.items() for topic in topics}:
            return ["subscriptions: clients and topics do not know the same"]
        return [f"{client} is gone, and subscribes to {topic}" for client, topic in pairs if self._state.clients.get(client.id) is not client]
