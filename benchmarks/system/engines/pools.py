"""The process pools: `concurrent.futures.ProcessPoolExecutor` and loky. They know no dependencies, so they take part where none are needed."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from typing import Any

from benchmarks.system.engines.base import WORKERS, Completed, Engine


class _AsCompleted(Completed):
    """Through done callbacks, since `concurrent.futures.as_completed` takes no more futures once it runs."""

    def __init__(self, futures: Sequence[Any]) -> None:
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._waiting = 0
        for future in futures:
            self.add(future)

    def add(self, future: Any) -> None:
        self._waiting += 1
        future.add_done_callback(self._done.put)

    def __iter__(self) -> Iterator[Any]:
        while self._waiting:
            self._waiting -= 1
            yield self._done.get()


class _PoolEngine(Engine):
    executor: Any

    def close(self) -> None:
        self.executor.shutdown()

    def submit(self, func: Callable[..., Any], *args: Any) -> Any:
        return self.executor.submit(func, *args)

    def result(self, future: Any) -> Any:
        return future.result()

    def gather(self, futures: Sequence[Any]) -> list[Any]:
        return [future.result() for future in futures]

    def wait(self, futures: Sequence[Future[Any]]) -> None:
        wait(futures)

    def as_completed(self, futures: Sequence[Any]) -> Completed:
        return _AsCompleted(futures)


class Pool(_PoolEngine):
    name = "pool"
    features = frozenset({"processes"})

    def start(self) -> None:
        self.executor = ProcessPoolExecutor(WORKERS)


class Loky(_PoolEngine):
    name = "loky"
    features = frozenset({"processes"})

    def __init__(self) -> None:
        import loky

        self._start = loky.get_reusable_executor

    def start(self) -> None:
        self.executor = self._start(max_workers=WORKERS)
