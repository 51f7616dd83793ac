"""Tasks by what they call and for whom: every task belongs to the group of its function and its origin, which counts its tasks by state.

A group is a row of the dashboard's progress, and the groups of one origin are a notebook's cell. The counts are always kept, because they cannot be
made up for later, and must not be felt: the hot roads count whole runs of rows, and a step of the table costs two look-ups more. `invariants.check`
compares them with the tasks.

`FunctionTimes` sums up what calls of functions of one name took, whoever asked for them.

A client that calls a function again, when all of that is over and some time has passed, begins anew, so that what is at work is seen and not what was
an hour ago. (The groups of a notebook's cell begin with each execution.)

A group whose tasks are all forgotten is kept for a while, since people look at what has just ended: of these the last `ENDED_KEPT`. They are looked
through only when there are twice as many groups as were left the last time, so that a notebook that makes a new function for each call pays for that
evenly.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from jupyterfut.core.scheduler.state import ACTIVE, ERRED, FORGOTTEN, MEMORY, PROCESSING, RELEASED, FunctionTimes, GroupKey, GroupState
from jupyterfut.ids import FunctionId

if TYPE_CHECKING:
    from jupyterfut.core.scheduler.state import FunctionState, State, TaskState
    from jupyterfut.wire.messages import TasksDone

ENDED_KEPT: Final = 200
"""Groups of which no task is left."""

PAUSE_S: Final = 1.0
"""What comes within this time after the last of a group goes on with it."""

NAMES_KEPT: Final = 1_000
"""Names of functions whose times are kept: those that took longest."""

DATA: Final = "data"
"""The name of groups of what was scattered, and of inputs that nobody knows."""

BOUNDS_S: Final = tuple(round(10.0 ** (i / 4), 9) for i in range(-24, 13))
"""Upper bounds of the histograms' buckets: from a microsecond to 1,000 seconds; one more bucket for what takes longer."""


def group_of(state: State, function: FunctionState | None, origin: str) -> GroupState:
    """The group of calls of this function from this origin; without a function that of data."""
    key = (function.id if function is not None else FunctionId(""), origin)
    group = state.groups.get(key)
    if group is None:
        return _new_group(state, key, function)
    if group.ended_at < state.now - PAUSE_S and "/" not in origin and is_over(group):
        state.groups_made += 1
        group.begin_anew(state.groups_made, state.now)
    return group


def _new_group(state: State, key: GroupKey, function: FunctionState | None) -> GroupState:
    if len(state.groups) >= state.groups_limit:
        drop_ended(state)
    state.groups_made += 1
    group = GroupState(state.groups_made, key, DATA if function is None else function.name, _times_of(state, function), state.now)
    state.groups[key] = group
    return group


def _times_of(state: State, function: FunctionState | None) -> FunctionTimes:
    if function is None:
        return FunctionTimes(DATA)
    times = state.times.get(function.name)
    if times is None:
        times = state.times[function.name] = FunctionTimes(function.name)
        if state.histograms:
            times.histogram = [0] * (len(BOUNDS_S) + 1)
    return times


def drop_ended(state: State) -> None:
    """Forget the groups that ended long ago."""
    groups = state.groups
    ended = [group for group in groups.values() if is_over(group)]
    if len(ended) > ENDED_KEPT:
        ended.sort(key=lambda group: group.ended_at)
        for group in ended[: len(ended) - ENDED_KEPT]:
            del groups[group.key]
    state.groups_limit = 2 * max(ENDED_KEPT, len(groups))
    if len(state.times) > 2 * NAMES_KEPT:
        used = {group.name for group in groups.values()}
        for times in sorted(state.times.values(), key=lambda times: -times.total_s)[NAMES_KEPT:]:
            if times.name not in used:
                del state.times[times.name]


def is_over(group: GroupState) -> bool:
    """Whether none of its tasks is left."""
    counts = group.counts
    return sum(counts.values()) == counts[FORGOTTEN]


def is_at_work(group: GroupState) -> bool:
    """Whether some of its tasks are unfinished."""
    counts = group.counts
    return any(counts[at] for at in ACTIVE)


def regroup(state: State, task: TaskState) -> None:
    """The task, which had no function, has got one."""
    task.group.counts[task.state] -= 1
    task.group.counts[FORGOTTEN] += 1
    task.group = group_of(state, task.function, task.options.origin)
    task.group.counts[task.state] += 1


def ended(state: State, group: GroupState, start: str, after: str) -> None:
    """One task of the group has ended by a step of the table (its state is counted already): it has a result, has failed, or was taken back."""
    if after == RELEASED:
        group.ended_at = state.now
    elif start not in (MEMORY, ERRED):
        group.done += 1
        state.done += 1
        group.ended_at = state.now


def finished(state: State, group: GroupState, message: TasksDone, begin: int, end: int) -> int:
    """Rows `begin` to `end` of the message, calls of this group that were at a worker, have finished. Returns the sum of their sizes."""
    n = end - begin
    durations, sizes = message.durations, message.nbytes
    if n != len(durations):
        durations, sizes = durations[begin:end], sizes[begin:end]
    if n == 1:
        total_s = low_s = high_s = durations[0]
        nbytes = sizes[0]
    else:
        total_s, low_s, high_s, nbytes = sum(durations), min(durations), max(durations), sum(sizes)
    counts = group.counts
    counts[PROCESSING] -= n
    counts[MEMORY] += n
    group.done += n
    state.done += n
    group.ended_at = state.now
    group.running_s += total_s
    times = group.times
    times.count += n
    times.total_s += total_s
    times.nbytes += nbytes
    if low_s < times.min_s:
        times.min_s = low_s
    if high_s > times.max_s:
        times.max_s = high_s
    if times.histogram is not None:
        for duration_s in durations:
            times.histogram[bisect_left(BOUNDS_S, duration_s)] += 1
    return nbytes


def failed(group: GroupState, duration_s: float) -> None:
    """A call of this group has failed at its worker, whether or not it is tried again."""
    group.running_s += duration_s
    times = group.times
    times.erred += 1
    times.total_s += duration_s
