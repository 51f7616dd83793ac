"""Published datasets: named values that stay until somebody takes them back, with the futures inside.

Unlike a variable's, a dataset's name is taken: publishing under it again needs to be said (`override`). A name is a string, a number or a tuple of
these (lists, on the wire).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from jupyterfut.core.scheduler.coord import arguments
from jupyterfut.core.scheduler.coord.values import Value, Values
from jupyterfut.core.scheduler.query import BadRequest
from jupyterfut.core.scheduler.state import ClientState, TaskState

Name: TypeAlias = str | int | float | tuple[Any, ...]


class Datasets:
    """All datasets by name."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self.values: dict[Name, Value] = {}
        self.ops = {"dataset_publish": self.publish, "dataset_list": self.names, "dataset_unpublish": self.unpublish}
        self.late_ops = {"dataset_get": self.get}

    def publish(self, client: ClientState, args: dict[str, Any]) -> None:
        """All of `items` ([name, payload, keys of the futures inside]), or none."""
        items = [(_name(name), payload, arguments.keys({"holds": keys}, "holds")) for name, payload, keys in args["items"]]
        taken = [name for name, _, _ in items if name in self.values]
        if taken and not args["override"]:
            raise BadRequest(f"dataset {taken[0]!r} exists already: publish it with override=True, or unpublish it first", "KeyError")
        for _, payload, _ in items:
            self._values.check(payload)
        for name, payload, keys in items:
            old = self.values.get(name)
            self.values[name] = self._values.make(payload, keys)
            if old is not None:
                self._values.drop(old)

    def get(self, client: ClientState, number: int, args: dict[str, Any]) -> None:
        """Answered with the payload."""
        value = self._find(args)
        self._values.give(client, number, value.payload, [self._values.make(value.payload, value.keys)], None)

    def names(self, client: ClientState, args: dict[str, Any]) -> list[Name]:
        return sorted(self.values, key=str)

    def unpublish(self, client: ClientState, args: dict[str, Any]) -> None:
        value = self._find(args)
        del self.values[_name(args["name"])]
        self._values.drop(value)

    def _find(self, args: dict[str, Any]) -> Value:
        name = _name(args["name"])
        value = self.values.get(name)
        if value is None:
            names = ", ".join(map(repr, sorted(self.values, key=str)[:20])) or "none"
            raise BadRequest(f"no dataset {name!r} (there are: {names})", "KeyError")
        return value

    # --- for invariants

    def held(self) -> Iterator[TaskState]:
        for value in self.values.values():
            yield from value.holds

    def left(self) -> list[str]:
        return [f"dataset {name}" for name in self.values]

    def wrong(self) -> list[str]:
        """What contradicts itself: nothing can."""
        return []


def _name(value: Any) -> Name:
    if type(value) in (list, tuple):
        return tuple(map(_name, value))
    if type(value) in (str, int, float):
        return value  # type: ignore[no-any-return]  # narrowed by its type
    raise BadRequest(f"a dataset's name is a string, a number, or a tuple of these, not {type(value).__name__}", "TypeError")
