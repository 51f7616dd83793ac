"""Actors: an object on one worker that is called from the client, from tasks, and from other actors; over TCP and in-process."""

from __future__ import annotations

import asyncio
import gc
import pickle
import threading

import numpy as np
import pytest

from jupyterfut import Actor, ActorFuture, ActorTask, Client, as_completed, get_client, get_worker, wait
from jupyterfut.errors import ActorLost, CancelledError, ClosedError, SerializationError, TimeoutError  # noqa: A004
from jupyterfut.runtime.scheduler_server import Scheduler
from jupyterfut.runtime.worker_server import Worker

HOSTS = ["127.0.0.1", "inproc"]


class Counter:
    """The seeds' own."""

    n = 0

    def __init__(self, start=0):
        self.n = start
        self.threads = set()

    def increment(self):
        self.n += 1
        return self.n

    def add(self, x=0, *, twice=False):
        self.n += 2 * x if twice else x
        return self.n

    @property
    def double(self):
        return 2 * self.n

    @property
    def bad(self):
        raise ValueError("a bad property")

    def fail(self):
        raise ValueError(f"at {self.n}")

    def thread(self):
        return threading.current_thread().name

    def learn(self):
        self.learned = 7
        self.shout = str.upper

    def _hidden(self):
        return "found"

    def give(self, x):
        return x

    def key(self):
        return "its own"


class ParameterServer:
    def __init__(self):
        self.data = {}

    def put(self, key, value):
        self.data[key] = value

    def get(self, key):
        return self.data[key]


class Gate:
    """`async def` methods, which wait for one another."""

    def __init__(self):
        self.event = asyncio.Event()
        self.log = []

    async def wait(self):
        await self.event.wait()
        return "through"

    async def open(self):
        self.event.set()

    async def note(self, x):
        self.log.append(x)
        await asyncio.sleep(0)

    def note_in_thread(self, x):
        self.log.append(x)

    async def client_inside(self):
        client = get_client()
        return await client.submit(abs, -3), get_worker().name


class Caller:
    """An actor that calls others, and the cluster."""

    def call(self, other, n=1):
        return [other.increment().result() for _ in range(n)]

    def read(self, other):
        return other.n

    async def call_async(self, other):
        await other.increment()
        return await other.n

    def tasks(self, n):
        client = get_client()
        return client.gather(client.map(abs, range(-n, 0), pure=False))

    def submit(self):
        return get_client().submit(pow, 2, 10)

    def resolve(self, future):
        return type(future).__name__, future.result()

    def keep(self, future):
        self.kept = future

    def kept_result(self):
        return self.kept.result()

    def make(self):
        return get_client().submit(Counter, 5, actor=True).result()

    def worker(self):
        return get_worker().name


class Ends:
    """Tells of its end."""

    ended = threading.Event()
    where = ""

    def touch(self):
        return None

    def __del__(self):
        Ends.where = threading.current_thread().name
        Ends.ended.set()


class Slow:
    """Waits in its thread until it is told."""

    entered = threading.Event()
    go_on = threading.Event()

    def hold(self):
        Slow.entered.set()
        assert Slow.go_on.wait(30)
        return "held"

    async def hang(self):
        Slow.entered.set()
        await asyncio.Event().wait()

    def quick(self):
        return "quick"


def play(story, host="127.0.0.1", nthreads=1, workers=1):
    async def run():
        async with Scheduler(host=host) as scheduler:
            crew = [await Worker(scheduler.address, nthreads=nthreads, name=f"w{number}").start() for number in range(workers)]
            try:
                async with Client(scheduler.address, asynchronous=True, set_as_default=False) as client:
                    async with asyncio.timeout(60):
                        await story(client, *crew)
            finally:
                for worker in crew:
                    await worker.close()

    asyncio.run(run())


@pytest.fixture(params=HOSTS)
def host(request):
    return request.param


@pytest.fixture
def client():
    with Client(processes=False, n_workers=1, threads_per_worker=1, set_as_default=False) as client:
        yield client


# --- the seeds


def test_the_seeds_counter(client):
    task = client.submit(Counter, actor=True)
    counter = task.result()
    assert type(counter) is Actor
    assert repr(counter) == f"<Actor: Counter, key={task.key}>"
    call = counter.increment()
    assert repr(call) == "<ActorFuture>"
    assert type(call) is ActorFuture
    assert ActorTask is ActorFuture
    assert call.result() == 1
    assert counter.n == 1
    assert (task.status, task.type.rpartition(".")[2]) == ("finished", "Counter")


def test_the_seeds_parameter_server(client):
    server = client.submit(ParameterServer, actor=True).result()
    server.put("parameters", np.random.default_rng(0).random(1000))
    for _ in range(20):
        parameters = server.get("parameters").result()
        server.put("parameters", parameters - 0.1 * 2 * (parameters - 1))
    assert abs(server.get("parameters").result().mean() - 1) < 0.01


def test_the_seeds_asynchronous_operation(host):
    async def story(client, worker):
        counter = await client.submit(Counter, actor=True)
        counter.increment()
        await counter.increment()
        assert await counter.n == 2

    play(story, host)


# --- calls


def test_calls_run_in_the_order_sent(host):
    async def story(client, worker):
        counter = await client.submit(Counter, actor=True)
        calls = [counter.increment() for _ in range(3000)]
        assert [await call for call in calls] == list(range(1, 3001))

    play(story, host)


def test_arguments_by_name_and_position(client):
    counter = client.submit(Counter, 10, actor=True).result()
    assert counter.add(1, twice=True).result() == 12
    assert counter.add().result() == 12


def test_a_call_may_be_awaited_twice_and_asked_for_its_result_again(host):
    async def story(client, worker):
        counter = await client.submit(Counter, actor=True)
        call = counter.increment()
        assert await call == 1
        assert await call == 1
        assert await call.result() == 1
        assert call.done()

    play(story, host)


def test_an_exception_comes_back_with_the_users_lines(host):
    async def story(client, worker):
        counter = await client.submit(Counter, actor=True)
        call = counter.fail()
        with pytest.raises(ValueError, match="at 0") as raised:
            await call
        assert raised.traceback[-1].name == "fail"
        assert isinstance(await call.exception(), ValueError)
        assert call.status == "error"
        assert await counter.increment() == 1

    play(story, host)


def test_a_call_of_what_is_no_method(client):
    counter = client.submit(Counter, actor=True).result()
    with pytest.raises(TypeError, match="add"):
        counter.add(1, 2, 3).result()


def test_arguments_that_cannot_be_pickled_fail_at_once():
    async def story(client, worker):
        counter = await client.submit(Counter, actor=True)
        with pytest.raises(SerializationError):
            counter.give(threading.Lock())
        with pytest.raises(SerializationError, match="belongs to the client"):
            counter.give(counter.increment())
        assert await counter.increment() == 2

    play(story)


def test_a_result_that_cannot_be_pickled_fails_its_call_only():
    async def story(client, worker):
        caller = await client.submit(Unsendable, actor=True)
        with pytest.raises(SerializationError):
            await caller.lock()
        assert await caller.fine() == 1

    play(story)


class Unsendable:
    def lock(self):
        return threading.Lock()

    def fine(self):
        return 1


def test_in_process_objects_pass_by_reference(client):
    counter = client.submit(Counter, actor=True).result()
    lock = threading.Lock()
    assert counter.give(lock).result() is lock


def test_large_arrays_travel_beside_the_pickle():
    async def story(client, worker):
        server = await client.submit(ParameterServer, actor=True)
        array = np.arange(500_000.0)
        await server.put("x", array)
        back = await server.get("x")
        assert (back == array).all()

    play(story)


def test_thousands_of_calls_in_flight_from_a_thread(client):
    counter = client.submit(Counter, actor=True).result()
    calls = [counter.increment() for _ in range(5000)]
    assert [call.result() for call in calls] == list(range(1, 5001))


def test_many_callers_lose_nothing(client):
    counter = client.submit(Counter, actor=True).result()

    def call():
        for _ in range(200):
            counter.increment().result()

    threads = [threading.Thread(target=call) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.n == 1000


def test_a_timeout_gives_up_the_wait_and_not_the_call(client):
    slow = client.submit(Slow, actor=True).result()
    Slow.entered.clear()
    Slow.go_on.clear()
    call = slow.hold()
    with pytest.raises(TimeoutError):
        call.result(timeout=0)
    with pytest.raises(TimeoutError):
        call.exception(timeout="1 ms")
    assert not call.done()
    assert not call.cancel()
    assert not call.cancelled()
    Slow.go_on.set()
    assert call.result(timeout=10) == "held"


def test_done_callbacks(client):
    counter = client.submit(Counter, actor=True).result()
    done = threading.Event()
    seen = []

    def note(call):
        seen.append(call.result())
        done.set()

    counter.increment().add_done_callback(note)
    assert done.wait(10)
    assert seen == [1]


def test_as_completed_wait_and_gather_take_calls(client):
    counter = client.submit(Counter, actor=True).result()
    calls = [counter.increment() for _ in range(10)]
    assert sorted(value for _, value in as_completed(calls, with_results=True)) == list(range(1, 11))
    done, rest = wait([counter.increment(), client.submit(abs, -1)])
    assert (len(done), len(rest)) == (2, 0)
    assert client.gather({"a": counter.increment(), "b": [client.submit(abs, -1)]}) == {"a": 12, "b": [1]}


# --- names


def test_attributes_block_and_properties_work(client):
    counter = client.submit(Counter, 4, actor=True).result()
    assert (counter.n, counter.double) == (4, 8)
    with pytest.raises(ValueError, match="a bad property"):
        counter.bad


def test_unknown_names(client):
    counter = client.submit(Counter, actor=True).result()
    with pytest.raises(AttributeError, match=r"'Counter' object has no attribute 'nosuch'"):
        counter.nosuch
    for name in ("_nosuch", "__array__", "_repr_html_", "_ipython_display_"):
        assert not hasattr(counter, name)
    assert counter._hidden().result() == "found"


def test_names_that_appear_later(client):
    counter = client.submit(Counter, actor=True).result()
    counter.learn().result()
    assert counter.learned == 7
    assert counter.shout("x").result() == "X"


def test_unknown_names_of_an_asynchronous_client(host):
    async def story(client, worker):
        counter = await client.submit(Counter, actor=True)
        with pytest.raises(AttributeError, match="nosuch"):
            await counter.nosuch
        with pytest.raises(AttributeError, match="nosuch"):
            await counter.nosuch(1)
        await counter.learn()
        assert await counter.learned == 7
        shout = await counter.shout
        assert await shout("x") == "X"

    play(story, host)


def test_a_name_of_the_class_goes_before_one_of_ours(client):
    counter = client.submit(Counter, actor=True).result()
    assert counter.key().result() == "its own"
    server = client.submit(ParameterServer, actor=True).result()
    assert server.key.startswith("ParameterServer-")


def test_attributes_cannot_be_set_from_outside(client):
    counter = client.submit(Counter, actor=True).result()
    with pytest.raises(AttributeError, match="Counter.n cannot be set from outside"):
        counter.n = 5
    with pytest.raises(AttributeError, match="cannot be deleted"):
        del counter.n


def test_dir_helps_completion(client):
    counter = client.submit(Counter, actor=True).result()
    assert {"increment", "add", "n", "double", "threads"} <= set(dir(counter))
    assert not [name for name in dir(counter) if name.startswith("_")]


def test_two_stand_ins_of_one_actor_are_equal(client):
    task = client.submit(Counter, actor=True)
    assert task.result() == task.result()
    assert len({task.result(), task.result()}) == 1
    assert task.result() != client.submit(Counter, actor=True).result()


# --- async def


def test_async_methods_overlap(host):
    async def story(client, worker):
        gate = await client.submit(Gate, actor=True)
        waiting = [gate.wait() for _ in range(5)]
        await gate.open()
        assert await asyncio.gather(*waiting) == ["through"] * 5

    play(story, host)


def test_async_and_plain_methods_begin_in_the_order_sent(host):
    async def story(client, worker):
        gate = await client.submit(Gate, actor=True)
        calls = [(gate.note if number % 3 else gate.note_in_thread)(number) for number in range(60)]
        for call in calls:
            await call
        assert await gate.log == list(range(60))

    play(story, host)


def test_the_cluster_from_inside_an_async_method(host):
    async def story(client, worker):
        gate = await client.submit(Gate, actor=True)
        assert await gate.client_inside() == (3, "w0")

    play(story, host)


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


def test_a_constructor_that_was_cancelled_leaves_no_actor():
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
