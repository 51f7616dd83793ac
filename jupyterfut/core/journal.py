"""The journal: the last things that happened to tasks, kept by each machine, for `story(key)`, for tests and for plugins.

Writing is one append, also for a thousand tasks to which the same thing happened at once; reading may be slow. Plugins, metrics and dashboards read
it after `handle`, never from inside a transition.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from typing import Any, TypeAlias

Entry: TypeAlias = tuple[float, str, str, Any]
"""(now, key, what happened, detail)"""


class Journal:
    """A ring of about the newest `size` entries. `entries` holds single entries and, with a list of keys in the key's place, whole batches.

    >>> j = Journal(size=10)
    >>> j.entries.append((0.5, "x", "waiting -> queued", None))
    >>> j.batch(0.7, ["x", "y"], "queued -> processing", "w1")
    >>> j.story("x")
    [(0.5, 'x', 'waiting -> queued', None), (0.7, 'x', 'queued -> processing', 'w1')]
    """

    __slots__ = ("_batched", "_batches", "entries", "size")

    def __init__(self, size: int = 100_000) -> None:
        self.size = size
        self.entries: deque[tuple[float, Any, str, Any]] = deque(maxlen=size)
        self._batches: deque[int] = deque()  # sizes of the batches written, oldest first
        self._batched = 0  # their sum

    def batch(self, now: float, keys: Sequence[str], what: str, detail: Any) -> None:
        """The same thing has happened to all of `keys`. The list is kept: do not change it afterwards."""
        if len(keys) == 1:
            self.entries.append((now, keys[0], what, detail))
            return
        self.entries.append((now, keys, what, detail))
        self._batches.append(len(keys))
        self._batched += len(keys)
        while self._batched > self.size and len(self._batches) > 1:
            self._batched -= self._batches.popleft()
            entries = self.entries
            while entries and type(entries.popleft()[1]) is str:  # single entries older than the oldest batch go with it
                pass

    def story(self, *keys: str) -> list[Entry]:
        """The entries of these keys, oldest first."""
        wanted = set(keys)
        found: list[Entry] = []
        for now, key, what, detail in self.entries:
            if type(key) is str:
                if key in wanted:
                    found.append((now, key, what, detail))
            else:
                found.extend((now, one, what, detail) for one in key if one in wanted)
        return found


class JournalReader:
    """Reads what was written since it last looked: for plugins, after `handle`.

    >>> j = Journal(size=10)
    >>> reader = JournalReader(j)
    >>> j.batch(0.7, ["x", "y"], "sent", "w1")
    >>> reader.read()
    [(0.7, 'x', 'sent', 'w1'), (0.7, 'y', 'sent', 'w1')]
    >>> reader.read()
    []
    """

    __slots__ = ("_journal", "_last")

    def __init__(self, journal: Journal, *, all_of_it: bool = False) -> None:
        """It begins here and now, or, with `all_of_it`, as far back as the journal reaches."""
        self._journal = journal
        self._last = journal.entries[-1] if journal.entries and not all_of_it else None

    def read(self) -> list[Entry]:
        """The new entries, oldest first, batches taken apart."""
        found: list[Entry] = []
        for now, key, what, detail in reversed(self._new()):
            if type(key) is str:
                found.append((now, key, what, detail))
            else:
                found.extend((now, one, what, detail) for one in key)
        return found

    def of(self, kinds: Collection[str]) -> list[Entry]:
        """The new entries of these kinds (of what happened), oldest first. Batches are passed over.

        >>> j = Journal(size=10)
        >>> reader = JournalReader(j)
        >>> j.batch(0.7, ["x", "y"], "sent", "w1")
        >>> j.entries.append((0.8, "x", "processing -> erred", 1))
        >>> reader.of({"processing -> erred"})
        [(0.8, 'x', 'processing -> erred', 1)]
        """
        found: list[Entry] = []
        entries, last = self._journal.entries, self._last
        for entry in reversed(entries):
            if entry is last:
                break
            if entry[2] in kinds and type(entry[1]) is str:
                found.append(entry)
        if entries:
            self._last = entries[-1]
        found.reverse()
        return found

    def touched(self, keys: Collection[str]) -> list[str]:
        """Those of `keys` (best a dict or a set) to which something has happened since it last looked. Batches are not taken apart for the others.

        >>> j = Journal(size=10)
        >>> reader = JournalReader(j)
        >>> j.batch(0.7, ["x", "y"], "sent", "w1")
        >>> reader.touched({"y", "z"})
        ['y']
        """
        found: dict[str, None] = {}
        for _, key, _, _ in self._new():
            if type(key) is str:
                if key in keys:
                    found[key] = None
            else:
                found.update((one, None) for one in key if one in keys)
        return list(found)

    def _new(self) -> list[tuple[float, Any, str, Any]]:
        """What was written since, newest first, as it was written."""
        new: list[tuple[float, Any, str, Any]] = []
        last = self._last
        for entry in reversed(self._journal.entries):
            if entry is last:
                break
            new.append(entry)
        if new:
            self._last = new[0]
        return new
