"""Events: flags that are set and cleared, and that many can wait for.

An event exists while it is set or somebody waits for it.
"""

from __future__ import annotations

from typing import Any

from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.coord import arguments
from jupyterfut.core.scheduler.parking import Parked
from jupyterfut.core.scheduler.state import ClientState, State
from jupyterfut.wire.messages import Reply


class Events:
    """Events that are set, and who waits for one that is not."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.flags: dict[str, None] = {}
        self.waiters: dict[str, dict[int, Parked]] = {}
        self._order = 0
        self.ops = {"event_set": self.set, "event_clear": self.clear, "event_is_set": self.is_set}
        self.late_ops = {"event_wait": self.wait}

    def set(self, client: ClientState, args: dict[str, Any]) -> None:
        """All who wait go on, and so does at once who comes later."""
        name = arguments.text(args, "name")
        self.flags[name] = None
        for parked in self.waiters.pop(name, {}).values():
            self._state.parked.answer(parked, True)

    def clear(self, client: ClientState, args: dict[str, Any]) -> None:
        """Who comes from now on waits again."""
        self.flags.pop(arguments.text(args, "name"), None)

    def is_set(self, client: ClientState, args: dict[str, Any]) -> bool:
        return arguments.text(args, "name") in self.flags

    def wait(self, client: ClientState, number: int, args: dict[str, Any]) -> None:
        """Answered with True once the event is set, with False when the time is over."""
        name, timeout_s = arguments.text(args, "name"), arguments.timeout_s(args)
        if name in self.flags or timeout_s == 0:
            post.append(self._state, client.outbox, Reply(number, name in self.flags, None))
            return
        self._order += 1
        order = self._order
        parked = self._state.parked.park(client, number, timeout_s, lambda: self._leave(name, order), False)
        self.waiters.setdefault(name, {})[order] = parked

    def _leave(self, name: str, order: int) -> None:
        waiters = self.waiters[name]
        del waiters[order]
        if not waiters:
            del self.waiters[name]

    # --- for invariants

    def left(self) -> list[str]:
        return [f"event {name}" for name in self.flags] + [f"{len(waiting)} who wait for event {name}" for name, waiting in self.waiters.items()]

    def wrong(self) -> list[str]:
        """What contradicts itself."""
        found = [f"event {name} is set, and {len(self.waiters[name])} wait" for name in self.flags if name in self.waiters]
        found += [f"a waiter for event {name} is not parked" for name, waiting in self.waiters.items() if not all(p.here for p in waiting.values())]
        return found
