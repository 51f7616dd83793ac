"""Queues, locks and actors, with somebody dying at the wrong moment."""

from __future__ import annotations

from jupyterfut.sim.clients import SimClient
from jupyterfut.sim.coordinating import perform
from jupyterfut.sim.rest import settle
from jupyterfut.sim.workload import Act
from jupyterfut.sim.world import World
from jupyterfut.wire.messages import TaskOptions


def does(client: SimClient, kind: str, name: str, **more: object) -> list[bool]:
    """Let the client do this; the list is [True] when it is over."""
    over: list[bool] = []
    perform(client, Act(kind, name, **more), lambda: over.append(True))  # type: ignore[arg-type]  # the fields of Act
    return over


def holders(world: World, name: str) -> list[str]:
    """Who holds a lock, as the scheduler knows it."""
    lock = world.scheduler.machine.coordination.locks.semaphores.get(name)
    return [] if lock is None else [lease.client.id for lease in lock.leases.values()]


def test_the_lock_of_a_dead_worker_goes_to_the_next(world: World) -> None:
    a, _ = world.workers(2)
    key = world.define("holder", acts=(Act("lock", "l", hold_s=1_000.0),))
    world.submit(key, prefer=a)
    world.run(until=lambda: bool(holders(world, "l")))
    waiting = does(world.user, "lock", "l", hold_s=5.0)
    world.run(for_s=1.0)
    assert not waiting
    world.kill(a)
    world.run(until=lambda: holders(world, "l") == ["client-0"])
    world.user.release([key])
    world.run(until=lambda: bool(waiting))


def test_a_lock_is_lost_with_the_lease_and_not_before(world: World) -> None:
    world.worker()
    sleeper, other = world.client(), world.client()
    does(sleeper, "lock", "l", hold_s=500.0)
    world.run(until=lambda: bool(holders(world, "l")))
    waiting = does(other, "lock", "l")
    sleeper.road.vanish(100.0)
    world.run(for_s=world.config.client_lease_s - 1.0)
    assert not waiting
    world.run(until=lambda: bool(waiting), limit_s=5.0)
    world.run(for_s=600.0)  # the sleeper wakes up and finds that it holds nothing: no harm is done


def test_an_item_on_its_way_to_the_dead_is_read_by_another(world: World) -> None:
    a, b = world.workers(2)
    reads = (Act("get", "q-a"),)
    world.submit(world.define("reader-1", acts=reads), prefer=a)
    world.run(until=lambda: bool(world.scheduler.machine.state.parked))
    world.stall(a)
    put = does(world.user, "put", "q-a")
    world.run(until=lambda: bool(put))  # the item is under way, and a does not hear of it
    assert not world.scheduler.machine.coordination.queues.queues["q-a"].items
    world.kill(a)
    world.heal(a)
    world.run(until=lambda: not world.pending())
    assert [item.reader[0].worker for item in world.ledger.items.values() if item.reader is not None] == [b]
    does(world.user, "close_queue", "q-a")


def test_a_future_in_a_queue_outlives_its_maker(world: World) -> None:
    world.worker()
    maker, reader = world.client(), world.client()
    world.define("x", duration_s=1.0)
    put = does(maker, "put", "q-a", keys=("x",))
    world.run(until=lambda: bool(put))
    maker.leave()
    world.run(for_s=5.0)
    assert world.runs("x") == 1
    read = does(reader, "get", "q-a", reads=True)
    world.run(until=lambda: bool(read))
    assert world.runs("x") == 1
    does(reader, "close_queue", "q-a")


def test_who_loses_patience_loses_nothing() -> None:
    put_back = 0
    for step in range(12):
        world = World(seed=step)
        world.worker()
        giver, taker = world.client(), world.client()
        got = does(taker, "get", "q-a", patience_s=1.0)
        world.run(for_s=0.994 + step / 1000)
        put = does(giver, "put", "q-a")  # it comes about when the taker gives up
        world.run(until=lambda: bool(got and put))
        rest = does(taker, "get", "q-a", batch=-1)
        world.run(until=lambda: bool(rest))
        (item,) = world.ledger.items.values()
        assert item.reader is not None
        put_back += item.moved
        does(taker, "close_queue", "q-a")
        settle(world)
    assert put_back


def test_a_task_that_blocks_for_a_moment_does_not_run_what_follows_twice(world: World) -> None:
    world.worker(nthreads=2)
    key = world.define("first", duration_s=0.1, acts=(Act("event_wait", "e-1", timeout_s=0.0),))
    world.submit(key)
    after = world.submit("second", key)
    world.run()
    assert after.value == world.value(after) and world.runs(after) == 1


def test_an_actor_is_lost_with_its_worker(world: World) -> None:
    a, _ = world.workers(2)
    actor = world.submit(world.define("actor", options=TaskOptions(actor=True, workers=["w0"], allow_other_workers=True)))
    user = world.submit("user", actor)
    world.run()
    assert user.value == world.value(user)
    world.kill(a)
    world.run(until=lambda: actor.status == "lost")
    assert "worker" in (actor.record.reason or "") and world.runs(actor) == 1
    late = world.submit("late", actor)
    world.run()
    assert late.status == "error" and late.record.failure is not None and late.record.failure.kind == "ActorLost"
