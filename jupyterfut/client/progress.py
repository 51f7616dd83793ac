"""`progress`: how far futures are, in one line of the terminal that redraws itself; or, in a notebook, what the notebook layer draws.

Nothing polls: each future's own waiter puts it into a queue here, and whoever waits draws when something has come, at most ten times a second. In a
notebook the plugin `notebook` of the group `progress` is asked to draw, if there is one.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TextIO

from jupyterfut import plugins
from jupyterfut.client.futures import Future, futures_within
from jupyterfut.client.latches import LoopGate, ThreadGate
from jupyterfut.client.terminal import Line, in_notebook
from jupyterfut.core.client.state import Record
from jupyterfut.views.text import key_name

if TYPE_CHECKING:
    from jupyterfut.client.client import Client

DRAW_S = 0.1
"""Between two drawings."""

BAR_CHARS = 40
GROUPS_SHOWN = 4


def progress(
    *futures: Any,
    notebook: bool | None = None,
    multi: bool = True,
    complete: bool = True,
    group_by: str | Callable[[str], str] = "prefix",
    file: TextIO | None = None,
    **options: Any,
) -> Any:
    """Show how far the futures are until all have come to an end, well or not. Takes futures, containers of futures however nested, dask collections.

    In a terminal: one line with a bar, on `file` (default: `sys.stderr`); where that is no terminal, one plain line at the end. In a notebook (found
    by itself; `notebook=True` or False decides) a form that moves by itself and ends in its final state; there `progress` returns at once.

    multi: say how far each group of tasks is, beside the bar. group_by: "prefix", the name before a key's hash; or a function of the key. complete:
    count what has ended already; if False, only what has not. A list that grows meanwhile is followed: what is added to it counts too (in a notebook
    a single `FutureList`, such as `map` returns). `options` are for other displays that are plugged in.

    Blocks until the end, or returns an awaitable in an asynchronous client; a KeyboardInterrupt leaves at once, and the tasks go on. Raises
    TypeError for what holds no futures. Its name and arguments are those of dask.distributed.

    >>> from jupyterfut import Client
    >>> with Client(processes=False) as client:
    ...     progress(client.map(abs, range(-3, 0)), file=sys.stdout)  # doctest: +ELLIPSIS
    3 of 3 done in ... s
    """
    if group_by != "prefix" and not callable(group_by):
        raise ValueError(f"group_by is 'prefix' or a function of a key, not {group_by!r}")
    wanted = list(dict.fromkeys(future for one in futures for future in futures_within(one, "progress")))
    group: Callable[[str], str] = key_name if group_by == "prefix" else group_by  # type: ignore[assignment]  # a function by now
    if in_notebook() if notebook is None else notebook:
        draw = _notebook_display()
        if draw is not None:
            try:
                draw(futures, wanted, multi=multi, complete=complete, group=group, **options)
            except NotImplementedError:  # `notebook=True` where there is none: the line it is
                draw = None
        if draw is not None:
            from jupyterfut.client.topics import Said

            return Said() if wanted and wanted[0].client.asynchronous else None
    if options:
        raise TypeError(f"progress() in a terminal takes no option {', '.join(map(repr, options))}")
    board = _Board(futures, wanted, group, complete, multi, Line(sys.stderr if file is None else file))
    if wanted and wanted[0].client.asynchronous:
        return board.follow_async()
    board.follow()
    return None


def _notebook_display() -> Callable[..., Any] | None:
    return plugins.load("progress", "notebook") if "notebook" in plugins.names("progress") else None


class _Waiter:
    """What stands in a record's waiters."""

    __slots__ = ("board", "count")

    def __init__(self, board: _Board) -> None:
        self.board = board
        self.count = 0  # set by `Session.watch`

    def __call__(self, record: Record) -> None:
        self.board.arrived(record)


class _Board:
    """The futures that are shown, and how far they are."""

    def __init__(self, sources: Iterable[Any], futures: list[Future], group: Callable[[str], str], complete: bool, multi: bool, line: Line) -> None:
        self._lists = [source for source in sources if isinstance(source, list)]
        self._lengths = [len(source) for source in self._lists]
        self._group = group
        self._multi = multi
        self._line = line
        self._began = time.monotonic()
        self._drawn = 0.0
        self._futures: dict[Record, Future] = {}  # keeps them alive
        self._groups: dict[str, list[int]] = {}  # name -> [of how many, done]
        self._done = self._failed = 0
        self._waiters: list[tuple[Client, list[Record], _Waiter]] = []
        self._lock = threading.Lock()
        self._news: deque[Record] = deque()
        self._left = 0  # that have not come to an end
        self._gate: ThreadGate | LoopGate | None = None
        self._eager = True  # open the gate at the first news; else when nothing is left
        self._add(futures, complete)

    # --- what there is

    def _add(self, futures: list[Future], complete: bool = True) -> None:
        by_client: dict[Client, list[Record]] = {}
        for future in futures:
            record = future._record
            if record in self._futures or not (complete or record.status == "pending"):
                continue
            self._futures[record] = future
            self._groups.setdefault(self._group(record.key), [0, 0])[0] += 1
            by_client.setdefault(future._client, []).append(record)
        with self._lock:
            self._left += sum(map(len, by_client.values()))
        for client, records in by_client.items():
            waiter = _Waiter(self)
            self._waiters.append((client, records, waiter))
            watched: set[Record] = set()
            with client._session.lock:
                watched.update(record for record in records if record.status == "pending")
                client._session.watch(records, waiter)
            for record in records:
                if record not in watched:
                    self.arrived(record)

    def arrived(self, record: Record) -> None:
        """A future has come to its end. From any thread."""
        with self._lock:
            self._news.append(record)
            self._left -= 1
            if self._gate is not None and (self._eager or not self._left):
                self._gate.open()

    def _read(self) -> bool:
        """Take in the news, and what lists have grown by. False: there is nothing left to wait for."""
        while self._news:
            record = self._news.popleft()
            self._groups[self._group(record.key)][1] += 1
            self._done += 1
            self._failed += record.status != "finished"
        for i, source in enumerate(self._lists):
            if len(source) > self._lengths[i]:
                fresh, self._lengths[i] = source[self._lengths[i] :], len(source)
                self._add(futures_within(fresh, "progress"))
        return self._done < len(self._futures)

    # --- waiting

    def follow(self) -> None:
        """Draw until all have come to an end."""
        try:
            while self._read():
                self._draw()
                self._wait_for(ThreadGate(), True).wait(None)
                if (left_s := self._drawn + DRAW_S - time.monotonic()) > 0:
                    self._wait_for(ThreadGate(), False).wait(left_s)
        except BaseException:
            self._leave()
            raise
        self._end()

    async def follow_async(self) -> None:
        """The same on an event loop."""
        try:
            while self._read():
                self._draw()
                await self._wait_for(LoopGate(), True).wait(None)
                if (left_s := self._drawn + DRAW_S - time.monotonic()) > 0:
                    await self._wait_for(LoopGate(), False).wait(left_s)
        except BaseException:
            self._leave()
            raise
        self._end()

    def _wait_for(self, gate: Any, eager: bool) -> Any:
        with self._lock:
            self._gate, self._eager = gate, eager
            if not self._left or (eager and self._news):
                gate.open()
        return gate

    def _leave(self) -> None:
        for client, records, waiter in self._waiters:
            client._session.unwatch(records, waiter)
        if self._line.live:
            self._line.end()

    # --- drawing

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        if self._line.live:
            self._line.rewrite(self._text())

    def _text(self) -> str:
        total = len(self._futures)
        text = f"{self._done:,} of {total:,}"
        if self._failed:
            text += f", {self._failed:,} failed"
        text += f"  {_seconds(self._drawn - self._began)}"
        if self._multi and len(self._groups) > 1:
            busy = [f"{name} {done:,}/{of:,}" for name, (of, done) in self._groups.items() if done < of]
            text += "  " + ", ".join(busy[:GROUPS_SHOWN]) + (", ..." if len(busy) > GROUPS_SHOWN else "")
        columns = self._line.columns
        chars = min(BAR_CHARS, columns - len(text) - 2)
        return f"{self._line.bar(self._done / max(1, total), chars)}  {text}" if chars >= 8 else text[: max(1, columns)]

    def _end(self) -> None:
        if not self._futures:
            return
        total, failed = len(self._futures), self._failed
        losses = f", {failed:,} failed" if failed else ""
        text = f"{total - failed:,} of {total:,} done{losses} in {_seconds(time.monotonic() - self._began)}"
        if self._line.live:
            columns = self._line.columns
            chars = min(BAR_CHARS, columns - len(text) - 2)
            self._line.rewrite(f"{self._line.bar(1 - failed / total, chars)}  {text}" if chars >= 8 else text[: max(1, columns)])
            self._line.end()
        else:
            self._line.say(text)


def _seconds(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
