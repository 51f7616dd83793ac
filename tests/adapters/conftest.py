"""Clusters for the adapters: everything of theirs has to hold in one process, by reference, and between processes, through pickles."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jupyterfut import Client


@pytest.fixture(scope="module")
def processes() -> Iterator[Client]:
    """One cluster of two worker processes for the tests of a module. (It stands before a test's check for leaks begins, and after it.)"""
    with Client(n_workers=2, threads_per_worker=1, set_as_default=False) as client:
        yield client


@pytest.fixture(params=["one process", "processes"])
def client(request: pytest.FixtureRequest, processes: Client) -> Iterator[Client]:
    """The client at hand, on either kind of cluster."""
    if request.param == "processes":
        with processes.as_current() as client:
            yield client
    else:
        with Client(processes=False, n_workers=1, threads_per_worker=2) as client:
            yield client
