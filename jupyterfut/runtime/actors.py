"""The actors that live in one worker, and how calls reach them.

An actor is what a task with `actor=True` returned. It stays here: what travels as the task's result is a *description*, a small pickle that becomes a
`client.actors.Actor` wherever it is opened, so whoever gets the result of such a task (a client, another task, another actor) can call it. Calls come
straight to this worker's data server (`ActorCalls`) and are answered on the same stream (`ActorAnswers`); the scheduler does not hear of them.

Each actor has a thread of its own, made when it is first needed and ended with the actor, which runs plain methods one after the other in the order
in which they came. It takes no place among the worker's threads, so actors that call each other, or wait for tasks, never use up the slots. `async
def` methods are awaited on the worker's loop and overlap; a call that comes after one begins when that one has come to its first `await`.

An actor ends when the scheduler says that nobody has a reference to it (or forgets this worker): the object is let go, in the actor's own thread if
it has one, and its `__del__` runs there.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
import pickle
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from time import perf_counter
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from jupyterfut.comm import Stream
from jupyterfut.core.worker.events import Call
from jupyterfut.core.worker.stream import Row
from jupyterfut.errors import JupyterfutError, SerializationError
from jupyterfut.ids import Attempt, FunctionId, Key
from jupyterfut.runtime.context import Desk, TaskContext, here, in_coroutine, started_from
from jupyterfut.serde import dumps_result, failure_from_exception, loads_call
from jupyterfut.serde.calls import local_call
from jupyterfut.serde.pickles import captured
from jupyterfut.wire.messages import ActorAnswers, ActorCalls, Failure, Message, Taken
from jupyterfut.wire.payload import Local, Payload

if TYPE_CHECKING:
    from jupyterfut.runtime.client_link import ClientLink
    from jupyterfut.runtime.worker_server import Worker

logger = logging.getLogger("jupyterfut.worker")

IS_METHOD = b""
"""The answer to the reading of an attribute that turned out to be a method."""


class Errand:
    """One call of an actor, on its way through this worker."""

    __slots__ = ("actor", "args", "failure", "fenced", "handed", "holds", "id", "name", "origin", "payload", "stream", "value")

    def __init__(self, actor: Hosted, stream: Stream, number: int, name: str, args: Payload | None, fenced: bool, origin: str) -> None:
        self.actor = actor
        self.stream = stream
        self.id = number
        self.name = name
        self.args = args  #: None: the attribute is read
        self.fenced = fenced  #: futures came with the arguments
        self.origin = origin  #: who calls (`TaskOptions.origin`)
        self.handed = False  #: it went through the actor's thread
        self.payload: Payload | None = None
        self.failure: Failure | None = None
        self.holds: list[Key] = []
        self.value: Any = None  #: the result itself, while futures in it have to be kept alive


class ActorHost:
    """All actors of one worker. Methods run on the worker's loop, except where a docstring says otherwise."""

    def __init__(self, worker: Worker, client_link: ClientLink, name: str, *, local: bool) -> None:
        self.worker = worker
        self.client_link = client_link
        self.loop = client_link.loop
        self.desks: dict[int, Desk] = {}  #: by the identity of the actors' threads, for the profiler
        self.bottom = Hosted._run.__code__  #: the frames above this one are the actor's
        self.name = name
        self.local = local
        self.hosted: dict[Key, Hosted] = {}
        self.rows: deque[Row] | None = None  #: of calls that ended, when somebody wants them
        self.newborn: dict[int, tuple[Payload, Hosted]] = {}  #: by the id of their description: the machine has not said whether they are wanted
        self._outcomes: deque[Errand] = deque()
        self._asleep = True  # nobody has called for `_report` yet
        self._kept: dict[Stream, dict[int, Any]] = {}  # results with futures in them, until the caller has them
        self._jobs: set[asyncio.Task[None]] = set()
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._on_last_end: Callable[[], object] | None = None
        self._closed = False

    # --- birth and end

    def born(self, call: Call, value: Any) -> Payload:
        """A task has returned this actor: its description, which is to be the task's result. Called in the task's thread."""
        methods, attributes = names_of(value)
        link = self.client_link
        place = (call.key, link.cluster_id, link.scheduler_address, self.worker.address)
        payload = description(*place, type(value).__name__, methods, attributes)
        self.newborn[id(payload)] = (payload, Hosted(self, call.key, call.attempt, value))
        return payload

    def keep(self, payloads: list[Payload]) -> None:
        """These results are wanted: the actors among them live from now on."""
        for payload in payloads:
            found = self.newborn.pop(id(payload), None)
            if found is not None:
                actor = found[1]
                self.drop([actor.key])
                self.hosted[actor.key] = actor

    def discard(self, payloads: list[Payload]) -> None:
        """Whatever of these results was not kept will not be."""
        for payload in payloads:
            found = self.newborn.pop(id(payload), None)
            if found is not None:
                found[1].end()

    def drop(self, keys: list[Key]) -> None:
        """Nobody needs these results any more: the actors among them end."""
        for key in keys:
            actor = self.hosted.pop(key, None)
            if actor is not None:
                actor.end()

    def close(self) -> None:
        """End all actors. Methods that run cannot be stopped, and are not waited for. Idempotent."""
        self._closed = True
        newborn, self.newborn = self.newborn, {}
        for _, actor in newborn.values():
            actor.end()
        self.drop(list(self.hosted))
        for job in self._jobs:
            job.cancel()
        self._kept.clear()

    async def join(self, timeout_s: float) -> bool:
        """After `close`: wait until all threads have ended, at most so long. False: some method goes on, in a daemon thread."""
        await asyncio.gather(*self._jobs, return_exceptions=True)
        ended: asyncio.Future[None] = self.loop.create_future()
        with self._lock:
            threads = list(self._threads)
            if threads:
                self._on_last_end = lambda: self.loop.call_soon_threadsafe(_resolve, ended)
        if threads:
            await asyncio.wait([ended], timeout=timeout_s)
            self._on_last_end = None
            if not ended.done():
                return False
            for thread in threads:
                thread.join()
        return True

    # --- what callers say

    def on_calls(self, stream: Stream, message: ActorCalls) -> None:
        """Somebody calls an actor."""
        actor = self.hosted.get(message.actor)
        if actor is None:
            text = f"worker {self.worker.name} holds no actor {message.actor!r} (any more): its last reference was gone, or it was cancelled"
            failure = Failure("ActorLost", text, None, "", message.actor)
            self._send(stream, [ActorAnswers(message.ids, [None] * len(message.ids), failure, [])])
            return
        holds = message.holds
        for i, (number, name, args) in enumerate(zip(message.ids, message.names, message.args, strict=True)):
            actor.take(Errand(actor, stream, number, name, args, bool(holds and holds[i]), message.origin))

    def on_taken(self, stream: Stream, message: Taken) -> None:
        """The caller has the futures of these results."""
        kept = self._kept.get(stream, {})
        for number in message.ids:
            kept.pop(number, None)
        if not kept:
            self._kept.pop(stream, None)

    def on_gone(self, stream: Stream) -> None:
        """A caller is gone. Its calls go on; nobody hears of them."""
        self._kept.pop(stream, None)

    # --- answers

    def outcome(self, errand: Errand) -> None:
        """A call has ended. From any thread."""
        if self.worker.outputs.open:
            self.worker.outputs.call_ended(errand.actor.key, errand.origin)
        self._outcomes.append(errand)
        if self._asleep:
            self._asleep = False
            try:
                self.loop.call_soon_threadsafe(self._report)
            except RuntimeError:
                if not self.loop.is_closed():
                    raise

    def _report(self) -> None:
        self._asleep = True  # first: who appends after our look at the deque wakes us again
        outcomes = self._outcomes
        mail: dict[Stream, list[Message]] = {}
        done: dict[Stream, ActorAnswers] = {}
        for _ in range(len(outcomes)):
            errand = outcomes.popleft()
            if errand.handed:
                errand.actor.pending -= 1
            stream = errand.stream
            if errand.fenced or errand.holds:
                self._start_job(self._answer_late(errand))
            elif errand.failure is not None:
                mail.setdefault(stream, []).append(ActorAnswers([errand.id], [None], errand.failure, []))
            else:
                answers = done.get(stream)
                if answers is None:
                    answers = done[stream] = ActorAnswers([], [], None, [])
                    mail.setdefault(stream, []).append(answers)
                answers.ids.append(errand.id)
                answers.payloads.append(errand.payload)
        for stream, messages in mail.items():
            self._send(stream, messages)

    async def _answer_late(self, errand: Errand) -> None:
        """The scheduler has to know that we have the futures of the arguments before the caller lets go of them, and the futures of the result
        before the caller asks for them: what it answers now, it answers after it has read of both."""
        fence = self.client_link.fence
        if fence is not None:  # else no client was ever here, and no future
            try:
                await fence()
            except JupyterfutError as error:  # no scheduler: then there are no futures either
                logger.info("an answer of %s leaves without the scheduler's word: %s", errand.actor.key, error)
        if errand.failure is not None:
            self._send(errand.stream, [ActorAnswers([errand.id], [None], errand.failure, [])])
            return
        if errand.holds and not errand.stream.is_closed:
            self._kept.setdefault(errand.stream, {})[errand.id] = errand.value
        self._send(errand.stream, [ActorAnswers([errand.id], [errand.payload], None, [errand.holds] if errand.holds else [])])

    def _send(self, stream: Stream, messages: list[Message]) -> None:
        try:
            stream.send(messages)
        except JupyterfutError as error:
            if len(messages) > 1:
                for message in messages:
                    self._send(stream, [message])
                return
            (answers,) = messages
            if len(answers[0]) > 1:  # one of the rows cannot be written: the others go alone
                for number, payload in zip(answers[0], answers[1], strict=True):
                    self._send(stream, [answers._replace(ids=[number], payloads=[payload])])  # type: ignore[attr-defined]  # ActorAnswers
                return
            failure = Failure("SerializationError", f"the answer cannot be sent: {error}", None, "", Key(""))
            stream.send([ActorAnswers(answers[0], [None], failure, [])])

    # --- for `Hosted`

    def start_thread(self, actor: Hosted) -> None:
        thread = threading.Thread(target=actor.main, name=f"{self.name}-actor-{actor.key}", daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def thread_ended(self) -> None:
        """Called by each thread of an actor at its end."""
        with self._lock:
            self._threads.discard(threading.current_thread())
            on_last_end = None if self._threads else self._on_last_end
        if on_last_end is not None:
            on_last_end()

    def _start_job(self, job: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)


class Hosted:
    """One actor, its thread, and the calls that wait for it."""

    def __init__(self, host: ActorHost, key: Key, attempt: Attempt, instance: Any) -> None:
        self.key = key
        self.instance = instance
        self.pending = 0  #: calls that went to the thread and were not reported; as the loop knows
        self._host = host
        self._class = type(instance)
        self._asynchronous: dict[str, bool] = {}  # method -> whether it is an `async def`
        self._context = TaskContext(key, attempt, host.worker, host.client_link, _NoPlaces(), False)
        in_loop = TaskContext(key, attempt, host.worker, host.client_link, _NoPlaces(), True)
        self._in_loop = in_loop  # whose origin is that of the coroutine begun last
        self._queue: SimpleQueue[Errand | None] = SimpleQueue()
        self._started = False
        self._line: deque[Errand] | None = None  # while a coroutine takes its first step: what came behind it
        self._step = threading.Lock()  # the thread waits here for the first step of a coroutine
        self._step.acquire()
        self._coroutines: set[asyncio.Task[None]] = set()
        self._ended = False

    # --- on the loop

    def take(self, errand: Errand) -> None:
        """A call has come: begin it in its turn."""
        if self._line is not None:
            self._line.append(errand)
        elif not self.pending and errand.args is not None and self._is_asynchronous(errand.name):
            self._line = deque()
            self._variables(errand).run(self._begin, errand)
            self._host.loop.call_soon(self._stepped)  # behind the first step of the coroutine
        else:
            errand.handed = True
            self.pending += 1
            self._queue.put(errand)
            if (profiler := self._host.worker._executor.profiler).asleep:
                profiler.wake()
            if not self._started:
                self._started = True
                self._host.start_thread(self)

    def end(self) -> None:
        """Nobody calls it any more."""
        self._ended = True
        for coroutine in self._coroutines:
            coroutine.cancel()
        line, self._line = self._line, None
        for errand in line or ():
            self._fail(errand)
        self._queue.put(None)
        if self._started:
            self._let_step()
        elif hasattr(self._class, "__del__"):  # it may block, which the loop must not
            self._started = True
            self._host.start_thread(self)
        else:
            self.instance = None

    def _is_asynchronous(self, name: str) -> bool:
        known = self._asynchronous.get(name)
        if known is None:
            method = inspect.getattr_static(self._class, name, None)
            known = self._asynchronous[name] = inspect.iscoroutinefunction(getattr(method, "__func__", method))
        return known

    def _begin(self, errand: Errand) -> None:
        """Call an `async def` method, which runs nothing of it yet."""
        try:
            args, kwargs = self._arguments(errand)
            coroutine = getattr(self.instance, errand.name)(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001  # it belongs to the caller
            self._raised(errand, error)
        else:
            self._await(errand, coroutine)

    def _await(self, errand: Errand, coroutine: Any) -> None:
        task = self._host.loop.create_task(self._awaited(errand, coroutine))
        self._coroutines.add(task)
        task.add_done_callback(self._coroutines.discard)

    async def _awaited(self, errand: Errand, coroutine: Any) -> None:
        try:
            value = await coroutine
        except BaseException as error:  # noqa: BLE001  # it belongs to the caller
            if self._ended and isinstance(error, asyncio.CancelledError):
                self._fail(errand)
            else:
                self._raised(errand, error)
        else:
            self._returned(errand, value)

    def _stepped(self) -> None:
        """A coroutine has taken its first step: what came behind it may begin."""
        line, self._line = self._line, None
        for errand in line or ():
            self.take(errand)

    def _begin_from_thread(self, errand: Errand, coroutine: Any) -> None:
        """The thread has met a coroutine, and waits for its first step."""
        errand.handed = False
        self.pending -= 1
        if self._ended:
            coroutine.close()
            self._fail(errand)
        else:
            self._variables(errand).run(self._await, errand, coroutine)
            self._host.loop.call_soon(self._let_step)

    def _variables(self, errand: Errand) -> contextvars.Context:
        """In which the coroutine of this call runs."""
        context = self._in_loop
        if context.origin != errand.origin:
            context = self._in_loop = TaskContext(
                context.key, context.attempt, context.worker, context.client_link, _NoPlaces(), True, errand.origin
            )
        variables = contextvars.Context()
        variables.run(in_coroutine.set, context)
        return variables

    def _let_step(self) -> None:
        try:
            self._step.release()
        except RuntimeError:
            return  # the thread was let go before, since the actor has ended

    # --- in the actor's thread

    def main(self) -> None:
        """What the thread does until the actor ends."""
        desk = here.desk = Desk(_no_context, self._host.worker.outputs)
        started_from.set(desk)
        desk.call = _call_named(self.key, self._context.attempt)
        desk.context = self._context
        self._host.desks[threading.get_ident()] = desk
        get, run, call = self._queue.get, self._run, desk.call
        try:
            while (errand := get()) is not None:
                call.origin = self._context.origin = errand.origin
                desk.start = perf_counter()
                run(errand)
                rows = self._host.rows
                if rows is not None and errand.args is not None:
                    name = f"{self._class.__name__}.{errand.name}"
                    rows.append(("actor", self.key, desk.start, perf_counter(), threading.get_ident(), "", 0, errand.failure is None, name))
                call.origin = ""  # what is written below Python is not this one's while it does nothing
                del errand  # what came with a call must not stay until the next one
        finally:
            del self._host.desks[threading.get_ident()]
            self._let_go()
            self._host.thread_ended()

    def _let_go(self) -> None:
        try:
            self.instance = None
        finally:
            while not self._queue.empty():
                errand = self._queue.get()
                if errand is not None:
                    self._fail(errand)

    def _run(self, errand: Errand) -> None:
        if self._ended:
            self._fail(errand)
            return
        try:
            if errand.args is None:
                value = getattr(self.instance, errand.name)
                if is_method(value):
                    errand.payload = IS_METHOD
                    self._host.outcome(errand)
                    return
            else:
                args, kwargs = self._arguments(errand)
                value = getattr(self.instance, errand.name)(*args, **kwargs)
                if type(value) is CoroutineType:
                    self._host.loop.call_soon_threadsafe(self._begin_from_thread, errand, value)
                    del args, kwargs, value
                    self._step.acquire()
                    return
        except BaseException as error:  # noqa: BLE001  # whatever the user's code raises, SystemExit included, is the call's failure
            self._raised(errand, error)
        else:
            self._returned(errand, value)

    # --- in either

    def _arguments(self, errand: Errand) -> tuple[tuple[Any, ...], dict[str, Any]]:
        payload, errand.args = errand.args, b""
        assert payload is not None
        try:
            return loads_call(payload)
        except Exception as error:
            text = f"cannot unpickle the arguments of {self._class.__name__}.{errand.name}: {type(error).__name__}: {error}"
            raise SerializationError(text) from error

    def _returned(self, errand: Errand, value: Any) -> None:
        try:
            if self._host.local:
                future_key = self._host.client_link.future_key
                if future_key is None or not local_call((value,), {}, future_key)[2]:
                    errand.payload = Local(value, 0)
                    self._host.outcome(errand)
                    return
            payload, _, errand.holds = dumps_result(value)
            errand.payload = captured(payload)  # the actor goes on, and may change what it has returned
            if errand.holds:
                errand.value = value
        except Exception as error:  # noqa: BLE001  # a result that cannot be pickled
            self._raised(errand, error)
        else:
            self._host.outcome(errand)

    def _raised(self, errand: Errand, error: BaseException) -> None:
        errand.failure = failure_from_exception(error, self.key, local=self._host.local)
        self._host.outcome(errand)

    def _fail(self, errand: Errand) -> None:
        text = f"the actor {self.key!r} ended before {errand.name!r} had answered: its last reference was gone, or it was cancelled"
        errand.failure = Failure("ActorLost", text, None, "", self.key)
        self._host.outcome(errand)


class _NoPlaces:
    """An actor has no place among the worker's threads, so there is none to give away."""

    def leave(self, key: Key, attempt: Attempt) -> None:
        return

    take_back = queue_up = leave


def _no_context(call: Call, in_loop: bool) -> TaskContext:
    raise AssertionError("an actor's thread has its context from the beginning")


def _call_named(key: Key, attempt: Attempt) -> Call:
    """What stands on the desk of an actor's thread."""
    call = Call()
    call.key = key
    call.attempt = attempt
    call.function = FunctionId("")
    call.origin = ""
    return call


# --- names


def names_of(instance: object) -> tuple[list[str], list[str]]:
    """What the object has to offer: the names of its methods, and of everything else. Nothing of the object's code is run but its `__dir__`.

    >>> class Counter:
    ...     n = 0
    ...     def increment(self): ...
    >>> names_of(Counter())
    (['increment'], ['n'])
    """
    methods: list[str] = []
    attributes: list[str] = []
    cls = type(instance)
    nothing = object()
    for name in dir(instance):
        if is_foreign(name):
            continue
        value = inspect.getattr_static(cls, name, nothing)
        if value is nothing:
            method = is_method(inspect.getattr_static(instance, name, None))
        else:
            method = callable(value) or isinstance(value, (classmethod, staticmethod, functools.partialmethod))
        (methods if method else attributes).append(name)
    return methods, attributes


def is_foreign(name: str) -> bool:
    """Names that belong to Python, or to the notebook, and are never looked for in an actor: `__len__`, `_repr_html_`.

    >>> is_foreign("__array__"), is_foreign("_repr_html_"), is_foreign("_private"), is_foreign("n")
    (True, True, False, False)
    """
    return (name.startswith("__") and name.endswith("__")) or name.startswith(("_repr_", "_ipython_"))


def is_method(value: object) -> bool:
    """Whether what an attribute holds is to be called where it is, not fetched."""
    return inspect.isroutine(value) or isinstance(value, functools.partial)


def description(
    key: Key, cluster: str | None, scheduler: str, worker: str, class_name: str, methods: list[str], attributes: list[str]
) -> bytes:
    """A pickle that becomes an `Actor` where it is opened. Written by hand, since that class is defined above this layer: it is imported by whoever
    opens the pickle."""
    arguments = pickle.dumps((str(key), cluster, scheduler, worker, class_name, tuple(methods), tuple(attributes)), 2)
    return b"\x80\x04cjupyterfut.client.actors\narrive\n" + arguments[2:-1] + b"R."


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
