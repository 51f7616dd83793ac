"""How a cluster comes to have as many workers as it should: because somebody said so (`scale`), or because the load asks for it (`adapt`).

Workers that are too many retire first (`core/scheduler/retirement.py`): the scheduler says which, those that cost least, and when nothing is left
that only they have. Those that have not joined yet simply end. How workers are started and ended is the business of a `Staff`; how the scheduler is
asked, of a `Door`. Everything happens on one event loop, one change at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from jupyterfut.errors import ClosedError, JupyterfutError

logger = logging.getLogger("jupyterfut.deploy")


class Staff(Protocol):
    """Whoever starts and ends a cluster's workers."""

    def present(self) -> dict[str, str | None]:
        """The workers by name, oldest first, with their addresses; None for one that has not joined yet."""

    async def start(self, count: int) -> None:
        """Start so many more, and wait until they have joined. Raises WorkerStartError when one cannot; the others stay."""

    async def end(self, names: list[str]) -> None:
        """End these, and wait until they have."""


class Door(Protocol):
    """The way to the scheduler."""

    async def ask(self, op: str, args: dict[str, Any]) -> Any:
        """A request's answer. Raises what it fails with."""

    async def listen(self, topic: str, fn: Callable[[Any], object]) -> None:
        """Let `fn(value)` be called for each notice on the topic."""

    def close(self) -> None:
        """Nothing more is asked for now, and nobody listens."""


class Workforce:
    """The number of a cluster's workers. `on_wish(n)` is called when the load asks for another number."""

    def __init__(self, staff: Staff, door: Door, on_wish: Callable[[int], object] = lambda n: None) -> None:
        self._staff = staff
        self._door = door
        self._on_wish = on_wish
        self._lock = asyncio.Lock()
        self._adapting = False
        self._wish = 0
        self._follower: asyncio.Task[None] | None = None  # brings the number to the wish
        self._changes: set[asyncio.Task[None]] = set()
        self._closed = False

    async def scale(self, n: int, timeout_s: float | None = None) -> None:
        """Have `n` workers, and do not adapt any more. Returns when the new ones have joined, or the others have left. Tasks that run on those that
        leave have `timeout_s` seconds (None: as long as they take), then they run again elsewhere.

        A caller who is interrupted leaves a change that goes on. Raises WorkerStartError, and NotRetired when data cannot be moved.
        """
        if self._closed:
            raise ClosedError("the cluster is closed")
        await self.stop_adapting()
        change = asyncio.get_running_loop().create_task(self._scale(n, timeout_s))
        self._changes.add(change)
        change.add_done_callback(self._changes.discard)
        await asyncio.shield(change)

    async def adapt(self, options: dict[str, Any]) -> None:
        """From now on have as many workers as the load asks for. `options`: the fields of `core.scheduler.adaptive.Wish`. Raises ConfigError for
        numbers that make no sense."""
        if self._closed:
            raise ClosedError("the cluster is closed")
        self._adapting = True
        try:
            await self._door.listen("adaptive", self._wished)
            self._wished(await self._door.ask("adapt", options))
        except BaseException:
            self._adapting = False
            raise

    async def stop_adapting(self) -> None:
        """Leave the number as it is. Idempotent."""
        if self._adapting:
            self._adapting = False
            await self._door.ask("adapt_off", {})
            self._door.close()

    async def close(self) -> None:
        """Change nothing any more. The workers are left to whoever ends the cluster."""
        self._closed = True
        self._adapting = False
        self._door.close()
        jobs = [job for job in (*self._changes, self._follower) if job is not None]
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    # --- what happens

    async def _scale(self, n: int, timeout_s: float | None) -> None:
        async with self._lock:
            try:
                await self._bring_to(n, {"timeout_s": timeout_s, "force": n == 0})
            finally:
                if not self._adapting:
                    self._door.close()

    def _wished(self, n: int) -> None:
        self._wish = n
        self._on_wish(n)
        if self._follower is None or self._follower.done():
            self._follower = asyncio.get_running_loop().create_task(self._follow())

    async def _follow(self) -> None:
        followed = -1
        while self._adapting and self._wish != followed:
            async with self._lock:
                if not self._adapting:
                    return
                followed = self._wish
                try:
                    await self._bring_to(followed, {"idle_only": True})
                except JupyterfutError as error:
                    logger.warning("adapting to %d workers: %s", followed, error)

    async def _bring_to(self, n: int, how: dict[str, Any]) -> None:
        present = self._staff.present()
        starting = [name for name, address in present.items() if address is None]
        names = {address: name for name, address in present.items() if address is not None}
        if names:
            known = await self._door.ask("workforce", {})
            lost = [name for address, name in names.items() if address not in known["staying"] and address not in known["leaving"]]
            if lost:  # a client has retired them and they are about to end, or they have lost their scheduler
                await self._staff.end(lost)
            names = {address: name for address, name in names.items() if address in known["staying"]}
        excess = len(starting) + len(names) - n
        if excess < 0:
            await self._staff.start(-excess)
            return
        leaving = starting[::-1][:excess]
        excess -= len(leaving)
        if excess:
            gone = await self._door.ask("retire_workers", {"n": excess, "among": list(names), "close": False, **how})
            leaving += [names[address] for address in gone if address in names]
        if leaving:
            await self._staff.end(leaving)
