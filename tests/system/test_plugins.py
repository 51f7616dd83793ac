"""Plugins and files in worker processes: those that are here, those that come later, and those that come back."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyterfut import Client, Environ, LocalCluster, PipInstall, WorkerPlugin, get_worker


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    with cluster.get_client() as client:
        yield client


class Marks(WorkerPlugin):
    def __init__(self, mark: str) -> None:
        self.mark = mark

    def setup(self, worker: Any) -> None:
        worker.marks = [*getattr(worker, "marks", []), self.mark]


def marks() -> list[str]:
    return list(getattr(get_worker(), "marks", []))


def test_late_workers_and_fresh_ones_get_everything(cluster: LocalCluster, client: Client, tmp_path: Path) -> None:
    (tmp_path / "jf_later.py").write_text("ANSWER = 42")
    client.register_plugin(Marks("one"), name="one")
    client.register_plugin(Environ({"JF_COLOUR": "blue"}))
    client.upload_file(tmp_path / "jf_later.py")
    client.register_plugin(Marks("two"), name="two")

    def everything() -> Any:
        import jf_later  # type: ignore[import-not-found]

        return marks(), os.environ.get("JF_COLOUR"), jf_later.ANSWER

    expected = (["one", "two"], "blue", 42)
    assert client.submit(everything, pure=False).result() == expected
    cluster.scale(2)
    assert client.gather([client.submit(everything, workers=worker, pure=False) for worker in client.nthreads()]) == [expected, expected]
    client.restart()
    assert client.gather([client.submit(everything, workers=worker, pure=False) for worker in client.nthreads()]) == [expected, expected]


def test_a_worker_that_is_killed_comes_back_with_its_plugins(client: Client) -> None:
    client.register_plugin(Marks("kept"))

    def die_once(mark: Path) -> list[str]:
        if not mark.exists():
            mark.touch()
            os._exit(1)
        return marks()

    mark = Path(os.environ["JUPYTER_RUNTIME_DIR"], "died")
    assert client.submit(die_once, mark).result(timeout=60) == ["kept"]


def test_a_module_that_the_client_has_too(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its functions travel by name; a worker that has unpickled one before gives the new one."""
    path = tmp_path / "jf_shared.py"
    path.write_text("def value(x): return ('old', x)")
    monkeypatch.syspath_prepend(tmp_path)
    shared = importlib.import_module("jf_shared")
    client.upload_file(path)

    def wrapped(x: int) -> Any:
        return shared.value(x)

    assert client.submit(shared.value, 1, pure=False).result() == ("old", 1)
    assert client.submit(wrapped, 1, pure=False).result() == ("old", 1)
    path.write_text("def value(x): return ('new', x)")
    client.upload_file(path)
    assert client.submit(shared.value, 1, pure=False).result() == ("new", 1)
    assert client.submit(wrapped, 1, pure=False).result() == ("new", 1)
    monkeypatch.delitem(sys.modules, "jf_shared")


def test_a_plugin_that_cannot_be_unpickled(client: Client) -> None:
    class Poison(WorkerPlugin):
        def __reduce__(self) -> Any:
            return _explode, ()

    with pytest.raises(ValueError, match="a bad arrival"):
        client.register_plugin(Poison(), name="poison")
    assert client.submit(sum, [1, 2]).result() == 3


def _explode() -> None:
    raise ValueError("a bad arrival")


def test_a_worker_that_dies_in_setup_is_no_answer(client: Client) -> None:
    class Deadly(WorkerPlugin):
        def setup(self, worker: Any) -> None:
            if not hasattr(sys, "jf_spared"):
                mark = Path(os.environ["JUPYTER_RUNTIME_DIR"], "deadly")
                if not mark.exists():
                    mark.touch()
                    os._exit(1)

    assert client.register_plugin(Deadly()) == {}  # the only one that was asked is gone, and its successor is asked as it joins
    assert client.submit(sum, [1, 2]).result(timeout=60) == 3


def test_pip_install(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "target"
    wheel = _wheel(tmp_path, "jf_installed", "ANSWER = 42")
    client.register_plugin(Environ({"PYTHONPATH": str(target)}))
    client.register_plugin(PipInstall([str(wheel)], pip_options=["--no-index", "--no-deps", "--target", str(target)]))

    def use() -> Any:
        sys.path.insert(0, os.environ["PYTHONPATH"])
        import jf_installed  # type: ignore[import-not-found]

        return jf_installed.ANSWER

    assert client.submit(use).result() == 42
    before = client.run(os.getpid)
    with pytest.raises(RuntimeError, match="failed with exit code"):
        client.register_plugin(PipInstall([str(tmp_path / "no.whl")], pip_options=["--no-index"], restart_workers=True))
    assert client.run(os.getpid) == before  # what failed restarts nobody
    options = ["--no-index", "--no-deps", "--upgrade", "--target", str(target)]
    client.register_plugin(PipInstall([str(wheel)], pip_options=options, restart_workers=True))
    assert not set(client.run(os.getpid).values()) & set(before.values())
    assert client.submit(use).result() == 42


def _wheel(directory: Path, name: str, text: str) -> Path:
    import zipfile

    path = directory / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.py", text)
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


def test_the_command_allows_run_only_when_told(tmp_path: Path) -> None:
    for options, allowed in (([], False), (["--allow-run"], True)):
        file = tmp_path / f"connection-{allowed}.json"
        command = [sys.executable, "-m", "jupyterfut", "scheduler", "--connection-file", str(file), *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.stdout.readline()
            with Client(scheduler_file=file, set_as_default=False) as client:
                if allowed:
                    assert client.run_on_scheduler(os.getpid) == process.pid
                else:
                    with pytest.raises(PermissionError, match=r"scheduler\.allow_run=yes"):
                        client.run_on_scheduler(os.getpid)
                client.shutdown()
            process.stdout.read()
