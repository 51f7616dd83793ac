"""What a workload may ask of an engine.

An engine is two one-thread worker processes (or two threads) and a client. It says what it can do in `features`; a workload that needs more is left
out for it. Everything here blocks until it has what it returns, except `submit`, `map`, `submit_over` and `submit_on`, which return futures at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, NoReturn

WORKERS = 2
"""Workers of one thread each; the thread engines have one worker of two threads."""


class NotOffered(Exception):
    """A workload asked an engine for something that is not among its `features`: the workload's `needs` are incomplete."""


class Completed(ABC):
    """Futures as they complete, and more of them added while they are iterated."""

    @abstractmethod
    def add(self, future: Any) -> None: ...

    @abstractmethod
    def __iter__(self) -> Iterator[Any]: ...


class Engine(ABC):
    """The adapter of one engine. What every engine has is abstract; the rest is refused unless the engine has it."""

    name: ClassVar[str]
    features: ClassVar[frozenset[str]] = frozenset()
    """Of: processes (the workers are processes), dependencies, nested (tasks from tasks), scatter, place (choose the worker), actors,
    ordered (their calls run in order), queues, memory (a scheduler process of its own), million (a million tasks are bearable)."""

    @classmethod
    def available(cls) -> frozenset[str]:
        """The features that the installed version has."""
        return cls.features

    @abstractmethod
    def start(self) -> None:
        """Start workers and client; on return, a task can be submitted."""

    @abstractmethod
    def close(self) -> None:
        """End everything that `start` began."""

    @abstractmethod
    def submit(self, func: Callable[..., Any], *args: Any) -> Any:
        """A future of one call. Futures among `args` are dependencies."""

    def map(self, func: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """One future an item, in the quickest way the engine documents for single tasks."""
        return [self.submit(func, item) for item in items]

    @abstractmethod
    def result(self, future: Any) -> Any: ...

    @abstractmethod
    def gather(self, futures: Sequence[Any]) -> list[Any]: ...

    @abstractmethod
    def wait(self, futures: Sequence[Any]) -> None:
        """Until all are done, without moving results."""

    @abstractmethod
    def as_completed(self, futures: Sequence[Any]) -> Completed: ...

    def submit_over(self, futures: Sequence[Any]) -> Any:
        """One task that adds up all of `futures`: `tasks.total` of a list, or `tasks.total_of` of arguments where lists are not looked into."""
        self._refuse("dependencies")

    def scatter(self, value: Any) -> Any:
        """A future of a value that the client had; on return it is where tasks can use it."""
        self._refuse("scatter")

    def submit_on(self, worker: int, func: Callable[..., Any], *args: Any) -> Any:
        """`submit` to the first or second worker."""
        self._refuse("place")

    def scheduler_pid(self) -> int:
        """The process that runs the scheduler and nothing of the client or the workers."""
        self._refuse("memory")

    def actor(self, cls: type) -> Any:
        """An actor of the class, ready to be called."""
        self._refuse("actors")

    def call_actor(self, actor: Any) -> Any:
        """A future (for `actor_results`) of `actor.increment()`."""
        self._refuse("actors")

    def actor_results(self, futures: Sequence[Any]) -> list[Any]:
        self._refuse("actors")

    def queue(self) -> Any:
        """An object with blocking `put(value)` and `get()`."""
        self._refuse("queues")

    @staticmethod
    def fork_join(func: Callable[..., Any], calls: list[tuple[Any, ...]]) -> list[Any]:
        """Runs inside a task; see `engines.fork_join`."""
        raise NotOffered("nested")

    def _refuse(self, feature: str) -> NoReturn:
        raise NotOffered(f"{self.name}: {feature}")
