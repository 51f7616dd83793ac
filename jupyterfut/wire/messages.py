"""Every message of the protocol, in one table.

A message is a named tuple; on the wire it is the list `[kind, *fields]`. Messages that report are named in the past tense (`TasksDone`, `KeysReady`),
those that ask are imperative (`Compute`, `ReleaseData`). The hot ones carry columns: lists of equal length, one element a task, so that the cost of
a call and of a message is shared by all rows. A message is given away when it is sent: nobody changes its lists afterwards, on either side.

Who says what:

    client    -> scheduler   ClientHello Functions ForgetFunctions SubmitTasks WantKeys ReleaseKeys CancelKeys RetryKeys FireAndForget Request
                             Abandon Taken Notify Goodbye
    scheduler -> client      Welcome KeysReady KeysFailed KeysCancelled KeysLost KeysPending Notices Delivery Reply
    scheduler -> worker      Welcome Functions ForgetFunctions Compute CancelTasks StealTasks ReleaseData Replicate Plugins Observe Reply
    worker    -> scheduler   WorkerHello TasksDone TasksFailed TasksReturned StealAnswer TaskBlocked TaskUnblocked
                             ReplicasAdded ReplicasFailed AddData Heartbeat AsClient Notify Ran Sampled Logged Reply Goodbye
    nanny     -> scheduler   NannyHello WorkerDied Reply        scheduler -> nanny   Request
    anyone    -> a data server   MemoryRead GetData DataTaken PutData Request ActorCalls Taken Published
    data server -> anyone        MemoryRead DataSent DataStored Reply ActorAnswers
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from jupyterfut.ids import Address, Attempt, ClientId, FunctionId, Key
from jupyterfut.wire.payload import Payload


class TaskOptions(NamedTuple):
    """What `submit` and `map` say about where and how a task runs; the same for all rows of one `SubmitTasks`."""

    priority: float = 0  #: higher runs first
    retries: int = 0  #: how many failures are tried again before the last one is reported
    resources: dict[str, float] | None = None  #: what one run takes of a worker's `--resources`
    workers: list[str] | None = None  #: addresses, hosts or names of the workers that may run it; None: any
    allow_other_workers: bool = False  #: `workers` is a wish
    actor: bool = False  #: the result is an actor: never moved, never sent
    origin: str = ""  #: who asked for it: a client's id, or `<client id>/<notebook cell>`; handed on to what the task submits. "": nobody


class Failure(NamedTuple):
    """Why a task failed. `payload` is the pickled exception with its traceback, made by the worker and opened by the client only; None when
    the scheduler itself says so (`kind` names a class of `jupyterfut.errors`, `text` is its message)."""

    kind: str  #: the exception's type name
    text: str  #: str(exception), at most a few kB
    payload: Payload | None
    traceback_text: str  #: the formatted traceback, "" when there is none
    key: Key  #: the task that failed first
    origin: str = ""  #: whose task that was (`TaskOptions.origin`)
    through: list[Key] = []  #: the tasks between that one and the one that is told of, the nearest to the failure first; of many the first and last


# --- client -> scheduler


class ClientHello(NamedTuple):
    """First message of a client. With `resume` it asks for the state that its lease kept.

    Each `Welcome(resumed=False)` begins a new conversation, which both ends count. A client whose link breaks before such a welcome reaches it asks
    for a conversation that is over, although the scheduler knows the client: the number tells.
    """

    client: ClientId
    name: str
    resume: bool
    conversation: int = 0  #: the conversation to go on with; the next one, if it is over
    info: dict[str, Any] = {}  #: `kernel`, `session`: the Jupyter kernel that it lives in, and its notebook; `viewer`: it only looks


class Functions(NamedTuple):
    """Pickled functions, sent before the first task that names them: once per client to the scheduler, once per worker from it."""

    ids: list[FunctionId]
    payloads: list[Payload]
    names: list[str]  #: the functions' `__name__`, for statistics and text


class ForgetFunctions(NamedTuple):
    """The sender has no more use for these; the receiver forgets them unless somebody else has."""

    ids: list[FunctionId]


class SubmitTasks(NamedTuple):
    """Rows of tasks, all calls of one function. The client that submits wants every key of it."""

    function: FunctionId
    keys: list[Key]
    args: list[Payload]  #: pickled `(args, kwargs)` in which `serde` left the marker `Dep(i)` for the i-th dependency of the row
    dependencies: list[list[Key]]  #: one list a row, or the empty list when no row has any
    holds: list[list[Key]]  #: keys that travel as futures inside opaque arguments: kept alive until the task ends. Same shape as `dependencies`
    options: TaskOptions


class WantKeys(NamedTuple):
    """The client has got futures for keys that others made (unpickled, out of a queue)."""

    keys: list[Key]


class ReleaseKeys(NamedTuple):
    """The client's last future of each key is gone."""

    keys: list[Key]


class CancelKeys(NamedTuple):
    """Cancel, with all dependants, for this client; with `force` for every client."""

    keys: list[Key]
    force: bool


class RetryKeys(NamedTuple):
    """Run failed tasks again, and the failed or forgotten tasks that they stand on."""

    keys: list[Key]


class FireAndForget(NamedTuple):
    """Keep these running to their end even if nobody holds a future."""

    keys: list[Key]


class Request(NamedTuple):
    """A question with an answer (`Reply` with the same id). `op` names a handler, `args` are plain MessagePack values and payloads."""

    id: int
    op: str
    args: dict[str, Any]


class Notify(NamedTuple):
    """Tell everybody who has subscribed to these topics. No answer. What a task notifies comes before its result."""

    topics: list[str]
    values: list[Any]  #: plain MessagePack values and payloads


class Abandon(NamedTuple):
    """The client does not wait for these requests any more. What has not been answered yet ends with CancelledError."""

    ids: list[int]


class Taken(NamedTuple):
    """These deliveries have arrived: the client holds what it wants of them, and the scheduler need not any more."""

    ids: list[int]


class Reply(NamedTuple):
    """The answer to a `Request`: a value, or why there is none."""

    id: int
    value: Any
    failure: Failure | None


class Goodbye(NamedTuple):
    """The sender closes on purpose: no lease, no waiting."""

    reason: str


# --- scheduler -> client (and Welcome to everyone)


class Welcome(NamedTuple):
    """The scheduler has taken the peer in. `resumed` answers `ClientHello.resume`; `info` are plain facts (scheduler id, settings both sides
    share)."""

    resumed: bool
    info: dict[str, Any]


class KeysReady(NamedTuple):
    """Results exist. A small one comes along in `payloads`; for a large one (None) the client asks `locate` and fetches it from a worker."""

    keys: list[Key]
    payloads: list[Payload | None]
    types: list[str]  #: type names, for `repr`
    nbytes: list[int]


class KeysFailed(NamedTuple):
    keys: list[Key]
    failures: list[Failure]


class KeysCancelled(NamedTuple):
    keys: list[Key]
    reason: str


class KeysLost(NamedTuple):
    """The only copy of scattered data, or an actor, is gone with its worker."""

    keys: list[Key]
    reason: str


class Notices(NamedTuple):
    """What was notified on topics to which the client has subscribed, in order."""

    topics: list[str]
    values: list[Any]


class Delivery(NamedTuple):
    """The answer to a `Request` for values that may contain futures. The client wants all of `keys` from now on, as the scheduler knows already. If
    there are any, what is known of them follows, and then a `Reply` with the same id and no value, which ends the answer. Either way the client says
    `Taken`."""

    id: int
    value: Any  #: a payload, or a list of payloads
    keys: list[Key]  #: of the futures inside, each once


class KeysPending(NamedTuple):
    """A result that was ready is not any more (its worker died, or `retry`): it is being computed again."""

    keys: list[Key]


# --- scheduler -> worker


class Compute(NamedTuple):
    """Run these calls of one function. Everything needed is here, or is said where to find."""

    function: FunctionId
    keys: list[Key]
    attempts: list[Attempt]
    args: list[Payload]
    priorities: list[list[float]]  #: [-user priority, arrival number]: lowest first
    dependencies: list[list[Key]]  #: one list a row, or [] when no row has any
    inline: dict[Key, Payload]  #: small dependencies, by value
    where: dict[Key, list[Address]]  #: large dependencies: who holds them. A key in neither is (or will be) made by this worker itself
    resources: dict[str, float] | None
    actor: bool
    origin: str = ""  #: see `TaskOptions`: where what they print belongs, and who owns what they submit


class CancelTasks(NamedTuple):
    """Nobody wants these attempts any more: forget them if not started, let a started one end and drop its result (no answer either way)."""

    keys: list[Key]
    attempts: list[Attempt]
    interrupt: bool = False  #: somebody has said that they shall stop: interrupt a started one


class StealTasks(NamedTuple):
    """Give these attempts back if they have not started; `StealAnswer` says which."""

    keys: list[Key]
    attempts: list[Attempt]


class Observe(NamedTuple):
    """From now on somebody wants to hear of this, and of nothing else: it takes the place of the last one."""

    loggers: dict[str, float]  #: records of these loggers ("" is the root), from these levels on: they come as notices on the topic "log"
    tasks: bool  #: keep rows of the tasks that end, for whoever asks (`task_stream`, at the data server)
    stream_s: float = 0.0  #: tell so often what has run, with `Ran`, while something does. 0: do not; so it is with what follows
    grain_s: float = 0.0  #: calls shorter than this that follow each other are told together
    profile_s: float = 0.0  #: tell so often where the threads have been, with `Sampled`
    log_level: int = 0  #: tell log lines from this level on, with `Logged`
    beat_s: float = 0.0  #: say so often, with `Heartbeat`, how it is


class ReleaseData(NamedTuple):
    """Drop these results and copies."""

    keys: list[Key]


class Plugins(NamedTuple):
    """Worker plugins, which only the worker opens: to take out, and to set up, in this order; one that has the name of another takes its place.
    Answered, when all is done, by `Reply` with the same id. `joining`: to a worker that has just come, which runs no task before they are set up."""

    id: int
    removed: list[str]
    plugins: dict[str, Payload]
    joining: bool


class Replicate(NamedTuple):
    """Hold copies of these results: small ones are here, the others are fetched. Each key is answered, by `ReplicasAdded` or `ReplicasFailed`."""

    keys: list[Key]
    inline: dict[Key, Payload]
    where: dict[Key, list[Address]]


# --- worker -> scheduler


class WorkerHello(NamedTuple):
    """First message of a worker: what it offers, and which results it still holds from before its link broke."""

    address: Address
    name: str
    nthreads: int
    memory_limit_bytes: int  #: 0: none
    resources: dict[str, float]
    pid: int
    held_keys: list[Key]
    held_nbytes: list[int]
    held_types: list[str]
    info: dict[str, Any]  #: host, versions, nanny, in-process flag; `attempts`: the highest number among calls that still run for an earlier link


class TasksDone(NamedTuple):
    """Finished calls. The worker keeps every result; a small one is also here, so that nobody has to ask for it."""

    keys: list[Key]
    attempts: list[Attempt]
    payloads: list[Payload | None]
    types: list[str]
    nbytes: list[int]
    durations: list[float]  #: seconds that the call itself took
    holds: dict[Key, list[Key]]  #: results that contain futures: key -> the futures' keys, kept alive with the result


class TasksFailed(NamedTuple):
    keys: list[Key]
    attempts: list[Attempt]
    failures: list[Failure]
    durations: list[float]


class TasksReturned(NamedTuple):
    """Not run: inputs could not be fetched (`missing`: per row, pairs of key and the address that did not have it), or the task raised
    `Reschedule` (an empty list)."""

    keys: list[Key]
    attempts: list[Attempt]
    missing: list[list[list[str]]]


class StealAnswer(NamedTuple):
    keys: list[Key]
    attempts: list[Attempt]
    given: list[bool]


class TaskBlocked(NamedTuple):
    """The task has left its slot: it seceded, or it waits for a future, a queue or a lock."""

    key: Key
    attempt: Attempt


class TaskUnblocked(NamedTuple):
    """The task has taken a slot again."""

    key: Key
    attempt: Attempt


class ReplicasAdded(NamedTuple):
    """The worker holds copies that it fetched as inputs."""

    keys: list[Key]


class ReplicasFailed(NamedTuple):
    """Copies that the scheduler asked for and nobody gave. `missing`: per row, pairs of key and the address that did not give it."""

    keys: list[Key]
    missing: list[list[list[str]]]


class AddData(NamedTuple):
    """Scattered data has arrived at the worker on behalf of a client. Answered by `Reply(id)`, after which the worker answers the client."""

    id: int
    client: ClientId
    keys: list[Key]
    nbytes: list[int]
    types: list[str]


class Heartbeat(NamedTuple):
    """The peer lives. `metrics`, of a worker: cpu (of its process; 1 is one core), memory_bytes (of its process), managed_bytes (results that it has,
    those on disk included), spilled_bytes (on disk), received_bytes_s and sent_bytes_s (from and to other workers and clients, a second, since the
    last one), executing, ready (not started), paused (1: it has too little memory, and runs one task at a time)."""

    metrics: dict[str, float]
    now: float = 0.0  #: of a worker: what the clock of `Ran` says; 0: it does not tell


class Ran(NamedTuple):
    """What has run on this worker since the last of these: rows, of which one may stand for many short calls, in the order of each lane. A row with a
    count of 0 has not ended: all that have been running for long stand in each message. Times are seconds by a clock that only this worker knows."""

    now: float  #: by this clock, when it is said
    dropped: int  #: rows that were too many
    threads: list[int]  #: lanes: threads from 0 on; negative: transfers, reads and writes
    names: list[str]  #: functions
    kinds: list[int]  #: 0 compute, 1 transfer, 2 disk
    starts: list[float]
    stops: list[float]
    busy_s: list[float]  #: for how long something ran, between start and stop
    counts: list[int]
    erred: list[int]
    nbytes: list[int]  #: of results, or of what was moved
    keys: list[str]  #: "" for a row of many


class Sampled(NamedTuple):
    """Where this worker's threads have been since the last of these, as trees of frames in columns, parents first."""

    interval_s: float  #: what one sample stands for of its thread's time
    frames: list[Any]  #: [name, file, line] each
    trees: dict[str, Any]  #: a function's name -> [depths, places in `frames`, counts]; depth 0 is the sum of its samples and no frame (-1)


class Logged(NamedTuple):
    """Log lines of this worker. Times are seconds by the clock of `Ran`."""

    now: float
    dropped: int  #: lines that were too many
    times: list[float]
    levels: list[int]
    loggers: list[str]
    texts: list[str]
    keys: list[str]  #: the tasks that said it, or ""


class AsClient(NamedTuple):
    """A message of, or to, a client that lives inside a task and shares its worker's stream."""

    client: ClientId
    message: Any


# --- nanny -> scheduler


class NannyHello(NamedTuple):
    name: str
    pid: int
    info: dict[str, Any]


class WorkerDied(NamedTuple):
    """The nanny saw its worker's process end. Quicker and surer than a silent link."""

    name: str
    pid: int
    exit_code: int
    text: str


# --- data servers


class GetData(NamedTuple):
    id: int
    keys: list[Key]


class DataSent(NamedTuple):
    """Answers `GetData`. A key that the server does not hold is left out."""

    id: int
    keys: list[Key]
    payloads: list[Payload]
    shared: list[list[int]]  #: which parts of the payloads are in shared memory instead, and where (`runtime.sharing`); or [] when none is


class PutData(NamedTuple):
    id: int
    client: ClientId
    keys: list[Key]
    payloads: list[Payload]
    types: list[str]
    shared: list[list[int]]  #: as in `DataSent`


class DataStored(NamedTuple):
    """Answers `PutData`, once the scheduler knows of the data. `failure` says why it was not stored."""

    id: int
    failure: Failure | None


class MemoryRead(NamedTuple):
    """First message of both ends, if both have announced shared memory in the handshake: what the sender has read at the receiver's probe, or ""."""

    proof: str


class DataTaken(NamedTuple):
    """The receiver of a `DataSent` has opened the shared memory that it names, which may be let go now."""

    id: int


class Published(NamedTuple):
    """Messages on one topic, for all who listen at this worker. No answer. They come in the order in which the publisher sent them."""

    topic: str
    payloads: list[Payload]


# --- actors: whoever calls one asks the data server of its worker


class ActorCalls(NamedTuple):
    """Calls of one actor, in the order in which they were made. Every id is in exactly one `ActorAnswers`, unless the stream breaks before."""

    actor: Key
    ids: list[int]  #: the caller's own numbers, one count a stream
    names: list[str]  #: of methods and attributes
    args: list[Payload | None]  #: pickled `(args, kwargs)` as in `SubmitTasks`, but futures stay futures; None: the attribute is read
    holds: list[list[Key]]  #: keys of the futures in the arguments, which the caller keeps alive until the answer; or [] when no row has any
    origin: str = ""  #: see `TaskOptions`


class ActorAnswers(NamedTuple):
    """What became of calls, of one actor or several, in any order. With a `failure` all of these calls have failed so."""

    ids: list[int]
    payloads: list[Payload | None]  #: results; an empty one: what was to be read is a method. None with a failure
    failure: Failure | None
    holds: list[list[Key]]  #: keys of the futures in the results: the worker keeps them until it hears `Taken`; or [] when no row has any


Message: TypeAlias = tuple[Any, ...]
"""Any of the named tuples of this module."""

KINDS: dict[int, type[tuple[Any, ...]]] = {
    1: ClientHello, 2: Functions, 3: ForgetFunctions, 4: SubmitTasks, 5: WantKeys, 6: ReleaseKeys, 7: CancelKeys, 8: RetryKeys,
    9: FireAndForget, 10: Request, 11: Reply, 12: Goodbye, 13: Notify, 14: Abandon, 15: Taken,
    20: Welcome, 21: KeysReady, 22: KeysFailed, 23: KeysCancelled, 24: KeysLost, 25: KeysPending, 26: Notices, 27: Delivery,
    30: Compute, 31: CancelTasks, 32: StealTasks, 33: ReleaseData, 34: Replicate, 36: Plugins, 37: Observe,
    40: WorkerHello, 41: TasksDone, 42: TasksFailed, 43: TasksReturned, 44: StealAnswer, 45: TaskBlocked, 46: TaskUnblocked, 47: ReplicasAdded,
    48: AddData, 49: Heartbeat, 50: AsClient, 51: ReplicasFailed, 52: Ran, 53: Sampled, 54: Logged,
    60: NannyHello, 61: WorkerDied,
    70: GetData, 71: DataSent, 72: PutData, 73: DataStored, 74: MemoryRead, 75: DataTaken, 76: ActorCalls, 77: ActorAnswers,
    78: Published,
}  # fmt: skip
"""The numbers are the protocol: a message's number never changes, a removed message's number is never used again."""
