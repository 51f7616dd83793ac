"""The journal: the last things that happened to tasks, kept by each machine, for `story(key)`, for tests and for plugins.

Writing is one append of a tuple; reading may be slow. Plugins, metrics and dashboards read it after `handle`, never from inside a transition.
"""

from __future__ import annotations

from collections import deque
from typing import Any, TypeAlias

Entry: TypeAlias = tuple[float, str, str, Any]
"""(now, key, what happened, detail)"""


class Journal:
    """A ring of the newest `size` entries.

    >>> j = Journal(size=10)
    >>> j.entries.append((0.5, "x", "waiting -> queued", None))
    >>> j.story("x")
    [(0.5, 'x', 'waiting -> queued', None)]
    """

    __slots__ = ("entries",)

    def __init__(self, size: int = 100_000) -> None:
        self.entries: deque[Entry] = deque(maxlen=size)

    def story(self, *keys: str) -> list[Entry]:
        """The entries of these keys, oldest first."""
        wanted = set(keys)
        return [entry for entry in self.entries if entry[1] in wanted]
