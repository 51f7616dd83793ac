"""The form of a submitted cell: its state, where it runs and for how long, how many of its elements are done, and buttons to stop it or run it again.

Whoever submitted the cell (`notebook.shown`) knows how it ended and gives the form a snapshot; what happens until then the form follows itself. It
holds the futures of the cell's ends while it is under way, so that the cell runs to its end even when its names are bound to something else, and
after a failure, so that it can run again; a later run of the cell lets go of them.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from jupyterfut.client.futures import Future
from jupyterfut.core.client import events as ev
from jupyterfut.core.client.state import Record
from jupyterfut.notebook.live.tasks import TaskForm
from jupyterfut.views import html, text
from jupyterfut.views.snapshots import CellView
from jupyterfut.views.style import Look


class CellForm(TaskForm):
    """The form of one run of a cell.

    ends: futures that are finished when the cell has run, one for each element of a `for` cell. tasks: those that run its code. names: what it
    assigns: futures, or lists of them. again: called with the ends when they run once more.
    """

    def __init__(
        self, view: CellView, ends: list[Future], tasks: list[Future], names: dict[str, Any], *, elements: bool, again: Callable[[list[Future]], None]
    ) -> None:
        self._ends: list[Future] = list(ends)
        super().__init__(lambda: self._ends)
        self._view = self._given = view
        self._elements = elements
        self._again = again
        self._over = False  # the futures have come to their end
        self._task_of = {end.key: task.key for end, task in zip(ends, tasks, strict=True)} if len(ends) == len(tasks) else {}
        self._tasks = [weakref.ref(task) for task in tasks]
        self._names = [weakref.ref(future) for held in names.values() for future in _futures(held)]

    def end(self, view: CellView) -> None:
        """So it ended."""
        self._given = view
        if view.status == "finished":
            self._ends = []
        self.changed()

    def reopened(self, records: list[Record]) -> None:
        mine = set(records)
        ends = [end for end in self._ends if end._record in mine]
        if ends:
            self._given = self._given._replace(status="pending", reason="", traceback="")
            self._again(self._ends)
            super().reopened(records)

    def _follow(self, client: Any, records: list[Record]) -> None:
        """Where the cell's code runs, not where its end is told."""
        super()._follow(client, [task._record for one in self._tasks if (task := one()) is not None] or records)

    def look(self, records: list[Record]) -> None:
        given = self._given
        if given.status != "pending":
            where = self._whereabouts()
            took_s = self.took_s if self._elements else self._took_s()
            self._view = given._replace(worker=where.worker if where else "", took_s=took_s, codes=self._codes())
            return
        where = self._whereabouts()
        since = self.since if self._elements else where.since if where and where.state == "running" else None
        self._view = given._replace(
            step=where.state if where else "", worker=where.worker if where else "", since=since, codes=self._codes(),
            reason=given.reason if where is None or where.state in ("waiting", "queued") else "",
        )  # fmt: skip

    def refresh(self) -> None:
        if not self._over or self._stale:
            super().refresh()
            self._over = self.ended
        if self._over:
            self.look([])  # the futures are let go by now, and how it ended may be new
        self.ended = self._over and self._given.status != "pending"  # else nobody has said yet how it ended

    def _whereabouts(self) -> Any:
        return None if self._elements else next((self._where[key] for key in self._task_of.values() if key in self._where), None)

    def _took_s(self) -> float | None:
        for key in self._task_of.values():
            if key in self._began:
                where = self._where.get(key)
                end = where.since if where is not None and where.state in ("finished", "error") else time.time()
                return self._took.setdefault(key, max(0.0, end - self._began[key]))
        return None

    def _codes(self) -> bytes:
        if not self._elements:
            return b""
        if len(self._records) != len(self.codes):
            return self.codes
        codes = bytearray(self.codes)
        for i, record in enumerate(self._records):
            where = self._where.get(self._task_of.get(record.key, ""))
            if codes[i] == 0 and where is not None and where.state == "running":
                codes[i] = 1
        return bytes(codes)

    def act(self, what: str, args: dict[str, Any]) -> None:
        wanted = {"cancel": "pending", "retry": "error"}.get(what)
        if wanted is None:
            raise ValueError(f"a cell's form knows no {what!r}")
        futures = [*self._ends, *(future for one in (*self._tasks, *self._names) if (future := one()) is not None)]
        if not futures:
            raise ValueError("the cell has been run again since")
        records = list(dict.fromkeys(future._record for future in futures if future.status == wanted))
        session = futures[0]._client._session
        if not records:
            return
        if what == "cancel":
            session.post(ev.Cancel(records, False, "cancelled by a button in the notebook"))
            return
        for known in (self._where, self._began, self._took):
            known.clear()
        session.post(ev.Retry(records))

    def html(self, look: Look) -> str:
        return html.cell(self._view, look=look)

    def text(self) -> str:
        return text.cell(self._view)


def _futures(held: Any) -> Iterable[Future]:
    if isinstance(held, Future):
        return [held]
    return [one for one in held if isinstance(one, Future)] if isinstance(held, list) else []
