"""From futures to values: wait with one countdown, take small results from the records, fetch large ones from the workers that hold them, unpickle
where the caller is.

Small results are in the records already, so gathering n of them asks nobody. For large ones the scheduler is asked once who holds them, and each
worker once for all that it holds. What a worker does not have (it died, or just dropped it) is reported to the scheduler, which lets it be
computed again; we wait with everybody else.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from jupyterfut import serde
from jupyterfut.client.eventual import Eventual
from jupyterfut.client.future_list import FutureList
from jupyterfut.client.futures import Future
from jupyterfut.client.latches import Countdown, LoopGate, ThreadGate
from jupyterfut.client.outcomes import error_of, value_of
from jupyterfut.client.timeouts import Deadline, Timeout
from jupyterfut.core.client import events as ev
from jupyterfut.core.client.state import Record
from jupyterfut.errors import ConnectionFailed, LostData, TaskInterrupted, TimeoutError  # noqa: A004
from jupyterfut.ids import Address, Key
from jupyterfut.serde.tracebacks import fold
from jupyterfut.wire.messages import DataSent
from jupyterfut.wire.payload import Payload

if TYPE_CHECKING:
    from jupyterfut.client.client import Client

Errors = Literal["raise", "skip"]
_plain_loads = pickle.loads
_ROUNDS = 5
"""So often a result is looked for where the scheduler says it is, before we say that it cannot be reached."""


class Gathering:
    """The client's way from futures to values."""

    def __init__(self, client: Client) -> None:
        self._client = client

    # --- waiting

    def until_done(self, records: list[Record], timeout: Timeout | Deadline, fail_fast: bool = False) -> None:
        """Block until no record is pending (with `fail_fast`: or one has failed). Raises TimeoutError."""
        deadline = timeout if isinstance(timeout, Deadline) else Deadline(timeout)
        session = self._client._session
        while True:
            gate = ThreadGate()
            countdown = Countdown(gate.open, fail_fast)
            if not session.watch(records, countdown):
                return
            opened = False
            try:
                if fail_fast and _one_failed(records):  # it failed before we watched, so nobody will tell us
                    return
                opened = gate.wait(deadline.left())
            except TaskInterrupted:
                self._stop(records)
                raise
            finally:
                if not opened or fail_fast:
                    session.unwatch(records, countdown)
            if not opened:
                raise _too_late(records, deadline)

    def _stop(self, records: list[Record]) -> None:
        """The task that waits for these was cancelled: they are cancelled with it, unless somebody else here has them."""
        session = self._client._session
        with session.lock:
            alone = [record for record in records if record.status == "pending" and record.references == 1]
        if alone and session.closed is None:
            session.post(ev.Cancel(alone, False, "the task that waited for it was cancelled"))

    async def until_done_async(self, records: list[Record], timeout: Timeout | Deadline, fail_fast: bool = False) -> None:
        """The same in a coroutine, in any loop."""
        deadline = timeout if isinstance(timeout, Deadline) else Deadline(timeout)
        session = self._client._session
        while True:
            gate = LoopGate()
            countdown = Countdown(gate.open, fail_fast)
            if not session.watch(records, countdown):
                return
            opened = False
            try:
                if fail_fast and _one_failed(records):  # it failed before we watched, so nobody will tell us
                    return
                opened = await gate.wait(deadline.left())
            finally:
                if not opened or fail_fast:
                    session.unwatch(records, countdown)
            if not opened:
                raise _too_late(records, deadline)

    # --- one

    def one(self, future: Eventual, timeout: Timeout) -> Any:
        """The waiting road of `Future.result`. (Written out for one record: between a submit and the wait that follows, the loop stands still.)"""
        record = future._record
        deadline = Deadline(timeout)
        session = self._client._session
        while record.status == "pending":
            gate = ThreadGate()
            with session.lock:
                if record.status != "pending":
                    break
                if record.waiters is None:
                    record.waiters = [gate]
                else:
                    record.waiters.append(gate)
            opened = False
            try:
                opened = gate.wait(None if deadline.at is None else deadline.left())
            except TaskInterrupted:
                self._stop([record])
                raise
            finally:
                if not opened:
                    session.unwatch([record], gate)
            if not opened:
                raise _too_late([record], deadline)
        payload = record.payload
        if payload is not None:
            return value_of(self._client, payload)
        return self._value_or_raise(record, self._payloads([record]))

    async def one_async(self, future: Eventual, timeout: Timeout) -> Any:
        record = future._record
        try:
            await self.until_done_async([record], timeout)
            return self._value_or_raise(record, await self._payloads_async([record]))
        except BaseException as error:
            fold(error)
            raise

    def _value_or_raise(self, record: Record, payloads: dict[Record, Payload]) -> Any:
        payload = payloads.get(record)
        if payload is None:
            raise error_of(record)
        return value_of(self._client, payload)

    # --- many

    def gather(self, nested: Any, errors: Errors, timeout: Timeout) -> Any:
        """Values in the shape of `nested`. Blocks."""
        if type(nested) in (list, FutureList) and set(map(type, nested)) == {Future}:
            futures: list[Eventual] = nested
            fill: Callable[[dict[Record, Any], Errors], Any] | None = None
        else:
            futures, fill = _unpack(nested)
        _check_errors(errors)
        records = [future._record for future in futures]
        self._check_owner(futures)
        self.until_done(records, timeout, fail_fast=errors == "raise")
        if fill is None:
            payloads = [record.payload for record in records]
            if None not in payloads:  # all are small and here: the road of nearly every gather
                loads = serde.loads
                with self._client.as_current():
                    return [_plain_loads(payload) if type(payload) is bytes else loads(payload) for payload in payloads]  # type: ignore[arg-type]  # none is None
        if errors == "raise":
            _raise_first(records)
        payloads_by_record = self._payloads(records)
        with self._client.as_current():
            return _values(records, payloads_by_record, errors, fill)

    async def gather_async(self, nested: Any, errors: Errors, timeout: Timeout) -> Any:
        """The same in a coroutine."""
        try:
            return await self._gather_async(nested, errors, timeout)
        except BaseException as error:
            fold(error)
            raise

    async def _gather_async(self, nested: Any, errors: Errors, timeout: Timeout) -> Any:
        futures, fill = _unpack(nested)
        _check_errors(errors)
        records = [future._record for future in futures]
        self._check_owner(futures)
        await self.until_done_async(records, timeout, fail_fast=errors == "raise")
        if errors == "raise":
            _raise_first(records)
        payloads = await self._payloads_async(records)
        with self._client.as_current():
            return _values(records, payloads, errors, fill)

    def _check_owner(self, futures: list[Eventual]) -> None:
        client = self._client
        for future in futures:
            if future._client is not client and future._client.cluster_id != client.cluster_id:
                raise ValueError(f"{future.key} belongs to another cluster: gather it with its own client (future.client)")

    # --- payloads of large results

    def _payloads(self, records: list[Record]) -> dict[Record, Payload]:
        found = {record: payload for record in records if record.status == "finished" and (payload := record.payload) is not None}
        if len(found) == len(records):
            return found
        away = list(dict.fromkeys([record for record in records if record not in found and record.status in ("finished", "pending")]))
        if away:
            found.update(self._client._run(self._fetch(away)))
        return found

    async def _payloads_async(self, records: list[Record]) -> dict[Record, Payload]:
        found = {record: payload for record in records if record.status == "finished" and (payload := record.payload) is not None}
        if len(found) == len(records):
            return found
        away = list(dict.fromkeys([record for record in records if record not in found and record.status in ("finished", "pending")]))
        if away:
            found.update(await self._client._on_loop(self._fetch(away)))
        return found

    async def _fetch(self, records: list[Record]) -> dict[Record, Payload]:
        """Runs on the session's loop. A record that fails meanwhile is left out."""
        session = self._client._session
        found: dict[Record, Payload] = {}
        todo = records
        trouble = "no worker has it"
        for _ in range(_ROUNDS):
            await self.until_done_async(todo, None)
            away = []
            for record in todo:
                if record.payload is not None:
                    found[record] = record.payload
                elif record.status == "finished":
                    away.append(record)
            if not away:
                return found
            where: dict[Key, list[Address]] = await session.ask("locate", {"keys": [record.key for record in away]})
            plan = _plan([record.key for record in away], where)
            answers = await asyncio.gather(*[self._client._links.get(address, keys) for address, keys in plan.items()], return_exceptions=True)
            values: dict[Key, Payload] = {}
            missing: list[list[str]] = []
            for (address, keys), answer in zip(plan.items(), answers, strict=True):
                if isinstance(answer, DataSent):
                    values.update(zip(answer.keys, answer.payloads, strict=True))
                elif isinstance(answer, ConnectionFailed):
                    trouble = str(answer)
                elif isinstance(answer, BaseException):
                    raise answer
                missing += [[key, address] for key in keys if key not in values]
            todo = []
            for record in away:
                if record.key in values:
                    found[record] = values[record.key]
                else:
                    todo.append(record)
            if not todo:
                return found
            if missing:
                await session.ask("missing", {"keys": missing})
        raise LostData(f"the result of {todo[0].key} cannot be fetched: {trouble}")


def _plan(keys: Iterable[Key], where: dict[Key, list[Address]]) -> dict[Address, list[Key]]:
    """Whom to ask for what: of several holders the one with the least to send."""
    plan: dict[Address, list[Key]] = {}
    for key in keys:
        holders = where.get(key)
        if holders:
            plan.setdefault(min(holders, key=lambda address: len(plan.get(address, ()))), []).append(key)
    return plan


def _one_failed(records: list[Record]) -> bool:
    return any(record.status not in ("finished", "pending") for record in records)


def _raise_first(records: list[Record]) -> None:
    for record in records:
        if record.status not in ("finished", "pending"):
            raise error_of(record)


def _too_late(records: list[Record], deadline: Deadline) -> TimeoutError:
    waiting = [record.key for record in records if record.status == "pending"]
    more = f" and {len(waiting) - 3} more" if len(waiting) > 3 else ""
    return TimeoutError(f"still pending after {deadline}: {', '.join(waiting[:3])}{more}")


def _check_errors(errors: str) -> None:
    if errors not in ("raise", "skip"):
        raise ValueError(f"errors is 'raise' or 'skip', not {errors!r}")


def _values(records: list[Record], payloads: dict[Record, Payload], errors: Errors, fill: Callable[[dict[Record, Any], Errors], Any] | None) -> Any:
    loads = serde.loads
    if fill is None:
        if errors == "raise":
            _raise_first(records)
        return [loads(payloads[record]) for record in records if record in payloads]
    if errors == "raise":
        _raise_first(records)
    return fill({record: loads(payload) for record, payload in payloads.items()}, errors)


_SKIPPED = object()


def _unpack(nested: Any) -> tuple[list[Eventual], Callable[[dict[Record, Any], Errors], Any]]:
    """The futures in a structure, and how to make the same structure of values. With `errors="skip"`, what failed is left out of its container."""
    futures: list[Eventual] = []
    _collect(nested, futures)

    def fill(values: dict[Record, Any], errors: Errors) -> Any:
        result = _filled(nested, values)
        return None if result is _SKIPPED else result

    return futures, fill


def _collect(item: Any, futures: list[Eventual]) -> None:
    if isinstance(item, Eventual):
        futures.append(item)
    elif type(item) in (list, FutureList, tuple, set, frozenset) or _is_namedtuple(item):
        for part in item:
            _collect(part, futures)
    elif type(item) is dict:
        for part in item.values():
            _collect(part, futures)


def _filled(item: Any, values: dict[Record, Any]) -> Any:
    if isinstance(item, Eventual):
        return values.get(item._record, _SKIPPED)
    kind = type(item)
    if kind in (list, FutureList, tuple, set, frozenset):
        return (list if kind is FutureList else kind)([value for part in item if (value := _filled(part, values)) is not _SKIPPED])
    if _is_namedtuple(item):
        return kind(*[None if (value := _filled(part, values)) is _SKIPPED else value for part in item])
    if kind is dict:
        return {key: value for key, part in item.items() if (value := _filled(part, values)) is not _SKIPPED}
    return item


def _is_namedtuple(item: Any) -> bool:
    return isinstance(item, tuple) and hasattr(item, "_fields") and type(item).__base__ is tuple
