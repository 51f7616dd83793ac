"""Where a client runs: the caller's own event loop, the loop of its worker, or the one loop thread that all synchronous clients of a process share.

The thread starts with the first client and ends with the last.
"""

from __future__ import annotations

import threading

from jupyterfut.runtime.host import LoopThread

_lock = threading.Lock()
_shared: LoopThread | None = None
_users = 0


def acquire() -> LoopThread:
    """The shared loop thread, running; one user more."""
    global _shared, _users
    with _lock:
        if _shared is None or not _shared.is_running:
            _shared = LoopThread("jupyterfut-client")
            _shared.start()
            _users = 0
        _users += 1
        return _shared


def release(thread: LoopThread) -> None:
    """One user less; the last one stops the thread, and waits for its end unless it runs in it."""
    global _shared, _users
    with _lock:
        if thread is not _shared:
            return
        _users -= 1
        if _users:
            return
        _shared = None
    thread.stop()
