"""Whose call is it? Every task carries its origin, so that what it prints finds its way back, and what one notebook cell has begun can be stopped.

The origin of a call is the client that makes it, and in a notebook also the cell that runs: `<client id>` or `<client id>/<cell>`. A task that
submits tasks hands its own origin on, however deep. The notebook layer puts a function into `cell_of_call`; nothing here knows about notebooks.
"""

from __future__ import annotations

from collections.abc import Callable

from jupyterfut.runtime.context import current_origin
from jupyterfut.wire.messages import TaskOptions

cell_of_call: Callable[[], str] | None = None
"""Set by the notebook layer: a short name, without "/", of the cell that is running; "" for none."""

SEPARATOR = "/"


class Origins:
    """The origins of one client's calls. `client_id` is "" for the client that a worker's tasks share, whose calls always belong to a task."""

    __slots__ = ("_client_id", "_last")

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
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
        self._last = (options, origin, marked)
        return marked


def client_and_cell(origin: str) -> tuple[str, str]:
    """The two halves of an origin; the cell is "" where there is none.

    >>> client_and_cell("client-1/7"), client_and_cell("client-1")
    (('client-1', '7'), ('client-1', ''))
    """
    client, _, cell = origin.partition(SEPARATOR)
    return client, cell
