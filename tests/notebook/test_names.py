"""The names of a notebook that hold futures: what is written down of them, and what a later kernel makes of that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from jupyterfut import Client, Future
from jupyterfut.client.future_list import FutureList
from jupyterfut.notebook.held.names import actors_in, held_in, names_with_futures, remade, with_values


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(processes=False) as client:
        yield client


def there_and_back(value: Any) -> Any:
    """As the scheduler gives it back: in plain values, lists for tuples."""
    held = held_in(value)
    assert held is not None

    def plain(shape: Any) -> Any:
        return [plain(part) for part in shape] if isinstance(shape, (list, tuple)) else shape

    return remade(plain(held.shape), iter(held.futures), lambda future: ("actor", future))


SHAPES = {
    "future": lambda a, b: a,
    "list": lambda a, b: [a, b, a],
    "tuple": lambda a, b: (a, b),
    "set": lambda a, b: {a, b},
    "frozenset": lambda a, b: frozenset([a]),
    "dict": lambda a, b: {"a": a, 1: b, (1, "x"): a, None: b},
    "nested": lambda a, b: {"deep": [(a, [b, a]), {"x": {"y": (b,)}}]},
    "with values": lambda a, b: [a, 1, "text", None, 2.5, True],
    "empty ones inside": lambda a, b: [a, [], {}, ()],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_written_down_comes_back(client: Client, shape: str) -> None:
    a, b = client.map(abs, [-1, -2])
    value = SHAPES[shape](a, b)
    again = there_and_back(value)
    assert again == value
    assert isinstance(again, type(value))


def test_what_map_returns_comes_back_as_such(client: Client) -> None:
    futures = client.map(abs, [-1, -2])
    assert held_in(futures) == ("list", list(futures))
    assert type(there_and_back(futures)) is FutureList


def test_what_is_no_plain_value_is_lost_alone(client: Client) -> None:
    future = client.submit(abs, -1)
    assert there_and_back([future, object(), {"k": print}]) == [future, None, {"k": None}]


def test_an_actor_is_held_by_its_future(client: Client) -> None:
    actor = client.submit(dict, actor=True).result()
    held = held_in([actor, client.submit(abs, -1)])
    assert held is not None
    assert held.shape == ["list", ["actor", None]]
    assert [future.key for future in actors_in(held.shape, iter(held.futures))] == [actor.key]


def test_most_values_are_passed_over(client: Client) -> None:
    future = client.submit(abs, -1)
    endless: list[Any] = []
    endless.append(endless)
    namespace = {
        "x": future, "_": future, "_1": future, "In": ["x"], "number": 3, "text": "x", "many": list(range(1_000_000)), "late": [*range(100), future],
        "endless": endless, "kind": Future, "empty": [],
    }  # fmt: skip
    assert list(names_with_futures(namespace)) == ["x"]
    assert list(names_with_futures(namespace, hidden=["x"])) == []


def test_values_take_the_place_of_those_that_have_one(client: Client) -> None:
    a, b = client.map(abs, [-1, -2])
    assert with_values({"a": [a, (b, 3)], "b": {a}}, {a: 1}) == {"a": [1, (b, 3)], "b": {1}}
