"""The functions that the workloads run. They live in a module of their own so that every worker of every engine can import them.

Nothing here knows an engine, but for `fib`, which has to ask its engine for a client from inside the task.
"""

from __future__ import annotations

import time
from typing import Any


def inc(x: int) -> int:
    return x + 1


def add(x: int, y: int) -> int:
    return x + y


def total(values: list[int]) -> int:
    return sum(values)


def total_of(*values: int) -> int:
    return sum(values)


def burn(cpu_s: float) -> None:
    """Use `cpu_s` seconds of this thread's processor time, whoever else wants the core: time that is stolen from the task is not counted as work."""
    if cpu_s > 0:
        clock = time.thread_time
        end = clock() + cpu_s
        while clock() < end:
            pass


def point(cpu_s: float, column: int, run: int, *before: int) -> int:
    """One point of a Task Bench graph: works, and returns how many steps lie behind it, so that a lost or wrong dependency is seen at the end."""
    burn(cpu_s)
    return 1 + max(before, default=0)


def array(nbytes: int, seed: int) -> Any:
    """Random bytes, so that nothing is won by compressing them."""
    import numpy as np

    return np.frombuffer(np.random.default_rng(seed).bytes(nbytes), dtype=np.uint8)


def digest(data: Any) -> tuple[int, int]:
    """Size and a checksum over a thin slice: cheap enough not to be measured."""
    return int(data.nbytes), int(data[:: max(1, data.nbytes // 1000)].astype("int64").sum())


def fib(engine: str, n: int, run: int) -> int:
    """Fibonacci numbers by tasks that submit tasks: 2 * fib(n + 1) - 1 runs in all, since `run` and purity are chosen so that no two are shared."""
    if n < 2:
        return n
    from benchmarks.system.engines import fork_join

    return sum(fork_join(engine, fib, [(engine, n - 1, run), (engine, n - 2, run)]))


class Counter:
    """The actor of the actor workloads."""

    def __init__(self) -> None:
        self.n = 0

    def increment(self) -> int:
        self.n += 1
        return self.n
