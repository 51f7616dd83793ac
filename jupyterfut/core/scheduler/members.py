"""Who comes and goes: workers, clients, nannies.

A worker is here as long as its stream is. When the stream breaks, the worker is lost at once: what it was running runs elsewhere, what only it held
is made again, clients inside its tasks are gone. If it connects again it is a new worker that offers what it still holds; what is wanted is
adopted, the rest it may drop. A client, on the contrary, has a lease: its link may break and come back, and only when it stays away for too long,
or says goodbye, are its futures gone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jupyterfut.core.effects import Close, Effect, Log
from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.coord import Coordination
from jupyterfut.core.scheduler.dispatch import Dispatch
from jupyterfut.core.scheduler.state import (
    ERRED,
    MEMORY,
    RELEASED,
    WAITING,
    ClientState,
    State,
    TaskState,
    WorkerState,
    without_member,
)
from jupyterfut.core.scheduler.transitions import Recommendations, Transitions
from jupyterfut.ids import PeerId
from jupyterfut.wire.messages import ClientHello, Failure, ReleaseData, Welcome, WorkerHello


class Members:
    def __init__(self, state: State, transitions: Transitions, dispatch: Dispatch, coordination: Coordination) -> None:
        self.state = state
        self.transitions = transitions
        self.dispatch = dispatch
        self.coordination = coordination
        self.dashboard_link = ""  #: told to clients; set by the shell
        self.on_client_left: Callable[[ClientState], None] = lambda client: None

        self.on_join: Callable[[WorkerState], None] = lambda worker: None  # first of all after its welcome
        self.on_leave: Callable[[WorkerState], None] = lambda worker: None
        self.on_gone: Callable[[WorkerState], None] = lambda worker: None  # last of all, when nothing of it is left

    # --- workers

    def welcome_worker(self, peer: PeerId, hello: WorkerHello, effects: list[Effect]) -> None:
        state = self.state
        old = state.workers.get(hello.address)
        if old is not None:  # it is back before its old stream was seen to break
            effects.append(Close(old.peer, "the worker has connected again"))
            self.lose_worker(old, "connected again", effects, blame=False)
        name = hello.name
        if name in state.workers_by_name:
            name = f"{name}-{hello.address}"
            effects.append(Log("warning", f"a worker named {hello.name!r} is here already; the new one at {hello.address} is called {name!r}"))
        worker = WorkerState(hello.address, name, hello.nthreads, peer)
        worker.pid = hello.pid
        worker.memory_limit_bytes = hello.memory_limit_bytes
        worker.resources = dict(hello.resources)
        worker.resources_free = dict(hello.resources)
        worker.info = {**hello.info, "name": hello.name}  # who asks for that name means this one too
        state.attempts = max(state.attempts, int(hello.info.get("attempts", 0)))  # after a restart: numbers that an earlier scheduler gave
        worker.each_s = state.config.unknown_duration_s
        worker.last_seen = worker.last_report = state.now
        state.workers[worker.address] = worker
        state.workers_by_name[name] = worker
        state.peers[peer] = worker
        state.touched[worker] = None
        post.append(state, worker.outbox, Welcome(False, self.facts()))
        state.journal.entries.append((state.now, worker.address, "worker joined", worker.name))
        self.on_join(worker)
        self._adopt(worker, hello)

    def facts(self) -> dict[str, float]:
        """The settings that both sides must share."""
        config = self.state.config
        return {"inline_bytes": config.inline_bytes, "heartbeat_s": config.heartbeat_s, "client_lease_s": config.client_lease_s}

    def _facts_for_clients(self) -> dict[str, Any]:
        return {**self.facts(), "dashboard": self.dashboard_link} if self.dashboard_link else {**self.facts()}

    def _adopt(self, worker: WorkerState, hello: WorkerHello) -> None:
        """Take what the worker still holds and somebody knows of; let it drop the rest."""
        state = self.state
        recommendations: Recommendations = []
        unwanted = []
        for key, nbytes, type_name in zip(hello.held_keys, hello.held_nbytes, hello.held_types, strict=True):
            task = state.tasks.get(key)
            stale = task is not None and task.state != MEMORY and task in self.transitions.with_futures
            if task is None or not task.needed or task.options.actor or stale:
                unwanted.append(key)
                continue
            if task.state != MEMORY:
                task.nbytes = nbytes
                task.type = type_name or task.type  # a copy that was fetched came without it
                recommendations.append((task, MEMORY))
            self.transitions.add_replica(task, worker)
        if unwanted:
            post.append(state, worker.outbox, ReleaseData(unwanted))
        self.transitions.settle(recommendations)

    def lose_worker(self, worker: WorkerState, reason: str, effects: list[Effect], *, blame: bool = True) -> None:
        """The worker is gone. With `blame`, what was sent to it counts a death."""
        state = self.state
        del state.workers[worker.address]
        state.workers_by_name.pop(worker.name, None)
        state.journal.entries.append((state.now, worker.address, "worker left", reason))
        self.on_leave(worker)
        state.peers.pop(worker.peer, None)
        self.dispatch.leave_tier(worker)
        state.crowded.pop(worker, None)
        worker.ahead_parked.clear()
        for function in worker.functions:
            del function.workers[worker]
        worker.functions.clear()
        if worker.processing or worker.has:
            effects.append(Log("info", f"worker {worker.name} is gone ({reason}) with {len(worker.processing)} tasks and {len(worker.has)} results"))
        recommendations: Recommendations = []
        for task in list(worker.processing):
            runnable = not task.ahead
            self.dispatch.unload(task)
            if blame and runnable:
                task.deaths += 1
            task.attempt = type(task.attempt)(0)
            if task.deaths > state.config.allowed_failures:
                task.failure = killed(task, worker, reason)
                recommendations.append((task, ERRED))
            else:
                recommendations.append((task, WAITING))
        for task in list(worker.has):
            self.transitions.remove_replica(task, worker, recommendations)
        for client in list(worker.clients.values()):
            self._forget_client(client, recommendations)
        state.touched.pop(worker, None)
        worker.outbox.messages = []
        state.dirty.pop(worker.outbox, None)
        self.transitions.settle(recommendations)
        worker.outbox.messages = []
        state.dirty.pop(worker.outbox, None)
        state.touched.pop(worker, None)
        self.on_gone(worker)

    # --- clients

    def welcome_client(self, peer: PeerId, hello: ClientHello, worker: WorkerState | None, effects: list[Effect]) -> None:
        state = self.state
        client = state.clients.get(hello.client)
        if client is not None and client.worker is worker and (self.knows(hello) or client.peer == peer):
            if client.peer != peer:
                effects.append(Close(client.peer, "the client has connected again"))
                state.peers.pop(client.peer, None)
                client.peer = client.outbox.peer = peer
                state.peers[peer] = client
            self.client_back(client)
            post.append(state, client.outbox, Welcome(True, self._facts_for_clients()))
            return
        if client is not None:
            if client.worker is None:
                effects.append(Close(client.peer, "a client with the same id has connected"))
                state.peers.pop(client.peer, None)
            self.forget_client(client)
        client = ClientState(hello.client, hello.name, peer, worker, hello.conversation + 1)
        client.info = {name: value for name, value in hello.info.items() if type(value) in (str, bool)}
        state.clients[hello.client] = client
        if worker is None:
            state.peers[peer] = client
        else:
            worker.clients[hello.client] = client
        state.journal.entries.append((state.now, client.id, "viewer joined" if client.is_viewer else "client joined", client.name))
        post.append(state, client.outbox, Welcome(False, self._facts_for_clients()))

    def knows(self, hello: ClientHello) -> bool:
        """Whether a client may go on where it was."""
        client = self.state.clients.get(hello.client)
        return client is not None and hello.resume and hello.conversation == client.conversation

    def client_away(self, client: ClientState) -> None:
        client.away_until = self.state.now + self.state.config.client_lease_s
        self.state.away[client] = None

    def client_back(self, client: ClientState) -> None:
        client.away_until = None
        self.state.away.pop(client, None)

    def forget_client(self, client: ClientState) -> None:
        """The client will not come back: nothing is wanted for it any more."""
        recommendations: Recommendations = []
        self._forget_client(client, recommendations)
        self.transitions.settle(recommendations)

    def _forget_client(self, client: ClientState, recommendations: Recommendations) -> None:
        state = self.state
        del state.clients[client.id]
        state.journal.entries.append((state.now, client.id, "viewer left" if client.is_viewer else "client left", client.name))
        state.away.pop(client, None)
        if client.worker is None:
            state.peers.pop(client.peer, None)
        else:
            client.worker.clients.pop(client.id, None)
        state.parked.forget_client(client)
        self.coordination.forget_client(client)
        self.on_client_left(client)
        for topic in [topic for topic, subscribers in state.topics.items() if client in subscribers]:
            post.unsubscribe(state, client, topic)
        for task in client.wanted:
            task.wanted_by = without_member(task.wanted_by, client)
            if not task.needed and task.state != RELEASED:
                recommendations.append((task, RELEASED))
        client.wanted.clear()
        for function in client.functions:
            del function.clients[client]
            if not function.users and not function.clients:
                post.forget_function(state, function)
        client.functions.clear()
        client.outbox.messages = []
        state.dirty.pop(client.outbox, None)


def killed(task: TaskState, worker: WorkerState, reason: str) -> Failure:
    text = (
        f"{task.key} was running on {task.deaths} workers when they died (the last: {worker.name} at {worker.address}, {reason}); "
        "it is not tried again. A call that ends its process, or needs more memory than there is, does this"
    )
    return Failure("KilledWorker", text, None, "", task.key)
