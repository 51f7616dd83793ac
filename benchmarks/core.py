"""How many tasks a second each pure machine can take, without sockets, threads or pickling: `python -m benchmarks.core [--quick] [--json FILE]`.

A driver plays the rest of the cluster: it makes messages as they come out of the decoder, hands them to the machine, and answers the machine's
effects. Only the processor time inside `handle` is counted (and `state.hold`, which the client's calls pay). Every run ends with a check that all
tasks were finished and, once released, that nothing is left. Each run has a fresh process, so that one does not inherit the other's heap.

Scheduler: a client submits in batches, workers report what they were sent in batches of at most `REPORT_ROWS`, the client hears of it and releases
all keys at the end. The clock is virtual: it advances as if the workers ran tasks of `TASK_S` in parallel.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import tracemalloc
from collections import defaultdict
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from time import thread_time
from typing import Any

from jupyterfut.core.client import events as client_events
from jupyterfut.core.client.machine import ClientMachine
from jupyterfut.core.effects import Received, Send
from jupyterfut.core.scheduler import SchedulerConfig, SchedulerMachine
from jupyterfut.core.worker.events import Connected, Executed, Run, Start
from jupyterfut.core.worker.machine import WorkerMachine
from jupyterfut.ids import Address, Attempt, ClientId, FunctionId, Key, PeerId
from jupyterfut.wire import messages as m
from jupyterfut.wire.payload import Payload

FUNCTION = FunctionId("f" * 32)
OPTIONS = m.TaskOptions()
CLIENT = PeerId(1)
SUBMIT_ROWS = 500
SUBMIT_ROWS_MANY = 2_048
"""With 1,000 workers: what `map` sends at a time, so that a worker gets two tasks of a message. The case "one row a message" has 500."""
REPORT_ROWS = 50
TASK_S = 20e-6
TARGET_TASKS_PER_S = 100_000.0
MANY_WORKERS_SHARE = 0.7
GROWTH_LIMIT = 1.3
MEMORY_LIMIT_BYTES = 1_000


class Stopwatch:
    """Adds up the time inside a machine's `handle`, by kind of message."""

    def __init__(self, handle: Callable[[Any, float], list[Any]]) -> None:
        self.handle = handle
        self.spent_s: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)

    def __call__(self, kind: str, event: Any, now: float) -> list[Any]:
        start = thread_time()
        effects = self.handle(event, now)
        self.spent_s[kind] += thread_time() - start
        self.calls[kind] += 1
        return effects

    @property
    def total_s(self) -> float:
        return sum(self.spent_s.values())


def key_of(i: int) -> Key:
    """As long as a real one."""
    return Key(f"inc-{i:032x}")


def args_of(i: int) -> bytes:
    """As long as the pickle of `((12345,), {})`, and not shared between tasks."""
    return b"\x80\x05K" + i.to_bytes(8, "little") + b"\x85}\x86."


class Cluster:
    """The scheduler's machine, one client and `nworkers` workers of one thread that do what they are told."""

    def __init__(self, nworkers: int, submit_rows: int = SUBMIT_ROWS) -> None:
        self.submit_rows = submit_rows
        self.machine = SchedulerMachine(SchedulerConfig())
        self.watch = Stopwatch(self.machine.handle)
        self.now = 0.0
        self.ready = 0
        self.reports = 0
        self.nworkers = nworkers
        self.sent: list[dict[Key, Attempt]] = [{} for _ in range(nworkers)]  # by worker: what it has not reported yet, in order
        self.busy: dict[int, None] = {}  # workers with something to report
        for i in range(nworkers):
            address = Address(f"tcp://10.0.{i // 250}.{i % 250}:40000")
            self.tell("hello", PeerId(2 + i), m.WorkerHello(address, f"w{i}", 1, 0, {}, 1000 + i, [], [], [], {}))
        self.tell("hello", CLIENT, m.ClientHello(ClientId("client-" + "0" * 32), "bench", False))
        self.tell("hello", CLIENT, m.Functions([FUNCTION], [b"function"], ["inc"]))

    def tell(self, kind: str, peer: PeerId, message: m.Message) -> None:
        """Give one message to the scheduler and take in what it sends."""
        for effect in self.watch(kind, Received(peer, message), self.now):
            if type(effect) is not Send:
                raise RuntimeError(f"the scheduler is not content: {effect}")
            sent = effect.message
            if effect.peer == CLIENT:
                if type(sent) is m.KeysReady:
                    self.ready += len(sent.keys)
                elif type(sent) is not m.Welcome:
                    raise RuntimeError(f"not expected by the client: {sent}")
            elif type(sent) is m.Compute:
                worker = effect.peer - 2
                self.sent[worker].update(zip(sent.keys, sent.attempts, strict=True))
                self.busy[worker] = None
            elif type(sent) is m.StealTasks:
                self._give_back(effect.peer, sent)

    def _give_back(self, peer: PeerId, message: m.StealTasks) -> None:
        mine = self.sent[peer - 2]
        given = [mine.pop(key, None) is not None for key in message.keys]
        self.tell("stolen", peer, m.StealAnswer(message.keys, message.attempts, given))

    def work(self) -> None:
        """Every busy worker reports once."""
        rows = 0
        for worker in list(self.busy):
            mine = self.sent[worker]
            keys = list(islice(mine, REPORT_ROWS))
            attempts = [mine.pop(key) for key in keys]
            if not mine:
                del self.busy[worker]
            if keys:
                n = len(keys)
                rows = max(rows, n)
                self.reports += 1
                payloads: list[Any] = [b"\x80\x05K" + attempt.to_bytes(8, "little") + b"." for attempt in attempts]
                types, sizes, durations = ["int"] * n, [28] * n, [TASK_S] * n
                self.tell("done", PeerId(2 + worker), m.TasksDone(keys, attempts, payloads, types, sizes, durations, {}))
        self.now += rows * TASK_S

    def submit(self, first: int, last: int, *, work: bool = True) -> None:
        """Tasks by number; the workers work meanwhile, unless told not to."""
        for start in range(first, last, self.submit_rows):
            numbers = range(start, min(start + self.submit_rows, last))
            keys = [key_of(i) for i in numbers]
            args: list[Payload] = [args_of(i) for i in numbers]
            self.tell("submit", CLIENT, m.SubmitTasks(FUNCTION, keys, args, [], [], OPTIONS))
            if work:
                self.work()

    def finish(self, expected: int) -> None:
        """Until the client has heard of all tasks."""
        while self.ready < expected:
            before = self.ready
            self.work()
            if self.ready == before and not self.busy:
                raise RuntimeError(f"{expected - self.ready} of {expected} tasks never ran")

    def release(self, first: int, last: int) -> None:
        for start in range(first, last, self.submit_rows):
            self.tell("release", CLIENT, m.ReleaseKeys([key_of(i) for i in range(start, min(start + self.submit_rows, last))]))


def rss_bytes() -> int:
    """What this process holds in memory; 0 where there is no /proc."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def scheduler(nworkers: int, ntasks: int, submit_rows: int = SUBMIT_ROWS, *, backlog: bool = False) -> dict[str, float]:
    """Submit, compute, done, ready, release: tasks a second through all of it. `backlog`: everything is submitted before the first worker reports."""
    cluster = Cluster(nworkers, submit_rows)
    cluster.submit(0, 5_000)  # durations are known, the journal has begun
    cluster.finish(5_000)
    cluster.release(0, 5_000)
    gc.collect()
    watch = cluster.watch
    watch.spent_s.clear()
    cluster.ready = cluster.reports = 0
    before = rss_bytes()
    cluster.submit(5_000, 5_000 + ntasks, work=not backlog)
    cluster.finish(ntasks)
    grown = rss_bytes() - before
    cluster.release(5_000, 5_000 + ntasks)
    left = len(cluster.machine.state.tasks)
    if left:
        raise RuntimeError(f"{left} tasks are left after all were released")
    found = {f"{kind}_us": spent / ntasks * 1e6 for kind, spent in watch.spent_s.items()}
    return {"tasks_per_s": ntasks / watch.total_s, "rows_per_report": ntasks / cluster.reports, "rss_bytes_per_task": grown / ntasks, **found}


def scheduler_chain(nworkers: int, ntasks: int) -> dict[str, float]:
    """The same with dependencies: chains of 100 tasks, each on the result of the one before, as many chains as fit."""
    cluster = Cluster(nworkers)
    cluster.submit(0, 5_000)
    cluster.finish(5_000)
    cluster.release(0, 5_000)
    watch = cluster.watch
    watch.spent_s.clear()
    cluster.ready = 0
    first, last = 5_000, 5_000 + ntasks
    for start in range(first, last, 100):
        numbers = range(start, min(start + 100, last))
        dependencies = [[] if i == start else [key_of(i - 1)] for i in numbers]
        keys = [key_of(i) for i in numbers]
        args: list[Payload] = [args_of(i) for i in numbers]
        cluster.tell("submit", CLIENT, m.SubmitTasks(FUNCTION, keys, args, dependencies, [], OPTIONS))
        cluster.work()
    cluster.finish(ntasks)
    cluster.release(first, last)
    if cluster.machine.state.tasks:
        raise RuntimeError("tasks are left after all were released")
    return {"tasks_per_s": ntasks / watch.total_s, **{f"{kind}_us": spent / ntasks * 1e6 for kind, spent in watch.spent_s.items()}}


def scheduler_memory(ntasks: int) -> dict[str, float]:
    """Exact bytes that the machine keeps for a finished small task whose future is held, its key, arguments and result included."""
    cluster = Cluster(2)
    warm = 60_000  # fills the journal, whose size does not depend on the number of tasks
    cluster.submit(0, warm)
    cluster.finish(warm)
    gc.collect()
    tracemalloc.start(1)
    # The journal's old entries leave while new ones of the same size come: run until all of it was allocated under tracemalloc.
    cluster.submit(warm, 2 * warm)
    cluster.finish(2 * warm)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    cluster.submit(2 * warm, 2 * warm + ntasks)
    cluster.finish(2 * warm + ntasks)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    return {"bytes_per_task": grown / ntasks}


def worker(ntasks: int) -> dict[str, float]:
    """Compute, run, executed, done, release on the worker's machine."""
    machine = WorkerMachine(Address("tcp://10.0.0.1:40000"), "w0", 1)
    watch = Stopwatch(machine.handle)
    peer = PeerId(0)
    now = 0.0
    watch("hello", Start(), now)
    watch("hello", Connected(), now)
    watch("hello", Received(peer, m.Welcome(False, {"inline_bytes": 16_384, "heartbeat_s": 5.0})), now)
    watch("hello", Received(peer, m.Functions([FUNCTION], [b"function"], ["inc"])), now)
    watch.spent_s.clear()
    done = 0
    handed: list[Any] = []

    def take(effects: list[Any]) -> None:
        nonlocal done
        for effect in effects:
            if type(effect) is Run:
                handed.extend(effect.calls)
            elif type(effect) is Send and type(effect.message) is m.TasksDone:
                done += len(effect.message.keys)

    for start in range(0, ntasks, SUBMIT_ROWS):
        numbers = range(start, min(start + SUBMIT_ROWS, ntasks))
        keys = [key_of(i) for i in numbers]
        attempts = [Attempt(i) for i in numbers]
        priorities: list[list[float]] = [[0, i] for i in numbers]
        compute = m.Compute(FUNCTION, keys, attempts, [args_of(i) for i in numbers], priorities, [], {}, {}, None, False)
        take(watch("compute", Received(peer, compute), now))
        while handed:
            calls, handed[:] = handed[:REPORT_ROWS], handed[REPORT_ROWS:]
            n = len(calls)
            now += n * TASK_S
            results: list[Any] = [b"\x80\x05K" + call.attempt.to_bytes(8, "little") + b"." for call in calls]
            event = Executed([c.key for c in calls], [c.attempt for c in calls], results, ["int"] * n, [28] * n, [TASK_S] * n, {})
            take(watch("executed", event, now))
        take(watch("release", Received(peer, m.ReleaseData(list(keys))), now))
    if done != ntasks or machine.tasks or machine.memory.nbytes:
        raise RuntimeError(f"{done} of {ntasks} tasks done, {len(machine.tasks)} left, {len(machine.memory.nbytes)} results left")
    return {"tasks_per_s": ntasks / watch.total_s, **{f"{kind}_us": spent / ntasks * 1e6 for kind, spent in watch.spent_s.items()}}


def client(ntasks: int, *, columns: bool) -> dict[str, float]:
    """Submit (as `map` does in columns, or as `submit` does row by row), ready, and the death of the futures, on the client's machine."""
    machine = ClientMachine(ClientId("client-" + "0" * 32), "bench")
    watch = Stopwatch(machine.handle)
    peer = PeerId(0)
    watch("hello", client_events.Connected(), 0.0)
    watch("hello", Received(peer, m.Welcome(False, {})), 0.0)
    watch("hello", client_events.DefineFunction(FUNCTION, b"function", "inc"), 0.0)
    watch.spent_s.clear()
    resolved = 0
    questions: list[m.Message] = []

    def take(effects: list[Any]) -> None:
        nonlocal resolved
        for effect in effects:
            if type(effect) is client_events.Resolved:
                resolved += len(effect.records)
            elif type(effect) is Send and type(effect.message) is m.Request:
                questions.append(m.Reply(effect.message.id, {}, None))

    for start in range(0, ntasks, SUBMIT_ROWS):
        numbers = range(start, min(start + SUBMIT_ROWS, ntasks))
        n = len(numbers)
        keys = [key_of(i) for i in numbers]
        args: list[Payload] = [args_of(i) for i in numbers]
        begun = thread_time()
        hold = machine.state.hold
        records = [hold(key)[0] for key in keys]
        watch.spent_s["hold"] += thread_time() - begun
        if columns:
            take(watch("submit", client_events.SubmitColumns(FUNCTION, records, list(args), [], [], OPTIONS), 0.0))
        else:
            rows: list[client_events.Row] = [(record, FUNCTION, arg, None, None, OPTIONS) for record, arg in zip(records, args, strict=True)]
            take(watch("submit", client_events.Submit(rows), 0.0))
        payloads: list[Any] = [b"\x80\x05K" + i.to_bytes(8, "little") + b"." for i in numbers]
        take(watch("ready", Received(peer, m.KeysReady(keys, payloads, ["int"] * n, [28] * n)), 0.0))
        take(watch("drop", client_events.Drop(records), 0.0))
        for reply in questions:
            take(watch("drop", Received(peer, reply), 0.0))
        questions.clear()
    if resolved != ntasks or machine.state.records:
        raise RuntimeError(f"{resolved} of {ntasks} resolved, {len(machine.state.records)} records left")
    return {"tasks_per_s": ntasks / watch.total_s, **{f"{kind}_us": spent / ntasks * 1e6 for kind, spent in watch.spent_s.items()}}


CASES: dict[str, Callable[[float], dict[str, float]]] = {
    "scheduler, 2 workers": lambda scale: scheduler(2, round(100_000 * scale)),
    "scheduler, 1,000 workers": lambda scale: scheduler(1_000, round(100_000 * scale), SUBMIT_ROWS_MANY),
    "scheduler, 1,000 workers, backlog": lambda scale: scheduler(1_000, round(100_000 * scale), SUBMIT_ROWS_MANY, backlog=True),
    "scheduler, 1,000 workers, one row a message": lambda scale: scheduler(1_000, round(100_000 * scale)),
    "scheduler, chains, 2 workers": lambda scale: scheduler_chain(2, round(50_000 * scale)),
    "scheduler, 10,000 tasks": lambda scale: scheduler(2, 10_000),
    "scheduler, 1,000,000 tasks": lambda scale: scheduler(2, round(1_000_000 * scale)),
    "scheduler, memory": lambda scale: scheduler_memory(round(50_000 * scale)),
    "worker": lambda scale: worker(round(100_000 * scale)),
    "client, map": lambda scale: client(round(100_000 * scale), columns=True),
    "client, submit": lambda scale: client(round(100_000 * scale), columns=False),
}


def run_case(name: str, scale: float) -> dict[str, float]:
    """The case in a fresh process. Blocks for at most five minutes."""
    command = [sys.executable, "-m", "benchmarks.core", "--case", name, "--scale", repr(scale)]
    root = Path(__file__).resolve().parents[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])}
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, timeout=300, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def verdicts(found: dict[str, dict[str, float]]) -> list[tuple[str, str, str, bool]]:
    """(target, needed, got, met) for each target whose cases were run."""
    rows = []
    two, many = found.get("scheduler, 2 workers"), found.get("scheduler, 1,000 workers")
    if two:
        rate = two["tasks_per_s"]
        rows.append(("scheduler, 2 workers", f">= {TARGET_TASKS_PER_S:,.0f} tasks/s", f"{rate:,.0f}", rate >= TARGET_TASKS_PER_S))
    if many:
        rate = many["tasks_per_s"]
        needed = MANY_WORKERS_SHARE * TARGET_TASKS_PER_S
        rows.append(("scheduler, 1,000 workers", f">= {needed:,.0f} tasks/s", f"{rate:,.0f}", rate >= needed))
    if two and many:
        share = many["tasks_per_s"] / two["tasks_per_s"]
        rows.append(("1,000 workers : 2 workers", f">= {MANY_WORKERS_SHARE:.0%}", f"{share:.0%}", share >= MANY_WORKERS_SHARE))
    few, million = found.get("scheduler, 10,000 tasks"), found.get("scheduler, 1,000,000 tasks")
    if few and million:
        growth = few["tasks_per_s"] / million["tasks_per_s"]
        rows.append(("time per task, 1,000,000 : 10,000", f"<= {GROWTH_LIMIT}", f"{growth:.2f}", growth <= GROWTH_LIMIT))
    if "scheduler, memory" in found:
        nbytes = found["scheduler, memory"]["bytes_per_task"]
        rows.append(("memory of a held task", f"< {MEMORY_LIMIT_BYTES} bytes", f"{nbytes:.0f}", nbytes < MEMORY_LIMIT_BYTES))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.core", description="Tasks a second of each pure machine, without sockets.")
    parser.add_argument("--cases", help=f"part of a case's name, comma separated; there are: {'; '.join(CASES)}")
    parser.add_argument("--repeat", type=int, default=None, help="fresh processes per case, the best counts (default: 3, quick: 1)")
    parser.add_argument("--quick", action="store_true", help="a fifth of the size, one repetition")
    parser.add_argument("--json", metavar="FILE", help="write everything measured")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--scale", type=float, default=1.0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        json.dump(CASES[options.case](options.scale), sys.stdout)
        return 0
    wanted = options.cases.split(",") if options.cases else [""]
    names = [name for name in CASES if any(part in name for part in wanted)]
    if not names:
        parser.error(f"no case matches {options.cases!r}")
    scale = 0.2 if options.quick else 1.0
    repeat = options.repeat or (1 if options.quick else 3)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(repeat):
        for name in names:
            runs[name].append(run_case(name, scale))
    found = {name: max(results, key=lambda r: r.get("tasks_per_s", -r.get("bytes_per_task", 0.0))) for name, results in runs.items()}
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores; best of {repeat}{', a fifth of the size' if options.quick else ''}\n")
    for name, result in found.items():
        rate = f"{result['tasks_per_s']:>10,.0f} tasks/s" if "tasks_per_s" in result else ""
        parts = "  ".join(f"{key.removesuffix('_us')} {value:.2f}" for key, value in result.items() if key.endswith("_us"))
        others = "  ".join(f"{key} {value:,.0f}" for key, value in result.items() if not key.endswith("_us") and key != "tasks_per_s")
        print(f"{name:44} {rate}   {'us/task: ' + parts if parts else ''}   {others}".rstrip())
    judged = verdicts(found)
    print()
    for title, needed, got, met in judged:
        print(f"{title:36} {needed:22} {got:>10}   {'met' if met else 'MISSED'}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"python": platform.python_version(), "cores": os.cpu_count(), "scale": scale, "runs": runs, "best": found}, file, indent=1)
            file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
