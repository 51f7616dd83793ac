"""What an owner does with a cluster, over sockets and in one process: functions on every worker and in the scheduler; plugins, files, restarts."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from jupyterfut import (
    CancelledError,
    Client,
    Environ,
    NannyPlugin,
    PipInstall,
    Scheduler,
    SchedulerPlugin,
    TimeoutError,  # noqa: A004
    UploadFile,
    Worker,
    WorkerPlugin,
    get_client,
    get_worker,
)
from jupyterfut.config import SchedulerSettings, Settings
from jupyterfut.errors import ConnectionFailed, SerializationError


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(processes=False, n_workers=2, threads_per_worker=1, set_as_default=False) as client:
        yield client


def asynchronously(work: Callable[[Client, Scheduler, list[Worker]], Awaitable[Any]], **options: Any) -> Any:
    """Over sockets, in the caller's loop: a scheduler, two workers, an asynchronous client."""

    async def main() -> Any:
        async with Scheduler(port=0, **options) as s:
            async with Worker(s.address, nthreads=1, name="a") as a, Worker(s.address, nthreads=1, name="b") as b:
                async with Client(s.address, asynchronous=True) as client:
                    return await work(client, s, [a, b])

    return asyncio.run(main())


def inc(x: int) -> int:
    return x + 1


def div(x: int, y: int) -> float:
    return x / y


# --- run


def test_run_is_on_every_worker(client: Client) -> None:
    addresses = set(client.nthreads())
    assert client.run(inc, 1) == dict.fromkeys(addresses, 2)
    assert client.run(lambda x, *, y: (x, y), 1, y=2) == dict.fromkeys(addresses, (1, 2))
    assert set(client.run(lambda worker: worker.address).values()) == addresses
    assert set(client.run(lambda dask_worker: dask_worker.address).values()) == addresses
    assert set(client.run(lambda: get_worker().address).values()) == addresses
    assert client.run(len, [1, 2]) == dict.fromkeys(addresses, 2)  # a builtin tells nothing of its arguments
    assert client.run(lambda timeout: timeout, timeout=3) == dict.fromkeys(addresses, 3)


def test_run_on_chosen_workers(client: Client) -> None:
    one, two = client.nthreads()
    assert list(client.run(inc, 1, workers=[one])) == [one]
    assert list(client.run(inc, 1, workers="1")) == [two]
    assert list(client.run(inc, 1, workers=1)) == [two]
    assert client.run(inc, 1, workers=[]) == {}
    with pytest.raises(ValueError, match="no worker matches nobody"):
        client.run(inc, 1, workers="nobody")


def test_run_awaits_coroutines_on_the_workers_loop(client: Client) -> None:
    async def where(worker: Worker) -> bool:
        return asyncio.get_running_loop() is worker.loop

    assert list(client.run(where).values()) == [True, True]
    assert not any(client.run(lambda worker: threading.get_ident() == client._session.thread_id).values())


def test_a_function_that_is_run_has_a_client(client: Client) -> None:
    assert list(client.run(lambda: get_client().submit(inc, 1).result(), workers="0").values()) == [2]

    async def asks() -> int:
        return await get_client().submit(inc, 2)

    assert list(client.run(asks, workers="0").values()) == [3]
    with pytest.raises(ValueError, match="inside tasks"):
        get_worker()


def test_run_and_its_errors(client: Client) -> None:
    one, two = client.nthreads()

    def picky(worker: Worker) -> str:
        if worker.name == "0":
            raise ValueError("not me")
        return "fine"

    with pytest.raises(ValueError, match="not me"):
        client.run(picky)
    answers = client.run(picky, on_error="return")
    assert repr(answers[one]) == "ValueError('not me')"
    assert answers[two] == "fine"
    assert client.run(picky, on_error="ignore") == {two: "fine"}
    with pytest.raises(ValueError, match='on_error is "raise", "return" or "ignore"'):
        client.run(picky, on_error="perhaps")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="takes a function"):
        client.run(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        client.run(inc, 1, 2, 3)
    with pytest.raises(RuntimeError, match="raised SystemExit: 3"):
        client.run(sys.exit, 3)

    async def leave() -> None:
        raise SystemExit(4)

    with pytest.raises(RuntimeError, match="raised SystemExit: 4"):
        client.run(leave)
    assert len(client.run(inc, 1)) == 2  # the cluster goes on


def test_run_does_not_wait_for_a_free_thread(client: Client) -> None:
    started, go = threading.Event(), threading.Event()

    def busy() -> None:
        started.set()
        go.wait()

    tasks = [client.submit(busy, pure=False) for _ in range(2)]
    started.wait()
    assert len(client.run(inc, 1)) == 2
    go.set()
    client.gather(tasks)


def test_run_without_waiting(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    go, done = threading.Event(), threading.Event()

    def later() -> None:
        go.wait()
        done.set()
        raise ValueError("too late for you")

    assert list(client.run(later, wait=False, workers="0").values()) == [None]
    with caplog.at_level(logging.ERROR, "jupyterfut.worker"):
        go.set()
        done.wait()
        client.run(asyncio.sleep, 0)  # the loop has heard of it
    assert "too late for you" in caplog.text


def test_run_gives_up_on_a_silent_worker(client: Client) -> None:
    go = threading.Event()
    one, two = client.nthreads()

    def silent(worker: Worker) -> None:
        if worker.name == "1":
            go.wait()

    with pytest.raises(TimeoutError, match=rf"worker {two} has not answered 'run' within 0.05 s"):
        client.run(silent, workers=two, run_timeout="50 ms")
    answers = client.run(silent, run_timeout=1.5, on_error="return")
    assert answers[one] is None
    assert isinstance(answers[two], TimeoutError)
    go.set()


def test_run_over_sockets() -> None:
    async def work(client: Client, s: Scheduler, workers: list[Worker]) -> None:
        addresses = [worker.address for worker in workers]
        assert await client.run(inc, 1) == dict.fromkeys(addresses, 2)
        assert await client.run(lambda worker: worker.name, workers=["b"]) == {addresses[1]: "b"}
        assert await client.run(asyncio.sleep, 0, result="slept") == dict.fromkeys(addresses, "slept")
        with pytest.raises(ZeroDivisionError):
            await client.run(div, 1, 0)
        with pytest.raises(SerializationError):
            await client.run(lambda: threading.Lock())  # what it returns cannot be pickled
        with pytest.raises(SerializationError):
            await client.run(inc, threading.Lock())
        big = await client.run(bytes, 1_000_000, workers="a")
        assert len(big[addresses[0]]) == 1_000_000

    asynchronously(work)


def test_run_when_a_worker_breaks_off() -> None:
    async def work(client: Client, s: Scheduler, workers: list[Worker]) -> None:
        async def leave(worker: Worker) -> None:
            if worker.name == "a":
                for stream in list(worker._data_server._streams):
                    stream.abort()

        answers = await client.run(leave, on_error="return")
        assert isinstance(answers[workers[0].address], ConnectionFailed)
        assert workers[0].address in str(answers[workers[0].address])
        assert answers[workers[1].address] is None

    asynchronously(work)


# --- run_on_scheduler


def test_run_on_scheduler(client: Client) -> None:
    assert client.run_on_scheduler(inc, 1) == 2
    assert client.run_on_scheduler(lambda scheduler: len(scheduler.workers)) == 2
    assert client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.address) == client.address

    async def slowly(scheduler: Scheduler) -> int:
        await asyncio.sleep(0)
        return len(scheduler.clients)

    assert client.run_on_scheduler(slowly) == 1
    with pytest.raises(ZeroDivisionError):
        client.run_on_scheduler(div, 1, 0)
    assert client.submit(lambda: get_client().run_on_scheduler(inc, 2)).result() == 3


def test_a_shared_scheduler_opens_nothing() -> None:
    class Spy(SchedulerPlugin):
        pass

    async def work(client: Client, s: Scheduler, workers: list[Worker]) -> None:
        with pytest.raises(PermissionError, match=r"scheduler\.allow_run"):
            await client.run_on_scheduler(inc, 1)
        with pytest.raises(PermissionError, match=r"--allow-run"):
            await client.register_plugin(Spy())
        assert await client.submit(inc, 1) == 2

    asynchronously(work, allow_run=False)
    asynchronously(work, config=Settings(scheduler=SchedulerSettings(allow_run="no")))


# --- worker plugins


class Recorder(WorkerPlugin):
    """Notes what it hears, on its worker."""

    def __init__(self, mark: int = 0) -> None:
        self.mark = mark

    def setup(self, worker: Worker) -> None:
        self.heard: list[Any] = [("setup", self.mark, get_worker() is worker, threading.get_ident() != getattr(worker, "loop_thread", 0))]
        worker.recorder = self  # type: ignore[attr-defined]

    def teardown(self, worker: Worker) -> None:
        self.heard.append("teardown")

    def transition(self, key: str, start: str, finish: str, **kwargs: Any) -> None:
        self.heard.append((key, start, finish))


@pytest.fixture
def marked(client: Client) -> Client:
    """Workers know the thread of their loop."""

    async def mark(worker: Worker) -> None:
        worker.loop_thread = threading.get_ident()  # type: ignore[attr-defined]

    client.run(mark)
    return client


def heard(client: Client) -> list[list[Any]]:
    return list(client.run(lambda worker: worker.recorder.heard).values())


def test_a_plugin_lives_on_every_worker(marked: Client) -> None:
    client = marked
    addresses = list(client.nthreads())
    assert client.register_plugin(Recorder(), name="recorder") == {address: {"status": "OK"} for address in addresses}
    assert heard(client) == [[("setup", 0, True, True)]] * 2
    assert list(client.run(lambda worker: list(worker.plugins)).values()) == [["recorder"]] * 2
    x = client.submit(inc, 1, key="x", workers="0")
    client.submit(inc, x, key="y", workers="0").result()
    bad = client.submit(div, 1, 0, key="bad", workers="0")
    assert bad.exception() is not None
    first = heard(client)[0][1:]
    assert [move for move in first if move[0] == "x"][:3] == [("x", "released", "ready"), ("x", "ready", "executing"), ("x", "executing", "memory")]
    assert ("bad", "executing", "error") in first
    assert client.unregister_worker_plugin("recorder") == {address: {"status": "OK"} for address in addresses}
    assert heard(client)[0][-1] == "teardown"
    with pytest.raises(ValueError, match="there is no worker plugin 'recorder'"):
        client.unregister_worker_plugin("recorder")


def test_a_plugin_of_the_same_name_takes_its_place(marked: Client) -> None:
    client = marked
    client.register_plugin(Recorder(1), name="recorder")
    old = client.run(lambda worker: worker.recorder)
    assert client.register_plugin(Recorder(2), name="recorder", idempotent=True) == {}
    assert [events[0][1] for events in heard(client)] == [1, 1]
    client.register_plugin(Recorder(3), name="recorder")
    assert [events[0][1] for events in heard(client)] == [3, 3]
    assert all(plugin.heard[-1] == "teardown" for plugin in old.values())


def test_a_plugin_that_raises_in_setup(client: Client) -> None:
    class Picky(WorkerPlugin):
        name = "picky"

        def setup(self, worker: Worker) -> None:
            if worker.name == "1":
                raise ValueError("not here")

        def teardown(self, worker: Worker) -> None:
            worker.torn = True  # type: ignore[attr-defined]

    with pytest.raises(ValueError, match="not here") as caught:
        client.register_plugin(Picky())
    assert "plugin 'picky' on worker '1'" in caught.value.__notes__[0]
    assert list(client.run(lambda worker: (dict(worker.plugins), getattr(worker, "torn", False))).values()) == [({}, True), ({}, False)]
    with pytest.raises(ValueError, match="there is no worker plugin"):
        client.unregister_worker_plugin("picky")
    assert client.submit(inc, 1).result() == 2


def test_hooks_that_raise_are_logged(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    class Clumsy(WorkerPlugin):
        name = "clumsy"

        def transition(self, key: str, start: str, finish: str, **kwargs: Any) -> None:
            raise ValueError("stumbled")

        def teardown(self, worker: Worker) -> None:
            raise ValueError("fell")

    with caplog.at_level(logging.ERROR, "jupyterfut.worker"):
        client.register_plugin(Clumsy())
        assert client.submit(inc, 1).result() == 2
        client.unregister_worker_plugin("clumsy")
    assert "raised in transition" in caplog.text
    assert "stumbled" in caplog.text
    assert "raised in teardown" in caplog.text
    assert "fell" in caplog.text


def test_async_hooks_and_older_names(client: Client) -> None:
    class Asynchronous(WorkerPlugin):
        async def setup(self, worker: Worker) -> None:
            await asyncio.sleep(0)
            worker.on_loop = asyncio.get_running_loop() is worker.loop  # type: ignore[attr-defined]

    client.register_plugin(Asynchronous())
    assert list(client.run(lambda worker: worker.on_loop).values()) == [True, True]

    class Duck:
        def setup(self, worker: Worker) -> None:
            worker.duck = True  # type: ignore[attr-defined]

    client.register_worker_plugin(Duck(), name="duck")
    assert list(client.run(lambda worker: worker.duck).values()) == [True, True]
    client.register_worker_callbacks(lambda dask_worker: setattr(dask_worker, "called", 1))
    assert list(client.run(lambda worker: worker.called).values()) == [1, 1]


def test_what_is_no_plugin(client: Client) -> None:
    with pytest.raises(TypeError, match="is derived from WorkerPlugin"):
        client.register_plugin(object())
    with pytest.raises(TypeError, match=r"such as Recorder\(\)"):
        client.register_plugin(Recorder)
    unpicklable = Recorder()
    unpicklable.lock = threading.Lock()  # type: ignore[attr-defined]
    with pytest.raises(SerializationError):
        client.register_plugin(unpicklable)
    with pytest.raises(TypeError, match="name is a string"):
        client.register_plugin(Recorder(), name=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="takes a function"):
        client.register_worker_callbacks(3)  # type: ignore[arg-type]


def test_a_late_worker_has_its_plugins_before_its_first_task() -> None:
    class Slow(WorkerPlugin):
        async def setup(self, worker: Worker) -> None:
            for _ in range(20):
                await asyncio.sleep(0)
            worker.prepared = True  # type: ignore[attr-defined]

    class Bad(WorkerPlugin):
        def setup(self, worker: Worker) -> None:
            if worker.name == "late":
                raise ValueError("only late")

    async def work(client: Client, s: Scheduler, workers: list[Worker]) -> None:
        await client.register_plugin(Bad(), name="bad")
        await client.register_plugin(Slow(), name="slow")
        waiting = client.submit(lambda: get_worker().prepared, workers="late")
        async with Worker(s.address, nthreads=1, name="late") as late:
            assert await waiting is True
            assert list(late.plugins) == ["slow"]

    asynchronously(work)


def test_a_worker_that_connects_again_keeps_its_plugins() -> None:
    async def work(client: Client, s: Scheduler, workers: list[Worker]) -> None:
        await client.register_plugin(UploadFile(__file__, load=False))
        plugins = dict(workers[0].plugins)
        assert workers[0]._stream is not None
        workers[0]._stream.abort()
        workers[0]._on_closed("pulled out")
        assert await client.submit(inc, 1, workers="a") == 2
        assert workers[0].plugins == plugins

    asynchronously(work)


def test_a_client_that_leaves_while_its_plugin_is_set_up() -> None:
    class Waits(WorkerPlugin):
        async def setup(self, worker: Worker) -> None:
            await worker.go.wait()  # type: ignore[attr-defined]

    async def work(client: Client, s: Scheduler, workers: list[Worker]) -> None:
        for worker in workers:
            worker.go = asyncio.Event()  # type: ignore[attr-defined]
        other = await Client(s.address, asynchronous=True)
        registering = asyncio.ensure_future(other.register_plugin(Waits(), name="waits"))
        while not s.machine.plugins._rounds:
            await asyncio.sleep(0)
        registering.cancel()
        await other.close()
        for worker in workers:
            worker.go.set()  # type: ignore[attr-defined]
        await client.register_plugin(Recorder.__base__(), name="after")  # type: ignore[misc]  # behind it in every worker's line
        assert list(workers[0].plugins) == ["waits", "after"]

    asynchronously(work)


def test_environ(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JF_TEST_OLD", "old")
    monkeypatch.setenv("JF_TEST_NEW", "")
    client.register_plugin(Environ({"JF_TEST_NEW": 3, "JF_TEST_OLD": None}))
    assert client.submit(os.getenv, "JF_TEST_NEW").result() == "3"
    assert client.submit(os.getenv, "JF_TEST_OLD").result() is None


def test_pip_install_says_what_pip_says(client: Client, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="exit code 1"):
        client.register_plugin(PipInstall([str(tmp_path / "nothing")], pip_options=["--no-index"]))
    with pytest.raises(ValueError, match="list of requirements"):
        PipInstall("numpy")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="list of requirements"):
        PipInstall([])


# --- scheduler plugins


class Watcher(SchedulerPlugin):
    name = "watcher"

    def start(self, scheduler: Scheduler) -> None:
        self.moves: list[Any] = []
        self.others: list[Any] = []

    def close(self) -> None:
        self.others.append("close")

    def update_graph(self, scheduler: Scheduler, *, client: str, keys: set[str], tasks: list[str], **kwargs: Any) -> None:
        self.others.append(("graph", tasks))

    def transition(self, key: str, start: str, finish: str, **kwargs: Any) -> None:
        self.moves.append((key, start, finish))

    async def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        self.others.append(("worker", scheduler.workers[worker].name))

    def remove_worker(self, scheduler: Scheduler, worker: str, **kwargs: Any) -> None:
        self.others.append("worker left")

    def add_client(self, scheduler: Scheduler, client: str) -> None:
        self.others.append("client")

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        self.others.append("client left")

    def restart(self, scheduler: Scheduler) -> None:
        self.others.append("restart")


def test_a_scheduler_plugin_hears_of_everything() -> None:
    async def work(client: Client, s: Scheduler, workers: list[Worker]) -> None:
        assert await client.register_plugin(Watcher()) is None
        plugin = s.plugins["watcher"]
        x = client.submit(inc, 1, key="x")
        y = client.submit(inc, x, key="y")
        assert await y == 3
        bad = client.submit(div, 1, 0, key="bad")
        with pytest.raises(ZeroDivisionError):
            await bad
        for future in (x, y, bad):
            future.release()
        await client.scheduler_info()  # said before their deaths
        await client.scheduler_info()
        for key, last in (("x", "memory"), ("y", "memory"), ("bad", "erred")):
            states = [(start, finish) for moved, start, finish in plugin.moves if moved == key]
            assert states[0][0] == "released"
            assert all(one[1] == following[0] for one, following in pairwise(states)), states
            assert ("processing", last) in states
            assert states[-1] == ("released", "forgotten")
        assert ("graph", ["x", "y"]) in plugin.others
        async with Worker(s.address, nthreads=1, name="c"), Client(s.address, asynchronous=True) as other:
            await other.scheduler_info()
        await client.scheduler_info()
        await client.restart()
        assert [one for one in plugin.others if one[0] != "graph"] == [("worker", "c"), "client", "client left", "worker left", "restart"]
        await client.unregister_scheduler_plugin("watcher")
        assert plugin.others[-1] == "close"
        assert not s.admin.watching
        with pytest.raises(ValueError, match="there is no scheduler plugin 'watcher'"):
            await client.unregister_scheduler_plugin("watcher")

    asynchronously(work)


def test_plugins_that_come_while_tasks_run() -> None:
    async def work(client: Client, s: Scheduler, workers: list[Worker]) -> None:
        started, go = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            started.set()
            await go.wait()

        for worker in workers:
            worker.wait = wait  # type: ignore[attr-defined]
        future = client.submit(_wait_here, key="running", workers="a")
        await started.wait()
        await client.register_plugin(Watcher())
        await client.register_plugin(Recorder(), name="recorder")
        go.set()
        await future
        assert s.plugins["watcher"].moves[0] == ("running", "processing", "memory")
        assert workers[0].plugins["recorder"].heard[1] == ("running", "executing", "memory")

    asynchronously(work)


async def _wait_here() -> None:
    await get_worker().wait()


def test_a_scheduler_plugin_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    class Clumsy(SchedulerPlugin):
        name = "clumsy"

        def __init__(self, at_start: bool) -> None:
            self.at_start = at_start

        def start(self, scheduler: Scheduler) -> None:
            if self.at_start:
                raise ValueError("cannot begin")

        def transition(self, key: str, start: str, finish: str, **kwargs: Any) -> None:
            raise ValueError("stumbled")

        async def add_client(self, scheduler: Scheduler, client: str) -> None:  # type: ignore[override]
            raise ValueError("fell")

    async def work(client: Client, s: Scheduler, workers: list[Worker]) -> None:
        with pytest.raises(ValueError, match="cannot begin"):
            await client.register_plugin(Clumsy(True))
        assert not s.plugins
        await client.register_plugin(Clumsy(False))
        await client.register_plugin(Clumsy(True), idempotent=True)
        assert await client.submit(inc, 1) == 2
        async with Client(s.address, asynchronous=True):
            pass

    with caplog.at_level(logging.ERROR, "jupyterfut.scheduler"):
        asynchronously(work)
    assert "stumbled" in caplog.text
    assert "fell" in caplog.text


# --- uploaded files


def module(tmp_path: Path, text: str, name: str = "jf_uploaded") -> Path:
    path = tmp_path / f"{name}.py"
    path.write_text(text)
    return path


def test_an_uploaded_module_is_reloaded(client: Client, tmp_path: Path) -> None:
    def use() -> Any:
        import jf_uploaded  # type: ignore[import-not-found]

        return jf_uploaded.value()

    client.upload_file(module(tmp_path, "def value(): return 1"))
    assert [client.submit(use, pure=False, workers=name).result() for name in "01"] == [1, 1]
    client.upload_file(module(tmp_path, "def value(): return 2"))  # of the same size, within the same second
    assert [client.submit(use, pure=False, workers=name).result() for name in "01"] == [2, 2]
    with pytest.raises(SyntaxError):
        client.upload_file(module(tmp_path, "def value(: return 3"))
    client.upload_file(str(module(tmp_path, "def value(): return 4")))
    assert client.submit(use, pure=False).result() == 4


def test_other_files_and_archives(client: Client, tmp_path: Path) -> None:
    import zipfile

    text = tmp_path / "words.txt"
    text.write_text("hello")
    client.upload_file(text)
    read = lambda: Path(get_worker().local_directory, "words.txt").read_text()  # noqa: E731
    assert client.submit(read, pure=False).result() == "hello"
    archive = tmp_path / "jf_archive.zip"
    for version in (1, 2):
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("jf_packed/__init__.py", f"VERSION = {version}")
        client.upload_file(archive)

        def use() -> Any:
            import jf_packed  # type: ignore[import-not-found]

            return jf_packed.VERSION

        assert client.submit(use, pure=False).result() == version
    with pytest.raises(FileNotFoundError):
        client.upload_file(tmp_path / "missing.py")


def test_the_workers_directory_goes_with_it(tmp_path: Path) -> None:
    path = list(sys.path)
    with Client(processes=False, n_workers=1, set_as_default=False) as client:
        client.upload_file(module(tmp_path, "A = 1", "jf_gone"))
        (directory,) = client.run(lambda worker: worker.local_directory).values()
        assert os.path.isdir(directory)
    assert not os.path.exists(directory)
    assert sys.path == path
    assert "jf_gone" not in sys.modules


# --- restarts


def test_restart_in_one_process(client: Client) -> None:
    before = client.scheduler_info()["workers"]
    futures = client.map(inc, range(5))
    client.gather(futures)
    fresh = client.submit(inc, futures[0])
    assert client.restart() is None
    assert {future.status for future in [*futures, fresh]} == {"cancelled"}
    with pytest.raises(CancelledError, match="restarted"):
        futures[0].result()
    after = client.scheduler_info()["workers"]
    assert {worker["name"] for worker in after.values()} == {worker["name"] for worker in before.values()}
    assert not set(after) & set(before)
    assert client.submit(inc, 1).result() == 2


def test_the_death_of_an_old_future_drops_no_new_one(client: Client) -> None:
    old = client.submit(inc, 1)
    assert old.result() == 2
    client.restart()
    new = client.submit(inc, 1)
    assert new.key == old.key
    assert new.result() == 2
    del old
    assert client.submit(inc, new).result() == 3
    assert new.status == "finished"


def test_restart_cancels_the_futures_of_all_clients() -> None:
    async def work(client: Client, s: Scheduler, workers: list[Worker]) -> None:
        async with Client(s.address, asynchronous=True) as other:
            theirs = other.submit(inc, 1, key="shared")
            ours = client.submit(inc, 1, key="shared")
            assert [await theirs, await ours] == [2, 2]
            scattered = await other.scatter([1, 2])
            await client.restart()
            await other.scheduler_info()
            assert {f.status for f in [theirs, ours, *scattered]} == {"cancelled"}
            assert not s.tasks
            again = other.submit(inc, 1, key="shared")
            assert await again == 2

    asynchronously(work)


def test_restart_of_workers_without_a_nanny(caplog: pytest.LogCaptureFixture) -> None:
    async def work(client: Client, s: Scheduler, workers: list[Worker]) -> None:
        with caplog.at_level(logging.WARNING, "jupyterfut.client"):
            await client.restart()
        assert workers[0].address in caplog.text
        with pytest.raises(ValueError, match="only workers with a nanny can be restarted"):
            await client.restart_workers(["a"])
        with pytest.raises(ValueError, match="no worker matches 'nobody'"):
            await client.restart_workers(["nobody"])
        with pytest.raises(ValueError, match="takes the workers to restart"):
            await client.restart_workers(None)
        assert await client.submit(inc, 1) == 2

    asynchronously(work)


def test_restart_workers_in_one_process(client: Client) -> None:
    one, two = client.nthreads()
    made = client.submit(inc, 1, workers="0", allow_other_workers=True)
    large = client.submit(bytes, 100_000, workers="0", allow_other_workers=True)
    assert made.result() == 2
    assert len(large.result()) == 100_000
    assert client.restart_workers([one]) == {one: "OK"}
    assert one not in client.nthreads()
    assert two in client.nthreads()
    assert len(large.result()) == 100_000  # computed again
    assert made.status == "finished"


def test_plugins_outlive_a_restart(client: Client, tmp_path: Path) -> None:
    client.upload_file(module(tmp_path, "A = 5", "jf_stays"))
    client.restart()

    def use() -> Any:
        import jf_stays  # type: ignore[import-not-found]

        return jf_stays.A

    assert client.submit(use).result() == 5


def test_nannies_that_are_none(client: Client) -> None:
    class Beside(NannyPlugin):
        pass

    with pytest.raises(ValueError, match="no nannies"):
        client.register_plugin(Beside())
    with pytest.raises(ValueError, match="no nannies"):
        client.run(socket.gethostname, nanny=True)
