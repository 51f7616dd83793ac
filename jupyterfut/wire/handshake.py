"""The first words on a connection, without a socket: bytes in, bytes out. Both sides prove that they know the cluster's token, then say which
protocol they speak,
then exchange one small dict each (`hello`).

    connecting -> listening   magic 8 | nonce 32
    listening  -> connecting  magic 8 | nonce 32
    connecting -> listening   proof 32              HMAC-SHA256(token, "connect" + both nonces)
    listening  -> connecting  proof 32 or refusal   HMAC-SHA256(token, "listen" + both nonces)
    both                      protocol 2 | size 4 | hello (JSON object, at most 64 kB)

All of it up to the proofs has a fixed size, and nothing that follows is looked at before the other side's proof was compared (in constant time).
Each connection has nonces of its own,
and each side its own label, so that no proof can be used twice or sent back. The randomness comes from the caller.
"""

from __future__ import annotations

import hmac
import json
import struct
from typing import Any

from jupyterfut.errors import HandshakeError, ProtocolError, WrongToken

MAGIC = b"jupyfut\n"
PROTOCOL = 2
"""Changes with every change of frames or messages that older code would not understand."""

NONCE_BYTES = 32
_PROOF_BYTES = 32
_REFUSED = b"jupyterfut: wrong token".ljust(_PROOF_BYTES, b".")
_HELLO_HEADER = struct.Struct(">HI")
_HELLO_LIMIT = 64 * 1024


class Handshake:
    """One side of it. Send what `start` and `received` return; when `done`, `hello` is the other side's dict and `rest` what it sent after it.

    `received` raises `WrongToken`, `HandshakeError` or `ProtocolError`; `last_words` is then what the other side should be sent before the
    connection closes.

    >>> a = Handshake(connecting=True, token="t", hello={"n": 1}, nonce=b"a" * 32)
    >>> b = Handshake(connecting=False, token="t", hello={"n": 2}, nonce=b"b" * 32)
    >>> to_b = a.start()
    >>> while to_b:
    ...     to_b = a.received(b.received(to_b))
    >>> a.done, a.hello, b.done, b.hello
    (True, {'n': 2}, True, {'n': 1})
    """

    def __init__(self, *, connecting: bool, token: str | None, hello: dict[str, Any], nonce: bytes, protocol: int = PROTOCOL) -> None:
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"a nonce has {NONCE_BYTES} bytes, not {len(nonce)}")
        self.done = False
        self.hello: dict[str, Any] = {}
        self.last_words = b""
        self._connecting = connecting
        self._token = (token or "").encode()
        self._nonce = nonce
        self._protocol = protocol
        packed = json.dumps(hello).encode()
        if len(packed) > _HELLO_LIMIT:
            raise ValueError(f"a hello of {len(packed)} bytes is over the limit of {_HELLO_LIMIT}")
        self._my_hello = _HELLO_HEADER.pack(protocol, len(packed)) + packed
        self._data = bytearray()
        self._step = self._greeting
        self._nonces = b""

    @property
    def rest(self) -> bytes:
        """Bytes that came after the handshake: the first frames."""
        return bytes(self._data) if self.done else b""

    def start(self) -> bytes:
        """What to send first."""
        return MAGIC + self._nonce if self._connecting else b""

    def received(self, data: bytes) -> bytes:
        """Take bytes in, get bytes to send. Raises when the other side is not what it should be."""
        self._data += data
        out = b""
        try:
            while not self.done:
                answer = self._step()
                if answer is None:
                    break
                out += answer
        except HandshakeError:
            self.last_words = out + self.last_words  # our own version, too: the other side wants to know what is wrong
            raise
        return out

    def ended(self) -> Exception:
        """What to raise when the other side has closed in the midst of it."""
        if self._step == self._proof and self._connecting:
            return HandshakeError("the other side closed the connection during the handshake (is it jupyterfut? does it want tls://?)")
        return HandshakeError("the other side closed the connection during the handshake")

    def _take(self, size: int) -> bytes | None:
        if len(self._data) < size:
            return None
        data = bytes(self._data[:size])
        del self._data[:size]
        return data

    def _greeting(self) -> bytes | None:
        if not MAGIC.startswith(self._data[: len(MAGIC)]):
            raise ProtocolError(f"not a jupyterfut peer: it said {bytes(self._data[:20])!r}")
        data = self._take(len(MAGIC) + NONCE_BYTES)
        if data is None:
            return None
        theirs = data[len(MAGIC) :]
        self._nonces = self._nonce + theirs if self._connecting else theirs + self._nonce
        self._step = self._proof
        return self._prove(b"connect") if self._connecting else MAGIC + self._nonce

    def _prove(self, label: bytes) -> bytes:
        return hmac.digest(self._token, b"jupyterfut " + label + self._nonces, "sha256")

    def _proof(self) -> bytes | None:
        proof = self._take(_PROOF_BYTES)
        if proof is None:
            return None
        if not hmac.compare_digest(proof, self._prove(b"listen" if self._connecting else b"connect")):
            if not self._connecting:
                self.last_words = _REFUSED
                raise WrongToken("the other side does not know this cluster's token")
            if proof == _REFUSED:
                raise WrongToken("the other side refused our token" if self._token else "the other side wants a token, and we have none")
            raise WrongToken("the other side does not know the token that we have")
        self._step = self._versions
        return self._my_hello if self._connecting else self._prove(b"listen") + self._my_hello

    def _versions(self) -> bytes | None:
        if len(self._data) < _HELLO_HEADER.size:
            return None
        protocol, size = _HELLO_HEADER.unpack_from(self._data)
        if size > _HELLO_LIMIT:
            raise ProtocolError(f"a hello of {size} bytes is over the limit of {_HELLO_LIMIT}")
        if len(self._data) < _HELLO_HEADER.size + size:
            return None
        self._take(_HELLO_HEADER.size)
        data = self._take(size) or b""
        try:
            hello = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ProtocolError(f"malformed hello: {error}") from error
        if type(hello) is not dict:
            raise ProtocolError("malformed hello: not an object")
        if protocol != self._protocol:
            raise HandshakeError(
                f"the other side (jupyterfut {hello.get('jupyterfut', '?')}, Python {hello.get('python', '?')}) speaks protocol {protocol}, "
                f"here it is protocol {self._protocol}: install the same version of jupyterfut on both sides"
            )
        self.hello = hello
        self.done = True
        return b""
