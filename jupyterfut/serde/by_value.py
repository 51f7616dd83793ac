"""The slow road of `pickles`: cloudpickle, with what it leaves out. Imported when the first value needs it."""

from __future__ import annotations

import functools
import io
import pickle
from collections.abc import Callable
from typing import Any

import cloudpickle

from jupyterfut.serde.pickles import has_name

_CACHED = type(functools.lru_cache(len))


def pickled(value: object, buffer_callback: Callable[[pickle.PickleBuffer], bool]) -> bytes:
    """The pickle of a value, in which functions and classes of `__main__` stand with their code. Raises whatever the value's own pickling raises."""
    with io.BytesIO() as file:
        _Pickler(file, protocol=5, buffer_callback=buffer_callback).dump(value)
        return file.getvalue()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    def reducer_override(self, value: Any) -> Any:
        if type(value) is _CACHED and not has_name(value):
            # Left alone it is pickled by name, which means nothing at the other end. The cache starts empty there.
            return _cached, (value.__wrapped__, value.cache_parameters())
        return super().reducer_override(value)


def _cached(function: Callable[..., Any], parameters: dict[str, Any]) -> Callable[..., Any]:
    cached: Callable[..., Any] = functools.lru_cache(**parameters)(function)
    return cached
