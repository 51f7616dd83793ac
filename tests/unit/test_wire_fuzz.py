"""Whatever bytes come, the decoders raise ProtocolError or nothing, and take no more memory than the limits allow."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress

import msgpack
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_wire_codec import SAMPLES

from jupyterfut.errors import ProtocolError
from jupyterfut.wire.codec import Encoder, decode
from jupyterfut.wire.framing import FrameLimits, FrameReader, frame
from jupyterfut.wire.handshake import Handshake
from jupyterfut.wire.messages import KINDS, Reply
from jupyterfut.wire.payload import Blob

LIMITS = FrameLimits(body_bytes=200_000, buffers=100, total_bytes=1_000_000)
BODIES = [Encoder().encode([message])[0] for message in SAMPLES]
FRAMES = [b"".join(bytes(piece) for piece in frame(*Encoder().encode([message]))) for message in [*SAMPLES, Reply(1, Blob(b"h", [b"b" * 9]), None)]]

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(st.characters(codec="utf-8")) | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")) | st.integers(0, 9) | st.binary(), inner),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        change = draw(st.sampled_from(["flip", "cut", "insert", "copy"]))
        if change == "flip" and data:
            data[at] ^= draw(st.integers(1, 255))
        elif change == "cut":
            del data[at:]
        elif change == "insert":
            data[at:at] = draw(st.binary(max_size=9))
        else:
            data += data[at:]
    return bytes(data)


def decodes_or_refuses(body: bytes, buffers: tuple[bytes, ...] = ()) -> None:
    with suppress(ProtocolError):
        for message in decode(body, buffers):
            assert type(message) in KINDS.values()


@given(st.binary(max_size=200))
@example(b"\xdf\xff\xff\xff\xff")
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\x91" * 2000)
@example(b"\x91\x81\x90\x90")
@example(b"\xc7\x0c\xff" + bytes(12))
@example(b"\x91\xd9\x02\xff\xff")
def test_random_bodies(body: bytes) -> None:
    decodes_or_refuses(body)


@given(mutated(BODIES))
def test_mutated_bodies(body: bytes) -> None:
    decodes_or_refuses(body, (b"buffer",))


@given(st.sampled_from(sorted(KINDS)), st.lists(anything, max_size=10))
def test_any_values_in_the_place_of_fields(kind: int, fields: list[object]) -> None:
    decodes_or_refuses(msgpack.packb([[kind, *fields]]))


@given(st.sampled_from(range(len(SAMPLES))), st.integers(0, 12), anything)
def test_one_field_of_a_good_message_replaced(index: int, place: int, value: object) -> None:
    (row,) = msgpack.unpackb(BODIES[index], strict_map_key=False)
    row[min(place, len(row) - 1)] = value
    decodes_or_refuses(msgpack.packb([row]))


@settings(max_examples=300)
@given(mutated(FRAMES) | st.binary(max_size=300), st.integers(1, 100))
def test_mutated_frames(data: bytes, step: int) -> None:
    reader = FrameReader(LIMITS)
    for at in range(0, len(data), step):
        for done in reader.feed(data[at : at + step]):
            decodes_or_refuses(bytes(done.body), tuple(bytes(b) for b in done.buffers))
    assert reader.trouble is None or type(reader.trouble) is ProtocolError


@given(mutated([FRAMES[0], b"jupyfut\n" + bytes(32)]), st.booleans(), st.integers(1, 100))
def test_mutated_handshakes(data: bytes, connecting: bool, step: int) -> None:
    from jupyterfut.errors import HandshakeError

    shake = Handshake(connecting=connecting, token="t", hello={}, nonce=bytes(32))
    with suppress(ProtocolError, HandshakeError):
        for at in range(0, len(data), step):
            shake.received(data[at : at + step])


def test_lying_sizes_take_no_memory() -> None:
    tracemalloc.start()
    try:
        for lie in (b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x01"):
            decodes_or_refuses(lie + b"abc")
            decodes_or_refuses(b"\x91" + lie + b"abc")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000
