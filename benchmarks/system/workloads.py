"""The workloads, each written once for all engines.

A workload is a function of an engine (started, warmed up) and a scale (1 for the full size, less with `--quick`). It returns its samples by metric:
one number or several. It checks every result that it gets: an engine that is quick and wrong fails. Which metrics there are, and in which unit, is
said in `METRICS`, what a workload needs of its engine in `WORKLOADS`. `import` and `cold` have no warm engine: `child` measures them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from time import perf_counter, sleep
from typing import Any, Literal, NamedTuple

from benchmarks.system import metg, tasks
from benchmarks.system.engines.base import Engine

Samples = dict[str, list[float]]


class WrongResult(Exception):
    """An engine returned something else than plain Python does."""


class Metric(NamedTuple):
    title: str
    unit: str
    better: Literal["higher", "lower"]


class Workload(NamedTuple):
    run: Callable[[Engine, float], Samples]
    metrics: tuple[str, ...]
    needs: frozenset[str]
    limit_s: float  #: one run in one engine, start included, takes no longer or is killed


_fresh_numbers = count(1_000_000_007, 1_000_003)


def fresh(n: int) -> range:
    """`n` numbers that no task of this run has had: no engine may answer from an earlier result."""
    start = next(_fresh_numbers) * 1_000
    return range(start, start + n)


def expect(got: Any, wanted: Any) -> None:
    """Raises `WrongResult` unless they are equal."""
    if got != wanted:
        raise WrongResult(f"got {str(got)[:100]}, expected {str(wanted)[:100]}")


def quiet(engine: Engine) -> None:
    """Let an engine clean up after a measurement (released tasks travel in the background) before the next one starts. Not measured."""
    for _ in range(5):
        sleep(0.05)
        x = fresh(1)[0]
        expect(engine.result(engine.submit(tasks.inc, x)), x + 1)


def warm_up(engine: Engine) -> None:
    """Both workers have run something and know the functions."""
    numbers = fresh(200)
    expect(engine.gather(engine.map(tasks.inc, numbers)), [x + 1 for x in numbers])
    if "dependencies" in engine.features:
        futures = [engine.submit(tasks.add, x, engine.submit(tasks.inc, x)) for x in numbers[:20]]
        expect(engine.gather(futures), [2 * x + 1 for x in numbers[:20]])
    quiet(engine)


def _size(n: int, scale: float) -> int:
    return max(1, round(n * scale))


# --- many small tasks


def round_trip(engine: Engine, scale: float) -> Samples:
    """`submit(inc, i).result()`, one after the other, for a second or two. The median of them."""
    times = []
    end = perf_counter() + 2.5 * max(scale, 0.3)
    for x in fresh(2_000):
        start = perf_counter()
        if start > end:
            break
        result = engine.result(engine.submit(tasks.inc, x))
        times.append(perf_counter() - start)
        expect(result, x + 1)
    times.sort()
    return {"round trip p50": [times[len(times) // 2] * 1e3], "round trip p99": [times[len(times) * 99 // 100] * 1e3]}


def _map_gather(engine: Engine, n: int) -> float:
    numbers = fresh(n)
    start = perf_counter()
    results = engine.gather(engine.map(tasks.inc, numbers))
    elapsed = perf_counter() - start
    expect(results, [x + 1 for x in numbers])
    return elapsed


def map_10k(engine: Engine, scale: float) -> Samples:
    n = _size(10_000, scale)
    return {"map 10k": [n / _map_gather(engine, n)]}


def map_50k(engine: Engine, scale: float) -> Samples:
    n = _size(50_000, scale)
    return {"map 50k": [n / _map_gather(engine, n)]}


def submit_5k(engine: Engine, scale: float) -> Samples:
    """A plain loop of `submit`, then `gather`. Also how long one call of `submit` keeps its caller."""
    numbers = fresh(_size(5_000, scale))
    start = perf_counter()
    futures = [engine.submit(tasks.inc, x) for x in numbers]
    submitted = perf_counter()
    results = engine.gather(futures)
    elapsed = perf_counter() - start
    expect(results, [x + 1 for x in numbers])
    return {"submit 5k": [len(numbers) / elapsed], "submit call": [(submitted - start) / len(numbers) * 1e6]}


# --- graphs


def chain(engine: Engine, scale: float) -> Samples:
    """A line of dependent tasks: nothing runs in parallel, every link costs the engine's latency."""
    n = _size(1_000, scale)
    first = fresh(1)[0]
    start = perf_counter()
    future = engine.submit(tasks.inc, first)
    for _ in range(n - 1):
        future = engine.submit(tasks.inc, future)
    result = engine.result(future)
    elapsed = perf_counter() - start
    expect(result, first + n)
    return {"chain": [n / elapsed]}


def tree(engine: Engine, scale: float) -> Samples:
    """Leaves, then sums of pairs until one is left: 8,191 tasks of 4,096 leaves."""
    leaves = 4_096 if scale >= 1 else 512
    numbers = fresh(leaves)
    start = perf_counter()
    level = engine.map(tasks.inc, numbers)
    while len(level) > 1:
        level = [engine.submit(tasks.add, level[i], level[i + 1]) for i in range(0, len(level), 2)]
    result = engine.result(level[0])
    elapsed = perf_counter() - start
    expect(result, sum(numbers) + leaves)
    return {"tree": [(2 * leaves - 1) / elapsed]}


def evolving(engine: Engine, scale: float) -> Samples:
    """`as_completed` over 200 futures; each one that completes adds another, until 2,200 were made."""
    first, last = _size(200, scale), _size(2_200, scale)
    numbers = fresh(last)
    more: Iterator[int] = iter(numbers[first:])
    results = []
    start = perf_counter()
    completed = engine.as_completed(engine.map(tasks.inc, numbers[:first]))
    for future in completed:
        results.append(engine.result(future))
        for x in more:
            completed.add(engine.submit(tasks.inc, x))
            break
    elapsed = perf_counter() - start
    expect(sorted(results), [x + 1 for x in numbers])
    return {"evolving": [last / elapsed]}


def fib(engine: Engine, scale: float) -> Samples:
    """fib(9) by tasks that submit tasks, secede, gather and rejoin: 109 tasks."""
    n, value, runs = (9, 34, 109) if scale >= 1 else (6, 8, 25)
    expect(engine.result(engine.submit(tasks.fib, engine.name, 4, fresh(1)[0])), 3)  # the workers have what a client inside a task needs
    quiet(engine)
    start = perf_counter()
    result = engine.result(engine.submit(tasks.fib, engine.name, n, fresh(1)[0]))
    elapsed = perf_counter() - start
    expect(result, value)
    return {"fib": [runs / elapsed]}


def fan_in(engine: Engine, scale: float) -> Samples:
    """One task over 2,000 finished futures."""
    numbers = fresh(_size(2_000, scale))
    futures = engine.map(tasks.inc, numbers)
    engine.wait(futures)
    quiet(engine)
    start = perf_counter()
    result = engine.result(engine.submit_over(futures))
    elapsed = perf_counter() - start
    expect(result, sum(numbers) + len(numbers))
    return {"fan-in": [elapsed * 1e3]}


# --- large data

ARRAY_NBYTES = 200_000_000


def scatter(engine: Engine, scale: float) -> Samples:
    nbytes = _size(ARRAY_NBYTES, scale)
    data = tasks.array(nbytes, fresh(1)[0])
    start = perf_counter()
    future = engine.scatter(data)
    elapsed = perf_counter() - start
    expect(engine.result(engine.submit(tasks.digest, future)), tasks.digest(data))
    return {"scatter": [nbytes / elapsed / 1e9]}


def result(engine: Engine, scale: float) -> Samples:
    """`result()` of an array that a task has made."""
    nbytes, seed = _size(ARRAY_NBYTES, scale), fresh(1)[0]
    wanted = tasks.digest(tasks.array(nbytes, seed))
    future = engine.submit(tasks.array, nbytes, seed)
    engine.wait([future])
    quiet(engine)
    start = perf_counter()
    data = engine.result(future)
    elapsed = perf_counter() - start
    expect(tasks.digest(data), wanted)
    return {"result": [nbytes / elapsed / 1e9]}


def transfer(engine: Engine, scale: float) -> Samples:
    """An array on one worker, a task on the other."""
    nbytes, seed = _size(ARRAY_NBYTES, scale), fresh(1)[0]
    wanted = tasks.digest(tasks.array(nbytes, seed))
    expect(engine.result(engine.submit_on(1, tasks.digest, engine.submit_on(1, tasks.array, 1_000, seed))), tasks.digest(tasks.array(1_000, seed)))
    future = engine.submit_on(0, tasks.array, nbytes, seed)
    engine.wait([future])
    quiet(engine)
    start = perf_counter()
    got = engine.result(engine.submit_on(1, tasks.digest, future))
    elapsed = perf_counter() - start
    expect(tuple(got), wanted)
    return {"transfer": [nbytes / elapsed / 1e9]}


# --- how cost grows


def growth(engine: Engine, scale: float) -> Samples:
    """Time per task of map + gather at 10,000 (median of five) and at 1,000,000 tasks."""
    small, large = 10_000, _size(1_000_000, scale)
    few = []
    for _ in range(5):
        few.append(_map_gather(engine, small) / small * 1e6)
        quiet(engine)
    many = _map_gather(engine, large) / large * 1e6
    few.sort()
    return {"task at 10k": [few[2]], "task at 1M": [many], "growth": [many / few[2]]}


def memory(engine: Engine, scale: float) -> Samples:
    """What the scheduler's process grows by for each finished small task whose future is held."""
    import psutil

    scheduler = psutil.Process(engine.scheduler_pid())
    n = _size(200_000, scale)
    held = engine.map(tasks.inc, fresh(n // 10))  # (the process has its working memory by now)
    engine.wait(held)
    quiet(engine)
    before = scheduler.memory_info().rss
    more = engine.map(tasks.inc, fresh(n))
    engine.wait(more)
    quiet(engine)
    after = scheduler.memory_info().rss
    expect(len(held) + len(more), n // 10 + n)
    return {"memory": [(after - before) / n]}


# --- actors and queues


def actors(engine: Engine, scale: float) -> Samples:
    actor = engine.actor(tasks.Counter)
    one_by_one, at_once = _size(500, scale), _size(2_000, scale)
    times = []
    for i in range(one_by_one):
        start = perf_counter()
        got = engine.actor_results([engine.call_actor(actor)])
        times.append(perf_counter() - start)
        expect(got, [i + 1])
    start = perf_counter()
    results = engine.actor_results([engine.call_actor(actor) for _ in range(at_once)])
    elapsed = perf_counter() - start
    wanted = list(range(one_by_one + 1, one_by_one + at_once + 1))
    expect(results if "ordered" in engine.features else sorted(results), wanted)
    times.sort()
    return {"actor call p50": [times[len(times) // 2] * 1e3], "actor calls": [at_once / elapsed]}


def queues(engine: Engine, scale: float) -> Samples:
    queue = engine.queue()
    times = []
    for x in range(_size(500, scale)):
        start = perf_counter()
        queue.put(x)
        got = queue.get()
        times.append(perf_counter() - start)
        expect(got, x)
    times.sort()
    return {"queue p50": [times[len(times) // 2] * 1e3]}


def _metg(pattern: str) -> Callable[[Engine, float], Samples]:
    def run(engine: Engine, scale: float) -> Samples:
        return {f"metg {pattern}": [metg.metg_s(engine, pattern, next(_fresh_numbers), thorough=scale >= 1) * 1e3]}

    return run


METRICS: dict[str, Metric] = {
    "import": Metric("import", "ms", "lower"),
    "cold": Metric("start until the first result", "s", "lower"),
    "round trip p50": Metric("round trip, p50", "ms", "lower"),
    "round trip p99": Metric("round trip, p99", "ms", "lower"),
    "map 10k": Metric("map + gather, 10,000", "tasks/s", "higher"),
    "map 50k": Metric("map + gather, 50,000", "tasks/s", "higher"),
    "submit 5k": Metric("5,000 x submit, gather", "tasks/s", "higher"),
    "submit call": Metric("one call of submit", "us", "lower"),
    "chain": Metric("chain of 1,000", "tasks/s", "higher"),
    "tree": Metric("tree over 4,096 leaves", "tasks/s", "higher"),
    "evolving": Metric("evolving, 200 to 2,200", "tasks/s", "higher"),
    "fib": Metric("fib(9), tasks from tasks", "tasks/s", "higher"),
    "fan-in": Metric("fan-in of 2,000", "ms", "lower"),
    "scatter": Metric("scatter 200 MB", "GB/s", "higher"),
    "result": Metric("result of 200 MB", "GB/s", "higher"),
    "transfer": Metric("worker to worker, 200 MB", "GB/s", "higher"),
    "metg trivial": Metric("METG(50 %), trivial", "ms", "lower"),
    "metg stencil": Metric("METG(50 %), stencil", "ms", "lower"),
    "metg fft": Metric("METG(50 %), FFT", "ms", "lower"),
    "task at 10k": Metric("time per task at 10,000", "us", "lower"),
    "task at 1M": Metric("time per task at 1,000,000", "us", "lower"),
    "growth": Metric("growth, 10,000 to 1,000,000", "x", "lower"),
    "memory": Metric("scheduler, per held task", "bytes", "lower"),
    "actor call p50": Metric("actor call, p50", "ms", "lower"),
    "actor calls": Metric("actor calls", "calls/s", "higher"),
    "queue p50": Metric("queue put + get, p50", "ms", "lower"),
}

_GRAPH = frozenset({"dependencies"})
_PROCESSES = frozenset({"processes"})


def _measured_in_child(engine: Engine, scale: float) -> Samples:
    """The child measures `import` and `cold` itself, on its way to a warm engine."""
    return {}


WORKLOADS: dict[str, Workload] = {
    "import": Workload(_measured_in_child, ("import",), frozenset(), 30),
    "cold": Workload(_measured_in_child, ("cold",), frozenset(), 60),
    "roundtrip": Workload(round_trip, ("round trip p50", "round trip p99"), frozenset(), 60),
    "map10k": Workload(map_10k, ("map 10k",), frozenset(), 90),
    "map50k": Workload(map_50k, ("map 50k",), frozenset(), 240),
    "submit5k": Workload(submit_5k, ("submit 5k", "submit call"), frozenset(), 90),
    "chain": Workload(chain, ("chain",), _GRAPH, 60),
    "tree": Workload(tree, ("tree",), _GRAPH, 90),
    "evolving": Workload(evolving, ("evolving",), frozenset(), 60),
    "fib": Workload(fib, ("fib",), frozenset({"nested"}), 90),
    "fanin": Workload(fan_in, ("fan-in",), _GRAPH, 60),
    "scatter": Workload(scatter, ("scatter",), frozenset({"scatter", "processes"}), 60),
    "result": Workload(result, ("result",), frozenset({"scatter", "processes"}), 60),
    "transfer": Workload(transfer, ("transfer",), frozenset({"place"}), 60),
    "metg-trivial": Workload(_metg("trivial"), ("metg trivial",), _PROCESSES, 150),
    "metg-stencil": Workload(_metg("stencil"), ("metg stencil",), _PROCESSES | _GRAPH, 150),
    "metg-fft": Workload(_metg("fft"), ("metg fft",), _PROCESSES | _GRAPH, 150),
    "growth": Workload(growth, ("task at 10k", "task at 1M", "growth"), frozenset({"million"}), 240),
    "memory": Workload(memory, ("memory",), frozenset({"memory"}), 120),
    "actors": Workload(actors, ("actor call p50", "actor calls"), frozenset({"actors"}), 60),
    "queues": Workload(queues, ("queue p50",), frozenset({"queues"}), 60),
}
