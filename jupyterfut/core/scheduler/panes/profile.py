"""Where the workers' threads have been since somebody looks: the topic "profile", for a flame graph.

Workers send what their samplers have seen since the last time (`Sampled`), pruned; here it is added up, and each viewer gets as much of the sum as a
screen can show, of all tasks or of the calls of one function (option `name`).
"""

from __future__ import annotations

from typing import Any, ClassVar

from jupyterfut.core.samples import Flame
from jupyterfut.core.scheduler.panes.source import Options, Snapshot, StateSource
from jupyterfut.core.scheduler.query import BadRequest
from jupyterfut.core.scheduler.state import WorkerState
from jupyterfut.wire import panes
from jupyterfut.wire.messages import Sampled


class Profile(StateSource):
    topic: ClassVar[str] = "profile"
    interval_s: ClassVar[float] = 1.0

    _flame: Flame | None = None

    def options(self, given: Options) -> Options:
        name = given.get("name", "")
        if type(name) is not str:
            raise BadRequest("the option name of the topic 'profile' is a function's name")
        super().options({option: value for option, value in given.items() if option != "name"})
        return {"name": name}

    def begin(self) -> None:
        self._flame = Flame()
        self._since = self.now()
        self._seconds = 0.0  # that all samples stand for
        self._trees: dict[str, tuple[int, panes.FlameNode]] = {}  # by the option: made of so many samples

    def end(self) -> None:
        self._flame = None
        self._trees = {}

    def heard(self, worker: WorkerState, value: Any) -> None:
        if self._flame is not None and type(value) is Sampled:
            before = self._flame.samples
            self._flame.add(value.frames, value.trees)
            self._seconds += value.interval_s * (self._flame.samples - before)

    def snapshot(self, options: Options) -> Snapshot:
        flame, name = self._flame, options["name"]
        assert flame is not None
        samples = flame.samples
        made = self._trees.get(name)
        if made is None or made[0] != samples:
            if len(self._trees) > 100:
                self._trees.clear()
            made = self._trees[name] = (samples, flame.tree(name))
        told: panes.Profile = {
            "at": self.now(),
            "since": self._since,
            "interval_s": round(self._seconds / samples, 6) if samples else 0.0,
            "samples": made[1]["count"],
            "functions": flame.functions()[:200],
            "root": made[1],
        }
        return dict(told)

    def differs(self, one: Snapshot, other: Snapshot) -> bool:
        return bool(one["samples"] != other["samples"] or one["functions"] != other["functions"])
