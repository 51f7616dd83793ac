"""The content of a value as a hash that is the same in every process: for `%%submit --cached`, which asks "is it the same as last time?", also after
the kernel was restarted.

A pickle does not do: it tells which objects are one and the same, in which order a set happened to be hashed, and in which file, process and line a
notebook's function was made. Here a function is its code (without file name and line numbers), its defaults, what it closes over and the values of
the global names that it uses; a class is its bases and members; what can be imported is its name; a set has no order; an array is its type, shape
and bytes; any other object is what it would tell `pickle` about itself.
"""

from __future__ import annotations

import copyreg
import dis
import pickle
import struct
import types
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any

from jupyterfut.serde.pickles import has_name

_ATOMS = frozenset({int, float, bool, complex, str, bytes, type(None), type(Ellipsis)})
_XX_BYTES = 2**20


class NoContent(Exception):
    """A value of which nobody can say whether it is the same as another."""


class Content:
    """Builds the hash of several values.

    `find` may know better what some object is (a future, say): it returns bytes that identify it, or None.

    >>> one, other = Content(), Content()
    >>> one.add({"a", "b"}), other.add({"b", "a"})
    (None, None)
    >>> one.digest() == other.digest()
    True
    """

    def __init__(self, find: Callable[[Any], bytes | None] = lambda value: None) -> None:
        self._digest = blake2b(digest_size=20)
        self._find = find
        self._known: dict[int, bytes] = {}  # id of a value that was met -> its own hash
        self._open: dict[int, int] = {}  # id of a value that is being looked at -> how deep it stands
        self._kept: list[Any] = []  # so that ids stay true

    def add(self, value: Any) -> None:
        """Go through a value. Raises NoContent, which names what has none."""
        try:
            self._value(value)
        except RecursionError as error:
            raise NoContent(f"{type(value).__qualname__}: nested too deeply") from error

    def digest(self) -> bytes:
        """The hash of all that was added, in order."""
        return self._digest.digest()

    def _say(self, kind: str, data: bytes = b"") -> None:
        self._digest.update(struct.pack("<4sQ", kind.encode()[:4], len(data)))
        self._digest.update(data)

    def _value(self, value: Any) -> None:
        kind = type(value)
        if kind in _ATOMS:
            if kind is bytes:
                self._buffer("byte", value)
            else:
                self._say(kind.__name__, repr(value).encode("utf-8", "surrogatepass"))
            return
        known = self._find(value)
        if known is not None:
            self._say("know", known)
            return
        if id(value) in self._open:
            self._say("loop", str(len(self._open) - self._open[id(value)]).encode())
            return
        inner = self._known.get(id(value))
        if inner is None:
            outer, self._digest = self._digest, blake2b(digest_size=20)
            self._open[id(value)] = len(self._open)
            try:
                self._compound(value, kind)
                inner = self._known[id(value)] = self._digest.digest()
                self._kept.append(value)
            finally:
                del self._open[id(value)]
                self._digest = outer
        self._say("part", inner)

    def _compound(self, value: Any, kind: type) -> None:
        if kind in (list, tuple):
            self._sequence(kind.__name__, value)
        elif kind is dict:
            self._sequence("dict", [part for item in value.items() for part in item])
        elif kind in (set, frozenset):
            self._unordered(value)
        elif kind in (bytearray, memoryview):
            self._buffer("buff", value)
        elif kind is pickle.PickleBuffer:
            self._buffer("buff", value.raw())
        elif isinstance(value, types.ModuleType):
            self._say("modu", f"{value.__name__} {getattr(value, '__version__', '')}".encode())
        elif isinstance(value, types.CodeType):
            self._code(value)
        elif isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, type):
            self._class(value)
        elif kind is types.MethodType:
            self._sequence("meth", [value.__func__, value.__self__])
        elif kind is property:
            self._sequence("prop", [value.fget, value.fset, value.fdel])
        elif kind in (staticmethod, classmethod):
            self._sequence(kind.__name__, [value.__func__])
        elif kind is types.CellType:
            self._cell(value)
        elif kind.__module__ == "numpy" and kind.__name__ == "ndarray" and not value.dtype.hasobject:
            self._say("nump", f"{value.dtype.descr} {value.shape}".encode())
            self._buffer("data", value if value.flags.c_contiguous else value.copy(order="C"))
        else:
            self._object(value)

    def _sequence(self, kind: str, parts: Iterable[Any]) -> None:
        parts = list(parts)
        self._say(kind, str(len(parts)).encode())
        if _ATOMS.issuperset(map(type, parts)):
            self._say("flat", repr(parts).encode("utf-8", "surrogatepass"))  # at the speed of C
            return
        for part in parts:
            self._value(part)

    def _unordered(self, parts: Iterable[Any]) -> None:
        digests = []
        for part in parts:
            inner = Content(self._find)
            inner._value(part)
            digests.append(inner.digest())
        self._say("set", b"".join(sorted(digests)))

    def _buffer(self, kind: str, data: Any) -> None:
        with memoryview(data) as view:
            if view.nbytes >= _XX_BYTES:
                import xxhash

                self._say(kind, xxhash.xxh3_128_digest(data) + struct.pack("<Q", view.nbytes))
            else:
                self._say(kind, view.tobytes())

    # --- code

    def _code(self, code: types.CodeType) -> None:
        self._say("code", code.co_code)
        names = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags]
        self._sequence("name", [*names, code.co_name, *code.co_names, *code.co_varnames, *code.co_freevars, *code.co_cellvars])
        self._sequence("cons", code.co_consts)

    def _function(self, function: types.FunctionType) -> None:
        if has_name(function):
            self._say("func", f"{function.__module__}.{function.__qualname__}".encode())
            return
        self._code(function.__code__)
        self._value(function.__defaults__)
        self._value(function.__kwdefaults__)
        self._value(function.__dict__)
        for cell in function.__closure__ or ():
            self._cell(cell)
        for name in sorted(_globals_of(function.__code__)):
            if name in function.__globals__:
                self._say("glob", name.encode())
                self._value(function.__globals__[name])

    def _cell(self, cell: types.CellType) -> None:
        try:
            contents = cell.cell_contents
        except ValueError:
            self._say("void")
            return
        self._value(contents)

    def _class(self, cls: type) -> None:
        if has_name(cls) or cls.__module__ == "builtins":
            self._say("clas", f"{cls.__module__}.{cls.__qualname__}".encode())
            return
        self._say("clas", cls.__qualname__.encode())
        self._value(type(cls))
        self._sequence("base", cls.__bases__)
        for name, member in sorted(vars(cls).items()):
            if name in _PASSIVE or isinstance(member, types.MemberDescriptorType | types.GetSetDescriptorType):
                continue
            self._say("memb", name.encode())
            self._value(member)

    # --- anything else: as pickle sees it

    def _object(self, value: Any) -> None:
        name = getattr(value, "__qualname__", None)
        if isinstance(name, str) and isinstance(value, types.BuiltinFunctionType | types.WrapperDescriptorType | types.MethodDescriptorType):
            owner = getattr(value, "__self__", None)
            self._say("buil", f"{getattr(value, '__module__', '')}.{name}".encode())
            if owner is not None and not isinstance(owner, types.ModuleType):
                self._value(owner)
            return
        reduce = copyreg.dispatch_table.get(type(value))
        try:
            reduced = reduce(value) if reduce is not None else value.__reduce_ex__(5)
        except Exception as error:
            raise NoContent(f"{type(value).__qualname__}: {error}") from error
        if isinstance(reduced, str):
            self._say("glob", f"{getattr(value, '__module__', '')}.{reduced}".encode())
            return
        function, arguments, *rest = reduced
        self._say("obje")
        self._value(function)
        self._value(arguments)
        state, items, pairs = [*rest[:3], None, None, None][:3]
        self._value(state)
        self._sequence("item", items or ())
        self._sequence("pair", [part for pair in pairs or () for part in pair])


_PASSIVE = frozenset(["__dict__", "__weakref__", "__doc__", "__module__", "__firstlineno__", "__static_attributes__", "__annotate__", "_abc_impl"])


def _globals_of(code: types.CodeType) -> set[str]:
    """The global names that a function's code, and what is nested in it, uses."""
    names: set[str] = set()
    if code.co_names:
        for instruction in dis.get_instructions(code):
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"):
                names.add(str(instruction.argval))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _globals_of(constant)
    return names
