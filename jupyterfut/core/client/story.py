"""The client's journal: what happened to which keys, a batch at a time.

A client hears of thousands of keys in one message, so one entry covers a batch; `story(key)` unfolds it. The ring is bounded by keys, not by entries.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from jupyterfut.core.journal import Entry
from jupyterfut.ids import Key


class BatchJournal:
    """The newest batches, up to about `size` keys.

    >>> j = BatchJournal(size=10)
    >>> j.note(0.5, ["x", "y"], "finished")
    >>> j.story("x")
    [(0.5, 'x', 'finished', None)]
    """

    __slots__ = ("batches", "kept", "size")

    def __init__(self, size: int = 10_000) -> None:
        self.batches: deque[tuple[float, Sequence[Key], str, Any]] = deque()
        self.size = size
        self.kept = 0

    def note(self, now: float, keys: Sequence[Key], what: str, detail: Any = None) -> None:
        """`what` happened to all of `keys` (a sequence that nobody changes any more)."""
        self.batches.append((now, keys, what, detail))
        self.kept += len(keys)
        while self.kept > self.size and len(self.batches) > 1:
            self.kept -= len(self.batches.popleft()[1])

    def story(self, *keys: str) -> list[Entry]:
        """The entries of these keys, oldest first. Slow: reads the whole ring."""
        wanted = set(keys)
        return [(now, key, what, detail) for now, batch, what, detail in self.batches for key in batch if key in wanted]
