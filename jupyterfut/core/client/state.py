"""What a client knows: one record a key.

A record is shared by all futures of its key in this client and dies with the last of them. Futures point at their record, not at a key in a table:
when a key is cancelled or the cluster restarted, the old record leaves the table and keeps its old futures, and a new call with the same key
starts a new record. The death of an old future then never touches the new one.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from jupyterfut.ids import FunctionId, Key
from jupyterfut.wire.messages import Failure
from jupyterfut.wire.payload import Payload

Status: TypeAlias = Literal["pending", "finished", "error", "cancelled", "lost"]


class Record:
    """What is known of one key.

    `status` changes only inside the machine. `waiters` (who is to be told when the record resolves) and `log` (what the task has said) belong to the
    shell; the machine carries them and never looks.
    """

    __slots__ = ("failure", "key", "log", "nbytes", "particular", "payload", "reason", "references", "status", "type", "waiters")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.status: Status = "pending"
        self.references = 1  #: futures alive
        self.payload: Payload | None = None  #: a small result, when finished
        self.type: str | None = None  #: the result's type name, as soon as it is known
        self.nbytes = 0  #: the result's size in bytes, when finished
        self.failure: Failure | None = None  #: when error
        self.reason: str | None = None  #: when cancelled or lost
        self.waiters: list[Any] | None = None
        self.log: Any = None
        self.particular = False  #: its task wants certain workers or resources, so it may have to wait for ever

    def __repr__(self) -> str:
        return f"<Record {self.key}: {self.status}, {self.references} references>"


class Function:
    """One pickled function: how many function objects of the user stand behind it, and whether this session's scheduler has it."""

    __slots__ = ("name", "payload", "told", "users")

    def __init__(self, payload: Payload, name: str) -> None:
        self.payload = payload
        self.name = name
        self.users = 1
        self.told = False


class ClientState:
    """All live records by key, the functions, and the questions without an answer."""

    __slots__ = ("arriving", "askers", "conversation", "departed", "fences", "functions", "left", "muted", "next_question", "records", "welcomed")

    def __init__(self) -> None:
        self.records: dict[Key, Record] = {}
        self.functions: dict[FunctionId, Function] = {}
        self.askers: dict[int, Any] = {}  #: number of a question -> who asked
        self.next_question = 1
        self.departed: set[Key] = set()  #: released or cancelled since the last fence was sent: old answers may still come
        self.muted: dict[Key, int] = {}  #: key -> the fence whose answer ends the time in which old answers may come
        self.fences: dict[int, set[Key]] = {}  #: fences without an answer, by the number of their question
        self.arriving: dict[int, tuple[Any, list[Record]]] = {}  #: deliveries whose keys are being told: the value, and the records held for it
        self.welcomed = False  #: a scheduler keeps a session of this client
        self.conversation = 0  #: how often a scheduler has begun anew with this client
        self.left = False  #: closed for good

    def hold(self, key: Key) -> tuple[Record, bool]:
        """The key's record with one reference more, and whether it is new (then the caller owes the machine an event that tells the scheduler of
        it)."""
        record = self.records.get(key)
        if record is None:
            record = self.records[key] = Record(key)
            return record, True
        record.references += 1
        return record, False
