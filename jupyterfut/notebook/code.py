"""The text of a cell, made into what a worker can run: transformed, parsed, checked. Whatever is wrong with it is an ordinary error here, before
anything is submitted."""

from __future__ import annotations
import __future__

import ast
import functools
import operator
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from IPython.core.displayhook import DisplayHook
from IPython.core.error import UsageError

from jupyterfut.notebook.cells import CellNames, names_of

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_FUTURES = functools.reduce(operator.or_, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names))
"""The compiler's flags that `from __future__` statements in earlier cells have set."""


class CellCode(NamedTuple):
    """One cell, ready to be sent."""

    source: str  #: Python, its lines numbered as in the notebook
    filename: str  #: the kernel's name for the cell, which tracebacks print as "Cell In[3]"
    flags: int  #: for `compile`
    names: CellNames
    shows: bool  #: it ends with an expression, and not with ";"

    def line(self, lineno: int) -> str:
        """The text of one line."""
        lines = self.source.splitlines()
        return lines[lineno - 1].strip() if 0 < lineno <= len(lines) else ""


def read_cell(shell: InteractiveShell, magic_line: str, body: str) -> CellCode:
    """The cell whose first line is the magic and whose rest is `body`.

    Raises SyntaxError at the cell's own line, and UsageError for a magic inside it that cannot run on a worker. `!command` lines and top-level
    `await` can.
    """
    indent = 1 + _empty_lines(body)  # IPython's transformation drops empty lines in front
    source = "\n" * indent + shell.transform_cell(body)
    shown = f"{magic_line.rstrip()}\n{body}"
    filename = shell.compile.cache(shown, number=cell_number(shell), raw_code=shown)
    flags = (shell.compile.flags & _FUTURES) | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree = compile(source, filename, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
    assert isinstance(tree, ast.Module)
    compile(tree, filename, "exec", flags, dont_inherit=True)  # what only the compiler finds: `return` outside of a function
    for node in _magics(tree):
        raise UsageError(f"%%submit: line {node.lineno}: magics do not run on a worker (lines that begin with ! do)")
    ends_with_value = bool(tree.body) and isinstance(tree.body[-1], ast.Expr)
    shows = ends_with_value and not DisplayHook.semicolon_at_end_of_expression(body)
    return CellCode(source, filename, flags, names_of(tree, source), shows)


def cell_number(shell: InteractiveShell) -> int:
    """The number of the running cell: 3 in `In [3]`. (The shell's own counter is already one further in IPython 9, and is not in IPython 8.)"""
    return int(shell.displayhook.prompt_count)


def wanted(code: CellCode, namespace: Mapping[str, Any], hidden: Mapping[str, Any], builtins: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the notebook that the cell reads.

    Raises NameError, standing at the line that uses it, for a name that neither the notebook nor the cell nor Python defines.
    """
    __tracebackhide__ = True
    values: dict[str, Any] = {}
    for name, read in code.names.reads.items():
        ipython_own = name in namespace and hidden.get(name, values) is namespace[name]
        if name == "get_ipython" or (name.startswith("__") and name.endswith("__")) or (ipython_own and name in builtins):
            continue  # a worker has its own
        if name in namespace:
            value = namespace[name]
            failed = getattr(value, "status", None) in ("error", "cancelled", "lost") and name in code.names.writes
            if not (failed and not read.certain):  # perhaps the cell binds it anew: the failure of an earlier run need not stop this one
                values[name] = value
        elif read.required and name not in builtins and not code.names.star_import:
            _raise_at(code, read.lineno, NameError(f"name {name!r} is not defined: {code.line(read.lineno)}", name=name))
    return values


def _raise_at(code: CellCode, lineno: int, error: Exception) -> None:
    """Raise with a traceback that ends at a line of the cell."""
    __tracebackhide__ = True
    exec(compile("\n" * (lineno - 1) + "raise error", code.filename, "exec"), {"error": error})


def _empty_lines(text: str) -> int:
    count = 0
    for line in text.splitlines():
        if line.strip():
            return count
        count += 1
    return count


def _magics(tree: ast.Module) -> Iterator[ast.Call]:
    """Calls such as `get_ipython().run_line_magic("time", "...")`, into which IPython turns `%time ...`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("run_line_magic", "run_cell_magic"):
            if isinstance(node.func.value, ast.Call) and isinstance(node.func.value.func, ast.Name) and node.func.value.func.id == "get_ipython":
                yield node
