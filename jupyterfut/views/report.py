"""A performance report as one page: what ran, where, for how long, and what workers said meanwhile. It needs nothing else: no script, no link to
fetch.

The page takes a snapshot that `client.report` has put together; every value is escaped; light and dark follow the reader's system.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import NamedTuple

from jupyterfut.views import stream
from jupyterfut.views.stream import Span
from jupyterfut.views.text import count, format_bytes, format_seconds

LOG_LINES_SHOWN = 200
WORKERS_SHOWN = 200
KINDS_SHOWN = 100


class ReportWorker(NamedTuple):
    """One worker, as the scheduler knew it at the end."""

    name: str
    address: str
    nthreads: int
    memory_limit_bytes: int = 0
    memory_bytes: int = 0
    host: str = ""


class ReportView(NamedTuple):
    """What a report shows."""

    spans: Sequence[Span]
    workers: Sequence[ReportWorker]
    duration_s: float  #: of the block
    when: str  #: its beginning, as a reader wants it
    address: str  #: the scheduler's
    versions: Mapping[str, str] = {}
    source: str = ""  #: the lines of the block
    logs: Sequence[tuple[str, Sequence[str]]] = ()  #: (who, lines)
    profile: str = ""  #: a piece of HTML
    title: str = "Performance report"


_STYLE = """
:root{color-scheme:light dark;--ink:#1f2328;--soft:#656d76;--line:#d8dee4;--card:#fff;--page:#f6f8fa;--accent:#4c78a8;--bad:#d62728}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#8d96a0;--line:#30363d;--card:#161b22;--page:#0d1117;--accent:#7aa7d9;--bad:#ff7b72}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:14px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1180px;margin:0 auto;padding:32px 24px 64px}
h1{font-size:24px;font-weight:650;margin:0 0 2px;letter-spacing:-.01em}
h2{font-size:15px;font-weight:650;margin:0 0 12px}
.soft{color:var(--soft)}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px 22px;margin-top:18px}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:14px 24px}
.facts div b{display:block;font-size:22px;font-weight:650;letter-spacing:-.01em;font-variant-numeric:tabular-nums}
.facts div b.bad{color:var(--bad)}
.facts div span{color:var(--soft);font-size:13px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13px}
th{font-weight:500;color:var(--soft);text-align:left}
th,td{padding:5px 18px 5px 0;border-top:1px solid var(--line);white-space:nowrap;vertical-align:baseline}
tr:first-child th{border-top:0}
td:last-child,th:last-child{padding-right:0}
.n{text-align:right;font-variant-numeric:tabular-nums}
.n+td:not(.n),.n+th:not(.n){padding-left:14px}
i.dot{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:8px}
.bar{display:inline-block;width:110px;height:7px;border-radius:4px;background:var(--line);overflow:hidden;margin-right:10px;vertical-align:.06em}
.bar span{display:block;height:100%;background:var(--accent)}
pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;font:12px/1.5 ui-monospace,SFMono-Regular,Menlo,monospace}
details+details{margin-top:8px}
summary{cursor:pointer;color:var(--soft)}
details pre{margin-top:8px}
footer{margin-top:22px;color:var(--soft);font-size:12px}
@media print{body{background:#fff}section{break-inside:avoid}}
"""


def page(view: ReportView) -> str:
    """The whole page.

    >>> "<h1>Performance report</h1>" in page(ReportView([], [], 1.0, "today", "tcp://127.0.0.1:4000"))
    True
    """
    colours = stream.colours_of(view.spans)
    sections = [
        _section("", _facts(view)),
        _section("Task stream", stream.figure(view.spans)),
        _section("Kinds of tasks", _kinds(view, colours)),
        _section("Workers", _workers(view)),
        _section("Transfers", _transfers(view)),
        _section("", view.profile),  # it has its own heading
        _section("Code", f"<pre>{escape(view.source)}</pre>" if view.source.strip() else ""),
        _section("Logs", _logs(view.logs)),
    ]
    versions = ", ".join(f"{escape(name)} {escape(version)}" for name, version in view.versions.items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(view.title)}</title><style>{_STYLE}</style></head><body><main>"
        f'<h1>{escape(view.title)}</h1><div class="soft">{escape(view.when)}, {escape(format_seconds(view.duration_s))}, {escape(view.address)}</div>'
        f"{''.join(sections)}<footer>{versions}</footer></main></body></html>\n"
    )


def _section(title: str, body: str) -> str:
    if not body:
        return ""
    return f"<section>{f'<h2>{escape(title)}</h2>' if title else ''}{body}</section>"


def _facts(view: ReportView) -> str:
    tasks = [span for span in view.spans if span.action == "compute"]
    moved = [span for span in view.spans if span.action == "transfer"]
    threads = sum(worker.nthreads for worker in view.workers)
    busy_s = sum(span.stop - span.start for span in tasks)
    failed = sum(not span.ok for span in tasks)
    share = busy_s / (threads * view.duration_s) if threads and view.duration_s > 0 else 0.0
    facts = [
        (format_seconds(view.duration_s), "from start to end", False),
        (f"{len(tasks):,}", "tasks" if len(tasks) != 1 else "task", False),
        (format_seconds(busy_s) if tasks else "0 s", "computing, all threads together", False),
        (f"{100 * share:.0f} %", f"of {count(threads, 'thread')} busy", False),
        (f"{len(view.workers):,}", "workers" if len(view.workers) != 1 else "worker", False),
    ]
    if moved:
        facts.append((format_bytes(sum(span.nbytes for span in moved)), f"moved between workers, {len(moved):,} times", False))
    if failed:
        facts.append((f"{failed:,}", "failed", True))
    items = "".join(f"<div><b{' class=bad' if bad else ''}>{escape(value)}</b><span>{escape(what)}</span></div>" for value, what, bad in facts)
    return f'<div class="facts">{items}</div>'


def _kinds(view: ReportView, colours: dict[str, str]) -> str:
    kinds: dict[str, list[Span]] = {}
    for span in view.spans:
        if span.action == "compute":
            kinds.setdefault(span.prefix, []).append(span)
    if not kinds:
        return ""
    all_s = sum(span.stop - span.start for members in kinds.values() for span in members) or 1.0
    rows = []
    for prefix in list(colours)[:KINDS_SHOWN]:
        took = sorted(span.stop - span.start for span in kinds[prefix])
        total = sum(took)
        failed = sum(not span.ok for span in kinds[prefix])
        name = f'<i class="dot" style="background:{colours[prefix]}"></i>{escape(prefix)}'
        values = [
            f"{len(took):,}",
            format_seconds(total),
            _bar(total / all_s),
            format_seconds(total / len(took)),
            format_seconds(took[len(took) // 2]),
            format_seconds(took[-1]),
            format_bytes(sum(span.nbytes for span in kinds[prefix])),
            f"{failed:,}" if failed else "",
        ]
        rows.append((name, *values))
    head = ("Name", "Tasks", "Time", "Share", "Mean", "Median", "Longest", "Results", "Failed")
    rest = f'<div class="soft">and {count(len(colours) - KINDS_SHOWN, "more kind")}</div>' if len(colours) > KINDS_SHOWN else ""
    return _table(head, rows, numbers={1, 2, 4, 5, 6, 7, 8}) + rest


def _workers(view: ReportView) -> str:
    if not view.workers:
        return ""
    rows = []
    for worker in sorted(view.workers, key=lambda worker: stream.natural(worker.name))[:WORKERS_SHOWN]:
        own = [span for span in view.spans if span.worker == worker.name and span.action == "compute"]
        busy_s = sum(span.stop - span.start for span in own)
        memory = format_bytes(worker.memory_bytes) if worker.memory_bytes else ""
        if worker.memory_limit_bytes:
            memory = f"{memory} of {format_bytes(worker.memory_limit_bytes)}".strip().removeprefix("of ")
        share = busy_s / (worker.nthreads * view.duration_s) if view.duration_s > 0 else 0.0
        where = f'<span class="soft">{escape(worker.address)}</span>'
        values = (str(worker.nthreads), f"{len(own):,}", format_seconds(busy_s) if own else "", _bar(share), memory, escape(worker.host), where)
        rows.append((escape(worker.name), *values))
    rest = f'<div class="soft">and {count(len(view.workers) - WORKERS_SHOWN, "more worker")}</div>' if len(view.workers) > WORKERS_SHOWN else ""
    return _table(("Worker", "Threads", "Tasks", "Time", "Busy", "Memory", "Host", "Address"), rows, numbers={1, 2, 3}) + rest


def _transfers(view: ReportView) -> str:
    moved: dict[str, list[Span]] = {}
    for span in view.spans:
        if span.action == "transfer":
            moved.setdefault(span.worker, []).append(span)
    rows = []
    for worker, spans in sorted(moved.items(), key=lambda item: stream.natural(item[0])):
        nbytes, seconds = sum(span.nbytes for span in spans), sum(span.stop - span.start for span in spans)
        rate = f"{format_bytes(nbytes / seconds)}/s" if seconds > 0 else ""
        rows.append((escape(worker), f"{len(spans):,}", format_bytes(nbytes), format_seconds(seconds), rate))
    return _table(("To worker", "Transfers", "Bytes", "Time", "Rate"), rows, numbers={1, 2, 3, 4}) if rows else ""


def _logs(logs: Sequence[tuple[str, Sequence[str]]]) -> str:
    parts = []
    for who, lines in logs:
        if lines:
            shown = lines[-LOG_LINES_SHOWN:]
            left_out = f"... {len(lines) - len(shown):,} earlier lines\n" if len(lines) > len(shown) else ""
            text = left_out + "\n".join(shown)
            parts.append(f"<details><summary>{escape(who)}, {count(len(lines), 'line')}</summary><pre>{escape(text)}</pre></details>")
    return "".join(parts)


def _bar(share: float) -> str:
    share = min(1.0, max(0.0, share))
    return f'<span class="bar"><span style="width:{100 * share:.1f}%"></span></span>{100 * share:.0f} %'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: set[int]) -> str:
    def cells(tag: str, values: Sequence[str]) -> str:
        return "".join(f"<{tag}{' class=n' if i in numbers else ''}>{value}</{tag}>" for i, value in enumerate(values))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{cells("th", head)}</tr>{body}</table></div>'
