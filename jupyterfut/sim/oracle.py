"""What must come true: values computed in plain Python from the same program, and the errors that may stand in their place.

The oracle hears what users do, what the fates do (deaths, losses) and what the clients' machines say, and objects at once, with an `AssertionError`,
when a future

- gets a value that plain Python does not give, or a value where the program can only fail;
- fails although neither its own call nor one below it failed often enough, nor died often enough, nor lost its data, nor was cancelled;
- is cancelled or lost without anyone's doing;
- resolves twice without an announced `KeysPending` (or a user's retry) between.

It looks at the world from outside: it never asks a machine's state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from jupyterfut.core.client.state import Record
from jupyterfut.ids import ClientId, Key, PeerId
from jupyterfut.sim.execution import failure_text
from jupyterfut.sim.values import SMALL, decode, mix
from jupyterfut.sim.workload import ALWAYS
from jupyterfut.wire import messages as m

if TYPE_CHECKING:
    from jupyterfut.sim.clients import SimClient
    from jupyterfut.sim.workers import SimWorker
    from jupyterfut.sim.world import World


class Oracle:
    """The judge of one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.program = world.program
        self.runs: Counter[Key] = Counter()  # how often a call was started, anywhere
        self.failed_runs: Counter[Key] = Counter()
        self.deaths: Counter[Key] = Counter()  # workers that the scheduler lost while the key was sent to them
        self.attempts: Counter[Key] = Counter()  # rows of Compute
        self.cancelled_for_all: set[Key] = set()  # with `force`
        self.cancelled_by: dict[SimClient, set[Key]] = {}
        self.rows: Counter[Key] = Counter()  # how often a client, or a task, has submitted a call that it had no future of
        self.told_again: set[Key] = set()  # cancelled or retried by anybody: these and what stands on them may run more than once
        self.carried: set[Key] = set()  # keys that went through a queue or a variable
        self.cancelled_keys: set[Key] = set()  # by anybody
        self.loose: set[Key] = set()  # keys that reached a client by a road that keeps nothing alive
        self.shaken: set[Key] = set()  # scattered data whose worker had a bad time
        self.homes: dict[Key, dict[SimWorker, None]] = {}
        self.schedulers_died = 0
        self.begun_anew: set[ClientId] = set()  # clients that have not heard yet that their session is over
        self.kept_keys: dict[Key, None] = {}
        self.forgiven: set[Record] = set()  # futures of sessions that are over
        self.ended_clients: set[SimClient] = set()
        self.resolved_records: dict[Record, str] = {}
        self.resolutions = 0
        self.hurries = False  # whether somebody has emptied a worker with a deadline: then tasks that run may run again elsewhere
        self.retired: set[PeerId] = set()  # workers that were sent away in order, after all that only they held was copied
        self.actors: dict[Key, PeerId] = {}  # actors that live, and where
        self._sent: dict[PeerId, dict[Key, int]] = {}  # scheduler's peer -> key -> attempt: sent and not answered
        self._values: dict[Key, int | None] = {}
        self._closures: dict[Key, frozenset[Key]] = {}

    # --- plain Python

    def value(self, key: Key) -> int | None:
        """What the call gives, or None when it, or something it needs, always fails."""
        values = self._values
        if key in values:
            return values[key]
        data = self.program.data.get(key)
        if data is not None:
            values[key] = data.const
            return data.const
        call = self.program.calls[key]
        inputs: list[int] = []
        result: int | None = None
        if call.flakes != ALWAYS:
            needed = call.dependencies + call.held + (call.children if call.body == "spawn" else ())
            if call.body == "futures":
                needed = call.dependencies
            for other in needed:
                value = self.value(other)
                if value is None:
                    break
                inputs.append(value)
            else:
                result = mix(call.function, call.const, inputs)
        values[key] = result
        return result

    def closure(self, key: Key) -> frozenset[Key]:
        """The key and all that it can be harmed by."""
        closure = self._closures.get(key)
        if closure is None:
            found = {key}
            for other in self.program.inputs(key):
                found |= self.closure(other)
            closure = self._closures[key] = frozenset(found)
        return closure

    def is_actor(self, key: Key) -> bool:
        """Whether the call makes an actor."""
        call = self.program.calls.get(key)
        return call is not None and call.options.actor

    # --- what the fates and the users do

    def run_starts(self, key: Key) -> int:
        """A thread starts this call; how often one did."""
        self.runs[key] += 1
        return self.runs[key]

    def run_fails(self, key: Key) -> None:
        self.failed_runs[key] += 1

    def cancelled(self, client: SimClient, keys: Iterable[Key], force: bool) -> None:
        """A user cancels."""
        (self.cancelled_for_all if force else self.cancelled_by.setdefault(client, set())).update(keys)
        self.told_again.update(keys)
        self.cancelled_keys.update(keys)

    def restarted(self) -> None:
        """A user restarts the cluster: whatever anybody waits for may end cancelled, and whatever is wanted again runs again."""
        everything = (*self.program.calls, *self.program.data)
        self.cancelled_for_all.update(everything)
        self.told_again.update(everything)
        self.cancelled_keys.update(everything)

    def _may_be_cancelled(self, client: SimClient, closure: frozenset[Key]) -> bool:
        mine: set[Key] = self.cancelled_by.get(client, set())
        return not closure.isdisjoint(self.cancelled_for_all) or not closure.isdisjoint(mine)

    def retried(self, keys: Iterable[Key]) -> None:
        """A user says `retry`."""
        for key in keys:
            self.told_again |= self.closure(key)

    def submitted(self, key: Key) -> None:
        """A row leaves a client."""
        self.rows[key] += 1

    def scheduler_dies(self) -> None:
        """All that was known is gone: sessions, scattered data."""
        self.schedulers_died += 1
        self.shaken.update(self.program.data)
        self.shaken.update(key for key in self.program.calls if self.is_actor(key))
        self.actors.clear()
        self._sent.clear()
        self.kept_keys.clear()

    def session_over(self, client: ClientId, *, known: bool) -> None:
        """The scheduler begins anew with a client that wanted to go on: only right when it was away for longer than its lease. If it was told so and
        did not hear it, it may be told again, although it is `known` by then."""
        if not self.schedulers_died and client not in self.begun_anew:
            away_s = self.world.now() - self.world.scheduler.last_lost.get(client, float("inf"))
            assert not known, f"{client} is known, and was not let in"
            assert away_s >= self.world.config.client_lease_s, f"{client} was forgotten {away_s:.3f} s after its link was seen to break"
        self.begun_anew.add(client)

    def forgive(self, client: SimClient) -> None:
        """A client hears that its session is over: its futures may end."""
        self.begun_anew.discard(client.client_id)
        self.forgiven.update(client.machine.state.records.values())

    def client_ends(self, client: SimClient) -> None:
        """A client is closed, or its session is over: its futures may end as they like."""
        self.ended_clients.add(client)

    def data_at(self, keys: Iterable[Key], worker: SimWorker) -> None:
        """A worker was given scattered data."""
        for key in keys:
            self.homes.setdefault(key, {})[worker] = None

    # --- what crosses the scheduler's links

    def scheduler_says(self, peer: PeerId, message: m.Message) -> None:
        """A message leaves the scheduler."""
        if type(message) is m.Compute:
            sent = self._sent.setdefault(peer, {})
            for key, attempt in zip(message.keys, message.attempts, strict=True):
                sent[key] = attempt
                self.attempts[key] += 1
                assert key not in self.actors, f"the actor {key} lives, and is made again"
            moved = [key for key in message.where if self.is_actor(key)]
            assert not moved, f"the actors {moved} are to be fetched"
        elif type(message) is m.ReleaseData:
            for key in message.keys:
                if self.actors.get(key) == peer:
                    del self.actors[key]
        elif type(message) is m.Goodbye:
            self.retired.add(peer)
        elif self.hurries and type(message) is m.CancelTasks:
            self.told_again.update(message.keys)

    def scheduler_hears(self, peer: PeerId, message: m.Message) -> None:
        """A message reaches the scheduler."""
        kind = type(message)
        if kind is m.TasksDone or kind is m.TasksFailed or kind is m.TasksReturned:
            sent = self._sent.get(peer)
            if sent:
                for key, attempt in zip(message[0], message[1], strict=True):
                    if sent.get(key) == attempt:
                        del sent[key]
                        if kind is m.TasksDone and self.is_actor(key):
                            self.actors[key] = peer
                            self.homes[key] = {self.world.scheduler.workers[peer][1]: None}
        elif kind is m.ReplicasAdded:
            for key in message[0]:
                if key in self.program.data and peer in self.world.scheduler.workers:
                    self.homes.setdefault(key, {})[self.world.scheduler.workers[peer][1]] = None
        elif kind is m.FireAndForget:
            self.kept_keys.update(dict.fromkeys(message[0]))

    def scheduler_loses(self, peer: PeerId, worker: SimWorker) -> None:
        """The scheduler's stream to a worker ends: what only that worker holds may be lost."""
        sent = self._sent.pop(peer, {})
        for key in [key for key, home in self.actors.items() if home == peer]:
            del self.actors[key]
            self.shaken.add(key)
        if peer in self.retired:
            self.retired.discard(peer)
            self.told_again.update(sent)  # their time was over: they run again
            for homes in self.homes.values():
                homes.pop(worker, None)
            return
        self.deaths.update(sent.keys())
        self.shaken.update(key for key, homes in self.homes.items() if worker in homes)

    # --- what the clients' machines say

    def resolved(self, client: SimClient, record: Record) -> None:
        """A record has its final status."""
        self.resolutions += 1
        before = self.resolved_records.get(record)
        status = record.status
        if client.left and before == "cancelled" == status:
            return  # ended with its session, and refused when its call was handed over afterwards
        assert status != "pending", f"{client}: {record} resolved and is pending"
        if before is not None:
            ending = (before, status) in (("finished", "cancelled"), ("error", "cancelled"), ("lost", "cancelled"), ("finished", "lost"))
            assert ending, f"{client}: {record.key} resolved twice: {before}, then {status}"
        self.resolved_records[record] = status
        if client in self.ended_clients or client.left or record in self.forgiven:
            return
        key = record.key
        if status == "finished":
            assert key in self.program.data or self.value(key) is not None, f"{client}: {key} finished; in plain Python it fails"
            if record.payload is not None:
                value, inner = decode(record.payload)
                self.value_is_right(client, key, value, inner)
            nbytes = self._nbytes(key)
            assert record.nbytes == nbytes or nbytes <= SMALL, f"{client}: {key} has {record.nbytes} bytes, not {nbytes}"
        elif status == "error":
            assert record.failure is not None
            self._error_is_right(client, key, record.failure)
        elif status == "cancelled":
            right = self._may_be_cancelled(client, self.closure(key))
            assert right, f"{client}: {key} is cancelled ({record.reason}); nobody cancelled it or an input"
        elif client.worker is None:  # a task may run on when its own key is wanted no more; what it then hears is between it and nobody
            lost = self.closure(key) & (self.shaken | self.loose | (self.cancelled_keys if key in self.carried else set()))
            assert lost, f"{client}: {key} is lost ({record.reason}); nothing that it stands on was"
            assert record.reason, f"{client}: {key} is lost, and nobody says why"

    def reopened(self, client: SimClient, record: Record) -> None:
        """A record is pending again."""
        assert record in self.resolved_records, f"{client}: {record} was reopened and had not resolved"
        del self.resolved_records[record]
        call = self.program.calls.get(record.key)
        if call is not None and call.body == "futures":  # a user may still open the old result, and want futures that went with it
            self.shaken.update(call.children)

    def _nbytes(self, key: Key) -> int:
        data = self.program.data.get(key)
        return data.nbytes if data is not None else self.program.calls[key].nbytes

    def value_is_right(self, client: SimClient, key: Key, value: int, inner: tuple[Key, ...]) -> None:
        """A client has read a value."""
        expected = self.value(key)
        assert value == expected, f"{client}: {key} is {value}; plain Python gives {expected}"
        call = self.program.calls.get(key)
        wanted = call.children if call is not None and call.body == "futures" else ()
        assert inner == wanted, f"{client}: {key} holds futures {inner}, not {wanted}"

    def input_is_right(self, key: Key, dependency: Key, value: int) -> None:
        """A thread has got an input."""
        expected = self.value(dependency)
        assert value == expected, f"{key} was given {value} for {dependency}; plain Python gives {expected}"

    def _error_is_right(self, client: SimClient, key: Key, failure: m.Failure) -> None:
        closure = self.closure(key)
        where = f"{client}: {key} failed with {failure.kind}({failure.text!r}) of {failure.key}"
        assert failure.key in closure, f"{where}, which it does not stand on"
        if failure.kind == "SimError":
            roots = [other for other in closure if failure.text == failure_text(other)]
            assert roots, f"{where}: nobody says that"
            root = roots[0]
            failed, retries = self.failed_runs[root], self.program.calls[root].options.retries
            assert failed > retries, f"{where}: {root} failed {failed} times and has {retries} retries"
        elif failure.kind == "KilledWorker":
            limit = self.world.config.allowed_failures
            assert any(self.deaths[other] > limit for other in closure), f"{where}: too few workers died"
            assert any(other in failure.text for other in closure), f"{where}: it names no task"
        elif failure.kind == "CancelledError":
            assert closure & self.loose or self._may_be_cancelled(client, closure), f"{where}: nobody cancelled"
        elif failure.kind in ("LostData", "NoSuchKey", "ActorLost"):
            calls = self.program.calls
            carried = {held for other in closure if other in calls for held in calls[other].held}  # futures in arguments: cancelled, they arrive lost
            assert closure & (self.shaken | self.loose | (carried & self.cancelled_keys)), f"{where}: nothing was lost"
            if failure.payload is None:  # else a task has asked for it itself
                assert (failure.kind == "ActorLost") == self.is_actor(failure.key), f"{where}: that is not what was lost"
            assert "worker" in failure.text or failure.kind != "ActorLost", f"{where}: it does not say why"
        else:
            raise AssertionError(f"{where}: no such error is in the program")

    # --- at the end

    def check_actors(self) -> None:
        """Whoever has a future of an actor that is gone has heard of it."""
        for client in self.world.clients:
            if client.alive and not client.left and client.road.open:
                for record in client.machine.state.records.values():
                    gone = self.is_actor(record.key) and record.status == "finished" and record.key not in self.actors
                    assert not gone, f"{client} believes that {record.key} lives"

    def check_kept(self) -> None:
        """What was fired and forgotten has run to its end (or could not)."""
        for key in self.kept_keys:
            closure = self.closure(key)
            if closure & (self.told_again | self.shaken | self.loose) or any(self.failed_runs[k] or self.deaths[k] for k in closure):
                continue
            assert self.runs[key], f"{key} was fired and forgotten, and never ran"

    def check_runs(self) -> None:
        """Without faults, a call runs once for each time that it was submitted anew, and no more."""
        for key, runs in self.runs.items():
            call = self.program.calls[key]
            if self.told_again.isdisjoint(self.closure(key)) and self.loose.isdisjoint(self.closure(key)):
                allowed = max(self.rows[key], 1) * (1 + call.options.retries + call.reschedules)
                assert runs <= allowed, f"{key} ran {runs} times and was submitted {self.rows[key]} times"
