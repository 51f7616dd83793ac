"""What a scheduler's process measures of itself for those who look at it (`core/scheduler/panes`): nothing that costs anything while nobody does.

Messages are counted by the server, in two numbers. How late the loop is shows in the ticks that the machine asks for: each says when it was to come.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from jupyterfut.core.scheduler.panes.watching import Measures, Watching
from jupyterfut.core.scheduler.state import ClientState
from jupyterfut.ids import PeerId
from jupyterfut.runtime.peer import Link
from jupyterfut.runtime.process import memory_bytes

BEHIND_BYTES: Final = 1_000_000
"""A viewer for whom so much waits to be read is told nothing more until it has read it."""


class Gauges:
    """The numbers, and how the machine gets at them. `links`: the server's, by peer."""

    __slots__ = ("_links", "lag_s", "received", "sent")

    def __init__(self, links: Mapping[PeerId, Any]) -> None:
        self._links = links
        self.received = 0  #: messages so far
        self.sent = 0
        self.lag_s = 0.0  #: how late the last tick came

    def serve(self, panes: Watching, can_scale: Callable[[], bool]) -> None:
        """Let the machine's sources measure here. `can_scale`: whether there is somebody who starts and ends workers on request."""
        panes.clock = time.thread_time  # what a turn costs, and not how crowded the machine is meanwhile
        panes.measure = self.measure
        panes.is_behind = self.is_behind
        panes.can_scale = can_scale

    def measure(self) -> Measures:
        """How things are now."""
        return Measures(time.process_time(), memory_bytes(os.getpid()) or 0, self.lag_s, self.received, self.sent)

    def is_behind(self, client: ClientState) -> bool:
        """Whether the client reads more slowly than it is told things. (One inside a task shares its worker's stream.)"""
        link = self._links.get(client.peer)
        return isinstance(link, Link) and link.pending_bytes > BEHIND_BYTES
