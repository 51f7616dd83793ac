"""Which tasks ran when: rows from the workers themselves, on the client's clock (docs/design/decisions/task-stream.md).

Workers keep rows while somebody wants them, and the client asks each of them straight; the scheduler only passes on the wish. A worker's clock may
be wrong: it is compared with ours while it is asked, and its times are corrected.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from jupyterfut.client import current
from jupyterfut.client.everywhere import perform
from jupyterfut.client.timeouts import Deadline, to_seconds
from jupyterfut.config import settings
from jupyterfut.errors import JupyterfutError
from jupyterfut.views import stream
from jupyterfut.views.text import key_name

if TYPE_CHECKING:
    from jupyterfut.client.client import Client

Plot = bool | Literal["save"]
"""Whether to make a picture, and whether to write it to a file."""


class Figure(NamedTuple):
    """The picture of a task stream; a notebook shows it."""

    html: str  #: a piece of HTML that needs nothing else

    def save(self, filename: str) -> None:
        """Write it as a page."""
        Path(filename).write_text(stream.page(self.html), encoding="utf-8")

    def _repr_html_(self) -> str:
        return self.html


def get(client: Client, start: Any, stop: Any, count: Any, plot: Plot, filename: str) -> Any:
    """Rows, or rows and a figure. The first call of a client begins the recording."""
    if plot not in (True, False, "save"):
        raise ValueError(f"plot is True, False or 'save', not {plot!r}")
    if count is not None and (not isinstance(count, int) or count < 0):
        raise ValueError(f"count is a number of rows, not {count!r}")
    since, until = moment(start), moment(stop)
    return perform(client, _get(client, since, until, count, plot, filename))


async def _get(client: Client, since: float | None, until: float | None, count: int | None, plot: Plot, filename: str) -> Any:
    if not client._observing.is_recording:
        await client._observing.record(1)
    rows = await collect(client, since, until)
    if count is not None:
        rows = rows[:count] if since is not None and until is None else rows[len(rows) - min(count, len(rows)) :]
    if not plot:
        return rows
    figure = await _figure(client, rows, filename if plot == "save" else None)
    return rows, figure


async def _figure(client: Client, rows: list[dict[str, Any]], filename: str | None) -> Figure:
    figure = Figure(stream.figure(await spans(client, rows)))
    if filename is not None:
        await asyncio.to_thread(figure.save, filename)
    return figure


async def spans(client: Client, rows: list[dict[str, Any]]) -> list[stream.Span]:
    """Rows as the picture takes them, with the workers' names."""
    facts = await client._session.ask("identity", {}, Deadline(settings().client.timeout_s))
    names = {address: worker["name"] for address, worker in facts["workers"].items()}
    return [
        stream.Span(
            names.get(row["worker"], row["worker"]), row["thread"], row["prefix"], row["key"], row["action"], row["start"], row["stop"],
            row["nbytes"], row["status"] == "OK",
        )
        for row in rows
    ]  # fmt: skip


def moment(when: Any) -> float | None:
    """Seconds since 1970: of a number as it is, of a text or a `timedelta` so long ago. Raises ValueError."""
    if when is None or (isinstance(when, (int, float)) and not isinstance(when, bool)):
        return when
    ago_s = to_seconds(when)
    assert ago_s is not None
    return time.time() - ago_s


async def collect(client: Client, since: float | None, until: float | None = None) -> list[dict[str, Any]]:
    """The rows of all workers that are here which overlap with the time from `since` to `until`, by their start. On the session's loop."""
    here = await client._session.ask("nthreads", {}, Deadline(settings().client.timeout_s))
    found = await asyncio.gather(*(_of_worker(client, address, since) for address in here))
    rows = [row for of_worker in found for row in of_worker]
    rows = [row for row in rows if (since is None or row["stop"] >= since) and (until is None or row["start"] <= until)]
    rows.sort(key=lambda row: row["start"])
    return rows


async def _of_worker(client: Client, address: Any, since: float | None) -> list[dict[str, Any]]:
    """One worker's rows, in our time; none, if it is gone meanwhile."""
    ask = client._links.ask
    try:
        await ask(address, "clock", {})  # the first question may open the connection
        before = time.time()
        theirs = await ask(address, "clock", {})
        after = time.time()
        ahead_s = 0.0 if before <= theirs <= after else theirs - (before + after) / 2  # as far as we can tell, the clocks agree
        answer = await ask(address, "task_stream", {"since": None if since is None else since + ahead_s})
    except (OSError, JupyterfutError):
        return []
    return [_row(address, ahead_s, *values) for values in zip(*answer, strict=True)]


def _row(
    address: str, ahead_s: float, action: str, key: str, start: float, stop: float, thread: int, kind: str, nbytes: int, ok: bool
) -> dict[str, Any]:
    start, stop = start - ahead_s, stop - ahead_s
    return {
        "key": key,
        "prefix": key_name(key),
        "worker": address,
        "thread": thread,
        "action": action,
        "start": start,
        "stop": stop,
        "type": kind,
        "nbytes": nbytes,
        "status": "OK" if ok else "error",
        "startstops": [{"action": action, "start": start, "stop": stop}],
    }


class get_task_stream:  # noqa: N801  # the name that users of dask.distributed know
    """Record which tasks run inside the block: `with get_task_stream() as ts: ...`, then `ts.data`, rows as of `Client.get_task_stream`.

    client: whose cluster; default: the current one. plot: make a picture too, as `ts.figure`; with "save" it is also written to `filename`.
    In an asynchronous client: `async with`.

    >>> from jupyterfut import Client, get_task_stream
    >>> with Client(processes=False) as client:
    ...     with get_task_stream() as ts:
    ...         total = client.submit(sum, [1, 2]).result()
    >>> [(row["prefix"], row["type"]) for row in ts.data]
    [('sum', 'int')]
    """

    def __init__(self, client: Client | None = None, plot: Plot = False, filename: str = "task-stream.html") -> None:
        if plot not in (True, False, "save"):
            raise ValueError(f"plot is True, False or 'save', not {plot!r}")
        self.client = client
        self.data: list[dict[str, Any]] = []
        self.figure: Figure | None = None
        self._plot = plot
        self._filename = filename
        self._since = 0.0

    def __enter__(self) -> Self:
        self._begin()
        client = self._client
        if client.asynchronous:
            raise TypeError("with an asynchronous client, get_task_stream is entered with 'async with'")
        client._run(client._observing.record(1))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        client = self._client
        if client.status == "running":
            client._run(self._end(client))

    async def __aenter__(self) -> Self:
        self._begin()
        client = self._client
        await client._on_loop(client._observing.record(1))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        client = self._client
        if client.status == "running":
            await client._on_loop(self._end(client))

    def _begin(self) -> None:
        if self.client is None:
            self.client = current.get_client()
        self._since = time.time()

    @property
    def _client(self) -> Client:
        assert self.client is not None
        return self.client

    async def _end(self, client: Client) -> None:
        try:
            self.data.extend(await collect(client, self._since))
        finally:
            await client._observing.record(-1)
        if self._plot:
            self.figure = await _figure(client, self.data, self._filename if self._plot == "save" else None)
