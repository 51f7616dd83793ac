"""Which parts of a payload travel as bytes and which as references to shared memory (`comm.shared`): the one place that decides, for both ends of a
data stream.

`Sharing` belongs to a `DataServer` or a `DataLinks`, `Neighbour` to one of its streams. Both ends announce their probe in the hello of the handshake.
If both did, the first message each sends is `MemoryRead`, with what it has found at the other's; from then on the large parts of payloads for
somebody who can read our memory are references. A part is copied into shared memory when it is first sent, and from then on it *is* that memory in
its `Blob`, wherever that is kept: a second receiver costs nothing, and the copy on the heap is gone.

References are a column beside the payloads: per payload the numbers `part, fd, inode, size` of each part that stays behind, where part 0 is the
pickle and part n its n-th buffer. Who sends them keeps the memory until the receiver has said that it has it (`DataTaken`, `DataStored`).
"""

from __future__ import annotations

import hmac
import logging
import threading
from collections.abc import Iterable
from typing import Any

from jupyterfut.comm.shared import Probe, attach, read_probe, reference, shared_copy
from jupyterfut.errors import ProtocolError
from jupyterfut.wire.messages import MemoryRead
from jupyterfut.wire.payload import Blob, Payload

logger = logging.getLogger("jupyterfut.runtime")


class Sharing:
    """What one `DataServer` or `DataLinks` shares. `smallest_bytes`: smaller parts travel as bytes; 0: all do."""

    def __init__(self, smallest_bytes: int) -> None:
        self.smallest_bytes = smallest_bytes
        self.probe: Probe | None = None
        self._copying = threading.Lock()
        if smallest_bytes:
            try:
                self.probe = Probe()
            except OSError as error:
                logger.info("values go through sockets: %s", error)

    @property
    def hello(self) -> dict[str, Any]:
        """For the hello of the handshake."""
        return {"memory": self.probe.place} if self.probe is not None else {}

    def is_to_copy(self, payloads: Iterable[Payload]) -> bool:
        """Whether `copy` has something to do."""
        return any(self._is_to_copy(part) for payload in payloads if type(payload) is Blob for part in (payload.head, *payload.buffers))

    def copy(self, payloads: Iterable[Payload]) -> None:
        """Bring the large parts into shared memory. Blocks while it copies: not on a loop. What cannot be shared stays as it is."""
        with self._copying:  # two that ask for the same at the same time get the same memory
            for payload in payloads:
                if type(payload) is Blob and self.is_to_copy([payload]):
                    try:
                        payload.buffers = [shared_copy(part) if self._is_to_copy(part) else part for part in payload.buffers]
                        if self._is_to_copy(payload.head):
                            payload.head = shared_copy(payload.head)
                    except OSError as error:
                        logger.info("a value goes through the socket: %s", str(error))

    def close(self) -> None:
        """Nobody is let in any more; what was shared lives on. Idempotent."""
        if self.probe is not None:
            self.probe.close()

    def _is_to_copy(self, part: bytes | bytearray | memoryview) -> bool:
        size = part.nbytes if type(part) is memoryview else len(part)
        return size >= self.smallest_bytes and reference(part) is None


class Neighbour:
    """The other end of one stream, as far as memory goes. Most are on the same machine, some are not, one may lie."""

    def __init__(self, sharing: Sharing, hello: dict[str, Any]) -> None:
        self.reads_ours = False  #: it has proved that it can read our memory
        self.first_words: list[MemoryRead] = []  #: what to send before anything else; if there is something, the other side sends the same
        self._sharing = sharing
        self._pid = 0  # whose memory we can read
        place = hello.get("memory")
        if sharing.probe is not None and place is not None:
            proof = read_probe(place)
            self._pid = place[0] if proof else 0
            self.first_words.append(MemoryRead(proof))

    def hear(self, message: MemoryRead) -> None:
        """Its first words."""
        probe = self._sharing.probe
        self.reads_ours = probe is not None and hmac.compare_digest(message.proof.encode(), probe.proof.encode())

    def is_to_copy(self, payloads: list[Payload]) -> bool:
        """Whether `Sharing.copy` should see these payloads before they are sent there."""
        return self.reads_ours and self._sharing.is_to_copy(payloads)

    def pack(self, payloads: list[Payload]) -> tuple[list[Payload], list[list[int]]]:
        """The payloads without the parts that are in shared memory, and the column of references."""
        if not self.reads_ours:
            return payloads, []
        rows: list[list[int]] = []
        packed: list[Payload] = []
        for payload in payloads:
            row: list[int] = []
            if type(payload) is Blob:
                parts = [payload.head, *payload.buffers]
                for index, part in enumerate(parts):
                    place = reference(part)
                    if place is not None:
                        row += (index, *place)
                        parts[index] = b""
                if row:
                    payload = Blob(parts[0], parts[1:])
            packed.append(payload)
            rows.append(row)
        return (packed, rows) if any(rows) else (payloads, [])

    def unpack(self, payloads: list[Payload], rows: list[list[int]]) -> list[Payload | None]:
        """Whole payloads; None in the place of one whose memory is gone. Raises ProtocolError for references that make no sense, or come from a
        process whose memory we have not read before."""
        if not rows:
            return list(payloads)
        if not self._pid:
            raise ProtocolError("references to memory that cannot be read from here")
        return [self._whole(payload, row) if row else payload for payload, row in zip(payloads, rows, strict=True)]

    def _whole(self, payload: Payload, row: list[int]) -> Payload | None:
        if type(payload) is not Blob or len(row) % 4:
            raise ProtocolError("malformed references to shared memory")
        parts = [payload.head, *payload.buffers]
        for index, fd, inode, size in zip(*[iter(row)] * 4, strict=True):
            if not 0 <= index < len(parts) or min(fd, inode, size) < 0:
                raise ProtocolError("malformed references to shared memory")
            try:
                parts[index] = attach(self._pid, fd, inode, size)
            except OSError as error:
                logger.warning("a value cannot be taken from shared memory: %s", str(error))
                return None
        return Blob(parts[0], parts[1:])
