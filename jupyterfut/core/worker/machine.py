"""The worker's machine: from `Compute` to `TasksDone`, without threads, sockets or clocks.

Events come from the scheduler's stream, from the threads that run calls and from other workers' data servers; effects go back to them (`events` lists
both and says what each side promises). The rules:

- A task waits until all its inputs are here: those that the scheduler sent along, those that this worker holds or makes itself, those that it
  fetches from other workers. Then it queues by priority, is handed to the run queue, runs, and its result is kept and reported.
- What cannot be fetched from anyone sends the task back to the scheduler (`TasksReturned`). When an input that is made here fails, or is taken away,
  its dependants wait on: the scheduler knows best and will cancel them.
- An attempt that is not the current one of a key is an orphan. It cannot be stopped, but what it gives is dropped without a word.
- Stealing takes a task that has not started. From the queue it is given at once; from the run queue it has to be withdrawn, which may come too late.
- When the stream to the scheduler breaks, the worker is lost for it. Everything not started is forgotten, what runs becomes orphans, and on the next
  stream the worker offers what it holds.

`transitions` holds the table of task states; `invariants.check` says what is true between any two events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import compress
from typing import Any

from jupyterfut.core.effects import LinkLost, Log, Received, Send, Tick
from jupyterfut.core.journal import Entry, Journal
from jupyterfut.core.worker import transitions
from jupyterfut.core.worker.events import (
    SCHEDULER,
    AnswerPut,
    Beat,
    Blocked,
    Connect,
    Connected,
    ConnectFailed,
    CutClient,
    DataPut,
    Drop,
    DropFunctions,
    End,
    Executed,
    Failed,
    Fetched,
    FetchFailed,
    FromClient,
    Interrupt,
    LearnFunctions,
    MemoryShort,
    NotRun,
    Said,
    Start,
    Stop,
    Store,
    ToClient,
    Unblocked,
    Watch,
    Withdraw,
    Withdrawn,
    WorkerEffect,
    WorkerEvent,
)
from jupyterfut.core.worker.fetches import Fetches, Wanted
from jupyterfut.core.worker.link import Link
from jupyterfut.core.worker.memory import Memory
from jupyterfut.core.worker.settings import WorkerSettings
from jupyterfut.core.worker.slots import Slots
from jupyterfut.core.worker.tasks import NOTHING, ReadyQueue, Task
from jupyterfut.ids import Address, Attempt, ClientId, FunctionId, Key
from jupyterfut.wire.messages import (
    AddData,
    AsClient,
    CancelTasks,
    ClientHello,
    Compute,
    Failure,
    ForgetFunctions,
    Functions,
    Goodbye,
    Message,
    Notify,
    Observe,
    ReleaseData,
    ReplicasAdded,
    ReplicasFailed,
    Replicate,
    Reply,
    StealAnswer,
    StealTasks,
    TaskBlocked,
    TasksDone,
    TasksFailed,
    TasksReturned,
    TaskUnblocked,
    Welcome,
    WorkerHello,
)
from jupyterfut.wire.payload import Local, Payload, payload_nbytes


class WorkerMachine:
    """One worker. `handle(event, now)` returns the effects; `next_wake()` says when it wants a `Tick`."""

    def __init__(
        self,
        address: Address,
        name: str,
        nthreads: int,
        *,
        memory_limit_bytes: int = 0,
        resources: dict[str, float] | None = None,
        pid: int = 0,
        info: dict[str, Any] | None = None,
        settings: WorkerSettings | None = None,
    ) -> None:
        self.settings = settings or WorkerSettings()
        self.address = address
        self.name = name
        self.nthreads = nthreads
        self.memory_limit_bytes = memory_limit_bytes
        self.resources = resources or {}
        self.pid = pid
        self.info = info or {}

        self.link = Link(self.settings)
        self.tasks: dict[Key, Task] = {}  #: wanted and not done
        self.ready = ReadyQueue()
        self.awaited: dict[Key, dict[Task, None]] = {}  #: keys that are not here -> tasks that wait for them; never empty
        self.followers: deque[Task] = deque()  #: waiting tasks that may go into the run queue behind the makers of their inputs; some have left since
        self.slots = Slots(nthreads, self.settings.lookahead_s)
        self.stealing: set[Attempt] = set()  #: handed tasks that the scheduler wants back, until `Withdrawn`
        self.memory = Memory()
        self.fetches = Fetches(address)
        self.copying: dict[Key, None] = {}  #: copies that the scheduler has asked for and that are being fetched, whether or not a task waits
        self.functions: set[FunctionId] = set()
        self.puts: dict[int, int] = {}  #: our id of an `AddData` -> the shell's token of who waits for its answer
        self.clients: dict[ClientId, None] = {}  #: open task clients
        self.journal = Journal(self.settings.journal_size)
        self.inline_bytes = self.settings.inline_bytes
        self.observed = False  #: somebody wants to hear more than results
        self.effects: list[WorkerEffect] = []  #: of the event at hand
        self._next_put = 1

        self._on_event: dict[type[Any], Callable[[Any, float], None]] = {
            Received: self._on_received, LinkLost: self._on_link_lost, Tick: self._on_tick,
            Start: self._on_start, Connected: self._on_connected, ConnectFailed: self._on_connect_failed, Stop: self._on_stop,
            Executed: self._on_executed, Failed: self._on_failed, NotRun: self._on_not_run, Withdrawn: self._on_withdrawn,
            Blocked: self._on_blocked, Unblocked: self._on_unblocked, MemoryShort: self._on_memory_short,
            Fetched: self._on_fetched, FetchFailed: self._on_fetch_failed, DataPut: self._on_data_put, FromClient: self._on_from_client,
            Said: self._on_said,
        }  # fmt: skip
        self._on_message: dict[type[Any], Callable[[Any, float], None]] = {
            Welcome: self._on_welcome, Functions: self._on_functions, ForgetFunctions: self._on_forget_functions,
            Compute: self._on_compute, CancelTasks: self._on_cancel, StealTasks: self._on_steal, ReleaseData: self._on_release,
            Replicate: self._on_replicate, Observe: self._on_observe,
            Reply: self._on_reply, AsClient: self._on_as_client, Goodbye: self._on_goodbye,
        }  # fmt: skip

    # --- the door

    def handle(self, event: WorkerEvent, now: float) -> list[WorkerEffect]:
        """Take one event, return what is to be done about it, in order."""
        effects: list[WorkerEffect] = []
        self.effects = effects
        self._on_event[type(event)](event, now)
        return effects

    def next_wake(self) -> float | None:
        """When a `Tick` is wanted although nothing happened; None: never."""
        link, fetches = self.link.next_wake(), self.fetches.next_wake()
        return link if fetches is None else fetches if link is None else min(link, fetches)

    def story(self, *keys: str) -> list[Entry]:
        """What the journal remembers of these keys, oldest first."""
        return self.journal.story(*keys)

    def metrics(self) -> dict[str, float]:
        """What `Heartbeat` says about tasks and data."""
        slots = self.slots
        executing = min(len(slots.busy) - len(slots.blocked), self.nthreads)
        ready = len(self.tasks) - executing
        return {"executing": executing, "ready": ready, "managed_bytes": self.memory.total_nbytes, "paused": float(slots.paused)}

    def _say(self, message: Message) -> None:
        """Every message to the scheduler leaves here; without a link there is nobody to tell."""
        if self.link.open:
            self.effects.append(Send(SCHEDULER, message))

    # --- the link

    def _on_start(self, event: Start, now: float) -> None:
        self.link.connecting(now)
        self.effects.append(Connect())

    def _on_connected(self, event: Connected, now: float) -> None:
        if self.link.state == "ended":
            return
        self.link.greeting()
        memory = self.memory
        keys = list(memory.nbytes)
        self._say(
            WorkerHello(
                self.address, self.name, self.nthreads, self.memory_limit_bytes, self.resources, self.pid,
                keys, [memory.nbytes[k] for k in keys], [memory.types[k] for k in keys],
                {**self.info, "attempts": max(self.slots.busy, default=0)},  # of calls that still run for an earlier link: not to be given again
            )
        )  # fmt: skip

    def _on_connect_failed(self, event: ConnectFailed, now: float) -> None:
        if self.link.state == "ended":
            return
        if event.final or not self.link.failed(now):
            self.link.ended()
            self.effects += [Log("error", f"{self.name}: no scheduler: {event.reason}"), End(event.reason)]

    def _on_welcome(self, message: Welcome, now: float) -> None:
        self.inline_bytes = int(message.info.get("inline_bytes", self.settings.inline_bytes))
        self.link.up(now, float(message.info.get("heartbeat_s", self.settings.heartbeat_s)))

    def _on_link_lost(self, event: LinkLost, now: float) -> None:
        if self.link.state == "ended":
            return
        self._forget_scheduler(f"the link to the scheduler broke: {event.reason}", now)
        self.effects.append(Log("warning", f"{self.name}: lost its scheduler ({event.reason}), connecting again"))
        if self.link.state == "up":
            self.link.connecting(now)
            self.effects.append(Connect())
        else:  # it answered the call and hung up before the welcome: do not call again at once
            self._on_connect_failed(ConnectFailed(event.reason, final=False), now)

    def _on_goodbye(self, message: Goodbye, now: float) -> None:
        self._forget_scheduler(f"the scheduler said goodbye: {message.reason}", now)
        self.link.ended()
        self.effects.append(End(message.reason))

    def _on_stop(self, event: Stop, now: float) -> None:
        if self.link.state == "ended":
            return
        self._say(Goodbye(event.reason))
        self._forget_scheduler(event.reason, now)
        self.link.ended()

    def _on_tick(self, event: Tick, now: float) -> None:
        link = self.link
        if link.retry_at is not None and now >= link.retry_at:
            link.connecting(now)
            self.effects.append(Connect())
        if link.beat_at is not None and now >= link.beat_at:
            link.beat_at = now + link.beat_s
            self.effects.append(Beat(self.metrics()))
        self.effects += self.fetches.start(now)

    def _forget_scheduler(self, reason: str, now: float) -> None:
        """The scheduler of these tasks counts this worker as lost: forget what has not started, stop telling of what has."""
        transitions.leave(self, list(self.tasks.values()), "link lost", now)
        self.stealing.clear()
        for key in self.copying:
            self.fetches.forget(key)
        self.copying.clear()
        self._drop(sorted(self.memory.actors | self.memory.bound))
        if self.functions:
            self.effects.append(DropFunctions(sorted(self.functions)))
            self.functions.clear()
        failure = Failure("ConnectionFailed", reason, None, "", Key(""))
        self.effects += [AnswerPut(token, failure) for token in self.puts.values()]
        self.puts.clear()
        self.effects += [CutClient(client, reason) for client in self.clients]
        self.clients.clear()
        if self.observed:
            self.observed = False
            self.effects.append(_NOTHING)

    # --- what the scheduler asks

    def _on_received(self, event: Received, now: float) -> None:
        message = event.message
        handler = self._on_message.get(type(message))
        if handler is None:
            self.effects.append(Log("error", f"{self.name}: a worker has no use for {type(message).__name__}"))
        elif self.link.open:
            handler(message, now)

    def _on_functions(self, message: Functions, now: float) -> None:
        self.functions.update(message.ids)
        self.effects.append(LearnFunctions(message.ids, message.payloads, message.names))

    def _on_forget_functions(self, message: ForgetFunctions, now: float) -> None:
        self.functions.difference_update(message.ids)
        self.slots.forget_costs(message.ids)
        self.effects.append(DropFunctions(message.ids))

    def _on_compute(self, message: Compute, now: float) -> None:
        function, keys, attempts, args, priorities, rows, inline, where, _, actor, origin = message
        if function not in self.functions:
            failures = [Failure("ProtocolError", f"function {function} was never sent to {self.address}", None, "", key) for key in keys]
            return self._say(TasksFailed(keys, attempts, failures, [0.0] * len(keys)))
        tasks = self.tasks
        replaced = [tasks[key] for key in keys if key in tasks]
        if replaced:  # a newer attempt takes the place of an older one
            transitions.leave(self, replaced, "replaced", now)
        held = self.memory.nbytes
        if held and not held.keys().isdisjoint(keys):  # made for an older attempt; the scheduler has no use for that and does not know of it
            self._drop([key for key in keys if self.memory.release(key)])
        new = [
            Task(key, attempt, function, payload, NOTHING, inline, actor, origin, priority)
            for key, attempt, payload, priority in zip(keys, attempts, args, priorities, strict=True)
        ]
        tasks.update(zip(keys, new, strict=True))
        if rows:
            hopeless = transitions.begin_with_inputs(self, new, rows, where, now)
            if hopeless:
                self._give_back({key: [self.address] for key in hopeless}, now)
            self.effects += self.fetches.start(now)
        else:
            transitions.begin(self, new, now)
        transitions.hand_over(self, now)
        return None

    def _on_cancel(self, message: CancelTasks, now: float) -> None:
        tasks = self._current(message.keys, message.attempts)
        transitions.leave(self, tasks, "cancelled", now)
        if message.interrupt:
            handed = [task for task in tasks if task.attempt in self.slots.busy]
            if handed:  # those that could be withdrawn are gone when this is performed
                self.effects.append(Interrupt([task.key for task in handed], [task.attempt for task in handed]))

    def _on_steal(self, message: StealTasks, now: float) -> None:
        given: list[Task] = []
        handed: list[Task] = []
        answers: list[tuple[Key, Attempt, bool]] = []
        for key, attempt in zip(message.keys, message.attempts, strict=True):
            task = self.tasks.get(key)
            if task is None or task.attempt != attempt:
                answers.append((key, attempt, False))
            elif task.state in ("handed", "following"):
                handed.append(task)
            else:
                given.append(task)
                answers.append((key, attempt, True))
        transitions.leave(self, given, "stolen", now)
        self._answer_steal(answers)
        if handed:
            self.stealing.update(task.attempt for task in handed)
            self.effects.append(Withdraw([task.key for task in handed], [task.attempt for task in handed]))

    def _answer_steal(self, answers: list[tuple[Key, Attempt, bool]]) -> None:
        if answers:
            self._say(StealAnswer([a[0] for a in answers], [a[1] for a in answers], [a[2] for a in answers]))

    def _on_release(self, message: ReleaseData, now: float) -> None:
        self._drop([key for key in dict.fromkeys(message.keys) if self.memory.release(key)])

    def _on_replicate(self, message: Replicate, now: float) -> None:
        memory = self.memory
        here: list[Key] = []
        given: list[Key] = []
        hopeless: dict[Key, list[Address]] = {}
        for key in message.keys:
            if key in memory.nbytes:
                memory.doomed.discard(key)
                here.append(key)
            elif key in message.inline:
                given.append(key)
            else:
                self.copying[key] = None
                if not self.fetches.want(key, message.where[key]):
                    hopeless[key] = []
        if given:
            payloads = [message.inline[key] for key in given]
            self._keep_copies(given, payloads, [payload_nbytes(payload) for payload in payloads], now)
            self._copied(given)
        if here:
            self._say(ReplicasAdded(here))
        self._after_fetch(hopeless, now)

    def _copied(self, keys: list[Key]) -> list[Key]:
        """These keys are here: nobody has to fetch them. Returns those of which the scheduler wants a copy here."""
        copying = self.copying
        copied = [key for key in keys if copying.pop(key, 0) is None] if copying else []
        for key in copied:
            self.fetches.forget(key)
        return copied

    def _on_observe(self, message: Observe, now: float) -> None:
        watch = Watch(message.loggers, message.tasks, message.stream_s, message.grain_s, message.profile_s, message.log_level)
        self.observed = watch != _NOTHING
        self.link.watched(now, message.beat_s)
        self.effects.append(watch)

    def _on_reply(self, message: Reply, now: float) -> None:
        token = self.puts.pop(message.id, None)
        if token is not None:
            self.effects.append(AnswerPut(token, message.failure))

    def _on_as_client(self, message: AsClient, now: float) -> None:
        if message.client in self.clients:
            self.effects.append(ToClient(message.client, message.message))

    # --- what the threads say

    def _on_executed(self, event: Executed, now: float) -> None:
        self.slots.free_measured(event.attempts, event.durations)
        tasks = self._current(event.keys, event.attempts)
        if len(tasks) != len(event.keys):
            event = _rows_of(event, {task.attempt for task in tasks})
        if tasks:
            keys, attempts, payloads, types, nbytes, durations, holds = event
            limit = self.inline_bytes
            inline: list[Payload | None] = [
                payload if size <= limit or type(payload) is Local or task.actor else None  # an actor's description, which is small, always travels
                for payload, size, task in zip(payloads, nbytes, tasks, strict=True)
            ]
            self.memory.add_all(keys, nbytes, types)
            actors = [task.key for task in tasks if task.actor]
            if actors:
                self.memory.actors.update(actors)
            self.memory.bound.update(holds)
            self.effects.append(Store(keys, payloads, nbytes))
            if self.awaited:
                transitions.arrive(self, keys, now)
            early = [task for task in tasks if task.state == "following"]
            if early:
                transitions.move(self, early, "done", "done", now)
                tasks = [task for task in tasks if task.state == "handed"]
            transitions.move(self, tasks, "done", "done", now)
            if self.copying and (copied := self._copied(keys)):
                self._say(ReplicasAdded(copied))
            self._say(TasksDone(keys, attempts, inline, types, nbytes, durations, holds))
        transitions.hand_over(self, now)

    def _on_failed(self, event: Failed, now: float) -> None:
        self.slots.free_measured(event.attempts, event.durations)
        tasks = self._current(event.keys, event.attempts)
        if tasks:
            wanted = {task.attempt for task in tasks}
            rows = [row for row in zip(event.keys, event.attempts, event.failures, event.durations, strict=True) if row[1] in wanted]
            transitions.leave(self, tasks, "failed", now)
            self._say(TasksFailed([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows], [r[3] for r in rows]))
        transitions.hand_over(self, now)

    def _on_not_run(self, event: NotRun, now: float) -> None:
        back: dict[Task, list[list[str]]] = {}
        lost: dict[Key, None] = {}
        for key, attempt, unreadable in zip(event.keys, event.attempts, event.lost, strict=True):
            self.slots.free(attempt)
            task = self.tasks.get(key)
            if unreadable and task is not None and task.attempt == attempt and task.early:
                transitions.fall_back(self, task, now)
                continue
            lost.update(dict.fromkeys(unreadable))
            if task is not None and task.attempt == attempt:
                back[task] = [[name, self.address] for name in unreadable]
        for name in lost:
            self._lose(name, back)
        self._return(back, "not run", now)
        transitions.hand_over(self, now)

    def _on_withdrawn(self, event: Withdrawn, now: float) -> None:
        answers: list[tuple[Key, Attempt, bool]] = []
        for key, attempt, withdrawn in zip(event.keys, event.attempts, event.withdrawn, strict=True):
            if withdrawn:
                self.slots.free(attempt)
            if attempt in self.stealing:
                self.stealing.discard(attempt)
                answers.append((key, attempt, withdrawn))
                if withdrawn:
                    transitions.leave(self, self._current([key], [attempt]), "stolen", now)
        self._answer_steal(answers)
        transitions.hand_over(self, now)

    def _on_blocked(self, event: Blocked, now: float) -> None:
        self.slots.block(event.attempt)
        if self._current([event.key], [event.attempt]):
            self._say(TaskBlocked(event.key, event.attempt))
        transitions.hand_over(self, now)

    def _on_unblocked(self, event: Unblocked, now: float) -> None:
        self.slots.blocked.discard(event.attempt)
        if self._current([event.key], [event.attempt]):
            self._say(TaskUnblocked(event.key, event.attempt))

    def _on_memory_short(self, event: MemoryShort, now: float) -> None:
        self.slots.paused = event.short
        transitions.hand_over(self, now)

    def _current(self, keys: list[Key], attempts: list[Attempt]) -> list[Task]:
        """The tasks of these rows, without those of which another attempt, or none, is wanted by now."""
        get = self.tasks.get
        return [task for key, attempt in zip(keys, attempts, strict=True) if (task := get(key)) is not None and task.attempt == attempt]

    # --- data

    def _on_fetched(self, event: Fetched, now: float) -> None:
        peer, asked = self.fetches.close(event.request)
        wanted = self.fetches.wanted
        rows = [(key, payload, payload_nbytes(payload)) for key, payload in zip(event.keys, event.payloads, strict=True) if key in wanted]
        if rows:
            self._keep_copies([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows], now)
        got = set(event.keys)
        refused = [key for key in asked if key not in got]
        self.fetches.gave(peer, bool(got) or not asked, now)
        self._after_fetch(_tried(self.fetches.refused(event.request, peer, refused)), now)

    def _keep_copies(self, keys: list[Key], payloads: list[Payload], nbytes: list[int], now: float) -> None:
        """Copies have come from elsewhere."""
        self.memory.add_all(keys, nbytes, [""] * len(keys))
        self.effects.append(Store(keys, payloads, nbytes))
        self._say(ReplicasAdded(keys))
        transitions.arrive(self, keys, now)
        self._copied(keys)

    def _on_fetch_failed(self, event: FetchFailed, now: float) -> None:
        peer, asked = self.fetches.close(event.request)
        self.fetches.gave(peer, False, now)
        self._after_fetch(_tried(self.fetches.refused(event.request, peer, asked) + self.fetches.unreachable(peer)), now)

    def _after_fetch(self, exhausted: dict[Key, list[Address]], now: float) -> None:
        failed = [key for key in exhausted if self.copying.pop(key, 0) is None] if self.copying else []
        if failed:
            self._say(ReplicasFailed(failed, [[[key, address] for address in exhausted[key]] for key in failed]))
        self._give_back(exhausted, now)
        self.effects += self.fetches.start(now)
        transitions.hand_over(self, now)

    def _on_data_put(self, event: DataPut, now: float) -> None:
        if self.link.state != "up":
            failure = Failure("ConnectionFailed", f"worker {self.address} has no scheduler at the moment", None, "", Key(""))
            self.effects.append(AnswerPut(event.token, failure))
            return
        values = {key: (payload, type_name) for key, payload, type_name in zip(event.keys, event.payloads, event.types, strict=True)}
        keys, payloads, types = list(values), [v[0] for v in values.values()], [v[1] for v in values.values()]
        nbytes = [payload_nbytes(payload) for payload in payloads]
        self.memory.add_all(keys, nbytes, types)
        self.effects.append(Store(keys, payloads, nbytes))
        number = self._next_put
        self._next_put += 1
        self.puts[number] = event.token
        self._say(AddData(number, event.client, keys, nbytes, types))
        if self.copying and (copied := self._copied(keys)):
            self._say(ReplicasAdded(copied))
        transitions.arrive(self, keys, now)
        transitions.hand_over(self, now)

    def _on_said(self, event: Said, now: float) -> None:
        self._say(Notify(event.topics, event.values))

    def _on_from_client(self, event: FromClient, now: float) -> None:
        client, message = event
        if type(message) is ClientHello and self.link.state == "up":
            self.clients[client] = None
        if client not in self.clients:
            self.effects.append(CutClient(client, "its worker has no scheduler, or another one than before"))
            return
        if type(message) is Goodbye:
            del self.clients[client]
        self._say(AsClient(client, message))

    def _give_back(self, exhausted: dict[Key, list[Address]], now: float) -> None:
        """Nobody gave these keys: the tasks that wait for them go back, unless the key is being made here."""
        back: dict[Task, list[list[str]]] = {}
        for key, tried in exhausted.items():
            if key not in self.tasks:
                for task in self.awaited.get(key, ()):
                    back.setdefault(task, []).extend([key, address] for address in tried)
        self._return(back, "inputs missing", now)

    def _lose(self, key: Key, back: dict[Task, list[list[str]]]) -> None:
        """A value that was held cannot be read any more. What needs it and has not been handed over goes back; what has will say so itself."""
        if key not in self.memory.nbytes:
            return
        for task in self.tasks.values():
            if key in task.needs and task not in back:
                if task.state == "handed":
                    task.needs = [need for need in task.needs if need != key]
                else:
                    back[task] = [[key, self.address]]
        self._drop([key])

    def _return(self, back: dict[Task, list[list[str]]], why: str, now: float) -> None:
        if back:
            transitions.leave(self, list(back), why, now)
            self._say(TasksReturned([task.key for task in back], [task.attempt for task in back], list(back.values())))

    def _drop(self, keys: list[Key]) -> None:
        """The one door through which values leave, beside a doomed key's last unpin."""
        if keys:
            for key in keys:
                self.memory.remove(key)
            self.effects.append(Drop(keys))


_NOTHING = Watch({}, False)


def _tried(exhausted: list[Wanted]) -> dict[Key, list[Address]]:
    return {wanted.key: wanted.tried for wanted in exhausted}


def _rows_of(event: Executed, attempts: set[Attempt]) -> Executed:
    """The event without the rows of other attempts: orphans, of which nobody wants to hear."""
    stay = [attempt in attempts for attempt in event.attempts]
    keys = list(compress(event.keys, stay))
    return Executed(
        keys,
        list(compress(event.attempts, stay)),
        list(compress(event.payloads, stay)),
        list(compress(event.types, stay)),
        list(compress(event.nbytes, stay)),
        list(compress(event.durations, stay)),
        {key: held for key, held in event.holds.items() if key in keys},
    )
