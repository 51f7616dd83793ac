"""The kernel's side of `client.dashboard(...)`: what goes to pages and comes from them, without a page."""

from __future__ import annotations

import asyncio
import json
import queue
from collections.abc import Iterator
from typing import Any

import pytest

from jupyterfut import Client
from jupyterfut.errors import ClosedError
from jupyterfut.notebook import dashboard
from jupyterfut.notebook.dashboard import Kernel


class Widget:
    """Where the kernel's messages go."""

    def __init__(self) -> None:
        self.sent: queue.Queue[tuple[dict[str, Any], Any]] = queue.Queue()

    def send(self, content: dict[str, Any], buffers: Any = None) -> None:
        self.sent.put((content, buffers))

    def next(self, kind: str) -> dict[str, Any]:
        """The next message of this kind; a text's content is under "message"."""
        while True:
            content, buffers = self.sent.get(timeout=20)
            if content["t"] == kind:
                return {**content, "message": json.loads(buffers[0]) if buffers else None}

    def snapshot(self) -> dict[str, Any]:
        while True:
            content = self.next("text")
            if content["message"]["type"] == "snapshot":
                return content


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(processes=False, n_workers=1, threads_per_worker=1, name="mine", set_as_default=False) as client:
        yield client


@pytest.fixture
def widget() -> Widget:
    return Widget()


@pytest.fixture
def kernel(client: Client, widget: Widget) -> Iterator[Kernel]:
    kernel = Kernel(client, widget.send)
    yield kernel
    kernel.close()
    assert widget.next("over")


def watch(kernel: Kernel, page: str) -> None:
    text = json.dumps({"type": "watch", "cluster": "cluster", "topics": {"summary": {}}})
    kernel.hear({"t": "text", "page": page, "text": text})


def test_a_page_is_told(kernel: Kernel, widget: Widget) -> None:
    kernel.hear({"t": "hello", "page": "p"})
    assert [info["name"] for info in widget.next("text")["message"]["clusters"]] == ["mine"]
    watch(kernel, "p")
    told = widget.snapshot()
    assert told["page"] == "p"
    assert told["message"]["data"]["workers"] == 1


def test_two_pages_do_not_hear_each_other(kernel: Kernel, widget: Widget) -> None:
    kernel.hear({"t": "hello", "page": "p"})
    kernel.hear({"t": "hello", "page": "q"})
    watch(kernel, "q")
    assert widget.snapshot()["page"] == "q"


def test_an_unknown_page_is_asked_who_it_is(kernel: Kernel, widget: Widget) -> None:
    watch(kernel, "p")
    assert widget.next("who")["page"] == "p"
    kernel.hear({"t": "hello", "page": "p"})
    widget.next("text")
    kernel.hear({"t": "bye", "page": "p"})
    watch(kernel, "p")
    assert widget.next("who")["page"] == "p"


def test_a_page_that_is_gone_is_told_no_more(kernel: Kernel, widget: Widget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "WINDOW", 1)
    monkeypatch.setattr(dashboard, "STALLED_S", 0.0)
    monkeypatch.setattr(dashboard, "GONE_S", 0.0)
    kernel.hear({"t": "hello", "page": "p"})
    widget.next("text")

    async def until_given_up() -> None:
        while not kernel._carriers["p"]._gone:
            await asyncio.sleep(0)

    kernel._thread.run(until_given_up(), 20)
    kernel.hear({"t": "ack", "page": "p", "n": 1})  # it is there after all, and is asked to begin again
    assert widget.next("who")["page"] == "p"


def test_nonsense_hurts_nobody(kernel: Kernel, widget: Widget) -> None:
    for content in (None, [], {}, {"page": 7}, {"page": "p"}, {"page": "p", "t": "ack", "n": "x"}, {"page": "p", "t": "text"}):
        kernel.hear(content)
    kernel.hear({"t": "hello", "page": "p"})
    kernel.hear({"t": "text", "page": "p", "text": "{"})
    assert {widget.next("text")["message"]["type"] for _ in range(2)} == {"clusters", "trouble"}


def test_the_end_of_the_client_is_told(widget: Widget) -> None:
    with Client(processes=False, n_workers=1, set_as_default=False) as client:
        kernel = Kernel(client, widget.send)
        kernel.hear({"t": "hello", "page": "p"})
        widget.next("text")
    assert "closed" in widget.next("over")["text"]
    kernel.close()
    with pytest.raises(ClosedError):
        client.dashboard()


def test_the_form_in_documents(client: Client) -> None:
    shown = client.dashboard("workers", height=400)
    bundle = shown._repr_mimebundle_()
    assert bundle["text/plain"] == "<Dashboard of 'mine': workers>"
    assert client.dashboard_link.partition("?")[0] in bundle["text/html"]
    assert "token" not in bundle["text/html"]
    with pytest.raises(ValueError, match="pixels"):
        client.dashboard("workers", height=3)
    with pytest.raises(TypeError, match="named"):
        client.dashboard(7)  # type: ignore[arg-type]
