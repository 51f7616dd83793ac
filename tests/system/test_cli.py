"""The command line: a cluster by hand, over processes that only share addresses and files; and what is said about mistakes."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyterfut import Client, Security
from jupyterfut._version import __version__
from jupyterfut.cli.main import main
from jupyterfut.runtime import connections
from jupyterfut.runtime.process import is_alive

CERTIFICATES = Path(__file__).parent.parent / "certificates"
TLS = [f"--tls-{kind}={CERTIFICATES / file}" for kind, file in (("cert", "cert.pem"), ("key", "key.pem"), ("ca", "ca.pem"))]


class Commands:
    """Commands that run beside the test; all are ended with it."""

    def __init__(self) -> None:
        self.running: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterfut", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ, **environment},
        )  # fmt: skip
        self.running.append(process)
        return process

    def scheduler(self, *arguments: str, **environment: str) -> tuple[subprocess.Popen[str], str]:
        """A scheduler, and its address."""
        process = self.start("scheduler", *arguments, **environment)
        return process, self.wait_for(process, r" at (\S+)")[1]

    def wait_for(self, process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
        """The next line of stdout that matches."""
        assert process.stdout is not None
        for line in process.stdout:
            if match := re.search(pattern, line):
                return match
        process.wait()
        assert process.stderr is not None
        raise AssertionError(f"{process.args} ended with {process.returncode} before it said {pattern!r}: {process.stderr.read()}")

    def end(self, process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Signal it and wait: exit code and what it still said."""
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
        self.running.remove(process)
        return process.returncode, out, err


@pytest.fixture
def commands() -> Iterator[Commands]:
    commands = Commands()
    yield commands
    for process in commands.running:
        process.terminate()
    for process in commands.running:
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise


def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """One command to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "jupyterfut", *arguments], capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **environment}
    )
    return done.returncode, done.stdout, done.stderr


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_cluster_by_hand(commands: Commands) -> None:
    scheduler, _address = commands.scheduler("--name", "byhand")
    worker = commands.start("worker", "byhand", "--nworkers", "2", "--nthreads", "1", "--name", "w", "--resources", "GPU=1")
    commands.wait_for(worker, "'w-1'.*has joined")
    with Client("byhand") as client:
        assert sorted(worker["name"] for worker in client.scheduler_info()["workers"].values()) == ["w-0", "w-1"]
        assert client.submit(sum, [1, 2]).result(timeout=30) == 3
        assert client.submit(abs, -1, resources={"GPU": 1}).result(timeout=30) == 1
    assert commands.end(worker)[0] == 0
    code, out, err = commands.end(scheduler, signal.SIGINT)
    assert (code, err) == (0, "")
    assert out.endswith("scheduler ended\n")
    assert connections.list_connection_files() == []


def test_tls_with_tokens_from_files(commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tmp_path / "token"
    token.write_text("open sesame\n")
    token.chmod(0o600)
    file = tmp_path / "scheduler.json"
    _scheduler, address = commands.scheduler("--host", "0.0.0.0", "--token-file", str(token), "--connection-file", str(file), *TLS)
    assert address.startswith("tls://")
    worker = commands.start("worker", address, "--nthreads=1", "--token-file", str(token), "--no-nanny", *TLS)
    commands.wait_for(worker, "has joined")
    with Client(address, security=Security(token="open sesame", tls_ca=str(CERTIFICATES / "ca.pem"))) as client:
        assert client.submit(abs, -5).result(timeout=30) == 5
    with Client(scheduler_file=str(file)) as client:
        assert client.submit(abs, -6).result(timeout=30) == 6


def test_a_cluster_with_a_connection_file_of_its_own_is_still_found_by_name(commands: Commands, tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    scheduler, _address = commands.scheduler("--name", "mill", "--connection-file", str(file))
    with Client("mill") as client:
        client.shutdown()
    assert scheduler.wait(timeout=20) == 0
    assert not file.exists()
    assert connections.list_connection_files() == []


def test_one_worker_is_enough_to_stop_and_start_again(commands: Commands) -> None:
    _scheduler, address = commands.scheduler(JUPYTERFUT_TOKEN="shared")
    with Client(address, security=Security(token="shared")) as client:
        waiting = client.submit(os.getpid)
        worker = commands.start("worker", address, "--nthreads=1", JUPYTERFUT_TOKEN="shared")
        pid = waiting.result(timeout=30)
        os.kill(pid, signal.SIGKILL)  # its nanny starts another
        assert client.submit(os.getpid, pure=False).result(timeout=30) != pid
        worker.kill()  # the nanny itself: its worker goes with it
        worker.communicate()
        commands.running.remove(worker)
        later = client.submit(abs, -7)
        commands.start("worker", address, "--nthreads=1", JUPYTERFUT_TOKEN="shared")
        assert later.result(timeout=30) == 7


def test_clusters_are_listed_and_stopped(commands: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    a, address = commands.scheduler("--name", "a")
    b, _ = commands.scheduler("--name", "b")
    assert main(["cluster", "list"]) == 0
    listing = capsys.readouterr().out
    assert re.search(rf"^a +{re.escape(address)} +{a.pid} ", listing, re.MULTILINE)
    assert main(["cluster", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in listed] == ["a", "b"]
    assert not any("token" in row for row in listed)
    assert main(["cluster", "stop", "a"]) == 0
    assert not is_alive(a.pid)
    assert main(["cluster", "stop", address]) == 1
    assert "no cluster called" in capsys.readouterr().err
    assert main(["cluster", "stop", "--all"]) == 0
    assert not is_alive(b.pid)
    assert main(["cluster", "list"]) == 0
    assert "no cluster runs" in capsys.readouterr().out


def test_twins_are_not_stopped_by_name(commands: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    commands.scheduler("--name", "twin")
    _second, address = commands.scheduler("--name", "twin")
    assert main(["cluster", "stop", "twin"]) == 1
    assert "2 clusters" in capsys.readouterr().err
    assert main(["cluster", "stop", address]) == 0


def test_ctrl_c_in_a_terminal_ends_a_worker_in_order(commands: Commands) -> None:
    _scheduler, address = commands.scheduler(JUPYTERFUT_TOKEN="t")
    worker = commands.start("worker", address, "--nthreads=1", JUPYTERFUT_TOKEN="t")
    commands.wait_for(worker, "has joined")
    os.killpg(worker.pid, signal.SIGINT)
    _out, err = worker.communicate(timeout=20)
    commands.running.remove(worker)
    assert worker.returncode == 0
    assert "Traceback" not in err


def test_workers_end_with_a_scheduler_that_was_closed(commands: Commands) -> None:
    scheduler, address = commands.scheduler(JUPYTERFUT_TOKEN="t")
    worker = commands.start("worker", address, "--nthreads=1", JUPYTERFUT_TOKEN="t")
    commands.wait_for(worker, "has joined")
    commands.end(scheduler)
    worker.communicate(timeout=20)
    assert worker.returncode == 0


def test_a_worker_looks_for_its_scheduler_again(commands: Commands) -> None:
    port = free_port()
    scheduler, address = commands.scheduler("--port", str(port), JUPYTERFUT_TOKEN="t")
    worker = commands.start("worker", address, "--nthreads=1", "--name=w", JUPYTERFUT_TOKEN="t")
    commands.wait_for(worker, "has joined")
    scheduler.kill()
    scheduler.communicate()
    commands.running.remove(scheduler)
    assert connections.list_connection_files() == []
    commands.scheduler("--port", str(port), JUPYTERFUT_TOKEN="t")
    with Client(address, security=Security(token="t")) as client:
        assert client.submit(abs, -8).result(timeout=30) == 8


MISTAKES: list[tuple[list[str], dict[str, str], int, str]] = [
    ([], {}, 2, ""),
    (["nonsense"], {}, 2, "no command 'nonsense'"),
    (["scheduler", "--port", "http"], {}, 2, "'http' is not a whole number"),
    (["scheduler", "--host", "0.0.0.0"], {}, 2, "--tls-cert .* or --no-tls"),
    (["scheduler", "--tls-cert", "a.pem"], {}, 2, "go together"),
    (["scheduler", "--tls-cert", "a.pem", "--tls-key", "b.pem"], {}, 1, "no file a.pem"),
    (["scheduler", "--host", "no.such.host.invalid", "--no-tls"], {}, 1, "no.such.host.invalid"),
    (["scheduler", "--connection-file", "/no/such/dir/x.json"], {}, 1, "no directory /no/such/dir"),
    (["scheduler", "--token-file", "/no/token"], {}, 1, "cannot read /no/token"),
    (["worker"], {}, 2, "address"),
    (["worker", "tcp://127.0.0.1"], {}, 1, "not an address"),
    (["worker", "tcp://127.0.0.1:9"], {}, 1, "no token is known"),
    (["worker", "tcp://127.0.0.1:9"], {"JUPYTERFUT_TOKEN": "t", "JUPYTERFUT_COMM_CONNECT_TIMEOUT_S": "0.2"}, 1, "127.0.0.1:9"),
    (["worker", "nobody"], {}, 1, "no cluster called 'nobody'"),
    (["worker", "./nobody.json"], {}, 1, "cannot read the connection file ./nobody.json"),
    (["worker", "tcp://127.0.0.1:9", "--nthreads", "0"], {}, 2, "at least 1"),
    (["worker", "tcp://127.0.0.1:9", "--resources", "GPU"], {}, 2, "'GPU' is not NAME=AMOUNT"),
    (["worker", "tcp://127.0.0.1:9", "--memory-limit", "lots"], {}, 1, "memory_limit: 'lots'"),
    (["worker", "tcp://127.0.0.1:9", "--no-nanny", "--nworkers", "2"], {}, 2, "only one"),
    (["config"], {"JUPYTERFUT_WORKER_INLINE_BYTES": "lots"}, 1, "JUPYTERFUT_WORKER_INLINE_BYTES"),
    (["cluster"], {}, 2, "required"),
]


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "said"), MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, list) else None
)
def test_mistakes_get_one_clear_line(arguments: list[str], environment: dict[str, str], code: int, said: str) -> None:
    found, _out, err = run(*arguments, **environment)
    assert found == code
    assert re.search(said, err)
    assert "Traceback" not in err


def test_a_wrong_token_is_told_to_both_sides(commands: Commands) -> None:
    scheduler, address = commands.scheduler(JUPYTERFUT_TOKEN="right")
    code, _out, err = run("worker", address, "--nthreads=1", JUPYTERFUT_TOKEN="wrong", JUPYTER_RUNTIME_DIR="/nonexistent")
    assert code == 1
    assert "refused our token" in err
    assert "Traceback" not in err
    _code, _out, err = commands.end(scheduler)
    assert "does not know this cluster's token" in err


def test_a_port_that_is_taken_is_named(commands: Commands) -> None:
    _scheduler, address = commands.scheduler()
    port = address.rpartition(":")[2]
    code, _out, err = run("scheduler", "--port", port)
    assert code == 1
    assert port in err
    assert "Traceback" not in err


def test_a_token_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    token.chmod(0o644)
    code, _out, err = run("scheduler", "--token-file", str(token))
    assert code == 1
    assert "can be read by others" in err


def test_settings_are_printed_with_their_source(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERFUT_SCHEDULER_LEASE_S", "2 min")
    assert main(["config", "--changed"]) == 0
    assert "scheduler.lease_s = 120.0 s  [JUPYTERFUT_SCHEDULER_LEASE_S]" in capsys.readouterr().out
    assert main(["config", "--json"]) == 0
    values: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert {"group", "name", "value", "default", "source", "unit", "doc", "variable"} == set(values[0])


def test_version_and_help_import_nothing_heavy() -> None:
    program = "import sys\nfrom jupyterfut.cli.main import main\nmain(['--help'])\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "usage: jupyterfut COMMAND" in done.stdout
    loaded = set(done.stderr.split())
    assert not loaded & {"asyncio", "ssl", "msgpack", "cloudpickle", "numpy", "IPython", "jupyterfut.client", "jupyterfut.comm"}
    assert run("--version") == (0, f"jupyterfut {__version__}\n", "")


def test_no_token_in_any_command_line(commands: Commands) -> None:
    _scheduler, address = commands.scheduler(JUPYTERFUT_TOKEN="very-secret-token")
    worker = commands.start("worker", address, "--nthreads=1", JUPYTERFUT_TOKEN="very-secret-token")
    commands.wait_for(worker, "has joined")
    if os.path.isdir("/proc/self"):
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                assert b"very-secret-token" not in path.read_bytes()
            except OSError:
                continue  # it ended while we looked


def test_a_stopped_scheduler_is_killed_by_stop(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    from jupyterfut.deploy import registry

    scheduler, _address = commands.scheduler("--name", "stuck")
    os.kill(scheduler.pid, signal.SIGSTOP)
    assert registry.stop(registry.find("stuck"), timeout_s=0.2) is False
    assert select.select([scheduler.stdout], [], [], 10)[0]
    assert not is_alive(scheduler.pid)
