"""What goes into a machine and what comes out, as far as the machines share it.

A machine is called as `machine.handle(event, now) -> list[effect]` and says with `machine.next_wake()` (seconds on the same clock as `now`, or None)
when it wants a `Tick` although nothing has happened. `now` is a monotonic time in seconds that the caller chooses: the simulator's clock is its own.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from jupyterfut.ids import PeerId
from jupyterfut.wire.messages import Message

# --- events


class Received(NamedTuple):
    """A message came from `peer`. (A machine with one peer only, the client's or the worker's, is given `peer=0`.)"""

    peer: PeerId
    message: Message


class LinkLost(NamedTuple):
    """The stream to `peer` is gone. What was not received by now never will be."""

    peer: PeerId
    reason: str


class LinkBack(NamedTuple):
    """The stream to `peer` has come back and nothing was lost meanwhile (a client's resumed session, see `core/ordered`)."""

    peer: PeerId


class Tick(NamedTuple):
    """Time has passed."""


# --- effects


class Send(NamedTuple):
    """Give `message` to the stream of `peer`. Sends to one peer keep their order."""

    peer: PeerId
    message: Message


class Close(NamedTuple):
    """Close the stream of `peer`; no more is said to it or heard from it."""

    peer: PeerId
    reason: str


class Log(NamedTuple):
    """One line for the log. `level` is a name of `logging`: "info", "warning", "error"."""

    level: str
    text: str


Effect: TypeAlias = Send | Close | Log
"""What the scheduler's machine returns; the client's and the worker's have effects of their own beside these."""
