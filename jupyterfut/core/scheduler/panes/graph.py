"""The tasks that are known and what they are made of: the topic "graph".

Few tasks stand each for itself. Of many a picture of each would be of no use and a page could not lay it out: then a node is a group, an edge leads
from the groups of its inputs, and only the newest tasks are looked through, so that it costs no more with a million.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, ClassVar, Final

from jupyterfut.core.scheduler.panes.source import Options, Snapshot, StateSource
from jupyterfut.core.scheduler.state import ERRED, FORGOTTEN, MEMORY, GroupState, TaskState
from jupyterfut.wire import panes

TASKS: Final = 400
"""More than this are shown by groups."""

LOOKED_AT: Final = 10_000
"""Of so many tasks, the newest, the inputs are looked at."""

NODES: Final = 400
"""Groups that are shown, those with the newest tasks."""


class Graph(StateSource):
    topic: ClassVar[str] = "graph"
    interval_s: ClassVar[float] = 0.5

    _entry: Any = None
    _made: panes.Graph | None = None

    def end(self) -> None:
        self._entry = self._made = None

    def snapshot(self, options: Options) -> Snapshot:
        entries = self.state.journal.entries
        entry = entries[-1] if entries else None
        if self._made is None or entry is not self._entry:  # whatever happens to a task is written down
            tasks = self.state.tasks
            self._made = self._of_tasks(tasks.values()) if len(tasks) <= TASKS else self._of_groups()
            self._entry = entry
        return {**self._made, "at": self.now()}

    def _of_tasks(self, tasks: Iterable[TaskState]) -> panes.Graph:
        places = {task: place for place, task in enumerate(tasks)}
        nodes: list[panes.GraphNode] = [
            {
                "id": task.key,
                "label": task.group.name,
                "count": 1,
                "state": task.state,
                "done": int(task.state == MEMORY),
                "erred": int(task.state == ERRED),
            }
            for task in places
        ]
        edges = [(places[dependency], place) for task, place in places.items() for dependency in task.dependencies]
        return {"at": 0.0, "grouped": False, "nodes": nodes, "edges": edges, "tasks": len(places), "looked_at": len(places)}

    def _of_groups(self) -> panes.Graph:
        tasks = self.state.tasks
        places: dict[GroupState, int] = {}
        edges: dict[tuple[int, int], None] = {}
        newest = list(islice(reversed(tasks.values()), LOOKED_AT))
        group: GroupState | None = None
        place = 0
        for task in newest:
            if task.group is not group:  # as a rule neighbours are of one group
                group = task.group
                place = places.setdefault(group, len(places))
            if task.dependencies:
                for source in {dependency.group: None for dependency in task.dependencies}:
                    edges[places.setdefault(source, len(places)), place] = None
        nodes = [_node(group) for group in islice(places, NODES)]
        shown = len(nodes)
        kept = [edge for edge in edges if edge[0] != edge[1] and max(edge) < shown]
        return {"at": 0.0, "grouped": True, "nodes": nodes, "edges": kept, "tasks": len(tasks), "looked_at": len(newest)}


def _node(group: GroupState) -> panes.GraphNode:
    held = {at: n for at, n in group.counts.items() if at != FORGOTTEN}
    return {
        "id": str(group.id),
        "label": group.name,
        "count": sum(held.values()),
        "state": max(held, key=held.__getitem__),
        "done": held[MEMORY],
        "erred": held[ERRED],
    }
