"""Many futures as one strip: position in the list is position on the strip, colour is state. An SVG of a few kilobytes, however many there are.

Up to `CELLS` futures have a cell each. More share columns: a column shows its futures stacked, what is finished at the bottom, failures on top and
never too small to be seen. Equal neighbours are drawn as one rectangle.
"""

from __future__ import annotations

from html import escape

from jupyterfut.views.snapshots import CODES

CELLS = 100  #: up to so many, each has a cell of its own
COLUMNS = 200
GAP = 0.004  #: between cells, as a share of the strip
HEIGHT = 100
LEAST = 30  #: of the height: what failures take at least

_TONES = (
    ("finished", "good", "#388e3c"),
    ("running", "wait", "#1976d2"),
    ("pending", "idle", "#bdbdbd"),
    ("off", "off", "#888"),
    ("bad", "bad", "#d32f2f"),
)
"""From the bottom to the top: what is drawn, the tone of its class, and the colour where there is no style sheet."""

_PARTS = {"finished": (2,), "running": (1,), "pending": (0,), "off": (4, 6), "bad": (3, 5)}


def strip(codes: bytes) -> str:
    """The strip of these states (`snapshots.CODES`).

    >>> "aria-label=\\"2 futures: 1 finished, 1 error\\"" in strip(bytes([2, 3]))
    True
    >>> len(strip(bytes([2, 0, 1, 3]) * 2_500)) < 20_000
    True
    """
    n = len(codes)
    if not n:
        return ""
    columns = n if n <= CELLS else min(n, COLUMNS)
    paths: dict[str, list[str]] = {name: [] for name, _, _ in _TONES}
    if n <= CELLS:
        gap = min(0.25, GAP * n) if n > 1 else 0.0
        tone_of = {code: name for name, members in _PARTS.items() for code in members}
        for i, code in enumerate(codes):
            paths[tone_of[code]].append(f"M{i} 0h{1 - gap:.3g}v{HEIGHT}h-{1 - gap:.3g}z")
    else:
        _columns(codes, columns, paths)
    counts = ", ".join(f"{codes.count(code)} {name}" for code, name in sorted(enumerate(CODES), key=_order) if codes.count(code))
    label = f"{n} future{'s' * (n != 1)}: {counts}"
    drawn = "".join(
        f'<path class="jf-{tone}" data-k="{name}" fill="{colour}" d="{"".join(paths[name])}"></path>' for name, tone, colour in _TONES if paths[name]
    )
    return (
        f'<svg class="jf-strip" role="img" aria-label="{escape(label)}" viewBox="0 0 {columns} {HEIGHT}" preserveAspectRatio="none"'
        f' width="100%" height="10" shape-rendering="crispEdges">{drawn}</svg>'
    )


def _order(item: tuple[int, str]) -> int:
    return (3, 2, 0, 1, 4, 5, 6)[item[0]]


def _columns(codes: bytes, columns: int, paths: dict[str, list[str]]) -> None:
    n = len(codes)
    open_runs: dict[str, tuple[int, int, int]] = {}  # what is drawn -> where its rectangle began, its top, its height
    for column in range(columns + 1):
        here: dict[str, tuple[int, int]] = {}
        if column < columns:
            part = codes[column * n // columns : (column + 1) * n // columns]
            here = _stack(part)
        for name in [*open_runs]:
            start, top, height = open_runs[name]
            if here.get(name) != (top, height):
                paths[name].append(f"M{start} {top}h{column - start}v{height}h-{column - start}z")
                del open_runs[name]
        for name, (top, height) in here.items():
            open_runs.setdefault(name, (column, top, height))


def _stack(part: bytes) -> dict[str, tuple[int, int]]:
    """What one column shows: the top and the height of each part."""
    shares = {name: sum(map(part.count, members)) for name, members in _PARTS.items()}
    bad = shares["bad"]
    failed = max(LEAST, HEIGHT * bad // len(part)) if bad else 0
    rest, of = HEIGHT - failed, len(part) - bad
    stack: dict[str, tuple[int, int]] = {}
    floor = HEIGHT
    seen = 0
    for name, _, _ in _TONES[:-1]:
        if shares[name]:
            seen += shares[name]
            top = HEIGHT - rest * seen // of
            if top < floor:
                stack[name] = (top, floor - top)
            floor = top
    if failed:
        stack["bad"] = (0, failed if of else HEIGHT)
    return stack
