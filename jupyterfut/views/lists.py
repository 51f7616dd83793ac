"""Lists of futures: a strip of their states and the counts, and, if they are few, each of them. Progress is the same with its groups beneath.

One output, of less than 100 kB however many there are, since a notebook keeps it.
"""

from __future__ import annotations

from html import escape

from jupyterfut.views import text
from jupyterfut.views.snapshots import FuturesView, FutureView
from jupyterfut.views.states import state_dot, state_text
from jupyterfut.views.strip import strip
from jupyterfut.views.style import Look, button, buttons, dot, look_of, piece, time

FAILURES_SHOWN = 5
GROUPS_SHOWN = 30

_WORDS = (("finished", "done"), ("running", "running"), ("pending", "pending"), ("error", "failed"), ("cancelled", "cancelled"), ("lost", "lost"))


def futures(view: FuturesView, *, static: bool = False, look: Look | None = None) -> str:
    """A list of futures.

    >>> "2 of 3 done" in futures(FuturesView(bytes([2, 2, 0]), "inc"))
    True
    """
    look = look_of(look, static)
    if look.static:
        return piece("chip", f"{_title(view)}<span class=\"jf-gap\">{text.count(len(view.codes), 'future')}</span>", look, _label(view))
    return piece("card", _body(view, look) + _failures(view) + _rows(view, look), look, _label(view))


def progress(view: FuturesView, *, static: bool = False, look: Look | None = None) -> str:
    """How far futures are, group by group.

    >>> "inc" in progress(FuturesView(bytes([2, 0]), groups=(("inc", bytes([2])), ("dec", bytes([0])))))
    True
    """
    look = look_of(look, static)
    if look.static:
        return piece("chip", f"{_title(view)}<span class=\"jf-gap\">{text.count(len(view.codes), 'future')}</span>", look, _label(view))
    return piece("card", _body(view, look) + _groups(view) + _failures(view), look, _label(view))


def _title(view: FuturesView) -> str:
    name = f" <code>{escape(view.name)}</code>" if view.name else ""
    return f"<b>{escape(view.kind)}</b>{name} "


def _label(view: FuturesView) -> str:
    return f"{view.kind} {view.name}".strip()


def _body(view: FuturesView, look: Look) -> str:
    counts = view.counts
    tone, state = _tone(counts, view)
    n = len(view.codes)
    said = [f'{counts.get("finished", 0):,} of {n:,} done'] if n else ["none yet"]
    said += [f"{counts[name]:,} {word}" for name, word in _WORDS[1:] if counts.get(name)]
    if view.released:
        said.append("no longer held by the notebook")
    parts = [
        f"<span>{dot(tone, state, moves=tone == 'wait')}{_title(view).rstrip()}</span> ",
        f'<span class="jf-gap jf-num">{", ".join(said)}</span> ',
        time(view.since, view.took_s, look),
        _able(counts, look),
    ]
    ended = f'<span class="jf-sr" aria-live="polite">{escape(", ".join(said)) if view.ended and n else ""}</span>' if look.live else ""
    return f'<div class="jf-row">{"".join(parts).rstrip()}</div>{strip(view.codes)}{ended}'


def _tone(counts: dict[str, int], view: FuturesView) -> tuple[str, str]:
    if counts.get("error") or counts.get("lost"):
        return "bad", "some have failed"
    if view.ended:
        return ("good", "finished") if counts.get("finished") == len(view.codes) and counts else ("off", "ended")
    return ("wait", "running") if counts.get("running") or counts.get("finished") else ("idle", "pending")


def _able(counts: dict[str, int], look: Look) -> str:
    made = []
    if counts.get("pending") or counts.get("running"):
        made.append(button("cancel", "Cancel", "Cancel those that have not ended, and what depends on them"))
    if counts.get("error"):
        made.append(button("retry", "Retry failed", "Run those that failed again, and failed ones that they stand on"))
    return buttons(look, *made)


def _failures(view: FuturesView) -> str:
    lines = [
        f'<div class="jf-why">{f"{n:,} × " if n > 1 else ""}{escape(what)} <code>{escape(text.short_key(first))}</code></div>'
        for what, n, first in view.failures[:FAILURES_SHOWN]
    ]
    if len(view.failures) > FAILURES_SHOWN:
        lines.append(f'<div class="jf-why">and {text.count(len(view.failures) - FAILURES_SHOWN, "other kind")} of failure</div>')
    return "".join(lines)


def _rows(view: FuturesView, look: Look) -> str:
    if not view.rows:
        return ""
    rows = "".join(f'<tr data-k="{escape(row.key)}-{i}">{_row(row, look)}</tr>' for i, row in enumerate(view.rows))
    table = f'<div class="jf-scroll"><table class="jf-table"><tbody>{rows}</tbody></table></div>'
    return f'<details data-k="futures"><summary>the futures</summary>{table}</details>'


def _row(row: FutureView, look: Look) -> str:
    state = state_text(row.status, row.step, row.worker, look)
    more = row.reason or " ".join(part for part in (row.type, "" if row.nbytes is None else text.format_bytes(row.nbytes)) if part)
    return (
        f'<td>{state_dot(row.status, row.step)}<code title="{escape(row.key)}">{escape(text.short_key(row.key))}</code></td>'
        f'<td>{escape(state)}</td><td class="jf-n">{time(row.since, row.took_s, look)}</td><td class="jf-wide">{escape(more)}</td>'
    )


def _groups(view: FuturesView) -> str:
    if len(view.groups) < 2:
        return ""
    rows = []
    for name, codes in view.groups[:GROUPS_SHOWN]:
        done, bad, n = codes.count(2), codes.count(3) + codes.count(5), len(codes)
        failed = f'<span class="jf-gap">{bad:,} failed</span>' if bad else ""
        rows.append(
            f'<tr data-k="{escape(name)}"><td><code>{escape(name)}</code></td><td class="jf-mid" style="width:55%">{strip(codes)}</td>'
            f'<td class="jf-n">{done:,} of {n:,}{failed}</td></tr>'
        )
    if len(view.groups) > GROUPS_SHOWN:
        rows.append(f'<tr><td class="jf-soft" colspan="3">and {text.count(len(view.groups) - GROUPS_SHOWN, "more group")}</td></tr>')
    return f'<table class="jf-table"><tbody>{"".join(rows)}</tbody></table>'
