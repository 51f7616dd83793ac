"""Values on their way from one client to another: in queues, in variables, and in transit.

A value that contains futures keeps their tasks alive (`TaskState.held`). An answer that carries values is a `Delivery`: until the client says `Taken`
they are in transit and still held, for the client may just have let go of a future of the same key. From the moment of the delivery the client counts
among those who want each key, so that the words on the keys follow at once: `KeysReady` and the like for what is known, then a `Reply` that ends the
delivery (without keys there is nothing to say, and no `Reply`).

A client that is forgotten before it said `Taken` has most likely never seen the value: an item of a queue then goes back to where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.query import BadRequest
from jupyterfut.core.scheduler.state import ClientState, State, TaskState
from jupyterfut.core.scheduler.transitions import Transitions
from jupyterfut.ids import Key
from jupyterfut.wire.messages import Delivery, KeysLost, Reply
from jupyterfut.wire.payload import Payload, payload_nbytes


class Value:
    """A payload with the futures inside: their keys, and the tasks that are held for them (a key that was not known any more has none)."""

    __slots__ = ("holds", "keys", "payload")

    def __init__(self, payload: Payload, keys: list[Key], holds: tuple[TaskState, ...]) -> None:
        self.payload = payload
        self.keys = keys
        self.holds = holds


class Transit:
    """What one client was sent and has not confirmed. `give_back` takes the values over if it never will."""

    __slots__ = ("give_back", "holds")

    def __init__(self, holds: list[TaskState], give_back: Callable[[], None] | None) -> None:
        self.holds = holds
        self.give_back = give_back


class Values:
    """Makes, delivers and drops values."""

    def __init__(self, state: State, transitions: Transitions) -> None:
        self._state = state
        self._transitions = transitions
        self._transit: dict[ClientState, dict[int, Transit]] = {}

    def check(self, payload: Payload) -> None:
        """Refuse what is too large to be kept here."""
        nbytes = payload_nbytes(payload)
        limit = self._state.config.value_limit_bytes
        if nbytes > limit:
            raise BadRequest(
                f"a value of {nbytes:,} bytes is too large to go through the scheduler (scheduler.value_limit_bytes is {limit:,}): "
                "scatter it first, `future = client.scatter(value)`, and send the future instead"
            )

    def make(self, payload: Payload, keys: list[Key]) -> Value:
        """Take a value in, and hold the futures inside."""
        return Value(payload, keys, self._transitions.hold(keys))

    def drop(self, value: Value) -> None:
        """It is not wanted any more."""
        self._let_go(value.holds)
        value.holds = ()

    def _let_go(self, holds: tuple[TaskState, ...] | list[TaskState]) -> None:
        self._transitions.let_go(holds)

    def give(self, client: ClientState, number: int, answer: Any, values: list[Value], give_back: Callable[[], None] | None) -> None:
        """Answer the client's request with `answer`, which contains the payloads of `values`. What these hold is now held in transit.

        `give_back` is called if the client is forgotten before it confirms: it owns the values' holds from then on.
        """
        state = self._state
        keys: dict[Key, None] = {}
        holds: list[TaskState] = []
        for value in values:
            keys.update(dict.fromkeys(value.keys))
            holds += value.holds
        self._transit.setdefault(client, {})[number] = Transit(holds, give_back)
        outbox = client.outbox
        post.append(state, outbox, Delivery(number, answer, list(keys)))
        if not keys:
            return
        for key in keys:
            task = state.tasks.get(key)
            if task is None:
                post.append(state, outbox, KeysLost([key], f"the scheduler does not know {key!r} any more: its last future was gone"))
            elif task not in client.wanted:  # else it has been told, or has let go of it just now and will say so
                self._transitions.want(client, task)
        post.append(state, outbox, Reply(number, None, None))

    def taken(self, client: ClientState, numbers: list[int]) -> None:
        """The client has these deliveries, and says itself what it wants."""
        transits = self._transit.get(client)
        if transits is None:
            return
        for number in numbers:
            transit = transits.pop(number, None)
            if transit is not None:
                self._let_go(transit.holds)
        if not transits:
            del self._transit[client]

    def forget_client(self, client: ClientState) -> None:
        """The client is gone with what was on its way to it. The latest goes back first, so that at the front of a queue the order is as it was."""
        for transit in reversed(list(self._transit.pop(client, {}).values())):
            if transit.give_back is not None:
                transit.give_back()
            else:
                self._let_go(transit.holds)

    def held(self) -> Iterator[TaskState]:
        """What is held in transit, for `invariants`."""
        for transits in self._transit.values():
            for transit in transits.values():
                yield from transit.holds

    def left(self) -> list[str]:
        """For `invariants.at_rest`."""
        return [f"{len(transits)} deliveries to {client}" for client, transits in self._transit.items()]
