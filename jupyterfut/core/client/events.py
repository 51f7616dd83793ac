"""What goes into the client's machine and what comes out.

Events come from two sides: from the user's calls (`Submit`, `SubmitColumns`, `Want`, `Drop`, `Cancel` ...; the shell queues them in the order in
which they were made and hands them over in batches), and from the scheduler (`effects.Received` with peer 0, `effects.LinkLost`). The machine is
called as

    machine = ClientMachine(client_id, name)
    effects = machine.handle(event, now)          # machine.next_wake() is always None: a client has no deadlines of its own

and a *record* (`state.Record`: what is known of one key, shared by all futures of it) is made before the event that names it:

    record, new = machine.state.hold(key)         # counts one reference more; `new`: the scheduler has not been told of this key yet
    machine.handle(Submit([(record, function_id, args, dependencies, holds, options)]), now)     # only when new
    ...
    machine.handle(Drop([record]), now)           # one element for each future that died

`hold` is the only thing that the shell's user threads call, under the same lock under which the loop thread calls `handle`.
Effects: `effects.Send(0, message)`, `effects.Log`, `effects.Close`, and those below. A record that a `Resolved` names has its final status and
    payload already.

Order is a promise: when a batch holds both deaths and other events, the deaths that were known first are handled *last*, so that a key is never
released before it was submitted. The reverse race (a key released or cancelled and submitted again while old answers are under way) is the
machine's own business: see `machine`.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from jupyterfut.core.client.state import Record
from jupyterfut.ids import FunctionId, Key
from jupyterfut.wire.messages import Failure, TaskOptions
from jupyterfut.wire.payload import Payload

Row: TypeAlias = tuple[Record, FunctionId, Payload, list[Key] | None, list[Key] | None, TaskOptions]
"""One call: (record, function, pickled arguments, keys of its dependencies or None, keys held by its opaque arguments or None, options)."""

# --- events: the link


class Connected(NamedTuple):
    """A stream to a scheduler stands and nothing was said on it yet. Answered by `Send(ClientHello)`, which has to be the stream's first message.

    The first time it begins the conversation. Later it means that a broken stream was replaced within the lease; the resumable session
    (`core.ordered`) then says again what was not heard, after the new `Welcome`. When that `Welcome` is not `resumed`, every live future ends.
    """


class Left(NamedTuple):
    """The user closed the client: say goodbye, end every future and every question."""

    reason: str


# --- events: calls


class DefineFunction(NamedTuple):
    """One more user of this pickled function: it is sent before the first row that names it, once."""

    function: FunctionId
    payload: Payload
    name: str


class DropFunction(NamedTuple):
    """One user of the function less. With the last one the scheduler is told to forget it (it keeps what its tasks need)."""

    function: FunctionId


class Submit(NamedTuple):
    """Single calls, in the order they were made. Neighbours with the same function and options leave as one message."""

    rows: list[Row]


class SubmitColumns(NamedTuple):
    """Many calls of one function (`map`): columns of equal length, `dependencies` and `holds` empty when no row has any."""

    function: FunctionId
    records: list[Record]
    args: list[Payload]
    dependencies: list[list[Key]]
    holds: list[list[Key]]
    options: TaskOptions


class Want(NamedTuple):
    """Futures of keys that others made have arrived here (unpickled, out of a queue)."""

    records: list[Record]


class Scattered(NamedTuple):
    """Data of these records was stored by the scheduler or its workers on behalf of this client: they are finished."""

    records: list[Record]
    payloads: list[Payload | None]
    types: list[str]
    nbytes: list[int]


class Drop(NamedTuple):
    """Futures died: one element for each of them, so a record may stand here several times."""

    records: list[Record]


class Cancel(NamedTuple):
    """The user cancels. The records are cancelled at once; their dependants when the scheduler says so."""

    records: list[Record]
    force: bool
    reason: str


class Retry(NamedTuple):
    """Run again what failed or was lost; records in any other state are left alone."""

    records: list[Record]


class Keep(NamedTuple):
    """Fire and forget: these run to their end whoever holds a future."""

    records: list[Record]


class Ask(NamedTuple):
    """A question to the scheduler. `asker` comes back in `Answered` and is never looked at."""

    asker: Any
    op: str
    args: dict[str, Any]


class Tell(NamedTuple):
    """Tell everybody who has subscribed to the topic. No answer."""

    topic: str
    value: Any


class Abandon(NamedTuple):
    """Whoever asked does not wait any more. The answer, whatever it is, still comes back in `Answered`."""

    asker: Any


# --- effects


class Welcomed(NamedTuple):
    """The scheduler has taken this client in (again, if `resumed`)."""

    resumed: bool
    info: dict[str, Any]


class Resolved(NamedTuple):
    """These records have a final status now (`finished`, `error`, `cancelled` or `lost`): whoever waits for one of them may go on."""

    records: list[Record]


class Reopened(NamedTuple):
    """These records were final and are pending again: their task runs once more."""

    records: list[Record]


class Delivered(NamedTuple):
    """An answer with futures inside: `value` is a payload, or a list of payloads, and there is a record with one reference for each key in it. The
    shell unpickles the value, so that its futures find the records, and lets go of these references (`Drop`)."""

    value: Any
    records: list[Record]


class Answered(NamedTuple):
    """The answer to one `Ask`: a value (a `Delivered` from queues and variables), or the failure."""

    asker: Any
    value: Any
    failure: Failure | None


class Noticed(NamedTuple):
    """What was notified on topics that the client has subscribed to, in order."""

    topics: list[str]
    values: list[Any]
