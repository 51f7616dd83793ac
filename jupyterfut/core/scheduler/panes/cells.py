"""The notebook's cells that have submitted tasks, with how far these are: the topic "cells".

A cell is an origin (`TaskOptions.origin`), and its tasks are those of all groups of that origin. What it is called its kernel has told (`cell_told`);
tasks that come from elsewhere, a script for one, stand in one row for each client.
"""

from __future__ import annotations

from typing import ClassVar, Final

from jupyterfut.core.scheduler.groups import is_at_work
from jupyterfut.core.scheduler.panes.source import Options, Snapshot, StateSource
from jupyterfut.core.scheduler.panes.summary import sum_of
from jupyterfut.core.scheduler.state import GroupState
from jupyterfut.ids import ClientId
from jupyterfut.wire import panes

ROWS: Final = 200


class Cells(StateSource):
    topic: ClassVar[str] = "cells"
    interval_s: ClassVar[float] = 0.1

    def snapshot(self, options: Options) -> Snapshot:
        origins: dict[str, list[GroupState]] = {}
        at_work: dict[str, None] = {}
        for group in self.state.groups.values():
            if group.origin:
                origins.setdefault(group.origin, []).append(group)
                if is_at_work(group):
                    at_work[group.origin] = None
        ended = {origin: max(group.ended_at for group in groups) for origin, groups in origins.items() if origin not in at_work}
        rows = [*sorted(at_work, key=lambda origin: -origins[origin][0].id), *sorted(ended, key=lambda origin: -ended[origin])]
        told: panes.Cells = {"at": self.now(), "rows": [self._row(origin, origins[origin], ended.get(origin)) for origin in rows[:ROWS]]}
        return dict(told)

    def _row(self, origin: str, groups: list[GroupState], ended_at: float | None) -> panes.CellRow:
        state = self.state
        epoch_s = state.epoch_s
        cell = state.cells.get(origin)
        client = state.clients.get(ClientId(origin.partition("/")[0]))
        info = {} if client is None else client.info
        return {
            "origin": origin,
            "kernel": cell.kernel if cell is not None else str(info.get("kernel", "")),
            "session": cell.session if cell is not None else str(info.get("session", "")),
            "cell_id": cell.cell_id if cell is not None else "",
            "number": cell.number if cell is not None else 0,
            "title": cell.title if cell is not None else "" if client is None else client.name,
            "submitted": cell is not None and cell.submitted,
            "tasks": sum_of(groups),
            "done": sum(group.done for group in groups),
            "started_at": min(group.started_at for group in groups) + epoch_s,
            "ended_at": None if ended_at is None else ended_at + epoch_s,
            "running_s": round(sum(group.running_s for group in groups), 6),
        }
