"""Snapshots as self-contained HTML: no script, no link to fetch, every value escaped.

Where a viewer strips the style sheet (an untrusted notebook, a code host's preview), what remains is a readable heading, list and table. With
`static=True` nothing is shown that differs from run to run. How else a piece is made, alone in a document or for the living part of a page, says
its `Look` (`views.style`, where the style sheet is). Lists of futures are in `views.lists`, submitted cells in `views.cells`; all are found here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from typing import NamedTuple

from jupyterfut.views import text
from jupyterfut.views.cells import cell, outputs
from jupyterfut.views.lists import futures, progress
from jupyterfut.views.snapshots import ActorView, ClientView, ClusterView, FutureView, WorkerView
from jupyterfut.views.states import state_dot, state_text
from jupyterfut.views.style import Look, button, buttons, dot, fact, facts, key, look_of, number, piece, time

__all__ = ["actor", "cell", "client", "cluster", "future", "futures", "outputs", "progress", "tone", "worker"]

_TONES = {
    "starting": "wait",
    "connecting": "wait",
    "paused": "wait",
    "running": "good",
    "error": "bad",
    "lost": "bad",
    "closing": "off",
    "closed": "off",
}
"""What clusters, workers and actors can be, each in one of the tones; an unknown status is grey."""

ROWS_SHOWN = 100
"""A longer table of workers is cut: a notebook keeps every output that it shows."""


def tone(status: str) -> str:
    """The tone of a cluster's, client's, worker's or actor's status.

    >>> tone("running"), tone("some other")
    ('good', 'off')
    """
    return _TONES.get(status, "off")


def future(view: FutureView, *, static: bool = False, look: Look | None = None) -> str:
    """A future as one line: its state, name, type and size, and beneath it why it waits or what went wrong.

    >>> "inc-b8aaf26b…" in future(FutureView("inc-b8aaf26b99466a7a1980efa1ade6701d", "finished", "int", nbytes=28))
    True
    """
    look = look_of(look, static)
    parts = [
        f"<span>{state_dot(view.status, view.step)}<b>Future</b></span> ",
        f'<span class="jf-gap" aria-live="polite">{escape(state_text(view.status, view.step, view.worker, look))}</span> ',
        key(view.key, look),
    ]
    if view.type:
        parts.append(f'<span class="jf-gap"><code>{escape(view.type)}</code></span> ')
    if view.nbytes is not None and not look.static:
        parts.append(f'<span class="jf-gap jf-soft">{text.format_bytes(view.nbytes)}</span> ')
    parts.append(time(view.since, view.took_s, look))
    if view.status == "pending":
        parts.append(buttons(look, button("cancel", "Cancel", "Cancel the task, and what depends on it")))
    elif view.status == "error":
        parts.append(buttons(look, button("retry", "Retry", "Run the task again, and failed ones that it stands on")))
    why = f'<div class="jf-why">{escape(view.reason)}</div>' if view.reason else ""
    return piece("chip", f'<div class="jf-row">{"".join(parts).rstrip()}</div>{why}', look, f"Future {text.key_name(view.key)}")


def client(view: ClientView, *, static: bool = False, look: Look | None = None) -> str:
    """A client: where it is connected, what its cluster offers, and a table of the workers to unfold."""
    look = look_of(look, static)
    said = _cluster_facts(view.cluster, look.static)
    if view.futures and not look.static:
        said.append(fact(view.futures, "future"))
    body = facts(said) + (_workers(view.cluster.workers, look.static) if view.cluster else "")
    able = buttons(look, *_scaling(view.cluster), button("close", "Close", "Close the client")) if view.status == "running" else ""
    return _card("Client", view.name, view.status, "" if look.static else view.address, body, look, able)


def cluster(view: ClusterView, *, static: bool = False, look: Look | None = None) -> str:
    """A cluster: its address, what it offers, and a table of the workers to unfold."""
    look = look_of(look, static)
    body = facts(_cluster_facts(view, look.static)) + _workers(view.workers, look.static)
    able = buttons(look, *_scaling(view), button("close", "Close", "Close the cluster: its workers end")) if view.status == "running" else ""
    return _card(view.kind, "" if look.static else view.name, view.status, "" if look.static else view.address, body, look, able)


def worker(view: WorkerView, *, static: bool = False, look: Look | None = None) -> str:
    """One worker, as the row it has in its cluster's table, with the table's head."""
    look = look_of(look, static)
    return _card("Worker", view.name, view.status, "" if look.static else view.address, _table((view,), look.static), look)


def actor(view: ActorView, *, static: bool = False, look: Look | None = None) -> str:
    """An actor as one line: its class, where it lives, and, to unfold, what it can do.

    >>> "Counter" in actor(ActorView("Counter", "Counter-1", methods=("increment",)))
    True
    """
    look = look_of(look, static)
    parts = [f"<span>{dot(tone(view.status), view.status)}<b>Actor</b></span> <code>{escape(view.name)}</code> "]
    if view.status != "running":
        parts.append(f'<span class="jf-gap" aria-live="polite">{escape(view.status)}</span> ')
    if view.worker and not look.static:
        parts.append(f'<span class="jf-gap jf-soft">at {escape(view.worker)}</span> ')
    if not look.static:
        parts.append(key(view.key, look))
    why = f'<div class="jf-why">{escape(view.reason)}</div>' if view.reason else ""
    names = [f"{name}()" for name in view.methods] + list(view.attributes)
    able = f'<div class="jf-why"><code>{escape(", ".join(names))}</code></div>' if names else ""
    return piece("chip", f'<div class="jf-row">{"".join(parts).rstrip()}</div>{able}{why}', look, f"Actor {view.name}")


def _scaling(view: ClusterView | None) -> list[str]:
    """A field for the number of workers, with the buttons that use it."""
    if view is None:
        return []
    n = len(view.workers)
    if view.adapts is not None:
        return [button("fix", "Stop adapting", "Keep the workers that are there now")]
    return [
        number("n", n, "number of workers"),
        button("scale", "Scale", "Start or retire workers until there are so many"),
        button("adapt", "Adapt", "From now on have as many workers as the work asks for, up to this number"),
    ]


def _card(kind: str, name: str, status: str, address: str, body: str, look: Look, able: str = "") -> str:
    title = f"{dot(tone(status), status)}<b>{escape(kind)}</b>"
    if name:
        title += f" {escape(name)}"
    if status != "running":
        title += f' <span class="jf-gap" aria-live="polite">{escape(status)}</span>'
    if address:
        title += f' <span class="jf-gap jf-soft"><code>{escape(address)}</code></span>'
    label = f"{kind} {name}".strip()
    return piece("card", f'<div class="jf-row"><span>{title}</span> {able}</div>{body}'.replace(" </div>", "</div>"), look, label)


def _cluster_facts(view: ClusterView | None, static: bool) -> list[str]:
    if view is None:
        return []
    said = [fact(len(view.workers), "worker"), fact(view.threads, "thread")]
    if view.memory_limit_bytes and not static:
        said.append(f"<b>{text.format_bytes(view.memory_limit_bytes)}</b> memory")
    running = sum(worker.executing or 0 for worker in view.workers)
    if running and not static:
        said.append(f"<b>{running}</b> running")
    if view.adapts is not None and not static:
        least, most = view.adapts
        said.append(f"adapts to the work: {least} to {'any number' if most is None else most}")
    return said


def _workers(workers: tuple[WorkerView, ...], static: bool) -> str:
    if not workers:
        return ""
    return f'<details data-k="workers"><summary>the workers</summary>{_table(workers, static)}</details>'


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
    rows = "".join(_tr(worker, columns) for worker in shown)
    if len(workers) > ROWS_SHOWN:
        rows += f'<tr><td class="jf-soft" colspan="{len(columns)}">and {text.count(len(workers) - ROWS_SHOWN, "more worker")}</td></tr>'
    return f'<div class="jf-scroll"><table class="jf-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _tr(worker: WorkerView, columns: Iterable[_Column]) -> str:
    cells = "".join(f"<td{_align(column)}>{column.cell(worker)}</td>" for column in columns)
    return f'<tr data-k="{escape(worker.name)}">{cells}</tr>'


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
    _Column("Worker", lambda worker: f"{dot(tone(worker.status), worker.status)}{escape(worker.name)}"),
    _Column("Threads", lambda worker: str(worker.nthreads), number=True),
    _Column("Memory", _memory),
    _Column("CPU", lambda worker: "" if worker.cpu is None else f"{100 * worker.cpu:.0f} %", number=True),
    _Column("Running", lambda worker: _amount(worker.executing), number=True),
    _Column("Ready", lambda worker: _amount(worker.ready), number=True),
    _RESOURCES,
    _Column("Address", lambda worker: f'<code class="jf-soft">{escape(worker.address)}</code>' if worker.address else ""),
)
"""The first two are always there; of the others those about which something is known, and in static output only the resources."""
