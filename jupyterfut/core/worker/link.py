"""The worker's stream to its scheduler: when to connect, how long to wait between attempts, when to beat.

A worker connects as soon as it starts and again at once when the stream breaks; while nobody answers, it waits twice as long each time. It gives up
after `give_up_s` without a scheduler, or at once when the scheduler turned it away.
"""

from __future__ import annotations

from typing import Literal

from jupyterfut.core.worker.settings import WorkerSettings

LinkState = Literal["idle", "connecting", "backing off", "greeting", "up", "ended"]
"""idle: not started. connecting: `Connect` is under way. greeting: hello is said, no welcome yet. ended: closed for good."""


class Link:
    """State of the stream, and the times at which the machine wants to be woken for it."""

    __slots__ = ("beat_at", "beat_s", "down_since", "failures", "heartbeat_s", "retry_at", "settings", "state")

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self.state: LinkState = "idle"
        self.heartbeat_s = settings.heartbeat_s
        self.beat_s = settings.heartbeat_s  #: more often than that while somebody looks
        self.failures = 0
        self.retry_at: float | None = None
        self.beat_at: float | None = None
        self.down_since: float | None = None

    @property
    def open(self) -> bool:
        """Whether something may be sent."""
        return self.state in ("greeting", "up")

    def connecting(self, now: float) -> None:
        """`Connect` is being asked for."""
        self.state = "connecting"
        self.retry_at = None
        self.beat_at = None
        if self.down_since is None:
            self.down_since = now

    def greeting(self) -> None:
        """The stream is there and hello was said."""
        self.state = "greeting"

    def up(self, now: float, heartbeat_s: float) -> None:
        """The scheduler has taken the worker in, and wants a heartbeat so often."""
        self.state = "up"
        self.failures = 0
        self.down_since = None
        self.heartbeat_s = self.beat_s = heartbeat_s
        self.beat_at = now + heartbeat_s

    def watched(self, now: float, beat_s: float) -> None:
        """Somebody looks, and wants a heartbeat so often; 0: as the scheduler said in its welcome. The first one comes at once."""
        before, self.beat_s = self.beat_s, min(self.heartbeat_s, beat_s or self.heartbeat_s)
        if self.beat_s < before and self.beat_at is not None:
            self.beat_at = now

    def failed(self, now: float) -> bool:
        """Nobody answered. Returns False when it is time to give up."""
        give_up_s = self.settings.give_up_s
        if give_up_s is not None and self.down_since is not None and now - self.down_since >= give_up_s:
            return False
        self.state = "backing off"
        self.retry_at = now + min(self.settings.retry_first_s * 2.0**self.failures, self.settings.retry_max_s)
        self.failures = min(self.failures + 1, 30)
        return True

    def ended(self) -> None:
        """No more connecting."""
        self.state = "ended"
        self.retry_at = self.beat_at = None

    def next_wake(self) -> float | None:
        """When to retry, or to beat."""
        return self.retry_at if self.state == "backing off" else self.beat_at
