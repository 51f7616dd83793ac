"""Plugins of workers and nannies: kept here as pickles that nobody opens, given to everybody who is here and to everybody who joins.

A client registers one (`register_plugin`); all workers (or nannies) set it up and say how that went; when the last has answered, or is gone, so does
the scheduler. One that failed anywhere is taken out everywhere: it is registered as a whole, or not at all. Later members get all plugins of their
kind with their welcome, before anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.nannies import Nannies, NannyState
from jupyterfut.core.scheduler.parking import Parked
from jupyterfut.core.scheduler.query import BadRequest
from jupyterfut.core.scheduler.state import ClientState, State, WorkerState
from jupyterfut.ids import Key
from jupyterfut.wire.messages import Failure, Reply
from jupyterfut.wire.messages import Plugins as PluginsMessage
from jupyterfut.wire.payload import Payload

Member = WorkerState | NannyState


class _Round:
    """One registration (or its end) under way."""

    def __init__(self, kind: str, name: str, payload: Payload | None, parked: Parked | None) -> None:
        self.kind = kind
        self.name = name
        self.payload = payload  # None: it is being taken out
        self.parked = parked  # None: nobody waits, or not any more
        self.waiting: dict[Member, None] = {}
        self.done: dict[Member, None] = {}
        self.failure: Failure | None = None


class Plugins:
    """The plugins by kind ("worker", "nanny") and name, in the order of their registration."""

    def __init__(self, state: State, nannies: Nannies) -> None:
        self.state = state
        self.nannies = nannies
        self.kept: dict[str, dict[str, Payload]] = {"worker": {}, "nanny": {}}
        self.late_ops: dict[str, Callable[[ClientState, int, dict[str, Any]], None]] = {
            "register_plugin": self._register,
            "unregister_plugin": self._unregister,
        }
        self._rounds: dict[int, _Round] = {}
        self._next_round = 1  # 0 is that of members who join
        nannies.on_join = self.joined
        nannies.on_leave = self.left

    # --- members

    def joined(self, member: Member) -> None:
        """Give it what there is."""
        kept = self.kept[_kind_of(member)]
        if kept:
            self._tell(member, 0, [], dict(kept), joining=True)

    def left(self, member: Member) -> None:
        """It will not answer any more, and that is no failure."""
        for number, one in list(self._rounds.items()):
            one.waiting.pop(member, None)
            one.done.pop(member, None)
            self._look(number, one)

    def answered(self, member: Member, reply: Reply) -> None:
        """It has done what it was told, or failed."""
        one = self._rounds.get(reply.id)
        if one is None or member not in one.waiting:
            return
        del one.waiting[member]
        if reply.failure is None:
            one.done[member] = None
        elif one.failure is None:
            one.failure = reply.failure
        self._look(reply.id, one)

    def _tell(self, member: Member, number: int, removed: list[str], plugins: dict[str, Payload], joining: bool = False) -> None:
        if type(member) is NannyState:
            args = {"removed": removed, "plugins": plugins}
            self.nannies.ask(member, "plugins", args, lambda value, failure: self.answered(member, Reply(number, value, failure)))
        else:
            post.append(self.state, member.outbox, PluginsMessage(number, removed, plugins, joining))

    # --- clients

    def _register(self, client: ClientState, number: int, args: dict[str, Any]) -> None:
        kind, name, payload = str(args["kind"]), str(args["name"]), args["payload"]
        kept = self._kept(kind)
        parked = self.state.parked.park(client, number, args.get("timeout_s"), lambda: self._nobody_waits(parked), _late(name))
        if args.get("idempotent") and name in kept:
            self.state.parked.answer(parked, {})
            return
        kept.pop(name, None)  # it goes to the end of the order
        kept[name] = payload
        self._begin(_Round(kind, name, payload, parked))

    def _unregister(self, client: ClientState, number: int, args: dict[str, Any]) -> None:
        kind, name = str(args["kind"]), str(args["name"])
        if self._kept(kind).pop(name, None) is None:
            raise BadRequest(f"there is no {kind} plugin {name!r}")
        parked = self.state.parked.park(client, number, args.get("timeout_s"), lambda: self._nobody_waits(parked), _late(name))
        self._begin(_Round(kind, name, None, parked))

    def _kept(self, kind: str) -> dict[str, Payload]:
        if kind not in self.kept:
            raise BadRequest(f"there are no plugins of the kind {kind!r}")
        return self.kept[kind]

    def _begin(self, one: _Round, members: Iterable[Member] | None = None) -> None:
        number = self._next_round
        self._next_round += 1
        self._rounds[number] = one
        everybody: Iterable[Member] = self.state.workers.values() if one.kind == "worker" else self.nannies.here.values()
        for member in list(everybody if members is None else members):
            one.waiting[member] = None
            if one.payload is None:
                self._tell(member, number, [one.name], {})
            else:
                self._tell(member, number, [], {one.name: one.payload})
        self._look(number, one)

    def _look(self, number: int, one: _Round) -> None:
        """Whether all have answered."""
        if one.waiting or number not in self._rounds:
            return
        del self._rounds[number]
        if one.failure is not None and one.payload is not None:
            kept = self.kept[one.kind]
            if kept.get(one.name) is one.payload:  # nobody has registered another meanwhile
                del kept[one.name]
                self._begin(_Round(one.kind, one.name, None, None), one.done)
        parked = one.parked
        if parked is None:
            return
        if one.failure is None:
            self.state.parked.answer(parked, {member.address: "OK" for member in one.done})
        else:
            self.state.parked.take(parked)
            post.append(self.state, parked.client.outbox, Reply(parked.id, None, one.failure))

    def wrong(self) -> Iterator[str]:
        """What does not hold that must, a line each."""
        for number, one in self._rounds.items():
            here: Iterable[Member] = self.state.workers.values() if one.kind == "worker" else self.nannies.here.values()
            if not one.waiting or not set(one.waiting) | set(one.done) <= set(here):
                yield f"plugin {one.name!r}, round {number}: waits for nobody, or for somebody who is gone"
            if one.parked is not None and not one.parked.here:
                yield f"plugin {one.name!r}, round {number}: its client has been answered"

    def _nobody_waits(self, parked: Parked) -> None:
        for one in self._rounds.values():
            if one.parked is parked:
                one.parked = None
                if one.waiting:
                    names = ", ".join(member.name for member in one.waiting)
                    parked.late = Failure("TimeoutError", f"plugin {one.name!r} is not set up yet on {names}", None, "", Key(""))


def _kind_of(member: Member) -> str:
    return "worker" if type(member) is WorkerState else "nanny"


def _late(name: str) -> Failure:
    return Failure("TimeoutError", f"plugin {name!r} is not set up everywhere yet", None, "", Key(""))
