"""The names that a cell reads, made ready to travel: one pickle, the large pieces that were taken out of it, and the futures whose values it wants.

Values are copied as they are now, so the notebook may change them while the cell waits. A future, wherever it is found (bare, in a container, in an
object, in the globals of a function), becomes a dependency of the cell: the worker finds its value there. Functions and classes of the notebook
travel by value, with the notebook's names that they use; since all are pickled at once, and together with an *anchor* function of the same module,
they share one namespace at the other end, and the cell runs in it.

What is large is not copied into the pickle: the memory of arrays stands beside it, wherever the array is, and so does the pickle of a large list,
dict or text that a name stands for. `large` brings such pieces to the cluster once.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, NamedTuple

import cloudpickle
from IPython.display import display as ipython_display

from jupyterfut.client.client import Client
from jupyterfut.client.current import get_client
from jupyterfut.client.futures import Future
from jupyterfut.errors import SerializationError
from jupyterfut.notebook.submit.large import LARGE_BYTES
from jupyterfut.notebook.submit.travel import part_here
from jupyterfut.runtime.output import worker_display
from jupyterfut.serde.calls import Dep
from jupyterfut.serde.futures import marks
from jupyterfut.serde.pickles import by_value_in

Bring = Callable[[memoryview], Future]
"""Brings a large piece to the cluster, or finds it there."""


class Captured(NamedTuple):
    """What `run.run_cell` is given of the notebook."""

    data: bytes
    futures: list[Future]  #: whose values the pickle refers to by number
    buffers: list[Future]  #: of `bytes`: what stands beside the pickle, as its protocol has it
    parts: list[Future]  #: of `bytes`: pickles of large values, to which it refers by number
    owners: dict[str, list[Future]]  #: name -> the large pieces that belong to it


class _Mark:
    """Stands for a name, in front of its value, and knows when the pickler comes by."""

    def __init__(self, name: str, passed: Callable[[str], None]) -> None:
        self.name = name
        self.passed = passed

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        self.passed(self.name)
        return str, (self.name,)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    def __init__(self, file: io.BytesIO, futures: dict[str, Future], buffer_callback: Callable[[pickle.PickleBuffer], bool] | None) -> None:
        super().__init__(file, protocol=5, buffer_callback=buffer_callback)
        self.futures = futures
        self.index_of = {key: index for index, key in enumerate(futures)}

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Future):
            index = self.index_of.setdefault(value.key, len(self.index_of))
            self.futures.setdefault(value.key, value)
            return Dep(index).__reduce__()
        if isinstance(value, Client):
            return get_client, ()  # on the worker: the client that lives there
        if value is ipython_display:
            return worker_display, ()
        return super().reducer_override(value)


class _Part:
    """Stands for a value that travels as a piece of its own."""

    def __init__(self, index: int) -> None:
        self.index = index

    def __reduce__(self) -> tuple[Callable[[int], Any], tuple[int]]:
        return part_here, (self.index,)


class _Capture:
    """One attempt."""

    def __init__(self, values: Mapping[str, Any], namespace: dict[str, Any], bring: Bring | None) -> None:
        self.values = values
        self.bring = bring
        self.futures: dict[str, Future] = {}
        self.buffers: list[Future] = []
        self.parts: list[Future] = []
        self.owners: dict[str, list[Future]] = {}
        self.begins: dict[str, int] = {}  # name -> where its value begins in the pickle, as far as that has been written
        self.name = ""
        self.file = io.BytesIO()
        self.anchor = FunctionType((lambda: None).__code__, namespace, "notebook")
        self.anchor.__module__ = "__main__"

    def run(self) -> Captured:
        data = self.pickled(self.values)
        if self.bring is not None and len(data) >= LARGE_BYTES and (lighter := self.without_large(len(data))):
            self.futures.clear()
            self.buffers.clear()
            data = self.pickled(lighter)
        return Captured(data, list(self.futures.values()), self.buffers, self.parts, self.owners)

    def pickled(self, values: Mapping[str, Any]) -> bytes:
        self.file = io.BytesIO()
        self.begins.clear()
        marked = {_Mark(name, self.passes): value for name, value in values.items()}
        _Pickler(self.file, self.futures, None if self.bring is None else self.aside).dump((self.anchor, marked))
        return self.file.getvalue()

    def passes(self, name: str) -> None:
        self.name = name
        self.begins[name] = self.file.tell()

    def aside(self, buffer: pickle.PickleBuffer) -> bool:
        """pickle's `buffer_callback`: large buffers stand beside the pickle."""
        raw = buffer.raw()
        if raw.nbytes < LARGE_BYTES or self.bring is None:
            return True
        future = self.bring(raw)
        self.buffers.append(future)
        self.owners.setdefault(self.name, []).append(future)
        return False

    def without_large(self, size: int) -> dict[str, Any]:
        """The values, with those replaced that are large and made of plain data. Empty: there are none."""
        assert self.bring is not None
        ends = [*list(self.begins.values())[1:], size]
        replaced: dict[int, _Part] = {}
        lighter: dict[str, Any] = {}
        for (name, value), begin, end in zip(self.values.items(), self.begins.values(), ends, strict=True):
            if end - begin < LARGE_BYTES // 2:  # it is written in frames, so this is not exact
                continue
            if id(value) not in replaced and (data := _plain(value)) is not None and len(data) >= LARGE_BYTES:
                future = self.bring(memoryview(data))
                replaced[id(value)] = _Part(len(self.parts))
                self.parts.append(future)
                self.owners.setdefault(name, []).append(future)
        if replaced:
            lighter = {name: replaced.get(id(value), value) for name, value in self.values.items()}
        return lighter


def _plain(value: Any) -> bytes | None:
    """The pickle of a value without futures and without anything of the notebook's; None of others."""
    mark = marks.last
    try:
        data = pickle.dumps(value, 5)
    except Exception:  # noqa: BLE001  # of any kind: it is pickled with the others, or blamed
        return None
    return None if marks.last is not mark or by_value_in(data) else data


def capture(values: Mapping[str, Any], namespace: dict[str, Any], bring: Bring | None = None) -> Captured:
    """Pickle `values`, which the notebook's `namespace` holds. With `bring`, large pieces are taken out.

    Raises SerializationError that names the variable which cannot travel.
    """
    try:
        return _Capture(values, namespace, bring).run()
    except Exception as error:
        raise _blame(values, error) from error


def _blame(values: Mapping[str, Any], error: Exception) -> SerializationError:
    for name, value in values.items():
        try:
            _Pickler(io.BytesIO(), {}, lambda buffer: False).dump(value)
        except Exception as trouble:  # noqa: BLE001  # the pickling of a user's object may raise anything; it is told
            return SerializationError(f"{name!r} ({type(value).__name__}) cannot be sent to the cluster: {type(trouble).__name__}: {trouble}")
    return SerializationError(f"the names that the cell reads cannot be sent to the cluster: {type(error).__name__}: {error}")
