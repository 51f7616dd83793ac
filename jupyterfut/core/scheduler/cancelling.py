"""Taking tasks back: some keys (`CancelKeys`), or all that one notebook cell, or one client, has begun (`cancel_origin`).

Cancelled is what was named and all that stands on it, dependants first. A key that somebody else wants goes on for them. What nobody wants any more
is let go as by `release`, with one difference: the workers are told to interrupt the calls that run (`CancelTasks.interrupt`), since somebody has
said that they shall stop. A future that merely dies lets its call run to the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.query import BadRequest
from jupyterfut.core.scheduler.state import ACTIVE, FORGOTTEN, PROCESSING, RELEASED, ClientState, State, TaskState, without_member
from jupyterfut.core.scheduler.transitions import Recommendations, Transitions
from jupyterfut.ids import Key
from jupyterfut.wire.messages import CancelKeys, KeysCancelled

Owners = Callable[[TaskState], Iterable[ClientState]]
"""For whom a task is cancelled."""


class Cancelling:
    """`settle` runs the recommendations; `interrupting` is true meanwhile."""

    def __init__(self, state: State, transitions: Transitions) -> None:
        self.state = state
        self.transitions = transitions
        self.ops: dict[str, Callable[[ClientState, dict[str, Any]], Any]] = {"cancel_origin": self.cancel_origin}

    def cancel(self, client: ClientState, message: CancelKeys) -> None:
        """These keys, for the client that says so; with `force` for all."""

        def owners(task: TaskState) -> Iterable[ClientState]:
            return task.wanted_by if message.force else task.wanted_by and (client,)

        self._cancel([task for task in map(self.state.tasks.get, message.keys) if task is not None], owners, "cancelled")

    def cancel_origin(self, client: ClientState, args: dict[str, Any]) -> dict[str, Any]:
        """All unfinished tasks of an origin (`TaskOptions.origin`), which must be one of the client's own: what its cell has submitted, and what
        those tasks have submitted in turn. Answers how many were taken back (`tasks`), how many of them were at a worker (`running`), and how many of
        each name (`names`, the most frequent first).

        What a task of the cell has submitted is wanted by its worker's client, which all tasks of that worker share: it is cancelled for those, too.
        """
        origin = args["origin"]
        if type(origin) is not str or not (origin == client.id or origin.startswith(f"{client.id}/")):
            raise BadRequest(f"{origin!r} is no origin of {client.id}")
        chosen = [task for task in self.state.tasks.values() if task.options.origin == origin and task.state in ACTIVE]
        running = {task for task in chosen if task.state == PROCESSING}

        def owners(task: TaskState) -> Iterable[ClientState]:
            return [owner for owner in task.wanted_by if owner is client or owner.worker is not None]

        self._cancel(chosen, owners, str(args.get("reason") or "cancelled"))
        gone = [task for task in chosen if task.state not in ACTIVE]
        names: dict[str, int] = {}
        for task in gone:
            name = task.key.rpartition("-")[0] or task.key
            names[name] = names.get(name, 0) + 1
        return {
            "tasks": len(gone),
            "running": sum(task in running for task in gone),
            "names": dict(sorted(names.items(), key=lambda item: -item[1])),
        }

    def _cancel(self, tasks: list[TaskState], owners: Owners, reason: str) -> None:
        state = self.state
        closure: dict[TaskState, None] = dict.fromkeys(tasks)
        for task in tasks:  # grows while it is read
            for dependent in task.dependents or ():
                if dependent not in closure:
                    closure[dependent] = None
                    tasks.append(dependent)
        told: dict[ClientState, list[Key]] = {}
        recommendations: Recommendations = []
        for task in reversed(closure):
            for owner in owners(task):
                if task in owner.wanted:
                    del owner.wanted[task]
                    task.wanted_by = without_member(task.wanted_by, owner)
                    told.setdefault(owner, []).append(task.key)
            if task.fire_and_forget:
                self.transitions.forgotten_fire(task)
            if not task.needed:
                recommendations.append((task, RELEASED if task.state != RELEASED else FORGOTTEN))
        for owner, keys in told.items():
            post.append(state, owner.outbox, KeysCancelled(keys, reason))
        state.interrupting = True
        try:
            self.transitions.settle(recommendations)
        finally:
            state.interrupting = False
