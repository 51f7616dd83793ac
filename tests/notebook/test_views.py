"""What is shown of futures, clients, clusters and cells: exact text; HTML that is well formed, escaped, quiet; static forms that never vary."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from jupyterfut.views import html, text
from jupyterfut.views.snapshots import CellView, ClientView, ClusterView, FutureView, WorkerView

HASH = "b8aaf26b99466a7a1980efa1ade6701d"
EVIL = "<script>alert('x')</script>&\""

ADDRESS = "tcp://127.0.0.1:40123"
WORKERS = (
    WorkerView("0", "tcp://127.0.0.1:40124", 2, 4 * 2**30, 2**30, cpu=1.5, executing=2, ready=14),
    WorkerView("gpu", "tcp://127.0.0.1:40125", 1, 4 * 2**30, status="paused", resources={"GPU": 2}),
)
CLUSTER = ClusterView(ADDRESS, WORKERS, "mill", "LocalCluster")
CLIENT = ClientView(ADDRESS, cluster=CLUSTER, futures=12)


class Reader(HTMLParser):
    """Checks nesting, collects tags and text."""

    VOID = frozenset(["img", "br", "meta"])
    BLOCKS = frozenset(["div", "td", "th", "tr", "li", "summary", "table", "pre"])

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == [], f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not any(name.startswith("on") for name, _ in attrs), "an event handler"
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag in self.BLOCKS:
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


@pytest.mark.parametrize(
    ("view", "shown"),
    [
        (FutureView(f"inc-{HASH}", "pending"), f"<Future: status: pending, key: inc-{HASH}>"),
        (FutureView(f"inc-{HASH}", "finished", "int"), f"<Future: status: finished, type: int, key: inc-{HASH}>"),
        (FutureView(f"div-{HASH}", "error", reason="ZeroDivisionError: division by zero"), f"<Future: status: error, key: div-{HASH}>"),
        (FutureView("f-1", "pending", reason="no worker has GPU=1"), "<Future: status: pending, key: f-1, reason: no worker has GPU=1>"),
    ],
)
def test_text_of_a_future(view: FutureView, shown: str) -> None:
    assert text.future(view) == shown


def test_text_of_the_others() -> None:
    assert text.client(CLIENT) == f"<Client: '{ADDRESS}' workers=2 threads=3, memory=8.0 GiB>"
    assert text.client(ClientView(ADDRESS, "closed")) == f"<Client: '{ADDRESS}' closed>"
    assert text.client(ClientView(ADDRESS)) == f"<Client: '{ADDRESS}'>"
    assert text.cluster(CLUSTER) == f"<LocalCluster: mill '{ADDRESS}' workers=2 threads=3, memory=8.0 GiB>"
    assert text.cluster(CLUSTER._replace(status="closed")) == f"<LocalCluster: mill '{ADDRESS}' closed>"
    assert text.worker(WORKERS[1]) == "<Worker: gpu 'tcp://127.0.0.1:40125' threads=1, memory=4.0 GiB, GPU=2, paused>"


def test_unlimited_memory_is_not_shown_as_zero() -> None:
    unlimited = CLUSTER._replace(workers=(WORKERS[0]._replace(memory_limit_bytes=0), WORKERS[1]))
    assert text.cluster(unlimited) == f"<LocalCluster: mill '{ADDRESS}' workers=2 threads=3>"
    assert "memory" not in Reader(html.cluster(unlimited)).text.split("Worker Threads")[0]


def test_static_text_is_the_same_in_every_run() -> None:
    assert text.future(FutureView(f"inc-{HASH}", "finished", "int", nbytes=28), static=True) == "<Future: status: finished, type: int, key: inc>"
    assert text.client(CLIENT, static=True) == "<Client: workers=2 threads=3>"
    assert text.client(ClientView(ADDRESS), static=True) == "<Client>"
    assert text.cluster(CLUSTER, static=True) == "<LocalCluster: workers=2 threads=3>"
    for status in ("pending", "finished"):
        assert text.cell(CellView("cell-3", status, ("a",)), static=True) == "futures: a"


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (f"inc-{HASH}", "inc"),
        (f"my-own-func-{HASH}", "my-own-func"),
        ("inc-12", "inc"),
        ("inc-decade", "inc-decade"),
        ("inc", "inc"),
        (HASH, HASH),
        ("-1", "-1"),
        ("", ""),
    ],
)
def test_key_name(key: str, name: str) -> None:
    assert text.key_name(key) == name


EVERY_VIEW = [
    html.future(FutureView(f"inc-{HASH}", "finished", "int", nbytes=28)),
    html.future(FutureView("x", "pending", reason="waits")),
    html.future(FutureView("x", "no such status")),
    html.client(CLIENT),
    html.client(ClientView(ADDRESS, "closed")),
    html.cluster(CLUSTER),
    html.cluster(ClusterView(ADDRESS)),
    html.worker(WORKERS[1]),
    html.cell(CellView("cell-3", "pending", ("a", "b"))),
    html.cell(CellView("cell-3", "error", (), "ValueError: no", "two\nlines\n", "Traceback ...")),
]


@pytest.mark.parametrize("source", EVERY_VIEW)
def test_html_is_quiet_and_well_formed(source: str) -> None:
    reader = Reader(source)
    assert not {"script", "link", "iframe", "object"} & set(reader.tags)
    assert "http" not in source, "fetches something"
    assert "url(" not in source, "fetches something"


def test_html_says_what_text_says() -> None:
    shown = Reader(html.future(FutureView(f"inc-{HASH}", "finished", "int", nbytes=2048))).text
    assert shown == "Future finished inc-b8aaf26b… int 2.0 KiB"
    shown = Reader(html.client(CLIENT)).text
    assert shown.startswith(f"Client {ADDRESS} 2 workers 3 threads 8.0 GiB memory 2 running 12 futures the workers Worker Threads")
    assert "150 %" in shown
    assert "1.0 GiB / 4.0 GiB" in shown
    assert "GPU=2" in shown
    assert "details" in Reader(html.client(CLIENT)).tags


def test_everything_is_escaped() -> None:
    worker = WorkerView(EVIL, EVIL, 1, status=EVIL, resources={EVIL: 1})
    cluster = ClusterView(EVIL, (worker,), EVIL, EVIL, EVIL)
    for source in (
        html.future(FutureView(EVIL, EVIL, EVIL, EVIL)),
        html.client(ClientView(EVIL, EVIL, cluster, name=EVIL)),
        html.cluster(cluster),
        html.worker(worker),
        html.cell(CellView(EVIL, EVIL, (EVIL,), EVIL, EVIL, EVIL)),
    ):
        assert "<script" not in source
        assert "script" not in Reader(source).tags


def test_static_html_is_the_same_in_every_run() -> None:
    busy = CLUSTER._replace(address="tcp://127.0.0.1:9", name="other", workers=tuple(w._replace(address="x", executing=7, cpu=0.1) for w in WORKERS))
    assert html.cluster(CLUSTER, static=True) == html.cluster(busy, static=True)
    assert html.client(CLIENT, static=True) == html.client(CLIENT._replace(cluster=busy, futures=3, address="y"), static=True)
    one, other = FutureView(f"inc-{HASH}", "finished", "int", nbytes=1), FutureView("inc-0123456789", "finished", "int", nbytes=2)
    assert html.future(one, static=True) == html.future(other, static=True)


def test_workers_stand_in_the_order_of_their_names() -> None:
    names = ["10", "b", "9", "a", "0"]
    words = Reader(html.cluster(ClusterView("", tuple(WorkerView(name, "", 7) for name in names)), static=True)).text.partition("Threads ")[2].split()
    assert words[::2] == ["0", "9", "10", "a", "b"]


def test_both_themes() -> None:
    """Every colour is the theme's own, with a fallback that does not presume a light page."""
    style = html.client(CLIENT).split("</style>")[0]
    assert "var(--jp-ui-font-color1,inherit)" in style
    assert "background:#fff" not in style
    assert "color:#000" not in style
    assert "white;" not in style.replace("white-space", "")


def test_a_long_list_of_workers_stays_folded_and_small() -> None:
    crowd = ClusterView(ADDRESS, tuple(WorkerView(str(n), f"tcp://10.0.0.{n % 250}:40000", 4, 2**33) for n in range(1000)))
    source = html.cluster(crowd)
    assert "<details data-k=\"workers\">" in source
    assert "<details open" not in source
    assert len(source) < 100_000
    assert "and 900 more workers" in source
