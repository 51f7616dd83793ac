"""Frames cut and joined at every place."""

from __future__ import annotations

import itertools
import mmap
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyterfut.errors import ProtocolError
from jupyterfut.wire.framing import HEADER, MAGIC, Frame, FrameLimits, FrameReader, frame


def joined(pieces: list[bytes]) -> bytes:
    return b"".join(bytes(piece) for piece in pieces)


def plain(frames: list[Frame]) -> list[tuple[int, int, bytes, list[bytes]]]:
    return [(f.number, f.acknowledged, bytes(f.body), [bytes(b) for b in f.buffers]) for f in frames]


sizes = st.sampled_from([0, 1, 31, 32, 1000, 32_767, 40_000, 65_535, 65_536, 100_000, 1_200_000])
frames = st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 9), sizes, st.lists(sizes, max_size=2)), max_size=3)


@settings(max_examples=40, deadline=None)
@given(frames, st.lists(st.integers(5_000, 200_000), min_size=1, max_size=10))
def test_frames_arrive_whole_however_they_are_cut(wanted: list[tuple[int, int, int, list[int]]], cuts: list[int]) -> None:
    sent = [
        (number, ack, bytes([number % 251]) * body, [bytes([i + 1]) * size for i, size in enumerate(buffers)])
        for number, ack, body, buffers in wanted
    ]
    stream = b"".join(joined(frame(body, buffers, number, ack)) for number, ack, body, buffers in sent)
    reader, got, at = FrameReader(), [], 0
    for cut in itertools.cycle(cuts):
        got += reader.feed(stream[at : at + cut])
        at += cut
        if at >= len(stream):
            break
    assert plain(got) == sent
    assert reader.at_rest


def test_one_byte_at_a_time() -> None:
    stream = joined(frame(b"body", [b"buffer", b""], 3, 2))
    reader, got = FrameReader(), []
    for byte in stream[:-1]:
        assert reader.feed(bytes([byte])) == []
        assert not reader.at_rest
    got = reader.feed(stream[-1:])
    assert plain(got) == [(3, 2, b"body", [b"buffer", b""])]


def test_a_burst_of_small_frames_costs_one_read() -> None:
    stream = b"".join(joined(frame(b"%d" % i)) for i in range(100))
    reader = FrameReader()
    memory = reader.get_buffer()
    memory[: len(stream)] = stream
    assert len(reader.received(len(stream))) == 100


def test_large_buffers_are_received_where_they_stay() -> None:
    reader = FrameReader()
    head, body, view = frame(b"x" * 40_000, [bytes(2_000_000)])
    reader.feed(head)
    reader.feed(body)
    memory = reader.get_buffer()
    assert len(memory) == 2_000_000
    memory[:] = view
    (done,) = reader.received(2_000_000)
    assert done.buffers[0].obj is memory.obj
    assert type(memory.obj) is mmap.mmap
    assert not memory.readonly


def test_large_pieces_are_not_copied_for_sending() -> None:
    array = bytearray(1_000_000)
    pieces = frame(b"small", [array])
    assert len(pieces) == 2
    assert pieces[1].obj is array
    big = bytes(100_000)
    assert frame(big)[1] is big


def test_views_of_any_shape_are_sent_as_bytes() -> None:
    wide = memoryview(bytearray(range(64))).cast("B", (8, 8))
    doubles = memoryview(bytearray(64)).cast("d")
    assert plain(FrameReader().feed(joined(frame(b"", [wide, doubles, doubles[:0]]))))[0][3] == [bytes(range(64)), bytes(64), b""]


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (HEADER.pack(b"GET ", 0, 0, 0, 0), "not a frame"),
        (HEADER.pack(MAGIC, 0, 2**60, 0, 0), "over the limit"),
        (HEADER.pack(MAGIC, 2**32 - 1, 0, 0, 0), "over the limit"),
        (HEADER.pack(MAGIC, 1, 0, 0, 0) + struct.pack(">Q", 2**60), "over the limit"),
        (HEADER.pack(MAGIC, 2, 0, 0, 0) + struct.pack(">QQ", 2**64 - 1, 2**64 - 1), "over the limit"),
    ],
)
def test_what_is_too_large_is_refused_before_any_memory_is_taken(header: bytes, error: str) -> None:
    reader = FrameReader()
    good = joined(frame(b"good"))
    assert plain(reader.feed(good + header + good)) == [(0, 0, b"good", [])]
    assert isinstance(reader.trouble, ProtocolError)
    assert error in str(reader.trouble)
    assert reader.feed(good) == []


def test_a_promise_takes_no_memory() -> None:
    """A frame within the limits that never comes: only what arrives is backed by memory."""
    reader = FrameReader(FrameLimits(total_bytes=2**36))
    reader.feed(HEADER.pack(MAGIC, 1, 0, 0, 0) + struct.pack(">Q", 2**34))
    assert len(reader.get_buffer()) == 2**34


def test_the_sender_keeps_to_the_limits_too() -> None:
    limits = FrameLimits(body_bytes=10, buffers=1, total_bytes=20)
    for body, buffers in [(bytes(11), []), (b"", [b"a", b"b"]), (b"", [bytes(21)])]:
        with pytest.raises(ProtocolError, match="over the limit"):
            frame(body, buffers, limits=limits)
    assert frame(bytes(10), [bytes(10)], limits=limits)
