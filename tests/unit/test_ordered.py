"""Two ends of a conversation over streams that break anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyterfut.core.ordered import ACK_EVERY, NumberedFrame, Session
from jupyterfut.errors import ProtocolError


def test_frames_arrive_in_order_and_are_forgotten_when_acknowledged() -> None:
    a, b = Session(), Session()
    assert b.receive(a.send([1])) == [1]
    assert b.receive(a.send([2])) == [2]
    assert a.unacknowledged == 2
    assert a.receive(b.send(["answer"])) == ["answer"]
    assert a.unacknowledged == 0


def test_one_way_traffic_is_acknowledged_too() -> None:
    a, b = Session(), Session()
    for i in range(ACK_EVERY - 1):
        b.receive(a.send([i]))
    assert b.owes_ack
    assert not b.ack_due
    b.receive(a.send(["last"]))
    assert b.ack_due
    assert a.receive(b.ack()) == []
    assert a.unacknowledged == 0
    assert not b.owes_ack


def test_after_a_break_what_is_missing_is_said_again() -> None:
    a, b = Session(), Session()
    first, _lost, _lost_too = a.send([1]), a.send([2]), a.send([3])
    b.receive(first)
    a.receive(opening := b.opening(["welcome"]))
    again = a.resume(opening.acknowledged)
    assert [b.receive(frame) for frame in again] == [[2], [3]]


def test_a_frame_that_was_here_before_is_not_delivered_twice() -> None:
    a, b = Session(), Session()
    frame = a.send([1])
    assert b.receive(frame) == [1]
    assert b.receive(frame) == []


@pytest.mark.parametrize("frame", [NumberedFrame(2, 0, ["gap"]), NumberedFrame(1, 5, ["ahead"])])
def test_nonsense_is_refused(frame: NumberedFrame) -> None:
    with pytest.raises(ProtocolError):
        Session().receive(frame)


def test_who_has_forgotten_cannot_resume() -> None:
    a, b = Session(), Session()
    b.receive(a.send([1]))
    a.receive(b.ack())
    with pytest.raises(ProtocolError, match="has received 0 frames"):
        a.resume(0)
    with pytest.raises(ProtocolError, match="has received 9 frames"):
        a.resume(9)


class Wire:
    """Carries frames both ways, loses what is under way when it breaks, and then lets both ends open and resume."""

    def __init__(self) -> None:
        self.ends = (Session(), Session())
        self.sent: tuple[list[int], list[int]] = ([], [])
        self.got: tuple[list[int], list[int]] = ([], [])
        self.flying: tuple[list[NumberedFrame], list[NumberedFrame]] = ([], [])

    def say(self, end: int, up: bool) -> None:
        value = len(self.sent[end])
        self.sent[end].append(value)
        frame = self.ends[end].send([value])
        if up:
            self.flying[end].append(frame)

    def carry(self, end: int, count: int) -> None:
        for _ in range(min(count, len(self.flying[end]))):
            self.deliver(1 - end, self.flying[end].pop(0))

    def deliver(self, end: int, frame: NumberedFrame) -> None:
        session = self.ends[end]
        self.got[end].extend(session.receive(frame))
        if session.ack_due:
            self.flying[end].append(session.ack())

    def reconnect(self) -> None:
        self.flying[0].clear()
        self.flying[1].clear()
        openings = [session.opening([]) for session in self.ends]
        for end in (0, 1):
            self.deliver(end, openings[1 - end])
            self.flying[end].extend(self.ends[end].resume(openings[1 - end].acknowledged))


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(["say", "say", "say unheard", "carry", "break"]), st.integers(0, 1), st.integers(1, 30)), max_size=80))
def test_nothing_is_lost_and_nothing_comes_twice(story: list[tuple[str, int, int]]) -> None:
    wire, up = Wire(), True
    for step, end, count in story:
        if step == "say":
            wire.say(end, up)
        elif step == "say unheard":
            up = False
            wire.say(end, up)
        elif step == "carry" and up:
            wire.carry(end, count)
        elif step == "break":
            wire.reconnect()
            up = True
    wire.reconnect()
    while any(wire.flying):
        wire.carry(0, 1)
        wire.carry(1, 1)
    assert wire.got == (wire.sent[1], wire.sent[0])
    wire.ends[0].receive(wire.ends[1].ack())
    wire.ends[1].receive(wire.ends[0].ack())
    assert [session.unacknowledged for session in wire.ends] == [0, 0]
