"""What it costs the scheduler to be looked at: `python -m benchmarks.dashboard [--quick] [--workers N] [--rate TASKS_A_SECOND] [--json FILE]`.

A scheduler in a process of its own, workers (real ones, many to a process, of one thread each), and a client that submits at a steady pace, whether
or not somebody looks. Then, in turns, nobody looks, a sidebar does (the topic "summary"), one page with every pane, three such pages. What is counted
is the processor time of the scheduler's process, everything included: making snapshots, packing and sending them, and reading what workers tell
because somebody looks. A round's cost is its share of a core less that of the rounds with nobody before and after it; what counts is the median.

The viewers (`diagnostics.viewer`) live in another process and count what they are told.

`--alone` needs no quiet machine: the scheduler's machine by itself, with a clock that is moved by hand, so that exactly so many tasks and turns come
to a second, whatever else runs here. What is counted is the processor time of the turns and of packing what they tell, and of unpacking and taking in
what workers say because somebody looks (rows of the task stream, more heartbeats).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

from benchmarks import core
from benchmarks.system.machine import machine, versions
from jupyterfut import Client
from jupyterfut.comm import Security
from jupyterfut.core.effects import Received, Send, Tick
from jupyterfut.core.scheduler.observing import MESSAGES_A_SECOND, ROWS_A_SECOND
from jupyterfut.diagnostics.viewer import Viewer
from jupyterfut.ids import ClientId, PeerId
from jupyterfut.runtime import connections
from jupyterfut.runtime.scheduler_server import Scheduler
from jupyterfut.runtime.worker_server import Worker
from jupyterfut.wire import messages as m
from jupyterfut.wire.codec import Encoder, decode
from jupyterfut.wire.panes import SNAPSHOTS, TOPIC_PREFIX

LIMIT = 0.05
"""Of a core: what one page with every pane may cost."""
PACE_S = 0.25
WORKERS_A_PROCESS = 34


class Look(NamedTuple):
    """Who looks in a round."""

    name: str
    topics: tuple[str, ...]
    viewers: int = 1


NOBODY = Look("nobody", (), 0)
LOOKS = (
    Look("a sidebar", ("summary",)),
    *(Look(f"only {topic}", (topic,)) for topic in SNAPSHOTS if topic != "summary"),
    Look("every pane", tuple(SNAPSHOTS)),
    Look("every pane, three times", tuple(SNAPSHOTS), 3),
)


# --- the other processes


async def run_scheduler() -> None:
    """Until standard input ends."""
    async with Scheduler(port=0, allow_run=True) as scheduler:
        print(json.dumps([scheduler.address, scheduler.token]), flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def run_workers(address: str, token: str, first: int, count: int) -> None:
    """So many, until standard input ends."""
    async with AsyncExitStack() as stack:
        for i in range(first, first + count):
            await stack.enter_async_context(Worker(address, nthreads=1, name=f"w{i}", token=token))
        print(json.dumps(count), flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def run_viewers(address: str, token: str) -> None:
    """Each line is a list of topics and a number of viewers; the answer is how many snapshots came since the last line, by topic."""
    told: Counter[str] = Counter()
    viewers: list[Viewer] = []

    def heard(topic: str, snapshot: dict[str, Any]) -> None:
        told[topic] += 1

    while line := await asyncio.to_thread(sys.stdin.readline):
        topics, count = json.loads(line)
        while len(viewers) < count:
            viewers.append(Viewer(address, Security(token), on_snapshot=heard))
            viewers[-1].start()
        for i, viewer in enumerate(viewers):
            viewer.watch({topic: {} for topic in topics} if i < count else {})
        print(json.dumps(told), flush=True)
        told.clear()
    for viewer in viewers:
        await viewer.close()


class Process:
    """One of them. It ends when its standard input does."""

    def __init__(self, *args: str) -> None:
        command = [sys.executable, "-m", "benchmarks.dashboard", "--role", json.dumps(args)]
        self.name = args[0]
        self.popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line: str = "") -> Any:
        """Say something and hear what it answers."""
        assert self.popen.stdin is not None and self.popen.stdout is not None
        if line:
            print(line, file=self.popen.stdin, flush=True)
        answer = self.popen.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} has ended")
        return json.loads(answer)

    def close(self) -> None:
        """End it."""
        self.popen.communicate(timeout=30)


# --- the machine alone


class Alone:
    """`benchmarks.core`'s cluster with somebody who looks at it, in virtual time."""

    VIEWER = PeerId(1_000_000)
    STEP_S = 0.01

    def __init__(self, workers: int, rate: float, topics: Sequence[str], viewers: int) -> None:
        self.cluster = core.Cluster(workers)
        self.machine = self.cluster.machine
        self.machine.panes.clock = time.thread_time
        self.rate = rate
        self.beat_s = max(0.25 if "workers" in topics else 1.0, workers / MESSAGES_A_SECOND)  # as `observing` says
        self.rows_s = min(2.0, max(0.1, workers / MESSAGES_A_SECOND)) if "task-stream" in topics else 0.0
        self.encoder = Encoder()
        self.made = 0
        self.spent_s = 0.0
        self.told: Counter[str] = Counter()
        for i in range(viewers):
            peer = PeerId(self.VIEWER + i)
            self.machine.handle(Received(peer, m.ClientHello(ClientId(f"viewer-{i}"), "viewer", False, 0, {"viewer": True})), 0.0)
            self.machine.handle(Received(peer, m.Request(1, "watch", {"topics": {topic: {} for topic in topics}})), 0.0)

    def run(self, seconds: float) -> float:
        """So long in virtual time; the share of a core that looking took."""
        began = self.cluster.now
        self.spent_s = 0.0
        self.told.clear()
        for step in range(round(seconds / self.STEP_S)):
            now = began + step * self.STEP_S
            self.cluster.now = now
            n = round(self.rate * self.STEP_S)
            self.cluster.submit(self.made, self.made + n)
            self.cluster.release(self.made - 10 * n, self.made - 9 * n)
            self.made += n
            self._workers_tell(step, now)
            self._tick(now)
        self.cluster.now = began + seconds
        return self.spent_s / seconds

    def _workers_tell(self, step: int, now: float) -> None:
        beat = m.Heartbeat({"cpu": 0.5 + step * 1e-5, "memory_bytes": 1e8 + step, "spilled_bytes": 0.0}, now)
        for worker in self._turn_of(step, self.beat_s):
            self._hear(worker, beat, now)
        if self.rows_s:
            n = max(1, round(ROWS_A_SECOND * self.rows_s / self.cluster.nworkers))
            starts = [now - self.rows_s * (1 - i / n) for i in range(n)]
            zeros, many = [0] * n, [20] * n
            ran = m.Ran(now, 0, zeros, ["inc"] * n, zeros, starts, [at + 0.004 for at in starts], [0.003] * n, many, zeros, many, [""] * n)
            for worker in self._turn_of(step, self.rows_s):
                self._hear(worker, ran, now)

    def _turn_of(self, step: int, every_s: float) -> range:
        every = round(every_s / self.STEP_S)
        return range(step % every, self.cluster.nworkers, every)

    def _hear(self, worker: int, message: m.Message, now: float) -> None:
        body, buffers = Encoder().encode([message])
        before = time.thread_time()
        for one in decode(bytes(body), buffers):
            self.machine.handle(Received(PeerId(2 + worker), one), now)
        self.spent_s += time.thread_time() - before

    def _tick(self, now: float) -> None:
        panes = self.machine.panes
        if panes.due is None or now < panes.due:
            return
        before = time.thread_time()
        for effect in self.machine.handle(Tick(), now):
            if type(effect) is Send and effect.peer >= self.VIEWER:
                self.encoder.encode([effect.message])
                self.told.update(topic.removeprefix(TOPIC_PREFIX) for topic in effect.message.topics)  # type: ignore[attr-defined]  # Notices
        self.spent_s += time.thread_time() - before


def alone(options: argparse.Namespace) -> None:
    """Print what each look costs."""
    seconds = 2.0 if options.quick else 5.0
    print(f"{options.workers} workers, {options.rate:,.0f} tasks a second, in virtual time; best of three\n")
    core.OPTIONS = m.TaskOptions(origin="client-0/1")  # as a notebook's cell
    for look in LOOKS:
        if not options.only or any(word in look.name for word in options.only.split(",")):
            world = Alone(options.workers, options.rate, look.topics, look.viewers)
            world.run(1.0)
            cost = min(world.run(seconds) for _ in range(3))
            told = "  ".join(f"{topic} {count / seconds / look.viewers:.1f}" for topic, count in sorted(world.told.items()))
            print(f"{look.name:26} {cost:>8.2%} of a core   a second: {told}")


# --- what is measured


def task(i: int) -> int:
    """What all the workers do."""
    return i + 1


def spent(dask_scheduler: Scheduler) -> tuple[float, float]:
    """The processor time of the scheduler's process so far, and how much of it went into turns of the sources."""
    return time.process_time(), dask_scheduler.machine.panes.spent_s


class Round(NamedTuple):
    """What one round took."""

    cpu: float  #: of the scheduler, of a core
    turns: float  #: of that, to make the snapshots
    tasks_per_s: float
    told: dict[str, float]  #: snapshots a second and viewer, by topic


class Rounds:
    """The cluster, its client and its viewers."""

    def __init__(self, client: Client, viewers: Process, rate: float) -> None:
        self.client = client
        self.viewers = viewers
        self.rate = rate

    def work(self, seconds: float) -> float:
        """Submit at the pace; how many tasks a second that was."""
        n = round(self.rate * PACE_S)
        began = at = time.monotonic()
        done = 0
        held: list[Any] = []
        while at < began + seconds:
            held.append(self.client.map(task, range(n), pure=False))
            done += n
            if len(held) > 6:
                self.client.gather(held.pop(0))  # no faster than they are done
            at = max(at + PACE_S, time.monotonic() - 4 * PACE_S)
            time.sleep(max(0.0, at - time.monotonic()))
        for futures in held:
            self.client.gather(futures)
        return done / (time.monotonic() - began)

    def look(self, look: Look, seconds: float) -> Round:
        """One round."""
        self.viewers.ask(json.dumps([look.topics, look.viewers]))
        self.work(0.5)  # the first snapshots, and workers that are told to tell
        self.viewers.ask(json.dumps([look.topics, look.viewers]))
        before, began = self.client.run_on_scheduler(spent), time.monotonic()
        rate = self.work(seconds)
        took = time.monotonic() - began
        cpu, turns = (now - then for now, then in zip(self.client.run_on_scheduler(spent), before, strict=True))
        told = self.viewers.ask(json.dumps([[], 0]))
        return Round(cpu / took, turns / took, rate, {topic: count / took / max(1, look.viewers) for topic, count in told.items()})


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All rounds."""
    seconds, repeat = (1.5, 2) if options.quick else (4.0, 5)
    processes = [Process("scheduler")]
    try:
        address, token = processes[0].ask()
        counts = [min(WORKERS_A_PROCESS, options.workers - first) for first in range(0, options.workers, WORKERS_A_PROCESS)]
        processes += [Process("workers", address, token, str(i * WORKERS_A_PROCESS), str(count)) for i, count in enumerate(counts)]
        for process in processes[1:]:
            process.ask()
        processes.append(Process("viewers", address, token))
        looks = [look for look in LOOKS if not options.only or any(word in look.name for word in options.only.split(","))]
        connections.remember_token(address, token)
        with Client(address) as client:
            rounds = Rounds(client, processes[-1], options.rate)
            rounds.work(2.0)
            costs: dict[str, list[float]] = {look.name: [] for look in looks}
            quiet = [rounds.look(NOBODY, seconds)]
            seen: dict[str, Round] = {}
            for _ in range(repeat):
                for look in looks:
                    seen[look.name] = rounds.look(look, seconds)
                    quiet.append(rounds.look(NOBODY, seconds))
                    costs[look.name].append(seen[look.name].cpu - (quiet[-2].cpu + quiet[-1].cpu) / 2)
    finally:
        for process in processes:
            process.close()
    return {
        "nobody": statistics.median(one.cpu for one in quiet),
        "tasks_per_s": statistics.median(one.tasks_per_s for one in quiet),
        "costs": costs,
        "told": {name: one.told for name, one in seen.items()},
        "turns": {name: one.turns for name, one in seen.items()},
        "rates": {name: one.tasks_per_s for name, one in seen.items()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard", description="What it costs the scheduler to be looked at.")
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--rate", type=float, default=10_000.0, help="tasks a second (default: 10,000)")
    parser.add_argument("--only", help="parts of the names of rounds, comma separated: sidebar, every, only workers, ...")
    parser.add_argument("--alone", action="store_true", help="the scheduler's machine by itself, in virtual time")
    parser.add_argument("--quick", action="store_true", help="shorter rounds, and fewer")
    parser.add_argument("--json", metavar="FILE", help="write everything measured")
    parser.add_argument("--role", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        role, *args = options.role
        if role == "scheduler":
            asyncio.run(run_scheduler())
        elif role == "workers":
            asyncio.run(run_workers(args[0], args[1], int(args[2]), int(args[3])))
        else:
            asyncio.run(run_viewers(args[0], args[1]))
        return 0
    if options.alone:
        alone(options)
        return 0
    found = measure(options)
    print(f"{options.workers} workers, {found['tasks_per_s']:,.0f} tasks a second; nobody looks: {found['nobody']:.1%} of a core\n")
    print(f"{'who looks':26} {'costs, of a core':>18} {'(all rounds)':>40} {'snapshots alone':>18}   a second")
    for name, costs in found["costs"].items():
        told = "  ".join(f"{topic} {rate:.1f}" for topic, rate in sorted(found["told"][name].items()))
        each = " ".join(f"{cost:.1%}" for cost in sorted(costs))
        print(f"{name:26} {statistics.median(costs):>18.1%} {each:>40} {found['turns'][name]:>18.1%}   {told}")
    every = found["costs"].get("every pane")
    met = every is None or statistics.median(every) < LIMIT
    if every is not None:
        print(f"\nevery pane: needed < {LIMIT:.0%} of a core, got {statistics.median(every):.1%}   {'met' if met else 'MISSED'}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"machine": machine(), "versions": versions(["jupyterfut"]), "cores": os.cpu_count(), **found}, file, indent=1)
            file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
