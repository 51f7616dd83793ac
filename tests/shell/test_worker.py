"""The worker as a whole, with a scheduler that is only a listener with a script: real sockets, real threads, and the machine between them."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager

import pytest

from jupyterfut import comm, serde
from jupyterfut.errors import ConnectionFailed, WrongToken
from jupyterfut.runtime.context import current_task
from jupyterfut.runtime.data_server import DataLinks
from jupyterfut.runtime.worker_server import Worker
from jupyterfut.serde.calls import Dep
from jupyterfut.wire import messages as ms
from jupyterfut.wire.payload import Local

SECURITY = comm.Security(token="t")
gates: dict[str, threading.Event] = {}


class Script:
    """A scheduler that does what a test tells it."""

    def __init__(self):
        self.streams = []
        self.heard = asyncio.Queue()
        self.welcome = ms.Welcome(False, {"heartbeat_s": 60.0})
        self.attempt = 0

    def on_stream(self, stream):
        self.streams.append(stream)
        stream.start(self.on_messages, lambda reason: self.heard.put_nowait(reason))

    def on_messages(self, messages):
        for message in messages:
            if type(message) is ms.WorkerHello and self.welcome is not None:
                self.say(self.welcome)
            self.heard.put_nowait(message)

    def say(self, *messages):
        self.streams[-1].send(list(messages))

    async def hear(self, kind):
        async with asyncio.timeout(10):
            while type(message := await self.heard.get()) is not kind:
                pass
            return message

    def compute(self, function, *rows, needs=None, inline=None, where=None, keys=None):
        fid, payload, name = serde.dumps_function(function)
        first = self.attempt + 1
        self.attempt += len(rows)
        attempts = list(range(first, self.attempt + 1))
        keys = keys or [f"{name}-{attempt}" for attempt in attempts]
        args = [serde.dumps_call(row, {}, lambda value: None).payload for row in rows]
        dependencies = [needs] * len(rows) if needs else []
        priorities = [[0.0, float(attempt)] for attempt in attempts]
        self.say(
            ms.Functions([fid], [payload], [name]),
            ms.Compute(fid, keys, attempts, args, priorities, dependencies, inline or {}, where or {}, None, False),
        )
        return attempts


@asynccontextmanager
async def scheduler(address="tcp://127.0.0.1:0"):
    script = Script()
    listener = await comm.listen(address, script.on_stream, security=SECURITY)
    script.address = listener.address
    try:
        yield script
    finally:
        listener.close()
        for stream in script.streams:
            stream.close()


def worker(script, name="w", **options):
    return Worker(script.address, security=SECURITY, name=name, **{"nthreads": 2, **options})


def run(story):
    gates.clear()
    gates.update(go=threading.Event(), there=threading.Event())
    asyncio.run(story())


def double(x):
    return 2 * x


def block(n):
    gates["there"].set()
    assert gates["go"].wait(10)
    return n


def name_of_worker():
    worker = current_task().worker
    worker.note = worker.get_current_task()
    return worker.name


def large(n):
    return b"x" * n


def test_it_joins_computes_and_says_goodbye():
    async def story():
        async with scheduler() as script:
            async with worker(script, resources={"GPU": 1.0}) as w:
                hello = await script.hear(ms.WorkerHello)
                assert (hello.address, hello.name, hello.nthreads, hello.resources, hello.held_keys) == (w.address, "w", 2, {"GPU": 1.0}, [])
                script.compute(double, (1,), (2,))
                done = await script.hear(ms.TasksDone)
                if len(done.keys) == 1:
                    done = ms.TasksDone(*[a + b if type(a) is list else a for a, b in zip(done, await script.hear(ms.TasksDone), strict=True)])
                assert sorted(serde.loads(p) for p in done.payloads) == [2, 4]
            assert (await script.hear(ms.Goodbye)).reason == "closed"
            assert w.status == "closed"
            await w.close()

    run(story)


def test_it_works_in_process():
    async def story():
        async with scheduler("inproc://") as script, worker(script) as a:
            value = object()
            script.say(ms.Functions(["f"], [Local(lambda: value, 0)], ["f"]))
            script.say(ms.Compute("f", ["x"], [1], [Local(((), {}), 0)], [[0.0, 1.0]], [], {}, {}, None, False, ""))
            assert (await script.hear(ms.TasksDone)).payloads[0].value is value
            links = DataLinks(SECURITY)
            assert (await links.get(a.address, ["x"])).payloads[0].value is value
            await links.close()

    run(story)


def test_inputs_come_from_another_worker():
    async def story():
        async with scheduler() as script, worker(script, "a") as a, worker(script, "b"):
            to_b = script.streams[1]
            script.streams = script.streams[:1]
            script.compute(large, (200_000,), keys=["x"])
            assert (await script.hear(ms.TasksDone)).payloads == [None]
            script.streams.append(to_b)
            script.compute(len, (Dep(0),), needs=["x"], where={"x": [a.address]})
            assert (await script.hear(ms.ReplicasAdded)).keys == ["x"]
            assert serde.loads((await script.hear(ms.TasksDone)).payloads[0]) == 200_000
            script.compute(len, (Dep(0),), needs=["y"], where={"y": [a.address, "tcp://127.0.0.1:1"]}, keys=["z"])
            back = await script.hear(ms.TasksReturned)
            assert back.keys == ["z"]
            assert sorted(back.missing[0]) == [["y", "tcp://127.0.0.1:1"], ["y", a.address]]

    run(story)


def test_scattered_data_goes_through_to_the_scheduler():
    async def story():
        async with scheduler() as script, worker(script) as w:
            links = DataLinks(SECURITY)
            putting = asyncio.create_task(links.put(w.address, "c", ["d"], [serde.dumps([1])], ["list"]))
            add = await script.hear(ms.AddData)
            assert (add.keys, add.types) == (["d"], ["list"])
            assert not putting.done()
            script.say(ms.Reply(add.id, None, None))
            assert await putting is None
            script.compute(sum, (Dep(0),), needs=["d"])
            assert serde.loads((await script.hear(ms.TasksDone)).payloads[0]) == 1
            await links.close()

    run(story)


def test_a_task_reaches_its_worker():
    async def story():
        async with scheduler() as script, worker(script) as w:
            script.compute(name_of_worker, ())
            assert serde.loads((await script.hear(ms.TasksDone)).payloads[0]) == "w"
            assert w.note == "name_of_worker-1"
            with pytest.raises(ValueError, match="outside of a task"):
                w.get_current_task()

    run(story)


def test_a_broken_link_is_made_again_and_what_is_held_is_offered():
    async def story():
        async with scheduler() as script, worker(script):
            await script.hear(ms.WorkerHello)
            script.compute(double, (1,), keys=["kept"])
            await script.hear(ms.TasksDone)
            script.compute(block, (1,))
            await asyncio.to_thread(gates["there"].wait, 10)
            script.streams[0].abort()
            hello = await script.hear(ms.WorkerHello)
            assert hello.held_keys == ["kept"]
            assert len(script.streams) == 2
            gates["go"].set()  # the orphan ends, nobody hears of it
            [attempt] = script.compute(double, (5,))
            assert (await script.hear(ms.TasksDone)).attempts == [attempt]

    run(story)


def test_heartbeats_carry_metrics():
    async def story():
        async with scheduler() as script:
            script.welcome = ms.Welcome(False, {"heartbeat_s": 0.01})
            async with worker(script):
                beat = await script.hear(ms.Heartbeat)
                network = {"received_bytes_s", "sent_bytes_s"}
                assert beat.metrics.keys() == {"executing", "ready", "managed_bytes", "paused", "cpu", "memory_bytes", "spilled_bytes"} | network
                assert beat.metrics["memory_bytes"] > 1e6

    run(story)


def test_while_its_memory_is_short_it_runs_one_task_at_a_time(monkeypatch):
    async def story():
        async with scheduler() as script, worker(script, memory_limit=10**9) as w:
            await script.hear(ms.WorkerHello)
            monkeypatch.setattr("jupyterfut.runtime.vitals.memory_bytes", lambda pid: 9 * 10**8)
            script.compute(double, (1,))
            await script.hear(ms.TasksDone)
            assert w.machine.slots.paused
            monkeypatch.setattr("jupyterfut.runtime.vitals.memory_bytes", lambda pid: 10**8)
            monkeypatch.setattr("jupyterfut.runtime.worker_server._MEMORY_CHECK_S", 0.0)
            script.compute(double, (1,))
            await script.hear(ms.TasksDone)
            assert not w.machine.slots.paused

    run(story)


def test_a_wrong_token_is_said_at_once():
    async def story():
        async with scheduler() as script:
            with pytest.raises(WrongToken):
                await Worker(script.address, token="guess", nthreads=1).start()

    run(story)


def test_nobody_listens(monkeypatch):
    async def story():
        from jupyterfut.config import CommSettings, Settings

        w = Worker("tcp://127.0.0.1:1", nthreads=1, name="w", token="t", settings=Settings(comm=CommSettings(connect_timeout_s=0.2)))
        with pytest.raises(ConnectionFailed, match=r"worker 'w' cannot join the scheduler at tcp://127.0.0.1:1: .*127.0.0.1:1"):
            await w.start()
        assert w.status == "closed"

    run(story)


def test_a_port_that_is_taken():
    async def story():
        async with scheduler() as script:
            port = int(script.address.rpartition(":")[2])
            w = worker(script, host="127.0.0.1", port=port)
            with pytest.raises(ConnectionFailed, match=f"cannot listen at tcp://127.0.0.1:{port}"):
                await w.start()
            await w.close()
            assert w.status == "closed"

    run(story)


def test_a_scheduler_that_sends_it_away():
    async def story():
        async with scheduler() as script:
            script.welcome = ms.Goodbye("the name is taken")
            with pytest.raises(ConnectionFailed, match="the name is taken"):
                await worker(script).start()

    run(story)


def test_goodbye_of_the_scheduler_ends_it():
    async def story():
        async with scheduler() as script:
            w = await worker(script).start()
            script.say(ms.Goodbye("closing"))
            await w.finished()
            assert w.status == "closed"

    run(story)


def test_close_does_not_wait_for_ever_for_a_task():
    async def story():
        async with scheduler() as script:
            w = await worker(script).start()
            script.compute(block, (1,))
            await asyncio.to_thread(gates["there"].wait, 10)
            await w.close()
            gates["go"].set()

    run(story)


def test_a_task_client_speaks_over_the_workers_stream():
    async def story():
        async with scheduler() as script, worker(script) as w:
            heard, ended = [], asyncio.get_running_loop().create_future()
            stream = w.client_link.open("c")
            stream.start(heard.extend, ended.set_result)
            stream.send([ms.ClientHello("c", "c", False), ms.WantKeys(["x"])])
            assert [(await script.hear(ms.AsClient)).message for _ in range(2)] == [ms.ClientHello("c", "c", False), ms.WantKeys(["x"])]
            script.say(ms.AsClient("c", ms.KeysPending(["x"])), ms.AsClient("other", ms.KeysPending(["x"])))
            script.compute(double, (1,))
            await script.hear(ms.TasksDone)
            assert heard == [ms.KeysPending(["x"])]
            script.streams[0].abort()
            assert "broke" in await ended

    run(story)
