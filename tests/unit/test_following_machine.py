"""The scheduler's half of following: told where a task stands, and again only when that changes."""

from __future__ import annotations

from test_scheduler_machine import Cluster

from jupyterfut.core.scheduler.following import TOPIC
from jupyterfut.wire import messages as m


def told(c: Cluster, client: int = 0) -> list[list[object]]:
    """What the client has heard of the tasks that it follows."""
    rows = [row for message in c.heard(1 + client, m.Notices) for row in zip(message.topics, message.values, strict=True)]
    return [value for topic, value in rows if topic == TOPIC]


def test_each_change_is_told_once() -> None:
    c = Cluster(workers=1)
    c.submit("a")
    c.submit("b", after=["a"])
    c.say(1, m.Request(1, "follow", {"keys": ["a", "b", "c"]}))
    attempts = c.sent()
    assert [place[:3] for place in told(c)] == [["a", "assigned", "w0"], ["b", "assigned", "w0"], ["c", "unknown", ""]]
    c.done(0, {"a": attempts["a"]})
    assert told(c) == [["a", "finished", "w0", "", 0]]
    c.submit("d")
    c.done(0, c.sent())
    assert told(c) == []  # nobody follows d
    c.done(0, {"b": attempts["b"]})
    assert told(c) == [["b", "finished", "w0", "", 0]]


def test_nothing_is_read_once_nobody_looks() -> None:
    c = Cluster(clients=2)
    c.submit("a")
    for client in (1, 2):
        c.say(client, m.Request(1, "follow", {"keys": ["a"]}))
    c.say(1, m.Request(2, "unfollow", {"keys": ["a", "never followed"]}))
    told(c), told(c, 1)
    c.done(0, c.sent())
    assert told(c) == [] and [place[1] for place in told(c, 1)] == ["finished"]
    c.say(2, m.Goodbye("bye"))
    following = c.machine.following
    assert not following.followers and not following.by_client


def test_bad_keys_are_refused() -> None:
    c = Cluster()
    c.say(1, m.Request(1, "follow", {"keys": "a"}))
    (reply,) = c.heard(1, m.Reply)
    assert reply.failure is not None and "list of strings" in reply.failure.text
