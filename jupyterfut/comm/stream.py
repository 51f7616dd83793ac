"""What every transport offers: a `Stream` of messages in order, both ways. The runtime's outboxes send, its shells listen; nobody above knows which
transport it is.

All methods are called in the event loop's thread. A stream tells its end once: `on_closed(reason)` when the other side or the network ended it,
nothing after one's own
`close` or `abort`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from jupyterfut.ids import Address
from jupyterfut.wire.messages import Message

OnMessages: TypeAlias = Callable[[list[Message]], object]
OnFrame: TypeAlias = Callable[[int, int, list[Message]], object]
"""(frame number, acknowledged, messages), see `core.ordered`."""
OnClosed: TypeAlias = Callable[[str], object]


class Stream(ABC):
    """One connection, whose handshake is done. Nothing is delivered before `start`."""

    hello: dict[str, Any]  #: what the other side said of itself in the handshake; always `python`, `jupyterfut` and `pid`
    peer_address: Address
    local_address: Address

    @abstractmethod
    def start(self, on_messages: OnMessages, on_closed: OnClosed) -> None:
        """Begin to deliver: `on_messages(messages)` for what has come since the last call, `on_closed(reason)` at the end.

        Called again (also after `start_frames`), it puts new listeners in the old ones' place.
        """

    @abstractmethod
    def start_frames(self, on_frame: OnFrame, on_closed: OnClosed) -> None:
        """Like `start`, for a resumable session: each frame by itself, with its number and its acknowledgement."""

    def send(self, messages: list[Message]) -> None:
        """Send in order. Never blocks: what the network does not take now waits in memory (`pending_bytes`). After the end it does nothing.

        Raises `SerializationError` or `ProtocolError` when the messages cannot be written or are over a limit; then none of them is sent.
        """
        self.send_frame(messages, 0, 0)

    @abstractmethod
    def send_frame(self, messages: list[Message], number: int, acknowledged: int) -> None:
        """Like `send`, with the numbers of a resumable session."""

    @abstractmethod
    def check(self, messages: list[Message]) -> None:
        """Raise what `send` would raise for these messages, and send nothing."""

    @property
    @abstractmethod
    def pending_bytes(self) -> int:
        """Bytes sent that the network has not taken yet."""

    @property
    @abstractmethod
    def is_closed(self) -> bool:
        """Whether nothing can be sent any more."""

    @abstractmethod
    def close(self) -> None:
        """Send what is pending, then end. Nothing is delivered any more."""

    @abstractmethod
    def abort(self) -> None:
        """End at once; what is pending is lost."""

    @abstractmethod
    async def wait_closed(self) -> None:
        """Return when the stream's socket is gone (after `close`: when all was sent)."""


class Listener(Protocol):
    """Accepts connections until `close`."""

    address: Address  #: what others connect to

    def close(self) -> None:
        """Stop listening, and give up the handshakes under way. Streams live on."""
