"""Statistical profiles: how often which stack was seen, as trees that can be merged.

A sampler (`runtime/profiler`) brings stacks, outermost frame first, each frame whatever names it; `History` keeps them by time and by task prefix,
bounded: when it is full, neighbouring slices of time become one. What leaves a worker are plain dicts of the shape that dask.distributed's profiles
have (`identifier`, `description`, `count`, `children`), which `merge_plain` adds up.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

Describe = Callable[[Any], tuple[str, dict[str, Any]]]
"""A frame's identifier, the same in every process, and its description."""


class Node:
    """One frame below its callers: how often it was seen, and what it called."""

    __slots__ = ("children", "count")

    def __init__(self) -> None:
        self.count = 0
        self.children: dict[Hashable, Node] = {}

    def add(self, stack: Iterable[Hashable], count: int = 1) -> None:
        """One sample, or one that stands for several.

        >>> root = Node()
        >>> root.add(["f", "g"]); root.add(["f"])
        >>> root.count, root.children["f"].count, root.children["f"].children["g"].count
        (2, 2, 1)
        """
        node = self
        node.count += count
        for frame in stack:
            child = node.children.get(frame)
            if child is None:
                child = node.children[frame] = Node()
            child.count += count
            node = child

    def merge(self, other: Node) -> None:
        """Add another tree's samples. (Walks without recursion: stacks may be deep.)"""
        pairs = [(self, other)]
        for mine, theirs in pairs:
            mine.count += theirs.count
            for frame, child in theirs.children.items():
                own = mine.children.get(frame)
                if own is None:
                    own = mine.children[frame] = Node()
                pairs.append((own, child))


class Slice:
    """What was seen from `start` to `stop` (seconds since the epoch), by prefix."""

    __slots__ = ("start", "stop", "trees")

    def __init__(self, start: float) -> None:
        self.start = start
        self.stop = start
        self.trees: dict[str, Node] = {}


class History:
    """Samples in slices of `slice_s` seconds, at most `limit` of them; beyond that, neighbours become one, so that the whole time stays covered.

    >>> history = History(slice_s=1.0, limit=4)
    >>> for second in range(100):
    ...     history.add(second, "inc", ["f"])
    >>> len(history.slices) <= 4, history.select(None, None, None).count, history.select(98.0, None, None).count < 10
    (True, 100, True)
    """

    def __init__(self, slice_s: float, limit: int) -> None:
        self.slice_s = slice_s
        self.limit = limit
        self.slices: list[Slice] = []

    def add(self, now: float, prefix: str, stack: Iterable[Hashable]) -> None:
        """One sample of a task with this prefix."""
        slices = self.slices
        if not slices or now >= slices[-1].start + self.slice_s or now < slices[-1].start:
            if len(slices) >= self.limit:
                self._halve()
                slices = self.slices
            slices.append(Slice(now))
        last = slices[-1]
        last.stop = max(last.stop, now)
        tree = last.trees.get(prefix)
        if tree is None:
            tree = last.trees[prefix] = Node()
        tree.add(stack)

    def _halve(self) -> None:
        merged: list[Slice] = []
        for i in range(0, len(self.slices), 2):
            one, *other = self.slices[i : i + 2]
            for each in other:
                one.stop = max(one.stop, each.stop)
                for prefix, tree in each.trees.items():
                    if prefix in one.trees:
                        one.trees[prefix].merge(tree)
                    else:
                        one.trees[prefix] = tree
            merged.append(one)
        self.slices = merged

    def select(self, start: float | None, stop: float | None, prefix: str | None) -> Node:
        """All samples of the slices that lie, at least in part, between `start` and `stop`; of one prefix, or all."""
        result = Node()
        for one in self.slices:
            if (start is not None and one.stop < start) or (stop is not None and one.start > stop):
                continue
            for name, tree in one.trees.items():
                if prefix is None or name == prefix:
                    result.merge(tree)
        return result


def to_plain(root: Node, describe: Describe) -> dict[str, Any]:
    """The tree as plain dicts."""
    plain = empty()
    plain["count"] = root.count
    pairs = [(plain, root)]
    for made, node in pairs:
        for frame, child in node.children.items():
            identifier, description = describe(frame)
            entry = made["children"].get(identifier)
            if entry is None:
                entry = made["children"][identifier] = {"identifier": identifier, "description": description, "count": 0, "children": {}}
            entry["count"] += child.count
            pairs.append((entry, child))
    return plain


def empty() -> dict[str, Any]:
    """A plain tree without samples."""
    return {"identifier": "root", "description": {"filename": "", "name": "", "line_number": 0, "line": ""}, "count": 0, "children": {}}


def merge_plain(trees: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The sum of plain trees.

    >>> one = {**empty(), "count": 2, "children": {"f": {"identifier": "f", "description": {}, "count": 2, "children": {}}}}
    >>> merge_plain([one, one])["children"]["f"]["count"]
    4
    """
    result = empty()
    pairs = [(result, tree) for tree in trees]
    for mine, theirs in pairs:
        mine["count"] += theirs["count"]
        for identifier, child in theirs["children"].items():
            own = mine["children"].get(identifier)
            if own is None:
                own = mine["children"][identifier] = {**child, "count": 0, "children": {}}
            pairs.append((own, child))
    return result


_HEX = frozenset("0123456789abcdef")


def prefix_of(key: str) -> str:
    """What tasks of one kind share: the key without its numbers and hashes (as dask's `key_split` has it).

    >>> [prefix_of(key) for key in ("inc-0f7ab2e19c3d4e5f8a9b0c1d2e3f4a5b", "x-12", "sum-of-squares-3", "total", "ae05086432ca935f6eba409a8ecd4896")]
    ['inc', 'x', 'sum-of-squares', 'total', 'data']
    """
    first, *rest = key.split("-")
    if not rest and _is_hash(first):
        return "data"
    words = [first]
    for word in rest:
        if not word.isidentifier() or _is_hash(word):
            break
        words.append(word)
    return "-".join(words)


def _is_hash(word: str) -> bool:
    return len(word) >= 8 and _HEX.issuperset(word) and (len(word) >= 16 or any(c.isdigit() for c in word))
