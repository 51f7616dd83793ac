"""Connection files: private, whole, and gone when their process is."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from jupyterfut.deploy import registry
from jupyterfut.errors import ConnectionFailed
from jupyterfut.runtime import connections


def test_a_file_is_private_and_says_what_was_written(runtime_directory: Path) -> None:
    info = connections.write_connection_file("tcp://127.0.0.1:1", "secret", "my cluster/1", kernel_id="k")
    assert Path(info.path).parent == runtime_directory
    assert stat.S_IMODE(os.stat(info.path).st_mode) == 0o600
    assert connections.list_connection_files() == [info]
    assert connections.token_for("tcp://127.0.0.1:1") == "secret"
    assert "secret" not in repr(info)
    connections.remove_connection_file(info)
    assert list(runtime_directory.iterdir()) == []


def test_the_file_of_a_dead_process_is_stale_and_swept_away(runtime_directory: Path) -> None:
    write = "from jupyterfut.runtime import connections; connections.write_connection_file('tcp://127.0.0.1:1', 't', 'gone')"
    subprocess.run([sys.executable, "-c", write], check=True)
    assert len(list(runtime_directory.glob("jupyterfut-*.json"))) == 1
    assert connections.list_connection_files() == []
    assert list(runtime_directory.glob("jupyterfut-*.json")) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells one process from another with the same pid")
def test_another_process_with_the_same_pid_does_not_revive_a_file() -> None:
    info = connections.write_connection_file("tcp://127.0.0.1:1", "t", "old")
    raw = json.loads(Path(info.path).read_text())
    Path(info.path).write_text(json.dumps(raw | {"pid_mark": "1"}))
    assert connections.list_connection_files() == []


def test_a_file_of_another_machine_is_not_judged() -> None:
    info = connections.write_connection_file("tcp://10.0.0.9:1", "t", "far")
    raw = json.loads(Path(info.path).read_text())
    Path(info.path).write_text(json.dumps(raw | {"host": "elsewhere", "pid": 2**22 - 1}))
    (far,) = connections.list_connection_files()
    assert far.address == "tcp://10.0.0.9:1"
    assert registry.clusters() == []
    connections.remove_connection_file(far)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"address": 1, "token": "t", "pid": 1}'])
def test_what_is_no_connection_file_says_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ConnectionFailed, match="x.json"):
        connections.read_connection_file(path)


def test_foreign_files_in_the_directory_are_left_alone(runtime_directory: Path) -> None:
    other = runtime_directory / "jupyterfut-notes.json"
    other.write_text("not ours")
    assert connections.list_connection_files() == []
    assert other.exists()
    other.unlink()


def test_names_find_clusters_and_ambiguity_is_refused(tmp_path: Path) -> None:
    first = connections.write_connection_file("tcp://127.0.0.1:1", "t", "twin")
    assert registry.find("twin") == first
    second = connections.write_connection_file("tcp://127.0.0.1:2", "t", "twin", path=Path(first.path).with_name("jupyterfut-twin-0.json"))
    with pytest.raises(ConnectionFailed, match="2 clusters .* tcp://127.0.0.1:1.* tcp://127.0.0.1:2"):
        registry.find("twin")
    with pytest.raises(ConnectionFailed, match="no cluster called 'nobody' .* 'twin', 'twin'"):
        registry.find("nobody")
    connections.remove_connection_file(first)
    connections.remove_connection_file(second)


def test_the_runtime_directory_follows_jupyters_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = pytest.importorskip("jupyter_core.paths")
    assert connections.runtime_dir() == Path(paths.jupyter_runtime_dir())
    monkeypatch.delenv("JUPYTER_RUNTIME_DIR")
    monkeypatch.setenv("JUPYTER_DATA_DIR", "/some/data")
    assert connections.runtime_dir() == Path("/some/data/runtime")
    monkeypatch.delenv("JUPYTER_DATA_DIR")
    monkeypatch.setenv("XDG_DATA_HOME", "/xdg")
    if sys.platform == "linux":
        assert connections.runtime_dir() == Path(paths.jupyter_runtime_dir())


def test_tokens_of_this_process_need_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    connections.remember_token("tcp://127.0.0.1:7", "mine")
    assert connections.token_for("tcp://127.0.0.1:7") == "mine"
    connections.forget_token("tcp://127.0.0.1:7")
    assert connections.token_for("tcp://127.0.0.1:7") is None
    monkeypatch.setenv("JUPYTERFUT_TOKEN", "theirs")
    assert connections.token_for("tcp://127.0.0.1:7") == "theirs"
