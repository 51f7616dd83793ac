"""Pickling many calls that share functions: what has to travel by value (a notebook's functions and classes) is taken out of each call, and named in
it by number. The shared parts are pickled once, as a function that all these calls name.

Plain pickle does the work, so that a call costs a few microseconds; cloudpickle makes a pickle of its own for a call that plain pickle cannot do.
"""

from __future__ import annotations

import io
import pickle
import types
from collections.abc import Callable, Iterable
from typing import Any

from jupyterfut.ids import Key
from jupyterfut.serde.futures import collecting, marks
from jupyterfut.serde.pickles import OUT_OF_BAND_BYTES, aside, by_value_in, dumps_by_value, has_name
from jupyterfut.wire.payload import Blob


class Parts:
    """The functions and classes that calls share, in the order in which they were met, after those already `known`. `stand_in(*names, i)` gives the
    i-th one at the other end.

    >>> parts = Parts(print)
    >>> payload, holds = parts.dumps((len, (1, 2)))
    >>> parts.found, holds
    ([], [])
    """

    def __init__(self, stand_in: Callable[..., Any], *names: Any, known: Iterable[Any] = ()) -> None:
        self.found: list[Any] = []
        self._stand_in = stand_in
        self._names = names
        self._places: dict[int, Any] = {}  # id -> what to put into the pickle; `_kept` keeps the ids true
        self._kept: list[Any] = []
        for thing in known:
            self.place(thing)

    def dumps(self, call: object) -> tuple[bytes | Blob, list[Key]]:
        """The payload, and the keys of the futures in it. Raises `SerializationError`."""
        mark = marks.last
        payload = self._pickled(call)
        if marks.last is mark:
            return payload, []
        with collecting() as keys:
            payload = self._pickled(call)
        return payload, list(dict.fromkeys(keys))

    def _pickled(self, call: object) -> bytes | Blob:
        buffers: list[memoryview] = []
        file = io.BytesIO()
        count = len(self.found)
        try:
            _Pickler(self, file, aside(buffers)).dump(call)
        except Exception:  # noqa: BLE001  # of any kind: cloudpickle tries next, and says what is wrong
            self._take_back(count)
            return dumps_by_value(call)
        data = file.getvalue()
        if by_value_in(data):
            self._take_back(count)
            return dumps_by_value(call)
        return Blob(data, buffers) if buffers or len(data) >= OUT_OF_BAND_BYTES else data

    def place(self, thing: Any) -> Any:
        """What a pickle says in the place of a function or class: nothing special when the other end can import it."""
        place = self._places.get(id(thing))
        if place is None:
            if has_name(thing) or not (isinstance(thing, type) or type(thing) is types.FunctionType):
                place = NotImplemented
            else:
                place = (self._stand_in, (*self._names, len(self.found)))
                self.found.append(thing)
            self._places[id(thing)] = place
            self._kept.append(thing)
        return place

    def _take_back(self, count: int) -> None:
        """The attempt was void: what only it has met is shared by nobody."""
        for thing in self.found[count:]:
            del self._places[id(thing)]
        del self.found[count:]


class _Pickler(pickle.Pickler):
    def __init__(self, parts: Parts, file: io.BytesIO, buffer_callback: Callable[[pickle.PickleBuffer], bool]) -> None:
        super().__init__(file, 5, buffer_callback=buffer_callback)
        self._place = parts.place

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is types.FunctionType or isinstance(obj, type):
            return self._place(obj)
        return NotImplemented
