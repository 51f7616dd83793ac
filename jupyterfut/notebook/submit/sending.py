"""From a cell that has been read to its tasks: what it reads is captured, then one task runs it (or one for each element of a `for` clause), and one
small task a name takes that name's value out of the result.
"""

from __future__ import annotations

import ast
import pickle
import uuid
import weakref
from collections.abc import Callable
from operator import getitem
from typing import Any, NamedTuple

from jupyterfut.client.client import Client
from jupyterfut.client.future_list import FutureList
from jupyterfut.client.futures import Future
from jupyterfut.errors import SerializationError
from jupyterfut.notebook.submit.capture import Captured, capture
from jupyterfut.notebook.submit.code import CellCode
from jupyterfut.notebook.submit.content import Content
from jupyterfut.notebook.submit.for_clause import ForClause, OnCluster
from jupyterfut.notebook.submit.large import pieces_of
from jupyterfut.notebook.submit.run import (
    ELEMENT,
    CellSpec,
    Delivery,
    Held,
    NotAssigned,
    all_ended,
    called,
    end_of,
    run_cell,
    run_each,
    submit_each,
    take,
)  # fmt: skip
from jupyterfut.serde.futures import marks
from jupyterfut.serde.pickles import by_value_in

OUT_OF_BAND_BYTES = 64 * 1024
"""From this size the captured values stand beside the message instead of being copied into it."""

_ATOMS = frozenset({int, float, bool, complex, str, bytes, type(None), Future})
_CONTAINERS = frozenset({list, tuple, set, frozenset, dict})


class Run(NamedTuple):
    """One run of a submitted cell."""

    name: str
    names: dict[str, Any]  #: name -> its future, or list of futures
    ends: list[Future]  #: finished when the cell has run well, for `for` when each element has; failed with what the cell has raised
    tasks: list[Future]  #: those that run the cell's code, one for each end; where only the cluster knows them, the one that submits them
    elements: bool = False

    def failure(self, number: int) -> Future:
        """The future whose exception tells best why the end with this number failed."""
        task = self.tasks[number]
        return task if task.status == "error" else self.ends[number]

    def values(self) -> dict[str, Any]:
        """The values of the names, as far as the cell assigned them and they can leave their worker."""
        values = {}
        for name, held in self.names.items():
            try:
                value = held.result() if isinstance(held, Future) else held
                if self.elements:
                    value = self.ends[0].client.gather(list(value))
            except (NotAssigned, SerializationError):
                continue  # it stays a future, and says so when it is asked
            values[name] = value
        return values


class EarlierRun:
    """A run that keeps nothing alive."""

    def __init__(self, run: Run) -> None:
        self._names = {name: weakref.ref(held) for name, held in run.names.items()}
        self._ends = [weakref.ref(future) for future in (*run.ends, *run.tasks)]

    def drop(self, namespace: dict[str, Any], assigned_now: dict[str, Any]) -> None:
        """Nobody waits for it any more; names that stand for it and have no successor go."""
        for name, ref in self._names.items():
            held = ref()
            if held is not None and name not in assigned_now and namespace.get(name) is held:
                del namespace[name]
        for end in self._ends:
            future = end()
            if future is not None:
                future.release()


class Parcel(NamedTuple):
    """What all runs of the cell share."""

    spec: CellSpec
    captured: Captured


class Sending:
    """One cell, on its way."""

    def __init__(
        self,
        code: CellCode,
        names: tuple[str, ...],
        values: dict[str, Any],
        namespace: dict[str, Any],
        find_client: Callable[[], Client],
        clause: ForClause | None,
    ) -> None:
        self.code = code
        self.names = names
        self.values = values
        self.namespace = namespace
        self.find_client = find_client
        self.clause = clause
        self.token = uuid.uuid4().hex

    def parcel(self, name: str, content: Callable[[list[str]], bytes]) -> Parcel:
        """Capture what the cell reads. Raises SerializationError. Sends nothing but large values, and asks for a client only if there are any."""
        captured = self._captured(self.values)
        spec = CellSpec(
            self.code.source, self.code.filename, self.code.flags, self.code.shows, self.names, self.code.names.changed, False, name,
            self.code.openings, self.clause.target if self.clause else "", content([future.key for future in captured.futures]),
            self.code.shown,
        )  # fmt: skip
        return Parcel(spec, captured)

    def task_keys(self, name: str, over: list[Any] | OnCluster | None) -> list[str]:
        """The keys of the tasks that will run the cell's code, as far as the kernel knows them."""
        return [f"{name}-{number}-{self.token}" for number in range(len(over))] if isinstance(over, list) else [f"{name}-{self.token}"]

    def submit(self, client: Client, parcel: Parcel, over: list[Any] | OnCluster | None, options: dict[str, Any]) -> Run:
        """Submit the cell's tasks."""
        spec, captured = parcel
        spec = spec._replace(by_reference=client.address.startswith("inproc:"))
        small = {"workers": options["workers"], "priority": options["priority"]}
        token = self.token
        if over is None:
            task = client.submit(called(run_cell, spec.name), spec, _delivery(captured), key=f"{spec.name}-{token}", pure=False, **options)
            names = {name: client.submit(called(getitem, name), task, name, key=f"{name}-{token}", pure=False, **small) for name in self.names}
            end = client.submit(called(end_of, f"{spec.name}.end"), task, key=f"{spec.name}.end-{token}", pure=False, **small)
            return Run(spec.name, names, [end], [task])
        held = Held(captured.data, captured.futures, captured.buffers, captured.parts)
        if isinstance(over, OnCluster):
            given = _delivery(self._captured(over.values))
            each = called(run_each, spec.name)
            task = client.submit(each, spec, over.iterable, given, held, {**options, "small": small}, key=f"{spec.name}-{token}", pure=False)
            names = {name: client.submit(called(take, name), task, name, key=f"{name}-{token}", pure=False) for name in self.names}
            end = client.submit(called(all_ended, f"{spec.name}.end"), task, key=f"{spec.name}.end-{token}", pure=False)
            return Run(spec.name, names, [end], [task], elements=True)
        if _travel_alone(over, by_reference=spec.by_reference):
            submitted = submit_each(client, spec, over, held, {**options, "small": small}, token)
        else:
            submitted = submit_each(client, spec, over, held, {**options, "small": small}, token, self._each_alone(spec, over))
        lists = {name: FutureList(futures) for name, futures in submitted.names.items()}
        return Run(spec.name, lists, submitted.ends, submitted.tasks, elements=True)

    def _each_alone(self, spec: CellSpec, elements: list[Any]) -> list[tuple[Any, ...]]:
        """The arguments of `run_element` for elements that share something with the notebook: each is captured with what the cell reads."""
        return [(number, spec, _delivery(self._captured({**self.values, ELEMENT: element}))) for number, element in enumerate(elements)]

    def _captured(self, values: dict[str, Any]) -> Captured:
        return capture(values, self.namespace, self._bring)

    def _bring(self, piece: memoryview) -> Future:
        client = self.find_client()
        return pieces_of(client).bring(client, piece)

    def own_large(self, client: Client, parcel: Parcel) -> None:
        """Large values stay on the cluster as long as these names stand for them."""
        pieces = pieces_of(client)
        for name, value in self.values.items():
            pieces.own(name, value, parcel.captured.owners.get(name, ()))


def _delivery(captured: Captured) -> Delivery:
    data: Any = pickle.PickleBuffer(captured.data) if len(captured.data) >= OUT_OF_BAND_BYTES else captured.data
    return Delivery(data, captured.futures, captured.buffers, captured.parts)


def _travel_alone(elements: list[Any], *, by_reference: bool) -> bool:
    """Whether the elements can be arguments of calls: they have nothing of the notebook's in them, and are copied on the way."""
    kinds = set(map(type, elements))
    if kinds <= _ATOMS:
        return True
    if by_reference:
        return False
    for element in elements:
        if type(element) in _ATOMS:
            continue
        mark = marks.last
        try:
            data = pickle.dumps(element, 5, buffer_callback=lambda buffer: None)
        except Exception:  # noqa: BLE001  # of any kind: cloudpickle tries next, and says what is wrong
            return False
        if by_value_in(data) or (marks.last is not mark and type(element) not in _CONTAINERS):
            return False
    return True


def content_of(code: CellCode, values: dict[str, Any], find: Callable[[Any], bytes | None], local: str) -> bytes:
    """The hash of a cell's code and of the values that it reads. Comments and the shape of the text do not count. Raises NoContent."""
    content = Content(find)
    content.add((ast.dump(ast.parse(code.source)), code.openings, code.flags, code.shows, local))
    for name in sorted(values):
        content.add(name)
        content.add(values[name])
    return content.digest()
