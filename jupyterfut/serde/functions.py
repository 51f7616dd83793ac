"""Functions to payloads and back. A function is known by its `FunctionId`, the hash of its pickle, and is pickled again only if it may have changed.

`dumps_function` is on the road of every `submit`, and pickling a notebook's function costs as much as everything else together. So the last pickle
is kept (as long as
the function lives) with a *watch*: every code object, default, closure cell and global that the pickle depends on. If each is the same object as
then, and all are
immutable or importable, the pickle is the same too. A function that leans on something mutable (a list, an instance) is pickled each time.

`loads_function` puts what it loaded under watch as well: a task that submits the function it received uses the id under which it came.
"""

from __future__ import annotations

import dis
import functools
import operator
import sys
import types
import weakref
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, NamedTuple

from jupyterfut.ids import FunctionId
from jupyterfut.serde.pickles import by_value_in, dumps, loads
from jupyterfut.serde.sizes import type_name
from jupyterfut.wire.payload import Blob, Local, Payload

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


class _Entry:
    """The last pickle of one function."""

    __slots__ = ("fid", "name", "payload", "ref", "watch")

    def __init__(self, ref: weakref.ref[Any], fid: FunctionId, payload: Payload, name: str, watch: _Watch | None) -> None:
        self.ref = ref
        self.fid = fid
        self.payload = payload
        self.name = name
        self.watch = watch  #: None: importable, always the same


_pickled: dict[int, _Entry] = {}
"""id(function) -> its entry, gone with the function."""

_loaded: dict[FunctionId, Callable[..., Any]] = {}


def dumps_function(function: Callable[..., Any]) -> tuple[FunctionId, Payload, str]:
    """The function's id, payload and name. Raises `SerializationError` when it cannot be pickled.

    >>> fid, payload, name = dumps_function(len)
    >>> name, loads_function(fid, payload)([1, 2])
    ('len', 2)
    """
    entry = _pickled.get(id(function))
    if entry is not None and entry.ref() is function and (entry.watch is None or entry.watch.holds()):
        return entry.fid, entry.payload, entry.name
    payload: Payload = dumps(function)
    fid = function_id(payload)
    name = function_name(function)
    if entry is not None and entry.ref() is function and entry.fid == fid:
        payload = entry.payload
    _remember(function, fid, payload, name)
    return fid, payload, name


def loads_function(fid: FunctionId, payload: Payload) -> Callable[..., Any]:
    """The function of a payload; the same object each time until `forget_function`. Raises whatever its unpickling raises."""
    function = _loaded.get(fid)
    if function is None:
        loaded: Callable[..., Any] = loads(payload)
        function = _loaded.setdefault(fid, loaded)
        if type(payload) is not Local and id(function) not in _pickled:
            _remember(function, fid, payload, function_name(function))
    return function


def forget_function(fid: FunctionId) -> None:
    """Drop a loaded function: nobody will run it here any more. Unknown ids are ignored."""
    _loaded.pop(fid, None)


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


def _remember(function: Callable[..., Any], fid: FunctionId, payload: Payload, name: str) -> None:
    key = id(function)
    try:
        watch = _watch(function)
        ref = weakref.ref(function, functools.partial(_forget_pickle, key))
    except (_Unstable, TypeError):  # TypeError: no weak references to this one
        _pickled.pop(key, None)
        return
    _pickled[key] = _Entry(ref, fid, payload, name, watch)


def _forget_pickle(key: int, ref: weakref.ref[Any]) -> None:
    entry = _pickled.get(key)
    if entry is not None and entry.ref is ref:
        del _pickled[key]


# --- what a pickle depends on

_CONSTANTS = (int, float, bool, complex, type(None), str, bytes, type(Ellipsis), range, types.BuiltinFunctionType)
_CONSTANT_TYPES = frozenset(_CONSTANTS)
_PASSIVE_FIELDS = {
    "__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__", "__dict__", "__weakref__", "__doc__", "__module__",
    "__dataclass_fields__", "__dataclass_params__", "__match_args__", "__abstractmethods__", "_abc_impl", "__static_attributes__",
    "__firstlineno__", "__slotnames__", "__parameters__", "__orig_bases__", "__type_params__",
}  # fmt: skip
"""Of a class: they follow from the rest, or are not the code's business."""
_DESCRIPTORS = (types.GetSetDescriptorType, types.MemberDescriptorType, types.WrapperDescriptorType, types.MethodDescriptorType)


def _watch(function: object) -> _Watch | None:
    """What the function's pickle depends on; None when it is pickled by name. Raises `_Unstable`."""
    if _is_importable(function):
        return None
    walk = _Walk()
    walk.visit(function)
    return _Watch(walk.names, walk.cells, walk.functions, walk.classes)


def _is_importable(value: object) -> bool:
    """Whether a pickle holds no more of it than its name."""
    if isinstance(value, types.ModuleType):
        return sys.modules.get(value.__name__) is value and not by_value_in(value.__name__.encode())
    if type(value) is types.BuiltinFunctionType:
        return value.__self__ is None or isinstance(value.__self__, types.ModuleType)
    if not isinstance(value, (type, types.FunctionType)):
        return False
    module = getattr(value, "__module__", None)
    if not isinstance(module, str) or by_value_in(module.encode()):
        return False
    place: Any = sys.modules.get(module, _MISSING)
    for part in value.__qualname__.split("."):
        place = getattr(place, part, _MISSING)
    return place is value


class _Walk:
    """Goes through everything that a function refers to, and notes who was found where."""

    def __init__(self) -> None:
        self.names: list[tuple[dict[str, Any], str, Any]] = []
        self.cells: list[tuple[types.CellType, Any]] = []
        self.functions: list[tuple[types.FunctionType, Any, Any, Any]] = []
        self.classes: list[tuple[type, dict[str, Any]]] = []
        self.seen: dict[int, object] = {}

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
        elif kind is property:
            for part in (value.fget, value.fset, value.fdel):
                self.visit(part)
        elif not isinstance(value, _DESCRIPTORS):
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
