"""Who gets the next task, and how far ahead.

A worker is sent more than its threads can run, so that it never waits for an answer: as much work as `ahead_s` seconds a thread, by measured
durations (hundreds of tasks of a microsecond, one spare task of a second). Workers stand in tiers: `idle` (a thread has nothing to do), `roomy`
(may be sent more), or full. Queued tasks go to idle workers first, in runs of neighbours, because neighbours tend to have their dependants in
common.

A task whose only missing inputs are being made by one worker may be sent to it at once (`ahead`): a chain runs without a round trip a link. It must
not overtake queued tasks of better rank, and if there is no room it is parked at that worker and looked at again when there is.

What was sent too far is taken back (`balance`): when a worker idles while another has more than its threads can run, tasks that have not started are
asked back, latest first. Tasks under which a worker died are suspects: they get a thread of their own, nothing else waits behind them. An actor,
which is never taken back, is made where the fewest are, and waits behind other actors at most.
"""

from __future__ import annotations

from itertools import islice

from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.hot import start_many
from jupyterfut.core.scheduler.ordered_queue import ReadyQueue
from jupyterfut.core.scheduler.state import MEMORY, PROCESSING, WAITING, Restriction, State, TaskState, WorkerState
from jupyterfut.core.scheduler.transitions import Transitions
from jupyterfut.wire.messages import StealTasks

STEAL_LOOK = 64
"""How many of a victim's latest tasks are looked at in one round of stealing."""


REFILL = 4
"""A worker with work ahead is sent more when a quarter of it is done: few large messages instead of an answer to each report."""


class Dispatch:
    """Places queued tasks. Owns the workers' accounts: occupancy, room, tiers."""

    def __init__(self, state: State, transitions: Transitions) -> None:
        self.state = state
        self.transitions = transitions
        transitions.try_ahead = self.ahead_worker
        transitions.unload = self.unload
        transitions.start_many = lambda tasks, worker: start_many(state, worker, tasks, WAITING)

    # --- accounts

    def unload(self, task: TaskState) -> None:
        """The task is not at its worker any more (or is done there)."""
        worker = task.worker
        if worker is None:
            return
        self.state.touched[worker] = None
        del worker.processing[task]
        worker.occupancy_s = worker.occupancy_s - task.estimate_s if worker.processing else 0.0
        if not worker.processing:
            worker.ahead_parked.clear()  # nothing is made here that they could follow
        if task.blocked:
            task.blocked = False
            worker.blocked -= 1
        if task.options.resources:
            for name, amount in task.options.resources.items():
                worker.resources_free[name] += amount
        task.worker = None
        task.ahead = False
        task.stealing = False

    def room(self, worker: WorkerState, last_resort: bool = False) -> int:
        """How many more tasks the worker may be sent, by what is known of its load. One that retires is sent none, but as a last resort."""
        if worker.retiring and not last_resort:
            return 0
        config = self.state.config
        in_flight = len(worker.processing) - worker.blocked
        threads = worker.nthreads
        by_time = int((config.ahead_s * threads - worker.occupancy_s) / worker.each_s)
        room = min(by_time, config.ahead_tasks * threads - in_flight)
        if in_flight <= threads:
            return max(room, threads + 1 - in_flight)
        return room if room * REFILL >= in_flight else 0

    def classify(self, worker: WorkerState) -> None:
        """Put the worker into its tier."""
        state = self.state
        in_flight = len(worker.processing) - worker.blocked
        if worker.retiring:
            tier = 0
        elif in_flight < worker.nthreads:
            tier = 2
        elif self.room(worker) > 0:
            tier = 1
        else:
            tier = 0
        if in_flight > worker.nthreads:
            state.crowded[worker] = None
        else:
            state.crowded.pop(worker, None)
        if tier == worker.tier:
            return
        self.leave_tier(worker)
        worker.tier = tier
        if tier:
            (state.idle if tier == 2 else state.roomy)[worker] = None
            state.open_threads += worker.nthreads

    def classify_touched(self) -> None:
        """Bring the tiers up to date with the accounts."""
        touched = self.state.touched
        if touched:
            for worker in touched:
                self.classify(worker)
            touched.clear()

    def leave_tier(self, worker: WorkerState) -> None:
        state = self.state
        if worker.tier:
            del (state.idle if worker.tier == 2 else state.roomy)[worker]
            state.open_threads -= worker.nthreads
            worker.tier = 0

    # --- placing

    def start_now(self, task: TaskState) -> bool:
        """A lone task without inputs, while nothing is queued and a thread idles, need not pass through the queue: a third of a lone call's cost
        here. False: it must."""
        state = self.state
        if task.dependencies or state.ready.length or state.restricted or state.touched or not state.idle:
            return False
        start_many(state, next(reversed(state.idle)), [task])
        return True

    def run(self) -> None:
        """Send what can be sent."""
        state = self.state
        if state.touched:
            self.classify_touched()
        if state.restricted:
            self._run_restricted()
        ready = state.ready
        if ready.length:
            for tier in (state.idle, state.roomy):
                while ready.length and tier:
                    # Of the idle ones the last that worked: it is warm, and a lone round trip wakes nobody else. Of the others the first, in turn.
                    worker = next(reversed(tier)) if tier is state.idle else next(iter(tier))
                    share = max(-(-ready.length * worker.nthreads // max(state.open_threads, 1)), self._grain(ready))
                    self._fill(worker, ready, max(1, min(share, self.room(worker))))
        if not ready.length and ready.order:
            ready.peek()  # drops what was cancelled in the queue

    def _grain(self, queue: ReadyQueue) -> int:
        """So many of the next tasks are worth a message: work of `grain_s`, which is less than telling a second worker of it would take."""
        task = queue.peek()
        function = task.function if task is not None else None
        if function is None or function.duration_s < 0.0:
            return 1
        return int(self.state.config.grain_s / (function.duration_s + self.state.config.task_overhead_s)) or 1

    def _fill(self, worker: WorkerState, queue: ReadyQueue, count: int) -> None:
        """Send up to `count` tasks to the worker, but those with inputs to where their inputs are, if there is room."""
        state = self.state
        tasks = queue.take(count)
        if any(task.dependencies for task in tasks):
            placed: dict[WorkerState, list[TaskState]] = {}
            for task in tasks:
                chosen = self._nearest(task, worker, placed) if task.dependencies else worker
                placed.setdefault(chosen, []).append(task)
            for chosen, theirs in placed.items():
                start_many(state, chosen, theirs)
        elif tasks:
            start_many(state, worker, tasks)
        self.classify_touched()
        for task in tasks:
            if task.dependents:
                self._send_dependents_ahead(task)

    def _nearest(self, task: TaskState, worker: WorkerState, placed: dict[WorkerState, list[TaskState]]) -> WorkerState:
        """Where to send a task with inputs, when it is `worker`'s turn.

        Large inputs draw it to the worker that holds most of their bytes. Small ones travel along and could go anywhere; but their maker's
        neighbourhood is kept together as long as that worker is hardly busier, since what is next to them can then be sent ahead (a stencil's
        inner cells).
        """
        if task.stolen:
            return worker  # it was taken back from where it would be drawn to
        large: dict[WorkerState, int] = {}
        small: dict[WorkerState, int] = {}
        for dependency in task.dependencies:
            if dependency.payload is None:
                for holder in dependency.who_has:
                    large[holder] = large.get(holder, 0) + dependency.nbytes + 1
            else:
                for holder in dependency.who_has:
                    small[holder] = small.get(holder, 0) + 1
        if large:
            best = max(large, key=large.__getitem__)
            return best if best is worker or self.room(best) > len(placed.get(best, ())) else worker
        if not small or small.get(worker, 0) == max(small.values()):
            return worker
        best = max(small, key=small.__getitem__)
        function = task.function
        each_s = self.state.config.task_overhead_s + max(function.duration_s if function is not None else 0.0, 0.0)
        ahead_s = best.occupancy_s / best.nthreads - worker.occupancy_s / worker.nthreads
        ahead_s += each_s * (len(placed.get(best, ())) / best.nthreads - len(placed.get(worker, ())) / worker.nthreads)
        return best if ahead_s <= self.state.config.near_s and self.room(best) > len(placed.get(best, ())) else worker

    def _run_restricted(self) -> None:
        state = self.state
        for restriction in list(state.restricted):
            queue = state.restricted[restriction]
            if queue.peek() is None:
                del state.restricted[restriction]
                continue
            candidates = self.eligible(restriction)
            actors = self._actors() if restriction[4] else {}
            while queue.length and candidates:
                candidates = [w for w in candidates if self._may_take(w, restriction)]
                if not candidates:
                    break
                worker = min(candidates, key=lambda w: (actors.get(w, 0) / w.nthreads, (len(w.processing) - w.blocked) / w.nthreads))
                actors[worker] = actors.get(worker, 0) + 1
                share = 1 if restriction[1] or restriction[2] or restriction[4] else max(1, -(-queue.length // len(candidates)))
                self._fill_restricted(worker, queue, min(share, self.room(worker, last_resort=True)))
            if queue.peek() is None:
                del state.restricted[restriction]

    def _fill_restricted(self, worker: WorkerState, queue: ReadyQueue, count: int) -> None:
        start_many(self.state, worker, queue.take(count))
        self.classify_touched()

    def eligible(self, restriction: Restriction) -> list[WorkerState]:
        """The workers that may run tasks with this restriction, busy or not, in order of arrival. One that retires only if nobody else may,
        and never once it is empty."""
        names, resources, _, others_too, _ = restriction
        everybody = [w for w in self.state.workers.values() if not w.emptied]
        workers = [w for w in everybody if matches(w, names)] if names else everybody
        if others_too and all(w.retiring for w in workers):
            workers = everybody
        workers = [w for w in workers if all(w.resources.get(name, 0.0) >= amount for name, amount in resources)]
        return [w for w in workers if not w.retiring] or workers

    def _may_take(self, worker: WorkerState, restriction: Restriction) -> bool:
        _, resources, suspect, _, actor = restriction
        if not all(worker.resources_free[name] >= amount for name, amount in resources):
            return False
        if suspect:
            alone = not any(task.deaths and not task.blocked for task in worker.processing)
            return alone and len(worker.processing) - worker.blocked < worker.nthreads
        if actor:  # it is not taken back later, so it must not wait behind anything but other actors
            others = (task for task in worker.processing if not (task.blocked or task.options.actor))
            return sum(1 for _ in islice(others, worker.nthreads)) < worker.nthreads and self.room(worker, last_resort=True) > 0
        return self.room(worker, last_resort=True) > 0

    def _actors(self) -> dict[WorkerState, int]:
        """How many actors each worker has, or makes: they are spread evenly, since what they will have to do shows only when it is too late."""
        counts: dict[WorkerState, int] = {}
        for task in self.transitions.actors:
            worker = task.worker if task.worker is not None else task.who_has[0] if task.who_has else None
            if worker is not None:
                counts[worker] = counts.get(worker, 0) + 1
        return counts

    # --- ahead

    def ahead_worker(self, task: TaskState) -> WorkerState | None:
        """The worker to which a waiting task may be sent now, because it makes all of the task's missing inputs; None otherwise."""
        worker = self.maker(task)
        if worker is None or self.overtakes(task):
            return None
        if self.room(worker) <= 0:
            worker.ahead_parked.append(task)
            return None
        return worker

    def convoy(self) -> Convoy:
        """An empty convoy."""
        return Convoy(self)

    @staticmethod
    def maker(task: TaskState) -> WorkerState | None:
        """The one worker that makes all of the task's missing inputs, if there is one and the task may go there."""
        options = task.options
        if options.resources or options.actor or task.deaths or task.function is None:
            return None
        worker: WorkerState | None = None
        for dependency in task.dependencies:
            if dependency.state is MEMORY:
                continue
            if dependency.state is not PROCESSING or dependency.options.actor or dependency.deaths or dependency.stealing or dependency.blocked:
                return None
            if worker is None:
                worker = dependency.worker
            elif dependency.worker is not worker:
                return None
        if worker is None or (options.workers and not matches(worker, tuple(options.workers))):
            return None
        return worker

    def overtakes(self, task: TaskState) -> bool:
        """Whether queued tasks have a better right to a worker's room."""
        ready = self.state.ready
        if not ready.length:
            return False
        head = ready.peek()
        return head is not None and head.rank < task.rank

    def _send_dependents_ahead(self, task: TaskState) -> None:
        """`task` has just been sent: dependants that wait for it only can follow, and theirs."""
        convoy = Convoy(self)
        self._follow(task, convoy)
        convoy.leave()

    def _follow(self, task: TaskState, convoy: Convoy) -> None:
        sent = [task]
        while sent:
            for dependent in sent.pop().dependents or ():
                if dependent.state is WAITING and convoy.join(dependent) and dependent.dependents:
                    sent.append(dependent)

    def unpark(self, worker: WorkerState) -> None:
        """The worker has room again: look once more at what was parked there."""
        parked = worker.ahead_parked
        convoy = Convoy(self)
        for _ in range(len(parked)):
            if convoy.is_full or self.room(worker) <= 0:
                break
            task = parked.popleft()
            if task.state is WAITING and convoy.join(task) and task.dependents:
                self._follow(task, convoy)
        convoy.leave()

    # --- taking back

    def balance(self) -> float | None:
        """Ask tasks back from crowded workers for idle ones. Returns when to look again although nothing may have happened until then; None: there
        is no use in it."""
        state = self.state
        config = state.config
        now = state.now
        again: float | None = None
        thieves = sum(w.nthreads - (len(w.processing) - w.blocked) for w in state.idle)
        for victim in list(state.crowded):
            if thieves <= 0:
                break
            excess = len(victim.processing) - victim.blocked - victim.nthreads
            silent_s = now - victim.last_report
            waits_s = victim.occupancy_s * excess / (excess + victim.nthreads) / victim.nthreads
            at = victim.steal_not_before
            if waits_s < config.steal_min_s and silent_s < config.steal_after_s:  # it will be done soon, unless what it runs turns out to be long
                at = max(at, victim.last_report + config.steal_after_s)
            if now < at:
                again = at if again is None else min(again, at)
                continue
            excess -= sum(task.stealing for task in islice(reversed(victim.processing), STEAL_LOOK))
            if excess <= 0:
                continue
            victim.steal_not_before = now + config.steal_min_s
            tasks = self._loot(victim, max(1, min(excess, excess // 2 + thieves)))
            if tasks:
                for task in tasks:
                    task.stealing = True
                    post.append(state, victim.outbox, StealTasks([task.key], [task.attempt]))
                thieves -= len(tasks)
        return again

    def _loot(self, victim: WorkerState, count: int) -> list[TaskState]:
        """Up to `count` of the victim's latest tasks that could run elsewhere right now. Its threads keep what they need: what was sent ahead
        follows others and is no work for them yet."""
        runnable = sum(not (task.ahead or task.blocked or task.stealing) for task in victim.processing)
        count = min(count, runnable - victim.nthreads)
        tasks: list[TaskState] = []
        for task in islice(reversed(victim.processing), max(STEAL_LOOK, count)):
            if len(tasks) >= count:
                break
            if task.stealing or task.blocked or task.ahead or task.options.workers or task.options.resources or task.options.actor:
                continue
            tasks.append(task)
        return tasks


class Convoy:
    """Tasks that travel ahead together: they join one by one, each behind the maker of its inputs, and leave in one message.

    A task that has joined counts as sent for those that join after it. Nothing else may happen before `leave`.
    """

    __slots__ = ("_dispatch", "_room", "_tasks", "_worker")

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._worker: WorkerState | None = None
        self._room = 0
        self._tasks: list[TaskState] = []

    @property
    def is_full(self) -> bool:
        """Whether the worker that the convoy goes to has no room for more."""
        return self._worker is not None and self._room <= 0

    def join(self, task: TaskState) -> bool:
        """Send the waiting task along, if it can be sent ahead. One for which there is no room now is parked."""
        dispatch = self._dispatch
        worker = dispatch.maker(task)
        if worker is None or dispatch.overtakes(task):
            return False
        if worker is not self._worker:
            self.leave()
            self._worker = worker
            self._room = dispatch.room(worker)
        if self._room <= 0:
            worker.ahead_parked.append(task)
            return False
        self._room -= 1
        task.state = PROCESSING
        task.worker = worker
        self._tasks.append(task)
        return True

    def leave(self) -> None:
        """Put those that have joined into the worker's mail."""
        if self._tasks and self._worker is not None:
            start_many(self._dispatch.state, self._worker, self._tasks, WAITING)
            for task in self._tasks:
                task.ahead = True
            self._tasks = []


def matches(worker: WorkerState, names: tuple[str, ...]) -> bool:
    """Whether one of `names` (an address, a host, or a worker's name) means this worker. The name is the one that it gave itself, also when it is
    called otherwise here, because it came before its predecessor was seen to be gone."""
    given = worker.info.get("name")
    for name in names:
        if name in (worker.name, worker.address, given):
            return True
        rest = worker.address.partition("://")[2]
        if name == rest or name == rest.rpartition(":")[0]:
            return True
    return False
