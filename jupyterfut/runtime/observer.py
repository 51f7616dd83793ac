"""What a worker tells beyond results, when somebody asked for it: records of its loggers, and rows of the tasks that ended.

Records go out at once, as notices on the topic "log", on the road of results and in order with them, so what a task logs is known before its result
is. Rows stay here, in a ring, until somebody asks this worker for them, or takes them for the dashboard (`telling`). While nobody asked for either,
no logger has a handler of ours, and a task costs one look at a None.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Literal

from jupyterfut.core.worker.stream import Row
from jupyterfut.runtime.context import current_task
from jupyterfut.serde.notes import plain

ROWS_KEPT = 100_000

RECORDS_AT_ONCE = 5_000
RECORDS_A_SECOND = 1_000
"""A worker that logs more than this for longer is cut short, and says how much is missing: a log that nobody can read must not delay results."""

FORWARDED = "jupyterfut_worker"
"""The mark of a record that came from a worker; it is never sent on again."""

_SENT = "_jupyterfut_sent"
_TEXT_CHARS = 100_000


_ACTION: Final = 0
_START: Final = 2
_STOP: Final = 3
_WIDTH: Final = 8


class Observer:
    """One worker's. `say(topic, value)` notifies, from any thread. `quiet`: records are not for sending, since the clients are in this process and
    have them."""

    def __init__(self, address: Callable[[], str], say: Callable[[str, Any], None], *, quiet: bool) -> None:
        self._address = address
        self._say = say
        self._quiet = quiet
        self._handlers: dict[str, Forwarder] = {}
        self._rate = Rate(RECORDS_AT_ONCE, RECORDS_A_SECOND)
        self.rows: deque[Row] | None = None  #: where they are written; None while nobody wants them
        self._streams = False  # somebody takes them from there
        self._kept: deque[Row] = deque(maxlen=ROWS_KEPT)  # those that were taken, as long as somebody may ask for them
        self._keeps = False
        self._epoch_s = 0.0  # what makes seconds since 1970 of the rows' times

    def watch(self, loggers: dict[str, float], tasks: bool, streams: bool = False) -> None:
        """From now on this, and nothing else. `streams`: whoever says so takes the rows with `take`, those that come from now on."""
        self._keeps = tasks
        if not tasks:
            self._kept.clear()
        if not tasks and not streams:
            self.rows = None
        elif self.rows is None:
            self.rows = deque(maxlen=ROWS_KEPT)
            self._epoch_s = time.time() - time.perf_counter()
        elif streams and not self._streams:
            self.take()
        self._streams = streams
        if self._quiet:
            return
        for name in [name for name, handler in self._handlers.items() if loggers.get(name) != handler.level]:
            self._handlers.pop(name).remove()
        for name, level in loggers.items():
            if name not in self._handlers:
                self._handlers[name] = Forwarder(name, int(level), self._forward)

    def close(self) -> None:
        """Nothing any more. Idempotent."""
        self.watch({}, False)

    def take(self) -> list[Row]:
        """The rows since the last time, in the order of their ends."""
        rows = self.rows
        taken = [] if rows is None else [rows.popleft() for _ in range(len(rows))]
        if self._keeps:
            self._kept.extend(taken)
        return taken

    def _forward(self, record: logging.LogRecord) -> None:
        verdict = self._rate.take(time.monotonic())
        if verdict == "enough":
            self._warn(record.name, f"more than {RECORDS_A_SECOND:,} records a second: what follows is not forwarded until there are fewer")
        elif verdict != "refused":
            if verdict:
                self._warn(record.name, f"{verdict:,} records were not forwarded")
            self._say("log", self._packed(record))

    def _warn(self, name: str, text: str) -> None:
        self._say("log", self._packed(logging.LogRecord(name, logging.WARNING, __file__, 0, text, None, None)))

    def _packed(self, record: logging.LogRecord) -> dict[str, Any]:
        task = current_task()
        key, origin = ("", "") if task is None else (task.key, task.origin)
        return {"record": packed(record), "key": key, "origin": origin, "worker": self._address(), "client": None}

    # --- for who asks this worker

    def task_stream(self, args: dict[str, Any]) -> list[list[Any]]:
        """The rows, or those that ended after `since`, as columns. Times are seconds since 1970 by this machine's clock."""
        epoch_s = self._epoch_s
        since = float("-inf") if args.get("since") is None else args["since"] - epoch_s - _SLACK_S
        there = [] if self.rows is None else [*self._kept, *self.rows.copy()]
        rows = [row for row in there if row[_STOP] >= since and row[_ACTION] in _ASKED_FOR]
        columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)][:_WIDTH] if rows else [[] for _ in range(_WIDTH)]
        for i in (_START, _STOP):
            columns[i] = [at + epoch_s for at in columns[i]]
        return columns

    @staticmethod
    def clock(args: dict[str, Any]) -> float:
        """What this machine's clock says: seconds since 1970."""
        return time.time()


_ASKED_FOR = ("compute", "transfer")
"""Of what is written, this is for who asks."""

_SLACK_S = 0.1
"""Whoever asks compares the clocks, and looks at the rows again."""


class Rate:
    """A bucket of tokens: so many at once, so many more a second. When it is empty, it gives none until it has a second's worth again, so that what
    is told of gaps is not a flood itself.

    >>> rate = Rate(3, 2)
    >>> [rate.take(at) for at in (0.0, 0.0, 0.0, 0.0, 0.1, 0.9, 1.0, 1.0)]
    [0, 0, 0, 'enough', 'refused', 'refused', 3, 0]
    """

    def __init__(self, at_once: float, a_second: float) -> None:
        self._most = self._tokens = at_once
        self._a_second = a_second
        self._at: float | None = None
        self._refused = 0

    def take(self, now: float) -> int | Literal["enough", "refused"]:
        """A number: yes, and so many were refused since the last yes; "enough": the first refusal."""
        if self._at is not None:
            self._tokens = min(self._most, self._tokens + (now - self._at) * self._a_second)
        self._at = now
        if self._tokens < (self._a_second if self._refused else 1):
            self._refused += 1
            return "enough" if self._refused == 1 else "refused"
        self._tokens -= 1
        refused, self._refused = self._refused, 0
        return refused


class Forwarder(logging.Handler):
    """Stands at one logger, and opens it to the level that is wanted if it was stricter."""

    def __init__(self, name: str, level: int, forward: Callable[[logging.LogRecord], None]) -> None:
        super().__init__(level)
        self._forward = forward
        self._logger = logging.getLogger(name or None)
        self._own_level: int | None = None
        if self._logger.getEffectiveLevel() > level:
            self._own_level = self._logger.level
            self._logger.setLevel(level)
        self._logger.addHandler(self)

    def remove(self) -> None:
        """Leave the logger as it was."""
        self._logger.removeHandler(self)
        if self._own_level is not None and self._logger.level == self.level:
            self._logger.setLevel(self._own_level)
        self.close()

    def emit(self, record: logging.LogRecord) -> None:
        """Once for each record, though handlers of ours may stand at several of its loggers; never for one that came from another worker."""
        if hasattr(record, FORWARDED) or hasattr(record, _SENT):
            return
        setattr(record, _SENT, True)
        try:
            self._forward(record)
        except Exception:  # noqa: BLE001  # a message that cannot be formatted, say: logging has its own way with that
            self.handleError(record)


_STANDARD = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__) | {"message", "asctime", _SENT, "taskName"}
_KEPT = (
    "name", "levelno", "levelname", "pathname", "filename", "module", "lineno", "funcName", "created", "msecs", "thread", "threadName",
    "processName", "process", "stack_info",
)  # fmt: skip


def packed(record: logging.LogRecord) -> dict[str, Any]:
    """A record as plain data: with its arguments where these are plain, else formatted; its exception as text; what else stands on it, if plain."""
    fields: dict[str, Any] = {}
    for name in _KEPT:
        value = getattr(record, name, None)
        fields[name] = value if value is None or isinstance(value, (int, float)) else _text(str(value))
    fields["msg"], fields["args"] = _message(record)
    if record.exc_info and not record.exc_text:
        fields["exc_text"] = _text(logging.Formatter().formatException(record.exc_info))
    else:
        fields["exc_text"] = None if record.exc_text is None else _text(record.exc_text)
    for name, value in record.__dict__.items():
        if name not in _STANDARD:
            try:
                fields[name] = plain(value, name)[0]
            except (TypeError, ValueError):
                fields[name] = _text(str(value))
    return fields


def _message(record: logging.LogRecord) -> tuple[str, Any]:
    args = record.args
    if isinstance(record.msg, str) and len(record.msg) <= _TEXT_CHARS and args:
        try:
            values = list(args) if isinstance(args, tuple) else dict(args)
            copy, nbytes = plain(values, "args", exact=True)
            if nbytes <= _TEXT_CHARS:
                record.getMessage()  # if it cannot be formatted, that is known here
                return record.msg, copy
        except (TypeError, ValueError):
            return _text(record.getMessage()), None
    return _text(record.getMessage()), None


def _text(text: str) -> str:
    if len(text) > _TEXT_CHARS:
        text = f"{text[:_TEXT_CHARS]}... ({len(text) - _TEXT_CHARS:,} more characters)"
    return text.encode(errors="replace").decode()
