"""Code of the notebook that runs on a worker without being a cell: an expression as a task (`%submit`), and cells of set-up, once in each worker
(`%%everywhere`).

A cell of set-up is no task. Its names live as long as the worker, in one namespace with those of other such cells: `get_worker().everywhere` for
tasks that want them. What it prints is kept apart by thread, handed back with what it has shown, and stands under the cell with the worker's name. On
a worker that joins later there is nobody to tell: what it prints there, and an error, goes to that worker's log.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import linecache
import logging
import sys
import threading
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from jupyterfut.notebook.submit.inside import Opening, arrange, expand
from jupyterfut.notebook.submit.run import _settled, namespace_of
from jupyterfut.notebook.submit.travel import unpacked
from jupyterfut.runtime.plugin_classes import WorkerPlugin

logger = logging.getLogger("jupyterfut.worker")

PRINTED_ATTRIBUTE = "_jupyterfut_printed"
"""What a cell printed before it failed travels with its exception, under this name."""


class SetUp(NamedTuple):
    """A cell of set-up, as it travels."""

    id: str  #: of this run of the cell
    source: str
    filename: str
    flags: int
    captured: bytes  #: the notebook's names that it reads (`notebook.capture`)
    shows: bool  #: the value of a last expression is printed
    openings: tuple[Opening, ...] = ()  #: `%%time` and the like


def evaluate_expression(source: str, filename: str, flags: int, captured: bytes, dependencies: Sequence[Any]) -> Any:
    """The value of an expression of the notebook. Runs as a task."""
    anchor, values = unpacked(captured, [_settled(value) for value in dependencies])
    namespace = namespace_of(anchor)
    namespace.update(values)
    _lend_source(source, filename)
    tree = compile(source, filename, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
    expand(tree)
    return _evaluate(compile(ast.Expression(tree.body[0].value), filename, "eval", flags, dont_inherit=True), namespace)


def set_up(cell: SetUp, worker: Any) -> str:
    """Run the cell on this worker, unless that has been done. Returns what it printed; what it raises is raised, with that."""
    with _lock:
        done = vars(worker).setdefault("everywhere_done", set())
        if cell.id in done:
            return ""
        done.add(cell.id)
    printed = io.StringIO()
    with _printing_to(printed):
        try:
            _run(cell, worker)
        except BaseException as error:
            vars(error)[PRINTED_ATTRIBUTE] = printed.getvalue()
            raise
    return printed.getvalue()


class SetUpLater(WorkerPlugin):
    """Runs the cell on workers that join."""

    def __init__(self, cell: SetUp) -> None:
        self.cell = cell

    def setup(self, worker: Any) -> None:
        """Called on every worker; those that have run the cell pass."""
        said = set_up(self.cell, worker)
        if said:
            logger.info("%%%%everywhere on worker %s: %s", worker.name, said.rstrip())


def _run(cell: SetUp, worker: Any) -> None:
    anchor, values = unpacked(cell.captured, [])
    shared: dict[str, Any] = vars(worker).setdefault("everywhere", {})
    namespace = namespace_of(anchor)
    own = set(namespace)
    namespace.update(shared)
    namespace.update(values)
    namespace["display"] = _display
    _lend_source(cell.source, cell.filename)
    tree = compile(cell.source, cell.filename, "exec", cell.flags | ast.PyCF_ONLY_AST, dont_inherit=True)
    expand(tree)
    tree = arrange(tree, cell.openings)
    last = tree.body.pop() if cell.shows and tree.body and isinstance(tree.body[-1], ast.Expr) else None
    try:
        if tree.body:
            _evaluate(compile(tree, cell.filename, "exec", cell.flags, dont_inherit=True), namespace)
        if isinstance(last, ast.Expr):
            value = _evaluate(compile(ast.Expression(last.value), cell.filename, "eval", cell.flags, dont_inherit=True), namespace)
            if value is not None:
                _display(value)
    finally:
        shared.update({name: value for name, value in namespace.items() if name not in own and not name.startswith("__") and name != "display"})


def _evaluate(code: Any, namespace: dict[str, Any]) -> Any:
    value = eval(code, namespace)
    return asyncio.run(_finish(value)) if code.co_flags & inspect.CO_COROUTINE else value  # top-level await


async def _finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return await coroutine


def _lend_source(source: str, filename: str) -> None:
    """Let tracebacks on this worker show the notebook's lines."""
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)


def _display(*values: Any, **options: Any) -> None:
    """`display` in a cell of set-up: text, since it stands in one line with others' worker by worker."""
    for value in values:
        print(repr(value))  # noqa: T201  # that is what it does


# --- what a thread prints


class _ByThread:
    """Stands in for `sys.stdout` or `sys.stderr` while cells of set-up run: a thread that runs one writes to its own text, all others as before."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def write(self, text: str) -> int:
        own = _texts.get(threading.get_ident())
        return int((self.real if own is None else own).write(text))

    def flush(self) -> None:
        if threading.get_ident() not in _texts:
            self.real.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


_texts: dict[int, io.StringIO] = {}  # thread -> what it prints
_lock = threading.Lock()


@contextmanager
def _printing_to(text: io.StringIO) -> Iterator[None]:
    me = threading.get_ident()
    with _lock:
        if not _texts:
            sys.stdout, sys.stderr = _ByThread(sys.stdout), _ByThread(sys.stderr)  # text files, as far as print and its users know
        _texts[me] = text
    try:
        yield
    finally:
        with _lock:
            del _texts[me]
            if not _texts:
                for name in ("stdout", "stderr"):
                    stand_in = getattr(sys, name)
                    if isinstance(stand_in, _ByThread):
                        setattr(sys, name, stand_in.real)
