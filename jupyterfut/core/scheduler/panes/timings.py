"""How long calls take, by function: the topic "timings".

The sums are always kept (`groups`), the histograms only while somebody looks.
"""

from __future__ import annotations

from typing import ClassVar, Final

from jupyterfut.core.scheduler.groups import BOUNDS_S
from jupyterfut.core.scheduler.panes.source import Options, Snapshot, StateSource
from jupyterfut.wire import panes

ROWS: Final = 200


class Timings(StateSource):
    topic: ClassVar[str] = "timings"
    interval_s: ClassVar[float] = 0.5

    def begin(self) -> None:
        self.state.histograms = True
        for times in self.state.times.values():
            times.histogram = [0] * (len(BOUNDS_S) + 1)

    def end(self) -> None:
        self.state.histograms = False
        for times in self.state.times.values():
            times.histogram = None

    def snapshot(self, options: Options) -> Snapshot:
        rows = sorted((times for times in self.state.times.values() if times.count or times.erred), key=lambda times: -times.total_s)[:ROWS]
        told: panes.Timings = {
            "at": self.now(),
            "name": [times.name for times in rows],
            "count": [times.count for times in rows],
            "erred": [times.erred for times in rows],
            "total_s": [round(times.total_s, 6) for times in rows],
            "mean_s": [round(times.total_s / (times.count + times.erred), 9) for times in rows],
            "min_s": [times.min_s if times.count else 0.0 for times in rows],
            "max_s": [times.max_s for times in rows],
            "nbytes": [times.nbytes for times in rows],
            "bounds_s": list(BOUNDS_S),
            "histogram": [list(times.histogram or ()) for times in rows],
        }
        return dict(told)
