"""One plan, from its first event to its last: under faults first, then without.

play        the script and the faults, until both are over
progress    everything is healed, every worker's place is filled; now all that is pending has to resolve within `patience_s`
rest        every future dies, every client closes; now nothing may be left in any machine
"""

from __future__ import annotations

from typing import Any

from jupyterfut.core.worker.events import MemoryShort
from jupyterfut.sim import placing, rest, viewing
from jupyterfut.sim.clients import SimClient
from jupyterfut.sim.coordinating import Usher, perform
from jupyterfut.sim.trace import Trace
from jupyterfut.sim.workers import SimWorker
from jupyterfut.sim.workload import Fault, Plan, Step
from jupyterfut.sim.world import World


class Run:
    """Plays one plan. `go()` raises AssertionError (or whatever a machine raises) when something is wrong."""

    def __init__(self, plan: Plan, *, check_every: int = 1, trace: Trace | None = None) -> None:
        self.plan = plan
        self.world = World(
            plan.seed,
            program=plan.program,
            config=plan.config,
            worker_settings=plan.worker_settings,
            delay_s=plan.delay_s,
            notice_s=plan.notice_s,
            one_process=plan.one_process,
            check_every=check_every,
            trace=trace,
        )
        self.world.deaf_schedulers = True
        self.world.refills = True
        self.questions = 0  # without an answer
        acting = any(step.act is not None for step in plan.script) or any(call.acts for call in plan.program.calls.values())
        self.usher: Usher | None = None  # comes when the faults are over, if there is anything for him to do
        self.wants_usher = acting

    def go(self) -> None:
        """The whole story."""
        self._begin()
        world = self.world
        world.run(for_s=self.plan.calm_at + 0.001)
        self._calm()
        work_s = sum(call.duration_s * (1 + call.options.retries + min(call.flakes, 3)) for call in self.plan.program.calls.values())
        patience_s = 400.0 + 10.0 * work_s
        world.run(until=self._resolved, limit_s=patience_s)
        rest.check_machines(world)
        world.run(for_s=1.0)  # the last tasks end as well
        world.oracle.check_actors()
        world.run(until=lambda: viewing.agrees(world), limit_s=60.0)
        rest.settle(world, leaving=self.plan.seed, limit_s=rest.REST_S + 2 * work_s, usher=self.usher)
        world.oracle.check_kept()
        if not self.plan.faults:
            world.oracle.check_runs()

    # --- play

    def _begin(self) -> None:
        plan, world = self.plan, self.world
        for place in plan.workers:
            world.clock.at(place.comes_at, world.start_worker, place)
        for _ in range(plan.clients):
            world.client()
        for step in plan.script:
            world.clock.at(step.at + 0.01, self._step, step)
        for fault in plan.faults:
            world.clock.at(fault.at, self._strike, fault)

    def _step(self, step: Step) -> None:
        world = self.world
        client = world.clients[step.client % len(world.clients)]
        if not client.alive or client.left or client.frozen:
            return
        if world.trace is not None:
            world.trace.say(world.now(), f"{client.name} {step.act or step.op} {' '.join(step.keys)}")
        getattr(self, f"_do_{step.op}")(client, step)

    def _do_submit(self, client: SimClient, step: Step) -> None:
        client.submit_keys(step.keys)

    def _do_scatter(self, client: SimClient, step: Step) -> None:
        rng = self.world.rng
        deadline_s = rng.uniform(0.0, 0.2) if rng.random() < 0.1 else None
        client.scatter(step.keys, broadcast=rng.random() < 0.15, deadline_s=deadline_s)

    def _do_release(self, client: SimClient, step: Step) -> None:
        client.release(step.keys)

    def _do_cancel(self, client: SimClient, step: Step) -> None:
        client.cancel(step.keys)

    def _do_force_cancel(self, client: SimClient, step: Step) -> None:
        client.cancel(step.keys, force=True)

    def _do_retry(self, client: SimClient, step: Step) -> None:
        client.retry(step.keys)

    def _do_fire_and_forget(self, client: SimClient, step: Step) -> None:
        client.keep(step.keys)

    def _do_gather(self, client: SimClient, step: Step) -> None:
        client.read(step.keys)

    def _do_ask(self, client: SimClient, step: Step) -> None:
        """Any question; some cannot be answered, some only later or never."""
        rng = self.world.rng
        keys = list(step.keys)
        questions: list[tuple[str, dict[str, Any]]] = [
            ("wait_for_workers", {"n": rng.randint(0, len(self.plan.workers)), "timeout_s": rng.choice((None, 0.0, 1.0))}),
            ("wait_for_workers", {"n": 100, "timeout_s": rng.choice((0.0, 1.0, 20.0))}),
            ("wait_for_workers", {}),
            ("identity", {}),
            ("nthreads", {}),
            ("processing", {}),
            ("has_what", {"workers": ["w0"]}),
            ("who_has", {"keys": keys}),
            ("who_has", {}),
            ("why_pending", {"key": keys[0]}),
            ("story", {"keys": keys}),
            ("missing", {"keys": [[key, "sim://nowhere"] for key in keys]}),
            ("no such question", {}),
        ]
        op, args = rng.choice(questions)
        self.questions += 1
        client.ask(op, args, self._answered)

    def _answered(self, value: Any, failure: Any) -> None:
        self.questions -= 1
        assert self.questions >= 0, "a question was answered twice"

    def _place(self, client: SimClient, step: Step) -> None:
        op, args = placing.question(self.world.rng, step.op, step.keys, [worker.name for worker in self.plan.workers])
        self.questions += 1
        self.world.oracle.hurries |= not args.get("close", True) and args["timeout_s"] is not None

        def answered(value: Any, failure: Any) -> None:
            placing.check_answer(self.world, op, args, value, failure)
            placing.end_emptied(self.world)
            self._answered(value, failure)

        client.ask(op, args, answered)

    _do_replicate = _do_rebalance = _do_retire = _place

    def _do_restart(self, client: SimClient, step: Step) -> None:
        """`client.restart()`, where workers have no nannies: everything is forgotten, for every client, and they go on."""
        self.world.oracle.restarted()
        self.questions += 1
        client.ask("restart", {"wait": True, "timeout_s": 1.0}, self._answered)

    def _do_act(self, client: SimClient, step: Step) -> None:
        assert step.act is not None
        perform(client, step.act)

    def _do_watch(self, client: SimClient, step: Step) -> None:
        viewing.watch(self.world, client)

    def _do_leave(self, client: SimClient, step: Step) -> None:
        client.leave()

    def _do_share(self, client: SimClient, step: Step) -> None:
        """Futures go to another client by a road that keeps nothing alive: who comes too late hears that the key is lost."""
        other = self.world.clients[step.other % len(self.world.clients)]
        keys = [key for key in step.keys if client.live(key)]
        if other is not client and other.alive and not other.left and keys:
            self.world.oracle.loose.update(keys)
            other.after(self.world.network.delay(), other.want, keys)

    # --- faults

    def _strike(self, fault: Fault) -> None:
        world = self.world
        if world.trace is not None:
            world.trace.say(world.now(), f"{fault}")
        if fault.op == "scheduler_restart":
            world.restart_scheduler()
            return
        if fault.op == "scheduler_freeze":
            world.scheduler.freeze()
            world.clock.after(fault.for_s, world.scheduler.thaw)
            return
        if fault.op.startswith("client_"):
            self._strike_client(fault, world.clients[fault.target % len(world.clients)])
            return
        name = self.plan.workers[fault.target % len(self.plan.workers)].name
        worker = world.places.get(name)
        if worker is None:
            return
        if fault.op == "kill" or fault.op == "goodbye":
            if worker.alive:
                if fault.op == "kill":
                    world.kill(worker, nanny=fault.same_address)
                else:
                    self._goodbye(name)
                world.clock.after(fault.for_s, self._refill, name, fault.same_address)
        elif fault.op == "drop":
            world.drop_link(worker)
        elif fault.op == "stall":
            world.stall(worker)
            world.clock.after(fault.for_s, self._heal, name)
        elif fault.op == "freeze":
            worker.freeze()
            world.clock.after(fault.for_s, worker.thaw)
        elif fault.op == "spoil":
            worker.spoil()
        elif fault.op == "memory":
            worker.enter(worker.post, (MemoryShort(True),))
            worker.after(fault.for_s, worker.post, MemoryShort(False))
        else:
            world.fetch_fails[name] = world.fetch_fails.get(name, 0) + 1
            world.clock.after(fault.for_s, self._fetch_works, name)

    def _goodbye(self, name: str) -> None:
        worker = self.world.places[name]
        worker.enter(worker.stop, ())

    def _refill(self, name: str, same_address: bool) -> None:
        worker = self.world.places[name]
        if not worker.alive:
            self.world.restart(worker, same_address=same_address)

    def _heal(self, name: str) -> None:
        if name in self.world.stalled:
            self.world.heal(self.world.places[name])

    def _fetch_works(self, name: str) -> None:
        self.world.fetch_fails[name] -= 1

    def _strike_client(self, fault: Fault, client: SimClient) -> None:
        world = self.world
        if not client.alive or client.left:
            return
        if fault.op == "client_drop":
            world.drop_link(client)
        elif fault.op == "client_stall":
            world.stall(client)
            world.clock.after(fault.for_s, world.heal, client)
        else:
            client.road.vanish(fault.for_s)

    # --- progress

    def _calm(self) -> None:
        """Faults are over: every place is filled, every link is whole."""
        world = self.world
        if world.trace is not None:
            world.trace.say(world.now(), "calm")
        world.deaf_schedulers = False
        for name in list(world.stalled):
            everybody: list[SimWorker | SimClient] = [*world.places.values(), *world.clients]
            for who in everybody:
                if who.name == name:
                    world.heal(who)
        world.fetch_fails.clear()
        for place in self.plan.workers:
            worker = world.places[place.name]
            if worker.frozen:
                worker.thaw()
            if not worker.alive:
                world.restart(worker)
        if self.wants_usher:
            self.usher = Usher(world)
        self._sweep()

    def _sweep(self) -> None:
        """Now and then, somebody looks after workers that have retired and were not ended, since who asked has gone."""
        placing.end_emptied(self.world)
        self.world.clock.background(self.world.now() + 5.0, self._sweep)

    def _resolved(self) -> bool:
        world = self.world
        return (
            not world.pending()
            and not self.questions
            and all(self.usher is not None and client is self.usher.client for client, _ in world.ledger.pending())
            and not any(client.open_gathers for client in world.clients if client.alive and not client.left)
        )
