"""Where results lie: copies on more workers (`replicate`), an even spread (`rebalance`), and the copying itself, which retirements use as well.

A worker is asked for copies with `Replicate` and answers each key, with `ReplicasAdded` or `ReplicasFailed`; should it die instead, that is the
answer. Until then the task is held: nobody can let it go while it travels. What the scheduler keeps itself, being small, goes along with the request;
the rest is fetched from those that hold it, as an input would be.

A `Job` wants copies and is told how each of them ended. After every event the jobs to which something happened go on (`advance`), so that many
answers in one message cost one look. A job that was abandoned by whoever asked for it goes on to its end: what is half done would help nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jupyterfut.core.effects import Effect, Log
from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.dispatch import matches
from jupyterfut.core.scheduler.parking import Parked
from jupyterfut.core.scheduler.query import BadRequest, Query
from jupyterfut.core.scheduler.state import ACTIVE, MEMORY, RELEASED, ClientState, State, TaskState, WorkerState
from jupyterfut.core.scheduler.transitions import Recommendations, Transitions
from jupyterfut.ids import Key
from jupyterfut.wire.messages import ReleaseData, ReplicasFailed, Replicate

DOUBT_AFTER = 3
"""After so many copies of one result in a row that failed, what the failing workers say of its holders is believed (`Query.note_missing`)."""

TRIES = 8
"""So often a worker tries to copy one result for one job. (It waits before it asks again where it got nothing: in all, for some ten seconds.)"""

UNDER_WAY_BYTES = 64 * 2**20
"""A job has copies of about so many bytes under way, so that what moves does not fill memories and roads all at once."""

UNDER_WAY_COPIES = 1_000


class Copy:
    """A copy that a worker was asked to make."""

    __slots__ = ("jobs", "target", "task")

    def __init__(self, task: TaskState, target: WorkerState) -> None:
        self.task = task
        self.target = target
        self.jobs: list[Job] = []

    def __repr__(self) -> str:
        return f"<Copy of {self.task.key} to {self.target.name}>"


class Job:
    """Somebody who wants copies. `replicas.jobs` knows it until it is over."""

    def __init__(self, replicas: Replicas) -> None:
        self.replicas = replicas
        self.under_way: dict[Copy, None] = {}
        self.under_way_bytes = 0
        replicas.jobs[self] = None

    @property
    def full(self) -> bool:
        """Whether it should wait before it asks for more."""
        return self.under_way_bytes >= UNDER_WAY_BYTES or len(self.under_way) >= UNDER_WAY_COPIES

    def copied(self, copy: Copy, done: bool) -> None:
        """One of its copies is there, or will not be."""
        raise AssertionError(self)

    def advance(self, effects: list[Effect]) -> None:
        """Go on. Costs next to nothing when nothing has happened that concerns this job."""
        raise AssertionError(self)

    def over(self) -> None:
        """Nothing is left to do."""
        del self.replicas.jobs[self]
        for copy in self.under_way:
            copy.jobs.remove(self)
        self.under_way.clear()


class Replicas:
    """All copies under way, and the jobs that wait for them."""

    def __init__(self, state: State, transitions: Transitions, query: Query) -> None:
        self.state = state
        self.transitions = transitions
        self.query = query
        self.jobs: dict[Job, None] = {}
        self.copies: dict[WorkerState, dict[TaskState, Copy]] = {}  # by target
        self.incoming_bytes: dict[WorkerState, int] = {}  # of `copies`
        self.failures: dict[TaskState, int] = {}  # copies in a row that failed
        self.late_ops: dict[str, Callable[[ClientState, int, dict[str, Any]], None]] = {"replicate": self.replicate, "rebalance": self.rebalance}

    # --- copies

    def load(self, worker: WorkerState) -> int:
        """The bytes that a worker holds, and will."""
        return worker.nbytes + self.incoming_bytes.get(worker, 0)

    def is_here(self, worker: WorkerState) -> bool:
        """Whether this worker has not been lost."""
        return self.state.workers.get(worker.address) is worker

    def copy(self, task: TaskState, target: WorkerState, job: Job) -> None:
        """Have `target` copy the result of `task`, for `job`. It is in memory, and not there."""
        copies = self.copies.setdefault(target, {})
        copy = copies.get(task)
        if copy is None:
            copy = copies[task] = Copy(task, target)
            task.held += 1
            self.incoming_bytes[target] = self.incoming_bytes.get(target, 0) + task.nbytes
            self._ask(task, target)
        if copy not in job.under_way:
            copy.jobs.append(job)
            job.under_way[copy] = None
            job.under_way_bytes += task.nbytes

    def _ask(self, task: TaskState, target: WorkerState) -> None:
        messages = target.outbox.messages
        if messages and type(messages[-1]) is Replicate:
            message = messages[-1]
        else:
            message = Replicate([], {}, {})
            post.append(self.state, target.outbox, message)
        message.keys.append(task.key)
        if task.payload is not None:
            message.inline[task.key] = task.payload
        else:
            holders = post.addresses(task)
            first = len(self.copies[target]) % len(holders)  # who fetches asks the first: the holders take turns
            message.where[task.key] = holders[first:] + holders[:first]

    def arrived(self, worker: WorkerState, keys: list[Key]) -> None:
        """The worker holds these."""
        copies = self.copies.get(worker)
        for key in keys if copies is not None else ():
            task = self.state.tasks.get(key)
            if task is not None and task in copies:  # type: ignore[operator]  # asked above
                self.failures.pop(task, None)
                self._ended(copies[task], worker in task.who_has)  # type: ignore[index]  # as above

    def failed(self, worker: WorkerState, message: ReplicasFailed) -> None:
        """The worker could not get these."""
        copies = self.copies.get(worker, {})
        recommendations: Recommendations = []
        for key, missing in zip(message.keys, message.missing, strict=True):
            task = self.state.tasks.get(key)
            copy = copies.get(task) if task is not None else None
            if copy is None:
                continue
            failures = self.failures[copy.task] = self.failures.get(copy.task, 0) + 1
            if failures >= DOUBT_AFTER:
                self.query.note_missing(missing, recommendations, worker)
            self._ended(copy, False)
        self.transitions.settle(recommendations)

    def worker_lost(self, worker: WorkerState) -> None:
        """The worker is gone, with the copies that were on their way to it."""
        for copy in list(self.copies.get(worker, {}).values()):
            self._ended(copy, False)

    def _ended(self, copy: Copy, done: bool) -> None:
        task, target = copy.task, copy.target
        copies = self.copies[target]
        del copies[task]
        self.incoming_bytes[target] -= task.nbytes
        if not copies:
            del self.copies[target], self.incoming_bytes[target]
        task.held -= 1
        if not task.needed:
            self.transitions.settle([(task, RELEASED)])
        for job in copy.jobs:
            del job.under_way[copy]
            job.under_way_bytes -= task.nbytes
            job.copied(copy, done)

    def drop(self, task: TaskState, worker: WorkerState) -> None:
        """One copy of several is not wanted any more."""
        assert len(task.who_has) > 1, task
        recommendations: Recommendations = []
        self.transitions.remove_replica(task, worker, recommendations)
        post.append(self.state, worker.outbox, ReleaseData([task.key]))
        self.transitions.settle(recommendations)

    # --- after every event

    def advance(self, effects: list[Effect]) -> None:
        """Let the jobs go on."""
        for job in list(self.jobs):
            if job in self.jobs:  # it may have ended with another
                job.advance(effects)
        if not self.jobs:
            self.failures.clear()

    # --- requests

    def chosen(self, args: dict[str, Any]) -> list[WorkerState]:
        """The workers that a request names, or all; without those that are leaving. Raises BadRequest for a name that means nobody."""
        everybody = list(self.state.workers.values())
        names = args.get("workers")
        if names is not None:
            for name in names:
                if not any(matches(worker, (name,)) for worker in everybody):
                    raise BadRequest(f"no worker matches {name!r}")
            everybody = [worker for worker in everybody if matches(worker, tuple(names))]
        return [worker for worker in everybody if not worker.retiring]

    def known(self, keys: list[Key]) -> list[TaskState]:
        """The tasks of these keys, each once. Raises BadRequest for a key that nobody knows."""
        tasks: dict[TaskState, None] = {}
        for key in keys:
            task = self.state.tasks.get(key)
            if task is None:
                raise BadRequest(f"the scheduler does not know {key!r} (any more)", "NoSuchKey")
            tasks[task] = None
        return list(tasks)

    def replicate(self, client: ClientState, number: int, args: dict[str, Any]) -> None:
        """Hold each result on `n` of `workers`. Answered when it is so, with the number of copies that were made."""
        workers = self.chosen(args)
        if not workers:
            raise BadRequest("there are no workers to replicate to")
        n = args.get("n")
        n = len(workers) if n is None else min(int(n), len(workers))
        branching = int(args.get("branching_factor") or 2)
        if n < 1 or branching < 1:
            raise BadRequest(f"n and branching_factor are at least 1, not {n} and {branching}: to delete a result, release its futures")
        job = Spread(self, n, workers, branching, self.known(args["keys"]))
        job.park(client, number)

    def rebalance(self, client: ClientState, number: int, args: dict[str, Any]) -> None:
        """Spread results evenly over workers, by their bytes. Answered when that is done, with the number of results that were moved."""
        workers = self.chosen(args)
        keys = args.get("keys")
        tasks = self.known(keys) if keys is not None else list({task: None for worker in workers for task in worker.has})
        job = Levelling(self, plan_moves(self, tasks, workers))
        job.park(client, number)

    # --- for invariants and the end of a simulation

    def held(self) -> list[TaskState]:
        """The tasks that copies hold."""
        return [task for copies in self.copies.values() for task in copies]

    def left(self) -> list[str]:
        """What is still under way."""
        return [f"{copy}" for copies in self.copies.values() for copy in copies.values()] + [f"job {job}" for job in self.jobs]

    def wrong(self) -> list[str]:
        """Indexes that do not fit, for `invariants.check`."""
        lines = []
        for target, copies in self.copies.items():
            if not self.is_here(target):
                lines.append(f"copies go to {target}, which is gone")
            if not copies or self.incoming_bytes.get(target) != sum(task.nbytes for task in copies):
                lines.append(f"{target}: {self.incoming_bytes.get(target)} incoming bytes on account")
            for copy in copies.values():
                lines += [f"{copy} is unknown to {job}" for job in copy.jobs if copy not in job.under_way or job not in self.jobs]
        for job in self.jobs:
            over = [copy for copy in job.under_way if self.copies.get(copy.target, {}).get(copy.task) is not copy]
            lines += [f"{job} waits for {copy}, which is over" for copy in over]
        return lines


class Asked(Job):
    """A job that one request asked for, and that answers it."""

    def __init__(self, replicas: Replicas) -> None:
        super().__init__(replicas)
        self.parked: Parked | None = None
        self.made = 0  # copies
        self.troubles: dict[Key, str] = {}  # results that could not be copied, and why

    def park(self, client: ClientState, number: int) -> None:
        """This request is answered at the end; whoever asked may go before."""
        self.parked = self.replicas.state.parked.park(client, number, None, self._nobody_waits, None)

    def _nobody_waits(self) -> None:
        self.parked = None

    def answer(self, effects: list[Effect]) -> None:
        """It is over."""
        self.over()
        parking = self.replicas.state.parked
        if self.parked is None:
            return
        if not self.troubles:
            parking.answer(self.parked, self.made)
            return
        key, why = next(iter(self.troubles.items()))
        more = f" (and {len(self.troubles) - 1} more)" if len(self.troubles) > 1 else ""
        parking.fail(self.parked, "NotCopied", f"{key!r}{more}: {why}")


class Spread(Asked):
    """`replicate`: copies of each result until `n` of `workers` hold it, from holder to holder like a tree; copies beyond that are dropped."""

    def __init__(self, replicas: Replicas, n: int, workers: list[WorkerState], branching: int, tasks: list[TaskState]) -> None:
        super().__init__(replicas)
        self.n = n
        self.workers = workers
        self.branching = branching
        self.to_do: dict[TaskState, None] = dict.fromkeys(tasks)  # to look at
        self.absent: dict[TaskState, None] = {}  # being made (again): to look at when they are there
        self.open: dict[TaskState, dict[WorkerState, None]] = {}  # task -> where copies of it are on their way to
        self.tries: dict[tuple[TaskState, WorkerState], int] = {}  # that failed

    def copied(self, copy: Copy, done: bool) -> None:
        task = copy.task
        del self.open[task][copy.target]
        if not self.open[task]:
            del self.open[task]
        self.to_do[task] = None
        if done:
            self.made += 1
        elif self.replicas.is_here(copy.target):
            self.tries[task, copy.target] = self.tries.get((task, copy.target), 0) + 1

    def advance(self, effects: list[Effect]) -> None:
        for task in [task for task in self.absent if task.state not in ACTIVE] if self.absent else ():
            del self.absent[task]
            self.to_do[task] = None
        while self.to_do and not self.full:
            task = next(iter(self.to_do))
            del self.to_do[task]
            self._look(task)
        if not (self.to_do or self.absent or self.open):
            self.answer(effects)

    def _look(self, task: TaskState) -> None:
        replicas = self.replicas
        if task.state in ACTIVE:
            self.absent[task] = None
            return
        if task.options.actor or task.state != MEMORY:
            self.troubles[task.key] = "it is an actor, which stays where it is" if task.options.actor else f"it has no result: it is {task.state}"
            return
        workers = [worker for worker in self.workers if replicas.is_here(worker)]
        under_way = self.open.get(task, {})
        holders = [worker for worker in workers if worker in task.who_has]
        missing = min(self.n, len(workers)) - len(holders) - len(under_way)
        if missing <= 0:
            if not under_way:
                self._drop_surplus(task, holders)
            return
        targets = [worker for worker in workers if worker not in task.who_has and worker not in under_way and not worker.retiring]
        targets = sorted([worker for worker in targets if self.tries.get((task, worker), 0) < TRIES], key=replicas.load)
        if not (targets or under_way):
            self.troubles[task.key] = f"{len(holders)} of {self.n} workers hold it; the others could not fetch it"
        room = missing if task.payload is not None else min(missing, self.branching * len(task.who_has) - len(under_way))
        for target in targets[:room]:
            self.open.setdefault(task, {})[target] = None
            replicas.copy(task, target, self)

    def _drop_surplus(self, task: TaskState, holders: list[WorkerState]) -> None:
        surplus = len(holders) - self.n
        if surplus > 0:
            for worker in sorted(holders, key=self.replicas.load, reverse=True)[:surplus]:
                self.replicas.drop(task, worker)


class Levelling(Asked):
    """`rebalance`: moves, each a copy after which the original goes."""

    def __init__(self, replicas: Replicas, moves: list[tuple[TaskState, WorkerState, WorkerState]]) -> None:
        super().__init__(replicas)
        self.moves = moves  # (what, from, to), last first
        self.sources: dict[Copy, WorkerState] = {}
        self.not_moved = 0

    def copied(self, copy: Copy, done: bool) -> None:
        source = self.sources.pop(copy)
        task = copy.task
        if done and source in task.who_has and len(task.who_has) > 1:
            self.made += 1
            self.replicas.drop(task, source)
        else:
            self.not_moved += 1

    def advance(self, effects: list[Effect]) -> None:
        replicas = self.replicas
        while self.moves and not self.full:
            task, source, target = self.moves.pop()
            fits = replicas.is_here(target) and not target.retiring and target not in task.who_has and source in task.who_has
            if task.state == MEMORY and fits and task not in replicas.copies.get(target, ()):
                replicas.copy(task, target, self)
                self.sources[replicas.copies[target][task]] = source
            else:
                self.not_moved += 1
        if not self.moves and not self.under_way:
            if self.not_moved:
                effects.append(Log("info", f"rebalance: {self.made} results were moved, {self.not_moved} stayed where they were"))
            self.answer(effects)


def plan_moves(replicas: Replicas, tasks: list[TaskState], workers: list[WorkerState]) -> list[tuple[TaskState, WorkerState, WorkerState]]:
    """Which of `tasks` to move from where to where, so that the workers hold about the same number of bytes: always from the fullest to the emptiest,
    the largest result that does not make that one fuller than the other was."""
    if len(workers) < 2:
        return []
    loads = {worker: replicas.load(worker) for worker in workers}
    close_enough = max(sum(loads.values()) // len(loads) // 20, 1)
    movable: dict[WorkerState, list[TaskState]] = {worker: [] for worker in workers}
    for task in tasks:
        for holder in task.who_has:
            if holder in movable and task.nbytes and task.state == MEMORY and not task.options.actor:
                movable[holder].append(task)
                break  # one of its copies may move
    for theirs in movable.values():
        theirs.sort(key=lambda task: task.nbytes)
    moves = []
    sources = dict.fromkeys(workers)
    while sources:
        source = max(sources, key=loads.__getitem__)
        target = min(loads, key=loads.__getitem__)
        gap = loads[source] - loads[target]
        theirs = movable[source]
        while theirs and (2 * theirs[-1].nbytes > gap + close_enough or target in theirs[-1].who_has):
            theirs.pop()  # too large to be of use; the gap only gets smaller
        if gap <= close_enough or not theirs:
            del sources[source]
            continue
        task = theirs.pop()
        loads[source] -= task.nbytes
        loads[target] += task.nbytes
        moves.append((task, source, target))
    moves.reverse()
    return moves
