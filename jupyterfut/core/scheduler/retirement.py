"""Workers that leave without losing anything.

A worker that retires gets no new tasks. What it has not started is taken back and runs elsewhere; what it runs may end (up to a deadline, if there is
one: then it runs again elsewhere). Results that only it holds are copied to workers that stay, also those that it still makes; what the scheduler
keeps itself needs no copy. When nothing is left that only this worker has, it is told to end (or, with `close=False`, stays connected and idle, for
its owner to end).

- Nobody else is there: the retirement fails, the worker works on. `force` (a cluster that is scaled to nothing) lets it go all the same: what was
  computed is computed again when there are workers, scattered data is lost, and a log line says so.
- Actors cannot move. A worker that is named retires with its actors, which end as if it had died; the answer and a log line name them. When the
  scheduler chooses, workers with actors come last, and never if only idle ones are asked for.
- A task that no other worker may run (by its `workers` or `resources`) still goes to a retiring worker, since somebody may be waiting for it there;
  but not to one that stands empty: its owner has been told so, and may end it at any moment.
- Whoever asked may go: the retirement goes on. The worker may die: then it is gone, as was wanted, and what it held is made again like after any
  death; should only its link have broken, it goes on retiring (or stands empty again) when it is back. Other workers may die: what they were
  given is copied to somebody else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from jupyterfut.core.effects import Close, Effect, Log, Send
from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.dispatch import Dispatch, matches
from jupyterfut.core.scheduler.members import Members
from jupyterfut.core.scheduler.parking import Parked
from jupyterfut.core.scheduler.query import BadRequest, Query
from jupyterfut.core.scheduler.replicas import TRIES, Copy, Job, Replicas
from jupyterfut.core.scheduler.state import MEMORY, WAITING, ClientState, State, TaskState, WorkerState
from jupyterfut.core.scheduler.transitions import restriction_of
from jupyterfut.ids import Address
from jupyterfut.wire.messages import Goodbye, StealTasks

MEMORY_RATIO = 2.0
"""Without a number, so many workers are kept that their memory limits sum up to this many times the bytes of all results."""


class Retirement:
    """All workers that leave, and the requests that wait for them."""

    def __init__(self, state: State, dispatch: Dispatch, members: Members, query: Query, replicas: Replicas) -> None:
        self.state = state
        self.dispatch = dispatch
        self.members = members
        self.query = query
        self.replicas = replicas
        self.leaving: dict[WorkerState, Leaving] = {}
        self.empty: dict[WorkerState, Leaving] = {}  # those that have retired with `close=False`, and stand by
        self.gone: dict[Address, Leaving] = {}  # those that left last: one whose link broke may not have heard that it was to, and come back
        self.late_ops: dict[str, Callable[[ClientState, int, dict[str, Any]], None]] = {"retire_workers": self.retire_workers}
        self.ops: dict[str, Callable[[ClientState, dict[str, Any]], Any]] = {"workforce": self.workforce}

    # --- who

    def workforce(self, client: ClientState, args: dict[str, Any]) -> dict[str, list[Address]]:
        """The addresses of the workers that stay, and of those that leave (or stand empty)."""
        workers = self.state.workers.values()
        return {"staying": [w.address for w in workers if not w.retiring], "leaving": [w.address for w in workers if w.retiring]}

    def staying(self) -> list[WorkerState]:
        """The workers that do not leave."""
        return [worker for worker in self.state.workers.values() if not worker.retiring]

    def retire_workers(self, client: ClientState, number: int, args: dict[str, Any]) -> None:
        """Retire the workers that `workers` and `names` name; or `n` that cost least, or all that can be spared, of all or of those that are named
        in `among`; at least `minimum` stay. With `idle_only` none that has something to do. Answered, when they are gone (or empty, with `close`
        False), with the facts about each, by address. A task's own worker is never chosen."""
        named = args.get("workers") is not None or args.get("names") is not None
        workers = self._named(args) if named else self._cheapest(args, client.worker)
        if client.worker in workers:
            raise BadRequest(f"a task cannot retire its own worker ({client.worker.name!r}), which waits for its tasks")
        timeout_s = args.get("timeout_s")
        deadline = None if timeout_s is None else self.state.now + timeout_s
        force, close = bool(args.get("force")), bool(args.get("close", True))
        if not force:
            self._must_be_possible(workers)
        farewell = Farewell(self)
        for worker in workers:
            leaving = self.leaving.get(worker)
            if leaving is None:
                if worker.retiring and not close:  # it is empty already, and was let stand so
                    farewell.gone(worker, self.facts(worker))
                    continue
                leaving = Leaving(self, worker)
            leaving.close = leaving.close or close
            leaving.force = leaving.force or force
            leaving.deadline = deadline if leaving.deadline is None or deadline is None else min(deadline, leaving.deadline)
            leaving.farewells.append(farewell)
            farewell.waits_for[worker] = None
        farewell.park(client, number)

    def _named(self, args: dict[str, Any]) -> list[WorkerState]:
        chosen: dict[WorkerState, None] = {}
        for name in [*(args.get("workers") or ()), *(args.get("names") or ())]:
            found = [worker for worker in self.state.workers.values() if matches(worker, (str(name),))]
            if not found:
                raise BadRequest(f"no worker matches {name!r}")
            chosen.update(dict.fromkeys(found))
        return list(chosen)

    def _cheapest(self, args: dict[str, Any], own: WorkerState | None) -> list[WorkerState]:
        staying = self.staying()
        among = args.get("among")
        minimum = int(args.get("minimum") or 0)
        n, target = args.get("n"), args.get("target")
        if n is None and target is not None:
            n = max(0, len(staying) - int(target))
        candidates = [worker for worker in staying if worker is not own and (among is None or matches(worker, tuple(among)))]
        if n is None or args.get("idle_only"):
            candidates = [worker for worker in candidates if not worker.processing and not has_actors(worker)]
        order = {worker: i for i, worker in enumerate(staying)}  # of arrival
        candidates.sort(key=lambda worker: (running(worker), has_actors(worker), worker.nbytes, -order[worker]))
        if n is not None:
            if int(n) < 0:
                raise BadRequest(f"n is a number of workers, at least 0, not {n}")
            return candidates[: max(0, min(int(n), len(staying) - minimum))]
        ratio = args.get("memory_ratio")
        return self._spared(candidates, staying, max(minimum, 1), MEMORY_RATIO if ratio is None else float(ratio))

    @staticmethod
    def _spared(candidates: list[WorkerState], staying: list[WorkerState], minimum: int, memory_ratio: float) -> list[WorkerState]:
        """As many idle workers as can go while the memory of the others has room for `memory_ratio` times what there is."""
        needed_bytes = memory_ratio * sum(worker.nbytes for worker in staying)
        limits = [worker.memory_limit_bytes for worker in staying]
        capacity = float(sum(limits)) if all(limits) else float("inf")
        spared: list[WorkerState] = []
        for worker in candidates:
            capacity -= worker.memory_limit_bytes
            if len(staying) - len(spared) <= minimum or capacity < needed_bytes:
                break
            spared.append(worker)
        return spared

    def _must_be_possible(self, workers: list[WorkerState]) -> None:
        if set(self.staying()) - set(workers):
            return
        for worker in workers:
            if worker.retiring:
                continue
            sole = [task for task in worker.has if is_only_at(task, workers)]
            if sole or worker.processing:
                what = f"holds {len(sole)} results that nobody else holds" if sole else f"has {len(worker.processing)} tasks"
                raise BadRequest(f"worker {worker.name!r} {what}, and no other worker is there to take over", "NotRetired")

    def facts(self, worker: WorkerState) -> dict[str, Any]:
        """What an answer says about a worker."""
        return {**self.query.worker_facts(worker), "actors": []}

    # --- what happens

    def worker_lost(self, worker: WorkerState) -> None:
        """The worker is gone, on its own account or ours."""
        for other in self.leaving.values():
            other.looked_at = -1  # more may be only there now, and nobody may be left to take it
        leaving = self.leaving.pop(worker, None)
        empty = self.empty.pop(worker, None)
        if leaving is not None:
            leaving.over()
            leaving.tell()
            self.remember(leaving)
        elif empty is not None and worker.retiring:
            self.remember(empty)

    def remember(self, leaving: Leaving) -> None:
        """It has left, or its link is broken."""
        leaving.left_at = self.state.now
        self.gone.pop(leaving.worker.address, None)
        self.gone[leaving.worker.address] = leaving
        while self.state.now - next(iter(self.gone.values())).left_at > self.state.config.worker_timeout_s:
            del self.gone[next(iter(self.gone))]

    def worker_came(self, address: Address) -> None:
        """A worker has joined. Is it one that was to leave, whose link broke before it had?"""
        before = self.gone.pop(address, None)
        worker = self.state.workers[address]
        if before is not None and before.worker.pid == worker.pid and self.state.now - before.left_at <= self.state.config.worker_timeout_s:
            leaving = Leaving(self, worker)
            leaving.close, leaving.force, leaving.deadline = before.close, before.force, before.deadline

    def next_deadline(self) -> float | None:
        """When a retiring worker's tasks have had their time."""
        return min((leaving.deadline for leaving in self.leaving.values() if leaving.deadline is not None and not leaving.is_late), default=None)


class Farewell:
    """One request: it waits for workers to leave."""

    def __init__(self, retirement: Retirement) -> None:
        self.parking = retirement.state.parked
        self.waits_for: dict[WorkerState, None] = {}
        self.answer: dict[Address, dict[str, Any]] = {}
        self.troubles: list[str] = []
        self.parked: Parked | None = None

    def park(self, client: ClientState, number: int) -> None:
        """This request is answered at the end; whoever asked may go before."""
        self.parked = self.parking.park(client, number, None, self._nobody_waits, None)
        self._look()

    def _nobody_waits(self) -> None:
        self.parked = None

    def gone(self, worker: WorkerState, facts: dict[str, Any]) -> None:
        """One has left, or stands empty."""
        self.waits_for.pop(worker, None)
        self.answer[worker.address] = facts
        self._look()

    def failed(self, worker: WorkerState, why: str) -> None:
        """One stays."""
        self.waits_for.pop(worker, None)
        self.troubles.append(why)
        self._look()

    def _look(self) -> None:
        if self.waits_for or self.parked is None:
            return
        parked, self.parked = self.parked, None
        if self.troubles:
            self.parking.fail(parked, "NotRetired", "; ".join(self.troubles))
        else:
            self.parking.answer(parked, self.answer)


class Leaving(Job):
    """One worker on its way out."""

    def __init__(self, retirement: Retirement, worker: WorkerState) -> None:
        super().__init__(retirement.replicas)
        self.retirement = retirement
        self.worker = worker
        self.close = False
        self.force = False
        self.deadline: float | None = None
        self.is_late = False  # the deadline has passed
        self.left_at = 0.0
        self.farewells: list[Farewell] = []
        self.to_copy: deque[TaskState] = deque()
        self.tries: dict[TaskState, int] = {}
        self.looked_at = -1  # with how many tasks it had when `to_copy` was filled last
        self.facts = retirement.facts(worker)
        retirement.leaving[worker] = self
        retirement.empty.pop(worker, None)
        worker.retiring = True
        retirement.state.touched[worker] = None
        self._take_back()

    def _take_back(self) -> None:
        """Ask for all tasks that the worker has not started, but for those that nobody else may run."""
        worker, dispatch = self.worker, self.retirement.dispatch
        for task in reversed(worker.processing):
            bound = bool(task.options.workers or task.options.resources)
            if task.blocked or task.stealing or (bound and dispatch.eligible(restriction_of(task)) == [worker]):
                continue
            task.stealing = True
            post.append(self.retirement.state, worker.outbox, StealTasks([task.key], [task.attempt]))

    def copied(self, copy: Copy, done: bool) -> None:
        self.looked_at = -1
        if not done:
            if self.replicas.is_here(copy.target):
                self.tries[copy.task] = self.tries.get(copy.task, 0) + 1
            self.to_copy.append(copy.task)

    def advance(self, effects: list[Effect]) -> None:
        state = self.retirement.state
        worker = self.worker
        if self.deadline is not None and state.now >= self.deadline and not self.is_late:
            self.is_late = True
            self.looked_at = -1
        while self.to_copy and not self.full:
            if not self._copy(self.to_copy.popleft(), effects):
                return
        if self.to_copy or self.under_way or len(worker.processing) == self.looked_at:
            return
        self.looked_at = len(worker.processing)
        self.to_copy.extend(task for task in worker.has if self._must_move(task) and not (self.force and self._cannot_move(task)))
        if self.to_copy:
            self.advance(effects)
        elif not worker.processing or self.is_late:
            self._leave(effects)
        elif not self.force and not self.retirement.staying():
            self._fail(f"worker {worker.name!r} has {len(worker.processing)} tasks, and no other worker is there to take over", effects)

    def _must_move(self, task: TaskState) -> bool:
        return is_only_at(task, (worker for worker in task.who_has if worker.retiring))

    def _cannot_move(self, task: TaskState) -> bool:
        return self.tries.get(task, 0) >= TRIES or not self.retirement.staying()

    def _copy(self, task: TaskState, effects: list[Effect]) -> bool:
        """Have somebody who stays copy it. False: it cannot be, and the retirement is over."""
        if task.state != MEMORY or self.worker not in task.who_has or not self._must_move(task):
            return True
        staying = self.retirement.staying()
        if self._cannot_move(task):
            if self.force:
                return True
            text = "the others could not fetch it" if staying else "no other worker is there to take it"
            self._fail(f"worker {self.worker.name!r} stays, since only it holds {task.key!r}: {text}", effects)
            return False
        copies = self.replicas.copies
        on_their_way = [worker for worker in staying if task in copies.get(worker, ())]
        self.replicas.copy(task, on_their_way[0] if on_their_way else min(staying, key=self.replicas.load), self)
        return True

    def _leave(self, effects: list[Effect]) -> None:
        """Nothing is left that only this worker has."""
        retirement, worker = self.retirement, self.worker
        actors = [task.key for task in worker.has if task.options.actor]
        if actors:
            effects.append(Log("warning", f"worker {worker.name} retires, and its actors end: {', '.join(actors[:5])}"))
            self.facts["actors"] = actors
        lost = [task.key for task in worker.has if self._must_move(task) and task.function is None]
        if lost:
            effects.append(Log("warning", f"worker {worker.name} leaves, the last one, and with it scattered data: {', '.join(lost[:5])}"))
        if self.close:
            effects.append(Send(worker.peer, Goodbye("retired")))
            effects.append(Close(worker.peer, "retired"))
            self._forget()
            retirement.remember(self)
            retirement.members.lose_worker(worker, "retired", effects, blame=False)
            self.tell()
            return
        for task in worker.processing:
            if not task.ahead:  # those are told when they become waiting
                post.cancel(retirement.state, task)
        worker.emptied = True
        retirement.members.transitions.settle([(task, WAITING) for task in worker.processing])
        self._forget()
        retirement.empty[worker] = self
        self.tell()

    def _forget(self) -> None:
        del self.retirement.leaving[self.worker]
        self.over()

    def _fail(self, why: str, effects: list[Effect]) -> None:
        """The worker works on."""
        retirement, worker = self.retirement, self.worker
        worker.retiring = worker.emptied = False
        retirement.state.journal.entries.append((retirement.state.now, worker.address, "worker stays", why))
        retirement.state.touched[worker] = None
        self._forget()
        effects.append(Log("warning", why))
        for farewell in self.farewells:
            farewell.failed(worker, why)

    def tell(self) -> None:
        """Those who waited learn that it has left."""
        for farewell in self.farewells:
            farewell.gone(self.worker, self.facts)


def is_only_at(task: TaskState, workers: Iterable[WorkerState]) -> bool:
    """Whether a result is on these workers and nowhere else, and could be elsewhere."""
    if task.payload is not None or task.options.actor:
        return False
    group = set(workers)
    return all(holder in group for holder in task.who_has)


def has_actors(worker: WorkerState) -> bool:
    """Whether an actor lives there."""
    return any(task.options.actor for task in worker.has)


def running(worker: WorkerState) -> int:
    """About how many calls run there."""
    return min(len(worker.processing) - worker.blocked, worker.nthreads) + worker.blocked
