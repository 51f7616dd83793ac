"""A simulated worker process: its machine, its threads, its store, its data server, and the client of its tasks.

Threads run `execution.body` in virtual time. What they have to say reaches the machine through one queue, in batches and a little late, as in the
real worker. When the process dies the node is dead for good: a worker that comes back is a new node, empty, perhaps under the same address. When only
its link breaks the machine connects again and offers what it holds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from jupyterfut.core.effects import LinkLost, Log, Received, Send
from jupyterfut.core.worker import events as ev
from jupyterfut.core.worker.invariants import check
from jupyterfut.core.worker.machine import WorkerMachine
from jupyterfut.ids import Address, Attempt, ClientId, FunctionId, Key
from jupyterfut.sim.clients import SimClient
from jupyterfut.sim.coordinating import perform
from jupyterfut.sim.execution import Acting, Block, Body, Results, TaskError, TaskRescheduled, Unblock, Work, body
from jupyterfut.sim.network import Link
from jupyterfut.sim.nodes import Node
from jupyterfut.sim.values import decode, encode
from jupyterfut.sim.viewing import told_of
from jupyterfut.sim.workload import Call, WorkerPlan
from jupyterfut.wire.messages import Failure, Heartbeat, Message
from jupyterfut.wire.payload import Payload, payload_nbytes

if TYPE_CHECKING:
    from jupyterfut.sim.world import World

Row: TypeAlias = tuple[Any, ...]


class Thread:
    """One call that was handed over: in the run queue, running, or blocked."""

    __slots__ = ("attempt", "blocked", "body", "call", "interrupted", "key", "order", "seceded", "started", "started_at")

    def __init__(self, order: ev.Call, call: Call) -> None:
        self.order = order
        self.call = call
        self.key: Key = order.key
        self.attempt: Attempt = order.attempt
        self.body: Body | None = None
        self.started = False
        self.started_at = 0.0
        self.blocked = False
        self.interrupted = False
        self.seceded = False


class SimWorker(Node):
    """One worker process."""

    check = staticmethod(check)

    def __init__(self, world: World, plan: WorkerPlan, address: Address) -> None:
        super().__init__(world, plan.name)
        self.plan = plan
        self.address = address
        self.machine = WorkerMachine(
            address, plan.name, plan.nthreads, resources=dict(plan.resources), pid=world.next_pid(), settings=world.worker_settings
        )
        self.link: Link | None = None
        self.busy = 0
        self.run_queue: deque[Thread] = deque()
        self.fresh: dict[Key, Payload] = {}  # results that the machine has not heard of yet, for the calls behind their makers
        self.threads: dict[tuple[Key, Attempt], Thread] = {}
        self.rejoining: deque[Thread] = deque()
        self.store: dict[Key, Payload] = {}
        self.spoiled: set[Key] = set()  # in the store, and cannot be read any more
        self.given_up: set[Key] = set()  # were spoiled, and dropped for it: calls that were handed over before may still look for them
        self.functions: dict[FunctionId, str] = {}
        self.outcomes: list[Row | Callable[[], None]] = []
        self.task_client: SimClient | None = None
        self.task_clients_made = 0
        self.puts: dict[int, Callable[[Failure | None], None]] = {}
        self.ended = False
        self.watch = ev.Watch({}, False)
        self.performers = {
            Send: self.on_send, Log: self.on_log, ev.Connect: self.on_connect, ev.Beat: self.on_beat, ev.End: self.on_end,
            ev.LearnFunctions: self.on_learn, ev.DropFunctions: self.on_drop_functions,
            ev.Run: self.on_run, ev.Withdraw: self.on_withdraw, ev.Interrupt: self.on_interrupt,
            ev.Store: self.on_store, ev.Drop: self.on_drop, ev.Fetch: self.on_fetch, ev.AnswerPut: self.on_answer_put,
            ev.ToClient: self.on_to_client, ev.CutClient: self.on_cut_client,
            ev.Watch: self.on_watch,
        }  # fmt: skip
        self.after(0.0, self.post, ev.Start())

    # --- the link

    def on_frame(self, link: Link, messages: list[Message]) -> None:
        for message in messages:
            if link is not self.link:
                return
            self.post(Received(ev.SCHEDULER, message))

    def on_link_lost(self, link: Link, reason: str) -> None:
        if link is self.link:
            self.link = None
            self.post(LinkLost(ev.SCHEDULER, reason))

    def on_send(self, effect: Send) -> None:
        if self.link is not None:
            self.link.send(1, effect.message)

    def on_connect(self, effect: ev.Connect) -> None:
        self.after(2 * self.world.network.delay(), self._connected)

    def _connected(self) -> None:
        if self.ended:
            return
        if self.name in self.world.stalled or (self.world.deaf_schedulers and self.world.rng.random() < 0.05):
            self.post(ev.ConnectFailed("nobody answered", final=False))
            return
        self.link = self.world.link_to_scheduler(self)
        self.post(ev.Connected())

    def on_beat(self, effect: ev.Beat) -> None:
        if self.link is not None:
            now = self.clock.now + self.offset_s
            self.link.send(1, Heartbeat(effect.metrics, now))
            for message in told_of(self.watch, now):
                self.link.send(1, message)

    def on_watch(self, effect: ev.Watch) -> None:
        self.watch = effect

    def on_end(self, effect: ev.End) -> None:
        self.end()
        if self.world.refills:
            self.clock.after(self.world.rng.uniform(0.0, 2.0), self._replace)

    def _replace(self) -> None:
        """It was sent away, and the plan wants somebody in its place."""
        if self.world.places[self.name] is self:
            self.world.restart(self)

    def stop(self) -> None:
        """Close in order: goodbye, then the end."""
        self.post(ev.Stop("closed"))
        self.end()

    def end(self) -> None:
        """The process ends in order."""
        self.ended = True
        if self.link is not None:
            self.link.close(1, "the worker has closed")
        self.die()

    def die(self) -> None:
        """The process is gone, with all that it held."""
        self.alive = False
        if self.task_client is not None:
            self.task_client.alive = False

    # --- threads

    def on_learn(self, effect: ev.LearnFunctions) -> None:
        for function, payload in zip(effect.ids, effect.payloads, strict=True):
            assert type(payload) is bytes
            self.functions[function] = payload.decode()

    def on_drop_functions(self, effect: ev.DropFunctions) -> None:
        for function in effect.ids:
            assert function in self.functions, f"{self}: told to drop function {function}, which it does not have"
            del self.functions[function]

    def on_run(self, effect: ev.Run) -> None:
        for order in effect.calls:
            assert type(order.args) is bytes
            call = self.world.program.calls[Key(order.args.decode())]
            assert call.key == order.key, f"{order.key} came with the arguments of {call.key}"
            assert self.functions.get(order.function) == call.function, f"{self}: {order.key} calls {order.function}, which is not here"
            assert list(call.dependencies) == list(order.dependencies), f"{order.key}: dependencies {order.dependencies}"
            wanted = call.options.workers
            assert not wanted or call.options.allow_other_workers or self.name in wanted, f"{order.key} is for {wanted} only, and came to {self.name}"
            thread = Thread(order, call)
            assert (thread.key, thread.attempt) not in self.threads, f"{self}: {order.key} attempt {order.attempt} is run twice"
            self.threads[thread.key, thread.attempt] = thread
            self.run_queue.append(thread)
        self._start_some()

    def on_withdraw(self, effect: ev.Withdraw) -> None:
        answers = []
        for key, attempt in zip(effect.keys, effect.attempts, strict=True):
            thread = self.threads.get((key, attempt))
            taken = thread is not None and not thread.started
            if taken:
                assert thread is not None
                self.run_queue.remove(thread)
                del self.threads[key, attempt]
            answers.append(taken)
        self._say((ev.Withdrawn, effect.keys, effect.attempts, answers))

    def on_interrupt(self, effect: ev.Interrupt) -> None:
        """The calls that have started will end with their next pause, as a thread does with the next bytecode of the user's; some never do."""
        for key, attempt in zip(effect.keys, effect.attempts, strict=True):
            thread = self.threads.get((key, attempt))
            if thread is not None and thread.started and self.world.rng.random() < 0.8:
                thread.interrupted = True

    def _start_some(self) -> None:
        while self.run_queue and self.busy < self.plan.nthreads:
            if self.rejoining:
                self._retake(self.rejoining.popleft())
                continue
            thread = self.run_queue.popleft()
            self.busy += 1
            thread.started = True
            thread.started_at = self.clock.now
            inputs, lost = self._inputs(thread)
            if lost:
                self._ended(thread, (ev.NotRun, thread.key, thread.attempt, lost))
                continue
            thread.body = body(thread.call, inputs, self.world.oracle, self._open_client)
            self._advance(thread, None, None)
        while self.rejoining and self.busy < self.plan.nthreads:
            self._retake(self.rejoining.popleft())

    def _inputs(self, thread: Thread) -> tuple[list[int], list[Key]]:
        """The values, and the inputs that are missing, which they may be for a call that was handed over behind their makers."""
        values = []
        for key in thread.order.dependencies:
            payload = thread.order.inline.get(key)
            if payload is None and key in self.spoiled:
                return [], [key]
            if payload is None:
                payload = self.fresh.get(key) or self.store.get(key)
            if payload is None and (key in self.given_up or thread.order.early):  # type: ignore[attr-defined]  # the call is the machine's own task
                return [], [key]
            assert payload is not None, f"{self}: {thread.key} attempt {thread.attempt} starts, and its input {key} is not here"
            value = decode(payload)[0]
            self.world.oracle.input_is_right(thread.key, key, value)
            values.append(value)
        return values, []

    def _advance(self, thread: Thread, payloads: list[Payload] | None, error: TaskError | None) -> None:
        """Run the thread until it waits for something."""
        assert thread.body is not None
        if thread.interrupted:
            thread.interrupted = False
            payloads, error = None, TaskError("TaskInterrupted", f"{thread.key} was interrupted")
        while True:
            try:
                pause = thread.body.throw(error) if error is not None else thread.body.send(payloads)
            except StopIteration as stop:
                value, futures = stop.value
                payload = encode(value, thread.call.nbytes, futures, local=self.world.one_process)
                if self.plan.nthreads == 1:
                    self.fresh[thread.key] = payload
                self._ended(thread, (ev.Executed, thread.key, thread.attempt, payload, futures))
                return
            except TaskError as raised:
                failure = Failure(raised.kind, raised.text, b"pickled", "", thread.key)
                self._ended(thread, (ev.Failed, thread.key, thread.attempt, failure))
                return
            except TaskRescheduled:
                self._ended(thread, (ev.NotRun, thread.key, thread.attempt, []))
                return
            payloads = error = None
            if type(pause) is Work:
                self.after(pause.seconds, self._advance, thread, None, None)
                return
            if type(pause) is Block:
                thread.seceded = True
                self._leave_slot(thread)
            elif type(pause) is Unblock:
                thread.seceded = False
                if pause.wait and self.busy >= self.plan.nthreads:
                    self.rejoining.append(thread)
                    return
                self._take_slot(thread)
            elif type(pause) is Acting:
                if not thread.seceded:
                    self._leave_slot(thread)
                perform(pause.client, pause.act, partial(self.after, 0.0, self._results, thread, None, None))
                return
            else:
                assert type(pause) is Results
                if not all(future.at_hand for future in pause.futures) and not thread.seceded:
                    self._leave_slot(thread)
                pause.futures[0].client.gather(pause.futures, partial(self.after, 0.0, self._results, thread))
                return

    def _results(self, thread: Thread, payloads: list[Payload] | None, error: TaskError | None) -> None:
        if thread.blocked and not thread.seceded:
            self._take_slot(thread)
        self._advance(thread, payloads, error)

    def _retake(self, thread: Thread) -> None:
        self._take_slot(thread)
        self.after(0.0, self._advance, thread, None, None)

    def _leave_slot(self, thread: Thread) -> None:
        self.busy -= 1
        thread.blocked = True
        self._say((ev.Blocked, thread.key, thread.attempt))
        self.after(0.0, self._start_some)

    def _take_slot(self, thread: Thread) -> None:
        self.busy += 1
        thread.blocked = False
        self._say((ev.Unblocked, thread.key, thread.attempt))

    def _ended(self, thread: Thread, row: Row) -> None:
        if not thread.blocked:
            self.busy -= 1
        del self.threads[thread.key, thread.attempt]
        self._say((*row, self.clock.now - thread.started_at))
        self.after(0.0, self._start_some)

    # --- from the threads to the machine

    def _say(self, row: Row | Callable[[], None]) -> None:
        self.outcomes.append(row)
        if len(self.outcomes) == 1:
            self.after(self.world.lag_s(), self._flush)

    def _flush(self) -> None:
        if self.task_client is not None:
            self.task_client.hand_over()  # what a task submitted comes before its result, which may contain those futures
        rows, self.outcomes = self.outcomes, []
        start = 0
        while start < len(rows):
            row = rows[start]
            end = start + 1
            if not isinstance(row, tuple):
                row()
            elif row[0] is ev.Executed or row[0] is ev.Failed or row[0] is ev.NotRun:
                while end < len(rows) and isinstance(rows[end], tuple) and rows[end][0] is row[0]:  # type: ignore[index]  # a tuple, as was just asked
                    end += 1
                self.post(self._batch(rows[start:end]))  # type: ignore[arg-type]  # tuples only
                for row in rows[start:end]:
                    self.fresh.pop(row[1], None)  # type: ignore[index]  # as above
            else:
                self.post(row[0](*row[1:]))
            start = end

    def _batch(self, rows: list[Row]) -> Any:
        keys = [row[1] for row in rows]
        attempts = [row[2] for row in rows]
        kind = rows[0][0]
        durations = [row[-1] for row in rows]
        if kind is ev.Failed:
            return ev.Failed(keys, attempts, [row[3] for row in rows], durations)
        if kind is ev.NotRun:
            return ev.NotRun(keys, attempts, [row[3] for row in rows])
        nbytes = [payload_nbytes(row[3]) for row in rows]
        holds = {row[1]: list(row[4]) for row in rows if row[4]}
        return ev.Executed(keys, attempts, [row[3] for row in rows], ["int"] * len(rows), nbytes, durations, holds)

    # --- data

    def on_store(self, effect: ev.Store) -> None:
        for key, payload in zip(effect.keys, effect.payloads, strict=True):
            self.store[key] = payload
            self.spoiled.discard(key)

    def on_drop(self, effect: ev.Drop) -> None:
        for key in effect.keys:
            assert key in self.store, f"{self}: told to drop {key}, which is not in its store"
            del self.store[key]
            if key in self.spoiled:
                self.spoiled.discard(key)
                self.given_up.add(key)

    def spoil(self) -> None:
        """Half of the results that this worker has written to its disk cannot be read any more."""
        program, oracle = self.world.program, self.world.oracle
        written = [key for key in self.store if key in program.calls and not oracle.is_actor(key)]
        self.spoiled.update(key for key in written if self.world.rng.random() < 0.5)

    def on_fetch(self, effect: ev.Fetch) -> None:
        self.world.fetch(self, effect.address, effect.keys, partial(self._fetched, effect.request))

    def _fetched(self, request: int, found: dict[Key, Payload] | None, reason: str) -> None:
        if found is None:
            self.post(ev.FetchFailed(request, reason))
        else:
            self.post(ev.Fetched(request, list(found), list(found.values())))

    def serve(self, keys: list[Key]) -> dict[Key, Payload]:
        """The data server's answer."""
        return {key: self.store[key] for key in keys if key in self.store and key not in self.spoiled}

    def put(self, client: ClientId, keys: list[Key], payloads: list[Payload], answer: Callable[[Failure | None], None]) -> None:
        """The data server is given scattered data."""
        token = len(self.puts) + 1
        self.puts[token] = answer
        self.world.oracle.data_at(keys, self)
        self.post(ev.DataPut(token, client, keys, payloads, ["int"] * len(keys)))

    def on_answer_put(self, effect: ev.AnswerPut) -> None:
        self.puts[effect.token](effect.failure)

    # --- the client of its tasks

    def _open_client(self) -> SimClient:
        client = self.task_client
        if client is None:
            self.task_clients_made += 1
            client = SimClient(self.world, ClientId(f"task-client-{self.machine.pid}-{self.task_clients_made}"), worker=self)
            self.task_client = client
            client.connect()  # without a link to the scheduler it is cut at once
        return client

    def from_client(self, client: ClientId, message: Message) -> None:
        """The task client speaks on the worker's stream."""
        self.post(ev.FromClient(client, message))

    def behind_outcomes(self, fn: Callable[[], None]) -> None:
        """Do this once what the threads have said so far has reached the machine."""
        self.after(0.0, self._say, fn)

    def on_to_client(self, effect: ev.ToClient) -> None:
        client = self.task_client
        assert client is not None, f"{self}: a word for {effect.client}, and there is no client"
        assert client.client_id == effect.client, f"{self}: a word for {effect.client}, which is not here any more"
        client.post(Received(ev.SCHEDULER, effect.message))

    def on_cut_client(self, effect: ev.CutClient) -> None:
        client = self.task_client
        if client is not None and client.client_id == effect.client:  # else: what it said was under way when it was cut
            self.task_client = None
            client.cut(effect.reason)
