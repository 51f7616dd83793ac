"""How far the calls of each function are: the topic "progress".

A row is a group (`groups`): calls of one function from one cell, or from one client. Those that are at work stand in the order in which they began,
the newest first; those that have ended follow, the last first.
"""

from __future__ import annotations

from typing import ClassVar, Final

from jupyterfut.core.scheduler.groups import is_at_work
from jupyterfut.core.scheduler.panes.source import Options, Snapshot, StateSource
from jupyterfut.core.scheduler.panes.summary import as_counts, sum_of
from jupyterfut.core.scheduler.state import GroupState
from jupyterfut.wire import panes

ROWS: Final = 200


class Progress(StateSource):
    topic: ClassVar[str] = "progress"
    interval_s: ClassVar[float] = 0.1

    def snapshot(self, options: Options) -> Snapshot:
        groups = self.state.groups.values()
        at_work = [group for group in groups if is_at_work(group)]
        ended = [group for group in groups if group.done and not is_at_work(group)]
        at_work.sort(key=lambda group: -group.id)
        ended.sort(key=lambda group: (-group.ended_at, -group.id))
        rows = at_work + ended
        told: panes.Progress = {
            "at": self.now(),
            "groups": [self._row(group) for group in rows[:ROWS]],
            "others": self._others(rows[ROWS:]) if len(rows) > ROWS else None,
            "total": sum_of(groups),
            "done": self.state.done,
        }
        return dict(told)

    def _row(self, group: GroupState) -> panes.Group:
        epoch_s = self.state.epoch_s
        return {
            "id": group.id,
            "name": group.name,
            "origin": group.origin,
            "tasks": as_counts(group.counts),
            "done": group.done,
            "started_at": group.started_at + epoch_s,
            "ended_at": None if is_at_work(group) else group.ended_at + epoch_s,
        }

    def _others(self, groups: list[GroupState]) -> panes.Group:
        at_work = any(is_at_work(group) for group in groups)
        return {
            "id": 0,
            "name": f"{len(groups):,} others",
            "origin": "",
            "tasks": sum_of(groups),
            "done": sum(group.done for group in groups),
            "started_at": min(group.started_at for group in groups) + self.state.epoch_s,
            "ended_at": None if at_work else max(group.ended_at for group in groups) + self.state.epoch_s,
        }
