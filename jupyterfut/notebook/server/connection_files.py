"""Which clusters run on this machine, told as they come and go: the connection files in the user's runtime directory, and their processes' ends.

The system tells of files (watchdog: inotify, FSEvents, kqueue) and, on Linux, of processes (pidfds), so a cluster that a kernel starts is known a few
milliseconds later, one that is killed without a word as well, and nothing looks at a clock. Where the system has no watches left the directory is
looked at once a second, and the log says so. Files are read in a thread: a home directory that hangs does not hang the server.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyterfut.deploy import registry
from jupyterfut.runtime import connections
from jupyterfut.runtime.connections import ConnectionInfo

OnFound = Callable[[list[ConnectionInfo]], object]

EVENTS = frozenset({"created", "moved", "deleted", "closed", "modified"})
"""What can change which clusters there are. (That a file was opened, which we do ourselves, cannot.)"""

POLL_S = 1.0
"""Without watches of the system the directory is looked at so often."""


class ConnectionFiles:
    """Calls `on_found(clusters)` on the loop whenever the list may have changed. Made and used on one event loop; `start`, then `close`."""

    def __init__(self, on_found: OnFound, log: logging.Logger) -> None:
        self._on_found = on_found
        self._log = log
        self._directory = connections.runtime_dir()
        self._observer: Any = None
        self._looking: asyncio.Task[None] | None = None
        self._again = False  # something has happened since the look that is under way began
        self._ends: dict[tuple[int, str], int] = {}  # process -> its pidfd
        self._closed = False

    async def start(self) -> None:
        """Look, and be told from now on. Raises OSError when there can be no such directory."""
        self._loop = asyncio.get_running_loop()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._observer = await asyncio.to_thread(self._observe)
        await self.look()

    async def look(self) -> None:
        """Look now, and return when `on_found` has been told what there is."""
        self.look_soon()
        if self._looking is not None:
            await asyncio.shield(self._looking)

    def look_soon(self) -> None:
        """Look again: what is being looked at now may be old already. Never blocks."""
        self._again = True
        if self._looking is None and not self._closed:
            self._looking = self._loop.create_task(self._look())

    async def close(self) -> None:
        """Look no more. Nothing of it is left when this returns."""
        self._closed = True
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        for end in self._ends.values():
            self._loop.remove_reader(end)
            os.close(end)
        self._ends.clear()
        observer, self._observer = self._observer, None
        if observer is not None:
            await asyncio.to_thread(_end, observer)

    # --- looking

    async def _look(self) -> None:
        try:
            while self._again:
                self._again = False
                found = await asyncio.to_thread(registry.clusters)
                self._watch_processes(found)
                self._on_found(found)
        finally:
            self._looking = None

    def _watch_processes(self, found: list[ConnectionInfo]) -> None:
        if sys.platform != "linux":
            return  # their viewers see that they are gone
        here = {(info.pid, info.pid_mark) for info in found}
        for process in self._ends.keys() - here:
            self._forget(process)
        for process in here - self._ends.keys():
            try:
                end = os.pidfd_open(process[0])
            except OSError:
                continue  # it has ended by now, which the next look will find; or the sandbox forbids it
            self._ends[process] = end
            self._loop.add_reader(end, self._process_ended, process)

    def _process_ended(self, process: tuple[int, str]) -> None:
        self._forget(process)
        self.look_soon()

    def _forget(self, process: tuple[int, str]) -> None:
        end = self._ends.pop(process)
        self._loop.remove_reader(end)
        os.close(end)

    # --- being told

    def _observe(self) -> Any:
        from watchdog.observers import Observer
        from watchdog.observers.polling import PollingObserver

        observer: Any = Observer()
        try:
            observer.schedule(_Handler(self), str(self._directory))
            observer.start()
        except OSError as error:
            self._log.warning("the system cannot watch %s (%s): looking at it every %g s instead", self._directory, error, POLL_S)
            observer = PollingObserver(timeout=POLL_S)
            observer.schedule(_Handler(self), str(self._directory))
            observer.start()
        return observer

    def happened(self, path: str) -> None:
        """Something has happened to a file. In the observer's thread."""
        name = Path(path).name
        if name.startswith("jupyterfut-") and name.endswith(".json") and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.look_soon)


class _Handler:
    """What an observer calls: watchdog looks for this one method."""

    def __init__(self, files: ConnectionFiles) -> None:
        self._files = files

    def dispatch(self, event: Any) -> None:
        if event.event_type in EVENTS and not event.is_directory:
            for path in (event.src_path, getattr(event, "dest_path", "")):
                if path:
                    self._files.happened(os.fsdecode(path))


def _end(observer: Any) -> None:
    observer.stop()
    observer.join()
