"""One worker's outputs: what its tasks print and display, kept by task, said at the right moment and in bounds.

A piece of output goes to the `TaskOutput` of its task and waits there: for 50 ms (one timer on the worker's loop, set by the first piece and by none
after it), until 64,000 characters have gathered, or until the task ends. Then it is said as a notice on the topic `output:<client id>`, by the road
of results, so it is known before the task's result is. Nothing blocks.

What is too much is left out: a task may put out `worker.output_bytes` at once and an eighth of that a second for as long as it likes, all tasks of a
worker together eight times as much. Beyond it, the end is kept, and one line says how much is missing. When the way to the scheduler is jammed, all
count as too much.

Every method may be called from any thread.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from jupyterfut.runtime.context import here
from jupyterfut.runtime.output.parts import PART_BYTES, Allowance, Gap, Kind, Part, Parts, cut, display_size

if TYPE_CHECKING:
    import asyncio

    from jupyterfut.core.worker.events import Call
    from jupyterfut.ids import Key
    from jupyterfut.runtime.context import Desk
    from jupyterfut.runtime.output.descriptors import Descriptors

FLUSH_S = 0.05
"""So long output may wait for more."""

GATHERED_CHARS = 64_000
"""So much does not wait any longer."""

JAM_BYTES = 32 * 2**20
"""When so much waits to be sent to the scheduler, output is left out."""

_REFILL_PARTS = 8
_TASKS_AT_ONCE = 8
_FORGET_S = 10.0


class TaskOutput:
    """What one task (or the calls of one actor, for one caller) puts out."""

    __slots__ = ("_allowance", "_collector", "_ended", "_gap", "_in_line", "_lock", "_parts", "figures", "key", "origin", "touched_at")

    def __init__(self, collector: Collector, key: str, origin: str) -> None:
        self.key = key
        self.origin = origin
        self.touched_at = monotonic()
        self.figures: OrderedDict[Any, Any] | None = None  #: for `pyplot`: the figures of this task, by number
        self._collector = collector
        self._lock = collector.lock
        self._parts = Parts()
        self._gap: Gap | None = None
        self._ended = False
        self._in_line = False  # the text that was said last ended within a line
        self._allowance = Allowance(collector.at_once, collector.at_once / _REFILL_PARTS)

    def write(self, kind: Kind, text: str) -> None:
        """The task has written this."""
        if text:
            with self._lock:
                parts = self._parts
                if parts.kind is kind:  # as `add_text` does: most of all calls
                    parts.pieces.append(text)
                    parts.size += len(text)
                else:
                    parts.add_text(kind, text)
                if parts.size >= GATHERED_CHARS or self._ended or not self._collector.woken:
                    self._added()

    def display(self, data: dict[str, Any], metadata: dict[str, Any], *, display_id: str | None = None, update: bool = False) -> None:
        """The task shows this MIME bundle, which nobody changes any more."""
        with self._lock:
            self._parts.add_display(data, metadata, display_id, update, display_size(data))
            self._added()

    def clear(self, wait: bool) -> None:
        """What the task has put out so far is to go."""
        with self._lock:
            self._parts.add_clear(wait)
            self._added()

    def _added(self) -> None:
        if self._ended:  # a thread that the task had started goes on
            self._ended = False
            self._collector.open.setdefault((self.key, self.origin), self)
        if self._parts.size >= GATHERED_CHARS:
            self.flush()
        else:
            self._collector.wake()

    def flush(self, *, last: bool = False) -> None:
        """Say what waits. `last`: the task has ended, so what was kept of the end of a flood is said, too, and if it ended in the middle of a line,
        that it did."""
        with self._lock:
            self._ended = last
            self.touched_at = now = monotonic()
            parts = self._allowed(*self._parts.take(), now)
            if last and self._gap is not None:
                parts += self._gap.end()
                self._gap = None
            for part in reversed(parts):
                if part[0] in ("out", "err"):
                    self._in_line = not part[1].endswith("\n")
                    break
            if last and self._in_line:
                self._in_line = False
                parts.append(["end"])
            if parts:
                self._collector.say(self.key, self.origin, parts)

    def _allowed(self, parts: list[Part], size: int, now: float) -> list[Part]:
        """What of these may be said now; the rest goes into a gap."""
        collector = self._collector
        free = collector.free(self._allowance, now)
        before: list[Part] = []
        if self._gap is not None:
            if free < collector.at_once / _REFILL_PARTS:  # less than a second's worth
                self._gap.add(parts)
                self._allowance.waste(size)
                return []
            before = self._gap.end()
            self._gap = None
        if size > free:
            parts, rest, skipped = cut(parts, free)
            self._gap = Gap()
            self._gap.add(rest, skipped)
            size = sum(map(_size, parts))
            parts += self._gap.begin()
        collector.spend(self._allowance, size)
        return before + parts

    def taken(self) -> list[Part]:
        """What waits, for somebody else to say."""
        return self._parts.take()[0]

    @property
    def has_more(self) -> bool:
        """Something waits, or was kept back."""
        return self._parts.size > 0 or self._gap is not None


class Collector:
    """The outputs of the tasks of one worker. `say(topic, value)` notifies, from any thread; `pending_bytes()` is what waits on the way to the
    scheduler. `at_once`: `worker.output_bytes`; 0: outputs are not collected. `sources`: who runs tasks here, by thread; `origin_of(key)`: of a task
    that has ended, while it is known."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, say: Callable[[str, Any], None], pending_bytes: Callable[[], int], at_once: int,
        sources: list[dict[int, Desk]], origin_of: Callable[[Key], str] = lambda key: "",
    ) -> None:
        self.open: dict[tuple[str, str], TaskOutput] = {}  #: by key and origin: what tasks that run, or ran lately, have put out
        self.at_once = at_once
        self.below: Descriptors | None = None  #: in a worker's own process: what is written below Python
        self.look_s = float("inf")  #: tasks that take so long look there at their end
        self.lock = threading.RLock()  # re-entrant: a destructor that prints may run while we allocate
        self.sources = sources  #: who runs tasks here, by thread
        self._loop = loop
        self._say = say
        self._pending_bytes = pending_bytes
        self._origin_of = origin_of
        self._late: list[TaskOutput] = []  # of tasks that had ended when something of theirs was found
        self._allowance = Allowance(at_once * _TASKS_AT_ONCE, at_once * _TASKS_AT_ONCE / _REFILL_PARTS)
        self.woken = False  #: the timer is set, or will be

    def of(self, key: str, origin: str) -> TaskOutput:
        """The output of this task."""
        output = self.open.get((key, origin))
        if output is None:
            with self.lock:
                output = self.open.setdefault((key, origin), TaskOutput(self, key, origin))
        return output

    def end(self, call: Call, duration_s: float) -> None:
        """The task has come to its end, in the thread that calls this: all of its output is said before its result is."""
        if duration_s >= self.look_s and self.below is not None:
            self.below.task_ended(duration_s)
        output = self.open.pop((call.key, call.origin), None)
        if output is not None:
            desk = here.desk
            if desk is not None:
                desk.written = None
            output.flush(last=True)

    def look_below(self) -> list[tuple[str, Any]]:
        """Outcomes are about to be told: what was written below Python by the calls that have just ended, as topics and values of notices."""
        assert self.below is not None
        self.below.look(self._newest_or_last)
        if not self._late:
            return []
        with self.lock:
            late, self._late = self._late, []
            notices = [(topic_of(output.origin), [output.key, output.origin, output.taken()]) for output in late]
            return [(topic, value) for topic, value in notices if value[2]]

    def call_ended(self, key: str, origin: str) -> None:
        """A call of an actor has come to its end: its output is said now."""
        output = self.open.get((key, origin))
        if output is not None:
            output.flush(last=True)

    def newest(self) -> TaskOutput | None:
        """Of the task that was started last, of those that run: what is put out by nobody in particular is taken for its."""
        newest: Desk | None = None
        for desks in self.sources:
            for desk in list(desks.values()):
                if desk.call is not None and desk.call.origin and (newest is None or desk.start >= newest.start):
                    newest = desk
        call = newest.call if newest is not None else None
        return self.of(call.key, call.origin) if call is not None and self.at_once else None

    def _newest_or_last(self) -> TaskOutput | None:
        """With none running, of the one that has just ended."""
        running = self.newest()
        if running is not None or not self.at_once:
            return running
        ended = max((desk for desk in list(self.sources[0].values()) if desk.last is not None), key=lambda desk: desk.start, default=None)
        if ended is None or ended.last is None or not (origin := self._origin_of(ended.last)):
            return None
        with self.lock:
            output = self.of(ended.last, origin)
            if output not in self._late:
                self._late.append(output)
        return output

    # --- for the outputs; under the lock

    def wake(self) -> None:
        """Something waits."""
        if not self.woken:
            self.woken = True
            try:
                self._loop.call_soon_threadsafe(self._set_timer)
            except RuntimeError:
                if not self._loop.is_closed():
                    raise

    def free(self, allowance: Allowance, now: float) -> float:
        """How much may be said now, by a task with this allowance."""
        if self._pending_bytes() > JAM_BYTES:
            return 0.0
        return max(0.0, min(allowance.left(now), self._allowance.left(now)))

    def spend(self, allowance: Allowance, size: float) -> None:
        """So much is said."""
        allowance.take(size)
        self._allowance.take(size)

    def say(self, key: str, origin: str, parts: list[Part]) -> None:
        """Tell the client that the origin names."""
        self._say(topic_of(origin), [key, origin, parts])

    # --- on the loop

    def _set_timer(self) -> None:
        self._loop.call_later(FLUSH_S, self._flush)

    def _flush(self) -> None:
        with self.lock:
            self.woken = False
            for output in list(self.open.values()):
                if output.has_more:
                    output.flush()
            self._forget()
            if any(output.has_more for output in self.open.values()):  # floods: the next second's worth may go though nothing more comes
                self.wake()

    def _forget(self) -> None:
        """Of tasks that have ended (a thread of theirs, or a coroutine, went on and put something out) and of calls of actors, long ago."""
        before = monotonic() - _FORGET_S
        old = [name for name, output in self.open.items() if output.touched_at < before and not output.has_more]
        if old:
            running = {(desk.call.key, desk.call.origin) for desks in self.sources for desk in list(desks.values()) if desk.call is not None}
            for name in old:
                if name not in running:
                    del self.open[name]

    def close(self) -> None:
        """Say what waits: the worker ends. What its tasks put out from now on is nobody's."""
        with self.lock:
            for output in list(self.open.values()):
                output.flush(last=True)
            self.open.clear()
            self.at_once = 0
            for desks in self.sources:
                for desk in list(desks.values()):
                    desk.written = None


def topic_of(origin: str) -> str:
    """The topic on which the client listens that an origin names.

    >>> topic_of("client-5/cell-3")
    'output:client-5'
    """
    return f"output:{origin.partition('/')[0]}"


def _size(part: Part) -> int:
    kind, value = part
    return PART_BYTES + (display_size(value["data"]) if kind == "display" else 0 if kind == "clear" else len(value))
