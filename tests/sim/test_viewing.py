"""Viewers in a whole cluster: what they are told last is how things stand."""

from __future__ import annotations

from jupyterfut.sim.viewing import agrees, errors
from jupyterfut.sim.world import World


def test_a_viewer_hears_of_everything_that_others_do() -> None:
    world = World(seed=1)
    world.workers(2)
    viewer = world.client("viewer")
    viewer.ask("watch", {"topics": {"progress": {}, "summary": {}}}, lambda value, failure: None)
    futures = [world.submit(f"x-{i}") for i in range(20)]
    world.run()
    world.run(until=lambda: agrees(world), limit_s=2.0)
    told = viewer.viewing.last
    assert told["progress"]["total"]["memory"] == told["summary"]["tasks"]["memory"] == told["progress"]["done"] == len(futures)


def test_a_viewer_whose_link_breaks_goes_on_when_it_is_back() -> None:
    world = World(seed=2)
    world.workers(1)
    viewer = world.client("viewer")
    viewer.ask("watch", {"topics": {"progress": {}, "events": {}, "summary": {}}}, lambda value, failure: None)
    world.run(for_s=1.0)
    world.drop_link(viewer)
    world.run(for_s=0.02)
    future = world.submit("x")
    world.run()
    assert future.status == "finished"
    world.run(until=lambda: agrees(world), limit_s=10.0)
    assert viewer.viewing.last["progress"]["done"] == 1 and not errors(world)
