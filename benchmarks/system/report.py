"""Samples in, tables and JSON out. The targets are those that the project set itself: ratios to a peer in the same run, and a few absolute limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any, NamedTuple

from benchmarks.system.runner import Run
from benchmarks.system.workloads import METRICS


class Target(NamedTuple):
    """`engine` is to be `factor` times as good as `peer` (a rate that many times higher, a time that many times shorter).
    Without a peer, `factor` is the largest value allowed."""

    metric: str
    factor: float
    peer: str | None = "dask"
    engine: str = "jupyterfut"


TARGETS: tuple[Target, ...] = (
    Target("import", 60, None),
    Target("cold", 1),
    Target("round trip p50", 30),
    Target("round trip p50", 1 / 1.6, "pool"),
    Target("map 10k", 100),
    Target("map 10k", 5, "pool"),
    Target("map 50k", 100),
    Target("map 50k", 5, "pool"),
    Target("map 10k", 60, "dask-threads", "jupyterfut-threads"),
    Target("map 50k", 60, "dask-threads", "jupyterfut-threads"),
    Target("submit 5k", 60),
    Target("chain", 80),
    Target("tree", 60),
    Target("evolving", 40),
    Target("fib", 30),
    Target("fan-in", 8),
    Target("scatter", 10),
    Target("result", 8),
    Target("transfer", 1.3),
    Target("metg trivial", 30),
    Target("metg stencil", 30),
    Target("metg fft", 30),
    Target("growth", 1.3, None),
    Target("memory", 1000, None),
    Target("actor call p50", 4),
    Target("actor calls", 15),
    Target("queue p50", 2),
)


class Verdict(NamedTuple):
    target: Target
    got: float  #: the ratio, or the value when there is no peer
    met: bool


def samples(runs: Iterable[Run]) -> dict[str, dict[str, list[float]]]:
    """Every sample, by metric and engine, in the order of `METRICS`."""
    found: dict[str, dict[str, list[float]]] = {metric: {} for metric in METRICS}
    for run in runs:
        for metric, values in run.samples.items():
            found[metric].setdefault(run.engine, []).extend(values)
    return {metric: by_engine for metric, by_engine in found.items() if by_engine}


def ratio(metric: str, ours: Sequence[float], theirs: Sequence[float]) -> float:
    """How many times better the median of `ours` is.

    >>> ratio("chain", [300.0], [100.0]), ratio("cold", [0.5], [1.0])
    (3.0, 2.0)
    """
    if METRICS[metric].better == "higher":
        return median(ours) / median(theirs)
    return median(theirs) / median(ours)


def verdicts(found: dict[str, dict[str, list[float]]]) -> list[Verdict]:
    """The targets that this run can judge."""
    judged = []
    for target in TARGETS:
        by_engine = found.get(target.metric, {})
        ours = by_engine.get(target.engine)
        if ours is None:
            continue
        if target.peer is None:
            judged.append(Verdict(target, median(ours), median(ours) <= target.factor))
        elif target.peer in by_engine:
            got = ratio(target.metric, ours, by_engine[target.peer])
            judged.append(Verdict(target, got, got >= target.factor))
    return judged


def number(value: float) -> str:
    """Three digits that matter, and no exponent."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3}f}"


def _table(rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

    def line(row: list[str]) -> str:
        first, *rest = (cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
        return "  ".join([first, *rest]).rstrip()

    lines = [line(row) for row in rows]
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(lines)


def measured_table(found: dict[str, dict[str, list[float]]], engines: Sequence[str]) -> str:
    """One line a metric, one column an engine: the median, with min and max where there is more than one sample."""

    def cell(values: list[float] | None) -> str:
        if not values:
            return "."
        if len(values) == 1:
            return number(values[0])
        return f"{number(median(values))} ({number(min(values))}..{number(max(values))})"

    rows = [["workload", "unit", *engines]]
    rows += [[METRICS[m].title, METRICS[m].unit, *(cell(by_engine.get(e)) for e in engines)] for m, by_engine in found.items()]
    return _table(rows)


def ratio_table(found: dict[str, dict[str, list[float]]], engines: Sequence[str], ours: str) -> str:
    """How many times better `ours` is than each peer."""
    peers = [engine for engine in engines if not engine.startswith("jupyterfut")]
    rows = [[f"{ours} is better by", *peers]]
    for metric, by_engine in found.items():
        if ours in by_engine and any(peer in by_engine for peer in peers):
            ratios = [f"{number(ratio(metric, by_engine[ours], by_engine[p]))} x" if p in by_engine else "." for p in peers]
            rows.append([METRICS[metric].title, *ratios])
    return _table(rows) if len(rows) > 1 else ""


def target_table(judged: Sequence[Verdict]) -> str:
    """Every target that could be judged, and by how much it was met or missed."""
    rows = [["target", "needed", "got", ""]]
    for target, got, met in judged:
        metric = METRICS[target.metric]
        if target.peer is None:
            title, needed, text = f"{metric.title} ({target.engine})", f"<= {number(target.factor)} {metric.unit}", f"{number(got)} {metric.unit}"
            share = target.factor / got
        else:
            title, needed, text = f"{metric.title} ({target.engine} : {target.peer})", f"{number(target.factor)} x", f"{number(got)} x"
            share = got / target.factor
        rows.append([title, needed, text, "met" if met else f"MISSED: {share:.0%} of it"])
    return _table(rows) if len(rows) > 1 else ""


def as_json(
    runs: Sequence[Run], found: dict[str, dict[str, list[float]]], *, versions: dict[str, str], machine: dict[str, Any], options: dict[str, Any]
) -> dict[str, Any]:
    """Everything that was measured, for machines."""
    return {
        "versions": versions,
        "machine": machine,
        "options": options,
        "metrics": {
            name: {
                "title": METRICS[name].title, "unit": METRICS[name].unit, "better": METRICS[name].better,
                "engines": {e: {"median": median(v), "min": min(v), "max": max(v), "samples": v} for e, v in by_engine.items()},
            }
            for name, by_engine in found.items()
        },
        "targets": [
            {"metric": v.target.metric, "engine": v.target.engine, "peer": v.target.peer, "needed": v.target.factor, "got": v.got, "met": v.met}
            for v in verdicts(found)
        ],
        "errors": [{"workload": run.workload, "engine": run.engine, "error": run.error} for run in runs if run.error],
    }  # fmt: skip
