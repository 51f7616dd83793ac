"""The shell of the client's machine: takes what user threads leave for it, hands it to the machine in order, performs the effects.

User threads never touch the machine. They take the lock for the moment in which they look up or make a record, leave an event in `commands`, and
wake the loop if it sleeps. A future's death leaves its record in `deaths`; that takes no lock and may happen inside the garbage collector of any
thread. (The wake-up is one byte into the loop's own pipe, and only for the first of a batch.) The loop takes the deaths that it finds first and
handles them last, so that nothing is released before it was submitted.

Who listens: the link (messages to the scheduler), the waiters of records, those who asked questions.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

from jupyterfut.client.latches import Answer, LoopGate, ThreadGate
from jupyterfut.client.outcomes import exception_of
from jupyterfut.client.timeouts import Deadline
from jupyterfut.core.client import events as ev
from jupyterfut.core.client.machine import ClientMachine
from jupyterfut.core.client.state import Record
from jupyterfut.core.effects import Close, LinkLost, Log, Received, Send
from jupyterfut.errors import ClosedError, TimeoutError  # noqa: A004
from jupyterfut.ids import ClientId, FunctionId, Key, PeerId
from jupyterfut.wire.messages import Message, Notify

logger = logging.getLogger("jupyterfut.client")

SCHEDULER = PeerId(0)
Waiter = Callable[[Record], None]
Undo = Callable[[Any], object]


class Link(Protocol):
    """A session's way to its scheduler. Its methods run on the session's loop."""

    def send(self, messages: list[Message]) -> None:
        """Never blocks; keeps the order."""

    def cut(self, reason: str) -> None:
        """The session is over."""


class Session:
    """One client's conversation with one scheduler."""

    def __init__(self, client: ClientId, name: str, loop: asyncio.AbstractEventLoop, info: dict[str, Any] | None = None) -> None:
        self.machine = ClientMachine(client, name, info=info)
        self.state = self.machine.state
        self.loop = loop
        self.lock = threading.RLock()  # re-entrant: a user's __del__ may run inside it, and submit
        self.commands: deque[Any] = deque()  # events, and bare `events.Row`s
        self.deaths: deque[Record | FunctionId] = deque()
        self.asleep = True  # nobody has called for `drain` yet
        self.closed: str | None = None  # why, once it is
        self.link: Link | None = None
        self.started = False  # until then, what is left for the loop stays where it is
        self.thread_id = 0  # of the thread that runs the loop
        self.info: dict[str, Any] = {}  # what the scheduler said in its welcome
        self.cluster_id: str | None = None  # the scheduler's id, if it told
        self.before_release: Callable[[], None] | None = None  # to be called before deaths are handled
        self.on_new_conversation: Callable[[], None] | None = None  # a scheduler that knew nothing of this client has taken it in
        self.local = False  # objects travel by reference
        self.listeners: dict[str, tuple[Callable[[Any], object], ...]] = {}  # to notices, by topic
        self.at_welcome: list[Callable[[], object]] = []  # to be called, on the loop, when a scheduler has forgotten us and begins anew
        self.at_reopening: list[Callable[[list[Record]], object]] = []  # to be called, on the loop, with records that are pending again
        self.at_end: list[Callable[[str], object]] = []  # to be called, on the loop, when the session is over, with the reason
        self._performers: dict[type, Callable[[Any], None]] = {
            ev.Resolved: self._perform_resolved,
            ev.Reopened: self._perform_reopened,
            ev.Answered: self._perform_answered,
            ev.Welcomed: self._perform_welcomed,
            ev.Noticed: self._perform_noticed,
            Log: self._perform_log,
            Close: self._perform_close,
        }
        self.welcomed = Answer(lambda: None)  # replaced by whoever waits for the first welcome

    # --- from any thread

    def post(self, event: Any) -> None:
        """Leave an event for the loop. Never blocks. Raises ClosedError once the session is over."""
        if self.closed is not None:
            raise ClosedError(self.closed)
        self.commands.append(event)
        if self.asleep:
            self.wake()

    def wake(self) -> None:
        """Have the loop drain soon. Takes no lock: a finalizer may call it."""
        self.asleep = False
        if self.loop is None:
            return  # an asynchronous client that nobody has awaited yet
        try:
            if threading.get_ident() == self.thread_id:
                self.loop.call_soon(self.drain)
            else:
                self.loop.call_soon_threadsafe(self.drain)
        except RuntimeError:
            if not self.loop.is_closed():
                raise

    def watch(self, records: Iterable[Record], waiter: Any) -> int:
        """Let `waiter` (a `Countdown`) be called for each record that is pending; their number is its count, and returned."""
        count = 0
        with self.lock:
            for record in records:
                if record.status == "pending":
                    if record.waiters is None:
                        record.waiters = [waiter]
                    else:
                        record.waiters.append(waiter)
                    count += 1
            waiter.count = count
        return count

    def unwatch(self, records: Iterable[Record], waiter: Waiter) -> None:
        """Whoever waited has given up."""
        with self.lock:
            for record in records:
                if record.waiters is not None and waiter in record.waiters:
                    record.waiters.remove(waiter)

    def hold(self, key: Key) -> Record:
        """The record of a key that others made, with one reference more; the scheduler is told if it is new here."""
        with self.lock:
            record, new = self.state.hold(key)
            if new:
                self.post(ev.Want([record]))
        return record

    def ask_blocking(self, op: str, args: dict[str, Any], timeout: Deadline, undo: Undo | None = None) -> Any:
        """Ask the scheduler and wait for its answer. Raises TimeoutError, ClosedError, or the failure that it answers with.

        When the wait is interrupted or too long, the scheduler is told that nobody waits. If it had answered by then, `undo` gets the value, on the
        loop: what the question took (an item, a lock) can be given back there.
        """
        gate = ThreadGate()
        answer = Answer(gate.open)
        self.post(ev.Ask(answer, op, args))
        try:
            in_time = gate.wait(timeout.left())
        except BaseException:
            self._give_up(answer, undo)
            raise
        if not in_time:
            self._give_up(answer, undo)
            raise TimeoutError(f"the scheduler has not answered {op!r} within {timeout}")
        return _value(answer)

    async def ask(self, op: str, args: dict[str, Any], timeout: Deadline | None = None, undo: Undo | None = None) -> Any:
        """The same from a coroutine, in any loop."""
        gate = LoopGate()
        answer = Answer(gate.open)
        self.post(ev.Ask(answer, op, args))
        try:
            in_time = await gate.wait(None if timeout is None else timeout.left())
        except BaseException:
            self._give_up(answer, undo)
            raise
        if not in_time:
            self._give_up(answer, undo)
            raise TimeoutError(f"the scheduler has not answered {op!r} within {timeout}")
        return _value(answer)

    async def fence(self) -> None:
        """Return when the scheduler has read all that this client has said so far."""
        await self.ask("locate", {"keys": []})

    def _give_up(self, answer: Answer, undo: Undo | None) -> None:
        """Nobody waits for this answer any more."""
        if self.closed is None:
            self.post(_GaveUp(answer, undo or _keep))

    # --- notices, from any thread

    def notify(self, topic: str, value: Any) -> None:
        """Tell everybody who has subscribed to the topic. Never blocks. What a task notifies comes before its result."""
        self.post(ev.Tell(topic, value))

    def listen(self, topic: str, fn: Callable[[Any], object]) -> None:
        """Let `fn(value)` be called, on the loop, for everything that is notified on the topic from now on. Never blocks; whatever this client asks
        the scheduler afterwards finds it subscribed."""
        with self.lock:
            listeners = self.listeners.get(topic, ())
            self.listeners[topic] = (*listeners, fn)
            if not listeners:
                self.post(ev.Ask(_ignore, "subscribe", {"topic": topic}))

    def unlisten(self, topic: str, fn: Callable[[Any], object]) -> None:
        """Take one `listen` back. Does nothing if there was none, or the session is over."""
        with self.lock:
            rest = list(self.listeners.get(topic, ()))
            if fn not in rest:
                return
            rest.remove(fn)
            if rest:
                self.listeners[topic] = tuple(rest)
                return
            del self.listeners[topic]
            if self.closed is None:
                self.post(ev.Ask(_ignore, "unsubscribe", {"topic": topic}))

    # --- on the loop

    def drain(self) -> None:
        """Handle everything that user threads have left, in order."""
        self.asleep = True  # first: who appends after our look at the deques finds it so, and wakes us again
        if not self.started:
            return
        deaths = self.deaths
        dead = [deaths.popleft() for _ in range(len(deaths))]
        if not dead:
            self.drain_commands()
            return
        if self.before_release is not None:
            self.drain_commands()
            self.before_release()
        effects: list[Any] = []
        self._take_commands(effects)
        now = time.monotonic()
        with self.lock:
            records = [item for item in dead if type(item) is Record]
            if records:
                effects += self.machine.handle(ev.Drop(records), now)
            if len(records) < len(dead):
                for item in dead:
                    if type(item) is str:
                        effects += self.machine.handle(ev.DropFunction(FunctionId(item)), now)
        self.perform(effects)
        for record in records:
            if record.waiters and record.references <= 0:
                _tell_released(record)

    def drain_commands(self) -> None:
        """The same without the deaths."""
        if self.commands and self.started:
            effects: list[Any] = []
            self._take_commands(effects)
            self.perform(effects)

    def _take_commands(self, effects: list[Any]) -> None:
        """Hand over what was left until now; neighbouring calls together."""
        commands = self.commands
        handle = self.machine.handle
        now = time.monotonic()
        with self.lock:
            rows: list[Any] = []
            for _ in range(len(commands)):
                command = commands.popleft()
                if type(command) is tuple:
                    rows.append(command)
                    continue
                if rows:
                    effects += handle(ev.Submit(rows), now)
                    rows = []
                if type(command) is _GaveUp:
                    command = self._abandoned(command)
                    if command is None:
                        continue
                elif type(command) is ev.Tell and effects and _joins(effects[-1], command):
                    continue
                effects += handle(command, now)
            if rows:
                effects += handle(ev.Submit(rows), now)

    def _abandoned(self, command: _GaveUp) -> ev.Abandon | None:
        """On the loop, where answers arrive: it has, or it will."""
        answer, undo = command
        if not answer.arrived:
            answer.undo = undo
            return ev.Abandon(answer)
        if answer.failure is None:
            self.loop.call_soon(undo, answer.value)
        return None

    def receive(self, messages: list[Message]) -> None:
        """The link brings messages of the scheduler."""
        handle = self.machine.handle
        effects: list[Any] = []
        now = time.monotonic()
        with self.lock:
            for message in messages:
                effects += handle(Received(SCHEDULER, message), now)
        self.perform(effects)

    def handle(self, event: Any) -> None:
        """One event of the loop's own: the link stands, or is lost."""
        with self.lock:
            effects = self.machine.handle(event, time.monotonic())
        self.perform(effects)

    def start(self, link: Link) -> None:
        """There is a way to the scheduler, or will be. Called on the loop."""
        self.thread_id = threading.get_ident()
        self.link = link
        self.started = True
        self.wake()

    def lose(self, reason: str) -> None:
        """The link will not come back: all futures end, and nothing more is accepted."""
        self.started = True
        self.drain()
        if self.closed is None:
            self.closed = f"the connection to the scheduler is lost: {reason}"
        self.handle(LinkLost(SCHEDULER, reason))
        self._end()

    def leave(self, reason: str) -> None:
        """Say goodbye, and end all futures."""
        self.started = True
        self.drain()
        if self.closed is None:
            self.closed = reason
        self.handle(ev.Left(reason))
        self._end()

    def _end(self) -> None:
        assert self.closed is not None
        at_end, self.at_end = self.at_end, []
        for tell in at_end:
            tell(self.closed)

    # --- effects

    def perform(self, effects: list[Any]) -> None:
        """One short method an effect; messages leave together."""
        outgoing: list[Message] = []
        for effect in effects:
            if type(effect) is Send:
                outgoing.append(effect.message)
            elif type(effect) is Close:
                if outgoing:
                    self._send(outgoing)
                    outgoing = []
                self._perform_close(effect)
            else:
                self._performers[type(effect)](effect)
        if outgoing:
            self._send(outgoing)

    def _send(self, messages: list[Message]) -> None:
        if self.link is not None:
            self.link.send(messages)

    def _perform_resolved(self, effect: ev.Resolved) -> None:
        waiting = []
        with self.lock:
            for record in effect.records:
                if record.waiters is not None and record.status != "pending":  # it may have been reopened in the same batch
                    waiting.append((record, record.waiters))
                    record.waiters = None
        for record, waiters in waiting:
            for waiter in waiters:
                try:
                    waiter(record)
                except Exception:  # one waiter's trouble must not keep the others waiting
                    logger.exception("telling somebody that %s is %s", record.key, record.status)

    def _perform_reopened(self, effect: ev.Reopened) -> None:
        """Who meets these records finds them pending; who shows them is told."""
        for tell in self.at_reopening:
            tell(effect.records)

    def _perform_answered(self, effect: ev.Answered) -> None:
        effect.asker(effect.value, effect.failure)

    def _perform_welcomed(self, effect: ev.Welcomed) -> None:
        self.info = effect.info
        self.welcomed(effect.info, None)
        if not effect.resumed:  # whom it knew, if it knew anybody, the scheduler has forgotten
            with self.lock:
                for topic in self.listeners:
                    self.post(ev.Ask(_ignore, "subscribe", {"topic": topic}))
            if self.on_new_conversation is not None:
                self.on_new_conversation()
            if self.state.conversation > 1:
                for tell in self.at_welcome:
                    tell()

    def _perform_noticed(self, effect: ev.Noticed) -> None:
        for topic, value in zip(effect.topics, effect.values, strict=True):
            for listener in self.listeners.get(topic, ()):
                try:
                    listener(value)
                except Exception:  # one listener's trouble must not keep the others from hearing
                    logger.exception("telling somebody of %r", topic)

    def _perform_log(self, effect: Log) -> None:
        logger.log(logging.getLevelNamesMapping()[effect.level.upper()], effect.text)

    def _perform_close(self, effect: Close) -> None:
        if self.closed is None:
            self.closed = effect.reason
        if self.link is not None:
            self.link.cut(effect.reason)
        self._end()


class _GaveUp(NamedTuple):
    """Nobody waits for the answer."""

    answer: Answer
    undo: Undo


def _joins(last: Any, tell: ev.Tell) -> bool:
    """Whether the notice has joined the message that is to be sent last: together they cost half of what they cost one by one."""
    if type(last) is not Send or type(last.message) is not Notify:
        return False
    last.message.topics.append(tell.topic)
    last.message.values.append(tell.value)
    return True


def _tell_released(record: Record) -> None:
    """The last future of a pending task has died. Whoever waits holds a future; but some only look on (waiters with a method `released`)."""
    for waiter in record.waiters or ():
        released = getattr(waiter, "released", None)
        if released is not None:
            released(record)


def _keep(value: Any) -> None:
    """The undo of a question that changes nothing."""


def _ignore(value: Any, failure: Any) -> None:
    """The asker who needs no answer. (Subscribing cannot fail; when the session ends there is nobody to tell.)"""


def _value(answer: Answer) -> Any:
    if answer.failure is not None:
        raise exception_of(answer.failure)
    return answer.value
