"""Multilocks: several locks at once, all of them or any `num` of them.

Each name has a line of those who ask for it, and each request stands in the lines of all its names from the moment at which it came. Whoever is first
in a line has that name, either because it holds its locks or because they are kept for it until it is first in enough lines. The oldest request that
waits has only holders before it: so nobody waits for ever, whatever names are asked for together, and nobody is overtaken. Once a request is first in
`num` lines it holds these, and leaves the others.

These names have nothing to do with those of locks. A name exists while somebody stands in its line.
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


class Claim:
    """One request for `num` of `names`; `first_in` are those lines in which it is first. It holds them when it is not `parked` any more."""

    __slots__ = ("client", "first_in", "holder", "names", "num", "parked")

    def __init__(self, client: ClientState, holder: str, names: list[str], num: int) -> None:
        self.client = client
        self.holder = holder
        self.names = names
        self.num = num
        self.first_in: dict[str, None] = {}
        self.parked: Parked | None = None

    def __repr__(self) -> str:
        return f"<{self.holder}: first in {len(self.first_in)} of {len(self.names)} lines, wants {self.num}>"


class MultiLocks:
    """All lines by name, and all requests by holder."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.lines: dict[str, OrderedDict[Claim, None]] = {}
        self.claims: dict[str, Claim] = {}
        self._by_client: dict[ClientState, dict[Claim, None]] = {}  # those that hold their locks
        self.ops = {"multilock_release": self.release}
        self.late_ops = {"multilock_acquire": self.acquire}

    # --- requests

    def acquire(self, client: ClientState, number: int, args: dict[str, Any]) -> None:
        """Take `num` of the locks for `holder` (all, when it is not said); False if they cannot be had in time."""
        names, holder, timeout_s = arguments.texts(args, "names"), arguments.text(args, "holder"), arguments.timeout_s(args)
        num = len(names) if args.get("num") is None else arguments.number(args, "num", 1)
        if not names or num > len(names):
            raise BadRequest(f"{num} locks cannot be had of {len(names)}" if names else "no names were given to lock")
        if holder in self.claims:
            raise BadRequest(f"{holder!r} holds its locks already, or waits for them")
        if sum(name not in self.lines for name in names) < num and timeout_s == 0:
            post.append(self._state, client.outbox, Reply(number, False, None))
            return
        claim = self.claims[holder] = Claim(client, holder, names, num)
        for name in names:
            line = self.lines.get(name)
            if line is None:
                line = self.lines[name] = OrderedDict()
                claim.first_in[name] = None
            line[claim] = None
            if len(claim.first_in) == num:
                break
        if len(claim.first_in) == num:
            self._hold(claim)
            post.append(self._state, client.outbox, Reply(number, True, None))
        else:
            claim.parked = self._state.parked.park(client, number, timeout_s, lambda: self._leave(claim), False)

    def release(self, client: ClientState, args: dict[str, Any]) -> None:
        """`holder` gives all its locks back."""
        holder = arguments.text(args, "holder")
        claim = self.claims.get(holder)
        if claim is None or claim.parked is not None:
            raise BadRequest("cannot release the locks: they are not held by the one who releases them", "RuntimeError")
        self._leave(claim)

    # --- lines

    def _hold(self, claim: Claim) -> None:
        """It is first in enough lines: it leaves the others."""
        for name in claim.names:
            line = self.lines.get(name)
            if line is not None and claim in line and name not in claim.first_in:
                del line[claim]  # somebody else is first there
        self._by_client.setdefault(claim.client, {})[claim] = None

    def _leave(self, claim: Claim) -> None:
        """It leaves all its lines, and the next in each moves up."""
        del self.claims[claim.holder]
        mine = self._by_client.get(claim.client)
        if mine is not None and claim in mine:
            del mine[claim]
            if not mine:
                del self._by_client[claim.client]
        for name in claim.names:
            line = self.lines.get(name)
            if line is None or claim not in line:
                continue
            del line[claim]
            if not line:
                del self.lines[name]
            elif name in claim.first_in:
                self._move_up(name, next(iter(line)))

    def _move_up(self, name: str, claim: Claim) -> None:
        """It is first in one line more."""
        claim.first_in[name] = None
        parked = claim.parked
        if parked is not None and len(claim.first_in) == claim.num:
            claim.parked = None
            self._hold(claim)
            self._state.parked.answer(parked, True)

    def forget_client(self, client: ClientState) -> None:
        """The locks that it holds go to the next."""
        for claim in list(self._by_client.get(client, ())):
            self._leave(claim)

    # --- for invariants

    def left(self) -> list[str]:
        return [f"multilock {claim}" for claim in self.claims.values()] + [f"line of {name}" for name in self.lines]

    def wrong(self) -> list[str]:
        """What contradicts itself."""
        found = []
        for name, line in self.lines.items():
            if not line or any(self.claims.get(claim.holder) is not claim or name not in claim.names for claim in line):
                found.append(f"multilock {name}: its line is wrong")
            if [claim for claim in line if name in claim.first_in] != [next(iter(line))]:
                found.append(f"multilock {name}: the first in line does not know it, or another thinks so")
        for claim in self.claims.values():
            holds = claim.parked is None
            if holds != (len(claim.first_in) == claim.num) or holds != (claim in self._by_client.get(claim.client, ())):
                found.append(f"multilock {claim}: {'it holds' if holds else 'it waits'}")
            if claim.parked is not None and not claim.parked.here:
                found.append(f"multilock {claim}: it is not parked")
            if self._state.clients.get(claim.client.id) is not claim.client:
                found.append(f"multilock {claim}: held by a client that is gone")
            lines = [name for name in claim.names if claim in self.lines.get(name, ())]
            if lines != ([name for name in claim.names if name in claim.first_in] if holds else claim.names):
                found.append(f"multilock {claim}: stands in the lines of {lines}")
        return found
