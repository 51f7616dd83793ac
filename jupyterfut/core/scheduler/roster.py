"""Who is there, told as it changes: to whoever shows the workers of a cluster.

A client that has subscribed to the topic "workers" hears `[address, facts]` of a worker that has come, and again with each of its heartbeats, which
bring its memory, its load and how much it has to do; and `[address, None]` of one that has left. What is there already it asks for (`identity`).
"""

from __future__ import annotations

from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.query import Query
from jupyterfut.core.scheduler.state import State, WorkerState

TOPIC = "workers"


class Roster:
    """Tells of workers. Costs one look-up where nobody listens."""

    def __init__(self, state: State) -> None:
        self.state = state

    def seen(self, worker: WorkerState) -> None:
        """It has come, or has said how it is."""
        if TOPIC in self.state.topics:
            post.notice(self.state, TOPIC, [worker.address, Query.worker_facts(worker)])

    def left(self, worker: WorkerState) -> None:
        """It is gone."""
        if TOPIC in self.state.topics:
            post.notice(self.state, TOPIC, [worker.address, None])
