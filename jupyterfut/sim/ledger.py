"""What must come true of queues, variables, locks and the rest, kept by one who looks at them from outside.

The ledger hears what users ask for and are given, and which deliveries pass the scheduler's door, and objects with an `AssertionError` when

- a lock has two holders, or a semaphore more leases than it has; when what somebody holds is not his any more as he gives it back;
- an item of a queue is given to two readers, comes out of order, although its maker was told that it was refused, or not at all;
- a variable gives a value that was overwritten before it was asked for;
- somebody waited for an event that nobody has set, and is told that it is;
- a time limit is over too soon, or an act ends with an error that it cannot have.

A client that the scheduler has forgotten has nothing, whatever it believes; its *passport* is not valid any more. That is the one excuse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jupyterfut.ids import ClientId
from jupyterfut.sim.acts import limit_of
from jupyterfut.sim.values import decode
from jupyterfut.sim.workload import Act
from jupyterfut.wire import messages as m

if TYPE_CHECKING:
    from jupyterfut.sim.clients import SimClient
    from jupyterfut.sim.world import World

NEVER = float("inf")


class Grant:
    """Somebody holds `n` of each of these names."""

    __slots__ = ("client", "n", "names", "passport")

    def __init__(self, client: SimClient, passport: object, names: tuple[str, ...], n: int) -> None:
        self.client = client
        self.passport = passport
        self.names = names
        self.n = n


class Item:
    """One value that was put into a queue, or that a variable was set to. Its token is its number, and its payload."""

    __slots__ = ("asked_at", "client", "done_at", "era", "moved", "name", "reader", "refused", "returned_by", "sent", "sent_before", "token")

    def __init__(self, token: int, name: str, client: SimClient, asked_at: float, era: int) -> None:
        self.token = token
        self.name = name
        self.client = client
        self.asked_at = asked_at
        self.done_at = NEVER  # when its maker heard that it is there
        self.era = era  # how many schedulers had died before
        self.refused = False
        self.moved = False  # it has been on its way to a reader before: its place in the order is not what it was
        self.sent: tuple[ClientId, int] | None = None  # the reader's request to which it was sent last
        self.sent_before: tuple[ClientId, int] | None = None  # the same, when it was put back
        self.reader: tuple[SimClient, object] | None = None  # who has it, and his passport
        self.returned_by: object = None  # the passport of one who puts it back

    def __repr__(self) -> str:
        return f"item {self.token} of {self.client.client_id} in {self.name}"


class Ledger:
    """The books of one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.grants: dict[str, dict[Grant, None]] = {}  # by the name of a lock, a semaphore, one of a multilock
        self.items: dict[int, Item] = {}
        self.settings: dict[str, list[list[float]]] = {}  # of variables, deletions too: when it was asked for, when it was done
        self.set_events: set[str] = set()
        self.closed: set[str] = set()  # names that somebody has closed
        self.last_sent: dict[tuple[str, SimClient], int] = {}  # queue, maker -> token
        self.taken: set[tuple[ClientId, int]] = set()  # deliveries of which the scheduler has heard that they have arrived
        self.open: dict[int, tuple[SimClient, Act]] = {}  # acts that are not over
        self.acts = 0

    # --- who is known

    def passport(self, client: SimClient) -> object:
        """What the scheduler knows this client by: another object once it has forgotten it."""
        return self.world.scheduler.machine.state.clients.get(client.client_id)

    def valid(self, passport: Any) -> bool:
        """Whether the scheduler still knows this one."""
        return passport is not None and self.world.scheduler.machine.state.clients.get(passport.id) is passport

    # --- acts

    def begin(self, client: SimClient, act: Act) -> int:
        """An act begins; its number."""
        self.acts += 1
        self.open[self.acts] = (client, act)
        return self.acts

    def end(self, number: int) -> None:
        """It is over."""
        assert self.open.pop(number, None) is not None, f"act {number} was over already"

    def pending(self) -> list[tuple[SimClient, Act]]:
        """Acts of those who can still hear the end of it."""
        for number in [number for number, (client, _) in self.open.items() if not client.alive]:
            del self.open[number]
        return list(self.open.values())

    def fails(self, client: SimClient, act: Act, failure: m.Failure, waited_s: float, interrupted: bool) -> None:
        """An act ends with an error."""
        where = f"{client}: {act} failed with {failure.kind}({failure.text!r})"
        if failure.kind == "TimeoutError":
            assert act.timeout_s is not None, where
            assert waited_s >= act.timeout_s - 1e-6, f"{where} after {waited_s:.3f} s"
        elif failure.kind == "CancelledError":
            assert interrupted, where
        elif failure.kind == "ClosedError":
            assert client.left or act.name in self.closed, where
        elif failure.kind == "ValueError":
            assert act.nbytes > self.world.config.value_limit_bytes, where
            assert "scatter" in failure.text, where
        else:
            assert failure.kind == "ConnectionFailed", where

    def too_late(self, client: SimClient, act: Act, waited_s: float) -> None:
        """An act ends with False: its time is over."""
        assert act.timeout_s is not None, f"{client}: {act} was given up, and has no time limit"
        assert waited_s >= act.timeout_s - 1e-6, f"{client}: {act} was given up after {waited_s:.3f} s"

    # --- locks, semaphores, multilocks

    def granted(self, client: SimClient, names: tuple[str, ...], n: int) -> Grant:
        """Somebody has been given `n` of each of these names."""
        grant = Grant(client, self.passport(client), names, n)
        for name in names:
            holders = self.grants.setdefault(name, {})
            for holder in [holder for holder in holders if not self.valid(holder.passport)]:
                del holders[holder]
            if grant.passport is not None:
                holders[grant] = None
            if name not in self.closed:
                taken = sum(holder.n for holder in holders)
                assert taken <= limit_of(name), f"{name} is held {taken} times, by {[holder.client for holder in holders]}"
        return grant

    def given_back(self, grant: Grant) -> None:
        """It is about to be released."""
        for name in grant.names:
            self.grants[name].pop(grant, None)

    def release_answered(self, grant: Grant, failure: m.Failure | None) -> None:
        """The answer to a release."""
        if failure is not None and failure.kind not in ("ClosedError", "ConnectionFailed") and self.closed.isdisjoint(grant.names):
            assert not self.valid(grant.passport), f"{grant.client} held {grant.names}, and cannot release: {failure.text}"

    # --- values

    def made(self, client: SimClient, name: str) -> Item:
        """A value is about to be put or set."""
        token = len(self.items) + 1
        item = self.items[token] = Item(token, name, client, self.world.now(), self.world.oracle.schedulers_died)
        return item

    def arrived(self, item: Item) -> None:
        """Its maker hears that it is there."""
        item.done_at = self.world.now()

    def refused(self, item: Item) -> None:
        """Its maker hears that it is not."""
        item.refused = True
        assert item.sent is None, f"{item} was refused, and sent to {item.sent}"

    def _known(self, client: SimClient, name: str, token: int) -> Item:
        item = self.items.get(token)
        assert item is not None, f"{client} was given {token} out of {name}, which nobody made"
        assert item.name == name, f"{client} was given {item} out of {name}"
        assert not item.refused, f"{client} was given {item}, which was refused"
        return item

    def taken_out(self, client: SimClient, name: str, token: int) -> Item:
        """Somebody has got an item of a queue."""
        item = self._known(client, name, token)
        passport = self.passport(client)
        if item.reader is not None and self.valid(item.reader[1]):
            assert passport is None, f"{item} was given to {item.reader[0]}, and now to {client}"
            return item  # it comes late to one who was given up
        item.reader = (client, passport)
        return item

    def put_back(self, client: SimClient, item: Item) -> None:
        """Its reader had given up waiting, and is about to put it back."""
        if item.reader is None or item.reader[0] is not client:
            return  # it was somebody else's already
        item.returned_by = item.reader[1]
        item.reader = None
        item.sent_before = item.sent
        item.moved = True

    def is_back(self, item: Item) -> None:
        """That has been answered. It may have been sent to the next one before the answer came."""
        item.returned_by = None
        if item.sent == item.sent_before:
            item.sent = None

    def seen(self, client: SimClient, name: str, token: int, asked_at: float) -> None:
        """Somebody has read a variable."""
        item = self._known(client, name, token)
        for asked, done in self.settings.get(name, ()):
            assert not item.done_at < asked <= done < asked_at, f"{client} has read {item}, which was overwritten between {asked} and {done}"

    def setting(self, name: str) -> list[float]:
        """A variable is about to be set or deleted. The second element is to become the time at which that was done."""
        entry = [self.world.now(), NEVER]
        self.settings.setdefault(name, []).append(entry)
        return entry

    # --- what passes the scheduler's door

    def delivers(self, client: ClientId, message: m.Delivery) -> None:
        """Items leave for a reader."""
        if type(message.value) is list:
            for payload in message.value:
                item = self.items[decode(payload)[0]]
                item.moved = item.moved or item.sent is not None
                item.sent = (client, message.id)
                if not item.moved:
                    road = (item.name, item.client)
                    before = self.last_sent.get(road, 0)
                    assert before < item.token, f"{client} is sent {item} after {self.items[before]}"
                    self.last_sent[road] = item.token

    def hears(self, client: ClientId, message: m.Taken) -> None:
        """A reader has items."""
        self.taken.update((client, number) for number in message.ids)

    # --- at the end

    def check_events(self, name: str) -> None:
        """Somebody is told that the event is set."""
        assert name in self.set_events, f"event {name} is set, and nobody has set it"

    def check_lost(self) -> None:
        """Every queue has been emptied: every item is somewhere."""
        for item in self.items.values():
            if not item.name.startswith("q-") or item.name in self.closed or item.refused or item.done_at == NEVER:
                continue
            if item.era != self.world.oracle.schedulers_died or item.reader is not None:
                continue
            if item.returned_by is not None:
                assert not self.valid(item.returned_by), f"{item} was not put back"
            else:
                assert item.sent in self.taken, f"{item} is lost; it was sent to {item.sent}"
