"""Plain tables for people: what `%futures` and `%cluster list` show. Rows of short texts, with lines of prose above and below.

In text the columns are aligned; in HTML the table has no frame, and takes its colours from JupyterLab's variables or from the text around it, so that
it is right on a light page and on a dark one, saved or live.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

_STYLE = """<style>
.jf.jf-list{font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:var(--jp-ui-font-size1,13px);line-height:1.5;color:var(--jp-ui-font-color1,inherit)}
.jf.jf-list table{border-collapse:collapse;border:0;margin:2px 0 6px;font-size:inherit;table-layout:auto}
.jf.jf-list table tr,.jf.jf-list table tbody tr:nth-child(n),.jf.jf-list table tbody tr:hover{background:none}
.jf.jf-list th,.jf.jf-list td{border:0;border-top:1px solid var(--jp-border-color2,rgba(128,128,128,.35));padding:3px 18px 3px 0;
text-align:left;vertical-align:baseline;color:inherit;max-width:none}
.jf.jf-list th{border-top:0;font-weight:normal;color:var(--jp-ui-font-color2,inherit)}
.jf.jf-list td:first-child{font-family:var(--jp-code-font-family,monospace);font-size:var(--jp-code-font-size,12px)}
.jf.jf-list p{margin:2px 0;color:var(--jp-ui-font-color2,inherit)}
</style>"""


class Table(NamedTuple):
    """A table, and the words around it."""

    head: tuple[str, ...] = ()
    rows: Sequence[tuple[str, ...]] = ()
    above: str = ""  #: one line
    below: str = ""  #: one line


def as_text(tables: Sequence[Table]) -> str:
    """The tables, one below the other.

    >>> print(as_text([Table(("name", "status"), [("x", "finished"), ("total", "pending")], above="Two futures:")]))
    Two futures:
      name   status
      x      finished
      total  pending
    """
    lines: list[str] = []
    for table in tables:
        if table.above:
            lines.append(table.above)
        if table.rows:
            rows = [table.head, *table.rows]
            widths = [max(len(row[column]) for row in rows) for column in range(len(table.head))]
            indent = "  " if table.above else ""
            lines += [f"{indent}{'  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))}".rstrip() for row in rows]
        if table.below:
            lines.append(table.below)
    return "\n".join(lines)


def as_html(tables: Sequence[Table]) -> str:
    """The same for a page.

    >>> "<td>x</td>" in as_html([Table(("name",), [("x",)])])
    True
    """
    return f'{_STYLE}<div class="jf jf-list">{"".join(map(_table, tables))}</div>'


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in table.head)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    whole = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if table.rows else ""
    return "".join([_prose(table.above), whole, _prose(table.below)])


def _prose(line: str) -> str:
    return f"<p>{escape(line)}</p>" if line else ""
