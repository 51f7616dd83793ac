"""What all pieces of HTML are made of: the style sheet, cards and chips, dots, times, buttons.

A piece is one element `<div class="jf ...">`. In a document it comes with its style sheet (3 kB), since each output must stand alone, also in a page
that has no other. Where it lives (`Look.form`), it has a name by which the page's side of it finds it (`data-jf`), and what is sent to that side
(`Look.live`) has buttons, which would be dead in a document, and no style sheet, which is there already.

Colours are JupyterLab's own variables (`--jp-*`), so that a saved output follows the reader's theme; each has a fallback that holds on a light page
and on a dark one. Attributes such as `fill` and `width` say the same once more for viewers that strip style sheets.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import NamedTuple

from jupyterfut.views import text

STYLE = """<style>
.jf{font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:var(--jp-ui-font-size1,13px);line-height:1.5;
color:var(--jp-ui-font-color1,inherit);
--jf-line:var(--jp-border-color2,rgba(128,128,128,.35));--jf-soft:var(--jp-ui-font-color2,inherit);
--jf-idle:var(--jp-border-color1,rgba(128,128,128,.45));
--jf-good:var(--jp-success-color1,#388e3c);--jf-wait:var(--jp-brand-color1,#1976d2);
--jf-bad:var(--jp-error-color1,#d32f2f);--jf-off:var(--jp-ui-font-color3,#888)}
.jf.jf.jf code,.jf.jf.jf pre{font-family:var(--jp-code-font-family,monospace);
font-size:var(--jp-code-font-size,12px);color:inherit;background:none;padding:0;border:0}
.jf .jf-dot{display:inline-block;width:.6em;height:.6em;border-radius:50%;margin-right:.5em;background:var(--jf-off);vertical-align:.05em}
.jf .jf-good{background:var(--jf-good);fill:var(--jf-good)}.jf .jf-wait{background:var(--jf-wait);fill:var(--jf-wait)}
.jf .jf-bad{background:var(--jf-bad);fill:var(--jf-bad)}.jf .jf-off{fill:var(--jf-off)}
.jf .jf-idle{background:none;box-shadow:inset 0 0 0 1.5px var(--jf-off);fill:var(--jf-idle)}
.jf .jf-soft{color:var(--jf-soft)}.jf .jf-num{font-variant-numeric:tabular-nums}
.jf .jf-gap{margin-left:.9em}
.jf .jf-row{display:flex;flex-wrap:wrap;align-items:baseline;column-gap:.9em}.jf .jf-row .jf-gap{margin-left:0}
.jf .jf-end{margin-left:auto;display:flex;flex-wrap:wrap;gap:6px;align-items:center;align-self:center}
.jf.jf-card{border:1px solid var(--jf-line);border-radius:6px;padding:10px 14px;margin:2px 0;max-width:760px}
.jf.jf-chip{padding:2px 0 2px 6px;max-width:784px}
.jf .jf-why{margin:2px 0 0 1.1em;color:var(--jf-soft);overflow-wrap:anywhere}
.jf ul.jf-facts{display:flex;flex-wrap:wrap;gap:2px 26px;margin:6px 0 0;padding:0;list-style:none}
.jf ul.jf-facts li{margin:0;padding:0}
.jf .jf-facts b{font-weight:600;font-size:1.15em;font-variant-numeric:tabular-nums}
.jf details{margin-top:6px}
.jf summary{cursor:pointer;color:var(--jf-soft)}
.jf table.jf-table{border-collapse:collapse;width:100%;margin:6px 0 2px;border:0;font-size:inherit;table-layout:auto}
.jf table.jf-table tr,.jf table.jf-table tbody tr:nth-child(n),.jf table.jf-table tbody tr:hover{background:none}
.jf .jf-table th,.jf .jf-table td{border:0;border-top:1px solid var(--jf-line);padding:4px 14px 4px 0;
text-align:left;vertical-align:baseline;white-space:nowrap;color:inherit}
.jf .jf-table th{border-top:0;font-weight:normal;color:var(--jf-soft)}
.jf .jf-table .jf-n{text-align:right;font-variant-numeric:tabular-nums}
.jf .jf-table td:last-child,.jf .jf-table th:last-child{padding-right:0}
.jf .jf-table td.jf-wide{white-space:normal;overflow-wrap:anywhere;color:var(--jf-soft)}
.jf .jf-scroll{overflow:auto;max-height:320px}
.jf .jf-bar{display:inline-block;width:64px;height:6px;border-radius:3px;background:var(--jf-line);
margin-right:.6em;overflow:hidden;vertical-align:.1em}
.jf .jf-bar span{display:block;height:100%;background:var(--jf-wait)}
.jf.jf.jf .jf-strip{display:block;width:100%;height:10px;margin:8px 0 4px;border-radius:2px}.jf.jf.jf td .jf-strip{margin:0}
.jf .jf-table td.jf-mid{vertical-align:middle}
.jf.jf.jf pre.jf-pre{margin:6px 0;white-space:pre-wrap;overflow-wrap:anywhere}
.jf .jf-b{font:inherit;font-size:.92em;line-height:1.6;padding:0 9px;margin:0;border:1px solid var(--jf-line);border-radius:4px;background:none;
color:inherit;cursor:pointer}
.jf .jf-b:hover{background:var(--jp-layout-color2,rgba(128,128,128,.15))}.jf .jf-b:disabled{opacity:.5;cursor:default}
.jf .jf-b:focus-visible,.jf .jf-in:focus-visible,.jf summary:focus-visible{outline:2px solid var(--jf-wait);outline-offset:1px}
.jf .jf-in{font:inherit;font-size:.92em;line-height:1.6;width:3.8em;padding:0 4px;
border:1px solid var(--jf-line);border-radius:4px;background:none;color:inherit}
.jf .jf-sr{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.jf .jf-trouble{margin:4px 0 0;color:var(--jf-bad)}
@media (prefers-reduced-motion:no-preference){.jf .jf-moves{animation:jf-breath 2.4s ease-in-out infinite}@keyframes jf-breath{50%{opacity:.45}}}
</style>"""


class Look(NamedTuple):
    """How a piece is to be made."""

    static: bool = False  #: the same in every run
    form: str = ""  #: the name by which its living part finds it
    live: bool = False  #: for the living part: with buttons, times that tick, and no style sheet
    trouble: str = ""  #: what went wrong when a button was pressed


PLAIN = Look()


def look_of(look: Look | None, static: bool) -> Look:
    """The look that was asked for."""
    return look if look is not None else Look(static=True) if static else PLAIN


def piece(kind: str, body: str, look: Look, label: str = "") -> str:
    """The whole of it. kind: "chip" or "card"."""
    name = f' data-jf="{escape(look.form)}"' if look.form else ""
    said = f' role="group" aria-label="{escape(label)}"' if label else ""
    keys = ' data-lm-suppress-shortcuts="true"' if look.live else ""  # JupyterLab: Enter and Space belong to the button that has the focus
    trouble = f'<div class="jf-trouble" role="alert">{escape(look.trouble)}</div>' if look.trouble else ""
    return f'{"" if look.live else STYLE}<div class="jf jf-{kind}"{name}{said}{keys}>{body}{trouble}</div>'


def dot(tone: str, title: str, *, moves: bool = False) -> str:
    """A round spot in the colour of a tone: good, wait, bad, idle or off."""
    return f'<span class="jf-dot jf-{tone}{" jf-moves" if moves else ""}" title="{escape(title)}"></span>'


def key(name: str, look: Look) -> str:
    """A task's key: shortened, in full when one points at it."""
    if look.static:
        return f'<code class="jf-gap">{escape(text.key_name(name))}</code> '
    return f'<code class="jf-gap" title="{escape(name)}">{escape(text.short_key(name))}</code> '


def time(since: float | None, took_s: float | None, look: Look) -> str:
    """How long: what it took; or, while it goes on, a clock where there is one, and the hour at which it began where the page stands still."""
    if look.static or (since is None and took_s is None):
        return ""
    if took_s is not None:
        return f'<span class="jf-gap jf-soft jf-num">{text.format_seconds(took_s)}</span> '
    assert since is not None
    return f'<time class="jf-gap jf-soft jf-num" data-since="{since:.3f}"></time> ' if look.live else ""


def buttons(look: Look, *made: str) -> str:
    """What can be done, at the right end of a line. Only where somebody listens."""
    shown = "".join(made)
    return f'<span class="jf-end">{shown}</span>' if look.live and shown else ""


def button(act: str, label: str, title: str) -> str:
    """A button that has `act` done."""
    return f'<button type="button" class="jf-b" data-do="{escape(act)}" data-k="{escape(act)}" title="{escape(title)}">{escape(label)}</button>'


def number(name: str, value: int, label: str, least: int = 0) -> str:
    """A field for a whole number, which goes along with the buttons beside it."""
    return (
        f'<input type="number" class="jf-in" data-arg="{escape(name)}" data-k="{escape(name)}" min="{least}" step="1" value="{value}"'
        f' aria-label="{escape(label)}" title="{escape(label)}">'
    )


def fact(n: int, noun: str) -> str:
    """A number with its noun."""
    _, _, word = text.count(n, noun).partition(" ")
    return f"<b>{n:,}</b> {word}"


def facts(said: Iterable[str]) -> str:
    """Several, in a row."""
    items = "".join(f"<li>{one}</li> " for one in said)
    return f'<ul class="jf-facts">{items}</ul>' if items else ""


def preformatted(shown: str) -> str:
    """Text whose lines are its own."""
    return f'<pre class="jf-pre">{escape(shown.rstrip())}</pre>' if shown.strip() else ""
