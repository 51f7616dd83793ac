"""The last log lines of a process, kept in memory for `Client.get_worker_logs` and `get_scheduler_logs`.

Whoever runs a server here says `acquire()`, and `release()` when it ends. Only our own loggers are listened to ("jupyterfut" and below). In processes
of our own (`tell_more`) they are kept from INFO on; in a user's process the levels stay as they are. Where nobody else has set up logging, warnings
still go to stderr, as Python does it without any handler. Whoever wants to hear lines as they come, while somebody looks, has a `Tap`.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from jupyterfut.runtime.output.attribution import aside

FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"

_lock = threading.Lock()
_users = 0
_own_process = False


class KeptLogs(logging.Handler):
    """A ring of the newest records."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(FORMAT))
        self.records: deque[tuple[str, str, str]] = deque(maxlen=limit)  #: logger, level, text

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        try:
            self.records.append((record.name, record.levelname, self.format(record)))
        except Exception:  # noqa: BLE001  # a record whose arguments do not fit its text: logging's own way to say so
            self.handleError(record)
        if not _others(record.name) and logging.lastResort is not None and record.levelno >= logging.lastResort.level:
            with aside():  # what a worker has to say is not a task's output
                logging.lastResort.handle(record)  # what would happen if we were not here


_kept: KeptLogs | None = None


class Line(NamedTuple):
    """One log line."""

    created: float  #: seconds since 1970
    level: int
    logger: str
    text: str


class Tap(logging.Handler):
    """Hears log lines without changing anything for those who write them, until `remove()`: no level is set, and the root logger, which counts as set
    up by somebody as soon as it has a handler, gets none unless it has one. `hear` is called in the thread that logs, once a record, and must not
    block.

    >>> logs = logging.getLogger("jupyterfut.example")
    >>> heard = []
    >>> tap = Tap(logging.WARNING, lambda line: heard.append((line.logger, line.text)))
    >>> logs.error("it is %s", "full"); logs.info("never mind")
    >>> tap.remove()
    >>> logs.addHandler(logging.NullHandler()); logs.error("nobody listens")
    >>> heard
    [('jupyterfut.example', 'it is full')]
    """

    def __init__(self, level: int, hear: Callable[[Line], object]) -> None:
        super().__init__(level)
        self._hear = hear
        logging.getLogger("jupyterfut").addHandler(self)
        self._beyond = _Beyond(self)
        if logging.getLogger().handlers:
            logging.getLogger().addHandler(self._beyond)
        global _taps, _resort
        with _lock:
            if not _taps:
                _resort = logging.lastResort
                logging.lastResort = _LastResort(_resort)
            _taps = (*_taps, self)

    def remove(self) -> None:
        """Hear nothing any more. Idempotent."""
        logging.getLogger("jupyterfut").removeHandler(self)
        logging.getLogger().removeHandler(self._beyond)
        global _taps
        with _lock:
            _taps = tuple(tap for tap in _taps if tap is not self)
            if not _taps and isinstance(logging.lastResort, _LastResort):
                logging.lastResort = _resort
        self._beyond.close()
        self.close()

    def unheard(self, record: logging.LogRecord) -> None:
        """There was no handler for this one."""
        if record.levelno >= self.level:
            self._beyond.handle(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on as a line."""
        try:
            text = record.getMessage()
            if record.exc_info and record.exc_info[1] is not None:
                text = f"{text}: {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
            text = text if len(text) <= TEXT_CHARS else f"{text[:TEXT_CHARS]}..."
            self._hear(Line(record.created, record.levelno, record.name, text.encode(errors="replace").decode()))
        except Exception:  # noqa: BLE001  # a record whose arguments do not fit its text: logging's own way to say so
            self.handleError(record)


class _Beyond(logging.Handler):
    """A tap's at the root: for loggers that are not ours. Ours have come by already."""

    def __init__(self, tap: Tap) -> None:
        super().__init__(tap.level)
        self._tap = tap

    def emit(self, record: logging.LogRecord) -> None:
        if not f"{record.name}.".startswith("jupyterfut."):
            self._tap.emit(record)


class _LastResort(logging.Handler):
    """What logging does with a record that has no handler, as before, and then the taps."""

    def __init__(self, before: logging.Handler | None) -> None:
        super().__init__(logging.NOTSET if before is None else before.level)
        self._before = before

    def emit(self, record: logging.LogRecord) -> None:
        if self._before is not None:
            self._before.handle(record)
        for tap in _taps:
            tap.unheard(record)


_taps: tuple[Tap, ...] = ()
_resort: logging.Handler | None = None  # what stood there before

TEXT_CHARS = 2_000
"""Longer lines are cut for those who look at them all."""


def acquire(limit: int) -> None:
    """Begin to keep records, if nobody has yet."""
    global _kept, _users
    with _lock:
        _users += 1
        if _kept is None:
            _kept = KeptLogs(limit)
            logging.getLogger("jupyterfut").addHandler(_kept)


def release() -> None:
    """One user less; the last one takes the records with it."""
    global _kept, _users
    with _lock:
        _users -= 1
        if _users == 0 and _kept is not None:
            logging.getLogger("jupyterfut").removeHandler(_kept)
            _kept = None


def tell_more() -> None:
    """This process is our own: say also what is only of interest to who asks for it."""
    global _own_process
    _own_process = True
    logger = logging.getLogger("jupyterfut")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)


def in_own_process() -> bool:
    """Whether `tell_more` has been said: what is logged here is ours, whoever's logger it is."""
    return _own_process


def newest(n: int | None, *loggers: str) -> list[list[str]]:
    """The `n` newest records (None: all), newest first, as pairs of level and text; of these loggers, or all."""
    if n is not None and (type(n) is not int or n < 0):
        raise ValueError(f"n is a number of lines, at least 0, not {n!r}")
    records = list(_kept.records) if _kept is not None else []
    chosen = [[level, text] for name, level, text in reversed(records) if not loggers or name in loggers]
    return chosen if n is None else chosen[:n]


def _others(name: str) -> bool:
    """Whether anybody else listens to this logger or those above it."""
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None:
        if any(handler is not _kept and not isinstance(handler, (Tap, _Beyond)) for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False
