"""Seeds: run one, run many, tell the story of one that failed, and make it smaller.

A seed is run with its invariants checked after every `check_every`-th event of each node. One that fails is run again with a check after every event,
which names the event that broke something, and then shrunk: workers, clients, steps and faults are left out of its plan as long as it still fails in
the same place. What remains is printed with the story of the keys concerned.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from jupyterfut.sim.rest import leftovers
from jupyterfut.sim.runs import Run
from jupyterfut.sim.trace import Trace
from jupyterfut.sim.workload import Plan, random_plan

SHRINK_RUNS = 400
"""At most so many runs to make a failing plan smaller."""


@dataclass(frozen=True, slots=True)
class Failed:
    """How a plan failed. `place` is where the error was raised: for shrinking, two runs that fail in the same place fail for the same reason."""

    plan: Plan
    error: str
    place: str
    report: str
    run: Run


def run_plan(plan: Plan, *, check_every: int = 1, trace: Trace | None = None) -> Failed | int:
    """Run a plan to its end. The number of events that the machines handled, or how it failed."""
    run = Run(plan, check_every=check_every, trace=trace)
    try:
        run.go()
    except Exception as error:  # noqa: BLE001  whatever a machine raises is a finding, and is told below with its traceback
        frames = traceback.extract_tb(error.__traceback__)
        last = frames[-1]
        text = f"{type(error).__name__}: {error}"
        return Failed(plan, text, f"{last.filename.rpartition('/')[2]}:{last.name}:{type(error).__name__}", traceback.format_exc(), run)
    return run.world.events


def run_seed(seed: int, *, check_every: int = 1, trace: Trace | None = None) -> Failed | int:
    """Run the plan of a seed."""
    return run_plan(random_plan(seed), check_every=check_every, trace=trace)


def shrink(failed: Failed, runs: int = SHRINK_RUNS) -> Failed:
    """A smaller plan that fails in the same place, by leaving things out."""
    left = runs
    best = failed

    def attempt(plan: Plan) -> Failed | None:
        nonlocal left
        left -= 1
        again = run_plan(plan)
        return again if isinstance(again, Failed) and again.place == failed.place else None

    def without(parts: list[Any], put: Callable[[Plan, list[Any]], Plan]) -> None:
        """Leave out ever smaller slices of a list."""
        nonlocal best
        size = max(len(parts) // 2, 1)
        while parts and left > 0:
            start = 0
            while start < len(parts) and left > 0:
                rest = parts[:start] + parts[start + size :]
                smaller = attempt(put(best.plan, rest))
                if smaller is not None:
                    best, parts = smaller, rest
                else:
                    start += size
            if size == 1:
                break
            size = max(size // 2, 1)

    best = attempt(best.plan) or best
    before = -1
    while left > 0 and before != _size(best.plan):
        before = _size(best.plan)
        without(best.plan.faults, lambda plan, rest: replace(plan, faults=rest))
        without(best.plan.script, lambda plan, rest: replace(plan, script=rest))
        without(best.plan.workers[1:], lambda plan, rest: replace(plan, workers=[plan.workers[0], *rest]))
        without(_wide_steps(best.plan), _narrow)
    return best


def _size(plan: Plan) -> int:
    return len(plan.faults) + len(plan.workers) + sum(1 + len(step.keys) for step in plan.script)


def _wide_steps(plan: Plan) -> list[Any]:
    """(index of a step, one of its keys), for steps of several keys."""
    return [(index, key) for index, step in enumerate(plan.script) if len(step.keys) > 1 for key in step.keys]


def _narrow(plan: Plan, kept: list[Any]) -> Plan:
    wide = {index for index, _ in _wide_steps(plan)}
    keys: dict[int, list[Any]] = {index: [] for index in wide}
    for index, key in kept:
        keys.setdefault(index, []).append(key)
    script = [step._replace(keys=tuple(keys[i])) if i in wide and keys[i] else step for i, step in enumerate(plan.script) if i not in wide or keys[i]]
    return replace(plan, script=script)


def describe(failed: Failed) -> str:
    """What a failing plan was, how it failed, what is left, and the story of the keys that the error names."""
    plan, world = failed.plan, failed.run.world
    lines = [f"--- seed {plan.seed}: {failed.error}", f"    at {world.now():.5f} s, after {world.events} events, in {failed.place}", ""]
    lines += [f"    {worker}" for worker in plan.workers]
    lines.append(f"    {plan.clients} clients, delay_s {plan.delay_s}, notice_s {plan.notice_s}, one_process {plan.one_process}")
    lines += [f"    {plan.config}", f"    {plan.worker_settings}"]
    named = {key for step in plan.script for key in step.keys}
    for key in [key for key in plan.program.calls if key in named]:
        lines.append(f"    {plan.program.calls[key]}")
    lines += [f"    {step}" for step in plan.script]
    lines += [f"    {fault}" for fault in plan.faults]
    lines += ["", failed.report.rstrip(), "", "left over:", leftovers(world), ""]
    every = set(plan.program.calls) | set(plan.program.data)
    concerned = [word for word in dict.fromkeys(re.findall(r"[a-z]+(?:-\d+)+", failed.error)) if word in every]
    if concerned:
        lines.append(f"the story of {', '.join(concerned[:3])}:")
        for at, who, about, what, detail in world.story(*concerned[:3]):
            lines.append(f"  {at:10.5f} {who:>16} {about:>12}: {what} {'' if detail is None else detail}")
    return "\n".join(lines)
