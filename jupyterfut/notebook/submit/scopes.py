"""What the functions inside a piece of a cell do to global names. Python's own symbol table answers: closures, `nonlocal`, class scopes and `super()`
included.

In comes the syntax tree of a `def`, a `class` or a `lambda` with the cell's source; out come the global names that are read and bound when its
functions are called.
"""

from __future__ import annotations

import ast
import functools
import symtable
from collections.abc import Iterator
from typing import Any, NamedTuple

from jupyterfut.notebook.submit.inside import is_command, shell_fields


class GlobalNames(NamedTuple):
    """What `global_names` found."""

    reads: dict[str, int]  #: with the line of use
    writes: tuple[str, ...]
    optional: frozenset[str]  #: reads that only shell lines make, which run without them, too


def global_names(node: ast.AST, source: str | None) -> GlobalNames:
    """The global names that the function bodies inside `node` (a def, a class or a lambda) read and bind. Without the source, the symbol table is
    given a text that says the same."""
    segment = ast.unparse(node) if source is None else _segment(node, source)
    if isinstance(node, ast.Lambda):
        segment = f"({segment.lstrip()}\n)"
    elif segment[:1].isspace():
        segment = f"if 1:\n{segment}"
    lines: dict[str, int] = {}
    augmented: set[str] = set()  # the symbol table calls `n += 1` and `del n` bindings only; both need a value first
    fields: list[ast.Name] = []
    for child in nodes_in(node):
        kind = type(child)
        if kind is ast.Name:
            lines.setdefault(child.id, child.lineno)
            if type(child.ctx) is ast.Del:
                augmented.add(child.id)
        elif kind is ast.AugAssign and type(child.target) is ast.Name:
            augmented.add(child.target.id)
        elif kind is ast.Call and is_command(child):
            fields += shell_fields(child)
    reads: dict[str, int] = {}
    writes: dict[str, None] = {}
    for table in _function_tables(symtable.symtable(segment, "<cell>", "exec"), inside=False):
        for symbol in table.get_symbols():
            name = symbol.get_name()
            if symbol.is_global() and (symbol.is_referenced() or name in augmented):
                reads[name] = lines.get(name, getattr(node, "lineno", 1))
            if symbol.is_declared_global() and (symbol.is_assigned() or symbol.is_imported()):
                writes[name] = None
    optional = {name.id for name in fields}
    if optional:
        inside = set(map(id, fields))
        optional -= {name.id for name in names_in(node) if id(name) not in inside}
    return GlobalNames(reads, tuple(writes), frozenset(optional))


def _segment(node: ast.AST, source: str) -> str:
    """The text of a node, its first line with what is before it. (`ast.get_source_segment` splits the source anew for each.)"""
    if "\r" in source or "\f" in source:
        return ast.get_source_segment(source, node, padded=True) or ""
    first, last = node.lineno - 1, node.end_lineno - 1  # type: ignore[attr-defined]  # the nodes that come here stand somewhere
    lines = _lines_of(source)[first : last + 1]
    lines[-1] = lines[-1].encode()[: node.end_col_offset].decode()  # type: ignore[attr-defined]
    before = node.col_offset  # type: ignore[attr-defined]
    lines[0] = " " * before + lines[0].encode()[before:].decode()
    return "\n".join(lines)


@functools.lru_cache(maxsize=4)
def _lines_of(source: str) -> list[str]:
    return source.split("\n")


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


def nodes_in(node: ast.AST) -> Iterator[Any]:
    """Every node of a syntax tree, in no particular order but depth first: half the time of `ast.walk`."""
    todo: list[Any] = [node]
    while todo:
        node = todo.pop()
        yield node
        for field in node._fields:
            value = getattr(node, field, None)
            if isinstance(value, list):
                todo += [part for part in reversed(value) if isinstance(part, ast.AST)]
            elif isinstance(value, ast.AST):
                todo.append(value)


def names_in(node: ast.AST) -> Iterator[ast.Name]:
    """Every name that stands in a syntax tree."""
    return (child for child in ast.walk(node) if isinstance(child, ast.Name))
