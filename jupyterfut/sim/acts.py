"""What users and tasks do with queues, variables, locks and the rest, in a random plan.

A `workload.Act` is one use of one primitive: put, get, acquire and hold and release, wait ... `coordinating` performs it, `ledger` judges what comes
of it. A client's script has acts, and so may a call: then the task performs them, one after the other, before it returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from jupyterfut.ids import Key
from jupyterfut.sim.workload import Act, Program, Step

PRIMITIVES = ("queue", "variable", "lock", "semaphore", "multilock", "event", "pubsub")


MAXSIZES = {"q-a": 0, "q-b": 1, "q-c": 3, "q-closed": 2}
"""The queues. Those whose names end in `closed` are closed now and then, and so are such semaphores."""

LEASES = {"s-a": 1, "s-b": 3, "s-closed": 2}
NAMES = ("m-1", "m-2", "m-3", "m-4")


class Director:
    """Writes the acts of one seed."""

    def __init__(self, rng: Random, known: Sequence[Key]) -> None:
        self.rng = rng
        self.known = known  # calls without inputs, which anybody can submit
        self.favourite = rng.choice((*PRIMITIVES, "queue", "queue"))
        self.with_futures = rng.choice((0.0, 0.3, 0.8))
        self.interrupted = rng.choice((0.0, 0.0, 0.3, 0.6))  # shares of acts

    def act(self, *, in_task: bool) -> Act:
        """One act. One that a task performs is never interrupted."""
        rng = self.rng
        primitive = self.favourite if rng.random() < 0.5 else rng.choice(PRIMITIVES)
        timeout_s = rng.choice((None, None, None, 0.0, 0.05, 1.0, 20.0))
        patience_s = rng.choice((0.0, 0.001, 0.003, 0.01, 0.1, 3.0)) if not in_task and rng.random() < self.interrupted else None
        hold_s = rng.choice((0.0, 0.0, 0.01, 0.3, 2.0))
        if primitive == "queue":
            act = self._queue(rng.choice(list(MAXSIZES)))
        elif primitive == "variable":
            act = Act(rng.choices(("set", "read", "delete"), (5, 5, 1))[0], rng.choice(("v-1", "v-2")), keys=self._keys(), nbytes=self._nbytes())
        elif primitive == "lock":
            act = Act("lock", rng.choice(("l-1", "l-2")), hold_s=hold_s)
        elif primitive == "semaphore":
            name = rng.choice(list(LEASES))
            if name.endswith("closed") and rng.random() < 0.2:
                act = Act("close_semaphore", name)
            else:
                act = Act("semaphore", name, hold_s=hold_s, n=rng.randint(1, LEASES[name]))
        elif primitive == "multilock":
            names = tuple(rng.sample(NAMES, rng.randint(1, len(NAMES))))
            act = Act("multilock", "", names, hold_s=hold_s, n=rng.randint(1, len(names)) if rng.random() < 0.3 else len(names))
        elif primitive == "event":
            act = Act(rng.choices(("event_set", "event_clear", "event_wait"), (2, 1, 4))[0], rng.choice(("e-1", "e-2")))
        else:
            act = Act("subscribe", rng.choice(("t-1", "t-2")), hold_s=hold_s)
        return act._replace(timeout_s=timeout_s, patience_s=patience_s, reads=rng.random() < 0.7)

    def _queue(self, name: str) -> Act:
        rng = self.rng
        if name.endswith("closed") and rng.random() < 0.1:
            return Act("close_queue", name)
        kind = rng.choices(("put", "get", "size"), (10, 9, 1))[0]
        if kind == "put":
            return Act("put", name, keys=self._keys(), nbytes=self._nbytes())
        return Act(kind, name, batch=rng.choice((None, None, None, -1, 1, 2, 4)))

    def _keys(self) -> tuple[Key, ...]:
        rng = self.rng
        if not self.known or rng.random() >= self.with_futures:
            return ()
        return tuple(rng.sample(self.known, min(len(self.known), rng.choice((1, 1, 2)))))

    def _nbytes(self) -> int:
        return 5_000 if self.rng.random() < 0.1 else 40


def with_actors(rng: Random, program: Program) -> None:
    """For every third seed: some calls make actors. What is their value here is their description, which is all that ever travels of one."""
    if rng.random() < 0.67:
        return
    share = rng.choice((0.05, 0.2))
    for key, call in list(program.calls.items()):
        if call.body == "value" and rng.random() < share:
            program.calls[key] = replace(call, options=call.options._replace(actor=True), nbytes=40)


def limit_of(name: str) -> int:
    """How often this lock, semaphore, or name of a multilock may be held at once."""
    return LEASES.get(name, 1)


def with_acts(rng: Random, program: Program, clients: int, horizon_s: float) -> list[Step]:
    """For every other seed: acts in some calls of the program, and the steps of a few clients."""
    if rng.random() < 0.5:
        return []
    share = rng.choice((0.0, 0.05, 0.2))
    acting = [key for key in program.calls if rng.random() < share]
    simple = [key for key, call in program.calls.items() if not (call.dependencies or call.held or call.children)]
    director = Director(rng, [key for key in simple if key not in acting])  # whose tasks act themselves are not sent: they might go round in circles
    for key in acting:
        program.calls[key] = replace(program.calls[key], acts=tuple(director.act(in_task=True) for _ in range(rng.choice((1, 1, 2)))))
    steps = []
    for _ in range(rng.choice((2, 6, 12))):
        at = rng.uniform(0.0, horizon_s + 1.0)
        client = rng.randrange(clients)
        for _ in range(rng.choice((1, 2, 5))):  # a few at once: their order counts
            steps.append(Step(at, client, "act", act=director.act(in_task=False)))
    return steps
