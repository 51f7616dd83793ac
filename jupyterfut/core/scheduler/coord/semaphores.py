"""Semaphores: so many leases under one name, for whoever asks first; and locks, which are semaphores with one lease.

A *holder* is a name that a client makes for each acquisition; it holds `n` leases at once and gives them back in one go or in several. Waiters are
served in their order: one who wants several leases is not overtaken by one who wants a single one. When a client is forgotten its leases go to the
next in line.

A semaphore exists from the first request that names it until it is closed, since its number of leases is a fact that others count on; who waits then
is told, and leases that are given back later are unknown. A lock exists while somebody holds it or waits for it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.coord import arguments
from jupyterfut.core.scheduler.parking import Parked
from jupyterfut.core.scheduler.query import BadRequest
from jupyterfut.core.scheduler.state import ClientState, State
from jupyterfut.wire.messages import Reply


class Lease:
    """What one holder has."""

    __slots__ = ("client", "holder", "n", "semaphore")

    def __init__(self, semaphore: Semaphore, client: ClientState, holder: str, n: int) -> None:
        self.semaphore = semaphore
        self.client = client
        self.holder = holder
        self.n = n


class Waiter:
    """One who waits for `n` leases."""

    __slots__ = ("n", "parked")

    def __init__(self, n: int) -> None:
        self.n = n
        self.parked: Parked


class Semaphore:
    """One semaphore or lock."""

    __slots__ = ("free", "leases", "max_leases", "name", "waiters")

    def __init__(self, name: str, max_leases: int) -> None:
        self.name = name
        self.max_leases = max_leases
        self.free = max_leases
        self.leases: dict[str, Lease] = {}
        self.waiters: OrderedDict[str, Waiter] = OrderedDict()

    def __repr__(self) -> str:
        return f"<{self.name}: {self.free} of {self.max_leases} free, {len(self.waiters)} waiters>"


class _Leases:
    """What semaphores and locks have in common."""

    what: str  #: in texts

    def __init__(self, state: State) -> None:
        self._state = state
        self.semaphores: dict[str, Semaphore] = {}
        self._by_client: dict[ClientState, dict[Lease, None]] = {}

    def _take(self, semaphore: Semaphore, client: ClientState, number: int, holder: str, n: int, timeout_s: float | None) -> None:
        """Answer with True once `holder` has `n` leases; with False when its time is over."""
        state = self._state
        if holder in semaphore.leases or holder in semaphore.waiters:
            raise BadRequest(f"{holder!r} holds the {self.what} {semaphore.name!r} already, or waits for it")
        if not semaphore.waiters and semaphore.free >= n:
            self._grant(semaphore, client, holder, n)
            post.append(state, client.outbox, Reply(number, True, None))
        elif timeout_s == 0:
            post.append(state, client.outbox, Reply(number, False, None))
        else:
            waiter = semaphore.waiters[holder] = Waiter(n)
            waiter.parked = state.parked.park(client, number, timeout_s, lambda: self._leave(semaphore, holder), False)

    def _grant(self, semaphore: Semaphore, client: ClientState, holder: str, n: int) -> None:
        semaphore.free -= n
        lease = semaphore.leases[holder] = Lease(semaphore, client, holder, n)
        self._by_client.setdefault(client, {})[lease] = None

    def _give_back(self, lease: Lease, n: int) -> None:
        semaphore = lease.semaphore
        lease.n -= n
        semaphore.free += n
        if not lease.n:
            del semaphore.leases[lease.holder]
            mine = self._by_client[lease.client]
            del mine[lease]
            if not mine:
                del self._by_client[lease.client]
        self._serve(semaphore)

    def _serve(self, semaphore: Semaphore) -> None:
        """Leases are free, or the first in line has left: whose turn is it?"""
        waiters = semaphore.waiters
        while waiters:
            holder = next(iter(waiters))
            waiter = waiters[holder]
            if waiter.n > semaphore.free:
                return
            del waiters[holder]
            self._grant(semaphore, waiter.parked.client, holder, waiter.n)
            self._state.parked.answer(waiter.parked, True)
        if not semaphore.leases:
            self._idle(semaphore)

    def _idle(self, semaphore: Semaphore) -> None:
        """Nobody holds it or waits for it."""

    def _leave(self, semaphore: Semaphore, holder: str) -> None:
        del semaphore.waiters[holder]
        self._serve(semaphore)

    def _lease(self, name: str, holder: str, n: int) -> Lease:
        semaphore = self.semaphores.get(name)
        lease = None if semaphore is None else semaphore.leases.get(holder)
        if lease is None or lease.n < n:
            raise BadRequest(f"cannot release the {self.what} {name!r}: it is not held by the one who releases it", "RuntimeError")
        return lease

    def forget_client(self, client: ClientState) -> None:
        """Its leases go to the next in line."""
        for lease in list(self._by_client.get(client, ())):
            self._give_back(lease, lease.n)

    # --- for invariants

    def left(self) -> list[str]:
        return [f"{self.what} {semaphore}" for semaphore in self.semaphores.values()]

    def wrong(self) -> list[str]:
        """What contradicts itself."""
        found = []
        held = 0
        for name, semaphore in self.semaphores.items():
            where = f"{self.what} {name}"
            held += len(semaphore.leases)
            if semaphore.free + sum(lease.n for lease in semaphore.leases.values()) != semaphore.max_leases or semaphore.free < 0:
                found.append(f"{where}: {semaphore.free} free of {semaphore.max_leases}, the leases do not add up")
            if any(lease.n < 1 or lease not in self._by_client.get(lease.client, ()) for lease in semaphore.leases.values()):
                found.append(f"{where}: a lease of nothing, or of a client that does not know")
            if any(self._state.clients.get(lease.client.id) is not lease.client for lease in semaphore.leases.values()):
                found.append(f"{where}: held by a client that is gone")
            if not all(waiter.parked.here for waiter in semaphore.waiters.values()):
                found.append(f"{where}: a waiter is not parked")
            if semaphore.waiters and next(iter(semaphore.waiters.values())).n <= semaphore.free:
                found.append(f"{where}: the first in line waits though it need not")
        if held != sum(map(len, self._by_client.values())):
            found.append(f"{self.what}: clients hold what is not there")
        return found


class Semaphores(_Leases):
    """All semaphores by name."""

    what = "semaphore"

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.ops = {
            "semaphore_create": self.create,
            "semaphore_release": self.release,
            "semaphore_value": self.value,
            "semaphore_close": self.close,
        }
        self.late_ops = {"semaphore_acquire": self.acquire}

    def _semaphore(self, args: dict[str, Any]) -> Semaphore:
        """The one of this name, which is made if it is not there."""
        name, max_leases = arguments.text(args, "name"), arguments.number(args, "max_leases", 1)
        semaphore = self.semaphores.get(name)
        if semaphore is None:
            semaphore = self.semaphores[name] = Semaphore(name, max_leases)
        elif semaphore.max_leases != max_leases:
            raise BadRequest(f"the semaphore {name!r} has {semaphore.max_leases} leases, not {max_leases}")
        return semaphore

    def create(self, client: ClientState, args: dict[str, Any]) -> None:
        """Make the semaphore if it is not there. It keeps its number of leases."""
        self._semaphore(args)

    def acquire(self, client: ClientState, number: int, args: dict[str, Any]) -> None:
        """Take `n` leases for `holder`: all at once, or, when the time is over, none."""
        holder, n, timeout_s = arguments.text(args, "holder"), arguments.number(args, "n", 1, 1), arguments.timeout_s(args)
        semaphore = self._semaphore(args)
        if n > semaphore.max_leases:
            raise BadRequest(f"the semaphore {semaphore.name!r} has {semaphore.max_leases} leases: {n} at once cannot be had")
        self._take(semaphore, client, number, holder, n, timeout_s)

    def release(self, client: ClientState, args: dict[str, Any]) -> None:
        """Give `n` leases of `holder` back."""
        n = arguments.number(args, "n", 1, 1)
        self._give_back(self._lease(arguments.text(args, "name"), arguments.text(args, "holder"), n), n)

    def value(self, client: ClientState, args: dict[str, Any]) -> int:
        """How many leases are taken."""
        semaphore = self.semaphores.get(arguments.text(args, "name"))
        return 0 if semaphore is None else semaphore.max_leases - semaphore.free

    def close(self, client: ClientState, args: dict[str, Any]) -> None:
        """Drop the semaphore with its leases; who waits for it is told."""
        semaphore = self.semaphores.pop(arguments.text(args, "name"), None)
        if semaphore is None:
            return
        for waiter in semaphore.waiters.values():
            self._state.parked.fail(waiter.parked, "ClosedError", f"the semaphore {semaphore.name!r} was closed")
        semaphore.waiters.clear()
        for lease in list(semaphore.leases.values()):
            self._give_back(lease, lease.n)


class Locks(_Leases):
    """All locks that are held, by name."""

    what = "lock"

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.ops = {"lock_release": self.release, "lock_locked": self.locked}
        self.late_ops = {"lock_acquire": self.acquire}

    def acquire(self, client: ClientState, number: int, args: dict[str, Any]) -> None:
        """Take the lock for `holder`; False if that cannot be done in time."""
        name, holder, timeout_s = arguments.text(args, "name"), arguments.text(args, "holder"), arguments.timeout_s(args)
        lock = self.semaphores.get(name)
        if lock is None:
            lock = self.semaphores[name] = Semaphore(name, 1)
        self._take(lock, client, number, holder, 1, timeout_s)

    def release(self, client: ClientState, args: dict[str, Any]) -> None:
        """`holder` gives the lock back."""
        self._give_back(self._lease(arguments.text(args, "name"), arguments.text(args, "holder"), 1), 1)

    def locked(self, client: ClientState, args: dict[str, Any]) -> bool:
        """Whether somebody has it."""
        return arguments.text(args, "name") in self.semaphores

    def _idle(self, semaphore: Semaphore) -> None:
        del self.semaphores[semaphore.name]
