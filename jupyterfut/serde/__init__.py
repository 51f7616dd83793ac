"""Values to payloads and back: the only package that pickles. It runs at the two ends where the user's code lives (client and worker), never in the
scheduler.

Everything is imported on first use, so that a process pays only for what it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jupyterfut.serde.calls import CallSpec, Dep, dumps_call, loads_call
    from jupyterfut.serde.functions import dumps_function, forget_function, loads_function
    from jupyterfut.serde.pickles import dumps, dumps_result, loads
    from jupyterfut.serde.sizes import sizeof, type_name
    from jupyterfut.serde.tracebacks import exception_from_failure, failure_from_exception

__all__ = [
    "CallSpec",
    "Dep",
    "dumps",
    "dumps_call",
    "dumps_function",
    "dumps_result",
    "exception_from_failure",
    "failure_from_exception",
    "forget_function",
    "loads",
    "loads_call",
    "loads_function",
    "sizeof",
    "type_name",
]

_HOMES = {
    "calls": ("CallSpec", "Dep", "dumps_call", "loads_call"),
    "functions": ("dumps_function", "forget_function", "loads_function"),
    "pickles": ("dumps", "dumps_result", "loads"),
    "sizes": ("sizeof", "type_name"),
    "tracebacks": ("exception_from_failure", "failure_from_exception"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
