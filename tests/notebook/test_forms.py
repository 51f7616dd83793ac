"""Forms that live, without a page and without a kernel: what is put into the document, when, and what buttons do. The document is a dict."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jupyterfut import Client, LocalCluster
from jupyterfut.client.future_list import FutureList
from jupyterfut.notebook.live import forms as forms_module
from jupyterfut.notebook.live.clusters import ActorForm, ClientForm, ClusterForm
from jupyterfut.notebook.live.forms import Form, Forms
from jupyterfut.notebook.live.tasks import FutureForm, FuturesForm, ProgressForm


class Document:
    """What a notebook's document shows, and how often it was told."""

    def __init__(self) -> None:
        self.shows: dict[str, dict[str, str]] = {}
        self.updates: list[tuple[str, int]] = []  # display id, bytes of HTML
        self._changed = threading.Condition()

    def publish(self, bundle: dict[str, str], display_id: str, update: bool) -> None:
        with self._changed:
            assert update == (display_id in self.shows)
            self.shows[display_id] = bundle
            if update:
                self.updates.append((display_id, len(bundle["text/html"])))
            self._changed.notify_all()

    def text(self, form: Form) -> str:
        return self.shows[f"jupyterfut-{form.id}"]["text/plain"]

    def html(self, form: Form) -> str:
        return self.shows[f"jupyterfut-{form.id}"]["text/html"].partition("</style>")[2]

    def until(self, form: Form, condition: Callable[[str], bool]) -> str:
        """Wait until the form's HTML is so."""
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self.html(form)), 20), self.html(form)
        return self.html(form)


@pytest.fixture
def document() -> Document:
    return Document()


@pytest.fixture
def forms(document: Document) -> Iterator[Forms]:
    forms = Forms(document.publish, link=False)
    yield forms
    forms.close()


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(processes=False, n_workers=1, threads_per_worker=2) as client:
        yield client


def fail(x: int) -> None:
    raise ValueError("too wet")


def same(x: int) -> int:
    return x


def test_a_future_runs_and_ends(client: Client, forms: Forms, document: Document) -> None:
    go = threading.Event()
    future = client.submit(go.wait, 30)
    form = forms.add(FutureForm(future))
    shown = document.until(form, lambda html: "running on worker" in html)
    assert "<button" not in shown, "a document has no buttons"
    assert "<time" not in shown, "a document has no clock"
    go.set()
    shown = document.until(form, lambda html: "finished" in html)
    assert "bool" in shown
    assert form.ended
    assert document.text(form).startswith("<Future: status: finished, type: bool")


def test_a_failure_says_why_and_retry_runs_it_again(client: Client, forms: Forms, document: Document) -> None:
    weather = ["rain"]

    def walk() -> str:
        if weather[-1] == "rain":
            raise ValueError("too wet")
        return "home again"

    future = client.submit(walk, pure=False)
    form = forms.add(FutureForm(future))
    document.until(form, lambda html: "ValueError: too wet" in html)
    weather.append("sun")
    forms.do(form, "retry", {})
    document.until(form, lambda html: "finished" in html)
    assert future.result() == "home again"


def test_cancel(client: Client, forms: Forms, document: Document) -> None:
    go = threading.Event()
    futures = client.map(lambda _: go.wait(30), range(5), pure=False)
    form = forms.add(FuturesForm(futures))
    document.until(form, lambda html: "2 running" in html)
    forms.do(form, "cancel", {})
    document.until(form, lambda html: "5 cancelled" in html)
    assert form.ended
    go.set()


def test_what_a_button_cannot_do_is_shown(client: Client, forms: Forms, document: Document) -> None:
    form = forms.add(FutureForm(client.submit(same, 1)))  # nobody holds it
    gc.collect()
    forms.do(form, "cancel", {})
    document.until(form, lambda html: 'role="alert">ValueError: nobody holds these futures any more' in html)


def test_a_form_keeps_no_future_alive_and_says_when_it_is_gone(client: Client, forms: Forms, document: Document) -> None:
    go = threading.Event()
    blocks = [client.submit(go.wait, 30, key=f"block-{i}") for i in range(2)]
    future = client.submit(same, 1, key="waits")
    one = forms.add(FutureForm(future))
    futures = client.map(same, range(3), key=["a", "b", "c"])
    several = forms.add(FuturesForm(futures))
    del future, futures
    gc.collect()
    document.until(one, lambda html: "nobody holds this future any more" in html)
    document.until(several, lambda html: "no longer held by the notebook" in html)
    assert one.ended and several.ended
    assert set(client._session.state.records) == {"block-0", "block-1"}
    go.set()
    del blocks


def test_a_list_groups_its_failures_and_lists_few(client: Client, forms: Forms, document: Document) -> None:
    futures = client.map(fail, range(3)) + client.map(same, range(2))
    form = forms.add(FuturesForm(futures))
    shown = document.until(form, lambda html: "3 failed" in html and "2 of 5 done" in html)
    assert "3 × ValueError: too wet" in shown
    assert shown.count("<tr data-k=") == 5


def test_ten_thousand_futures_are_one_small_output(client: Client, forms: Forms, document: Document) -> None:
    futures = client.map(same, range(10_000))
    form = forms.add(FuturesForm(futures))
    document.until(form, lambda html: "10,000 of 10,000 done" in html)
    assert max(nbytes for _, nbytes in document.updates) < 100_000
    assert len(document.shows) == 1


def test_a_list_that_grows(client: Client, forms: Forms, document: Document) -> None:
    futures = client.map(same, range(2))
    form = forms.add(FuturesForm(futures))
    document.until(form, lambda html: "2 of 2 done" in html)
    futures.append(client.submit(same, 7))
    document.until(form, lambda html: "3 of 3 done" in html)
    futures += client.map(same, range(8, 10))
    document.until(form, lambda html: "5 of 5 done" in html)
    forms.drop([form])
    assert futures._watchers == []


def test_progress_follows_a_plain_list_that_grows_and_lets_go_of_it(client: Client, forms: Forms, document: Document) -> None:
    first, second = threading.Event(), threading.Event()
    futures = [client.submit(first.wait, 30)]
    form = forms.add(ProgressForm(futures, growing=(futures,)))
    document.until(form, lambda html: "0 of 1 done" in html)
    futures.append(client.submit(second.wait, 30))
    first.set()
    document.until(form, lambda html: "1 of 2 done" in html)
    second.set()
    document.until(form, lambda html: "2 of 2 done" in html)
    known = weakref.ref(futures[0])
    del futures
    gc.collect()
    assert known() is None


def test_progress_in_groups_from_an_empty_list(client: Client, forms: Forms, document: Document) -> None:
    futures = FutureList()
    form = forms.add(ProgressForm(futures))
    assert "none yet" in document.html(form)
    futures.extend(client.map(same, range(4)))
    futures.extend(client.map(fail, range(2)))
    shown = document.until(form, lambda html: "4 of 4" in html and "2 failed" in html and "4 of 6 done, 2 failed" in html)
    assert "<code>same</code>" in shown and "<code>fail</code>" in shown


def test_many_forms_are_bounded(client: Client, forms: Forms, document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms_module, "FORMS_KEPT", 10)
    future = client.submit(same, 1)
    future.result()
    kept = [forms.add(FutureForm(future)) for _ in range(100)]
    assert len(forms) == 10
    assert client._session.state.records[future.key].waiters is None
    assert all(form.forms is None for form in kept[:90])


def test_a_client_form_follows_its_workers_and_ends_with_it(forms: Forms, document: Document) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False) as cluster, Client(cluster) as client:
        form = forms.add(ClientForm(client))
        other = forms.add(ClusterForm(cluster, client))
        document.until(form, lambda html: "<b>1</b> worker" in html)
        forms.do(form, "scale", {"n": 3})
        for one in (form, other):
            document.until(one, lambda html: "<b>3</b> workers" in html)
        forms.do(other, "adapt", {"n": 3})
        document.until(form, lambda html: "adapts to the work: 0 to 3" in html)
        forms.do(other, "fix", {})
        document.until(other, lambda html: "adapts" not in html)
        forms.do(form, "close", {})
        document.until(form, lambda html: "closed" in html)
        assert form.ended and not other.ended
        forms.do(other, "close", {})
        document.until(other, lambda html: "closed" in html)


def test_an_actor_is_shown_until_nobody_has_it(client: Client, forms: Forms, document: Document) -> None:
    class Counter:
        n = 0

        def add(self) -> int:
            self.n += 1
            return self.n

    actor = client.submit(Counter, actor=True).result()
    form = forms.add(ActorForm(actor))
    assert "add(), n" in document.html(form)
    del actor
    gc.collect()
    document.until(form, lambda html: "nobody holds this actor any more" in html)


def test_futures_end_when_the_client_closes(forms: Forms, document: Document) -> None:
    go = threading.Event()
    with Client(processes=False, n_workers=1) as client:
        future = client.submit(go.wait, 30)
        form = forms.add(FutureForm(future))
        document.until(form, lambda html: "running" in html)
        go.set()
    document.until(form, lambda html: "cancelled" in html or "finished" in html)
    assert form.ended


class Page(list[dict[str, Any]]):
    """Stands in for the widget of a link."""

    def send(self, message: dict[str, Any]) -> None:
        self.append(message)

    def close(self) -> None:
        self.clear()


def test_where_a_page_listens_motion_goes_over_the_link(client: Client, forms: Forms, document: Document) -> None:
    page = Page()
    forms.link._widget = page
    pushed = threading.Event()
    go = threading.Event()
    future = client.submit(go.wait, 30)
    form = forms.add(FutureForm(future))
    document.until(form, lambda html: "running" in html)
    seen = len(document.updates)
    page.send = lambda message: (page.append(message), message["t"] == "push" and pushed.set())  # type: ignore[method-assign,assignment]
    forms.link._hear(None, {"t": "hello", "ids": [form.id, "x.1"]}, [])
    assert pushed.wait(10)
    assert page[0]["t"] == "welcome"
    assert {"t": "gone", "ids": ["x.1"]} in page
    forms.pace.wake(form)
    go.set()
    document.until(form, lambda html: "finished" in html)
    pushes = [message["forms"][form.id] for message in page if message["t"] == "push"]
    assert all("<style" not in html for html in pushes), "the page has it already"
    assert any('data-do="cancel"' in html and "<time" in html for html in pushes)
    assert "finished" in pushes[-1]
    assert len(document.updates) - seen <= 2  # the final state, and at most one on the way


def test_a_button_over_the_link(client: Client, forms: Forms, document: Document) -> None:
    go = threading.Event()
    future = client.submit(go.wait, 30)
    form = forms.add(FutureForm(future))
    forms.link._hear(None, {"t": "do", "form": form.id, "do": "cancel", "args": {}}, [])
    document.until(form, lambda html: "cancelled" in html)
    assert future.cancelled()
    go.set()
