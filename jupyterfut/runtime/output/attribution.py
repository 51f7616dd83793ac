"""Whose output is it? From the thread or coroutine that writes, to the `TaskOutput` of its task.

In order: the task on the desk of this thread; the task whose coroutine this is (`asyncio.to_thread` hands that on); in an executor's own context
variable, the desk that a thread was started from, where Python hands context variables on to threads. In a process of our own, a thread that we did
not start was started by some task: what it writes is taken for the one that was started last, as what is written below Python is.

While nothing is written, none of this runs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from jupyterfut.runtime.context import at_worker, here, in_coroutine, started_from
from jupyterfut.runtime.output.collector import Collector, TaskOutput

collectors: list[Collector] = []
"""Of the workers that live in this process."""


class _Aside(threading.local):
    depth = 0


_aside = _Aside()
_own_process = False


def output_of_task() -> TaskOutput | None:
    """Where the calling thread's or coroutine's output goes; None: it is no task's, or of a task that nobody is told of."""
    collector: Collector | None
    desk = here.desk
    if desk is None or desk.call is None:
        context = in_coroutine.get()
        if context is not None:
            key, origin, collector = context.key, context.origin, context.worker.outputs
        else:
            desk = started_from.get()
            if desk is None or desk.call is None:
                return _somebody() if _own_process and not _aside.depth else None
            key, origin, collector = desk.call.key, desk.call.origin, desk.outputs
    else:
        call, written = desk.call, desk.written
        if written is not None and written[0] is call and written[1].origin == call.origin and not _aside.depth:  # an actor's call is one for all
            return written[1]
        key, origin, collector = call.key, call.origin, desk.outputs
        if origin and collector is not None and collector.at_once and not _aside.depth:
            output = collector.of(key, origin)
            desk.written = (call, output)
            return output
        return None
    if not origin or collector is None or not collector.at_once or _aside.depth:
        return None
    return collector.of(key, origin)


def newest_task() -> TaskOutput | None:
    """The output of the task that was started last, of those that run in this process."""
    for collector in collectors:
        output = collector.newest()
        if output is not None:
            return output
    return None


def _somebody() -> TaskOutput | None:
    """For a thread that no task is known of: ours are named after us, and functions of `Client.run` are no tasks."""
    thread = threading.current_thread()
    if thread is threading.main_thread() or thread.name.startswith("jupyterfut") or at_worker.get() is not None:
        return None
    return newest_task()


@contextmanager
def aside() -> Iterator[None]:
    """What this thread writes inside is no task's: it goes to the process's own streams.

    >>> with aside():
    ...     print("for the worker's log")
    for the worker's log
    """
    _aside.depth += 1
    try:
        yield
    finally:
        _aside.depth -= 1


def own_process() -> None:
    """This process is a worker's and nobody else's."""
    global _own_process
    _own_process = True


def is_own_process() -> bool:
    """Whether `own_process` was called here."""
    return _own_process


def forget() -> None:
    """This process was forked from one with workers: nothing here is a task's any more."""
    global _own_process
    _own_process = False
    collectors.clear()
    _Aside.depth = _aside.depth = 1
