"""Everything that a worker's machine hears (events) and everything that it asks for (effects).

Events come from four sides: the stream to the scheduler (`Received`, `LinkLost`, `Connected`, `ConnectFailed`), the threads that run calls
(`Executed`, `Failed`, `NotRun`, `Withdrawn`, `Blocked`, `Unblocked`), the data servers of other workers (`Fetched`, `FetchFailed`), the worker's own
data server and task clients (`DataPut`, `FromClient`). Effects go back to the same sides. Whoever performs them, shell or simulator, promises:

- effects of one `handle` are performed in their order;
- every `Call` of a `Run` ends in exactly one row of `Executed`, `Failed` or `NotRun`, unless it was withdrawn (a row of `Withdrawn` that says True);
- every row of a `Withdraw` gets its row in a `Withdrawn`. False: the call has started, or has ended, and its own answer is coming or has come;
- every `Fetch` gets one `Fetched` or `FetchFailed`, every `Connect` one `Connected` or `ConnectFailed`;
- `Blocked` and `Unblocked` of one call alternate, `Blocked` first, both before the call's end, which may come while it is blocked;
- after `LinkLost`, nothing that came over the old stream is given to the machine.

Rows of many tasks travel as columns: lists of equal length. A list is given away with its event or effect; nobody changes it afterwards.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from jupyterfut.core.effects import LinkLost, Log, Received, Send, Tick
from jupyterfut.ids import Address, Attempt, ClientId, FunctionId, Key, PeerId
from jupyterfut.wire.messages import Failure, Message
from jupyterfut.wire.payload import Payload

SCHEDULER = PeerId(0)
"""The only peer of a worker's machine: `Received.peer`, `LinkLost.peer` and `Send.peer` are always this."""


class Call:
    """What a thread needs to run one task. These fields never change, so any thread may read them.

    The value of a dependency is `inline[key]` where the scheduler sent it along, else it is in the worker's store.
    """

    __slots__ = ("actor", "args", "attempt", "dependencies", "function", "inline", "key", "origin")

    key: Key
    attempt: Attempt
    function: FunctionId
    args: Payload  #: pickled `(args, kwargs)` in which `Dep(i)` stands for `dependencies[i]`
    dependencies: list[Key]
    inline: dict[Key, Payload]  #: shared by all calls of one `Compute`: it may hold more than this call needs
    actor: bool  #: the result is an actor: it stays where it was made, and what counts as the result is a small description of it
    origin: str  #: who asked for it (`TaskOptions.origin`)


# --- events: the stream to the scheduler


class Start(NamedTuple):
    """The worker listens and may begin: answered by `Connect`."""


class Connected(NamedTuple):
    """The stream that `Connect` asked for is up (handshake done). The machine says hello on it."""


class ConnectFailed(NamedTuple):
    """Nobody answered; `final` when there is no use in trying again (wrong token, wrong version)."""

    reason: str
    final: bool


class Stop(NamedTuple):
    """The worker is being closed on purpose: it says goodbye, and never connects again."""

    reason: str


# --- events: the threads that run calls


class Executed(NamedTuple):
    """Calls have returned. `payloads` holds every result, large or small."""

    keys: list[Key]
    attempts: list[Attempt]
    payloads: list[Payload]
    types: list[str]
    nbytes: list[int]
    durations: list[float]  #: seconds that the call itself took
    holds: dict[Key, list[Key]]  #: only for results that contain futures


class Failed(NamedTuple):
    """Calls have raised, or could not be unpickled, or their results not pickled."""

    keys: list[Key]
    attempts: list[Attempt]
    failures: list[Failure]
    durations: list[float]


class NotRun(NamedTuple):
    """Calls have ended without result or failure: they raised `Reschedule` (empty `lost`), or the store could not read these inputs back."""

    keys: list[Key]
    attempts: list[Attempt]
    lost: list[list[Key]]


class Withdrawn(NamedTuple):
    """Answers `Withdraw`: True where the call had not started and now never will."""

    keys: list[Key]
    attempts: list[Attempt]
    withdrawn: list[bool]


class Blocked(NamedTuple):
    """The call has left its slot: it seceded, or waits for a future, a queue, a lock."""

    key: Key
    attempt: Attempt


class Unblocked(NamedTuple):
    """The call has taken a slot again (perhaps one more than there are, for a while)."""

    key: Key
    attempt: Attempt


class MemoryShort(NamedTuple):
    """The process takes more memory than it should (or, False, not any more): until then one call runs at a time."""

    short: bool


# --- events: data


class Fetched(NamedTuple):
    """A peer has answered `Fetch`. Keys that were asked for and are not here, it does not hold."""

    request: int
    keys: list[Key]
    payloads: list[Payload]


class FetchFailed(NamedTuple):
    """A peer could not be reached, or broke off."""

    request: int
    reason: str


class DataPut(NamedTuple):
    """Somebody scattered data to this worker's data server. `token` is the shell's name for the one who waits: `AnswerPut` brings it back."""

    token: int
    client: ClientId
    keys: list[Key]
    payloads: list[Payload]
    types: list[str]


class Said(NamedTuple):
    """Tasks, or the worker itself, have something to say on these topics: as `Notify`."""

    topics: list[str]
    values: list[Any]


class FromClient(NamedTuple):
    """A client inside a task says this to the scheduler. The first thing it says is `ClientHello`, the last `Goodbye`."""

    client: ClientId
    message: Message


WorkerEvent: TypeAlias = (
    Received | LinkLost | Tick | Start | Connected | ConnectFailed | Stop
    | Executed | Failed | NotRun | Withdrawn | Blocked | Unblocked | MemoryShort
    | Fetched | FetchFailed | DataPut | Said | FromClient
)  # fmt: skip


# --- effects: the stream to the scheduler


class Connect(NamedTuple):
    """Open a stream to the scheduler, now. (Waiting between attempts is the machine's: see `next_wake`.)"""


class Beat(NamedTuple):
    """Send a `Heartbeat` with these metrics and what only the shell can measure (cpu, memory_bytes, spilled_bytes)."""

    metrics: dict[str, float]


class End(NamedTuple):
    """The worker has nothing more to do: close it."""

    reason: str


# --- effects: the threads that run calls


class LearnFunctions(NamedTuple):
    """Calls that come may name these."""

    ids: list[FunctionId]
    payloads: list[Payload]
    names: list[str]


class DropFunctions(NamedTuple):
    """No call that comes will name these; calls that were handed over before may still need them."""

    ids: list[FunctionId]


class Run(NamedTuple):
    """Put these calls into the run queue, in this order. There may be more of them than threads."""

    calls: list[Call]


class Withdraw(NamedTuple):
    """Take these calls out of the run queue if they have not started. Answered by `Withdrawn`."""

    keys: list[Key]
    attempts: list[Attempt]


class Interrupt(NamedTuple):
    """Nobody wants these calls, and they shall stop: let those that have started end soon, if that can be done. Their own answer comes as always."""

    keys: list[Key]
    attempts: list[Attempt]


# --- effects: data


class Store(NamedTuple):
    """Keep these values until `Drop`. A key that is stored already gets the new value."""

    keys: list[Key]
    payloads: list[Payload]
    nbytes: list[int]


class Drop(NamedTuple):
    """Forget these values."""

    keys: list[Key]


class Fetch(NamedTuple):
    """Ask a peer's data server for these keys. At most one request at a time is open with a peer."""

    request: int
    address: Address
    keys: list[Key]


class Watch(NamedTuple):
    """From now on hand over records of these loggers, from these levels on, keep rows of the tasks that end, and tell what `Observe` says; nothing
    else of this kind."""

    loggers: dict[str, float]
    tasks: bool
    stream_s: float = 0.0
    grain_s: float = 0.0
    profile_s: float = 0.0
    log_level: int = 0


class AnswerPut(NamedTuple):
    """Tell whoever put data here that the scheduler knows of it now, or why not."""

    token: int
    failure: Failure | None


class ToClient(NamedTuple):
    """The scheduler says this to a client inside a task."""

    client: ClientId
    message: Message


class CutClient(NamedTuple):
    """The stream that this task client shared is gone, and its futures with it. A new client may begin with a new `ClientHello`."""

    client: ClientId
    reason: str


WorkerEffect: TypeAlias = (
    Send | Log | Connect | Beat | End
    | LearnFunctions | DropFunctions | Run | Withdraw | Interrupt
    | Store | Drop | Fetch | AnswerPut | Watch | ToClient | CutClient
)  # fmt: skip
