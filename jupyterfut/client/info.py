"""Questions about the cluster: each is one request to the scheduler, answered in its turn on the same stream.

`ask` is the whole of it; the functions below it name the questions and shape the answers. In an asynchronous client each returns an awaitable.
"""

from __future__ import annotations

import builtins
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jupyterfut import errors
from jupyterfut.client import everywhere
from jupyterfut.client.futures import as_futures
from jupyterfut.client.submit import worker_names
from jupyterfut.client.timeouts import Deadline, Timeout
from jupyterfut.config import settings

if TYPE_CHECKING:
    from jupyterfut.client.client import Client


def ask(client: Client, op: str, args: dict[str, Any], timeout: Timeout = None, shape: Callable[[Any], Any] | None = None) -> Any:
    """The scheduler's answer, shaped. Blocks, or returns an awaitable in an asynchronous client. `timeout` None: `client.timeout_s` of the settings.

    Raises TimeoutError, ClosedError, or what the scheduler answers.
    """
    deadline = Deadline(settings().client.timeout_s if timeout is None else timeout)
    if client.asynchronous:
        return _ask_async(client, op, args, deadline, shape)
    value = client._session.ask_blocking(op, args, deadline)
    return value if shape is None else shape(value)


async def _ask_async(client: Client, op: str, args: dict[str, Any], deadline: Deadline, shape: Callable[[Any], Any] | None) -> Any:
    value = await client._session.ask(op, args, deadline)
    return value if shape is None else shape(value)


def scheduler_info(client: Client, n_workers: int) -> Any:
    """`identity`, with what the client knows itself."""

    def shape(facts: dict[str, Any]) -> dict[str, Any]:
        if n_workers >= 0:
            facts = {**facts, "workers": dict(itertools.islice(facts["workers"].items(), n_workers))}
        return {"type": "Scheduler", "id": client.cluster_id, "address": client.address, **facts}

    return ask(client, "identity", {}, shape=shape)


def who_has(client: Client, futures: Any) -> Any:
    """{key: [addresses of the workers that hold the result]}."""
    return ask(client, "who_has", {"keys": None if futures is None else _keys(futures)})


def has_what(client: Client, workers: Any) -> Any:
    """{worker's address: [keys]}."""
    return ask(client, "has_what", {"workers": worker_names(workers)})


def processing(client: Client, workers: Any) -> Any:
    """{worker's address: [keys]} of what workers were given and have not finished."""
    return ask(client, "processing", {}, shape=_only(worker_names(workers)))


def nthreads(client: Client, workers: Any) -> Any:
    """{worker's address: threads}."""
    return ask(client, "nthreads", {}, shape=_only(worker_names(workers)))


def nbytes(client: Client, futures: Any) -> dict[str, int]:
    """{key: bytes} of what this client's futures refer to, as far as it is known here. Asks nobody."""
    if futures is None:
        with client._session.lock:
            records = list(client._session.state.records.values())
    else:
        records = [future._record for future in as_futures(futures, "nbytes")]
    return {record.key: record.nbytes for record in records if record.status == "finished"}


def story(client: Client, keys_or_futures: tuple[Any, ...]) -> Any:
    """What the journals of the scheduler and of the workers that are here say about these keys, oldest first. (A worker whose clock is wrong tells
    its part of the story at the wrong time.)"""
    return everywhere.perform(client, _story(client, [one if isinstance(one, str) else one.key for one in keys_or_futures]))


async def _story(client: Client, keys: list[str]) -> list[list[Any]]:
    patience_s = settings().client.timeout_s
    rows = await client._session.ask("story", {"keys": keys}, Deadline(patience_s))
    of_workers = await everywhere.ask_each(client, "story", {"keys": keys}, None, patience_s, "ignore")
    return sorted([*rows, *(row for one in of_workers.values() for row in one)], key=lambda row: row[0])


def wait_for_workers(client: Client, n: Any, timeout: Timeout) -> Any:
    """Until `n` workers are there."""
    if not isinstance(n, int) or isinstance(n, bool) or n < 0:
        raise ValueError(f"wait_for_workers takes a number of workers, at least 0, not {n!r}")
    deadline = Deadline(timeout)
    # The scheduler keeps the time, and answers in any case; we only give it a little longer than it takes itself.
    patience = None if deadline.timeout_s is None else deadline.timeout_s + settings().client.timeout_s
    args = {"n": n, "timeout_s": deadline.timeout_s}
    if client.asynchronous:
        return _ask_async(client, "wait_for_workers", args, Deadline(patience), _nothing)
    client._session.ask_blocking("wait_for_workers", args, Deadline(patience))
    return None


def why_pending(client: Client, key: str, timeout_s: float) -> str:
    """Why a task has not started, "" when there is nothing to say, or nobody says it in time."""
    try:
        text = client._session.ask_blocking("why_pending", {"key": key}, Deadline(timeout_s))
    except (errors.JupyterfutError, builtins.TimeoutError):
        return ""  # a repr has to say something even when the scheduler does not
    return str(text or "")


def _keys(futures: Any) -> list[str]:
    if isinstance(futures, str):
        return [futures]
    if isinstance(futures, (list, tuple, set)) and all(isinstance(one, str) for one in futures):
        return list(futures)
    return [future.key for future in as_futures(futures, "who_has")]


def _only(workers: list[str] | None) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda answer: answer if workers is None else {address: value for address, value in answer.items() if address in workers}


def _nothing(value: Any) -> None:
    return None
