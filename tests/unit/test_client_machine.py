"""The client's machine, as three-line stories. `World` plays the user and the scheduler; `said()` is what went to the scheduler since the last
look, so that every story can end with "and nothing else was sent"."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyterfut.core.client import events as ev
from jupyterfut.core.client.invariants import check, check_at_rest
from jupyterfut.core.client.machine import FENCE_EVERY, ClientMachine
from jupyterfut.core.client.state import Record
from jupyterfut.core.client.story import BatchJournal
from jupyterfut.core.effects import Close, LinkLost, Log, Received, Send, Tick
from jupyterfut.wire import messages as ms

OPTIONS = ms.TaskOptions()
FAILURE = ms.Failure("ValueError", "no", b"pickled", "Traceback ...", "x")


class World:
    def __init__(self, joined: bool = True) -> None:
        self.machine = ClientMachine("client-1", "me")  # type: ignore[arg-type]  # a plain string
        self.now = 0.0
        self.resolved: list[Record] = []
        self.other: list[Any] = []
        self._said: list[Any] = []
        if joined:
            self.post(ev.Connected())
            self.hear(ms.Welcome(False, {}))
            self.define()
            self.said()
            self.other.clear()

    def post(self, event: Any) -> None:
        self.now += 1
        for effect in self.machine.handle(event, self.now):
            if isinstance(effect, Send):
                self._said.append(effect.message)
            elif isinstance(effect, ev.Resolved):
                assert all(record.status != "pending" for record in effect.records)
                self.resolved += effect.records
            else:
                self.other.append(effect)
        check(self.machine)

    def hear(self, message: Any) -> None:
        self.post(Received(0, message))  # type: ignore[arg-type]  # a plain integer

    def said(self) -> list[Any]:
        said, self._said = self._said, []
        return said

    def define(self, function: str = "f") -> None:
        self.post(ev.DefineFunction(function, b"pickle", function))  # type: ignore[arg-type]  # a plain string

    def submit(self, *keys: str, function: str = "f", options: ms.TaskOptions = OPTIONS) -> list[Record]:
        records, rows = [], []
        for key in keys:
            record, new = self.machine.state.hold(key)  # type: ignore[arg-type]  # a plain string
            records.append(record)
            if new:
                rows.append((record, function, b"args", None, None, options))
        if rows:
            self.post(ev.Submit(rows))  # type: ignore[arg-type]  # plain strings
        return records

    def ready(self, *keys: str, payload: Any = b"1") -> None:
        n = len(keys)
        self.hear(ms.KeysReady(list(keys), [payload] * n, ["int"] * n, [28] * n))

    def drop(self, *records: Record) -> None:
        self.post(ev.Drop(list(records)))


@pytest.fixture
def world() -> World:
    return World()


def row(key: str, function: str = "f", options: ms.TaskOptions = OPTIONS) -> ms.SubmitTasks:
    return ms.SubmitTasks(function, [key], [b"args"], [], [], options)


FUNCTION = ms.Functions(["f"], [b"pickle"], ["f"])


def test_the_conversation_begins_with_hello() -> None:
    world = World(joined=False)
    world.post(ev.Connected())
    assert world.said() == [ms.ClientHello("client-1", "me", False)]
    world.hear(ms.Welcome(False, {"inline_bytes": 1}))
    assert world.other == [ev.Welcomed(False, {"inline_bytes": 1})]


def test_a_call_is_sent_and_its_result_resolves_it(world: World) -> None:
    (x,) = world.submit("x")
    assert world.said() == [FUNCTION, row("x")]
    world.ready("x")
    assert (x.status, x.payload, x.type, x.nbytes) == ("finished", b"1", "int", 28)
    assert world.resolved == [x]


def test_a_function_is_sent_once(world: World) -> None:
    world.submit("x")
    world.submit("y")
    assert world.said() == [FUNCTION, row("x"), row("y")]


def test_neighbours_with_the_same_function_and_options_share_a_message(world: World) -> None:
    world.define("g")
    urgent = ms.TaskOptions(priority=1)
    rows = []
    for key, function, options, dependencies in (
        ("a", "f", OPTIONS, None),
        ("b", "f", OPTIONS, ["a"]),
        ("c", "f", urgent, None),
        ("d", "g", urgent, None),
    ):
        rows.append((world.machine.state.hold(key)[0], function, b"", dependencies, None, options))  # type: ignore[arg-type]  # a plain string
    world.post(ev.Submit(rows))  # type: ignore[arg-type]  # plain strings
    submits = [message for message in world.said() if isinstance(message, ms.SubmitTasks)]
    assert [(m.keys, m.dependencies) for m in submits] == [(["a", "b"], [[], ["a"]]), (["c"], []), (["d"], [])]


def test_an_equal_call_sends_nothing(world: World) -> None:
    (first,) = world.submit("x")
    world.said()
    (second,) = world.submit("x")
    assert second is first
    assert world.said() == []


def test_the_key_is_released_with_the_last_future(world: World) -> None:
    (x,) = world.submit("x")
    world.submit("x")
    world.said()
    world.drop(x)
    assert world.said() == []
    world.drop(x)
    assert world.said() == [ms.ReleaseKeys(["x"])]
    world.ready("x")
    assert world.resolved == []
    check_at_rest(world.machine)


def test_two_deaths_in_one_batch_count_twice(world: World) -> None:
    (x,) = world.submit("x")
    world.submit("x")
    world.said()
    world.drop(x, x)
    assert world.said() == [ms.ReleaseKeys(["x"])]


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (ms.KeysFailed(["x"], [FAILURE]), "error"),
        (ms.KeysCancelled(["x"], "somebody did"), "cancelled"),
        (ms.KeysLost(["x"], "its worker died"), "lost"),
    ],
)
def test_every_end_resolves_once(world: World, message: Any, status: str) -> None:
    (x,) = world.submit("x")
    world.hear(message)
    world.hear(message)
    assert x.status == status
    assert world.resolved == [x]


def test_a_result_that_is_ready_twice_resolves_once(world: World) -> None:
    (x,) = world.submit("x")
    world.ready("x")
    world.ready("x")
    assert world.resolved == [x]


def test_a_result_that_got_lost_is_pending_again_and_resolves_again(world: World) -> None:
    (x,) = world.submit("x")
    world.ready("x", payload=None)
    world.hear(ms.KeysPending(["x"]))
    assert x.status == "pending"
    assert world.other == [ev.Reopened([x])]
    world.ready("x")
    assert world.resolved == [x, x]


def test_cancelling_is_at_once_and_its_echo_is_nothing(world: World) -> None:
    (x,) = world.submit("x")
    world.said()
    world.post(ev.Cancel([x], False, "changed my mind"))
    assert (x.status, x.reason) == ("cancelled", "changed my mind")
    assert world.said() == [ms.CancelKeys(["x"], False)]
    world.hear(ms.KeysCancelled(["x"], "cancelled"))
    world.ready("x")
    assert (x.status, world.resolved) == ("cancelled", [x])
    assert world.said() == [ms.ReleaseKeys(["x"])]  # to be sure: what is ready and not wanted is released, whichever news was the later one
    world.drop(x)
    assert world.said() == []


def test_the_echo_of_a_cancel_does_not_touch_a_new_call_with_the_same_key(world: World) -> None:
    (old,) = world.submit("x")
    world.post(ev.Cancel([old], False, "no"))
    world.said()
    (new,) = world.submit("x")
    fence, again = world.said()
    assert isinstance(fence, ms.Request)
    assert again == row("x")
    world.hear(ms.KeysCancelled(["x"], "cancelled"))
    assert new.status == "pending"
    world.hear(ms.Reply(fence.id, {}, None))
    world.ready("x")
    assert new.status == "finished"


def test_an_old_answer_does_not_resolve_a_later_life(world: World) -> None:
    (old,) = world.submit("x")
    world.drop(old)
    (new,) = world.submit("x", function="f")
    fence = next(message for message in world.said() if isinstance(message, ms.Request))
    world.hear(ms.KeysFailed(["x"], [FAILURE]))
    assert new.status == "pending"
    world.hear(ms.Reply(fence.id, {}, None))
    world.ready("x")
    assert new.status == "finished"
    world.drop(new)
    assert not world.machine.state.muted


def test_the_death_of_an_old_future_does_not_drop_a_new_one_with_the_same_key(world: World) -> None:
    (old,) = world.submit("x")
    world.hear(ms.KeysCancelled(["x"], "restarted"))
    world.submit("x")
    world.said()
    world.drop(old)
    assert world.said() == []
    assert "x" in world.machine.state.records


def test_a_fence_goes_out_now_and_then_so_that_released_keys_are_forgotten(world: World) -> None:
    records = world.submit(*[f"x{i}" for i in range(FENCE_EVERY)])
    world.said()
    world.drop(*records)
    release, fence = world.said()
    assert len(release.keys) == FENCE_EVERY
    world.hear(ms.Reply(fence.id, {}, None))
    check_at_rest(world.machine)
    assert not world.machine.state.departed


def test_retry_reopens_failed_records_only(world: World) -> None:
    failed, fine, waiting = world.submit("failed", "fine", "waiting")
    world.hear(ms.KeysFailed(["failed"], [FAILURE]))
    world.ready("fine")
    world.said()
    world.post(ev.Retry([failed, fine, waiting]))
    assert world.said() == [ms.RetryKeys(["failed"])]
    assert (failed.status, failed.failure, fine.status) == ("pending", None, "finished")


def test_functions_are_forgotten_with_their_last_user(world: World) -> None:
    world.define("f")
    world.submit("x")
    world.said()
    world.post(ev.DropFunction("f"))  # type: ignore[arg-type]  # a plain string
    assert world.said() == []
    world.post(ev.DropFunction("f"))  # type: ignore[arg-type]  # a plain string
    assert world.said() == [ms.ForgetFunctions(["f"])]


def test_a_function_that_no_call_named_is_never_sent(world: World) -> None:
    world.define("g")
    world.post(ev.DropFunction("g"))  # type: ignore[arg-type]  # a plain string
    assert world.said() == []


def test_questions_are_answered_by_number(world: World) -> None:
    world.post(ev.Ask("me", "who_has", {}))
    world.post(ev.Ask("you", "who_has", {}))
    first, second = world.said()
    world.hear(ms.Reply(second.id, {"x": []}, None))
    world.hear(ms.Reply(first.id, None, FAILURE))
    assert world.other == [ev.Answered("you", {"x": []}, None), ev.Answered("me", None, FAILURE)]
    world.hear(ms.Reply(first.id, None, None))
    assert isinstance(world.other[-1], Log)


def test_wanted_scattered_and_kept_keys(world: World) -> None:
    wanted, _ = world.machine.state.hold("w")  # type: ignore[arg-type]  # a plain string
    world.post(ev.Want([wanted]))
    given_, _ = world.machine.state.hold("s")  # type: ignore[arg-type]  # a plain string
    world.post(ev.Scattered([given_], [b"3"], ["int"], [28]))
    world.post(ev.Keep([wanted]))
    assert world.said() == [ms.WantKeys(["w"]), ms.FireAndForget(["w"])]
    assert world.resolved == [given_]


def test_a_session_that_was_resumed_changes_nothing(world: World) -> None:
    (x,) = world.submit("x")
    world.said()
    world.post(ev.Connected())
    world.hear(ms.Welcome(True, {}))
    assert world.said() == [ms.ClientHello("client-1", "me", True, 1)]
    assert x.status == "pending"


@pytest.mark.parametrize("end", [ms.Welcome(False, {}), None])
def test_a_session_that_is_over_ends_everything_and_the_next_one_starts_afresh(world: World, end: Any) -> None:
    waiting, done = world.submit("waiting", "done")
    world.ready("done")
    world.post(ev.Ask("me", "identity", {}))
    world.said()
    if end is None:
        world.post(LinkLost(0, "gone"))  # type: ignore[arg-type]  # a plain integer
        world.post(ev.Connected())
        world.hear(ms.Welcome(False, {}))
    else:
        world.post(ev.Connected())
        world.hear(end)
    assert (waiting.status, done.status) == ("cancelled", "lost")
    assert "lease" in str(waiting.reason) or "gone" in str(waiting.reason)
    assert [effect.failure.kind for effect in world.other if isinstance(effect, ev.Answered)] == ["ConnectionFailed"]
    world.said()
    world.submit("waiting")
    assert world.said() == [FUNCTION, row("waiting")]


def test_leaving_says_goodbye_ends_all_futures_and_refuses_the_rest(world: World) -> None:
    (x,) = world.submit("x")
    world.said()
    world.post(ev.Left("done"))
    assert world.said() == [ms.Goodbye("done")]
    assert x.status == "cancelled"
    assert world.other[-1] == Close(0, "done")
    (y,) = world.submit("y")
    assert (y.status, world.said()) == ("cancelled", [])
    world.post(ev.Ask("me", "identity", {}))
    assert world.other[-1].failure.kind == "ClosedError"
    world.post(Tick())
    world.ready("x")
    check_at_rest(world.machine)


def test_what_is_not_for_a_client_is_noted_and_dropped(world: World) -> None:
    world.hear(ms.ReleaseData(["x"]))
    assert isinstance(world.other[0], Log)


def test_the_story_of_a_key(world: World) -> None:
    (x,) = world.submit("x", "y")[:1]
    world.ready("y", "x")
    world.drop(x)
    assert [what for _, _, what, _ in world.machine.story("x")] == ["submitted", "finished", "released"]


def test_the_journal_forgets_by_keys() -> None:
    journal = BatchJournal(size=10)
    for i in range(5):
        journal.note(i, [f"{i}-{j}" for j in range(4)], "x")  # type: ignore[misc]  # plain strings
    assert len(journal.batches) == 2
    assert journal.kept == 8


KEYS = st.sampled_from(["a", "b", "c"])


@settings(max_examples=120, deadline=None)
@given(st.lists(st.one_of(
    st.tuples(st.sampled_from(["submit", "drop", "cancel", "retry", "ready", "failed", "cancelled", "lost", "pending"]), KEYS),
    st.tuples(st.sampled_from(["answer", "broken", "resumed"]), st.just("")),
), max_size=60))  # fmt: skip
def test_whatever_happens_the_invariants_hold_and_nothing_is_left(steps: list[tuple[str, str]]) -> None:
    world = World()
    futures: dict[str, list[Record]] = {"a": [], "b": [], "c": []}
    open_questions: list[int] = []
    for what, key in steps:
        held = futures.get(key, [])
        if what == "submit":
            held += world.submit(key)
        elif what == "drop" and held:
            world.drop(held.pop())
        elif what == "cancel":
            world.post(ev.Cancel(list(held), False, "no"))
        elif what == "retry":
            world.post(ev.Retry(list(held)))
        elif what == "ready":
            world.ready(key)
        elif what == "failed":
            world.hear(ms.KeysFailed([key], [FAILURE]))
        elif what == "cancelled":
            world.hear(ms.KeysCancelled([key], "no"))
        elif what == "lost":
            world.hear(ms.KeysLost([key], "no"))
        elif what == "pending":
            world.hear(ms.KeysPending([key]))
        elif what == "answer" and open_questions:
            world.hear(ms.Reply(open_questions.pop(0), {}, None))
        elif what == "broken":
            open_questions.clear()
            world.post(ev.Connected())
            world.hear(ms.Welcome(False, {}))
            world.said()
        elif what == "resumed":
            world.post(ev.Connected())
            world.hear(ms.Welcome(True, {}))
        open_questions += [message.id for message in world.said() if isinstance(message, ms.Request)]
    for held in futures.values():
        world.drop(*held)
    open_questions += [message.id for message in world.said() if isinstance(message, ms.Request)]
    for number in open_questions:
        world.hear(ms.Reply(number, {}, None))
    check_at_rest(world.machine)


@pytest.mark.parametrize("how", ["rows", "columns", "want"])
def test_a_call_that_ended_with_its_session_before_it_was_told_is_never_told(how: str) -> None:
    """Seed 420716: the new session was told of it, and as nobody had it any more, nobody let go of it."""
    world = World()
    record, _ = world.machine.state.hold("x")  # type: ignore[arg-type]  # a plain string
    world.hear(ms.Welcome(False, {}))
    assert record.status == "cancelled"
    world.said()
    live, _ = world.machine.state.hold("y")  # type: ignore[arg-type]  # as above
    if how == "rows":
        world.post(ev.Submit([(r, "f", b"args", None, None, OPTIONS) for r in (record, live)]))  # type: ignore[arg-type]  # plain strings
    elif how == "columns":
        world.post(ev.SubmitColumns("f", [record, live], [b"args", b"args"], [], [], OPTIONS))  # type: ignore[arg-type]  # plain strings
    else:
        world.post(ev.Want([record, live]))
    (told,) = [message for message in world.said() if type(message) in (ms.SubmitTasks, ms.WantKeys)]
    assert told.keys == ["y"]
