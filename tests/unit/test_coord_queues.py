"""Queues and variables of the scheduler's machine, as stories."""

from __future__ import annotations

from typing import Any

from test_scheduler_machine import Cluster

from jupyterfut.core.effects import LinkLost, Received, Tick
from jupyterfut.wire import messages as m


class Talk(Cluster):
    """A cluster whose clients ask: `ask` says the number of the request, `answers` what has come since the last look, by number."""

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.number = 100

    def ask(self, op: str, client: int = 0, **args: Any) -> int:
        self.number += 1
        self.say(1 + client, m.Request(self.number, op, args))
        return self.number

    def answers(self, client: int = 0) -> dict[int, Any]:
        """The value of each request that was answered, or the failure's kind; for a delivery the value. Deliveries are confirmed."""
        found: dict[int, Any] = {}
        taken = []
        for message in self.heard(1 + client):
            if type(message) is m.Delivery:
                found[message.id] = message.value
                taken.append(message.id)
            elif type(message) is m.Reply and message.id not in taken:
                found[message.id] = message.value if message.failure is None else message.failure.kind
        if taken:
            self.say(1 + client, m.Taken(taken))
        return found

    def failure(self, client: int = 0) -> m.Failure:
        """The one failure since the last look."""
        (reply,) = self.heard(1 + client, m.Reply)
        return reply.failure

    def put(self, value: bytes, client: int = 0, holds: tuple[str, ...] = (), maxsize: int = 0, timeout_s: float | None = None) -> int:
        return self.ask("queue_put", client, name="q", maxsize=maxsize, value=value, holds=list(holds), timeout_s=timeout_s)

    def get(self, client: int = 0, batch: int | None = None, timeout_s: float | None = None) -> int:
        return self.ask("queue_get", client, name="q", timeout_s=timeout_s, batch=batch)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.handle(Tick())

    def close_all(self) -> list[str]:
        self.ask("queue_close", name="q")
        return self.rest()


def test_first_in_first_out() -> None:
    c = Talk()
    for value in (b"1", b"2", b"3"):
        c.put(value)
    numbers = [c.get() for _ in range(3)]
    answers = c.answers()
    assert [answers[number] for number in numbers] == [[b"1"], [b"2"], [b"3"]] and not c.close_all()


def test_getters_wait_in_line() -> None:
    c = Talk(clients=2)
    first, second = c.get(client=0), c.get(client=1)
    assert c.answers(0) == c.answers(1) == {}
    c.put(b"1", client=1)
    c.put(b"2", client=1)
    assert c.answers(0)[first] == [b"1"] and c.answers(1)[second] == [b"2"] and not c.close_all()


def test_a_full_queue_lets_putters_wait_in_line() -> None:
    c = Talk()
    numbers = [c.put(value, maxsize=1) for value in (b"1", b"2", b"3")]
    assert list(c.answers()) == numbers[:1]
    assert c.put(b"4", timeout_s=0) in (failed := c.answers()) and list(failed.values()) == ["TimeoutError"]
    get = c.get()
    assert c.answers() == {numbers[1]: None, get: [b"1"]}
    assert c.ask("queue_size", name="q") in (sizes := c.answers()) and list(sizes.values()) == [1]
    everything = c.get(batch=-1)
    assert c.answers() == {everything: [b"2"], numbers[2]: None}
    assert not c.close_all()


def test_timeouts() -> None:
    c = Talk()
    empty = c.get(timeout_s=0)
    assert c.answers() == {empty: "TimeoutError"}
    late = c.get(timeout_s=2.0)
    assert c.machine.next_wake() is not None
    c.wait(2.5)
    assert c.answers() == {late: "TimeoutError"}
    c.ask("queue_close", name="q")
    c.put(b"1", maxsize=1)
    c.answers()
    c.put(b"2", maxsize=1, timeout_s=1.0)
    c.wait(1.5)
    assert "full" in c.failure().text
    get = c.get()
    assert c.answers()[get] == [b"1"] and not c.close_all()


def test_a_batch_is_all_there_is_or_exactly_so_many() -> None:
    c = Talk()
    assert c.get(batch=-1) in (nothing := c.answers()) and list(nothing.values()) == [[]]
    three = c.get(batch=3, timeout_s=10.0)
    behind = c.get()
    c.put(b"1")
    c.put(b"2")
    c.answers()
    c.wait(11.0)  # it goes, and what it had goes to the next one
    answers = c.answers()
    assert answers == {three: "TimeoutError", behind: [b"1"]}
    two = c.get(batch=2)
    c.put(b"3")
    assert c.answers()[two] == [b"2", b"3"] and not c.close_all()


def test_a_future_in_a_queue_lives_without_its_maker() -> None:
    c = Talk(clients=2)
    c.submit("x", client=0)
    c.put(b"fut", holds=("x",))
    c.release("x", client=0)
    c.say(1, m.Goodbye("done"))
    c.done(0, c.sent())
    c.get(client=1)
    delivery, ready, reply = c.heard(2)  # what is known of it comes before the end of the answer
    assert (delivery.value, delivery.keys) == ([b"fut"], ["x"])
    assert ready.keys == ["x"] and reply == m.Reply(delivery.id, None, None)
    c.say(2, m.Taken([delivery.id]))
    assert c.task("x").held == 0 and c.task("x").state == "memory"
    c.release("x", client=1)
    c.ask("queue_close", 1, name="q")
    assert not c.rest()


def test_a_future_that_is_let_go_while_it_arrives_is_held_until_taken() -> None:
    c = Talk()
    c.submit("x")
    c.done(0, c.sent())
    c.put(b"fut", holds=("x",))
    number = c.get()
    c.release("x")  # said before the delivery was heard
    assert c.task("x").state == "memory"
    c.say(1, m.WantKeys(["x"]))
    c.say(1, m.Taken([number]))
    assert c.task("x").state == "memory"
    c.release("x")
    assert not c.close_all()


def test_an_unknown_future_arrives_as_lost() -> None:
    c = Talk()
    c.put(b"fut", holds=("x",))
    c.get()
    assert [message.keys for message in c.heard(1, m.KeysLost)] == [["x"]]


def test_who_knows_that_an_actor_is_lost_is_not_told_again_with_a_delivery() -> None:
    c = Talk()
    c.submit("x", actor=True)
    c.done(0, c.sent())
    c.put(b"fut", holds=("x",))
    c.handle(LinkLost(100, "killed"))
    assert [message.keys for message in c.heard(1, m.KeysLost)] == [["x"]]
    number = c.get()
    assert [type(message) for message in c.heard(1)] == [m.Delivery, m.Reply]
    c.say(1, m.Taken([number]))
    c.release("x")
    assert not c.close_all()


def test_an_item_on_its_way_to_the_dead_comes_back_to_the_front() -> None:
    c = Talk(clients=2, client_lease_s=10.0)
    c.submit("x", client=1)
    for value in (b"1", b"2", b"3"):
        c.put(value, client=1, holds=("x",))
    c.get(client=0)
    c.get(client=0)
    c.handle(LinkLost(1, "cable"))
    c.wait(11.0)
    everything = c.get(client=1, batch=-1)
    assert c.answers(1)[everything] == [b"1", b"2", b"3"]
    c.release("x", client=1)
    c.ask("queue_close", 1, name="q")
    assert not c.rest()


def test_what_one_who_is_gone_was_waiting_with_goes_to_the_next_in_order() -> None:
    """Seed 407771: the items went through the hands of his other waiters, and came out of them last one first."""
    c = Talk(clients=2, client_lease_s=10.0)
    for batch in (4, None, 1):
        c.get(client=0, batch=batch)
    mine = c.get(client=1, batch=2)
    c.put(b"1", client=1)
    c.put(b"2", client=1)
    c.answers(1)
    c.handle(LinkLost(1, "cable"))
    c.wait(11.0)
    assert c.answers(1) == {mine: [b"1", b"2"]}
    c.ask("queue_close", 1, name="q")
    assert not c.rest()


def test_what_is_put_back_is_the_next() -> None:
    c = Talk()
    c.put(b"3")
    c.ask("queue_unget", name="q", values=[b"1", b"2"], holds=[])
    number = c.get(batch=3)
    assert c.answers()[number] == [b"1", b"2", b"3"] and not c.close_all()


def test_closing_tells_those_who_wait() -> None:
    c = Talk()
    c.submit("x")
    get = c.get(batch=2)
    c.put(b"1", holds=("x",))
    c.answers()
    c.ask("queue_close", name="q")
    assert c.answers()[get] == "ClosedError"
    c.release("x")
    assert not c.rest()


def test_a_waiter_that_dies_is_forgotten() -> None:
    c = Talk(clients=2)
    c.get(client=0)
    c.get(client=0)
    mine = c.get(client=1)
    c.say(1, m.Goodbye("done"))
    c.put(b"1", client=1)
    assert c.answers(1)[mine] == [b"1"]
    c.put(b"1", client=1, maxsize=1)
    c.ask("queue_close", 1, name="q")
    assert not c.rest()


def test_a_value_that_is_too_large_is_refused_with_advice() -> None:
    c = Talk(value_limit_bytes=1000)
    c.put(b"x" * 1001)
    failure = c.failure()
    assert failure.kind == "ValueError" and "scatter" in failure.text
    c.ask("variable_set", name="v", value=b"x" * 1001, holds=[])
    assert "scatter" in c.failure().text and not c.rest()


def test_nonsense_is_refused_and_leaves_nothing() -> None:
    c = Talk()
    for op, args in (
        ("queue_put", {"name": "q"}),
        ("queue_put", {"name": "q", "value": 5}),
        ("queue_put", {"name": ["q"], "value": b"", "timeout_s": 1}),
        ("queue_put", {"name": "q", "value": b"", "timeout_s": float("nan")}),
        ("queue_put", {"name": "q", "value": b"", "holds": [5]}),
        ("queue_put", {"name": "q", "value": b"", "maxsize": -1}),
        ("queue_get", {"name": "q", "batch": 0}),
        ("queue_get", {"name": "q", "batch": True}),
        ("variable_get", {"name": "v", "timeout_s": "soon"}),
    ):
        c.ask(op, **args)
        assert c.failure().kind == "ValueError", op
    assert not c.rest()


def test_readers_of_a_variable_wait_until_it_is_set() -> None:
    c = Talk(clients=2)
    c.submit("x", client=0)
    reader = c.ask("variable_get", 1, name="v", timeout_s=None)
    c.ask("variable_set", name="v", value=b"fut", holds=["x"])
    c.release("x", client=0)
    assert c.answers(1)[reader] == b"fut" and c.task("x").wanted_by
    c.ask("variable_set", name="v", value=b"2", holds=[])
    c.release("x", client=1)
    assert "x" not in c.machine.state.tasks
    again = c.ask("variable_get", 1, name="v", timeout_s=0)
    assert c.answers(1)[again] == b"2"
    c.ask("variable_delete", name="v")
    late = c.ask("variable_get", 1, name="v", timeout_s=0)
    assert c.answers(1)[late] == "TimeoutError" and not c.rest()


def test_ten_thousand_getters_are_served_in_order() -> None:
    c = Talk()
    numbers = []
    for i in range(10_000):  # without the invariants, which look at all of them every time
        c.machine.handle(Received(1, m.Request(1_000 + i, "queue_get", {"name": "q", "timeout_s": 60.0 + i, "batch": None})), 0.0)
    for i in range(10_000):
        for effect in c.machine.handle(Received(1, m.Request(20_000 + i, "queue_put", {"name": "q", "value": b"%d" % i})), 0.0):
            if type(effect.message) is m.Delivery:
                numbers.append((effect.message.id, effect.message.value))
                c.machine.handle(Received(1, m.Taken([effect.message.id])), 0.0)
    assert numbers == [(1_000 + i, [b"%d" % i]) for i in range(10_000)]
    assert not c.close_all() and c.machine.state.parked.next_deadline() is None
