"""How a simulated thread runs one call: the body of a task as a generator that says what it waits for.

The worker's node drives it. It yields `Work` (virtual seconds that pass), `Block` and `Unblock` (the task leaves its slot and takes one again),
`Results` (wait for these futures of the task's client) and `Acting` (use a queue, a lock ...); it returns the call's value and the keys of the
futures inside, or raises `TaskError`, `TaskRescheduled`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from jupyterfut.ids import Key
from jupyterfut.sim.values import decode, mix
from jupyterfut.sim.workload import ALWAYS, Act, Call
from jupyterfut.wire.payload import Payload

if TYPE_CHECKING:
    from jupyterfut.sim.clients import SimClient, SimFuture
    from jupyterfut.sim.oracle import Oracle


class Work(NamedTuple):
    """The thread is busy for so long."""

    seconds: float


class Block(NamedTuple):
    """The task leaves its slot."""


class Unblock(NamedTuple):
    """The task takes a slot again. `wait`: not before there is one (`rejoin`)."""

    wait: bool


class Results(NamedTuple):
    """Wait until all of these are there; sent back is the list of their payloads, or the first `TaskError` is thrown."""

    futures: list[SimFuture]


class Acting(NamedTuple):
    """Do something with a queue, a lock ..., as this client."""

    client: SimClient
    act: Act


Pause: TypeAlias = Work | Block | Unblock | Results | Acting
Body: TypeAlias = Generator[Pause, list[Payload] | None, tuple[int, tuple[Key, ...]]]


class TaskError(Exception):
    """The task raises. `kind` and `text` are those of its `Failure`."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(kind, text)
        self.kind = kind
        self.text = text


class TaskRescheduled(Exception):
    """The task raises `Reschedule`."""


def body(call: Call, inputs: Sequence[int], oracle: Oracle, open_client: Callable[[], SimClient]) -> Body:
    """The task's function. `inputs` are its dependencies' values; `open_client()` is `get_client()`."""
    run = oracle.run_starts(call.key)
    if run <= call.reschedules:
        yield Work(call.duration_s / 2)
        raise TaskRescheduled
    yield Work(call.duration_s)
    if call.flakes == ALWAYS or run <= call.flakes:
        oracle.run_fails(call.key)
        raise TaskError("SimError", failure_text(call.key))
    for act in call.acts:
        yield Acting(open_client(), act)
    if call.body == "value":
        return mix(call.function, call.const, inputs), ()
    client = open_client()
    futures: list[SimFuture] = []
    try:
        futures += client.want(call.held)
        futures += client.submit_keys(call.children)
        if call.body == "futures":
            return mix(call.function, call.const, inputs), call.children
        values = list(inputs)
        if futures:
            if call.pause == "secede":
                yield Block()
            payloads = yield Results(futures)
            assert payloads is not None
            if call.pause == "secede":
                yield Unblock(wait=True)
            values += [decode(payload)[0] for payload in payloads]
            yield Work(call.duration_s / 10)
        return mix(call.function, call.const, values), ()
    finally:
        client.release_later(futures)


def failure_text(key: Key) -> str:
    """`str` of the exception that the task of this key raises by itself."""
    return f"{key} fails"
