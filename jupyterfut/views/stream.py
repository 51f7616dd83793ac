"""The task stream as a picture: a lane for each thread of each worker, a bar for each task, one colour a kind of task.

It takes rows of `get_task_stream` as spans and gives SVG that stands alone: no script, no link to fetch, colours that hold on a light page and on a
dark one. Bars that are too narrow to be seen apart are drawn as one, so a hundred thousand tasks make a picture of bounded size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

from jupyterfut.views.text import count, format_bytes, format_seconds

WIDTH = 1080
GUTTER = 120
LANE = 13
GAP = 3
LANES_SHOWN = 64
COLOURS_SHOWN = 12
NARROW = 0.7
"""In pixels: bars closer together than this become one."""

PALETTE = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#eeca3b", "#72b7b2", "#9d755d", "#ff9da6", "#83b944", "#8e6bbf", "#3f9fd0", "#c98b5b")
OTHERS = "#9aa0a6"
TRANSFER = "#d45087"
FAILED = "#d62728"


class Span(NamedTuple):
    """One thing that took time. Times are seconds on one clock."""

    worker: str  #: its name
    thread: int
    prefix: str
    key: str
    action: str  #: compute, transfer
    start: float
    stop: float
    nbytes: int = 0
    ok: bool = True


STYLE = """
.jfs{--jfs-ink:var(--jp-ui-font-color1,#24292f);--jfs-soft:var(--jp-ui-font-color2,#6e7781);--jfs-line:var(--jp-border-color2,#d8dee4);
--jfs-lane:var(--jp-layout-color2,#f3f5f7);color:var(--jfs-ink);font:12px/1.5 var(--jp-ui-font-family,system-ui,-apple-system,"Segoe UI",sans-serif)}
@media (prefers-color-scheme:dark){.jfs{--jfs-ink:var(--jp-ui-font-color1,#e6edf3);--jfs-soft:var(--jp-ui-font-color2,#8d96a0);
--jfs-line:var(--jp-border-color2,#30363d);--jfs-lane:var(--jp-layout-color2,#1b2129)}}
.jfs svg{display:block;width:100%;height:auto}
.jfs svg text{fill:var(--jfs-soft);font-size:11px}
.jfs svg .l{fill:var(--jfs-lane)}
.jfs svg .g{stroke:var(--jfs-line);stroke-width:1}
.jfs svg .w{fill:var(--jfs-ink)}
.jfs ul{display:flex;flex-wrap:wrap;gap:2px 18px;list-style:none;margin:8px 0 0;padding:0}
.jfs li{margin:0;padding:0;color:var(--jfs-soft)}
.jfs li i{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:6px}
.jfs li b{color:var(--jfs-ink);font-weight:600}
"""


def figure(spans: Sequence[Span]) -> str:
    """The picture with its legend, as a piece of HTML.

    >>> "<svg" in figure([Span("0", 1, "inc", "inc-1", "compute", 10.0, 10.5)])
    True
    """
    if not spans:
        return f'<style>{STYLE}</style><div class="jfs">no task has ended in this time</div>'
    colours = colours_of(spans)
    return f'<style>{STYLE}</style><div class="jfs">{svg(spans, colours)}{_legend(spans, colours)}</div>'


def page(body: str, title: str = "task stream") -> str:
    """A page of its own, with the picture as its body."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>:root{{color-scheme:light dark}}body{{margin:24px auto;max-width:1140px;padding:0 24px}}</style>"
        f"</head><body>{body}</body></html>\n"
    )


def colours_of(spans: Iterable[Span]) -> dict[str, str]:
    """A colour for each kind of task that took the most time; the others share a grey one."""
    seconds: dict[str, float] = {}
    for span in spans:
        if span.action == "compute":
            seconds[span.prefix] = seconds.get(span.prefix, 0.0) + span.stop - span.start
    most = sorted(seconds, key=lambda prefix: (-seconds[prefix], prefix))
    return {prefix: PALETTE[i] if i < min(COLOURS_SHOWN, len(PALETTE)) else OTHERS for i, prefix in enumerate(most)}


def svg(spans: Sequence[Span], colours: dict[str, str]) -> str:
    """The picture alone."""
    began = min(span.start for span in spans)
    lasted = max(max(span.stop for span in spans) - began, 1e-6)
    scale = (WIDTH - GUTTER - 8) / lasted
    lanes = _lanes(spans)
    shown = dict(list(lanes.items())[:LANES_SHOWN])
    y = 20
    lanes_drawn: list[str] = []
    parts: list[str] = []
    worker = None
    for (name, thread), members in shown.items():
        if name != worker:
            y += 5 if worker is not None else 0
            worker = name
            parts.append(f'<text class="w" x="0" y="{y + LANE - 3}">{escape(_short(name))}</text>')
        if thread == 0:
            parts.append(f'<text x="{GUTTER - 8}" y="{y + LANE - 3}" text-anchor="end">transfers</text>')
        lanes_drawn.append(f'<rect class="l" x="{GUTTER}" y="{y}" width="{WIDTH - GUTTER - 8}" height="{LANE}" rx="2"/>')
        parts.extend(_bars(members, began, scale, y, colours))
        y += LANE + GAP
    if len(lanes) > len(shown):
        parts.append(f'<text x="{GUTTER}" y="{y + 12}">and {count(len(lanes) - len(shown), "more lane")}</text>')
        y += 18
    grid = "".join(_tick(at, GUTTER + at * scale, y) for at in _ticks(lasted))
    title = f"{count(sum(span.action == 'compute' for span in spans), 'task')} in {format_seconds(lasted)}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 4}" role="img" aria-label="{escape(title)}">'
        f"{''.join(lanes_drawn)}{grid}{''.join(parts)}</svg>"
    )


def _tick(at: float, x: float, y: int) -> str:
    text = format_seconds(at) if at else "0 s"
    return f'<line class="g" x1="{x:.1f}" y1="14" x2="{x:.1f}" y2="{y}"/><text x="{x:.1f}" y="10" text-anchor="middle">{text}</text>'


def _lanes(spans: Iterable[Span]) -> dict[tuple[str, int], list[Span]]:
    """Spans by worker and thread, in order; a worker's transfers are its last lane."""
    lanes: dict[tuple[str, int], list[Span]] = {}
    for span in spans:
        lanes.setdefault((span.worker, 0 if span.action == "transfer" else span.thread or 1), []).append(span)
    ordered = sorted(lanes, key=lambda lane: (natural(lane[0]), lane[1] == 0, min(span.start for span in lanes[lane])))
    return {lane: sorted(lanes[lane], key=lambda span: span.start) for lane in ordered}


def _bars(spans: list[Span], began: float, scale: float, y: int, colours: dict[str, str]) -> Iterable[str]:
    """One bar for each span. Those of one colour that touch while they are narrow are one; so are all that begin within one pixel."""
    left = right = -1.0
    colour = ""
    members: list[Span] = []
    for span in spans:
        x0, x1 = (span.start - began) * scale, (span.stop - began) * scale
        own = _colour(span, colours)
        narrow = x1 - x0 < 2 * NARROW
        if members and narrow and (x0 - left < 1.0 or (own == colour and x0 - right < NARROW)):
            right = max(right, x1)
            members.append(span)
            continue
        if members:
            yield _bar(members, left, right, y, colours)
        left, right, colour, members = x0, x1, own, [span]
    if members:
        yield _bar(members, left, right, y, colours)


def _colour(span: Span, colours: dict[str, str]) -> str:
    return FAILED if not span.ok else TRANSFER if span.action == "transfer" else colours.get(span.prefix, OTHERS)


def _bar(spans: list[Span], left: float, right: float, y: int, colours: dict[str, str]) -> str:
    longest = max(spans, key=lambda span: (not span.ok, span.stop - span.start))  # a failure is seen, however short
    total = format_seconds(sum(span.stop - span.start for span in spans))
    if len(spans) == 1:
        said = f"{longest.key}\n{total}"
        said += f", {format_bytes(longest.nbytes)}" if longest.nbytes else ""
        said += "" if longest.ok else ", failed"
        said = f"transfer of {said}" if longest.action == "transfer" else said
    else:
        kinds = list(dict.fromkeys(span.prefix for span in spans))
        said = f"{len(spans):,} x {', '.join(kinds[:3])}{', ...' if len(kinds) > 3 else ''}, {total} in all"
    width = max(right - left, NARROW)
    fill = _colour(longest, colours)
    return (
        f'<rect x="{GUTTER + left:.1f}" y="{y}" width="{width:.1f}" height="{LANE}" rx="{min(2.0, width / 3):.1f}" fill="{fill}">'
        f"<title>{escape(said)}</title></rect>"
    )


def _legend(spans: Sequence[Span], colours: dict[str, str]) -> str:
    tasks: dict[str, list[float]] = {}
    for span in spans:
        if span.action == "compute":
            tasks.setdefault(span.prefix, []).append(span.stop - span.start)
    items = [
        f'<li><i style="background:{colour}"></i><b>{escape(prefix)}</b> {len(tasks[prefix]):,} in {escape(format_seconds(sum(tasks[prefix])))}</li>'
        for prefix, colour in list(colours.items())[:COLOURS_SHOWN]
    ]
    if len(colours) > COLOURS_SHOWN:
        items.append(f'<li><i style="background:{OTHERS}"></i>{count(len(colours) - COLOURS_SHOWN, "other kind")}</li>')
    failed = sum(not span.ok for span in spans)
    if failed:
        items.append(f'<li><i style="background:{FAILED}"></i>failed: {failed:,}</li>')
    moved = [span for span in spans if span.action == "transfer"]
    if moved:
        items.append(f'<li><i style="background:{TRANSFER}"></i>transfers: {len(moved):,}, {format_bytes(sum(span.nbytes for span in moved))}</li>')
    return f"<ul>{''.join(items)}</ul>"


def _ticks(lasted: float, most: int = 8) -> list[float]:
    """Round times, at most so many.

    >>> _ticks(1.0), _ticks(0.07)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07])
    """
    step = 1e-6
    while lasted / step > most:
        for factor in (2.0, 2.5, 2.0):  # 1, 2, 5, 10
            step *= factor
            if lasted / step <= most:
                break
    return [round(i * step, 9) for i in range(int(lasted / step + 1e-9) + 1)]


def natural(name: str) -> tuple[int, int, str]:
    """For sorting workers: 10 after 9, and names after numbers."""
    return (0, int(name), "") if name.isdecimal() else (1, 0, name)


def _short(name: str, chars: int = 16) -> str:
    return name if len(name) <= chars else f"{name[: chars - 1]}…"
