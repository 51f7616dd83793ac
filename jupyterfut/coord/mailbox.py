"""Where what a `Sub` has heard waits for its reader: filled by the loop, emptied by any number of threads and coroutines.

Readers are served in the order in which they came, each message goes to one of them, and one whose wait is interrupted takes nothing with it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from jupyterfut.client.latches import LoopGate, ThreadGate
from jupyterfut.errors import ClosedError, TimeoutError  # noqa: A004
from jupyterfut.wire.payload import Payload


class _Reader:
    """One who waits: `open` lets him go on, with what he was given."""

    __slots__ = ("got", "open")

    def __init__(self, open_: Callable[[], object]) -> None:
        self.open = open_
        self.got: Payload | None = None


class Mailbox:
    """Payloads in order. limit: how many are kept while nobody reads, the oldest go first; None: all."""

    def __init__(self, what: str, limit: int | None) -> None:
        self._what = what
        self._lock = threading.RLock()  # re-entrant: a user's __del__ may run inside it
        self._payloads: deque[Payload] = deque(maxlen=limit)
        self._readers: deque[_Reader] = deque()  # they wait only while there are no payloads
        self._closed: str | None = None

    def __len__(self) -> int:
        return len(self._payloads)

    # --- on the loop

    def deliver(self, payloads: list[Payload]) -> None:
        """These have come."""
        with self._lock:
            for payload in payloads:
                if self._readers:
                    self._hand(payload)
                else:
                    self._payloads.append(payload)

    def close(self, reason: str) -> None:
        """Nothing will come any more: who waits gets `ClosedError`, and who comes when all is read. Idempotent."""
        with self._lock:
            if self._closed is None:
                self._closed = reason
            for reader in self._readers:
                reader.open()
            self._readers.clear()

    # --- readers, in any thread or loop

    def take(self, wait_s: float | None) -> Payload:
        """The oldest payload. Blocks while there is none, for `wait_s` seconds (None: for ever). Raises TimeoutError and ClosedError."""
        gate = ThreadGate()
        reader = _Reader(gate.open)
        if not self._enter(reader, wait_s):
            try:
                gate.wait(wait_s)
            except BaseException:
                self._leave(reader)
                raise
        return self._outcome(reader, wait_s)

    async def take_async(self, wait_s: float | None) -> Payload:
        """The same in a coroutine."""
        gate = LoopGate()
        reader = _Reader(gate.open)
        if not self._enter(reader, wait_s):
            try:
                await gate.wait(wait_s)
            except BaseException:
                self._leave(reader)
                raise
        return self._outcome(reader, wait_s)

    def _enter(self, reader: _Reader, wait_s: float | None) -> bool:
        """True: there is nothing to wait for."""
        with self._lock:
            if self._payloads:
                reader.got = self._payloads.popleft()
            elif self._closed is None and wait_s != 0:
                self._readers.append(reader)
                return False
        return True

    def _outcome(self, reader: _Reader, wait_s: float | None) -> Payload:
        with self._lock:
            if reader.got is not None:
                return reader.got
            if reader in self._readers:
                self._readers.remove(reader)
            if self._closed is not None:
                raise ClosedError(f"{self._what}: {self._closed}")
        raise TimeoutError(f"{self._what}: nothing was published within {wait_s:g} s")

    def _leave(self, reader: _Reader) -> None:
        """The wait was interrupted: what the reader was given already goes to the next one, or back to the front."""
        with self._lock:
            if reader.got is not None:
                if self._readers:
                    self._hand(reader.got)
                elif len(self._payloads) != self._payloads.maxlen:  # else newer ones have come in its place
                    self._payloads.appendleft(reader.got)
            elif reader in self._readers:
                self._readers.remove(reader)

    def _hand(self, payload: Payload) -> None:
        reader = self._readers.popleft()
        reader.got = payload
        reader.open()
