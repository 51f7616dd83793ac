"""The tasks that somebody wants from this worker, and the queue of those that could run now.

A task comes with a row of `Compute` and goes when its result is there, or when nobody here wants it any more. The thread that runs it is not the
task's business but its slot's (`slots`): a cancelled task is gone at once, while its slot is busy until the call ends. So a key may come back with
a new attempt while an old one still runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Literal

from jupyterfut.core.worker.events import Call
from jupyterfut.ids import Attempt, FunctionId, Key
from jupyterfut.wire.payload import Payload

State = Literal["new", "waiting", "following", "ready", "handed", "done", "gone"]
"""new: just read from a `Compute`. waiting: inputs are being made here or fetched. following: in the run queue, behind the calls that make its
missing inputs. ready: in the queue. handed: in the run queue, or running.
done: the result is kept here. gone: nobody wants it from this worker (cancelled, given back, failed, its link lost)."""

NOTHING: list[Key] = []


class Task(Call):
    """A result that is wanted from this worker."""

    __slots__ = ("early", "followed", "missing", "needs", "priority", "state")

    def __init__(
        self,
        key: Key,
        attempt: Attempt,
        function: FunctionId,
        args: Payload,
        dependencies: list[Key],
        inline: dict[Key, Payload],
        actor: bool,
        origin: str,
        priority: list[float],
    ) -> None:
        self.key = key
        self.attempt = attempt
        self.function = function
        self.args = args
        self.dependencies = dependencies
        self.inline = inline
        self.actor = actor
        self.origin = origin
        self.priority = priority
        self.state: State = "new"
        self.needs = NOTHING  #: dependencies that come out of the store, each once
        self.missing = 0  #: how many of `needs` are not here yet
        self.followed = False  #: it has been `following` once, which is not tried twice
        self.early = False  #: it went into the run queue as a follower, so its inputs may be missing there without being lost

    def __repr__(self) -> str:
        return f"<Task {self.key} attempt {self.attempt} {self.state}>"


class ReadyQueue:
    """Tasks in the order in which they shall start: by priority, then by attempt. A task that left the state "ready" is skipped when its turn comes.

    Tasks mostly come in that order already. Those that do go to a plain queue, the others to a heap, and the lesser head is next: for the usual case
    a sixth of the machine's whole work is saved.

    >>> queue = ReadyQueue()
    >>> for number, priority in enumerate([2.0, 3.0, 1.0]):
    ...     task = Task(Key("x"), Attempt(number), FunctionId("f"), b"", [], {}, False, "", [priority])
    ...     task.state = "ready"
    ...     queue.push(task)
    >>> [task.attempt for task in iter(queue.pop, None)]
    [2, 0, 1]
    """

    __slots__ = ("heap", "line")

    def __init__(self) -> None:
        self.line: deque[Task] = deque()  #: in order
        self.heap: list[tuple[list[float], Attempt, Task]] = []

    def __iter__(self) -> Iterator[Task]:
        """All that lies in the queue, in no order, with what is skipped."""
        yield from self.line
        for entry in self.heap:
            yield entry[2]

    def push(self, task: Task) -> None:
        """The task has become ready."""
        line = self.line
        if line:
            last = line[-1]
            if task.priority < last.priority or (task.priority == last.priority and task.attempt < last.attempt):
                heappush(self.heap, (task.priority, task.attempt, task))
                return
        line.append(task)

    def peek(self) -> Task | None:
        """The next ready task, left where it is; None when there is none."""
        line, heap = self.line, self.heap
        while line and line[0].state != "ready":
            line.popleft()
        while heap and heap[0][2].state != "ready":
            heappop(heap)
        if heap and not (line and (line[0].priority, line[0].attempt) < heap[0][:2]):
            return heap[0][2]
        return line[0] if line else None

    def pop(self) -> Task | None:
        """The next ready task, taken out; None when there is none."""
        task = self.peek()
        if task is not None:
            if self.line and self.line[0] is task:
                self.line.popleft()
            else:
                heappop(self.heap)
        return task

    def prune(self) -> None:
        """Throw out what is not ready any more, when that is most of the queue."""
        size = len(self.line) + len(self.heap)
        if size > 64:
            live = [task for task in self if task.state == "ready"]
            if len(live) * 2 < size:
                live.sort(key=lambda task: (task.priority, task.attempt))
                self.line = deque(live)
                self.heap = []
