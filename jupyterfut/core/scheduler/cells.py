"""Which notebook cells the tasks come from: told by clients in notebooks (`cell_told`), before the first task of each cell.

The origin of a task (`TaskOptions.origin`) is `<client id>/<cell>`, where the cell is a short name that only its kernel understands. Here stands what
people call it: its number, its first line, its place in the document. Nothing depends on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from jupyterfut.core.scheduler.coord import arguments
from jupyterfut.core.scheduler.query import BadRequest
from jupyterfut.core.scheduler.state import ClientState, State

CELLS_KEPT: Final = 1_000
TEXT_CHARS: Final = 200


class Cell(NamedTuple):
    """One execution of one cell."""

    kernel: str  #: the kernel's id
    session: str  #: the notebook's path, or ""
    cell_id: str  #: the cell in the document, or ""
    number: int  #: `In [number]`; 0: none
    title: str  #: its first line of code
    submitted: bool  #: it is a task itself
    told_at: float


class Cells:
    """The newest cells, in `State.cells`."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.ops: dict[str, Callable[[ClientState, dict[str, Any]], Any]] = {"cell_told": self.told}

    def told(self, client: ClientState, args: dict[str, Any]) -> None:
        """The client is about to submit tasks from this cell."""
        name, cell_id, title = (arguments.text(args, field)[:TEXT_CHARS] for field in ("cell", "cell_id", "title"))
        if not name or "/" in name:
            raise BadRequest("a cell has a name, without '/'")
        number = arguments.number(args, "number", 0)
        cells = self._state.cells
        cells[f"{client.id}/{name}"] = Cell(
            str(client.info.get("kernel", "")), str(client.info.get("session", "")), cell_id, number, title, bool(args["submitted"]), self._state.now
        )
        if len(cells) > CELLS_KEPT:
            del cells[next(iter(cells))]
