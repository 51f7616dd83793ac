"""A session's questions that nobody waits for any more, its notices, and questions to single workers."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from jupyterfut import Client, Scheduler, TimeoutError, Worker, get_client  # noqa: A004
from jupyterfut.client.timeouts import Deadline
from jupyterfut.core.client import events as ev
from jupyterfut.errors import SerializationError


def test_the_scheduler_hears_of_waits_that_were_given_up() -> None:
    async def main() -> None:
        async with Scheduler(host="inproc") as s, Client(s.address, asynchronous=True) as client:
            with pytest.raises(TimeoutError, match="wait_for_workers"):
                await client._session.ask("wait_for_workers", {"n": 99, "timeout_s": None}, Deadline(0.01))
            await client.scheduler_info()  # answered after it
            assert not s.machine.state.parked

    asyncio.run(main())


def test_an_answer_that_comes_too_late_is_undone() -> None:
    undone: list[Any] = []
    arrived = threading.Event()

    def undo(value: Any) -> None:
        undone.append(value)
        arrived.set()

    with Client(processes=False, n_workers=1) as client:
        session = client._session

        async def ask_and_leave() -> None:
            asking = asyncio.ensure_future(session.ask("nthreads", {}, undo=undo))
            await asyncio.sleep(0)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

        client.sync(ask_and_leave)
        assert arrived.wait(30)
        assert list(undone[0].values()) == list(client.nthreads().values())


def test_notices_come_before_the_result_and_end_with_unlisten() -> None:
    heard: list[Any] = []

    def tell(n: int) -> int:
        session = get_client()._session
        for i in range(n):
            session.notify("counting", i)
        return n

    async def main() -> None:
        async with (
            Scheduler(host="inproc") as s, Worker(s.address, nthreads=1),
            Client(s.address, asynchronous=True) as client, Client(s.address, asynchronous=True) as other,
        ):  # fmt: skip
            client._session.listen("counting", heard.append)
            client._session.listen("counting", _troublemaker)
            assert await client.submit(tell, 3) == 3
            assert heard == [0, 1, 2]
            client._session.unlisten("counting", heard.append)
            client._session.unlisten("counting", heard.append)  # not there any more
            other._session.notify("counting", "x")
            await other.scheduler_info()
            await client.scheduler_info()
            assert heard == [0, 1, 2]
            client._session.unlisten("counting", _troublemaker)
            await client.scheduler_info()
            assert "counting" not in s.machine.state.topics

    asyncio.run(main())


def _troublemaker(value: Any) -> None:
    raise RuntimeError("a listener's own trouble")


def test_a_worker_answers_questions_of_its_own() -> None:
    async def slowly(args: dict[str, Any]) -> Any:
        await asyncio.sleep(0)
        return args["n"] + 1

    def fail(args: dict[str, Any]) -> Any:
        raise ZeroDivisionError("nothing")

    async def main() -> None:
        async with Scheduler(port=0) as s, Worker(s.address, nthreads=1) as worker, Client(s, asynchronous=True) as client:
            worker.data_ops.update(slowly=slowly, fail=fail, unsendable=lambda args: object())
            ask = client._links.ask
            assert await ask(worker.address, "slowly", {"n": 1}) == 2
            with pytest.raises(ZeroDivisionError, match="nothing"):
                await ask(worker.address, "fail", {})
            with pytest.raises(ValueError, match="no request 'what'"):
                await ask(worker.address, "what", {})
            with pytest.raises(SerializationError, match="object"):
                await ask(worker.address, "unsendable", {})

    asyncio.run(main())


def test_telling_and_giving_up_after_the_end_is_quiet() -> None:
    with Client(processes=False, n_workers=1) as client:
        machine = client._session.machine
    assert machine.handle(ev.Tell("topic", 1), 0.0) == []
    assert machine.handle(ev.Abandon(object()), 0.0) == []
