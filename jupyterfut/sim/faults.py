"""What goes wrong, and when: the random blows of a seed.

Faults are written down before the clock starts (`workload.Fault`), so that a plan can be shrunk. Each of them heals by itself, and after the last one
the cluster has all of its workers again: from then on the simulator demands progress.
"""

from __future__ import annotations

from random import Random

from jupyterfut.sim.workload import Fault

WORKER_BLOWS = ("kill", "drop", "stall", "freeze", "fetch", "goodbye", "spoil", "memory")
CLIENT_BLOWS = ("client_drop", "client_stall", "client_vanish")


def random_faults(rng: Random, workers: int, clients: int, horizon_s: float) -> list[Fault]:
    """A few blows, for most seeds; for one in six none at all."""
    count = rng.choice((0, 1, 2, 3, 5, 8))
    favourite = rng.choice(WORKER_BLOWS)
    faults = []
    for _ in range(count):
        at = rng.uniform(0.0, horizon_s * 1.5)
        if rng.random() < 0.2:
            op = rng.choice(CLIENT_BLOWS)
            for_s = {"client_drop": rng.uniform(0.0, 4.0), "client_stall": rng.uniform(0.0, 10.0), "client_vanish": rng.uniform(0.0, 80.0)}[op]
            faults.append(Fault(at, op, rng.randrange(clients), for_s))
            continue
        if rng.random() < 0.03:
            op = rng.choice(("scheduler_restart", "scheduler_freeze", "scheduler_freeze"))
            faults.append(Fault(at, op, 0, rng.choice((0.1, 1.0, 20.0, 60.0)) if op == "scheduler_freeze" else 0.0))
            continue
        op = favourite if rng.random() < 0.5 else rng.choice(WORKER_BLOWS)
        for_s = {
            "kill": rng.choice((0.0, 0.01, rng.uniform(0.0, 5.0))),
            "drop": 0.0,
            "spoil": 0.0,
            "memory": rng.uniform(0.0, 5.0),
            "stall": rng.choice((rng.uniform(0.0, 3.0), rng.uniform(3.0, 90.0))),
            "freeze": rng.choice((rng.uniform(0.0, 3.0), rng.uniform(3.0, 90.0))),
            "fetch": rng.uniform(0.0, 5.0),
            "goodbye": rng.uniform(0.0, 2.0),
        }[op]
        faults.append(Fault(at, op, rng.randrange(workers), for_s, same_address=rng.random() < 0.5))
    faults.sort(key=lambda fault: fault.at)
    return faults
