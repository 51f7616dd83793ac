"""`FutureList`: the list that `map` returns. A list in every respect, which also knows how to show itself: as one strip, not as ten thousand lines.

Arguments, `gather`, pickles and the cluster see a plain list in it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, SupportsIndex, overload

from jupyterfut.client.futures import Future
from jupyterfut.client.showing import Showing
from jupyterfut.core.client.state import Status
from jupyterfut.serde.calls import list_like
from jupyterfut.views.snapshots import CODES, FuturesView
from jupyterfut.views.text import key_name

ITEMS_IN_REPR = 8
"""A longer list says how many there are, not each of them."""

_CODE: dict[Status, int] = {"pending": 0, "finished": 2, "error": 3, "cancelled": 4, "lost": 5}
assert all(CODES[code] == status for status, code in _CODE.items())


class FutureList(Showing, list[Any]):
    """A list of futures, as `Client.map` returns it. It is a `list`; slices, copies and sums of such lists are `FutureList`s too. Pickled, it arrives
    as a plain list of futures.

    What is shown of it in a notebook follows it while it lives: a list that grows (`append`, `extend`) grows there as well.

    >>> from jupyterfut import Client
    >>> with Client(processes=False) as client:
    ...     futures = client.map(abs, range(-3, 0))
    ...     isinstance(futures, list), type(futures[:2]).__name__, client.gather(futures)
    (True, 'FutureList', [3, 2, 1])
    """

    __slots__ = ("__weakref__", "_watchers")

    _watchers: list[Callable[[], object]]  # called when it has been changed; there is none until somebody watches

    # --- a list whose slices, copies and sums are such lists

    @overload
    def __getitem__(self, index: SupportsIndex) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> FutureList: ...
    def __getitem__(self, index: Any) -> Any:
        found = list.__getitem__(self, index)
        return FutureList(found) if type(index) is slice else found

    def copy(self) -> FutureList:
        """A shallow copy."""
        return FutureList(self)

    __copy__ = copy

    def __add__(self, other: list[Any]) -> FutureList:
        found = list.__add__(self, other)
        return FutureList(found)

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return list, (), None, iter(self)

    # --- who shows it is told when it changes

    def watch(self, changed: Callable[[], object]) -> None:
        """Have `changed()` called, in whichever thread it happens, after each change of the list. It must neither block nor raise."""
        self._watchers = [*getattr(self, "_watchers", ()), changed]

    def unwatch(self, changed: Callable[[], object]) -> None:
        """No more. Does nothing if it was not watched."""
        self._watchers = [one for one in getattr(self, "_watchers", ()) if one != changed]

    def _changed(self) -> None:
        for tell in getattr(self, "_watchers", ()):
            tell()

    def append(self, item: Any) -> None:
        list.append(self, item)
        self._changed()

    def extend(self, items: Iterable[Any]) -> None:
        list.extend(self, items)
        self._changed()

    def __iadd__(self, items: Iterable[Any]) -> FutureList:
        list.extend(self, items)
        self._changed()
        return self

    def insert(self, index: SupportsIndex, item: Any) -> None:
        list.insert(self, index, item)
        self._changed()

    def __setitem__(self, index: Any, item: Any) -> None:
        list.__setitem__(self, index, item)
        self._changed()

    def __delitem__(self, index: Any) -> None:
        list.__delitem__(self, index)
        self._changed()

    def pop(self, index: SupportsIndex = -1) -> Any:
        item = list.pop(self, index)
        self._changed()
        return item

    def remove(self, item: Any) -> None:
        list.remove(self, item)
        self._changed()

    def clear(self) -> None:
        list.clear(self)
        self._changed()

    # --- how it looks

    def __repr__(self) -> str:
        if len(self) <= ITEMS_IN_REPR:
            return list.__repr__(self)
        view = futures_view(self)
        name = f"{view.name} " if view.name else ""
        first = next(self.futures(), None)
        if first is None or first._client._static_display:
            return f"<FutureList: {name}{len(self)} futures>"
        return f"<FutureList: {name}{len(self)} futures: {', '.join(f'{n} {what}' for what, n in view.counts.items())}>"

    def _repr_html_(self) -> str:
        from jupyterfut.views import html

        first = next(self.futures(), None)
        return html.futures(futures_view(self), static=first is not None and first._client._static_display)

    def futures(self) -> Iterator[Future]:
        """Those of its items that are futures."""
        return (item for item in list.__iter__(self) if isinstance(item, Future))


list_like(FutureList)

WeakList = weakref.ref[FutureList]


def futures_view(futures: Iterable[Any]) -> FuturesView:
    """What a view shows of several futures, as far as it is known here.

    >>> futures_view([])
    FuturesView(codes=b'', name='', kind='Futures', rows=(), failures=(), groups=(), since=None, took_s=None, released=False)
    """
    records = [item._record for item in futures if isinstance(item, Future)]
    return FuturesView(codes_of(records), common_name(records), failures=failures_of(records))


def codes_of(records: Iterable[Any]) -> bytes:
    """The state of each record: its place in `views.snapshots.CODES`."""
    code = _CODE
    return bytes([code[record.status] for record in records])


def common_name(records: list[Any]) -> str:
    """What all these tasks are called; "" if they are not called the same."""
    if not records:
        return ""
    name = key_name(records[0].key)
    start = f"{name}-"
    return name if all(record.key.startswith(start) or record.key == name for record in records) else ""


def failures_of(records: Iterable[Any]) -> tuple[tuple[str, int, str], ...]:
    """What went wrong: (the error in one line, how often, the first key), the most frequent first."""
    found: dict[str, tuple[int, str]] = {}
    for record in records:
        if record.status == "error" and record.failure is not None:
            what = f"{record.failure.kind}: {record.failure.text}".strip().partition("\n")[0][:200]
            n, first = found.get(what, (0, record.key))
            found[what] = n + 1, first
    return tuple(sorted(((what, n, first) for what, (n, first) in found.items()), key=lambda one: -one[1])[:50])
