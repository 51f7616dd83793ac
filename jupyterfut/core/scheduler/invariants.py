"""What must hold after every event. `check(machine)` raises `Broken`, with the story of the key concerned; `at_rest` says what is left when nothing
should be."""

from __future__ import annotations

from typing import NoReturn

from jupyterfut.core.scheduler.machine import SchedulerMachine
from jupyterfut.core.scheduler.state import ACTIVE, ERRED, FORGOTTEN, MEMORY, PROCESSING, QUEUED, STATES, WAITING, GroupState, State, TaskState
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
    for task in machine.transitions.actors:
        if state.tasks.get(task.key) is not task or not task.options.actor:
            _broken(state, task, "among the actors")
    for task in (*machine.coordination.held(), *machine.replicas.held(), *machine.notebooks.held()):
        held[task] = held.get(task, 0) + 1
    for task in state.tasks.values():
        if task.held != held.get(task, 0):
            _broken(state, task, f"held {task.held}, but by {held.get(task, 0)}")
    for function in state.functions.values():
        if function.users != users.get(function, 0):
            _broken(state, None, f"{function}: {function.users} users, {users.get(function, 0)} tasks")
        if not (function.users or function.clients):
            _broken(state, None, f"{function} is of no use to anybody")
        if not all(function in w.functions for w in function.workers):
            _broken(state, None, f"{function} at workers")
    lengths = state.ready.length + sum(queue.length for queue in state.restricted.values())
    if queued != lengths:
        _broken(state, None, f"{queued} queued tasks, {lengths} by the queues' count")
    if retained != state.retained_bytes:
        _broken(state, None, f"{retained} bytes kept, {state.retained_bytes} on account")
    _check_groups(state)
    _check_workers(state)
    for client in state.clients.values():
        for task in client.wanted:
            if client not in task.wanted_by or task.state == FORGOTTEN:
                _broken(state, task, f"{client} wants it, it does not know")
    parts = (machine.coordination, machine.nannies, machine.plugins, machine.replicas, machine.notebooks)
    for line in [line for part in parts for line in part.wrong()]:
        _broken(state, None, line)
    if state.dirty or state.touched or machine.transitions.later:
        _broken(state, None, "mail or accounts were left over")


def _check_task(state: State, key: str, task: TaskState) -> None:
    at = task.state
    if task.key != key or at == FORGOTTEN:
        _broken(state, task, "in the table under another key, or forgotten")
    active = at in ACTIVE
    if active and not task.needed:
        _broken(state, task, "at work though nobody needs it")
    if at == MEMORY and not task.needed:
        _broken(state, task, "in memory though nobody needs it")
    for dependency in task.dependencies:
        if dependency.dependents is None or task not in dependency.dependents:
            _broken(state, task, f"{dependency} does not know it")
        if state.tasks.get(dependency.key) is not dependency:
            _broken(state, task, f"its input {dependency} is not in the table")
    for dependent in task.dependents or ():
        if task not in dependent.dependencies:
            _broken(state, task, f"{dependent} does not know it")
    waiters = sum(d.state in ACTIVE for d in task.dependents or ())
    if task.waiters != waiters:
        _broken(state, task, f"{task.waiters} waiters on account, {waiters} in truth")
    if at == WAITING:
        missing = sum(d.state != MEMORY for d in task.dependencies)
        if task.missing != missing or missing == 0:
            _broken(state, task, f"{task.missing} missing inputs on account, {missing} in truth")
    if at == QUEUED and any(d.state != MEMORY for d in task.dependencies):
        _broken(state, task, "queued without its inputs")
    worker = task.worker
    if (worker is not None) != (at == PROCESSING):
        _broken(state, task, f"worker {worker}")
    if worker is not None:
        if task not in worker.processing or state.workers.get(worker.address) is not worker:
            _broken(state, task, f"{worker} does not know it")
        if task.ahead:
            for dependency in task.dependencies:
                made_there = dependency.state == PROCESSING and dependency.worker is worker
                lasting = dependency.function is None or dependency.options.actor  # the worker has it, or its description, whatever becomes of it
                alive = lasting or dependency.state in (MEMORY, WAITING, QUEUED, PROCESSING)
                if not (made_there or alive):
                    _broken(state, task, f"ahead of {dependency}")
    if (task.failure is not None) != (at == ERRED):
        _broken(state, task, f"failure {task.failure}")
    if at != MEMORY and (task.who_has or task.payload is not None):
        _broken(state, task, "holds a result that it should not have")
    if at == MEMORY and not task.who_has and task.payload is None:
        _broken(state, task, "in memory nowhere")
    for holder in task.who_has:
        if task not in holder.has or state.workers.get(holder.address) is not holder:
            _broken(state, task, f"{holder} does not know that it holds it")
    for client in task.wanted_by:
        if task not in client.wanted or state.clients.get(client.id) is not client:
            _broken(state, task, f"{client} does not know that it wants it")


def _check_groups(state: State) -> None:
    counted: dict[GroupState, dict[str, int]] = {group: dict.fromkeys(STATES[:-1], 0) for group in state.groups.values()}
    for task in state.tasks.values():
        group, function = task.group, task.function
        if group not in counted or group.key[0] != ("" if function is None else function.id):
            _broken(state, task, f"of {group}")
        if function is not None and (group.origin != task.options.origin or group.name != function.name):
            _broken(state, task, f"of {group}")
        counted[group][task.state] += 1
    for key, group in state.groups.items():
        if key != group.key or {at: n for at, n in group.counts.items() if at != FORGOTTEN} != counted[group]:
            _broken(state, None, f"{group}, in truth {counted[group]}")
        if group.done < group.counts[MEMORY] + group.counts[ERRED]:
            _broken(state, None, f"{group}: {group.done} done")


def _check_workers(state: State) -> None:
    for address, worker in state.workers.items():
        if worker.address != address or state.workers_by_name.get(worker.name) is not worker:
            _broken(state, None, f"{worker} in the tables")
        if worker.blocked != sum(t.blocked for t in worker.processing):
            _broken(state, None, f"{worker}: blocked")
        if worker.nbytes != sum(t.nbytes for t in worker.has):
            _broken(state, None, f"{worker}: nbytes")
        expected = sum(t.estimate_s for t in worker.processing)
        if abs(worker.occupancy_s - expected) >= 1e-6 * (1 + expected):
            _broken(state, None, f"{worker}: occupancy {worker.occupancy_s}, {expected} in truth")
        for name, amount in worker.resources.items():
            used = sum((t.options.resources or {}).get(name, 0.0) for t in worker.processing)
            if abs(worker.resources_free[name] + used - amount) >= 1e-9:
                _broken(state, None, f"{worker}: {name}")
            if used > amount + 1e-9:
                _broken(state, None, f"{worker}: more {name} given than there is")
        for task in worker.processing:
            if task.worker is not worker:
                _broken(state, task, f"{worker} thinks that it runs it")
        for task in worker.has:
            if worker not in task.who_has:
                _broken(state, task, f"{worker} thinks that it holds it")
        if worker.retiring and worker.tier:
            _broken(state, None, f"{worker} retires and is in a tier")
        if worker.emptied and (worker.processing or not worker.retiring):
            _broken(state, None, f"{worker} is said to be empty")
        tiers = (worker in state.idle, worker in state.roomy)
        if tiers != (worker.tier == 2, worker.tier == 1):
            _broken(state, None, f"{worker}: tier {worker.tier}")
        if state.ready.length and worker.tier:
            _broken(state, None, f"{worker} has room while tasks are queued")
    threads = sum(w.nthreads for w in (*state.idle, *state.roomy))
    if threads != state.open_threads:
        _broken(state, None, f"{state.open_threads} open threads on account, {threads} in truth")
    if not all(w.address in state.workers for w in (*state.idle, *state.roomy, *state.crowded)):
        _broken(state, None, "a worker that is gone is in a tier")


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
    left += machine.coordination.left() + machine.replicas.left() + machine.notebooks.left()
    left += [f"{state.retained_bytes} bytes kept"] if state.retained_bytes else []
    return left


def _broken(state: State, task: TaskState | None, text: str) -> NoReturn:
    """Called only when something is wrong, so that the texts cost nothing while all is well: the simulator checks after every event."""
    story = "" if task is None else "\n  ".join(["", *map(str, state.journal.story(task.key)[-20:])])
    raise Broken(f"{task or 'scheduler'}: {text}{story}")
