"""How acts are performed: as the user's half of coordination does it, with the ledger looking on.

A `Performance` is one act of one client, or of one task through the client of its worker. What is acquired is held for a while and given back; what
was waited for too long is interrupted, and if the answer was on its way already, what it brought is put back. The `Usher` comes when the faults are
over and sees to it that those who would wait for ever are let go: it empties queues, feeds who still gets, sets what is waited for; and it tidies up
in the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jupyterfut.core.client.events import Delivered
from jupyterfut.ids import Key
from jupyterfut.sim.acts import LEASES, MAXSIZES
from jupyterfut.sim.clients import SimClient, SimFuture
from jupyterfut.sim.ledger import Grant
from jupyterfut.sim.values import decode, encode
from jupyterfut.sim.workload import Act
from jupyterfut.wire.messages import Failure

if TYPE_CHECKING:
    from jupyterfut.sim.world import World

EVERY_S = 2.0
"""How often the usher makes his round."""


class Performance:
    """One act, from its beginning; `done()` is called at its end."""

    def __init__(self, client: SimClient, act: Act, done: Callable[[], object] | None = None) -> None:
        self.client = client
        self.act = act
        self.done = done
        self.world = client.world
        self.ledger = client.world.ledger
        self.number = self.ledger.begin(client, act)
        self.asked_at = self.world.now()
        self.interrupted = False
        self.answered = False

    def start(self) -> None:
        """Ask."""
        getattr(self, f"_{self.act.kind}")()

    def _end(self, value: Any = None, failure: Failure | None = None) -> None:
        self.ledger.end(self.number)
        if self.done is not None:
            self.done()

    def _ask(self, op: str, then: Callable[[Any], object], refused: Callable[[Failure], object] | None = None, **args: Any) -> None:
        """Ask the scheduler: `then(value)`, or `refused(failure)` and the act is over. The user may lose patience meanwhile."""

        def answer(value: Any, failure: Failure | None) -> None:
            self.answered = True
            if failure is None:
                then(value)
                return
            self.ledger.fails(self.client, self.act, failure, self.world.now() - self.asked_at, self.interrupted)
            if refused is not None:
                refused(failure)
            self._end()

        self.client.ask(op, {"name": self.act.name, **args}, answer)
        if self.act.patience_s is not None:
            self.client.after(self.act.patience_s, self._interrupt, answer)

    def _interrupt(self, asker: object) -> None:
        if not self.answered:
            self.interrupted = True
            self.client.abandon(asker)

    # --- values

    def _value(self, then: Callable[[bytes, list[Key], Any], None]) -> None:
        """Make a value with futures inside, which the user lets go once it is on its way."""
        futures = [future for future in self.client.submit_keys(self.act.keys) if future.status not in ("cancelled", "lost")]
        keys = list(dict.fromkeys(future.key for future in futures))
        self.world.oracle.carried.update(keys)
        item = self.ledger.made(self.client, self.act.name)
        then(encode(item.token, self.act.nbytes, tuple(keys), local=self.world.one_process), keys, item)  # type: ignore[arg-type]  # any payload
        if self.client.worker is None:
            self.client.release_futures(futures)
        else:
            self.client.release_later(futures)

    def _put(self) -> None:
        def ask(payload: Any, keys: list[Key], item: Any) -> None:
            def put(value: Any) -> None:
                self.ledger.arrived(item)
                self._end()

            def refused(failure: Failure) -> None:
                if failure.kind in ("TimeoutError", "CancelledError", "ValueError"):
                    self.ledger.refused(item)

            maxsize = MAXSIZES[self.act.name]
            self._ask("queue_put", put, refused, maxsize=maxsize, value=payload, holds=keys, timeout_s=self.act.timeout_s)

        self._value(ask)

    def _set(self) -> None:
        entry = self.ledger.setting(self.act.name)

        def ask(payload: Any, keys: list[Key], item: Any) -> None:
            def was_set(value: Any) -> None:
                self.ledger.arrived(item)
                entry[1] = self.world.now()
                self._end()

            self._ask("variable_set", was_set, value=payload, holds=keys)

        self._value(ask)

    def _delete(self) -> None:
        entry = self.ledger.setting(self.act.name)

        def deleted(value: Any) -> None:
            entry[1] = self.world.now()
            self._end()

        self._ask("variable_delete", deleted)

    def _get(self) -> None:
        self._ask("queue_get", self._got, timeout_s=self.act.timeout_s, batch=self.act.batch)

    def _got(self, answer: Delivered) -> None:
        act, ledger = self.act, self.ledger
        payloads = answer.value
        assert act.batch == -1 or len(payloads) == (act.batch or 1), f"{act} has got {len(payloads)}"
        contents = [decode(payload) for payload in payloads]
        items = [ledger.taken_out(self.client, act.name, token) for token, _ in contents]
        self._complete(answer, [key for _, keys in contents for key in keys])
        if not self.interrupted or not items:
            self._arrived(answer)
            return

        def back(value: Any) -> None:
            for item in items:
                ledger.is_back(item)
            self._end()

        for item in items:
            ledger.put_back(self.client, item)
        keys = [record.key for record in answer.records]
        self._ask("queue_unget", back, values=payloads, holds=keys)
        self.client.bury(answer.records)

    def _read(self) -> None:
        def read(answer: Delivered) -> None:
            token, keys = decode(answer.value)
            self.ledger.seen(self.client, self.act.name, token, self.asked_at)
            self._complete(answer, list(keys))
            self._arrived(answer)

        self._ask("variable_get", read, timeout_s=self.act.timeout_s)

    def _complete(self, answer: Delivered, keys: list[Key]) -> None:
        records = [record.key for record in answer.records]
        assert len(set(records)) == len(records), f"{records} came with {answer.value}"
        assert set(keys) <= set(records), f"{records} came with futures of {keys}"

    def _arrived(self, answer: Delivered) -> None:
        """The futures inside are here. A user looks at their results; a task must not wait for what may wait for itself."""
        client = self.client
        if client.worker is not None or not self.act.reads or not answer.records:
            client.bury(answer.records)
            self._end()
            return
        futures = [SimFuture(client, record) for record in answer.records]

        def look(payloads: Any, error: Any) -> None:
            for future, payload in zip(futures, payloads or (), strict=error is None):
                value, inner = decode(payload)
                self.world.oracle.value_is_right(client, future.key, value, inner)
            client.bury(answer.records)
            self._end()

        client.gather(futures, look)

    def _size(self) -> None:
        def known(value: int) -> None:
            assert value >= 0
            self._end()

        self._ask("queue_size", known)

    def _close_queue(self) -> None:
        self.ledger.closed.add(self.act.name)
        self._ask("queue_close", self._end)

    def _close_semaphore(self) -> None:
        self.ledger.closed.add(self.act.name)
        self._ask("semaphore_close", self._end)

    # --- what is held for a while

    def _lock(self) -> None:
        self._acquire("lock", (self.act.name,), 1, {})

    def _semaphore(self) -> None:
        self._acquire("semaphore", (self.act.name,), self.act.n, {"max_leases": LEASES[self.act.name], "n": self.act.n})

    def _multilock(self) -> None:
        names = self.act.names
        whole = self.act.n == len(names)
        self._acquire("multilock", names if whole else (), 1, {"names": list(names), "num": None if whole else self.act.n})

    def _acquire(self, what: str, names: tuple[str, ...], n: int, args: dict[str, Any]) -> None:
        holder = f"{self.client.client_id}/{self.number}"

        def had(value: bool) -> None:
            if not value:
                self.ledger.too_late(self.client, self.act, self.world.now() - self.asked_at)
                self._end()
                return
            grant = self.ledger.granted(self.client, names, n)
            self.client.after(0.0 if self.interrupted else self.act.hold_s, self._release, what, grant, holder)

        self._ask(f"{what}_acquire", had, holder=holder, timeout_s=self.act.timeout_s, **args)

    def _release(self, what: str, grant: Grant, holder: str) -> None:
        self.ledger.given_back(grant)

        def released(value: Any, failure: Failure | None) -> None:
            self.ledger.release_answered(grant, failure)
            self._end()

        self.client.ask(f"{what}_release", {"name": self.act.name, "holder": holder, "n": grant.n}, released)

    def _subscribe(self) -> None:
        topic: dict[str, Any] = {"topic": self.act.name, "address": "" if self.client.worker is None else self.client.worker.address}

        def subscribed(value: Any) -> None:
            self.client.after(self.act.hold_s, self.client.ask, "sub_remove", topic, self._end)

        self._ask("sub_add", subscribed, **topic)

    # --- events

    def _event_set(self) -> None:
        self.ledger.set_events.add(self.act.name)
        self._ask("event_set", self._end)

    def _event_clear(self) -> None:
        self._ask("event_clear", self._end)

    def _event_wait(self) -> None:
        def waited(value: bool) -> None:
            if value:
                self.ledger.check_events(self.act.name)
            else:
                self.ledger.too_late(self.client, self.act, self.world.now() - self.asked_at)
            self._end()

        self._ask("event_wait", waited, timeout_s=self.act.timeout_s)


class Usher:
    """A client that sees to it that nobody waits for ever."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.client = world.client("usher")
        self.going = True
        self.round()

    def _do(self, kind: str, name: str, **more: Any) -> None:
        Performance(self.client, Act(kind, name, **more)).start()

    def round(self) -> None:
        """Empty the queues; give to those who still wait."""
        if not self.going:
            return
        waiting = [act for client, act in self.world.ledger.pending() if client is not self.client]
        for name in MAXSIZES:
            self._do("get", name, batch=-1)
        for act in waiting:
            if act.kind == "get":
                for _ in range(max(act.batch or 1, 1)):
                    self._do("put", act.name)
            elif act.kind == "read":
                self._do("set", act.name)
            elif act.kind == "event_wait":
                self._do("event_set", act.name)
        self.world.clock.after(EVERY_S, self.client.enter, self.round, ())

    def idle(self) -> bool:
        """Whether nobody acts any more, no task may come to it, and what was on its way to those who have left is back (if their goodbye did not
        arrive, it is when their lease is over)."""
        world = self.world
        known = world.scheduler.machine.state.clients
        if any(client.left and client.client_id in known for client in world.clients):
            return False
        threads = any(worker.threads for worker in world.places.values() if worker.alive)
        active = any(task.state in ("waiting", "queued", "processing") for task in world.scheduler.machine.state.tasks.values())
        return not (threads or active or world.ledger.pending())

    def tidy(self) -> None:
        """Nobody else acts: empty everything, so that what is there can be counted."""
        self.going = False
        for name in MAXSIZES:
            self._do("get", name, batch=-1)

    def leave(self) -> None:
        """Close everything, and go."""
        for name in MAXSIZES:
            self._do("close_queue", name)
        for name in LEASES:
            self._do("close_semaphore", name)
        for name in sorted(self.world.ledger.settings):
            self._do("delete", name)
        for name in sorted(self.world.ledger.set_events):
            self._do("event_clear", name)


def perform(client: SimClient, act: Act, done: Callable[[], object] | None = None) -> None:
    """Let a client, or the task behind it, do this."""
    Performance(client, act, done).start()


def end_affairs(world: World, usher: Usher, limit_s: float) -> None:
    """Time runs until all acts are over; then nothing may be lost, and all that is left is closed."""
    world.run(until=usher.idle, limit_s=limit_s)
    usher.tidy()
    world.run(until=lambda: not world.ledger.pending(), limit_s=limit_s)
    world.ledger.check_lost()
    usher.leave()
    world.run(until=lambda: not world.ledger.pending(), limit_s=limit_s)
    usher.client.leave()
