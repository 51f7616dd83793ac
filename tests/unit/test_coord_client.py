"""What the client's machine does with deliveries: answers that carry futures."""

from __future__ import annotations

from typing import Any

import pytest
from test_client_machine import World

from jupyterfut.core.client import events as ev
from jupyterfut.core.client.invariants import check_at_rest
from jupyterfut.core.effects import Log
from jupyterfut.wire import messages as ms


@pytest.fixture
def world() -> World:
    return World()


def ask(world: World) -> int:
    world.post(ev.Ask("me", "queue_get", {"name": "q"}))
    (request,) = world.said()
    return int(request.id)


def answer(world: World) -> Any:
    (answered,) = world.other
    world.other.clear()
    assert (answered.asker, answered.failure) == ("me", None)
    return answered.value


def test_a_value_without_futures_is_the_answer(world: World) -> None:
    number = ask(world)
    world.hear(ms.Delivery(number, [b"1"], []))
    assert answer(world) == ev.Delivered([b"1"], [])
    assert world.said() == [ms.Taken([number])]
    check_at_rest(world.machine)


def test_the_state_of_the_futures_is_known_with_the_answer(world: World) -> None:
    number = ask(world)
    world.hear(ms.Delivery(number, [b"fut"], ["x", "y"]))
    assert world.said() == [ms.Taken([number])]  # the scheduler knows that they are wanted
    assert not world.other
    world.ready("x")
    world.hear(ms.Reply(number, None, None))
    delivered = answer(world)
    assert [(record.key, record.status) for record in delivered.records] == [("x", "finished"), ("y", "pending")]
    world.drop(*delivered.records)
    assert world.said() == [ms.ReleaseKeys(["x", "y"])]
    check_at_rest(world.machine)


def test_a_future_that_is_here_already_gets_one_reference_more(world: World) -> None:
    (mine,) = world.submit("x")
    world.said()
    number = ask(world)
    world.hear(ms.Delivery(number, b"fut", ["x"]))
    world.hear(ms.Reply(number, None, None))
    (record,) = answer(world).records
    assert record is mine
    assert mine.references == 2
    assert world.said() == [ms.Taken([number])]


def test_a_key_that_is_being_released_is_told_again_after_a_fence(world: World) -> None:
    (mine,) = world.submit("x")
    world.said()
    number = ask(world)
    world.drop(mine)
    world.said()
    world.hear(ms.Delivery(number, b"fut", ["x"]))  # sent before the release was heard
    fence, want, taken, behind = world.said()
    assert (fence.op, want, taken) == ("locate", ms.WantKeys(["x"]), ms.Taken([number]))
    world.hear(ms.KeysCancelled(["x"], "about the first life"))
    world.hear(ms.Reply(number, None, None))
    assert not world.other  # what is known of it is not known yet
    world.hear(ms.Reply(fence.id, {}, None))
    world.ready("x")
    world.hear(ms.Reply(behind.id, {}, None))
    (record,) = answer(world).records
    assert record.status == "finished"


def test_a_stray_that_is_sent_back_counts_as_a_release(world: World) -> None:
    """Its news crossed our release and the fence behind it; what is released then must not take away what a delivery brings."""
    (mine,) = world.submit("x")
    world.drop(mine)
    again = world.submit("x")  # a fence, and the second life
    fence = next(message for message in world.said() if type(message) is ms.Request)
    world.drop(*again)
    world.hear(ms.Reply(fence.id, {}, None))
    world.said()
    world.machine.state.departed.clear()  # as another fence would
    world.ready("x")
    assert world.said() == [ms.ReleaseKeys(["x"])]
    number = ask(world)
    world.hear(ms.Delivery(number, b"fut", ["x"]))
    assert [type(message) for message in world.said()] == [ms.Request, ms.WantKeys, ms.Taken, ms.Request]


def test_lost_is_lost_in_whatever_words(world: World) -> None:
    (mine,) = world.submit("x")
    world.hear(ms.KeysLost(["x"], "its worker is gone"))
    world.hear(ms.KeysFailed(["x"], [ms.Failure("ActorLost", "its worker is gone", None, "", "x")]))  # type: ignore[arg-type]  # a plain string
    assert world.resolved == [mine]
    assert mine.status == "lost"


def test_a_delivery_that_nobody_asked_for_leaves_nothing(world: World) -> None:
    world.hear(ms.Delivery(77, b"fut", ["x"]))
    assert world.said() == [ms.Taken([77]), ms.ReleaseKeys(["x"])]
    assert [type(effect) for effect in world.other] == [Log]
    world.other.clear()
    check_at_rest(world.machine)


def test_a_session_that_ends_takes_what_was_arriving_with_it(world: World) -> None:
    number = ask(world)
    world.hear(ms.Delivery(number, b"fut", ["x"]))
    world.hear(ms.Goodbye("closed"))
    failed = [effect for effect in world.other if isinstance(effect, ev.Answered)]
    assert [effect.failure is not None for effect in failed] == [True]
    assert [record.status for record in world.resolved] == ["cancelled"]
    check_at_rest(world.machine)
