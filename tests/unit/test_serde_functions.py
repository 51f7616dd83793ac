"""When is a function pickled again?"""

from __future__ import annotations

import functools
import gc
import linecache
import operator
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from jupyterfut.errors import SerializationError
from jupyterfut.serde import dumps_function, forget_function, functions, loads_function


def notebook(source: str, filename: str = "<cell>", **names: Any) -> dict[str, Any]:
    """Names that a notebook's cell would define."""
    names["__name__"] = "__main__"
    exec(compile(source, filename, "exec"), names)
    return names


@pytest.fixture(autouse=True)
def fresh() -> None:
    functions._pickled.clear()
    functions._loaded.clear()


@pytest.fixture
def pickles(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was pickled."""
    seen: list[object] = []
    dumps = functions.dumps

    def watched(value: object) -> Any:
        seen.append(value)
        return dumps(value)

    monkeypatch.setattr(functions, "dumps", watched)
    return seen


def called(function: Callable[..., Any], *args: Any) -> Any:
    """What it gives at the other end."""
    fid, payload, _ = dumps_function(function)
    functions._loaded.clear()
    return loads_function(fid, payload)(*args)


class Counter:
    def __init__(self, start: int) -> None:
        self.n = start

    def __call__(self, x: int) -> int:
        return self.n + x

    def __eq__(self, other: object) -> bool:  # and so it has no hash
        return self is other

    def add(self, x: int) -> int:
        return self.n + x


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (len, "len"), (operator.add, "add"), (str.upper, "upper"), ([].append, "append"), (lambda: 1, "lambda"), (dict, "dict"), (Counter, "Counter"),
        (functools.partial(max, 3), "max"), (Counter(2), "test_serde_functions.Counter"), (Counter(2).add, "add"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_every_callable_works(function: Callable[..., Any], name: str) -> None:
    fid, payload, named = dumps_function(function)
    assert len(fid) == 32
    assert named == name
    assert callable(loads_function(fid, payload))
    assert dumps_function(function)[0] == fid


def test_cached_functions_of_a_notebook_work() -> None:
    cell = notebook(
        "import functools\n@functools.lru_cache(maxsize=9)\ndef fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)\ndef f(n): return fib(n)"
    )
    assert called(cell["fib"], 30) == 832040
    assert called(cell["f"], 30) == 832040
    fid, payload, _ = dumps_function(cell["fib"])
    assert loads_function(fid, payload).cache_parameters()["maxsize"] == 9  # type: ignore[attr-defined]  # an lru_cache


def test_values_come_out_right() -> None:
    assert called(Counter(2), 3) == 5
    assert called(Counter(2).add, 3) == 5
    assert called(functools.partial(operator.sub, 10), 3) == 7
    assert called(notebook("def f(x): return g(x) + 1\ndef g(x): return 2 * x")["f"], 3) == 7


def test_the_second_time_costs_no_pickling(pickles: list[object]) -> None:
    cell = notebook("import math\nK = 5\ndef helper(x): return x + K\ndef f(x, y=(1, 2)): return helper(math.sqrt(x)) + len(y)")
    for function in (cell["f"], len, Counter, operator.add, functools.partial(cell["helper"], 1)):
        first = dumps_function(function)
        count = len(pickles)
        assert dumps_function(function) == first
        assert len(pickles) == count


@pytest.mark.parametrize(
    "change",
    [
        "K = 6",
        "def helper(x): return -x",
        "helper.__code__ = (lambda x: -x).__code__",
        "f.__defaults__ = (9,)",
        "del K",
        "class Point:\n    n = 4",
        "Point.n = 8",
        "Point.extra = 1",
        "late = 1",
    ],
)
def test_a_change_is_seen(change: str) -> None:
    cell = notebook("K = 5\nclass Point:\n    n = 3\ndef helper(x): return x + K\ndef f(x=1): return helper(x) + Point.n + (late if x == 99 else 0)")
    before = dumps_function(cell["f"])
    assert dumps_function(cell["f"]) == before
    exec(change, cell)
    assert dumps_function(cell["f"])[0] != before[0]


def test_a_closure_that_changes_is_seen() -> None:
    cell = notebook("def outer():\n    n = 1\n    def f(): return n\n    def bump():\n        nonlocal n\n        n += 1\n    return f, bump")
    f, bump = cell["outer"]()
    before = dumps_function(f)[0]
    assert called(f) == 1
    bump()
    assert dumps_function(f)[0] != before
    assert called(f) == 2


def test_mutable_globals_are_pickled_each_time(pickles: list[object]) -> None:
    cell = notebook("items = [1]\ndef f(): return len(items)")
    assert called(cell["f"]) == 1
    cell["items"].append(2)
    assert called(cell["f"]) == 2
    assert dumps_function(cell["f"])[0] == dumps_function(cell["f"])[0]
    assert len(pickles) == 4


def test_a_redefined_function_is_another_one() -> None:
    first, again, other = (notebook(f"def f(x): return x + {n}")["f"] for n in (1, 1, 2))
    assert dumps_function(first)[0] == dumps_function(again)[0] != dumps_function(other)[0]


def test_a_received_function_keeps_its_id(pickles: list[object]) -> None:
    cell = notebook("K = 2\ndef fib(n):\n    return n if n < K else fib(n - 1) + fib(n - 2)")
    fid, payload, _ = dumps_function(cell["fib"])
    pickles.clear()
    there = loads_function(fid, payload)
    assert there is not cell["fib"]
    assert there(9) == 34
    assert dumps_function(there) == (fid, payload, "fib")
    assert pickles == []
    assert loads_function(fid, payload) is there
    forget_function(fid)
    assert loads_function(fid, payload) is not there
    forget_function(fid)
    forget_function(fid)


def test_pickles_are_kept_for_the_newest_functions_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "KEPT_PICKLES", 10)
    made = [notebook(f"def f(): return {n}")["f"] for n in range(12)]
    gone = weakref.ref(made[0])
    for function in made:
        dumps_function(function)
    assert len(functions._pickled) == 10
    del made, function
    gc.collect()
    assert gone() is None


def test_a_function_that_holds_data_is_not_kept() -> None:
    cell = notebook("def f(data=b'x' * 2_000_000): return len(data)")
    assert called(cell["f"]) == 2_000_000
    assert functions._pickled == {}


def test_the_source_of_a_cell_travels_along() -> None:
    source = "def f(x):\n    return 1 / x  # the user's line\n"
    name = "<cell-of-a-test>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    try:
        fid, payload, _ = dumps_function(notebook(source, name)["f"])
    finally:
        del linecache.cache[name]
    assert linecache.getline(name, 2) == ""
    try:
        loads_function(fid, payload)
        assert linecache.getline(name, 2) == "    return 1 / x  # the user's line\n"
    finally:
        linecache.cache.pop(name, None)


def test_what_cannot_be_pickled_says_so() -> None:
    import threading

    cell = notebook("def f(): return lock", lock=threading.Lock())
    with pytest.raises(SerializationError, match="lock"):
        dumps_function(cell["f"])
