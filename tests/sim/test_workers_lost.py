"""A lost worker loses nothing, except what nobody can make again."""

from __future__ import annotations

import pytest

from jupyterfut.core.scheduler import SchedulerConfig
from jupyterfut.sim.rest import settle
from jupyterfut.sim.world import World


def test_late_answer_is_ignored(world: World) -> None:
    a, _b = world.workers(2)
    fut = world.submit("x", prefer=a)
    world.stall(a)  # a finishes x, but its link stays silent ...
    world.run(until=world.lost(a))  # ... past the heartbeat deadline, so x starts again on b
    world.heal(a)
    world.run()
    assert world.attempts(fut) == 2 and world.quiet()
    assert fut.value == world.value(fut)


def test_what_a_dead_worker_was_running_runs_elsewhere(world: World) -> None:
    a, b = world.workers(2)
    fut = world.submit("x", prefer=a, duration_s=5.0)
    world.run(for_s=1.0)
    world.kill(a)
    world.run()
    assert fut.value == world.value(fut) and world.attempts(fut) == 2
    assert "x" in b.store


def test_what_only_a_dead_worker_held_is_computed_again_when_it_is_needed(world: World) -> None:
    a, b = world.workers(2)
    big = world.submit("big", prefer=a, nbytes=1_000_000)
    small = world.submit("small", big, prefer=a)
    world.run()
    world.kill(a)
    world.run(until=world.lost(a))
    world.run()
    assert big.status == "finished" and world.runs(big) == 2  # a client wants it
    assert small.status == "finished" and world.runs(small) == 1  # its value is small, so the scheduler has it
    assert "big" in b.store


def test_what_nobody_needs_any_more_is_not_computed_again(world: World) -> None:
    a, _b = world.workers(2)
    big = world.submit("big", prefer=a, nbytes=1_000_000)
    small = world.submit("small", big, prefer=a)
    world.run()
    world.user.release(["big"])  # type: ignore[list-item]  # a Key is a str
    world.run(for_s=1.0)
    world.kill(a)
    world.run(until=world.lost(a))
    world.run()
    assert world.runs("big") == 1 and small.status == "finished"


def test_a_task_under_which_too_many_workers_die_fails_and_names_itself() -> None:
    world = World(seed=2, config=SchedulerConfig(allowed_failures=2))
    (a,) = world.workers(1)
    fut = world.submit("dangerous", duration_s=10.0)
    for _ in range(3):
        world.run(until=lambda: bool(a.threads))
        world.kill(a)
        a = world.restart(a)
    world.run()
    assert fut.status == "error"
    assert fut.record.failure is not None
    assert fut.record.failure.kind == "KilledWorker" and "dangerous" in fut.record.failure.text
    settle(world)


def test_innocent_neighbours_of_a_killer_survive() -> None:
    world = World(seed=3, config=SchedulerConfig(allowed_failures=1))
    (a,) = world.workers(1)
    killer = world.submit("killer", duration_s=10.0)
    others = [world.submit(f"other-{i}", duration_s=0.01) for i in range(20)]
    while killer.status == "pending":
        world.run(until=lambda: killer.status != "pending" or any(thread.key == "killer" and thread.started for thread in a.threads.values()))
        if killer.status == "pending":
            world.kill(a)
            a = world.restart(a)
    world.run()
    assert killer.status == "error" and all(other.status == "finished" for other in others)
    settle(world)


def test_a_worker_whose_link_broke_brings_its_results_back(world: World) -> None:
    (a,) = world.workers(1)
    big = world.submit("big", nbytes=1_000_000)
    world.run()
    world.drop_link(a)
    world.run(until=world.lost(a))
    world.run(until=lambda: world.here(a))
    world.run()
    assert big.status == "finished" and world.runs(big) == 1  # it was not computed again


def test_a_worker_that_comes_back_with_what_nobody_wants_is_told_to_drop_it(world: World) -> None:
    a, _b = world.workers(2)
    world.submit("big", prefer=a, nbytes=1_000_000)
    world.run()
    world.stall(a)
    world.run(until=world.lost(a))
    world.user.release(["big"])  # type: ignore[list-item]  # a Key is a str
    world.run()
    world.heal(a)
    world.run(until=lambda: world.here(a) and not a.store)


def test_a_chain_that_comes_back_link_by_link_is_adopted_whole(world: World) -> None:
    """Seed 99: of several results that a worker brought back, each cancelled the work on the next, and took its result away."""
    a, b = world.workers(2)
    first = world.submit("step-1", prefer=a, nbytes=50_000)
    second = world.submit("step-2", first, prefer=a, nbytes=50_000)
    third = world.submit("step-3", second, prefer=a, nbytes=50_000)
    world.run()
    world.stall(b)
    world.drop_link(a)
    world.run(until=world.lost(a))
    world.run(until=lambda: world.here(a))
    world.heal(b)
    world.run()
    assert {fut.status for fut in (first, second, third)} == {"finished"}


def test_the_only_holder_of_scattered_data_dies(world: World) -> None:
    (a,) = world.workers(1)
    world.run(until=lambda: world.user.welcomes == 1)
    data = world.scatter("int-1", nbytes=1_000_000)
    world.run()
    world.kill(a)
    world.run(until=lambda: data.status == "lost")
    _b = world.restart(a)
    fut = world.submit("x", data)
    world.run()
    assert fut.status == "error" and fut.record.failure is not None
    assert fut.record.failure.kind == "LostData" and "int-1" in fut.record.failure.text


def test_scattered_data_comes_back_with_its_worker(world: World) -> None:
    (a,) = world.workers(1)
    world.run(until=lambda: world.user.welcomes == 1)
    data = world.scatter("int-1", nbytes=1_000_000)
    world.run()
    world.drop_link(a)
    world.run(until=lambda: data.status == "lost")
    world.run(until=lambda: data.status == "finished")


def test_scattered_data_is_not_given_up_because_one_who_wanted_it_could_not_reach_it(world: World) -> None:
    """Seed 112: a broken road between two workers destroyed the only copy."""
    a, b = world.workers(2)
    world.stall(b)  # so that the data goes to a
    world.run(until=lambda: world.user.welcomes == 1)
    data = world.scatter("int-1", nbytes=1_000_000)
    world.run()
    world.heal(b)
    world.cut_roads_from(a)
    fut = world.submit("x", data, workers=[b])
    world.run(for_s=1.0)
    world.mend_roads_from(a)
    world.run()
    assert data.status == "finished" and fut.status == "finished"


def test_a_worker_that_cannot_be_reached_by_another_one_drops_what_is_made_again(world: World) -> None:
    """Seed 102: the scheduler forgot the copy, and the worker kept it for ever."""
    a, b = world.workers(2)
    big = world.submit("big", prefer=a, nbytes=1_000_000)
    world.run()
    world.fetch_fails[a.name] = 1  # one in three gets through
    futures = [world.submit(f"user-{i}", big, workers=[b], nbytes=1_000) for i in range(10)]
    world.run()
    assert all(fut.status == "finished" for fut in futures)  # and the fixture finds both stores empty


@pytest.mark.parametrize("same_address", [False, True])
def test_an_empty_worker_at_an_old_address(world: World, same_address: bool) -> None:
    """The scheduler hears of the new process before it sees the old one's link break."""
    (a,) = world.workers(1)
    world.network.notice_range_s = (2.0, 3.0)
    fut = world.submit("big", nbytes=1_000_000)
    world.run()
    world.kill(a)
    b = world.restart(a, same_address=same_address)
    world.run(until=lambda: "big" in b.store)
    world.run()
    assert fut.status == "finished" and world.runs(fut) == 2


def test_a_result_with_futures_inside_is_made_again_and_not_brought_back(world: World) -> None:
    """Seed 32221: the worker brought the result back, but what kept its futures alive was gone with the link."""
    (a,) = world.workers(1)
    children = [world.define(f"child-{i}", duration_s=0.5) for i in range(2)]
    parent = world.submit("parent", body="futures", children=children, nbytes=1_000_000)
    world.run()
    world.drop_link(a)
    world.run(until=world.lost(a))
    world.run(until=lambda: parent.status == "finished" and world.here(a))
    world.user.read([parent.key])
    world.run()
    assert [world.user.futures[child][0].status for child in children] == ["finished"] * 2


def test_a_new_scheduler_does_not_mix_up_old_calls_with_its_own(world: World) -> None:
    """Attempt numbers begin anew with a scheduler, and calls of the old one still run on workers that outlived it."""
    (a,) = world.workers(1, nthreads=2)
    old = [world.submit(f"old-{i}", duration_s=10.0) for i in range(2)]
    world.run(for_s=1.0)
    world.restart_scheduler()
    world.run(until=lambda: world.user.welcomes == 2 and world.here(a))
    assert [fut.status for fut in old] == ["cancelled"] * 2
    new = [world.submit(f"new-{i}") for i in range(5)]
    world.run()
    assert [fut.status for fut in new] == ["finished"] * 5


def test_a_scheduler_that_was_suspended_goes_on(world: World) -> None:
    world.workers(2)
    futures = [world.submit(f"x-{i}", duration_s=1.0) for i in range(10)]
    world.run(for_s=1.5)
    world.scheduler.freeze()
    world.run(for_s=500.0)
    world.scheduler.thaw()
    world.run()
    assert all(fut.status == "finished" for fut in futures)


def test_workers_that_cannot_reach_each_other_do_not_play_ball_with_the_scheduler(world: World) -> None:
    """What is wanted is on a, may run on b only, and b does not get through to a: the task goes back and forth, but not as fast as it can."""
    a, b = world.workers(2)
    world.stall(b)
    world.run(until=lambda: world.user.welcomes == 1)
    data = world.scatter("int-1", nbytes=1_000_000)
    world.run()
    world.heal(b)
    world.cut_roads_from(a)
    fut = world.submit("x", data, workers=[b])
    world.run(for_s=60.0)
    assert fut.status == "pending" and world.attempts(fut) < 30
    world.mend_roads_from(a)
    world.run()
    assert fut.status == "finished"


def test_a_worker_is_lost_with_a_task_and_the_tasks_only_input(world: World) -> None:
    """Seed 54: the task was queued again before its input was seen to be gone."""
    a, _b = world.workers(2)
    big = world.submit("big", prefer=a, nbytes=1_000_000)
    fut = world.submit("x", big, prefer=a, duration_s=5.0)
    world.run(until=lambda: any(thread.key == "x" and thread.started for thread in a.threads.values()))
    world.kill(a)
    world.run()
    assert big.status == fut.status == "finished" and world.runs(big) == 2


def test_a_queued_task_that_loses_its_input_is_queued_once() -> None:
    """Seed 1056: it stood in the queue twice, and was started twice."""
    world = World(seed=8, config=SchedulerConfig(ahead_s=0.0))
    a, b = world.workers(2)
    big = world.submit("big", workers=[a, b], prefer=None, nbytes=1_000_000)
    world.run()
    holder = a if "big" in a.store else b
    fillers = [world.submit(f"filler-{i}", duration_s=3.0) for i in range(6)]
    world.run(for_s=0.1)
    fut = world.submit("x", big)
    world.run(for_s=0.1)
    world.kill(holder)
    world.run(for_s=0.1)
    world.restart(holder)
    world.run()
    assert all(future.status == "finished" for future in (big, fut, *fillers)) and world.runs(fut) == 1
    settle(world)


def test_a_failure_meets_a_chain_that_is_let_go_from_its_other_end(world: World) -> None:
    """Seed 59: one input, that fails, near the beginning of a chain and near its end."""
    world.workers(2)
    bad = world.submit("bad", flakes=1, duration_s=1.0)
    chain = [world.submit("step-0")]
    for i in range(1, 8):
        chain.append(world.submit(f"step-{i}", chain[-1], *([bad] if i in (1, 6) else [])))
    world.user.release([step.key for step in chain[:-1]])
    world.run()
    assert chain[-1].status == "error" and chain[-1].record.failure is not None and chain[-1].record.failure.key == "bad"


def test_what_comes_back_stops_the_work_on_it_and_on_what_only_it_needed(world: World) -> None:
    """Seed 103578: a task that was let go and recalled in one round was sent out once more."""
    a, b = world.workers(2)
    top = world.submit("top", workers=[a, b], nbytes=100_000, duration_s=0.5)
    left = world.submit("left", top, workers=[a, b], nbytes=100_000)
    right = world.submit("right", top, workers=[a, b], nbytes=100_000)
    join = world.submit("join", left, right, top, workers=[a, b], nbytes=100_000)
    world.run()
    world.user.release([top.key, left.key])
    world.run(for_s=0.1)
    holders = [worker for worker in (a, b) if worker.store]
    for worker in holders:
        world.drop_link(worker)
    world.run(for_s=5.0)
    world.run()
    assert right.status == join.status == "finished" and world.quiet()
