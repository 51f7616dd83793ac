"""What is special about values of NumPy, pandas, Arrow and SciPy. Nothing here imports them: a handler is found by the name of the type's top
package,
and a value of that type can only exist once its package is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _nbytes(value: Any) -> int | None:
    nbytes = getattr(value, "nbytes", None)
    return int(nbytes) + 64 if isinstance(nbytes, int) else None


def _numpy(value: Any) -> int | None:
    if getattr(value, "dtype", None) is not None and value.dtype.hasobject and getattr(value, "size", 0):
        flat = value.reshape(-1) if hasattr(value, "reshape") else value
        sample = [len(repr(item)) if isinstance(item, (str, bytes)) else 48 for item in flat[:20].tolist()]
        return int(value.nbytes) + sum(sample) * int(value.size) // max(1, len(sample))
    return _nbytes(value)


def _pandas(value: Any) -> int | None:
    usage = getattr(value, "memory_usage", None)
    if usage is None:
        return _nbytes(value)
    total = usage()
    size = int(total.sum()) if hasattr(total, "sum") else int(total)
    if hasattr(value, "dtypes"):
        kinds = value.dtypes if hasattr(value.dtypes, "__iter__") else [value.dtypes]
        size += 40 * len(value) * sum(1 for kind in kinds if getattr(kind, "kind", "") == "O")
    return size + 256


def _scipy(value: Any) -> int | None:
    parts: list[Any] = [getattr(value, name, None) for name in ("data", "indices", "indptr", "row", "col", "offsets")]
    sizes = [int(part.nbytes) for part in parts if isinstance(getattr(part, "nbytes", None), int)]
    return sum(sizes) + 256 if sizes else None


FAMILIES: dict[str, Callable[[Any], int | None]] = {
    "numpy": _numpy,
    "pandas": _pandas,
    "pyarrow": _nbytes,
    "polars": lambda value: int(value.estimated_size()) if hasattr(value, "estimated_size") else None,
    "scipy": _scipy,
    "xarray": _nbytes,
    "torch": _nbytes,
    "cupy": _nbytes,
}
"""Top package -> size of a value in bytes, or None when the handler does not know this type."""


def family_size(value: object) -> int | None:
    """The size in bytes by the value's family, or None when it has none (or its own accounting fails)."""
    kind = type(value)
    if kind.__module__ == "builtins":
        return None
    handler = FAMILIES.get(kind.__module__.partition(".")[0])
    if handler is None:
        return None
    try:
        return handler(value)
    except (TypeError, ValueError, AttributeError, NotImplementedError):
        return None  # a half-built or foreign subclass: the general estimate will do
