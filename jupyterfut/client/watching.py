"""What workers are doing and have done: stacks, profiles, logs, versions. Each worker is asked itself; the answers are put together here."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from jupyterfut.client import everywhere
from jupyterfut.client.futures import as_futures
from jupyterfut.client.timeouts import Deadline, Timeout
from jupyterfut.config import parse_seconds, settings
from jupyterfut.core.profile import merge_plain
from jupyterfut.runtime.versions import versions

if TYPE_CHECKING:
    from jupyterfut.client.client import Client

When: TypeAlias = float | str | timedelta | datetime | None
"""A moment: seconds since the epoch, a `datetime`, or how long ago ("10 s", a `timedelta`)."""

ALWAYS_EQUAL = ("python", "jupyterfut", "msgpack", "cloudpickle")
"""What must not differ: pickles and messages are made of it. Of `python` only the first two numbers count."""


def call_stack(client: Client, futures: Any, keys: Any) -> Any:
    """See `Client.call_stack`."""
    chosen: set[str] | None = None
    if futures is not None:
        chosen = {future.key for future in as_futures(futures, "call_stack")}
    if keys is not None:
        chosen = (chosen or set()) | ({keys} if isinstance(keys, str) else set(keys))
    return everywhere.perform(client, _call_stack(client, None if chosen is None else sorted(chosen)))


async def _call_stack(client: Client, keys: list[str] | None) -> dict[str, Any]:
    answers = await everywhere.ask_each(client, "call_stack", {"keys": keys}, None, _patience(), "raise")
    return {address: stacks for address, stacks in answers.items() if stacks}


def profile(
    client: Client,
    key: str | None,
    start: When,
    stop: When,
    workers: Any,
    merge_workers: bool,
    plot: bool | str,
    filename: Any,
    server: bool,
    scheduler: bool,
) -> Any:
    """See `Client.profile`."""
    if server or scheduler:
        raise ValueError("profiles tell what tasks do: those of the servers themselves are not taken")
    if key is not None and not isinstance(key, str):
        raise TypeError(f"key is a task's prefix, such as 'inc', not {key!r}")
    if filename is not None:
        filename = os.fspath(filename)
        if not Path(filename).absolute().parent.is_dir():
            raise FileNotFoundError(f"there is no directory {Path(filename).absolute().parent}")
        if not merge_workers:
            raise ValueError("a file shows one profile: merge_workers=False goes without filename")
    args = {"prefix": key, "start": moment(start), "stop": moment(stop)}
    return everywhere.perform(client, _profile(client, args, workers, merge_workers, plot is True, filename))


async def _profile(client: Client, args: dict[str, Any], workers: Any, merge: bool, plot: bool, filename: str | None) -> Any:
    trees = await everywhere.ask_each(client, "profile", args, workers, _patience(), "raise")
    if not merge:
        return trees
    tree = merge_plain(trees.values())
    if filename is None and not plot:
        return tree
    from jupyterfut.views.flame import Flame

    flame = Flame(tree)
    if filename is not None:
        await asyncio.to_thread(Path(filename).write_text, flame.page(), encoding="utf-8")
    return (tree, flame) if plot else tree


def moment(when: When) -> float | None:
    """Seconds since the epoch.

    >>> moment(1e9), moment(None), moment(datetime(2001, 9, 9, 1, 46, 40).astimezone()) is not None, moment("10 s") < time.time()
    (1000000000.0, None, True, True)
    """
    if when is None:
        return None
    if isinstance(when, datetime):
        return when.timestamp()
    if isinstance(when, (str, timedelta)):
        return time.time() - parse_seconds(when)
    return float(when)


# --- logs and versions


def worker_logs(client: Client, n: int | None, workers: Any, nanny: bool) -> Any:
    """See `Client.get_worker_logs`."""
    return everywhere.perform(client, _worker_logs(client, _lines(n), workers, nanny))


async def _worker_logs(client: Client, n: int | None, workers: Any, nanny: bool) -> dict[str, list[tuple[str, str]]]:
    if nanny:
        answers = await everywhere.ask_nannies(client, "logs", {"n": n}, workers, _patience(), "raise")
    else:
        answers = await everywhere.ask_each(client, "logs", {"n": n}, workers, _patience(), "raise")
    return {address: _pairs(lines) for address, lines in answers.items()}


def scheduler_logs(client: Client, n: int | None) -> Any:
    """See `Client.get_scheduler_logs`."""
    return everywhere.perform(client, _scheduler_logs(client, _lines(n)))


async def _scheduler_logs(client: Client, n: int | None) -> list[tuple[str, str]]:
    return _pairs(await client._session.ask("scheduler_logs", {"n": n}, Deadline(_patience())))


def _lines(n: int | None) -> int | None:
    if n is not None and (type(n) is not int or n < 0):
        raise ValueError(f"n is a number of lines, at least 0, not {n!r}")
    return n


def _pairs(lines: list[list[str]]) -> list[tuple[str, str]]:
    return [(level, text) for level, text in lines]


def get_versions(client: Client, check: bool, packages: Any) -> Any:
    """See `Client.get_versions`."""
    names = [packages] if isinstance(packages, str) else list(packages or ())
    return everywhere.perform(client, _get_versions(client, check, names))


async def _get_versions(client: Client, check: bool, packages: list[str]) -> dict[str, Any]:
    found = {
        "scheduler": await client._session.ask("scheduler_versions", {"packages": packages}, Deadline(_patience())),
        "workers": await everywhere.ask_each(client, "versions", {"packages": packages}, None, _patience(), "raise"),
        "client": versions(packages),
    }
    if check and (text := mismatches(found, packages)):
        raise ValueError(text)
    return found


def mismatches(found: dict[str, Any], packages: list[str]) -> str:
    """What differs that should not, as a table; "" when all is well.

    >>> one = {"packages": {"python": "3.11.1", "msgpack": "1.0"}}
    >>> other = {"packages": {"python": "3.11.2", "msgpack": "1.1"}}
    >>> print(mismatches({"scheduler": one, "client": one, "workers": {"w": other}}, []))
    these versions differ:
      msgpack: client 1.0, scheduler 1.0, w 1.1
    """
    places = {"client": found["client"], "scheduler": found["scheduler"], **found["workers"]}
    here: set[str] = set(found["client"]["packages"])
    lines = []
    for name in dict.fromkeys((*ALWAYS_EQUAL, *packages, *sorted(here))):
        seen = {place: facts["packages"].get(name) for place, facts in places.items()}
        if name not in ALWAYS_EQUAL and name not in packages:
            seen = {place: version for place, version in seen.items() if version is not None}  # loaded here and not there says nothing
        compared = {".".join(str(version).split(".")[:2]) if name == "python" else version for version in seen.values()}
        if len(compared) > 1:
            lines.append(f"  {name}: " + ", ".join(f"{place} {version or 'not installed'}" for place, version in seen.items()))
    return "\n".join(["these versions differ:", *lines]) if lines else ""


def _patience() -> Timeout:
    return settings().client.timeout_s
