"""What one client publishes and hears: the part of `Pub` and `Sub` that all objects of a client share, one record a topic and direction.

A message goes from the publisher straight to the data servers of the workers that listen (`Published`), once to each, and is handed out there; to
kernels, which have no data server, it goes through the scheduler (`Notify`, `Notices`). The scheduler only tells publishers who listens, and each
change, as a notice on "pubsub:<topic>". Streams keep their order, so a publisher knows of a subscriber before it hears anything that followed from
the subscription.

Objects come and go in any thread, and die in the garbage collector: counts change under a lock, and the dead are buried on the loop.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from typing import Any

from jupyterfut.client.client import Client
from jupyterfut.client.session import Session
from jupyterfut.client.values import refuse_large
from jupyterfut.coord.mailbox import Mailbox
from jupyterfut.coord.named import unheard
from jupyterfut.core.client import events as ev
from jupyterfut.errors import ClosedError
from jupyterfut.ids import Address
from jupyterfut.runtime.context import current_worker
from jupyterfut.wire.messages import Published
from jupyterfut.wire.payload import Payload

logger = logging.getLogger("jupyterfut.client")


class Topics:
    """All that one client publishes and hears."""

    def __init__(self, client: Client) -> None:
        self._client = weakref.ref(client)
        self.session: Session = client._session
        self.lock = threading.RLock()  # re-entrant: a user's __del__ may run inside it
        self.publishing: dict[str, Publishing] = {}
        self.hearing: dict[str, Hearing] = {}
        worker = current_worker()
        self.worker = worker if worker is not None and worker.client_link.client is client else None  #: whose client it is; None: a kernel's
        self.session.at_end.append(self._end)
        self.session.at_welcome.append(self._announce)

    def publish(self, topic: str) -> Publishing:
        """The topic's record, with one user more."""
        with self.lock:
            publishing = self.publishing.get(topic)
            if publishing is None:
                publishing = self.publishing[topic] = Publishing(self, topic)
                publishing.announce()
            publishing.users += 1
            return publishing

    def hear(self, topic: str, mailbox: Mailbox) -> Hearing:
        """The topic's record, which fills this mailbox, too, from now on."""
        with self.lock:
            hearing = self.hearing.get(topic)
            if hearing is None:
                hearing = self.hearing[topic] = Hearing(self, topic)
                hearing.announce()
            hearing.mailboxes = (*hearing.mailboxes, mailbox)
            return hearing

    def tell(self, op: str, args: dict[str, Any], asker: Callable[[Any, Any], None] = unheard) -> None:
        """Say something to the scheduler, unless the session is over."""
        if self.session.closed is None:
            self.session.post(ev.Ask(asker, op, args))

    def call_soon(self, fn: Callable[..., None], *args: Any) -> None:
        """On the loop, from any thread. Takes no lock: a finalizer may call it."""
        loop = self.session.loop
        if loop is None:
            return  # an asynchronous client that nobody has awaited
        try:
            loop.call_soon_threadsafe(fn, *args)
        except RuntimeError:
            if not loop.is_closed():  # then nobody is there any more
                raise

    def send(self, address: Address, topic: str, payloads: list[Payload]) -> None:
        """To one worker. On the loop."""
        client = self._client()
        if self.worker is not None and address == self.worker.address:
            listener = self.worker.heard.get(topic)
            if listener is not None:
                listener(payloads)
        elif client is not None:
            client._links.tell(address, Published(topic, payloads))

    # --- the session's own events, on the loop

    def _announce(self) -> None:
        """The scheduler has begun anew and knows nothing of us."""
        with self.lock:
            for publishing in self.publishing.values():
                publishing.announce()
            for hearing in self.hearing.values():
                hearing.announce()

    def _end(self, reason: str) -> None:
        with self.lock:
            hearing = list(self.hearing.values())
            self.hearing.clear()
            self.publishing.clear()
        for record in hearing:
            record.end(reason)


class Publishing:
    """One topic that a client publishes. What is put before the scheduler has said who listens waits for its answer."""

    def __init__(self, topics: Topics, topic: str) -> None:
        self.users = 0
        self.workers: list[Address] = []  #: data servers that listen
        self.kernels = 0  #: clients without a data server that listen
        self.topics = topics
        self._topic = topic
        self._known = False
        self._waiting: list[Payload] = []  # until it is known who listens
        self._outbox: list[Payload] = []  # for the workers, until the loop's next turn
        topics.session.listen(f"pubsub:{topic}", self._learn)

    def announce(self) -> None:
        """Tell the scheduler; it answers who listens, and says each change."""
        self.topics.tell("pub_add", {"topic": self._topic}, self._answered)

    def put(self, payload: Payload, what: object) -> None:
        """Send it to all who listen, in any thread. Never blocks. Raises ClosedError, and ValueError for what is too large for listening kernels."""
        topics = self.topics
        if topics.session.closed is not None:
            raise ClosedError(topics.session.closed)
        with topics.lock:
            if self.kernels:
                refuse_large(payload, what)
            if self._known:
                self._put(payload)
            else:
                self._waiting.append(payload)

    def leave(self) -> None:
        """One user less. On the loop."""
        with self.topics.lock:
            self.users -= 1
            self._end_if_unused()

    def _put(self, payload: Payload) -> None:
        if self.kernels:
            self.topics.session.notify(f"pubsub-data:{self._topic}", payload)
        if self.workers:
            if not self._outbox:
                self.topics.call_soon(self._flush)
            self._outbox.append(payload)

    def _flush(self) -> None:
        """On the loop: what has gathered goes to each worker as one message."""
        with self.topics.lock:
            outbox, self._outbox = self._outbox, []
            workers = self.workers
        if outbox:
            for address in workers:
                self.topics.send(address, self._topic, outbox)

    def _answered(self, value: Any, failure: Any) -> None:
        """On the loop."""
        if failure is None:
            self._learn(value)

    def _learn(self, listeners: Any) -> None:
        """On the loop: who listens now."""
        with self.topics.lock:
            self._flush()  # what was put before is for those who listened before
            self.workers = [Address(address) for address in listeners["workers"]]
            self.kernels = listeners["clients"]
            self._known = True
            waiting, self._waiting = self._waiting, []
            for payload in waiting:
                try:
                    if self.kernels:
                        refuse_large(payload, self._topic)
                    self._put(payload)
                except ValueError as error:
                    logger.error("a message on %r is lost: %s", self._topic, error)
            self._end_if_unused()

    def _end_if_unused(self) -> None:
        topics = self.topics
        if self._known and self.users == 0 and topics.publishing.get(self._topic) is self:
            self._flush()
            del topics.publishing[self._topic]
            topics.session.unlisten(f"pubsub:{self._topic}", self._learn)


class Hearing:
    """One topic that a client hears, and whose mailboxes it fills."""

    def __init__(self, topics: Topics, topic: str) -> None:
        self.mailboxes: tuple[Mailbox, ...] = ()
        self.topics = topics
        self._topic = topic
        worker = topics.worker
        if worker is not None:
            worker.heard[topic] = self._deliver
        else:
            topics.session.listen(f"pubsub-data:{topic}", self._deliver_one)

    def announce(self) -> None:
        """Tell the scheduler, who tells the publishers."""
        self.topics.tell("sub_add", {"topic": self._topic, "address": self._address})

    def leave(self, mailbox: Mailbox) -> None:
        """One mailbox less. On the loop."""
        topics = self.topics
        with topics.lock:
            self.mailboxes = tuple(one for one in self.mailboxes if one is not mailbox)
            if self.mailboxes or topics.hearing.get(self._topic) is not self:
                return
            del topics.hearing[self._topic]
            topics.tell("sub_remove", {"topic": self._topic, "address": self._address})
            self._hear_no_more()

    def end(self, reason: str) -> None:
        """The session is over. On the loop."""
        self._hear_no_more()
        for mailbox in self.mailboxes:
            mailbox.close(reason)

    def _hear_no_more(self) -> None:
        worker = self.topics.worker
        if worker is None:
            self.topics.session.unlisten(f"pubsub-data:{self._topic}", self._deliver_one)
        elif worker.heard.get(self._topic) == self._deliver:  # and not a later client's
            del worker.heard[self._topic]

    @property
    def _address(self) -> str:
        return "" if self.topics.worker is None else self.topics.worker.address

    def _deliver(self, payloads: list[Payload]) -> None:
        for mailbox in self.mailboxes:
            mailbox.deliver(payloads)

    def _deliver_one(self, payload: Payload) -> None:
        self._deliver([payload])


_lock = threading.Lock()
_topics: weakref.WeakKeyDictionary[Client, Topics] = weakref.WeakKeyDictionary()


def topics_of(client: Client) -> Topics:
    """Made when a client publishes or hears for the first time. Raises ClosedError."""
    if client._session.closed is not None:
        raise ClosedError(client._session.closed)
    with _lock:
        topics = _topics.get(client)
        if topics is None:
            topics = _topics[client] = Topics(client)
        return topics
