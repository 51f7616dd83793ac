"""A whole cluster in one thread: scheduler, workers, clients, and the network between them, from one seed.

A test makes a world, lets its people act, and moves time on:

    world = World(seed=1)
    a, b = world.workers(2)
    future = world.submit("x", prefer=a)
    world.run()
    assert future.status == "finished" and world.quiet()

A seed's run (`replay.run_plan`) makes one from a `Plan`, follows its script under faults, demands progress once they stop, then releases everything
and demands that nothing is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from jupyterfut.core.scheduler import SchedulerConfig
from jupyterfut.core.worker.settings import WorkerSettings
from jupyterfut.ids import Address, ClientId, Key
from jupyterfut.sim.clients import SimClient, SimFuture
from jupyterfut.sim.clock import Clock
from jupyterfut.sim.ledger import Ledger
from jupyterfut.sim.network import Link, Network
from jupyterfut.sim.nodes import SimScheduler
from jupyterfut.sim.oracle import Oracle
from jupyterfut.sim.roads import Road
from jupyterfut.sim.trace import Trace
from jupyterfut.sim.workers import SimWorker
from jupyterfut.sim.workload import Body, Call, Data, Program, WorkerPlan
from jupyterfut.wire.messages import Failure, Message, NannyHello, TaskOptions, WorkerDied
from jupyterfut.wire.payload import Payload

FETCH_TIMEOUT_S = 10.0
"""How long one who fetches waits for a worker that says nothing."""


class Deaf:
    """An end of a link that only speaks."""

    def receive(self, link: Link, messages: list[Message]) -> None:
        """Nothing said to it matters."""

    def link_lost(self, link: Link, reason: str) -> None:
        """It does not care."""


class World:
    """The cluster and its clock. `check_every`: after how many events of a node its machine's invariants are checked (1: after each; 0: never)."""

    def __init__(
        self,
        seed: int = 0,
        *,
        program: Program | None = None,
        config: SchedulerConfig | None = None,
        worker_settings: WorkerSettings | None = None,
        delay_s: tuple[float, float] = (0.0001, 0.002),
        notice_s: tuple[float, float] = (0.0, 0.01),
        one_process: bool = False,
        check_every: int = 1,
        trace: Trace | None = None,
    ) -> None:
        self.seed = seed
        self.rng = Random(seed + 1_000_003)
        self.clock = Clock()
        self.program = Program() if program is None else program
        self.config = config or SchedulerConfig(worker_timeout_s=30.0, heartbeat_s=5.0)
        self.worker_settings = worker_settings
        self.one_process = one_process  # results are passed by reference
        self.check_every = check_every
        self.trace = trace
        self.events = 0
        self.network = Network(self.clock, Random(seed + 2_000_003), delay_s, notice_s)
        self.oracle = Oracle(self)
        self.ledger = Ledger(self)
        self.stalled: dict[str, list[Link]] = {}  # names of processes whose links are silent, and those links
        self.fetch_fails: dict[str, int] = {}  # names of workers from which most fetches fail, and how many faults say so
        self.cut_off: dict[str, None] = {}  # names of workers from which nothing can be fetched
        self.scheduler = SimScheduler(self, self.config)
        self.places: dict[str, SimWorker] = {}  # who is, or was last, in each worker's place
        self.by_address: dict[Address, SimWorker] = {}
        self.clients: list[SimClient] = []
        self.refills = False  # whether a new worker comes for each that was sent away
        self.deaf_schedulers = False  # whether a worker that connects is now and then not heard
        self._pids = 0

    def now(self) -> float:
        """Virtual time in seconds."""
        return self.clock.now

    def lag_s(self) -> float:
        """How late a loop gets to something that a thread said."""
        roll = self.rng.random()
        return 0.0 if roll < 0.5 else roll * 0.001 if roll < 0.95 else roll * 0.03

    # --- workers

    def next_pid(self) -> int:
        self._pids += 1
        return self._pids

    def start_worker(self, plan: WorkerPlan, address: Address | None = None) -> SimWorker:
        """A worker process starts in a place."""
        if address is None:
            address = Address(f"sim://10.0.0.1:{len(self.by_address) + 1}")
        worker = SimWorker(self, plan, address)
        self.places[plan.name] = worker
        self.by_address[address] = worker
        return worker

    def workers(self, count: int, nthreads: int = 1, resources: dict[str, float] | None = None) -> list[SimWorker]:
        """So many workers; time runs until the scheduler has them."""
        made = [self.start_worker(WorkerPlan(f"w{len(self.places)}", nthreads, tuple((resources or {}).items()))) for _ in range(count)]
        self.run(until=lambda: all(self.here(worker) for worker in made))
        return made

    def worker(self, nthreads: int = 1, resources: dict[str, float] | None = None) -> SimWorker:
        """One worker."""
        return self.workers(1, nthreads, resources)[0]

    def here(self, worker: SimWorker) -> bool:
        """Whether the scheduler counts this worker as its own."""
        return worker.address in self.scheduler.machine.state.workers

    def lost(self, worker: SimWorker) -> Callable[[], bool]:
        """For `run(until=...)`: the scheduler has given up the stream to this worker that it has now. (The worker may be back on another one.)"""
        workers = self.scheduler.machine.state.workers
        known = workers.get(worker.address)

        def gone() -> bool:
            return workers.get(worker.address) is not known or known is None

        return gone

    def link_to_scheduler(self, worker: SimWorker) -> Link:
        """A stream from a worker to the scheduler."""
        link = self.network.connect(worker.name, self.scheduler, worker)
        self.scheduler.accept(link, worker)
        return link

    def _link_of(self, who: SimWorker | SimClient) -> Link | None:
        return who.link if isinstance(who, SimWorker) else who.road.link

    def stall(self, who: SimWorker | SimClient) -> None:
        """Nothing passes between this process and the scheduler."""
        links = self.stalled.setdefault(who.name, [])
        link = self._link_of(who)
        if link is not None:
            link.stall()
            links.append(link)

    def heal(self, who: SimWorker | SimClient) -> None:
        """What was held back passes now."""
        for link in self.stalled.pop(who.name, ()):
            link.heal()

    def drop_link(self, who: SimWorker | SimClient) -> None:
        """The link of this process breaks. It will connect again."""
        link = self._link_of(who)
        if link is not None:
            link.drop()

    def kill(self, worker: SimWorker, *, nanny: bool = False) -> None:
        """The process dies (`kill -9`): its link breaks, what it held is gone. A nanny sees it and says so."""
        if worker.alive:
            worker.die()
            if worker.link is not None:
                worker.link.drop("the process died")
            if nanny:
                link = self.network.connect("nanny", self.scheduler, Deaf())
                self.scheduler.accept_nanny(link)
                link.send(1, NannyHello(worker.name, 1, {}))
                link.send(1, WorkerDied(worker.name, worker.machine.pid, -9, f"{worker.name} was killed"))
                self.clock.after(1.0, link.close, 1)

    def cut_roads_from(self, worker: SimWorker) -> None:
        """Nobody can fetch from this worker, or put data there; it and the scheduler hear each other."""
        self.cut_off[worker.name] = None

    def mend_roads_from(self, worker: SimWorker) -> None:
        """It can be reached again."""
        del self.cut_off[worker.name]

    def _road_is_bad(self, worker: SimWorker) -> bool:
        return worker.name in self.cut_off or bool(self.fetch_fails.get(worker.name) and self.rng.random() < 0.7)

    def restart_scheduler(self) -> None:
        """The scheduler's process dies, and a new one that knows nothing answers at the same address."""
        old = self.scheduler
        old.alive = False
        self.oracle.scheduler_dies()
        links = [link for link, _ in old.workers.values()] + list(old.road_on)
        self.scheduler = SimScheduler(self, self.config)
        for link in links:
            link.drop("the scheduler died")

    def restart(self, worker: SimWorker, *, same_address: bool = False) -> SimWorker:
        """A new process in the place of a dead one."""
        return self.start_worker(worker.plan, worker.address if same_address else None)

    # --- clients

    def client(self, name: str | None = None) -> SimClient:
        """One more client; it connects."""
        client = SimClient(self, ClientId(name or f"client-{len(self.clients)}"))
        client.road = Road(self, client)
        self.clients.append(client)
        client.road.connect()
        return client

    @property
    def user(self) -> SimClient:
        """The first client; made when it is asked for."""
        return self.clients[0] if self.clients else self.client()

    def submit(
        self,
        key: str,
        *inputs: SimFuture | str,
        client: SimClient | None = None,
        prefer: SimWorker | None = None,
        workers: Sequence[SimWorker | str] | None = None,
        duration_s: float = 0.01,
        nbytes: int = 40,
        flakes: int = 0,
        body: Body = "value",
        children: Sequence[str] = (),
        priority: float = 0,
        retries: int = 0,
        resources: dict[str, float] | None = None,
    ) -> SimFuture:
        """Submit the call `key` (a new one, or one that the program has) as `client`, the first one unless said otherwise.

        `prefer`: on this worker if it is there.
        """
        name = Key(key)
        if name not in self.program.calls:
            wish = [prefer] if prefer is not None else list(workers or ())
            options = TaskOptions(
                priority, retries, resources, [w if isinstance(w, str) else w.name for w in wish] or None, allow_other_workers=prefer is not None
            )
            dependencies = tuple(i.key if isinstance(i, SimFuture) else Key(i) for i in inputs)
            function = key.partition("-")[0]
            call = Call(
                name, function, len(self.program.calls), dependencies, body=body, children=tuple(Key(child) for child in children),
                duration_s=duration_s, nbytes=nbytes, flakes=flakes, options=options,
            )  # fmt: skip
            self.program.add(call)
        futures = (client or self.user).submit_keys([name])
        assert futures, f"{key} cannot be submitted: its client has no future of one of its inputs"
        return futures[0]

    def define(self, key: str, *inputs: str, **fields: Any) -> Key:
        """Put a call into the program that a task will submit."""
        return self.program.add(Call(Key(key), key.partition("-")[0], len(self.program.calls), tuple(Key(i) for i in inputs), **fields))

    def scatter(self, key: str, client: SimClient | None = None, nbytes: int = 40, deadline_s: float | None = None) -> SimFuture:
        """Scatter one piece of data."""
        self.program.data[Key(key)] = Data(Key(key), len(self.program.data) + 1_000, nbytes)
        return (client or self.user).scatter([Key(key)], deadline_s=deadline_s)[0]

    def put(self, client: SimClient, address: str, keys: list[Key], payloads: list[Payload], answer: Callable[[Failure | None], None]) -> None:
        """Bring data to a worker's data server, and the answer back."""
        worker = self.by_address.get(Address(address))
        if worker is None or not worker.alive or self._road_is_bad(worker):
            client.after(self.network.delay(), answer, Failure("ConnectionFailed", f"nobody answers at {address}", None, "", keys[0]))
            return
        done = [False]

        def back(failure: Failure | None) -> None:
            if not done[0]:
                done[0] = True
                client.after(self.network.delay(), answer, failure)

        def arrive() -> None:
            if worker.alive:
                worker.enter(worker.put, (client.client_id, keys, payloads, back))

        def give_up() -> None:
            if worker.alive:  # it may take its time
                self.clock.background(self.clock.now + FETCH_TIMEOUT_S, give_up)
            else:
                back(Failure("ConnectionFailed", "the worker died", None, "", keys[0]))

        self.clock.after(self.network.delay(), arrive)
        self.clock.background(self.clock.now + FETCH_TIMEOUT_S, give_up)

    def fetch(self, asker: SimWorker | SimClient, address: str, keys: list[Key], answer: Callable[[dict[Key, Payload] | None, str], None]) -> None:
        """Ask a worker's data server; `answer(found, "")` or `answer(None, reason)`, once."""
        actors = [key for key in keys if self.oracle.is_actor(key)]
        assert not actors, f"{asker} fetches the actors {actors}"
        holder = self.by_address.get(Address(address))
        if holder is None or not holder.alive:
            asker.after(self.network.delay(), answer, None, f"nobody listens at {address}")
            return
        if self._road_is_bad(holder):
            asker.after(self.network.delay(), answer, None, "the connection broke")
            return
        done = [False]

        def reply(found: dict[Key, Payload] | None, reason: str) -> None:
            if not done[0]:
                done[0] = True
                asker.enter(answer, (found, reason))

        def serve() -> None:
            self.clock.after(self.network.delay(), reply, holder.serve(keys), "")

        self.clock.after(self.network.delay(), holder.enter, serve, ())
        self.clock.background(self.clock.now + FETCH_TIMEOUT_S, reply, None, f"{address} does not answer")

    # --- time

    def run(self, until: Callable[[], bool] | None = None, for_s: float | None = None, limit_s: float = 1_000.0) -> None:
        """Move time on: until the condition holds, for so long, or (neither given) until the world is idle: all that is left to happen is clockwork,
        and no future of a user is pending. Raises AssertionError when `limit_s` virtual seconds pass before."""
        clock = self.clock
        if for_s is not None:
            end = clock.now + for_s
            while (due := clock.next_at()) is not None and due <= end:
                clock.step()
            clock.now = end
            return
        limit = clock.now + limit_s
        condition = until or self.idle
        while not condition():
            if not clock.step() or clock.now > limit:
                if until is None:
                    raise AssertionError(f"at {clock.now:.3f} s these are still pending: {[record.key for record in self.pending()]}")
                raise AssertionError(f"at {clock.now:.3f} s the condition still does not hold")

    def pending(self) -> list[Any]:
        """Records of live clients that have no final status."""
        present = [client for client in self.clients if client.alive and not client.left]
        return [record for client in present for record in client.machine.state.records.values() if record.status == "pending"]

    def idle(self) -> bool:
        """Whether nothing will happen any more by itself."""
        return self.clock.foreground == 0 and not self.pending() and not any(client.open_gathers for client in self.clients if client.alive)

    # --- what tests ask

    def attempts(self, future: SimFuture | str) -> int:
        """How often the scheduler has sent this task to a worker."""
        return self.oracle.attempts[future.key if isinstance(future, SimFuture) else Key(future)]

    def runs(self, future: SimFuture | str) -> int:
        """How often a thread has started this task."""
        return self.oracle.runs[future.key if isinstance(future, SimFuture) else Key(future)]

    def quiet(self) -> bool:
        """Whether nothing is under way in any machine: no task waits, queues or runs, no request is parked, no thread is busy."""
        state = self.scheduler.machine.state
        busy = [task for task in state.tasks.values() if task.state in ("waiting", "queued", "processing")]
        threads = [thread.key for worker in self.places.values() if worker.alive for thread in worker.threads.values()]
        return not (busy or state.parked or threads or self.pending())

    def value(self, future: SimFuture | str) -> int | None:
        """What plain Python gives for this future."""
        return self.oracle.value(future.key if isinstance(future, SimFuture) else Key(future))

    def story(self, *keys: str) -> list[tuple[float, str, str, str, Any]]:
        """All that the machines remember of these keys: (time, who, key, what, detail)."""
        nodes: list[Any] = [self.scheduler, *self.by_address.values(), *self.clients]
        nodes += [worker.task_client for worker in self.by_address.values() if worker.task_client is not None]
        lines = [(at - node.offset_s, node.name, key, what, detail) for node in nodes for at, key, what, detail in node.machine.journal.story(*keys)]
        return sorted(lines, key=lambda line: line[0])
