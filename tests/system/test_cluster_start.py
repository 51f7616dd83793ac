"""`jupyterfut cluster start`: for people, who see where it is, and for programs, who hold its life line."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jupyterfut import Client
from jupyterfut.cli.main import main
from jupyterfut.deploy import registry
from jupyterfut.runtime import connections
from jupyterfut.runtime.process import is_alive, wait_gone

START = [sys.executable, "-m", "jupyterfut", "cluster", "start"]
SMALL = {"n_workers": 1, "threads_per_worker": 1, "memory_limit": "1 GB"}


class Program:
    """A program that starts a cluster."""

    def __init__(self, wish: dict[str, Any]) -> None:
        self.process = subprocess.Popen([*START, "--pipe"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.say(**wish)

    def say(self, **message: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def hear(self, event: str) -> dict[str, Any]:
        """The next report of this kind."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            message: dict[str, Any] = json.loads(line)
            if message["event"] == event:
                return message
        raise AssertionError(f"it ended without {event!r}: {self.process.communicate()[1].decode()}")

    def end(self) -> int:
        """Let go of the life line, and wait."""
        self.process.communicate(timeout=30)
        return self.process.returncode


@pytest.fixture
def far_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An `ssh` that stays here."""
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text('#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n')
    ssh.chmod(ssh.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
    return ["localhost", "localhost"]


def test_a_person_starts_one_and_ends_it_with_ctrl_c() -> None:
    arguments = ["--name", "mill", "--n-workers", "1", "--threads-per-worker", "1", "--adapt", "1:2"]
    process = subprocess.Popen([*START, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("cluster 'mill' at tcp://127.0.0.1:")
    with Client("mill") as client:
        assert client.submit(abs, -1).result(timeout=30) == 1
    host = registry.find("mill").pid
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err, out.endswith("cluster ended\n")) == (0, "", True)
    assert not is_alive(host)


def test_it_ends_with_the_cluster() -> None:
    process = subprocess.Popen([*START, "--name", "mill", "--n-workers", "0"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "mill" in process.stdout.readline()
    with Client("mill") as client:
        client.shutdown()
    assert process.communicate(timeout=30)[0].endswith("cluster ended\n")
    assert process.returncode == 0


def test_a_detached_one_stays(capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run([*START, "--name", "mill", "--n-workers", "0", "--detached"], capture_output=True, text=True, check=True, timeout=60)
    assert "jupyterfut cluster stop mill" in done.stdout
    info = registry.find("mill")
    assert info.detached and is_alive(info.pid)
    assert main(["cluster", "stop", "mill"]) == 0
    assert not is_alive(info.pid)
    assert "mill: stopped" in capsys.readouterr().out


def test_a_program_holds_its_life_line() -> None:
    program = Program({"name": "mill", "options": SMALL})
    address = program.hear("listening")["address"]
    assert program.hear("ready")["address"] == address
    program.say(op="scale", id=1, n=2)
    assert program.hear("done") == {"event": "done", "id": 1, "error": None}
    program.say(op="adapt", id=2, options={"minimum": 3, "maximum": 1})
    assert "below the minimum" in program.hear("done")["error"]
    program.say(op="dance", id=3)
    assert "'dance'" in program.hear("done")["error"]
    host = registry.find("mill").pid
    assert program.end() == 0
    assert not is_alive(host)


def test_a_program_that_is_killed_takes_it_along() -> None:
    program = Program({"name": "mill", "options": SMALL})
    program.hear("ready")
    host = registry.find("mill").pid
    program.process.kill()
    program.process.communicate()
    assert wait_gone(host, 30)
    assert registry.clusters() == []


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"options": {"n_workers": -1}}, "n_workers"),
        ({"options": {"flour": 1}}, "knows no 'flour'"),
        ({"type": "cloud"}, "no type of cluster 'cloud'"),
        ({"options": {"tls": {"cert": "/no/file"}}}, "no file /no/file"),
        ({"type": "ssh", "options": {"hosts": ["one"]}}, "at least two"),
        ({"options": {"host": "0.0.0.0", "n_workers": 0}}, "allow_plain"),
    ],
)
def test_a_program_is_told_what_is_wrong(wish: dict[str, Any], said: str) -> None:
    program = Program(wish)
    assert said in program.hear("failed")["error"]
    assert program.end() == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--adapt", "many"], 2, "MIN:MAX"),
        (["--n-workers", "-1"], 2, "whole number"),
        (["--hosts", "a,b"], 1, "--hosts is for --type ssh"),
        (["--type", "ssh", "--hosts", "a"], 1, "at least two"),
        (["--memory-limit", "lots"], 1, "memory_limit"),
    ],
)
def test_a_person_is_told_what_is_wrong(arguments: list[str], code: int, said: str) -> None:
    done = subprocess.run([*START, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (code, True, False)


def test_machines_over_ssh_are_found_here_by_name(far_away: list[str]) -> None:
    program = Program({"type": "ssh", "name": "far", "options": {"hosts": far_away, "worker_options": {"nthreads": 1}}})
    program.hear("ready")
    info = registry.find("far")
    assert info.pid == program.process.pid
    with Client("far") as client:
        assert client.submit(abs, -2).result(timeout=30) == 2
    assert registry.stop(info)
    assert program.end() == 0


def test_machines_over_ssh_may_be_left_alone(far_away: list[str]) -> None:
    arguments = ["--type", "ssh", "--name", "far", "--hosts", ",".join(far_away), "--threads-per-worker", "1", "--detached"]
    done = subprocess.run([*START, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout.count("far")) == (0, 3), done.stderr
    info = registry.find("far")
    assert info.detached
    with Client("far") as client:
        assert client.submit(abs, -3).result(timeout=30) == 3
    assert registry.stop(info)
    assert list(connections.runtime_dir().glob("jupyterfut-*")) == []  # no log is left of what went well
