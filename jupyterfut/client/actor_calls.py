"""The road of an actor's calls: from the caller's thread straight to the worker that holds the actor, and back. The scheduler is not asked.

The caller's thread pickles the arguments, leaves the call in its road's deque and wakes the loop if it sleeps; the loop sends what has gathered as
one frame. There is one road, and one stream, a worker, so calls arrive in the order in which they were made. An answer resolves the call's record,
on which futures, `as_completed` and `wait` work as on a task's.

A call runs at most once. When its stream breaks before the answer has come, when the scheduler says that the actor is lost or cancelled, when the
client is closed, it fails; nothing is ever sent again. (A stream that dies silently is found by the system's keep-alive, `comm.tcp`.)

Futures in arguments and results are kept alive on the way by whoever sent them. A call whose futures the scheduler may not know yet waits for its
word, and what comes after waits behind; whoever receives futures tells the scheduler of them before the sender may let go (`runtime.actors`,
`Taken`).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from jupyterfut.client.actors import reference_key
from jupyterfut.client.futures import Future
from jupyterfut.client.outcomes import error_of
from jupyterfut.comm import Stream, connect
from jupyterfut.config import settings
from jupyterfut.core.client import events as ev
from jupyterfut.core.client.state import Record
from jupyterfut.errors import ClosedError, JupyterfutError, SerializationError
from jupyterfut.ids import Address, Key
from jupyterfut.serde.calls import dumps_call, local_call
from jupyterfut.serde.pickles import captured
from jupyterfut.wire.messages import ActorAnswers, ActorCalls, Failure, Message, Taken
from jupyterfut.wire.payload import Local, Payload

if TYPE_CHECKING:
    from jupyterfut.client.client import Client

logger = logging.getLogger("jupyterfut.client")


class CallRecord(Record):
    """What is known of one call. It stands in no table: it lives as long as somebody has its future, or the call is under way."""

    __slots__ = ("held",)

    def __init__(self, name: str) -> None:
        super().__init__(Key(name))
        self.held: list[Future] = []  #: futures in the result


class ActorCall:
    """A call on its way. It keeps the actor alive, and the futures in its arguments."""

    __slots__ = ("actor", "args", "holds", "kept", "known", "name", "origin", "record")

    def __init__(self, actor: Future, name: str, args: Payload | None, holds: list[Key], kept: Any) -> None:
        self.actor = actor
        self.name = name
        self.args = args
        self.holds = holds
        self.kept = kept  #: the arguments themselves, if futures are among them
        self.known = False  #: the scheduler has heard of those futures
        self.origin = actor._client._origins.here()  #: who calls
        self.record = CallRecord(name)


class Calling:
    """One client's way to actors."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._session = client._session
        self._roads: dict[Address, Road] = {}
        self._lock = threading.Lock()

    def read(self, actor: Future, address: Address, name: str) -> CallRecord:
        """Ask for an attribute. Never blocks."""
        return self._leave(address, ActorCall(actor, name, None, [], None))

    def call(self, actor: Future, address: Address, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRecord:
        """Call a method. Never blocks. Raises `SerializationError`, and `ClosedError` once the client is closed."""
        payload, holds = self._arguments(args, kwargs)
        return self._leave(address, ActorCall(actor, name, payload, holds, (args, kwargs) if holds else None))

    async def close(self) -> None:
        """Close all streams; what has no answer fails. Idempotent. On the session's loop."""
        with self._lock:
            roads = list(self._roads.values())
        await asyncio.gather(*[road.close() for road in roads])

    def _leave(self, address: Address, call: ActorCall) -> CallRecord:
        session = self._session
        if session.closed is not None:
            raise ClosedError(session.closed)
        road = self._roads.get(address)
        if road is None:
            with self._lock:
                road = self._roads.setdefault(address, Road(self._client, address))
        record = call.record
        road.waiting.append(call)
        if road.asleep:
            road.wake()
        return record

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Payload, list[Key]]:
        by_reference = None
        if self._session.local:
            by_reference = Local((args, kwargs), 0)
            if not local_call(args, kwargs, reference_key)[2]:
                return by_reference, []
        try:
            payload, _, holds = dumps_call(args, kwargs, _stays)
        except SerializationError:
            if by_reference is None:
                raise
            return by_reference, []
        return captured(payload), holds


class Road:
    """The calls of one client to the actors of one worker. Its methods run on the session's loop, except `wake`."""

    def __init__(self, client: Client, address: Address) -> None:
        self.waiting: deque[ActorCall] = deque()  #: left by callers' threads
        self.asleep = True  #: nobody has called for `drain` yet
        self._client = client
        self._session = client._session
        self._address = address
        self._under_way: dict[int, ActorCall] = {}
        self._next_number = 1
        self._stream: Stream | None = None
        self._busy: asyncio.Task[None] | None = None  # opens the stream, or waits for the scheduler's word: no call leaves meanwhile
        self._jobs: set[asyncio.Task[None]] = set()
        self._closed = False

    def wake(self) -> None:
        """From any thread: there are calls."""
        self.asleep = False
        session = self._session
        try:
            if threading.get_ident() == session.thread_id:
                session.loop.call_soon(self.drain)
            else:
                session.loop.call_soon_threadsafe(self.drain)
        except RuntimeError:
            if not session.loop.is_closed():
                raise
            raise ClosedError("the client's event loop is closed") from None

    def drain(self) -> None:
        """Send what was left until now."""
        self.asleep = True  # first: who appends after our look at the deque wakes us again
        waiting = self.waiting
        if not waiting or self._busy is not None:
            return
        if self._closed or self._session.closed is not None:
            self._fail(self._all_waiting(), "ClosedError", self._session.closed or "the client is closed")
            return
        if self._stream is None:
            gone: dict[bool, list[ActorCall]] = {True: [], False: []}
            for call in self._all_waiting():
                gone[_is_gone(call.actor._record)].append(call)
            waiting.extendleft(reversed(gone[False]))  # before what has come meanwhile
            self._refuse(gone[True])
            if gone[False]:
                self._occupy(self._open())
            return
        messages: list[Message] = []
        calls: ActorCalls | None = None
        actor: Record | None = None
        origin = ""
        for _ in range(len(waiting)):
            call = waiting.popleft()
            if call.actor._record is not actor or call.origin != origin:
                actor, origin = call.actor._record, call.origin
                calls = None
                if not _is_gone(actor):
                    calls = ActorCalls(actor.key, [], [], [], [], origin)
                    messages.append(calls)
                    self._watch(actor)
            if calls is None:
                self._refuse([call])
                continue
            if call.holds:
                if not call.known and self._are_new(call.holds):
                    waiting.appendleft(call)
                    self._occupy(self._fence())
                    break
                calls.holds.extend([] for _ in range(len(calls.ids) - len(calls.holds)))
                calls.holds.append(call.holds)
            elif calls.holds:
                calls.holds.append([])
            number = self._next_number
            self._next_number = number + 1
            self._under_way[number] = call
            calls.ids.append(number)
            calls.names.append(call.name)
            calls.args.append(call.args)
        self._send([message for message in messages if message[1]])

    def _send(self, messages: list[Message]) -> None:
        stream = self._stream
        if stream is None or not messages:
            return
        try:
            stream.send(messages)
        except JupyterfutError as error:
            rows = [row for message in messages for row in _rows(message)]
            if len(rows) > 1:  # one of them cannot be sent: the others go alone
                for row in rows:
                    self._send([row])
                return
            failed = [self._under_way.pop(number) for number in rows[0].ids]
            self._fail(failed, "SerializationError", f"cannot be sent: {error}")

    def _are_new(self, keys: list[Key]) -> bool:
        """Whether the scheduler may not have heard of them: it surely has of those that have come to an end."""
        records = self._session.state.records
        return any((record := records.get(key)) is None or record.status == "pending" for key in keys)

    # --- the stream

    def _occupy(self, job: Any) -> None:
        """No call leaves until this is done."""
        self._busy = self._session.loop.create_task(job)

    async def _open(self) -> None:
        try:
            stream = await connect(
                self._address, security=self._client._links.security, hello={"role": "caller"}, timeout_s=settings().comm.connect_timeout_s
            )
        except (OSError, JupyterfutError) as error:
            self._fail(self._all_waiting(), "ActorLost", f"the actor's worker at {self._address} cannot be reached: {error}")
        else:
            self._stream = stream
            stream.start(self._on_messages, self._on_closed)
        self._busy = None
        self.drain()

    async def _fence(self) -> None:
        """The scheduler has read all that we said so far: it knows the futures that come with the next call."""
        first = self.waiting[0]
        try:
            await self._session.fence()
        except JupyterfutError as error:
            if self.waiting and self.waiting[0] is first:
                self.waiting.popleft()
            self._fail([first], type(error).__name__, str(error))
        else:
            first.known = True
        self._busy = None
        self.drain()

    async def close(self) -> None:
        """Fail what has no answer; close the stream."""
        self._closed = True
        busy, self._busy = self._busy, None
        if busy is not None:
            busy.cancel()
        jobs = [*self._jobs, *([busy] if busy is not None else [])]
        for job in self._jobs:
            job.cancel()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        self._fail(self._all_under_way() + self._all_waiting(), "ClosedError", "the client is closed")
        await asyncio.gather(*jobs, return_exceptions=True)
        if stream is not None:
            await stream.wait_closed()

    def _on_closed(self, reason: str) -> None:
        self._stream = None
        text = f"the connection to the actor's worker at {self._address} broke ({reason}) while the call was under way: it may have run or not"
        self._fail(self._all_under_way(), "ActorLost", text)

    # --- the actor

    def _watch(self, actor: Record) -> None:
        """Hear of it when the actor is lost or cancelled while calls are under way."""
        with self._session.lock:
            if actor.waiters is None:
                actor.waiters = []
            for waiter in actor.waiters:
                if type(waiter) is _ActorEnd and waiter.road is self:
                    return
            actor.waiters.append(_ActorEnd(self))

    def actor_ended(self, actor: Record) -> None:
        """The record of an actor has resolved once more."""
        if actor.status == "finished":
            self._watch(actor)
            return
        numbers = [number for number, call in self._under_way.items() if call.actor._record is actor]
        self._refuse([self._under_way.pop(number) for number in numbers])

    def _refuse(self, calls: list[ActorCall]) -> None:
        """There are no such actors (any more)."""
        for actor in {call.actor._record for call in calls}:
            kind = "CancelledError" if actor.status == "cancelled" else "ActorLost"
            self._fail([call for call in calls if call.actor._record is actor], kind, actor.reason or str(error_of(actor)))

    # --- answers

    def _on_messages(self, messages: list[Message]) -> None:
        under_way = self._under_way
        resolved: list[Record] = []
        taken: list[int] = []
        with self._session.lock:
            for message in messages:
                if type(message) is not ActorAnswers:
                    logger.error("a worker answers a call with %s", type(message).__name__)
                    continue
                ids, payloads, failure, holds = message
                for i, number in enumerate(ids):
                    call = under_way.pop(number, None)
                    if call is None:
                        continue  # given up: its actor was lost
                    record = call.record
                    if failure is None:
                        record.payload = payloads[i]
                        record.status = "finished"  # last: `result` looks without the lock
                        if holds and holds[i]:
                            record.held = [Future(self._session.hold(key), self._client) for key in holds[i]]
                            taken.append(number)
                    else:
                        record.failure = failure
                        record.status = "error"
                    resolved.append(record)
        self._session.perform([ev.Resolved(resolved)])
        if taken:
            self._start_job(self._take(taken))

    async def _take(self, numbers: list[int]) -> None:
        """Once the scheduler knows that we have these results' futures, the worker need not keep them any more."""
        await self._session.fence()
        if self._stream is not None:
            self._stream.send([Taken(numbers)])

    def _start_job(self, job: Any) -> None:
        task = self._session.loop.create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._job_ended)

    def _job_ended(self, task: asyncio.Task[None]) -> None:
        self._jobs.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.info("a worker was not told that futures have arrived: %s", error)

    def _all_waiting(self) -> list[ActorCall]:
        return [self.waiting.popleft() for _ in range(len(self.waiting))]

    def _all_under_way(self) -> list[ActorCall]:
        calls = list(self._under_way.values())
        self._under_way.clear()
        return calls

    def _fail(self, calls: list[ActorCall], kind: str, text: str) -> None:
        if not calls:
            return
        with self._session.lock:
            for call in calls:
                key = call.actor._record.key
                call.record.failure = Failure(kind, f"{call.name} of {key}: {text}", None, "", key)
                call.record.status = "error"
        self._session.perform([ev.Resolved([call.record for call in calls])])


class _ActorEnd:
    """The waiter of a road in the record of an actor. It stays there when the actor is well."""

    __slots__ = ("count", "road")

    def __init__(self, road: Road) -> None:
        self.road = road
        self.count = 0

    def __call__(self, record: Record) -> None:
        self.road.actor_ended(record)


def _stays(value: object) -> Key | None:
    """For the pickler, which would put the result in a future's place: here futures stay futures."""
    return None


def _is_gone(actor: Record) -> bool:
    """Whether there is no use in calling it. (Pending: it has just arrived here, and we have not heard of it yet.)"""
    return actor.status not in ("finished", "pending")


def _rows(message: Message) -> list[Any]:
    """The message as one message a row."""
    actor, ids, names, args, holds, origin = message
    return [ActorCalls(actor, [ids[i]], [names[i]], [args[i]], [holds[i]] if holds else [], origin) for i in range(len(ids))]
