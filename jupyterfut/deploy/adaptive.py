"""Clusters that grow with the work and shrink without it: what `cluster.adapt()` returns.

The number is computed where the load is known, by the scheduler's machine (`core/scheduler/adaptive.py`: the rule, and when it is looked at), and
followed where workers are started (`runtime/workforce.py`). This is the handle of both for the user, and the place where options are read.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jupyterfut import config
from jupyterfut.config import parse_seconds
from jupyterfut.errors import ConfigError

if TYPE_CHECKING:
    from jupyterfut.deploy.cluster import Cluster

Seconds = float | str | timedelta


class Adaptive:
    """A cluster's own adapting of its number of workers to the work; made by `cluster.adapt(...)`, or as `Adaptive(cluster, ...)`.

    - `minimum`, `maximum`: of workers; None: no limit.
    - `interval`: the number changes at most so often (seconds, "500 ms", timedelta); default: the setting `deploy.adaptive_interval_s`.
    - `wait_count`: for so many intervals in a row fewer workers must be enough, before some leave; default: `deploy.adaptive_wait_count`.
    - `target_duration`: workers are started until the work that is known would take so long; default: `deploy.adaptive_target_s`.

    There are as many workers as that takes, never more than there are tasks to run; never fewer than have something to do (a worker with running
    work is not taken away), or than the memory for the results needs. Those that leave retire: their data moves first. It ends with `stop()`, with
    `cluster.scale(n)`, with the cluster, or with another `adapt`. Nothing polls: the scheduler tells when the number changes.

    In an asynchronous cluster it may be awaited, until adapting has begun. Options are those of dask.distributed's `Adaptive`; others, such as
    `worker_key`, are a TypeError.

    >>> from jupyterfut import LocalCluster
    >>> with LocalCluster(n_workers=0, threads_per_worker=1, processes=False) as cluster:
    ...     adaptive = cluster.adapt(minimum=1, maximum=4)
    ...     adaptive.minimum, adaptive.maximum, adaptive.running
    (1, 4, True)
    """

    def __init__(
        self,
        cluster: Cluster,
        minimum: int = 0,
        maximum: int | float | None = None,
        *,
        interval: Seconds | None = None,
        wait_count: int | None = None,
        target_duration: Seconds | None = None,
    ) -> None:
        if type(minimum) is not int or minimum < 0:
            raise ConfigError(f"minimum is a whole number of workers, at least 0, not {minimum!r}")
        if maximum == float("inf"):
            maximum = None
        if maximum is not None and (type(maximum) is not int or maximum < max(minimum, 1)):
            raise ConfigError(f"maximum is a whole number of workers, at least 1 and not below the minimum ({minimum}), not {maximum!r}")
        if wait_count is not None and (type(wait_count) is not int or wait_count < 1):
            raise ConfigError(f"wait_count is a whole number of intervals, at least 1, not {wait_count!r}")
        defaults = config.settings().deploy
        self.minimum = minimum
        self.maximum = maximum
        self.interval_s = _seconds("interval", interval, defaults.adaptive_interval_s)
        self.target_duration_s = _seconds("target_duration", target_duration, defaults.adaptive_target_s)
        self.wait_count = defaults.adaptive_wait_count if wait_count is None else wait_count
        self.wanted: int | None = None  #: how many workers the load asked for last; None before the first word
        self.running = True  #: not stopped yet
        self._cluster = cluster
        self._begun: Any = cluster._begin_adapting(self)  # None, or what an asynchronous caller may await

    def options(self) -> dict[str, Any]:
        """As the scheduler is told."""
        return {
            "minimum": self.minimum, "maximum": self.maximum, "interval_s": self.interval_s, "wait_count": self.wait_count,
            "target_duration_s": self.target_duration_s,
        }  # fmt: skip

    def stop(self) -> Any:
        """Leave the number of workers as it is. Idempotent. Blocks for a moment, or returns an awaitable in an asynchronous cluster."""
        return self._cluster._stop_adapting(self)

    def __await__(self) -> Generator[Any, None, Adaptive]:
        return self._wait().__await__()

    async def _wait(self) -> Adaptive:
        if self._begun is not None:
            await self._begun
        return self

    def __repr__(self) -> str:
        limit = "any number" if self.maximum is None else str(self.maximum)
        state = f"wants {self.wanted}" if self.running else "stopped"
        return f"<Adaptive {self.minimum} to {limit} workers: {state}>"


def _seconds(name: str, value: Seconds | None, default: float) -> float:
    if value is None:
        return default
    try:
        seconds = parse_seconds(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name}: {error}") from error
    if not 0.0 < seconds < float("inf"):
        raise ConfigError(f"{name} is longer than nothing, and not for ever, not {value!r}")
    return seconds
