"""What the worker holds: results that it made, copies that it fetched, data that was scattered to it.

The values themselves are in the shell's store; here are keys and sizes. A key is *pinned* once for every task here that still needs it. When the
scheduler releases a pinned key, the key is *doomed*: it goes when its last pin does.
"""

from __future__ import annotations

from jupyterfut.ids import Key


class Memory:
    """Keys held, with size and type name."""

    __slots__ = ("actors", "bound", "doomed", "nbytes", "pins", "total_nbytes", "types")

    def __init__(self) -> None:
        self.nbytes: dict[Key, int] = {}
        self.types: dict[Key, str] = {}
        self.pins: dict[Key, int] = {}  #: how many tasks need the key; never 0
        self.doomed: set[Key] = set()
        self.actors: set[Key] = set()  #: never sent, never offered to another scheduler
        self.bound: set[Key] = set()  #: results that contain futures, which only the scheduler that was told so keeps alive: never offered either
        self.total_nbytes = 0

    def add_all(self, keys: list[Key], nbytes: list[int], types: list[str]) -> None:
        """These values are here. A key that is held already gets the new value, and a doomed one is wanted again."""
        known = self.nbytes
        before = 0 if known.keys().isdisjoint(keys) else sum([known[key] for key in keys if key in known])
        known.update(zip(keys, nbytes, strict=True))
        self.types.update(zip(keys, types, strict=True))
        self.total_nbytes += sum(nbytes) - before
        if self.doomed:
            self.doomed.difference_update(keys)

    def remove(self, key: Key) -> None:
        """The value is gone (and who needed it knows)."""
        self.total_nbytes -= self.nbytes.pop(key)
        del self.types[key]
        self.pins.pop(key, None)
        self.doomed.discard(key)
        self.actors.discard(key)
        self.bound.discard(key)

    def pin(self, key: Key, count: int = 1) -> None:
        """`count` more tasks need this key."""
        self.pins[key] = self.pins.get(key, 0) + count

    def unpin(self, key: Key) -> bool:
        """One task less needs this key. True: it was doomed and has to be dropped now; the caller drops it."""
        pins = self.pins.get(key, 0)
        if pins > 1:
            self.pins[key] = pins - 1
            return False
        self.pins.pop(key, None)
        return key in self.doomed

    def release(self, key: Key) -> bool:
        """Nobody outside wants the key. True: it has to be dropped now; False: it is not held, or it goes with its last pin."""
        if key not in self.nbytes:
            return False
        if key in self.pins:
            self.doomed.add(key)
            return False
        return True
