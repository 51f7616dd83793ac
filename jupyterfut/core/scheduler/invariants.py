"""What must hold after every event. `check(machine)` raises `Broken`, with the story of the key concerned; `at_rest` says what is left when nothing
should be."""

from __future__ import annotations

from jupyterfut.core.scheduler.machine import SchedulerMachine
from jupyterfut.core.scheduler.state import ACTIVE, ERRED, FORGOTTEN, MEMORY, PROCESSING, QUEUED, WAITING, State, TaskState
from jupyterfut.wire.payload import payload_nbytes


class Broken(AssertionError):
    """An invariant does not hold."""


def check(machine: SchedulerMachine) -> None:
    """Compare every index with what it indexes, every count with what it counts, every state with what it means."""
    state = machine.state
    queued = retained = 0
    held: dict[TaskState, int] = {}
    users: dict[object, int] = {}
    for key, task in state.tasks.items():
        _check_task(state, key, task)
        queued += task.state == QUEUED
        if task.payload is not None:
            retained += payload_nbytes(task.payload)
        for other in (*task.holds, *task.result_holds):
            held[other] = held.get(other, 0) + 1
        if task.fire_and_forget:
            held[task] = held.get(task, 0) + 1
        if task.function is not None:
            users[task.function] = users.get(task.function, 0) + 1
    for task in state.tasks.values():
        _demand(state, task, task.held == held.get(task, 0), f"held {task.held}, but by {held.get(task, 0)}")
    for function in state.functions.values():
        _demand(state, None, function.users == users.get(function, 0), f"{function}: {function.users} users, {users.get(function, 0)} tasks")
        _demand(state, None, bool(function.users or function.clients), f"{function} is of no use to anybody")
        _demand(state, None, all(function in w.functions for w in function.workers), f"{function} at workers")
    lengths = state.ready.length + sum(queue.length for queue in state.restricted.values())
    _demand(state, None, queued == lengths, f"{queued} queued tasks, {lengths} by the queues' count")
    _demand(state, None, retained == state.retained_bytes, f"{retained} bytes kept, {state.retained_bytes} on account")
    _check_workers(state)
    for client in state.clients.values():
        for task in client.wanted:
            _demand(state, task, client in task.wanted_by and task.state != FORGOTTEN, f"{client} wants it, it does not know")
    _demand(state, None, not state.dirty and not state.touched, "mail or accounts were left over")


def _check_task(state: State, key: str, task: TaskState) -> None:
    at = task.state
    _demand(state, task, task.key == key and at != FORGOTTEN, "in the table under another key, or forgotten")
    active = at in ACTIVE
    _demand(state, task, not active or task.needed, "at work though nobody needs it")
    _demand(state, task, at != MEMORY or task.needed, "in memory though nobody needs it")
    for dependency in task.dependencies:
        _demand(state, task, dependency.dependents is not None and task in dependency.dependents, f"{dependency} does not know it")
        _demand(state, task, state.tasks.get(dependency.key) is dependency, f"its input {dependency} is not in the table")
    for dependent in task.dependents or ():
        _demand(state, task, task in dependent.dependencies, f"{dependent} does not know it")
    waiters = sum(d.state in ACTIVE for d in task.dependents or ())
    _demand(state, task, task.waiters == waiters, f"{task.waiters} waiters on account, {waiters} in truth")
    if at == WAITING:
        missing = sum(d.state != MEMORY for d in task.dependencies)
        _demand(state, task, task.missing == missing and missing > 0, f"{task.missing} missing inputs on account, {missing} in truth")
    if at == QUEUED:
        _demand(state, task, all(d.state == MEMORY for d in task.dependencies), "queued without its inputs")
    worker = task.worker
    _demand(state, task, (worker is not None) == (at == PROCESSING), f"worker {worker}")
    if worker is not None:
        _demand(state, task, task in worker.processing and state.workers.get(worker.address) is worker, f"{worker} does not know it")
        if task.ahead:
            for dependency in task.dependencies:
                made_there = dependency.state == PROCESSING and dependency.worker is worker
                alive = dependency.function is None or dependency.state in (MEMORY, WAITING, QUEUED, PROCESSING)
                _demand(state, task, made_there or alive, f"ahead of {dependency}")
    _demand(state, task, (task.failure is not None) == (at == ERRED), f"failure {task.failure}")
    _demand(state, task, at == MEMORY or (not task.who_has and task.payload is None), "holds a result that it should not have")
    _demand(state, task, at != MEMORY or bool(task.who_has) or task.payload is not None, "in memory nowhere")
    for holder in task.who_has:
        _demand(state, task, task in holder.has and state.workers.get(holder.address) is holder, f"{holder} does not know that it holds it")
    for client in task.wanted_by:
        _demand(state, task, task in client.wanted and state.clients.get(client.id) is client, f"{client} does not know that it wants it")


def _check_workers(state: State) -> None:
    for address, worker in state.workers.items():
        _demand(state, None, worker.address == address and state.workers_by_name.get(worker.name) is worker, f"{worker} in the tables")
        _demand(state, None, worker.blocked == sum(t.blocked for t in worker.processing), f"{worker}: blocked")
        _demand(state, None, worker.nbytes == sum(t.nbytes for t in worker.has), f"{worker}: nbytes")
        expected = sum(t.estimate_s for t in worker.processing)
        close = abs(worker.occupancy_s - expected) < 1e-6 * (1 + expected)
        _demand(state, None, close, f"{worker}: occupancy {worker.occupancy_s}, {expected} in truth")
        for name, amount in worker.resources.items():
            used = sum((t.options.resources or {}).get(name, 0.0) for t in worker.processing)
            _demand(state, None, abs(worker.resources_free[name] + used - amount) < 1e-9, f"{worker}: {name}")
            _demand(state, None, used <= amount + 1e-9, f"{worker}: more {name} given than there is")
        for task in worker.processing:
            _demand(state, task, task.worker is worker, f"{worker} thinks that it runs it")
        for task in worker.has:
            _demand(state, task, worker in task.who_has, f"{worker} thinks that it holds it")
        tiers = (worker in state.idle, worker in state.roomy)
        _demand(state, None, tiers == (worker.tier == 2, worker.tier == 1), f"{worker}: tier {worker.tier}")
        _demand(state, None, not (state.ready.length and worker.tier), f"{worker} has room while tasks are queued")
    threads = sum(w.nthreads for w in (*state.idle, *state.roomy))
    _demand(state, None, threads == state.open_threads, f"{state.open_threads} open threads on account, {threads} in truth")
    _demand(state, None, all(w.address in state.workers for w in (*state.idle, *state.roomy, *state.crowded)), "a worker that is gone is in a tier")


def at_rest(machine: SchedulerMachine) -> list[str]:
    """What is left when every future has been released and nothing runs: should be []."""
    state = machine.state
    left = [f"task {task}" for task in state.tasks.values()]
    left += [f"function {function}" for function in state.functions.values() if function.users or not function.clients]
    left += [f"queue of {len(state.ready.order)} lanes"] if state.ready.order else []
    left += [f"restricted queue {restriction}" for restriction in state.restricted]
    for worker in state.workers.values():
        left += [f"{worker} processes {task}" for task in worker.processing]
        left += [f"{worker} holds {task}" for task in worker.has]
        left += [f"{worker} has {task} parked" for task in worker.ahead_parked]
    left += [f"parked request {parked.id}" for parked in state.parked]
    left += [f"{state.retained_bytes} bytes kept"] if state.retained_bytes else []
    return left


def _demand(state: State, task: TaskState | None, holds: bool, text: str) -> None:
    if not holds:
        story = "" if task is None else "\n  ".join(["", *map(str, state.journal.story(task.key)[-20:])])
        raise Broken(f"{task or 'scheduler'}: {text}{story}")
