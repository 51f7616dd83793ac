"""Exceptions arrive as the user would have met them at home."""

from __future__ import annotations

import linecache
import os
import threading
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from jupyterfut import errors
from jupyterfut.errors import RemoteError
from jupyterfut.serde import exception_from_failure, failure_from_exception, loads_call
from jupyterfut.wire.messages import Failure


def fails(function: Callable[[], object], **options: Any) -> Failure:
    """What a worker would report."""
    try:
        function()
    except BaseException as error:
        return failure_from_exception(error, "k", **options)  # type: ignore[arg-type]  # a plain string will do for a key
    raise AssertionError("it did not fail")


def arrives(function: Callable[[], object], **options: Any) -> BaseException:
    return exception_from_failure(fails(function, **options))


class Picky(Exception):
    """The classic that does not survive pickling: its `__init__` wants what `args` does not hold."""

    def __init__(self, code: int, *, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class OwnWay(Exception):
    def __reduce__(self) -> Any:
        return OwnWay, ("made anew",)


class Broken(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError

    def __reduce__(self) -> Any:
        raise ZeroDivisionError


def boom(error: BaseException) -> Callable[[], object]:
    def function() -> object:
        raise error

    return function


def divide() -> float:
    return 1 / 0  # the user's line


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"), KeyError("k"), Picky(3, detail="d"), SystemExit(3), KeyboardInterrupt(), StopIteration(5), OwnWay("made anew"),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), OSError(2, "No such file", "name"), FileNotFoundError(2, "gone", "f"),
        ImportError("no", name="m"), errors.KilledWorker("w"), SyntaxError("bad", ("f", 1, 2, "x", 1, 3)), AttributeError("no", name="n", obj=3),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_every_exception_arrives_as_itself(error: BaseException) -> None:
    back = arrives(boom(error))
    assert type(back) is type(error)
    assert back.args == error.args
    assert str(back) == str(error)
    assert vars(back) == vars(error)


def test_c_level_state_arrives() -> None:
    assert arrives(boom(SystemExit(3))).code == 3  # type: ignore[attr-defined]  # SystemExit
    assert arrives(boom(StopIteration(5))).value == 5  # type: ignore[attr-defined]  # StopIteration
    assert arrives(boom(OSError(2, "no", "name"))).filename == "name"  # type: ignore[attr-defined]  # OSError


def test_the_traceback_stands_at_the_users_lines() -> None:
    back = arrives(divide)
    frames = traceback.extract_tb(back.__traceback__)
    assert [frame.name for frame in frames] == ["fails", "divide"]
    assert frames[-1].line == "return 1 / 0  # the user's line"
    assert frames[-1].filename == __file__
    assert frames[-1].colno == 11
    text = "".join(traceback.format_exception(back))
    assert "~~^~~" in text or "^^^^^" in text


def test_our_own_frames_are_left_out() -> None:
    bad = b"\x80\x05cno_such_module\nname\n."
    failure = fails(lambda: loads_call(bad))
    assert f"jupyterfut{os.sep}serde" not in failure.traceback_text
    back = exception_from_failure(failure)
    assert not [f for f in traceback.extract_tb(back.__traceback__) if f"jupyterfut{os.sep}serde" in f.filename]


def test_source_is_shown_where_the_file_does_not_exist() -> None:
    name, source = "<cell 7>", "def f():\n    x = 0\n    return 1 / x\n"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, name, "exec"), names)
    failure = fails(names["f"])
    del linecache.cache[name]
    try:
        back = exception_from_failure(failure)
        assert traceback.extract_tb(back.__traceback__)[-1].line == "return 1 / x"
        assert "return 1 / x" in failure.traceback_text
    finally:
        linecache.cache.pop(name, None)


def test_source_of_two_failures_in_one_file_adds_up() -> None:
    name, source = "<cell 8>", "def f(x):\n    return 1 / x\n" + "\n" * 40 + "def g(x):\n    return x.no\n"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, name, "exec"), names)
    failures = [fails(lambda: names["g"](0)), fails(lambda: names["f"](0))]
    del linecache.cache[name]
    try:
        lines = [traceback.extract_tb(exception_from_failure(failure).__traceback__)[-1].line for failure in failures * 2]
        assert lines == ["return x.no", "return 1 / x"] * 2
    finally:
        linecache.cache.pop(name, None)


def test_causes_contexts_and_notes() -> None:
    def function() -> None:
        try:
            try:
                divide()
            except ZeroDivisionError:
                raise KeyError("second")  # noqa: B904  # the context is what this is about
        except KeyError as error:
            third = ValueError("third")
            third.add_note("a note")
            raise third from error

    back = arrives(function)
    assert back.__notes__ == ["a note"]
    assert type(back.__cause__) is KeyError
    assert type(back.__cause__.__context__) is ZeroDivisionError
    text = "".join(traceback.format_exception(back))
    assert text.index("the user's line") < text.index("During handling") < text.index("direct cause") < text.index("a note")


def test_from_none_stays_hidden() -> None:
    def function() -> None:
        try:
            divide()
        except ZeroDivisionError:
            raise ValueError("clean") from None

    assert "ZeroDivisionError" not in "".join(traceback.format_exception(arrives(function)))


def test_groups() -> None:
    def function() -> None:
        parts = []
        for part in (divide, boom(Picky(1, detail="x"))):
            try:
                part()
            except Exception as error:
                parts.append(error)
        raise ExceptionGroup("several", [*parts, ExceptionGroup("inner", [KeyError("k")])])

    back = arrives(function)
    assert isinstance(back, ExceptionGroup)
    assert [type(e) for e in back.exceptions] == [ZeroDivisionError, Picky, ExceptionGroup]
    assert back.exceptions[0].__traceback__ is not None
    assert back.exceptions[2].exceptions[0].args == ("k",)


def test_chains_that_bite_their_own_tail_end() -> None:
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__cause__ = second, first
    back = arrives(boom(first))
    assert back.__cause__ is not None
    assert back.__cause__.__cause__ is back


def test_long_chains_are_cut() -> None:
    def function() -> None:
        error = ValueError("0")
        for i in range(1, 500):
            new = ValueError(str(i))
            new.__cause__ = error
            error = new
        raise error

    assert str(arrives(function)) == "499"


def test_what_cannot_be_pickled_arrives_as_text() -> None:
    class Local(Exception):
        pass

    error = ValueError("with a lock", threading.Lock())
    back = arrives(boom(error))
    assert type(back) is ValueError
    assert back.args[0] == "with a lock"
    assert "lock" in back.args[1]
    broken = arrives(boom(Broken("x")))
    assert type(broken) is Broken
    assert broken.args == ("x",)
    assert broken.__traceback__ is not None
    assert type(arrives(boom(Local("by value")))).__name__ == "Local"


def test_an_exception_whose_class_is_missing_arrives_as_text() -> None:
    import sys
    import types

    module = types.ModuleType("vanishing")
    exec("class Gone(Exception): pass", module.__dict__)
    sys.modules["vanishing"] = module
    failure = fails(boom(module.Gone("bye")))
    del sys.modules["vanishing"]
    back = exception_from_failure(failure)
    assert isinstance(back, RemoteError)
    assert str(back) == "vanishing.Gone: bye"
    assert "could not be unpickled" in back.__notes__[0]


def test_huge_exceptions_are_cut() -> None:
    failure = fails(boom(ValueError("x" * 10_000_000, list(range(1_000_000)), "small")))
    back = exception_from_failure(failure)
    assert type(back) is ValueError
    assert back.args[2] == "small"
    assert len(back.args[0]) < 20_000
    assert len(back.args[1]) < 20_000
    assert len(failure.text) < 5_000
    assert len(failure.traceback_text) < 30_000


def test_endless_recursion_arrives() -> None:
    def deeper() -> None:
        deeper()

    back = arrives(deeper)
    assert type(back) is RecursionError
    assert len(traceback.extract_tb(back.__traceback__)) < 200


def test_what_the_scheduler_says() -> None:
    back = exception_from_failure(Failure("KilledWorker", "it died", None, "", "k"))  # type: ignore[arg-type]  # a plain string will do for a key
    assert type(back) is errors.KilledWorker
    assert str(back) == "it died"
    odd = exception_from_failure(Failure("__name__", "odd", None, "", "k"))  # type: ignore[arg-type]  # as above
    assert isinstance(odd, RemoteError)


def test_a_spoilt_payload_still_gives_an_exception() -> None:
    back = exception_from_failure(Failure("ValueError", "no", b"garbage", "Traceback ...", "k"))  # type: ignore[arg-type]  # as above
    assert isinstance(back, RemoteError)
    assert "no" in str(back)


def test_in_process_it_is_the_exception_as_another_object() -> None:
    error = Broken("x")
    back = arrives(boom(error), local=True)
    assert (type(back), back.args, vars(back)) == (Broken, error.args, vars(error))
    assert back is not error  # which is kept, and must not collect the frames of everybody who raises it
    assert back.__traceback__ is error.__traceback__
    assert [f.name for f in traceback.extract_tb(back.__traceback__)] == ["fails", "function"]


def test_lone_surrogates_do_not_stop_a_failure() -> None:
    failure = fails(boom(ValueError("bad \ud800 text")))
    failure.text.encode()
    failure.traceback_text.encode()
