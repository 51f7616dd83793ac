"""`%%submit for TARGET in ITERABLE`: the first line's clause, and the elements for which the cell runs.

ITERABLE is an expression over the notebook's names. Where none of them is a future, it is evaluated here and now, as in a plain cell; its elements
may be futures, or hold some, and each element's task waits for its own. Where one is a future (`for fn in filenames`, the list is still being made),
its value is wanted: then a task evaluates the expression on the cluster and submits the elements from there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from IPython.core.error import UsageError

from jupyterfut.client.futures import Future
from jupyterfut.notebook.submit.cells import names_of
from jupyterfut.notebook.submit.run import iterable_tree
from jupyterfut.notebook.submit.scopes import names_in

if TYPE_CHECKING:
    from jupyterfut.notebook.submit.code import CellCode

_FOR = re.compile(r"(?:^|(?<=\s))for(?=\s)")
_OPTION = re.compile(r"\s(--(?:output|name|wait|get|quiet|workers|resources|priority|retries|on|cached)|-[oqwr])(?=\s|=|$)")
_UNTOLD = "_jupyterfut_iterable"


class ForClause(NamedTuple):
    """`for TARGET in ITERABLE`."""

    target: str
    iterable: str
    names: tuple[str, ...]  #: that TARGET binds


def split(line: str) -> tuple[str, ForClause | None]:
    """The options of the magic's line, and its clause, which is the rest of it. Raises SyntaxError and UsageError.

    >>> split("--name load for path, n in zip(paths, ns)")
    ('--name load ', ForClause(target='path, n', iterable='zip(paths, ns)', names=('path', 'n')))
    """
    found = _FOR.search(line)
    if found is None:
        return line, None
    text = line[found.start() :].strip()
    try:
        loop = ast.parse(f"{text}:\n pass").body[0]
        assert isinstance(loop, ast.For)
        ast.parse(f"[{ast.unparse(loop.target)}] = 0")
    except SyntaxError as error:
        at = len("%%submit ") + found.start()
        wrong = SyntaxError(f"{error.msg} (options stand before `for`)" if re.search(r"\s-", text) else error.msg)
        wrong.lineno, wrong.text, wrong.offset = 1, f"%%submit {line}", at + (error.offset or 1)
        raise wrong from None
    if not all(isinstance(part, ast.Name | ast.Tuple | ast.List | ast.Starred | ast.expr_context) for part in ast.walk(loop.target)):
        raise UsageError(f"%%submit for: the elements go into names, not into {ast.unparse(loop.target)}")
    if option := _OPTION.search(text):
        raise UsageError(f"%%submit: {option[1]} stands behind `for`; options stand before it (%%submit {option[1]} ... for ... in ...)")
    names = tuple(dict.fromkeys(name.id for name in names_in(loop.target)))
    target, iterable = (ast.get_source_segment(text, node) or ast.unparse(node) for node in (loop.target, loop.iter))
    return line[: found.start()], ForClause(target, iterable, names)


class OnCluster(NamedTuple):
    """Elements that only the cluster can know."""

    iterable: str
    values: dict[str, Any]  #: the notebook's names that it reads


def reads(clause: ForClause, code: CellCode) -> CellCode:
    """The expression, as a piece of code of the cell."""
    body = ast.Module([ast.Expr(iterable_tree(clause.iterable).body)], [])
    return code._replace(names=names_of(body, None))


def elements(clause: ForClause, values: Mapping[str, Any], filename: str, namespace: dict[str, Any]) -> list[Any] | OnCluster:
    """The elements, or how the cluster finds them. `values`: what ITERABLE reads. Raises what the expression raises, at the cell's first line."""
    tree = iterable_tree(clause.iterable)
    awaited = {name for name, value in values.items() if isinstance(value, Future)}
    if awaited and not _only_listed(tree.body, awaited):
        return OnCluster(clause.iterable, dict(values))
    value = eval(compile(tree, filename, "eval"), namespace)
    if isinstance(value, Future):
        return OnCluster(_UNTOLD, {_UNTOLD: value})
    return list(value)


def _only_listed(node: ast.expr, awaited: set[str]) -> bool:
    """Whether futures occur only as elements of a list that stands there: `for part in [a, b]`."""
    if not isinstance(node, ast.List | ast.Tuple):
        return False
    others = [part for part in node.elts if not isinstance(part, ast.Name)]
    return not any(name.id in awaited for part in others for name in names_in(part))
