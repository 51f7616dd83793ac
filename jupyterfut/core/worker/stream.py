"""From everything that took time on a worker to the few rows that somebody can look at.

What runs for long is a row of its own. Calls shorter than the grain that follow each other on one thread become one row, which says how many they
were and how long they took together: while one function is called again and again for as long as that goes on, and where several take turns, one row
for each of them in every grain. So the number of rows is bounded by threads and time, and never by tasks. `Stream` is fed with rows as the executor
writes them and gives columns as `Ran` carries them; it is used from one thread, and knows no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Final, TypeAlias

COMPUTE: Final = 0
TRANSFER: Final = 1
DISK: Final = 2

LANES: Final = 64
"""So many threads of a worker have a lane of their own; what the others run is seen in the last one."""

ASIDE: Final = 4
"""So many transfers, and reads and writes, that overlap have a lane each: -1, -2, ..."""

TURNS: Final = 4
"""So many functions that take turns within one grain are told apart; the rest of them are one row."""

ROWS: Final = 5_000
"""At most so many rows between two `take`."""

OTHERS: Final = "others"

Row: TypeAlias = tuple[str, str, float, float, int, str, int, bool, str]
"""action (compute, actor, transfer, read, write), key, start, stop, thread, type of the result, its size, whether it went well, the function's
name. Times are `perf_counter()` of the process. A bare tuple: a named one costs a task more than everything else here."""

Alive: TypeAlias = Callable[[], Collection[int]]

_KINDS: Final = {"compute": COMPUTE, "actor": COMPUTE, "transfer": TRANSFER, "read": DISK, "write": DISK}


class Tally:
    """Calls that are one row."""

    __slots__ = ("busy_s", "count", "erred", "key", "kind", "name", "nbytes")

    def __init__(self, kind: int, name: str, key: str, nbytes: int, busy_s: float, erred: int) -> None:
        self.kind = kind
        self.name = name
        self.key = key
        self.nbytes = nbytes
        self.busy_s = busy_s
        self.count = 1
        self.erred = erred

    def add(self, nbytes: int, busy_s: float, erred: int) -> None:
        self.nbytes += nbytes
        self.busy_s += busy_s
        self.count += 1
        self.erred += erred


class Run:
    """Short calls that follow each other in one lane. One function: it goes on as long as they do. Several: until `until`."""

    __slots__ = ("others", "start", "stop", "tally", "until")

    def __init__(self, start: float, stop: float, until: float, tally: Tally) -> None:
        self.start = start
        self.stop = stop
        self.until = until
        self.tally = tally
        self.others: dict[str, Tally] | None = None  # a dict: several functions, the first one included


class Stream:
    """One worker's. `grain_s`: calls shorter than this are told together.

    >>> stream = Stream(grain_s=0.01)
    >>> stream.feed([("compute", f"inc-{i}", i / 1000, (i + 0.8) / 1000, 77, "int", 28, True, "inc") for i in range(5)], lambda: {77})
    >>> stream.feed([("compute", "slow-1", 0.005, 0.105, 77, "int", 28, True, "slow")], lambda: {77})
    >>> rows = stream.take()
    >>> rows["names"], rows["counts"], rows["starts"], rows["keys"], [round(busy, 4) for busy in rows["busy_s"]]
    (['inc', 'slow'], [5, 1], [0.0, 0.005], ['', 'slow-1'], [0.004, 0.1])
    """

    def __init__(self, grain_s: float) -> None:
        self.grain_s = grain_s
        self.dropped = 0
        self._threads: dict[int, int] = {}  # a thread's identity -> its lane
        self._runs: dict[int, Run] = {}  # by lane
        self._aside: list[float] = []  # for each lane of transfers, when its last one ended
        self._columns = _empty()

    def lane(self, ident: int, alive: Alive) -> int:
        """The lane of a thread: the lowest number that no thread has which lives."""
        lane = self._threads.get(ident)
        if lane is None:
            here = alive()
            for gone in [other for other in self._threads if other not in here]:
                del self._threads[gone]
            taken = set(self._threads.values())
            lane = next((number for number in range(LANES) if number not in taken), LANES - 1)
            self._threads[ident] = lane
        return lane

    def feed(self, rows: Iterable[Row], alive: Alive) -> None:
        """Take in rows, in the order of their ends. `alive()`: the identities of the threads that there are."""
        grain_s, threads, runs = self.grain_s, self._threads, self._runs
        for action, key, start, stop, ident, _, nbytes, ok, name in rows:
            kind = _KINDS[action]
            lane = threads.get(ident) if kind == COMPUTE else self._lane_aside(start, stop)
            if lane is None:
                lane = self.lane(ident, alive)
            took_s = stop - start
            run = runs.get(lane)
            if took_s >= grain_s:
                if run is not None:
                    self._flush(lane, runs.pop(lane))
                self._write(lane, Tally(kind, name, key, nbytes, took_s, not ok), start, stop)
            elif run is None:
                runs[lane] = Run(start, stop, start + grain_s, Tally(kind, name, key, nbytes, took_s, not ok))
            elif run.others is None and run.tally.name == name and start - run.stop < grain_s:
                tally = run.tally  # by far the most frequent way, and so written out
                tally.nbytes += nbytes
                tally.busy_s += took_s
                tally.count += 1
                if not ok:
                    tally.erred += 1
                run.stop = stop
            elif start < run.until and (run.others is not None or run.stop < run.until):
                self._take_turns(run, kind, name, key, nbytes, took_s, not ok)
                run.stop = stop
            else:
                self._flush(lane, run)
                runs[lane] = Run(start, stop, start + grain_s, Tally(kind, name, key, nbytes, took_s, not ok))

    def still(self, rows: Iterable[tuple[str, float, int, str]], now: float, alive: Alive) -> None:
        """Calls that have not ended: (key, start, thread, name). They are rows with a count of 0, which end now; to be said just before `take`."""
        for key, start, ident, name in rows:
            tally = Tally(COMPUTE, name, key, 0, now - start, 0)
            tally.count = 0
            self._write(self.lane(ident, alive), tally, start, now)

    def take(self) -> dict[str, list[object]]:
        """What there is, as columns named as in `Ran`. It is given away."""
        runs = self._runs
        for lane, run in runs.items():
            self._flush(lane, run)
        runs.clear()
        columns, self._columns = self._columns, _empty()
        return columns

    # --- inside

    def _lane_aside(self, start: float, stop: float) -> int:
        """The first lane that is free when this begins; the last one if none is."""
        ends = self._aside
        for i, end in enumerate(ends):
            if end <= start:
                ends[i] = stop
                return -1 - i
        if len(ends) < ASIDE:
            ends.append(stop)
        else:
            ends[-1] = stop
        return -len(ends)

    @staticmethod
    def _take_turns(run: Run, kind: int, name: str, key: str, nbytes: int, took_s: float, erred: int) -> None:
        others = run.others
        if others is None:
            others = run.others = {run.tally.name: run.tally}
        if name not in others and len(others) >= TURNS:
            name = OTHERS
        tally = others.get(name)
        if tally is None:
            others[name] = Tally(kind, name, key, nbytes, took_s, erred)
        else:
            tally.add(nbytes, took_s, erred)

    def _flush(self, lane: int, run: Run) -> None:
        """Its rows: one, or one for each function, side by side, each as long as its share."""
        if run.others is None:
            self._write(lane, run.tally, run.start, run.stop)
            return
        tallies = run.others.values()
        scale = (run.stop - run.start) / max(sum(tally.busy_s for tally in tallies), 1e-12)
        at = run.start
        for tally in tallies:
            end = min(run.stop, at + tally.busy_s * scale)
            self._write(lane, tally, at, end)
            at = end

    def _write(self, lane: int, tally: Tally, start: float, stop: float) -> None:
        columns = self._columns
        if len(columns["threads"]) >= ROWS:
            self.dropped += 1
            return
        columns["threads"].append(lane)
        columns["names"].append(tally.name)
        columns["kinds"].append(tally.kind)
        columns["starts"].append(start)
        columns["stops"].append(stop)
        columns["busy_s"].append(round(tally.busy_s, 7))
        columns["counts"].append(tally.count)
        columns["erred"].append(int(tally.erred))
        columns["nbytes"].append(tally.nbytes)
        columns["keys"].append(tally.key if tally.count <= 1 else "")


def _empty() -> dict[str, list[object]]:
    return {name: [] for name in ("threads", "names", "kinds", "starts", "stops", "busy_s", "counts", "erred", "nbytes", "keys")}
