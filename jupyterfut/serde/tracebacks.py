"""Exceptions to failures and back, so that the user meets her own traceback at the other end: the exception itself, what caused it, the notes, and
the frames
with their source lines, which are shown even where the file does not exist (a notebook's cell, another machine). Our own frames are left out.

Each exception of a chain is pickled alone, without calling the `__init__` of the user's class again (the classic way not to survive pickling). One
that cannot be pickled
arrives as a `RemoteError` with its type and text; huge arguments are cut.
"""

from __future__ import annotations

import ast
import builtins
import linecache
import os
import traceback
import types
from asyncio import CancelledError
from typing import Any, NamedTuple

import jupyterfut.errors
from jupyterfut.config import settings
from jupyterfut.errors import RemoteError, SerializationError
from jupyterfut.ids import Key
from jupyterfut.serde.pickles import dumps, loads
from jupyterfut.wire.messages import Failure
from jupyterfut.wire.payload import Local, Payload, payload_nbytes

TEXT_LIMIT = 4_000  #: characters of str(exception)
TRACEBACK_TEXT_LIMIT = 20_000
ARGUMENT_LIMIT = 10_000  #: characters or bytes of one argument, once the whole exception is over the limit
EXCEPTION_BYTES_LIMIT = 200_000
CHAIN_LIMIT = 30  #: exceptions in one failure
FRAMES_LIMIT = 120
CAME_FROM_A_WAIT = "_jupyterfut_wait"
SOURCE_LINES = 6  #: lines before and after the one at which a frame stood

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class FrameRow(NamedTuple):
    """One frame of a traceback: where it stood, the exact place in the line (or -1), and the source around it."""

    filename: str
    name: str
    first_line: int  #: at which the function begins
    line: int
    end_line: int
    column: int
    end_column: int
    first_source_line: int
    source: list[str]


class ErrorRow(NamedTuple):
    """One exception of a chain. `cause`, `context` and `members` (of a group) are indexes of rows."""

    kind: str
    text: str
    payload: Payload | None
    frames: list[FrameRow]
    cause: int | None
    context: int | None
    suppress: bool
    members: list[int]


def failure_from_exception(error: BaseException, key: Key, *, local: bool = False) -> Failure:
    """What the worker says of a task's exception. Never raises. `local`: the client lives in this process, so the exception itself goes there.

    >>> try:
    ...     1 / 0
    ... except ZeroDivisionError as error:
    ...     failure = failure_from_exception(error, Key("x"))
    >>> failure.kind, failure.text
    ('ZeroDivisionError', 'division by zero')
    """
    payload: Payload
    if local:
        error.__traceback__ = without_our_frames(error.__traceback__)
        payload = Local(error, 1000)
    else:
        rows: list[ErrorRow] = []
        _flatten(error, rows, {})
        payload = dumps([(*row[:3], [tuple(frame) for frame in row.frames], *row[4:]) for row in rows])  # plain tuples travel lighter
    return Failure(type(error).__name__, _text(error), payload, _formatted(error), key)


def exception_from_failure(failure: Failure) -> BaseException:
    """The exception to raise at the client: a new object, with the user's frames in its traceback, its causes and notes. Never raises.

    >>> try:
    ...     [].pop()
    ... except IndexError as error:
    ...     failure = failure_from_exception(error, Key("x"))
    >>> exception_from_failure(failure)
    IndexError('pop from empty list')
    """
    if failure.payload is None:
        kind = getattr(jupyterfut.errors, failure.kind, None)
        if isinstance(kind, type) and issubclass(kind, BaseException):
            return kind(failure.text)
        return RemoteError(f"{failure.kind}: {failure.text}")
    if type(failure.payload) is Local:
        error = failure.payload.value
        return _copy_of(error) if isinstance(error, BaseException) else RemoteError(f"{failure.kind}: {failure.text}")
    try:
        rows = [ErrorRow(*row) for row in loads(failure.payload)]
        built = [_rebuild_row(row) for row in rows]
        return _linked(rows, built)
    except Exception as trouble:  # noqa: BLE001  # the user's classes may raise anything, and a failure must arrive
        error = RemoteError(f"{failure.kind}: {failure.text}")
        error.add_note(f"(the exception itself could not be rebuilt here: {type(trouble).__name__}: {str(trouble)[:TEXT_LIMIT]})")
        if failure.traceback_text:
            error.add_note(failure.traceback_text)
        return error


def _copy_of(error: BaseException) -> BaseException:
    """The same exception as another object. Raising one adds the raiser's frames to its traceback, and those hold the raiser's variables: the
    exception that is kept with a failure must not collect them."""
    cls = type(error)
    try:
        reduced: Any = _builtin_base(cls, "__reduce__").__reduce__(error)
        _, args, *state = reduced  # an exception's is (class, arguments) or (class, arguments, attributes)
        copy: BaseException = _builtin_base(cls, "__new__").__new__(cls, *args)
        _builtin_base(cls, "__init__").__init__(copy, *args)  # deliberately the builtin base's, see the module's first paragraph
        if state:
            copy.__setstate__(state[0])
    except Exception:  # noqa: BLE001  # the user's classes may raise anything
        return error
    copy.__cause__, copy.__context__, copy.__suppress_context__ = error.__cause__, error.__context__, error.__suppress_context__
    return copy.with_traceback(error.__traceback__)


# --- at the worker


def _flatten(error: BaseException, rows: list[ErrorRow], seen: dict[int, int]) -> int | None:
    """Append the exception and all it refers to; return its row's index."""
    if id(error) in seen:
        return seen[id(error)]
    if len(rows) >= CHAIN_LIMIT:
        return None
    index = seen[id(error)] = len(rows)
    row = ErrorRow(_kind(error), _text(error), _pickled(error), _frames(error.__traceback__), None, None, error.__suppress_context__, [])
    rows.append(row)
    cause = _flatten(error.__cause__, rows, seen) if error.__cause__ is not None else None
    hidden = cause is not None and error.__suppress_context__
    context = _flatten(error.__context__, rows, seen) if error.__context__ is not None and not hidden else None
    members: list[int] = []
    if isinstance(error, BaseExceptionGroup):
        members = [member for member in (_flatten(e, rows, seen) for e in error.exceptions) if member is not None]
    rows[index] = row._replace(cause=cause, context=context, members=members)
    return index


def _pickled(error: BaseException) -> Payload | None:
    """The exception without its chain and frames, or None when there is no way."""
    recipe = _recipe(error)
    for cut in (False, True):
        try:
            payload = dumps(_cut(recipe) if cut else recipe)
        except SerializationError:
            continue
        if payload_nbytes(payload) <= EXCEPTION_BYTES_LIMIT:
            return payload
    return None


def _recipe(error: BaseException) -> tuple[type, tuple[Any, ...], dict[str, Any], BaseException | None]:
    """(class, args, attributes, None), or the exception itself when its class has its own way of being pickled."""
    cls = type(error)
    attributes = {name: value for name, value in vars(error).items() if name != "__traceback__"}
    if isinstance(error, BaseExceptionGroup):
        return cls, (error.message,), attributes, None
    own = getattr(cls, "__reduce__", None) is not BaseException.__reduce__ or cls.__reduce_ex__ is not object.__reduce_ex__
    if own:
        return cls, error.args, attributes, error
    return cls, error.args, attributes, None


def _cut(recipe: tuple[type, tuple[Any, ...], dict[str, Any], BaseException | None]) -> tuple[type, tuple[Any, ...], dict[str, Any], None]:
    """The same with what is huge or cannot be pickled replaced by its shortened text."""
    cls, args, attributes, _ = recipe
    return cls, tuple([_cut_value(value) for value in args]), {name: _cut_value(value) for name, value in attributes.items()}, None


def _cut_value(value: Any) -> Any:
    if isinstance(value, (str, bytes)):
        if len(value) <= ARGUMENT_LIMIT:
            return value
        rest = f"... ({len(value) - ARGUMENT_LIMIT} more)"
        return value[:ARGUMENT_LIMIT] + rest if isinstance(value, str) else value[:ARGUMENT_LIMIT] + rest.encode()
    try:
        if payload_nbytes(dumps(value)) <= ARGUMENT_LIMIT:
            return value
    except SerializationError:
        pass  # then its text must do
    return _safe_repr(value)


def _safe_repr(value: object) -> str:
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001  # a user's `__repr__` may raise anything
        text = f"<{type(value).__name__} whose repr raises {type(error).__name__}>"
    return text if len(text) <= ARGUMENT_LIMIT else text[:ARGUMENT_LIMIT] + "..."


def _kind(error: BaseException) -> str:
    cls = type(error)
    return cls.__qualname__ if cls.__module__ in ("builtins", "__main__") else f"{cls.__module__}.{cls.__qualname__}"


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as trouble:  # noqa: BLE001  # a user's `__str__` may raise anything
        text = f"(its str raises {type(trouble).__name__})"
    return _encodable(text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + f"... ({len(text) - TEXT_LIMIT} more characters)")


def _encodable(text: str) -> str:
    """Text that UTF-8 can carry: lone surrogates become escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _formatted(error: BaseException) -> str:
    kept = error.__traceback__
    try:
        error.__traceback__ = without_our_frames(kept)
        text = "".join(traceback.format_exception(error, limit=-FRAMES_LIMIT))
    except Exception as trouble:  # noqa: BLE001  # formatting calls the user's `__str__` and `__repr__`
        text = f"{_kind(error)}: {_text(error)} (formatting its traceback raised {type(trouble).__name__})"
    finally:
        error.__traceback__ = kept
    if len(text) > TRACEBACK_TEXT_LIMIT:
        half = TRACEBACK_TEXT_LIMIT // 2
        text = f"{text[:half]}\n... ({len(text) - 2 * half} more characters) ...\n{text[-half:]}"
    return _encodable(text)


def is_ours(filename: str) -> bool:
    """Whether the file belongs to jupyterfut."""
    return filename.startswith(_OURS)


def fold(error: BaseException) -> None:
    """Take out of its traceback those frames of ours through which the error has come until now; to be followed by a bare `raise`, which adds none.
    So the user's traceback goes on from her call to her own code.

    They stay with the setting `client.full_tracebacks`, and where they are all that there is to see: in an error that is neither a task's nor one of
    `jupyterfut.errors`, nor an interrupt (which gets the mark `CAME_FROM_A_WAIT`).
    """
    tb = error.__traceback__
    while tb is not None and is_ours(tb.tb_frame.f_code.co_filename):
        tb = tb.tb_next
    interrupt = isinstance(error, (KeyboardInterrupt, CancelledError))
    if interrupt:
        vars(error)[CAME_FROM_A_WAIT] = True
    if settings().client.full_tracebacks != "yes" and (tb is not None or interrupt or isinstance(error, jupyterfut.errors.JupyterfutError)):
        error.__traceback__ = tb


def without_our_frames(tb: types.TracebackType | None) -> types.TracebackType | None:
    """The traceback without jupyterfut's frames; the last one stays when there is no other."""
    kept = []
    last = None
    while tb is not None:
        last = tb
        if not is_ours(tb.tb_frame.f_code.co_filename):
            kept.append(tb)
        tb = tb.tb_next
    if not kept and last is not None:
        kept = [last]
    rest: types.TracebackType | None = None
    for tb in reversed(kept):
        rest = types.TracebackType(rest, tb.tb_frame, tb.tb_lasti, tb.tb_lineno)
    return rest


def _frames(tb: types.TracebackType | None) -> list[FrameRow]:
    found = []
    tb = without_our_frames(tb)
    while tb is not None:
        found.append(tb)
        tb = tb.tb_next
    if len(found) > FRAMES_LIMIT:
        found = found[: FRAMES_LIMIT // 2] + found[-FRAMES_LIMIT // 2 :]
    return [_frame(tb) for tb in found]


def _frame(tb: types.TracebackType) -> FrameRow:
    code = tb.tb_frame.f_code
    end_line, column, end_column = tb.tb_lineno, -1, -1
    if tb.tb_lasti >= 0:
        for index, (start, end, left, right) in enumerate(code.co_positions()):
            if index == tb.tb_lasti // 2:
                if start == tb.tb_lineno and end is not None and left is not None and right is not None:
                    end_line, column, end_column = end, left, right
                break
    first = max(1, tb.tb_lineno - SOURCE_LINES)
    lines = linecache.getlines(code.co_filename, tb.tb_frame.f_globals)
    source = [_encodable(line[:1000]) for line in lines[first - 1 : tb.tb_lineno + SOURCE_LINES]]
    return FrameRow(code.co_filename, code.co_qualname, code.co_firstlineno, tb.tb_lineno, end_line, column, end_column, first, source)


# --- at the client


def _rebuild_row(row: ErrorRow) -> BaseException:
    error: BaseException | None = None
    trouble: Exception | None = None
    if row.payload is not None:
        try:
            error = _rebuild_exception(*loads(row.payload), group=bool(row.members))
        except Exception as problem:  # noqa: BLE001  # the user's class may raise anything
            trouble = problem
    if error is None:
        error = RemoteError(f"{row.kind}: {row.text}" if row.text else row.kind)
        if trouble is not None:
            error.add_note(f"(the {row.kind} itself could not be unpickled here: {type(trouble).__name__}: {str(trouble)[:TEXT_LIMIT]})")
    return error


def _rebuild_exception(
    cls: type[BaseException], args: tuple[Any, ...], attributes: dict[str, Any], whole: BaseException | None, *, group: bool
) -> BaseException | None:
    if whole is not None:
        return whole
    if issubclass(cls, BaseExceptionGroup):
        return None if not group else _Group(cls, args, attributes)
    new = _builtin_base(cls, "__new__").__new__
    error: BaseException = new(cls, *args)
    _builtin_base(cls, "__init__").__init__(error, *args)
    for name, value in attributes.items():
        _set(error, name, value)
    return error


def _set(error: BaseException, name: str, value: Any) -> None:
    vars(error)[name] = value


class _Group(Exception):
    """Stands for an exception group until its members are built."""

    def __init__(self, cls: type[BaseExceptionGroup[Any]], args: tuple[Any, ...], attributes: dict[str, Any]) -> None:
        super().__init__(*args)
        self.cls = cls
        self.attributes = attributes


def _builtin_base(cls: type[BaseException], method: str) -> type[BaseException]:
    """The nearest base whose method is written in C."""
    for base in cls.__mro__:
        own = vars(base).get(method)
        if own is not None and not isinstance(own, (types.FunctionType, staticmethod)) and issubclass(base, BaseException):
            return base
    return BaseException


def _linked(rows: list[ErrorRow], built: list[BaseException]) -> BaseException:
    """Join the rebuilt exceptions as the rows say. Members of groups come after their group, so groups are finished from the last row to the
    first.
    """
    for index in range(len(rows) - 1, -1, -1):
        stand_in = built[index]
        if isinstance(stand_in, _Group):
            group = stand_in.cls(stand_in.args[0], [built[member] for member in rows[index].members])
            vars(group).update(stand_in.attributes)
            built[index] = group
    for row, error in zip(rows, built, strict=True):
        error.__cause__ = built[row.cause] if row.cause is not None else None
        error.__context__ = built[row.context] if row.context is not None else None
        error.__suppress_context__ = row.suppress
        error.__traceback__ = traceback_from_frames([FrameRow(*frame) for frame in row.frames])
    return built[0]


def traceback_from_frames(frames: list[FrameRow]) -> types.TracebackType | None:
    """A real traceback that stands at the given lines, the innermost last."""
    rest: types.TracebackType | None = None
    for row in reversed(frames):
        _lend_source(row)
        frame, lasti = _stub_frame(row)
        rest = types.TracebackType(rest, frame, lasti, max(1, row.line))
    return rest


def _stub_frame(row: FrameRow) -> tuple[types.FrameType, int]:
    """A frame of a one-line function with the row's name, which has just raised at the row's place."""
    first = max(1, min(row.first_line, row.line))
    line = row.line - first + 1  # the code's line table counts from its first line
    last = max(line, row.end_line - first + 1)
    place = {"lineno": line, "end_lineno": last, "col_offset": max(0, row.column), "end_col_offset": max(0, row.end_column)}
    body = ast.Raise(exc=ast.Name(id="StopIteration", ctx=ast.Load(), **place), cause=None, **place)
    code = compile(ast.Module(body=[body], type_ignores=[]), row.filename, "exec")
    code = code.replace(co_name=row.name.rpartition(".")[2], co_qualname=row.name, co_firstlineno=first)
    try:
        exec(code, {"__name__": row.name, "__file__": row.filename, "__builtins__": {"StopIteration": builtins.StopIteration}})
    except StopIteration as error:
        tb = error.__traceback__
        assert tb is not None
        assert tb.tb_next is not None
        frame, lasti = tb.tb_next.tb_frame, tb.tb_next.tb_lasti
        error.__traceback__ = None
        return frame, lasti if row.column >= 0 else -1
    raise AssertionError("the stub did not raise")


_lent: dict[str, list[str]] = {}
"""The lines that we have put into `linecache`, by file; more may come with the next failure."""


def _lend_source(row: FrameRow) -> None:
    """Show the row's source lines where the file itself is not at hand."""
    if not row.source or os.path.exists(row.filename):
        return
    lines = _lent.get(row.filename)
    if lines is None:
        if linecache.getlines(row.filename):
            return  # somebody knows it all: a cell of this very notebook
        lines = _lent[row.filename] = []
    last = row.first_source_line - 1 + len(row.source)
    lines.extend(["\n"] * (last - len(lines)))
    lines[row.first_source_line - 1 : last] = row.source
    linecache.cache[row.filename] = (sum(map(len, lines)), None, lines, row.filename)
