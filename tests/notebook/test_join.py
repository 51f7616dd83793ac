"""What connects new notebooks: once, to the cluster that was chosen, and never in the way of what is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from jupyterfut import Client, LocalCluster, get_client
from jupyterfut.client.current import open_clients
from jupyterfut.errors import ConnectionFailed
from jupyterfut.notebook import clients, join


@pytest.fixture
def mill() -> Iterator[LocalCluster]:
    """A cluster that can be found by its name."""
    with LocalCluster(n_workers=1, threads_per_worker=1, name="join-mill") as cluster:
        yield cluster
        for client in open_clients():
            client.close()
        clients.forget()


def test_a_notebook_begins_with_a_client(mill: LocalCluster) -> None:
    names: dict[str, Any] = {}
    join("join-mill", names)
    assert names["client"].submit(abs, -1).result(20) == 1
    assert get_client() is names["client"]


def test_a_second_time_changes_nothing(mill: LocalCluster) -> None:
    names: dict[str, Any] = {}
    join("join-mill", names)
    first = names["client"]
    join("join-mill", names)
    join("join-mill", other := {})
    assert names == {"client": first}
    assert other == {}
    assert open_clients() == [first]


def test_what_is_there_stays(mill: LocalCluster) -> None:
    names: dict[str, Any] = {"client": "mine"}
    join("join-mill", names)
    assert names == {"client": "mine"}
    with Client(mill):
        join("join-mill", other := {})
        assert other == {}


def test_a_cluster_that_is_not_there_is_said() -> None:
    names: dict[str, Any] = {}
    with pytest.raises(ConnectionFailed, match="no cluster called 'join-none'"):
        join("join-none", names)
    assert names == {}
