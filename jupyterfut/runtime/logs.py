"""The last log lines of a process, kept in memory for `Client.get_worker_logs` and `get_scheduler_logs`.

Whoever runs a server here says `acquire()`, and `release()` when it ends. Only our own loggers are listened to ("jupyterfut" and below). In processes
of our own (`tell_more`) they are kept from INFO on; in a user's process the levels stay as they are. Where nobody else has set up logging, warnings
still go to stderr, as Python does it without any handler.
"""

from __future__ import annotations

import logging
import threading
from collections import deque

from jupyterfut.runtime.output.attribution import aside

FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"

_lock = threading.Lock()
_users = 0


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
    logger = logging.getLogger("jupyterfut")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)


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
        if any(handler is not _kept for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False
