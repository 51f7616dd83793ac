"""Slots: calls that were handed to the threads and cannot be stopped.

A slot begins when a call goes into the run queue and ends when the call does (or was withdrawn in time). It does not know whether anybody still
wants the result. Slots also decide how many calls to hand over: one a thread, and as many more as the threads will have done by the time the loop
is sure to look again. That time is `lookahead_s` a thread, counted in measured durations, so thousands of microsecond calls are handed over at once
and not one long one. A blocked (or seceded) call has given its thread's place to another. While memory is short, one call runs at a time: so it is
used as slowly as can be, and nothing ever stands still for lack of it.
"""

from __future__ import annotations

from jupyterfut.core.worker.tasks import ReadyQueue, Task
from jupyterfut.ids import Attempt, FunctionId, Key

UNKNOWN_S = float("inf")
"""What a call of a function that was never measured may take: nothing is queued behind a thread in its hope."""

OVERHEAD_S = 10e-6
"""What the thread spends on a call beside the call: unpickling, pickling. Keeps a measured zero from promising endless room."""


class Slots:
    """What runs, and how much more may be handed over."""

    __slots__ = ("backlog_s", "blocked", "busy", "costs", "lookahead_s", "nthreads", "paused")

    def __init__(self, nthreads: int, lookahead_s: float) -> None:
        self.nthreads = nthreads
        self.lookahead_s = lookahead_s * nthreads  #: thread-seconds of calls that may be handed over beyond one a thread
        self.busy: dict[Attempt, tuple[Key, FunctionId, float]] = {}  #: handed over and not ended: key, function, expected seconds
        self.blocked: set[Attempt] = set()  #: of these, the ones that have left their place
        self.backlog_s = 0.0  #: expected seconds of all that is busy and measured
        self.paused = False  #: memory is short
        self.costs: dict[FunctionId, float] = {}  #: expected seconds of a call, by function

    def fill(self, ready: ReadyQueue) -> list[Task]:
        """Take from the queue what may be handed over now, best first."""
        taken = []
        busy, line, heap = self.busy, ready.line, ready.heap
        places = (1 if self.paused else self.nthreads) - len(busy) + len(self.blocked)
        full_s = 0.0 if self.paused else self.lookahead_s
        room_s = full_s - self.backlog_s
        function: FunctionId | None = None
        cost = UNKNOWN_S
        while line or heap:
            task = line[0] if line and not heap and line[0].state == "ready" else ready.peek()  # the first: nearly always, and quicker
            if task is None:
                break
            if task.function != function:
                function = task.function
                cost = self.costs.get(function, UNKNOWN_S)
            if places <= 0 and cost > room_s:
                break
            if line and line[0] is task:
                line.popleft()
            else:
                ready.pop()
            taken.append(task)
            places -= 1
            if cost is not UNKNOWN_S:
                room_s -= cost
            busy[task.attempt] = (task.key, function, 0.0 if cost is UNKNOWN_S else cost)
        self.backlog_s = full_s - room_s
        return taken

    def take(self, task: Task) -> bool:
        """Hand this one over as well, if it is known to be short and there is room."""
        cost = self.costs.get(task.function, UNKNOWN_S)
        if self.paused or cost > self.lookahead_s - self.backlog_s:
            return False
        self.busy[task.attempt] = (task.key, task.function, cost)
        self.backlog_s += cost
        return True

    def free(self, attempt: Attempt) -> None:
        """The call has ended, or was withdrawn."""
        cost = self.busy.pop(attempt)[2]
        self.blocked.discard(attempt)
        self.backlog_s = self.backlog_s - cost if self.busy else 0.0

    def free_measured(self, attempts: list[Attempt], durations: list[float]) -> None:
        """These calls have ended and took so long."""
        pop = self.busy.pop
        freed_s = 0.0
        last: FunctionId | None = None
        total_s, count = 0.0, 0
        for attempt, duration in zip(attempts, durations, strict=True):
            _, function, cost = pop(attempt)
            freed_s += cost
            if function != last:
                if last is not None:
                    self._learn(last, total_s / count)
                last, total_s, count = function, 0.0, 0
            total_s += duration
            count += 1
        if last is not None:
            self._learn(last, total_s / count)
        if self.blocked:
            self.blocked.difference_update(attempts)
        self.backlog_s = self.backlog_s - freed_s if self.busy else 0.0

    def block(self, attempt: Attempt) -> None:
        """The call has left its place to another."""
        key, function, cost = self.busy[attempt]
        self.busy[attempt] = (key, function, 0.0)
        self.backlog_s -= cost
        self.blocked.add(attempt)

    def forget_costs(self, functions: list[FunctionId]) -> None:
        """These functions will not come again."""
        for function in functions:
            self.costs.pop(function, None)

    def _learn(self, function: FunctionId, mean_s: float) -> None:
        known = self.costs.get(function)
        cost = mean_s + OVERHEAD_S
        self.costs[function] = cost if known is None else (known + cost) / 2
