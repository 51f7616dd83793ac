"""Workers that are replaced: `restart` (all of them, and every task forgotten) and `restart_workers` (some, and their tasks run elsewhere).

The work is the nannies': each ends its worker process, by force if it hangs, starts a fresh one, and answers when that has joined. Here the workers
are marked, so that their death is nobody's fault: tasks that they were running are not blamed for it. What only they held is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.dispatch import matches
from jupyterfut.core.scheduler.nannies import Nannies, NannyState
from jupyterfut.core.scheduler.query import BadRequest
from jupyterfut.core.scheduler.state import FORGOTTEN, RELEASED, ClientState, State, WorkerState, without_member
from jupyterfut.core.scheduler.transitions import Recommendations, Transitions
from jupyterfut.wire.messages import KeysCancelled

RESTARTED = "the cluster was restarted"


class Restarts:
    def __init__(self, state: State, transitions: Transitions, nannies: Nannies) -> None:
        self.state = state
        self.transitions = transitions
        self.nannies = nannies
        self.on_restart: Callable[[], None] = lambda: None  # what else is to be forgotten
        self.late_ops: dict[str, Callable[[ClientState, int, dict[str, Any]], None]] = {
            "restart": self._restart,
            "restart_workers": self._restart_workers,
        }

    def _restart(self, client: ClientState, number: int, args: dict[str, Any]) -> None:
        """All futures of all clients end cancelled, and all workers that have a nanny are replaced. Answered as `ask_each`
        does, and `"kept"`: the addresses of workers without a nanny, which have dropped their tasks and data."""
        wait, timeout_s = bool(args["wait"]), args.get("timeout_s")
        self.forget_all()
        asked: dict[str, NannyState] = {}
        for each in self.nannies.here.values():
            asked[each.name if each.name not in asked else each.address] = each
        kept = []
        workers: dict[str, WorkerState] = {}
        for worker in self.state.workers.values():
            nanny = self.nannies.of(worker)
            if nanny is None:
                kept.append(worker.address)
            else:
                workers[nanny.name if asked.get(nanny.name) is nanny else nanny.address] = worker
                self._leave_alone(worker)
        self.nannies.ask_each(client, number, asked, "restart", {"wait": wait}, timeout_s, partial(self._stays, workers), kept=kept)

    def _leave_alone(self, worker: WorkerState) -> None:
        """It is about to be replaced: it gets no more tasks, and what becomes of those that it has is nobody's fault."""
        worker.restarting = worker.retiring = True
        self.state.touched[worker] = None

    def _stays(self, workers: dict[Any, WorkerState], name: Any) -> None:
        """Its nanny could not replace it. If it is still here, it works on."""
        worker = workers.get(name)
        if worker is not None and self.state.workers.get(worker.address) is worker:
            worker.restarting = worker.retiring = worker.emptied = False
            self.state.touched[worker] = None

    def forget_all(self) -> None:
        """Nothing is wanted any more, but for what queues and variables hold. Clients are told."""
        state, transitions = self.state, self.transitions
        self.on_restart()
        for client in state.clients.values():
            if client.wanted:
                post.append(state, client.outbox, KeysCancelled([task.key for task in client.wanted], RESTARTED))
                for task in client.wanted:
                    task.wanted_by = without_member(task.wanted_by, client)
                client.wanted.clear()
        recommendations: Recommendations = []
        for task in reversed(state.tasks.values()):  # dependants first
            if task.fire_and_forget:
                transitions.forgotten_fire(task)
            if not task.needed:
                recommendations.append((task, RELEASED if task.state != RELEASED else FORGOTTEN))
        transitions.settle(recommendations)

    def _restart_workers(self, client: ClientState, number: int, args: dict[str, Any]) -> None:
        """Replace these workers. Answered as `ask_each` does, by address."""
        chosen = self._chosen(args["workers"])
        for worker in chosen:
            self._leave_alone(worker)
        asked = {worker.address: nanny for worker in chosen if (nanny := self.nannies.of(worker)) is not None}
        workers: dict[Any, WorkerState] = {worker.address: worker for worker in chosen}
        self.nannies.ask_each(client, number, asked, "restart", {"wait": True}, args.get("timeout_s"), partial(self._stays, workers))

    def _chosen(self, names: Iterable[str]) -> list[WorkerState]:
        chosen: dict[WorkerState, None] = {}
        for name in names:
            found = [worker for worker in self.state.workers.values() if matches(worker, (name,))]
            if not found:
                raise BadRequest(f"no worker matches {name!r}")
            chosen.update(dict.fromkeys(found))
        alone = [f"{worker.name} ({worker.address})" for worker in chosen if self.nannies.of(worker) is None]
        if alone:
            raise BadRequest(f"only workers with a nanny can be restarted, which these have not: {', '.join(alone)}")
        return list(chosen)
