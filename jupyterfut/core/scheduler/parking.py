"""Requests that are answered later: when a lock is free, an item arrives, enough workers are there, or when their time is over.

Whoever parks a request keeps it in its own order of waiting (a queue's getters, a lock's next holders) and answers it once; `Parking` knows the
deadlines and which requests a client waits for. A waiter that goes before it was answered (its deadline came, it gave up, its client is forgotten) is
told to `leave` that order. Each costs O(log n) in the number of deadlines, and nothing while nothing happens.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any

from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.state import ClientState, State
from jupyterfut.ids import Key
from jupyterfut.wire.messages import Failure, Reply


class Parked:
    """One waiting request. `late` is what its deadline answers: a value, or a `Failure`."""

    __slots__ = ("client", "deadline", "here", "id", "late", "leave")

    def __init__(self, client: ClientState, number: int, deadline: float | None, leave: Callable[[], None], late: Any) -> None:
        self.client = client
        self.id = number
        self.deadline = deadline
        self.leave = leave
        self.late = late
        self.here = True  #: not answered yet

    def __repr__(self) -> str:
        return f"<Parked {self.id} of {self.client.id}>"


class Parking:
    """All waiting requests."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._by_client: dict[ClientState, dict[int, Parked]] = {}
        self._deadlines: list[tuple[float, int, Parked]] = []  # a heap; those answered since are skipped, and thrown out when they are the most
        self._answered = 0  # of `_deadlines`
        self._order = 0

    def __len__(self) -> int:
        return sum(map(len, self._by_client.values()))

    def __iter__(self) -> Any:
        return (parked for requests in self._by_client.values() for parked in requests.values())

    def park(self, client: ClientState, number: int, timeout_s: float | None, leave: Callable[[], None], late: Any) -> Parked:
        """Let the request wait, for `timeout_s` seconds at most (None: as long as it takes)."""
        deadline = None if timeout_s is None else self._state.now + timeout_s
        parked = Parked(client, number, deadline, leave, late)
        self._by_client.setdefault(client, {})[number] = parked
        if deadline is not None:
            self._order += 1
            heappush(self._deadlines, (deadline, self._order, parked))
        return parked

    def answer(self, parked: Parked, value: Any = None) -> None:
        """It waits no longer: this is the answer."""
        self._remove(parked)
        post.append(self._state, parked.client.outbox, Reply(parked.id, value, None))

    def fail(self, parked: Parked, kind: str, text: str) -> None:
        """It waits no longer: there is no answer. `kind` names an exception."""
        self._remove(parked)
        post.append(self._state, parked.client.outbox, Reply(parked.id, None, Failure(kind, text, None, "", Key(""))))

    def take(self, parked: Parked) -> None:
        """It waits no longer, and the caller sends the answer itself."""
        self._remove(parked)

    def abandon(self, client: ClientState, numbers: list[int]) -> None:
        """The client gave up. What is still parked ends with CancelledError; the answers to the others are on their way already."""
        requests = self._by_client.get(client, {})
        for number in numbers:
            parked = requests.get(number)
            if parked is not None:
                parked.leave()
                self.fail(parked, "CancelledError", "the client has given up waiting")

    def forget_client(self, client: ClientState) -> None:
        """The client is gone: nobody waits for these answers. One waiter's leaving may be another's turn, of the same client too; then that one is
        answered, which does no harm."""
        for parked in list(self._by_client.get(client, {}).values()):
            if parked.here:
                parked.leave()
                self._remove(parked)

    def expire(self) -> None:
        """Answer those whose time is over."""
        now = self._state.now
        deadlines = self._deadlines
        while deadlines and (deadlines[0][0] <= now or not deadlines[0][2].here):
            parked = heappop(deadlines)[2]
            if not parked.here:
                self._answered -= 1
            else:
                parked.deadline = None
                parked.leave()
                self._remove(parked)
                value, failure = (None, parked.late) if type(parked.late) is Failure else (parked.late, None)
                post.append(self._state, parked.client.outbox, Reply(parked.id, value, failure))

    def next_deadline(self) -> float | None:
        """When `expire` has something to do at the latest."""
        deadlines = self._deadlines
        while deadlines and not deadlines[0][2].here:
            heappop(deadlines)
            self._answered -= 1
        return deadlines[0][0] if deadlines else None

    def _remove(self, parked: Parked) -> None:
        parked.here = False
        requests = self._by_client[parked.client]
        del requests[parked.id]
        if not requests:
            del self._by_client[parked.client]
        if parked.deadline is not None:
            self._answered += 1
            if self._answered > 64 and 2 * self._answered > len(self._deadlines):
                self._deadlines[:] = [entry for entry in self._deadlines if entry[2].here]
                heapify(self._deadlines)
                self._answered = 0
