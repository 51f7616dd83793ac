"""How many workers a cluster should have: computed here, where the load is known, and told as notices on the topic "adaptive" when it changes.

Whoever starts and ends workers asks with `adapt` and subscribes. The number follows the work: as many threads as would finish what is known of within
`target_duration_s`, but no more than there are tasks that could run; never fewer workers than have something to do, or than the results need memory
for. It goes up as soon as that is seen (at most once per `interval_s`), and down only when it has been lower for `wait_count` intervals without a
break, to the highest number seen meanwhile: work that comes in waves does not make workers come and go.

What is looked at is a `Load`, and `wanted` decides, so that the rule can be read, and tested, as a table. Nothing is looked at while nothing happens:
an event asks for a look, and so does a backlog, because tasks of unknown duration turn out to be long by taking long.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from math import ceil
from typing import Any, NamedTuple

from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.ordered_queue import ReadyQueue
from jupyterfut.core.scheduler.query import BadRequest
from jupyterfut.core.scheduler.retirement import MEMORY_RATIO, has_actors
from jupyterfut.core.scheduler.state import ClientState, FunctionState, State, WorkerState

TOPIC = "adaptive"

UNKNOWN_S = 0.5
"""Assumed of a call whose function has not finished once, when workers are counted for it."""

SAMPLE = 1_000
"""So many queued tasks are looked at; the others are taken to be like them."""


class Load(NamedTuple):
    """What there is to do, and who is there to do it."""

    workers: int = 0  #: that stay
    threads: int = 0  #: of these
    busy: int = 0  #: of these workers, those that have something to do, or an actor
    runnable: int = 0  #: tasks that could run now if there were threads, or do run
    work_s: float = 0.0  #: what they take, in seconds of one thread
    stored_bytes: int = 0  #: of all results on workers
    limit_bytes: int = 0  #: the workers' memory; 0: one of them has no limit


class Wish(NamedTuple):
    """What the owner of the cluster said."""

    minimum: int = 0
    maximum: int | None = None
    target_duration_s: float = 5.0
    interval_s: float = 1.0
    wait_count: int = 3
    nthreads: int = 1  #: of a worker that would be started


def wanted(load: Load, wish: Wish) -> int:
    """How many workers there should be.

    >>> wanted(Load(workers=1, threads=2, busy=1, runnable=100, work_s=30.0), Wish(maximum=10, nthreads=2))
    3
    >>> wanted(Load(workers=8, threads=16), Wish(minimum=1))
    1
    """
    each = load.threads / load.workers if load.workers else float(wish.nthreads)
    threads = min(load.runnable, ceil(load.work_s / wish.target_duration_s)) if wish.target_duration_s > 0.0 else load.runnable
    if load.runnable:
        threads = max(threads, 1)
    n = max(ceil(threads / each), load.busy)
    if load.limit_bytes:
        n = max(n, ceil(MEMORY_RATIO * load.stored_bytes * load.workers / load.limit_bytes))
    elif load.stored_bytes:
        n = max(n, 1)
    n = max(n, wish.minimum)
    return n if wish.maximum is None else min(n, wish.maximum)


def load_of(state: State) -> Load:
    """The load as it is now. Costs no more with a million tasks than with a thousand."""
    staying = [worker for worker in state.workers.values() if not worker.retiring]
    runnable, work_s = 0, 0.0
    for worker in staying:
        in_flight = len(worker.processing) - worker.blocked
        if in_flight:
            silent_s = state.now - worker.last_report  # so long at least does what runs there take
            unknown = sum(known_s(task.function) is None for task in islice(worker.processing, SAMPLE))
            runnable += in_flight
            work_s += max(worker.occupancy_s + unknown * max(UNKNOWN_S, silent_s), min(in_flight, worker.nthreads) * silent_s)
    can_run = [queue for restriction, queue in state.restricted.items() if not restriction[1] or _offered(staying, restriction[1])]
    for queue in (state.ready, *can_run):
        runnable += queue.length
        work_s += _queued_s(queue)
    limits = [worker.memory_limit_bytes for worker in staying]
    return Load(
        workers=len(staying),
        threads=sum(worker.nthreads for worker in staying),
        busy=sum(bool(worker.processing) or has_actors(worker) for worker in staying),
        runnable=runnable,
        work_s=work_s,
        stored_bytes=sum(worker.nbytes for worker in staying),
        limit_bytes=sum(limits) if all(limits) else 0,
    )


def known_s(function: FunctionState | None) -> float | None:
    """What a call of this function takes, if that is known."""
    return function.duration_s if function is not None and function.duration_s >= 0.0 else None


def _queued_s(queue: ReadyQueue) -> float:
    looked_at, seconds = 0, 0.0
    for rank in queue.order:
        for task in islice(queue.lanes[rank].in_order, SAMPLE - looked_at):
            looked_at += 1
            duration_s = known_s(task.function)
            seconds += UNKNOWN_S if duration_s is None else duration_s
    return seconds * queue.length / looked_at if looked_at else queue.length * UNKNOWN_S


def _offered(staying: list[WorkerState], resources: tuple[tuple[str, float], ...]) -> bool:
    """Whether workers of this cluster have such resources: if not, more workers would not help. (Those without any are taken to be alike.)"""
    return not staying or any(all(worker.resources.get(name, 0.0) >= amount for name, amount in resources) for worker in staying)


class Adaptation:
    """The machine's part: when to look, and what to tell."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.wish: Wish | None = None  # None: nobody has asked
        self.told = 0  # the number that was told last
        self.look_at: float | None = None
        self._looked_at = self._told_at = 0.0
        self._low_since: float | None = None  # since when the number has been lower than what was told
        self._low = 0  # the highest since then
        self._patience_s = 0.0  # when the number is told again because too many are still there; doubles each time
        self.ops: dict[str, Callable[[ClientState, dict[str, Any]], Any]] = {"adapt": self.adapt, "adapt_off": self.adapt_off}

    def adapt(self, client: ClientState, args: dict[str, Any]) -> int:
        """From now on tell how many workers there should be; the answer is the first number. In place of an earlier `adapt`."""
        wish = Wish(**args)
        if wish.minimum < 0 or (wish.maximum is not None and wish.maximum < wish.minimum):
            raise BadRequest(f"minimum and maximum are numbers of workers, the latter not smaller, not {wish.minimum} and {wish.maximum}")
        if wish.interval_s <= 0 or wish.target_duration_s < 0 or wish.wait_count < 1 or wish.nthreads < 1:
            raise BadRequest(f"intervals and counts are greater than nothing: {wish}")
        self.wish = wish
        self._low_since = None
        self._looked_at = self._told_at = self.state.now
        self._patience_s = wish.interval_s
        self.look_at = self.state.now + wish.interval_s
        self.told = max(wanted(load_of(self.state), wish), min(len(self.state.workers), wish.maximum or len(self.state.workers)))
        return self.told

    def adapt_off(self, client: ClientState, args: dict[str, Any]) -> None:
        """Tell nothing any more."""
        self.wish = self.look_at = None

    def stir(self) -> None:
        """Something has happened. Called after every event, while somebody wants to know."""
        assert self.wish is not None
        if TOPIC not in self.state.topics:  # whoever asked has gone
            self.wish = self.look_at = None
        elif self.look_at is None:
            self.look_at = self._looked_at + self.wish.interval_s
        if self.look_at is not None and self.state.now >= self.look_at:
            self._look()

    def _look(self) -> None:
        wish, state = self.wish, self.state
        assert wish is not None
        now = self._looked_at = state.now
        self.look_at = None
        load = load_of(state)
        n = wanted(load, wish)
        if n > self.told:
            self._tell(n)
        elif n == self.told:
            self._low_since = None
            if load.workers > max(n, load.busy):  # some did not go when they were to
                if now >= self._told_at + self._patience_s:
                    self._tell(n)
                    self._patience_s *= 2
                self.look_at = self._told_at + self._patience_s
        else:
            if self._low_since is None:
                self._low_since, self._low = now, n
            self._low = max(self._low, n)
            until = self._low_since + wish.interval_s * wish.wait_count
            if now >= until:
                self._tell(self._low)
                self._patience_s = wish.interval_s
                self.look_at = now + wish.interval_s
            else:
                self.look_at = min(until, now + wish.interval_s)
        if load.runnable > load.threads and (wish.maximum is None or n < wish.maximum):
            self.look_at = now + wish.interval_s

    def _tell(self, n: int) -> None:
        self.told = n
        self._told_at = self.state.now
        self._low_since = None
        post.notice(self.state, TOPIC, n)
