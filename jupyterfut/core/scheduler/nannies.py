"""Nannies: who supervises which worker, and what they are asked.

A nanny says `NannyHello` on a stream of its own, which stays open (or, in the scheduler's own process, through the shell's door for it). It starts
worker processes and ends them; a worker names its nanny in its own hello (`info["nanny"]`). The scheduler asks a nanny by `Request`, and hears by
`Reply`. What it is asked is the business of others here (`plugins`, `restarts`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.dispatch import matches
from jupyterfut.core.scheduler.parking import Parked
from jupyterfut.core.scheduler.query import BadRequest
from jupyterfut.core.scheduler.state import ClientState, Outbox, State, WorkerState
from jupyterfut.ids import Key, PeerId
from jupyterfut.wire.messages import Failure, NannyHello, Reply, Request

OnAnswer = Callable[[Any, Failure | None], None]


class NannyState:
    """One nanny that is here. `address` is its id: nobody connects to a nanny."""

    __slots__ = ("address", "name", "outbox", "peer")

    def __init__(self, address: str, name: str, peer: PeerId) -> None:
        self.address = address
        self.name = name
        self.peer = peer
        self.outbox = Outbox(peer)

    def __repr__(self) -> str:
        return f"<Nanny {self.name}>"


class Nannies:
    """All nannies, and the questions that they have not answered."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.here: dict[str, NannyState] = {}  #: by id
        self.on_join: Callable[[NannyState], None] = lambda nanny: None
        self.on_leave: Callable[[NannyState], None] = lambda nanny: None
        self.late_ops: dict[str, Callable[[ClientState, int, dict[str, Any]], None]] = {"ask_nannies": self._ask_all}
        self._by_peer: dict[PeerId, NannyState] = {}
        self._asked: dict[NannyState, dict[int, OnAnswer]] = {}
        self._next_question = 1

    def of(self, worker: WorkerState) -> NannyState | None:
        """Who supervises the worker; None if nobody does, or has not said so."""
        return self.here.get(str(worker.info.get("nanny") or ""))

    # --- who comes and goes

    def welcome(self, peer: PeerId, hello: NannyHello) -> None:
        """A nanny has come. One that dies with its word (an older stream of the same nanny) makes room."""
        nanny_id = str(hello.info.get("id") or f"{hello.name}-{peer}")
        old = self.here.get(nanny_id)
        if old is not None:
            self.leave(old.peer)
        nanny = NannyState(nanny_id, hello.name, peer)
        self.here[nanny_id] = self._by_peer[peer] = nanny
        self._asked[nanny] = {}
        self.on_join(nanny)

    def leave(self, peer: PeerId) -> None:
        """The nanny behind this peer is gone, if there is one."""
        nanny = self._by_peer.pop(peer, None)
        if nanny is None:
            return
        del self.here[nanny.address]
        nanny.outbox.messages = []
        self.state.dirty.pop(nanny.outbox, None)
        self.on_leave(nanny)
        failure = Failure("ConnectionFailed", f"the nanny of worker {nanny.name} is gone", None, "", Key(""))
        for on_answer in self._asked.pop(nanny).values():
            on_answer(None, failure)

    # --- questions

    def ask(self, nanny: NannyState, op: str, args: dict[str, Any], on_answer: OnAnswer) -> None:
        """Ask a nanny that is here. `on_answer(value, failure)` is called once, later."""
        number = self._next_question
        self._next_question += 1
        self._asked[nanny][number] = on_answer
        post.append(self.state, nanny.outbox, Request(number, op, args))

    def answered(self, peer: PeerId, reply: Reply) -> None:
        """A nanny has answered."""
        nanny = self._by_peer.get(peer)
        on_answer = self._asked[nanny].pop(reply.id, None) if nanny is not None else None
        if on_answer is not None:
            on_answer(reply.value, reply.failure)

    def ask_each(
        self,
        client: ClientState,
        number: int,
        nannies: Mapping[Any, NannyState],
        op: str,
        args: dict[str, Any],
        timeout_s: float | None,
        on_failure: Callable[[Any], None] = lambda name: None,
        **facts: Any,
    ) -> None:
        """Answer a client's request with what each nanny answers: `{"answers": {name: [value, failure]}, "missing": names}`; missing are those that
        have not answered when the time was over. `facts` are added to it.
        `on_failure(name)` is called for each that has failed."""
        answers: dict[str, list[Any]] = {}
        waiting = dict.fromkeys(nannies)
        late: dict[str, Any] = {"answers": answers, "missing": [], **facts}
        parked: Parked = self.state.parked.park(client, number, timeout_s, lambda: late.update(missing=list(waiting)), late)

        def answer(name: str, value: Any, failure: Failure | None) -> None:
            answers[name] = [value, failure]
            waiting.pop(name, None)
            if failure is not None:
                on_failure(name)
            if not waiting and parked.here:
                self.state.parked.answer(parked, late)

        for name, nanny in nannies.items():
            self.ask(nanny, op, args, partial(answer, name))
        if not nannies:
            self.state.parked.answer(parked, late)

    def _ask_all(self, client: ClientState, number: int, args: dict[str, Any]) -> None:
        """Ask the nannies of these workers, or all."""
        names = tuple(args.get("workers") or ())
        if not names:
            chosen = self._by_worker()
        else:
            chosen = {}
            for worker in self.state.workers.values():
                if matches(worker, names):
                    nanny = self.of(worker)
                    if nanny is None:
                        raise BadRequest(f"worker {worker.name} at {worker.address} has no nanny")
                    chosen[worker.address] = nanny
            if not chosen:
                raise BadRequest(f"no worker matches {list(names)}")
        self.ask_each(client, number, chosen, str(args["op"]), args["args"], args.get("timeout_s"))

    def wrong(self) -> Iterator[str]:
        """What does not hold that must, a line each."""
        if list(self.here.values()) != list(self._by_peer.values()) or list(self._asked) != list(self.here.values()):
            yield "nannies by id, by peer, and those who were asked differ"

    def _by_worker(self) -> dict[str, NannyState]:
        """All nannies, by the address of the worker that is here, else by their own name."""
        named = {nanny: worker.address for worker in self.state.workers.values() if (nanny := self.of(worker)) is not None}
        return {named.get(nanny, nanny.name): nanny for nanny in self.here.values()}
