"""What can be set about a worker's machine. Times in seconds, sizes in bytes. The scheduler's `Welcome.info` may overrule the ones it names there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Frozen settings of one worker's machine."""

    inline_bytes: int = 16_384  #: a result up to this size travels inside `TasksDone`. Ruled by the scheduler's `Welcome.info["inline_bytes"]`
    lookahead_s: float = 0.01  #: how much work, a thread, may lie in the run queue beyond one call a thread: twice Python's default switch interval
    heartbeat_s: float = 1.0  #: ruled by `Welcome.info["heartbeat_s"]`
    retry_first_s: float = 0.1  #: wait after the first failed connect; doubles up to `retry_max_s`
    retry_max_s: float = 5.0
    give_up_s: float | None = None  #: how long to look for a scheduler before the worker ends; None: for ever
    journal_size: int = 20_000  #: entries kept for `story(key)`
