"""What the worker's machine says it holds: the values themselves, in memory, and on disk when they are too many.

The loop puts and drops; executor threads and the data server read. With a memory limit, the values that were not used for the longest time are
written to files by one thread of the store's own, as soon as what is in memory passes `spill_bytes`. A disk that is full (or broken) is said once in
the log; the values stay in memory then, and the store tries again when one of its files has gone.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict, deque
from io import FileIO
from pathlib import Path
from queue import SimpleQueue
from struct import Struct
from time import perf_counter
from typing import TYPE_CHECKING

from jupyterfut.core.worker.stream import Row
from jupyterfut.errors import JupyterfutError, SerializationError
from jupyterfut.ids import Key
from jupyterfut.runtime.process import is_alive
from jupyterfut.wire.payload import Blob, Local, Payload

if TYPE_CHECKING:
    import tempfile

logger = logging.getLogger("jupyterfut.worker")

SMALLEST_SPILL_BYTES = 4096
"""Smaller values are not worth a file."""

_LENGTH = Struct("<q")


class ValueLost(JupyterfutError):
    """A value that should be in the store is not, or cannot be read back from disk."""

    def __init__(self, key: Key, why: str) -> None:
        super().__init__(f"{key}: {why}")
        self.key = key


class OnDisk:
    """Stands for a value that was written to a file."""

    __slots__ = ("nbytes", "path")

    def __init__(self, path: str, nbytes: int) -> None:
        self.path = path
        self.nbytes = nbytes


class Store:
    """Values by key. `spill_bytes` 0: everything stays in memory.

    Small values, and all when there is no limit, cost no more than a dict. Only what is worth a file is counted and kept in the order of its use.

    >>> store = Store()
    >>> store.put([Key("x")], [b"abc"], [3])
    >>> store.get(Key("x"))
    b'abc'
    >>> store.close()
    """

    def __init__(self, spill_bytes: int = 0, directory: str | None = None) -> None:
        self.spill_bytes = spill_bytes
        self.memory_bytes = 0  #: of the large values in memory
        self.disk_bytes = 0  #: of the values on disk
        self.rows: deque[Row] | None = None  #: of what was read and written, when somebody wants them
        self._goal_bytes = spill_bytes  # what may stay in memory: less than `spill_bytes` after `relieve`
        self._small: dict[Key, Payload] = {}
        self._large: OrderedDict[Key, Payload] = OrderedDict()  # least recently used first
        self._disk: dict[Key, OnDisk] = {}
        self._nbytes: dict[Key, int] = {}  # of `_large` and `_disk`
        self._stuck: dict[Key, Payload] = {}  # large, and cannot be pickled
        self._lock = threading.Lock()
        self._directory = directory
        self._files: tempfile.TemporaryDirectory[str] | None = None
        self._next_file = 0
        self._wanted: SimpleQueue[bool] = SimpleQueue()
        self._spiller: threading.Thread | None = None
        self._spilling = False  # the spiller was told, and has not looked yet
        self._disk_failed = False

    # --- for the loop

    def put(self, keys: list[Key], payloads: list[Payload], nbytes: list[int]) -> None:
        """Keep these values; a key that is here gets the new one."""
        if not self.spill_bytes or (max(nbytes, default=0) < SMALLEST_SPILL_BYTES and self._nbytes.keys().isdisjoint(keys)):
            self._small.update(zip(keys, payloads, strict=True))
            return
        with self._lock:
            for key, payload, size in zip(keys, payloads, nbytes, strict=True):
                self._remove(key)
                if size < SMALLEST_SPILL_BYTES:
                    self._small[key] = payload
                else:
                    self._large[key] = payload
                    self._nbytes[key] = size
                    self.memory_bytes += size
        self._spill_if_needed()

    def drop(self, keys: list[Key]) -> None:
        """Forget these values."""
        small = self._small
        for key in keys:
            if small.pop(key, None) is None:
                with self._lock:
                    self._remove(key)

    def relieve(self, excess_bytes: int) -> None:
        """The process as a whole takes so much more memory than it should: write that much of the values to disk soon. 0 or less: it does not."""
        if self.spill_bytes:
            self._goal_bytes = self.spill_bytes if excess_bytes <= 0 else max(0, self.memory_bytes - excess_bytes)
            self._spill_if_needed()

    def close(self) -> None:
        """Forget everything and remove all files. Idempotent."""
        if self._spiller is not None:
            self._wanted.put(False)
            self._spiller.join()
            self._spiller = None
        with self._lock:
            for values in (self._small, self._large, self._disk, self._nbytes, self._stuck):
                values.clear()
            self.memory_bytes = self.disk_bytes = 0
            if self._files is not None:
                self._files.cleanup()
                self._files = None

    # --- for any thread

    def __len__(self) -> int:
        return len(self._small) + len(self._nbytes)

    def __contains__(self, key: Key) -> bool:
        return key in self._small or key in self._nbytes

    def get(self, key: Key) -> Payload:
        """The value. Blocks while it is read from disk, if it is there. Raises `ValueLost`."""
        value = self._small.get(key)
        if value is not None:
            return value
        with self._lock:
            value = self._large.get(key)
            if value is not None:
                self._large.move_to_end(key)
                return value
            value = self._stuck.get(key) or self._small.get(key)
            if value is not None:
                return value
            entry = self._disk.get(key)
        if entry is None:
            raise ValueLost(key, "the value is not here")
        start = perf_counter()
        try:
            value = read_file(entry.path)
        except (OSError, ValueError) as error:
            if self._disk.get(key) is not entry:
                return self.get(key)  # it came back into memory while we looked, or was replaced
            logger.error("%s cannot be read back from disk: %s", key, error)
            raise ValueLost(key, f"cannot be read back from disk: {error}") from error
        if self.rows is not None:
            self.rows.append(("read", key, start, perf_counter(), 0, "", entry.nbytes, True, "read"))
        self._keep_in_memory(key, entry, value)
        return value

    def on_disk(self, key: Key) -> bool:
        """Whether `get` would have to read a file."""
        return key in self._disk

    # --- inside

    def _remove(self, key: Key) -> None:
        """Under the lock. A key that is not here is no matter."""
        size = self._nbytes.pop(key, None)
        if size is None:
            self._small.pop(key, None)
            return
        entry = self._disk.pop(key, None)
        if entry is not None:
            self._delete_file(entry)
        else:
            self._large.pop(key, None)
            self._stuck.pop(key, None)
            self.memory_bytes -= size

    def _delete_file(self, entry: OnDisk) -> None:
        """Under the lock. There is room on the disk again."""
        self.disk_bytes -= entry.nbytes
        self._disk_failed = False
        try:
            os.unlink(entry.path)
        except OSError as error:
            logger.warning("cannot remove %s: %s", entry.path, error)

    def _keep_in_memory(self, key: Key, entry: OnDisk, payload: Payload) -> None:
        """A value that was just read stays in memory if there is room."""
        with self._lock:
            if self._disk.get(key) is entry and self.memory_bytes + self._nbytes[key] <= self._goal_bytes:
                del self._disk[key]
                self._large[key] = payload
                self.memory_bytes += self._nbytes[key]
                self._delete_file(entry)

    def _spill_if_needed(self) -> None:
        if self.memory_bytes > self._goal_bytes and not self._disk_failed and not self._spilling:
            self._spilling = True
            if self._spiller is None:
                self._spiller = threading.Thread(target=self._spill_main, name="jupyterfut-spill", daemon=True)
                self._spiller.start()
            self._wanted.put(True)

    def _spill_main(self) -> None:
        while self._wanted.get():
            self._spilling = False
            while self.memory_bytes > self._goal_bytes and not self._disk_failed:
                if not self._spill_one():
                    break

    def _spill_one(self) -> bool:
        """Write the value that was not used for the longest time. False: nothing is left to write, or the disk does not take it."""
        with self._lock:
            if not self._large:
                return False
            key, value = next(iter(self._large.items()))
        start = perf_counter()
        try:
            path = self._new_path()
            entry = OnDisk(path, write_file(path, _as_bytes(value)))
        except SerializationError:  # an object of an in-process cluster: it stays where it is
            with self._lock:
                if self._large.get(key) is value:
                    self._stuck[key] = self._large.pop(key)
            return True
        except OSError as error:
            self._disk_failed = True
            logger.warning("cannot write results to disk (%s): they stay in memory from now on, above the limit if need be", error)
            return False
        if self.rows is not None:
            self.rows.append(("write", key, start, perf_counter(), 0, "", entry.nbytes, True, "write"))
        with self._lock:
            self.disk_bytes += entry.nbytes
            if self._large.get(key) is value:
                del self._large[key]
                self._disk[key] = entry
                self.memory_bytes -= self._nbytes[key]
            else:  # dropped or replaced meanwhile
                self._delete_file(entry)
        return True

    def _new_path(self) -> str:
        """Raises OSError when there is no place for files."""
        if self._files is None:
            self._files = make_directory(self._directory, "spill")
        self._next_file += 1
        return str(Path(self._files.name) / str(self._next_file))


def make_directory(parent: str | None, what: str) -> tempfile.TemporaryDirectory[str]:
    """A directory for the files of one store, or of one worker. Those that killed processes of this machine have left there are removed first."""
    import shutil
    import socket
    import tempfile

    mark = f"jupyterfut-{what}-{socket.gethostname()}-"
    if parent is not None:
        os.makedirs(parent, exist_ok=True)
    for path in Path(parent or tempfile.gettempdir()).glob(f"{mark}*"):
        pid = path.name.removeprefix(mark).partition("-")[0]
        if pid.isdigit() and not is_alive(int(pid)):
            shutil.rmtree(path, ignore_errors=True)
    return tempfile.TemporaryDirectory(prefix=f"{mark}{os.getpid()}-", dir=parent, ignore_cleanup_errors=True)


def _as_bytes(payload: Payload) -> bytes | Blob:
    if type(payload) is not Local:
        return payload  # type: ignore[return-value]  # what remains of Payload
    from jupyterfut.serde import dumps

    return dumps(payload.value)


def write_file(path: str, payload: bytes | Blob) -> int:
    """Write a payload to a new file; its size. Raises OSError, and leaves no file then."""
    parts = [payload] if type(payload) is bytes else [payload.head, *payload.buffers]  # type: ignore[union-attr]  # Blob
    sizes = [memoryview(part).nbytes for part in parts]
    try:
        with open(path, "xb", buffering=0) as file:
            for piece in (_LENGTH.pack(len(parts)), *[_LENGTH.pack(size) for size in sizes], *parts):
                view = memoryview(piece).cast("B")
                while view:
                    view = view[file.write(view) :]
    except OSError:
        Path(path).unlink(missing_ok=True)
        raise
    return _LENGTH.size * (1 + len(parts)) + sum(sizes)


def read_file(path: str) -> bytes | Blob:
    """The payload of a file. Raises OSError, or ValueError when the file is not whole."""
    with open(path, "rb", buffering=0) as file:
        (count,) = _LENGTH.unpack(_exactly(file, _LENGTH.size))
        sizes = [_LENGTH.unpack(_exactly(file, _LENGTH.size))[0] for _ in range(count)]
        head = bytes(_exactly(file, sizes[0]))
        if count == 1:
            return head
        return Blob(head, [_exactly(file, size) for size in sizes[1:]])


def _exactly(file: FileIO, size: int) -> bytearray:
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        read = file.readinto(view)
        if not read:
            raise ValueError("the file ends too early")
        view = view[read:]
    return buffer
