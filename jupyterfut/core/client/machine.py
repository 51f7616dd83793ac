"""The client's machine: calls and deaths of futures come in from the user, results from the scheduler; messages and resolved records go out.

The rules, in the order in which a key meets them:

- **A call** makes a record (`pending`) and one row of `SubmitTasks`. A second call with the same key while the record lives is the same record:
  nothing is sent.
- **An answer** (`KeysReady`, `KeysFailed`, `KeysCancelled`, `KeysLost`) gives the record its final status: `finished`, `error`, `cancelled`,
  `lost`. The shell is told with `Resolved`. `KeysPending`, or the user's `Retry`, takes `finished`, `error` and `lost` back to `pending`.
- **The last future's death** removes the record and sends `ReleaseKeys`. A cancelled record leaves the table at once, so its death sends nothing.
- **Old answers.** A key can be released (or cancelled) and submitted again while the scheduler's words about its first life are still under way.
  They must not touch the second life. So before such a key is told again the machine sends a *fence*: a question whose answer carries nothing
  (`locate` of no keys). The stream keeps its order, so whatever comes before the fence's answer is about the first life, and is dropped.
- **A delivery** (out of a queue, a variable) makes records for the futures inside it, and is confirmed with `Taken`. The scheduler has put this
  client down for their keys already; only for a key that is being released at that moment it is told once more, after a fence.
- **Functions** go out before the first row that names them, and once; the pickled form stays here as long as the user's function object lives.
- **The link** breaks and comes back within the lease without this machine hearing of it, but for one `Connected` and a `Welcome(resumed=True)`. If
  the lease was over (`Welcome(resumed=False)` in answer to `resume`, or `LinkLost`) nothing that was promised will come: what was pending ends
  `cancelled`, what was finished `lost`.

        Submit, Want                 KeysReady
    (no record) ------> pending --------------------> finished --+
                        | ^ ^ |      KeysFailed                  | KeysPending (its worker died)
                        | | | +---------------------> error -----+--> pending
                        | | |        KeysLost                    | Retry
                        | | +-----------------------> lost ------+
                        | +-- Retry, KeysPending
                        +---------------------------> cancelled      (KeysCancelled, Cancel, Left: from every state, and final)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any

from jupyterfut.core.client import events as ev
from jupyterfut.core.client.state import ClientState, Function, Record
from jupyterfut.core.client.story import BatchJournal
from jupyterfut.core.effects import Close, LinkLost, Log, Received, Send, Tick
from jupyterfut.core.journal import Entry
from jupyterfut.ids import ClientId, FunctionId, Key, PeerId
from jupyterfut.wire import messages as ms
from jupyterfut.wire.messages import Failure, TaskOptions

SCHEDULER = PeerId(0)
LOST = ("LostData", "ActorLost")
"""What a failure says of a key that is lost: nothing new to one who knows."""
FENCE_EVERY = 4096
"""So many keys are released before a fence lets the machine forget them."""


class ClientMachine:
    """`handle(event, now)` gives the effects; nothing else happens. Not thread-safe: the shell holds one lock around `handle` and `state.hold`.

    >>> machine = ClientMachine(ClientId("client-1"), "me")
    >>> machine.handle(ev.Connected(), 0.0)
    [Send(peer=0, message=ClientHello(client='client-1', name='me', resume=False, conversation=0, info={}))]
    """

    def __init__(self, client: ClientId, name: str, journal: BatchJournal | None = None, info: dict[str, Any] | None = None) -> None:
        self.client = client
        self.name = name
        self.info = info or {}  # as in `ClientHello`
        self.state = ClientState()
        self.journal = BatchJournal() if journal is None else journal
        self._handlers: dict[type, Callable[[Any, float], list[Any]]] = {
            ev.Connected: self._on_connected,
            ev.Left: self._on_left,
            ev.DefineFunction: self._on_define_function,
            ev.DropFunction: self._on_drop_function,
            ev.Submit: self._on_submit,
            ev.SubmitColumns: self._on_submit_columns,
            ev.Want: self._on_want,
            ev.Scattered: self._on_scattered,
            ev.Drop: self._on_drop,
            ev.Cancel: self._on_cancel,
            ev.Retry: self._on_retry,
            ev.Keep: self._on_keep,
            ev.Ask: self._on_ask,
            ev.Abandon: self._on_abandon,
            ev.Tell: self._on_tell,
            Received: self._on_received,
            LinkLost: self._on_link_lost,
            Tick: self._on_tick,
        }
        self._readers: dict[type, Callable[[Any, float], list[Any]]] = {
            ms.Welcome: self._read_welcome,
            ms.KeysReady: self._read_ready,
            ms.KeysFailed: self._read_failed,
            ms.KeysCancelled: self._read_cancelled,
            ms.KeysLost: self._read_lost,
            ms.KeysPending: self._read_pending,
            ms.Reply: self._read_reply,
            ms.Delivery: self._read_delivery,
            ms.Notices: self._read_notices,
            ms.Goodbye: self._read_goodbye,
        }

    def handle(self, event: Any, now: float) -> list[Any]:
        """The effects of one event (see `events`). Raises KeyError for something that is no event."""
        return self._handlers[type(event)](event, now)

    def next_wake(self) -> float | None:
        """Always None: a client has no deadlines of its own."""
        return None

    def story(self, *keys: str) -> list[Entry]:
        """What happened to these keys, oldest first."""
        return self.journal.story(*keys)

    # --- the link

    def _on_connected(self, event: ev.Connected, now: float) -> list[Any]:
        return [Send(SCHEDULER, ms.ClientHello(self.client, self.name, self.state.welcomed, self.state.conversation, self.info))]

    def _read_welcome(self, message: ms.Welcome, now: float) -> list[Any]:
        state = self.state
        effects: list[Any] = []
        if state.welcomed and not message.resumed:
            effects = self._end(
                "the scheduler does not know this client any more: its link was down longer than its lease, or the scheduler is a new one", now
            )
        state.welcomed = True
        if not message.resumed:
            state.conversation += 1
        effects.append(ev.Welcomed(message.resumed, message.info))
        return effects

    def _on_link_lost(self, event: LinkLost, now: float) -> list[Any]:
        return self._end(f"the connection to the scheduler is lost: {event.reason}", now)

    def _read_goodbye(self, message: ms.Goodbye, now: float) -> list[Any]:
        return [*self._end(f"the scheduler has closed: {message.reason}", now), Close(SCHEDULER, message.reason)]

    def _on_left(self, event: ev.Left, now: float) -> list[Any]:
        state = self.state
        if state.left:
            return []
        said: list[Any] = [Send(SCHEDULER, ms.Goodbye(event.reason))] if state.welcomed else []
        state.left = True
        for record in state.records.values():
            self._clear(record, "cancelled", event.reason)
        ended = list(state.records.values())
        state.records.clear()
        return [*said, *self._forget_session(Failure("ClosedError", event.reason, None, "", Key("")), ended, now), Close(SCHEDULER, event.reason)]

    def _end(self, reason: str, now: float) -> list[Any]:
        """This session is over and nothing that was promised in it will come."""
        state = self.state
        ended = []
        for record in state.records.values():
            if record.status == "pending":
                self._clear(record, "cancelled", reason)
            elif record.status == "finished":
                self._clear(record, "lost", reason)
            else:
                continue
            ended.append(record)
        state.records.clear()
        return self._forget_session(Failure("ConnectionFailed", reason, None, "", Key("")), ended, now)

    def _forget_session(self, failure: Failure, ended: list[Record], now: float) -> list[Any]:
        state = self.state
        state.welcomed = False
        state.departed.clear()
        state.muted.clear()
        state.fences.clear()
        state.arriving.clear()  # the records have left the table with all others
        for function in state.functions.values():
            function.told = False
        effects: list[Any] = [ev.Answered(asker, None, failure) for asker in state.askers.values()]
        state.askers.clear()
        if ended:
            self.journal.note(now, [record.key for record in ended], "ended with the session", failure.text)
            effects.append(ev.Resolved(ended))
        return effects

    def _on_tick(self, event: Tick, now: float) -> list[Any]:
        return []

    # --- functions

    def _on_define_function(self, event: ev.DefineFunction, now: float) -> list[Any]:
        function = self.state.functions.get(event.function)
        if function is None:
            self.state.functions[event.function] = Function(event.payload, event.name)
        else:
            function.users += 1
        return []

    def _on_drop_function(self, event: ev.DropFunction, now: float) -> list[Any]:
        function = self.state.functions[event.function]
        function.users -= 1
        if function.users:
            return []
        del self.state.functions[event.function]
        return [Send(SCHEDULER, ms.ForgetFunctions([event.function]))] if function.told else []

    def _tell_function(self, function_id: FunctionId, effects: list[Any]) -> None:
        function = self.state.functions[function_id]
        if not function.told:
            function.told = True
            effects.append(Send(SCHEDULER, ms.Functions([function_id], [function.payload], [function.name])))

    # --- calls

    def _on_submit(self, event: ev.Submit, now: float) -> list[Any]:
        """Neighbouring rows with one function and one set of options become one message."""
        rows = event.rows
        effects: list[Any] = []
        if self.state.left:
            return self._refuse([row[0] for row in rows], now)
        if self._some_ended(row[0] for row in rows):
            rows = [row for row in rows if self.state.records.get(row[0].key) is row[0]]
        self._fence_before([row[0].key for row in rows], effects)
        if len(rows) == 1:  # a call that somebody waits for, as a rule: without the grouping
            record, function, args, names, held, options = rows[0]
            self._tell_function(function, effects)
            self._send_rows(function, [record.key], [args], [names] if names else [], [held] if held else [], options, effects, now)
            return effects
        start = 0
        while start < len(rows):
            _, function, _, _, _, options = rows[start]
            end = start + 1
            while end < len(rows) and rows[end][1] == function and (rows[end][5] is options or rows[end][5] == options):
                end += 1
            group = rows[start:end]
            dependencies = [row[3] or [] for row in group]
            holds = [row[4] or [] for row in group]
            self._tell_function(function, effects)
            self._send_rows(
                function,
                [row[0].key for row in group],
                [row[2] for row in group],
                dependencies if any(dependencies) else [],
                holds if any(holds) else [],
                options,
                effects,
                now,
            )
            start = end
        return effects

    def _on_submit_columns(self, event: ev.SubmitColumns, now: float) -> list[Any]:
        if self.state.left:
            return self._refuse(event.records, now)
        if self._some_ended(event.records):
            names, held = event.dependencies or repeat(None), event.holds or repeat(None)
            rows = zip(event.records, repeat(event.function), event.args, names, held, repeat(event.options), strict=False)
            return self._on_submit(ev.Submit(list(rows)), now)
        effects: list[Any] = []
        keys = [record.key for record in event.records]
        self._fence_before(keys, effects)
        self._tell_function(event.function, effects)
        self._send_rows(event.function, keys, event.args, event.dependencies, event.holds, event.options, effects, now)
        return effects

    def _send_rows(
        self,
        function: FunctionId,
        keys: list[Key],
        args: list[Any],
        dependencies: list[list[Key]],
        holds: list[list[Key]],
        options: TaskOptions,
        effects: list[Any],
        now: float,
    ) -> None:
        effects.append(Send(SCHEDULER, ms.SubmitTasks(function, keys, args, dependencies, holds, options)))
        self.journal.note(now, keys, "submitted")

    def _on_want(self, event: ev.Want, now: float) -> list[Any]:
        if self.state.left:
            return self._refuse(event.records, now)
        effects: list[Any] = []
        keys = [record.key for record in event.records if self.state.records.get(record.key) is record]
        if not keys:
            return []
        self._fence_before(keys, effects)
        effects.append(Send(SCHEDULER, ms.WantKeys(keys)))
        self.journal.note(now, keys, "wanted")
        return effects

    def _some_ended(self, records: Iterable[Record]) -> bool:
        """Whether some of these ended together with the session in which they were made, before they were told: nobody would let go of them."""
        if self.state.conversation < 2:
            return False  # no session has ended yet: the common road pays nothing
        live = self.state.records
        return any(live.get(record.key) is not record for record in records)

    def _refuse(self, records: list[Record], now: float) -> list[Any]:
        """Calls that were made while the client closed."""
        for record in records:
            self._clear(record, "cancelled", "the client is closed")
            if self.state.records.get(record.key) is record:
                del self.state.records[record.key]
        self.journal.note(now, [record.key for record in records], "refused: closed")
        return [ev.Resolved(records)]

    def _on_scattered(self, event: ev.Scattered, now: float) -> list[Any]:
        resolved = []
        records = self.state.records
        for record, payload, type_name, nbytes in zip(event.records, event.payloads, event.types, event.nbytes, strict=True):
            if records.get(record.key) is record and record.status == "pending":  # else the scheduler's word was quicker, and may be worse: lost
                self._finish(record, payload, type_name, nbytes)
                resolved.append(record)
        return self._resolved(resolved, "scattered", now)

    def _on_cancel(self, event: ev.Cancel, now: float) -> list[Any]:
        records = self.state.records
        cancelled = []
        for record in event.records:
            if records.get(record.key) is record:
                del records[record.key]
                self.state.departed.add(record.key)
                self._clear(record, "cancelled", event.reason)
                cancelled.append(record)
        if not cancelled:
            return []
        return [Send(SCHEDULER, ms.CancelKeys([record.key for record in cancelled], event.force)), *self._resolved(cancelled, "cancelled here", now)]

    def _on_retry(self, event: ev.Retry, now: float) -> list[Any]:
        records = self.state.records
        reopened = []
        for record in event.records:
            if record.status in ("error", "lost") and records.get(record.key) is record:
                self._clear(record, "pending", None)
                reopened.append(record)
        if not reopened:
            return []
        keys = [record.key for record in reopened]
        self.journal.note(now, keys, "retried")
        return [Send(SCHEDULER, ms.RetryKeys(keys)), ev.Reopened(reopened)]

    def _on_keep(self, event: ev.Keep, now: float) -> list[Any]:
        records = self.state.records
        keys = [record.key for record in event.records if records.get(record.key) is record]
        return [Send(SCHEDULER, ms.FireAndForget(keys))] if keys else []

    def _on_drop(self, event: ev.Drop, now: float) -> list[Any]:
        return self._drop(event.records, now)

    def _drop(self, dead: list[Record], now: float) -> list[Any]:
        state = self.state
        records = state.records
        released = []
        for record in dead:
            record.references -= 1
            if record.references == 0 and records.get(record.key) is record:
                del records[record.key]
                released.append(record.key)
        if not released:
            return []
        self.journal.note(now, released, "released")
        effects: list[Any] = [Send(SCHEDULER, ms.ReleaseKeys(released))]
        state.departed.update(released)
        if len(state.departed) >= FENCE_EVERY:
            self._send_fence(effects)
        return effects

    # --- questions

    def _on_ask(self, event: ev.Ask, now: float) -> list[Any]:
        state = self.state
        if state.left:
            return [ev.Answered(event.asker, None, Failure("ClosedError", "the client is closed", None, "", Key("")))]
        number = state.next_question
        state.next_question = number + 1
        state.askers[number] = event.asker
        return [Send(SCHEDULER, ms.Request(number, event.op, event.args))]

    def _on_abandon(self, event: ev.Abandon, now: float) -> list[Any]:
        numbers = [number for number, asker in self.state.askers.items() if asker is event.asker]
        return [Send(SCHEDULER, ms.Abandon(numbers))] if numbers and not self.state.left else []

    def _on_tell(self, event: ev.Tell, now: float) -> list[Any]:
        return [] if self.state.left else [Send(SCHEDULER, ms.Notify([event.topic], [event.value]))]

    def _read_notices(self, message: ms.Notices, now: float) -> list[Any]:
        return [ev.Noticed(message.topics, message.values)]

    def _fence_before(self, keys: list[Key], effects: list[Any]) -> None:
        """Keys that had an earlier life are about to be told again: what comes before the fence's answer is about that life."""
        if self.state.departed and not self.state.departed.isdisjoint(keys):
            self._send_fence(effects)

    def _send_fence(self, effects: list[Any]) -> None:
        state = self.state
        number = state.next_question
        state.next_question = number + 1
        state.fences[number] = state.departed
        state.muted.update(dict.fromkeys(state.departed, number))
        state.departed = set()
        effects.append(Send(SCHEDULER, ms.Request(number, "locate", {"keys": []})))

    def _read_reply(self, message: ms.Reply, now: float) -> list[Any]:
        state = self.state
        fenced = state.fences.pop(message.id, None)
        if fenced is not None:
            for key in fenced:
                if state.muted.get(key) == message.id:
                    del state.muted[key]
            return []
        if message.id not in state.askers:
            return [Log("warning", f"the scheduler answered question {message.id}, which nobody asked")]
        value = message.value
        if state.arriving and message.id in state.arriving:
            value = ev.Delivered(*state.arriving.pop(message.id))
        return [ev.Answered(state.askers.pop(message.id), value, message.failure)]

    def _read_delivery(self, message: ms.Delivery, now: float) -> list[Any]:
        """Hold a record for each key, and say so. The scheduler counts this client among those who want them, unless it hears a release that is on
        its way to it: then it is told again."""
        state = self.state
        effects: list[Any] = []
        records = []
        again = []
        for key in message.keys:
            record, new = state.hold(key)
            records.append(record)
            if new and (key in state.departed or key in state.muted):
                again.append(key)
        if again:
            self._fence_before(again, effects)
            effects.append(Send(SCHEDULER, ms.WantKeys(again)))
        if records:
            self.journal.note(now, message.keys, "delivered")
        effects.append(Send(SCHEDULER, ms.Taken([message.id])))
        if message.id not in state.askers:
            return [*effects, Log("warning", f"the scheduler delivered to question {message.id}, which nobody asked"), *self._drop(records, now)]
        if records:
            number = message.id
            if again:  # how they stand is said behind the fence: so is our answer
                number = state.next_question
                state.next_question = number + 1
                state.askers[number] = state.askers.pop(message.id)
                state.fences[message.id] = set()  # the reply that follows the delivery
                effects.append(Send(SCHEDULER, ms.Request(number, "locate", {"keys": []})))
            state.arriving[number] = (message.value, records)
        else:
            effects.append(ev.Answered(state.askers.pop(message.id), ev.Delivered(message.value, []), None))
        return effects

    # --- answers about keys

    def _on_received(self, event: Received, now: float) -> list[Any]:
        reader = self._readers.get(type(event.message))
        if reader is None:
            return [Log("error", f"the scheduler sent a client {type(event.message).__name__}: dropped")]
        if self.state.left:
            return []
        return reader(event.message, now)

    def _live(self, keys: Iterable[Key]) -> list[Record | None]:
        """The records of `keys`; None where nobody wants it any more or the words are about an earlier life.

        A key that has departed may have a new record already, held by the user and not yet told to the scheduler: the fence comes with that telling.
        """
        get = self.state.records.get
        muted, departed = self.state.muted, self.state.departed
        if not muted and not departed:
            return [get(key) for key in keys]
        return [None if key in muted or key in departed else get(key) for key in keys]

    def _read_ready(self, message: ms.KeysReady, now: float) -> list[Any]:
        resolved = []
        strays = []
        keys = message.keys
        get = self.state.records.get
        muted, departed = self.state.muted, self.state.departed  # see `_live`, which is written out here, on the hottest road
        for key, payload, type_name, nbytes in zip(keys, message.payloads, message.types, message.nbytes, strict=True):
            record = get(key)
            if record is None:
                strays.append(key)
            elif (departed and key in departed) or (muted and key in muted):
                continue
            elif record.status == "pending":
                record.status = "finished"
                record.payload = payload
                record.type = type_name
                record.nbytes = nbytes
                resolved.append(record)
            elif record.status != "finished":
                self._finish(record, payload, type_name, nbytes)
                resolved.append(record)
        effects: list[Any] = []
        if resolved:
            self.journal.note(now, keys if len(keys) == len(resolved) else [record.key for record in resolved], "finished")
            effects.append(ev.Resolved(resolved))
        if strays:
            # Mostly the news crossed our release. But data scattered by a call that gave up comes after its release, for good unless released again.
            self.state.departed.update(strays)
            effects.append(Send(SCHEDULER, ms.ReleaseKeys(strays)))
        return effects

    def _read_failed(self, message: ms.KeysFailed, now: float) -> list[Any]:
        resolved = []
        for record, failure in zip(self._live(message.keys), message.failures, strict=True):
            if record is not None and record.status != "error" and not (record.status == "lost" and failure.kind in LOST):
                self._clear(record, "error", None)
                record.failure = failure
                resolved.append(record)
        return self._resolved(resolved, "failed", now)

    def _read_cancelled(self, message: ms.KeysCancelled, now: float) -> list[Any]:
        resolved = []
        for record in self._live(message.keys):
            if record is not None:
                del self.state.records[record.key]
                self._clear(record, "cancelled", message.reason)
                resolved.append(record)
        return self._resolved(resolved, "cancelled", now)

    def _read_lost(self, message: ms.KeysLost, now: float) -> list[Any]:
        resolved = []
        for record in self._live(message.keys):
            if record is not None and record.status != "lost":
                self._clear(record, "lost", message.reason)
                resolved.append(record)
        return self._resolved(resolved, "lost", now)

    def _read_pending(self, message: ms.KeysPending, now: float) -> list[Any]:
        reopened = []
        for record in self._live(message.keys):
            if record is not None and record.status != "pending":
                self._clear(record, "pending", None)
                reopened.append(record)
        if not reopened:
            return []
        self.journal.note(now, [record.key for record in reopened], "pending again")
        return [ev.Reopened(reopened)]

    def _resolved(self, records: list[Record], what: str, now: float) -> list[Any]:
        if not records:
            return []
        self.journal.note(now, [record.key for record in records], what)
        return [ev.Resolved(records)]

    # --- the two places where a record changes

    def _finish(self, record: Record, payload: Any, type_name: str, nbytes: int) -> None:
        record.status = "finished"
        record.payload = payload
        record.type = type_name
        record.nbytes = nbytes
        record.failure = None
        record.reason = None

    def _clear(self, record: Record, status: Any, reason: str | None) -> None:
        record.status = status
        record.payload = None
        record.failure = None
        record.reason = reason
