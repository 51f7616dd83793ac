"""Which cell is it? One `Cell` for each execution, from IPython's events; every task that is submitted meanwhile carries its id in its origin.

A cell is a context variable, so it is right in cells that run at the same time (subshells), in cells that `await`, and in the asyncio tasks that
they leave behind. Threads that know no cell (done callbacks, threads that a cell has started) belong to the one that was run last.

The cells of a session are kept, since a task may say something long after its cell was done: a header of a few hundred bytes each.
"""

from __future__ import annotations

import itertools
from contextvars import ContextVar
from typing import Any, NamedTuple


class Cell(NamedTuple):
    """One execution of one cell."""

    id: str  #: short, without "/": the second half of the origins of its tasks
    number: int  #: what stands in `In [...]`; 0 if it has none
    parent: dict[str, Any]  #: the header of the request that runs it: outputs that name it as their parent appear under the cell
    cell_id: str  #: the cell in the document, the same in every run; "" if the front end does not tell
    title: str = ""  #: its first line of code
    submitted: bool = False  #: it is a task itself (`%%submit`)


_here: ContextVar[Cell | None] = ContextVar("jupyterfut_cell", default=None)
_cells: dict[str, Cell] = {}
_latest_of: dict[str, str] = {}  # cell in the document -> id of its latest run
_latest: Cell | None = None
_running: dict[str, tuple[Cell, int]] = {}  # id of the request -> its cell, and how deep: code may run cells inside a cell
_ids = itertools.count(1)


def begin(request: dict[str, Any], number: int) -> Cell | None:
    """A cell begins; `request` is the message that asked for it. None: it is a cell inside a cell, and counts as that one."""
    global _latest
    header = dict(request.get("header") or {})
    cell, depth = _running.get(header.get("msg_id", ""), (None, 0))
    if cell is not None:
        _running[header["msg_id"]] = cell, depth + 1
        return None
    metadata = request.get("metadata") or {}
    code = str((request.get("content") or {}).get("code") or "")
    in_document = str(metadata.get("cellId") or metadata.get("cell_id") or "")
    cell = Cell(str(next(_ids)), number, header, in_document, title_of(code), code.lstrip().startswith("%%submit"))
    _running[header.get("msg_id", "")] = cell, 1
    _cells[cell.id] = cell
    if cell.cell_id:
        _latest_of[cell.cell_id] = cell.id
    _latest = cell
    _here.set(cell)
    return cell


def end(request: dict[str, Any]) -> Cell | None:
    """Its code has been run; its tasks may go on. None: it was a cell inside a cell, or one that nobody saw begin."""
    name = (request.get("header") or {}).get("msg_id", "")
    cell, depth = _running.get(name, (None, 0))
    if cell is None or depth > 1:
        if cell is not None:
            _running[name] = cell, depth - 1
        return None
    del _running[name]
    _here.set(cell)  # a cell with `await` began in a context of its own; this thread goes on in ours
    return cell


def current() -> Cell | None:
    """The cell that the caller's code belongs to; None if none was run since the notebook layer was attached. Never blocks."""
    return _here.get() or _latest


def id_of_call() -> str:
    """For the origin of a task that is submitted now (`jupyterfut.client.origins`)."""
    cell = _here.get() or _latest
    return "" if cell is None else cell.id


def title_of(code: str) -> str:
    """What a cell is called in lists: its first line that says something, without comment signs, at most 80 characters.

    >>> title_of(chr(10).join(["%%submit --name prepare", "# read", "df = read(path)"]))
    'df = read(path)'
    >>> title_of("# the whole cell is a comment"), title_of("%%submit")
    ('the whole cell is a comment', '%%submit')
    """
    lines = [line.strip() for line in code.splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("#", "%%"))] or [line.lstrip("# ") for line in lines]
    line = next(iter(said), "")
    return line if len(line) <= _TITLE_CHARS else f"{line[: _TITLE_CHARS - 1]}…"


_TITLE_CHARS = 80


def facts(id: str) -> dict[str, Any] | None:  # noqa: A002  # that is what it is
    """What a scheduler is told of a cell (`jupyterfut.client.origins`)."""
    cell = _cells.get(id)
    if cell is None:
        return None
    return {"cell": id, "cell_id": cell.cell_id, "number": cell.number, "title": cell.title, "submitted": cell.submitted}


def find(id: str) -> Cell | None:  # noqa: A002  # that is what it is
    """The cell with this id, of this session."""
    return _cells.get(id)


def is_running(cell: Cell) -> bool:
    """Whether its code is being run."""
    return cell.parent.get("msg_id", "") in _running


def is_outdated(cell: Cell) -> bool:
    """Whether the same cell of the document has been run again since."""
    return bool(cell.cell_id) and _latest_of.get(cell.cell_id) != cell.id


def forget() -> None:
    """No cell is known any more."""
    global _latest
    _cells.clear()
    _latest_of.clear()
    _running.clear()
    _latest = None
    _here.set(None)
