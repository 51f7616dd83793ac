"""`performance_report`: what the cluster did while a block ran, as one HTML file that can be sent to anybody."""

from __future__ import annotations

import asyncio
import inspect
import linecache
import sys
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from jupyterfut._version import __version__
from jupyterfut.client import current, everywhere, task_stream
from jupyterfut.client.timeouts import Deadline
from jupyterfut.config import settings
from jupyterfut.core.profile import merge_plain
from jupyterfut.views import report
from jupyterfut.views.flame import Flame

if TYPE_CHECKING:
    from jupyterfut.client.client import Client

SOURCE_LINES = 200
"""Of the block's code."""

LOG_LINES = 200
"""Of each worker, the newest."""


class performance_report:  # noqa: N801  # the name that users of dask.distributed know
    """Write a page about what the cluster did inside the block: which tasks ran when and where, how long each kind took, what workers said.

        with performance_report(filename="report.html"):
            ...

    filename: where to; the page needs no other file and no network. stacklevel: whose code it shows: 1, the block's own. mode and storage_options
    are accepted and not used. In an asynchronous client: `async with`. The page is written also when the block raises. The cluster is that of the
    current client. Raises OSError, at the beginning, when the file cannot be written.

    >>> import tempfile, pathlib
    >>> from jupyterfut import Client, performance_report
    >>> path = pathlib.Path(tempfile.mkdtemp(), "report.html")
    >>> with Client(processes=False) as client:
    ...     with performance_report(filename=path):
    ...         total = client.submit(sum, [1, 2]).result()
    >>> "Performance report" in path.read_text(encoding="utf-8")
    True
    """

    def __init__(
        self, filename: str | Path = "jupyterfut-report.html", stacklevel: int = 1, mode: Any = None, storage_options: Any = None
    ) -> None:
        self.filename = Path(filename)
        self._stacklevel = stacklevel
        self._source = ""
        self._began = self._began_at = 0.0

    def __enter__(self) -> Self:
        client = self._begin(sys._getframe(self._stacklevel))
        if client.asynchronous:
            raise TypeError("with an asynchronous client, performance_report is entered with 'async with'")
        client._run(client._observing.record(1))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        client = self._client
        if client.status == "running":
            self.filename.write_text(client._run(self._page(client)), encoding="utf-8")

    async def __aenter__(self) -> Self:
        client = self._begin(sys._getframe(self._stacklevel))
        await client._on_loop(client._observing.record(1))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        client = self._client
        if client.status == "running":
            page = await client._on_loop(self._page(client))
            await asyncio.to_thread(self.filename.write_text, page, encoding="utf-8")

    def _begin(self, frame: FrameType) -> Client:
        with self.filename.open("a", encoding="utf-8"):
            pass  # a file that cannot be written is known before the work is done
        self._client = current.get_client()
        self._source = source_of_block(frame)
        self._began, self._began_at = time.monotonic(), time.time()
        return self._client

    async def _page(self, client: Client) -> str:
        duration_s = time.monotonic() - self._began
        try:
            rows = await task_stream.collect(client, self._began_at)
        finally:
            await client._observing.record(-1)
        patience_s = settings().client.timeout_s
        facts = await client._session.ask("identity", {}, Deadline(patience_s))
        asked = {"prefix": None, "start": self._began_at, "stop": None}
        trees = await everywhere.ask_each(client, "profile", asked, None, patience_s, "ignore")
        logs = await everywhere.ask_each(client, "logs", {"n": LOG_LINES}, None, patience_s, "ignore")
        view = report.ReportView(
            spans=await task_stream.spans(client, rows),
            workers=[_worker(address, worker) for address, worker in facts["workers"].items()],
            duration_s=duration_s,
            when=time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self._began_at)),
            address=client.address,
            versions={"jupyterfut": __version__, "Python": sys.version.split()[0]},
            source=self._source,
            logs=_logs(logs, facts["workers"]),
            profile=_profile(trees),
        )
        return await asyncio.to_thread(report.page, view)


def _worker(address: str, facts: dict[str, Any]) -> report.ReportWorker:
    metrics = facts["metrics"]
    return report.ReportWorker(
        facts["name"], address, facts["nthreads"], facts["memory_limit_bytes"], int(metrics.get("memory_bytes", 0)), facts["host"]
    )


def _profile(trees: dict[str, Any]) -> str:
    tree = merge_plain(trees.values())
    return Flame(tree)._repr_html_() if tree["count"] else ""


def _logs(logs: dict[str, list[list[str]]], workers: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Oldest first. Workers of one process (`processes=False`) have the same lines, which are shown once."""
    shown: dict[tuple[str, ...], list[str]] = {}
    for address, lines in logs.items():
        name = workers[address]["name"] if address in workers else address
        shown.setdefault(tuple(text for _level, text in reversed(lines)), []).append(name)
    return [(f"worker{'s' * (len(names) > 1)} {', '.join(names)}", list(texts)) for texts, names in shown.items()]


def source_of_block(frame: FrameType) -> str:
    """The lines of the `with` block that this frame is entering; "" when its source is not to be had."""
    lines = linecache.getlines(frame.f_code.co_filename, frame.f_globals)
    first = frame.f_lineno - 1
    if not 0 <= first < len(lines):
        return ""
    indent = len(lines[first]) - len(lines[first].lstrip())
    block = [lines[first]]
    for line in lines[first + 1 :]:
        if line.strip() and len(line) - len(line.lstrip()) <= indent and not line.lstrip().startswith((")", "]", "}")):
            break
        block.append(line)
        if len(block) == SOURCE_LINES:
            break
    return inspect.cleandoc("x\n" + "".join(block)).partition("\n")[2].rstrip()
