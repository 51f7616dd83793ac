"""jupyterfut and dask.distributed. They share one public surface, so that they share one adapter, word for word."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any, ClassVar

from benchmarks.system import tasks
from benchmarks.system.engines.base import WORKERS, Completed, Engine


class _AsCompleted(Completed):
    def __init__(self, iterator: Any) -> None:
        self._iterator = iterator

    def add(self, future: Any) -> None:
        self._iterator.add(future)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._iterator)


class _Client(Engine):
    package: ClassVar[str]
    options: ClassVar[dict[str, Any]]

    def __init__(self) -> None:
        self.module: ModuleType = importlib.import_module(self.package)
        self.client_class = self.module.Client  # (a lazy export is loaded here, not in the measured start)
        self.client: Any = None

    @classmethod
    def available(cls) -> frozenset[str]:
        names = {"actors": "Actor", "queues": "Queue"}
        missing = {feature for feature, name in names.items() if not hasattr(importlib.import_module(cls.package), name)}
        return cls.features - missing

    def start(self) -> None:
        self.client = self.client_class(**self.options)

    def close(self) -> None:
        self.client.close()

    def submit(self, func: Callable[..., Any], *args: Any) -> Any:
        return self.client.submit(func, *args)

    def map(self, func: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        futures: list[Any] = self.client.map(func, items)
        return futures

    def result(self, future: Any) -> Any:
        return future.result()

    def gather(self, futures: Sequence[Any]) -> list[Any]:
        results: list[Any] = self.client.gather(futures)
        return results

    def wait(self, futures: Sequence[Any]) -> None:
        self.module.wait(futures)

    def as_completed(self, futures: Sequence[Any]) -> Completed:
        return _AsCompleted(self.module.as_completed(futures))

    def submit_over(self, futures: Sequence[Any]) -> Any:
        return self.client.submit(tasks.total, futures)

    def scatter(self, value: Any) -> Any:
        return self.client.scatter(value)

    def submit_on(self, worker: int, func: Callable[..., Any], *args: Any) -> Any:
        return self.client.submit(func, *args, workers=[sorted(self.client.nthreads())[worker]])

    def scheduler_pid(self) -> int:
        """The child process that listens where the scheduler's address says."""
        import psutil

        port = int(self.client.cluster.scheduler_address.rpartition(":")[2])
        for process in psutil.Process().children(recursive=True):
            for connection in process.net_connections(kind="tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                    return int(process.pid)
        raise RuntimeError("no child process listens at the scheduler's address")

    def actor(self, cls: type) -> Any:
        return self.client.submit(cls, actor=True).result()

    def call_actor(self, actor: Any) -> Any:
        return actor.increment()

    def actor_results(self, futures: Sequence[Any]) -> list[Any]:
        return [future.result() for future in futures]

    def queue(self) -> Any:
        return self.module.Queue("benchmark")

    @classmethod
    def _fork_join(cls, func: Callable[..., Any], calls: list[tuple[Any, ...]]) -> list[Any]:
        module = importlib.import_module(cls.package)
        client = module.get_client()
        futures = [client.submit(func, *call, pure=False) for call in calls]
        module.secede()
        results: list[Any] = client.gather(futures)
        module.rejoin()
        return results


_ALWAYS = frozenset({"dependencies", "nested", "scatter"})
_OURS = {"n_workers": WORKERS, "threads_per_worker": 1}
_OURS_THREADS = {"n_workers": 1, "threads_per_worker": WORKERS, "processes": False}
_QUIET = {"dashboard_address": None}


class Jupyterfut(_Client):
    name = "jupyterfut"
    package = "jupyterfut"
    options = _OURS
    features = _ALWAYS | {"place", "memory", "actors", "ordered", "queues", "million", "processes"}

    @staticmethod
    def fork_join(func: Callable[..., Any], calls: list[tuple[Any, ...]]) -> list[Any]:
        return Jupyterfut._fork_join(func, calls)


class JupyterfutThreads(Jupyterfut):
    name = "jupyterfut-threads"
    options = _OURS_THREADS
    features = _ALWAYS | {"actors", "ordered", "queues", "million"}


class Dask(_Client):
    name = "dask"
    package = "distributed"
    options = _OURS | _QUIET
    # (its LocalCluster keeps the scheduler in the client's process, whose memory says little; its actor calls may overtake one another)
    features = _ALWAYS | {"place", "actors", "queues", "processes"}

    def __init__(self) -> None:
        super().__init__()
        warnings.simplefilter("ignore")
        logging.getLogger("distributed").setLevel(logging.ERROR)

    @staticmethod
    def fork_join(func: Callable[..., Any], calls: list[tuple[Any, ...]]) -> list[Any]:
        return Dask._fork_join(func, calls)


class DaskThreads(Dask):
    name = "dask-threads"
    options = _OURS_THREADS | _QUIET
    features = _ALWAYS | {"actors", "queues"}
