"""Forms of futures: of one, of a list, and of progress.

They look on through the records of the client: each pending record has the form's onlooker among its waiters, which says that there is something new,
once until the form has looked. Looking is one pass over the records. Where a few tasks stand meanwhile (`client.following`) is followed as well. When
all have ended, the records are let go; the object that was shown is only known weakly, and asked again if it changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from jupyterfut.client.following import Following, Whereabouts, follow
from jupyterfut.client.future_list import FutureList, codes_of, common_name, failures_of
from jupyterfut.client.futures import Future, futures_within
from jupyterfut.core.client import events as ev
from jupyterfut.core.client.state import Record
from jupyterfut.errors import ClosedError
from jupyterfut.notebook.live.forms import Form, weak
from jupyterfut.views import html, text
from jupyterfut.views.snapshots import CODES, FuturesView, FutureView
from jupyterfut.views.style import Look
from jupyterfut.views.text import key_name

FOLLOWED = 200
"""Of so many futures at most it is followed where each stands; of more, which have ended."""

Source = Callable[[], Iterable[Any] | None]
"""The futures as they are now; None when what held them is no more."""


class Onlooker:
    """Stands among the waiters of records, and says once that something has happened, until it is asked to say so again."""

    __slots__ = ("count", "dropped", "tell", "told")

    def __init__(self, tell: Callable[[], None]) -> None:
        self.count = 0  # set by `Session.watch`
        self.tell = tell
        self.told = False
        self.dropped = False

    def __call__(self, record: Record) -> None:
        if not self.told:
            self.told = True
            self.tell()

    def released(self, record: Record) -> None:
        """The last future of a pending task is gone."""
        self.dropped = True
        self(record)


class TaskForm(Form):
    """What forms of futures have in common: records, and whether they have ended."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._onlooker = Onlooker(self.changed)
        self._records: list[Record] = []
        self._name = ""  # of all of them
        self._stale = True  # there may be others than those, or some that nobody looks on at
        self._held = True  # somebody holds what is shown
        self._watched: dict[Any, dict[Record, None]] = {}  # session -> the records that are looked on at
        self._followings: list[Following] = []
        self._following = False
        self._where: dict[str, Whereabouts] = {}
        self._began: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self._why: dict[str, str] = {}
        self.codes = b""
        self.since = time.time()
        self.took_s: float | None = None

    # --- following

    def begin(self) -> None:
        self._following = True
        if self._stale:
            self._read()
        else:
            self._look_on(list(self._source() or ()))

    def stop(self) -> None:
        self._following = False
        followings, self._followings = self._followings, []
        for following in followings:
            following.stop()
        watched, self._watched = self._watched, {}
        for session, records in watched.items():
            session.unwatch(records, self._onlooker)

    def leave(self) -> None:
        super().leave()
        self._records = []

    def reopened(self, records: list[Record]) -> None:
        """Some tasks run once more; perhaps ours. On a client's loop."""
        self._stale = True
        self.changed()

    def grown(self) -> None:
        """There are others, or more."""
        self._stale = True
        self.changed()

    def gone(self) -> None:
        """What held the futures is no more."""
        self._held = False
        self._onlooker.dropped = True
        self.changed()

    def _read(self) -> None:
        """What there is to be followed, and that all of it is."""
        self._stale = False
        source = self._source()
        if source is None:
            return
        futures = [future for future in source if isinstance(future, Future)]
        self._records = [future._record for future in futures]
        self._name = common_name(self._records)
        if self._following:
            self._look_on(futures)

    def _look_on(self, futures: list[Any]) -> None:
        """Hear of whatever becomes of these. For ten thousand of them it takes a few ms, which whoever shows a list waits for."""
        sessions = {client._session: client for client in {future._client for future in futures if isinstance(future, Future)}}
        onlooker = self._onlooker
        for session, client in sessions.items():
            if self.forms is not None and self.forms.reopened not in session.at_reopening:
                session.at_reopening.append(self.forms.reopened)
            with session.lock:
                pending = dict.fromkeys(
                    record
                    for record in self._records
                    if record.status == "pending"
                    and (record.waiters is None or onlooker not in record.waiters)
                    and (len(sessions) == 1 or session.state.records.get(record.key) is record)
                )
                session.watch(pending, onlooker)
            self._watched.setdefault(session, {}).update(pending)
            if pending and len(self._records) <= FOLLOWED:
                self._follow(client, list(pending))

    def _follow(self, client: Any, records: list[Record]) -> None:
        try:
            self._followings.append(follow(client, [record.key for record in records], self._hear))
            for record in records:
                if record.particular:
                    self._ask_why(client, record.key)
        except ClosedError:
            return  # all its futures end with it, which the onlooker tells

    def _ask_why(self, client: Any, key: str) -> None:
        def learn(value: Any, failure: Any) -> None:
            self._why[key] = str(value or "") if failure is None else ""
            self.changed()

        client._session.post(ev.Ask(learn, "why_pending", {"key": key}))

    def _hear(self, where: Whereabouts) -> None:
        """On a client's loop: a task stands somewhere else now."""
        known = self._where.get(where.key)
        if not where.worker and known is not None and where.state not in ("waiting", "queued"):
            where = where._replace(worker=known.worker)  # where it was, although it is not there any more
        self._where[where.key] = where
        if where.state == "running":
            self._began[where.key] = where.since
        if not self._onlooker.told:
            self._onlooker.told = True
            self.changed()

    # --- looking

    def refresh(self) -> None:
        onlooker = self._onlooker
        onlooker.told = False
        if self._stale:
            self._read()
        records = self._records
        if not records and self.ended:
            return  # what became of them is known
        codes = bytearray(codes_of(records))
        if onlooker.dropped and codes.count(0):
            for i, record in enumerate(records):
                if record.status == "pending" and record.references <= 0:
                    codes[i] = 6
        if self._where and codes.count(0):
            for i, record in enumerate(records):
                where = self._where.get(record.key)
                if codes[i] == 0 and where is not None and where.state == "running":
                    codes[i] = 1
        now = time.time()
        self.codes = bytes(codes)
        unfinished = codes.count(0) + codes.count(1)
        ended = not unfinished and (bool(records) or not self._held)
        for record, code in zip(records, codes, strict=True) if self._began else ():
            if code not in (0, 1) and (began := self._began.get(record.key)) is not None and record.key not in self._took:
                where = self._where.get(record.key)
                end = where.since if where is not None and where.state in ("finished", "error") else now
                self._took[record.key] = max(0.0, end - began)
        if ended and not self.ended:
            self.took_s = now - self.since if self._following else None
        elif not ended and self.ended:
            self.since, self.took_s = now, None  # run again, or grown
        self.look(records)
        self.ended = ended
        if ended:
            self._records = []

    def look(self, records: list[Record]) -> None:
        """Take from the records what the form shows. Subclasses write it."""

    # --- doing

    def act(self, what: str, args: dict[str, Any]) -> None:
        futures = [future for future in self._source() or () if isinstance(future, Future)]
        if not futures:
            raise ValueError("nobody holds these futures any more")
        wanted = "pending" if what == "cancel" else "error"
        by_session: dict[Any, list[Record]] = {}
        for future in futures:
            if future._record.status == wanted:
                by_session.setdefault(future._client._session, []).append(future._record)
        for session, records in by_session.items():
            if what == "cancel":
                session.post(ev.Cancel(records, False, "cancelled by a button in the notebook"))
            elif what == "retry":
                for record in records:
                    for known in (self._where, self._began, self._took):
                        known.pop(record.key, None)
                session.post(ev.Retry(records))
            else:
                super().act(what, args)

    # --- one of them

    def one(self, record: Record, code: int) -> FutureView:
        """What is shown of one."""
        status = CODES[code] if code in (2, 3, 4, 5, 6) else "pending"
        where = self._where.get(record.key)
        reason = record.reason or ""
        if record.failure is not None:
            reason = f"{record.failure.kind}: {record.failure.text}"
        elif status == "pending":
            reason = self._why.get(record.key, "") if code == 0 else ""
        elif status == "released":
            reason = "nobody holds this future any more"
        return FutureView(
            record.key, status, record.type or "", reason, record.nbytes if status == "finished" else None,
            where.state if where is not None and status == "pending" else "", where.worker if where is not None else "",
            self._began.get(record.key) if code == 1 else None, self._took.get(record.key) if code not in (0, 1) else None,
        )  # fmt: skip


class FutureForm(TaskForm):
    """The form of one future."""

    def __init__(self, future: Future) -> None:
        known = weak(future, self.gone)
        super().__init__(lambda: None if (found := known()) is None else [found])
        self._view = FutureView(future.key, future.status)

    def look(self, records: list[Record]) -> None:
        if records:
            self._view = self.one(records[0], self.codes[0])

    def html(self, look: Look) -> str:
        return html.future(self._view, look=look)

    def text(self) -> str:
        return text.future(self._view)


class FuturesForm(TaskForm):
    """The form of a list of futures: of a `FutureList`, which it follows when it grows, or of any iterable of futures."""

    def __init__(self, futures: Iterable[Any], kind: str = "Futures") -> None:
        source, self._list = source_of(futures, self.gone)
        super().__init__(source)
        self._kind = kind
        self._view = FuturesView(b"", kind=kind)
        if isinstance(futures, FutureList):
            futures.watch(self.grown)

    def leave(self) -> None:
        super().leave()
        known = self._list() if self._list is not None else None
        if known is not None:
            known.unwatch(self.grown)

    def look(self, records: list[Record]) -> None:
        codes = self.codes
        rows: tuple[FutureView, ...] = ()
        if len(records) <= FOLLOWED:
            rows = tuple(self.one(record, code) for record, code in zip(records, codes, strict=True))
        running = codes.count(0) + codes.count(1) > 0
        failures = failures_of(record for record, code in zip(records, codes, strict=True) if code == 3) if codes.count(3) else ()
        self._view = FuturesView(
            codes, self._name, self._kind, rows, failures, self.groups(records),
            self.since if running and self._held else None, self.took_s, not self._held and bool(codes.count(6)),
        )  # fmt: skip

    def groups(self, records: list[Record]) -> tuple[tuple[str, bytes], ...]:
        """Codes by group; none."""
        return ()

    def html(self, look: Look) -> str:
        return html.futures(self._view, look=look)

    def text(self) -> str:
        view = self._view
        name = f" {view.name}" if view.name else ""
        return f"<{view.kind}:{name} {len(view.codes)} futures: {', '.join(f'{n} {what}' for what, n in view.counts.items())}>"


class ProgressForm(FuturesForm):
    """How far futures are, in groups. `growing`: lists in which they are, read again whenever something happens to one of them. A plain list cannot
    tell that it has grown, and has no weak references, so these are held until all have ended, and their futures with them."""

    def __init__(
        self, futures: Iterable[Any], group: Callable[[str], str] = key_name, *, multi: bool = True, growing: tuple[list[Any], ...] = ()
    ) -> None:
        self._group, self._multi = group, multi
        self._growing = growing
        self._lengths = [len(one) for one in growing]
        super().__init__(futures, "Progress")
        if growing:
            self._source = lambda: dict.fromkeys(future for one in growing for future in futures_within(one, "progress"))

    def refresh(self) -> None:
        lengths = [len(one) for one in self._growing]
        if lengths != self._lengths:
            self._lengths, self._stale = lengths, True
        super().refresh()
        if self.ended and self._growing:
            futures = list(self._source() or ())
            self._growing, self._lengths = (), []
            self._source, self._list = source_of(futures, self.gone)

    def leave(self) -> None:
        super().leave()
        if self._growing:
            self._growing, self._lengths = (), []
            self._source = lambda: None

    def groups(self, records: list[Record]) -> tuple[tuple[str, bytes], ...]:
        if not self._multi:
            return ()
        found: dict[str, bytearray] = {}
        group = self._group
        for record, code in zip(records, self.codes, strict=True):
            found.setdefault(group(record.key), bytearray()).append(code)
        return tuple((name, bytes(codes)) for name, codes in found.items())

    def html(self, look: Look) -> str:
        return html.progress(self._view, look=look)


def source_of(futures: Iterable[Any], gone: Callable[[], object]) -> tuple[Source, Callable[[], FutureList | None] | None]:
    """How to read the futures again without keeping them alive; and the list that they are in, if it can tell of its changes."""
    if isinstance(futures, FutureList):
        known = weak(futures, gone)
        return (lambda: None if (found := known()) is None else list(found)), known
    each = [weak(future, gone) for future in futures if isinstance(future, Future)]

    def read() -> list[Any] | None:
        alive = [future for one in each if (future := one()) is not None]
        return alive if len(alive) == len(each) else None

    return read, None
