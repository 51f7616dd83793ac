"""Variables: one value each, read by many. Who reads one that is not set waits until it is.

A variable exists while it is set or somebody waits for it. `delete` drops the value; readers that come later, or wait, wait for the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jupyterfut.core.scheduler.coord import arguments
from jupyterfut.core.scheduler.coord.values import Value, Values
from jupyterfut.core.scheduler.parking import Parked
from jupyterfut.core.scheduler.query import BadRequest
from jupyterfut.core.scheduler.state import ClientState, State, TaskState
from jupyterfut.ids import Key
from jupyterfut.wire.messages import Failure


class Variables:
    """All variables by name: values, and who waits for one."""

    def __init__(self, state: State, values: Values) -> None:
        self._state = state
        self._values = values
        self.values: dict[str, Value] = {}
        self.readers: dict[str, dict[int, Parked]] = {}
        self._order = 0
        self.ops = {"variable_set": self.set, "variable_delete": self.delete}
        self.late_ops = {"variable_get": self.get}

    # --- requests

    def set(self, client: ClientState, args: dict[str, Any]) -> None:
        """Give the variable a value in place of the one that it had; all who wait get it."""
        name, payload, keys = arguments.text(args, "name"), args["value"], arguments.keys(args, "holds")
        self._values.check(payload)
        old = self.values.get(name)
        self.values[name] = self._values.make(payload, keys)
        if old is not None:
            self._values.drop(old)
        for parked in self.readers.pop(name, {}).values():
            self._state.parked.take(parked)
            self._give(parked.client, parked.id, self.values[name])

    def get(self, client: ClientState, number: int, args: dict[str, Any]) -> None:
        """Answered with the variable's payload, when it is set."""
        name, timeout_s = arguments.text(args, "name"), arguments.timeout_s(args)
        value = self.values.get(name)
        if value is not None:
            self._give(client, number, value)
            return
        late = f"the variable {name!r} is not set"
        if timeout_s == 0:
            raise BadRequest(late, "TimeoutError")
        self._order += 1
        order = self._order
        failure = Failure("TimeoutError", f"{late}, also after {timeout_s or 0:g} s", None, "", Key(""))
        parked = self._state.parked.park(client, number, timeout_s, lambda: self._leave(name, order), failure)
        self.readers.setdefault(name, {})[order] = parked

    def delete(self, client: ClientState, args: dict[str, Any]) -> None:
        """Drop the value, if there is one."""
        value = self.values.pop(arguments.text(args, "name"), None)
        if value is not None:
            self._values.drop(value)

    def _give(self, client: ClientState, number: int, value: Value) -> None:
        """The reader's copy holds the futures once more."""
        self._values.give(client, number, value.payload, [self._values.make(value.payload, value.keys)], None)

    def _leave(self, name: str, order: int) -> None:
        readers = self.readers[name]
        del readers[order]
        if not readers:
            del self.readers[name]

    # --- for invariants

    def held(self) -> Iterator[TaskState]:
        for value in self.values.values():
            yield from value.holds

    def left(self) -> list[str]:
        return [f"variable {name}" for name in self.values] + [f"{len(waiting)} readers of {name}" for name, waiting in self.readers.items()]

    def wrong(self) -> list[str]:
        """What contradicts itself."""
        found = [f"variable {name} is set, and {len(self.readers[name])} wait" for name in self.values if name in self.readers]
        found += [f"a reader of {name} is not parked" for name, waiting in self.readers.items() if not all(p.here for p in waiting.values())]
        return found
