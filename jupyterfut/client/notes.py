"""Metadata: small facts under a name, or a path of names, that the scheduler keeps for everybody until it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jupyterfut.client import info
from jupyterfut.serde.notes import plain

if TYPE_CHECKING:
    from jupyterfut.client.client import Client

NO_DEFAULT: Any = type("NoDefault", (), {"__repr__": lambda self: "<no default>"})()
"""For arguments that may be anything, None included."""


def path_of(key_or_path: Any) -> list[str]:
    """A name, or a list or tuple of names, as a list. Raises TypeError."""
    path = list(key_or_path) if isinstance(key_or_path, (list, tuple)) else [key_or_path]
    for name in path:
        if not isinstance(name, str):
            raise TypeError(f"metadata is found under a string, or a list of strings that leads into nested dicts, not {key_or_path!r}")
    return path


def set_metadata(client: Client, key_or_path: Any, value: Any) -> Any:
    """Plain data only, since the scheduler opens nothing."""
    path = path_of(key_or_path)
    if not path:
        raise ValueError("metadata needs a name: the path is empty")
    copy, _ = plain(value, "metadata")
    return info.ask(client, "set_metadata", {"path": path, "value": copy})


def get_metadata(client: Client, key_or_path: Any, default: Any) -> Any:
    """The value, the default, or KeyError with the names that there are."""

    def shape(answer: list[Any]) -> Any:
        found, value = answer
        if found:
            return value
        if default is NO_DEFAULT:
            raise KeyError(value)
        return default

    return info.ask(client, "get_metadata", {"path": path_of(key_or_path)}, shape=shape)
