"""What a record that is no longer pending means to the user: a value, or an exception to raise."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

from jupyterfut import errors, serde
from jupyterfut.client.blame import add_notes
from jupyterfut.client.current import chosen
from jupyterfut.core.client.state import Record
from jupyterfut.serde.pickles import SHORTEST_GLOBAL
from jupyterfut.wire.messages import Failure
from jupyterfut.wire.payload import Payload

if TYPE_CHECKING:
    from jupyterfut.client.client import Client


def value_of(client: Client, payload: Payload) -> Any:
    """The value of a result of this client's. Futures and actors inside it become this client's, whatever other clients there are."""
    if type(payload) is bytes and len(payload) < SHORTEST_GLOBAL:
        return serde.loads(payload)
    token = chosen.set(client)
    try:
        return serde.loads(payload)
    finally:
        chosen.reset(token)


def error_of(record: Record) -> BaseException:
    """A fresh exception for a record whose status is `error`, `cancelled` or `lost`."""
    if record.failure is not None:
        error = exception_of(record.failure)
        add_notes(error, record.failure, record)
        return error
    reason = record.reason or "no reason was given"
    if record.status == "lost":
        return errors.LostData(f"{record.key}: {reason}")
    return errors.CancelledError(f"{record.key}: {reason}")


def exception_of(failure: Failure) -> BaseException:
    """The exception that a failure stands for: the task's own when it came along, else the class of `jupyterfut.errors` that the scheduler names."""
    if failure.payload is not None:
        return serde.exception_from_failure(failure)
    kind = getattr(errors, failure.kind, None) or getattr(builtins, failure.kind, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        return kind(failure.text)
    return serde.exception_from_failure(failure)
