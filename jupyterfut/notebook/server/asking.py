"""Questions and orders to a cluster's scheduler, each with a connection of its own and a deadline, so that one that hangs hangs nobody."""

from __future__ import annotations

import asyncio
from typing import Any

from jupyterfut.diagnostics.clusters import Clusters
from jupyterfut.diagnostics.viewer import Viewer, ViewerState
from jupyterfut.errors import ConnectionFailed, HandshakeError, TimeoutError  # noqa: A004

THERE_S = 2.0
"""A scheduler that works on an order answers a simple question within this time."""


class Asking:
    """A viewer for one errand. `async with Asking(clusters, id, timeout_s) as asking: await asking.ask(op, args)`; `timeout_s` is for all of it."""

    def __init__(self, clusters: Clusters, cluster: str, timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + timeout_s
        self._refused: asyncio.Future[ConnectionFailed] = self._loop.create_future()  # why there is no connection
        self.viewer: Viewer = clusters.viewer(cluster, lambda topic, snapshot: None, self._on_state)

    async def __aenter__(self) -> Asking:
        self.viewer.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._refused.cancel()
        await self.viewer.close()

    def _on_state(self, state: ViewerState, text: str) -> None:
        if state in ("lost", "incompatible") and not self._refused.done():
            self._refused.set_result((HandshakeError if state == "incompatible" else ConnectionFailed)(text or "there is no connection"))

    async def ask(self, op: str, args: dict[str, Any]) -> Any:
        """The answer. Raises TimeoutError; ConnectionFailed as soon as there is no connection, HandshakeError when there can be none (the token, the
        version); and what the scheduler answers with."""
        return await self._first(self.viewer.ask(op, args, self._left()))

    async def ask_workers(self, op: str, args: dict[str, Any]) -> Any:
        """The same for what workers answer (`Viewer.ask_workers`)."""
        return await self._first(self.viewer.ask_workers(op, args, self._left()))

    async def order(self, op: str, args: dict[str, Any]) -> bool:
        """Have something done that may take long: True when it is done, False when the scheduler still works on it as the time ends (it goes on).
        Raises as `ask`; TimeoutError only when it does not even answer a simple question."""
        try:
            await self.ask(op, args)
        except TimeoutError:
            if self.viewer.state != "running":
                raise
            await self.viewer.ask("locate", {"keys": []}, THERE_S)
            return False
        return True

    def _left(self) -> float:
        return max(0.0, self._until - self._loop.time())

    async def _first(self, question: Any) -> Any:
        answer = asyncio.ensure_future(question)
        try:
            await asyncio.wait({answer, self._refused}, return_when=asyncio.FIRST_COMPLETED)
            if self._refused.done() and not (answer.done() and answer.exception() is None):
                raise self._refused.result()
            return answer.result()
        finally:
            answer.cancel()
            await asyncio.gather(answer, return_exceptions=True)
