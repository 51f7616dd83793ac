"""Users who move data and retire workers, in a random plan.

`place` is one thing that a client asks for: `replicate`, `rebalance` (of its own keys, or of everything), `retire` (by name, by number, with and
without a deadline, of too many). What it may ask and what it may hear is here; `runs` waits for every answer.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from jupyterfut.ids import Key
from jupyterfut.sim.workload import Program, Step

if TYPE_CHECKING:
    from jupyterfut.sim.workers import SimWorker
    from jupyterfut.sim.world import World
    from jupyterfut.wire.messages import Failure

PLACING = ("replicate", "rebalance", "retire")

MAY_FAIL = ("NoSuchKey", "NotCopied", "NotRetired", "ValueError", "ClosedError", "ConnectionFailed")
"""The last two: the client has left, or its session is over."""


def placing_steps(rng: Random, clients: int, horizon_s: float, keys: list[Key], program: Program) -> list[Step]:
    """A few of them, for every other seed; most are about data that was scattered, if there is any."""
    data = list(program.data)
    steps = []
    for _ in range(rng.choice((0, 0, 0, 1, 2, 4))):
        pool = data if data and rng.random() < 0.6 else keys
        some = tuple(rng.sample(pool, min(len(pool), rng.choice((1, 2, 5)))))
        steps.append(Step(rng.uniform(0.0, horizon_s + 1.5), rng.randrange(clients), rng.choice(PLACING), some))
    return steps


def question(rng: Random, op: str, keys: tuple[Key, ...], names: list[str]) -> tuple[str, dict[str, Any]]:
    """One request, and its arguments."""
    some = rng.sample(names, rng.randint(1, len(names)))
    if op == "replicate":
        n = rng.choice((None, None, 1, 2, 100, 0))
        return "replicate", {"keys": list(keys), "n": n, "workers": rng.choice((None, None, some)), "branching_factor": rng.choice((1, 2))}
    if op == "rebalance":
        return "rebalance", {"keys": rng.choice((None, list(keys))), "workers": rng.choice((None, some))}
    how = {"timeout_s": rng.choice((None, None, 0.0, 0.5)), "close": rng.random() < 0.7}
    if rng.random() < 0.5:
        return "retire_workers", {"workers": rng.choice((names[:1], some)), **how}
    return "retire_workers", {"n": rng.choice((None, 1, 1, 2)), "minimum": rng.choice((0, 1)), "idle_only": rng.random() < 0.3, **how}


def end_emptied(world: World) -> None:
    """The owner of the workers ends those that have retired and stand by."""
    leaving = world.scheduler.machine.retirement.leaving
    for state in list(world.scheduler.machine.state.workers.values()):
        worker = world.by_address[state.address]
        if state.retiring and state not in leaving and worker.alive and not worker.frozen:
            worker.stop()
            world.clock.after(0.1, _replace, world, worker)


def _replace(world: World, worker: SimWorker) -> None:
    if world.places[worker.name] is worker:
        world.restart(worker)


def check_answer(world: World, op: str, args: dict[str, Any], value: Any, failure: Failure | None) -> None:
    """An answer has come."""
    if failure is not None:
        assert failure.kind in MAY_FAIL, f"{op} {args} failed with {failure.kind}: {failure.text}"
        assert failure.text, f"{op} {args} failed with {failure.kind} and says no more"
    elif op == "retire_workers":
        here = world.scheduler.machine.state.workers
        for address, facts in value.items():
            worker = here.get(address)
            gone = worker is None or worker.retiring or worker.pid != facts["pid"] or _stays(world, address)
            assert gone, f"{facts['name']} at {address} has retired and is here"


def _stays(world: World, address: str) -> bool:
    """Whether the last that was heard of a worker's coming and going is that it could not retire. One whose link broke counts as gone for those who
    asked; if it is back, and nobody is there any more who could take over, it works on."""
    happened = [what for _, _, what, _ in world.scheduler.machine.journal.story(address) if what.startswith("worker ")]
    return happened[-1:] == ["worker stays"]
