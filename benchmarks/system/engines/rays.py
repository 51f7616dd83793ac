"""Ray: two CPUs, no dashboard, started in the child and ended with it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from benchmarks.system import tasks
from benchmarks.system.engines.base import WORKERS, Completed, Engine

# Ray reads these when it is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray


class _AsCompleted(Completed):
    """The loop over `ray.wait` that Ray's own documents show."""

    def __init__(self, futures: Sequence[Any]) -> None:
        self._waiting = list(futures)

    def add(self, future: Any) -> None:
        self._waiting.append(future)

    def __iter__(self) -> Iterator[Any]:
        while self._waiting:
            ready, self._waiting = ray.wait(self._waiting)
            yield from ready


class Ray(Engine):
    name = "ray"
    features = frozenset({"dependencies", "nested", "scatter", "actors", "ordered", "processes"})

    def __init__(self) -> None:
        self._remote: dict[Any, Any] = {}

    def start(self) -> None:
        ray.init(num_cpus=WORKERS, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)

    def close(self) -> None:
        ray.shutdown()

    def _function(self, func: Callable[..., Any]) -> Any:
        remote = self._remote.get(func)
        if remote is None:
            remote = self._remote[func] = ray.remote(func)
        return remote

    def submit(self, func: Callable[..., Any], *args: Any) -> Any:
        return self._function(func).remote(*args)

    def map(self, func: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        remote = self._function(func).remote
        return [remote(item) for item in items]

    def result(self, future: Any) -> Any:
        return ray.get(future)

    def gather(self, futures: Sequence[Any]) -> list[Any]:
        results: list[Any] = ray.get(list(futures))
        return results

    def wait(self, futures: Sequence[Any]) -> None:
        ray.wait(list(futures), num_returns=len(futures), fetch_local=False)

    def as_completed(self, futures: Sequence[Any]) -> Completed:
        return _AsCompleted(futures)

    def submit_over(self, futures: Sequence[Any]) -> Any:
        return self.submit(tasks.total_of, *futures)

    def scatter(self, value: Any) -> Any:
        return ray.put(value)

    def actor(self, cls: type) -> Any:
        return ray.remote(cls).remote()

    def call_actor(self, actor: Any) -> Any:
        return actor.increment.remote()

    def actor_results(self, futures: Sequence[Any]) -> list[Any]:
        results: list[Any] = ray.get(list(futures))
        return results

    @staticmethod
    def fork_join(func: Callable[..., Any], calls: list[tuple[Any, ...]]) -> list[Any]:
        remote = ray.remote(func)
        results: list[Any] = ray.get([remote.remote(*call) for call in calls])
        return results
