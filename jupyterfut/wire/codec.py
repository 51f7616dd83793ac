"""Messages to bytes and back: the only module that knows MessagePack. Lists of messages come in from the streams' outboxes, one body and its
out-of-band buffers go out
to `framing`; the other way a body is checked field by field, so that a machine only ever sees messages of the shape that `messages` declares.

A message is the list `[kind, *fields]`. A payload is a `bin` when it is `bytes`; a `Blob` is an extension that names its place among the frame's
buffers; a `Local` goes
through `pack_local`, which makes one of the other two of it. The checks are read off the annotations of the named tuples: types of fields, types in
columns,
columns of equal length. Whatever is wrong with a body, the error is `ProtocolError`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, TypeAlias

import msgpack

from jupyterfut.errors import ProtocolError, SerializationError
from jupyterfut.wire.messages import KINDS, AsClient, Failure, Message, TaskOptions
from jupyterfut.wire.payload import Blob, Local

Buffer: TypeAlias = bytes | bytearray | memoryview
PackLocal: TypeAlias = Callable[[Local], "bytes | Blob"]

KIND_OF: dict[type[tuple[Any, ...]], int] = {cls: kind for kind, cls in KINDS.items()}

_BLOB = 1  #: the extension's code
_BLOB_HEADER = struct.Struct(">IIB")  #: index of its first buffer, how many, 1 if the pickle itself is the first of them
_HEAD_ASIDE_BYTES = 64 * 1024  #: a pickle of this size travels as a buffer too
_KEPT_PACKER_BYTES = 4 * 1024 * 1024  #: a packer whose buffer has grown beyond this is replaced


class Encoder:
    """Encodes for one stream. Not for several threads at once.

    >>> from jupyterfut.wire.messages import WantKeys
    >>> body, buffers = Encoder().encode([WantKeys(["x"])])
    >>> decode(body, buffers)
    [WantKeys(keys=['x'])]
    """

    def __init__(self, pack_local: PackLocal | None = None) -> None:
        self._pack_local = pack_local
        self._buffers: list[Buffer] = []
        self._packer = msgpack.Packer(default=self._other)

    def encode(self, messages: Sequence[Message]) -> tuple[bytes, list[Buffer]]:
        """One body and the buffers that go beside it.

        Raises `SerializationError` when a message carries something that MessagePack has no form for (an integer beyond 64 bits, a lone surrogate,
        an object),
        and `TypeError` for what is no message.
        """
        self._buffers = []
        try:
            body: bytes = self._packer.pack([_row(message) for message in messages])
        except (OverflowError, ValueError) as error:
            self._packer = msgpack.Packer(default=self._other)
            raise SerializationError(f"cannot send {_names(messages)}: {error}") from error
        except BaseException:
            self._packer = msgpack.Packer(default=self._other)  # it keeps the half that it has packed
            raise
        if len(body) > _KEPT_PACKER_BYTES:
            self._packer = msgpack.Packer(default=self._other)
        return body, self._buffers

    def _other(self, value: Any) -> Any:
        """msgpack's hook for what it does not know."""
        if type(value) is Blob:
            first = len(self._buffers)
            aside = len(value.head) >= _HEAD_ASIDE_BYTES
            if aside:
                self._buffers.append(value.head)
            self._buffers.extend(value.buffers)
            header = _BLOB_HEADER.pack(first, len(self._buffers) - first, aside)
            return msgpack.ExtType(_BLOB, header if aside else header + value.head)
        if type(value) is Local:
            if self._pack_local is None:
                raise SerializationError("a value passed by reference cannot leave this process here")
            return self._pack_local(value)
        if isinstance(value, (set, frozenset)):
            return list(value)
        raise SerializationError(f"a message cannot carry {type(value).__name__}")


def _row(message: Message) -> tuple[Any, ...]:
    kind = KIND_OF.get(type(message))
    if kind is None:
        raise TypeError(f"not a message: {type(message).__name__}")
    if kind == _AS_CLIENT:
        return (kind, message[0], _row(message[1]))
    return (kind, *message)


_AS_CLIENT = KIND_OF[AsClient]


def _names(messages: Sequence[Message]) -> str:
    return ", ".join(sorted({type(message).__name__ for message in messages}))


def decode(body: Buffer, buffers: Sequence[Buffer] = ()) -> list[Message]:
    """The messages of one body. Raises `ProtocolError`, and nothing else, for anything that is not what `Encoder.encode` makes."""

    def extension(code: int, data: bytes) -> Blob:
        return _blob(code, data, buffers)

    try:
        rows = msgpack.unpackb(body, raw=False, strict_map_key=False, ext_hook=extension)
    except ProtocolError:
        raise
    except Exception as error:  # msgpack raises half a dozen kinds, and passes on those of unhashable keys and bad UTF-8
        raise ProtocolError(f"malformed MessagePack: {type(error).__name__}: {error}") from error
    if type(rows) is not list:
        raise ProtocolError(f"a body must be a list of messages, not {type(rows).__name__}")
    return [_message(row, False) for row in rows]


def _blob(code: int, data: bytes, buffers: Sequence[Buffer]) -> Blob:
    if code != _BLOB:
        raise ProtocolError(f"unknown extension {code}")
    if len(data) < _BLOB_HEADER.size:
        raise ProtocolError("a blob without its header")
    first, count, aside = _BLOB_HEADER.unpack_from(data)
    if first + count > len(buffers) or aside > 1 or (aside and count == 0):
        raise ProtocolError(f"a blob of buffers {first}..{first + count}, in a frame that has {len(buffers)}")
    if aside:
        return Blob(buffers[first], list(buffers[first + 1 : first + count]))
    return Blob(data[_BLOB_HEADER.size :], list(buffers[first : first + count]))


def _message(row: Any, inner: bool) -> Message:
    if type(row) is not list or not row or type(row[0]) is not int:
        raise ProtocolError("a message must be a list that begins with the number of its kind")
    shape = _SHAPES.get(row[0])
    if shape is None:
        cls = KINDS.get(row[0])
        if cls is None:
            raise ProtocolError(f"unknown kind of message: {row[0]}")
        shape = _SHAPES[row[0]] = _Shape(cls)
    if inner and shape.cls is AsClient:
        raise ProtocolError("AsClient inside AsClient")
    return shape.build(row)


class _Wrong(Exception):
    """A value is not what the field wants."""


_Check: TypeAlias = Callable[[Any], Any]


class _Shape:
    """How the fields of one kind of message are checked.

    The function that does it is written out as source and compiled once, as `namedtuple` does with `__new__`: for a message of one row, which is what
    a round trip is made of, a loop over check functions takes three times as long.
    """

    def __init__(self, cls: type[tuple[Any, ...]]) -> None:
        self.cls = cls
        self.names: tuple[str, ...] = cls._fields  # type: ignore[attr-defined]  # every message is a named tuple
        texts = [_annotation(cls, name) for name in self.names]
        checks = [_CHECKS[text] for text in texts]
        if cls is AsClient:
            checks[1] = _inner_message
        columns = [index for index, text in enumerate(texts) if text.startswith("list[") and not text.endswith("| None")]
        may_be_empty = {index for index, text in enumerate(texts) if text in ("list[list[Key]]", "list[list[int]]")}
        scope: dict[str, Any] = {"Wrong": _Wrong, "new": tuple.__new__, "cls": cls, "error": self._error, "_NONE": _NONE}
        lines = ["def build(row):", f"    if len(row) != {len(texts) + 1}:", "        raise error(-1, row)"]
        lines.append(f"    _, {', '.join(f'f{i}' for i in range(len(texts)))}{',' if len(texts) == 1 else ''} = row")
        for i, text in enumerate(texts):
            if text == "Any" and checks[i] is not _inner_message:
                continue
            wanted = _SIMPLE.get(text)
            in_column = _SIMPLE_COLUMN.get(text)
            scope[f"check{i}"] = checks[i]
            if wanted is not None and checks[i] is not _inner_message:
                scope[f"wanted{i}"] = wanted
                lines.append(f"    if type(f{i}) not in wanted{i}:")
            elif in_column is not None:
                scope[f"wanted{i}"] = in_column.issuperset
                lines.append(f"    if type(f{i}) is not list or not wanted{i}(map(type, f{i})):")
            elif text in _SIMPLE_EMPTY:
                lines.append(f"    if f{i} or type(f{i}) is not {_SIMPLE_EMPTY[text]}:")
            else:
                lines.append("    if True:")
            lines += ["        try:", f"            f{i} = check{i}(f{i})"]
            lines += ["        except Wrong as wrong:", f"            raise error({i}, wrong) from None"]
        if len(columns) > 1:
            first = columns[0]
            lines.append(f"    rows = len(f{first})")
            for i in columns[1:]:
                empty = f" and f{i}" if i in may_be_empty else ""
                lines += [f"    if len(f{i}) != rows{empty}:", f"        raise error({i}, (f{i}, f{first}, {self.names[first]!r}))"]
        lines.append(f"    return new(cls, ({', '.join(f'f{i}' for i in range(len(texts)))},))")
        exec("\n".join(lines), scope)  # our own words, from our own annotations
        self.build: Callable[[list[Any]], Message] = scope["build"]

    def _error(self, field: int, what: Any) -> ProtocolError:
        name = self.cls.__name__
        if field < 0:
            return ProtocolError(f"{name} has {len(self.names)} fields, not {len(what) - 1}")
        if type(what) is tuple:
            column, first, first_name = what
            return ProtocolError(f"{name}.{self.names[field]}: {len(column)} rows, where {first_name} has {len(first)}")
        return ProtocolError(f"{name}.{self.names[field]}: {what}")


def _inner_message(value: Any) -> Message:
    return _message(value, True)


def _annotation(cls: type, name: str) -> str:
    """The field's annotation as it is written: `list[Key]`."""
    annotation = cls.__annotations__[name]
    return str(getattr(annotation, "__forward_arg__", annotation))


def _one(*types: type) -> _Check:
    wanted = frozenset(types)

    def check(value: Any) -> Any:
        if type(value) not in wanted:
            raise _Wrong(f"{_list_of(wanted)} expected, not {type(value).__name__}")
        return value

    return check


def _list(value: Any) -> Any:
    if type(value) is not list:
        raise _Wrong(f"a list expected, not {type(value).__name__}")
    return value


def _column(*types: type) -> _Check:
    wanted = frozenset(types)

    def check(value: Any) -> Any:
        if type(value) is not list:
            raise _Wrong(f"a list expected, not {type(value).__name__}")
        if not wanted.issuperset(map(type, value)):
            raise _Wrong(f"a list of {_list_of(wanted)} expected")
        return value

    return check


def _column_of_columns(*types: type) -> _Check:
    wanted = frozenset(types)
    lists = _column(list)

    def check(value: Any) -> Any:
        if not wanted.issuperset(map(type, chain.from_iterable(lists(value)))):
            raise _Wrong(f"a list of lists of {_list_of(wanted)} expected")
        return value

    return check


def _mapping(values: _Check | None) -> _Check:
    """A dict with string keys, whose values, taken as a column, pass the check."""

    def check(value: Any) -> Any:
        if type(value) is not dict:
            raise _Wrong(f"a dict expected, not {type(value).__name__}")
        if not _STR.issuperset(map(type, value)):
            raise _Wrong("a dict with string keys expected")
        if values is not None:
            values(list(value.values()))
        return value

    return check


def _optional(check: _Check) -> _Check:
    return lambda value: None if value is None else check(value)


def _nested(cls: type[tuple[Any, ...]]) -> _Check:
    """A named tuple that travels as the list of its fields."""
    shapes: list[_Shape] = []

    # Options are the same from message to message: they are checked once, and shared by all tasks that have them.
    last: tuple[Any, Any] = (list(cls()), cls()) if cls is TaskOptions else (None, None)

    def check(value: Any) -> Any:
        nonlocal last
        known, built = last
        if known is not None and value == known:
            return built
        if not shapes:
            shapes.append(_Shape(cls))
        if type(value) is not list:
            raise _Wrong(f"a {cls.__name__} expected, not {type(value).__name__}")
        built = shapes[0].build([0, *value])
        if known is not None:
            last = (value, built)
        return built

    return check


def _each(check: _Check) -> _Check:
    lists = _column(list)
    return lambda value: [check(item) for item in lists(value)]


def _missing(value: Any) -> Any:
    """Per row a list of pairs of strings."""
    pairs = list(chain.from_iterable(_column(list)(value)))
    _column_of_columns(str)(pairs)
    if not {2}.issuperset(map(len, pairs)):
        raise _Wrong("pairs of key and address expected")
    return value


def _list_of(types: frozenset[type]) -> str:
    return " or ".join(sorted("None" if t is type(None) else t.__name__ for t in types))


_STR = frozenset({str})
_NONE = type(None)
_CHECKS: dict[str, _Check] = {
    **dict.fromkeys(("str", "Key", "Address", "ClientId", "FunctionId"), _one(str)),
    **dict.fromkeys(("int", "Attempt"), _one(int)),
    "float": _one(float, int),
    "bool": _one(bool),
    "Payload": _one(bytes, Blob),
    "Payload | None": _one(bytes, Blob, _NONE),
    "Any": lambda value: value,
    **dict.fromkeys(("list[str]", "list[Key]", "list[Address]", "list[FunctionId]", "list[ClientId]"), _column(str)),
    "list[str] | None": _optional(_column(str)),
    **dict.fromkeys(("list[int]", "list[Attempt]"), _column(int)),
    "list[float]": _column(float, int),
    "list[bool]": _column(bool),
    "list[Payload]": _column(bytes, Blob),
    "list[Payload | None]": _column(bytes, Blob, _NONE),
    "list[list[Key]]": _column_of_columns(str),
    "list[list[int]]": _column_of_columns(int),
    "list[list[float]]": _column_of_columns(float, int),
    "list[list[list[str]]]": _missing,
    "dict[str, Any]": _mapping(None),
    "dict[str, float]": _mapping(_column(float, int)),
    "dict[str, float] | None": _optional(_mapping(_column(float, int))),
    **dict.fromkeys(("dict[Key, Payload]", "dict[str, Payload]"), _mapping(_column(bytes, Blob))),
    **dict.fromkeys(("dict[Key, list[Key]]", "dict[Key, list[Address]]"), _mapping(_column_of_columns(str))),
    "TaskOptions": _nested(TaskOptions),
    "Failure": _nested(Failure),
    "Failure | None": _optional(_nested(Failure)),
    "list[Any]": _list,
    "list[Failure]": _each(_nested(Failure)),
}
"""Annotation, as written in `messages`, -> the check. A new kind of field is one line here (a test goes through all messages)."""

# What `_Shape` writes out instead of calling a check: one look at the type, one pass over a column, and nothing at all for what is empty.
_SIMPLE: dict[str, frozenset[type]] = {
    **dict.fromkeys(("str", "Key", "Address", "ClientId", "FunctionId"), _STR),
    **dict.fromkeys(("int", "Attempt"), frozenset({int})),
    "float": frozenset({float, int}),
    "bool": frozenset({bool}),
    "Payload": frozenset({bytes, Blob}),
    "Payload | None": frozenset({bytes, Blob, _NONE}),
}
_SIMPLE_COLUMN: dict[str, frozenset[type]] = {
    **dict.fromkeys(("list[str]", "list[Key]", "list[Address]", "list[FunctionId]", "list[ClientId]"), _STR),
    **dict.fromkeys(("list[int]", "list[Attempt]"), frozenset({int})),
    "list[float]": frozenset({float, int}),
    "list[bool]": frozenset({bool}),
    "list[Payload]": frozenset({bytes, Blob}),
    "list[Payload | None]": frozenset({bytes, Blob, _NONE}),
}
_SIMPLE_EMPTY: dict[str, str] = {
    "list[list[Key]]": "list",
    **dict.fromkeys(("dict[Key, Payload]", "dict[Key, list[Key]]", "dict[Key, list[Address]]", "dict[str, Any]", "dict[str, float]"), "dict"),
    **dict.fromkeys(("list[str] | None", "dict[str, float] | None"), "_NONE"),
}

_SHAPES: dict[int, _Shape] = {}
