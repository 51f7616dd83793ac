"""What the scheduler knows: tasks, functions and groups, workers, clients, and the settings it was made with.

These are plain slotted records. A fact is stored once; where an index exists for speed (`WorkerState.processing` for `TaskState.worker`), the same
function changes both, and `invariants.check` compares them. Groups are dicts or tuples and never sets: their order is the order of events, so that
the simulator tells the same story twice. `who_has` and `wanted_by` are tuples shared by all tasks with the same single holder: a million finished
tasks on two workers need two of them.

A task's states:

    released     known (somebody may need it later), not asked for now
    waiting      needed; some of its inputs are not there yet
    queued       every input is there; no suitable worker has room
    processing   sent to a worker (perhaps ahead of inputs that this worker is making)
    memory       the result exists: on workers, or as a small payload here
    erred        failed, and will not be tried again unless somebody says so
    forgotten    not in the table any more
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Final

from jupyterfut.core.journal import Journal
from jupyterfut.core.scheduler.ordered_queue import ReadyQueue
from jupyterfut.ids import Address, Attempt, ClientId, FunctionId, Key, PeerId
from jupyterfut.wire.messages import Failure, Message, TaskOptions
from jupyterfut.wire.payload import Payload

if TYPE_CHECKING:
    from jupyterfut.core.scheduler.cells import Cell
    from jupyterfut.core.scheduler.parking import Parking

RELEASED: Final = "released"
WAITING: Final = "waiting"
QUEUED: Final = "queued"
PROCESSING: Final = "processing"
MEMORY: Final = "memory"
ERRED: Final = "erred"
FORGOTTEN: Final = "forgotten"

STATES: Final = (RELEASED, WAITING, QUEUED, PROCESSING, MEMORY, ERRED, FORGOTTEN)
ACTIVE: Final = frozenset((WAITING, QUEUED, PROCESSING))
"""In these states a task needs its inputs."""

DEFAULT_OPTIONS: Final = TaskOptions()


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """The scheduler's settings."""

    inline_bytes: int = 16_384  #: results up to this many bytes travel inside messages and are kept here
    retained_bytes_limit: int = 256 * 2**20  #: beyond this sum of kept results, new ones are passed on but not kept
    ahead_s: float = 0.02  #: work, in seconds a thread, that a worker is sent beyond what it runs
    ahead_tasks: int = 1_000  #: and at most this many tasks a thread
    near_s: float = 500e-6  #: a worker may be busier by this much than another and still get a task because it made the task's inputs
    grain_s: float = 100e-6  #: work that is not divided among idle workers: a message costs as much
    task_overhead_s: float = 20e-6  #: what a task costs a worker beside the call itself
    unknown_duration_s: float = 0.002  #: assumed of a function that has not finished once
    allowed_failures: int = 3  #: a task under which more workers than this have died fails with KilledWorker
    client_lease_s: float = 30.0  #: a client that is away for longer than this is forgotten
    worker_timeout_s: float = 120.0  #: a worker that has said nothing for this long is lost
    heartbeat_s: float = 5.0  #: how often workers and clients are asked to say that they live
    steal_min_s: float = 0.005  #: work worth taking back from a busy worker for an idle one
    steal_after_s: float = 0.05  #: a worker that has reported nothing for this long may lose what it has not started
    journal_size: int = 100_000  #: entries
    events_kept: int = 10_000  #: of each topic
    events_bytes_limit: int = 16 * 2**20  #: and at most so many bytes of each
    value_limit_bytes: int = 10_000_000  #: a larger value is refused by queues and variables


class Outbox:
    """Messages for one client or worker, collected while one event is handled. Rows of the same kind join the last message."""

    __slots__ = ("client", "messages", "peer")

    def __init__(self, peer: PeerId, client: ClientId | None = None) -> None:
        self.peer = peer
        self.client = client  # set: the messages are wrapped in AsClient, for a client that lives inside a task
        self.messages: list[Message] = []


class FunctionState:
    """One function: its pickle, who declared it, which workers have it, and how long its calls take."""

    __slots__ = ("clients", "duration_s", "id", "name", "payload", "users", "workers")

    def __init__(self, function_id: FunctionId, payload: Payload, name: str) -> None:
        self.id = function_id
        self.payload = payload
        self.name = name
        self.users = 0  # tasks in the table that call it
        self.clients: dict[ClientState, None] = {}
        self.workers: dict[WorkerState, None] = {}
        self.duration_s = -1.0  # moving average; negative: not known

    def __repr__(self) -> str:
        return f"<Function {self.name} {self.id[:8]}>"


class FunctionTimes:
    """What calls of functions of one name took (`groups`). `histogram`: durations in buckets, while somebody looks."""

    __slots__ = ("count", "erred", "histogram", "max_s", "min_s", "name", "nbytes", "total_s")

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0  # that ended well
        self.erred = 0
        self.total_s = 0.0  # of both
        self.min_s = inf  # of those that ended well
        self.max_s = 0.0
        self.nbytes = 0  # of their results
        self.histogram: list[int] | None = None


GroupKey = tuple[FunctionId, str]
"""A function's id ("": data) and an origin."""


class GroupState:
    """The tasks that call one function for one origin (`groups`)."""

    __slots__ = ("counts", "done", "ended_at", "id", "key", "name", "running_s", "started_at", "times")

    def __init__(self, number: int, key: GroupKey, name: str, times: FunctionTimes, now: float) -> None:
        self.key = key
        self.name = name
        self.times = times
        self.counts: dict[str, int] = dict.fromkeys(STATES, 0)  # forgotten ones too
        self.begin_anew(number, now)

    def begin_anew(self, number: int, now: float) -> None:
        """None of its tasks is there (any more)."""
        self.id = number
        self.done = 0  # that have finished, well or not, held or not
        self.started_at = now
        self.ended_at = now  # when one finished or was taken back last
        self.running_s = 0.0  # what its calls took so far

    @property
    def origin(self) -> str:
        return self.key[1]

    def __repr__(self) -> str:
        return f"<Group {self.name} of {self.origin!r}: {self.counts}>"


class TaskState:
    """One task, or one piece of scattered data (`function` is None)."""

    __slots__ = (
        "ahead",
        "args",
        "attempt",
        "blocked",
        "deaths",
        "dependencies",
        "dependents",
        "estimate_s",
        "failure",
        "fire_and_forget",
        "function",
        "group",
        "held",
        "holds",
        "key",
        "missing",
        "nbytes",
        "options",
        "payload",
        "result_holds",
        "retries_left",
        "seq",
        "state",
        "stealing",
        "stolen",
        "type",
        "waiters",
        "wanted_by",
        "who_has",
        "worker",
    )  # fmt: skip

    def __init__(self, key: Key, function: FunctionState | None, args: Payload | None, options: TaskOptions, seq: int, group: GroupState) -> None:
        self.key = key
        self.function = function
        self.group = group
        self.args = args
        self.options = options
        self.seq = seq  # arrival: first come, first served among equal priorities
        self.state: str = RELEASED
        self.dependencies: tuple[TaskState, ...] = ()
        self.dependents: dict[TaskState, None] | None = None  # None: empty
        self.holds: tuple[TaskState, ...] = ()  # kept alive until this task ends
        self.result_holds: tuple[TaskState, ...] = ()  # futures inside the result: kept alive with it
        self.wanted_by: tuple[ClientState, ...] = ()
        self.waiters = 0  # dependents in an ACTIVE state
        self.held = 0  # by `holds`, `result_holds` and coordination items
        self.missing = 0  # WAITING: inputs not in memory
        self.fire_and_forget = False  # one of `held`: kept until it has finished
        self.worker: WorkerState | None = None  # PROCESSING: where
        self.attempt: Attempt = Attempt(0)  # PROCESSING: which
        self.estimate_s = 0.0  # PROCESSING: what it adds to its worker's occupancy
        self.ahead = False  # PROCESSING: sent before its inputs were there
        self.blocked = False  # PROCESSING: has left its slot
        self.stealing = False  # PROCESSING: asked back
        self.stolen = False  # was given back once for an idle worker: its inputs do not draw it any more
        self.who_has: tuple[WorkerState, ...] = ()
        self.payload: Payload | None = None  # MEMORY: the result, when small
        self.type = ""
        self.nbytes = 0
        self.failure: Failure | None = None  # ERRED
        self.retries_left = options.retries
        self.deaths = 0  # workers that died under it

    @property
    def needed(self) -> bool:
        return bool(self.wanted_by or self.waiters or self.held)

    @property
    def rank(self) -> tuple[float, int]:
        return (-self.options.priority, self.seq)

    def __repr__(self) -> str:
        return f"<Task {self.key} {self.state}>"


class WorkerState:
    """One worker that is here."""

    __slots__ = (
        "address", "ahead_parked", "alone", "blocked", "clients", "each_s", "emptied", "functions", "has", "info", "last_report", "last_seen",
        "memory_limit_bytes",
        "metrics", "name", "nbytes", "nthreads", "occupancy_s", "outbox", "peer", "pid", "processing", "resources", "resources_free",
        "restarting", "retiring", "steal_not_before", "tier",
    )  # fmt: skip

    def __init__(self, address: Address, name: str, nthreads: int, peer: PeerId) -> None:
        self.address = address
        self.name = name
        self.nthreads = nthreads
        self.peer = peer
        self.pid = 0
        self.memory_limit_bytes = 0
        self.resources: dict[str, float] = {}
        self.resources_free: dict[str, float] = {}
        self.info: dict[str, Any] = {}
        self.metrics: dict[str, float] = {}
        self.outbox = Outbox(peer)
        self.alone: tuple[WorkerState, ...] = (self,)
        self.processing: dict[TaskState, None] = {}
        self.blocked = 0  # of `processing`, how many have left their slot
        self.occupancy_s = 0.0  # sum of the estimates of `processing`
        self.each_s = 0.002  # the estimate of the task that was sent last: what one more will add
        self.has: dict[TaskState, None] = {}
        self.nbytes = 0  # of `has`
        self.functions: dict[FunctionState, None] = {}
        self.clients: dict[ClientId, ClientState] = {}  # that live in its tasks
        self.ahead_parked: deque[TaskState] = deque()  # could be sent ahead, had there been room
        self.tier = 0  # 2: a thread is free; 1: room for more; 0: full
        self.last_seen = 0.0
        self.last_report = 0.0
        self.steal_not_before = 0.0
        self.retiring = False  # it leaves (`retirement`): no new tasks, no data
        self.emptied = False  # it has retired, and stands by for its owner to end: no tasks at all
        self.restarting = False  # its nanny is replacing it: what becomes of its tasks is not their fault

    def __repr__(self) -> str:
        return f"<Worker {self.name} {self.address} processing {len(self.processing)}>"


class ClientState:
    """One client; `worker` is set for one that lives inside that worker's tasks."""

    __slots__ = ("alone", "away_until", "conversation", "functions", "id", "info", "name", "outbox", "peer", "wanted", "worker")

    def __init__(self, client_id: ClientId, name: str, peer: PeerId, worker: WorkerState | None, conversation: int) -> None:
        self.id = client_id
        self.name = name
        self.peer = peer
        self.worker = worker
        self.outbox = Outbox(peer, client_id if worker is not None else None)
        self.alone: tuple[ClientState, ...] = (self,)
        self.wanted: dict[TaskState, None] = {}
        self.functions: dict[FunctionState, None] = {}
        self.away_until: float | None = None  # the link is down; the lease ends then
        self.conversation = conversation  # as the client counts them, once it has heard of this one
        self.info: dict[str, Any] = {}  # as in `ClientHello`

    @property
    def is_viewer(self) -> bool:
        """Whether it only looks."""
        return self.info.get("viewer") is True

    def __repr__(self) -> str:
        return f"<Client {self.id}>"


Restriction = tuple[tuple[str, ...], tuple[tuple[str, float], ...], bool, bool, bool]
"""(workers, resources, suspect, others too if those workers are not here, actor): tasks with the same restriction share a queue."""


class State:
    """Everything. Changed by `transitions`, `dispatch`, `members` and `machine`; read by all; shown to others by `query` only."""

    __slots__ = (
        "attempts", "away", "cells", "clients", "config", "crowded", "dirty", "done", "epoch_s", "functions", "groups", "groups_limit",
        "groups_made", "histograms", "idle", "interrupting", "journal",
        "next_seq", "now", "open_threads", "parked", "peers", "ready", "restricted", "retained_bytes", "roomy", "tasks", "times", "topics",
        "touched", "workers", "workers_by_name",
    )  # fmt: skip

    parked: Parking  # requests that wait for their answer; made by the machine

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        self.now = 0.0
        self.epoch_s = 0.0  # what makes seconds since 1970 of `now`, as far as the shell has told
        self.journal = Journal(config.journal_size)
        self.tasks: dict[Key, TaskState] = {}
        self.functions: dict[FunctionId, FunctionState] = {}
        self.groups: dict[GroupKey, GroupState] = {}
        self.groups_made = 0
        self.groups_limit = 400  # with so many it is looked which are over
        self.times: dict[str, FunctionTimes] = {}  # by the functions' names
        self.histograms = False  # somebody looks at them
        self.workers: dict[Address, WorkerState] = {}
        self.workers_by_name: dict[str, WorkerState] = {}
        self.clients: dict[ClientId, ClientState] = {}
        self.peers: dict[PeerId, WorkerState | ClientState | None] = {}  # None: a nanny
        self.away: dict[ClientState, None] = {}  # clients whose link is down
        self.topics: dict[str, dict[ClientState, None]] = {}  # who has subscribed to notices
        self.cells: dict[str, Cell] = {}  # by origin: the notebook cells that have submitted tasks lately (`cells`)
        self.attempts = 0
        self.done = 0  # tasks that have finished, well or not, since the scheduler began
        self.next_seq = 0
        self.retained_bytes = 0
        self.interrupting = False  # what is taken from workers now shall stop, even if it runs
        self.ready = ReadyQueue()  # queued tasks that may run anywhere
        self.restricted: dict[Restriction, ReadyQueue] = {}
        # Workers by what they can take; a worker is in `idle` or `roomy` or neither, `crowded` have more than their threads can run.
        self.idle: dict[WorkerState, None] = {}
        self.roomy: dict[WorkerState, None] = {}
        self.crowded: dict[WorkerState, None] = {}
        self.open_threads = 0  # threads of `idle` and `roomy`
        self.touched: dict[WorkerState, None] = {}  # workers whose load has changed since they were put into a tier
        self.dirty: dict[Outbox, None] = {}  # outboxes with messages


def with_member(group: tuple[Any, ...], member: Any) -> tuple[Any, ...]:
    """The tuple `group` and `member`, sharing the member's own one-tuple when it is alone."""
    if not group:
        return member.alone  # type: ignore[no-any-return]  # a client's or a worker's shared one-tuple
    return group if member in group else (*group, member)


def without_member(group: tuple[Any, ...], member: Any) -> tuple[Any, ...]:
    if len(group) == 1:
        return () if group[0] is member else group
    rest = tuple(m for m in group if m is not member)
    return rest[0].alone if len(rest) == 1 else rest
