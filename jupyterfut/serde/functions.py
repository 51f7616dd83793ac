"""Functions to payloads and back. A function is known by its `FunctionId`, the hash of its pickle, and is pickled again only if it may have changed.

`dumps_function` is on the road of every `submit`, and pickling a notebook's function costs as much as everything else together. So the last pickles
are kept, each with a *watch*: every code object, default, closure cell, class and global that the pickle depends on. If each is the same object as
then, and all are immutable or importable, the pickle is the same too. A function that leans on something mutable (a list, an instance) is pickled
each time.

`loads_function` puts what it loaded under watch as well: a task that submits the function it received uses the id under which it came.

The source of functions that stand in no file (a notebook's cells) travels with them, so that tracebacks made at the other end show the user's lines.
"""

from __future__ import annotations

import dis
import functools
import linecache
import operator
import os
import re
import sys
import threading
import types
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, NamedTuple

from jupyterfut.ids import FunctionId
from jupyterfut.serde.pickles import by_value_in, dumps, has_name, loads
from jupyterfut.serde.sizes import type_name
from jupyterfut.wire.payload import Blob, Local, Payload, payload_nbytes

KEPT_PICKLES = 2000
"""Functions whose pickle is kept, the newest."""
KEPT_BYTES = 1_000_000
"""A larger pickle is not kept: the function that it belongs to holds data, which should not outlive it."""
SOURCE_BYTES = 100_000
"""At most so much source travels with one function."""

_MISSING = object()


class _Unstable(Exception):
    """Something that the function refers to can change without our seeing it."""


class _Watch(NamedTuple):
    """What must still be so for a pickle to be right."""

    names: list[tuple[dict[str, Any], str, Any]]  #: namespace, name, the object it named
    cells: list[tuple[types.CellType, Any]]
    functions: list[tuple[types.FunctionType, Any, Any, Any]]  #: function, code, defaults, kwdefaults
    classes: list[tuple[type, dict[str, Any]]]

    def holds(self) -> bool:
        for function, code, defaults, kwdefaults in self.functions:
            if function.__code__ is not code or function.__defaults__ is not defaults or function.__kwdefaults__ is not kwdefaults:
                return False
        for namespace, name, value in self.names:
            if namespace.get(name, _MISSING) is not value:
                return False
        for cell, value in self.cells:
            if _contents(cell) is not value:
                return False
        for cls, fields in self.classes:
            now = vars(cls)
            if len(now) != len(fields) or not all(map(operator.is_, map(now.get, fields), fields.values())):
                return False
        return True


class _Entry(NamedTuple):
    """The last pickle of one function."""

    function: Callable[..., Any]
    fid: FunctionId
    payload: Payload
    name: str
    watch: _Watch | None  #: None: importable, always the same


_pickled: dict[int, _Entry] = {}
"""id(function) -> its entry, the oldest first. The entry keeps the function alive, so nobody else can have its id."""
_lock = threading.Lock()

_loaded: dict[FunctionId, Callable[..., Any]] = {}


def dumps_function(function: Callable[..., Any]) -> tuple[FunctionId, Payload, str]:
    """The function's id, payload and name. Raises `SerializationError` when it cannot be pickled.

    >>> fid, payload, name = dumps_function(len)
    >>> name, loads_function(fid, payload)([1, 2])
    ('len', 2)
    """
    entry = _pickled.get(id(function))
    if entry is not None and (entry.watch is None or entry.watch.holds()):
        return entry.fid, entry.payload, entry.name
    walk = _Walk()
    stable = walk.whole(function)
    sources = walk.sources()
    payload: Payload = dumps(_WithSource(function, sources) if sources else function)
    fid = function_id(payload)
    name = function_name(function)
    if stable:
        _remember(_Entry(function, fid, payload, name, walk.watch()))
    return fid, payload, name


def loads_function(fid: FunctionId, payload: Payload) -> Callable[..., Any]:
    """The function of a payload; the same object each time until `forget_function`. Raises whatever its unpickling raises."""
    function = _loaded.get(fid)
    if function is None:
        loaded: Callable[..., Any] = loads(payload)
        function = _loaded.setdefault(fid, loaded)
        walk = _Walk()
        if type(payload) is not Local and id(function) not in _pickled and walk.whole(function):
            _remember(_Entry(function, fid, payload, function_name(function), walk.watch()))
    return function


def forget_function(fid: FunctionId) -> None:
    """Drop a loaded function: nobody will run it here any more. Unknown ids are ignored."""
    function = _loaded.pop(fid, None)
    if function is not None:
        _pickled.pop(id(function), None)


def forget_loaded() -> None:
    """Drop all loaded functions: code that they were made from has changed. They are unpickled again when they are named again."""
    for fid in list(_loaded):
        forget_function(fid)


def function_id(payload: Payload) -> FunctionId:
    """The content hash of a pickled function."""
    digest = blake2b(digest_size=16)
    if type(payload) is Blob:
        digest.update(payload.head)
        for buffer in payload.buffers:
            digest.update(buffer)
    elif type(payload) is bytes:
        digest.update(payload)
    else:
        raise TypeError(f"no content to hash in {payload!r}")
    return FunctionId(digest.hexdigest())


def function_name(function: object) -> str:
    """What keys and tables call it: `__name__`, of the inner function for a `functools.partial`, else the type's name.

    >>> function_name(functools.partial(max, 1))
    'max'
    """
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None)
    if not isinstance(name, str) or not name:
        return type_name(function)
    return "lambda" if name == "<lambda>" else name


def _remember(entry: _Entry) -> None:
    if payload_nbytes(entry.payload) > KEPT_BYTES:
        return
    with _lock:
        _pickled.pop(id(entry.function), None)
        _pickled[id(entry.function)] = entry
        if len(_pickled) > KEPT_PICKLES:
            del _pickled[next(iter(_pickled))]


class _WithSource:
    """Pickles as its function; where it is unpickled, the source lines of the given files are shown from then on."""

    def __init__(self, function: Callable[..., Any], sources: dict[str, str]) -> None:
        self.function = function
        self.sources = sources

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _with_source, (self.sources, self.function)


def _with_source(sources: dict[str, str], function: Callable[..., Any]) -> Callable[..., Any]:
    for filename, text in sources.items():
        if not linecache.getlines(filename):
            linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    return function


# --- what a pickle depends on

_CONSTANT_TYPES = frozenset({int, float, bool, complex, type(None), str, bytes, type(Ellipsis), range, re.Pattern, types.BuiltinFunctionType})
_PASSIVE_FIELDS = {
    "__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__", "__dict__", "__weakref__", "__doc__", "__module__",
    "__dataclass_fields__", "__dataclass_params__", "__match_args__", "__abstractmethods__", "_abc_impl", "__static_attributes__",
    "__firstlineno__", "__slotnames__", "__parameters__", "__orig_bases__", "__type_params__",
}  # fmt: skip
"""Of a class: they follow from the rest, or are not the code's business."""
_CACHED = type(functools.lru_cache(len))
_DESCRIPTORS = (types.GetSetDescriptorType, types.MemberDescriptorType, types.WrapperDescriptorType, types.MethodDescriptorType)


def _is_importable(value: object) -> bool:
    """Whether a pickle holds no more of it than its name."""
    if isinstance(value, types.ModuleType):
        return sys.modules.get(value.__name__) is value and not by_value_in(value.__name__.encode())
    if type(value) is types.BuiltinFunctionType:
        return value.__self__ is None or isinstance(value.__self__, types.ModuleType)
    return isinstance(value, (type, types.FunctionType, _CACHED)) and has_name(value)


class _Walk:
    """Goes through everything that a function refers to, and notes who was found where."""

    def __init__(self) -> None:
        self.names: list[tuple[dict[str, Any], str, Any]] = []
        self.cells: list[tuple[types.CellType, Any]] = []
        self.functions: list[tuple[types.FunctionType, Any, Any, Any]] = []
        self.classes: list[tuple[type, dict[str, Any]]] = []
        self.seen: dict[int, object] = {}
        self.importable = False

    def whole(self, function: object) -> bool:
        """Visit all of it; whether every change would be seen."""
        self.importable = _is_importable(function)
        if self.importable:
            return True
        try:
            self.visit(function)
        except _Unstable:
            return False
        return True

    def watch(self) -> _Watch | None:
        return None if self.importable else _Watch(self.names, self.cells, self.functions, self.classes)

    def sources(self) -> dict[str, str]:
        """Source by file name, for the files that are none: what a notebook's cells register with `linecache`."""
        found: dict[str, str] = {}
        room = SOURCE_BYTES
        for function, _, _, _ in self.functions:
            filename = function.__code__.co_filename
            if filename in found or os.path.exists(filename):
                continue
            text = "".join(linecache.getlines(filename))
            if text and len(text) <= room:
                found[filename] = text
                room -= len(text)
        return found

    def visit(self, value: Any) -> None:
        kind = type(value)
        if kind in _CONSTANT_TYPES or id(value) in self.seen:
            if kind is types.BuiltinFunctionType and not _is_importable(value):
                raise _Unstable  # a method bound to something
            return
        self.seen[id(value)] = value
        if kind is types.FunctionType:
            if not _is_importable(value):
                self.function(value)
        elif isinstance(value, type):
            if not _is_importable(value):
                self.class_(value)
        elif kind is types.ModuleType:
            if not _is_importable(value):
                raise _Unstable
        elif kind is tuple or kind is frozenset:
            for item in value:
                self.visit(item)
        elif kind is functools.partial:
            if value.__dict__:
                raise _Unstable
            for part in (value.func, value.args, *value.keywords.values()):
                self.visit(part)
        elif kind is staticmethod or kind is classmethod:
            self.visit(value.__func__)
        elif kind is _CACHED:
            if not _is_importable(value):
                self.visit(value.__wrapped__)  # what it has cached stays here
        elif kind is property:
            for part in (value.fget, value.fset, value.fdel):
                self.visit(part)
        elif not isinstance(value, _DESCRIPTORS):
            for part in getattr(kind, "__jupyterfut_parts__", _none_of)(value):  # a callable made of functions, which go with it
                self.visit(part)
            raise _Unstable

    def function(self, function: types.FunctionType) -> None:
        kwdefaults = function.__kwdefaults__
        self.functions.append((function, function.__code__, function.__defaults__, kwdefaults))
        self.visit(function.__defaults__)
        self.namespace(kwdefaults or {}, list(kwdefaults or ()))
        self.namespace(function.__dict__, list(function.__dict__))
        for cell in function.__closure__ or ():
            value = _contents(cell)
            self.cells.append((cell, value))
            if value is not _MISSING:
                self.visit(value)
        self.namespace(function.__globals__, _names(function.__code__))

    def namespace(self, namespace: dict[str, Any], names: list[str]) -> None:
        for name in names:
            value = namespace.get(name, _MISSING)
            self.names.append((namespace, name, value))
            if value is not _MISSING:
                self.visit(value)

    def class_(self, cls: type) -> None:
        if type(cls) is not type and not _is_importable(type(cls)):
            self.visit(type(cls))
        self.classes.append((cls, dict(vars(cls))))
        for base in cls.__bases__:
            self.visit(base)
        for name, value in vars(cls).items():
            if name not in _PASSIVE_FIELDS:
                self.visit(value)


def _none_of(value: object) -> tuple[Any, ...]:
    return ()


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _MISSING  # not yet filled


@functools.lru_cache(maxsize=2000)
def _global_names(code: types.CodeType) -> tuple[str, ...]:
    names: set[str] = set()
    if code.co_names:
        for instruction in dis.get_instructions(code):
            if instruction.opname in ("LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_NAME"):
                names.add(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names.update(_global_names(constant))
    return tuple(sorted(names))


def _names(code: types.CodeType) -> list[str]:
    return list(_global_names(code))
