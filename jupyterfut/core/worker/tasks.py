"""The tasks that somebody wants from this worker, and the queue of those that could run now.

A task comes with a row of `Compute` and goes when its result is there, or when nobody here wants it any more. The thread that runs it is not the
task's business but its slot's (`slots`): a cancelled task is gone at once, while its slot is busy until the call ends. So a key may come back with
a new attempt while an old one still runs.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Literal

from jupyterfut.core.worker.events import Call
from jupyterfut.ids import Attempt, FunctionId, Key
from jupyterfut.wire.payload import Payload

State = Literal["new", "waiting", "ready", "handed", "done", "gone"]
"""new: just read from a `Compute`. waiting: inputs are being made here or fetched. ready: in the queue. handed: in the run queue, or running.
done: the result is kept here. gone: nobody wants it from this worker (cancelled, given back, failed, its link lost)."""

NOTHING: list[Key] = []


class Task(Call):
    """A result that is wanted from this worker."""

    __slots__ = ("missing", "needs", "priority", "state")

    def __init__(
        self,
        key: Key,
        attempt: Attempt,
        function: FunctionId,
        args: Payload,
        dependencies: list[Key],
        inline: dict[Key, Payload],
        actor: bool,
        priority: list[float],
    ) -> None:
        self.key = key
        self.attempt = attempt
        self.function = function
        self.args = args
        self.dependencies = dependencies
        self.inline = inline
        self.actor = actor
        self.priority = priority
        self.state: State = "new"
        self.needs = NOTHING  #: dependencies that come out of the store, each once
        self.missing = 0  #: how many of `needs` are not here yet

    def __repr__(self) -> str:
        return f"<Task {self.key} attempt {self.attempt} {self.state}>"


class ReadyQueue:
    """Tasks in the order in which they shall start: by priority, then by attempt. A task that left the state "ready" is skipped when its turn comes.

    >>> queue = ReadyQueue()
    >>> for number, priority in enumerate([2.0, 1.0]):
    ...     task = Task(Key("x"), Attempt(number), FunctionId("f"), b"", [], {}, False, [priority])
    ...     task.state = "ready"
    ...     queue.push(task)
    >>> queue.pop().attempt, queue.pop().attempt, queue.pop()
    (1, 0, None)
    """

    __slots__ = ("heap",)

    def __init__(self) -> None:
        self.heap: list[tuple[list[float], Attempt, Task]] = []

    def push(self, task: Task) -> None:
        """The task has become ready."""
        heappush(self.heap, (task.priority, task.attempt, task))

    def pop(self) -> Task | None:
        """The next ready task, taken out; None when there is none."""
        heap = self.heap
        while heap:
            task = heappop(heap)[2]
            if task.state == "ready":
                return task
        return None

    def prune(self) -> None:
        """Throw out what is not ready any more, when that is most of the queue."""
        if len(self.heap) > 64:
            live = [entry for entry in self.heap if entry[2].state == "ready"]
            if len(live) * 2 < len(self.heap):
                self.heap = live
                self.heap.sort()
