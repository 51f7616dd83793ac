"""Requests that are answered later, and notices, as stories of the scheduler's machine."""

from __future__ import annotations

import pytest
from test_scheduler_machine import Cluster

from jupyterfut.core.effects import Tick
from jupyterfut.core.scheduler.state import ClientState
from jupyterfut.wire import messages as m


def parked(cluster: Cluster, number: int, timeout_s: float | None, client: int = 0, left: list[int] | None = None) -> None:
    asking = cluster.machine.state.clients[f"client-{client}"]  # type: ignore[index]  # a plain string
    assert isinstance(asking, ClientState)
    gone = [] if left is None else left
    cluster.machine.state.parked.park(asking, number, timeout_s, lambda: gone.append(number), "too late")


def test_an_answer_ends_the_wait() -> None:
    c = Cluster()
    parked(c, 7, None)
    parking = c.machine.state.parked
    assert len(parking) == 1
    parking.answer(next(iter(parking)), 42)
    c.handle(Tick())
    assert c.heard(1) == [m.Reply(7, 42, None)]
    assert not parking


def test_deadlines_come_in_their_order_and_answered_ones_are_skipped() -> None:
    c = Cluster(workers=0)
    left: list[int] = []
    for number, timeout_s in ((1, 3.0), (2, 1.0), (3, 2.0), (4, None)):
        parked(c, number, timeout_s, left=left)
    assert c.machine.next_wake() == 1.0
    c.now = 1.0
    c.handle(Tick())
    assert c.heard(1) == [m.Reply(2, "too late", None)]
    parking = c.machine.state.parked
    parking.answer(next(one for one in parking if one.id == 3), None)
    assert c.machine.next_wake() == 3.0
    c.now = 9.0
    c.handle(Tick())
    assert [message.id for message in c.heard(1, m.Reply)] == [3, 1]
    assert left == [2, 1]
    assert c.machine.next_wake() is None
    assert len(parking) == 1


def test_a_client_that_gives_up_is_answered_and_leaves_the_queue() -> None:
    c = Cluster()
    left: list[int] = []
    parked(c, 5, 10.0, left=left)
    c.say(1, m.Abandon([5, 6]))
    (reply,) = c.heard(1, m.Reply)
    assert (reply.id, reply.failure.kind) == (5, "CancelledError")
    assert left == [5]
    assert not c.machine.state.parked


@pytest.mark.parametrize("end", [m.Goodbye("bye")])
def test_a_client_that_leaves_waits_for_nothing(end: m.Goodbye) -> None:
    c = Cluster(clients=2)
    left: list[int] = []
    parked(c, 5, None, left=left)
    parked(c, 5, None, client=1)
    c.say(1, end)
    assert left == [5]
    assert len(c.machine.state.parked) == 1


def test_notices_reach_those_who_subscribed_before_what_follows() -> None:
    c = Cluster(clients=3)
    c.say(1, m.Request(1, "subscribe", {"topic": "print"}))
    c.say(2, m.Request(1, "subscribe", {"topic": "other"}))
    c.submit("x", client=0)
    c.mail.pop(1), c.mail.pop(2)
    attempts = c.sent()
    c.say(100, m.Notify(["print", "print"], ["a", "b"]))
    c.done(0, attempts)
    first, second = c.heard(1)
    assert first == m.Notices(["print", "print"], ["a", "b"])
    assert second.keys == ["x"]
    assert c.heard(2) == []
    c.say(1, m.Request(2, "unsubscribe", {"topic": "print"}))
    c.say(3, m.Notify(["print"], ["c"]))
    assert c.heard(1, m.Notices) == []
    assert list(c.machine.state.topics) == ["other"]
    c.say(2, m.Goodbye("bye"))
    assert not c.machine.state.topics


def test_deadlines_of_answered_requests_do_not_pile_up() -> None:
    c = Cluster(workers=0)
    parking = c.machine.state.parked
    parked(c, 0, 5.0)
    for number in range(1, 2_000):
        parked(c, number, 3_600.0)
        parking.answer(next(one for one in parking if one.id == number))
    assert len(parking._deadlines) < 200
    assert c.machine.next_wake() == 5.0
    c.now = 5.0
    c.handle(Tick())
    assert not parking
    assert c.machine.next_wake() is None
