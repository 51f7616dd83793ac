"""The names that a cell reads, made ready to travel: one pickle, and the futures whose values it wants.

Values are copied as they are now, so the notebook may change them while the cell waits. A future, wherever it is found (bare, in a container, in an
object, in the globals of a function), becomes a dependency of the cell: the worker finds its value there. Functions and classes of the notebook
travel by value, with the notebook's names that they use; since all are pickled at once, and together with an *anchor* function of the same module,
they share one namespace at the other end, and the cell runs in it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from types import FunctionType
from typing import Any, NamedTuple

import cloudpickle
from IPython.display import display as ipython_display

from jupyterfut.client.client import Client
from jupyterfut.client.current import get_client
from jupyterfut.client.futures import Future
from jupyterfut.errors import SerializationError
from jupyterfut.notebook.outputs import worker_display
from jupyterfut.serde.calls import Dep


class Captured(NamedTuple):
    """What `run.run_cell` is given of the notebook."""

    data: bytes
    futures: list[Future]  #: whose values the i-th `Dep` in `data` stands for


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    def __init__(self, file: io.BytesIO, futures: dict[str, Future]) -> None:
        super().__init__(file, protocol=5)
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


def capture(values: Mapping[str, Any], namespace: dict[str, Any]) -> Captured:
    """Pickle `values`, which the notebook's `namespace` holds.

    Raises SerializationError that names the variable which cannot travel.
    """
    futures: dict[str, Future] = {}
    anchor = FunctionType((lambda: None).__code__, namespace, "notebook")
    anchor.__module__ = "__main__"
    try:
        data = _dumps((anchor, dict(values)), futures)
    except Exception as error:
        raise _blame(values, error) from error
    return Captured(data, list(futures.values()))


def _dumps(value: Any, futures: dict[str, Future]) -> bytes:
    file = io.BytesIO()
    _Pickler(file, futures).dump(value)
    return file.getvalue()


def _blame(values: Mapping[str, Any], error: Exception) -> SerializationError:
    for name, value in values.items():
        try:
            _dumps(value, {})
        except Exception as trouble:  # noqa: BLE001  # the pickling of a user's object may raise anything; it is told
            return SerializationError(f"{name!r} ({type(value).__name__}) cannot be sent to the cluster: {type(trouble).__name__}: {trouble}")
    return SerializationError(f"the names that the cell reads cannot be sent to the cluster: {type(error).__name__}: {error}")
