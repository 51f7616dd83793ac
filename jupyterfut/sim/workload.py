"""Random programs: what the users of a simulated cluster ask of it.

A `Program` is a set of pure calls named by key, so that the oracle can evaluate it in plain Python and any client, or any task, can submit any part
of it. A `Plan` is everything that a seed decides before the clock starts: the cluster, the program, the script of each client (submit, release,
cancel, retry, ...) and the faults. Plans are explicit lists and not a random source asked on the way: a failing plan can be shrunk by leaving steps
out, and what remains is still the same story. A step that makes no sense any more (a release of a future that the client does not hold) does nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal, NamedTuple

from jupyterfut.core.scheduler import SchedulerConfig
from jupyterfut.core.worker.settings import WorkerSettings
from jupyterfut.ids import Key
from jupyterfut.wire.messages import TaskOptions

ALWAYS = 1_000_000
"""`Call.flakes` of a task that fails whenever it runs."""

NO_OPTIONS = TaskOptions()

Body = Literal["value", "spawn", "futures"]
"""What the function does: computes its value from its inputs; submits `children` and waits for them (fib-like); submits them and returns futures."""

Pause = Literal["block", "secede"]
"""How a task waits for its children: a plain blocking `result()`, or `secede()` before and `rejoin()` after."""


class Act(NamedTuple):
    """One use of one primitive of coordination (see `acts`). `kind` is one of
    put, get, size, set, read, delete, lock, semaphore, multilock, event_set, event_clear, event_wait, subscribe, close_queue, close_semaphore."""

    kind: str
    name: str
    names: tuple[str, ...] = ()  #: of a multilock
    keys: tuple[Key, ...] = ()  #: calls whose futures go with the value
    timeout_s: float | None = None
    patience_s: float | None = None  #: a user who waits for longer interrupts the call
    hold_s: float = 0.0  #: how long it is kept
    n: int = 1  #: leases, or locks of a multilock
    batch: int | None = None
    nbytes: int = 40
    reads: bool = False  #: whether the futures that arrive are waited for


@dataclass(frozen=True, slots=True)
class Call:
    """One pure call. Its key decides everything about it."""

    key: Key
    function: str
    const: int
    dependencies: tuple[Key, ...] = ()
    held: tuple[Key, ...] = ()  #: futures inside an opaque argument: the task asks for their results itself
    body: Body = "value"
    children: tuple[Key, ...] = ()
    pause: Pause = "block"
    flakes: int = 0  #: that many of its runs fail before one succeeds
    reschedules: int = 0  #: that many of its runs raise `Reschedule`
    duration_s: float = 0.01
    nbytes: int = 40
    options: TaskOptions = NO_OPTIONS
    acts: tuple[Act, ...] = ()  #: done before it returns


@dataclass(frozen=True, slots=True)
class Data:
    """Scattered data."""

    key: Key
    const: int
    nbytes: int = 40


class Program:
    """The calls and the data that a story is about, by key. Dependencies come before what depends on them."""

    def __init__(self) -> None:
        self.calls: dict[Key, Call] = {}
        self.data: dict[Key, Data] = {}

    def add(self, call: Call) -> Key:
        """Put a call in; its key again."""
        self.calls[call.key] = call
        return call.key

    def inputs(self, key: Key) -> tuple[Key, ...]:
        """Everything that the result of `key` is made from."""
        call = self.calls.get(key)
        return () if call is None else call.dependencies + call.held + call.children


class Step(NamedTuple):
    """One thing that one client does. `op` is one of
    submit, scatter, release, cancel, force_cancel, retry, share (with client `other`), fire_and_forget, gather, ask, leave, act, restart; replicate,
    rebalance, retire (see `placing`); watch (see `viewing`)."""

    at: float
    client: int
    op: str
    keys: tuple[Key, ...] = ()
    other: int = 0
    act: Act | None = None


class Fault(NamedTuple):
    """One blow.

    What strikes a worker: `kill` (it dies, and comes back empty after `for_s`), `drop` (its link breaks), `stall` (its link is silent for `for_s`),
    `freeze` (the process stands still for `for_s`), `goodbye` (it leaves in order, a new one comes after `for_s`), `fetch` (most fetches from it fail
    for `for_s`), `spoil` (half of its results cannot be read any more), `memory` (it is short of it for `for_s`). What strikes a client:
    `client_drop`, `client_stall`, `client_vanish` (it is away for `for_s`, perhaps longer than its lease). What strikes all: `scheduler_freeze`, and
    `scheduler_restart` (a new one, which knows nothing).
    """

    at: float
    op: str
    target: int
    for_s: float = 0.0
    same_address: bool = False


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """One worker's place in the cluster: whoever dies there comes back under the same name."""

    name: str
    nthreads: int = 1
    resources: tuple[tuple[str, float], ...] = ()
    comes_at: float = 0.0


@dataclass(slots=True)
class Plan:
    """All that a seed decides."""

    seed: int
    workers: list[WorkerPlan]
    clients: int
    program: Program
    script: list[Step]
    faults: list[Fault]
    config: SchedulerConfig
    worker_settings: WorkerSettings
    one_process: bool = False
    delay_s: tuple[float, float] = (0.0001, 0.002)
    notice_s: tuple[float, float] = (0.0, 0.5)

    @property
    def calm_at(self) -> float:
        """When the last fault has been struck and healed, and the last step been made."""
        last = max((fault.at + fault.for_s for fault in self.faults), default=0.0)
        last = max(last, max((step.at for step in self.script), default=0.0))
        return max(last, max((worker.comes_at for worker in self.workers), default=0.0))


@dataclass(slots=True)
class _Author:
    """Writes one random plan."""

    rng: Random
    seed: int
    program: Program = field(default_factory=Program)
    script: list[Step] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    resources: list[str] = field(default_factory=list)
    made: int = 0
    restricted: bool = False
    fail_share: float = 0.0
    long_share: float = 0.1
    large_share: float = 0.2

    def options(self) -> TaskOptions:
        """Options for a group of calls: most groups have none."""
        rng = self.rng
        roll = rng.random()
        if roll < 0.55:
            return TaskOptions()
        resources = None
        workers = None
        if self.restricted and rng.random() < 0.4:
            if self.resources and rng.random() < 0.5:
                resources = {rng.choice(self.resources): float(rng.choice((1, 1, 2)))}
            else:
                workers = rng.sample(self.names, rng.randint(1, len(self.names)))
        return TaskOptions(
            priority=rng.choice((0, 0, 1, -1, 10)),
            retries=rng.choice((0, 0, 1, 2)),
            resources=resources,
            workers=workers,
            allow_other_workers=workers is not None and rng.random() < 0.3,
        )

    def call(self, function: str, dependencies: Sequence[Key] = (), options: TaskOptions | None = None, **extra: object) -> Key:
        """One more call of `function`."""
        rng = self.rng
        self.made += 1
        const = rng.randrange(1_000_000)
        roll = rng.random()
        duration = rng.uniform(0.3, 2.0) if roll < self.long_share else rng.choice((0.0, 0.0001, 0.001, 0.01, 0.05, 0.1))
        flakes = reschedules = 0
        if rng.random() < self.fail_share:
            flakes = ALWAYS if rng.random() < 0.4 else rng.randint(1, 3)
        elif rng.random() < 0.02:
            reschedules = rng.randint(1, 2)
        call = Call(
            key=Key(f"{function}-{self.made}"), function=function, const=const, dependencies=tuple(dependencies), duration_s=duration, flakes=flakes,
            reschedules=reschedules, nbytes=rng.choice((5_000, 100_000)) if rng.random() < self.large_share else 40, options=options or NO_OPTIONS,
        )  # fmt: skip
        if extra:
            call = replace(call, **extra)  # type: ignore[arg-type]  # the names of Call's own fields, from this module
        return self.program.add(call)

    # --- shapes of graphs: each returns its calls in an order in which they can be submitted

    def chain(self, inputs: list[Key]) -> list[Key]:
        """One after the other, now and then with a side input."""
        options = self.options()
        keys = [self.call("step", inputs[:1], options)]
        for _ in range(self.rng.randint(1, 10)):
            more = [self.rng.choice(inputs)] if inputs and self.rng.random() < 0.15 else []
            keys.append(self.call("step", [keys[-1], *more], options))
        return keys

    def tree(self, inputs: list[Key]) -> list[Key]:
        """A sum in pairs."""
        options = self.options()
        level = [self.call("leaf", (), options) for _ in range(self.rng.choice((3, 4, 8)))]
        keys = list(level)
        while len(level) > 1:
            level = [self.call("add", level[i : i + 2], options) for i in range(0, len(level), 2)]
            keys += level
        return keys

    def fan(self, inputs: list[Key]) -> list[Key]:
        """One makes what many use, and one gathers from all of them."""
        options = self.options()
        root = self.call("root", inputs[:1], options)
        many = [self.call("part", [root], options) for _ in range(self.rng.randint(2, 12))]
        return [root, *many, self.call("total", many, self.options())]

    def diamond(self, inputs: list[Key]) -> list[Key]:
        options = self.options()
        top = self.call("top", inputs[:2], options)
        left, right = self.call("side", [top], options), self.call("side", [top], self.options())
        return [top, left, right, self.call("join", [left, right, top], options)]

    def web(self, inputs: list[Key]) -> list[Key]:
        """No shape at all."""
        keys: list[Key] = []
        for _ in range(self.rng.randint(3, 18)):
            pool = keys + inputs
            keys.append(self.call("node", self.rng.sample(pool, min(len(pool), self.rng.choice((0, 1, 1, 2, 3)))), self.options()))
        return keys

    def equal(self, inputs: list[Key]) -> list[Key]:
        """`map` over independent items."""
        options = self.options()
        return [self.call("item", (), options) for _ in range(self.rng.randint(2, 20) if self.rng.random() < 0.97 else 250)]

    def fib(self, inputs: list[Key]) -> list[Key]:
        """Tasks that submit tasks that submit tasks, and wait for them; equal calls are one."""
        n = self.rng.randint(2, 6)
        self.made += 1
        tag = self.made
        pause: Pause = self.rng.choice(("block", "block", "secede"))
        duration = self.rng.choice((0.0, 0.001, 0.05))
        for i in range(n + 1):
            children = (Key(f"fib-{tag}-{i - 1}"), Key(f"fib-{tag}-{i - 2}")) if i >= 2 else ()
            body: Body = "spawn" if children else "value"
            self.program.add(Call(Key(f"fib-{tag}-{i}"), "fib", i, body=body, children=children, pause=pause, duration_s=duration))
        return [Key(f"fib-{tag}-{n}")]

    def spawn(self, inputs: list[Key]) -> list[Key]:
        """A task with tasks of its own: it waits for them, or hands their futures back."""
        children = [self.call("child", (), self.options()) for _ in range(self.rng.randint(1, 4))]
        if self.rng.random() < 0.3:
            children.append(self.call("grandparent", (), body="spawn", children=tuple(children[:1])))
        body: Body = "futures" if self.rng.random() < 0.4 else "spawn"
        pause: Pause = self.rng.choice(("block", "secede"))
        parent = self.call("parent", inputs[:1], body=body, children=tuple(children), pause=pause, flakes=0, reschedules=0)
        return [parent, self.call("after", [parent], self.options())]

    def opaque(self, inputs: list[Key]) -> list[Key]:
        """A task that finds futures inside an argument."""
        first = [self.call("inner", (), self.options()) for _ in range(self.rng.randint(1, 3))]
        return [*first, self.call("opener", inputs[:1], body="spawn", held=tuple(first), flakes=0, reschedules=0)]

    def scatter(self, client: int, at: float) -> list[Key]:
        """A little data, scattered."""
        keys = []
        for _ in range(self.rng.randint(1, 3)):
            self.made += 1
            key = Key(f"int-{self.made}")
            self.program.data[key] = Data(key, self.rng.randrange(1_000_000), self.rng.choice((40, 40, 5_000, 100_000)))
            keys.append(key)
        self.script.append(Step(max(at - 0.3, 0.0), client, "scatter", tuple(keys)))
        return keys

    # --- the script

    def block(self, client: int, at: float, known: list[Key]) -> list[Key]:
        """A client submits one graph, in one go or in a few, and lets go of parts of it."""
        rng = self.rng
        inputs = rng.sample(known, min(len(known), rng.choice((0, 0, 1, 2))))
        if rng.random() < 0.12:
            inputs = self.scatter(client, at) + inputs
        shape = rng.choices(
            (self.chain, self.tree, self.fan, self.diamond, self.web, self.equal, self.fib, self.spawn, self.opaque), (4, 2, 3, 2, 5, 3, 2, 2, 1)
        )[0]
        keys = shape(inputs)
        start = 0
        moment = at
        while start < len(keys):
            size = len(keys) if rng.random() < 0.6 else rng.randint(1, 6)
            self.script.append(Step(moment, client, "submit", tuple(keys[start : start + size])))
            start += size
            moment += rng.choice((0.0, 0.0, 0.001, 0.05, 0.3))
        self._let_go(client, moment, keys)
        return keys

    def _let_go(self, client: int, at: float, keys: list[Key]) -> None:
        rng = self.rng
        style = rng.random()
        if style < 0.25:  # only the last is of interest: `submit(total, map(...))`
            self.script.append(Step(at, client, "release", tuple(keys[:-1])))
        elif style < 0.4:
            for key in keys:
                if rng.random() < 0.4:
                    self.script.append(Step(at + rng.uniform(0, 3), client, "release", (key,)))
        elif style < 0.47:
            self.script.append(Step(at + rng.choice((0.0, 0.01)), client, "fire_and_forget", (keys[-1],)))
            self.script.append(Step(at + rng.choice((0.01, 0.5)), client, "release", tuple(keys)))
        elif style < 0.52:
            self.script.append(Step(at + rng.choice((0.0, 0.001, 0.1)), client, "release", tuple(keys)))

    def second_thoughts(self, clients: int, at: float, known: list[Key]) -> None:
        """Cancels, retries, gathers, keys that travel from client to client."""
        rng = self.rng
        client = rng.randrange(clients)
        keys = tuple(rng.sample(known, min(len(known), rng.choice((1, 1, 2, 4)))))
        op = rng.choices(("cancel", "force_cancel", "retry", "gather", "share", "release", "ask", "again"), (3, 1, 4, 4, 3, 2, 2, 4))[0]
        if op == "again":  # the same pure calls once more, from this client or another; also those that tasks submit themselves
            if rng.random() < 0.5:
                keys = tuple(rng.sample(list(self.program.calls), min(len(self.program.calls), 3)))
                known += keys
            self.script.append(Step(at, client, "submit", tuple(self._closure(keys))))
        else:
            self.script.append(Step(at, client, op, keys, rng.randrange(clients)))
            if op == "cancel" and rng.random() < 0.4:
                self.script.append(Step(at + rng.choice((0.0, 0.001, 0.2)), client, "submit", tuple(self._closure(keys))))

    def _closure(self, keys: Sequence[Key]) -> list[Key]:
        """These calls and all that they stand on, inputs first."""
        seen: dict[Key, None] = {}

        def visit(key: Key) -> None:
            call = self.program.calls.get(key)
            if call is not None and key not in seen:
                for dependency in call.dependencies + call.held:
                    visit(dependency)
                seen[key] = None

        for key in keys:
            visit(key)
        return list(seen)


def random_plan(seed: int, *, faults: bool = True) -> Plan:
    """The plan of a seed: always the same one.

    >>> random_plan(7).script == random_plan(7).script
    True
    """
    from jupyterfut.sim.acts import with_actors, with_acts
    from jupyterfut.sim.faults import random_faults
    from jupyterfut.sim.placing import placing_steps
    from jupyterfut.sim.viewing import viewing_steps

    rng = Random(seed)
    author = _Author(rng, seed)
    kinds = ("GPU", "MEM")
    workers = [
        WorkerPlan(
            name=f"w{i}",
            nthreads=rng.choice((1, 1, 2, 3)),
            resources=tuple((kind, float(rng.randint(1, 3))) for kind in kinds if rng.random() < 0.3),
            comes_at=0.0 if i == 0 or rng.random() < 0.8 else rng.uniform(0.1, 3.0),
        )
        for i in range(rng.choice((1, 2, 2, 3, 4)))
    ]
    author.names = [worker.name for worker in workers]
    author.resources = [kind for kind in kinds if sum(dict(worker.resources).get(kind, 0.0) >= 2.0 for worker in workers)]
    author.restricted = rng.random() < 0.5
    author.fail_share = rng.choice((0.0, 0.0, 0.03, 0.1))
    author.long_share = rng.choice((0.0, 0.05, 0.2))
    author.large_share = rng.choice((0.0, 0.1, 0.3, 0.8))
    clients = rng.choice((1, 1, 2, 3))
    horizon = rng.choice((0.2, 2.0, 6.0))
    known: list[list[Key]] = [[] for _ in range(clients)]
    size = rng.randint(10, 60)
    while author.made < size:
        client = rng.randrange(clients)
        known[client] += author.block(client, rng.uniform(0.0, horizon), known[client])
    everything = [key for keys in known for key in keys]
    for _ in range(rng.choice((0, 2, 5))):
        author.second_thoughts(clients, rng.uniform(0.0, horizon + 1.0), everything)
    for client in range(clients):
        if rng.random() < 0.08:
            author.script.append(Step(rng.uniform(0.0, horizon + 1.0), client, "leave"))
    with_actors(Random(seed + 5_000_003), author.program)
    author.script += with_acts(Random(seed + 4_000_003), author.program, clients, horizon)
    author.script += placing_steps(Random(seed + 3_000_003), clients, horizon, everything, author.program)
    author.script += viewing_steps(Random(seed + 7_000_003), clients, horizon)
    restarts = Random(seed + 6_000_003)
    if restarts.random() < 0.1:
        for _ in range(restarts.choice((1, 1, 3))):
            author.script.append(Step(restarts.uniform(0.0, horizon + 1.0), restarts.randrange(clients), "restart"))
    author.script.sort(key=lambda step: step.at)
    return Plan(
        seed=seed,
        workers=workers,
        clients=clients,
        program=author.program,
        script=author.script,
        faults=random_faults(rng, len(workers), clients, horizon) if faults else [],
        config=SchedulerConfig(
            inline_bytes=rng.choice((0, 1_000, 16_000)),
            retained_bytes_limit=rng.choice((0, 200, 1_000_000, 1_000_000)),
            allowed_failures=rng.choice((0, 1, 3, 100)),
            client_lease_s=rng.choice((5.0, 30.0)),
            worker_timeout_s=rng.choice((12.0, 30.0)),
            ahead_s=rng.choice((0.0, 0.02, 0.02, 1.0)),
            ahead_tasks=rng.choice((1, 10, 1_000)),
            steal_min_s=rng.choice((0.0005, 0.005, 0.05)),
            journal_size=20_000,
        ),
        worker_settings=WorkerSettings(lookahead_s=rng.choice((0.0, 0.01, 1.0))),
        one_process=rng.random() < 0.1,
        delay_s=rng.choice(((0.0001, 0.0002), (0.0001, 0.005), (0.001, 0.1))),
        notice_s=rng.choice(((0.0, 0.01), (0.0, 1.0))),
    )
