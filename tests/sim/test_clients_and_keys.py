"""Who wants what: releases, cancels, retries, keys shared between clients, leases."""

from __future__ import annotations

from jupyterfut.core.scheduler import SchedulerConfig
from jupyterfut.ids import Key
from jupyterfut.sim.rest import settle
from jupyterfut.sim.workload import ALWAYS
from jupyterfut.sim.world import World


def keys(*names: str) -> list[Key]:
    return [Key(name) for name in names]


def test_equal_calls_of_two_clients_run_once(world: World) -> None:
    world.workers(2)
    one, two = world.client(), world.client()
    mine = world.submit("x", client=one)
    yours = world.submit("x", client=two)
    world.run()
    assert mine.value == yours.value and world.runs("x") == 1


def test_work_that_nobody_wants_stops(world: World) -> None:
    world.workers(1)
    world.submit("long", duration_s=1.0)
    world.submit("after", "long")
    world.run(for_s=0.1)
    world.user.release(keys("long", "after"))
    world.run(for_s=5.0)
    assert world.quiet() and world.runs("after") == 0


def test_fire_and_forget_runs_to_its_end(world: World) -> None:
    world.workers(1)
    world.submit("first", duration_s=0.1)
    world.submit("last", "first")
    world.user.keep(keys("last"))
    world.run(for_s=0.01)
    world.user.release(keys("first", "last"))
    world.run(for_s=5.0)
    assert world.runs("last") == 1 and world.quiet()


def test_cancel_cascades_to_dependants(world: World) -> None:
    world.workers(1)
    x = world.submit("x", duration_s=1.0)
    y = world.submit("y", x)
    z = world.submit("z", y)
    other = world.submit("other")
    world.run(for_s=0.1)
    world.user.cancel(keys("x"))
    world.run()
    assert [fut.status for fut in (x, y, z, other)] == ["cancelled", "cancelled", "cancelled", "finished"]
    assert world.runs("y") == 0


def test_a_key_that_another_client_wants_survives_a_cancel(world: World) -> None:
    world.workers(1)
    one, two = world.client(), world.client()
    mine, yours = world.submit("x", client=one, duration_s=1.0), world.submit("x", client=two)
    world.run(for_s=0.1)
    one.cancel(keys("x"))
    world.run()
    assert mine.status == "cancelled" and yours.status == "finished" and world.runs("x") == 1


def test_force_cancels_for_everybody(world: World) -> None:
    world.workers(1)
    one, two = world.client(), world.client()
    world.submit("x", client=one, duration_s=1.0)
    yours = world.submit("x", client=two)
    world.run(for_s=0.1)
    one.cancel(keys("x"), force=True)
    world.run()
    assert yours.status == "cancelled" and "x" not in two.machine.state.records


def test_a_key_that_was_cancelled_can_be_submitted_again_at_once(world: World) -> None:
    """Seed 280: the scheduler's word about the first life ended the second one."""
    world.workers(1)
    old = world.submit("x", duration_s=0.5)
    world.run(for_s=0.1)
    world.user.cancel(keys("x"))
    world.run(for_s=0.0008)
    new = world.submit("x")
    world.run()
    assert old.status == "cancelled" and new.status == "finished"


def test_a_dependant_of_a_failed_task_fails_with_the_same_error(world: World) -> None:
    world.workers(2)
    bad = world.submit("bad", flakes=ALWAYS)
    after = world.submit("after", bad)
    late = world.submit("late", after)
    world.run()
    assert {fut.status for fut in (bad, after, late)} == {"error"}
    assert late.record.failure is not None and late.record.failure.key == "bad"
    assert world.runs(after) == 0


def test_retries_are_used_up_before_the_last_error_is_told(world: World) -> None:
    world.workers(1)
    lucky = world.submit("lucky", flakes=2, retries=2)
    unlucky = world.submit("unlucky", flakes=3, retries=2)
    world.run()
    assert lucky.status == "finished" and unlucky.status == "error"
    assert world.runs(lucky) == world.runs(unlucky) == 3


def test_retry_runs_failed_and_forgotten_upstream_again(world: World) -> None:
    world.workers(1)
    source = world.submit("source")
    bad = world.submit("bad", source, flakes=1)
    after = world.submit("after", bad)
    world.user.release(keys("source", "bad"))
    world.run()
    assert after.status == "error"
    world.user.retry(keys("after"))
    world.run()
    assert after.status == "finished" and after.value == world.value(after)
    assert world.runs(source) == 2 and world.runs(bad) == 2


def test_a_client_that_comes_back_within_its_lease_keeps_its_futures(world: World) -> None:
    world.workers(1)
    fut = world.submit("x", duration_s=2.0)
    late = world.submit("y", fut)
    world.run(for_s=1.0)
    world.drop_link(world.user)
    world.run()
    assert fut.status == late.status == "finished" and world.runs(fut) == 1


def test_a_client_hears_nothing_twice_and_misses_nothing_over_many_breaks(world: World) -> None:
    world.workers(2)
    futures = [world.submit(f"x-{i}", duration_s=0.05) for i in range(50)]
    for _ in range(10):
        world.run(for_s=0.3)
        world.drop_link(world.user)
    world.run()
    assert all(fut.value == world.value(fut) for fut in futures)  # the oracle has seen each of them resolve once


def test_when_the_lease_is_over_the_futures_are_gone_and_so_is_their_work() -> None:
    world = World(seed=4, config=SchedulerConfig(client_lease_s=5.0))
    world.workers(1)
    done = world.submit("done", nbytes=1_000_000)
    world.run()
    running = world.submit("running", duration_s=100.0)
    world.run(for_s=1.0)
    world.user.road.vanish(10.0)
    world.run(for_s=8.0)
    assert "running" not in world.scheduler.machine.state.tasks
    world.run(until=lambda: world.user.welcomes == 2)
    assert done.status == "lost" and running.status == "cancelled"
    again = world.submit("done")
    world.run()
    assert again.status == "finished" and again.value if again.record.payload else True
    settle(world)


def test_the_other_clients_keys_outlive_a_lease() -> None:
    world = World(seed=5, config=SchedulerConfig(client_lease_s=5.0))
    world.workers(1)
    one, two = world.client(), world.client()
    world.submit("x", client=one, duration_s=10.0)
    yours = world.submit("x", client=two)
    world.run(for_s=0.5)
    one.road.vanish(30.0)
    world.run()
    assert yours.status == "finished" and world.runs("x") == 1
    settle(world)


def test_a_future_that_travels_is_known_at_once(world: World) -> None:
    world.workers(1)
    one, two = world.client(), world.client()
    world.submit("x", client=one)
    world.run()
    (yours,) = two.want(keys("x"))
    world.run()
    assert yours.status == "finished" and yours.value == world.value("x")


def test_a_future_of_a_key_that_is_gone_is_lost(world: World) -> None:
    world.workers(1)
    one, two = world.client(), world.client()
    world.submit("x", client=one)
    world.run()
    one.release(keys("x"))
    world.run(for_s=1.0)
    world.oracle.loose.add(Key("x"))
    (yours,) = two.want(keys("x"))
    world.run()
    assert yours.status == "lost" and "x" in (yours.record.reason or "")


def test_data_of_a_scatter_that_gave_up_does_not_stay(world: World) -> None:
    """Seed 20081: the data reached its worker after the call's deadline, and was kept for a client that had no future of it."""
    (a,) = world.workers(1)
    world.run(until=lambda: world.user.welcomes == 1)
    data = world.scatter("int-1", nbytes=1_000_000, deadline_s=0.5)
    world.run(for_s=0.003)
    world.stall(a)
    world.run(for_s=2.0)
    assert data.dropped
    world.heal(a)
    world.run(for_s=1.0)
    assert not a.store and not world.scheduler.machine.state.tasks


def test_a_client_that_did_not_hear_that_its_session_is_over_is_told_again(world: World) -> None:
    """Its frames are numbered for the old conversation, and the scheduler has begun a new one with it already."""
    world.workers(1)
    old = [world.submit(f"old-{i}") for i in range(20)]
    world.run()
    world.restart_scheduler()
    world.run(until=lambda: world.user.client_id in world.scheduler.machine.state.clients)
    world.user.road.link.drop()
    world.run(until=lambda: world.user.welcomes == 2)
    assert {fut.status for fut in old} == {"lost"}
    new = [world.submit(f"new-{i}") for i in range(20)]
    world.run()
    assert {fut.status for fut in new} == {"finished"}


def test_retrying_what_nothing_can_make_again_ends_at_once(world: World) -> None:
    """Seed 100755: the client waited for an answer that nobody gave."""
    (a,) = world.workers(1)
    one, two = world.client(), world.client()
    world.run(until=lambda: one.welcomes == two.welcomes == 1)
    world.oracle.loose.add(Key("gone"))
    world.define("gone")
    (gone,) = two.want(keys("gone"))
    data = world.scatter("int-1", client=one, nbytes=1_000_000)
    world.run()
    world.kill(a)
    world.run(until=lambda: data.status == "lost")
    one.retry(keys("int-1"))
    two.retry(keys("gone"))
    world.run()
    assert data.status == gone.status == "lost"
