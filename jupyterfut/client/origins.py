"""Whose call is it? Every task carries its origin, so that what it prints finds its way back, and what one notebook cell has begun can be stopped.

The origin of a call is the client that makes it, and in a notebook also the cell that runs: `<client id>` or `<client id>/<cell>`. A task that
submits tasks hands its own origin on, however deep. The notebook layer puts a function into `cell_of_call`; nothing here knows about notebooks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jupyterfut.runtime.context import current_origin
from jupyterfut.wire.messages import TaskOptions

cell_of_call: Callable[[], str] | None = None
"""Set by the notebook layer: a short name, without "/", of the cell that is running; "" for none."""

facts_of_cell: Callable[[str], dict[str, Any] | None] | None = None
"""Set by the notebook layer: what the scheduler is told of a cell, once for each client, before the cell's first task (the request `cell_told`)."""

SEPARATOR = "/"


class Origins:
    """The origins of one client's calls. `client_id` is "" for the client that a worker's tasks share, whose calls always belong to a task. `tell` is
    given the facts of a cell when its first task is about to be sent."""

    __slots__ = ("_client_id", "_last", "_tell", "_told")

    def __init__(self, client_id: str, tell: Callable[[dict[str, Any]], object] = lambda facts: None) -> None:
        self._client_id = client_id
        self._tell = tell
        self._told: set[str] = set()
        self._last = (TaskOptions(), "", TaskOptions())

    def here(self) -> str:
        """The origin of a call that the calling thread makes now."""
        task = current_origin()
        if task is not None:
            return task[1]
        client_id = self._client_id
        if cell_of_call is None or not client_id:
            return client_id
        cell = cell_of_call()
        return f"{client_id}{SEPARATOR}{cell}" if cell else client_id

    def mark(self, options: TaskOptions) -> TaskOptions:
        """These options for a call that is made here and now. Calls that follow each other share one object."""
        origin = self.here()
        plain, last_origin, marked = self._last
        if options is plain and origin == last_origin:
            return marked
        marked = options._replace(origin=origin)
        if origin != last_origin:
            self._introduce(origin)
        self._last = (options, origin, marked)
        return marked

    def begin_again(self) -> None:
        """The scheduler has forgotten what it was told of cells."""
        self._told.clear()
        self._last = (TaskOptions(), "", TaskOptions())

    def _introduce(self, origin: str) -> None:
        client, cell = client_and_cell(origin)
        if cell and client == self._client_id and cell not in self._told and facts_of_cell is not None:
            self._told.add(cell)
            facts = facts_of_cell(cell)
            if facts is not None:
                self._tell(facts)


def client_and_cell(origin: str) -> tuple[str, str]:
    """The two halves of an origin; the cell is "" where there is none.

    >>> client_and_cell("client-1/7"), client_and_cell("client-1")
    (('client-1', '7'), ('client-1', ''))
    """
    client, _, cell = origin.partition(SEPARATOR)
    return client, cell
