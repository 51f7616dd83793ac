"""The engines, by name. An engine's module is imported only in the child process that measures it."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.system.engines.base import Engine


class Known(NamedTuple):
    """Where an engine's adapter is, and which packages tell whether it can run here and in which version."""

    adapter: str
    package: str  #: what must be importable
    distribution: str  #: whose version is reported; "" for the standard library


KNOWN: dict[str, Known] = {
    "jupyterfut": Known("clients:Jupyterfut", "jupyterfut.client", "jupyterfut"),
    "dask": Known("clients:Dask", "distributed", "distributed"),
    "ray": Known("rays:Ray", "ray", "ray"),
    "loky": Known("pools:Loky", "loky", "loky"),
    "pool": Known("pools:Pool", "concurrent.futures", ""),
    "jupyterfut-threads": Known("clients:JupyterfutThreads", "jupyterfut.client", "jupyterfut"),
    "dask-threads": Known("clients:DaskThreads", "distributed", "distributed"),
}


def installed(name: str) -> bool:
    """Whether the engine can be imported here, found without importing it."""
    try:
        return importlib.util.find_spec(KNOWN[name].package) is not None
    except ModuleNotFoundError:
        return False


def adapter(name: str) -> type[Engine]:
    """The adapter's class. Importing it imports the engine."""
    module, _, attribute = KNOWN[name].adapter.partition(":")
    found: type[Engine] = getattr(importlib.import_module(f"benchmarks.system.engines.{module}"), attribute)
    return found


def adapter_features(name: str) -> frozenset[str]:
    """What the engine can do here. Imports the engine; features of jupyterfut that its version does not have yet are taken away."""
    return adapter(name).available()


def fork_join(engine: str, func: Callable[..., Any], calls: list[tuple[Any, ...]]) -> list[Any]:
    """From inside a task: run `func` on each of `calls` as new tasks, give the slot back while waiting, and return the results."""
    return adapter(engine).fork_join(func, calls)
