"""How a value gets into the scheduler's keeping and out again.

It is pickled, and the scheduler never opens it. Futures inside are named beside it, so that the scheduler keeps their tasks alive as long as it has
the value; they arrive as futures of the client that gets them, knowing their state. In an in-process cluster a value travels as it is, by reference,
unless there are futures in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jupyterfut import serde
from jupyterfut.client import current
from jupyterfut.client.futures import Future
from jupyterfut.config import settings
from jupyterfut.core.client.events import Delivered
from jupyterfut.core.client.state import Record
from jupyterfut.ids import Key
from jupyterfut.serde.calls import local_call
from jupyterfut.wire.payload import Blob, Local, Payload, payload_nbytes

if TYPE_CHECKING:
    from jupyterfut.client.client import Client


def packed(client: Client, value: Any) -> tuple[Payload, list[Key]]:
    """The value's payload, which no longer shares memory with the value, and the keys of the futures inside. Raises `SerializationError`."""
    if client._session.local and not local_call((value,), {}, _key_of)[2]:
        return Local(value, 0), []  # whatever its size, a reference costs the scheduler nothing
    payload, _nbytes, holds = serde.dumps_result(value)
    if type(payload) is Blob:  # its parts are the value's own memory, which may change as soon as the user goes on
        payload = Blob(bytes(payload.head), [bytes(buffer) for buffer in payload.buffers])
    return payload, holds


def for_scheduler(client: Client, value: Any, what: object) -> tuple[Payload, list[Key]]:
    """The same for something that the scheduler keeps or passes on. Raises ValueError when it is too large for that."""
    payload, holds = packed(client, value)
    refuse_large(payload, what)
    return payload, holds


def refuse_large(payload: Payload, what: object) -> None:
    """Raises ValueError for what would not be good for the scheduler."""
    limit = settings().scheduler.value_limit_bytes
    if payload_nbytes(payload) > limit:
        raise ValueError(
            f"a value of {payload_nbytes(payload) / 1e6:.1f} MB is too large for {what}: it would go through the scheduler, which takes "
            f"{limit / 1e6:g} MB at most (scheduler.value_limit_bytes). Scatter it, and send its future: client.scatter(value)"
        )


def opened(client: Client, payload: Payload) -> Any:
    """The value; futures inside belong to `client`. Raises whatever its unpickling raises."""
    if type(payload) is Local:
        return payload.value
    token = current.chosen.set(client)
    try:
        return serde.loads(payload)
    finally:
        current.chosen.reset(token)


def unpacked(client: Client, answer: Delivered) -> Any:
    """The value, or the list of values, of a scheduler's answer. Raises whatever unpickling raises; interrupted, it leaves the answer as it was."""
    try:
        if type(answer.value) is list:
            value: Any = [opened(client, payload) for payload in answer.value]
        else:
            value = opened(client, answer.value)
    except Exception:
        let_go(client, answer.records)
        raise
    let_go(client, answer.records)  # the futures have their own references by now
    return value


def let_be(client: Client, answer: Delivered) -> None:
    """Nobody wants this answer any more."""
    let_go(client, answer.records)


def let_go(client: Client, records: list[Record]) -> None:
    """Drop the references that an answer came with. Never blocks."""
    if records:
        session = client._session
        session.deaths.extend(records)
        if session.asleep:
            session.wake()


def _key_of(value: object) -> Key | None:
    return value._record.key if isinstance(value, Future) else None
