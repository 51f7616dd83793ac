"""Clusters behind the doors: found, started, resized, stopped, and never in the server's own process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from jupyterfut import Client, LocalCluster
from jupyterfut.comm import Security
from jupyterfut.deploy import registry
from jupyterfut.notebook.server.registry import Limits, Registry
from jupyterfut.runtime import connections
from jupyterfut.runtime.process import is_alive, wait_gone

SMALL = {"n_workers": 1, "threads_per_worker": 1, "memory_limit": "1 GB"}


async def test_a_cluster_is_seen_as_it_comes_and_goes(server: Any) -> None:
    async with server.socket() as page:
        assert (await page.hear())["clusters"] == []
        async with LocalCluster(**SMALL, name="mill", asynchronous=True) as cluster:
            listed = (await page.until_listed(lambda known: "mill" in known))["mill"]
            assert (listed["address"], listed["owner"], listed["state"]) == (cluster.scheduler_address, "process", "running")
            known = await page.until_listed(lambda known: known["mill"]["summary"] and known["mill"]["summary"]["workers"] == 1)
            summary = known["mill"]["summary"]
            assert (summary["threads"], summary["can_scale"]) == (1, True)
            await page.say(type="watch", cluster=listed["id"], topics={"summary": {}})
            assert (await page.until("snapshot"))["cluster"] == listed["id"]
            await page.say(type="ask", id=5, cluster=listed["id"], op="identity", args={})
            assert len((await page.until("answer"))["value"]["workers"]) == 1
        await page.until_listed(lambda known: "mill" not in known)


async def test_one_that_is_killed_is_gone_as_well(server: Any) -> None:
    async with server.socket() as page:
        cluster = await LocalCluster(**SMALL, name="victim", asynchronous=True)
        listed = (await page.until_listed(lambda known: "victim" in known))["victim"]
        os.kill(listed["pid"], signal.SIGKILL)
        await page.until_listed(lambda known: "victim" not in known)
        await cluster.close()
    assert connections.list_connection_files() == []


async def test_a_notebooks_cluster_says_whose_it_is(server: Any) -> None:
    info = connections.write_connection_file("tcp://127.0.0.1:9", "t0ken of a kernel", "study", kernel_id="1f", session="/home/me/study.ipynb")
    try:
        async with server.socket() as page:
            study = (await page.until_listed(lambda known: known.get("study", {}).get("state") == "lost"))["study"]
        assert (study["kernel"], study["session"], study["owner"]) == ("1f", "/home/me/study.ipynb", "kernel")
        assert "127.0.0.1:9" in study["text"]  # nobody listens there
        assert (await server.ask("PATCH", "clusters", study["id"], body={"n_workers": 1})).status == 504
    finally:
        connections.remove_connection_file(info)
    assert (await server.ask("GET", "clusters")).json == {"clusters": []}


async def test_the_life_of_a_cluster_that_a_page_starts(server: Any) -> None:
    async with server.socket() as page:
        started = await server.ask("POST", "clusters", body={**SMALL, "name": "mine"})
        assert started.status == 201
        info = started.json
        assert (info["name"], info["owner"], started.headers["Location"]) == ("mine", "server", f"/user/a%20b/jupyterfut/api/clusters/{info['id']}")
        assert info["pid"] != os.getpid()
        await page.until_listed(lambda known: known.get("mine", {}).get("state") == "running" and known["mine"]["summary"])
        again = await server.ask("POST", "clusters", body={"name": "mine"})
        assert (again.status, "called 'mine' already" in again.message) == (409, True)

        async with Client("mine", asynchronous=True) as client:
            assert await client.submit(abs, -1) == 1
            assert (await server.ask("PATCH", "clusters", info["id"], body={"n_workers": 2})).status == 200
            await page.until_listed(lambda known: known["mine"]["summary"]["workers"] == 2)
            held = client.submit(abs, -2)
            await held
            assert (await server.ask("POST", "clusters", info["id"], "restart")).status == 200
            assert held.status == "cancelled"
        assert (await server.ask("PATCH", "clusters", info["id"], body={"adapt": {"minimum": 1, "maximum": 3}})).status == 200
        await page.until_listed(lambda known: known["mine"]["summary"]["adaptive"] == {"minimum": 1, "maximum": 3})
        assert (await server.ask("PATCH", "clusters", info["id"], body={"adapt": None})).status == 200
        await page.until_listed(lambda known: known["mine"]["summary"]["adaptive"] is None)

        logs = (await server.ask("GET", "clusters", info["id"], "logs", n="50")).json
        assert any("listens at" in text for _level, text in logs["scheduler"])
        assert len(logs["workers"]) >= 1 and logs["errors"] == []
        assert (await server.ask("GET", "clusters", info["id"], "logs", n="-1")).status == 400
        assert (await server.ask("PATCH", "clusters", info["id"], body={})).status == 400

        assert (await server.ask("DELETE", "clusters", info["id"])).status == 204
        assert (await server.ask("GET", "clusters")).json == {"clusters": []}
        assert (await server.ask("DELETE", "clusters", info["id"])).status == 404
    assert not is_alive(info["pid"])
    assert len(server.tokens) == 2  # the cluster's and its dashboard's, which nobody was told


async def test_its_end_is_the_end_of_what_it_started_but_for_what_is_detached(server: Any) -> None:
    short = (await server.ask("POST", "clusters", body={**SMALL, "name": "short"})).json
    long = (await server.ask("POST", "clusters", body={**SMALL, "name": "long", "detached": True})).json
    assert (short["owner"], long["owner"]) == ("server", "detached")
    async with server.socket() as page:
        await page.until_listed(lambda known: {known["short"]["state"], known["long"]["state"]} == {"running"})
    await server.extension.stop_extension()
    server.extension._registry = None
    assert not is_alive(short["pid"])
    assert is_alive(long["pid"])
    [left] = (await server.ask("GET", "clusters")).json["clusters"]
    assert (left["name"], left["id"], left["owner"]) == ("long", long["id"], "detached")
    async with server.socket() as page:
        await page.until_listed(lambda known: known["long"]["summary"] and known["long"]["summary"]["workers"] == 1)
    assert (await server.ask("DELETE", "clusters", left["id"])).status == 204
    assert not is_alive(long["pid"])


async def test_names_and_defaults_are_the_servers(server: Any) -> None:
    server.extension.defaults = {"n_workers": 0, "threads_per_worker": 1}
    first = (await server.ask("POST", "clusters")).json
    second = (await server.ask("POST", "clusters", body={"adapt": {"minimum": 0, "maximum": 1}})).json
    assert [first["name"], second["name"]] == ["cluster-1", "cluster-2"]
    async with server.socket() as page:
        known = await page.until_listed(lambda known: all(info["summary"] and info["summary"]["adaptive"] for info in [known["cluster-2"]]))
        assert known["cluster-1"]["summary"]["workers"] == 0
    assert (await server.ask("GET", "clusters", first["id"], "logs")).json["errors"] == []
    for info in (first, second):
        assert (await server.ask("DELETE", "clusters", info["id"])).status == 204


def kernel(data: Path, name: str, python: str, **more: Any) -> None:
    directory = data / "kernels" / name
    directory.mkdir(parents=True)
    argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (directory / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": name.title(), "language": "python", **more}))


def program(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


async def test_any_environment_and_why_it_cannot(server: Any, jp_data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_TOKEN", "the server's")
    kernel(jp_data_dir, "other", program(tmp_path / "other" / "python", f'exec {sys.executable} "$@"'), env={"MILL": "flour"})
    kernel(jp_data_dir, "bare", program(tmp_path / "bare" / "python", "echo 'python: No module named jupyterfut' >&2; exit 1"))
    kernel(jp_data_dir, "ancient", program(tmp_path / "ancient" / "python3.8", "echo 'Unknown option: -P' >&2; exit 2"))
    kernel(jp_data_dir, "gone", str(tmp_path / "gone" / "python"))
    kernel(jp_data_dir, "mute", program(tmp_path / "mute" / "python", "echo cannot >&2; exit 3"))
    known = (await server.ask("GET", "environments")).json["environments"]
    assert {"other", "bare", "gone"} <= {each["name"] for each in known} and known[0]["python"] == sys.executable

    info = (await server.ask("POST", "clusters", body={**SMALL, "environment": "other"})).json
    async with Client(info["name"], asynchronous=True) as client:
        assert await client.submit(os.getenv, "MILL") == "flour"
        assert await client.submit(os.getenv, "JUPYTER_TOKEN") is None
    assert (await server.ask("DELETE", "clusters", info["id"])).status == 204

    for name, said in [("bare", "not installed in Bare"), ("ancient", "3.11"), ("gone", "cannot run"), ("mute", "exit code 3): cannot")]:
        answer = await server.ask("POST", "clusters", body={"environment": name})
        assert (answer.status, said in answer.message) == (500, True), (name, answer.text)
    assert (await server.ask("GET", "clusters")).json == {"clusters": []}


class TestHasty:
    @pytest.fixture
    def extension_settings(self) -> dict[str, Any]:
        return {"start_timeout_s": 0.01, "answer_timeout_s": 30.0}

    async def test_one_that_takes_long_is_listed_as_starting(self, server: Any, jp_data_dir: Path, tmp_path: Path) -> None:
        async with server.socket() as page:
            coming = await server.ask("POST", "clusters", body={**SMALL, "name": "slow"})
            assert (coming.status, coming.json["state"], coming.json["id"][:4]) == (202, "starting", "new-")
            await page.until_listed(lambda known: known.get("slow", {}).get("state") == "running")
            info = (await server.ask("GET", "clusters", coming.json["id"])).json  # the first id stands for it
            assert info["id"] != coming.json["id"]
            assert (await server.ask("DELETE", "clusters", coming.json["id"])).status == 204
            await page.until_listed(lambda known: not known)

            pipe = tmp_path / "go"
            os.mkfifo(pipe)
            kernel(jp_data_dir, "broken", program(tmp_path / "broken" / "python", f"cat {pipe} >&2; exit 1"))
            coming = await server.ask("POST", "clusters", body={"name": "never", "environment": "broken"})
            assert coming.status == 202
            pipe.write_text("out of flour")
            failed = (await page.until_listed(lambda known: known.get("never", {}).get("state") == "lost"))["never"]
            assert "out of flour" in failed["text"]
            assert "out of flour" in (await server.ask("GET", "clusters", failed["id"], "logs")).json["output"][-1]
            assert (await server.ask("DELETE", "clusters", failed["id"])).status == 204

            kernel(jp_data_dir, "stuck", program(tmp_path / "stuck" / "python", f"exec cat {pipe}"))
            coming = await server.ask("POST", "clusters", body={"name": "stuck", "environment": "stuck"})
            server.extension._registry.result().limits = Limits(stop_s=0.01)
            assert (await server.ask("DELETE", "clusters", coming.json["id"])).status == 204  # its process does not listen: it is killed
            assert (await server.ask("GET", "clusters")).json == {"clusters": []}


async def test_clusters_over_ssh_are_started_scaled_and_stopped(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin" / "ssh", 'for last; do :; done; exec sh -c "$last"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    body = {"type": "ssh", "name": "far", **SMALL, "options": {"hosts": "localhost, localhost"}}
    started = await server.ask("POST", "clusters", body=body)
    assert started.status == 201, started.text
    async with server.socket() as page:
        known = await page.until_listed(lambda known: known["far"]["state"] == "running" and known["far"]["summary"])
        assert known["far"]["summary"]["can_scale"]
        async with Client("far", asynchronous=True) as client:
            assert await client.submit(abs, -3) == 3
        assert (await server.ask("PATCH", "clusters", started.json["id"], body={"n_workers": 2})).status == 200
        await page.until_listed(lambda known: known["far"]["summary"]["workers"] == 2)
    assert (await server.ask("DELETE", "clusters", started.json["id"])).status == 204
    assert connections.list_connection_files() == []


async def test_clusters_elsewhere_are_added_and_forgotten(server: Any, tmp_path: Path) -> None:
    scheduler = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "jupyterfut", "scheduler", "--name", "far", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "JUPYTERFUT_TOKEN": "open sesame", "JUPYTER_RUNTIME_DIR": str(tmp_path / "elsewhere")},
    )  # fmt: skip
    assert scheduler.stdout is not None
    address = (await scheduler.stdout.readline()).decode().split()[-1]
    async with server.socket() as page:
        wrong = await server.ask("POST", "remotes", body={"address": address, "token": "wrong"})
        assert (wrong.status, "token" in wrong.message) == (400, True)
        assert (await server.ask("GET", "clusters")).json == {"clusters": []}
        added = await server.ask("POST", "remotes", body={"address": address, "token": "open sesame", "name": "far away"})
        assert (added.status, added.json["owner"], added.json["name"]) == (201, "remote", "far away")
        await page.until_listed(lambda known: known.get("far away", {}).get("summary"))
        twice = await server.ask("POST", "remotes", body={"address": address, "token": "open sesame"})
        assert twice.status == 409
        fixed = await server.ask("PATCH", "clusters", added.json["id"], body={"n_workers": 2})
        assert (fixed.status, "not from here" in fixed.message) == (409, True)
        assert (await server.ask("DELETE", "remotes", added.json["id"])).status == 204
        assert (await server.ask("DELETE", "remotes", added.json["id"])).status == 404
        again = await server.ask("POST", "remotes", body={"address": address, "token": "open sesame"})
        assert (await server.ask("DELETE", "clusters", again.json["id"])).status == 204  # its end
        assert (await server.ask("GET", "clusters")).json == {"clusters": []}
    await scheduler.communicate()
    assert scheduler.returncode == 0
    assert not [text for text in server.said if "open sesame" in text]
    refused = await server.ask("POST", "remotes", body={"address": address, "token": "t"})  # nobody is there any more
    assert refused.status == 504


async def test_two_servers_see_the_same(server: Any, tmp_path: Path) -> None:
    other = Registry(directory=str(tmp_path), limits=Limits(), log=server.extension.log)
    await other.start()
    changed = asyncio.Event()
    other.clusters.listen(changed.set)
    try:
        mine = (await server.ask("POST", "clusters", body={**SMALL, "name": "shared"})).json
        while mine["id"] not in other.clusters:
            await changed.wait()
            changed.clear()
        assert other.info(mine["id"])["owner"] == "process"  # it belongs to somebody else there
        assert await other.resize(mine["id"], 2)
        await other.stop(mine["id"])
        assert not is_alive(mine["pid"])
        async with server.socket() as page:
            await page.until_listed(lambda known: not known)
    finally:
        await other.close()


# --- what hangs

DEAF = "import socket, sys; s = socket.create_server(('127.0.0.1', 0), backlog=50); print(s.getsockname()[1], flush=True); sys.stdin.read()"
"""A scheduler that lets everybody in, and never says a word."""


class TestHanging:
    @pytest.fixture
    def extension_settings(self) -> dict[str, Any]:
        return {"answer_timeout_s": 0.3, "stop_timeout_s": 5.0}

    async def test_a_scheduler_that_hangs_does_not_hang_the_server(self, server: Any, runtime_directory: Path) -> None:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", DEAF, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        info = connections.write_connection_file(f"tcp://127.0.0.1:{port}", "a token nobody asks for", "deaf")
        written = json.loads(Path(info.path).read_text()) | {"pid": process.pid, "pid_mark": "", "started": 1.0}
        Path(info.path).write_text(json.dumps(written))
        async with server.socket() as page:
            deaf = (await page.until_listed(lambda known: "deaf" in known and known["deaf"]["pid"] == process.pid))["deaf"]
            await page.say(type="watch", cluster=deaf["id"], topics={"workers": {}})
            assert len((await server.ask("GET", "clusters")).json["clusters"]) == 1
            for method, path, body in [("PATCH", (), {"n_workers": 1}), ("PATCH", (), {"adapt": None}), ("POST", ("restart",), {})]:
                answer = await server.ask(method, "clusters", deaf["id"], *path, body=body)
                assert (answer.status, "within" in answer.message or "after" in answer.message) == (504, True), answer.text
            logs = await server.ask("GET", "clusters", deaf["id"], "logs")
            assert (logs.status, len(logs.json["errors"])) == (200, 1)
            twin = await server.ask("POST", "remotes", body={"address": f"localhost:{port}", "token": "t"})
            assert twin.status == 504
            working = (await server.ask("POST", "clusters", body={**SMALL, "name": "well"})).json  # others are not held up
            await page.until_listed(lambda known: known.get("well", {}).get("summary"))
            assert (await server.ask("DELETE", "clusters", working["id"])).status == 204
            assert (await server.ask("DELETE", "clusters", deaf["id"])).status == 204
            await page.until_listed(lambda known: not known)
        await process.communicate()
        assert process.returncode == -signal.SIGTERM

    async def test_a_scheduler_that_is_stopped_is_killed_in_the_end(self, server: Any) -> None:
        server.extension.stop_timeout_s = 0.3
        cluster = await LocalCluster(**SMALL, name="frozen", asynchronous=True)
        [frozen] = (await server.ask("GET", "clusters")).json["clusters"]
        os.kill(frozen["pid"], signal.SIGSTOP)
        assert (await server.ask("PATCH", "clusters", frozen["id"], body={"n_workers": 2})).status == 504
        assert (await server.ask("DELETE", "clusters", frozen["id"])).status == 204
        await cluster.close()
        assert wait_gone(frozen["pid"], 5.0)


class TestLongOrders:
    @pytest.fixture
    def extension_settings(self) -> dict[str, Any]:
        return {"answer_timeout_s": 1.5}

    async def test_an_order_that_takes_long_is_under_way(self, server: Any, runtime_directory: Path) -> None:
        gate = runtime_directory / "gate"
        os.mkfifo(gate)
        async with LocalCluster(**{**SMALL, "n_workers": 2}, name="busy", asynchronous=True) as cluster, Client(cluster, asynchronous=True) as client:
            futures = [client.submit(gate.read_text, pure=False) for _ in range(2)]
            with await asyncio.to_thread(gate.open, "w"):  # opens when somebody reads
                async with server.socket() as page:
                    await page.until_listed(lambda known: known["busy"]["summary"] and known["busy"]["summary"]["tasks"]["processing"] == 2)
                    [busy] = (await server.ask("GET", "clusters")).json["clusters"]
                    assert (await server.ask("PATCH", "clusters", busy["id"], body={"n_workers": 1})).status == 202  # both have something to do
            await client.gather(futures)


def test_stopping_somebody_elses_process_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(pid: int, number: int) -> None:
        if number:
            raise PermissionError("not yours")

    info = connections.write_connection_file("tcp://127.0.0.1:9", "t", "theirs")
    try:
        monkeypatch.setattr(os, "kill", kill)
        with pytest.raises(PermissionError):
            registry.stop(info)
    finally:
        connections.remove_connection_file(info)
    assert Security("t") == Security("t")
