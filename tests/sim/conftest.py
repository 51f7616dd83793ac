"""The world of the story tests, with the demand at the end that nothing is left anywhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jupyterfut.sim.rest import settle
from jupyterfut.sim.world import World


@pytest.fixture
def world() -> Iterator[World]:
    """A cluster without workers and clients yet. Every machine's invariants are checked after each of its events; after the test everything is let go
    and must be gone."""
    world = World(seed=1)
    yield world
    for name in list(world.stalled):
        for worker in world.places.values():
            if worker.name == name:
                world.heal(worker)
        for client in world.clients:
            if client.name == name:
                world.heal(client)
    settle(world)
