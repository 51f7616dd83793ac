"""How a task's life goes: a table of (from, to) and a function for each pair.

Handlers (in `machine` and `members`) say what a task should become; `settle` runs these recommendations, and those that follow from them, to rest. A
step checks nothing that its table row already says. A pair that is not in the table is a bug, and the error carries the task's story.

    released --> waiting --> queued --> processing --> memory
        ^           |          |            |            |
        |           +----------+------------+--> erred   |
        +---------- nobody needs it any more ------------+      then `forgotten`, as soon as no dependant may ask for it again

Backwards: `processing -> waiting` (its worker died, gave it back, or the call failed and may be tried again), `memory -> waiting` (its last copy is
gone and somebody needs it), `erred -> waiting` (retry). What nobody needs is released at once, and so are, in turn, its inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.groups import ended
from jupyterfut.core.scheduler.ordered_queue import ReadyQueue
from jupyterfut.core.scheduler.state import (
    ACTIVE,
    ERRED,
    FORGOTTEN,
    MEMORY,
    PROCESSING,
    QUEUED,
    RELEASED,
    WAITING,
    ClientState,
    Restriction,
    State,
    TaskState,
    WorkerState,
    with_member,
    without_member,
)
from jupyterfut.ids import Key
from jupyterfut.wire.messages import Failure, KeysFailed, KeysLost, KeysPending, ReleaseData, StealTasks
from jupyterfut.wire.payload import payload_nbytes

Recommendations: TypeAlias = list[tuple[TaskState, str]]


class IllegalTransition(Exception):
    """A pair of states without a row in the table."""


class Transitions:
    """Runs recommendations against the table. `place` is asked for a task that may be sent ahead, `free` is told when a worker's load fell."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.try_ahead: Callable[[TaskState], WorkerState | None] = lambda task: None  # set by dispatch
        self.unload: Callable[[TaskState], None] = lambda task: None  # set by dispatch: take a task off its worker's accounts
        self.start_many: Callable[[list[TaskState], WorkerState], None] = lambda tasks, worker: None  # set by dispatch: send tasks to a worker
        # A task that found futures inside an opaque argument may have to run again when its result is lost, and will look for them again: until it is
        # forgotten itself, they stay known, so that they can be made again too. (Rare, so it has no place in each task.)
        self.looks_for: dict[TaskState, tuple[TaskState, ...]] = {}
        self.looked_for: dict[TaskState, int] = {}  # by how many
        self.actors: dict[TaskState, None] = {}  # that are to be made, or live
        self.with_futures: dict[TaskState, None] = {}  # their results contained futures when they were made; a copy without them is worth nothing
        self.later: Recommendations = []  # what coordination recommends while an event is handled; the machine settles it at the event's end

    def settle(self, recommendations: Recommendations) -> None:
        """Run these and all that follows from them."""
        state = self.state
        journal = state.journal.entries
        now = state.now
        for task, target in recommendations:  # grows while it is read
            start = task.state
            if start == target:
                continue
            row = TABLE.get((start, target))
            if row is None:
                if FORGOTTEN in (start, target) or (start, target) in OVERTAKEN:
                    continue
                raise IllegalTransition(f"{task.key}: {start} -> {target}; story: {state.journal.story(task.key)}")
            row[0](self, task, recommendations)
            after = task.state
            if after != start:
                journal.append((now, task.key, row[1], task.attempt))
                if target is not PROCESSING:  # `start_many` has counted it
                    counts = task.group.counts
                    counts[start] -= 1
                    counts[after] += 1
                    if after is MEMORY or after is ERRED or (after is RELEASED and start in ACTIVE):
                        ended(state, task.group, start, after)

    # --- who wants it

    def want(self, client: ClientState, task: TaskState, recommendations: Recommendations | None = None) -> None:
        """One more client wants a task that is known; it hears at once how things stand."""
        state = self.state
        task.wanted_by = with_member(task.wanted_by, client)
        client.wanted[task] = None
        if task.state == MEMORY:
            post.ready(state, client, task, task.payload)
        elif task.state == ERRED:
            assert task.failure is not None
            post.append(state, client.outbox, KeysFailed([task.key], [task.failure]))
        elif task.state == RELEASED:
            (self.later if recommendations is None else recommendations).append((task, WAITING))

    def let_go(self, holds: Iterable[TaskState]) -> None:
        """Coordination holds these once less."""
        for task in holds:
            task.held -= 1
            if not task.needed:
                self.later.append((task, RELEASED if task.state != RELEASED else FORGOTTEN))

    # --- towards the result

    def ask(self, task: TaskState, recommendations: Recommendations) -> None:
        """released -> waiting: somebody needs it (still), so it needs its inputs."""
        if not task.needed:
            return
        if task.function is None:  # scattered data that was let go: nothing can make it again
            task.failure = lost_data(task)
            recommendations.append((task, ERRED))
            task.state = WAITING
            return
        for dependency in task.dependencies:
            dependency.waiters += 1
        self._wait(task, recommendations)

    def _wait(self, task: TaskState, recommendations: Recommendations) -> None:
        """Count the inputs that are not there and see what can be done now."""
        missing = 0
        failure: Failure | None = None
        for dependency in task.dependencies:
            at = dependency.state
            if at == MEMORY:
                continue
            missing += 1
            if at == RELEASED:
                recommendations.append((dependency, WAITING))
            elif at == ERRED:
                failure = passed_on(dependency)
        task.missing = missing
        task.state = WAITING
        if failure is not None:
            task.failure = failure
            recommendations.append((task, ERRED))
        elif not missing:
            recommendations.append((task, QUEUED))
        elif self.try_ahead(task) is not None:
            recommendations.append((task, PROCESSING))

    def queue(self, task: TaskState, recommendations: Recommendations) -> None:
        """waiting -> queued: every input is there (unless one has been lost since that was recommended)."""
        if task.missing:
            return
        task.state = QUEUED
        if task.options.actor:
            self.actors[task] = None
        self.queue_of(task).push(task)

    def queue_of(self, task: TaskState) -> ReadyQueue:
        options = task.options
        if not (options.workers or options.resources or options.actor or task.deaths):
            return self.state.ready
        restriction = restriction_of(task)
        queue = self.state.restricted.get(restriction)
        if queue is None:
            queue = self.state.restricted[restriction] = ReadyQueue()
        return queue

    def send_ahead(self, task: TaskState, recommendations: Recommendations) -> None:
        """waiting -> processing: the worker that makes its missing inputs gets it now."""
        worker = self.try_ahead(task)
        if worker is None:  # things have changed since it was recommended
            return
        self.start_many([task], worker)
        task.ahead = True

    def _arrived(self, task: TaskState, recommendations: Recommendations) -> None:
        """The result is there: dependants get nearer, inputs may go."""
        was_active = task.state == PROCESSING
        task.state = MEMORY
        if task.dependents:
            for dependent in task.dependents:
                if dependent.state == WAITING:
                    dependent.missing -= 1
                    if not dependent.missing:
                        recommendations.append((dependent, QUEUED))
        if was_active:
            self.leave(task, recommendations)
        if not (task.wanted_by or task.waiters or task.held):
            recommendations.append((task, RELEASED))

    def leave(self, task: TaskState, recommendations: Recommendations) -> None:
        """It has finished: its inputs and the futures in its arguments are no longer its business."""
        self._leave_inputs(task, recommendations)
        if task.holds:
            self.unhold(task, recommendations)
        if task.fire_and_forget:
            self.forgotten_fire(task)

    def hold(self, keys: list[Key]) -> tuple[TaskState, ...]:
        """Keep the tasks alive that these keys name; keys that are not known any more are passed over."""
        held = tuple(task for task in map(self.state.tasks.get, keys) if task is not None)
        for task in held:
            task.held += 1
        return held

    def hold_in_result(self, task: TaskState, keys: list[Key]) -> None:
        """The result contains futures of these keys."""
        task.result_holds = self.hold(keys)
        self.with_futures[task] = None

    def _leave_inputs(self, task: TaskState, recommendations: Recommendations) -> None:
        for dependency in task.dependencies:
            dependency.waiters -= 1
            if not (dependency.waiters or dependency.wanted_by or dependency.held):
                recommendations.append((dependency, RELEASED))

    def hold_for_call(self, task: TaskState, keys: list[Key]) -> None:
        """The call's opaque arguments contain futures of these keys."""
        task.holds = self.looks_for[task] = self.hold(keys)
        for held in task.holds:
            self.looked_for[held] = self.looked_for.get(held, 0) + 1

    def _look_no_more(self, task: TaskState, recommendations: Recommendations) -> None:
        for held in self.looks_for.pop(task, ()):
            self.looked_for[held] -= 1
            if not self.looked_for[held]:
                del self.looked_for[held]
                if held.state == RELEASED:
                    recommendations.append((held, FORGOTTEN))

    def unhold(self, task: TaskState, recommendations: Recommendations) -> None:
        """The futures in its arguments are no longer its business."""
        holds, task.holds = task.holds, ()
        self.drop_holds(holds, recommendations)

    @staticmethod
    def forgotten_fire(task: TaskState) -> None:
        """It was to be kept until it has finished; it has, or it was cancelled."""
        task.fire_and_forget = False
        task.held -= 1

    @staticmethod
    def drop_holds(holds: tuple[TaskState, ...], recommendations: Recommendations) -> None:
        for held in holds:
            held.held -= 1
            if not held.needed:
                recommendations.append((held, RELEASED))

    # --- back to the start

    def again(self, task: TaskState, recommendations: Recommendations) -> None:
        """processing -> waiting: the attempt is void (worker lost, given back, failed with tries left, sent ahead of an input that will not
        be made there). Only in the last case its worker is here and does not know."""
        if task.ahead:
            post.cancel(self.state, task)
        self.unload(task)
        self.recall_ahead(task, recommendations)
        self._wait(task, recommendations)

    def recall_ahead(self, task: TaskState, recommendations: Recommendations) -> None:
        """Dependants that were sent ahead of `task` to its worker must come back: it will not be made there."""
        for dependent in task.dependents or ():
            if dependent.state == PROCESSING and dependent.ahead:
                recommendations.append((dependent, WAITING))

    def ask_back_ahead(self, task: TaskState) -> None:
        """Dependants that were sent ahead of `task` should come back, if they have not started: it may have waited for a moment only."""
        for dependent in task.dependents or ():
            if dependent.state == PROCESSING and dependent.ahead and not dependent.stealing:
                assert dependent.worker is not None
                dependent.stealing = True
                post.append(self.state, dependent.worker.outbox, StealTasks([dependent.key], [dependent.attempt]))

    def unqueue(self, task: TaskState, recommendations: Recommendations) -> None:
        """queued -> waiting: an input has been lost."""
        self.queue_of(task).leave(task)
        self._wait(task, recommendations)

    def lose(self, task: TaskState, recommendations: Recommendations) -> None:
        """memory -> waiting: the last copy is gone and it is needed (unless a copy has turned up since). The clients that had it are told."""
        if task.who_has or task.payload is not None:
            return
        self._forget_result(task, recommendations)
        for client in task.wanted_by:
            post.append(self.state, client.outbox, KeysPending([task.key]))
        self._missed(task, recommendations)
        for dependency in task.dependencies:
            dependency.waiters += 1
        self._wait(task, recommendations)

    def lose_for_ever(self, task: TaskState, recommendations: Recommendations) -> None:
        """memory -> erred: it was scattered data, or an actor (of which the payload is a mere description), and nothing can make it again (unless a
        copy has turned up since)."""
        if task.who_has or (task.payload is not None and not task.options.actor):
            return
        self._forget_result(task, recommendations)
        task.failure = lost_data(task)
        task.state = ERRED
        for client in task.wanted_by:
            post.append(self.state, client.outbox, KeysLost([task.key], task.failure.text))
        for dependent in task.dependents or ():
            if dependent.state in (WAITING, QUEUED):
                dependent.failure = task.failure
                recommendations.append((dependent, ERRED))
        if not task.needed:
            recommendations.append((task, RELEASED))

    def _missed(self, task: TaskState, recommendations: Recommendations) -> None:
        for dependent in task.dependents or ():
            if dependent.state == WAITING:
                dependent.missing += 1
            elif dependent.state == QUEUED:
                recommendations.append((dependent, WAITING))

    def retry(self, task: TaskState, recommendations: Recommendations) -> None:
        """erred -> waiting."""
        task.failure = None
        task.retries_left = task.options.retries
        task.deaths = 0
        for client in task.wanted_by:
            post.append(self.state, client.outbox, KeysPending([task.key]))
        for dependency in task.dependencies:
            dependency.waiters += 1
        self._wait(task, recommendations)

    # --- failure

    def fail(self, task: TaskState, recommendations: Recommendations) -> None:
        """waiting, queued, processing -> erred, with `task.failure`; dependants fail with the same."""
        if task.state == PROCESSING:
            worker = task.worker
            if worker is not None and task.attempt:
                post.cancel(self.state, task)
            self.unload(task)
        elif task.state == QUEUED:
            self.queue_of(task).leave(task)
        self._failed(task, recommendations)

    def fail_processing(self, task: TaskState, recommendations: Recommendations) -> None:
        """The worker itself reported the failure: it needs no `CancelTasks`. Called by the handler of `TasksFailed`."""
        self.unload(task)
        self._failed(task, recommendations)
        task.group.counts[PROCESSING] -= 1
        task.group.counts[ERRED] += 1
        ended(self.state, task.group, PROCESSING, ERRED)

    def _failed(self, task: TaskState, recommendations: Recommendations) -> None:
        failure = task.failure
        assert failure is not None, task
        if failure.key == task.key and failure.origin != task.options.origin:
            failure = task.failure = failure._replace(origin=task.options.origin)
        task.state = ERRED
        for client in task.wanted_by:
            post.append(self.state, client.outbox, KeysFailed([task.key], [failure]))
        if task.dependents:
            failure = passed_on(task)
        for dependent in task.dependents or ():
            if dependent.state in (WAITING, QUEUED) or (dependent.state == PROCESSING and dependent.ahead):
                dependent.failure = failure
                recommendations.append((dependent, ERRED))
        self.leave(task, recommendations)
        if not task.needed:
            recommendations.append((task, RELEASED))

    # --- nobody needs it

    def drop(self, task: TaskState, recommendations: Recommendations) -> None:
        """waiting, queued, processing, memory, erred -> released: unless somebody has come to need it since that was recommended."""
        if task.wanted_by or task.waiters or task.held:
            return
        start = task.state
        if start == MEMORY:
            self._forget_result(task, recommendations)
        elif start != ERRED:
            if start == PROCESSING:
                post.cancel(self.state, task)
                self.unload(task)
            elif start == QUEUED:
                self.queue_of(task).leave(task)
            self._leave_inputs(task, recommendations)
            if task.holds:
                self.unhold(task, recommendations)
        task.failure = None  # also one that was about to be told
        task.state = RELEASED
        recommendations.append((task, FORGOTTEN))

    def _forget_result(self, task: TaskState, recommendations: Recommendations) -> None:
        state = self.state
        if task.payload is not None:
            state.retained_bytes -= payload_nbytes(task.payload)
            task.payload = None
        for worker in task.who_has:
            del worker.has[task]
            worker.nbytes -= task.nbytes
            post.append(state, worker.outbox, ReleaseData([task.key]))
        task.who_has = ()
        if task.result_holds:
            holds, task.result_holds = task.result_holds, ()
            self.drop_holds(holds, recommendations)

    def forget(self, task: TaskState, recommendations: Recommendations) -> None:
        """released -> forgotten: unless a dependant may ask for it again. Its own inputs may be forgotten next."""
        if task.dependents or task.wanted_by or task.held or task in self.looked_for:
            return
        state = self.state
        task.state = FORGOTTEN
        del state.tasks[task.key]
        if task.holds:
            self.unhold(task, recommendations)
        if task in self.looks_for:
            self._look_no_more(task, recommendations)
        self.with_futures.pop(task, None)
        self.actors.pop(task, None)
        self.leave_graph(task, recommendations)
        function = task.function
        if function is not None:
            function.users -= 1
            if not function.users and not function.clients:
                post.forget_function(state, function)

    @staticmethod
    def leave_graph(task: TaskState, recommendations: Recommendations) -> None:
        """It is forgotten: its inputs do not know it any more."""
        for dependency in task.dependencies:
            dependents = dependency.dependents
            if dependents is not None:
                del dependents[task]
                if not dependents:
                    dependency.dependents = None
                    if dependency.state == RELEASED:
                        recommendations.append((dependency, FORGOTTEN))
        task.dependencies = ()

    # --- scattered data

    def adopt(self, task: TaskState, recommendations: Recommendations) -> None:
        """released, waiting, queued, processing, erred -> memory: a copy has turned up (scattered, or on a worker that came back), where `who_has`
        and `payload` say. Nobody has to make it any more."""
        start = task.state
        if start == PROCESSING:
            post.cancel(self.state, task)
            self.unload(task)
            self.recall_ahead(task, recommendations)
        elif start == QUEUED:
            self.queue_of(task).leave(task)
        if start in ACTIVE:
            task.state = PROCESSING  # for `_arrived`: it leaves its inputs
        task.failure = None
        for client in task.wanted_by:
            if start == ERRED:  # it was told of the failure or the loss
                post.append(self.state, client.outbox, KeysPending([task.key]))
            post.ready(self.state, client, task, task.payload)
        self._arrived(task, recommendations)

    def add_replica(self, task: TaskState, worker: WorkerState) -> None:
        if worker not in task.who_has:
            task.who_has = with_member(task.who_has, worker)
            worker.has[task] = None
            worker.nbytes += task.nbytes

    def remove_replica(self, task: TaskState, worker: WorkerState, recommendations: Recommendations) -> None:
        """A copy is gone. If it was the last, the task is lost, or made again if it is needed."""
        if worker not in task.who_has:
            return
        task.who_has = without_member(task.who_has, worker)
        del worker.has[task]
        worker.nbytes -= task.nbytes
        if not task.who_has and (task.payload is None or task.options.actor):
            if task.function is None or task.options.actor:
                recommendations.append((task, ERRED))
            elif task.needed:
                recommendations.append((task, WAITING))
            else:
                recommendations.append((task, RELEASED))


THROUGH = 8
"""Of so many tasks between a failure and who hears of it each is named; of more, the first and last."""


def passed_on(task: TaskState) -> Failure | None:
    """The failure of a task, as those that stand on it get it: with the way that it came."""
    failure = task.failure
    if failure is None or failure.key == task.key:
        return failure
    through = failure.through
    if len(through) >= THROUGH:
        through = [*through[: THROUGH // 2], Key("..."), *through[len(through) - THROUGH // 2 + 2 :]]
    return failure._replace(through=[*through, task.key])


def lacked_input(task: TaskState) -> bool:
    """Whether the task failed because an input was not known: no fault of its own, and over as soon as somebody makes the input."""
    failure = task.failure
    return failure is not None and failure.payload is None and failure.kind == "CancelledError"


def lost_data(task: TaskState) -> Failure:
    if not task.type:
        text = f"the input {task.key!r} is not known any more: it was cancelled, or its last future was released"
        return Failure("CancelledError", text, None, "", task.key)
    what = "the actor" if task.options.actor else "the scattered data"
    text = f"{what} {task.key!r} is gone: the worker that held its only copy has left, and nothing can make it again"
    return Failure("ActorLost" if task.options.actor else "LostData", text, None, "", task.key)


def restriction_of(task: TaskState) -> Restriction:
    options = task.options
    resources = tuple(sorted((options.resources or {}).items()))
    return (tuple(options.workers or ()), resources, task.deaths > 0, options.allow_other_workers, options.actor)


T = Transitions
TABLE: dict[tuple[str, str], tuple[Callable[[Transitions, TaskState, Recommendations], None], str]] = {
    (RELEASED, WAITING): (T.ask, "released -> waiting"),
    (RELEASED, MEMORY): (T.adopt, "released -> memory"),
    (WAITING, MEMORY): (T.adopt, "waiting -> memory"),
    (QUEUED, MEMORY): (T.adopt, "queued -> memory"),
    (PROCESSING, MEMORY): (T.adopt, "processing -> memory"),
    (ERRED, MEMORY): (T.adopt, "erred -> memory"),
    (RELEASED, FORGOTTEN): (T.forget, "released -> forgotten"),
    (WAITING, QUEUED): (T.queue, "waiting -> queued"),
    (WAITING, PROCESSING): (T.send_ahead, "waiting -> processing"),
    (WAITING, ERRED): (T.fail, "waiting -> erred"),
    (WAITING, RELEASED): (T.drop, "waiting -> released"),
    (QUEUED, WAITING): (T.unqueue, "queued -> waiting"),
    (QUEUED, ERRED): (T.fail, "queued -> erred"),
    (QUEUED, RELEASED): (T.drop, "queued -> released"),
    (PROCESSING, WAITING): (T.again, "processing -> waiting"),
    (PROCESSING, ERRED): (T.fail, "processing -> erred"),
    (PROCESSING, RELEASED): (T.drop, "processing -> released"),
    (MEMORY, WAITING): (T.lose, "memory -> waiting"),
    (MEMORY, ERRED): (T.lose_for_ever, "memory -> erred"),
    (MEMORY, RELEASED): (T.drop, "memory -> released"),
    (ERRED, WAITING): (T.retry, "erred -> waiting"),
    (ERRED, RELEASED): (T.drop, "erred -> released"),
}
"""The table. `queued -> processing` (with the worker) and `processing -> memory` (with the result) carry more than a task and are loops of `hot`."""

OVERTAKEN: Final = frozenset(
    ((RELEASED, QUEUED), (RELEASED, PROCESSING), (RELEASED, ERRED), (MEMORY, QUEUED), (MEMORY, PROCESSING), (ERRED, QUEUED), (ERRED, PROCESSING))
)
"""Recommended while the task waited; before its turn came it was let go, or its result turned up, or it failed. Nothing is to be done. The same
goes for a task that was asked for again before it was forgotten."""
