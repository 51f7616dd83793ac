"""A conversation that outlives its streams: frames in order, none lost, none twice, however often the link breaks and comes back.

Both ends keep one `Session`. Each frame (a list of messages) gets the next number, and is kept until the other end has acknowledged it; each frame
also says up to which number
everything has arrived here. After a break the two ends tell each other that number on the new stream, and say again what is missing. Frame 0 stands
outside of the count:
it is delivered as it is, and carries what opens a stream, or nothing but an acknowledgement.

    sending      frame = session.send(messages)          kept, and to be put on the stream when there is one
    receiving    session.receive(frame) -> messages      [] for a frame that was here before
    idle         if session.ack_due: put session.ack() on the stream; and a while after anything was received, if session.owes_ack
    new stream   each end's first frame is session.opening(messages); with the other end's first frame in hand, put
    session.resume(frame.acknowledged) on the stream

The work is per frame; messages are not looked at. An end that has forgotten (a new scheduler, a lease that is over) must say so in its opening
messages; then both begin new sessions.

>>> a, b = Session(), Session()
>>> lost = a.send(["one"]); lost = a.send(["two"])
>>> a.receive(b.opening(["welcome back"])), b.receive(a.opening(["hello again"]))
(['welcome back'], ['hello again'])
>>> [b.receive(frame) for frame in a.resume(acknowledged=0)]
[['one'], ['two']]
>>> a.receive(b.ack()); a.unacknowledged
[]
0
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from jupyterfut.errors import ProtocolError
from jupyterfut.wire.messages import Message

ACK_EVERY = 16
"""So many frames are received before they are acknowledged without waiting for something to say."""


class NumberedFrame(NamedTuple):
    """What travels: `acknowledged` is the number up to which the sender has received everything."""

    number: int
    acknowledged: int
    messages: list[Message]


class Session:
    """One end of a conversation."""

    __slots__ = ("_kept", "_sent", "_told", "received")

    def __init__(self) -> None:
        self.received = 0  #: everything up to this number has arrived here
        self._told = 0  # what the other end knows of `received`
        self._sent = 0  # the last number given
        self._kept: deque[tuple[int, list[Message]]] = deque()  # sent, and not acknowledged

    def __repr__(self) -> str:
        return f"<Session sent {self._sent}, {len(self._kept)} of them unacknowledged, received {self.received}>"

    @property
    def unacknowledged(self) -> int:
        """Frames that are kept because the other end may not have them."""
        return len(self._kept)

    def send(self, messages: list[Message]) -> NumberedFrame:
        """Number a frame and keep it. The caller gives the list away."""
        self._sent += 1
        self._kept.append((self._sent, messages))
        self._told = self.received
        return NumberedFrame(self._sent, self.received, messages)

    def receive(self, frame: NumberedFrame) -> list[Message]:
        """Take a frame in; return the messages to deliver. Raises `ProtocolError` when frames are missing or an acknowledgement is ahead of what was
        sent.
        """
        number, acknowledged, messages = frame
        kept = self._kept
        if acknowledged > self._sent:
            raise ProtocolError(f"frame {acknowledged} is acknowledged, but the last one sent was {self._sent}")
        while kept and kept[0][0] <= acknowledged:
            kept.popleft()
        if number == 0:
            return messages
        if number <= self.received:
            return []
        if number != self.received + 1:
            raise ProtocolError(f"frame {number} follows frame {self.received}")
        self.received = number
        return messages

    @property
    def owes_ack(self) -> bool:
        """Whether something was received that the other end does not know to have arrived."""
        return self.received != self._told

    @property
    def ack_due(self) -> bool:
        """Whether so much was received that an acknowledgement is worth a frame of its own, now."""
        return self.received - self._told >= ACK_EVERY

    def ack(self) -> NumberedFrame:
        """A frame that only acknowledges."""
        self._told = self.received
        return NumberedFrame(0, self.received, [])

    def opening(self, messages: list[Message]) -> NumberedFrame:
        """The first frame on a new stream."""
        self._told = self.received
        return NumberedFrame(0, self.received, messages)

    def resume(self, acknowledged: int) -> list[NumberedFrame]:
        """What to say again on a new stream, once the other end has told in its opening frame what it has.

        Raises `ProtocolError` when it wants a frame that it has acknowledged before: it is not the one we spoke to.
        """
        oldest = self._kept[0][0] if self._kept else self._sent + 1
        if not oldest - 1 <= acknowledged <= self._sent:
            raise ProtocolError(f"the other end has received {acknowledged} frames; {oldest - 1} were acknowledged and {self._sent} sent")
        while self._kept and self._kept[0][0] <= acknowledged:
            self._kept.popleft()
        self._told = self.received
        return [NumberedFrame(number, self.received, messages) for number, messages in self._kept]
