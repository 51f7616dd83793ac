"""What `jupyterfut demo` works on: the source files of Python's standard library, and the functions that each of them turns out to contain.

Plain functions that know nothing of clusters; the demo runs them one after the other and then as tasks. The work is real: a file is parsed
(`find_functions`), and each function in it is tokenized, parsed and measured (`measure`) by the two oldest measures of how hard code is to follow,
McCabe's and Halstead's.
"""

from __future__ import annotations

import ast
import io
import math
import os
import sysconfig
import time
import tokenize
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_NOT_THE_LIBRARY = frozenset(["site-packages", "dist-packages", "test", "tests", "idle_test", "lib2to3", "__pycache__", "ensurepip", "turtledemo"])
_BRANCHES = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.comprehension, ast.match_case, ast.Assert)
_BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.TryStar, ast.With, ast.AsyncWith, ast.Match, ast.FunctionDef, ast.AsyncFunctionDef)
_SKIP = frozenset([tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER])


class Function(NamedTuple):
    """A function or method as it was found."""

    name: str  #: `json.decoder.JSONDecoder.decode`
    source: str


class Measure(NamedTuple):
    """One function, measured; and who did it."""

    name: str
    lines: int
    tokens: int
    branches: int  #: McCabe's cyclomatic complexity: ways through the function
    depth: int  #: blocks inside blocks
    volume: float  #: Halstead's volume in bits: tokens times the logarithm of the number of different ones
    shape: int  #: equal for functions that differ in their names and constants only
    pid: int  #: of the process that measured it
    seconds: float  #: how long that took


class Found(NamedTuple):
    """One file's functions; and who found them."""

    functions: list[Function]
    pid: int
    seconds: float


class Count(NamedTuple):
    """How many functions a file contains; and who found them. Small enough to ask for, while the functions themselves stay where they were found."""

    functions: int
    pid: int
    seconds: float


def library_files(limit: int | None = None) -> list[str]:
    """The library's source files on this machine, at most `limit`, evenly picked. The order is that of their names."""
    root = Path(sysconfig.get_path("stdlib"))
    paths = sorted(str(path) for path in root.rglob("*.py") if not _NOT_THE_LIBRARY.intersection(path.relative_to(root).parts))
    if limit is not None and len(paths) > limit:
        step = len(paths) / limit
        paths = [paths[int(i * step)] for i in range(limit)]
    return paths


def find_functions(path: str) -> Found:
    """Every function and method of one source file. How many there are is known only now."""
    start = time.perf_counter()
    text = Path(path).read_bytes()
    source = text.decode(tokenize.detect_encoding(io.BytesIO(text).readline)[0])
    lines = io.StringIO(source, newline=None).readlines()  # as the parser counts them: a form feed ends no line
    functions = [Function(name, _cut(lines, node)) for name, node in _definitions(ast.parse(source).body, module_name(path))]
    return Found(functions, os.getpid(), time.perf_counter() - start)


def count_functions(found: Found) -> Count:
    """How many functions a file contains."""
    return Count(len(found.functions), found.pid, found.seconds)


def measure_one(found: Found, index: int) -> Measure:
    """`measure` of one of the functions of a file."""
    return measure(found.functions[index])


def measure(function: Function) -> Measure:
    """Tokenize, parse and measure one function."""
    start = time.perf_counter()
    method = function.source[:1].isspace()
    tree = ast.parse(f"class _:\n{function.source}" if method else function.source)
    branches = 1 + sum(isinstance(node, _BRANCHES) for node in ast.walk(tree))
    branches += sum(len(node.values) - 1 for node in ast.walk(tree) if isinstance(node, ast.BoolOp))
    words = []
    shape = 0
    for token in tokenize.generate_tokens(io.StringIO(function.source).readline):
        if token.type not in _SKIP:
            words.append(token.string)
            word = token.string if token.type == tokenize.OP or token.string in _KEYWORDS else str(token.type)
            shape = zlib.crc32(word.encode(), shape)
    volume = len(words) * math.log2(max(2, len(set(words))))
    depth = _depth(tree.body) - 1  # the function itself is no block inside a block
    lines = function.source.count("\n")
    return Measure(function.name, lines, len(words), branches, depth, volume, shape, os.getpid(), time.perf_counter() - start)


def written_twice(measures: Iterable[Measure], tokens: int = 60) -> list[tuple[str, str, int]]:
    """Pairs of functions of one shape, of at least so many tokens and in different modules, with their lines; the longest first. Somebody copied
    them."""
    first: dict[int, Measure] = {}
    pairs = []
    for measured in sorted(measures):
        known = first.setdefault(measured.shape, measured)
        if measured.tokens >= tokens and known.name.split(".")[0] != measured.name.split(".")[0]:
            pairs.append((known.name, measured.name, measured.lines))
    return sorted(pairs, key=lambda pair: (-pair[2], pair))


def module_name(path: str) -> str:
    """`json.decoder` of `/usr/lib/python3.12/json/decoder.py`."""
    relative = Path(path).relative_to(sysconfig.get_path("stdlib")).with_suffix("")
    return ".".join(relative.parts).removesuffix(".__init__")


_KEYWORDS = frozenset(__import__("keyword").kwlist)


def _definitions(body: Iterable[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.stmt]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}.{node.name}", node
        elif isinstance(node, ast.ClassDef):
            yield from _definitions(node.body, f"{prefix}.{node.name}")
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _definitions(node.body, prefix)


def _cut(lines: list[str], node: ast.stmt) -> str:
    return "".join(lines[node.lineno - 1 : node.end_lineno])


def _depth(body: Iterable[ast.AST]) -> int:
    deepest = 0
    for node in body:
        if isinstance(node, ast.If) and len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):  # elif stands beside its if, not inside it
            deepest = max(deepest, 1 + _depth(node.body), _depth(node.orelse))
        else:
            deepest = max(deepest, isinstance(node, _BLOCKS) + _depth(ast.iter_child_nodes(node)))
    return deepest
