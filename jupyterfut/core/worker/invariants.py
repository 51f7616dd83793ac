"""What is true of a worker's machine between any two events. Tests and the simulator call `check` after each.

It is written from the records alone, on purpose without the helpers of the code it checks.
"""

from __future__ import annotations

from collections import Counter

from jupyterfut.core.worker.machine import WorkerMachine
from jupyterfut.ids import Key


class Broken(AssertionError):
    """An invariant does not hold. The text names it, with the story of the key it is about."""


def check(machine: WorkerMachine) -> None:
    """Raise `Broken` if the machine's records contradict each other."""
    _check_tasks(machine)
    _check_slots(machine)
    _check_memory(machine)
    _check_fetches(machine)
    _check_link(machine)


def _claim(machine: WorkerMachine, holds: bool, text: str, *keys: Key) -> None:
    if not holds:
        story = "\n".join(map(str, machine.story(*keys)))
        raise Broken(f"{machine.name}: {text} {keys or ''}\n{story}")


def _check_tasks(machine: WorkerMachine) -> None:
    queued = Counter(id(task) for task in machine.ready if task.state == "ready")
    for key, task in machine.tasks.items():
        _claim(machine, task.key == key, "a task stands under another key", key)
        _claim(machine, task.state in ("waiting", "following", "ready", "handed"), f"a live task is {task.state}", key)
        absent = [need for need in task.needs if need not in machine.memory.nbytes]
        _claim(machine, len(task.needs) == len(set(task.needs)), "a need is listed twice", key)
        _claim(machine, task.missing == len(absent), f"{task.missing} needs counted as missing, {len(absent)} are", key)
        _claim(machine, (task.state in ("waiting", "following")) == bool(absent), f"{task.state} although {absent} missing", key)
        _claim(machine, queued[id(task)] == (task.state == "ready"), "not in the queue exactly while ready", key)
        for need in absent:
            _claim(machine, task in machine.awaited.get(need, ()), f"waits for {need} unnoticed", key, need)
        in_run_queue = task.state in ("handed", "following")
        _claim(machine, in_run_queue == (task.attempt in machine.slots.busy), f"{task.state}, in a slot or not", key)
    _claim(machine, sum(queued.values()) == sum(task.state == "ready" for task in machine.tasks.values()), "a forgotten task is in the queue")
    for key, waiters in machine.awaited.items():
        _claim(machine, bool(waiters), "nobody waits for an awaited key", key)
        _claim(machine, key not in machine.memory.nbytes, "awaited and held", key)
        for task in waiters:
            wanted = machine.tasks.get(task.key) is task and task.state in ("waiting", "following")
            _claim(machine, wanted, f"{task} waits and is not wanted", key, task.key)
    if not machine.link.open:
        _claim(machine, not machine.tasks, "tasks without a scheduler", *machine.tasks)


def _check_slots(machine: WorkerMachine) -> None:
    slots = machine.slots
    _claim(machine, slots.blocked <= slots.busy.keys(), "blocked calls that do not run")
    expected_s = sum(cost for _, _, cost in slots.busy.values())
    _claim(machine, abs(expected_s - slots.backlog_s) < 1e-6 * (1 + expected_s), f"backlog is {slots.backlog_s} s, not {expected_s} s")
    some_ready = any(task.state == "ready" for task in machine.tasks.values())
    places = 1 if slots.paused else slots.nthreads
    _claim(machine, not some_ready or len(slots.busy) - len(slots.blocked) >= places, "a thread is idle while tasks are ready")


def _check_memory(machine: WorkerMachine) -> None:
    memory = machine.memory
    needed = Counter(need for task in machine.tasks.values() for need in task.needs if need in memory.nbytes)
    _claim(machine, memory.pins == dict(needed), f"pins are {memory.pins}, needed are {dict(needed)}")
    _claim(machine, memory.nbytes.keys() == memory.types.keys(), "sizes and types of different keys")
    _claim(machine, memory.total_nbytes == sum(memory.nbytes.values()), "the total is not the sum of sizes")
    _claim(machine, memory.doomed <= memory.pins.keys(), "doomed without a pin")
    _claim(machine, memory.actors <= memory.nbytes.keys(), "an actor that is not held")
    _claim(machine, memory.bound <= memory.nbytes.keys(), "a result with futures that is not held")


def _check_fetches(machine: WorkerMachine) -> None:
    fetches = machine.fetches
    for_somebody = machine.awaited.keys() | machine.copying.keys()
    _claim(machine, fetches.wanted.keys() <= for_somebody, "fetched for nobody", *(fetches.wanted.keys() - for_somebody))
    _claim(machine, machine.copying.keys() <= fetches.wanted.keys(), "a copy is promised and not fetched", *machine.copying)
    _claim(machine, fetches.open_by_peer == {peer: number for number, (peer, _) in fetches.requests.items()}, "two requests open with one peer")
    for peer, batch in fetches.batches.items():
        _claim(machine, bool(batch) and (peer in fetches.open_by_peer or peer in fetches.shunned), f"a batch for {peer} is not under way")
        for key in batch:
            wanted = fetches.wanted.get(key)
            _claim(machine, wanted is not None and wanted.peer == peer and wanted.request is None, f"in the batch of {peer} by mistake", key)
    for key, wanted in fetches.wanted.items():
        asked = wanted.request in fetches.requests and key in fetches.requests[wanted.request][1] if wanted.request is not None else False
        batched = wanted.peer is not None and key in fetches.batches.get(wanted.peer, ())
        _claim(machine, asked != batched, "asked for in two places, or none", key)


def _check_link(machine: WorkerMachine) -> None:
    link = machine.link
    _claim(machine, (link.state == "backing off") == (link.retry_at is not None), f"{link.state}, retry at {link.retry_at}")
    _claim(machine, (link.state == "up") == (link.beat_at is not None), f"{link.state}, beat at {link.beat_at}")
    promises = machine.puts or machine.clients or machine.copying or machine.functions or machine.stealing
    _claim(machine, link.open or not promises, "promises without a scheduler")
