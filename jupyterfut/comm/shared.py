"""Memory that the processes of one machine share: a value is copied into it once, and whoever needs it maps it instead of getting the bytes
through a socket.

A `SharedBuffer` is a mapping of an anonymous file (`memfd_create(2)`), which has no name in any file system: it lives as long as somebody has it
open, so nothing has to be removed when a process dies, by whatever way, and no mount (`/dev/shm` of a container, say) limits its size. Other
processes of the same user open it as `/proc/<pid>/fd/<number>`. It is sealed, so nobody can change or shorten it any more; each process maps it
privately (copy-on-write): arrays in it are writable, and nobody sees another's changes. A Python that was built for old systems (conda's, uv's) has
no `os.memfd_create`; it takes a file in `/dev/shm` that has no name either (`O_TMPFILE`), as far as there is room.

A reference to one is three numbers: file descriptor, inode, size. It means something to a process that can read the owner's memory, which is proved
first: each side has a `Probe` with a secret in it, names it when the connection is made, and is told what the other side has read there. So nothing
is assumed about host names, containers or users. Elsewhere than on Linux no probe can be made, and all goes through sockets.
"""

from __future__ import annotations

import mmap
import os
import secrets
import stat
import sys
from hashlib import sha256
from typing import Any

if sys.platform == "linux":
    import fcntl
    import resource

HAS_MEMFD = hasattr(os, "memfd_create")
NAME = "jupyterfut"  #: what `/proc/<pid>/fd` and `/proc/<pid>/maps` show
_PROBE_BYTES = 32

_live: dict[int, tuple[int, int]] = {}  # file descriptor -> inode and size of each `SharedBuffer` of this process


class SharedBuffer(mmap.mmap):
    """A mapping that knows how others find its file. The file is let go with the last reference to the mapping: an array in it, for example."""

    fd: int
    inode: int

    def __new__(cls, fd: int, inode: int, size: int) -> SharedBuffer:
        """Takes the file descriptor over, once it returns. Raises OSError."""
        self = super().__new__(cls, fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        self.fd, self.inode = fd, inode
        _live[fd] = (inode, size)
        return self

    def __del__(self) -> None:
        fd, self.fd = getattr(self, "fd", -1), -1
        if fd >= 0:
            _live.pop(fd, None)
            os.close(fd)


def live_bytes() -> int:
    """How much shared memory this process keeps alive. What it has mapped twice counts once."""
    return sum(dict(list(_live.values())).values())


def shared_copy(buffer: bytes | bytearray | memoryview) -> memoryview:
    """A copy of the bytes in shared memory. Blocks while it copies, without the interpreter's lock. Raises OSError when there is no memory for it, or
    when this process has too many files open."""
    view = memoryview(buffer).cast("B")
    fd = _new_file()
    try:
        _check_room(fd)
        while view:
            view = view[os.write(fd, view) :]
        _seal(fd)
        status = os.fstat(fd)
        return memoryview(SharedBuffer(fd, status.st_ino, status.st_size))
    except BaseException:
        os.close(fd)
        raise


def reference(buffer: Any) -> tuple[int, int, int] | None:
    """File descriptor, inode and size, for the other side's `attach`; None for what is not shared memory."""
    shared = buffer.obj if type(buffer) is memoryview else None
    return (shared.fd, shared.inode, len(shared)) if type(shared) is SharedBuffer and buffer.nbytes == len(shared) else None


def attach(pid: int, fd: int, inode: int, size: int) -> memoryview:
    """The memory that `reference` named in process `pid`; it stays valid when that process lets it go. Raises OSError (FileNotFoundError when it is
    gone). A process that has too many files open gets a copy, in memory of its own."""
    mine = _open(pid, fd, inode, size)
    try:
        if _is_crowded(mine):
            copy = memoryview(mmap.mmap(-1, size))
            _read(mine, copy)
            os.close(mine)
            return copy
        return memoryview(SharedBuffer(mine, inode, size))
    except BaseException:
        os.close(mine)
        raise


class Probe:
    """A secret in shared memory: who can tell it can read what this process shares. Raises OSError where there is no shared memory."""

    def __init__(self) -> None:
        secret = secrets.token_bytes(_PROBE_BYTES)
        self._fd = _new_file()
        os.write(self._fd, secret)
        _seal(self._fd)
        self.place = [os.getpid(), self._fd, os.fstat(self._fd).st_ino]  #: where others find it
        self.proof = _proof(secret)  #: what those say who have read it

    def close(self) -> None:
        """Let it go. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def read_probe(place: Any) -> str:
    """What to tell the process whose probe is at `place` (the other side's words: anything may stand there). "" when it cannot be read from here."""
    if sys.platform != "linux" or type(place) is not list or len(place) != 3 or not all(type(number) is int and number >= 0 for number in place):
        return ""
    secret = bytearray(_PROBE_BYTES)
    try:
        pid, number, inode = place
        fd = _open(pid, number, inode, _PROBE_BYTES)
        try:
            _read(fd, memoryview(secret))
        finally:
            os.close(fd)
    except (OSError, OverflowError):
        return ""  # another machine, another user, another container
    return _proof(bytes(secret))


def _proof(secret: bytes) -> str:
    return sha256(b"jupyterfut memory" + secret).hexdigest()  # not the secret itself: nobody reads files of ours through us


def _new_file() -> int:
    if sys.platform != "linux":
        raise OSError("no shared memory on this platform")
    if HAS_MEMFD:
        return os.memfd_create(NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    return os.open("/dev/shm", os.O_TMPFILE | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)


def _seal(fd: int) -> None:
    if HAS_MEMFD:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)


def _open(pid: int, fd: int, inode: int, size: int) -> int:
    """Open another process's memory, and make sure that it is what was named: the number may stand for something else by now."""
    mine = os.open(f"/proc/{pid}/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        status = os.fstat(mine)
        nameless = stat.S_ISREG(status.st_mode) and not status.st_nlink
        if not (nameless and status.st_ino == inode and status.st_size == size and status.st_uid == os.geteuid()):
            raise FileNotFoundError(f"shared memory {fd} of process {pid} is gone")
    except BaseException:
        os.close(mine)
        raise
    return mine


def _read(fd: int, into: memoryview) -> None:
    done = 0
    while done < len(into):
        count = os.preadv(fd, [into[done:]], done)
        if not count:
            raise FileNotFoundError("shared memory ends too early")
        done += count


def _is_crowded(fd: int) -> bool:
    """Whether the process has so many files open that sockets may soon find no number. The lowest free number is always given out first, so the
    number tells; a mapping takes two (CPython's mmap keeps one of its own)."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return limit != resource.RLIM_INFINITY and fd > limit // 2


def _check_room(fd: int) -> None:
    if _is_crowded(fd):
        raise OSError("too many files are open to share more memory")
