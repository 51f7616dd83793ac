"""Semaphores, locks, events, multilocks and subscriptions of the scheduler's machine, as stories."""

from __future__ import annotations

import random

import pytest
from test_coord_queues import Talk

from jupyterfut.core.effects import LinkLost, Received
from jupyterfut.wire import messages as m


class Locks(Talk):
    """`lock`, `unlock` and the like by holder; the answer of the last request is `said`."""

    def lock(self, holder: str, client: int = 0, timeout_s: float | None = None) -> int:
        return self.ask("lock_acquire", client, name="l", holder=holder, timeout_s=timeout_s)

    def unlock(self, holder: str, client: int = 0) -> int:
        return self.ask("lock_release", client, name="l", holder=holder)

    def lease(self, holder: str, n: int = 1, client: int = 0, timeout_s: float | None = None, max_leases: int = 3) -> int:
        return self.ask("semaphore_acquire", client, name="s", max_leases=max_leases, holder=holder, n=n, timeout_s=timeout_s)

    def give_back(self, holder: str, n: int = 1, client: int = 0) -> int:
        return self.ask("semaphore_release", client, name="s", holder=holder, n=n)

    def multi(self, holder: str, names: str, client: int = 0, num: int | None = None, timeout_s: float | None = None) -> int:
        return self.ask("multilock_acquire", client, names=list(names), holder=holder, num=num, timeout_s=timeout_s)

    def said(self, number: int, client: int = 0) -> object:
        return self.answers(client).get(number, "nothing yet")


def test_a_lock_passes_down_the_line() -> None:
    c = Locks()
    assert c.said(c.lock("a")) is True
    b, d = c.lock("b"), c.lock("d")
    assert c.answers() == {}
    c.unlock("a")
    assert c.said(b) is True
    c.unlock("b")
    assert c.said(d) is True and c.said(c.ask("lock_locked", name="l")) is True
    c.unlock("d")
    c.answers()
    assert c.said(c.ask("lock_locked", name="l")) is False and not c.rest()


def test_one_try_and_a_deadline_answer_false() -> None:
    c = Locks()
    c.lock("a")
    assert c.said(c.lock("b", timeout_s=0)) is False
    late = c.lock("b", timeout_s=1.0)
    c.wait(1.5)
    assert c.said(late) is False
    c.unlock("a")
    assert not c.rest()


def test_who_gave_up_is_passed_over() -> None:
    c = Locks()
    c.lock("a")
    b, d = c.lock("b"), c.lock("d")
    c.say(1, m.Abandon([b]))
    c.unlock("a")
    assert c.answers()[d] is True
    c.unlock("d")
    assert not c.rest()


def test_only_the_holder_releases() -> None:
    c = Locks(clients=2)
    c.unlock("a")
    assert c.failure().kind == "RuntimeError"
    c.lock("a")
    c.unlock("b", client=1)
    assert c.failure(1).kind == "RuntimeError"
    c.answers()
    c.lock("a")
    assert c.failure().kind == "ValueError"  # it would wait for itself
    c.unlock("a")
    assert not c.rest()


def test_the_locks_of_the_dead_come_back() -> None:
    c = Locks(clients=2, client_lease_s=10.0)
    c.lock("a")
    c.lock("b")
    mine = c.lock("c", client=1)
    c.handle(LinkLost(1, "cable"))
    c.wait(9.0)
    assert c.answers(1) == {}
    c.wait(2.0)  # the first goes with its lock, and so does the one that waits
    assert c.answers(1) == {mine: True}
    c.unlock("c", client=1)
    assert not c.rest()


def test_a_dying_worker_loses_its_locks_and_waiters() -> None:
    c = Locks(workers=1)
    for message in (
        m.ClientHello("inside", "", False),
        m.Request(1, "lock_acquire", {"name": "l", "holder": "a"}),
        m.Request(2, "lock_acquire", {"name": "l", "holder": "b"}),
        m.Request(3, "queue_get", {"name": "q"}),
    ):
        c.say(100, m.AsClient("inside", message))
    mine = c.lock("c")
    c.handle(LinkLost(100, "killed"))
    assert c.said(mine) is True
    c.unlock("c")
    assert not c.close_all()


def test_leases_are_counted_and_the_line_is_fair() -> None:
    c = Locks()
    assert c.said(c.lease("a", 2)) is True
    two = c.lease("b", 2)
    one = c.lease("c", 1)  # there is one, but it is not this one's turn
    assert c.answers() == {}
    c.give_back("a", 1)
    assert c.said(two) is True
    c.give_back("a", 1)
    assert c.said(one) is True
    assert c.said(c.ask("semaphore_value", name="s")) == 3
    c.give_back("b", 3)
    assert c.failure().kind == "RuntimeError"
    c.give_back("b", 2)
    c.give_back("c")
    c.answers()
    assert c.said(c.ask("semaphore_value", name="s")) == 0
    c.ask("semaphore_close", name="s")
    assert not c.rest()


def test_when_the_first_in_line_goes_the_next_may_fit() -> None:
    c = Locks()
    c.lease("a", 2)
    c.lease("b", 2, timeout_s=1.0)
    one = c.lease("c", 1)
    c.answers()
    c.wait(1.5)
    assert c.answers()[one] is True
    c.ask("semaphore_close", name="s")
    assert not c.rest()


def test_a_semaphore_keeps_its_number_of_leases() -> None:
    c = Locks()
    c.ask("semaphore_create", name="s", max_leases=0)
    assert c.failure().kind == "ValueError"
    c.ask("semaphore_create", name="s", max_leases=3)
    c.answers()
    numbers = [c.ask("semaphore_create", name="s", max_leases=2), c.lease("a", max_leases=2), c.lease("a", 4)]
    assert c.answers() == dict.fromkeys(numbers, "ValueError")
    c.lease("a", 3)
    waiting = c.lease("b")
    c.ask("semaphore_close", name="s")
    assert c.answers()[waiting] == "ClosedError"
    c.give_back("a", 3)
    assert c.failure().kind == "RuntimeError" and not c.rest()


def test_an_event_lets_all_go_on() -> None:
    c = Locks(clients=2)
    waiting = c.ask("event_wait", 1, name="e", timeout_s=5.0)
    late = c.ask("event_wait", 0, name="e", timeout_s=1.0)
    c.wait(2.0)
    assert c.said(late) is False and c.said(c.ask("event_is_set", name="e")) is False
    c.ask("event_set", name="e")
    assert c.answers(1) == {waiting: True}
    at_once = c.ask("event_wait", 1, name="e", timeout_s=0)
    assert c.answers(1) == {at_once: True}
    c.ask("event_clear", name="e")
    again = c.ask("event_wait", 1, name="e", timeout_s=0)
    assert c.answers(1) == {again: False} and not c.rest()


def test_several_locks_at_once_in_the_order_of_asking() -> None:
    c = Locks()
    assert c.said(c.multi("a", "xy")) is True
    b, d, e = c.multi("b", "yz"), c.multi("d", "zx"), c.multi("e", "w")
    assert c.answers() == {e: True}
    c.ask("multilock_release", holder="a")
    assert b in (now := c.answers()) and d not in now  # z was kept for b
    c.ask("multilock_release", holder="b")
    assert c.answers()[d] is True
    for holder in "de":
        c.ask("multilock_release", holder=holder)
    assert not c.rest()


def test_any_two_of_three() -> None:
    c = Locks()
    c.multi("a", "x")
    assert c.answers() and c.said(c.multi("b", "xyz", num=2)) is True  # y and z
    d = c.multi("d", "xyz", num=2)
    c.ask("multilock_release", holder="a")
    assert d not in c.answers()
    c.ask("multilock_release", holder="b")
    assert c.answers()[d] is True
    assert c.said(c.multi("e", "xyz", num=2, timeout_s=0)) is False
    assert c.said(c.multi("e", "xyz", num=1, timeout_s=0)) is True
    for holder in "de":
        c.ask("multilock_release", holder=holder)
    assert not c.rest()


def test_bad_multilocks() -> None:
    c = Locks()
    numbers = [c.multi("a", ""), c.multi("a", "xy", num=3), c.multi("a", "xy", num=0), c.ask("multilock_acquire", names="xy", holder="a")]
    assert c.answers() == dict.fromkeys(numbers, "ValueError")
    c.ask("multilock_release", holder="a")
    assert c.failure().kind == "RuntimeError"
    c.multi("a", "x")
    c.multi("b", "xx")
    c.answers()
    c.multi("b", "x")
    assert c.failure().kind == "ValueError"
    c.say(1, m.Goodbye("done"))
    assert not c.rest()


@pytest.mark.parametrize("seed", range(20))
def test_random_multilocks_never_hang_and_never_share(seed: int) -> None:
    rng = random.Random(seed)
    c = Locks(clients=3)
    waiting: dict[int, tuple[int, str, list[str], int]] = {}
    holding: dict[str, int] = {}
    for i in range(120):
        client = rng.randrange(3)
        names = rng.sample("uvwxyz", rng.randint(1, 4))
        if rng.random() < 0.55:
            num = rng.randint(1, len(names))
            number = c.multi(f"h{i}", "".join(names), client, num, rng.choice((None, None, 0, 3.0)))
            waiting[number] = (client, f"h{i}", names, num)
        elif holding:
            holder = rng.choice(sorted(holding))
            c.ask("multilock_release", holding.pop(holder), holder=holder)
        else:
            c.wait(1.0)
        for client in range(3):
            for number, value in c.answers(client).items():
                if number in waiting:
                    owner, holder, _, _ = waiting.pop(number)
                    if value is True:
                        holding[holder] = owner
    while holding:
        holder = min(holding)
        c.ask("multilock_release", holding.pop(holder), holder=holder)
        for client in range(3):
            for number, value in c.answers(client).items():
                if number in waiting and value is True:
                    owner, name, _, _ = waiting.pop(number)
                    holding[name] = owner
    assert not [number for number in waiting if c.machine.state.parked] and not c.rest()


def test_publishers_hear_who_subscribes() -> None:
    c = Locks(clients=3)
    c.ask("subscribe", topic="pubsub:news")
    assert c.said(c.ask("pub_add", topic="news")) == {"workers": [], "clients": 0}
    c.ask("sub_add", 1, topic="news", address="tcp://10.0.0.1:5")
    c.ask("sub_add", 1, topic="news", address="tcp://10.0.0.1:5")
    c.ask("sub_add", 2, topic="news", address="")
    assert [values for _, values in c.heard(1, m.Notices)] == [
        [{"workers": ["tcp://10.0.0.1:5"], "clients": 0}],
        [{"workers": ["tcp://10.0.0.1:5"], "clients": 1}],
    ]
    c.ask("sub_remove", 1, topic="news", address="tcp://10.0.0.1:5")
    assert not c.heard(1)
    c.say(2, m.Goodbye("done"))
    assert c.heard(1) == [m.Notices(["pubsub:news"], [{"workers": [], "clients": 1}])]
    c.ask("sub_remove", 2, topic="news", address="")
    c.ask("sub_remove", 2, topic="news", address="")
    assert [reply.failure.kind for reply in c.heard(3, m.Reply) if reply.failure is not None] == ["ValueError"]
    assert not c.rest()


def test_ten_thousand_wait_for_a_lock() -> None:
    c = Locks()
    order = []
    for i in range(10_000):
        c.machine.handle(Received(1, m.Request(i, "lock_acquire", {"name": "l", "holder": f"{i}", "timeout_s": 1000.0})), 0.0)
    for i in range(10_000):
        for effect in c.machine.handle(Received(1, m.Request(50_000 + i, "lock_release", {"name": "l", "holder": f"{i}"})), 0.0):
            if effect.message.id < 50_000:
                order.append(effect.message.id)
    assert order == list(range(1, 10_000)) and not c.rest()
