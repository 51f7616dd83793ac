"""The executor alone: calls in, outcomes out, places changing hands. The worker is played by `Bench`; threads meet at events, never at a clock."""

from __future__ import annotations

import asyncio
import threading
from queue import SimpleQueue

import pytest

from jupyterfut import serde
from jupyterfut.core.worker.events import Blocked, Unblocked
from jupyterfut.core.worker.tasks import Task
from jupyterfut.errors import Reschedule
from jupyterfut.runtime.client_link import ClientLink
from jupyterfut.runtime.context import blocking, current_task
from jupyterfut.runtime.executor import Executor, Raised, Unrun
from jupyterfut.runtime.store import Store
from jupyterfut.serde.calls import Dep

PATIENCE_S = 10.0


class Bench:
    """An executor with somebody to talk to."""

    def __init__(self, loop, nthreads, local=False):
        self.store = Store()
        self.link = ClientLink(loop, "tcp://s", lambda client, messages: None, lambda: None)
        self.woken = SimpleQueue()
        wake = lambda: self.woken.put(True)  # noqa: E731
        self.executor = Executor("the worker", self.link, self.store, nthreads, "bench", local=local, wake=wake, on_actor=self.born)
        self.actors = {}
        self.attempt = 0

    def born(self, call, value):
        self.actors[call.key] = value
        return b"description"

    def call(self, function, *args, needs=(), inline=None, actor=False, key=None):
        self.attempt += 1
        fid, payload, _ = serde.dumps_function(function)
        self.executor.learn([fid], [payload], ["f"])
        arguments = serde.dumps_call(args, {}, find).payload
        return Task(key or f"x{self.attempt}", self.attempt, fid, arguments, list(needs), inline or {}, actor, "", [0.0])

    def run(self, function, *args, **options):
        call = self.call(function, *args, **options)
        self.executor.run([call])
        return call

    def outcome(self, kind=tuple):
        """The next outcome of this kind; others before it are dropped."""
        while True:
            found = self.next()
            if type(found) is kind:
                return found

    def next(self):
        while not (outcomes := self.executor.outcomes):
            self.executor.take()
            if not outcomes:
                self.woken.get(timeout=PATIENCE_S)
        return outcomes.popleft()

    def value(self):
        return serde.loads(self.outcome()[2])


def find(value):
    return None


@pytest.fixture
def bench():
    yield from make(1)


@pytest.fixture
def two():
    yield from make(2)


def make(nthreads, local=False):
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    bench = Bench(loop, nthreads, local)
    yield bench
    bench.executor.close()
    assert asyncio.run_coroutine_threadsafe(bench.executor.join(PATIENCE_S), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


# functions that tasks run: module-level, so that they travel by name

gates: dict[str, threading.Event] = {}


@pytest.fixture(autouse=True)
def fresh_gates():
    gates.clear()
    for name in ("go", "there", "done", "go2", "there2"):
        gates[name] = threading.Event()


def wait_at_gate():
    gates["there"].set()
    assert gates["go"].wait(PATIENCE_S)
    return threading.get_ident()


def block_at_gate():
    with blocking():
        with blocking():
            gates["there"].set()
            assert gates["go"].wait(PATIENCE_S)
    return "back"


def secede_and_rejoin():
    task = current_task()
    task.secede()
    task.secede()
    with blocking():
        gates["there"].set()
        assert gates["go"].wait(PATIENCE_S)
    task.rejoin()
    gates["done"].set()
    return "back"


def thread_name():
    return threading.current_thread().name


def raise_(error):
    raise error


def whoami():
    task = current_task()
    return task.key, task.attempt, task.worker, current_task() is task


async def awaited(x):
    await asyncio.sleep(0)
    task = current_task()
    inner = await asyncio.to_thread(current_task)
    return x, task.key, inner is task


async def awaited_for_ever():
    gates["there"].set()
    await asyncio.get_running_loop().create_future()


def double(x):
    return 2 * x


class Unpicklable:
    def __reduce__(self):
        raise RuntimeError("not me")


def make_unpicklable():
    return Unpicklable()


# --- one call


def test_a_call_returns(bench):
    bench.run(double, 21)
    key, attempt, payload, type_name, nbytes, duration_s, holds = bench.outcome()
    assert (key, attempt, serde.loads(payload), type_name, holds) == ("x1", 1, 42, "int", [])
    assert nbytes > 0
    assert 0 <= duration_s < PATIENCE_S


def test_inputs_come_inline_or_from_the_store(bench):
    bench.store.put(["a"], [serde.dumps(1)], [1])
    bench.run(max, Dep(0), Dep(1), needs=["a", "b"], inline={"b": serde.dumps(2)})
    assert bench.value() == 2


def test_an_input_that_is_lost_is_named(bench):
    bench.run(max, Dep(0), 2, needs=["a"])
    outcome = bench.outcome(Unrun)
    assert (outcome.key, outcome.lost) == ("x1", ["a"])


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_is_raised_is_the_tasks_failure(bench, error):
    bench.run(raise_, error)
    outcome = bench.outcome(Raised)
    assert outcome.failure.kind == type(error).__name__
    assert outcome.failure.key == "x1"
    bench.run(double, 1)
    assert bench.value() == 2  # the thread lives on


def test_reschedule_is_no_failure(bench):
    bench.run(raise_, Reschedule())
    assert bench.outcome(Unrun).lost == []


def test_a_result_that_cannot_be_pickled_is_a_failure(bench):
    bench.run(make_unpicklable)
    failure = bench.outcome(Raised).failure
    assert failure.kind == "SerializationError"
    assert "not me" in failure.text


def test_arguments_that_cannot_be_unpickled_fail_with_the_cause(bench):
    call = bench.call(double, 1)
    call.args = b"\x80\x05cno_such_module\nthing\n."
    bench.executor.run([call])
    error = serde.exception_from_failure(bench.outcome(Raised).failure)
    assert type(error).__name__ == "SerializationError"
    assert isinstance(error.__cause__, ModuleNotFoundError)


def test_a_function_that_never_arrived_is_a_failure(bench):
    call = bench.call(double, 1)
    bench.executor.forget([call.function])
    bench.executor.run([call])
    assert "never arrived" in bench.outcome(Raised).failure.text


def test_a_task_knows_itself(bench):
    bench.run(whoami)
    assert bench.value() == ("x1", 1, "the worker", True)
    assert current_task() is None


def test_objects_pass_by_reference_in_process():
    for bench in make(1, local=True):
        bench.run(make_unpicklable)
        assert type(bench.outcome()[2].value) is Unpicklable


def test_an_actor_is_kept_as_it_is(bench):
    call = bench.run(make_unpicklable, actor=True)
    assert bench.outcome()[2] == b"description"
    assert type(bench.actors[call.key]) is Unpicklable


# --- async def


def test_async_functions_are_awaited_on_the_loop(bench):
    bench.run(awaited, 1)
    assert bench.value() == (1, "x1", True)


def test_close_cancels_what_is_awaited():
    for bench in make(1):
        bench.run(awaited_for_ever)
        assert gates["there"].wait(PATIENCE_S)
        bench.executor.close()
        assert bench.outcome(Raised).failure.kind == "CancelledError"


# --- the run queue


def test_the_loop_is_woken_once_for_many(bench):
    bench.executor.run([*[bench.call(double, i) for i in range(100)], bench.call(wait_at_gate)])
    assert gates["there"].wait(PATIENCE_S)
    assert bench.woken.qsize() == 1
    assert len(bench.executor.take()) == 100
    gates["go"].set()
    bench.outcome()


def test_withdraw_takes_back_what_has_not_started(bench):
    first, second = bench.call(wait_at_gate), bench.call(double, 1)
    bench.executor.run([first, second])
    assert gates["there"].wait(PATIENCE_S)
    assert bench.executor.withdraw(second.attempt) is True
    assert bench.executor.withdraw(second.attempt) is False
    assert bench.executor.withdraw(first.attempt) is False
    gates["go"].set()
    bench.run(double, 5)
    assert [bench.outcome()[0], bench.outcome()[0]] == ["x1", "x3"]


def test_each_call_runs_once_or_is_withdrawn_once(two):
    calls = [two.call(double, i) for i in range(300)]
    two.executor.run(calls)
    withdrawn = {call.attempt for call in reversed(calls) if two.executor.withdraw(call.attempt)}
    ran = [two.outcome()[1] for _ in range(300 - len(withdrawn))]
    assert len(ran) == len(set(ran))
    assert set(ran) | withdrawn == {call.attempt for call in calls}


# --- places


def test_a_call_that_blocks_gives_its_place_to_another(bench):
    call = bench.run(block_at_gate)
    assert gates["there"].wait(PATIENCE_S)
    assert bench.next() == Blocked(call.key, call.attempt)
    bench.run(double, 2)
    assert bench.value() == 4
    gates["go"].set()
    assert bench.next() == Unblocked(call.key, call.attempt)
    assert bench.value() == "back"


def test_places_are_nthreads_again_after_many_have_blocked(two):
    for _ in range(20):
        two.run(block_at_gate)
    for _ in range(20):
        two.outcome(Blocked)
    gates["go"].set()
    for _ in range(20):
        two.outcome()
    gates["go"].clear()
    for _ in range(4):
        two.run(wait_at_gate)
    # Two run. The others stay in the queue as long as nobody ends.
    assert gates["there"].wait(PATIENCE_S)
    waiting = [two.executor.withdraw(attempt) for attempt in (23, 24)]
    gates["go"].set()
    assert waiting == [True, True]
    two.outcome()
    two.outcome()


def test_secede_and_rejoin(bench):
    bench.run(secede_and_rejoin)
    assert gates["there"].wait(PATIENCE_S)
    bench.run(wait_at_second_gate)
    assert gates["there2"].wait(PATIENCE_S)  # it has the only place now
    gates["go"].set()
    gates["go2"].set()
    assert gates["done"].wait(PATIENCE_S)
    ends = [bench.outcome()[0], bench.outcome()[0]]
    assert ends == ["x2", "x1"]


def wait_at_second_gate():
    gates["there2"].set()
    assert gates["go2"].wait(PATIENCE_S)


def test_time_spent_waiting_is_not_time_worked(bench):
    bench.run(block_at_gate)
    assert gates["there"].wait(PATIENCE_S)
    bench.outcome(Blocked)
    bench.run(double, 1)
    bench.outcome()
    gates["go"].set()
    assert bench.outcome()[5] < PATIENCE_S


def test_close_lets_those_who_wait_for_a_place_go():
    for bench in make(1):
        bench.run(secede_and_rejoin)
        assert gates["there"].wait(PATIENCE_S)
        bench.run(wait_at_second_gate)
        assert gates["there2"].wait(PATIENCE_S)
        gates["go"].set()
        bench.executor.close()
        assert gates["done"].wait(PATIENCE_S)
        gates["go2"].set()


def test_threads_have_a_name(bench):
    bench.run(thread_name)
    assert bench.value() == "bench-task"
