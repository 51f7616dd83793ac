"""Runs the children, one at a time: for every workload, for every repetition, every engine in turn (A B A B), so that what disturbs the machine
disturbs all.

Every child has a time limit; one that exceeds it is ended with everything it started, its workload is reported as failed, and the rest goes on.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.system.engines import adapter_features
from benchmarks.system.workloads import WORKLOADS

ROOT = Path(__file__).resolve().parents[2]


class Run(NamedTuple):
    """One run of one workload in one engine: samples by metric, or what went wrong."""

    workload: str
    engine: str
    samples: dict[str, list[float]]
    error: str | None


def _descendants(pid: int) -> list[int]:
    """Process ids below `pid`, from one `ps`: the groups and sessions that engines open do not hide them."""
    table = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children: dict[int, list[int]] = {}
    for line in table.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _end(process: subprocess.Popen[bytes]) -> None:
    for pid in [process.pid, *_descendants(process.pid)]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it has ended by itself since the list was made
    process.wait()


def clean(text: str) -> str:
    """An error's text without paths and addresses: results are published."""
    text = re.sub(r"(/[\w.@+-]+){2,}", "(path)", text)
    text = re.sub(r"\b\d{1,3}(\.\d{1,3}){3}\b", "(address)", text)
    return text.strip()[:300]


def run_child(engine: str, workload: str, scale: float, verbose: bool) -> Run:
    """Measure in a fresh process. Blocks for at most the workload's limit."""
    environment = dict(os.environ)
    paths = [str(ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    command = [sys.executable, "-m", "benchmarks.system.child", engine, workload, repr(scale)]
    with tempfile.TemporaryFile() as errors:
        where = tempfile.gettempdir()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=environment, cwd=where)
        try:
            out, _ = process.communicate(timeout=WORKLOADS[workload].limit_s)
        except subprocess.TimeoutExpired:
            _end(process)
            return Run(workload, engine, {}, f"no end within {WORKLOADS[workload].limit_s:.0f} s")
        except BaseException:
            _end(process)
            raise
        errors.seek(0)
        text = errors.read().decode(errors="replace")
    try:
        answer: dict[str, Any] = json.loads(out.splitlines()[-1])
    except (IndexError, ValueError):
        answer = {"error": f"exit code {process.returncode} without an answer: {text[-200:]}"}
    if verbose and "error" in answer:
        sys.stderr.write(text)
    return Run(workload, engine, answer.get("samples", {}), clean(answer["error"]) if "error" in answer else None)


def plan(engines: Sequence[str], workloads: Sequence[str], repeat: int) -> list[tuple[str, str]]:
    """(workload, engine) in the order in which they run. Workloads that an engine has not the features for are left out."""
    features = {engine: adapter_features(engine) for engine in engines}
    return [(w, e) for w in workloads for _ in range(repeat) for e in engines if WORKLOADS[w].needs <= features[e]]


def run_all(
    runs: list[Run], engines: Sequence[str], workloads: Sequence[str], *, repeat: int, scale: float, verbose: bool, progress: Callable[[str], None]
) -> None:
    """All of it, appended to `runs` one by one. An engine that failed at a workload twice is not asked again for that workload."""
    for engine in engines:  # bytecode is compiled and files are cached before anything is measured
        run_child(engine, "cold", scale, verbose)
    todo = plan(engines, workloads, repeat)
    for number, (workload, engine) in enumerate(todo, 1):
        if sum(1 for run in runs if run.workload == workload and run.engine == engine and run.error) >= 2:
            continue
        progress(f"[{number}/{len(todo)}] {workload} {engine}")
        runs.append(run_child(engine, workload, scale, verbose))
