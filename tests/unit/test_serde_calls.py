"""The arguments of a call, with futures in every place."""

from __future__ import annotations

import threading
from collections import OrderedDict, namedtuple
from typing import Any, NamedTuple

import numpy as np
import pytest

from jupyterfut.errors import SerializationError
from jupyterfut.serde import Dep, dumps_call, loads_call
from jupyterfut.serde.calls import local_call
from jupyterfut.serde.futures import found
from jupyterfut.wire.payload import Blob, Local


class Fut:
    """What a Future does when it is pickled."""

    def __init__(self, key: Any) -> None:
        self.key = key

    def __repr__(self) -> str:
        return f"Fut({self.key!r})"  # in the tests' names, which are to be the same in each process

    def __reduce__(self) -> Any:
        found(self.key)
        return Fut, (self.key,)


class Holder:
    def __init__(self, value: Any) -> None:
        self.value = value


class Pair(NamedTuple):
    left: Any
    right: Any


Point = namedtuple("Point", "x y")


class MyList(list[Any]):
    pass


def find(value: object) -> Any:
    return value.key if type(value) is Fut else None


def through(*args: Any, values: tuple[Any, ...] = (), **kwargs: Any) -> Any:
    spec = dumps_call(args, kwargs, find)
    return loads_call(spec.payload, values), spec.dependencies, spec.holds


def test_plain_arguments() -> None:
    assert through() == (((), {}), [], [])
    assert through(1, "a", x=[2]) == (((1, "a"), {"x": [2]}), [], [])
    assert through([1, 2]) == ((([1, 2],), {}), [], [])
    assert through((1, 2), {}) == ((((1, 2), {}), {}), [], [])


def test_futures_become_their_values() -> None:
    (args, kwargs), dependencies, holds = through(Fut("a"), [1, Fut("b")], x={"k": (Fut("a"),)}, values=("A", "B"))
    assert args == ("A", [1, "B"])
    assert kwargs == {"x": {"k": ("A",)}}
    assert dependencies == ["a", "b"]
    assert holds == []


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ((Fut("a"),), ("A",)),
        ({Fut("a")}, {"A"}),
        (frozenset([Fut("a")]), frozenset(["A"])),
        ({1: {2: [Fut("a")]}}, {1: {2: ["A"]}}),
        (Pair(Fut("a"), 1), Pair("A", 1)),
        (Point([Fut("a")], 2), Point(["A"], 2)),
    ],
    ids=repr,
)
def test_in_every_container(value: Any, wanted: Any) -> None:
    (args, _), dependencies, holds = through(value, values=("A",))
    assert args == (wanted,)
    assert type(args[0]) is type(wanted)
    assert (dependencies, holds) == (["a"], [])


@pytest.mark.parametrize("opaque", [Holder(Fut("a")), MyList([Fut("a")]), OrderedDict(k=Fut("a")), {Fut("a"): 1}], ids=lambda v: type(v).__name__)
def test_in_opaque_objects_they_stay_futures(opaque: Any) -> None:
    (args, _), dependencies, holds = through(opaque, Fut("b"), values=("B",))
    assert args[1] == "B"
    assert (dependencies, holds) == (["b"], ["a"])
    inner = args[0]
    future = inner.value if type(inner) is Holder else inner[0] if type(inner) is MyList else inner.get("k") or next(iter(inner))
    assert type(future) is Fut
    assert future.key == "a"


def test_sharing_and_cycles_survive() -> None:
    shared = [Fut("a")]
    (args, _), _, _ = through(shared, shared, values=("A",))
    assert args[0] is args[1]
    loop: list[Any] = [Fut("a")]
    loop.append(loop)
    (args, _), dependencies, holds = through(loop, values=("A",))
    assert "a" in dependencies + holds
    assert args[0][1] is not None


def test_a_future_pickled_by_hand_before_changes_nothing() -> None:
    found("stale")
    assert through(1)[1:] == ([], [])


def test_other_threads_futures_are_not_ours() -> None:
    go, stop = threading.Event(), threading.Event()

    def other() -> None:
        go.set()
        while not stop.is_set():
            dumps_call((Fut("theirs"),), {}, find)

    thread = threading.Thread(target=other)
    thread.start()
    go.wait()
    try:
        specs = [dumps_call((i, [i]), {}, find) for i in range(300)]
        mine = [dumps_call((Fut("mine"), Holder(Fut("held"))), {}, find) for _ in range(100)]
    finally:
        stop.set()
        thread.join()
    assert all(spec.dependencies == spec.holds == [] for spec in specs)
    assert all((spec.dependencies, spec.holds) == (["mine"], ["held"]) for spec in mine)


def test_equal_calls_have_equal_payloads() -> None:
    assert dumps_call((1, "a"), {}, find).payload == dumps_call((1, "a"), {}, find).payload
    assert dumps_call((Fut("a"),), {}, find).payload == dumps_call((Fut("b"),), {}, find).payload


def test_large_arguments_go_beside() -> None:
    array = np.zeros(100_000)
    payload = dumps_call((array, [1]), {"k": Fut("a")}, find).payload
    assert isinstance(payload, Blob)
    assert isinstance(dumps_call((bytes(200_000), Fut("a")), {}, find).payload, Blob)
    assert isinstance(dumps_call((bytes(200_000),), {}, find).payload, Blob)
    args, kwargs = loads_call(payload, ["A"])
    assert np.shares_memory(args[0], array)
    assert kwargs == {"k": "A"}


def test_what_cannot_be_pickled_fails_at_once() -> None:
    with pytest.raises(SerializationError, match="lock"):
        through(threading.Lock())
    with pytest.raises(SerializationError):
        through(threading.Lock(), Fut("a"))


def test_functions_of_a_notebook_are_fine_arguments() -> None:
    (args, _), dependencies, _ = through(lambda x: x + 1, Fut("a"), values=(1,))
    assert args[0](args[1]) == 2
    assert dependencies == ["a"]


def test_missing_values_are_a_clear_error() -> None:
    spec = dumps_call((Fut("a"), Fut("b")), {}, find)
    with pytest.raises(SerializationError, match="dependency 1"):
        loads_call(spec.payload, ["A"])


def test_by_reference() -> None:
    value = object()
    args, kwargs, keys = local_call((value, [Fut("a"), value]), {"x": Fut("b")}, find)
    assert keys == ["a", "b"]
    assert type(args[1][0]) is Dep
    back_args, back_kwargs = loads_call(Local((args, kwargs), 0), ["A", "B"])
    assert back_args[0] is value
    assert back_args[1] == ["A", value]
    assert back_kwargs == {"x": "B"}
