"""What the scheduler's machine keeps and passes on for people: metadata, events, datasets, wishes; and tasks that ask to run again."""

from __future__ import annotations

from typing import Any

from test_coord_queues import Talk

from jupyterfut.core.effects import LinkLost, Log, Received, Tick
from jupyterfut.core.scheduler.invariants import at_rest
from jupyterfut.core.scheduler.notes import TOPICS_KEPT
from jupyterfut.wire import messages as m


def event(data: Any, nbytes: int = 10) -> list[Any]:
    return [nbytes, 0, data]


class Chat(Talk):
    """With events: `log` says one, `events` are those kept."""

    def log(self, topic: str, data: Any, peer: int = 1, nbytes: int = 10) -> None:
        self.say(peer, m.Notify([f"event:{topic}"], [event(data, nbytes)]))

    def events(self, topic: str) -> list[Any]:
        number = self.ask("get_events", topic=topic)
        return [data for _, _, data in self.answers()[number]]

    def observed(self, worker: int = 0) -> list[m.Observe]:
        return self.heard(100 + worker, m.Observe)


# --- events


def test_events_are_stamped_kept_and_passed_on() -> None:
    c = Chat(clients=2)
    c.machine.state.epoch_s = 1000.0
    c.ask("subscribe", client=1, topic="event:t")
    c.heard(2)
    c.now = 5.0
    c.log("t", "a")
    assert c.heard(2) == [m.Notices(["event:t"], [[1005.0, 0, "a"]])]
    assert c.heard(1) == []
    number = c.ask("get_events", topic="t")
    assert c.answers()[number] == [[1005.0, 0, "a"]]
    number = c.ask("get_events", topic=None)
    assert c.answers()[number] == {"t": [[1005.0, 0, "a"]]}


def test_a_ring_has_a_length_and_a_weight() -> None:
    c = Chat(events_kept=3, events_bytes_limit=100)
    for x in range(5):
        c.log("t", x)
    assert c.events("t") == [2, 3, 4]
    c.log("t", "heavy", nbytes=95)
    assert c.events("t") == ["heavy"]
    c.log("t", "heavier", nbytes=500)  # the newest stays, however large
    assert c.events("t") == ["heavier"]
    ring = c.machine.notes.rings["event:t"]
    assert ring.nbytes == 500


def test_topics_that_are_silent_for_longest_are_forgotten() -> None:
    c = Chat()
    for x in range(TOPICS_KEPT):
        c.log(f"t{x}", x)
    c.log("t0", "again")
    c.log("one more", 1)
    assert len(c.machine.notes.rings) == TOPICS_KEPT
    assert c.events("t0") == [0, "again"]
    assert c.events("t1") == []


def test_a_malformed_event_is_dropped_with_a_line() -> None:
    c = Chat()
    effects = c.machine.handle(Received(1, m.Notify(["event:t"], ["what?"])), 0.0)
    assert [type(effect) for effect in effects] == [Log]
    assert c.events("t") == []


def test_the_scheduler_says_for_whom_a_task_speaks() -> None:
    c = Chat(clients=2)
    c.ask("subscribe", client=1, topic="event:print")
    c.submit("x")
    c.submit("y", client=1)
    c.heard(2)
    c.log("print", {"text": "1", "key": "x", "client": None}, peer=100)
    c.log("print", {"text": "2", "key": "gone", "client": None}, peer=100)
    c.log("print", {"text": "3", "key": "y", "client": None}, peer=1)  # a client may say what it likes
    c.log("print", {"text": "4", "key": "y"}, peer=100)
    said = [value[2].get("client") for message in c.heard(2, m.Notices) for value in message.values]
    assert said == ["client-0", "", None, None]


def test_other_notices_are_passed_on_as_they_are() -> None:
    c = Chat()
    c.ask("subscribe", topic="free")
    c.heard(1)
    c.say(100, m.Notify(["free"], [{"a": 1}]))
    assert c.heard(1) == [m.Notices(["free"], [{"a": 1}])]
    assert c.machine.notes.rings == {}


# --- metadata


def test_metadata_of_wrong_form_hurts_nobody() -> None:
    c = Chat()
    for args in ({"path": "x"}, {"path": [1]}, {"path": []}, {}, {"path": ["x"]}):
        c.ask("set_metadata", **args)
        assert c.failure().kind in ("TypeError", "ValueError")
    number = c.ask("get_metadata", path=[])
    assert c.answers()[number] == [True, {}]


# --- datasets


def test_a_dataset_holds_its_futures_and_lets_go_of_them() -> None:
    c = Chat(clients=2)
    c.submit("x")
    c.done(0, c.sent())
    c.ask("dataset_publish", items=[["d", b"pickle", ["x"]]], override=False)
    c.say(1, m.Goodbye("bye"))
    assert c.task("x").held == 1
    c.ask("dataset_get", client=1, name="d")
    kinds = [type(message) for message in c.heard(2)]
    assert kinds == [m.Delivery, m.KeysReady, m.Reply]
    c.say(2, m.Taken([c.number]))
    c.ask("dataset_unpublish", client=1, name="d")
    assert c.task("x").held == 0
    c.say(2, m.ReleaseKeys(["x"]))
    assert [line for line in at_rest(c.machine) if "task" in line or "dataset" in line] == []


def test_a_dataset_that_is_replaced_lets_go_and_holds_anew() -> None:
    c = Chat()
    c.submit("x", "y")
    c.done(0, c.sent())
    c.ask("dataset_publish", items=[["d", b"1", ["x"]]], override=False)
    c.release("x")
    c.heard(1)
    c.ask("dataset_publish", items=[["d", b"2", ["y"]]], override=False)
    assert c.failure().kind == "KeyError"
    c.ask("dataset_publish", items=[["d", b"2", ["y"]]], override=True)
    assert "x" not in c.machine.state.tasks
    assert c.task("y").held == 1
    c.heard(1)
    c.ask("dataset_publish", items=[["e", bytes(20_000_000), []], ["f", b"", []]], override=False)
    failure = c.failure()
    assert failure.kind == "ValueError"
    assert "scatter" in failure.text
    c.ask("dataset_list")
    assert c.answers()[c.number] == ["d"]


def test_names_of_datasets_are_plain() -> None:
    c = Chat()
    c.ask("dataset_publish", items=[[["a", 1], b"1", []]], override=False)
    assert c.answers()[c.number] is None
    for name in (None, True, {"a": 1}, [None]):
        c.ask("dataset_get", name=name)
        assert c.failure().kind == "TypeError"
    c.ask("dataset_get", name="b")
    assert c.failure().text == "no dataset 'b' (there are: ('a', 1))"


# --- wishes


def test_workers_are_told_what_all_want_together_and_only_when_it_changes() -> None:
    c = Chat(clients=2)
    c.ask("observe", loggers={"a": 20}, tasks=False)
    assert c.observed() == [m.Observe({"a": 20}, False)]
    c.ask("observe", client=1, loggers={"a": 10, "": 40}, tasks=True)
    assert c.observed() == [m.Observe({"a": 10, "": 40}, True)]
    c.ask("observe", loggers={"a": 30}, tasks=True)
    assert c.observed() == []
    c.worker(1)
    assert c.observed(1) == [m.Observe({"a": 10, "": 40}, True)]
    c.say(2, m.Goodbye("bye"))
    assert c.observed() == c.observed(1) == [m.Observe({"a": 30}, True)]
    c.ask("observe", loggers={}, tasks=False)
    assert c.observed() == [m.Observe({}, False)]
    c.worker(2)
    assert c.observed(2) == []


def test_a_client_whose_lease_is_over_wants_nothing() -> None:
    c = Chat(clients=2, client_lease_s=10.0)
    c.ask("observe", loggers={}, tasks=True)
    c.observed()
    c.handle(LinkLost(1, "gone"))
    c.now = 11.0
    c.handle(Tick())
    assert c.observed() == [m.Observe({}, False)]


def test_a_wish_of_wrong_form_is_refused() -> None:
    c = Chat()
    for args in ({"loggers": [], "tasks": False}, {"loggers": {"a": "INFO"}, "tasks": False}, {"tasks": True}):
        c.ask("observe", **args)
        assert c.failure().kind == "ValueError"
    assert c.observed() == []


# --- Reschedule


def test_a_task_that_asks_to_run_again_goes_to_the_end_of_the_queue() -> None:
    c = Chat(ahead_tasks=0, ahead_s=0.0)
    c.submit("first", "second", "third")
    there = list(c.sent().items())  # at the worker, which takes them in this order
    assert len(there) < 3
    order = []
    while there:
        key, attempt = there.pop(0)
        order.append(key)
        if order == ["first"]:
            c.say(100, m.TasksReturned([key], [attempt], [[]]))
        else:
            c.done(0, {key: attempt})
        there += c.sent().items()
    assert order == ["first", "second", "third", "first"]
