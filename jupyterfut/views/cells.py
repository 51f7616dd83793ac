"""What stands under a submitted cell: its card, and what it showed as one piece of HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from jupyterfut.views.snapshots import CellView
from jupyterfut.views.states import state_dot, state_text
from jupyterfut.views.strip import strip
from jupyterfut.views.style import Look, button, buttons, look_of, piece, preformatted, time
from jupyterfut.views.text import cell_name


def cell(view: CellView, *, static: bool = False, look: Look | None = None) -> str:
    """The card of a submitted cell: its state, where it runs and for how long, the names that are futures now, what it printed, how it failed."""
    look = look_of(look, static)
    name = cell_name(view.name, look.static)
    printed = preformatted(view.printed)
    failed = preformatted(view.traceback or view.reason) if view.status not in ("pending", "finished") else ""
    names = f'<span class="jf-soft">futures:</span> <code>{escape(", ".join(view.names))}</code>' if view.names else ""
    why = f'<div class="jf-why">{escape(view.reason)}</div>' if view.reason and view.status in ("pending", "finished") else ""
    if look.static and view.status in ("pending", "finished"):
        return piece("chip", f"{printed}{failed}{names}", look, name)  # which of the two it is depends on when one looks
    parts = [
        f"<span>{state_dot(view.status, view.step)}<code>{escape(name)}</code></span> ",
        f'<span class="jf-gap" aria-live="polite">{escape(_state(view, look))}</span> ',
        time(view.since, view.took_s, look),
        f'<span class="jf-gap">{names}</span> ' if names else "",
    ]
    if view.status == "pending":
        parts.append(buttons(look, button("cancel", "Cancel", "Cancel the cell: what it submitted, and what depends on it")))
    elif view.status in ("error", "lost"):
        parts.append(buttons(look, button("retry", "Retry", "Run the cell's task again")))
    band = strip(view.codes) if view.codes and not look.static else ""
    return piece("chip", f'<div class="jf-row">{"".join(parts).rstrip()}</div>{band}{why}{printed}{failed}', look, name)


def _state(view: CellView, look: Look) -> str:
    state = state_text(view.status, view.step, view.worker, look)
    if not view.codes or look.static:
        return f"{state} on worker {view.worker}" if state == "finished" and view.worker and not look.static else state
    done, n = view.codes.count(2), len(view.codes)
    bad = view.codes.count(3) + view.codes.count(5)
    return f"{done:,} of {n:,} done" + (f", {bad:,} failed" if bad else "")


def outputs(parts: Sequence[str | Mapping[str, Any]]) -> str:
    """What a cell showed, as one piece of HTML: printed text, and of each display (a mapping from MIME type to data) the richest form that it has.

    >>> "<pre" in outputs(["a line\\n", {"text/plain": "42"}])
    True
    """
    return piece("chip", "".join(_output(part) for part in parts), Look())


def _output(part: str | Mapping[str, Any]) -> str:
    if isinstance(part, str):
        return preformatted(part)
    for mime in ("text/html", "image/svg+xml"):
        if mime in part:
            return f"<div>{part[mime]}</div>"  # made by the user's own object, for showing
    for mime in ("image/png", "image/jpeg"):
        if mime in part:
            return f'<div><img alt="" src="data:{mime};base64,{escape(str(part[mime]))}"></div>'
    return preformatted(str(part.get("text/plain", "")))
