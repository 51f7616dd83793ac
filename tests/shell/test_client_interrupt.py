"""Blocking calls end at once when the user interrupts, and leave nothing behind."""

from __future__ import annotations

import gc
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from jupyterfut import Client, as_completed, wait


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(processes=False, n_workers=1, threads_per_worker=1) as client:
        yield client


async def forever() -> None:
    import asyncio

    await asyncio.get_running_loop().create_future()


CALLS: dict[str, Any] = {
    "result": lambda client, future: future.result(),
    "exception": lambda client, future: future.exception(),
    "gather": lambda client, future: client.gather([future]),
    "wait": lambda client, future: wait([future]),
    "wait first": lambda client, future: wait([future], return_when="FIRST_COMPLETED"),
    "as_completed": lambda client, future: next(as_completed([future])),
    "sync": lambda client, future: client.sync(forever),
    "wait_for_workers": lambda client, future: client.wait_for_workers(5),
}


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="a platform without pthread_kill")
@pytest.mark.parametrize("name", CALLS)
def test_an_interrupt_ends_the_wait(client: Client, name: str) -> None:
    future = client.submit(abs, -1, workers="nobody")
    client.nthreads()  # everything stands
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT))
    timer.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        CALLS[name](client, future)
    assert time.monotonic() - start < 5
    timer.join()
    gc.collect()
    assert not [waiter for waiter in future._record.waiters or [] if name != "as_completed" or waiter.home() is not None]
    assert client.submit(abs, -2).result(10) == 2
