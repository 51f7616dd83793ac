"""What tasks are doing: the stacks of the executor's threads, on request (`stacks`) or sampled all the time (`Profiler`).

One thread a worker looks at the frames of the threads that run a task, every `worker.profile_interval_s`. It sleeps, and costs nothing, while there
is nothing to run; a look takes some ten microseconds (docs/design/decisions/profiler.md). Frames of ours, below the user's function, are left out.
"""

from __future__ import annotations

import linecache
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from types import CodeType, CoroutineType, FrameType
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from jupyterfut.core.profile import History, Node
    from jupyterfut.core.worker.events import Call
    from jupyterfut.runtime.context import Desk

SLICES = 1000
"""So many slices of time are kept apart."""

IDLE_LOOKS = 10
"""After so many looks at nothing the thread sleeps until calls come."""

KEYS = 1000
"""The prefixes of so many keys are remembered."""

DEEPEST = 200
"""Of a deeper stack the innermost frames are left out."""


def _other_frames() -> dict[int, FrameType]:
    """The frame of every thread but this one. Ours would hold the dict that holds it: a cycle that kept all frames, and the user's variables in
    them, alive until the next collection of garbage."""
    frames = sys._current_frames()
    del frames[threading.get_ident()]
    return frames


Source: TypeAlias = "tuple[dict[int, Desk], CodeType]"
"""Desks by the identity of their threads, and the code of the frame above which a user's code runs."""


def stacks(sources: list[Source]) -> Iterator[tuple[Call, list[FrameType]]]:
    """The calls that run now, each with its frames, the user's function first. From any thread."""
    frames = _other_frames()
    for desks, bottom in sources:
        for ident, desk in list(desks.items()):
            call, coroutine = desk.call, desk.coroutine
            if call is None:
                continue
            if coroutine is not None:
                yield call, _frames_of_coroutine(coroutine)
                continue
            frame = frames.get(ident)
            stack: list[FrameType] = []
            while frame is not None and frame.f_code is not bottom:
                stack.append(frame)
                frame = frame.f_back
            if frame is not None and stack:  # else it has left the call since, or does something of ours
                stack.reverse()
                yield call, stack


def _frames_of_coroutine(coroutine: CoroutineType[Any, Any, Any]) -> list[FrameType]:
    """Where an `async def` task stands: its own frame, and those of the coroutines that it awaits."""
    found: list[FrameType] = []
    awaited: Any = coroutine
    while awaited is not None and len(found) < DEEPEST:
        frame = getattr(awaited, "cr_frame", None)
        if frame is None:
            break
        found.append(frame)
        awaited = getattr(awaited, "cr_await", None)
    return found


def lines_of(stack: list[FrameType]) -> list[str]:
    """A stack as text, a string a frame."""
    return [
        f'  File "{frame.f_code.co_filename}", line {frame.f_lineno}, in {frame.f_code.co_name}\n\t'
        f"{linecache.getline(frame.f_code.co_filename, frame.f_lineno or 0).strip()}\n"
        for frame in stack
    ]


class Profiler:
    """Samples one worker. `wake()` when calls come and it is `asleep`; `close()` at the end. `has_work()` says whether calls run, or wait to."""

    def __init__(self, sources: list[Source], has_work: Callable[[], bool], name: str, interval_s: float, slice_s: float) -> None:
        self.sources = sources
        self.asleep = interval_s > 0  #: for whoever starts calls: call `wake`. False for ever when profiling is off
        self._has_work = has_work
        self._name = name
        self._interval_s = interval_s
        self._slice_s = slice_s
        self._history: History | None = None
        self._lock = threading.Lock()
        self._awake = threading.Event()
        self._closed = False
        self._fresh: defaultdict[str, Node] | None = None  # seen since the last `take`, by what `_name_of` says; None: nobody takes
        self._name_of: Callable[[Call], str]
        self._looked_at = 0.0  # for `_fresh`: when, and what of the time since then the last samples did not stand for
        self._carry_s = 0.0
        self._prefixes: dict[str, str] = {}  # of the keys that were seen last
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """There is something to run. On the loop; never blocks."""
        self.asleep = False
        if self._thread is None:
            self._thread = threading.Thread(target=self._main, name=self._name, daemon=True)
            self._thread.start()
        self._awake.set()

    def close(self) -> None:
        """End the thread, which notices within one interval. Idempotent; never blocks."""
        self.asleep = False
        self._closed = True
        self._awake.set()

    def profile(self, start: float | None, stop: float | None, prefix: str | None) -> dict[str, Any]:
        """What was seen, as a plain tree. From any thread."""
        from jupyterfut.core.profile import empty, to_plain

        if self._history is None:
            return empty()
        with self._lock:
            tree = self._history.select(start, stop, prefix)
        return to_plain(tree, _describe)

    def collect(self, name_of: Callable[[Call], str] | None) -> None:
        """From now on keep what is seen for `take` too, by what `name_of` says of the call; None: not any more."""
        from jupyterfut.core.profile import Node

        with self._lock:
            if name_of is not None:
                self._name_of = name_of
            self._fresh = None if name_of is None else defaultdict(Node)
            self._looked_at, self._carry_s = time.monotonic(), 0.0

    def take(self) -> dict[str, Node]:
        """What was seen since the last `take`, as trees of code objects by name. A sample stands for `interval_s` of its thread. From any thread."""
        with self._lock:
            if not self._fresh:
                return {}
            fresh, self._fresh = self._fresh, defaultdict(self._fresh.default_factory)
        return fresh

    @property
    def interval_s(self) -> float:
        """Between two looks, in seconds; 0: it never looks."""
        return self._interval_s

    def _main(self) -> None:
        sleep, interval_s = time.sleep, self._interval_s  # half the cost of waiting for an event
        sleep(interval_s)
        from jupyterfut.core.profile import History, prefix_of  # not before the first result may be there

        history = self._history = History(self._slice_s, SLICES)
        self._looked_at = time.monotonic()
        idle = 0
        while not self._closed:
            sleep(interval_s)
            if self._look(history, prefix_of):
                idle = 0
            elif (idle := idle + 1) >= IDLE_LOOKS:
                idle = 0
                self._sleep()

    def _sleep(self) -> None:
        self._awake.clear()
        self.asleep = True
        if self._closed or self._has_work():  # it came while the flag was still down
            self.asleep = False
        else:
            self._awake.wait()
        self._looked_at = time.monotonic()

    def _weigh(self) -> int:
        """So many intervals this look stands for: more than one where threads that compute have not let it happen in time, or their functions would
        seem to take less time than those that wait."""
        now = time.monotonic()
        gap_s = min(now - self._looked_at, 100 * self._interval_s) + self._carry_s
        self._looked_at = now
        weight = int(gap_s / self._interval_s)
        self._carry_s = gap_s - weight * self._interval_s
        return weight

    def _look(self, history: History, prefix_of: Callable[[str], str]) -> bool:
        """As `stacks`, with nothing made that a sample does not need: this is what profiling costs."""
        frames = _other_frames()
        weight = 0 if self._fresh is None else self._weigh()
        seen = False
        for desks, bottom in self.sources:
            for ident, desk in list(desks.items()):
                call = desk.call
                if call is None:
                    continue
                if desk.coroutine is not None:
                    codes = [frame.f_code for frame in _frames_of_coroutine(desk.coroutine)]
                else:
                    frame = frames.get(ident)
                    codes = []
                    while frame is not None:
                        code = frame.f_code
                        if code is bottom:
                            break
                        codes.append(code)
                        frame = frame.f_back
                    else:
                        continue  # it has left the call since
                    codes.reverse()
                    del codes[DEEPEST:]
                if not codes:
                    continue
                seen = True
                key = call.key
                prefix = self._prefixes.get(key)
                if prefix is None:
                    if len(self._prefixes) >= KEYS:
                        self._prefixes.clear()
                    prefix = self._prefixes[key] = prefix_of(key)
                with self._lock:
                    history.add(time.time(), prefix, codes)
                    if weight and self._fresh is not None:
                        self._fresh[self._name_of(call) or prefix].add(codes, weight)
        return seen


def place_of(code: CodeType) -> tuple[str, str, int]:
    """What names a frame to people: its function, file and first line."""
    return code.co_qualname, code.co_filename, code.co_firstlineno


def _describe(code: CodeType) -> tuple[str, dict[str, Any]]:
    name, filename, line = code.co_name, code.co_filename, code.co_firstlineno
    description = {"name": name, "filename": filename, "line_number": line, "line": linecache.getline(filename, line).strip()}
    return f"{name};{filename};{line}", description
