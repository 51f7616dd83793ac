"""What a page is told, and what a slow page is not told; with clusters whose viewers are the test's own, and once with a real scheduler."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from jupyterfut import Scheduler
from jupyterfut.diagnostics import socket as pages
from jupyterfut.diagnostics.clusters import Clusters, Where, cluster_info
from jupyterfut.diagnostics.socket import Page
from jupyterfut.errors import ConfigError


class FakeViewer:
    """What `Viewer` is to a page."""

    def __init__(self, on_snapshot: Any, on_state: Any) -> None:
        self.tell, self.say = on_snapshot, on_state
        self.wishes: list[dict[str, Any]] = []
        self.begun_again: list[str] = []
        self.started = False
        self.gone = asyncio.Event()

    def start(self) -> None:
        self.started = True

    def watch(self, topics: dict[str, Any]) -> None:
        self.wishes.append(topics)

    def begin_again(self, *topics: str) -> None:
        self.begun_again += topics

    async def close(self) -> None:
        self.gone.set()


class FakeClusters(Clusters):
    """One cluster "a", without a scheduler."""

    def __init__(self) -> None:
        super().__init__()
        self.viewers: list[FakeViewer] = []
        self.put(cluster_info("a", name="mine"))

    def viewer(self, cluster: str, on_snapshot: Any, on_state: Any) -> Any:
        self.info(cluster)
        viewer = FakeViewer(on_snapshot, on_state)
        self.viewers.append(viewer)
        return viewer

    async def ask(self, cluster: str, op: str, args: dict[str, Any]) -> Any:
        if op == "story":
            raise ConfigError("no such task")
        return [op, args]


class Browser:
    """The other end: takes texts when it is `open`."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.open = asyncio.Event()
        self.open.set()
        self._news = asyncio.Event()

    async def take(self, text: str) -> None:
        self.heard.append(json.loads(text))
        self._news.set()
        await self.open.wait()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.heard if message["type"] == kind]

    def data(self) -> list[Any]:
        return [message["data"] for message in self.of("snapshot")]

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._news.clear()
                await self._news.wait()


@contextlib.asynccontextmanager
async def opened(clusters: Clusters) -> AsyncIterator[tuple[Page, Browser]]:
    browser = Browser()
    page = Page(clusters, browser.take)
    page.open()
    try:
        await browser.until(lambda: browser.of("clusters"))
        yield page, browser
    finally:
        await page.close()
        await clusters.close()


def watch(page: Page, cluster: str = "a", **topics: Any) -> None:
    page.hear(json.dumps({"type": "watch", "cluster": cluster, "topics": {name.replace("_", "-"): options for name, options in topics.items()}}))


def test_a_page_watches_and_hears() -> None:
    async def story() -> None:
        clusters = FakeClusters()
        async with opened(clusters) as (page, browser):
            assert [info["name"] for info in browser.of("clusters")[0]["clusters"]] == ["mine"]
            watch(page, workers={})
            (viewer,) = clusters.viewers
            assert viewer.started
            assert viewer.wishes == [{"workers": {}}]
            viewer.tell("workers", {"at": 1.0})
            viewer.tell("graph", {"at": 1.0})  # it does not want that
            await browser.until(lambda: browser.of("snapshot"))
            assert browser.of("snapshot") == [{"type": "snapshot", "cluster": "a", "topic": "workers", "data": {"at": 1.0}}]
            watch(page, workers={}, graph={"n": 1})
            assert viewer.wishes[-1] == {"workers": {}, "graph": {"n": 1}}
        assert viewer.gone.is_set()

    asyncio.run(story())


def test_a_slow_page_gets_the_newest_state_only() -> None:
    async def story() -> None:
        clusters = FakeClusters()
        async with opened(clusters) as (page, browser):
            watch(page, workers={}, progress={})
            (viewer,) = clusters.viewers
            browser.open.clear()
            for number in range(100):
                viewer.tell("workers", {"n": number})
                viewer.tell("progress", {"n": number})
                await asyncio.sleep(0)
            browser.open.set()
            await browser.until(lambda: {"n": 99} in browser.data() and len([one for one in browser.data() if one == {"n": 99}]) == 2)
            assert len(browser.data()) <= 4

    asyncio.run(story())


def test_what_piles_up_for_a_slow_page_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "ROWS_WAITING", 10)

    async def story() -> None:
        clusters = FakeClusters()
        async with opened(clusters) as (page, browser):
            watch(page, load={})
            (viewer,) = clusters.viewers
            viewer.tell("load", {"reset": False, "at": [0]})  # of before: the page has not had the beginning
            viewer.tell("load", {"reset": True, "at": [1] * 100})  # a beginning may be long
            await browser.until(lambda: len(browser.data()) == 1)
            browser.open.clear()
            for number in range(20):
                viewer.tell("load", {"reset": False, "at": [number]})
            assert not viewer.begun_again  # the page is still busy
            browser.open.set()
            viewer.say("running", "now")  # something to say, whatever it is
            await browser.until(lambda: viewer.begun_again)
            viewer.tell("load", {"reset": False, "at": [98]})
            viewer.tell("load", {"reset": True, "at": [99]})
            viewer.tell("load", {"reset": False, "at": [100]})
            await browser.until(lambda: browser.data()[-1]["at"] == [100])
            assert browser.data()[0]["at"] == [1] * 100
            assert [one["at"] for one in browser.data()[-2:]] == [[99], [100]]
            assert [98] not in [one["at"] for one in browser.data()]

    asyncio.run(story())


def test_another_option_drops_what_waits() -> None:
    async def story() -> None:
        clusters = FakeClusters()
        async with opened(clusters) as (page, browser):
            watch(page, profile={"name": "a"})
            (viewer,) = clusters.viewers
            browser.open.clear()
            page.hear("{}")
            await browser.until(lambda: browser.of("trouble"))
            viewer.tell("profile", {"of": "a"})
            watch(page, profile={"name": "b"})
            viewer.tell("profile", {"of": "b"})
            browser.open.set()
            await browser.until(lambda: browser.data())
            assert browser.data() == [{"of": "b"}]

    asyncio.run(story())


def test_questions_are_answered_or_refused() -> None:
    async def story() -> None:
        clusters = FakeClusters()
        async with opened(clusters) as (page, browser):
            for number, op in enumerate(["identity", "story", "shutdown"]):
                page.hear(json.dumps({"type": "ask", "id": number, "cluster": "a", "op": op, "args": {"n": 1}}))
            await browser.until(lambda: len(browser.of("answer")) == 3)
            answers = {message["id"]: message for message in browser.of("answer")}
            assert answers[0] == {"type": "answer", "id": 0, "value": ["identity", {"n": 1}]}
            assert answers[1]["error"] == "no such task"
            assert "may not ask 'shutdown'" in answers[2]["error"]

    asyncio.run(story())


@pytest.mark.parametrize("text", ["", "[", "[]", "7", '{"type":"watch"}', '{"type":"watch","cluster":"a","topics":{"x":1}}', "[" * 100_000, b"\xff"])
def test_nonsense_is_said_to_be_nonsense(text: str) -> None:
    async def story() -> None:
        clusters = FakeClusters()
        async with opened(clusters) as (page, browser):
            page.hear(text)
            await browser.until(lambda: browser.of("trouble"))
            assert browser.of("trouble")[0]["cluster"] == ""
            watch(page, workers={})
            assert clusters.viewers  # it lives

    asyncio.run(story())


def test_trouble_is_told_and_taken_back() -> None:
    async def story() -> None:
        clusters = FakeClusters()
        async with opened(clusters) as (page, browser):
            watch(page, workers={})
            watch(page, "b", workers={})
            (viewer,) = clusters.viewers
            viewer.say("lost", "the link broke")
            viewer.say("running", "")
            await browser.until(lambda: len(browser.of("trouble")) == 3)
            assert [(one["cluster"], one["text"]) for one in browser.of("trouble")] == [
                ("b", "there is no cluster 'b' (any more)"),
                ("a", "the link broke"),
                ("a", ""),
            ]
            clusters.put(cluster_info("b", name="late"))  # now it is there
            assert len(clusters.viewers) == 2
            assert clusters.viewers[1].wishes == [{"workers": {}}]
            clusters.remove("a")
            await browser.until(lambda: browser.of("trouble")[-1] == {"type": "trouble", "cluster": "a", "text": "the cluster has ended"})

    asyncio.run(story())


def test_who_looks_at_nothing_leaves_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "LINGER_S", 0.0)

    async def story() -> None:
        clusters = FakeClusters()
        async with opened(clusters) as (page, _browser):
            watch(page, workers={})
            watch(page)
            (viewer,) = clusters.viewers
            assert viewer.wishes[-1] == {}
            await viewer.gone.wait()
            watch(page, workers={})
            assert len(clusters.viewers) == 2

    asyncio.run(story())


def test_a_page_that_is_gone_hurts_nobody() -> None:
    async def story() -> None:
        clusters = FakeClusters()

        async def gone(text: str) -> None:
            raise RuntimeError("websocket closed")

        page = Page(clusters, gone)
        page.open()
        watch(page, workers={})
        await asyncio.sleep(0)
        clusters.viewers[0].tell("workers", {})
        await page.close()
        await page.close()
        assert clusters.viewers[0].gone.is_set()
        await clusters.close()

    asyncio.run(story())


def test_json_of_what_is_no_number() -> None:
    assert pages.to_json({"a": (math.inf, [1.5, -math.inf]), "b": {"c": math.nan}}) == '{"a":[null,[1.5,null]],"b":{"c":null}}'


def test_a_long_message_is_written_in_parts() -> None:
    data = {"reset": True, "names": ["a"], "at": [i / 8 for i in range(5000)], "key": ['"' * (i % 3) for i in range(5000)], "bad": [math.nan] * 3000}
    message = {"type": "snapshot", "cluster": "a", "topic": "load", "data": data}
    text = asyncio.run(pages.written(message))
    assert text == pages.to_json(message)


def test_a_page_and_a_real_scheduler() -> None:
    async def story() -> None:
        clusters = Clusters()
        async with Scheduler(port=0) as s:
            clusters.put(cluster_info("a", name="mine", address=s.address), Where(s))
            async with opened(clusters) as (page, browser):
                watch(page, summary={})
                await browser.until(lambda: browser.data() and browser.of("clusters")[-1]["clusters"][0]["summary"])
                assert browser.data()[0]["workers"] == 0
                page.hear(json.dumps({"type": "ask", "id": 1, "cluster": "a", "op": "identity", "args": {}}))
                await browser.until(lambda: browser.of("answer"))
                assert browser.of("answer")[0]["value"]["workers"] == {}
            assert not s.clients

    asyncio.run(story())
