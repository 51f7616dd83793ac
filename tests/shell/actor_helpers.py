"""What the tests of actors share: classes whose objects become actors, and a small cluster on the test's own event loop."""

from __future__ import annotations

import asyncio
import threading

from jupyterfut import Client, get_client, get_worker
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
