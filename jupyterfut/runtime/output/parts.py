"""What a task has put out and nobody has been told yet: texts joined, displays that were overtaken left out; and how much of it may go.

This is the arithmetic of `collector`: no thread, no clock, no sending. A task's output is a sequence of *parts*, in the form in which they travel:

    ["out", text]  ["err", text]  ["display", {"data", "metadata", "display_id", "update"}]  ["clear", wait]

Adjacent texts of one kind become one. What a `clear` would wipe from the page anyhow does not travel, nor does an update that another one follows.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["out", "err"]

Part: TypeAlias = list[Any]
"""One part, as it travels."""

PART_BYTES = 60
"""What a part costs beside its text."""

TAIL_CHARS = 16_000
"""Of a flood, the end is kept: a task that prints too much mostly says at its end what mattered."""


class Parts:
    """Parts that wait to be sent.

    >>> parts = Parts()
    >>> for text in ("a", " ", "b"):
    ...     parts.add_text("out", text)
    >>> parts.add_text("err", "oh")
    >>> parts.take()
    ([['out', 'a b'], ['err', 'oh']], 125)
    >>> parts.take()
    ([], 0)
    """

    __slots__ = ("_parts", "kind", "pieces", "size")

    def __init__(self) -> None:
        self._parts: list[tuple[str, Any]] = []  # of texts: the pieces
        self.kind: str | None = None  #: if the last part is text
        self.pieces: list[str] = []  #: of that text: who has more of its kind may append it here, and count it
        self.size = 0  #: characters and bytes, about

    def add_text(self, kind: Kind, text: str) -> None:
        """A piece of text was written."""
        if self.kind != kind:
            self.kind, self.pieces = kind, []
            self._parts.append((kind, self.pieces))
            self.size += PART_BYTES
        self.pieces.append(text)
        self.size += len(text)

    def add_display(self, data: dict[str, Any], metadata: dict[str, Any], display_id: str | None, update: bool, size: int) -> None:
        """Something is displayed, or takes the place of what was displayed under that id."""
        parts = self._parts
        if update and display_id is not None:
            for at in range(len(parts) - 1, -1, -1):
                kind, shown = parts[at]
                if kind == "display" and shown["display_id"] == display_id:  # nobody has seen it yet
                    self.size += size - shown["size"]
                    shown.update(data=data, metadata=metadata, size=size)
                    return
        parts.append(("display", {"data": data, "metadata": metadata, "display_id": display_id, "update": update, "size": size}))
        self.size += size + PART_BYTES
        self.kind = None

    def add_clear(self, wait: bool) -> None:
        """What is on the page goes (`wait`: when something new comes). Updates of displays elsewhere on the page stay."""
        self._parts = [part for part in self._parts if part[0] == "display" and part[1]["update"]]
        self.size = sum(part[1]["size"] + PART_BYTES for part in self._parts)
        self._parts.append(("clear", wait))
        self.size += PART_BYTES
        self.kind = None

    def take(self) -> tuple[list[Part], int]:
        """All parts in their form for the way, and their size. Nothing is left here."""
        taken: list[Part] = []
        size = self.size
        for kind, value in self._parts:
            if kind == "display":
                del value["size"]
                taken.append([kind, value])
            elif kind == "clear":
                taken.append([kind, value])
            else:
                text = sendable(value[0] if len(value) == 1 else "".join(value))
                folded = fold(text)
                size -= len(text) - len(folded)
                taken.append([kind, folded])
        self._parts = []
        self.size = 0
        self.kind = None
        return taken, size


def sendable(text: str) -> str:
    """The text without half characters (lone surrogates, as they come from file names), which UTF-8 cannot carry.

    >>> sendable("a\\udc80b")
    'a?b'
    """
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8")


def fold(text: str) -> str:
    r"""Leave out what a progress bar has written over itself: of a line with several carriage returns, the first and the last stretch stay, and what
    is longer than the last. Lines that move the cursor otherwise stay as they are.

    >>> fold("at 1%\r10 %\r50 %\r100%\ndone\n")
    'at 1%\r100%\ndone\n'
    >>> fold("one\r\ntwo\r\n")
    'one\r\ntwo\r\n'
    """
    if text.count("\r") < 2:
        return text
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if line.count("\r") > 1 and "\x1b" not in line:
            stretches = line.split("\r")
            last = max(len(stretches) - 1 if stretches[-1] else len(stretches) - 2, 1)  # "\r" at the end moves back, and wipes nothing
            kept = [stretch for stretch in stretches[1:last] if len(stretch) > len(stretches[last])]
            lines[number] = "\r".join([stretches[0], *kept, *stretches[last:]])
    return "\n".join(lines)


class Allowance:
    """A bucket of tokens, one for a character: so many at once, so many more a second. It may be overdrawn by one thing that cannot be cut.

    >>> allowance = Allowance(100, 10)
    >>> allowance.left(0.0), allowance.take(120), allowance.left(1.0), allowance.left(60.0)
    (100.0, None, -10.0, 100.0)
    """

    __slots__ = ("_at", "_left", "a_second", "at_once")

    def __init__(self, at_once: float, a_second: float) -> None:
        self.at_once = self._left = float(at_once)
        self.a_second = float(a_second)
        self._at: float | None = None

    def left(self, now: float) -> float:
        """What may be taken."""
        if self._at is not None:
            self._left = min(self.at_once, self._left + (now - self._at) * self.a_second)
        self._at = now
        return self._left

    def take(self, n: float) -> None:
        """Take so many; `left` came before."""
        self._left -= n

    def waste(self, n: float) -> None:
        """Take so many, or what there is: what is refused counts, too, so that a flood is not let in again before it ebbs."""
        self._left = max(min(self._left, 0.0), self._left - n)


class Gap:
    """What a task puts out while it may not: counted, and the end of it kept."""

    __slots__ = ("_kept", "_tail", "chars", "displays")

    def __init__(self) -> None:
        self.chars = 0  #: left out so far, the tail not counted
        self.displays = 0
        self._tail: deque[tuple[str, str]] = deque()
        self._kept = 0

    def begin(self) -> list[Part]:
        """What is said where it begins."""
        return [["err", "\n… too much output: what follows is left out …\n"]]

    def add(self, parts: list[Part], skipped: int = 0) -> None:
        """These parts do not travel now, and most of them never; so many characters before them neither."""
        self.chars += skipped
        for kind, value in parts:
            if kind == "display":
                self.displays += 1
            elif kind != "clear":
                cut = value[-TAIL_CHARS:]
                self.chars += len(value) - len(cut)
                self._tail.append((kind, cut))
                self._kept += len(cut)
        while self._kept > TAIL_CHARS:
            kind, text = self._tail[0]
            excess = self._kept - TAIL_CHARS
            if len(text) <= excess:
                self._tail.popleft()
                excess = len(text)
            else:
                self._tail[0] = (kind, text[excess:])
            self._kept -= excess
            self.chars += excess

    def end(self) -> list[Part]:
        """It may go on: a line about what is missing, and the end of that."""
        missing = [f"{self.chars:,} characters"] if self.chars else []
        if self.displays:
            missing.append(f"{self.displays:,} displays" if self.displays > 1 else "1 display")
        tail = [[kind, text] for kind, text in self._tail]
        if not missing:
            return tail
        return [["err", f"\n… {' and '.join(missing)} were left out …\n"], *tail]


def cut(parts: list[Part], chars: float) -> tuple[list[Part], list[Part], int]:
    """The first so many characters of these parts, the rest, and how many between them were dropped at once: of a very long text only the end is
    kept. Displays are not cut: one that begins within goes whole.

    >>> cut([["out", "abcdef"], ["err", "g"]], 4)
    ([['out', 'abcd']], [['out', 'ef'], ['err', 'g']], 0)
    """
    for at, (kind, value) in enumerate(parts):
        if chars <= 0:
            return parts[:at], parts[at:], 0
        if kind == "display":
            chars -= display_size(value["data"])
        elif kind != "clear":
            if len(value) > chars:
                here = int(chars)
                there = max(here, len(value) - TAIL_CHARS)
                before = [[kind, value[:here]]] if here else []
                return [*parts[:at], *before], [[kind, value[there:]], *parts[at + 1 :]], there - here
            chars -= len(value)
    return parts, [], 0


def display_size(data: Any) -> int:
    """About how many bytes a MIME bundle takes.

    >>> display_size({"text/plain": "1", "application/json": {"a": [1, 2]}})
    60
    """
    if isinstance(data, str | bytes):
        return len(data)
    if isinstance(data, dict):
        return sum(len(str(name)) + display_size(value) for name, value in data.items())
    if isinstance(data, list | tuple):
        return 8 + sum(map(display_size, data))
    return 12
