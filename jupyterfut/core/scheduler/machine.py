"""The scheduler's machine: what each message does.

    machine.handle(event, now) -> effects        events: Received, LinkLost, LinkBack, Tick; effects: Send, Close, Log (core/effects)
    machine.next_wake() -> seconds or None       when a Tick is wanted although nothing has happened

One event is handled to rest before the next: rows become recommendations, the table settles them, dispatch sends what can be sent, and the mail
that was written meanwhile is returned, one message for all rows of a kind. Nothing here opens a payload, reads a clock, or knows a socket.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jupyterfut.core.effects import Close, Effect, LinkBack, LinkLost, Log, Received, Tick
from jupyterfut.core.journal import Journal
from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.adaptive import Adaptation
from jupyterfut.core.scheduler.cancelling import Cancelling
from jupyterfut.core.scheduler.cells import Cells
from jupyterfut.core.scheduler.coord import Coordination
from jupyterfut.core.scheduler.dispatch import Dispatch
from jupyterfut.core.scheduler.following import Following
from jupyterfut.core.scheduler.groups import failed, group_of, regroup
from jupyterfut.core.scheduler.hot import finish_many, release_many, submit_many
from jupyterfut.core.scheduler.members import Members
from jupyterfut.core.scheduler.nannies import Nannies
from jupyterfut.core.scheduler.notebooks import Notebooks
from jupyterfut.core.scheduler.notes import Notes
from jupyterfut.core.scheduler.observing import Observing
from jupyterfut.core.scheduler.panes.watching import Watching
from jupyterfut.core.scheduler.parking import Parking
from jupyterfut.core.scheduler.plugins import Plugins
from jupyterfut.core.scheduler.query import Query
from jupyterfut.core.scheduler.recipes import Recipes
from jupyterfut.core.scheduler.replicas import Replicas
from jupyterfut.core.scheduler.restarts import Restarts
from jupyterfut.core.scheduler.retirement import Retirement
from jupyterfut.core.scheduler.roster import Roster
from jupyterfut.core.scheduler.state import (
    ERRED,
    MEMORY,
    PROCESSING,
    RELEASED,
    WAITING,
    ClientState,
    FunctionState,
    SchedulerConfig,
    State,
    TaskState,
    WorkerState,
    with_member,
)
from jupyterfut.core.scheduler.transitions import Recommendations, Transitions, lacked_input
from jupyterfut.ids import Key, PeerId
from jupyterfut.wire import messages as m
from jupyterfut.wire.panes import TOPIC_PREFIX

REBALANCE_S = 0.005
"""How often to look, while a worker idles and another has more than it can run."""


class SchedulerMachine:
    """The machine. Its state is read through `query` and checked by `invariants.check`."""

    def __init__(self, config: SchedulerConfig | None = None) -> None:
        self.state = State(config or SchedulerConfig())
        self.state.parked = Parking(self.state)
        self.transitions = Transitions(self.state)
        self.dispatch = Dispatch(self.state, self.transitions)
        self.coordination = Coordination(self.state, self.transitions)
        self.members = Members(self.state, self.transitions, self.dispatch, self.coordination)
        self.query = Query(self.state, self.dispatch)
        self.cancelling = Cancelling(self.state, self.transitions)
        self.query.ops.update(self.cancelling.ops)
        self.query.ops.update(Recipes(self.state).ops)
        self.query.ops.update(Cells(self.state).ops)
        self.notes = Notes(self.state)
        self.query.ops.update(self.notes.ops)
        self.observing = Observing(self.state)
        self.query.ops.update(self.observing.ops)
        self.following = Following(self.state)
        self.query.ops.update(self.following.ops)
        self.notebooks = Notebooks(self.state, self.transitions, self._end_client)
        self.query.ops.update(self.notebooks.ops)
        self.members.on_client_left = self._client_left
        self.query.ops.update(self.coordination.ops)
        self.query.late_ops.update(self.coordination.late_ops)
        self.nannies = Nannies(self.state)
        self.plugins = Plugins(self.state, self.nannies)
        self.roster = Roster(self.state)
        self.members.on_join, self.members.on_leave = self._worker_joined, self._worker_left
        restarts = Restarts(self.state, self.transitions, self.nannies)
        restarts.on_restart = self.notebooks.forget_all
        for part in (self.nannies, self.plugins, restarts):
            self.query.late_ops.update(part.late_ops)
        self.replicas = Replicas(self.state, self.transitions, self.query)
        self.retirement = Retirement(self.state, self.dispatch, self.members, self.query, self.replicas)
        self.query.late_ops.update(self.replicas.late_ops)
        self.query.late_ops.update(self.retirement.late_ops)
        self.query.ops.update(self.retirement.ops)
        self.members.on_gone = self._gone
        self.adaptation = Adaptation(self.state)
        self.query.ops.update(self.adaptation.ops)
        self.panes = Watching(self)
        self.query.ops.update(self.panes.ops)
        self._rebalance_at: float | None = None
        self._balance_not_before = 0.0
        self._look_at = 0.0  # when to look next whether all workers live
        self._effects: list[Effect] = []
        self._from_client: dict[type, Callable[[ClientState, Any], None]] = {
            m.SubmitTasks: self._submit,
            m.Functions: self._functions,
            m.ForgetFunctions: self._forget_functions,
            m.WantKeys: self._want,
            m.ReleaseKeys: self._release,
            m.CancelKeys: self.cancelling.cancel,
            m.RetryKeys: self._retry,
            m.FireAndForget: self._fire_and_forget,
            m.Request: self._request,
            m.Notify: self._notify,
            m.Abandon: self._abandon,
            m.Taken: self._taken,
            m.Heartbeat: self._client_heartbeat,
            m.Goodbye: self._client_goodbye,
        }
        self._from_worker: dict[type, Callable[[WorkerState, Any], None]] = {
            m.TasksDone: self._done,
            m.TasksFailed: self._failed,
            m.TasksReturned: self._returned,
            m.StealAnswer: self._steal_answer,
            m.TaskBlocked: self._blocked,
            m.TaskUnblocked: self._unblocked,
            m.ReplicasAdded: self._replicas_added,
            m.ReplicasFailed: self.replicas.failed,
            m.AddData: self._add_data,
            m.Notify: self._notify,
            m.Heartbeat: self._worker_heartbeat,
            m.Reply: self.plugins.answered,
            m.AsClient: self._as_client,
            m.Ran: lambda worker, message: self.panes.heard(worker, "task-stream", message),
            m.Sampled: self._sampled,
            m.Logged: lambda worker, message: self.panes.heard(worker, "events", message),
            m.Goodbye: self._worker_goodbye,
        }

    @property
    def journal(self) -> Journal:
        """What happened to tasks lately; `journal.story(key)`."""
        return self.state.journal

    # --- the door

    def handle(self, event: Received | LinkLost | LinkBack | Tick, now: float) -> list[Effect]:
        """Take in one event; return what follows."""
        self.state.now = now
        effects = self._effects
        kind = type(event)
        if kind is Received:
            self._received(event.peer, event.message)  # type: ignore[union-attr]  # mypy does not narrow by `type(...) is`
        elif kind is LinkLost:
            self._link_lost(event.peer, event.reason)  # type: ignore[union-attr]  # as above
        elif kind is LinkBack:
            member = self.state.peers.get(event.peer)  # type: ignore[union-attr]  # as above
            if isinstance(member, ClientState):
                self.members.client_back(member)
        else:
            self._tick()
        return self._rest(effects)

    def _rest(self, effects: list[Effect]) -> list[Effect]:
        state = self.state
        dispatch = self.dispatch
        if self.replicas.jobs:
            self.replicas.advance(effects)
        if self.transitions.later:
            later, self.transitions.later = self.transitions.later, []
            self.transitions.settle(later)
        if state.ready.length or state.ready.order or state.restricted or state.touched:
            dispatch.run()
            if state.touched:
                dispatch.classify_touched()
        if state.idle and state.crowded and not state.ready.length:
            if state.now >= self._balance_not_before:
                self._balance_not_before = state.now + REBALANCE_S
                self._rebalance_at = dispatch.balance()
            elif self._rebalance_at is None or self._rebalance_at < self._balance_not_before:
                self._rebalance_at = self._balance_not_before
        else:
            self._rebalance_at = None
        if self.adaptation.wish is not None:
            self.adaptation.stir()
        if self.following.by_client:
            self.following.advance()
        if state.dirty:
            effects.extend(post.collect(state))
        if effects:
            self._effects = []
        return effects

    def knows(self, hello: m.ClientHello) -> bool:
        """For the shell, before it gives this hello to the machine: whether the client may go on with its conversation, so that its peer is the
        one that it was."""
        return self.members.knows(hello)

    def next_wake(self) -> float | None:
        """When to send a `Tick` at the latest. Costs nothing that grows with the cluster: whether workers live is looked at a few times per
        timeout."""
        state = self.state
        at = self._rebalance_at
        if state.workers and (at is None or self._look_at < at):
            at = self._look_at
        deadline = state.parked.next_deadline()
        if deadline is not None and (at is None or deadline < at):
            at = deadline
        if self.retirement.leaving:
            deadline = self.retirement.next_deadline()
            if deadline is not None and (at is None or deadline < at):
                at = deadline
        if self.adaptation.look_at is not None and (at is None or self.adaptation.look_at < at):
            at = self.adaptation.look_at
        if self.panes.due is not None and (at is None or self.panes.due < at):
            at = self.panes.due
        deadline = self.notebooks.next_deadline()
        if deadline is not None and (at is None or deadline < at):
            at = deadline
        for client in state.away:
            if client.away_until is not None and (at is None or client.away_until < at):
                at = client.away_until
        return at

    def _tick(self) -> None:
        state = self.state
        now = state.now
        if now >= self._look_at:
            timeout_s = state.config.worker_timeout_s
            self._look_at = now + timeout_s / 4
            for worker in list(state.workers.values()):
                if now >= worker.last_seen + timeout_s:
                    reason = f"it has said nothing for {timeout_s:g} s"
                    self._effects.append(Close(worker.peer, reason))
                    self.members.lose_worker(worker, reason, self._effects)
        for client in list(state.away):
            if client.away_until is not None and now >= client.away_until:
                self._effects.append(Log("info", f"{client.id} has been away for {state.config.client_lease_s:g} s: its futures are released"))
                self._end_client(client)
        self.notebooks.expire(self._effects)
        state.parked.expire()
        if self.panes.due is not None and now >= self.panes.due:
            self.panes.advance()

    def _end_client(self, client: ClientState) -> None:
        """It is away, and will not come back."""
        self._effects.append(Close(client.peer, "the client's lease is over"))
        self.members.forget_client(client)

    def _client_left(self, client: ClientState) -> None:
        self.observing.client_left(client)
        self.following.client_left(client)
        self.notebooks.client_left(client)
        self.panes.client_left(client)

    def _received(self, peer: PeerId, message: m.Message) -> None:
        state = self.state
        member = state.peers.get(peer)
        kind = type(message)
        if type(member) is WorkerState:
            member.last_seen = state.now
            handler = self._from_worker.get(kind)
            if handler is not None:
                handler(member, message)
                return
        elif type(member) is ClientState:
            from_client = self._from_client.get(kind)
            if from_client is not None:
                from_client(member, message)
                return
        if kind is m.WorkerHello and type(member) is not ClientState:
            if not state.workers:
                self._look_at = state.now + state.config.worker_timeout_s / 4
            self.members.welcome_worker(peer, message, self._effects)  # type: ignore[arg-type]  # narrowed by `kind`
            self.observing.worker_came(message.address)  # type: ignore[attr-defined]  # narrowed by `kind`
            self.query.workers_came()
            self.retirement.worker_came(message.address)  # type: ignore[attr-defined]  # as above
        elif kind is m.ClientHello and type(member) is not WorkerState:
            self.members.welcome_client(peer, message, None, self._effects)  # type: ignore[arg-type]  # narrowed by `kind`
        elif kind is m.NannyHello:
            state.peers[peer] = None
            self.nannies.welcome(peer, message)  # type: ignore[arg-type]  # narrowed by `kind`
        elif kind is m.Reply and member is None and peer in state.peers:
            self.nannies.answered(peer, message)  # type: ignore[arg-type]  # narrowed by `kind`
        elif kind is m.WorkerDied and member is None and peer in state.peers:
            self._worker_died(message)  # type: ignore[arg-type]  # narrowed by `kind`
        elif kind is m.Goodbye and member is None and peer in state.peers:  # a nanny's
            del state.peers[peer]
            self.nannies.leave(peer)
            self._effects.append(Close(peer, "goodbye"))
        elif peer in state.peers:
            self._effects.append(Log("error", f"peer {peer} may not send {kind.__name__}"))
            self._effects.append(Close(peer, f"{kind.__name__} is not for this peer to send"))
            self._link_lost(peer, "protocol error")
        # else: mail from somebody who was sent away; the shell closes that stream

    def _link_lost(self, peer: PeerId, reason: str) -> None:
        member = self.state.peers.get(peer)
        if type(member) is WorkerState:
            self.members.lose_worker(member, reason, self._effects, blame=not member.restarting)
        elif type(member) is ClientState:
            self.members.client_away(member)
        else:
            self.state.peers.pop(peer, None)
            self.nannies.leave(peer)

    # --- notices, and who gave up

    def _notify(self, member: ClientState | WorkerState, message: m.Notify) -> None:
        for topic, value in zip(message.topics, message.values, strict=True):
            if type(member) is WorkerState and topic.startswith(TOPIC_PREFIX):
                self.panes.heard(member, topic, value)
            else:
                self.notes.notify(member, topic, value, self._effects)

    def _abandon(self, client: ClientState, message: m.Abandon) -> None:
        self.state.parked.abandon(client, message.ids)

    def _taken(self, client: ClientState, message: m.Taken) -> None:
        self.coordination.taken(client, message.ids)

    # --- from clients: tasks

    def _submit(self, client: ClientState, message: m.SubmitTasks) -> None:
        state = self.state
        tasks = state.tasks
        function = state.functions.get(message.function)
        options = message.options
        seq = state.next_seq
        rows = submit_many(state, self.dispatch, client, function, message) if function is not None else list(range(len(message.keys)))
        if not rows:
            return
        recommendations: Recommendations = []
        dependencies, holds = message.dependencies, message.holds
        alone = client.alone
        wanted = client.wanted
        for i in rows:
            key = message.keys[i]
            task = tasks.get(key)
            if task is not None and (task.function is not None or task.state not in (RELEASED, ERRED)):
                if task.state is ERRED and lacked_input(task):  # this client may know the input that was missing then
                    task.wanted_by = with_member(task.wanted_by, client)
                    wanted[task] = None
                    recommendations.append((task, WAITING))
                else:
                    self.transitions.want(client, task, recommendations)
                continue
            if function is None:
                failure = m.Failure("ProtocolError", f"{key}: the function {message.function} was never sent", None, "", key)
                post.append(state, client.outbox, m.KeysFailed([key], [failure]))
                continue
            if task is None:
                group = group_of(state, function, options.origin)
                group.counts[RELEASED] += 1
                tasks[key] = task = TaskState(key, function, message.args[i], options, seq + i, group)
                task.wanted_by = alone
            else:  # a name without a recipe (data that was let go, an unknown input) gets one
                task.function, task.args, task.options, task.seq = function, message.args[i], options, seq + i
                regroup(state, task)
                task.retries_left = options.retries
                task.wanted_by = with_member(task.wanted_by, client)
            function.users += 1
            wanted[task] = None
            if dependencies and dependencies[i]:
                self._link(task, dependencies[i], recommendations)
            if holds and holds[i]:
                self.transitions.hold_for_call(task, holds[i])
            recommendations.append((task, WAITING))
            if task.failure is not None and task.state == RELEASED:
                recommendations.append((task, ERRED))
        state.next_seq = seq + len(message.keys)
        self.transitions.settle(recommendations)

    def _link(self, task: TaskState, keys: list[Key], recommendations: Recommendations) -> None:
        tasks = self.state.tasks
        inputs: dict[TaskState, None] = {}
        for key in keys:
            dependency = tasks.get(key)
            if dependency is task:
                continue
            if dependency is None:  # a placeholder that fails at once, and with it what asked for it
                group = group_of(self.state, None, "")
                group.counts[RELEASED] += 1
                dependency = TaskState(key, None, None, m.TaskOptions(), 0, group)
                tasks[key] = dependency
            inputs[dependency] = None
            if dependency.dependents is None:
                dependency.dependents = {task: None}
            else:
                dependency.dependents[task] = None
        task.dependencies = tuple(inputs)
        if len(inputs) != len(keys):
            text = f"{task.key!r} names itself, or one input twice, among its inputs"
            task.failure = m.Failure("ProtocolError", text, None, "", task.key)

    def _want(self, client: ClientState, message: m.WantKeys) -> None:
        recommendations: Recommendations = []
        for key in message.keys:
            task = self.state.tasks.get(key)
            if task is None:
                post.append(self.state, client.outbox, m.KeysLost([key], unknown(key)))
            else:
                self.transitions.want(client, task, recommendations)
        self.transitions.settle(recommendations)

    def _release(self, client: ClientState, message: m.ReleaseKeys) -> None:
        recommendations: Recommendations = []
        release_many(self.state, self.transitions, client, message.keys, recommendations)
        self.transitions.settle(recommendations)

    def _retry(self, client: ClientState, message: m.RetryKeys) -> None:
        """Failed tasks run again; first those of their inputs that failed. What nothing can make again is as lost as it was."""
        recommendations: Recommendations = []
        seen: dict[TaskState, None] = {}
        for key in message.keys:
            task = self.state.tasks.get(key)
            if task is None:
                post.append(self.state, client.outbox, m.KeysLost([key], unknown(key)))
            elif task.function is None and task.failure is not None:
                post.append(self.state, client.outbox, m.KeysLost([key], task.failure.text))
            else:
                seen[task] = None
        for task in (pending := list(seen)):
            if task.state == ERRED:
                for dependency in task.dependencies:
                    if dependency.state == ERRED and dependency not in seen:
                        seen[dependency] = None
                        pending.append(dependency)
        for task in reversed(seen):
            if task.state == ERRED and task.function is not None:
                recommendations.append((task, WAITING))
        self.transitions.settle(recommendations)

    def _fire_and_forget(self, client: ClientState, message: m.FireAndForget) -> None:
        for task in self.transitions.hold(message.keys):
            if task.state in (MEMORY, ERRED) or task.fire_and_forget:
                task.held -= 1
            else:
                task.fire_and_forget = True

    # --- from clients: functions, requests, life

    def _functions(self, client: ClientState, message: m.Functions) -> None:
        functions = self.state.functions
        for function_id, payload, name in zip(message.ids, message.payloads, message.names, strict=True):
            function = functions.get(function_id)
            if function is None:
                function = functions[function_id] = FunctionState(function_id, payload, name)
            function.clients[client] = None
            client.functions[function] = None

    def _forget_functions(self, client: ClientState, message: m.ForgetFunctions) -> None:
        for function_id in message.ids:
            function = self.state.functions.get(function_id)
            if function is not None and function in client.functions:
                del client.functions[function]
                del function.clients[client]
                if not function.users and not function.clients:
                    post.forget_function(self.state, function)

    def _request(self, client: ClientState, message: m.Request) -> None:
        recommendations = self.query.request(client, message)
        if recommendations:
            self.transitions.settle(recommendations)
        if message.op == "watch":
            self.panes.advance()

    def _client_heartbeat(self, client: ClientState, message: m.Heartbeat) -> None:
        pass  # that it came is all: the shell's session has noted it

    def _client_goodbye(self, client: ClientState, message: m.Goodbye) -> None:
        if client.worker is None:
            self._effects.append(Close(client.peer, "goodbye"))
        self.members.forget_client(client)

    # --- from workers

    def _done(self, worker: WorkerState, message: m.TasksDone) -> None:
        recommendations: Recommendations = []
        worker.last_report = self.state.now
        for key in finish_many(self.state, self.transitions, worker, message, recommendations):
            self._stale(worker, key, self.state.tasks.get(key))
        self.transitions.settle(recommendations)
        if worker.ahead_parked:
            self.dispatch.unpark(worker)

    def _stale(self, worker: WorkerState, key: Key, task: TaskState | None) -> None:
        """A result that nobody waits for any more. The worker may drop it, unless it has been asked for the same key again."""
        if task is not None and (worker in task.who_has or task.worker is worker):
            return
        post.append(self.state, worker.outbox, m.ReleaseData([key]))

    def _current(self, worker: WorkerState, key: Key, attempt: int) -> TaskState | None:
        task = self.state.tasks.get(key)
        if task is None or task.attempt != attempt or task.state != PROCESSING or task.worker is not worker:
            return None
        return task

    def _failed(self, worker: WorkerState, message: m.TasksFailed) -> None:
        recommendations: Recommendations = []
        worker.last_report = self.state.now
        for key, attempt, failure, duration_s in zip(message.keys, message.attempts, message.failures, message.durations, strict=True):
            task = self._current(worker, key, attempt)
            if task is None:
                continue
            failed(task.group, duration_s)
            if task.retries_left > 0:
                task.retries_left -= 1
                recommendations.append((task, WAITING))
            else:
                task.failure = failure
                self.transitions.fail_processing(task, recommendations)
                self.state.journal.entries.append((self.state.now, key, "processing -> erred", attempt))
        self.transitions.settle(recommendations)
        if worker.ahead_parked:
            self.dispatch.unpark(worker)

    def _returned(self, worker: WorkerState, message: m.TasksReturned) -> None:
        """The worker could not get the inputs, or the task asked to run again."""
        recommendations: Recommendations = []
        for key, attempt, missing in zip(message.keys, message.attempts, message.missing, strict=True):
            self.query.note_missing(missing, recommendations, worker)
            task = self._current(worker, key, attempt)
            if task is not None:
                recommendations.append((task, WAITING))
                if not missing:  # it asked for it, as a rule because it waits for something: to the end of the queue, so that this can happen
                    task.seq = self.state.next_seq
                    self.state.next_seq += 1
        self.transitions.settle(recommendations)

    def _steal_answer(self, worker: WorkerState, message: m.StealAnswer) -> None:
        recommendations: Recommendations = []
        for key, attempt, given in zip(message.keys, message.attempts, message.given, strict=True):
            task = self._current(worker, key, attempt)
            if task is not None:
                task.stealing = False
                if given:
                    task.stolen = not task.ahead
                    task.ahead = False  # the worker has forgotten it
                    recommendations.append((task, WAITING))
                elif task.ahead and any(dependency.blocked for dependency in task.dependencies):
                    task.stealing = True  # a false start: a thread had it, and gives it back as its input is not made yet
                    post.append(self.state, worker.outbox, m.StealTasks([key], [attempt]))
        self.transitions.settle(recommendations)

    def _blocked(self, worker: WorkerState, message: m.TaskBlocked) -> None:
        task = self._current(worker, message.key, message.attempt)
        if task is not None and not task.blocked:
            task.blocked = True
            worker.blocked += 1
            self.state.touched[worker] = None
            # What was sent ahead of it may wait for long, and must not take the room of what it waits for itself.
            self.transitions.ask_back_ahead(task)

    def _unblocked(self, worker: WorkerState, message: m.TaskUnblocked) -> None:
        task = self._current(worker, message.key, message.attempt)
        if task is not None and task.blocked:
            task.blocked = False
            worker.blocked -= 1
            self.state.touched[worker] = None

    def _replicas_added(self, worker: WorkerState, message: m.ReplicasAdded) -> None:
        recommendations: Recommendations = []
        for key in message.keys:
            task = self.state.tasks.get(key)
            if task is not None and task.state == MEMORY:
                self.transitions.add_replica(task, worker)
            elif task is not None and task.worker is worker and task not in self.transitions.with_futures:
                # It was lost, and is being made again by one that has just got a copy. Nobody else knows of this copy, so nobody would let it go.
                self.transitions.add_replica(task, worker)
                recommendations.append((task, MEMORY))
            else:
                self._stale(worker, key, task)
        self.transitions.settle(recommendations)
        if self.replicas.copies:
            self.replicas.arrived(worker, message.keys)

    def _gone(self, worker: WorkerState) -> None:
        self.replicas.worker_lost(worker)
        self.retirement.worker_lost(worker)

    def _add_data(self, worker: WorkerState, message: m.AddData) -> None:
        """Scattered data: the worker has it, the client wants it."""
        state = self.state
        client = state.clients.get(message.client)
        if client is None:
            failure = m.Failure("ClosedError", f"{message.client} is not connected to this scheduler", None, "", Key(""))
            post.append(state, worker.outbox, m.Reply(message.id, None, failure))
            post.append(state, worker.outbox, m.ReleaseData(list(message.keys)))
            return
        if worker.retiring and worker not in self.retirement.leaving:  # what it held has been moved, and it may end at any moment
            failure = m.Failure("ConnectionFailed", f"worker {worker.name} has retired", None, "", Key(""))
            post.append(state, worker.outbox, m.Reply(message.id, None, failure))
            for key in message.keys:
                self._stale(worker, key, state.tasks.get(key))
            return
        recommendations: Recommendations = []
        for key, nbytes, type_name in zip(message.keys, message.nbytes, message.types, strict=True):
            task = self.query.data_task(client, key, nbytes, type_name)
            if task.state != MEMORY:
                recommendations.append((task, MEMORY))
            self.transitions.add_replica(task, worker)
        self.transitions.settle(recommendations)
        post.append(state, worker.outbox, m.Reply(message.id, None, None))

    def _worker_heartbeat(self, worker: WorkerState, message: m.Heartbeat) -> None:
        worker.metrics = message.metrics
        if message.now:
            self.panes.clocks.offset(worker, self.state.now, message.now)
        self.roster.seen(worker)

    def _sampled(self, worker: WorkerState, message: m.Sampled) -> None:
        try:
            self.panes.heard(worker, "profile", message)
        except (TypeError, ValueError, IndexError) as error:
            self._effects.append(Log("error", f"worker {worker.name} sent a malformed profile: {type(error).__name__}: {error}"))

    def _worker_joined(self, worker: WorkerState) -> None:
        self.plugins.joined(worker)
        self.roster.seen(worker)
        self.panes.worker_came(worker)

    def _worker_left(self, worker: WorkerState) -> None:
        self.plugins.left(worker)
        self.roster.left(worker)
        self.panes.worker_left(worker)
        self.observing.worker_left()

    def _as_client(self, worker: WorkerState, message: m.AsClient) -> None:
        inner = message.message
        client = worker.clients.get(message.client)
        if type(inner) is m.ClientHello:
            self.members.welcome_client(worker.peer, inner, worker, self._effects)
        elif client is not None:
            handler = self._from_client.get(type(inner))
            if handler is not None:
                handler(client, inner)
            else:
                self._effects.append(Log("error", f"a client inside {worker.name} may not send {type(inner).__name__}"))

    def _worker_goodbye(self, worker: WorkerState, message: m.Goodbye) -> None:
        self._effects.append(Close(worker.peer, message.reason))
        self.members.lose_worker(worker, message.reason, self._effects, blame=False)

    def _worker_died(self, message: m.WorkerDied) -> None:
        worker = self.state.workers_by_name.get(message.name)
        if worker is not None and worker.pid == message.pid:
            self._effects.append(Close(worker.peer, message.text))
            self.members.lose_worker(worker, message.text, self._effects)


def unknown(key: Key) -> str:
    """Why a key is lost that is not in the table."""
    return f"the scheduler does not know {key!r} any more: its last future was gone"
