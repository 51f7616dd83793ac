"""The page's side of live forms (`link.js`) in a real browser, on a page with nothing else: the kernel is a list of messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from browser.lab import Chromium
from jupyterfut.notebook.live.link import esm
from jupyterfut.views import html
from jupyterfut.views.snapshots import ClientView, ClusterView, FuturesView, FutureView, WorkerView
from jupyterfut.views.style import Look

FORM = "k.1"

START = """async source => {
  const module = await import(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));
  window.module = module;
  window.sent = [];
  const hears = new Set();
  const values = { key: 'k', html: '' };
  const hear = { on: (_, fn) => hears.add(fn), off: (_, fn) => hears.delete(fn) };
  window.model = { get: name => values[name], send: message => window.sent.push(message), ...hear };
  window.say = message => hears.forEach(fn => fn(message));
  window.stop = module.default.initialize({ model: window.model });
}"""


class Kernel:
    """What a kernel would say to the page, and hear of it."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def start(self) -> None:
        self.page.evaluate(START, esm())

    def show(self, source: str) -> None:
        """An output appears."""
        self.page.evaluate("source => { document.getElementById('output').innerHTML = source }", source)

    def push(self, source: str, form: str = FORM) -> None:
        self.page.evaluate("([form, html]) => say({ t: 'push', now: Date.now() / 1000, forms: { [form]: html } })", [form, source])

    def wait_sent(self, kind: str) -> dict[str, Any]:
        """The first message of this kind."""
        handle = self.page.wait_for_function("kind => window.sent.find(message => message.t === kind)", arg=kind)
        message: dict[str, Any] = handle.json_value()
        return message

    def text(self) -> str:
        return str(self.page.inner_text("#output")).replace("\n", " ")


@pytest.fixture
def kernel(chromium: Chromium) -> Iterator[Kernel]:
    page = chromium.page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_content("<body tabindex=-1><div id=output></div></body>")
    yield Kernel(page)
    page.context.close()
    assert not errors


def future(status: str = "pending", *, live: bool = True, step: str = "", since: float | None = None, reason: str = "") -> str:
    return html.future(FutureView("inc-1", status, step=step, since=since, reason=reason), look=Look(form=FORM, live=live))


def test_a_form_that_is_there_and_one_that_appears_are_asked_for(kernel: Kernel) -> None:
    kernel.show(future(live=False) + future(live=False).replace("k.1", "other.1"))
    kernel.start()
    assert kernel.wait_sent("hello")["ids"] == [FORM]
    kernel.page.evaluate("say({ t: 'welcome' })")
    kernel.show(future(live=False).replace("k.1", "k.2"))
    assert kernel.wait_sent("want")["ids"] == ["k.2"]


def test_a_push_moves_the_form_and_brings_buttons(kernel: Kernel) -> None:
    kernel.start()
    kernel.show(future(live=False))
    kernel.wait_sent("want")
    assert kernel.page.locator("button").count() == 0
    kernel.push(future(step="running"))
    assert "running" in kernel.text()
    kernel.page.get_by_role("button", name="Cancel").click()
    assert kernel.wait_sent("do") == {"t": "do", "form": FORM, "do": "cancel", "args": {}}
    assert kernel.page.get_by_role("button").is_disabled()
    kernel.push(future("finished"))
    assert "finished" in kernel.text()
    assert kernel.page.locator("button").count() == 0


def test_what_the_document_draws_anew_is_put_right_before_it_is_seen(kernel: Kernel) -> None:
    kernel.start()
    kernel.show(future(live=False))
    kernel.push(future(step="running"))
    drawn = kernel.page.evaluate(
        "source => { document.getElementById('output').innerHTML = source;"
        " return Promise.resolve().then(() => document.querySelectorAll('button').length) }",
        future(live=False),
    )
    assert drawn == 1


def test_what_is_unfolded_and_selected_and_typed_stays(kernel: Kernel) -> None:
    def client(n: int) -> str:
        workers = tuple(WorkerView(str(i), f"tcp://{i}", 1) for i in range(n))
        return html.client(ClientView("tcp://here", cluster=ClusterView("tcp://here", workers)), look=Look(form=FORM, live=True))

    kernel.start()
    kernel.show(client(2))
    kernel.push(client(2))
    page = kernel.page
    page.locator("summary").click()
    page.locator("input").fill("7")
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#output b'))")
    page.evaluate("window.row = document.querySelector('tbody tr')")
    kernel.push(client(3))
    assert page.locator("tbody tr").count() == 3
    assert page.evaluate("window.row === document.querySelector('tbody tr')"), "the rows that were there are the same"
    assert page.evaluate("getSelection().toString()") == "Client"
    assert page.locator("details").get_attribute("open") is not None
    assert page.locator("input").input_value() == "7"
    kernel.show(client(3))  # the document draws it anew: unfolded as it was
    page.wait_for_function("document.querySelector('details').open")


def test_a_number_goes_along_with_its_button(kernel: Kernel) -> None:
    view = ClusterView("tcp://here", (WorkerView("0", "tcp://0", 1),), kind="LocalCluster")
    kernel.start()
    kernel.show(html.cluster(view, look=Look(form=FORM, live=True)))
    kernel.page.locator("input").fill("-1")
    kernel.page.get_by_role("button", name="Scale").click()
    kernel.page.locator("input").fill("5")
    kernel.page.locator("input").press("Enter")
    assert kernel.wait_sent("do") == {"t": "do", "form": FORM, "do": "scale", "args": {"n": 5}}


def test_keys_in_a_form_are_not_the_pages_shortcuts(kernel: Kernel) -> None:
    kernel.page.evaluate("window.shortcuts = []; document.addEventListener('keydown', event => shortcuts.push(event.key), true)")
    kernel.start()
    kernel.show(future(step="running"))
    kernel.page.get_by_role("button").focus()
    kernel.page.keyboard.press("Enter")
    assert kernel.wait_sent("do")["do"] == "cancel"
    assert kernel.page.evaluate("shortcuts") == []


def test_time_ticks_by_the_kernels_clock(kernel: Kernel) -> None:
    kernel.page.clock.install(time=1_000_000.0)
    kernel.start()
    kernel.show(future(live=False))
    kernel.page.evaluate(
        "html => say({ t: 'push', now: 5000, forms: { 'k.1': html } })", future(step="running", since=4989.5)
    )  # the kernel's clock is elsewhere
    assert kernel.page.inner_text("time") == "10 s"
    kernel.page.clock.run_for(65_000)
    assert kernel.page.inner_text("time") == "1:15 min"


def test_nobody_listens_any_more(kernel: Kernel) -> None:
    kernel.start()
    kernel.show(future(live=False))
    kernel.push(future(step="running"))
    kernel.page.evaluate("stop()")
    assert kernel.page.locator("button").count() == 0
    kernel.push(future("finished"))
    assert "running" in kernel.text()


def test_a_form_that_the_kernel_does_not_know_offers_nothing(kernel: Kernel) -> None:
    kernel.start()
    kernel.show(future(step="running"))
    kernel.page.evaluate("say({ t: 'gone', ids: ['k.1'] })")
    assert kernel.page.locator("button").count() == 0


def test_values_are_text_and_nothing_else(kernel: Kernel) -> None:
    kernel.start()
    kernel.show(future(live=False))
    kernel.push(future("error", reason="<img src=x onerror='window.harm = 1'><script>window.harm = 1</script>"))
    assert "<img src=x" in kernel.text()
    assert kernel.page.evaluate("window.harm") is None
    assert kernel.page.locator("#output img").count() == 0


def test_ten_thousand_futures_are_drawn_at_once(kernel: Kernel) -> None:
    codes = bytes([2, 3, 0, 1] * 2500)
    source = html.futures(FuturesView(codes, "inc"), look=Look(form=FORM))
    assert len(source) < 100_000
    kernel.start()
    kernel.show(source)
    kernel.push(html.futures(FuturesView(codes, "inc"), look=Look(form=FORM, live=True)))
    assert kernel.page.locator("svg path").count() == 4
    assert kernel.page.locator("#output *").count() < 40, "so few elements are drawn in a few milliseconds"
    assert "2,500 of 10,000 done" in kernel.text()


def test_a_widget_of_its_own(kernel: Kernel) -> None:
    kernel.page.evaluate(
        """async ([source, html]) => {
          const module = await import(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));
          const values = { key: 'k.1', html }, hears = new Set();
          window.sent = [];
          const hear = { on: (_, fn) => hears.add(fn), off: (_, fn) => hears.delete(fn) };
          window.model = { get: name => values[name], send: message => sent.push(message), ...hear };
          window.set = html => { values.html = html; hears.forEach(fn => fn()); };
          module.default.initialize({ model });
          module.default.render({ model, el: document.getElementById('output') });
        }""",
        [esm(), future(step="running")],
    )
    kernel.page.get_by_role("button", name="Cancel").click()
    assert kernel.wait_sent("do")["do"] == "cancel"
    kernel.page.evaluate("html => set(html)", future("cancelled"))
    assert "cancelled" in kernel.text()
