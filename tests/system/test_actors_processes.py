"""Actors in processes of their own: pickled calls, workers that are killed, actors and tasks that wait for each other on single threads."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jupyterfut import Client, as_completed, get_client, wait
from jupyterfut.errors import ActorLost, LostData


class Counter:
    n = 0

    def __init__(self) -> None:
        self.n = 0

    def increment(self) -> int:
        self.n += 1
        return self.n

    def fail(self) -> None:
        raise ValueError("on line so and so")

    def pid(self) -> int:
        return os.getpid()


class Holder:
    """Its methods wait until a file is there, or for ever."""

    def pid(self) -> int:
        return os.getpid()

    def hold(self, entered: str) -> None:
        Path(entered).touch()
        threading.Event().wait()

    async def wait(self) -> None:
        import asyncio

        await asyncio.Event().wait()

    def end_process(self) -> None:
        os._exit(3)


class ParameterServer:
    def __init__(self) -> None:
        self.data: dict[str, Any] = {}

    def put(self, key: str, value: Any) -> None:
        self.data[key] = value

    def get(self, key: str) -> Any:
        return self.data[key]


class Chain:
    """Each link asks the next, and has a task done on the way."""

    def __init__(self, following: Any = None) -> None:
        self.following = following

    def depth(self) -> int:
        client = get_client()
        one: int = client.submit(abs, -1, pure=False).result()
        return one + (self.following.depth().result() if self.following is not None else 0)


def increment_often(counter: Any, n: int) -> int:
    calls = [counter.increment() for _ in range(n)]
    return max(call.result() for call in calls)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client(n_workers=2, threads_per_worker=1, set_as_default=False) as client:
        # Streams to the actors of a worker are opened when first needed, and kept: now, so that no test seems to leave one behind.
        for worker in client.nthreads():
            client.submit(Counter, actor=True, workers=worker).result().increment().result()
        client.gather([client.submit(bytes, 100_000, workers=worker, pure=False) for worker in client.nthreads()])
        yield client


def test_the_seeds_counter(client: Client) -> None:
    counter = client.submit(Counter, actor=True).result()
    task = counter.increment()
    assert task.result() == 1
    assert counter.n == 1
    assert [call.result() for call in [counter.increment() for _ in range(2000)]] == list(range(2, 2002))
    assert counter.pid().result() != os.getpid()


def test_the_seeds_parameter_server(client: Client) -> None:
    server = client.submit(ParameterServer, actor=True).result()
    server.put("parameters", np.random.default_rng(0).random(1000))
    for _ in range(20):
        parameters = server.get("parameters").result()
        server.put("parameters", parameters - 0.1 * 2 * (parameters - 1))
    assert abs(server.get("parameters").result().mean() - 1) < 0.01


def test_a_class_that_only_this_process_knows(client: Client) -> None:
    class Local:
        def greet(self, name: str) -> str:
            return f"hello {name}"

    local = client.submit(Local, actor=True).result()
    assert local.greet("you").result() == "hello you"
    assert repr(local).startswith("<Actor: Local, key=Local-")


def test_the_users_line_is_in_the_traceback(client: Client) -> None:
    counter = client.submit(Counter, actor=True).result()
    with pytest.raises(ValueError, match="on line so and so") as raised:
        counter.fail().result()
    assert 'raise ValueError("on line so and so")' in "".join(traceback.format_exception(raised.value))


def test_tasks_on_all_workers_call_one_actor(client: Client) -> None:
    counter = client.submit(Counter, actor=True)
    tasks = client.map(increment_often, [counter] * 6, [50] * 6, pure=False)
    assert max(result for _, result in as_completed(tasks, with_results=True)) == 300
    assert counter.result().n == 300


def test_actors_that_wait_for_actors_and_tasks_on_single_threads(client: Client) -> None:
    link = None
    for _ in range(6):
        link = client.submit(Chain, link, actor=True).result()
    assert link is not None
    assert link.depth().result(timeout=60) == 6
    assert client.submit(lambda actor: actor.depth().result(), link).result(timeout=60) == 6


def test_large_arrays(client: Client) -> None:
    server = client.submit(ParameterServer, actor=True).result()
    array = np.arange(1_000_000.0)
    for number in range(3):
        server.put(str(number), array * number)
    for number in range(3):
        assert (server.get(str(number)).result() == array * number).all()


def test_kill_9_fails_calls_in_flight_and_later_ones(tmp_path: Path) -> None:
    with Client(n_workers=2, threads_per_worker=1) as client:
        task = client.submit(Holder, actor=True)
        holder = task.result()
        pid = holder.pid().result()
        entered = tmp_path / "entered"
        calls = [holder.wait() for _ in range(10)] + [holder.hold(str(entered))] + [holder.pid() for _ in range(500)]
        read = client.submit(lambda holder: holder.pid().result(), holder, pure=False)  # behind them, from a task
        other = client.submit(Counter, actor=True).result()
        while not entered.exists():
            other.increment().result()
        os.kill(pid, signal.SIGKILL)
        for call in calls:
            assert isinstance(call.exception(timeout=30), ActorLost)
        wait([read], timeout=30)
        assert isinstance(read.exception(), (ActorLost, LostData))
        with pytest.raises(ActorLost):
            holder.pid().result(timeout=30)
        with pytest.raises(LostData, match="is gone"):
            while True:  # until the scheduler's word is here
                task.result(timeout=30)
        assert task.status == "lost"
        with pytest.raises(ActorLost):
            holder.anything
        assert other.increment().result(timeout=30) > 0


def test_a_method_that_ends_its_process() -> None:
    with Client(n_workers=1, threads_per_worker=1) as client:
        holder = client.submit(Holder, actor=True).result()
        with pytest.raises(ActorLost):
            holder.end_process().result(timeout=30)
        client.wait_for_workers(1, timeout=60)
        assert client.submit(Counter, actor=True).result(timeout=60).increment().result(timeout=30) == 1


def test_another_process_calls_the_actor(client: Client) -> None:
    counter = client.submit(Counter, actor=True).result()
    with Client(client.address, security=client._target.security, set_as_default=False) as other:
        task = other.submit(increment_often, counter, 3, pure=False)
        assert task.result(timeout=30) == 3
        assert counter.increment().result() == 4


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="a platform without pthread_kill")
def test_ctrl_c_gets_through(client: Client) -> None:
    holder = client.submit(Holder, actor=True).result()
    call = holder.wait()
    holder.pid().result()
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        call.result(timeout=30)
    timer.join()
    assert not call.done()
    assert holder.pid().result(timeout=30)
