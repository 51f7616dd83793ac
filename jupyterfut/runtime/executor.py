"""The threads that run calls.

Calls come from the worker's loop into one run queue, from which threads take them without asking the loop; what became of them goes into one deque,
and the loop is woken only if it is not on its way already. So a burst of small calls costs no hop between threads at all.

There are `nthreads` *places*. A thread has one while it runs a call or waits for the next. A call that blocks (or secedes) leaves its place to
another thread, a parked one or a new one; when it comes back there may be one thread too many, and the next that has nothing in hand parks.

Everything that touches a user's value happens here: arguments and inputs are unpickled, the function is called, its result is pickled, an exception
becomes a `Failure`. `async def` functions run on the worker's loop, while their thread waits and keeps the place.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import get_ident
from time import perf_counter
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeAlias

from jupyterfut.core.worker.events import Blocked, Call, Unblocked
from jupyterfut.core.worker.stream import Row
from jupyterfut.errors import Reschedule, SerializationError, TaskInterrupted
from jupyterfut.ids import Attempt, FunctionId, Key
from jupyterfut.runtime.context import Desk, TaskContext, here, in_coroutine, started_from
from jupyterfut.runtime.profiler import Profiler
from jupyterfut.runtime.store import Store, ValueLost
from jupyterfut.serde import dumps_result, failure_from_exception, forget_function, loads, loads_call, loads_function, sizeof, type_name
from jupyterfut.serde.calls import local_call
from jupyterfut.serde.functions import forget_loaded
from jupyterfut.wire.messages import Failure, Notify
from jupyterfut.wire.payload import Local, Payload, payload_nbytes

if TYPE_CHECKING:
    from jupyterfut.runtime.client_link import ClientLink
    from jupyterfut.runtime.output.collector import Collector
    from jupyterfut.runtime.worker_server import Worker

Done: TypeAlias = tuple[Key, Attempt, Payload, str, int, float, list[Key]]
"""A call that returned: key, attempt, result, its type's name, its size, seconds taken, futures in it."""

WATCHED_LIMIT = 10_000
"""So many calls at a time may be waited for to start; of more, the oldest are not told."""

PARKED_LIMIT = 32
"""So many threads without a place are kept for the next call that blocks; more of them end."""


class Raised:
    """A call that failed."""

    __slots__ = ("attempt", "duration_s", "failure", "key")

    def __init__(self, key: Key, attempt: Attempt, failure: Failure, duration_s: float) -> None:
        self.key = key
        self.attempt = attempt
        self.failure = failure
        self.duration_s = duration_s


class Unrun:
    """A call that wants to run elsewhere: it raised `Reschedule` (nothing `lost`), or inputs could not be read back from the store."""

    __slots__ = ("attempt", "key", "lost")

    def __init__(self, key: Key, attempt: Attempt, lost: list[Key]) -> None:
        self.key = key
        self.attempt = attempt
        self.lost = lost


class Function:
    """A function that calls name. It is unpickled by the first thread that needs it."""

    __slots__ = ("name", "payload", "target")

    def __init__(self, payload: Payload, name: str) -> None:
        self.payload = payload
        self.name = name
        self.target: Callable[..., Any] | None = None


Outcome: TypeAlias = Done | Raised | Unrun | Blocked | Unblocked | Notify


class Executor:
    """`nthreads` places and the threads on them. Threads start with the first call that needs them.

    `on_actor(call, value)` takes in what a task with `actor=True` has returned, and gives what is to count as its result; in the call's thread.
    `interrupts`: cancelled calls are interrupted, unless the worker is `local`.
    `profile_s`: how often the profiler looks (0: never), and the length of its slices of time, in seconds.
    `wake()` is called, from any thread, when `outcomes` has got something and nobody was told since the last `take()`.
    """

    def __init__(
        self, worker: Worker, client_link: ClientLink, store: Store, nthreads: int, name: str, *, local: bool, wake: Callable[[], None],
        on_actor: Callable[[Call, Any], Payload], profile_s: tuple[float, float] = (0.0, 1.0), interrupts: bool = True,
    ) -> None:
        self.outcomes: deque[Outcome] = deque()
        self.rows: deque[Row] | None = None  #: of calls that ended, when somebody wants them
        self.outputs: Collector | None = None  #: where what the calls print goes
        self._asleep = True  # nobody has called `wake` since the last `take`
        self._wake = wake
        self._worker = worker
        self._client_link = client_link
        self._store = store
        self._nthreads = nthreads
        self._name = name
        self._local = local
        self._on_actor = on_actor
        self._functions: dict[FunctionId, Function] = {}
        self._queue: SimpleQueue[tuple[Call, Function | None] | None] = SimpleQueue()
        self._fresh: dict[Key, Payload] | None = {} if nthreads == 1 else None  # results that the loop has not stored yet, for the calls behind
        self._held: list[tuple[Call, Function | None]] | None = None  # a list: calls that come wait here
        self._watched: dict[Attempt, None] = {}  # calls whose start is to be told
        self._unstarted: dict[Attempt, Call] = {}  # whoever pops a call from here, a thread or `withdraw`, has it

        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._started = False
        self._surplus = 0  # places taken beyond nthreads
        self._parked: list[threading.Lock] = []  # released: go on, with a place
        self._returning: deque[threading.Lock] = deque()  # `rejoin`: released when a place is theirs
        self._coroutines: set[concurrent.futures.Future[Any]] = set()
        self._on_last_end: Callable[[], object] | None = None
        self._closed = False
        self.desks: dict[int, Desk] = {}  #: by the identity of their threads
        self._interrupts = interrupts and not local
        self._interrupter: Any = None  # made for the first call that is to be interrupted
        bottom = Executor._run.__code__  # the frames above this one are the user's
        self.profiler = Profiler([(self.desks, bottom)], self.has_work, f"{name}-profile", *profile_s)

    # --- for the worker's loop

    def learn(self, ids: list[FunctionId], payloads: list[Payload], names: list[str]) -> None:
        """Calls that come may name these functions."""
        self._functions.update(zip(ids, map(Function, payloads, names), strict=True))

    def name_of(self, call: Call) -> str:
        """The name of the function that a call calls, as people know it; "" if it is not known any more. From any thread."""
        function = self._functions.get(call.function)
        return "" if function is None else function.name

    def running(self, before: float) -> list[tuple[str, float, int, str]]:
        """The calls that have been running since before this time (of `perf_counter`): (key, start, thread, function's name)."""
        calls = [(desk.call, desk.start, ident) for ident, desk in list(self.desks.items())]
        return [(call.key, start, ident, self.name_of(call)) for call, start, ident in calls if call is not None and start < before]

    def forget(self, ids: list[FunctionId]) -> None:
        """No call that comes names these functions."""
        for fid in ids:
            self._functions.pop(fid, None)
            forget_function(fid)

    def forget_code(self) -> None:
        """Modules have changed: calls that start from now on unpickle their functions afresh."""
        forget_loaded()
        for function in list(self._functions.values()):
            function.target = None

    def hold(self) -> None:
        """Calls that come wait in the run queue until `release`: the worker is not ready for them."""
        if self._held is None:
            self._held = []

    def release(self) -> None:
        """Let those start that were held."""
        held, self._held = self._held, None
        for job in held or ():
            self._queue.put(job)
        if held and not self._started:
            self._start_threads()

    def run(self, calls: list[Call]) -> None:
        """Put calls into the run queue."""
        put, functions, unstarted = self._queue.put, self._functions, self._unstarted
        if self._held is not None:
            for call in calls:
                unstarted[call.attempt] = call
                self._held.append((call, functions.get(call.function)))
            return
        for call in calls:
            unstarted[call.attempt] = call
            put((call, functions.get(call.function)))
        if not self._started:
            self._start_threads()
        if self.profiler.asleep:
            self.profiler.wake()

    def has_work(self) -> bool:
        """Whether calls run, or wait to. From any thread."""
        return bool(self._unstarted) or any(desk.call is not None for desk in list(self.desks.values()))

    def withdraw(self, attempt: Attempt) -> bool:
        """Take a call back. True: it has not started and never will."""
        return self._unstarted.pop(attempt, None) is not None

    def tell_start(self, args: dict[str, Any]) -> float | None:
        """For how many seconds this call has been running; None: it does not run yet, and when it starts, that is said on the topic "follow"."""
        attempt = Attempt(args["attempt"])
        watched = self._watched
        if len(watched) >= WATCHED_LIMIT:
            watched.pop(next(iter(watched)), None)
        watched[attempt] = None  # before the look at the desks: a thread puts the call there, and then looks here
        for desk in list(self.desks.values()):
            call, start = desk.call, desk.start
            if call is not None and call.attempt == attempt and call.key == args["key"]:
                watched.pop(attempt, None)
                return max(0.0, perf_counter() - start)
        return None

    def _tell_start(self, call: Call) -> None:
        if self._watched.pop(call.attempt, self) is None:
            self.say("follow", [call.key, "running", self._worker.name, self._worker.address, call.attempt, 0.0])

    def interrupt(self, attempts: list[Attempt]) -> None:
        """Nobody wants these calls: those that run get a `TaskInterrupted` as soon as they can be reached (`interrupting`). Does nothing in an
        in-process worker, or where the setting `worker.interrupt` says "no"."""
        if self._interrupts and not self._closed:
            if self._interrupter is None:
                from jupyterfut.runtime.interrupting import Interrupter

                self._interrupter = Interrupter(self.desks, Executor._run.__code__, self._client_link.loop)
            self._interrupter.interrupt(attempts)

    def take(self) -> list[Outcome]:
        """All outcomes so far, in order."""
        self._asleep = True  # before the look at the deque: who appends after it wakes us again
        outcomes = self.outcomes
        return [outcomes.popleft() for _ in range(len(outcomes))]

    def stored(self, keys: list[Key]) -> None:
        """The loop has taken note of these results: the store has those that are wanted."""
        fresh = self._fresh
        if fresh is not None:
            for key in keys:
                fresh.pop(key, None)

    def close(self) -> None:
        """No more calls. Idle threads end now, the others when their call does; none is waited for. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._unstarted.clear()
            for parked in self._parked:
                parked.release()
            self._parked.clear()
            for returning in self._returning:
                _let_in(returning)
            self._returning.clear()
            for _ in self._threads:
                self._queue.put(None)
            coroutines = list(self._coroutines)
        for coroutine in coroutines:
            coroutine.cancel()
        self.profiler.close()

    async def join(self, timeout_s: float) -> bool:
        """After `close`: wait until all threads have ended, at most so long. False: some call goes on, in a daemon thread."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        with self._lock:
            threads = list(self._threads)
            if threads:
                self._on_last_end = lambda: loop.call_soon_threadsafe(_resolve, ended)
        if threads:
            await asyncio.wait([ended], timeout=timeout_s)
            self._on_last_end = None
            if not ended.done():
                return False
            for thread in threads:
                thread.join()
        return True

    # --- threads

    def _start_threads(self) -> None:
        with self._lock:
            if not self._closed and not self._started:
                self._started = True
                for _ in range(self._nthreads):
                    self._start_thread()

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._main, name=f"{self._name}-task", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _main(self) -> None:
        desk = here.desk = self.desks[threading.get_ident()] = Desk(self.context, self.outputs)
        started_from.set(desk)
        queue, unstarted, run = self._queue, self._unstarted, self._run
        try:
            while True:
                if self._surplus or self._returning:
                    if not self._give_place():
                        return
                job = queue.get()
                if job is not None:
                    call, function = job
                    if unstarted.pop(call.attempt, None) is not None:
                        try:
                            run(desk, call, function)
                            if desk.shot is not None:
                                self._disarm(desk)
                        except TaskInterrupted:
                            self._cut_off(desk, call)
                    del job, call, function
                elif self._closed:
                    return
        finally:
            del self.desks[threading.get_ident()]
            with self._lock:
                self._threads.discard(threading.current_thread())
                on_last_end = None if self._threads else self._on_last_end
            if on_last_end is not None:
                on_last_end()

    def _give_place(self) -> bool:
        """Between two calls: hand the place to who came back for one, or give it up if there are too many. False: the thread has to end."""
        with self._lock:
            if self._closed:
                return False
            if self._surplus:
                self._surplus -= 1
            elif self._returning:
                _let_in(self._returning.popleft())
            else:
                return True
            if len(self._parked) >= PARKED_LIMIT:
                return False
            parked = threading.Lock()
            parked.acquire()
            self._parked.append(parked)
        parked.acquire()
        return True

    # --- places: what `context.Places` promises

    def leave(self, key: Key, attempt: Attempt) -> None:
        with self._lock:
            if self._surplus:
                self._surplus -= 1
            elif not self._closed:
                if self._parked:
                    self._parked.pop().release()
                else:
                    self._start_thread()
        self._report(Blocked(key, attempt))

    def take_back(self, key: Key, attempt: Attempt) -> None:
        with self._lock:
            self._surplus += 1
        self._queue.put(None)  # for a thread that waits there
        self._report(Unblocked(key, attempt))

    def queue_up(self, key: Key, attempt: Attempt) -> None:
        place = threading.Lock()
        place.acquire()
        with self._lock:
            if not self._closed:
                self._returning.append(place)
                self._queue.put(None)
            else:
                place.release()
        desk = here.desk
        if desk is not None and desk.call is not None:
            desk.wake = (desk.call, partial(_let_in, place))
            if desk.stop is desk.call:
                _let_in(place)
        place.acquire()
        if desk is not None:
            desk.wake = None
        with self._lock:
            if place in self._returning:  # it was interrupted: it takes a place at once, and will not keep it for long
                self._returning.remove(place)
                self._surplus += 1
        self._report(Unblocked(key, attempt))
        if desk is not None:
            desk.heed()

    def say(self, topic: str, value: Any) -> None:
        """Notify everybody who has subscribed, in order with what the calls here do. From any thread; never blocks."""
        self._report(Notify([topic], [value]))

    def context(self, call: Call, in_loop: bool) -> TaskContext:
        return TaskContext(call.key, call.attempt, self._worker, self._client_link, self, in_loop, call.origin)

    # --- one call

    def _report(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        if self._asleep:
            self._asleep = False
            self._wake()

    def _run(self, desk: Desk, call: Call, function: Function | None) -> None:
        start = desk.start = perf_counter()
        desk.call = call
        if self._watched and call.attempt in self._watched:
            self._tell_start(call)
        outcome: Outcome
        stop = start
        try:
            if function is None:
                raise SerializationError(f"the function of {call.key} has never arrived at this worker")
            target, args, kwargs = self._load(call, function)
            value = target(*args, **kwargs)
            if type(value) is CoroutineType:
                value = self._await(desk, call, value)
            stop = perf_counter()
            duration_s = stop - start
            payload, nbytes, holds = self._dump(call, value)
            if desk.context is not None:
                duration_s -= desk.context.waited_s()
            kind = _NAMES.get(type(value)) or type_name(value)
            outcome = (call.key, call.attempt, payload, kind, nbytes, duration_s, holds)
        except Reschedule:
            outcome = Unrun(call.key, call.attempt, [])
        except ValueLost as error:
            outcome = Unrun(call.key, call.attempt, [error.key])
        except BaseException as error:  # noqa: BLE001  # whatever the user's code raises, SystemExit included, is the task's failure
            failure = failure_from_exception(error, call.key, local=self._local)
            stop = perf_counter()
            outcome = Raised(call.key, call.attempt, failure, stop - start)
            if self.rows is not None:
                self.rows.append(("compute", call.key, start, stop, get_ident(), "", 0, False, "" if function is None else function.name))
        else:
            if self.rows is not None:
                self.rows.append(("compute", call.key, start, stop, get_ident(), kind, nbytes, True, function.name))
            if self._fresh is not None:
                self._fresh[call.key] = payload  # before anybody is told: the call behind may be the next
        outputs = desk.outputs
        if outputs is not None and (outputs.open or stop - start >= outputs.look_s):
            outputs.end(call, stop - start)
        desk.last = call.key
        desk.call = desk.context = None
        # The values die when this returns: what the death of a future inside them says comes after the outcome.
        self.outcomes.append(outcome)
        if self._asleep:
            self._asleep = False
            self._wake()

    def _disarm(self, desk: Desk) -> None:
        """The call has ended: an interrupt that has not arrived must not reach the next one."""
        from jupyterfut.runtime.interrupting import disarm

        disarm(desk)

    def _cut_off(self, desk: Desk, call: Call) -> None:
        """The interrupt came when the call's own code had just ended, in `_run`. No other can come now."""
        if desk.call is call:  # it is cleared in the moment in which the outcome is told, and not before
            failure = Failure("TaskInterrupted", "the task was cancelled", None, "", call.key)
            if desk.outputs is not None:
                desk.outputs.end(call, 0.0)
            desk.call = desk.context = None
            self.outcomes.append(Raised(call.key, call.attempt, failure, 0.0))
        desk.shot = desk.stop = desk.coroutine = None
        self._asleep = False
        self._wake()

    def _load(self, call: Call, function: Function) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        try:
            target = function.target
            if target is None:
                target = function.target = loads_function(call.function, function.payload)
            if not call.dependencies:
                args, kwargs = loads_call(call.args)
            else:
                inline, fresh, stored = call.inline, self._fresh or {}, self._store.get
                inputs = [loads(inline[key] if key in inline else fresh.get(key) or stored(key)) for key in call.dependencies]
                args, kwargs = loads_call(call.args, inputs)
            return target, args, kwargs
        except ValueLost:
            raise
        except Exception as error:
            raise SerializationError(f"cannot unpickle the function or the arguments of {call.key}: {type(error).__name__}: {error}") from error

    def _dump(self, call: Call, value: Any) -> tuple[Payload, int, list[Key]]:
        if call.actor:
            payload = self._on_actor(call, value)
            return payload, payload_nbytes(payload), []
        future_key = self._client_link.future_key
        by_reference = self._local and (future_key is None or not local_call((value,), {}, future_key)[2])
        if not by_reference:  # also a local result with futures in it: pickled, they find the client of whoever receives them
            return dumps_result(value)
        nbytes = sizeof(value)
        return Local(value, nbytes), nbytes, []

    def _await(self, desk: Desk, call: Call, coroutine: CoroutineType[Any, Any, Any]) -> Any:
        context = desk.context = self.context(call, True)
        token = in_coroutine.set(context)
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._client_link.loop)
        finally:
            in_coroutine.reset(token)
        with self._lock:
            self._coroutines.add(future)
            closed = self._closed
        if closed:
            future.cancel()
        desk.coroutine = coroutine
        try:
            return future.result()
        finally:
            desk.coroutine = None
            with self._lock:
                self._coroutines.discard(future)


_NAMES: dict[type, str] = {kind: kind.__name__ for kind in (int, float, str, bytes, bool, type(None), list, tuple, dict, set)}


def _let_in(place: threading.Lock) -> None:
    """Whoever waits for this place goes on."""
    try:
        place.release()
    except RuntimeError:
        return  # it was interrupted, and goes on already


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
