"""Where the user looks: a Jupyter kernel's notebook, or a terminal with one line that keeps itself up to date, and plain lines where there is neither
(a pipe, a file, `TERM=dumb`).

Colour is used on a terminal unless `NO_COLOR` is set (no-color.org). A line is kept within the terminal's width, since a wrapped one could not be
rewritten.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from typing import TextIO


class Line:
    """Writes to `out`. `environ` defaults to the process's environment."""

    def __init__(self, out: TextIO, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self.out = out
        self.live = out.isatty() and environ.get("TERM") != "dumb"
        self.colour = self.live and not environ.get("NO_COLOR")
        full, empty = "█", "░"
        try:
            f"{full}{empty}".encode(getattr(out, "encoding", None) or "ascii")
        except (UnicodeEncodeError, LookupError):
            full, empty = "#", "."
        self.full, self.empty = full, empty

    @property
    def columns(self) -> int:
        """How many characters a line may have."""
        return shutil.get_terminal_size().columns - 1

    def bar(self, share: float, chars: int) -> str:
        """A bar that is filled to a share."""
        filled = round(min(1.0, max(0.0, share)) * chars)
        bar = self.full * filled
        return f"\x1b[36m{bar}\x1b[0m{self.empty * (chars - filled)}" if self.colour else bar + self.empty * (chars - filled)

    def rewrite(self, line: str) -> None:
        """Put this in the line's place."""
        self.out.write(f"\r{line}\x1b[K" if self.live else line)
        self.out.flush()

    def end(self) -> None:
        """The line stays as it is; what comes begins a new one."""
        self.out.write("\n")
        self.out.flush()

    def say(self, line: str) -> None:
        """One line of text."""
        self.out.write(f"{line}\n")
        self.out.flush()


def in_notebook() -> bool:
    """Whether this is a Jupyter kernel. Imports nothing."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
