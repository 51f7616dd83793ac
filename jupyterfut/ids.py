"""The names that travel: keys, addresses, ids and attempt numbers.

All of them are plain strings and integers on the wire. `NewType` keeps them apart for the reader and for mypy at no cost at run time.
"""

from __future__ import annotations

from typing import NewType

Key = NewType("Key", str)
"""Names a task and its result, cluster-wide: `inc-b8aaf26b...`."""

Address = NewType("Address", str)
"""Where a process listens: `tcp://10.0.0.1:40123`, `tls://...`, `inproc://...`. A worker is known by the address of its data server."""

ClientId = NewType("ClientId", str)
"""One `Client` object, kept over reconnects: `client-<32 hex digits>`."""

FunctionId = NewType("FunctionId", str)
"""The content hash (32 hex digits) of a pickled function."""

Attempt = NewType("Attempt", int)
"""The number of one start of one task. The scheduler never gives the same number twice, so a late answer is known by it."""

PeerId = NewType("PeerId", int)
"""One stream, as the scheduler's machine knows it. A peer that connects again is a new `PeerId`."""
