"""METG(50 %): the minimum effective task granularity of Task Bench (Slaughter et al., SC20).

A graph of `WIDTH` columns and many steps; each point burns a given processor time and takes what its pattern says of the step before. Efficiency is
the time burnt over the time that the cores had. METG(50 %) is the shortest task at which efficiency still is one half: shorter tasks are mostly
overhead. Task time is bisected on a logarithmic scale; the number of steps is chosen so that one run takes about half a second. The client's own work
(a `submit` per point) is part of the run, as it is for every user.
"""

from __future__ import annotations

from math import sqrt
from time import perf_counter
from typing import Any

from benchmarks.system import tasks
from benchmarks.system.engines.base import WORKERS, Engine

WIDTH = 8
STEPS_MIN, STEPS_MAX = 10, 1_000
RUN_S = 0.5


def before(pattern: str, step: int, column: int) -> list[int]:
    """The columns of the step before that a point takes.

    >>> before("stencil", 1, 0), before("stencil", 1, 3), before("fft", 1, 3), before("fft", 3, 1)
    ([0, 1], [2, 3, 4], [2, 3, 4], [1, 5])
    """
    if step == 0 or pattern == "trivial":
        return []
    reach = 1 if pattern == "stencil" else 1 << ((step - 1) % (WIDTH.bit_length() - 1))
    return [c for c in (column - reach, column, column + reach) if 0 <= c < WIDTH]


def efficiency(engine: Engine, pattern: str, cpu_s: float, steps: int, run: int) -> float:
    """Run one graph; the share of the cores' time that went to tasks."""
    points: list[list[Any]] = []
    start = perf_counter()
    for step in range(steps):
        row = [engine.submit(tasks.point, cpu_s, c + step * WIDTH, run, *[points[-1][b] for b in before(pattern, step, c)]) for c in range(WIDTH)]
        points.append(row)
    if pattern == "trivial":
        results = engine.gather([future for row in points for future in row])
    else:
        results = engine.gather(points[-1])
    elapsed = perf_counter() - start
    if set(results) != {1 if pattern == "trivial" else steps}:
        raise ValueError(f"the {pattern} graph lost dependencies: {sorted(set(results))[:5]} instead of {steps}")
    return steps * WIDTH * cpu_s / (elapsed * WORKERS)


def metg_s(engine: Engine, pattern: str, run: int, thorough: bool) -> float:
    """METG(50 %) in seconds, to within 10 % (a quarter when not `thorough`)."""
    runs = iter(range(run * 1_000, run * 1_000 + 1_000))

    def measure(cpu_s: float) -> float:
        steps = int(min(STEPS_MAX, max(STEPS_MIN, RUN_S * WORKERS / 2 / WIDTH / cpu_s)))
        return max(efficiency(engine, pattern, cpu_s, steps, next(runs)) for _ in range(2 if thorough else 1))

    low = high = 0.001
    if measure(high) < 0.5:
        while measure(high := high * 2) < 0.5:
            low = high
            if high > 1:
                raise ValueError("no task shorter than a second reaches an efficiency of one half")
    else:
        while measure(low := low / 2) >= 0.5:
            high = low
            if low < 2e-6:
                return high
    while high / low > (1.1 if thorough else 1.25):
        middle = sqrt(low * high)
        if measure(middle) < 0.5:
            low = middle
        else:
            high = middle
    return sqrt(low * high)
