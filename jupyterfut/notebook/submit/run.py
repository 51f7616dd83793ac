"""A cell, as a task: this runs on a worker.

In come the cell's source, the pickled names that it reads and the values of the futures among them; out goes a `CellResult`, from which one small
task a name (`getitem`, `called` by the name) takes that name's value. The cell's code, and the notebook functions that it calls, share one
namespace, as in the notebook: a function sees what the cell assigns. Line numbers and file name are those of the cell in the notebook, so an error
shows the cell's own lines.

A name that must not leave the worker (an open file, a generator) fails alone, when somebody asks for it.
"""

from __future__ import annotations

import ast
import asyncio
import copy
import inspect
import linecache
import sys
import uuid
from collections.abc import Callable, Coroutine, Sequence
from contextlib import nullcontext
from functools import lru_cache, partial
from operator import getitem
from types import FunctionType
from typing import Any, NamedTuple, SupportsIndex

from jupyterfut.client.future_list import FutureList
from jupyterfut.errors import SerializationError
from jupyterfut.notebook.submit import cache
from jupyterfut.notebook.submit.content import Content, NoContent
from jupyterfut.notebook.submit.inside import Opening, arrange, expand
from jupyterfut.notebook.submit.travel import unpacked
from jupyterfut.notebook.submit.worker_shell import WorkerShell
from jupyterfut.runtime.context import waking
from jupyterfut.runtime.output import bundle, display, show_figures, show_value
from jupyterfut.serde.calls import list_like

RUNS_CODE_OF_TASKS = True
"""For `runtime.interrupting`: what this module calls is the user's code, and may be interrupted."""

CELL_ATTRIBUTE = "_jupyterfut_cell"
"""An exception that left a cell carries under this name which cell it was: the first one that failed, for those that read from it."""

_VALUE = "_jupyterfut_value"
ELEMENT = "_jupyterfut_element"
"""The name under which an element of a `for` cell arrives."""


class CellSpec(NamedTuple):
    """A cell to run."""

    source: str  #: with empty lines in front, so that lines are numbered as in the notebook
    filename: str  #: as the notebook's kernel calls the cell
    flags: int  #: of the compiler: `from __future__` in earlier cells, top-level await
    shows: bool  #: the value of a last expression is displayed
    writes: tuple[str, ...]  #: the names to bring back
    changed: frozenset[str]  #: those that are changed in place and must be the cell's own copies
    by_reference: bool  #: results stay in this process, so they need no pickling
    name: str = "cell"  #: what the cell is called
    openings: tuple[Opening, ...] = ()  #: `%%time` and the like
    target: str = ""  #: of `%%submit for TARGET in ...`
    content: bytes = b""  #: `--cached`: the hash of the code, and of what the notebook itself gives it
    shown: str = ""  #: the cell as it stands in the notebook, for tracebacks


class Delivery(NamedTuple):
    """What a cell reads: see `capture.Captured`. As a call's argument its futures have become their values."""

    data: bytes
    values: Sequence[Any]
    buffers: Sequence[Any]  #: bytes
    parts: Sequence[Any]


class NotAssigned(NameError):
    """A name that the cell assigns on some ways through it was not assigned on the way it took."""


class CellResult:
    """The names that a cell assigned.

    >>> CellResult({"x": 1}, {})["x"]
    1
    """

    def __init__(self, values: dict[str, Any], refused: dict[str, str], shown: dict[str, Any] | None = None) -> None:
        self.values = values
        self.refused = refused
        self.shown = shown  #: the display of the last expression, where the result is kept
        self.cached = False  #: this is the result of an earlier run

    def __getitem__(self, name: str) -> Any:
        if name in self.values:
            return self.values[name]
        if name in self.refused:
            raise SerializationError(f"{name!r} cannot leave the worker that ran the cell: {self.refused[name]}")
        raise NotAssigned(f"name {name!r} is not defined: the cell ran without assigning it, or deleted it")


class CellEnd(NamedTuple):
    """How a cell ended that did not fail."""

    cached: bool = False  #: it was not run: this is the result of an earlier run


def end_of(result: CellResult) -> CellEnd:
    """How the cell ended: a task of its own, so that asking does not fetch the values."""
    return CellEnd(result.cached)


class Elements(FutureList):
    """What a name of a `%%submit for` cell stands for whose number of elements only the cluster knows: the futures of its elements, in order. A cell
    that reads such a name gets their values."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return Elements, (), None, iter(self)


list_like(Elements)


class CellRunner:
    """A cell that runs once for each element: a function of the element and of what the cell reads."""

    def __init__(self, spec: CellSpec, data: bytes) -> None:
        self.spec = spec
        self.data = data
        self.__name__ = spec.name

    def __call__(self, number: int, element: Any, values: Sequence[Any], buffers: Sequence[bytes], parts: Sequence[bytes]) -> CellResult:
        return run_element(number, self.spec, Delivery(self.data, values, buffers, parts), (element,))


class Called:
    """A function under another name: what tables and the dashboard call its tasks. Made by `called`."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self.function = function
        self.__name__ = name

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)

    def __reduce__(self) -> Any:
        return called, (self.function, self.__name__)


@lru_cache(1_000)
def called(function: Callable[..., Any], name: str) -> Called:
    """The function under this name; the same object each time, so that a cluster is told of it once.

    >>> called(max, "largest")(1, 2), called(max, "largest").__name__
    (2, 'largest')
    """
    return Called(function, name)


def run_element(number: int, spec: CellSpec, delivery: Delivery, element: tuple[Any, ...] = ()) -> CellResult:
    """Run one cell for one element, which is given or comes with what the cell reads. Raises what the cell raises."""
    try:
        return run_cell(spec, delivery, element)
    except BaseException as error:
        error.add_note(f"in element {number} of %%submit for {spec.target} in ...{f': {_short(element[0])}' if element else ''}")
        raise


def run_cell(spec: CellSpec, delivery: Delivery, element: tuple[Any, ...] = ()) -> CellResult:
    """Run one cell; with `element`, for this one. Raises what the cell raises."""
    values = [_settled(value) for value in delivery.values]
    name = _cache_name(spec, values, element) if spec.content else ""
    if name and isinstance(kept := cache.load(name), CellResult):
        kept.cached = True
        if kept.shown:
            display(kept.shown, raw=True)
        return kept
    anchor, given = unpacked(delivery.data, values, delivery.buffers, delivery.parts)
    namespace = namespace_of(anchor)
    namespace.update(given)
    if element:
        namespace[ELEMENT] = copy.deepcopy(element[0]) if spec.changed and spec.by_reference else element[0]
    if values:
        for changed in spec.changed & given.keys():
            # The value may be, or share parts with, the result of another task, which must stay as it is.
            namespace[changed] = copy.deepcopy(namespace[changed])
    _lend_source(spec)
    try:
        shown = _execute(spec, namespace)
        show_figures()
    except BaseException as error:
        _sign(error, spec)
        raise
    left = {name: namespace[name] for name in spec.writes if name in namespace}
    refused = {} if spec.by_reference else {name: reason for name, value in left.items() if (reason := _why_it_stays(value))}
    result = CellResult({name: value for name, value in left.items() if name not in refused}, refused, shown=shown)
    if name:
        cache.keep(name, result)
    return result


def run_each(spec: CellSpec, iterable: str, given: Delivery, held: Held, options: dict[str, Any]) -> Submitted:
    """`%%submit for TARGET in ITERABLE` whose elements only the cluster knows: submits a task for each, from here, and gives for each name the list
    of their futures. `given` is what the expression `iterable` reads; `held` what the cell reads. Raises what the expression raises."""
    from jupyterfut.client.current import get_client

    values = list(given.values) if iterable.isidentifier() else [_settled(value) for value in given.values]
    anchor, names = unpacked(given.data, values, given.buffers, given.parts)
    namespace = namespace_of(anchor)
    namespace.update(names)
    _lend_source(spec)
    try:
        elements = list(eval(compile(iterable_tree(iterable), spec.filename, "eval", spec.flags, dont_inherit=True), namespace))
    except BaseException as error:
        _sign(error, spec)
        raise
    client: Any = get_client()
    return submit_each(client, spec, elements, held, options)


class Held:
    """What a cell reads, with futures as such: as an attribute of an object they are not replaced by their values on their way."""

    def __init__(self, data: bytes, futures: list[Any], buffers: list[Any], parts: list[Any]) -> None:
        self.data = data
        self.futures = futures
        self.buffers = buffers
        self.parts = parts


class Submitted(NamedTuple):
    """The tasks of a `for` cell."""

    tasks: list[Any]  #: futures of `CellResult`
    ends: list[Any]  #: futures of `CellEnd`
    names: dict[str, list[Any]]  #: name -> futures


def submit_each(
    client: Any, spec: CellSpec, elements: list[Any], held: Held, options: dict[str, Any], token: str = "", alone: list[tuple[Any, ...]] | None = None
) -> Submitted:
    """Submit a cell once for each element; with `alone`, by these arguments of `run_element`. `options`: of `Client.submit`, those for small tasks
    under "small"."""
    token = token or uuid.uuid4().hex
    small = options["small"]
    whole = {name: value for name, value in options.items() if name != "small"}
    count = range(len(elements))
    keys = [f"{spec.name}-{number}-{token}" for number in count]
    if alone is not None:
        one = called(run_element, spec.name)
        runs = [client.submit(one, *arguments, key=key, pure=False, **whole) for arguments, key in zip(alone, keys, strict=True)]
    else:
        runner = CellRunner(spec, held.data)
        shared = {"values": held.futures, "buffers": held.buffers, "parts": held.parts}
        runs = client.map(runner, count, elements, key=keys, pure=False, **shared, **whole)
    names = {
        name: client.map(called(getitem, name), runs, [name] * len(runs), key=[f"{name}-{number}-{token}" for number in count], pure=False, **small)
        for name in spec.writes
    }
    ends = client.map(called(end_of, f"{spec.name}.end"), runs, key=[f"{spec.name}.end-{number}-{token}" for number in count], pure=False, **small)
    return Submitted(runs, ends, names)


def take(submitted: Submitted, name: str) -> Elements:
    """One name of a `for` cell whose elements were submitted from a worker."""
    return Elements(submitted.names[name])


def all_ended(submitted: Submitted) -> CellEnd:
    """Wait for its elements. Raises what the first of those that failed has raised."""
    from jupyterfut.client.current import get_client

    client: Any = get_client()
    ends: list[CellEnd] = client.gather(list(submitted.ends))
    return CellEnd(bool(ends) and all(end.cached for end in ends))


def iterable_tree(iterable: str) -> ast.Expression:
    """The ITERABLE of the cell's first line."""
    return ast.parse(f"({iterable}\n)", mode="eval")


def namespace_of(anchor: FunctionType) -> dict[str, Any]:
    """The namespace that the unpickled notebook functions share: the pickler gives all functions of one module, and so the anchor, the same
    globals."""
    namespace = anchor.__globals__
    namespace["__name__"] = "__main__"
    namespace["get_ipython"] = WorkerShell
    namespace["display"] = display
    return namespace


def _settled(value: Any) -> Any:
    """The value of a future: where it stands for a list of futures, their values. Waits for them, without keeping a thread from others."""
    if type(value) is not Elements:
        return value
    from jupyterfut.client.current import get_client

    client: Any = get_client()
    return client.gather(list(value))


def _execute(spec: CellSpec, namespace: dict[str, Any]) -> dict[str, Any] | None:
    """Run the code, and show the last expression. Returns its display if the result is kept."""
    tree = compile(spec.source, spec.filename, "exec", spec.flags | ast.PyCF_ONLY_AST, dont_inherit=True)
    if "get_ipython" in spec.source:
        expand(tree)
    if spec.openings:
        tree = arrange(tree, spec.openings)
    if tree.body and isinstance(last := tree.body[-1], ast.Expr):
        # One piece of code, so that all that awaits in it shares one loop.
        tree.body[-1] = ast.copy_location(ast.Assign([ast.copy_location(ast.Name(_VALUE, ast.Store()), last)], last.value), last)
    if spec.target:
        bind = ast.parse(f"{spec.target} = {ELEMENT}")
        exec(compile(bind, spec.filename, "exec", dont_inherit=True), namespace)
        del namespace[ELEMENT]
    code = compile(tree, spec.filename, "exec", spec.flags, dont_inherit=True)
    with WorkerShell().timing() if any(opening.name == "time" for opening in spec.openings) else nullcontext():
        value = eval(code, namespace)
        if code.co_flags & inspect.CO_COROUTINE:  # top-level await
            asyncio.run(_finish(value))
    value = namespace.pop(_VALUE, None)
    if not spec.shows or value is None:
        return None
    show_value(value)
    return bundle(value) if spec.content else None


async def _finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    with waking(partial(loop.call_soon_threadsafe, task.cancel)):
        return await coroutine


def _cache_name(spec: CellSpec, values: Sequence[Any], element: tuple[Any, ...]) -> str:
    """Under which name the result is kept: the hash of all that goes into the cell. "": it cannot be told, which is said."""
    content = Content()
    try:
        content.add((spec.content, *sys.version_info[:2]))
        content.add(list(values))
        content.add(element)
    except NoContent as error:
        cache.warn(f"cannot be asked, since nobody can tell whether this is the same value as last time: {error}")
        return ""
    return content.digest().hex()


def _sign(error: BaseException, spec: CellSpec) -> None:
    if not hasattr(error, CELL_ATTRIBUTE):
        try:
            setattr(error, CELL_ATTRIBUTE, spec.name)
        except AttributeError:
            return  # an exception with slots; it goes unsigned


def _lend_source(spec: CellSpec) -> None:
    """Let tracebacks on this worker show the cell's lines."""
    shown = spec.shown or spec.source
    linecache.cache[spec.filename] = (len(shown), None, shown.splitlines(keepends=True), spec.filename)


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


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001  # a user's `__repr__` may raise anything
        text = f"(its repr raises {type(error).__name__})"
    return text if len(text) <= 200 else f"{text[:200]}..."
