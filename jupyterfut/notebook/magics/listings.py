"""What `%futures`, `%cluster list` and the card of a kept cluster say: tables made of what is known now, as an object that a notebook shows.

In static display (`JUPYTERFUT_DISPLAY=static`) nothing stands in them that differs from run to run: no times, sizes, addresses, and no states, which
may be others when the document is run again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jupyterfut.client.futures import Future
from jupyterfut.notebook.held.holdings import Ended, Group, Holding, Kept
from jupyterfut.notebook.held.names import Held
from jupyterfut.views import tables
from jupyterfut.views.tables import Table
from jupyterfut.views.text import format_bytes

ORDER = ("finished", "error", "pending", "cancelled", "lost")


class Listing:
    """Some tables, as the result of a magic."""

    def __init__(self, parts: Sequence[Table]) -> None:
        self.parts = parts

    def __repr__(self) -> str:
        return tables.as_text(self.parts)

    def _repr_html_(self) -> str:
        return tables.as_html(self.parts)


def futures_table(names: Mapping[str, Held], *, static: bool) -> Table:
    """The names of the notebook that hold futures."""
    if not names:
        return Table(below="No name of this notebook holds a future.")
    if static:
        return Table(("name", "futures"), [(name, str(len(held.futures))) for name, held in names.items()])
    rows = []
    for name, (_, futures) in names.items():
        rows.append((name, str(len(futures)), _states(_counted(futures)), _types(futures), _size(futures)))
    return Table(("name", "futures", "status", "type", "size"), rows)


def kept_tables(kept: Kept, *, static: bool, now: float | None = None) -> list[Table]:
    """What a cluster holds for this notebook since an earlier kernel, and the leases that have ended."""
    now = time.time() if now is None else now
    parts = [_holding_table(holding, now, static) for holding in kept.holdings if holding.groups or holding.unnamed]
    parts += [Table(below=ended_line(ended, static=static)) for ended in kept.ended]
    return parts


def ended_line(ended: Ended, *, static: bool = False) -> str:
    """What is said of a lease that has ended.

    >>> ended_line(Ended(0.0, 3, ["x", "ys"]), static=True)
    'The lease of x, ys has ended: 3 results were dropped.'
    """
    at = "" if static else f" at {clock(ended.at)}"
    dropped = "1 result was dropped" if ended.results == 1 else f"{ended.results} results were dropped"
    return f"The lease of {names_line(ended.names)} has ended{at}: {dropped}."


def names_line(names: Iterable[str], limit: int = 8) -> str:
    """Some names, in a line.

    >>> names_line(["a", "b"]), names_line("abcdefghijk", 3), names_line([])
    ('a, b', 'a, b, c and 8 more', 'futures without a name')
    """
    names = list(names)
    if not names:
        return "futures without a name"
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def lasting(seconds: float) -> str:
    """A time span, in its two largest units.

    >>> [lasting(s) for s in (5, 65, 3600, 43_140, 90_000)]
    ['5 s', '1 min', '1 h', '11 h 59 min', '1 d 1 h']
    """
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    days, hours, minutes = whole // 86400, whole % 86400 // 3600, whole % 3600 // 60
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number) if not days else f"{days} d" + (f" {hours} h" if hours else "")


def clock(at: float) -> str:
    """A time of the day; with the date if it was another day."""
    then, today = time.localtime(at), time.localtime()
    return time.strftime("%H:%M" if then[:3] == today[:3] else "%Y-%m-%d %H:%M", then)


def _holding_table(holding: Holding, now: float, static: bool) -> Table:
    groups = holding.groups + [Group(f"{called} (no name)", "list", keys, {}) for called, keys in holding.unnamed.items()]
    below = "%futures attach binds them to their names."
    if holding.unnamed:
        below += f" Those without a name come as a list: fs = %futures attach {next(iter(holding.unnamed))}"
    if static:
        rows: list[tuple[str, ...]] = [(group.name, str(len(group.keys))) for group in groups]
        return Table(("name", "futures"), rows, "Held for this notebook since its last kernel:", below)
    since = f"Held for this notebook since its kernel ended {lasting(max(0.0, now - holding.gone_at))} ago, for {lasting(holding.left_s)} more:"
    rows = [(group.name, str(len(group.keys)), _states(group.states)) for group in groups]
    return Table(("name", "futures", "status"), rows, since, below)


def _counted(futures: Iterable[Future]) -> dict[str, int]:
    states: dict[str, int] = {}
    for future in futures:
        states[future.status] = states.get(future.status, 0) + 1
    return states


def _states(states: Mapping[str, int]) -> str:
    known = [(status, states[status]) for status in ORDER if status in states]
    if len(known) == 1:
        return known[0][0]
    return ", ".join(f"{n} {status}" for status, n in known)


def _types(futures: Iterable[Future]) -> str:
    types = {future.type for future in futures if future.type}
    return ", ".join(sorted(types)[:3]) + (" ..." if len(types) > 3 else "")


def _size(futures: Iterable[Future]) -> str:
    done: list[Any] = [future.nbytes for future in futures if future.status == "finished"]
    return format_bytes(sum(done)) if done else ""
