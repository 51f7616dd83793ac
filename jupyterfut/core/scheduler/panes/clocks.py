"""Workers' clocks, as far as the scheduler can tell from what they say.

What a worker tells of the past carries its times by a clock of its own, and what that clock said when the message left. The message has been under
way since then, and perhaps waited in a queue; the quickest of the last ones was delayed the least, so it tells best how far the clocks are apart.
Nobody's wall clock has to be right, and what a worker tells never ends in the future.
"""

from __future__ import annotations

from typing import Final

from jupyterfut.core.scheduler.state import WorkerState

WINDOW_S: Final = 30.0
"""The quickest message of the last one to two of these counts: clocks drift, and machines sleep."""


class _Quickest:
    __slots__ = ("before", "lately", "until")

    def __init__(self) -> None:
        self.before = self.lately = float("inf")
        self.until = float("-inf")


class Clocks:
    """Of all workers that tell something. A worker that goes is to be forgotten."""

    def __init__(self) -> None:
        self._of: dict[WorkerState, _Quickest] = {}

    def offset(self, worker: WorkerState, now: float, theirs: float) -> float:
        """What to add to this worker's times to get ours, in seconds: a message that left at `theirs` by its clock is here `now`, by ours."""
        known = self._of.get(worker)
        if known is None:
            known = self._of[worker] = _Quickest()
        if now >= known.until:
            known.before, known.lately = known.lately, float("inf")
            known.until = now + WINDOW_S
        known.lately = min(known.lately, now - theirs)
        return min(known.lately, known.before)

    def forget(self, worker: WorkerState) -> None:
        """It is gone."""
        self._of.pop(worker, None)
