"""A cell, as a task: this runs on a worker.

In come the cell's source, the pickled names that it reads and the values of the futures among them; out goes a `CellResult`, from which one small
task a name (`operator.getitem`) takes that name's value. The cell's code, and the notebook functions that it calls, share one namespace, as in the
notebook: a function sees what the cell assigns. Line numbers and file name are those of the cell in the notebook, so an error shows the cell's own
lines.

A name that must not leave the worker (an open file, a generator) fails alone, when somebody asks for it.
"""

from __future__ import annotations

import ast
import asyncio
import copy
import inspect
import linecache
import subprocess
import sys
from collections.abc import Coroutine, Sequence
from types import FunctionType
from typing import Any, NamedTuple

from jupyterfut.errors import SerializationError
from jupyterfut.notebook.outputs import Output, bundle, collecting, display
from jupyterfut.serde.calls import loads_call
from jupyterfut.wire.payload import Blob

OUTPUTS_ATTRIBUTE = "_jupyterfut_outputs"
"""What a cell showed before it failed travels with its exception, under this name."""


class CellSpec(NamedTuple):
    """A cell to run."""

    source: str  #: with empty lines in front, so that lines are numbered as in the notebook
    filename: str  #: as the notebook's kernel calls the cell
    flags: int  #: of the compiler: `from __future__` in earlier cells, top-level await
    shows: bool  #: the value of a last expression is displayed
    writes: tuple[str, ...]  #: the names to bring back
    changed: frozenset[str]  #: those that are changed in place and must be the cell's own copies
    by_reference: bool  #: results stay in this process, so they need no pickling


class NotAssigned(NameError):
    """A name that the cell assigns on some ways through it was not assigned on the way it took."""


class CellResult:
    """The names that a cell assigned, and what it showed.

    >>> CellResult({"x": 1}, [], {})["x"]
    1
    """

    def __init__(self, values: dict[str, Any], outputs: list[Output], refused: dict[str, str]) -> None:
        self.values = values
        self.outputs = outputs
        self.refused = refused

    def __getitem__(self, name: str) -> Any:
        if name in self.values:
            return self.values[name]
        if name in self.refused:
            raise SerializationError(f"{name!r} cannot leave the worker that ran the cell: {self.refused[name]}")
        raise NotAssigned(f"name {name!r} is not defined: the cell ran without assigning it, or deleted it")


def outputs_of(result: CellResult) -> list[Output]:
    """What the cell showed: a task of its own, so that showing it does not fetch the values."""
    return result.outputs


def run_cell(spec: CellSpec, captured: bytes, dependencies: Sequence[Any]) -> CellResult:
    """Run one cell. Raises what the cell raises."""
    (anchor, values), _ = loads_call(Blob(captured, ()), dependencies)
    namespace = namespace_of(anchor)
    namespace.update(values)
    if dependencies:
        for name in spec.changed & values.keys():
            # The value may be, or share parts with, the result of another task, which must stay as it is.
            namespace[name] = copy.deepcopy(namespace[name])
    _lend_source(spec)
    with collecting() as outputs:
        try:
            _execute(spec, namespace, outputs)
        except BaseException as error:
            if outputs:
                vars(error)[OUTPUTS_ATTRIBUTE] = outputs
            raise
    left = {name: namespace[name] for name in spec.writes if name in namespace}
    refused = {} if spec.by_reference else {name: reason for name, value in left.items() if (reason := _why_it_stays(value))}
    return CellResult({name: value for name, value in left.items() if name not in refused}, outputs, refused)


def namespace_of(anchor: FunctionType) -> dict[str, Any]:
    """The namespace that the unpickled notebook functions share: the pickler gives all functions of one module, and so the anchor, the same
    globals."""
    namespace = anchor.__globals__
    namespace["__name__"] = "__main__"
    namespace["get_ipython"] = _get_shell
    namespace["display"] = display
    return namespace


def _execute(spec: CellSpec, namespace: dict[str, Any], outputs: list[Output]) -> None:
    tree = compile(spec.source, spec.filename, "exec", spec.flags | ast.PyCF_ONLY_AST, dont_inherit=True)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    if tree.body:
        _evaluate(compile(tree, spec.filename, "exec", spec.flags, dont_inherit=True), namespace)
    if isinstance(last, ast.Expr):
        value = _evaluate(compile(ast.Expression(last.value), spec.filename, "eval", spec.flags, dont_inherit=True), namespace)
        if spec.shows and value is not None:
            outputs.append(bundle(value))


def _evaluate(code: Any, namespace: dict[str, Any]) -> Any:
    value = eval(code, namespace)
    if code.co_flags & inspect.CO_COROUTINE:  # top-level await
        return asyncio.run(_finish(value))
    return value


async def _finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return await coroutine


def _lend_source(spec: CellSpec) -> None:
    """Let tracebacks on this worker show the cell's lines."""
    linecache.cache[spec.filename] = (len(spec.source), None, spec.source.splitlines(keepends=True), spec.filename)


_ATOMS = (int, float, complex, bool, type(None), str, bytes)


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, data: bytes) -> int:
        return len(data)


def _why_it_stays(value: Any) -> str:
    """Why the value cannot be pickled, or "". Asked before the result is handed over, so that one such name does not fail the whole cell."""
    if type(value) in _ATOMS or (type(value).__module__ == "numpy" and not getattr(getattr(value, "dtype", None), "hasobject", True)):
        return ""
    import cloudpickle

    try:
        cloudpickle.Pickler(_Nowhere(), protocol=5, buffer_callback=lambda buffer: None).dump(value)
    except Exception as error:  # noqa: BLE001  # user code runs here; what it says is kept and told to whoever asks for the value
        return f"{type(error).__name__}: {error}"
    return ""


class _Shell:
    """What `!command` lines find on a worker."""

    def system(self, command: str) -> None:
        """Run a shell command and print what it says."""
        done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        sys.stdout.write(done.stdout)

    def getoutput(self, command: str) -> list[str]:
        """Run a shell command and return its lines."""
        done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return done.stdout.splitlines()


def _get_shell() -> _Shell:
    return _Shell()
