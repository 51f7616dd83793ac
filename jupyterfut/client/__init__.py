"""The client: what users hold in their hands. `client.Client` is the door; each other module does one activity of it.

`session` is the shell around the pure machine of `core.client`; `link` is its way to the scheduler. Everything else works on records and futures.
Names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jupyterfut.client.client import Client
    from jupyterfut.client.current import default_client, get_client, get_worker, local_client, local_executor, rejoin, secede, worker_client
    from jupyterfut.client.futures import Future, fire_and_forget, futures_of
    from jupyterfut.client.waiting import as_completed, wait

__all__ = [
    "Client",
    "Future",
    "as_completed",
    "default_client",
    "fire_and_forget",
    "futures_of",
    "get_client",
    "get_worker",
    "local_client",
    "local_executor",
    "rejoin",
    "secede",
    "wait",
    "worker_client",
]

_HOMES = {
    "client": ("Client",),
    "current": ("default_client", "get_client", "get_worker", "local_client", "local_executor", "rejoin", "secede", "worker_client"),
    "futures": ("Future", "fire_and_forget", "futures_of"),
    "waiting": ("as_completed", "wait"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
