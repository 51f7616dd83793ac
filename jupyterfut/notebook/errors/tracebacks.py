"""Errors as the notebook shows them: in IPython's own look, cells by their numbers, futures by the names that hold them.

An exception that arrives from a worker has a real traceback: frames that stand at the lines of the notebook's cells, whose source IPython knows, so
the shell shows it like any other; our own frames are left out (`serde.tracebacks.fold`). What is added here is words for the notes that say how a
failure came (`client.blame`), and the same look where no cell is running: under a submitted cell that has failed.
"""

from __future__ import annotations

import re
import traceback
from typing import TYPE_CHECKING, Any

from jupyterfut.client import blame
from jupyterfut.client.current import open_clients
from jupyterfut.client.futures import Future
from jupyterfut.client.origins import client_and_cell
from jupyterfut.config import settings
from jupyterfut.notebook import current
from jupyterfut.views.text import key_name, short_key

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

LISTED = 10_000
"""In longer lists nobody looks for a future."""

_CELL = re.compile(r"cell-(\d+)(?:\.end)?(?:-(\d+))?")
"""What `%%submit` calls a cell's tasks."""

_COLORS = re.compile(r"\x1b\[[0-9;]*m")


class Labels:
    """What the user of this kernel calls a task."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell

    def begin(self) -> None:
        """From now on notes on errors use these words."""
        blame.label = self.label

    def end(self) -> None:
        """Undo it."""
        if blame.label == self.label:
            blame.label = None

    def label(self, key: str, origin: str) -> str:
        """The name that holds the task's future, and the cell that has submitted it: "x (cell In[3])". Without a name, the short key. From any
        thread."""
        if cell := _CELL.fullmatch(key_name(key)):
            return f"element {cell[2]} of cell In[{cell[1]}]" if cell[2] else f"cell In[{cell[1]}]"
        number = cell_number_of(origin)
        name = self.name_of(key)
        where = f" (cell In[{number}])" if number else ""
        static = settings().notebook.display == "static"
        return f"{name or (key_name(key) if static else short_key(key))}{where}"

    def name_of(self, key: str) -> str:
        """The notebook's name for the future of this key, such as "x" or "futures[3]"; "" if there is none."""
        for name, value in list(self.shell.user_ns.items()):
            if name.startswith("_") or name in self.shell.user_ns_hidden:
                continue
            if isinstance(value, Future):
                if value.key == key:
                    return str(name)
            elif isinstance(value, list) and 0 < len(value) <= LISTED and isinstance(value[0], Future):
                for index, item in enumerate(value):
                    if isinstance(item, Future) and item.key == key:
                        return f"{name}[{index}]"
        return ""


def cell_number_of(origin: str) -> int:
    """The number of this kernel's cell that the origin names; 0 if it names none."""
    client_id, cell_id = client_and_cell(origin)
    if not cell_id or not any(client.id == client_id for client in open_clients()):
        return 0
    cell = current.find(cell_id)
    return cell.number if cell is not None else 0


def traceback_lines(shell: InteractiveShell, error: BaseException) -> list[str]:
    """The error as the shell would show it if the running cell had raised it, in its colours and its `%xmode`: the content of a Jupyter message
    "error". From any thread."""
    if isinstance(error, BaseExceptionGroup) or isinstance(error.__context__, BaseExceptionGroup):
        return with_cell_names(shell, "".join(traceback.format_exception(error))).split("\n")  # as the shell does
    lines: Any = None
    if isinstance(error, SyntaxError):
        lines = shell.SyntaxTB.structured_traceback(type(error), error, traceback.extract_tb(error.__traceback__))
    else:
        lines = shell.InteractiveTB.structured_traceback(type(error), error, error.__traceback__, tb_offset=0)
    return [str(line) for line in lines]


def traceback_text(shell: InteractiveShell, error: BaseException) -> str:
    """The same without colours."""
    return _COLORS.sub("", "\n".join(traceback_lines(shell, error))).rstrip()


def with_cell_names(shell: InteractiveShell, text: str) -> str:
    """Python's own traceback with the cells called as IPython calls them."""
    names: dict[str, Any] = shell.compile._filename_map
    for filename, number in list(names.items()):
        if filename in text:
            text = re.sub(rf'File "{re.escape(filename)}", line (\d+)', rf"Cell In[{number}], line \1", text)
    return text
