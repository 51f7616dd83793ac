"""Which task is this? What a thread (or a coroutine) that runs a task can ask and tell its worker.

The executor marks the thread before it calls the user's function. Everything in the client layer that waits does so inside `with blocking():`, which
gives the task's slot to another task while it waits, so that tasks waiting for tasks never use up the slots. `secede` and `rejoin` are the same,
asked for by the user. Outside of tasks nothing of this does anything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Protocol

from jupyterfut.errors import TaskInterrupted
from jupyterfut.ids import Attempt, Key

if TYPE_CHECKING:
    from jupyterfut.core.worker.events import Call
    from jupyterfut.runtime.client_link import ClientLink
    from jupyterfut.runtime.output.collector import Collector, TaskOutput
    from jupyterfut.runtime.worker_server import Worker


class Places(Protocol):
    """The executor, as far as a task deals with it."""

    def leave(self, key: Key, attempt: Attempt) -> None:
        """The task gives its place to another. Never blocks."""

    def take_back(self, key: Key, attempt: Attempt) -> None:
        """The task goes on at once, if need be with one more running than there are places, until the next one ends. Never blocks."""

    def queue_up(self, key: Key, attempt: Attempt) -> None:
        """The task waits, before all that has not started, until a place is free, and takes it. Blocks."""


class TaskContext:
    """The task at hand: its names, its worker, and its place among the worker's threads.

    Its methods may be called from the task's own thread or coroutine only.
    """

    __slots__ = ("_away_since", "_depth", "_in_loop", "_places", "_waited_s", "attempt", "client_link", "key", "origin", "seceded", "worker")

    def __init__(
        self, key: Key, attempt: Attempt, worker: Worker, client_link: ClientLink, places: Places, in_loop: bool, origin: str = ""
    ) -> None:
        self.key = key
        self.attempt = attempt
        self.origin = origin  #: who asked for the task (`TaskOptions.origin`)
        self.worker = worker  #: what `get_worker()` returns
        self.client_link = client_link  #: how a client inside this task speaks to the scheduler
        self.seceded = False
        self._places = places
        self._depth = 0
        self._in_loop = in_loop
        self._away_since: float | None = None
        self._waited_s = 0.0

    def __repr__(self) -> str:
        return f"<TaskContext {self.key} attempt {self.attempt}{' seceded' if self.seceded else ''}>"

    def block(self) -> None:
        """The task is going to wait for something that other tasks may have to make: its place goes to another. Never blocks. Blocks may nest."""
        self._depth += 1
        if self._depth == 1 and not self.seceded:
            self._leave()

    def unblock(self) -> None:
        """The wait is over. Never blocks: for a moment one task more may run than there are threads."""
        self._depth -= 1
        if self._depth == 0 and not self.seceded:
            self._come_back()
            self._places.take_back(self.key, self.attempt)

    def secede(self) -> None:
        """Leave the pool: the task goes on running, and does not count. A second call does nothing."""
        if not self.seceded:
            self.seceded = True
            if self._depth == 0:
                self._leave()

    def rejoin(self) -> None:
        """Come back into the pool. Blocks until a place is free (in a coroutine: takes one at once). Does nothing unless seceded."""
        if self.seceded:
            self.seceded = False
            if self._depth == 0:
                if self._in_loop:
                    self._places.take_back(self.key, self.attempt)
                else:
                    self._places.queue_up(self.key, self.attempt)
                self._come_back()

    def waited_s(self) -> float:
        """For how long the task has been without a place so far, in seconds."""
        return self._waited_s + (perf_counter() - self._away_since if self._away_since is not None else 0.0)

    def _leave(self) -> None:
        self._away_since = perf_counter()
        self._places.leave(self.key, self.attempt)

    def _come_back(self) -> None:
        self._waited_s = self.waited_s()
        self._away_since = None


class Desk:
    """What one thread of an executor has in hand. The context is made when somebody asks, since few tasks do."""

    __slots__ = ("call", "context", "coroutine", "last", "make_context", "outputs", "shot", "start", "stop", "wake", "written")

    def __init__(self, make_context: Callable[[Call, bool], TaskContext], outputs: Collector | None = None) -> None:
        self.make_context = make_context
        self.outputs = outputs  # where what the task prints and displays is collected
        self.written: tuple[Call, TaskOutput] | None = None  # it has printed something
        self.call: Call | None = None
        self.start = 0.0  # of the call, by `perf_counter`
        self.last: Key | None = None  # the key of the call that ended last
        self.context: TaskContext | None = None
        self.coroutine: CoroutineType[Any, Any, Any] | None = None  # of an `async def` task
        # For `interrupting`. Each names the call that it is about, so that it means nothing to the next one.
        self.stop: Call | None = None  # is to be interrupted, and does not know yet
        self.shot: Call | None = None  # an exception was raised in it from outside, and may not have arrived
        self.wake: tuple[Call, Callable[[], object]] | None = None  # waits in our own code: how to end the wait

    def heed(self) -> None:
        """Raise `TaskInterrupted`, once, if the call is to be interrupted."""
        if self.stop is not None and self.stop is self.call:
            self.stop = None
            raise TaskInterrupted("the task was cancelled")


class _Here(threading.local):
    desk: Desk | None = None


here = _Here()
"""An executor's thread puts its desk here, once, and writes on the desk around each call."""

in_coroutine: ContextVar[TaskContext | None] = ContextVar("jupyterfut_task", default=None)
"""The task whose `async def` function this coroutine (or what it started with `asyncio.to_thread`) belongs to."""

started_from: ContextVar[Desk | None] = ContextVar("jupyterfut_desk", default=None)
"""The desk of the executor's thread that this thread was started from, where context variables are handed on (`asyncio.to_thread`)."""


def current_task() -> TaskContext | None:
    """The task that the calling thread or coroutine runs; None outside of tasks.

    >>> current_task() is None
    True
    """
    desk = here.desk
    if desk is None or desk.call is None:
        return in_coroutine.get()
    if desk.context is None:
        desk.context = desk.make_context(desk.call, False)
    return desk.context


def current_origin() -> tuple[str, str] | None:
    """Whose task the calling thread or coroutine runs: (key, origin). None outside of tasks. Cheap: it is asked for every call that is made, and for
    every piece of text that is printed.

    >>> current_origin() is None
    True
    """
    desk = here.desk
    if desk is None or desk.call is None:
        task = in_coroutine.get()
        return None if task is None else (task.key, task.origin)
    call = desk.call
    return call.key, call.origin


at_worker: ContextVar[Worker | None] = ContextVar("jupyterfut_worker", default=None)
"""The worker on which the calling code runs without being a task: a function of `Client.run`, a plugin's hook."""


def current_worker() -> Worker | None:
    """The worker of the calling task, or of the calling function of `Client.run` or plugin; None elsewhere.

    >>> current_worker() is None
    True
    """
    task = current_task()
    return at_worker.get() if task is None else task.worker


@contextmanager
def blocking(wake: Callable[[], object] | None = None) -> Iterator[None]:
    """Around every wait for something that other tasks may have to make: in a task, its place goes to another meanwhile. Elsewhere: nothing.

    `wake()`, from any thread, ends the wait: it is called when the task is to be interrupted, and then this raises `TaskInterrupted`.

    >>> with blocking():
    ...     pass
    """
    task = current_task()
    if task is None:
        yield
        return
    task.block()
    try:
        if wake is None:
            yield
        else:
            with waking(wake):
                yield
    finally:
        task.unblock()


@contextmanager
def waking(wake: Callable[[], object]) -> Iterator[None]:
    """Inside, `wake()` is called, from any thread, when the task of this thread is to be interrupted: it has to end what goes on here. Then, or at
    once if that has been said already, `TaskInterrupted` is raised. Elsewhere than in a task: nothing.

    >>> with waking(lambda: None):
    ...     pass
    """
    desk = here.desk
    if desk is None or desk.call is None:
        yield
        return
    outer = desk.wake
    try:
        desk.wake = (desk.call, wake)  # first: who stops us after our look finds it
        desk.heed()
        yield
    finally:
        desk.wake = outer
        desk.heed()
