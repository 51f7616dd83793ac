"""What ran where and when: the topic "task-stream".

Workers tell by themselves while somebody looks (`Ran`), already condensed: a row may stand for thousands of short calls. Here their times become
ours, their lanes and the functions' names become numbers, and the rows are kept for a while, so that who comes later begins with the last of them.
The ring stays for some minutes when nobody looks any more: a page that is loaded again goes on where it was.
"""

from __future__ import annotations

from collections import deque
from itertools import chain
from typing import Any, ClassVar, Final

from jupyterfut.core.scheduler.panes.source import Options, Snapshot, Source
from jupyterfut.core.scheduler.state import WorkerState
from jupyterfut.wire import panes
from jupyterfut.wire.messages import Ran

ROWS_KEPT: Final = 20_000
"""So many rows are told to who begins to look."""

ROWS_A_TURN: Final = 10_000
"""So many new rows at most are told at once; of more the oldest are only counted."""

KEYS_A_TURN: Final = 2_000
"""Of more rows than this the keys are not told."""

LANES_KEPT: Final = 20_000
NAMES_KEPT: Final = 10_000
"""Beyond these all begin anew: workers have come and gone for long."""

FORGOTTEN_S: Final = 300.0
"""What is kept goes when nobody has looked for so long, and somebody does again."""

COLUMNS: Final = ("lane", "name", "kind", "start", "stop", "busy_s", "count", "erred", "nbytes", "key")

Columns = dict[str, list[Any]]


class TaskStream(Source):
    topic: ClassVar[str] = "task-stream"
    interval_s: ClassVar[float] = 0.1

    _on = False
    _ended_at = float("-inf")

    def begin(self) -> None:
        if self.state.now - self._ended_at > FORGOTTEN_S:
            self._begin_anew()
        self._on = True

    def end(self) -> None:
        self._on = False
        self._ended_at = self.state.now
        self._pending = _no_rows()
        self._open.clear()

    def _begin_anew(self) -> None:
        self._base = self.now()
        self._lanes: dict[tuple[str, int], int] = {}
        self._lane_rows: list[panes.Lane] = []
        self._names: dict[str, int] = {}
        self._told = (0, 0)  # how many lanes and names the last turn had
        self._kept: deque[Columns] = deque()
        self._kept_rows = 0
        self._pending = _no_rows()
        self._dropped = 0
        self._open: dict[WorkerState, list[tuple[int, int, float, str]]] = {}  # what runs for long, by lane, name, start, key
        self._stirred = False  # something has come since the last turn
        self._fresh: Snapshot | None = None  # what the last turn tells

    def worker_left(self, worker: WorkerState) -> None:
        self._stirred = self._open.pop(worker, None) is not None or self._stirred

    def heard(self, worker: WorkerState, value: Any) -> None:
        if not self._on or type(value) is not Ran or worker.address not in self.state.workers:
            return
        offset = self.machine.panes.clocks.offset(worker, self.state.now, value.now) + self.state.epoch_s - self._base
        lane_of, name_of = self._lane, self._name
        lanes = {thread: lane_of(worker, thread) for thread in dict.fromkeys(value.threads)}
        names = {name: name_of(name) for name in dict.fromkeys(value.names)}
        rows: Columns = {
            "lane": [lanes[thread] for thread in value.threads],
            "name": [names[name] for name in value.names],
            "kind": value.kinds,
            "start": [round(at + offset, 6) for at in value.starts],
            "stop": [round(at + offset, 6) for at in value.stops],
            "busy_s": value.busy_s,
            "count": value.counts,
            "erred": value.erred,
            "nbytes": value.nbytes,
            "key": value.keys,
        }
        before = self._open.pop(worker, [])
        if 0 in value.counts:
            running = [i for i, count in enumerate(value.counts) if not count]
            self._open[worker] = [(rows["lane"][i], rows["name"][i], rows["start"][i], rows["key"][i]) for i in running]
            ended = [i for i, count in enumerate(value.counts) if count]
            rows = {name: [column[i] for i in ended] for name, column in rows.items()}
        self._stirred = self._stirred or bool(rows["lane"]) or before != self._open.get(worker, [])
        self._dropped += value.dropped
        for name, column in self._pending.items():
            column.extend(rows[name])

    def _lane(self, worker: WorkerState, thread: int) -> int:
        lane = self._lanes.get((worker.address, thread))
        if lane is None:
            lane = self._lanes[worker.address, thread] = len(self._lane_rows)
            self._lane_rows.append({"worker": worker.name, "address": worker.address, "thread": thread})
        return lane

    def _name(self, name: str) -> int:
        return self._names.setdefault(name, len(self._names))

    # --- turns

    def collect(self) -> None:
        self._fresh = None
        if not self._stirred:
            return
        self._stirred = False
        if len(self._lane_rows) > LANES_KEPT or len(self._names) > NAMES_KEPT:
            self._begin_anew()
            self._fresh = self.whole({})
            return
        rows, self._pending = self._pending, _no_rows()
        n = len(rows["lane"])
        if n > ROWS_A_TURN:
            self._dropped += n - ROWS_A_TURN
            rows = {name: column[-ROWS_A_TURN:] for name, column in rows.items()}
            n = ROWS_A_TURN
        if n > KEYS_A_TURN:
            rows["key"] = [""] * n
        if n:
            self._kept.append(rows)
            self._kept_rows += n
            while self._kept_rows > ROWS_KEPT:
                self._kept_rows -= len(self._kept.popleft()["lane"])
        lanes, names = self._told
        self._told = (len(self._lane_rows), len(self._names))
        self._fresh = self._message(False, self._lane_rows[lanes:], list(self._names)[names:], rows)
        self._dropped = 0

    def news(self, options: Options) -> Snapshot | None:
        return self._fresh

    def whole(self, options: Options) -> Snapshot:
        lanes, names = self._told
        rows = {name: list(chain.from_iterable(chunk[name] for chunk in self._kept)) for name in COLUMNS}
        return self._message(True, self._lane_rows[:lanes], list(self._names)[:names], rows)

    def _message(self, reset: bool, lanes: list[panes.Lane], names: list[str], rows: Columns) -> Snapshot:
        last_lane, last_name = self._told  # what has come since is told with the next turn
        running = [row for of_worker in self._open.values() for row in of_worker if row[0] < last_lane and row[1] < last_name]
        told: panes.TaskStream = {
            "reset": reset,
            "base": self._base,
            "now": round(self.now() - self._base, 6),
            "lanes": list(lanes),
            "names": names,
            "lane": rows["lane"],
            "name": rows["name"],
            "kind": rows["kind"],
            "start": rows["start"],
            "stop": rows["stop"],
            "busy_s": rows["busy_s"],
            "count": rows["count"],
            "erred": rows["erred"],
            "nbytes": rows["nbytes"],
            "key": rows["key"],
            "open_lane": [row[0] for row in running],
            "open_name": [row[1] for row in running],
            "open_start": [row[2] for row in running],
            "open_key": [row[3] for row in running],
            "dropped": 0 if reset else self._dropped,
        }
        return dict(told)


def _no_rows() -> Columns:
    return {name: [] for name in COLUMNS}
