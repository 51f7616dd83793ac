"""The story of a run, line by line: every event that a machine was given and every effect that it answered with.

Kept only when asked for (`--trace`): a run without a trace pays nothing for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jupyterfut.sim.nodes import Node

ADDRESS = re.compile(r" at 0x[0-9a-f]+")


class Trace:
    """Gives each line to `write`; with `only`, just those in which one of these words occurs."""

    def __init__(self, write: Callable[[str], None], only: tuple[str, ...] = ()) -> None:
        self.write = write
        self.only = only

    def note(self, node: Node, event: Any, effects: list[Any]) -> None:
        """A machine has handled an event."""
        now = node.clock.now
        self._line(f"{now:10.5f} {node.name:>12} <- {event!r}")
        for effect in effects:
            self._line(f"{'':10} {node.name:>12}    -> {effect!r}")

    def say(self, now: float, text: str) -> None:
        """Something that no machine did: a fault, a step of a script."""
        self._line(f"{now:10.5f} {'':>12} ** {text}")

    def _line(self, line: str) -> None:
        line = ADDRESS.sub("", line)  # the same seed writes the same lines
        if not self.only or any(word in line for word in self.only):
            self.write(line)
