"""How big is a value, and what is it called? Estimates for the scheduler's accounts and names for `repr`; both must be cheap, since every result
asks.

Sizes of NumPy, pandas, Arrow and SciPy values come from `families`, which looks at the type's module name and imports nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from itertools import islice
from typing import Any

from jupyterfut.serde.families import family_size

_ATOMS = frozenset({int, float, bool, complex, type(None), str, bytes, bytearray})
_SAMPLE = 20
_DEPTH = 4


def sizeof(value: object) -> int:
    """About how many bytes of memory the value takes. Containers are sampled (a few elements speak for all), so the cost does not grow with the
    value.

    >>> sizeof(b"x" * 1000) >= 1000
    True
    >>> sizeof([b"x" * 1000] * 1000) >= 1_000_000
    True
    """
    return _sizeof(value, _DEPTH)


def _sizeof(value: Any, depth: int) -> int:
    kind = type(value)
    if kind in _ATOMS:
        return sys.getsizeof(value)
    if kind is memoryview:
        return int(value.nbytes)
    size = family_size(value)
    if size is not None:
        return size
    try:
        own = sys.getsizeof(value)
    except (TypeError, ValueError, AttributeError):
        own = 64  # a `__sizeof__` of the user's that does not work
    if depth == 0:
        return own
    if isinstance(value, (list, tuple, set, frozenset)):
        return own + _sampled(value, depth)
    if isinstance(value, dict):
        return own + _sampled(value.keys(), depth) + _sampled(value.values(), depth)
    fields = getattr(value, "__dict__", None)
    if type(fields) is dict and not isinstance(value, type):
        return own + _sampled(list(fields.values()), depth)
    return own


def _sampled(values: Collection[Any], depth: int) -> int:
    count = len(values)
    if count <= _SAMPLE:
        return sum([_sizeof(value, depth - 1) for value in values])
    if isinstance(values, (list, tuple)):
        step = count // _SAMPLE
        chosen = [values[i] for i in range(0, step * _SAMPLE, step)]
    else:
        chosen = list(islice(values, _SAMPLE))
    return sum([_sizeof(value, depth - 1) for value in chosen]) * count // len(chosen)


def type_name(value: object) -> str:
    """What `repr(future)` calls the value's type: the bare name for builtins and the user's own (`int`, `Point`), else with its top package
    (`numpy.ndarray`).

    >>> type_name(1), type_name(None)
    ('int', 'NoneType')
    """
    kind = type(value)
    module = kind.__module__
    if module == "builtins" or module == "__main__":
        return kind.__name__
    return f"{module.partition('.')[0]}.{kind.__qualname__}"
