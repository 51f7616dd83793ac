"""What is special about values of NumPy, pandas, Arrow and SciPy. Nothing here imports them: a handler is found by the name of the type's top
package,
and a value of that type can only exist once its package is loaded.
"""

from __future__ import annotations

import pickle
import sys
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


# --- what their own pickles do badly


class _Stream:
    """An Arrow slice pickled as an Arrow stream, which holds its rows only. Its own pickle takes the whole table along that it was cut from."""

    def __init__(self, value: Any, kind: str) -> None:
        self.value = value
        self.kind = kind

    def __reduce_ex__(self, protocol: Any) -> tuple[Callable[[str, Any], Any], tuple[str, pickle.PickleBuffer]]:
        arrow: Any = sys.modules["pyarrow"]
        table = self.value if hasattr(self.value, "schema") else arrow.table({"": self.value})
        sink = arrow.BufferOutputStream()
        with arrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write(table)
        return _from_stream, (self.kind, pickle.PickleBuffer(sink.getvalue()))


def _from_stream(kind: str, data: Any) -> Any:
    import pyarrow

    table = pyarrow.ipc.open_stream(data).read_all()
    if kind == "Table":
        return table
    if kind == "RecordBatch":
        batches = table.combine_chunks().to_batches()
        return batches[0] if batches else pyarrow.RecordBatch.from_pylist([], schema=table.schema)
    column = table.column(0)
    return column if kind == "ChunkedArray" else column.combine_chunks()


def _arrow_portable(value: Any) -> Any:
    kind = next((base.__name__ for base in type(value).__mro__ if base.__name__ in ("Table", "RecordBatch", "ChunkedArray", "Array")), None)
    if kind is None:
        return value
    return _Stream(value, kind) if value.get_total_buffer_size() > 2 * value.nbytes + 65_536 else value


def _numpy_portable(value: Any) -> Any:
    flags = getattr(value, "flags", None)
    if flags is None or flags.forc or type(value).__name__ != "ndarray" or value.nbytes < 65_536 or value.dtype.hasobject:
        return value
    return value.copy(order="K")  # one copy, where the pickle of an array with gaps makes two


PORTABLE: dict[str, Callable[[Any], Any]] = {"numpy": _numpy_portable, "pyarrow.lib": _arrow_portable}
"""A type's module -> what to pickle in the place of a value. Asked for whole values (results, scattered data), not for what is inside others."""
