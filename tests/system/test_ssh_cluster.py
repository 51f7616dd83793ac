"""Clusters over ssh. Most tests put a local shell in place of ssh, so that they run anywhere; those at the end log in for real, at an `sshd` of their
own: no port, no root, keys made for the test. They need Debian's openssh-server (`.ci/run` installs it), and say so where it is missing."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from jupyterfut import Client, SSHCluster, errors
from jupyterfut.comm import Security
from jupyterfut.deploy.remote import login

ROOT = Path(__file__).resolve().parents[2]
HERE = f"env PYTHONPATH={ROOT}:{Path(__file__).parent} {sys.executable}"
"""What a remote shell runs to get at this very checkout, and this module."""

SHELL = """\
import os, sys
arguments = sys.argv[1:]
host, command = arguments[arguments.index("--") + 1 :]
os.environ["NOT_SSH_HOST"] = host
os.execvp("sh", ["sh", "-c", command])
"""


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, Any]:
    """`connect_options` that need no sshd: the command goes to a local shell."""
    (tmp_path / "shell.py").write_text(SHELL)
    return {"ssh": [sys.executable, str(tmp_path / "shell.py")]}


def where() -> str:
    return os.environ.get("NOT_SSH_HOST", "")


def test_workers_run_on_the_hosts_that_were_named(shell: dict[str, Any]) -> None:
    hosts = ["127.0.0.1", "localhost", "127.0.0.2"]
    with SSHCluster(hosts, shell, {"nthreads": 2, "memory_limit": "1 GB"}, remote_python=HERE, name="two") as cluster:
        assert [(w.status, w.nthreads, w.memory_limit_bytes) for w in cluster.workers.values()] == [("running", 2, 10**9)] * 2
        assert cluster.name == "two" and cluster.status == "running" and cluster.scheduler_address.startswith("tcp://127.0.0.1:")
        with Client(cluster) as client:
            ran = {client.submit(where, workers=name, pure=False).result() for name in cluster.workers}
            assert ran == {"localhost", "127.0.0.2"}
            data = client.scatter([bytes(100_000 + i) for i in range(4)])
            cluster.scale(1)
            assert len(cluster.workers) == 1 and [len(future.result()) for future in data] == [100_000 + i for i in range(4)]
            cluster.scale(2)
            assert {client.submit(where, workers=name, pure=False).result() for name in cluster.workers} == ran
    assert cluster.status == "closed" and not cluster.workers


def test_it_adapts_and_may_be_awaited(shell: dict[str, Any]) -> None:
    async def main() -> None:
        async with SSHCluster(["localhost"] * 2, shell, {"nthreads": 1}, remote_python=HERE, asynchronous=True) as cluster:
            adaptive = await cluster.adapt(minimum=0, maximum=2, interval="50 ms", target_duration="50 ms", wait_count=1)
            async with Client(cluster, asynchronous=True) as client:
                assert sum(await client.gather(client.map(abs, range(-10, 0)))) == 55
            assert adaptive.running

    asyncio.run(main())


def test_several_workers_a_host_share_its_memory(shell: dict[str, Any]) -> None:
    with SSHCluster(["localhost"] * 2, shell, {"nthreads": 1, "n_workers": 2}, remote_python=HERE) as cluster:
        limits = {worker.memory_limit_bytes for worker in cluster.workers.values()}
        assert len(cluster.workers) == 2 and len(limits) == 1


def test_when_the_connection_to_the_workers_breaks_they_are_gone_and_the_cluster_lives(shell: dict[str, Any]) -> None:
    with SSHCluster(["localhost", "127.0.0.1", "127.0.0.2"], shell, {"nthreads": 1}, remote_python=HERE) as cluster, Client(cluster) as client:
        gone, stays = cluster.workers.values()
        part = next(part for login, part in cluster._parts.items() if login.host == "127.0.0.1")
        os.kill(part.process.pid, signal.SIGKILL)
        client._run(part._gone.wait())
        assert list(cluster.workers) == [stays.name] and gone.name != stays.name
        assert client.submit(abs, -1).result() == 1


def test_when_the_scheduler_is_gone_the_cluster_is_closed(shell: dict[str, Any]) -> None:
    with SSHCluster(["localhost", "localhost"], shell, remote_python=HERE) as cluster:
        with Client(cluster.scheduler_address) as client:
            client.shutdown()
        process = cluster._processes[0]
        cluster._loop_thread.run(process._gone.wait())  # type: ignore[union-attr]  # it has one
        assert cluster.status == "closed"
        with pytest.raises(errors.ClosedError):
            cluster.scale(2)


def test_the_token_is_in_nobodys_arguments(shell: dict[str, Any]) -> None:
    with SSHCluster(["localhost", "localhost"], shell, remote_python=HERE) as cluster:
        assert cluster.security.token
        for process in cluster._processes:
            assert cluster.security.token not in " ".join(process.where.command())
        everybody = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
        assert cluster.security.token not in everybody


def test_a_client_ends_the_cluster_that_it_was_given(shell: dict[str, Any]) -> None:
    cluster = SSHCluster(["localhost", "localhost"], shell, remote_python=HERE)
    with Client(cluster) as client:
        client.shutdown()
    assert cluster.status == "closed"
    cluster.close()


def test_certificates_travel_and_leave_nothing_behind(shell: dict[str, Any], tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    security = Security(tls_cert=str(tmp_path / "cert.pem"), tls_key=str(tmp_path / "key.pem"), tls_ca=str(tmp_path / "ca.pem"))
    (tmp_path / "there").mkdir()
    python = f"env TMPDIR={tmp_path}/there PYTHONPATH={ROOT} {sys.executable}"
    with SSHCluster(["localhost", "localhost"], shell, {"nthreads": 1}, remote_python=python, security=security) as cluster:
        assert cluster.scheduler_address.startswith("tls://")
        keys = list((tmp_path / "there").glob("jupyterfut-tls-*/key.pem"))
        assert len(keys) == 2 and all(path.stat().st_mode & 0o077 == 0 for path in keys)
        with Client(cluster) as client:
            assert client.submit(abs, -1).result() == 1
    assert not list((tmp_path / "there").glob("jupyterfut-tls-*"))


# --- what goes wrong


def start(*args: Any, **kwargs: Any) -> str:
    """The error of a cluster that does not come up."""
    with pytest.raises(errors.WorkerStartError) as caught:
        SSHCluster(*args, **kwargs)
    return str(caught.value)


def test_there_is_no_ssh() -> None:
    text = start(["localhost", "localhost"], {"ssh": "/nowhere/ssh"})
    assert "/nowhere/ssh" in text and "OpenSSH" in text


def test_the_interpreter_is_not_there(shell: dict[str, Any]) -> None:
    text = start(["localhost", "localhost"], shell, remote_python="/nowhere/python")
    assert "remote_python=" in text and "not found" in text


def test_jupyterfut_is_not_installed_there(shell: dict[str, Any], tmp_path: Path) -> None:
    text = start(["localhost", "localhost"], shell, remote_python=f"cd {tmp_path} && env -u PYTHONPATH {sys.executable} -I -S")
    assert "jupyterfut is not installed" in text and "ModuleNotFoundError" in text


def test_another_version_is_there(shell: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import jupyterfut._version as v; v.__version__ = '0.0.1'")
    text = start(["localhost", "localhost"], shell, remote_python=f"env PYTHONPATH={tmp_path}:{ROOT} {sys.executable}")
    assert "0.0.1 is installed there" in text


def test_a_worker_that_cannot_start_says_why(shell: dict[str, Any]) -> None:
    text = start(["localhost", "localhost"], shell, {"host": "192.0.2.1"}, remote_python=HERE)
    assert "192.0.2.1" in text


def test_the_scheduler_cannot_listen_there(shell: dict[str, Any]) -> None:
    text = start(["localhost", "localhost"], shell, None, {"host": "192.0.2.1"}, remote_python=HERE)
    assert "did not start on localhost" in text and "192.0.2.1" in text


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"hosts": ["one"]}, ValueError, "at least two"),
        ({"hosts": "one"}, ValueError, "at least two"),
        ({"hosts": ["one", "-oProxyCommand=evil"]}, ValueError, "no host"),
        ({"hosts": ["localhost"] * 2, "connect_options": {"password": "x"}}, ValueError, "ssh agent"),
        ({"hosts": ["localhost"] * 2, "connect_options": {"colour": "x"}}, TypeError, "colour"),
        ({"hosts": ["localhost"] * 2, "connect_options": [{}]}, ValueError, "one for each host: 2"),
        ({"hosts": ["localhost"] * 2, "remote_python": ["a", "b", "c"]}, ValueError, "one for each host: 2"),
        ({"hosts": ["localhost"] * 2, "worker_options": {"nthread": 1}}, TypeError, "nthread"),
        ({"hosts": ["localhost"] * 2, "scheduler_options": {"dashboard": 1}}, TypeError, "dashboard"),
        ({"hosts": ["node1", "node2"]}, ValueError, "TLS"),
        ({"hosts": ["node1", "node2"], "security": Security(tls_cert="/nowhere")}, ValueError, "/nowhere"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        SSHCluster(**options)


def test_options_become_those_of_ssh() -> None:
    options = {
        "username": "me", "port": "22", "identity_file": ["k1", Path("k2")], "known_hosts": None, "config_file": "c", "options": {"ProxyJump": "x"},
    }  # fmt: skip
    command = login("node", options, "conda run python").command()
    line = " ".join(command)
    for words in ("BatchMode=yes", "-l me", "-p 22", "-i k1 -i k2", "StrictHostKeyChecking=no", "-F c", "ProxyJump=x", "-- node conda run python -c"):
        assert words in line


# --- with a real sshd

SSHD = shutil.which("sshd", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))
needs_sshd = pytest.mark.skipif(SSHD is None or shutil.which("ssh") is None, reason="needs sshd and ssh: apt-get install openssh-server")


@pytest.fixture
def sshd(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """`connect_options` for a server of this test's own. ssh starts it instead of a connection (ProxyCommand), so there is nothing to stop."""
    for key in ("host", "user", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / key)], check=True)
    (tmp_path / "authorized").write_text((tmp_path / "user.pub").read_text())
    (tmp_path / "known").write_text("jupyterfut-test " + (tmp_path / "host.pub").read_text())
    (tmp_path / "unknown").write_text("jupyterfut-test " + (tmp_path / "stranger.pub").read_text())
    (tmp_path / "sshd_config").write_text(
        f"HostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/authorized\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nLogLevel QUIET\nPidFile none\n"
    )
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # where root's sshd locks its children in

    def options(key: str = "user", known: str = "known") -> dict[str, Any]:
        proxy = f"{SSHD} -i -f {tmp_path}/sshd_config"
        return {
            "identity_file": tmp_path / key, "known_hosts": tmp_path / known, "config_file": "/dev/null",
            "options": {"ProxyCommand": proxy, "HostKeyAlias": "jupyterfut-test", "IdentitiesOnly": "yes", "IdentityAgent": "none"},
        }  # fmt: skip

    return options


@needs_sshd
def test_a_cluster_over_ssh(sshd: Callable[..., dict[str, Any]], capfd: pytest.CaptureFixture[str]) -> None:
    with SSHCluster(["localhost"] * 3, sshd(), {"nthreads": 1}, remote_python=HERE) as cluster:
        with Client(cluster) as client:
            assert client.gather(client.map(pow, range(5), [2] * 5)) == [0, 1, 4, 9, 16]
            assert all("SSH_CONNECTION" in facts for facts in client.gather([client.submit(ssh_facts, workers=name) for name in cluster.workers]))
            client.submit(os.write, 2, b"a word from afar\n", pure=False).result()
            cluster.scale(1)
            assert len(cluster.workers) == 1
    assert "a word from afar" in capfd.readouterr().err


def ssh_facts() -> list[str]:
    return [name for name in os.environ if name.startswith("SSH_")]


@needs_sshd
def test_a_stranger_is_not_let_in(sshd: Callable[..., dict[str, Any]]) -> None:
    text = start(["localhost"] * 2, sshd(key="stranger"), remote_python=HERE)
    assert "ssh to localhost failed" in text and "Permission denied" in text and "identity_file" in text


@needs_sshd
def test_a_host_that_has_another_key(sshd: Callable[..., dict[str, Any]]) -> None:
    text = start(["localhost"] * 2, sshd(known="unknown"), remote_python=HERE)
    assert "ssh to localhost failed" in text and "Host key verification failed" in text and "known_hosts" in text


@needs_sshd
def test_it_ends_with_its_owner(sshd: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    """The owner is killed: the remote processes notice, because ssh's stdin ends. (That none is left is checked after every test.)"""
    options = {name: str(value) if isinstance(value, Path) else value for name, value in sshd().items()}
    program = (
        "import sys, json, time\nfrom jupyterfut import SSHCluster\n"
        "options, python = json.loads(sys.argv[1])\n"
        "cluster = SSHCluster(['localhost'] * 2, options, {'nthreads': 1}, remote_python=python)\n"
        "print([w.pid for w in cluster.workers.values()], flush=True)\nsys.stdin.read()\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program, json.dumps([options, HERE])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    with owner:
        assert owner.stdout is not None
        (pid,) = json.loads(owner.stdout.readline())
        descriptor = os.pidfd_open(pid)
        owner.kill()
    import select

    assert select.select([descriptor], [], [], 20.0)[0], "the worker is still there"
    os.close(descriptor)
