"""Writing to stdout and stderr from an event loop, which must not wait for whoever reads them.

A pipe into `less`, or a terminal that was stopped with Ctrl-S, takes nothing until its reader goes on; a loop that waited for that would answer
nobody meanwhile, and its client would lose its lease. So a stream that takes nothing now is left to a thread, which waits instead, and ends when
everything is written. A stream that is closed, or whose reader has gone, takes nothing ever: computing goes on.
"""

from __future__ import annotations

import io
import logging
import os
import select
import stat
import sys
import threading
from collections import deque
from typing import TextIO

logger = logging.getLogger("jupyterfut.client")

PIECE_CHARS = 1_000
"""So much is written at once where writing may have to wait: a pipe or terminal that is ready takes that (4,096 bytes on Linux)."""

WAITING_CHARS = 10_000_000
"""So much may wait for a slow reader. What comes then is left out."""


class Outlet:
    """One of the two streams, as it is when it is written to."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._waiting: deque[str] = deque()
        self._waiting_chars = 0
        self._left_out = 0
        self._thread: threading.Thread | None = None

    def write(self, text: str) -> None:
        """Write now, or leave it to the thread. Never waits, never raises."""
        with self._lock:
            if self._thread is None:
                text = self._write_now(text)
            if not text:
                return
            if self._waiting_chars > WAITING_CHARS:
                self._left_out += len(text)
                return
            self._waiting.append(text)
            self._waiting_chars += len(text)
            if self._thread is None:  # not a daemon: what a program has printed is written before it ends
                self._thread = threading.Thread(target=self._write_all, name=f"jupyterfut-{self._name}", daemon=False)
                self._thread.start()

    def _write_now(self, text: str) -> str:
        """As much as the stream takes; returns the rest."""
        out: TextIO | None = getattr(sys, self._name)
        if out is None:
            return ""
        fd = _may_block(out)
        if fd is None:
            self._put(out, text)
            return ""
        for at in range(0, len(text), PIECE_CHARS):
            if not _is_ready(fd):
                return text[at:]
            self._put(out, text[at : at + PIECE_CHARS])
        return ""

    def _write_all(self) -> None:
        """In the thread."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                text = self._waiting.popleft()
                self._waiting_chars -= len(text)
                if self._left_out and not self._waiting:
                    text += f"\n... {self._left_out:,} characters left out, since nobody read ...\n"
                    self._left_out = 0
            out: TextIO | None = getattr(sys, self._name)
            if out is not None:
                self._put(out, text)

    def _put(self, out: TextIO, text: str) -> None:
        from jupyterfut.runtime.output import aside  # not before something is printed: every client imports this module

        try:
            with aside():  # the loop of an in-process worker may be in the middle of something for a task
                try:
                    out.write(text)
                except UnicodeEncodeError:
                    encoding = out.encoding or "ascii"
                    out.write(text.encode(encoding, "backslashreplace").decode(encoding))
                out.flush()
        except (OSError, ValueError) as error:
            logger.debug("output of a task is lost, since %s takes none: %s", self._name, error)


def _may_block(out: TextIO) -> int | None:
    """The file descriptor of a stream that may have to wait for its reader; None for all others."""
    real = getattr(out, "real", out)  # behind a stand-in of ours
    if not isinstance(real, io.TextIOWrapper):
        return None
    try:
        fd = real.fileno()
        mode = os.fstat(fd).st_mode
    except (OSError, ValueError):
        return None
    return fd if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode) else None


def _is_ready(fd: int) -> bool:
    """Whether it takes a piece now. (Where nobody can tell, as on Windows, it is taken for ready.)"""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(0))


outlets = {"stdout": Outlet("stdout"), "stderr": Outlet("stderr")}
