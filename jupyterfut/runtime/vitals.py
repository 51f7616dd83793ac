"""How a worker is, as its heartbeats say it: the processor's share, memory, and what has come and gone over the network since the last one."""

from __future__ import annotations

import os
import time

from jupyterfut.comm.shared import live_bytes
from jupyterfut.runtime.process import mapped_shared_bytes, memory_bytes


def own_memory_bytes() -> int:
    """What this process takes. Shared memory that it holds counts whole, whether or not it has been looked at through the mapping."""
    resident, shared = memory_bytes(os.getpid()) or 0, live_bytes()
    return resident if not shared else resident - mapped_shared_bytes(os.getpid()) + shared


class Vitals:
    """What is counted from one heartbeat to the next."""

    def __init__(self) -> None:
        self.fetched_bytes = 0  #: of values, from other processes, so far
        self._at_s = time.monotonic()
        self._cpu_s = time.process_time()
        self._traffic = (0, 0)

    def rates(self, put_bytes: int, sent_bytes: int) -> dict[str, float]:
        """Since the last time. `put_bytes`: of values that others brought, so far; `sent_bytes`: of those that others came for."""
        at_s, cpu_s, received_bytes = time.monotonic(), time.process_time(), self.fetched_bytes + put_bytes
        took_s = max(at_s - self._at_s, 1e-9)
        rates = {
            "cpu": (cpu_s - self._cpu_s) / took_s,
            "received_bytes_s": (received_bytes - self._traffic[0]) / took_s,
            "sent_bytes_s": (sent_bytes - self._traffic[1]) / took_s,
        }
        self._at_s, self._cpu_s, self._traffic = at_s, cpu_s, (received_bytes, sent_bytes)
        return rates
