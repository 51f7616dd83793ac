"""Profiles on their way to a flame graph: small enough to be sent again and again, and merged where they arrive.

A worker packs what its sampler has seen since the last time (`pack`): trees of frames by the name of the function that a task calls, of each only
what was seen most often. The scheduler adds them up (`Flame`), bounded, and gives the part of the sum that can be seen at the width of a screen.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Any, Final, TypeAlias

from jupyterfut.core.profile import Node
from jupyterfut.wire.panes import FlameNode

Frame: TypeAlias = tuple[str, str, int]
"""Function, file, line."""

KEPT: Final = 40_000
"""So many nodes a flame has at most; when there are more, those that were seen least often go, down to half of it."""

SHOWN: Final = 1_500
"""And so many are given at a time."""

NARROWEST: Final = 1 / 1_500
"""A frame with a smaller share of the samples than this would be narrower than a pixel."""

DEEPEST: Final = 120
"""Frames below this depth are not given: a dictionary in a dictionary in a dictionary is not for every reader."""


def pack(trees: dict[str, Node], place: Callable[[Any], Frame], limit: int) -> tuple[list[list[Any]], dict[str, Any]]:
    """Frames, and for each tree the columns that `Sampled` carries, with at most about `limit` nodes in all.

    >>> root = Node()
    >>> root.add(["f", "g"]); root.add(["f"])
    >>> pack({"f": root}, lambda frame: (frame, "a.py", 1), 100)
    ([['f', 'a.py', 1], ['g', 'a.py', 1]], {'f': [[0, 1, 2], [-1, 0, 1], [2, 2, 1]]})
    """
    least = threshold((node.count for tree in trees.values() for node in _all(tree)), limit)
    frames: list[list[Any]] = []
    places: dict[Frame, int] = {}
    packed: dict[str, Any] = {}
    for name, tree in trees.items():
        depths, numbers, counts = [0], [-1], [tree.count]
        pending = [(1, child) for child in _children(tree, least)]
        while pending:
            depth, (key, node) = pending.pop()
            frame = place(key)
            number = places.get(frame)
            if number is None:
                number = places[frame] = len(frames)
                frames.append(list(frame))
            depths.append(depth)
            numbers.append(number)
            counts.append(node.count)
            pending.extend((depth + 1, child) for child in _children(node, least))
        packed[name] = [depths, numbers, counts]
    return frames, packed


def threshold(counts: Iterator[int], limit: int) -> int:
    """The smallest count that at most about `limit` of them reach: those with the same count are in or out together, in if it is the highest.

    >>> threshold(iter([5, 5, 3, 1, 1, 1]), 3), threshold(iter([1, 1, 1]), 2), threshold(iter([2, 1]), 2)
    (3, 1, 1)
    """
    ordered = sorted(counts, reverse=True)
    if len(ordered) <= limit:
        return 1
    least = ordered[limit - 1]
    return least + 1 if ordered[limit] == least and ordered[0] > least else least


def _all(tree: Node) -> Iterator[Node]:
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(node.children.values())


def _children(node: Node, least: int) -> list[tuple[Hashable, Node]]:
    return [(key, child) for key, child in node.children.items() if child.count >= least]


class Flame:
    """The sum of what many workers have sent.

    >>> flame = Flame()
    >>> flame.add([["f", "a.py", 1], ["g", "a.py", 9]], {"f": [[0, 1, 2], [-1, 0, 1], [2, 2, 1]]})
    >>> flame.add([["g", "a.py", 9], ["f", "a.py", 1]], {"f": [[0, 1, 2], [-1, 1, 0], [3, 3, 3]]})
    >>> root = flame.tree("")
    >>> root["count"], [(child["name"], child["count"], child["children"][0]["count"]) for child in root["children"]]
    (5, [('f', 5, 4)])
    >>> flame.functions()
    ['f']
    """

    def __init__(self) -> None:
        self._trees: dict[str, Node] = {}  # by the function that the tasks call; frames are `Frame`s
        self._nodes = 0

    def add(self, frames: list[Any], trees: dict[str, Any]) -> None:
        """What one worker has sent. Raises ValueError, and takes nothing more of it, where it is not of that form."""
        known: list[Frame] = [(str(name), str(file), int(line)) for name, file, line in frames]
        for name, (depths, numbers, counts) in trees.items():
            tree = self._trees.get(name)
            if tree is None:
                tree = self._trees[name] = Node()
                self._nodes += 1
            path = [tree]
            for depth, number, count in zip(depths, numbers, counts, strict=True):
                if type(count) is not int or count < 0 or not 0 <= depth <= len(path):
                    raise ValueError("a profile's columns do not make a tree")
                node = path[0]
                if depth:
                    parent = path[depth - 1]
                    found = parent.children.get(known[number])
                    if found is None:
                        found = parent.children[known[number]] = Node()
                        self._nodes += 1
                    node = found
                    path[depth:] = [node]
                node.count += count
        if self._nodes > KEPT:
            self._prune()

    @property
    def samples(self) -> int:
        """How many there are, of all functions."""
        return sum(tree.count for tree in self._trees.values())

    def functions(self) -> list[str]:
        """The names of those of which there are samples, the most frequent first."""
        return sorted(self._trees, key=lambda name: -self._trees[name].count)

    def tree(self, name: str) -> FlameNode:
        """What can be seen of one function's samples ("": of all), as a `FlameNode`; without samples a root alone."""
        root = Node()
        for one, tree in self._trees.items():
            if not name or one == name:
                _merge(root, tree, max(1, int(tree.count * NARROWEST / 2)))
        least = max(threshold((node.count for node in _all(root)), SHOWN), int(root.count * NARROWEST))
        made = _flame(("", "", 0), root)
        pending = [(0, made, root)]
        while pending:
            depth, flame, node = pending.pop()
            if depth >= DEEPEST:
                continue
            for frame, child in sorted(_children(node, least), key=lambda item: -item[1].count):
                below = _flame(frame, child)  # type: ignore[arg-type]  # our own trees have frames
                flame["children"].append(below)
                pending.append((depth + 1, below, child))
        return made

    def _prune(self) -> None:
        least = threshold((node.count for tree in self._trees.values() for node in _all(tree)), KEPT // 2)
        for tree in self._trees.values():
            for node in _all(tree):
                node.children = dict(_children(node, least))
        self._nodes = sum(1 for tree in self._trees.values() for _ in _all(tree))


def _flame(frame: Frame, node: Node) -> FlameNode:
    name, file, line = frame
    return {"name": name, "file": file, "line": line, "count": node.count, "children": []}


def _merge(into: Node, tree: Node, least: int) -> None:
    """Add what was seen at least so often."""
    pairs = [(into, tree)]
    for mine, theirs in pairs:
        mine.count += theirs.count
        for frame, child in theirs.children.items():
            if child.count >= least:
                own = mine.children.get(frame)
                if own is None:
                    own = mine.children[frame] = Node()
                pairs.append((own, child))
