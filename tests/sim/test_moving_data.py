"""Data that moves: copies, an even spread, and workers that retire, also while others die."""

from __future__ import annotations

from typing import Any

from jupyterfut.sim.clients import SimFuture
from jupyterfut.sim.rest import settle
from jupyterfut.sim.workers import SimWorker
from jupyterfut.sim.world import World

LARGE = 1_000_000


class Question:
    """A request of the first user, and its answer once there is one."""

    def __init__(self, world: World, op: str, **args: Any) -> None:
        self.world = world
        self.value: Any = None
        self.failure: Any = None
        self.answered = False
        world.user.ask(op, args, self._answer)

    def _answer(self, value: Any, failure: Any) -> None:
        assert not self.answered
        self.value, self.failure, self.answered = value, failure, True

    def wait(self) -> Question:
        self.world.run(until=lambda: self.answered)
        return self


def replicate(world: World, *futures: SimFuture, **args: Any) -> Question:
    return Question(world, "replicate", keys=[future.key for future in futures], **args)


def retire(world: World, *workers: SimWorker, **args: Any) -> Question:
    return Question(world, "retire_workers", workers=[worker.name for worker in workers], **args)


def holders(world: World, future: SimFuture) -> set[str]:
    return {worker.name for worker in world.places.values() if worker.alive and future.key in worker.store}


def scattered(world: World, key: str = "int-1", nbytes: int = LARGE) -> SimFuture:
    future = world.scatter(key, nbytes=nbytes)
    world.run(until=lambda: future.done)
    return future


def on(world: World, worker: SimWorker, key: str, nbytes: int = LARGE) -> SimFuture:
    """A large result that this worker has made."""
    future = world.submit(key, prefer=worker, nbytes=nbytes)
    world.run()
    assert holders(world, future) == {worker.name}
    return future


# --- replicate


def test_copies_go_from_holder_to_holder(world: World) -> None:
    workers = world.workers(8)
    data = scattered(world)
    answer = replicate(world, data, branching_factor=2).wait()
    assert holders(world, data) == {worker.name for worker in workers} and answer.value == 7
    served = [len(worker.store) for worker in workers]
    assert served == [1] * 8
    settle(world)
    assert not any(worker.store for worker in workers)


def test_small_data_that_only_the_scheduler_keeps_is_copied_too(world: World) -> None:
    world.workers(3)
    data = scattered(world, nbytes=40)
    assert not holders(world, data)
    replicate(world, data, n=2).wait()
    assert len(holders(world, data)) == 2
    settle(world)


def test_fewer_copies_than_there_are(world: World) -> None:
    a, *_ = world.workers(4)
    fut = on(world, a, "x")
    replicate(world, fut).wait()
    assert replicate(world, fut, n=1).wait().failure is None
    world.run(for_s=1.0)
    assert len(holders(world, fut)) == 1 and world.runs(fut) == 1
    settle(world)


def test_only_the_named_workers_count(world: World) -> None:
    a, b, c = world.workers(3)
    fut = on(world, a, "x")
    replicate(world, fut, n=1, workers=[b.name, c.name]).wait()
    assert len(holders(world, fut) - {a.name}) == 1
    settle(world)


def test_a_worker_that_dies_gets_no_copy_and_keeps_nobody_waiting(world: World) -> None:
    a, b, c = world.workers(3)
    data = on(world, a, "x")
    answer = replicate(world, data)
    world.run(until=lambda: bool(world.scheduler.machine.replicas.jobs))
    world.kill(b)
    answer.wait()
    assert answer.failure is None and holders(world, data) == {a.name, c.name}
    settle(world)


def test_the_only_holder_dies_while_it_is_copied(world: World) -> None:
    a, b, c = world.workers(3)
    fut = on(world, a, "x")
    world.cut_roads_from(a)
    answer = replicate(world, fut)
    world.run(for_s=0.05)
    world.kill(a)
    answer.wait()
    assert answer.failure is None and holders(world, fut) == {b.name, c.name} and world.runs(fut) == 2
    settle(world)


def test_what_cannot_be_fetched_is_said_in_the_end(world: World) -> None:
    _a, _b = world.workers(2)
    data = scattered(world)
    holder = next(worker for worker in world.places.values() if data.key in worker.store)
    world.cut_roads_from(holder)
    answer = replicate(world, data).wait()
    assert answer.failure.kind == "NotCopied" and data.key in answer.failure.text
    world.mend_roads_from(holder)
    assert replicate(world, data).wait().failure is None and len(holders(world, data)) == 2
    settle(world)


def test_a_key_that_nobody_knows(world: World) -> None:
    world.workers(1)
    assert Question(world, "replicate", keys=["nothing"]).wait().failure.kind == "NoSuchKey"
    assert Question(world, "replicate", keys=[], workers=["nobody"]).wait().failure.kind == "ValueError"


# --- rebalance


def test_bytes_are_spread_evenly(world: World) -> None:
    a, b, c, d = world.workers(4)
    futures = [world.submit(f"x-{i}", workers=[a], nbytes=LARGE) for i in range(12)]
    world.run()
    answer = Question(world, "rebalance").wait()
    world.run(for_s=1.0)
    assert [len(worker.store) for worker in (a, b, c, d)] == [3, 3, 3, 3] and answer.value == 9
    assert all(world.runs(fut) == 1 for fut in futures)
    assert Question(world, "rebalance").wait().value == 0  # there is nothing left to do
    settle(world)


def test_tasks_go_on_while_their_inputs_move(world: World) -> None:
    a, _b = world.workers(2)
    inputs = [world.submit(f"x-{i}", workers=[a], nbytes=LARGE) for i in range(6)]
    world.run()
    answer = Question(world, "rebalance")
    sums = [world.submit(f"sum-{i}", inputs[i], inputs[(i + 1) % 6]) for i in range(6)]
    world.run()
    assert answer.answered and all(fut.status == "finished" for fut in sums)
    settle(world)


# --- retirement


def test_a_worker_retires_with_nothing_lost_and_nothing_done_twice(world: World) -> None:
    a, b = world.workers(2)
    data = [scattered(world, f"int-{i}") for i in range(6)]
    results = [on(world, a, f"x-{i}") for i in range(3)]
    answer = retire(world, a).wait()
    assert list(answer.value) == [a.address]
    world.run(until=lambda: not a.alive)
    assert not world.here(a)
    assert all(fut.key in b.store for fut in data + results) and all(world.runs(fut) == 1 for fut in results)
    total = world.submit("total", *data, *results)
    world.run()
    assert total.status == "finished"
    settle(world)


def test_what_runs_may_end_and_what_waits_goes_elsewhere(world: World) -> None:
    a, b = world.workers(2)
    world.stall(b)  # so that all come to a
    futures = [world.submit(f"x-{i}", prefer=a, duration_s=5.0, nbytes=LARGE) for i in range(4)]
    world.run(for_s=1.0)
    world.heal(b)
    answer = retire(world, a)
    world.run(until=lambda: answer.answered)
    assert world.now() > 5.0 and sum(fut.key in b.store for fut in futures) >= 1
    world.run()
    assert all(fut.status == "finished" for fut in futures) and all(world.runs(fut) == 1 for fut in futures)
    settle(world)


def test_what_runs_too_long_runs_again_elsewhere_and_is_not_to_blame() -> None:
    world = World(seed=5)
    a, b = world.workers(2)
    fut = world.submit("x", prefer=a, duration_s=50.0)
    world.run(for_s=1.0)
    answer = retire(world, a, timeout_s=3.0).wait()
    assert 3.5 < world.now() < 6.0 and answer.failure is None
    world.run()
    assert fut.status == "finished" and world.runs(fut) == 2 and fut.key in b.store
    assert world.scheduler.machine.state.tasks[fut.key].deaths == 0
    settle(world)


def test_the_last_worker_stays_and_works_on(world: World) -> None:
    a = world.worker()
    data = scattered(world)
    answer = retire(world, a).wait()
    assert answer.failure.kind == "NotRetired" and a.name in answer.failure.text
    fut = world.submit("x", data)
    world.run()
    assert fut.status == "finished" and data.status == "finished"
    settle(world)


def test_an_empty_last_worker_may_go(world: World) -> None:
    a = world.worker()
    assert list(retire(world, a).wait().value) == [a.address]
    world.run(until=lambda: not a.alive)
    settle(world)


def test_two_go_at_once_and_neither_counts_on_the_other(world: World) -> None:
    a, b, c = world.workers(3)
    fut = on(world, a, "x")
    replicate(world, fut, workers=[a.name, b.name]).wait()
    answer = retire(world, a, b).wait()
    assert set(answer.value) == {a.address, b.address}
    assert holders(world, fut) >= {c.name} and world.runs(fut) == 1
    settle(world)


def test_whoever_was_to_take_over_dies(world: World) -> None:
    a, b, c = world.workers(3)
    data = [scattered(world, f"int-{i}") for i in range(12)]
    source = next(worker for worker in (a, b, c) if data[0].key in worker.store)
    others = [worker for worker in (a, b, c) if worker is not source]
    lost = {fut.key for fut in data if fut.key in others[0].store}
    answer = retire(world, source)
    world.run(until=lambda: bool(world.scheduler.machine.replicas.copies))
    world.kill(others[0])
    answer.wait()
    assert answer.failure is None
    assert all(fut.key in others[1].store for fut in data if fut.key not in lost)
    settle(world)


def test_all_others_die_and_the_retirement_is_off(world: World) -> None:
    a, b = world.workers(2)
    fut = world.submit("x", prefer=a, duration_s=10.0, nbytes=LARGE)
    world.run(for_s=1.0)
    answer = retire(world, a)
    world.run(for_s=1.0)
    world.kill(b)
    answer.wait()
    assert answer.failure.kind == "NotRetired"
    world.run()
    assert fut.status == "finished" and world.runs(fut) == 1
    settle(world)


def test_a_broken_link_does_not_end_a_retirement(world: World) -> None:
    a, b = world.workers(2)
    data = on(world, a, "x")
    world.cut_roads_from(a)
    retire(world, a)
    world.run(for_s=0.5)
    world.drop_link(a)
    world.mend_roads_from(a)
    world.run(until=lambda: not a.alive)
    assert holders(world, data) == {b.name}
    settle(world)


def test_a_task_may_wait_for_another_that_only_its_retiring_worker_may_run() -> None:
    world = World(seed=6)
    a = world.worker(nthreads=2, resources={"GPU": 1.0})
    world.worker()
    child = world.define("child", duration_s=0.1)
    world.program.calls[child] = _with_resources(world.program.calls[child])
    world.define("early", duration_s=2.0)
    parent = world.submit("parent", body="spawn", children=["early", "child"], prefer=a)
    world.run(for_s=0.5)
    assert a.threads
    answer = retire(world, a)
    world.run()
    assert answer.answered and parent.status == "finished"
    settle(world)


def _with_resources(call: Any) -> Any:
    from dataclasses import replace

    return replace(call, options=call.options._replace(resources={"GPU": 1}))


def test_the_scheduler_chooses_who_costs_least(world: World) -> None:
    a, b, c, d = world.workers(4)
    order = list(world.scheduler.machine.state.workers)
    older, younger = sorted((a, b), key=lambda worker: order.index(worker.address))
    on(world, d, "x")
    busy = world.submit("busy", prefer=c, duration_s=5.0)
    world.run(for_s=0.5)
    first = Question(world, "retire_workers", n=1).wait()
    assert list(first.value) == [younger.address]  # idle, and empty
    second = Question(world, "retire_workers", n=3, minimum=2, idle_only=True).wait()
    assert list(second.value) == [older.address]
    third = Question(world, "retire_workers", n=5, idle_only=True, minimum=1).wait()
    assert list(third.value) == [d.address]
    world.run()
    assert busy.status == "finished"


def test_an_emptied_worker_stands_by(world: World) -> None:
    a, b = world.workers(2)
    fut = on(world, a, "x")
    retire(world, a, close=False).wait()
    assert a.alive and world.here(a) and b.name in holders(world, fut)
    world.submit("y", prefer=a)
    world.run()
    assert "y" in b.store and "y" not in a.store
    world.kill(a)
    world.run(for_s=1.0)
    assert world.runs(fut) == 1 and fut.status == "finished"
    settle(world)


def test_who_asked_may_go(world: World) -> None:
    a, b = world.workers(2)
    leaver = world.client()
    data = on(world, a, "x")
    world.run(for_s=1.0)
    leaver.ask("retire_workers", {"workers": [a.name]}, lambda value, failure: None)
    leaver.leave()
    world.run(until=lambda: not a.alive)
    assert holders(world, data) == {b.name}
    settle(world)


def test_data_that_is_let_go_while_it_moves_is_gone_everywhere(world: World) -> None:
    a, b = world.workers(2)
    data = on(world, a, "x")
    replicate(world, data)
    world.run(until=lambda: bool(world.scheduler.machine.replicas.copies))
    world.user.release([data.key])
    world.run(for_s=2.0)
    assert not a.store and not b.store
    settle(world)


def test_a_copy_that_arrives_where_its_original_is_being_made_again_is_not_forgotten() -> None:
    """Seed 73601: the scheduler did not note it, and when the attempt was cancelled nobody let go of the copy."""
    world = World(seed=7, delay_s=(0.01, 0.02))
    a, b = world.workers(2)
    fut = on(world, a, "x")
    busy = world.submit("busy", prefer=b, duration_s=5.0)
    world.run(for_s=0.5)
    world.submit("y", fut, workers=[b])
    world.run(until=lambda: bool(b.machine.fetches.wanted))
    world.drop_link(a)
    world.run(until=lambda: "x" in b.store)
    world.run()
    assert busy.status == "finished" and world.runs(fut) == 1
    settle(world)
    assert not b.store


def test_a_worker_that_did_not_hear_that_it_has_retired_hears_it_when_it_is_back(world: World) -> None:
    """Seed 74335: the goodbye went to a link that was broken already, and the worker joined again as if nothing had been."""
    a, _b = world.workers(2)
    world.stall(a)
    answer = retire(world, a).wait()
    assert answer.failure is None and a.alive
    world.drop_link(a)
    world.heal(a)
    world.run(until=lambda: not a.alive)
    settle(world)


def test_an_emptied_worker_stands_by_again_when_its_link_is_back(world: World) -> None:
    """Seed 102209: it was a worker like all others then, while its owner believed it to be empty."""
    a, b = world.workers(2)
    retire(world, a, close=False).wait()
    world.drop_link(a)
    world.run(until=world.lost(a))
    world.run(until=lambda: world.here(a))
    world.run(for_s=0.5)
    world.submit("y", prefer=a)
    world.run()
    assert "y" in b.store and "y" not in a.store
    settle(world)


def test_an_emptied_worker_gets_not_even_what_only_it_may_run(world: World) -> None:
    """Seed 107289: its owner ended it, as he may, while the call ran, which therefore ran twice."""
    a, _b = world.workers(2)
    retire(world, a, close=False).wait()
    bound = world.submit("y", workers=[a])
    world.run(for_s=1.0)
    assert not a.threads and world.runs(bound) == 0
    assert "has retired" in Question(world, "why_pending", key="y").wait().value
    a.stop()
    world.restart(a)
    world.run()
    assert bound.status == "finished" and world.runs(bound) == 1
    settle(world)
