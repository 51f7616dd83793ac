"""The text of a cell, made into what a worker can run: transformed, parsed, checked. Whatever is wrong with it is an ordinary error here, before
anything is submitted."""

from __future__ import annotations
import __future__

import ast
import functools
import operator
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from IPython.core.displayhook import DisplayHook
from IPython.core.error import UsageError
from IPython.core.inputtransformer2 import TransformerManager

from jupyterfut.notebook.submit.cells import CellNames, names_of
from jupyterfut.notebook.submit.inside import TIMED, NotHere, Opening, arrange, expand, openings
from jupyterfut.notebook.submit.modules import imports_of

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
    shown: str  #: as it stands in the notebook
    openings: tuple[Opening, ...] = ()  #: `%%time` and the like at the top of the body
    imports: frozenset[str] = frozenset()  #: the top-level modules that it imports

    def line(self, lineno: int) -> str:
        """The text of one line."""
        lines = self.shown.splitlines()
        return lines[lineno - 1].strip() if 0 < lineno <= len(lines) else ""


def read_cell(shell: InteractiveShell, magic_line: str, body: str, bound: Iterable[str] = ()) -> CellCode:
    """The cell whose first line is the magic and whose rest is `body`; the names in `bound` are there before it begins.

    Raises SyntaxError at the cell's own line, and UsageError for a magic inside it that cannot run on a worker. `!command` lines and top-level
    `await` can.
    """
    shown = f"{magic_line.rstrip()}\n{body}"
    magic = magic_line.split(" ")[0]
    flags = (shell.compile.flags & _FUTURES) | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    filename = shell.compile.cache(shown, number=cell_number(shell), raw_code=shown)
    key = (body, flags, tuple(bound)) if _is_plain(shell) else None
    known = _read.get(key) if key is not None else None
    if known is None:
        try:
            known = _analysed(shell, body, filename, flags, bound)
        except NotHere as error:
            raise UsageError(f"{magic}: {error}") from None
        if key is not None:
            _read[key] = known
            if len(_read) > _READ_CELLS:
                _read.pop(next(iter(_read)), None)
    return known._replace(filename=filename, shown=shown)


_read: dict[tuple[str, int, tuple[str, ...]], CellCode] = {}
"""Cells as they were read: running one again, or in a loop, reads nothing."""
_READ_CELLS = 64


def _analysed(shell: InteractiveShell, body: str, filename: str, flags: int, bound: Iterable[str]) -> CellCode:
    opened_by, rest = openings(body)
    source, tree = _parsed(shell, rest, filename, flags)
    arranged = bool(opened_by) | ("get_ipython" in source and expand(tree))
    shows = bool(tree.body) and isinstance(tree.body[-1], ast.Expr) and not _ends_with_semicolon(rest, source, tree.body[-1])
    if opened_by:
        tree = arrange(tree, opened_by)
    # What only the compiler finds: `return` outside of a function. From text it takes half the time.
    compile(tree if arranged else source, filename, "exec", flags, dont_inherit=True)
    names = names_of(tree, None if arranged else source, bound)
    names = names._replace(writes=tuple(name for name in names.writes if name != TIMED))
    imports = imports_of(tree) if "import" in source else frozenset()
    return CellCode(source, filename, flags, names, shows, "", opened_by, imports)


def _is_plain(shell: InteractiveShell) -> bool:
    """Whether nobody has put transformations of his own into IPython, which could make anything of a cell."""
    manager, plain = shell.input_transformer_manager, TransformerManager()
    return (manager.cleanup_transforms, manager.line_transforms, manager.token_transformers) == (
        plain.cleanup_transforms, plain.line_transforms, plain.token_transformers,
    )  # fmt: skip


def _parsed(shell: InteractiveShell, body: str, filename: str, flags: int) -> tuple[str, ast.Module]:
    """The cell's source, numbered as in the notebook, and its tree. What is Python already needs none of IPython's transformation, which takes longer
    than everything else."""
    source = f"\n{body}"
    if _is_plain(shell):
        try:
            return source, _tree(source, filename, flags)
        except SyntaxError:
            pass  # `%`, `!` and `?` are none; and what is wrong is told of the transformed text, as in any cell
    source = "\n" * (1 + _empty_lines(body)) + shell.transform_cell(body)  # it drops empty lines in front
    return source, _tree(source, filename, flags)


def _tree(source: str, filename: str, flags: int) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # told once, by the compiler
        tree = compile(source, filename, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
    assert isinstance(tree, ast.Module)
    return tree


def _ends_with_semicolon(body: str, source: str, last: ast.stmt) -> bool:
    """Whether the cell's last expression is silenced. Reading tokens, as IPython does, is slow: only where there is a semicolon behind it."""
    tail = source.splitlines()[(last.end_lineno or 1) - 1 :]
    if ";" not in "".join(tail):
        return False
    return bool(DisplayHook.semicolon_at_end_of_expression(body))


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
