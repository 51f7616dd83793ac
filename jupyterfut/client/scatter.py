"""Data of the user's to the cluster: small values to the scheduler, which gives them on inside its messages; large ones straight to the workers'
data servers.

Elements of a list are spread over the workers' threads round robin (the scheduler says where). Equal values share one key, `typename-<hash>`, and
are sent once, unless `hash=False`. In an in-process cluster everything is handed over by reference.
"""

from __future__ import annotations

import asyncio
import builtins
import os
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from jupyterfut import serde
from jupyterfut.client.future_list import FutureList
from jupyterfut.client.futures import Future
from jupyterfut.client.outcomes import exception_of
from jupyterfut.client.submit import feed, worker_names
from jupyterfut.client.timeouts import Deadline, Timeout
from jupyterfut.config import settings
from jupyterfut.core.client import events as ev
from jupyterfut.core.client.state import Record
from jupyterfut.errors import ConnectionFailed, SerializationError, TimeoutError  # noqa: A004
from jupyterfut.ids import Address, Key
from jupyterfut.wire.payload import Local, Payload, payload_nbytes

_TRIES = 5
"""So often data is brought to workers that leave before they have taken it, before we say so."""

if TYPE_CHECKING:
    from jupyterfut.client.client import Client


class Item(NamedTuple):
    """One value on its way."""

    future: Future
    payload: Payload
    type: str
    nbytes: int


class Scattering:
    """The client's way from values to futures."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def prepare(self, data: Any, hash: bool) -> tuple[list[Item], Callable[[], Any]]:  # noqa: A002  # the name that users of dask.distributed know
        """Pickle, in the caller's thread. Returns the values that have to travel, and how to make the answer once they have. Raises
        SerializationError."""
        kind = list if type(data) is FutureList else type(data)
        if kind is dict:
            for key in data:
                if not isinstance(key, str):
                    raise TypeError(f"scatter: the keys of a dict become keys of tasks, so they are strings, not {key!r}")
            items = [self._item(value, Key(key), hash) for key, value in data.items()]
            futures = [item.future for item in items]
            return items, lambda: dict(zip(data, futures, strict=True))
        if kind in (list, tuple, set, frozenset):
            items = [self._item(value, None, hash) for value in data]
            return items, lambda: kind([item.future for item in items])
        if isinstance(data, Iterator) or kind is range:
            items = [self._item(value, None, hash) for value in data]
            if kind is range:
                return items, lambda: [item.future for item in items]
            return items, lambda: (item.future for item in items)
        item = self._item(data, None, hash)
        return [item], lambda: item.future

    def _item(self, value: Any, key: Key | None, hash: bool) -> Item:  # noqa: A002
        if isinstance(value, Future):
            raise TypeError(f"scatter takes data, and {value!r} is on the cluster already")
        session = self._client._session
        payload: Payload
        if session.local:
            content = None
            if key is None and hash:
                try:
                    content = serde.dumps(value)
                except SerializationError:
                    content = None  # by reference it travels all the same, under a key of its own
            nbytes = serde.sizeof(value)
            payload = Local(value, nbytes)
        else:
            content = payload = serde.dumps(value)
            nbytes = max(payload_nbytes(payload), 28)
        if key is None:
            name = type(value).__name__
            if hash and content is not None:
                digest = blake2b(digest_size=16)
                feed(digest, content)
                key = Key(f"{name}-{digest.hexdigest()}")
            else:
                key = Key(f"{name}-{os.urandom(16).hex()}")
        with session.lock:
            record, _ = session.state.hold(key)
        return Item(Future(record, self._client), payload, serde.type_name(value), nbytes)

    async def place(self, items: list[Item], workers: Any, broadcast: bool | int, timeout: Timeout) -> None:
        """Send what is not there yet; returns when the scheduler knows of all of it. On the session's loop."""
        deadline = Deadline(timeout)
        names = worker_names(workers)
        if not broadcast and names is None:
            items = [item for item in items if item.future.status != "finished"]
        items = list({item.future._record: item for item in items}.values())
        if not items:
            return
        session = self._client._session
        limit = session.info.get("inline_bytes", settings().worker.inline_bytes)
        small = [item for item in items if type(item.payload) is Local or item.nbytes <= limit]
        large = [item for item in items if not (type(item.payload) is Local or item.nbytes <= limit)]
        if small:
            args = {
                "keys": [item.future._record.key for item in small],
                "payloads": [item.payload for item in small],
                "types": [item.type for item in small],
                "nbytes": [item.nbytes for item in small],
                "workers": names,
            }
            await session.ask("scatter_small", args, deadline)
            self._done(small, keep=True)
        if large:
            await self._place_large(large, names, broadcast, deadline)

    async def _place_large(self, items: list[Item], names: list[str] | None, broadcast: bool | int, deadline: Deadline) -> None:
        todo = items
        for tries_left in reversed(range(_TRIES)):
            lost = await self._put(todo, names, broadcast, deadline)
            if not lost:
                break
            if not tries_left:
                raise next(iter(lost.values()))
            todo = [item for item in todo if item.future._record in lost]
        self._done(items, keep=False)

    async def _put(self, items: list[Item], names: list[str] | None, broadcast: bool | int, deadline: Deadline) -> dict[Record, ConnectionFailed]:
        """Bring the data to the workers that the scheduler names. Returns what did not arrive, because its worker has left: somebody else has to take
        it."""
        session = self._client._session
        plan = await self._plan(len(items), names, broadcast, deadline)
        by_worker: dict[Address, list[Item]] = {}
        for item, addresses in zip(items, plan, strict=True):
            for address in addresses:
                by_worker.setdefault(address, []).append(item)
        puts = [
            self._client._links.put(
                address,
                session.machine.client,
                [item.future._record.key for item in theirs],
                [item.payload for item in theirs],
                [item.type for item in theirs],
            )
            for address, theirs in by_worker.items()
        ]
        try:
            async with asyncio.timeout(deadline.left()):
                outcomes = await asyncio.gather(*puts, return_exceptions=True)
        except builtins.TimeoutError as error:
            raise TimeoutError(f"the workers have not taken the data within {deadline}") from error
        lost: dict[Record, ConnectionFailed] = {}
        for theirs, outcome in zip(by_worker.values(), outcomes, strict=True):
            if outcome is None:
                continue
            why = outcome if isinstance(outcome, BaseException) else exception_of(outcome)
            if not isinstance(why, ConnectionFailed):
                raise why
            lost.update(dict.fromkeys([item.future._record for item in theirs], why))
        return lost

    async def _plan(self, count: int, names: list[str] | None, broadcast: bool | int, deadline: Deadline) -> list[list[Address]]:
        session = self._client._session
        args = {"count": count, "workers": names, "broadcast": broadcast}
        await session.ask("wait_for_workers", {"n": 1, "timeout_s": deadline.left()})
        plan: list[list[Address]] = await session.ask("plan_scatter", args, deadline)
        return plan

    def _done(self, items: list[Item], keep: bool) -> None:
        """`keep`: small payloads stay in the records, so that `result()` asks nobody."""
        records: list[Record] = [item.future._record for item in items]
        payloads = [item.payload if keep else None for item in items]
        self._client._session.post(ev.Scattered(records, payloads, [item.type for item in items], [item.nbytes for item in items]))
        self._client._session.drain()
