"""Tasks that are cancelled while they run, in real worker processes: they end, their `finally` runs, the slot is free, and nobody else notices."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyterfut import Client, Lock, Queue, get_client, secede
from jupyterfut.config import Settings, WorkerSettings, settings, use
from jupyterfut.errors import CancelledError, TaskInterrupted


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client(n_workers=1, threads_per_worker=1) as client:
        yield client


def tell(path: str, line: str) -> None:
    with open(path, "a") as file:
        file.write(f"{line}\n")


def spin(path: str) -> None:
    """Python code that never ends."""
    try:
        tell(path, "runs")
        while True:
            sum(range(100))
    except Exception:
        tell(path, "an Exception")
        raise
    except BaseException as error:
        tell(path, type(error).__name__)
        raise
    finally:
        tell(path, "finally")


def wait_for(path: Path, line: str, timeout_s: float = 30.0) -> None:
    """Until the task has said so."""
    deadline = time.monotonic() + timeout_s
    while not path.exists() or line not in path.read_text().split("\n"):
        assert time.monotonic() < deadline, f"{line!r} never came: {path.read_text() if path.exists() else 'nothing was said'}"
        time.sleep(0.005)


def is_free(client: Client) -> bool:
    """Whether the worker's only slot takes a task."""
    return client.submit(abs, -1, pure=False).result(timeout=20) == 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "said"


def test_a_busy_loop_ends(client: Client, path: Path) -> None:
    future = client.submit(spin, str(path), pure=False)
    wait_for(path, "runs")
    future.cancel()
    assert is_free(client)
    wait_for(path, "finally")
    assert path.read_text().split() == ["runs", "TaskInterrupted", "finally"]
    assert future.status == "cancelled"
    with pytest.raises(CancelledError):
        future.result()


def test_a_future_that_is_let_go_lets_its_task_run_to_the_end(client: Client, path: Path) -> None:
    def steps(path: str) -> None:
        tell(path, "runs")
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            sum(range(100))
        tell(path, "done")

    future = client.submit(steps, str(path), pure=False)
    wait_for(path, "runs")
    future.release()
    assert is_free(client)
    assert path.read_text().split() == ["runs", "done"]


def test_what_waits_in_ours_ends_at_once(client: Client, path: Path) -> None:
    def waits(path: str, what: str) -> None:
        try:
            tell(path, "runs")
            if what == "queue":
                Queue("empty").get()
            elif what == "lock":
                with Lock("free"), Lock("taken"):
                    raise AssertionError("it is taken")
            elif what == "nested":
                get_client().submit(spin, f"{path}-inner", pure=False).result()
            elif what == "gather":
                get_client().gather(get_client().map(spin, [f"{path}-inner"] * 3, pure=False))
        except BaseException as error:
            tell(path, type(error).__name__)
            raise

    with Lock("taken"):
        for what in ("queue", "lock", "nested", "gather"):
            where = path.with_name(what)
            future = client.submit(waits, str(where), what, pure=False)
            wait_for(Path(f"{where}-inner") if what in ("nested", "gather") else where, "runs")
            future.cancel()
            assert is_free(client)
            wait_for(where, "TaskInterrupted")
            if what in ("nested", "gather"):  # what it waited for is cancelled with it
                wait_for(Path(f"{where}-inner"), "finally")
    with Lock("free"):  # the task let go of it
        return


def test_a_coroutine_is_cancelled(client: Client, path: Path) -> None:
    async def sleeps(path: str) -> None:
        try:
            tell(path, "runs")
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.01)
            tell(path, "finally")

    future = client.submit(sleeps, str(path), pure=False)
    wait_for(path, "runs")
    future.cancel()
    wait_for(path, "finally")
    assert is_free(client)


def test_code_in_c_ends_with_its_next_bytecode(client: Client, path: Path) -> None:
    def sleeps(path: str) -> None:
        try:
            tell(path, "runs")
            time.sleep(0.3)
            tell(path, "went on")
        except TaskInterrupted:
            tell(path, "interrupted")
            raise

    future = client.submit(sleeps, str(path), pure=False)
    wait_for(path, "runs")
    future.cancel()
    wait_for(path, "interrupted")
    assert is_free(client)


def test_an_import_is_not_torn(client: Client, path: Path, tmp_path: Path) -> None:
    module = tmp_path / "slow_to_import.py"
    module.write_text("import time\nwith open(SAID, 'a') as f:\n    f.write('imports\\n')\nfor _ in range(60):\n    time.sleep(0.005)\ndone = True\n")
    module.write_text(module.read_text().replace("SAID", repr(str(path))))

    def imports(folder: str) -> None:
        import sys

        sys.path.insert(0, folder)
        import slow_to_import  # type: ignore[import-not-found]  # written above

        while slow_to_import.done:
            pass

    def look() -> bool:
        import sys

        return bool(sys.modules["slow_to_import"].done)

    future = client.submit(imports, str(tmp_path), pure=False)
    wait_for(path, "imports")
    future.cancel()
    assert client.submit(look, pure=False).result(timeout=20)


def test_a_seceded_task_is_interrupted_too(client: Client, path: Path) -> None:
    def watches(path: str) -> None:
        secede()
        spin(path)

    future = client.submit(watches, str(path), pure=False)
    wait_for(path, "runs")
    future.cancel()
    wait_for(path, "finally")
    assert is_free(client)


def test_one_that_swallows_it_is_left_alone(client: Client, path: Path) -> None:
    def stubborn(path: str) -> None:
        tell(path, "runs")
        try:
            while True:
                sum(range(100))
        except BaseException:
            tell(path, "swallowed")
        tell(path, "done")

    future = client.submit(stubborn, str(path), pure=False)
    wait_for(path, "runs")
    future.cancel()
    wait_for(path, "done")
    assert is_free(client)
    assert future.status == "cancelled"


def test_it_can_be_turned_off(path: Path) -> None:
    def steps(path: str) -> None:
        tell(path, "runs")
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            sum(range(100))
        tell(path, "done")

    before = settings()
    use(Settings(worker=WorkerSettings(interrupt="no")))
    try:
        with Client(n_workers=1, threads_per_worker=1) as client:
            future = client.submit(steps, str(path), pure=False)
            wait_for(path, "runs")
            future.cancel()
            assert is_free(client)
    finally:
        use(before)
    assert path.read_text().split() == ["runs", "done"]


def test_in_process_tasks_are_not_interrupted() -> None:
    started, go, ended = threading.Event(), threading.Event(), threading.Event()

    def steps() -> None:
        started.set()
        go.wait(30)
        ended.set()

    with Client(processes=False, n_workers=1, threads_per_worker=1) as client:
        future = client.submit(steps, pure=False)
        started.wait(30)
        future.cancel()
        go.set()
        assert ended.wait(30)
        assert is_free(client)


def test_a_storm_of_cancels_hits_nobody_else() -> None:
    """Short tasks, each cancelled or not at some moment of its life, beside tasks that must not be touched: all of those give their result, and the
    worker's threads live on."""

    def short(i: int, turns: int) -> int:
        total = 0
        for k in range(turns):
            total += k
        return i

    def nested(i: int) -> int:
        client = get_client()
        return int(client.submit(short, i, 50, pure=False).result())

    rng = random.Random(7)
    with Client(n_workers=2, threads_per_worker=2) as client:
        end = time.monotonic() + 8.0
        rounds = 0
        while time.monotonic() < end:
            rounds += 1
            kept = [client.submit(short, i, rng.choice((1, 100, 5000)), pure=False) for i in range(60)]
            kept += [client.submit(nested, i, pure=False) for i in range(60, 80)]
            doomed = [client.submit(short, -i, rng.choice((1, 1000, 20000, 200000)), pure=False) for i in range(60)]
            doomed += [client.submit(nested, -i, pure=False) for i in range(20)]
            rng.shuffle(doomed)
            while doomed:
                cut = rng.randint(1, 8)
                client.cancel(doomed[:cut])
                del doomed[:cut]
            assert client.gather(kept, timeout=60) == list(range(80))
        assert rounds >= 3
        assert client.gather(client.map(short, range(100), [10] * 100, pure=False), timeout=30) == list(range(100))
        logs = [line for lines in client.get_worker_logs().values() for level, line in lines if level in ("ERROR", "CRITICAL")]
        assert logs == []
