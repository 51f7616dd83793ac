"""The four roads that nearly every task takes, as loops over columns.

They do what the table's steps do (`transitions`), one after the other, for tasks to which nothing special applies, and hand all others to the table:

    submit_many    released -> waiting -> queued or processing
    start_many     queued -> processing
    finish_many    processing -> memory
    release_many   memory -> released -> forgotten           nothing stands on it

A step of the table costs a recommendation, a look-up, a call and a journal entry; here a row costs its own stores only. `benchmarks/core` shows
what that is worth (docs/design/decisions/hot-roads.md). The simulator runs both and checks the same invariants after each event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyterfut.core.scheduler import groups, post
from jupyterfut.core.scheduler.state import (
    ERRED,
    FORGOTTEN,
    MEMORY,
    PROCESSING,
    QUEUED,
    RELEASED,
    WAITING,
    ClientState,
    FunctionState,
    GroupState,
    State,
    TaskState,
    WorkerState,
    without_member,
)
from jupyterfut.core.scheduler.transitions import Recommendations, Transitions
from jupyterfut.ids import Key
from jupyterfut.wire.messages import Functions, KeysReady, SubmitTasks, TasksDone
from jupyterfut.wire.payload import payload_nbytes

if TYPE_CHECKING:
    from jupyterfut.core.scheduler.dispatch import Dispatch


def submit_many(state: State, dispatch: Dispatch, client: ClientState, function: FunctionState, message: SubmitTasks) -> list[int]:
    """Put the rows into the table, and into the queue or ahead to a worker. Returns the row numbers that need the long road: known keys,
    unknown or failed inputs, restrictions."""
    options = message.options
    dependencies, holds = message.dependencies, message.holds
    if options.workers or options.resources or options.actor or holds:
        return list(range(len(message.keys)))
    tasks = state.tasks
    wanted = client.wanted
    alone = client.alone
    args = message.args
    seq = state.next_seq
    others: list[int] = []
    fresh: list[TaskState] = []
    convoy = dispatch.convoy()
    group = state.groups.get((function.id, options.origin))
    if group is None or group.ended_at < state.now - groups.PAUSE_S:
        group = groups.group_of(state, function, options.origin)
    for i, key in enumerate(message.keys):
        if key in tasks:
            others.append(i)
            continue
        missing = 0
        inputs: tuple[TaskState, ...] = ()
        if dependencies and dependencies[i]:
            names = dependencies[i]
            found = tuple(map(tasks.get, names))
            if not _are_alive(found) or len(set(names)) != len(names):
                others.append(i)
                continue
            inputs = found  # type: ignore[assignment]  # _are_alive: none of them is None
        tasks[key] = task = TaskState(key, function, args[i], options, seq + i, group)
        task.wanted_by = alone
        wanted[task] = None
        if inputs:
            task.dependencies = inputs
            for dependency in inputs:
                dependency.waiters += 1
                missing += dependency.state is not MEMORY
                if dependency.dependents is None:
                    dependency.dependents = {task: None}
                else:
                    dependency.dependents[task] = None
            if missing:
                task.missing = missing
                task.state = WAITING
                convoy.join(task)
                continue
        task.state = QUEUED
        fresh.append(task)
    convoy.leave()
    state.next_seq = seq + len(message.keys)
    count = len(message.keys) - len(others)
    function.users += count
    group.counts[QUEUED] += len(fresh)
    group.counts[WAITING] += count - len(fresh)
    state.journal.batch(state.now, message.keys, "submitted", client.id)
    if fresh and not (len(fresh) == 1 and dispatch.start_now(fresh[0])):
        state.ready.extend(fresh)
    return others


def _are_alive(inputs: tuple[TaskState | None, ...]) -> bool:
    """Whether each input is there or on its way."""
    return all(task is not None and task.state is not RELEASED and task.state is not ERRED for task in inputs)


def start_many(state: State, worker: WorkerState, tasks: list[TaskState], start: str = QUEUED) -> None:
    """Send tasks, which were all in the state `start`, to the worker: its accounts, and one `Compute` a run of calls of the same function."""
    if not worker.processing:
        worker.last_report = state.now
    state.touched[worker] = None
    config = state.config
    processing = worker.processing
    attempt = state.attempts
    occupancy_s = worker.occupancy_s
    function: FunctionState | None = None
    options = None
    estimate_s = 0.0
    counts: dict[str, int] = {}
    keys: list[Key] = []
    before = 0
    for task in tasks:
        if task.function is not function or task.options is not options:
            if counts:
                counts[start] -= len(keys) - before
                counts[PROCESSING] += len(keys) - before
            counts = task.group.counts
            function = task.function
            options = task.options
            assert function is not None
            if function not in worker.functions:
                worker.functions[function] = None
                function.workers[worker] = None
                post.append(state, worker.outbox, Functions([function.id], [function.payload], [function.name]))
            duration_s = function.duration_s
            estimate_s = (duration_s if duration_s >= 0.0 else config.unknown_duration_s) + config.task_overhead_s
            message = post.open_compute(state, worker, function, options)
            keys, attempts, args, priorities = message.keys, message.attempts, message.args, message.priorities
            before = len(keys)
            rank = -options.priority
        attempt += 1
        task.attempt = attempt  # type: ignore[assignment]  # NewType would cost a call a task
        task.state = PROCESSING
        task.worker = worker
        task.estimate_s = estimate_s
        occupancy_s += estimate_s
        processing[task] = None
        if task.options.resources:
            for name, amount in task.options.resources.items():
                worker.resources_free[name] -= amount
        keys.append(task.key)
        attempts.append(attempt)  # type: ignore[arg-type]  # as above
        args.append(task.args)  # type: ignore[arg-type]  # set, since the task has a function
        priorities.append([rank, task.seq])
        if task.dependencies:
            post.inputs(message, task)
        elif message.dependencies:
            message.dependencies.append([])
    if counts:
        counts[start] -= len(keys) - before
        counts[PROCESSING] += len(keys) - before
    state.attempts = attempt
    worker.occupancy_s = occupancy_s
    worker.each_s = estimate_s
    if len(tasks) == 1:
        state.journal.entries.append((state.now, tasks[0].key, "sent", worker.name))
    else:
        state.journal.batch(state.now, [task.key for task in tasks], "sent", worker.name)


def finish_many(state: State, transitions: Transitions, worker: WorkerState, message: TasksDone, recommendations: Recommendations) -> list[Key]:
    """Results have arrived. Returns the keys that nobody waited for (any more)."""
    tasks = state.tasks
    config = state.config
    processing = worker.processing
    has = worker.has
    alone = worker.alone
    holds = message.holds
    stale: list[Key] = []
    nbytes_sum = 0
    released_s = 0.0
    retained = state.retained_bytes
    limit = config.retained_bytes_limit
    client: ClientState | None = None
    rows: KeysReady | None = None
    group: GroupState | None = None
    function: FunctionState | None = None
    average_s = 0.0
    row = -1
    begin = 0  # of the run of rows of the same group
    for key, attempt, payload, type_name, nbytes, duration_s in zip(
        message.keys, message.attempts, message.payloads, message.types, message.nbytes, message.durations, strict=True
    ):
        row += 1
        task = tasks.get(key)
        if task is None or task.attempt != attempt or task.state is not PROCESSING:
            stale.append(key)
            if group is not None:
                function.duration_s = average_s  # type: ignore[union-attr]  # a started task has one
                nbytes_sum += groups.finished(state, group, message, begin, row)
                group = None
            continue
        if task.group is not group:
            if group is not None:
                function.duration_s = average_s  # type: ignore[union-attr]  # as above
                nbytes_sum += groups.finished(state, group, message, begin, row)
            group = task.group
            begin = row
            function = task.function
            average_s = function.duration_s  # type: ignore[union-attr]  # as above
        average_s = duration_s if average_s < 0.0 else average_s + 0.1 * (duration_s - average_s)
        if task.blocked or task.options.resources:
            transitions.unload(task)
        else:
            del processing[task]
            released_s += task.estimate_s
            task.worker = None
            task.ahead = task.stealing = False
        task.type = type_name
        task.nbytes = nbytes
        if payload is not None:
            size = len(payload) if type(payload) is bytes else payload_nbytes(payload)
            if retained + size <= limit or task.options.actor:  # an actor is its description to all but its worker
                task.payload = payload
                retained += size
        task.who_has = alone
        has[task] = None
        if holds and key in holds:
            transitions.hold_in_result(task, holds[key])
        for owner in task.wanted_by:
            if owner is not client or rows is None:
                client = owner
                rows = post.open_ready(state, owner)
            rows.keys.append(key)
            rows.payloads.append(payload)
            rows.types.append(type_name)
            rows.nbytes.append(nbytes)
        task.state = MEMORY
        if task.dependents:
            for dependent in task.dependents:
                if dependent.state is WAITING:
                    dependent.missing -= 1
                    if not dependent.missing:
                        recommendations.append((dependent, QUEUED))
        if task.dependencies or task.holds or task.fire_and_forget:
            transitions.leave(task, recommendations)
        if not (task.wanted_by or task.waiters or task.held):
            recommendations.append((task, RELEASED))
    if group is not None:
        function.duration_s = average_s  # type: ignore[union-attr]  # as above
        nbytes_sum += groups.finished(state, group, message, begin, row + 1)
    state.retained_bytes = retained
    worker.nbytes += nbytes_sum
    worker.occupancy_s = worker.occupancy_s - released_s if processing else 0.0
    if not processing:
        worker.ahead_parked.clear()  # nothing is made here that they could follow
    state.touched[worker] = None
    state.journal.batch(state.now, message.keys, "done", worker.name)
    return stale


def release_many(state: State, transitions: Transitions, client: ClientState, keys: list[Key], recommendations: Recommendations) -> None:
    """The client's last future of each key is gone. What nobody else needs is dropped, and forgotten if nothing stands on it."""
    tasks = state.tasks
    wanted = client.wanted
    forgotten: list[Key] = []
    worker: WorkerState | None = None
    rows: list[Key] = []
    group: GroupState | None = None
    before = 0
    looks = bool(transitions.looks_for or transitions.actors)
    for key in keys:
        task = tasks.get(key)
        if task is None or task not in wanted:
            continue
        del wanted[task]
        task.wanted_by = () if task.wanted_by is client.alone else without_member(task.wanted_by, client)
        if task.wanted_by or task.waiters or task.held:
            continue
        function = task.function
        tied = looks and (task in transitions.looks_for or task in transitions.looked_for or task in transitions.actors)
        if task.state is not MEMORY or task.dependents or task.result_holds or function is None or len(task.who_has) > 1 or tied:
            recommendations.append((task, RELEASED if task.state is not RELEASED else FORGOTTEN))
            continue
        payload = task.payload
        if payload is not None:
            state.retained_bytes -= len(payload) if type(payload) is bytes else payload_nbytes(payload)
            task.payload = None
        if task.who_has:
            holder = task.who_has[0]
            if holder is not worker:
                worker = holder
                rows = post.open_release(state, holder)
            del holder.has[task]
            holder.nbytes -= task.nbytes
            rows.append(key)
            task.who_has = ()
        task.state = FORGOTTEN
        del tasks[key]
        if task.group is not group:
            if group is not None:
                _forgotten(group, len(forgotten) - before)
            group = task.group
            before = len(forgotten)
        forgotten.append(key)
        if task.dependencies:
            transitions.leave_graph(task, recommendations)
        function.users -= 1
        if not function.users and not function.clients:
            post.forget_function(state, function)
            worker = None  # its mail is not the last message any more
    if group is not None:
        _forgotten(group, len(forgotten) - before)
        state.journal.batch(state.now, forgotten, "released and forgotten", client.id)


def _forgotten(group: GroupState, count: int) -> None:
    group.counts[MEMORY] -= count
    group.counts[FORGOTTEN] += count
