"""Thirty threads share one client and do everything to the same few keys at once; afterwards nothing is left, here or in the scheduler."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
from typing import Any

import pytest

from jupyterfut import CancelledError, Client, Future, as_completed, wait
from jupyterfut.core.client.invariants import check


def work(x: int) -> int:
    if x % 7 == 6:
        raise ValueError(x)
    return x * 10


def hammer(client: Client, seed: int, errors: list[BaseException]) -> None:
    chance = random.Random(seed)
    mine: list[Future] = []
    try:
        for _ in range(60):
            match chance.randrange(9):
                case 0 | 1:
                    mine.append(client.submit(work, chance.randrange(20)))
                case 2:
                    mine += client.map(work, [chance.randrange(20) for _ in range(5)])
                case 3 if mine:
                    mine.pop(chance.randrange(len(mine)))
                case 4 if mine:
                    chance.choice(mine).cancel()
                case 5 if mine:
                    mine.append(client.submit(work, chance.choice(mine)))
                case 6:
                    for future in as_completed(mine[-3:]):
                        assert future.done()
                case 7:
                    wait(mine, timeout=60)
                case 8 if mine:
                    _check_value(chance.choice(mine))
    except BaseException as error:
        errors.append(error)


def _check_value(future: Future) -> None:
    try:
        value = future.result(timeout=60)
    except (ValueError, CancelledError):
        return
    assert value % 10 == 0


@pytest.mark.parametrize("seed", range(3))
def test_everything_at_once(seed: int) -> None:
    with Client(processes=False, n_workers=2, threads_per_worker=2) as client:
        errors: list[BaseException] = []
        threads = [threading.Thread(target=hammer, args=(client, 100 * seed + i, errors)) for i in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(90)
        assert errors == []
        with client._session.lock:
            check(client._session.machine)
        gc.collect()
        client.scheduler_info()  # may leave in one batch with the last releases, and before them
        assert client.scheduler_info()["tasks"] == dict.fromkeys(client.scheduler_info()["tasks"], 0)
        assert client.futures == {}
        assert client.submit(work, 1).result(10) == 10


def test_many_waiters_of_one_future() -> None:
    gate = threading.Event()
    with Client(processes=False, threads_per_worker=2) as client:
        future = client.submit(gate.wait, 30, pure=False)
        results: list[Any] = []

        async def await_it() -> Any:
            return await future

        ways = [lambda: future.result(30), lambda: client.gather([future])[0], lambda: asyncio.run(await_it()), lambda: client.sync(await_it)]
        threads = [threading.Thread(target=lambda way=way: results.append(way())) for way in ways * 5]
        for thread in threads:
            thread.start()
        gate.set()
        for thread in threads:
            thread.join(30)
        assert results == [True] * 20
