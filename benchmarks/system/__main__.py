"""`python -m benchmarks.system [--engines a,b] [--workloads x,y] [--repeat 3] [--quick] [--json out.json]`; see benchmarks/README.md."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time

from benchmarks.system import report, runner
from benchmarks.system.engines import KNOWN, installed
from benchmarks.system.machine import machine, versions
from benchmarks.system.workloads import WORKLOADS

QUICK_SCALE = 0.2


def _names(text: str, known: list[str], what: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise SystemExit(f"unknown {what}: {', '.join(unknown) or '(none given)'}; there are {', '.join(known)}")
    return names


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.system", description="Measure jupyterfut and other engines side by side.")
    parser.add_argument("--engines", default=",".join(KNOWN), help="comma separated; those not installed are left out (default: all)")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="comma separated (default: all)")
    parser.add_argument("--repeat", type=int, default=None, help="fresh processes per engine and workload (default: 3, quick: 1)")
    parser.add_argument("--quick", action="store_true", help="a fifth of the size, one repetition: for a look, not for a claim")
    parser.add_argument("--json", metavar="FILE", help="write everything measured")
    parser.add_argument("--strict", action="store_true", help="exit code 1 if a target is missed or a run fails")
    parser.add_argument("--verbose", action="store_true", help="show what failing engines print")
    options = parser.parse_args()
    asked = _names(options.engines, list(KNOWN), "engine")
    workloads = _names(options.workloads, list(WORKLOADS), "workload")
    engines = [engine for engine in asked if installed(engine)]
    missing = [engine for engine in asked if engine not in engines]
    repeat = options.repeat or (1 if options.quick else 3)
    scale = QUICK_SCALE if options.quick else 1.0

    facts, found_versions = machine(), versions(engines)
    print(", ".join(f"{name} {version}" for name, version in found_versions.items()))
    print(f"{facts['processor']}, {facts['cores']} cores, {facts['system']} {facts['release']}")
    if missing:
        print(f"left out, not installed: {', '.join(missing)}")
    if float(facts.get("load_before", 0)) > 0.7:
        print(f"warning: the machine is busy with something else (load {facts['load_before']}): the numbers will be noisy")

    def progress(text: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K{text}")
            sys.stderr.flush()

    started = time.perf_counter()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    runs: list[runner.Run] = []
    try:
        runner.run_all(runs, engines, workloads, repeat=repeat, scale=scale, verbose=options.verbose, progress=progress)
    except KeyboardInterrupt:
        print("\ninterrupted: what was measured until now")
    progress("")
    found = report.samples(runs)
    judged = report.verdicts(found)
    size = ", a fifth of the size" if options.quick else ""
    print(f"\nMedian (min..max) of {repeat} fresh processes{size}; {time.perf_counter() - started:.0f} s in all\n")
    print(report.measured_table(found, engines))
    for ours in ("jupyterfut", "jupyterfut-threads"):
        table = report.ratio_table(found, engines, ours)
        if table:
            print(f"\n{table}")
    if judged:
        print(f"\n{report.target_table(judged)}")
    for run in runs:
        if run.error:
            print(f"FAILED {run.workload} in {run.engine}: {run.error}")
    if options.json:
        settings = {"engines": engines, "not_installed": missing, "workloads": workloads, "repeat": repeat, "scale": scale}
        with open(options.json, "w") as file:
            json.dump(report.as_json(runs, found, versions=found_versions, machine=facts, options=settings), file, indent=1)
            file.write("\n")
    failed = any(run.error for run in runs) or any(not verdict.met for verdict in judged)
    return 1 if options.strict and failed else 0


if __name__ == "__main__":
    sys.exit(main())
