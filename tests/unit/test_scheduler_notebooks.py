"""What the scheduler keeps for a notebook whose kernel has gone: names, holdings, leases."""

from __future__ import annotations

from typing import Any

import pytest
from test_scheduler_machine import Cluster

from jupyterfut.core.effects import LinkLost, Tick
from jupyterfut.core.scheduler.notebooks import TOPIC
from jupyterfut.wire import messages as m

KERNEL = {"kernel": "k1", "session": "/home/me/study.ipynb", "process": "first"}
AGAIN = {**KERNEL, "process": "second"}
LEASE_S = 3600.0


class Kept(Cluster):
    """Client 0 lives in a notebook; client 1 in its next kernel."""

    def __init__(self, **config: Any) -> None:
        super().__init__(1, 4, 2, **config)

    def ask(self, client: int, op: str, **args: Any) -> Any:
        self.say(1 + client, m.Request(7, op, args))
        replies = self.heard(1 + client, m.Reply)
        return replies[-1].failure if replies[-1].failure is not None else replies[-1].value

    def name(self, client: int = 0, gone: list[str] | None = None, lease_s: float = LEASE_S, who: dict[str, str] = KERNEL, **names: Any) -> None:
        told = {name: value if type(value) is list and type(value[1]) is list else [None, [value]] for name, value in names.items()}
        assert self.ask(client, "notebook_names", names=told, gone=gone or [], lease_s=lease_s, **who) is None

    def held(self, who: dict[str, str] = AGAIN, **more: Any) -> Any:
        return self.ask(1, "notebook_held", **who, **more)

    def kill(self, client: int = 0) -> None:
        self.handle(LinkLost(1 + client, "killed"))

    def close(self, client: int = 0, *, with_kernel: bool = False) -> None:
        if with_kernel:
            self.ask(client, "notebook_leaves")
        self.say(1 + client, m.Goodbye("bye"))

    def wait(self, seconds: float) -> None:
        """Time passes, as fast as the machine asks for."""
        end = self.now + seconds
        while (at := self.machine.next_wake()) is not None and at <= end:
            self.now = max(self.now, at)
            self.say(100, m.Heartbeat({}))
            self.handle(Tick())
        self.now = end


@pytest.fixture
def cluster() -> Kept:
    return Kept()


def test_a_killed_kernel_loses_nothing(cluster: Kept) -> None:
    cluster.submit("x", "y")
    cluster.name(x="x", unfinished="y")
    attempts = cluster.sent()
    cluster.done(0, {"x": attempts["x"]})
    cluster.kill()
    (holding,) = cluster.held()["holdings"]
    assert holding["names"] == {"x": [None, ["x"]], "unfinished": [None, ["y"]]}
    assert {key: at for key, (at, _, _) in holding["tasks"].items()} == {"x": "memory", "y": "processing"}
    assert holding["left_s"] == LEASE_S
    cluster.done(0, {"y": attempts["y"]})
    cluster.say(2, m.WantKeys(["x", "y"]))
    assert cluster.ready(1) == ["x", "y"]
    cluster.ask(1, "notebook_taken", number=holding["number"], names=["x", "unfinished"], keys=[])
    assert cluster.held()["holdings"] == []
    cluster.release("x", "y", client=1)
    assert cluster.rest() == []


def test_a_kernel_that_ends_loses_nothing(cluster: Kept) -> None:
    cluster.submit("x")
    cluster.name(x="x")
    cluster.close(with_kernel=True)
    assert list(cluster.held()["holdings"][0]["tasks"]) == ["x"]
    assert cluster.task("x").needed


def test_a_client_that_closes_gives_up_its_results(cluster: Kept) -> None:
    cluster.submit("x")
    cluster.name(x="x")
    cluster.close()
    assert cluster.held() == {"holdings": [], "ended": []}
    assert cluster.rest() == []


def test_a_failure_is_kept_too(cluster: Kept) -> None:
    cluster.submit("x")
    cluster.name(x="x")
    cluster.failed(0, cluster.sent())
    cluster.kill()
    assert cluster.held()["holdings"][0]["tasks"]["x"][0] == "erred"
    cluster.say(2, m.WantKeys(["x"]))
    assert [message.keys for message in cluster.heard(2, m.KeysFailed)] == [["x"]]


def test_what_has_no_name_is_held_as_well(cluster: Kept) -> None:
    cluster.submit("x", "y")
    cluster.name(x="x")
    cluster.kill()
    (holding,) = cluster.held()["holdings"]
    assert list(holding["tasks"]) == ["x", "y"]
    cluster.ask(1, "notebook_taken", number=holding["number"], names=["x"], keys=[])
    assert list(cluster.held()["holdings"][0]["tasks"]) == ["y"]
    cluster.ask(1, "notebook_taken", number=holding["number"], names=None, keys=None)
    assert cluster.rest() == []


def test_a_key_with_two_names_stays_until_both_are_taken(cluster: Kept) -> None:
    cluster.submit("x", "y")
    cluster.name(x="x", both=["list", ["x", "y", "x"]])
    cluster.kill()
    (holding,) = cluster.held()["holdings"]
    assert holding["names"]["both"] == ["list", ["x", "y", "x"]]
    cluster.ask(1, "notebook_taken", number=holding["number"], names=["both"], keys=[])
    assert list(cluster.held()["holdings"][0]["tasks"]) == ["x"]


def test_names_change_and_go(cluster: Kept) -> None:
    cluster.submit("x", "y")
    cluster.name(a="x", b="y")
    cluster.name(a="y", gone=["b", "never"])
    cluster.kill()
    assert cluster.held()["holdings"][0]["names"] == {"a": [None, ["y"]]}


def test_the_earlier_process_of_a_kernel_is_dead_at_once(cluster: Kept) -> None:
    """Whether or not its link has been seen to end; what it locked is free."""
    cluster.submit("x")
    cluster.name(x="x")
    assert [type(holding) for holding in cluster.held()["holdings"]] == [dict]
    assert 1 in cluster.closed
    assert "client-0" not in cluster.machine.state.clients


def test_another_kernel_of_the_file_may_live_beside(cluster: Kept) -> None:
    beside = {**AGAIN, "kernel": "k2"}
    cluster.submit("x")
    cluster.name(x="x")
    assert cluster.held(beside)["holdings"] == []
    cluster.kill()
    assert list(cluster.held(beside)["holdings"][0]["tasks"]) == ["x"]


def test_other_notebooks_see_nothing(cluster: Kept) -> None:
    cluster.submit("x")
    cluster.name(x="x")
    cluster.kill()
    assert cluster.held({"kernel": "k2", "session": "", "process": "p"})["holdings"] == []
    assert cluster.held({"kernel": "k2", "session": "/home/me/other.ipynb", "process": "p"})["holdings"] == []


def test_a_link_that_comes_back_is_no_end(cluster: Kept) -> None:
    cluster.submit("x")
    cluster.name(x="x")
    cluster.kill()
    cluster.wait(10)
    cluster.say(1, m.ClientHello("client-0", "", True, 1))
    cluster.wait(2 * LEASE_S)
    assert cluster.held(KERNEL)["holdings"] == []
    assert cluster.task("x").wanted_by


def test_a_link_that_was_down_for_too_long(cluster: Kept) -> None:
    """The kernel lives on; its futures are lost to the client that was forgotten, and held for the one that it is now."""
    cluster.submit("x")
    cluster.name(x="x")
    cluster.kill()
    cluster.wait(31)
    cluster.say(1, m.ClientHello("client-0", "", True, 1))
    assert [type(message) for message in cluster.heard(1)] == [m.Welcome]
    assert list(cluster.held(KERNEL)["holdings"][0]["tasks"]) == ["x"]


def test_a_lease_ends_visibly(cluster: Kept) -> None:
    cluster.ask(1, "subscribe", topic=TOPIC)
    cluster.submit("x", "y")
    cluster.name(x="x")
    cluster.kill()
    cluster.wait(LEASE_S - 1)
    assert cluster.task("x").needed
    assert cluster.heard(2, m.Notices) == []
    cluster.wait(2)
    assert cluster.rest() == []
    (notice,) = cluster.heard(2, m.Notices)
    (told,) = notice.values
    assert (told["kernel"], told["results"], told["names"]) == ("k1", 2, ["x"])
    assert cluster.held()["ended"] == [[told["at"], 2, ["x"]]]
    assert cluster.held(seen=True)["ended"] == [[told["at"], 2, ["x"]]]
    assert cluster.held()["ended"] == []


def test_taking_after_the_end_hurts_nobody(cluster: Kept) -> None:
    cluster.submit("x")
    cluster.name(x="x", lease_s=60)
    cluster.kill()
    (holding,) = cluster.held()["holdings"]
    cluster.wait(61)
    assert cluster.ask(1, "notebook_taken", number=holding["number"], names=["x"], keys=[]) is None


def test_no_lease(cluster: Kept) -> None:
    cluster.submit("x")
    cluster.name(x="x", lease_s=0)
    cluster.kill()
    cluster.wait(31)
    assert cluster.rest() == []


def test_the_lease_counts_from_the_loss_of_the_link(cluster: Kept) -> None:
    cluster.submit("x")
    cluster.name(x="x")
    cluster.kill()
    cluster.wait(100)
    assert cluster.held()["holdings"][0]["left_s"] == LEASE_S - 100


def test_a_restart_of_the_cluster_forgets_it_all(cluster: Kept) -> None:
    cluster.submit("x")
    cluster.name(x="x")
    cluster.kill()
    assert cluster.held()["holdings"]
    cluster.say(2, m.Request(9, "restart", {"wait": False, "timeout_s": 1}))
    assert cluster.held() == {"holdings": [], "ended": [[0.0, 1, ["x"]]]}


@pytest.mark.parametrize(
    ("op", "wrong"),
    [
        ("notebook_names", {"names": {"x": [None, "x"]}, "gone": [], "lease_s": 1}),
        ("notebook_names", {"names": {"x": [None, [1]]}, "gone": [], "lease_s": 1}),
        ("notebook_names", {"names": {"x": "x"}, "gone": [], "lease_s": 1}),
        ("notebook_names", {"names": {}, "gone": "x", "lease_s": 1}),
        ("notebook_names", {"names": {}, "gone": [], "lease_s": "long"}),
        ("notebook_names", {"names": {}, "gone": [], "lease_s": 1, "kernel": ""}),
        ("notebook_held", {"session": None}),
        ("notebook_taken", {"number": -1, "names": [], "keys": []}),
    ],
)
def test_nonsense_is_refused(cluster: Kept, op: str, wrong: dict[str, Any]) -> None:
    assert type(cluster.ask(0, op, **{**KERNEL, **wrong})) is m.Failure
