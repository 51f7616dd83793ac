"""Interrupting calls: a task that was cancelled while it runs gets a `TaskInterrupted`, and its thread is free again.

Python can raise an exception in another thread (`PyThreadState_SetAsyncExc`), but says neither when it arrives nor where. Here it must never arrive
anywhere but in the code of that task: not in the next one, not in the executor, not half-way through a `submit`, whose records other tasks share. So

- it is raised only while the innermost Python frame of the thread is the user's and no frame of ours, of the import system (a module that was
  imported half would be broken for all tasks) or of `logging` stands between it and the executor. That look and the raising are one call into C,
  during which no other thread runs Python code. A thread that cannot be hit now is looked at again a few milliseconds later;
- a thread inside one of our own waits (`result()`, a lock, a queue) is woken, and raises by itself, there and at once (`context.blocking`);
- an `async def` task is cancelled as any asyncio task is;
- the executor ends every call that was shot at by taking back what has not arrived (`disarm`), before it begins the next.

C code ends when it wants to: the exception comes with the next bytecode of the task. See docs/design/decisions/interrupting.md.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import operator
import sys
from collections.abc import Iterable
from itertools import compress
from threading import get_ident
from types import CodeType, FrameType

from jupyterfut.core.worker.events import Call
from jupyterfut.errors import TaskInterrupted
from jupyterfut.ids import Attempt
from jupyterfut.runtime.context import Desk
from jupyterfut.serde.tracebacks import is_ours

FIRST_PAUSE_S = 0.001
LAST_PAUSE_S = 0.05
"""A call that could not be hit is looked at again after so long, the pause doubling each time."""

MARK = "RUNS_CODE_OF_TASKS"
"""A module of ours that sets this runs users' code inside tasks (a notebook's cell, say): its frames do not protect what they call."""

_set_async_exc = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_ulong, ctypes.py_object)(("PyThreadState_SetAsyncExc", ctypes.pythonapi))
_clear_async_exc = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)(("PyThreadState_SetAsyncExc", ctypes.pythonapi))
_call_of = operator.attrgetter("call")
_stop_of = operator.attrgetter("stop")
_PROTECTED = logging.__file__


class Interrupter:
    """For the calls on these desks. `bottom`: the code of the executor's frame that calls the task's function. On the worker's loop."""

    def __init__(self, desks: dict[int, Desk], bottom: CodeType, loop: asyncio.AbstractEventLoop) -> None:
        self._desks = desks
        self._bottom = bottom
        self._loop = loop
        self._raises = getattr(sys, "_is_gil_enabled", lambda: True)()  # without the GIL a look at another thread is over when it is made

    def interrupt(self, attempts: Iterable[Attempt]) -> None:
        """Let those of these calls that run end soon. Never blocks."""
        wanted = set(attempts)
        for ident, desk in list(self._desks.items()):
            call = desk.call
            if call is not None and call.attempt in wanted:
                desk.stop = call
                self._aim(ident, desk, call, FIRST_PAUSE_S)

    def _aim(self, ident: int, desk: Desk, call: Call, pause_s: float) -> None:
        if desk.call is not call or desk.stop is not call:
            return  # it has ended, or a wait of its own has noticed
        if desk.coroutine is not None:
            for task in asyncio.all_tasks(self._loop):
                if task.get_coro() is desk.coroutine:
                    task.cancel("the task was cancelled")
                    return
        wake = desk.wake
        if wake is not None and wake[0] is call:
            wake[1]()
            return
        if self._raises:
            frame = sys._current_frames().get(ident)
            if frame is not None and self._may_be_hit(frame):
                desk.shot = call
                if shoot(ident, frame, desk, call):
                    return
            del frame
        self._loop.call_later(pause_s, self._aim, ident, desk, call, min(2 * pause_s, LAST_PAUSE_S))

    def _may_be_hit(self, frame: FrameType | None) -> bool:
        """Whether a thread that stands here runs the user's code, and nothing that must not be left half done."""
        if frame is None or is_ours(frame.f_code.co_filename):
            return False
        while frame is not None:
            code = frame.f_code
            if code is self._bottom:
                return True
            name = code.co_filename
            if name == _PROTECTED or name.startswith("<frozen importlib") or code.co_name == "__del__":
                return False
            if is_ours(name) and MARK not in frame.f_globals:
                return False
            frame = frame.f_back
        return False


def shoot(ident: int, frame: FrameType, desk: Desk, call: Call) -> bool:
    """Raise `TaskInterrupted` in the thread if its innermost frame is (still) this one, in this call, and nothing else has stopped it. True: done.

    Look and act are one chain of iterators that are all written in C, consumed by one call: no bytecode, hence no change of threads, in between.
    """
    now = map(dict.get, iter(sys._current_frames, None), (ident,))
    here = map(operator.is_, now, (frame,))
    running = map(operator.is_, map(_call_of, (desk,)), (call,))
    wanted = map(operator.is_, map(_stop_of, (desk,)), (call,))
    aims = compress((ident,), map(all, zip(here, running, wanted, strict=False)))
    shots = map(_set_async_exc, aims, (TaskInterrupted,))
    noted = map(setattr, (desk,), ("stop",), (None,))
    return bool(list(zip(shots, noted, strict=False)))


def disarm(desk: Desk) -> None:
    """Take back what has been raised in this thread and has not arrived. (It may arrive at this very moment.)"""
    _clear_async_exc(get_ident(), None)
    desk.shot = desk.stop = None
