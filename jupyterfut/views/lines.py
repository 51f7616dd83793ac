"""What a terminal would show of printed text: carriage returns, backspaces and erasures carried out, so that of a progress bar's hundred states the
last one is left.

Text comes in pieces, cut anywhere. Finished lines leave at once; the unfinished one is kept as an `OpenLine`, with its cursor. A `Log` keeps the text
of one task that way: its beginning and its end, when it is too long for the whole.
"""

from __future__ import annotations

import re
from collections import deque
from functools import cache


@cache
def _moves() -> re.Pattern[str]:
    """What moves the cursor within a line, or erases. (Compiled when it is first met: every client imports this.)"""
    return re.compile("(\r|\b|\x1b\\[[012]?K)")


class OpenLine:
    """A line that has not ended yet.

    >>> line = OpenLine()
    >>> line.write("10 %")
    >>> line.write("\\r20 %")
    >>> line.text
    '20 %'
    """

    __slots__ = ("column", "text")

    def __init__(self, text: str = "", column: int | None = None) -> None:
        self.text = text
        self.column = len(text) if column is None else column

    def __bool__(self) -> bool:
        return bool(self.text)

    def copy(self) -> OpenLine:
        """One of its own."""
        return OpenLine(self.text, self.column)

    def clear(self) -> None:
        """Begin a new line."""
        self.text, self.column = "", 0

    def write(self, text: str) -> None:
        """More of the line; there is no line end in it."""
        if "\r" not in text and "\b" not in text and "\x1b" not in text:
            self._put(text)
            return
        moves = _moves()
        for piece in moves.split(text):
            if piece == "\r":
                self.column = 0
            elif piece == "\b":
                self.column = max(0, self.column - 1)
            elif moves.fullmatch(piece):
                self._erase(piece)
            elif piece:
                self._put(piece)

    def _put(self, piece: str) -> None:
        before, column = self.text, self.column
        if column == len(before):
            self.text = before + piece
        elif column == 0 and ("\x1b" in before or "\x1b" in piece):
            self.text = piece  # colours take no room on the screen: what would be left of such a line cannot be told, and nobody wants it
        else:
            self.text = before[:column] + piece + before[column + len(piece) :]
        self.column = column + len(piece)

    def _erase(self, code: str) -> None:
        if code == "\x1b[1K":
            self.text = " " * self.column + self.text[self.column :]
        elif code == "\x1b[2K":
            self.text = " " * self.column
        else:
            self.text = self.text[: self.column]

    def after(self, shown: OpenLine, *, ends: bool = False) -> str:
        """What has to be written where `shown` stands, so that this line stands there; with `ends` it is finished, and its cursor does not matter.

        >>> OpenLine("10 % of it").after(OpenLine("10 %")), OpenLine("9 %").after(OpenLine("10 %"))
        (' of it', '\\r9 % \\r9 %')
        """
        if shown.column == len(shown.text) and self.text.startswith(shown.text):
            more, blanks = self.text[len(shown.text) :], 0
        else:
            blanks = max(0, len(_bare(shown.text)) - len(_bare(self.text)))
            more = f"\r{self.text}{' ' * blanks}"
        if not ends and (blanks or self.column < len(self.text)):
            more += f"\r{self.text[: self.column]}"  # the cursor goes to its place
        return more


def _bare(text: str) -> str:
    """Without what takes no room on the screen."""
    return re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", text) if "\x1b" in text else text


def take(line: OpenLine, text: str) -> str:
    """Write `text` to the unfinished line, and return the lines that it has finished, each with its end.

    >>> line = OpenLine("a")
    >>> take(line, "b\\n10 %\\r20 %\\nc"), line.text
    ('ab\\n20 %\\n', 'c')
    """
    body, end, rest = text.rpartition("\n")
    finished = ""
    if end:
        first, end, others = body.partition("\n")
        line.write(first.removesuffix("\r"))  # "\r\n" is a line's end as well
        finished = f"{line.text}\n"
        line.clear()
        if end:
            finished += folded(f"{others}\n")
    if rest:
        line.write(rest)
    return finished


def folded(text: str) -> str:
    """The text as a terminal shows it.

    >>> folded("10 %\\r20 %\\ndone")
    '20 %\\ndone'
    """
    if ("\r" not in text and "\b" not in text and "\x1b" not in text) or not _moves().search(text):
        return text
    lines = []
    for part in text.split("\n"):
        line = OpenLine()
        line.write(part.removesuffix("\r"))
        lines.append(line.text)
    return "\n".join(lines)


def ending(text: str, limit: int) -> str:
    """The last `limit` characters of the text, from the beginning of a line if one begins there.

    >>> ending("first\\nsecond\\nthird\\n", 14)
    'second\\nthird\\n'
    """
    if len(text) <= limit:
        return text
    last = text[-limit:]
    if text[-limit - 1] == "\n":
        return last
    _, end, rest = last.partition("\n")
    return rest if end and rest else last


class Log:
    """What one task has said: everything, or the first and the last half of `limit` characters.

    >>> log = Log(limit=12)
    >>> log.write("one\\ntwo\\nthree\\nfour\\nfive\\n")
    >>> print(log.text())
    one
    ... 15 characters left out ...
    five
    <BLANKLINE>
    """

    __slots__ = ("_first", "_last", "_left_out", "_limit", "_line", "_room", "_size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._room = limit // 2  # in the first half
        self._first: list[str] = []
        self._last: deque[str] = deque()
        self._size = 0  # of the last half
        self._left_out = 0
        self._line = OpenLine()

    def write(self, text: str) -> None:
        """More of it."""
        finished = take(self._line, text)
        if finished:
            self._keep(finished)
        if len(self._line.text) > self._limit // 2 >= 1:
            self._keep(self._line.text)  # no line of text: it cannot wait for its end
            self._line.clear()

    def end_line(self) -> None:
        """What comes begins a new line."""
        if self._line:
            self.write("\n")

    def _keep(self, text: str) -> None:
        if self._room:
            begin = text[: self._room]
            if len(begin) < len(text):  # the first half is full: it ends with a line, if it has one
                begin = begin[: begin.rfind("\n") + 1] if "\n" in begin else "" if self._first else begin
                self._room = 0
            else:
                self._room -= len(begin)
            if begin:
                self._first.append(begin)
            text = text[len(begin) :]
        if not text:
            return
        self._last.append(text)
        self._size += len(text)
        while self._size > self._limit - self._limit // 2 and (len(self._last) > 1 or self._size > self._limit):
            self._shorten()

    def _shorten(self) -> None:
        """Let go of the oldest piece of the last half, or of its beginning."""
        text = self._last.popleft()
        self._size -= len(text)
        self._left_out += len(text)
        if not self._last:
            rest = ending(text, self._limit - self._limit // 2)
            self._last.append(rest)
            self._size += len(rest)
            self._left_out -= len(rest)

    def text(self) -> str:
        """As far as it goes, with a line that says how much was left out."""
        parts = list(self._first)
        if self._left_out:
            parts.append(f"... {self._left_out:,} characters left out ...\n")
        return "".join([*parts, *self._last, self._line.text])
