"""One `scatter` of a simulated user: small data to the scheduler, large data to the workers that the scheduler names.

As the real client does it: `scatter_small` for what fits inside messages; else `wait_for_workers`, `plan_scatter`, and `PutData` to each worker of
the plan. The call keeps its futures alive until it returns. When something fails on the way it tries again a few times (as a user would), then gives
up and drops its futures; now and then it has a deadline and gives up while answers are still under way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jupyterfut.core.client import events as ev
from jupyterfut.sim.values import encode
from jupyterfut.wire.messages import Failure
from jupyterfut.wire.payload import Payload, payload_nbytes

if TYPE_CHECKING:
    from jupyterfut.sim.clients import SimClient, SimFuture

TRIES = 10


class Scatter:
    """One call. Its futures are references of its own."""

    def __init__(self, client: SimClient, futures: list[SimFuture], *, broadcast: bool, deadline_s: float | None) -> None:
        self.client = client
        self.world = client.world
        self.broadcast = broadcast
        self.tries = TRIES
        self.over = False
        data = [self.world.program.data[future.key] for future in futures]
        self.items = {future: encode(item.const, item.nbytes, local=self.world.one_process) for future, item in zip(futures, data, strict=True)}
        self.small: list[SimFuture] = []
        self.large: list[SimFuture] = []
        self.waiting = 0  # puts without an answer
        self.failure: Failure | None = None
        if deadline_s is not None:
            client.after(deadline_s, self._give_up)

    def start(self) -> None:
        """Send what is not there yet. Nothing happens before the client was welcomed."""
        client = self.client
        if self.over:
            return
        if client.left:
            self.over = True
            return
        if not client.machine.state.welcomed:
            client.after(0.5, self.start)
            return
        todo = [future for future in self.items if future.status == "pending"]
        limit = self.world.config.inline_bytes
        self.small = [future for future in todo if payload_nbytes(self.items[future]) <= limit or self.world.one_process]
        self.large = [future for future in todo if future not in self.small]
        if self.small:
            payloads: list[Payload] = [self.items[future] for future in self.small]
            args = {
                "keys": [future.key for future in self.small],
                "payloads": payloads,
                "types": ["int"] * len(payloads),
                "nbytes": [payload_nbytes(payload) for payload in payloads],
            }
            client.ask("scatter_small", args, self._small_done)
        else:
            self._small_done(None, None)

    def _small_done(self, value: Any, failure: Failure | None) -> None:
        if failure is not None:
            self._again(failure)
            return
        if self.over:
            return
        self._done(self.small, keep=True)
        if self.large:
            self.client.ask("wait_for_workers", {"n": 1, "timeout_s": None}, self._workers_here)
        else:
            self._finish()

    def _workers_here(self, value: Any, failure: Failure | None) -> None:
        if failure is None and not self.over:
            self.client.ask("plan_scatter", {"count": len(self.large), "workers": None, "broadcast": self.broadcast}, self._planned)
        elif failure is not None:
            self._again(failure)

    def _planned(self, plan: Any, failure: Failure | None) -> None:
        if failure is not None:
            self._again(failure)
            return
        if self.over:
            return
        by_worker: dict[str, list[SimFuture]] = {}
        for future, addresses in zip(self.large, plan, strict=True):
            for address in addresses:
                by_worker.setdefault(address, []).append(future)
        self.waiting = len(by_worker)
        self.failure = None
        for address, theirs in by_worker.items():
            keys, payloads = [future.key for future in theirs], [self.items[future] for future in theirs]
            self.world.put(self.client, address, keys, payloads, self._put_answered)

    def _put_answered(self, failure: Failure | None) -> None:
        self.waiting -= 1
        self.failure = self.failure or failure
        if self.waiting or self.over:
            return
        if self.failure is not None:
            self._again(self.failure)
            return
        self._done(self.large, keep=False)
        self._finish()

    def _again(self, failure: Failure) -> None:
        self.tries -= 1
        if self.tries and not self.client.left:
            self.client.after(0.3, self.start)
        else:
            self._give_up()

    def _done(self, futures: list[SimFuture], *, keep: bool) -> None:
        payloads = [self.items[future] for future in futures]
        sizes = [payload_nbytes(payload) for payload in payloads]
        if futures and not self.client.left:
            kept: list[Payload | None] = [payload if keep else None for payload in payloads]
            self.client.post(ev.Scattered([future.record for future in futures], kept, ["int"] * len(futures), sizes))

    def _give_up(self) -> None:
        """`scatter` raises: the user never gets the futures."""
        if not self.over:
            self.client.release([future.key for future in self.items if future.status == "pending"])
            self._finish()

    def _finish(self) -> None:
        if not self.over:
            self.over = True
            self.client.bury([future.record for future in self.items])
