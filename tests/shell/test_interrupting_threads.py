"""Where a thread may be hit by an interrupt, and where not: the look, without a worker."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from jupyterfut.adapters.calls import run as run_of_ours
from jupyterfut.core.worker.events import Call
from jupyterfut.errors import TaskInterrupted
from jupyterfut.runtime.context import Desk, here, waking
from jupyterfut.runtime.interrupting import Interrupter, disarm, shoot
from jupyterfut.serde import dumps_result


class Task:
    """A thread that runs a function as an executor's thread does, and says how it ended."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.desk = Desk(lambda call, in_loop: None)  # type: ignore[arg-type, return-value]  # nobody asks for the context
        self.call = self.desk.call = Call()
        self.call.attempt = 1  # type: ignore[assignment]  # a plain number
        self.function = function
        self.ended: Any = "runs"
        self.thread = threading.Thread(target=self.main)

    def main(self) -> None:
        here.desk = self.desk
        try:
            try:
                self.ended = self.bottom()
            finally:
                disarm(self.desk)
        except TaskInterrupted as error:
            self.ended = type(error)

    def bottom(self) -> object:
        return self.function()


@contextmanager
def running(function: Callable[[], object], started: threading.Event) -> Iterator[tuple[Task, Interrupter]]:
    task = Task(function)
    task.thread.start()
    loop = asyncio.new_event_loop()
    assert started.wait(30)
    assert task.thread.ident is not None
    try:
        yield task, Interrupter({task.thread.ident: task.desk}, Task.bottom.__code__, loop)
    finally:
        task.thread.join(30)
        loop.close()


class Slow:
    """Pickling it takes until it is told to end."""

    def __init__(self, started: threading.Event, go: threading.Event) -> None:
        self.events = started, go

    def __reduce__(self) -> Any:
        started, go = self.events
        started.set()
        while not go.is_set():
            pass
        return int, (7,)


def spin(started: threading.Event, go: threading.Event) -> str:
    started.set()
    while not go.is_set():
        pass
    return "ran through"


class Handler(logging.Handler):
    def __init__(self, started: threading.Event, go: threading.Event) -> None:
        super().__init__()
        self.events = started, go

    def emit(self, record: logging.LogRecord) -> None:
        spin(*self.events)


class Dying:
    def __init__(self, started: threading.Event, go: threading.Event) -> None:
        self.events = started, go

    def __del__(self) -> None:
        spin(*self.events)


def logs(handler: Handler) -> str:
    logger = logging.getLogger("interrupting-test")
    logger.propagate = False
    logger.addHandler(handler)
    try:
        logger.error("x")
    finally:
        logger.removeHandler(handler)
    return "ran through"


def dies(started: threading.Event, go: threading.Event) -> str:
    Dying(started, go)
    return "ran through"


@pytest.mark.parametrize(
    ("where", "may_be_hit"),
    [("its own code", True), ("called by ours that says so", True), ("called by ours", False), ("a log handler", False), ("__del__", False)],
)
def test_where_a_thread_may_be_hit(where: str, may_be_hit: bool) -> None:
    started, go = threading.Event(), threading.Event()
    functions: dict[str, Callable[[], object]] = {
        "its own code": lambda: spin(started, go),
        "called by ours that says so": lambda: run_of_ours(spin, (started, go)),
        "called by ours": lambda: dumps_result(Slow(started, go)) and "ran through",
        "a log handler": lambda: logs(Handler(started, go)),
        "__del__": lambda: dies(started, go),
    }
    with running(functions[where], started) as (task, interrupter):
        interrupter.interrupt([1])  # type: ignore[list-item]  # a plain number
        if may_be_hit:
            task.thread.join(30)
        else:
            assert task.desk.stop is task.call  # it waits for a better moment, which nobody gives it here
        go.set()
    assert task.ended == (TaskInterrupted if may_be_hit else "ran through")


def test_a_wait_of_ours_is_woken_and_raises_by_itself() -> None:
    started, gate = threading.Event(), threading.Event()

    def waits() -> None:
        with waking(gate.set):
            started.set()
            gate.wait(30)

    with running(waits, started) as (task, interrupter):
        interrupter.interrupt([1])  # type: ignore[list-item]  # a plain number
    assert task.ended is TaskInterrupted


def test_another_call_or_another_frame_is_never_hit() -> None:
    started, go = threading.Event(), threading.Event()
    with running(lambda: spin(started, go), started) as (task, _):
        ident = task.thread.ident
        assert ident is not None
        frame = sys._current_frames()[ident]
        assert not shoot(ident, frame, task.desk, task.call)  # it is not to be stopped
        task.desk.stop = task.call
        assert not shoot(ident, sys._getframe(), task.desk, task.call)  # it is not there
        assert not shoot(ident, frame, task.desk, Call())  # it runs something else
        go.set()
    assert task.ended == "ran through"


def test_what_has_not_arrived_is_taken_back() -> None:
    started, go = threading.Event(), threading.Event()

    def ends_in_c() -> str:
        started.set()
        go.wait(30)  # the exception would come when this returns
        return "ran through"

    with running(ends_in_c, started) as (task, interrupter):
        interrupter.interrupt([2])  # type: ignore[list-item]  # nobody's number
        go.set()
    assert task.ended == "ran through"
    assert task.desk.shot is task.desk.stop is None
