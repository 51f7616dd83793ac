"""What this client wants to hear of workers beyond results: `forward_logging`, and the rows of tasks that ended (`task_stream`).

The client says the whole of its wishes to the scheduler whenever they change, and again when a scheduler begins anew with it.
"""

from __future__ import annotations

import logging
import threading
import weakref
from typing import TYPE_CHECKING, Any

from jupyterfut.client.output import under_cell
from jupyterfut.client.timeouts import Deadline
from jupyterfut.config import settings
from jupyterfut.core.client import events as ev
from jupyterfut.runtime.observer import FORWARDED

if TYPE_CHECKING:
    from jupyterfut.client.client import Client


class Observing:
    """One client's wishes."""

    def __init__(self, client: Client) -> None:
        self._owner = weakref.ref(client)  # the session listens with this, and must not keep a client alive that nobody has
        self._session = client._session
        self._order = threading.Lock()
        self._loggers: dict[str, int] = {}  # name ("" is the root) -> the lowest level; replaced, never changed
        self._recorders = 0  # who wants rows

    def begin_again(self) -> None:
        """The scheduler knows nothing of this client any more. Never blocks."""
        if self._loggers or self._recorders:
            self._session.post(ev.Ask(_unheard, "observe", self._wishes()))

    def _wishes(self) -> dict[str, Any]:
        return {"loggers": self._loggers, "tasks": self._recorders > 0}

    def _tell(self) -> Any:
        """The wishes as they are when they leave. Blocks, or returns an awaitable."""
        client = self._owner()
        if client is not None and client.asynchronous:
            return self._tell_async()
        with self._order:
            self._session.ask_blocking("observe", self._wishes(), Deadline(settings().client.timeout_s))
        return None

    async def _tell_async(self) -> None:
        await self._session.ask("observe", self._wishes(), Deadline(settings().client.timeout_s))

    # --- rows

    async def record(self, more: int) -> None:
        """One more (or, with -1, one less) who wants rows."""
        with self._session.lock:
            self._recorders += more
        await self._tell_async()

    @property
    def is_recording(self) -> bool:
        return self._recorders > 0

    # --- records

    def forward(self, name: str | None, level: int | str) -> Any:
        """Let what workers log to this logger appear here."""
        where, least = _logger_name(name), _level(level)
        session = self._session
        with session.lock:
            if not self._loggers:
                session.listen("log", self._heard)
            self._loggers = {**self._loggers, where: least}
        return self._tell()

    def unforward(self, name: str | None) -> Any:
        """No more. Raises ValueError for a logger that was not forwarded."""
        where = _logger_name(name)
        session = self._session
        with session.lock:
            if where not in self._loggers:
                there = ", ".join(repr(one or "root") for one in sorted(self._loggers)) or "none"
                raise ValueError(f"the logger {where or 'root'!r} is not forwarded (these are: {there})")
            self._loggers = {one: level for one, level in self._loggers.items() if one != where}
            if not self._loggers:
                session.unlisten("log", self._heard)
        return self._tell()

    def _heard(self, said: dict[str, Any]) -> None:
        """On the session's loop, before whatever comes after it: a worker has logged something that somebody wants."""
        fields = dict(said["record"])
        if not self._wants(fields["name"], fields["levelno"]):
            return
        args = fields.pop("args")
        record = logging.makeLogRecord(fields)
        record.args = tuple(args) if isinstance(args, list) else args
        setattr(record, FORWARDED, said["worker"])
        record.worker = said["worker"]
        record.key = said["key"]
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            with under_cell(said.get("origin", "")):
                logger.handle(record)

    def _wants(self, name: str, level: int) -> bool:
        return any(level >= least and (not where or name == where or name.startswith(f"{where}.")) for where, least in self._loggers.items())


def _logger_name(name: str | None) -> str:
    if name is None:
        return ""
    if not isinstance(name, str):
        raise TypeError(f"a logger's name is a string, or None for the root, not {name!r}")
    return "" if name == "root" else name


def _level(level: int | str) -> int:
    """A level's number. Raises ValueError for a name that logging does not know."""
    if isinstance(level, str):
        number = logging.getLevelNamesMapping().get(level.upper())
        if number is None:
            raise ValueError(f"logging knows no level {level!r}: it has {', '.join(logging.getLevelNamesMapping())}")
        return number
    if isinstance(level, bool) or not isinstance(level, int):
        raise TypeError(f"a level is a number or a name of logging, not {level!r}")
    return level


def _unheard(value: Any, failure: Any) -> None:
    """The asker who needs no answer."""
