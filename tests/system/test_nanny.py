"""The nanny: a worker process that dies comes back, one that hangs is killed, and none outlives its nanny."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from jupyterfut import config
from jupyterfut.errors import WorkerStartError
from jupyterfut.runtime.nanny import Nanny
from jupyterfut.runtime.process import is_alive
from jupyterfut.runtime.scheduler_server import Scheduler
from jupyterfut.wire.messages import WorkerDied

QUICK = config.Settings(nanny=config.NannySettings(close_timeout_s=0.5, backoff_first_s=0.05, backoff_max_s=0.1))


class Changes:
    """Tells when a nanny's state has become what a test waits for."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def __call__(self, nanny: Nanny) -> None:
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


def run(story: Callable[..., Awaitable[None]], **options: Any) -> None:
    """Runs a story with a scheduler and a nanny."""

    async def main() -> None:
        changes = Changes()
        async with Scheduler(port=0) as scheduler:
            async with Nanny(scheduler.address, nthreads=1, name="w", settings=QUICK, on_change=changes, **options) as nanny:
                await story(scheduler, nanny, changes)
            assert nanny.pid is None

    asyncio.run(main())


def test_a_worker_joins_and_ends_with_its_nanny() -> None:
    async def story(scheduler: Scheduler, nanny: Nanny, changes: Changes) -> None:
        assert nanny.status == "running"
        assert [worker.name for worker in scheduler.machine.state.workers.values()] == ["w"]
        assert nanny.worker_address in scheduler.machine.state.workers

    run(story)


def test_a_killed_worker_comes_back_and_the_scheduler_is_told(caplog: pytest.LogCaptureFixture) -> None:
    died: list[Any] = []

    async def story(scheduler: Scheduler, nanny: Nanny, changes: Changes) -> None:
        first = nanny.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await changes.until(lambda: nanny.status == "running" and nanny.pid != first and nanny.worker_address)
        assert nanny.restarts == 1
        assert [(d.name, d.pid, d.exit_code, d.text) for d in died] == [("w", first, -signal.SIGKILL, "killed by SIGKILL")]

    run(story, on_died=died.append)


def test_the_death_is_told_over_a_stream_of_its_own() -> None:
    async def story(scheduler: Scheduler, nanny: Nanny, changes: Changes) -> None:
        told = asyncio.Event()
        handle = scheduler.machine.handle

        def listen(event: Any, now: float) -> Any:
            if type(getattr(event, "message", None)) is WorkerDied:
                told.set()
            return handle(event, now)

        scheduler.machine.handle = listen  # type: ignore[method-assign]  # to listen
        first = nanny.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await changes.until(lambda: nanny.status == "running" and nanny.pid != first and nanny.worker_address)
        async with asyncio.timeout(10):
            await told.wait()

    run(story)


def test_one_that_keeps_dying_waits_longer_each_time(caplog: pytest.LogCaptureFixture) -> None:
    async def story(scheduler: Scheduler, nanny: Nanny, changes: Changes) -> None:
        for death in range(3):
            await changes.until(lambda: nanny.status == "running" and nanny.worker_address)
            assert nanny.pid is not None
            os.kill(nanny.pid, signal.SIGKILL)
            await changes.until(lambda death=death: nanny.restarts == death + 1)
        await changes.until(lambda: nanny.status == "running")

    with caplog.at_level(logging.WARNING, "jupyterfut.nanny"):
        run(story)
    waits = [record.getMessage().partition("again")[2] for record in caplog.records if "died" in record.getMessage()]
    assert waits == ["", " in 0.05 s", " in 0.1 s"]


def test_a_worker_that_ends_on_purpose_stays_away() -> None:
    async def story(scheduler: Scheduler, nanny: Nanny, changes: Changes) -> None:
        assert nanny.pid is not None
        os.kill(nanny.pid, signal.SIGTERM)
        async with asyncio.timeout(10):
            await nanny.finished()
        assert nanny.status == "closed"
        assert nanny.restarts == 0

    run(story)


def test_a_worker_that_hangs_at_close_is_killed(caplog: pytest.LogCaptureFixture) -> None:
    async def story(scheduler: Scheduler, nanny: Nanny, changes: Changes) -> None:
        pid = nanny.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await nanny.close()
        assert not is_alive(pid)

    with caplog.at_level(logging.WARNING, "jupyterfut.nanny"):
        run(story)
    assert "killing it" in caplog.text


def test_restart_gives_a_fresh_process_and_reports_no_death() -> None:
    died: list[Any] = []

    async def story(scheduler: Scheduler, nanny: Nanny, changes: Changes) -> None:
        first = nanny.pid
        await nanny.restart()
        await changes.until(lambda: nanny.worker_address)
        assert nanny.pid != first
        assert died == []

    run(story, on_died=died.append)


def test_nobody_listens() -> None:
    async def main() -> None:
        quick = config.Settings(comm=config.CommSettings(connect_timeout_s=0.3))
        nanny = Nanny("tcp://127.0.0.1:9", nthreads=1, token="t", settings=quick)
        with pytest.raises(WorkerStartError, match="127.0.0.1:9"):
            await nanny.start()
        assert nanny.status == "closed"

    asyncio.run(main())


def test_a_wrong_token_is_told_to_whoever_started_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Scheduler(port=0) as scheduler:
            nanny = Nanny(scheduler.address, nthreads=1, token="not the token")
            with pytest.raises(WorkerStartError, match="refused our token"):
                await nanny.start()

    asyncio.run(main())


def test_too_much_memory_ends_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    died: list[Any] = []

    async def main() -> None:
        changes = Changes()
        tight = config.Settings(nanny=config.NannySettings(memory_check_s=0.01, backoff_first_s=60, backoff_max_s=60))
        async with Scheduler(port=0) as scheduler:
            nanny = Nanny(scheduler.address, nthreads=1, memory_limit="1 GB", settings=tight, on_died=died.append, on_change=changes)
            async with nanny:
                nanny.memory_limit_bytes = 10**6  # less than any interpreter needs
                await changes.until(lambda: nanny.restarts)

    asyncio.run(main())
    assert "passed 95% of the limit" in died[0].text


@pytest.mark.parametrize("bad", [{"nthreads": 0}, {"nthreads": -1}, {"memory_limit": "much"}, {"memory_limit": -5}])
def test_options_that_make_no_sense(bad: dict[str, Any]) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="nthreads|memory_limit"):
            Nanny("tcp://127.0.0.1:9", token="t", **bad)

    asyncio.run(main())


def test_a_worker_that_is_killed_while_it_starts_is_tried_again_and_given_up_in_the_end(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Scheduler(port=0) as scheduler:

            def kill(nanny: Nanny) -> None:
                if nanny.status == "starting" and nanny.restarts < deaths:
                    assert nanny.pid is not None
                    os.kill(nanny.pid, signal.SIGKILL)

            deaths = 2
            async with Nanny(scheduler.address, nthreads=1, settings=QUICK, on_change=kill) as nanny:
                assert nanny.restarts == 2
            deaths = 3
            nanny = Nanny(scheduler.address, nthreads=1, settings=QUICK, on_change=kill)
            with pytest.raises(WorkerStartError, match="killed by SIGKILL"):
                await nanny.start()

    asyncio.run(main())
