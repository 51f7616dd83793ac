"""What a scheduler's process measures of itself, and whom it calls slow."""

from __future__ import annotations

import asyncio
from typing import Any

from jupyterfut.core.scheduler.state import ClientState
from jupyterfut.diagnostics.viewer import Viewer
from jupyterfut.ids import ClientId, PeerId
from jupyterfut.runtime.gauges import BEHIND_BYTES, Gauges
from jupyterfut.runtime.peer import Link
from jupyterfut.runtime.scheduler_server import Scheduler
from jupyterfut.wire.panes import SNAPSHOTS


class Pipe(Link):
    """A link of which only one thing is looked at."""

    pending = 0

    def __init__(self) -> None:
        pass

    @property
    def pending_bytes(self) -> int:
        return self.pending


def test_one_who_does_not_read_is_behind() -> None:
    links: dict[PeerId, Any] = {PeerId(1): (pipe := Pipe()), PeerId(2): object()}
    gauges = Gauges(links)
    clients = [ClientState(ClientId(f"c{i}"), "", PeerId(i), None, 1) for i in range(4)]
    assert not any(map(gauges.is_behind, clients))
    pipe.pending = BEHIND_BYTES + 1
    assert [gauges.is_behind(client) for client in clients] == [False, True, False, False]


def test_the_process_is_measured_while_somebody_looks() -> None:
    async def story() -> list[dict[str, Any]]:
        heard: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()
        async with Scheduler(port=0) as scheduler:
            viewer = Viewer(scheduler.address, scheduler.security, on_snapshot=lambda topic, snapshot: heard.put_nowait((topic, snapshot)))
            viewer.start()
            viewer.watch({"load": {}})
            told = [(await heard.get())[1] for _ in range(3)]
            await viewer.close()
        return told

    first, *others = asyncio.run(story())
    assert first["reset"] and not any(told["reset"] for told in others)
    for told in others:
        assert told["memory"][0] > 1_000_000 and told["cpu"][0] >= 0.0 and told["lag_s"][0] >= 0.0 and told["received"][0] >= 0.0


def test_every_topic_is_told_by_a_real_scheduler() -> None:
    async def story() -> set[str]:
        begun: set[str] = set()
        everything = asyncio.Event()

        def heard(topic: str, snapshot: dict[str, Any]) -> None:
            begun.add(topic)
            if len(begun) == len(SNAPSHOTS):
                everything.set()

        async with Scheduler(port=0) as scheduler:
            viewer = Viewer(scheduler.address, scheduler.security, on_snapshot=heard)
            viewer.start()
            viewer.watch({topic: {} for topic in SNAPSHOTS})
            async with asyncio.timeout(30):
                await everything.wait()
            await viewer.close()
        return begun

    assert asyncio.run(story()) == SNAPSHOTS.keys()
