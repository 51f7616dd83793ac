"""Looking at the frames of threads keeps none of them, and nothing of what is in them, alive."""

from __future__ import annotations

import gc
import weakref

from jupyterfut.core.profile import History, prefix_of
from jupyterfut.runtime.profiler import Profiler, stacks


class Precious:
    """Something that a user's variable names."""


def test_a_look_keeps_no_frame_alive() -> None:
    def look() -> weakref.ref[Precious]:
        precious = Precious()
        Profiler([], lambda: False, "nobody", 1.0, 1.0)._look(History(1.0, 10), prefix_of)
        assert list(stacks([])) == []
        return weakref.ref(precious)

    gc.disable()
    try:
        assert look()() is None
    finally:
        gc.enable()
