"""Frames: a header of fixed size, the sizes of the out-of-band buffers, the body, the buffers. No socket here: a transport asks `FrameReader` where
the next bytes belong,
receives into that memory, and says how many came; `frame` gives it the pieces to write.

    magic 4 | number of buffers 4 | body bytes 8 | frame number 8 | acknowledged 8 | sizes 8 each | body | buffers

The body is small (large values are buffers), so small frames are cut out of one scratch buffer and a burst of them costs one read. A large body and
each buffer get memory of
their own, and the bytes land there at once. Every size is held against the limits before anything is allocated, and memory of a megabyte and more is
only mapped:
the system fills it in as data arrives, so a peer that promises much and sends little takes nothing.

`frame number` and `acknowledged` belong to `core.ordered`; streams that need no resumption leave them 0.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from jupyterfut.errors import ProtocolError

Buffer: TypeAlias = bytes | bytearray | memoryview

MAGIC = b"JFf\x01"
HEADER = struct.Struct(">4sIQQQ")
_HEADER_BYTES = HEADER.size
_read = HEADER.unpack_from
_SIZE = struct.Struct(">Q")
_SCRATCH_BYTES = 64 * 1024
_JOIN_BYTES = 32 * 1024  #: a body up to this size is joined with its header: one copy is cheaper than one more piece
_MAPPED_BYTES = 1024 * 1024
_PRIVATE: int = getattr(mmap, "MAP_PRIVATE", 0) | getattr(mmap, "MAP_ANONYMOUS", 0)  #: 0 on Windows
_HUGE: int | None = getattr(mmap, "MADV_HUGEPAGE", None)  #: Linux


class FrameLimits(NamedTuple):
    """What one frame may hold. A frame beyond is refused before its memory is allocated."""

    body_bytes: int = 2**32
    buffers: int = 2**20
    total_bytes: int = 2**38


class Frame(NamedTuple):
    """One whole frame. `buffers` own their memory."""

    number: int
    acknowledged: int
    body: Buffer
    buffers: list[Buffer]


def frame(body: Buffer, buffers: Sequence[Buffer] = (), number: int = 0, acknowledged: int = 0, limits: FrameLimits | None = None) -> list[Buffer]:
    """The pieces to write, in order. Large ones are views of the caller's memory, which must not change until they are written.

    Raises `ProtocolError` when the frame is over the limits, which the other side would refuse.

    >>> reader = FrameReader()
    >>> [f.body for f in reader.feed(b"".join(frame(b"one")) + b"".join(frame(b"two")))]
    [b'one', b'two']
    """
    limits = limits or DEFAULT_LIMITS
    size = len(body)
    if not buffers and size <= _JOIN_BYTES and size <= limits.body_bytes and size <= limits.total_bytes:  # nearly every frame
        return [HEADER.pack(MAGIC, 0, size, number, acknowledged) + body]
    views = list(map(_bytes_view, buffers))
    sizes = [len(view) for view in views]
    _check(limits, len(body), len(sizes))
    _check_total(limits, len(body), sizes)
    head = HEADER.pack(MAGIC, len(sizes), len(body), number, acknowledged)
    if sizes:
        head += struct.pack(f">{len(sizes)}Q", *sizes)
    if len(body) <= _JOIN_BYTES:
        return [head + body, *views]
    return [head, body, *views]


def _bytes_view(buffer: Buffer) -> memoryview | bytes:
    view = memoryview(buffer)
    if view.nbytes == 0:
        return b""
    return view if view.ndim == 1 and view.format == "B" else view.cast("B")


def _check(limits: FrameLimits, body_bytes: int, buffers: int) -> None:
    if body_bytes > limits.body_bytes:
        raise ProtocolError(f"a frame's body of {body_bytes} bytes is over the limit of {limits.body_bytes}")
    if buffers > limits.buffers:
        raise ProtocolError(f"a frame of {buffers} buffers is over the limit of {limits.buffers}")


def _check_total(limits: FrameLimits, body_bytes: int, sizes: Sequence[int]) -> None:
    total = body_bytes + sum(sizes)
    if total > limits.total_bytes:
        raise ProtocolError(f"a frame of {total} bytes is over the limit of {limits.total_bytes}")


DEFAULT_LIMITS = FrameLimits()


def _allocate(size: int) -> memoryview:
    """Writable memory. Large memory is mapped, in huge pages where there are any: filling 64 MB of it takes 50 ms where a bytearray takes 190
    (zeroed first, and one page fault every 4 kB)."""
    if size < _MAPPED_BYTES:
        return memoryview(bytearray(size))
    try:
        if not _PRIVATE:
            return memoryview(mmap.mmap(-1, size))
        memory = mmap.mmap(-1, size, flags=_PRIVATE)
        if _HUGE is not None:
            memory.madvise(_HUGE)
    except (OSError, ValueError, OverflowError) as error:
        raise ProtocolError(f"no memory for a buffer of {size} bytes: {error}") from error
    return memoryview(memory)


class FrameReader:
    """Puts frames together. Call `get_buffer`, receive into it, call `received` with the count. Once `trouble` is set the stream is lost:
    nothing more comes out."""

    def __init__(self, limits: FrameLimits | None = None) -> None:
        self.trouble: ProtocolError | None = None  #: what is wrong with the bytes after the last whole frame
        self._limits = limits or DEFAULT_LIMITS
        self._scratch = memoryview(bytearray(_SCRATCH_BYTES))
        self._start = 0  # the unread bytes of the scratch buffer
        self._end = 0
        self._target: memoryview | None = None  # memory that is being filled directly: a large prefix, or a buffer
        self._filled = 0
        self._header: tuple[int, int, int, int] | None = None  # buffers, body size, number, acknowledged of the frame under way
        self._body: Buffer | None = None
        self._sizes: tuple[int, ...] = ()
        self._buffers: list[Buffer] = []

    @property
    def at_rest(self) -> bool:
        """Whether the stream may end here: no frame is half received."""
        return self._header is None and self._start == self._end

    def get_buffer(self) -> memoryview:
        """Where the next bytes belong; never empty."""
        if self._target is not None:
            return self._target[self._filled :]
        if self._start == self._end:
            self._start = self._end = 0
            return self._scratch
        if self._start and self._end >= _SCRATCH_BYTES // 2:
            rest = self._end - self._start
            self._scratch[:rest] = bytes(self._scratch[self._start : self._end])
            self._start, self._end = 0, rest
        return self._scratch[self._end :]

    def received(self, count: int) -> list[Frame]:
        """`count` bytes have been written into the memory that `get_buffer` gave. Returns the frames that they complete; never raises."""
        frames: list[Frame] = []
        if self.trouble is None:
            try:
                self._received(count, frames)
            except ProtocolError as error:
                self.trouble = error
                self._target = None
        if self.trouble is not None:
            self._start = self._end = 0
        return frames

    def _received(self, count: int, frames: list[Frame]) -> None:
        if self._target is not None:
            self._filled += count
            if self._filled < len(self._target):
                return
            self._finish_target()
        else:
            self._end += count
            if self._header is None and self._cut_small(frames):
                return
        while True:
            if self._header is None:
                if self._end - self._start < HEADER.size:
                    return
                self._read_header()
            if self._body is None and not self._read_prefix():
                return
            if not self._read_buffers():
                return
            frames.append(self._completed())

    def _cut_small(self, frames: list[Frame]) -> bool:
        """Take the frames that are whole in the scratch buffer and have no buffers: nearly all. True: nothing is left; else the next one needs the
        long road, which also knows what is wrong with it."""
        scratch, start, end, limit = self._scratch, self._start, self._end, self._limits.body_bytes
        while (body := start + _HEADER_BYTES) <= end:
            magic, buffers, size, number, acknowledged = _read(scratch, start)
            stop = body + size
            if buffers or stop > end or size > limit or magic != MAGIC:
                break
            frames.append(Frame(number, acknowledged, bytes(scratch[body:stop]), []))
            start = stop
        if start == end:
            self._start = self._end = 0
            return True
        self._start = start
        return False

    def feed(self, data: Buffer) -> list[Frame]:
        """The same for bytes that are already somewhere else (tests, what was read together with the handshake)."""
        frames: list[Frame] = []
        rest = memoryview(data)
        while len(rest) and self.trouble is None:
            target = self.get_buffer()
            count = min(len(target), len(rest))
            target[:count] = rest[:count]
            rest = rest[count:]
            frames += self.received(count)
        return frames

    def _read_header(self) -> None:
        magic, buffers, body_bytes, number, acknowledged = HEADER.unpack_from(self._scratch, self._start)
        if magic != MAGIC:
            raise ProtocolError(f"not a frame: it begins with {magic!r}")
        _check(self._limits, body_bytes, buffers)
        self._start += HEADER.size
        self._header = (buffers, body_bytes, number, acknowledged)

    def _read_prefix(self) -> bool:
        """Take the sizes and the body; False: not all of it is here."""
        assert self._header is not None
        buffers, body_bytes, _, _ = self._header
        size = buffers * _SIZE.size + body_bytes
        here = self._end - self._start
        if here < size:
            if size > _SCRATCH_BYTES // 2:
                self._aim(_allocate(size))
            return False
        prefix = self._scratch[self._start : self._start + size]
        self._start += size
        self._take_prefix(prefix)
        self._body = bytes(prefix[buffers * _SIZE.size :])
        return True

    def _take_prefix(self, prefix: memoryview) -> None:
        assert self._header is not None
        buffers, body_bytes, _, _ = self._header
        if buffers:
            self._sizes = struct.unpack_from(f">{buffers}Q", prefix)
            _check_total(self._limits, body_bytes, self._sizes)
        self._body = prefix[buffers * _SIZE.size :]

    def _read_buffers(self) -> bool:
        """Take what is here of the buffers; False: more must come."""
        while len(self._buffers) < len(self._sizes):
            size = self._sizes[len(self._buffers)]
            if not size:
                self._buffers.append(b"")
                continue
            memory = _allocate(size)
            if self._end - self._start < size:
                self._aim(memory)
                return False
            memory[:] = self._scratch[self._start : self._start + size]
            self._start += size
            self._buffers.append(memory)
        return True

    def _aim(self, memory: memoryview) -> None:
        """Let the next bytes go straight into this memory, after those of it that came already."""
        here = self._end - self._start
        memory[:here] = self._scratch[self._start : self._end]
        self._start = self._end = 0
        self._target, self._filled = memory, here

    def _finish_target(self) -> None:
        memory, self._target = self._target, None
        assert memory is not None
        if self._body is None:
            self._take_prefix(memory)
        else:
            self._buffers.append(memory)

    def _completed(self) -> Frame:
        assert self._header is not None
        assert self._body is not None
        _, _, number, acknowledged = self._header
        done = Frame(number, acknowledged, self._body, self._buffers)
        self._header, self._body, self._sizes, self._buffers = None, None, (), []
        return done
