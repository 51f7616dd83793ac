"""Actors called from everywhere, and how they begin and end; over TCP and in-process."""

from __future__ import annotations

import asyncio
import gc
import pickle

import numpy as np
import pytest
from actor_helpers import HOSTS, Caller, Counter, Ends, Slow, play

from jupyterfut import Actor, ActorFuture, Client, Queue, Variable, config, get_client, wait
from jupyterfut.errors import ActorLost, CancelledError, ClosedError, LostData


@pytest.fixture(params=HOSTS)
def host(request):
    return request.param


@pytest.fixture
def client():
    with Client(processes=False, n_workers=1, threads_per_worker=1, set_as_default=False) as client:
        yield client


# --- from everywhere


def increment(counter):
    return counter.increment().result()


def kind_of(value):
    return type(value).__name__


async def increment_async(counter):
    await counter.increment()
    return await counter.n


def test_tasks_get_an_actor_by_future_or_by_itself(host):
    async def story(client, worker):
        task = client.submit(Counter, actor=True)
        assert await client.submit(kind_of, task) == "Actor"
        assert await client.submit(increment, task) == 1
        counter = await task
        assert await client.submit(increment, counter) == 2
        assert await client.submit(increment_async, counter) == 3
        assert await client.submit(len, [task, counter]) == 2
        assert all(type(one) is Actor for one in await client.gather([task, task]))

    play(story, host)


def test_a_call_inside_a_task_gives_the_slot_away(host):
    async def story(client, worker):
        counter = await client.submit(Counter, actor=True)
        caller = await client.submit(Caller, actor=True)
        assert await caller.call(counter, 3) == [1, 2, 3]
        assert sorted(await client.gather(client.map(increment, [counter] * 10, pure=False))) == list(range(4, 14))
        assert await caller.tasks(5) == [5, 4, 3, 2, 1]
        assert await client.submit(call_tasks, caller) == [2, 1]

    play(story, host)


def call_tasks(caller):
    return caller.tasks(2).result()


def test_actors_call_actors(host):
    async def story(client, *workers):
        counter = await client.submit(Counter, actor=True, workers="w0")
        for name in ("w0", "w1"):
            caller = await client.submit(Caller, actor=True, workers=name)
            assert await caller.worker() == name
            before = await counter.n
            assert await caller.call(counter, 2) == [before + 1, before + 2]
            assert await caller.read(counter) == before + 2
            assert await caller.call_async(counter) == before + 3

    play(story, host, workers=2)


def test_an_actor_made_inside_an_actor(host):
    async def story(client, worker):
        caller = await client.submit(Caller, actor=True)
        counter = await caller.make()
        gc.collect()
        assert await counter.increment() == 6

    play(story, host)


def test_futures_in_arguments_and_results_stay_futures(host):
    async def story(client, *workers):
        caller = await client.submit(Caller, actor=True)
        assert await caller.resolve(client.submit(pow, 3, 4)) == ("Future", 81)
        future = await caller.submit()
        assert future.client is client
        assert await future == 1024
        assert await caller.keep(client.submit(pow, 2, 5)) is None
        assert await caller.kept_result() == 32

    play(story, host, workers=2)


def test_an_actor_travels_to_another_client():
    async def story(client, worker):
        counter = await client.submit(Counter, actor=True)
        await counter.increment()
        async with Client(client.address, asynchronous=True, set_as_default=False) as other:
            with other.as_current():
                arrived = pickle.loads(pickle.dumps(counter))
            assert arrived._actor_future.client is other
            del counter
            gc.collect()
            assert await arrived.increment() == 2

    play(story)


def test_the_actor_belongs_to_the_client_that_asked():
    async def story(client, worker):
        async with Client(client.address, asynchronous=True) as other:
            counter = await client.submit(Counter, actor=True)
            assert counter._actor_future.client is client
            (gathered,) = await client.gather([client.submit(Counter, actor=True)])
            assert gathered._actor_future.client is client
            assert other.status == "running"

    play(story)


# --- birth and end


def test_equal_submits_make_two_actors(client):
    one, two = client.submit(Counter, actor=True), client.submit(Counter, actor=True)
    assert one.key != two.key
    one.result().increment().result()
    assert two.result().n == 0
    several = client.gather(client.map(Counter, [1, 1], actor=True))
    assert [counter.n for counter in several] == [1, 1]
    assert several[0] != several[1]


def test_a_constructor_that_fails_is_a_failed_future(client):
    task = client.submit(int, "x", actor=True)
    assert isinstance(task.exception(), ValueError)
    assert task.status == "error"


def test_any_object_may_be_an_actor(client):
    words = client.submit(list, "abc", actor=True).result()
    words.append("d").result()
    assert words.count("d").result() == 1
    assert repr(words).startswith("<Actor: list, key=list-")


def test_methods_run_in_one_thread_of_the_actors_own(host):
    async def story(client, worker):
        counter = await client.submit(Counter, actor=True)
        assert len({await counter.thread() for _ in range(10)}) == 1
        assert (await counter.thread()).startswith("jupyterfut-w0-actor-Counter-")

    play(story, host)


def test_the_last_reference_ends_the_actor_in_its_own_thread(host):
    async def story(client, worker):
        Ends.ended.clear()
        ends = await client.submit(Ends, actor=True)
        await ends.touch()
        assert not Ends.ended.is_set()
        del ends
        assert await asyncio.to_thread(Ends.ended.wait, 10)
        assert "-actor-Ends" in Ends.where
        assert not worker._actors.hosted

    play(story, host)


def test_an_actor_that_was_never_called_ends_too():
    async def story(client, worker):
        Ends.ended.clear()
        await client.submit(Ends, actor=True)
        assert await asyncio.to_thread(Ends.ended.wait, 10)
        assert "-actor-Ends" in Ends.where

    play(story)


def test_a_call_under_way_keeps_the_actor_alive(host):
    async def story(client, worker):
        call = (await client.submit(Counter, actor=True)).increment()
        gc.collect()
        assert await call == 1

    play(story, host)


def test_a_call_whose_future_is_dropped_runs(client):
    counter = client.submit(Counter, actor=True).result()
    for _ in range(10):
        counter.increment()
    assert counter.n == 10


def test_a_cancelled_actor_fails_its_calls(host):
    async def story(client, worker):
        Slow.entered.clear()
        Slow.go_on.clear()
        task = client.submit(Slow, actor=True)
        slow = await task
        hanging = slow.hang()
        assert await asyncio.to_thread(Slow.entered.wait, 10)
        await client.cancel(task)
        with pytest.raises(CancelledError):
            await hanging
        with pytest.raises(CancelledError):
            await slow.quick()

    play(story, host)


def test_a_constructor_that_was_cancelled_and_went_on_leaves_no_actor(monkeypatch):
    monkeypatch.setenv("JUPYTERFUT_WORKER_INTERRUPT", "no")
    config._read.cache_clear()

    async def story(client, worker):
        Slow.entered.clear()
        Slow.go_on.clear()
        task = client.submit(slow_to_make, actor=True)
        assert await asyncio.to_thread(Slow.entered.wait, 10)
        Ends.ended.clear()
        await client.cancel(task)
        Slow.go_on.set()
        assert await asyncio.to_thread(Ends.ended.wait, 10)
        assert not worker._actors.newborn
        assert not worker._actors.hosted

    play(story)


def slow_to_make():
    Slow.entered.set()
    assert Slow.go_on.wait(30)
    return Ends()


def test_a_worker_that_closes_fails_the_calls_of_its_actors(host):
    async def story(client, *workers):
        Slow.entered.clear()
        Slow.go_on.clear()
        task = client.submit(Slow, actor=True, workers="w1")
        slow = await task
        holding = slow.hold()
        assert await asyncio.to_thread(Slow.entered.wait, 10)
        closing = asyncio.create_task(workers[1].close())
        with pytest.raises(ActorLost):
            await holding
        with pytest.raises(ActorLost, match="Slow"):
            await lost_call(slow)
        Slow.go_on.set()
        await closing
        assert task.status == "lost"

    play(story, host, workers=2)


async def lost_call(slow):
    """A later call, once the scheduler has spoken or not: it fails in any case."""
    while (error := await slow.quick().exception()) is None or "Slow" not in str(error):
        assert isinstance(error, ActorLost)
    raise error


def test_a_connection_that_breaks_fails_what_was_under_way_and_repeats_nothing():
    async def story(client, worker):
        counter = await client.submit(Counter, actor=True)
        await counter.increment()
        Slow.entered.clear()
        Slow.go_on.clear()
        slow = await client.submit(Slow, actor=True)
        holding = slow.hold()
        assert await asyncio.to_thread(Slow.entered.wait, 10)
        road = client._calling._roads[worker.address]
        road._stream.abort()
        road._on_closed("cut by the test")
        with pytest.raises(ActorLost, match="may have run or not"):
            await holding
        assert await counter.increment() == 2
        Slow.go_on.set()
        assert await slow.quick() == "quick"

    play(story)


def test_a_worker_that_loses_its_scheduler_lets_go_of_its_actors():
    async def story(client, worker):
        task = client.submit(Counter, actor=True)
        counter = await task
        await counter.increment()
        worker._stream.abort()
        worker._on_closed("cut by the test")
        with pytest.raises(ActorLost):
            await counter.increment()
        assert not worker._actors.hosted

    play(story)


def test_a_closed_client_calls_nobody(client):
    counter = client.submit(Counter, actor=True).result()
    client.close()
    with pytest.raises(ClosedError):
        counter.increment()


def test_calls_under_way_end_with_their_client():
    async def story(client, worker):
        Slow.entered.clear()
        Slow.go_on.clear()
        other = await Client(client.address, asynchronous=True, set_as_default=False)
        slow = await other.submit(Slow, actor=True)
        holding = slow.hold()
        assert await asyncio.to_thread(Slow.entered.wait, 10)
        await other.close()
        with pytest.raises((CancelledError, ClosedError)):
            await holding
        Slow.go_on.set()

    play(story)


def test_actors_are_spread_over_workers(host):
    async def story(client, *workers):
        actors = await client.gather(client.map(Counter, range(6), actor=True))
        assert len(actors) == 6
        assert [len(worker._actors.hosted) for worker in workers] == [3, 3]

    play(story, host, workers=2)


class Buffer:
    """Hands out its own array, and changes it."""

    def __init__(self):
        self.array = np.zeros(100_000)

    def give(self):
        return self.array

    def set(self, x):
        self.array[:] = x

    def take(self, array):
        self.array = array

    def total(self):
        return float(self.array.sum())


def test_values_are_captured_when_they_are_sent():
    async def story(client, worker):
        buffer = await client.submit(Buffer, actor=True)
        calls = []
        for x in range(5):
            buffer.set(x)
            calls.append(buffer.give())
        assert [float((await call)[0]) for call in calls] == [0.0, 1.0, 2.0, 3.0, 4.0]
        mine = np.ones(100_000)
        buffer.take(mine)
        mine[:] = 7
        assert await buffer.total() == 100_000

    play(story)


def test_a_task_may_return_an_actor(host):
    async def story(client, worker):
        counter = await client.submit(make_counter, pure=False)
        gc.collect()
        assert await counter.increment() == 4
        (again,) = await client.submit(make_several, pure=False)
        assert await again.increment() == 4

    play(story, host)


def make_counter():
    return get_client().submit(Counter, 3, actor=True).result()


def make_several():
    return [make_counter()]


def test_a_silent_stream_is_given_up_when_the_scheduler_says_that_the_worker_is_lost():
    async def story(client, worker):
        Slow.entered.clear()
        Slow.go_on.clear()
        slow = await client.submit(Slow, actor=True)
        holding = slow.hold()
        assert await asyncio.to_thread(Slow.entered.wait, 10)
        road = client._calling._roads[worker.address]
        road._stream.start(lambda messages: None, lambda reason: None)  # whatever comes from there now, nobody hears it
        worker._stream.abort()
        worker._on_closed("cut by the test")
        with pytest.raises(ActorLost, match="is gone"):
            await holding
        Slow.go_on.set()

    play(story)


def test_a_worker_shows_its_actors(host):
    async def story(client, worker):
        task = client.submit(Counter, 3, actor=True)
        await wait(task)
        assert worker.actors[task.key].n == 3

    play(story, host)


def test_actors_and_their_futures_are_not_made_by_hand():
    with pytest.raises(AttributeError):
        Actor.__new__(Actor).anything
    with pytest.raises(TypeError, match="actor=True"):
        Actor()
    with pytest.raises(TypeError, match="calling a method"):
        ActorFuture()


def test_nothing_is_left_of_an_actor():
    async def story(client, worker):
        counter = await client.submit(Counter, actor=True)
        caller = await client.submit(Caller, actor=True)
        await caller.call(counter, 2)
        await caller.submit()
        del counter, caller
        gc.collect()
        while (await client.scheduler_info())["tasks"]["memory"] or worker._actors.hosted:
            gc.collect()
        assert not worker._actors._kept
        assert not worker._actors.newborn
        assert not client._session.state.records

    play(story)


def test_a_lost_actor_can_be_made_again_by_hand():
    async def story(client, *workers):
        task = client.submit(Counter, 3, actor=True, workers="w1", allow_other_workers=True, retries=5)
        old = await task
        await old.increment()
        await workers[1].close()
        with pytest.raises(LostData, match="is gone"):
            while True:  # until the scheduler's word is here; it is not made again by itself
                await task
        await client.retry(task)
        new = await task
        assert await new.n == 3
        assert new != old
        with pytest.raises(ActorLost):
            await old.increment()

    play(story, workers=2)


def test_an_actor_travels_through_a_queue_and_a_variable(host):
    async def story(client, worker):
        counter = await client.submit(Counter, 1, actor=True)
        queue, variable = Queue("actors", client=client), Variable("actor", client=client)
        await queue.put(counter)
        await variable.set(counter)
        del counter
        gc.collect()
        assert await (await queue.get()).increment() == 2
        assert await (await variable.get()).increment() == 3

    play(story, host)
