"""A small cluster on one event loop, over objects or over sockets, for tests of coordination; and how they know that somebody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from jupyterfut import Client, Scheduler, Worker

HOSTS = ["inproc", "127.0.0.1"]
"""Where the scheduler of a story listens: by reference, and with everything pickled."""

Story = Callable[[Client], Awaitable[None]]


def play(story: Story, host: str = "inproc", workers: int = 1, nthreads: int = 1) -> None:
    """The story gets an asynchronous client. At its end nothing may be parked, held or on its way."""

    async def main() -> None:
        async with asyncio.timeout(60), Scheduler(host=host) as s:
            names = [Worker(s.address, nthreads=nthreads, name=str(i), token=s.token) for i in range(workers)]
            for worker in names:
                await worker.start()
            try:
                async with Client(s, asynchronous=True) as client:
                    await story(client)
                    await client.scheduler_info()  # what the story said at its end has arrived
                    state = s.machine.state
                    assert not len(state.parked), list(state.parked)
                    assert s.machine.coordination.wrong() == []
            finally:
                for worker in names:
                    await worker.close()

    asyncio.run(main())


async def waiting(client: Client, call: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """The call, begun: the scheduler has heard of it, and has not answered."""
    task = asyncio.ensure_future(call)
    await asyncio.sleep(0)  # it asks
    await client.scheduler_info()  # which is read after it
    assert not task.done(), task
    return task
