"""The queue of tasks that could run if a worker had room: highest user priority first, then first come, first served.

Tasks nearly always arrive in order, so each priority has a lane (a deque) and append and pop cost the same however long it is; a heap would cost
20 comparisons a task at a million tasks. A task that comes late (it ran before and its worker died) goes into the lane's small heap of latecomers.
Nothing is ever taken from the middle: a task that leaves without having been taken (cancelled, an input lost) is noted in `ghosts`, and one entry
of it is passed over for each time that it left; it may have been queued again by then. `length` counts queued tasks only.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyterfut.core.scheduler.state import TaskState


class Lane:
    """Tasks of one user priority."""

    __slots__ = ("in_order", "late")

    def __init__(self) -> None:
        self.in_order: deque[TaskState] = deque()
        self.late: list[tuple[int, int, TaskState]] = []


class ReadyQueue:
    """Queued tasks in the order in which they should start."""

    __slots__ = ("ghosts", "lanes", "late_count", "length", "order")

    def __init__(self) -> None:
        self.lanes: dict[float, Lane] = {}
        self.order: list[float] = []  # the lanes' negated priorities, sorted
        self.length = 0
        self.late_count = 0
        self.ghosts: dict[TaskState, int] = {}  # how many entries of a task are to be passed over

    def push(self, task: TaskState) -> None:
        rank = -task.options.priority
        lane = self.lanes.get(rank)
        if lane is None:
            lane = self.lanes[rank] = Lane()
            self.order.append(rank)
            self.order.sort()
        in_order = lane.in_order
        if in_order and in_order[-1].seq > task.seq:
            self.late_count += 1
            heapq.heappush(lane.late, (task.seq, self.late_count, task))
        else:
            in_order.append(task)
        self.length += 1

    def leave(self, task: TaskState) -> None:
        """The task is not queued any more."""
        self.length -= 1
        self.ghosts[task] = self.ghosts.get(task, 0) + 1

    def _passed_over(self, task: TaskState) -> bool:
        """Whether the entry at hand is one that the task has left behind. Says so once for each."""
        count = self.ghosts.pop(task, 0)
        if count > 1:
            self.ghosts[task] = count - 1
        return count > 0

    def peek(self) -> TaskState | None:
        """The next task, which stays where it is."""
        while self.order:
            lane = self.lanes[self.order[0]]
            in_order, late = lane.in_order, lane.late
            if self.ghosts:
                while in_order and self._passed_over(in_order[0]):
                    in_order.popleft()
                while late and self._passed_over(late[0][2]):
                    heapq.heappop(late)
            if late and (not in_order or late[0][0] <= in_order[0].seq):
                return late[0][2]
            if in_order:
                return in_order[0]
            del self.lanes[self.order.pop(0)]
        return None

    def extend(self, tasks: list[TaskState]) -> None:
        """Push tasks of one priority that arrived in this order."""
        rank = -tasks[0].options.priority
        lane = self.lanes.get(rank)
        if lane is not None and (not lane.in_order or lane.in_order[-1].seq < tasks[0].seq):
            lane.in_order.extend(tasks)
            self.length += len(tasks)
        else:
            for task in tasks:
                self.push(task)

    def take(self, count: int) -> list[TaskState]:
        """Take out up to `count` tasks, next first. They are counted out of `length`; the caller starts them."""
        taken: list[TaskState] = []
        while len(taken) < count and self.peek() is not None:
            lane = self.lanes[self.order[0]]
            in_order, late = lane.in_order, lane.late
            if late and (not in_order or late[0][0] <= in_order[0].seq):
                taken.append(heapq.heappop(late)[2])
            elif late:
                taken.append(in_order.popleft())
            else:
                for _ in range(min(count - len(taken), len(in_order))):
                    task = in_order.popleft()
                    if not (self.ghosts and self._passed_over(task)):
                        taken.append(task)
        self.length -= len(taken)
        return taken
