"""The progress of the demo's stages, in one line that keeps itself up to date.

On a terminal the line is rewritten, at most twelve times a second, within its width. Elsewhere a stage prints one line when it is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TextIO

from jupyterfut.client.terminal import Line

UPDATE_S = 1 / 12
LABEL_CHARS = 20
BAR_CHARS = 24


class Progress(Line):
    """Writes to `out`. `environ` defaults to the process's environment."""

    def __init__(self, out: TextIO, environ: Mapping[str, str] | None = None) -> None:
        super().__init__(out, environ)
        self.label = ""
        self.last = 0.0

    def stage(self, label: str) -> Callable[[int, int, int, int], None]:
        """Begin a stage; call what it returns with the files done and in all, and the functions done and known so far."""
        self.label = label
        self.last = 0.0
        return self._report if self.live else _unseen

    def done(self, result: str) -> None:
        """The stage is over: its line is replaced by its result."""
        self.rewrite(f"  {self.label:<{LABEL_CHARS}} {result}")
        self.end()

    def _report(self, files: int, of_files: int, functions: int, known: int) -> None:
        now = time.monotonic()
        if now - self.last < UPDATE_S:
            return
        self.last = now
        share = (files + functions) / (
            of_files + max(known, 1) * of_files / max(files, 1)
        )  # as if the rest of the files were like those opened so far
        text = f"{files} of {of_files} files, {functions:,} of {known:,} functions found so far"
        room = self.columns - 2 - LABEL_CHARS - 1
        if room < 10:
            self.rewrite(f"  {files}/{of_files}"[: max(1, room + LABEL_CHARS)])
            return
        bar = min(BAR_CHARS, max(0, room - len(text) - 2))
        line = f"  {self.label:<{LABEL_CHARS}} " + (f"{self.bar(share, bar)}  {text}" if bar >= 8 else text[:room])
        self.rewrite(line)


def _unseen(files: int, of_files: int, functions: int, known: int) -> None:
    """Progress that nobody watches."""
