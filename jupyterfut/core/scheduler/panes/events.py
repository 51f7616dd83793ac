"""What was worth a line: the topic "events". Workers and clients that come and go, tasks that fail, what was said with `log_event`, and log lines.

Who comes, who goes and what fails stands in the journal, and `log_event` in its rings (`notes`), whether or not somebody looks: both are read back
as far as they reach when the first one does, and what is new in each turn. Log lines of workers (`Logged`) and of the scheduler's process (`logged`)
come while somebody looks.
"""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar, Final

from jupyterfut.core.journal import Entry, JournalReader
from jupyterfut.core.scheduler.notes import EVENT
from jupyterfut.core.scheduler.panes.source import Options, Snapshot, Source
from jupyterfut.core.scheduler.state import WorkerState
from jupyterfut.ids import Key
from jupyterfut.wire import panes
from jupyterfut.wire.messages import Logged

ROWS: Final = 1_000
"""So many are kept, and told at once."""

TEXT_CHARS: Final = 2_000

PLAIN: Final = 0
"""The form of events that can be read without opening a pickle (`serde.notes`)."""

FAILED: Final = ("processing -> erred", "memory -> erred")
MEMBERS: Final = {
    "worker joined": ("worker", "info", "has joined"),
    "worker left": ("worker", "info", "has left"),
    "client joined": ("client", "info", "has connected"),
    "client left": ("client", "info", "has left"),
}
TOLD: Final = frozenset((*FAILED, *MEMBERS))


class Events(Source):
    topic: ClassVar[str] = "events"
    interval_s: ClassVar[float] = 0.25

    _reader: JournalReader | None = None
    _on = False

    def begin(self) -> None:
        self._on = True
        if self._reader is None:
            self._reader = JournalReader(self.state.journal, all_of_it=True)
            self._kept: deque[panes.EventRow] = deque(maxlen=ROWS)
            self._newest: dict[str, Any] = {}  # by topic: the last event that was read
            self._names: dict[str, str] = {}  # of workers and clients, by address and id
        self._pending: list[panes.EventRow] = []
        self._missed = 0  # lines that others had to drop
        self._fresh: list[panes.EventRow] = []
        self._dropped = 0
        self.machine.panes.listen(True)

    def end(self) -> None:
        self._on = False
        self._pending.clear()
        self.machine.panes.listen(False)

    # --- what comes

    def heard(self, worker: WorkerState, value: Any) -> None:
        if not self._on or type(value) is not Logged:
            return
        offset = self.machine.panes.clocks.offset(worker, self.state.now, value.now) + self.state.epoch_s
        self._missed += value.dropped
        for at, level, logger, text, key in zip(value.times, value.levels, value.loggers, value.texts, value.keys, strict=True):
            source = f"{worker.name} {logger}" if logger else worker.name
            self._add(at + offset, "log", level_name(level), source, text, key)

    def logged(self, at: float, level: int, logger: str, text: str) -> None:
        """A log line of the scheduler's process, written `at` (seconds since 1970)."""
        if self._on:
            self._add(at, "log", level_name(level), logger, text)

    def _add(self, at: float, kind: str, level: str, source: str, text: str, key: str = "") -> None:
        if len(self._pending) >= 2 * ROWS:
            del self._pending[:ROWS]
            self._missed += ROWS
        self._pending.append({"at": at, "kind": kind, "level": level, "source": source, "text": text[:TEXT_CHARS], "key": key})

    # --- turns

    def collect(self) -> None:
        assert self._reader is not None
        for entry in self._reader.of(TOLD):
            self._entry(entry)
        for topic, ring in self.machine.notes.rings.items():
            last = self._newest.get(topic)
            new: list[Any] = []
            for event in reversed(ring.events):
                if event is last:
                    break
                new.append(event)
            if new:
                self._newest[topic] = new[0]
            for at, form, data in reversed(new[:ROWS]):
                text = data if type(data) is str else _text(data) if form == PLAIN else "(a pickled value)"
                self._add(at, "event", "info", topic.removeprefix(EVENT), text)
        for topic in self._newest.keys() - self.machine.notes.rings.keys():
            del self._newest[topic]
        fresh, self._pending = sorted(self._pending, key=lambda row: row["at"]), []
        self._fresh = fresh[-ROWS:]
        self._dropped, self._missed = self._missed + len(fresh) - len(self._fresh), 0
        self._kept.extend(self._fresh)

    def _entry(self, entry: Entry) -> None:
        now, key, what, detail = entry
        at = now + self.state.epoch_s
        member = MEMBERS.get(what)
        if member is None:
            self._failure(at, Key(key))
            return
        kind, level, said = member
        if kind == "worker" and what == "worker left":
            name = self._names.pop(key, key)
            expected = detail in QUIET
            self._add(at, kind, level if expected else "warning", name, f"{said}: {detail}")
        elif kind == "client" and what == "client left":
            self._add(at, kind, level, str(detail) or key, said)
        else:
            name = str(detail) or key
            self._names[key] = name
            self._add(at, kind, level, name, f"{said} ({key})")

    def _failure(self, at: float, key: Key) -> None:
        task = self.state.tasks.get(key)
        failure = None if task is None else task.failure
        if task is None or failure is None:
            self._add(at, "task", "error", key.rpartition("-")[0] or key, "failed", key)
        elif failure.key == key or failure.kind == "LostData":  # of those that fail with it nothing is said
            self._add(at, "task", "error", task.group.name, f"{failure.kind}: {failure.text}", key)

    # --- what is told

    def whole(self, options: Options) -> Snapshot:
        return self._told(True, list(self._kept), 0)

    def news(self, options: Options) -> Snapshot | None:
        return self._told(False, self._fresh, self._dropped) if self._fresh or self._dropped else None

    @staticmethod
    def _told(reset: bool, rows: list[panes.EventRow], dropped: int) -> Snapshot:
        told: panes.Events = {"reset": reset, "rows": rows, "dropped": dropped}
        return dict(told)


QUIET: Final = frozenset(("closed", "retired"))
"""Reasons why workers leave that nobody has to worry about."""


def level_name(level: float) -> str:
    """The name of a level of `logging`, of four.

    >>> level_name(30), level_name(35), level_name(10)
    ('warning', 'warning', 'debug')
    """
    return "error" if level >= 40 else "warning" if level >= 30 else "info" if level >= 20 else "debug"


def _text(data: Any) -> str:
    """A plain value in one line."""
    if type(data) is dict:
        return "  ".join(f"{name}={value!r}" for name, value in data.items())
    return repr(data)
