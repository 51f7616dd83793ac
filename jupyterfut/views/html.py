"""Snapshots as self-contained HTML: no script, no link to fetch, every value escaped.

Colours are JupyterLab's own variables (`--jp-*`), so a saved output follows the reader's theme; each has a fallback that is made from the surrounding
text's colour and therefore holds on a light page and on a dark one (VS Code, a static export). Where a viewer strips the style sheet (an untrusted
notebook, a code host's preview), what remains is a readable heading, list and table. With `static=True` nothing is shown that differs from run to
run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from jupyterfut.views import text
from jupyterfut.views.snapshots import CellView, ClientView, ClusterView, FutureView, WorkerView

_TONES = {
    "pending": "wait",
    "starting": "wait",
    "connecting": "wait",
    "paused": "wait",
    "running": "good",
    "finished": "good",
    "error": "bad",
    "lost": "bad",
    "cancelled": "off",
    "closing": "off",
    "closed": "off",
}
"""Every status shown is one of four tones; an unknown one is grey."""

ROWS_SHOWN = 100
"""A longer table of workers is cut: a notebook keeps every output that it shows."""

_STYLE = """<style>
.jf{font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:var(--jp-ui-font-size1,13px);line-height:1.5;color:var(--jp-ui-font-color1,inherit);
--jf-line:var(--jp-border-color2,rgba(128,128,128,.35));--jf-soft:var(--jp-ui-font-color2,inherit);
--jf-good:var(--jp-success-color1,#388e3c);--jf-wait:var(--jp-brand-color1,#1976d2);--jf-bad:var(--jp-error-color1,#d32f2f);--jf-off:var(--jp-ui-font-color3,#888)}
.jf code,.jf pre{font-family:var(--jp-code-font-family,monospace);font-size:var(--jp-code-font-size,12px);color:inherit;background:none;padding:0}
.jf .jf-dot{display:inline-block;width:.6em;height:.6em;border-radius:50%;margin-right:.5em;background:var(--jf-off);vertical-align:.05em}
.jf .jf-good{background:var(--jf-good)}.jf .jf-wait{background:var(--jf-wait)}.jf .jf-bad{background:var(--jf-bad)}
.jf .jf-soft{color:var(--jf-soft)}
.jf .jf-gap{margin-left:.9em}
.jf.jf-card{border:1px solid var(--jf-line);border-radius:6px;padding:10px 14px;margin:2px 0;max-width:760px}
.jf.jf-chip{padding:2px 0 2px 6px}
.jf .jf-why{margin:2px 0 0 1.1em;color:var(--jf-soft)}
.jf.jf-card ul.jf-facts{display:flex;flex-wrap:wrap;gap:2px 26px;margin:6px 0 0;padding:0;list-style:none}
.jf.jf-card ul.jf-facts li{margin:0;padding:0}
.jf .jf-facts b{font-weight:600;font-size:1.15em}
.jf details{margin-top:6px}
.jf summary{cursor:pointer;color:var(--jf-soft)}
.jf table.jf-table{border-collapse:collapse;width:100%;margin:6px 0 2px;border:0;font-size:inherit;table-layout:auto}
.jf table.jf-table tr,.jf table.jf-table tbody tr:nth-child(n),.jf table.jf-table tbody tr:hover{background:none}
.jf .jf-table th,.jf .jf-table td{border:0;border-top:1px solid var(--jf-line);padding:4px 14px 4px 0;
text-align:left;vertical-align:baseline;white-space:nowrap;color:inherit}
.jf .jf-table th{border-top:0;font-weight:normal;color:var(--jf-soft)}
.jf .jf-table .jf-n{text-align:right;font-variant-numeric:tabular-nums}
.jf .jf-table td:last-child,.jf .jf-table th:last-child{padding-right:0}
.jf .jf-scroll{overflow-x:auto}
.jf .jf-bar{display:inline-block;width:64px;height:6px;border-radius:3px;background:var(--jf-line);
margin-right:.6em;overflow:hidden;vertical-align:.1em}
.jf .jf-bar span{display:block;height:100%;background:var(--jf-wait)}
.jf pre.jf-pre{margin:6px 0;white-space:pre-wrap;overflow-wrap:anywhere}
</style>"""


def future(view: FutureView, *, static: bool = False) -> str:
    """A future as one line: its state, name, type and size, and beneath it why it waits or what went wrong.

    >>> "inc-b8aaf26b…" in future(FutureView("inc-b8aaf26b99466a7a1980efa1ade6701d", "finished", "int", nbytes=28))
    True
    """
    parts = [
        _dot(view.status),
        "<b>Future</b> ",
        f'<span class="jf-gap">{escape(view.status)}</span> ',
        _key(view.key, static),
    ]
    if view.type:
        parts.append(f'<span class="jf-gap"><code>{escape(view.type)}</code></span> ')
    if view.nbytes is not None and not static:
        parts.append(f'<span class="jf-gap jf-soft">{text.format_bytes(view.nbytes)}</span>')
    why = f'<div class="jf-why">{escape(view.reason)}</div>' if view.reason else ""
    return _chip("".join(parts) + why)


def client(view: ClientView, *, static: bool = False) -> str:
    """A client: where it is connected, what its cluster offers, and a table of the workers to unfold."""
    facts = _cluster_facts(view.cluster, static)
    if view.futures and not static:
        facts.append(_fact(view.futures, "future"))
    body = _facts(facts) + (_workers(view.cluster.workers, static) if view.cluster else "")
    return _card("Client", view.name, view.status, "" if static else view.address, body)


def cluster(view: ClusterView, *, static: bool = False) -> str:
    """A cluster: its address, what it offers, and a table of the workers to unfold."""
    body = _facts(_cluster_facts(view, static)) + _workers(view.workers, static)
    return _card(view.kind, "" if static else view.name, view.status, "" if static else view.address, body)


def worker(view: WorkerView, *, static: bool = False) -> str:
    """One worker, as the row it has in its cluster's table, with the table's head."""
    return _card("Worker", view.name, view.status, "" if static else view.address, _table((view,), static))


def cell(view: CellView, *, static: bool = False) -> str:
    """What stands under a submitted cell that shows no value of its own: its state, the names that are futures now, what it printed, how it
    failed."""
    printed = _preformatted(view.printed)
    failed = _preformatted(view.traceback or view.reason) if view.status != "pending" else ""
    names = f'<span class="jf-soft">futures:</span> <code>{escape(", ".join(view.names))}</code>' if view.names else ""
    why = f'<div class="jf-why">{escape(view.reason)}</div>' if view.reason and view.status == "pending" else ""
    if static and view.status in ("pending", "finished"):
        return _chip(f"{printed}{failed}{names}")  # which of the two it is depends on when one looks
    state = f'{_dot(view.status)}<code>{escape(view.name)}</code> <span class="jf-gap">{escape(view.status)}</span> '
    return _chip(f'{printed}{failed}{state}<span class="jf-gap">{names}</span>{why}')


def outputs(parts: Sequence[str | Mapping[str, Any]]) -> str:
    """What a cell showed, as one piece of HTML: printed text, and of each display (a mapping from MIME type to data) the richest form that it has.

    >>> "<pre" in outputs(["a line\\n", {"text/plain": "42"}])
    True
    """
    return _chip("".join(_output(part) for part in parts))


def _output(part: str | Mapping[str, Any]) -> str:
    if isinstance(part, str):
        return _preformatted(part)
    for mime in ("text/html", "image/svg+xml"):
        if mime in part:
            return f"<div>{part[mime]}</div>"  # made by the user's own object, for showing
    for mime in ("image/png", "image/jpeg"):
        if mime in part:
            return f'<div><img alt="" src="data:{mime};base64,{escape(str(part[mime]))}"></div>'
    return _preformatted(str(part.get("text/plain", "")))


def _preformatted(shown: str) -> str:
    return f'<pre class="jf-pre">{escape(shown.rstrip())}</pre>' if shown.strip() else ""


def _chip(body: str) -> str:
    return f'{_STYLE}<div class="jf jf-chip">{body}</div>'


def _card(kind: str, name: str, status: str, address: str, body: str) -> str:
    title = f"{_dot(status)}<b>{escape(kind)}</b>"
    if name:
        title += f" {escape(name)}"
    if status != "running":
        title += f' <span class="jf-gap">{escape(status)}</span>'
    if address:
        title += f' <span class="jf-gap jf-soft"><code>{escape(address)}</code></span>'
    return f'{_STYLE}<div class="jf jf-card"><div>{title}</div>{body}</div>'


def _dot(status: str) -> str:
    return f'<span class="jf-dot jf-{_TONES.get(status, "off")}" title="{escape(status)}"></span>'


def _key(key: str, static: bool) -> str:
    if static:
        return f'<code class="jf-gap">{escape(text.key_name(key))}</code> '
    return f'<code class="jf-gap" title="{escape(key)}">{escape(text.short_key(key))}</code> '


def _cluster_facts(view: ClusterView | None, static: bool) -> list[str]:
    if view is None:
        return []
    facts = [_fact(len(view.workers), "worker"), _fact(view.threads, "thread")]
    if view.memory_limit_bytes and not static:
        facts.append(f"<b>{text.format_bytes(view.memory_limit_bytes)}</b> memory")
    running = sum(worker.executing or 0 for worker in view.workers)
    if running and not static:
        facts.append(f"<b>{running}</b> running")
    return facts


def _fact(n: int, noun: str) -> str:
    number, _, word = text.count(n, noun).partition(" ")
    return f"<b>{number}</b> {word}"


def _facts(facts: Iterable[str]) -> str:
    items = "".join(f"<li>{fact}</li> " for fact in facts)
    return f'<ul class="jf-facts">{items}</ul>' if items else ""


def _workers(workers: tuple[WorkerView, ...], static: bool) -> str:
    if not workers:
        return ""
    return f"<details><summary>the workers</summary>{_table(workers, static)}</details>"


class _Column(NamedTuple):
    """One column of the table of workers."""

    title: str
    cell: Callable[[WorkerView], str]  #: the HTML of one worker's cell; "" where nothing is known
    number: bool = False


def _table(workers: tuple[WorkerView, ...], static: bool) -> str:
    workers = tuple(sorted(workers, key=_by_name))
    shown = workers[:ROWS_SHOWN]
    always, live = _COLUMNS[:2], () if static else _COLUMNS[2:]
    columns = [*always, *(column for column in live if any(column.cell(worker) for worker in shown))]
    if static and any(worker.resources for worker in shown):
        columns.append(_RESOURCES)
    head = "".join(f"<th{_align(column)}>{column.title}</th>" for column in columns)
    rows = "".join(f"<tr>{''.join(f'<td{_align(column)}>{column.cell(worker)}</td>' for column in columns)}</tr>" for worker in shown)
    if len(workers) > ROWS_SHOWN:
        rows += f'<tr><td class="jf-soft" colspan="{len(columns)}">and {text.count(len(workers) - ROWS_SHOWN, "more worker")}</td></tr>'
    return f'<div class="jf-scroll"><table class="jf-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _by_name(worker: WorkerView) -> tuple[int, int, str]:
    """Worker 10 comes after worker 9, and names after numbers. Workers join in any order; a table that changes with it could not be compared."""
    return (0, int(worker.name), "") if worker.name.isdecimal() else (1, 0, worker.name)


def _align(column: _Column) -> str:
    return ' class="jf-n"' if column.number else ""


def _memory(worker: WorkerView) -> str:
    limit = text.format_bytes(worker.memory_limit_bytes) if worker.memory_limit_bytes else ""
    if not worker.memory_bytes:
        return limit
    used = text.format_bytes(worker.memory_bytes)
    if not limit:
        return used
    share = min(1.0, worker.memory_bytes / worker.memory_limit_bytes)
    return f'<span class="jf-bar"><span style="width:{100 * share:.0f}%"></span></span>{used} / {limit}'


def _amount(n: int | None) -> str:
    return "" if n is None else str(n)


_RESOURCES = _Column("Resources", lambda worker: escape(", ".join(f"{name}={amount:g}" for name, amount in worker.resources.items())))

_COLUMNS = (
    _Column("Worker", lambda worker: f"{_dot(worker.status)}{escape(worker.name)}"),
    _Column("Threads", lambda worker: str(worker.nthreads), number=True),
    _Column("Memory", _memory),
    _Column("CPU", lambda worker: "" if worker.cpu is None else f"{100 * worker.cpu:.0f} %", number=True),
    _Column("Running", lambda worker: _amount(worker.executing), number=True),
    _Column("Ready", lambda worker: _amount(worker.ready), number=True),
    _RESOURCES,
    _Column("Address", lambda worker: f'<code class="jf-soft">{escape(worker.address)}</code>' if worker.address else ""),
)
"""The first two are always there; of the others those about which something is known, and in static output only the resources."""
