"""The picture of a task stream, and the page of a performance report: bounded, escaped, and complete in themselves."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from jupyterfut.views import report, stream
from jupyterfut.views.report import ReportView, ReportWorker
from jupyterfut.views.stream import Span

NASTY = "<script>alert('&\"')</script>"


def spans(n: int, lasting_s: float = 0.001, **more: object) -> list[Span]:
    return [Span("0", 7, f"task{i % 3}", f"task{i % 3}-{i}", "compute", i * 0.002, i * 0.002 + lasting_s)._replace(**more) for i in range(n)]  # type: ignore[arg-type]


class Balance(HTMLParser):
    """Raises when tags do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "br", "line"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        """Closed by itself."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check(page: str) -> None:
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=|url\(|@import|http(?!://www\.w3\.org/2000/svg)", page)


def test_each_task_is_a_bar_while_they_can_be_told_apart() -> None:
    drawn = stream.figure(spans(30, 0.0019))
    check(drawn)
    assert drawn.count("<title>task") == 30
    assert 'aria-label="30 tasks in 59.9 ms"' in drawn


def test_a_hundred_thousand_tasks_make_a_small_picture() -> None:
    drawn = stream.figure(spans(100_000))
    check(drawn)
    assert len(drawn) < 400_000
    assert "<b>task0</b> 33,334 in" in drawn


def test_neighbours_of_one_kind_are_drawn_as_one_and_counted() -> None:
    same = [Span("0", 1, "inc", f"inc-{i}", "compute", 1 + i * 1e-6, 1 + (i + 1) * 1e-6) for i in range(1000)]
    drawn = stream.figure([*same, Span("0", 1, "long", "long-1", "compute", 2, 12)])
    assert drawn.count("<title>") == 2
    assert "1,000 x inc, 1.0 ms in all" in drawn


def test_failures_and_transfers_have_colours_of_their_own() -> None:
    failed = Span("0", 1, "inc", "inc-1", "compute", 0, 1, 0, False)
    moved = Span("0", 0, "inc", "inc-1", "transfer", 1, 2, 2**20)
    drawn = stream.figure([failed, moved])
    assert f'fill="{stream.FAILED}"' in drawn
    assert f'fill="{stream.TRANSFER}"' in drawn
    assert "failed: 1" in drawn
    assert "transfers: 1, 1.0 MiB" in drawn


def test_many_lanes_are_cut_and_workers_stand_in_order() -> None:
    drawn = stream.figure([Span(str(i), 1, "inc", "inc-1", "compute", 0, 1) for i in reversed(range(200))])
    assert "and 136 more lanes" in drawn
    workers = [int(name) for name in re.findall(r'class="w"[^>]*>(\d+)<', drawn)]
    assert workers == list(range(64))


def test_many_kinds_share_a_colour() -> None:
    drawn = stream.figure([Span("0", 1, f"kind{i:03}", f"kind{i:03}-1", "compute", i, i + 1) for i in range(40)])
    assert "28 other kinds" in drawn


@pytest.mark.parametrize("lasted", [1e-9, 3e-6, 0.07, 1.0, 59.0, 3601.0, 1e6])
def test_the_ticks_are_few_and_round(lasted: float) -> None:
    ticks = stream._ticks(lasted)
    assert 1 <= len(ticks) <= 9
    assert ticks[0] == 0
    assert ticks[-1] <= max(lasted, 1e-6) * (1 + 1e-6)


def test_nothing_happened() -> None:
    assert "no task has ended" in stream.figure([])
    page = report.page(ReportView([], [], 0.0, "today", "tcp://x"))
    check(page)


def test_a_whole_report() -> None:
    view = ReportView(
        spans=[
            *spans(100),
            Span("1", 0, "task0", "task0-1", "transfer", 0.1, 0.2, 3_000_000),
            Span("1", 5, NASTY, NASTY, "compute", 0, 0.1, 5, False),
        ],
        workers=[ReportWorker("10", "tcp://b", 2), ReportWorker("1", f"tcp://{NASTY}", 1, 2**30, 2**20, "host"), ReportWorker("0", "tcp://a", 1)],
        duration_s=0.25,
        when="today",
        address="tcp://127.0.0.1:1",
        versions={"jupyterfut": "1", "Python": NASTY},
        source=f"with performance_report():\n    {NASTY}",
        logs=[("worker 0", [NASTY] * 300), ("worker 1", [])],
    )
    page = report.page(view)
    check(page)
    assert page.count("&lt;script&gt;") > 5
    assert "<b>101</b><span>tasks</span>" in page
    assert "<b class=bad>1</b><span>failed</span>" in page
    assert "28.6 MiB/s" in page
    assert "... 100 earlier lines" in page
    assert "worker 1," not in page
    assert re.findall("<h2>(.*?)</h2>", page) == ["Task stream", "Kinds of tasks", "Workers", "Transfers", "Code", "Logs"]
    assert re.findall(r"<tr><td>(\w+)</td><td class=n>", page)[-4:-1] == ["0", "1", "10"]
