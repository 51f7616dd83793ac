"""Values to payloads and back."""

from __future__ import annotations

import functools
import subprocess
import sys
import threading
from typing import Any

import cloudpickle
import numpy as np
import pytest

from jupyterfut.errors import SerializationError
from jupyterfut.serde import dumps, dumps_result, loads, sizeof, type_name
from jupyterfut.serde.futures import found
from jupyterfut.wire.payload import Blob, Local


class Fut:
    """What a Future does when it is pickled."""

    def __init__(self, key: Any) -> None:
        self.key = key

    def __reduce__(self) -> Any:
        found(self.key)
        return Fut, (self.key,)


def notebook(source: str) -> dict[str, Any]:
    """Names that a notebook's cell would define."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, "<cell>", "exec"), names)
    return names


@pytest.mark.parametrize("value", [None, 1, 2.5, "text", b"bytes", [1, {"a": (2,)}], {1, 2}, len, subprocess.Popen], ids=repr)
def test_small_values_are_bytes(value: object) -> None:
    payload = dumps(value)
    assert type(payload) is bytes
    assert loads(payload) == value


def test_an_array_goes_beside_its_pickle_without_a_copy() -> None:
    array = np.arange(100_000.0)
    payload = dumps({"x": array, "small": np.arange(3)})
    assert isinstance(payload, Blob)
    assert len(payload.head) < 500
    assert [np.shares_memory(np.frombuffer(b), array) for b in payload.buffers] == [True]
    back = loads(payload)
    assert np.shares_memory(back["x"], array)
    assert back["small"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "array",
    [np.zeros((300, 300), order="F"), np.zeros((600, 600))[::2, ::2], np.array(["a", None] * 9, dtype=object)],
    ids=["F", "strided", "object"],
)
def test_arrays_of_every_layout(array: Any) -> None:
    np.testing.assert_array_equal(loads(dumps(array)), array)


def test_an_array_with_gaps_is_copied_once() -> None:
    array = np.arange(1_000_000).reshape(1000, 1000)[::2, ::2]
    payload = dumps(array)
    assert isinstance(payload, Blob)
    assert len(payload.head) < 500
    np.testing.assert_array_equal(loads(payload), array)


def test_received_arrays_can_be_written() -> None:
    payload = dumps(np.zeros(100_000))
    back = loads(Blob(payload.head, [bytearray(b) for b in payload.buffers]))
    back[0] = 1


def test_large_bytes_are_not_copied_by_the_sender() -> None:
    value = bytes(1_000_000)
    payload = dumps(value)
    assert isinstance(payload, Blob)
    assert payload.buffers[0].obj is value
    back = loads(payload)
    assert type(back) is bytes
    assert back == value


def test_a_local_is_itself() -> None:
    value = object()
    assert loads(Local(value, 1)) is value


def test_what_a_notebook_defines_travels_by_value() -> None:
    names = notebook("class Point:\n    def __init__(self, x): self.x = x\n\ndef norm(p): return abs(p.x)")
    payload = dumps((names["norm"], names["Point"](-3)))
    code = "import sys, pickle; f, p = pickle.loads(sys.stdin.buffer.read()); print(f(p))"
    done = subprocess.run([sys.executable, "-c", code], input=payload, capture_output=True, check=True)
    assert done.stdout.strip() == b"3"


def test_modules_registered_by_value_travel_by_value() -> None:
    import test_wire_handshake as module  # any module that is not installed

    assert b"test_wire_handshake" in dumps(module.side)
    assert b"nonce" not in dumps(module.side)
    cloudpickle.register_pickle_by_value(module)
    try:
        assert b"nonce" in dumps(module.side)
    finally:
        cloudpickle.unregister_pickle_by_value(module)


class Stubborn:
    def __reduce__(self) -> Any:
        raise ZeroDivisionError("not me")

    def __repr__(self) -> str:
        raise ValueError("nor this")


def test_what_cannot_be_pickled_says_so() -> None:
    with pytest.raises(SerializationError, match=r"Stubborn \(its repr raises ValueError\): ZeroDivisionError: not me") as caught:
        dumps(Stubborn())
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(SerializationError, match="lock"):
        dumps([threading.Lock()])
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(SerializationError, match="RecursionError|recursion"):
        dumps(deep)
    while deep:
        deep = deep.pop()


def test_a_result_tells_the_futures_inside_it() -> None:
    payload, nbytes, holds = dumps_result({"a": [Fut("x"), Fut("y"), Fut("x")]})
    assert holds == ["x", "y"]
    assert nbytes == len(payload)
    assert dumps_result([1])[2] == []
    assert loads(payload)["a"][1].key == "y"


def test_a_large_result_tells_its_size_in_memory() -> None:
    assert dumps_result(np.zeros(100_000))[1] == pytest.approx(800_000, rel=0.01)


def test_a_pickle_inside_a_pickle() -> None:
    """`__reduce__` of a value may itself pickle something large."""

    class Outer:
        def __reduce__(self) -> Any:
            return Outer.load, (dumps(np.ones(50_000)).head,)

        @staticmethod
        def load(head: bytes) -> str:
            return "loaded"

    array = np.zeros(50_000)
    payload = dumps([array, Outer(), array])
    assert [np.frombuffer(b).sum() for b in payload.buffers] == [0.0]
    assert loads(payload)[1] == "loaded"


def test_sizes_are_estimates_that_do_not_cost_much() -> None:
    assert sizeof(1) == 28
    assert sizeof(np.zeros(1000)) == pytest.approx(8000, rel=0.1)
    assert sizeof([b"x" * 1000] * 100_000) == pytest.approx(100e6, rel=0.1)
    assert sizeof({i: "x" * i for i in range(1000)}) > 100_000
    names = notebook("class Box:\n    def __init__(self, x): self.x = x")
    assert sizeof(names["Box"](np.zeros(10_000))) > 80_000
    loop: list[Any] = []
    loop.append(loop)
    assert sizeof(loop) > 0


def test_sizes_survive_hostile_classes() -> None:
    class Odd:
        def __sizeof__(self) -> int:
            raise TypeError

    assert sizeof(Odd()) > 0


def test_type_names() -> None:
    assert [type_name(v) for v in (1, "a", None, np.zeros(1), functools.partial(int))] == [
        "int",
        "str",
        "NoneType",
        "numpy.ndarray",
        "functools.partial",
    ]
    assert type_name(notebook("class Point: pass")["Point"]()) == "Point"
