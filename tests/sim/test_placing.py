"""Where and when tasks run: priorities, resources, restrictions, sending ahead, stealing, and tasks that wait for tasks."""

from __future__ import annotations

from jupyterfut.core.scheduler import SchedulerConfig
from jupyterfut.ids import Key
from jupyterfut.sim.rest import settle
from jupyterfut.sim.workload import WorkerPlan
from jupyterfut.sim.world import World


def order_of_runs(world: World, *names: str) -> list[str]:
    """These keys in the order in which workers started them."""
    lines = [(at, key) for at, who, key, what, _ in world.story(*names) if who.startswith("w") and what == "done"]
    return [key for _, key in sorted(lines)]


def test_higher_priority_runs_first(world: World) -> None:
    world.user
    world.run(for_s=1.0)
    low = [world.submit(f"low-{i}", priority=-1) for i in range(3)]
    normal = [world.submit(f"normal-{i}") for i in range(3)]
    high = [world.submit(f"high-{i}", priority=10) for i in range(3)]
    world.run(for_s=1.0)
    world.workers(1)
    world.run()
    assert order_of_runs(world, *[fut.key for fut in low + normal + high]) == [fut.key for fut in high + normal + low]


def test_resources_nobody_has_are_waited_for(world: World) -> None:
    world.workers(1)
    fut = world.submit("x", resources={"GPU": 2})
    world.run(for_s=10.0)
    assert fut.status == "pending"
    assert "GPU" in world.scheduler.machine.query.why_pending(None, {"key": "x"})  # type: ignore[arg-type]  # it does not ask who wants to know
    world.worker(resources={"GPU": 2.0})
    world.run()
    assert fut.status == "finished"


def test_resources_bound_how_many_run_at_once(world: World) -> None:
    a = world.worker(nthreads=8, resources={"GPU": 2.0})
    futures = [world.submit(f"x-{i}", resources={"GPU": 1}, duration_s=1.0) for i in range(6)]
    most = 0
    while any(fut.status == "pending" for fut in futures):
        world.run(for_s=0.1)
        most = max(most, sum(thread.started for thread in a.threads.values()))
    assert most == 2


def test_a_restriction_is_kept_and_a_wish_is_not_needed(world: World) -> None:
    a, b = world.workers(2)
    there = [world.submit(f"there-{i}", workers=[b]) for i in range(10)]
    wish = world.submit("wish", prefer=b)
    world.run()
    assert all(fut.key in b.store for fut in there) and not a.store
    assert wish.status == "finished"


def test_a_task_for_a_worker_that_is_not_here_waits_for_it(world: World) -> None:
    world.workers(1)
    fut = world.submit("x", workers=["late"])
    world.run(for_s=5.0)
    assert fut.status == "pending"
    world.start_worker(WorkerPlan("late"))
    world.run()
    assert fut.status == "finished"


def test_a_chain_is_sent_ahead_and_needs_no_round_trip_a_link() -> None:
    world = World(seed=6, delay_s=(0.1, 0.1))
    world.workers(2)
    world.run(until=lambda: world.user.welcomes == 1)
    last = world.submit("step-0", duration_s=0.0001)
    for i in range(1, 40):
        last = world.submit(f"step-{i}", last, duration_s=0.0001)
    began = world.now()
    world.run()
    assert last.value == world.value(last)
    assert world.now() - began < 2.0  # one round trip is 0.4 s; one a link would be 8 s
    settle(world)


def test_a_failure_reaches_what_was_sent_ahead(world: World) -> None:
    world.workers(1)
    bad = world.submit("step-0", flakes=1, duration_s=0.1)
    chain = [bad]
    for i in range(1, 10):
        chain.append(world.submit(f"step-{i}", chain[-1]))
    world.run()
    assert {fut.status for fut in chain} == {"error"} and world.runs("step-1") == 0


def test_what_was_sent_too_far_is_taken_back(world: World) -> None:
    a = world.worker()
    futures = [world.submit(f"x-{i}", duration_s=1.0) for i in range(8)]
    world.run(for_s=0.5)
    b = world.worker()
    world.run()
    assert all(fut.status == "finished" for fut in futures)
    assert len(b.store) >= 3 and len(a.store) >= 3


def test_a_late_worker_shares_the_work(world: World) -> None:
    world.worker()
    futures = [world.submit(f"x-{i}", duration_s=0.1) for i in range(100)]
    world.run(for_s=1.0)
    began = world.now()
    world.workers(3)
    world.run()
    assert all(fut.status == "finished" for fut in futures)
    assert world.now() - began < 4.0  # alone it would need nine


def define_fib(world: World, n: int) -> str:
    for i in range(n + 1):
        children = (Key(f"fib-{i - 1}"), Key(f"fib-{i - 2}")) if i >= 2 else ()
        world.define(f"fib-{i}", body="spawn" if children else "value", children=children, duration_s=0.0)
    return f"fib-{n}"


def test_tasks_that_wait_for_tasks_do_not_deadlock(world: World) -> None:
    world.worker(nthreads=2)
    fut = world.submit(define_fib(world, 20))
    world.run()
    assert fut.value == world.value(fut)
    assert all(world.runs(f"fib-{i}") == 1 for i in range(21))  # equal calls are one


def test_dependants_sent_ahead_leave_room_for_what_their_input_waits_for(world: World) -> None:
    """Seed 986: on a worker with one thread, what followed fib took the place of fib's own children."""
    a = world.worker()
    top = world.submit("top", world.submit(define_fib(world, 5)), nbytes=1_000_000)
    side = world.submit("side", top, nbytes=1_000_000)
    world.run()
    world.kill(a)
    world.restart(a)
    world.run()
    assert top.status == side.status == "finished"


def test_suspects_that_wait_for_suspects_do_not_deadlock(world: World) -> None:
    """Seed 284: a task under which a worker died runs alone on its worker; when it waited for another such task, that one never came."""
    a = world.worker()
    fut = world.submit(define_fib(world, 6))
    world.run(until=lambda: len(a.threads) > 2)
    world.kill(a)
    world.restart(a)
    world.run()
    assert fut.value == world.value(fut)


def test_futures_inside_a_result_are_kept_alive_by_it(world: World) -> None:
    world.workers(2)
    children = [world.define(f"child-{i}", duration_s=0.5) for i in range(3)]
    parent = world.submit("parent", body="futures", children=children)
    world.run()
    world.run(for_s=2.0)
    world.user.read([parent.key])
    world.run()
    assert [world.user.futures[child][0].status for child in children] == ["finished"] * 3
    assert all(world.runs(child) == 1 for child in children)


def test_an_idle_cluster_is_left_alone() -> None:
    """One worker is busy with a task that nobody can take over, another one idles: nothing happens but heartbeats."""
    world = World(seed=7, config=SchedulerConfig(heartbeat_s=5.0))
    a, _b = world.workers(2)
    futures = [world.submit(f"x-{i}", workers=[a], duration_s=50.0) for i in range(2)]
    world.run(for_s=1.0)
    before = world.events
    world.run(for_s=40.0)
    assert world.events - before < 80
    world.run()
    assert all(fut.status == "finished" for fut in futures)
    settle(world)


def test_suspects_take_their_resources_too(world: World) -> None:
    """Seed 13522: tasks under which a worker died were started without a look at what they take."""
    a = world.worker(nthreads=2, resources={"GPU": 2.0})
    futures = [world.submit(f"x-{i}", resources={"GPU": 2}, duration_s=1.0) for i in range(2)]
    world.run(for_s=0.5)
    world.kill(a)
    a = world.restart(a)
    while any(fut.status == "pending" for fut in futures):
        world.run(for_s=0.1)
        assert sum(thread.started for thread in a.threads.values()) <= 1


def test_a_successor_answers_to_its_name_although_its_predecessor_was_still_on_record(world: World) -> None:
    (a,) = world.workers(1)
    world.network.notice_range_s = (2.0, 3.0)
    world.kill(a)
    b = world.restart(a)
    world.run(until=lambda: world.here(b))
    fut = world.submit("x", workers=[a.name])
    world.run()
    assert fut.status == "finished" and "x" in b.store
