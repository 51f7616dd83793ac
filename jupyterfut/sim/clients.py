"""A simulated client process and its user; the client inside a worker's tasks is the same with another road to the scheduler.

`SimClient` does what the real client's shell does: it makes records before the events that name them, queues the user's calls and the deaths of
futures and hands both over in batches, fetches large results from workers, scatters data. A `SimFuture` is one reference to a record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from jupyterfut.core.client import events as ev
from jupyterfut.core.client.invariants import check
from jupyterfut.core.client.machine import ClientMachine
from jupyterfut.core.client.state import Record
from jupyterfut.core.effects import Close, LinkLost, Log, Send
from jupyterfut.ids import ClientId, Key
from jupyterfut.sim.execution import TaskError
from jupyterfut.sim.nodes import Node
from jupyterfut.sim.scattering import Scatter
from jupyterfut.sim.values import decode, function_id
from jupyterfut.sim.viewing import Viewing
from jupyterfut.wire.messages import Failure
from jupyterfut.wire.payload import Payload

if TYPE_CHECKING:
    from jupyterfut.sim.workers import SimWorker
    from jupyterfut.sim.world import World

Outcome: TypeAlias = Callable[[Payload | None, TaskError | None], None]

FETCH_TRIES = 200
"""So often a large result is looked for before the simulator says that it is nowhere."""


class SimFuture:
    """One of the user's references to a record."""

    __slots__ = ("client", "dropped", "record")

    def __init__(self, client: SimClient, record: Record) -> None:
        self.client = client
        self.record = record
        self.dropped = False

    @property
    def key(self) -> Key:
        return self.record.key

    @property
    def status(self) -> str:
        return self.record.status

    @property
    def done(self) -> bool:
        """Whether it has a final status."""
        return self.record.status != "pending"

    @property
    def at_hand(self) -> bool:
        """Whether `result()` can answer at once: a large result has to be fetched first, which may take as long as anything."""
        return self.record.status != "pending" and (self.record.status != "finished" or self.record.payload is not None)

    @property
    def value(self) -> int:
        """The small result of a finished task."""
        assert self.record.payload is not None, self
        return decode(self.record.payload)[0]

    def __repr__(self) -> str:
        return f"<SimFuture {self.record} of {self.client.client_id}>"


class SimClient(Node):
    """One client. `worker` is set for the client of a worker's tasks."""

    check = staticmethod(check)

    def __init__(self, world: World, client_id: ClientId, worker: SimWorker | None = None) -> None:
        super().__init__(world, str(client_id))
        self.client_id = client_id
        self.worker = worker
        if worker is not None:
            self.offset_s = worker.offset_s
        self.machine = ClientMachine(client_id, str(client_id))
        self.road: Any = None  # how messages leave; set by `world` for a client with a link of its own
        self.futures: dict[Key, list[SimFuture]] = {}
        self.functions: dict[str, None] = {}
        self.calls: list[Any] = []  # events that the user has caused and the machine has not seen
        self.deaths: list[Record] = []
        self.flushing = False
        self.viewing = Viewing()
        self.welcomes = 0
        self.open_gathers = 0
        self.left = False
        self.performers = {
            Send: self.on_send, Close: self.on_close, Log: self.on_log, ev.Welcomed: self.on_welcomed, ev.Resolved: self.on_resolved,
            ev.Reopened: self.on_reopened, ev.Answered: self.on_answered, ev.Noticed: self.on_noticed,
        }  # fmt: skip

    # --- the road to the scheduler

    def connect(self) -> None:
        """A stream stands."""
        self.post(ev.Connected())

    def on_send(self, effect: Send) -> None:
        if self.worker is not None:
            self.worker.from_client(self.client_id, effect.message)
        else:
            self.road.send(effect.message)

    def on_close(self, effect: Close) -> None:
        if self.road is not None:
            self.road.close()

    def on_welcomed(self, effect: ev.Welcomed) -> None:
        self.welcomes += 1

    def cut(self, reason: str) -> None:
        """The client of a worker's tasks: the worker's stream is gone, and this client with it."""
        if not self.left:
            self.left = True
            self.world.oracle.client_ends(self)
            self.post(LinkLost(self.machine_peer, reason))
            self.post(ev.Left(reason))

    @property
    def machine_peer(self) -> Any:
        """The only peer of a client's machine."""
        return 0

    # --- from the user to the machine

    def _queue(self, event: Any) -> None:
        self.calls.append(event)
        self._wake()

    def _wake(self) -> None:
        if not self.flushing:
            self.flushing = True
            self.after(self.world.lag_s(), self._flush)

    def hand_over(self) -> None:
        """Give the machine what the user has done so far, without the deaths of futures."""
        calls, self.calls = self.calls, []
        for event in calls:
            self.post(event)

    def _flush(self) -> None:
        self.flushing = False
        calls, self.calls = self.calls, []
        deaths, self.deaths = self.deaths, []
        for event in calls:
            self.post(event)
        if deaths:
            self.post(ev.Drop(deaths))

    def _take(self, record: Record) -> SimFuture:
        future = SimFuture(self, record)
        self.futures.setdefault(record.key, []).append(future)
        return future

    def live(self, key: Key) -> bool:
        """Whether the user holds a future of `key` that she can build on."""
        record = self.machine.state.records.get(key)
        if record is None or record.references <= 0 or key not in self.futures:
            return False
        return record.status != "pending" or key not in self.world.program.data  # `scatter` returns when the data is stored

    # --- what the user does

    def submit_keys(self, keys: Iterable[Key]) -> list[SimFuture]:
        """Submit these calls of the program, in this order; those whose inputs she has no future of (any more) are left out."""
        futures: list[SimFuture] = []
        rows: list[ev.Row] = []
        defined: list[Any] = []
        if self.left:
            return self._refused(keys)
        for key in keys:
            call = self.world.program.calls.get(key)
            if call is None or not all(self.live(needed) for needed in (*call.dependencies, *call.held)):
                continue
            record, new = self.machine.state.hold(key)
            futures.append(self._take(record))
            if not new:
                continue
            self.world.oracle.submitted(key)
            if call.function not in self.functions:
                self.functions[call.function] = None
                defined.append(ev.DefineFunction(function_id(call.function), call.function.encode(), call.function))
            rows.append((record, function_id(call.function), key.encode(), list(call.dependencies) or None, list(call.held) or None, call.options))
        for event in defined:
            self._queue(event)
        if rows:
            if len(rows) > 1 and self.world.rng.random() < 0.3:
                self._submit_columns(rows)
            else:
                self._queue(ev.Submit(rows))
        return futures

    def _submit_columns(self, rows: list[ev.Row]) -> None:
        """As `map` does it: calls of one function as one event."""
        start = 0
        while start < len(rows):
            end = start + 1
            while end < len(rows) and rows[end][1] == rows[start][1] and rows[end][5] == rows[start][5]:
                end += 1
            part = rows[start:end]
            dependencies = [row[3] or [] for row in part]
            holds = [row[4] or [] for row in part]
            self._queue(
                ev.SubmitColumns(
                    part[0][1], [row[0] for row in part], [row[2] for row in part],
                    dependencies if any(dependencies) else [], holds if any(holds) else [], part[0][5],
                )
            )  # fmt: skip
            start = end

    def _refused(self, keys: Iterable[Key]) -> list[SimFuture]:
        """Calls of a task whose worker has lost its scheduler: futures that are cancelled at once."""
        futures = []
        for key in keys:
            record = Record(key)
            record.status = "cancelled"
            record.reason = "the client is closed"
            futures.append(SimFuture(self, record))
        return futures

    def want(self, keys: Iterable[Key]) -> list[SimFuture]:
        """Futures of these keys have come here by another road."""
        futures = []
        new_records = []
        if self.left:
            return self._refused(keys)
        for key in keys:
            record, new = self.machine.state.hold(key)
            futures.append(self._take(record))
            if new:
                new_records.append(record)
        if new_records:
            self._queue(ev.Want(new_records))
        return futures

    def scatter(self, keys: Sequence[Key], *, broadcast: bool = False, deadline_s: float | None = None) -> list[SimFuture]:
        """Bring this data of the program to the cluster (see `scattering`)."""
        if self.left:
            return self._refused(keys)
        futures = []
        call = []
        for key in keys:
            record, _ = self.machine.state.hold(key)
            futures.append(self._take(record))
            record.references += 1  # `scatter` itself has not returned
            call.append(SimFuture(self, record))
        Scatter(self, call, broadcast=broadcast, deadline_s=deadline_s).start()
        return futures

    def ask(self, op: str, args: dict[str, Any], answer: Callable[[Any, Failure | None], object]) -> None:
        """Ask the scheduler; `answer(value, failure)` is called once."""
        self._queue(ev.Ask(answer, op, args))

    def abandon(self, asker: object) -> None:
        """The user does not wait for this answer any more."""
        self._queue(ev.Abandon(asker))

    def bury(self, records: list[Record]) -> None:
        """References that are no futures of the user's die."""
        if not self.left:
            self.deaths += records
            self._wake()

    def release(self, keys: Iterable[Key]) -> None:
        """All her futures of these keys die."""
        for key in keys:
            self.release_futures(list(self.futures.get(key, ())))

    def release_futures(self, futures: list[SimFuture]) -> None:
        """These futures die."""
        for future in futures:
            if future.dropped:
                continue
            future.dropped = True
            mine = self.futures.get(future.key)
            if mine is None or future not in mine:
                continue
            mine.remove(future)
            if not mine:
                del self.futures[future.key]
            self.deaths.append(future.record)
            self._wake()

    def release_later(self, futures: list[SimFuture]) -> None:
        """In a task: the futures die as the call returns, after its result was pickled."""
        assert self.worker is not None
        self.worker.behind_outcomes(partial(self.release_futures, futures))

    def cancel(self, keys: Iterable[Key], *, force: bool = False) -> None:
        """`client.cancel(futures, force=force)`."""
        records = [self.futures[key][0].record for key in keys if key in self.futures]
        if records:
            self.world.oracle.cancelled(self, [record.key for record in records], force)
            self._queue(ev.Cancel(records, force, "cancelled by the user"))

    def retry(self, keys: Iterable[Key]) -> None:
        """`client.retry(futures)`."""
        records = [self.futures[key][0].record for key in keys if key in self.futures]
        if records:
            self.world.oracle.retried([record.key for record in records])
            self._queue(ev.Retry(records))

    def keep(self, keys: Iterable[Key]) -> None:
        """`fire_and_forget`."""
        records = [self.futures[key][0].record for key in keys if key in self.futures]
        if records:
            self._queue(ev.Keep(records))

    def forget_functions(self) -> None:
        """The user's function objects die."""
        for name in self.functions:
            self._queue(ev.DropFunction(function_id(name)))
        self.functions.clear()

    def leave(self) -> None:
        """`client.close()`."""
        if self.left:
            return
        self.left = True
        self.world.oracle.client_ends(self)
        self.calls.append(ev.Left("the client was closed"))
        self._flush()
        self.futures.clear()

    # --- results

    def gather(self, futures: Sequence[SimFuture], done: Callable[[list[Payload] | None, TaskError | None], None]) -> None:
        """Call `done(payloads, None)` when all results are here, or `done(None, error)` with the first error in order."""
        payloads: dict[int, Payload] = {}
        errors: dict[int, TaskError] = {}

        def one(index: int, payload: Payload | None, error: TaskError | None) -> None:
            if error is not None:
                errors[index] = error
            else:
                assert payload is not None
                payloads[index] = payload
            if len(payloads) + len(errors) == len(futures):
                if errors:
                    done(None, errors[min(errors)])
                else:
                    done([payloads[i] for i in range(len(futures))], None)

        for index, future in enumerate(futures):
            self.result(future, partial(one, index))

    def result(self, future: SimFuture, done: Outcome, tries: int = FETCH_TRIES) -> None:
        """Call `done(payload, None)` or `done(None, error)` when the future has a result or an error."""
        record = future.record
        status = record.status
        if status == "pending":
            if record.waiters is None:
                record.waiters = []
            record.waiters.append(partial(self.result, future, done, tries))
        elif status == "finished":
            if record.payload is not None:
                done(record.payload, None)
            elif tries == 0:
                raise AssertionError(f"{self}: the result of {record.key} is nowhere")
            else:
                self.ask("locate", {"keys": [record.key]}, partial(self._located, future, done, tries - 1))
        else:
            done(None, error_of(record))

    def _located(self, future: SimFuture, done: Outcome, tries: int, value: Any, failure: Failure | None) -> None:
        addresses = (value or {}).get(future.key) or ()
        if future.record.status != "finished" or future.record.payload is not None:
            self.result(future, done, tries)
        elif failure is not None or not addresses:
            self.after(0.5, self.result, future, done, tries)
        else:
            address = self.world.rng.choice(list(addresses))
            self.world.fetch(self, address, [future.key], partial(self._got, future, done, tries, address))

    def _got(self, future: SimFuture, done: Outcome, tries: int, address: str, found: dict[Key, Payload] | None, reason: str) -> None:
        if found and future.key in found:
            done(found[future.key], None)
        else:
            self.ask("missing", {"keys": [[future.key, address]]}, lambda value, failure: self.after(0.2, self.result, future, done, tries))

    def read(self, keys: Iterable[Key]) -> None:
        """`client.gather`, and a look at every value; futures inside results are taken up."""
        for key in keys:
            if key in self.futures and not self.left:
                record = self.futures[key][0].record
                record.references += 1  # the gather's own reference
                self.open_gathers += 1
                future = SimFuture(self, record)
                self.result(future, partial(self._read, future))

    def _read(self, future: SimFuture, payload: Payload | None, error: TaskError | None) -> None:
        self.open_gathers -= 1
        if payload is not None:
            value, inner = decode(payload)
            self.world.oracle.value_is_right(self, future.key, value, inner)
            self.want(inner)
        self.bury([future.record])

    def on_answered(self, effect: ev.Answered) -> None:
        self.after(0.0, effect.asker, effect.value, effect.failure)

    def on_noticed(self, effect: ev.Noticed) -> None:
        self.viewing.told(effect.topics, effect.values)

    # --- what the machine says about records

    def on_resolved(self, effect: ev.Resolved) -> None:
        oracle = self.world.oracle
        for record in effect.records:
            oracle.resolved(self, record)
            waiters, record.waiters = record.waiters, None
            for waiter in waiters or ():
                self.after(0.0, waiter)

    def on_reopened(self, effect: ev.Reopened) -> None:
        for record in effect.records:
            self.world.oracle.reopened(self, record)


def error_of(record: Record) -> TaskError:
    """What `result()` raises."""
    if record.status == "error":
        assert record.failure is not None
        return TaskError(record.failure.kind, record.failure.text)
    return TaskError("CancelledError" if record.status == "cancelled" else "LostData", f"{record.key}: {record.reason}")
