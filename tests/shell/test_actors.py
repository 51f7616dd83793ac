"""Actors: an object on one worker and the calls of its methods; over TCP and in-process."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from actor_helpers import HOSTS, Counter, Gate, ParameterServer, Slow, play

from jupyterfut import Actor, ActorFuture, ActorTask, Client, as_completed, wait
from jupyterfut.errors import SerializationError, TimeoutError  # noqa: A004


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
    for name in ("_nosuch", "__array__", "_repr_latex_", "_repr_png_"):  # (an actor shows itself: `_repr_html_` is its own)
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
