"""A line of progress in the terminal that keeps itself up to date, and plain lines where there is none.

On a terminal one line is rewritten, at most twelve times a second, within its width. Elsewhere (a pipe, a file, `TERM=dumb`) a stage prints one line
when it is done. Colour is used on a terminal unless `NO_COLOR` is set (no-color.org).
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping
from typing import TextIO

UPDATE_S = 1 / 12
LABEL_CHARS = 20
BAR_CHARS = 24


class Progress:
    """Writes to `out`. `environ` defaults to the process's environment."""

    def __init__(self, out: TextIO, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self.out = out
        self.live = out.isatty() and environ.get("TERM") != "dumb"
        self.colour = self.live and not environ.get("NO_COLOR")
        full, empty = "█", "░"
        try:
            f"{full}{empty}".encode(out.encoding or "ascii")
        except (UnicodeEncodeError, LookupError):
            full, empty = "#", "."
        self.full, self.empty = full, empty
        self.label = ""
        self.last = 0.0

    def say(self, line: str) -> None:
        """One line of text."""
        self.out.write(f"{line}\n")
        self.out.flush()

    def stage(self, label: str) -> Callable[[int, int, int, int], None]:
        """Begin a stage; call what it returns with the files done and in all, and the functions done and known so far."""
        self.label = label
        self.last = 0.0
        return self._report if self.live else _unseen

    def done(self, result: str) -> None:
        """The stage is over: its line is replaced by its result."""
        self._rewrite(f"  {self.label:<{LABEL_CHARS}} {result}")
        self.out.write("\n")
        self.out.flush()

    def bar(self, share: float, chars: int) -> str:
        """A bar that is filled to a share."""
        filled = round(min(1.0, max(0.0, share)) * chars)
        bar = self.full * filled
        return f"\x1b[36m{bar}\x1b[0m{self.empty * (chars - filled)}" if self.colour else bar + self.empty * (chars - filled)

    def _report(self, files: int, of_files: int, functions: int, known: int) -> None:
        now = time.monotonic()
        if now - self.last < UPDATE_S:
            return
        self.last = now
        share = (files + functions) / (
            of_files + max(known, 1) * of_files / max(files, 1)
        )  # as if the rest of the files were like those opened so far
        text = f"{files} of {of_files} files, {functions:,} of {known:,} functions found so far"
        room = shutil.get_terminal_size().columns - 1 - 2 - LABEL_CHARS - 1
        if room < 10:
            self._rewrite(f"  {files}/{of_files}"[: max(1, room + LABEL_CHARS)])
            return
        bar = min(BAR_CHARS, max(0, room - len(text) - 2))
        line = f"  {self.label:<{LABEL_CHARS}} " + (f"{self.bar(share, bar)}  {text}" if bar >= 8 else text[:room])
        self._rewrite(line)

    def _rewrite(self, line: str) -> None:
        if self.live:
            self.out.write(f"\r{line}\x1b[K")
            self.out.flush()
        else:
            self.out.write(line)


def _unseen(files: int, of_files: int, functions: int, known: int) -> None:
    """Progress that nobody watches."""
