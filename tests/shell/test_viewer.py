"""A viewer of a scheduler: it hears what it watches, keeps itself connected, and nothing that a scheduler does (or does not do) hangs it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from jupyterfut import Client, Scheduler, Worker, comm
from jupyterfut.comm import Security
from jupyterfut.diagnostics import viewer as viewing
from jupyterfut.diagnostics.clusters import Clusters, NoSuchCluster, Where, cluster_info
from jupyterfut.diagnostics.viewer import Viewer
from jupyterfut.errors import ClosedError, ConfigError, ConnectionFailed, TimeoutError  # noqa: A004
from jupyterfut.runtime.peer import accept


class Ears:
    """Hears what a viewer tells, and waits for it."""

    def __init__(self) -> None:
        self.snapshots: list[tuple[str, dict[str, Any]]] = []
        self.states: list[tuple[str, str]] = []
        self._news = asyncio.Event()

    def on_snapshot(self, topic: str, snapshot: dict[str, Any]) -> None:
        self.snapshots.append((topic, snapshot))
        self._news.set()

    def on_state(self, state: str, text: str) -> None:
        self.states.append((state, text))
        self._news.set()

    def changed(self) -> None:
        self._news.set()

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._news.clear()
                await self._news.wait()


@contextlib.asynccontextmanager
async def looking(scheduler: str | Scheduler, security: Security | None = None) -> AsyncIterator[tuple[Viewer, Ears]]:
    ears = Ears()
    viewer = Viewer(scheduler, security, on_snapshot=ears.on_snapshot, on_state=ears.on_state)
    viewer.start()
    try:
        yield viewer, ears
    finally:
        await viewer.close()


@pytest.mark.parametrize("inside", [False, True])
def test_a_viewer_hears_what_it_watches(inside: bool) -> None:
    async def story() -> None:
        async with Scheduler(port=0) as s, looking(s if inside else s.address, s.security) as (viewer, ears):
            viewer.watch({"summary": {}})
            await ears.until(lambda: ears.snapshots)
            assert ears.snapshots[0][0] == "summary"
            assert ears.snapshots[0][1]["workers"] == 0
            async with Worker(s.address, nthreads=2, name="a", security=s.security):
                await ears.until(lambda: ears.snapshots[-1][1]["threads"] == 2)
            assert ears.states == [("running", "")]

    asyncio.run(story())


def test_a_viewer_is_no_client() -> None:
    async def story() -> None:
        async with Scheduler(port=0) as s, looking(s.address, s.security) as (viewer, ears):
            async with Client(s.address, asynchronous=True):
                viewer.watch({"summary": {}})
                await ears.until(lambda: ears.snapshots)
                assert ears.snapshots[0][1]["clients"] == 1
            await viewer.close()
            assert not s.clients  # no lease: it has said goodbye

    asyncio.run(story())


def test_what_the_scheduler_refuses_is_said_and_the_viewer_lives() -> None:
    async def story() -> None:
        async with Scheduler(port=0) as s, looking(s.address, s.security) as (viewer, ears):
            viewer.watch({"weather": {}})
            await ears.until(lambda: ears.states[-1:] and ears.states[-1][1])
            assert ears.states[-1][0] == "running"
            assert "weather" in ears.states[-1][1]
            viewer.watch({"summary": {}})
            await ears.until(lambda: ears.snapshots)
            await ears.until(lambda: ears.states[-1] == ("running", ""))

    asyncio.run(story())


def test_questions() -> None:
    async def story() -> None:
        async with Scheduler(port=0) as s, looking(s.address, s.security) as (viewer, _ears):
            assert (await viewer.ask("identity", {}))["workers"] == {}  # waits for the connection
            with pytest.raises(ConfigError, match="knows no request"):
                await viewer.ask("dance", {})
            with pytest.raises(ConfigError, match="no such worker"):
                await viewer.ask_workers("worker_logs", {})
            async with Worker(s.address, name="a", security=s.security) as worker:
                told = await viewer.ask_workers("worker_logs", {"workers": ["a"], "n": 5})
                assert list(told["answers"]) == [worker.address]
                assert told["errors"] == {}
            await viewer.close()
            with pytest.raises(ClosedError):
                await viewer.ask("identity", {})

    asyncio.run(story())


def test_a_worker_that_does_not_answer_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:
            nowhere = f"tcp://127.0.0.1:{mute.getsockname()[1]}"
            async with Scheduler(port=0) as s, Worker(s.address, security=s.security) as good, looking(s.address, s.security) as (viewer, _ears):
                ask = viewer.ask

                async def with_one_more(op: str, args: dict[str, Any], timeout_s: float) -> Any:
                    return {**await ask(op, args, timeout_s), nowhere: 1}

                monkeypatch.setattr(viewer, "ask", with_one_more)
                told = await viewer.ask_workers("call_stack", {}, timeout_s=0.3)
                assert list(told["answers"]) == [good.address]
                assert "no answer within" in told["errors"][nowhere]

    asyncio.run(story())


def test_a_lost_scheduler_is_found_again() -> None:
    async def story() -> None:
        async with Scheduler(port=0, token="t") as first:
            address = first.address
            port = int(address.rsplit(":", 1)[1])
            ears = Ears()
            viewer = Viewer(address, Security(token="t"), on_snapshot=ears.on_snapshot, on_state=ears.on_state)
            viewer.watch({"summary": {}})
            viewer.start()
            await ears.until(lambda: ears.snapshots)
        await ears.until(lambda: ears.states[-1][0] == "lost")
        with pytest.raises(ConnectionFailed):
            await viewer.ask("identity", {})
        ears.snapshots.clear()
        async with Scheduler(port=port, token="t"):
            await ears.until(lambda: ears.snapshots)  # what it watches is said anew
            assert ears.states[-1] == ("running", "")
            await viewer.close()

    asyncio.run(story())


def test_the_scheduler_of_this_loop_ends() -> None:
    async def story() -> None:
        async with Scheduler(port=0) as s:
            ears = Ears()
            viewer = Viewer(s, on_snapshot=ears.on_snapshot, on_state=ears.on_state)
            viewer.watch({"summary": {}})
            viewer.start()
            await ears.until(lambda: ears.snapshots)
        await ears.until(lambda: ears.states[-1][0] == "lost")
        await viewer.close()

    asyncio.run(story())


def test_a_wrong_token_is_not_tried_again() -> None:
    async def story() -> None:
        async with Scheduler(port=0) as s, looking(s.address, Security(token="wrong")) as (viewer, ears):
            await ears.until(lambda: ears.states)
            assert ears.states[0][0] == "incompatible"
            with pytest.raises(ConnectionFailed, match="token"):
                await viewer.ask("identity", {})

    asyncio.run(story())


def test_who_accepts_and_says_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewing, "CONNECT_S", 0.05)

    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:
            async with looking(f"tcp://127.0.0.1:{mute.getsockname()[1]}") as (viewer, ears):
                with pytest.raises((ConnectionFailed, TimeoutError)):
                    await viewer.ask("identity", {}, timeout_s=0.01)
                await ears.until(lambda: ears.states)
                assert ears.states[0][0] == "lost"

    asyncio.run(story())


def test_a_scheduler_that_stops_answering_is_silent_and_then_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewing, "QUIET_S", 0.05)
    monkeypatch.setattr(viewing, "GIVE_UP_S", 60.0)

    async def story() -> None:
        async with Scheduler(port=0) as s, looking(s.address, s.security) as (_viewer, ears):
            hear, mute = s._on_messages, True
            s._on_messages = lambda peer, messages: None if mute and s.clients else hear(peer, messages)  # type: ignore[method-assign]
            await ears.until(lambda: ("silent", "the scheduler does not answer") in ears.states)
            mute = False
            await ears.until(lambda: ears.states[-1] == ("running", ""))

    asyncio.run(story())


def test_who_is_silent_for_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewing, "QUIET_S", 0.02)
    monkeypatch.setattr(viewing, "GIVE_UP_S", 0.05)

    async def story() -> None:
        async with Scheduler(port=0) as s, looking(s.address, s.security) as (_viewer, ears):
            hear = s._on_messages
            s._on_messages = lambda peer, messages: None if s.clients else hear(peer, messages)  # type: ignore[method-assign]
            await ears.until(lambda: ears.states and ears.states[-1][0] == "lost")
            assert "said nothing" in ears.states[-1][1]

    asyncio.run(story())


def test_who_never_says_welcome_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewing, "CONNECT_S", 0.05)

    async def story() -> None:
        streams: list[Any] = []
        listener = await comm.listen(
            "tcp://127.0.0.1:0", lambda stream: accept(stream, lambda stream, *_: streams.append(stream)), security=Security(token="t")
        )
        try:
            async with looking(listener.address, Security(token="t")) as (_viewer, ears):
                await ears.until(lambda: ears.states)
                assert ears.states[0][0] == "lost"
                assert "not answered" in ears.states[0][1]
        finally:
            listener.close()
            for stream in streams:
                stream.abort()

    asyncio.run(story())


# --- the list of clusters


def test_summaries_are_watched_while_somebody_looks() -> None:
    async def story() -> None:
        clusters = Clusters()
        ears = Ears()
        clusters.listen(ears.changed)
        async with Scheduler(port=0) as s:
            clusters.put(cluster_info("a", name="mine", address=s.address), Where(s.address, s.security))
            assert clusters.infos()[0]["summary"] is None
            assert not s.clients  # nobody looks
            stop = clusters.look()
            await ears.until(lambda: clusters.infos()[0]["summary"])
            assert (await clusters.ask("a", "identity", {}))["workers"] == {}
            clusters.change("a", state="stopping")
            assert clusters.info("a")["state"] == "stopping"
            assert clusters.info("a")["summary"] is not None
            stop()
            stop()
            with pytest.raises(ConfigError, match="looks"):
                await clusters.ask("a", "identity", {})
        await clusters.close()

    asyncio.run(story())


def test_a_lost_cluster_says_so_in_its_line() -> None:
    async def story() -> None:
        clusters = Clusters()
        ears = Ears()
        clusters.listen(ears.changed)
        stop = clusters.look()
        async with Scheduler(port=0) as s:
            clusters.put(cluster_info("a", name="mine", started=1.0), Where(s.address, s.security))
            clusters.put(cluster_info("b", name="older", state="starting", started=0.0))
            await ears.until(lambda: clusters.info("a")["summary"])
        await ears.until(lambda: clusters.info("a")["state"] == "lost")
        assert clusters.info("a")["text"]
        assert [info["name"] for info in clusters.infos()] == ["older", "mine"]
        with pytest.raises(ConfigError, match="starting"):
            clusters.viewer("b", ears.on_snapshot, ears.on_state)
        with pytest.raises(NoSuchCluster):
            clusters.change("c", state="running")
        stop()
        await clusters.close()
        assert len(clusters) == 0

    asyncio.run(story())
