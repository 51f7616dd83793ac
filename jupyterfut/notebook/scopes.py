"""What the functions inside a piece of a cell do to global names. Python's own symbol table answers: closures, `nonlocal`, class scopes and `super()`
included.

In comes the syntax tree of a `def`, a `class` or a `lambda` with the cell's source; out come the global names that are read and bound when its
functions are called.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator
from typing import NamedTuple

from jupyterfut.notebook.inside import shell_fields


class GlobalNames(NamedTuple):
    """What `global_names` found."""

    reads: dict[str, int]  #: with the line of use
    writes: tuple[str, ...]
    optional: frozenset[str]  #: reads that only shell lines make, which run without them, too


def global_names(node: ast.AST, source: str | None) -> GlobalNames:
    """The global names that the function bodies inside `node` (a def, a class or a lambda) read and bind. Without the source, the symbol table is
    given a text that says the same."""
    if source is None:
        segment = ast.unparse(node)
    else:
        segment = ast.get_source_segment(source, node, padded=True) or ""
    if isinstance(node, ast.Lambda):
        segment = f"({segment.lstrip()}\n)"
    elif segment[:1].isspace():
        segment = f"if 1:\n{segment}"
    lines: dict[str, int] = {}
    for used in names_in(node):
        lines.setdefault(used.id, used.lineno)
    # The symbol table calls `n += 1` and `del n` bindings only; both need a value first.
    augmented = {child.target.id for child in ast.walk(node) if isinstance(child, ast.AugAssign) and isinstance(child.target, ast.Name)}
    augmented.update(used.id for used in names_in(node) if isinstance(used.ctx, ast.Del))
    reads: dict[str, int] = {}
    writes: dict[str, None] = {}
    for table in _function_tables(symtable.symtable(segment, "<cell>", "exec"), inside=False):
        for symbol in table.get_symbols():
            name = symbol.get_name()
            if symbol.is_global() and (symbol.is_referenced() or name in augmented):
                reads[name] = lines.get(name, getattr(node, "lineno", 1))
            if symbol.is_declared_global() and (symbol.is_assigned() or symbol.is_imported()):
                writes[name] = None
    optional = {name.id for name in shell_fields(node)}
    if optional:
        inside = {id(name) for name in shell_fields(node)}
        optional -= {name.id for name in names_in(node) if id(name) not in inside}
    return GlobalNames(reads, tuple(writes), frozenset(optional))


def _function_tables(table: symtable.SymbolTable, inside: bool) -> Iterator[symtable.SymbolTable]:
    """Every table that describes code which runs when a function is called. Class bodies count when they stand inside a function."""
    kind = str(table.get_type())
    if kind == "annotation" or table.get_name() == "__annotate__":
        return
    inside = inside or kind == "function"
    if inside:
        yield table
    for child in table.get_children():
        yield from _function_tables(child, inside)


def names_in(node: ast.AST) -> Iterator[ast.Name]:
    """Every name that stands in a syntax tree."""
    return (child for child in ast.walk(node) if isinstance(child, ast.Name))
