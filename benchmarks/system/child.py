"""One engine, one workload, in this fresh process: `python -m benchmarks.system.child ENGINE WORKLOAD SCALE`.

The parent reads the last line of standard output: JSON with `samples` (by metric) or `error`. Standard error is the engine's.
"""

from __future__ import annotations

import importlib
import os
import sys
from time import perf_counter
from typing import Any


def import_ms(package: str) -> float:
    """The time of `import package` in this process, in which nothing of it is loaded yet."""
    start = perf_counter()
    importlib.import_module(package)
    return (perf_counter() - start) * 1e3


def measure(engine_name: str, workload_name: str, scale: float) -> dict[str, list[float]]:
    """Start the engine, run the workload, end the engine."""
    if workload_name == "import":
        package = {"pool": "concurrent.futures.process"}.get(engine_name, engine_name.partition("-")[0])
        return {"import": [import_ms({"dask": "dask.distributed"}.get(package, package))]}
    from benchmarks.system import tasks
    from benchmarks.system.engines import adapter
    from benchmarks.system.workloads import WORKLOADS, expect, warm_up

    engine = adapter(engine_name)()
    start = perf_counter()
    engine.start()
    try:
        if workload_name == "cold":
            expect(engine.result(engine.submit(tasks.inc, 1)), 2)
            return {"cold": [perf_counter() - start]}
        warm_up(engine)
        return WORKLOADS[workload_name].run(engine, scale)
    finally:
        engine.close()


def main() -> None:
    engine_name, workload_name, scale = sys.argv[1:]
    out = os.dup(1)
    os.dup2(2, 1)  # what tasks and engines print must not look like the answer
    answer: dict[str, Any]
    try:
        answer = {"samples": measure(engine_name, workload_name, float(scale))}
    except Exception as error:  # noqa: BLE001  (whatever it is, the parent reports it)
        import traceback

        traceback.print_exc()
        answer = {"error": f"{type(error).__name__}: {error}"}
    import json  # (not before: what `import` measures would be loaded already)

    os.write(out, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
