"""How a task is made: its function, its arguments and its inputs, for a client that wants to run the call itself (`client.recreating`).

Nothing is opened here, and nothing is run: what a client has sent is given back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jupyterfut.core.scheduler.query import BadRequest
from jupyterfut.core.scheduler.state import ClientState, State


class Recipes:
    def __init__(self, state: State) -> None:
        self.state = state
        self.ops: dict[str, Callable[[ClientState, dict[str, Any]], Any]] = {"recipe": self.recipe}

    def recipe(self, client: ClientState, args: dict[str, Any]) -> dict[str, Any]:
        """Of the task `key`; if it has failed because another did, of the one that failed first.

        Answers its `key` and `origin`, its `function` (id) with `payload` and `name`, its `args`, the keys of its inputs (`dependencies`) with their
        sizes as far as they are known (`nbytes`; 0 is not known).
        """
        tasks = self.state.tasks
        key = args["key"]
        task = tasks.get(key)
        if task is None:
            raise BadRequest(f"the scheduler does not know {key!r} any more: its last future was gone", "NoSuchKey")
        if task.failure is not None and task.failure.key != task.key:
            first = tasks.get(task.failure.key)
            if first is None:
                raise BadRequest(f"{task.failure.key!r}, which failed before {key!r}, is not known any more", "NoSuchKey")
            task = first
        function = task.function
        if function is None:
            raise BadRequest(f"{task.key!r} is data, and no call")
        return {
            "key": task.key,
            "origin": task.options.origin,
            "function": function.id,
            "payload": function.payload,
            "name": function.name,
            "args": task.args,
            "dependencies": [dependency.key for dependency in task.dependencies],
            "nbytes": [dependency.nbytes for dependency in task.dependencies],
        }
