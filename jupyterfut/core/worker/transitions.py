"""How the worker's tasks move: a table of (from, to) and what each move does.

A move takes a list of tasks that are all in the state `from`: events carry columns, and a call a task would cost more than the work. A move that
is not in the table is a bug, and says so with the task's story. `begin`, `arrive`, `hand_over`, `leave` are the activities that the machine asks for;
each ends with the tasks in their places and the effects in `machine.effects`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from jupyterfut.core.worker.events import Drop, Run, Withdraw
from jupyterfut.core.worker.tasks import State, Task
from jupyterfut.ids import Address, Key

if TYPE_CHECKING:
    from jupyterfut.core.worker.machine import WorkerMachine


class IllegalTransition(AssertionError):
    """A move that the table does not have. The text tells the task's story."""


def move(machine: WorkerMachine, tasks: list[Task], to: State, why: str, now: float) -> None:
    """Move tasks, all in one state, to another."""
    if not tasks:
        return
    state = tasks[0].state
    row = TRANSITIONS.get((state, to))
    if row is None:
        story = "\n".join(map(str, machine.story(tasks[0].key)))
        raise IllegalTransition(f"{tasks[0]} cannot become {to} ({why})\n{story}")
    row(machine, tasks)
    if len(tasks) == 1:
        task = tasks[0]
        machine.journal.entries.append((now, task.key, why, task.attempt))
    else:
        machine.journal.entries.extend([(now, task.key, why, task.attempt) for task in tasks])


# --- activities


def begin(machine: WorkerMachine, tasks: list[Task], now: float) -> None:
    """New tasks without inputs."""
    move(machine, tasks, "ready", "ready", now)


def begin_with_inputs(machine: WorkerMachine, tasks: list[Task], rows: list[list[Key]], where: dict[Key, list[Address]], now: float) -> list[Key]:
    """New tasks with inputs. Returns the inputs that are said to be somewhere else, and are not: nobody to ask is left for them."""
    held, pin, awaited = machine.memory.nbytes, machine.memory.pin, machine.awaited
    waiting: list[Task] = []
    ready: list[Task] = []
    hopeless: list[Key] = []
    for task, dependencies in zip(tasks, rows, strict=True):
        task.dependencies = dependencies
        inline = task.inline
        needs = [key for key in dependencies if key not in inline]
        if not needs:
            ready.append(task)
            continue
        if len(needs) > 1:
            needs = list(dict.fromkeys(needs))
        task.needs = needs
        for key in needs:
            if key in held:
                pin(key)
                continue
            task.missing += 1
            awaited.setdefault(key, {})[task] = None
            sources = where.get(key)
            if sources is not None and not machine.fetches.want(key, sources):
                hopeless.append(key)
        (waiting if task.missing else ready).append(task)
    move(machine, ready, "ready", "ready", now)
    move(machine, waiting, "waiting", "waiting", now)
    if machine.nthreads == 1:
        machine.followers.extend(waiting)
    return hopeless


def arrive(machine: WorkerMachine, keys: Iterable[Key], now: float) -> None:
    """Values are here (and in `memory`): the tasks that waited for the last of theirs are ready."""
    awaited, memory = machine.awaited, machine.memory
    if not awaited:
        return
    ready: list[Task] = []
    handed: list[Task] = []
    for key in keys:
        waiters = awaited.pop(key, None)
        if waiters is None:
            continue
        machine.fetches.forget(key)
        memory.pin(key, len(waiters))
        for task in waiters:
            task.missing -= 1
            if not task.missing:
                (ready if task.state == "waiting" else handed).append(task)
    move(machine, ready, "ready", "ready", now)
    move(machine, handed, "handed", "inputs are here", now)


def hand_over(machine: WorkerMachine, now: float) -> None:
    """Fill the run queue, best first, as far as `slots` allow; behind a call, at once those that need nothing but its result."""
    if machine.ready.line or machine.ready.heap:
        move(machine, machine.slots.fill(machine.ready), "handed", "handed", now)
    if machine.followers:
        _follow(machine, now)


FOLLOW_MISSING = 4
"""A task with more missing inputs than this waits until they are here."""


def _follow(machine: WorkerMachine, now: float) -> None:
    """With one thread the run queue is a line: what stands behind the maker of its inputs finds them made, without a word from the loop. So a
    chain of microsecond calls runs as quickly as calls without inputs. (With more threads another one would come too early.)"""
    tasks, slots, awaited = machine.tasks, machine.slots, machine.awaited
    followers = machine.followers
    taken: dict[Task, None] = {}
    for _ in range(len(followers)):
        task = followers[0]
        if task.state == "waiting" and not task.followed and task.missing <= FOLLOW_MISSING:
            makers = [tasks.get(key) for key in task.needs if key in awaited]
            if all(maker is not None and (maker.state in ("handed", "following") or maker in taken) for maker in makers):
                if not slots.take(task):
                    break  # no room now
                taken[task] = None
            elif all(maker is not None for maker in makers):
                break  # its turn comes when they are handed over
        followers.popleft()
    move(machine, list(taken), "following", "following", now)


def fall_back(machine: WorkerMachine, task: Task, now: float) -> None:
    """It came to a thread before its inputs were made (their maker failed, blocked, or was taken back): it waits like any other."""
    task.early = False
    if task.state == "handed":
        move(machine, [task], "ready", "came too early", now)
    else:
        move(machine, [task], "waiting", "came too early", now)


def leave(machine: WorkerMachine, tasks: list[Task], why: str, now: float) -> None:
    """Nobody wants these from here any more, whatever their states."""
    by_state: dict[State, list[Task]] = {}
    for task in tasks:
        by_state.setdefault(task.state, []).append(task)
    for group in by_state.values():
        move(machine, group, "gone", why, now)


# --- the moves


def _to_waiting(machine: WorkerMachine, tasks: list[Task]) -> None:
    for task in tasks:
        task.state = "waiting"


def _to_ready(machine: WorkerMachine, tasks: list[Task]) -> None:
    push = machine.ready.push
    for task in tasks:
        task.state = "ready"
        push(task)


def _to_handed(machine: WorkerMachine, tasks: list[Task]) -> None:
    for task in tasks:
        task.state = "handed"
    machine.effects.append(Run([*tasks]))


def _to_following(machine: WorkerMachine, tasks: list[Task]) -> None:
    for task in tasks:
        task.state = "following"
        task.followed = task.early = True
    machine.effects.append(Run([*tasks]))


def _following_to_handed(machine: WorkerMachine, tasks: list[Task]) -> None:
    for task in tasks:
        task.state = "handed"


def _to_done(machine: WorkerMachine, tasks: list[Task]) -> None:
    live = machine.tasks
    for task in tasks:
        del live[task.key]
        task.state = "done"
        if task.needs:
            _unpin(machine, task)


def _following_to_done(machine: WorkerMachine, tasks: list[Task]) -> None:
    """It found an input that was made for somebody who has gone since."""
    for task in tasks:
        del machine.tasks[task.key]
        task.state = "done"
        _stop_waiting(machine, task)


def _waiting_to_gone(machine: WorkerMachine, tasks: list[Task]) -> None:
    for task in tasks:
        del machine.tasks[task.key]
        task.state = "gone"
        _stop_waiting(machine, task)


def _following_to_gone(machine: WorkerMachine, tasks: list[Task]) -> None:
    _waiting_to_gone(machine, tasks)
    _withdraw(machine, tasks)


def _stop_waiting(machine: WorkerMachine, task: Task) -> None:
    awaited = machine.awaited
    for key in task.needs:
        waiters = awaited.get(key)
        if waiters is None:
            _unpin_key(machine, key)
            continue
        del waiters[task]
        if not waiters:
            del awaited[key]
            if key not in machine.copying:
                machine.fetches.forget(key)


def _ready_to_gone(machine: WorkerMachine, tasks: list[Task]) -> None:
    for task in tasks:
        del machine.tasks[task.key]
        task.state = "gone"
        _unpin(machine, task)
    machine.ready.prune()


def _handed_to_gone(machine: WorkerMachine, tasks: list[Task]) -> None:
    for task in tasks:
        del machine.tasks[task.key]
        task.state = "gone"
        _unpin(machine, task)
    _withdraw(machine, tasks)


def _withdraw(machine: WorkerMachine, tasks: list[Task]) -> None:
    busy, stealing = machine.slots.busy, machine.stealing
    orphans = [task for task in tasks if task.attempt in busy and task.attempt not in stealing]
    if orphans:
        machine.effects.append(Withdraw([task.key for task in orphans], [task.attempt for task in orphans]))


def _unpin(machine: WorkerMachine, task: Task) -> None:
    for key in task.needs:
        _unpin_key(machine, key)


def _unpin_key(machine: WorkerMachine, key: Key) -> None:
    memory = machine.memory
    if memory.unpin(key):
        memory.remove(key)
        machine.effects.append(Drop([key]))


TRANSITIONS: dict[tuple[State, State], Callable[[WorkerMachine, list[Task]], None]] = {
    ("new", "waiting"): _to_waiting,
    ("new", "ready"): _to_ready,
    ("waiting", "ready"): _to_ready,
    ("ready", "handed"): _to_handed,
    ("waiting", "following"): _to_following,
    ("following", "handed"): _following_to_handed,
    ("following", "waiting"): _to_waiting,
    ("handed", "ready"): _to_ready,
    ("handed", "done"): _to_done,
    ("following", "done"): _following_to_done,
    ("waiting", "gone"): _waiting_to_gone,
    ("following", "gone"): _following_to_gone,
    ("ready", "gone"): _ready_to_gone,
    ("handed", "gone"): _handed_to_gone,
}
