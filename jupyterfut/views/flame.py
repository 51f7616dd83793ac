"""A profile as a flame graph, in one self-contained HTML page: no script from elsewhere, no link to fetch, every value escaped.

Each frame is as wide as its share of the samples and stands below its caller. Hovering tells the numbers, a click makes a frame as wide as the page,
a word in the field marks the frames that contain it. The page follows the reader's light or dark scheme; without scripts it still shows everything.
"""

from __future__ import annotations

import zlib
from html import escape
from typing import Any, NamedTuple

NARROWEST = 0.0008
"""A frame with a smaller share of all samples is left out: nobody could see it."""

DEEPEST = 150
"""Rows; deeper frames are left out."""


class _Bar(NamedTuple):
    left: float  #: share of the width, 0 to 1
    width: float
    depth: int
    name: str
    place: str
    samples: int
    own: int  #: samples in which it was the innermost frame


class Flame:
    """A profile that shows itself: `_repr_html_` in a notebook, `page()` for a file. `tree` is what `Client.profile` returns."""

    def __init__(self, tree: dict[str, Any]) -> None:
        self.tree = tree

    def __repr__(self) -> str:
        return f"<Flame {self.tree['count']} samples>"

    def _repr_html_(self) -> str:
        height = 110 + 21 * (1 + max((bar.depth for bar in bars(self.tree)), default=0))
        return (
            f'<iframe srcdoc="{escape(self.page(), quote=True)}" style="width:100%;height:{min(height, 700)}px;border:0;border-radius:8px" '
            'sandbox="allow-scripts"></iframe>'
        )

    def page(self) -> str:
        """The whole page."""
        return page(self.tree)


def bars(tree: dict[str, Any]) -> list[_Bar]:
    """The frames as bars, callers first, brothers in the order of their names (so that two profiles can be compared)."""
    total = tree["count"]
    if not total:
        return []
    found: list[_Bar] = []
    rows = [(tree, 0.0, 0)]
    for node, left, depth in rows:
        description = node["description"]
        own = node["count"] - sum(child["count"] for child in node["children"].values())
        name = description.get("name") or "all tasks"
        file = description.get("filename") or ""
        place = f"{file}:{description.get('line_number')}" if file else ""
        found.append(_Bar(left, node["count"] / total, depth, str(name), place, node["count"], max(0, own)))
        if depth >= DEEPEST:
            continue
        for child in sorted(node["children"].values(), key=lambda child: str(child["identifier"])):
            width = child["count"] / total
            if width >= NARROWEST:
                rows.append((child, left, depth + 1))
            left += width
    return found


def page(tree: dict[str, Any], title: str = "Profile") -> str:
    """A page with the flame graph.

    >>> tree = {"identifier": "root", "description": {}, "count": 0, "children": {}}
    >>> "no samples" in page(tree)
    True
    """
    total = tree["count"]
    drawn = bars(tree)
    depth = max((bar.depth for bar in drawn), default=0)
    summary = f"{total:,} samples" if total else "no samples: no task ran long enough to be seen"
    body = "\n".join(_bar(bar, total) for bar in drawn) if total else ""
    script = _SCRIPT if total else ""
    return _PAGE.format(title=escape(title), summary=escape(summary), height=21 * (depth + 1), bars=body, style=_STYLE, script=script)


def _bar(bar: _Bar, total: int) -> str:
    share = f"{bar.samples / total:.1%}"
    tip = f"{bar.name}\n{bar.place}\n{share} · {bar.samples:,} samples, {bar.own:,} in it itself"
    hue = zlib.crc32(bar.place.rpartition(":")[0].encode()) % 360 if bar.place else 0
    saturation = 55 if bar.place else 0
    place = f"left:{100 * bar.left:.4f}%;width:{100 * bar.width:.4f}%;top:{21 * bar.depth}px"
    return (
        f'<div class="b" tabindex="0" style="{place};--h:{hue};--s:{saturation}%" '
        f'data-l="{bar.left:.6f}" data-w="{bar.width:.6f}" title="{escape(tip, quote=True)}">{escape(bar.name)}</div>'
    )


_STYLE = """
:root{color-scheme:light dark;--back:#fdfdfc;--text:#1c1d21;--soft:#62656e;--line:#dcdde1;--light:76%;--ink:#16171a;--mark:#d6336c}
@media (prefers-color-scheme:dark){:root{--back:#17181c;--text:#e8e8ea;--soft:#9a9da6;--line:#34363d;--light:36%;--ink:#f4f4f6;--mark:#ff7aa8}}
*{box-sizing:border-box}
body{margin:0;padding:18px 22px;background:var(--back);color:var(--text);font:13px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
header{display:flex;flex-wrap:wrap;gap:6px 18px;align-items:baseline;margin-bottom:12px}
h1{font-size:17px;font-weight:600;margin:0}
p{margin:0;color:var(--soft);flex:1;font-variant-numeric:tabular-nums}
input{font:inherit;color:inherit;background:transparent;border:1px solid var(--line);border-radius:6px;padding:3px 9px;width:13em}
input:focus{outline:2px solid var(--soft);outline-offset:-1px}
#f{position:relative;overflow:hidden;border-radius:6px}
.b{position:absolute;height:20px;line-height:19px;padding:0 5px;overflow:hidden;white-space:nowrap;text-overflow:ellipsis;cursor:pointer;
font:11.5px/20px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;color:var(--ink);border-radius:3px;
background:hsl(var(--h) var(--s) var(--light));border-right:1px solid var(--back);transition:left .18s,width .18s,opacity .18s}
.b:hover,.b:focus{filter:brightness(1.08);outline:1.5px solid var(--text);outline-offset:-1.5px;z-index:1}
.b.out{display:none}.b.over{opacity:.55}.b.dim{opacity:.28}.b.hit{outline:2px solid var(--mark);outline-offset:-2px}
footer{margin-top:10px;color:var(--soft);white-space:pre-line;min-height:4.6em;font-size:12px}
"""

_SCRIPT = """
(function () {
  const flame = document.getElementById("f"), foot = document.querySelector("footer"), all = [...flame.children];
  const num = (e, k) => parseFloat(e.dataset[k]);
  function zoom(to) {
    const left = num(to, "l"), width = num(to, "w"), slack = 1e-6;
    for (const e of all) {
      const l = num(e, "l"), w = num(e, "w");
      const over = l <= left + slack && l + w >= left + width - slack && e.offsetTop < to.offsetTop;
      const inside = l >= left - slack && l + w <= left + width + slack;
      e.classList.toggle("over", over);
      e.classList.toggle("out", !over && !inside);
      if (over) { e.style.left = "0%"; e.style.width = "100%"; }
      else if (inside) { e.style.left = 100 * (l - left) / width + "%"; e.style.width = 100 * w / width + "%"; }
    }
  }
  flame.addEventListener("click", (event) => { if (event.target.dataset.l) zoom(event.target); });
  flame.addEventListener("keydown", (event) => { if (event.key === "Enter" && event.target.dataset.l) zoom(event.target); });
  const tell = (event) => { if (event.target.title) foot.textContent = event.target.title; };
  flame.addEventListener("mouseover", tell);
  flame.addEventListener("focusin", tell);
  document.querySelector("input").addEventListener("input", (event) => {
    const word = event.target.value.toLowerCase();
    for (const e of all) {
      const hit = word && e.title.toLowerCase().includes(word);
      e.classList.toggle("hit", !!hit);
      e.classList.toggle("dim", !!word && !hit);
    }
  });
})();
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>{title}</title><style>{style}</style></head>
<body>
<header><h1>{title}</h1><p>{summary}</p><input type="search" placeholder="find a function or file" aria-label="find"></header>
<div id="f" style="height:{height}px">
{bars}
</div>
<footer></footer>
<script>{script}</script>
</body>
</html>
"""
