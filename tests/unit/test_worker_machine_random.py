"""Random conversations with the worker's machine: whatever scheduler, threads, peers and network do, in whatever order, its invariants hold after
every event, each call that started is accounted for once, and when everybody has answered nothing is left over."""

from __future__ import annotations

import random
from typing import Any

import pytest

from jupyterfut.core.effects import LinkLost, Received, Send, Tick
from jupyterfut.core.worker import events as ev
from jupyterfut.core.worker.invariants import check
from jupyterfut.core.worker.machine import WorkerMachine
from jupyterfut.core.worker.settings import WorkerSettings
from jupyterfut.wire import messages as ms

KEYS = [f"k{i}" for i in range(12)]
PEERS = ["tcp://p", "tcp://q", "tcp://w"]


class Chaos:
    """Plays everybody around the machine, at random but by the rules of `events`."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        nthreads = self.rng.choice([1, 2, 4])
        self.machine = WorkerMachine("tcp://w", "w", nthreads, settings=WorkerSettings(lookahead_s=self.rng.choice([0.0, 0.01])))  # type: ignore[arg-type]  # plain strings
        self.now = 0.0
        self.next_attempt = 1
        self.sent: dict[int, str] = {}  # attempts that the scheduler waits for
        self.queue: dict[int, ev.Call] = {}
        self.running: dict[int, ev.Call] = {}
        self.blocked: set[int] = set()
        self.withdraws: list[ev.Withdraw] = []
        self.fetches: list[ev.Fetch] = []
        self.stored: set[str] = set()
        self.steals: list[int] = []
        self.puts: list[int] = []
        self.put_tokens: set[int] = set()
        self.connected = False
        self.connecting = False
        self.post(ev.Start())

    def post(self, event: Any) -> None:
        effects = self.machine.handle(event, self.now)
        check(self.machine)
        for effect in effects:
            match effect:
                case Send():
                    self.hear(effect.message)
                case ev.Run():
                    for call in effect.calls:
                        assert call.attempt not in self.queue
                        assert call.attempt not in self.running
                        self.queue[call.attempt] = call
                case ev.Withdraw():
                    self.withdraws.append(effect)
                case ev.Fetch():
                    assert effect.address not in [f.address for f in self.fetches]
                    assert effect.address != "tcp://w"
                    self.fetches.append(effect)
                case ev.Store():
                    self.stored.update(effect.keys)
                case ev.Drop():
                    assert self.stored.issuperset(effect.keys)
                    self.stored.difference_update(effect.keys)
                case ev.Connect():
                    assert not self.connecting
                    assert not self.connected
                    self.connecting = True
                case ev.AnswerPut():
                    self.put_tokens.remove(effect.token)
        assert self.stored == set(self.machine.memory.nbytes)

    def hear(self, message: Any) -> None:
        """What the worker says to the scheduler."""
        match message:
            case ms.TasksDone() | ms.TasksFailed() | ms.TasksReturned():
                for key, attempt in zip(message.keys, message.attempts, strict=True):
                    assert self.sent.pop(attempt) == key
            case ms.StealAnswer():
                for attempt, given in zip(message.attempts, message.given, strict=True):
                    self.steals.remove(attempt)
                    if given:
                        self.sent.pop(attempt, None)
            case ms.AddData():
                self.puts.append(message.id)

    def say(self, message: Any) -> None:
        self.post(Received(ev.SCHEDULER, message))

    # --- what may happen

    def compute(self) -> None:
        if self.machine.link.state == "up":
            rng = self.rng
            rows = [key for key in rng.sample(KEYS, rng.randint(1, 4)) if key not in self.sent.values()]
            attempts = list(range(self.next_attempt, self.next_attempt + len(rows)))
            self.next_attempt += len(rows)
            needs = [[n for n in rng.choices(KEYS, k=rng.randint(0, 3)) if n != key] for key in rows] if rng.random() < 0.6 else []
            named = {need for row in needs for need in row}
            inline = {need: b"" for need in named if rng.random() < 0.3}
            where = {need: rng.sample(PEERS, rng.randint(0, 3)) for need in named - set(inline) if rng.random() < 0.6}
            self.sent.update(zip(attempts, rows, strict=True))
            priorities = [[-float(rng.randint(0, 2)), float(a)] for a in attempts]
            self.say(ms.Compute("f", rows, attempts, [b""] * len(rows), priorities, needs, inline, where, None, rng.random() < 0.05))

    def cancel(self) -> None:
        if self.machine.link.state == "up" and self.sent:
            chosen = self.rng.sample(sorted(self.sent), self.rng.randint(1, min(3, len(self.sent))))
            self.say(ms.CancelTasks([self.sent.pop(a) for a in chosen], chosen))

    def steal(self) -> None:
        if self.machine.link.state == "up" and self.sent:
            chosen = [a for a in self.rng.sample(sorted(self.sent), self.rng.randint(1, min(3, len(self.sent)))) if a not in self.steals]
            self.steals += chosen
            self.say(ms.StealTasks([self.sent[a] for a in chosen], chosen))

    def release(self) -> None:
        if self.machine.link.state == "up":
            self.say(ms.ReleaseData(self.rng.choices(KEYS, k=3)))

    def begin(self) -> None:
        places = self.machine.nthreads + len(self.blocked) - len(self.running)
        for attempt in list(self.queue)[: max(0, places)]:
            self.running[attempt] = self.queue.pop(attempt)

    def finish(self) -> None:
        ends = self.rng.sample(sorted(self.running), self.rng.randint(0, len(self.running)))
        calls = [self.running.pop(attempt) for attempt in ends]
        self.blocked.difference_update(ends)
        if not calls:
            return
        keys, n = [call.key for call in calls], len(calls)
        durations = [self.rng.choice([1e-6, 1.0]) for _ in calls]
        kind = self.rng.random()
        if kind < 0.8:
            self.post(ev.Executed(keys, ends, [b""] * n, [""] * n, [self.rng.choice([1, 10**6]) for _ in calls], durations, {}))
        elif kind < 0.9:
            self.post(ev.Failed(keys, ends, [ms.Failure("E", "", None, "", key) for key in keys], durations))
        else:
            self.post(ev.NotRun(keys, ends, [self.rng.sample(call.dependencies, min(1, len(call.dependencies))) for call in calls]))

    def block(self) -> None:
        for attempt, call in list(self.running.items()):
            if attempt in self.blocked:
                self.blocked.remove(attempt)
                self.post(ev.Unblocked(call.key, attempt))
            elif self.rng.random() < 0.5:
                self.blocked.add(attempt)
                self.post(ev.Blocked(call.key, attempt))

    def withdraw(self) -> None:
        if self.withdraws:
            effect = self.withdraws.pop(0)
            taken = [self.queue.pop(attempt, None) is not None for attempt in effect.attempts]
            self.post(ev.Withdrawn(effect.keys, effect.attempts, taken))

    def fetch(self) -> None:
        if self.fetches:
            request = self.fetches.pop(self.rng.randrange(len(self.fetches)))
            if self.rng.random() < 0.2:
                self.post(ev.FetchFailed(request.request, "broke"))
            else:
                got = [key for key in request.keys if self.rng.random() < 0.7]
                self.post(ev.Fetched(request.request, got, [b""] * len(got)))

    def put(self) -> None:
        token = self.next_attempt
        self.next_attempt += 1
        self.put_tokens.add(token)
        keys = self.rng.choices(KEYS, k=2)
        self.post(ev.DataPut(token, "c", keys, [b""] * 2, [""] * 2))  # type: ignore[arg-type]  # plain strings

    def reply(self) -> None:
        if self.puts and self.machine.link.state == "up":
            self.say(ms.Reply(self.puts.pop(0), None, None))

    def break_link(self) -> None:
        if self.connected and self.rng.random() < 0.2:
            self.connected = False
            self.sent.clear()
            self.steals.clear()
            self.puts.clear()
            self.post(LinkLost(ev.SCHEDULER, "broke"))

    def connect(self) -> None:
        if self.connecting:
            self.connecting = False
            if self.rng.random() < 0.3:
                self.post(ev.ConnectFailed("nobody", False))
                return
            self.connected = True
            self.post(ev.Connected())
        elif self.connected and self.machine.link.state == "greeting":
            self.say(ms.Welcome(False, {}))
            self.say(ms.Functions(["f"], [b""], ["f"]))

    def memory(self) -> None:
        self.post(ev.MemoryShort(self.rng.random() < 0.3))

    def tick(self) -> None:
        self.now += self.rng.random()
        wake = self.machine.next_wake()
        if wake is not None and wake <= self.now:
            self.post(Tick())

    def settle(self) -> None:
        """Everybody answers, nobody asks any more."""
        while self.machine.link.state != "up":
            self.now += 10
            self.tick()
            self.connect()
        self.post(ev.MemoryShort(False))
        while self.queue or self.running or self.withdraws or self.fetches or self.puts:
            self.begin()
            self.finish()
            self.withdraw()
            self.fetch()
            self.reply()


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens(seed):
    chaos = Chaos(seed)
    often = [chaos.compute, chaos.begin, chaos.finish, chaos.withdraw, chaos.fetch]
    acts = [*often, *often, chaos.compute, chaos.cancel, chaos.steal, chaos.release, chaos.block, chaos.put, chaos.reply, chaos.connect, chaos.tick]
    acts += [chaos.break_link, chaos.memory]
    for _ in range(250):
        chaos.rng.choice(acts)()
    chaos.settle()
    machine = chaos.machine
    assert not machine.slots.busy
    assert not machine.slots.blocked
    assert not machine.fetches.requests
    assert not machine.stealing
    assert not chaos.steals
    assert not chaos.put_tokens
    # What is left waits for keys that nobody makes or fetches: the scheduler, which knows, would have cancelled it.
    assert all(task.state == "waiting" for task in machine.tasks.values())
    assert set(chaos.sent.values()) == set(machine.tasks)
    for task in list(machine.tasks.values()):
        chaos.say(ms.CancelTasks([task.key], [task.attempt]))
    assert not machine.awaited
    assert not machine.memory.pins
    assert not machine.memory.doomed
    assert not machine.fetches.wanted
