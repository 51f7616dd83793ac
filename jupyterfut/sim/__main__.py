"""`python -m jupyterfut.sim --seeds 5000 --jobs 2`: run seeds, tell of those that fail.

Seeds that pass leave no trace but a number in the summary. The exit code is 1 when one failed. A failing seed is shrunk and its story told; `--seed
N` runs one seed only, with every event checked; `--trace` prints each event and effect of it (`--only WORD` those lines in which the word occurs).
"""

from __future__ import annotations

import argparse
import gc
import sys
from concurrent.futures import ProcessPoolExecutor
from timeit import default_timer
from typing import NamedTuple

from jupyterfut.sim.replay import Failed, describe, run_seed, shrink
from jupyterfut.sim.trace import Trace

CHUNK = 25


class Chunk(NamedTuple):
    """What became of some seeds."""

    events: int
    failures: list[tuple[int, str]]  #: seed, one line


def run_chunk(first: int, count: int, check_every: int) -> Chunk:
    """Run seeds in this process."""
    gc.disable()  # worlds are full of cycles; one collection per chunk is enough
    events = 0
    failures = []
    for seed in range(first, first + count):
        result = run_seed(seed, check_every=check_every)
        if isinstance(result, Failed):
            failures.append((seed, result.error.split("\n")[0][:200]))
        else:
            events += result
    gc.collect()
    return Chunk(events, failures)


def main(argv: list[str] | None = None) -> int:
    """The command line. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m jupyterfut.sim", description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many seeds to run (default 1000)")
    parser.add_argument("--start", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--check-every", type=int, default=8, metavar="K", help="check invariants after every K-th event of a machine (default 8)")
    parser.add_argument("--stories", type=int, default=3, metavar="N", help="shrink and tell at most N failures (default 3)")
    parser.add_argument("--seed", type=int, help="run this seed only, with every event checked")
    parser.add_argument("--trace", action="store_true", help="with --seed: print every event and effect")
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="with --trace: only lines that contain one of these words")
    parser.add_argument("--no-shrink", action="store_true", help="tell a failure as it is")
    options = parser.parse_args(argv)
    if options.seed is not None:
        return _one(options.seed, options.trace, tuple(options.only), shrinking=not options.no_shrink and not options.trace)
    return _many(options)


def _one(seed: int, tracing: bool, only: tuple[str, ...], *, shrinking: bool) -> int:
    result = run_seed(seed, trace=Trace(print, only) if tracing else None)
    if isinstance(result, Failed):
        print(describe(shrink(result) if shrinking else result))
        return 1
    print(f"seed {seed}: fine, {result} events")
    return 0


def _many(options: argparse.Namespace) -> int:
    began = default_timer()
    firsts = range(options.start, options.start + options.seeds, CHUNK)
    end = options.start + options.seeds
    chunks = []
    if options.jobs > 1:
        with ProcessPoolExecutor(options.jobs) as pool:
            futures = [pool.submit(run_chunk, first, min(CHUNK, end - first), options.check_every) for first in firsts]
            chunks = [future.result() for future in futures]
    else:
        chunks = [run_chunk(first, min(CHUNK, end - first), options.check_every) for first in firsts]
    took_s = default_timer() - began
    events = sum(chunk.events for chunk in chunks)
    failures = [failure for chunk in chunks for failure in chunk.failures]
    rates = f"{options.seeds / took_s * 60:,.0f} seeds/min, {events / took_s:,.0f} events/s"
    print(f"{options.seeds} seeds in {took_s:.1f} s: {rates}, {len(failures)} failed")
    for seed, line in failures:
        print(f"  seed {seed}: {line}")
    told: set[str] = set()
    for seed, _ in failures:
        if len(told) >= options.stories:
            break
        result = run_seed(seed)
        if not isinstance(result, Failed):
            result = run_seed(seed, check_every=options.check_every)
        if isinstance(result, Failed) and result.place not in told:
            told.add(result.place)
            print(describe(result if options.no_shrink else shrink(result)))
    if failures:
        print(f"again: python -m jupyterfut.sim --seed {failures[0][0]} --trace")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
