"""The work behind `client/placing.py`: each method is one request that the scheduler answers when it is done, however long that takes.

Whoever is interrupted meanwhile tells the scheduler that nobody waits any more; what was begun goes on there, since half of it would help nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jupyterfut.client.futures import Future, futures_within
from jupyterfut.client.outcomes import error_of
from jupyterfut.client.submit import worker_names
from jupyterfut.client.timeouts import Deadline, Timeout, to_seconds

if TYPE_CHECKING:
    from jupyterfut.client.client import Client

logger = logging.getLogger("jupyterfut.client")


def replicate(client: Client, futures: Any, n: int | None, workers: Any, branching_factor: int, timeout: Timeout) -> Any:
    """Wait for the futures, then have their results copied."""
    _whole(n, "n", 1)
    _whole(branching_factor, "branching_factor", 1)
    args = {"n": n, "workers": worker_names(workers), "branching_factor": branching_factor}
    return _when_done(client, "replicate", futures_within(futures, "replicate"), args, timeout)


def rebalance(client: Client, futures: Any, workers: Any, timeout: Timeout) -> Any:
    """Wait for the futures, if some are named, then have results moved."""
    args = {"workers": worker_names(workers), "keys": None}
    return _when_done(client, "rebalance", None if futures is None else futures_within(futures, "rebalance"), args, timeout)


def retire_workers(client: Client, args: dict[str, Any], timeout: Timeout) -> Any:
    """Have workers leave; the answer says which have."""
    for name in ("n", "minimum", "target"):
        _whole(args[name], name, 0)
    args = {**args, "workers": worker_names(args["workers"]), "names": worker_names(args["names"]), "timeout_s": to_seconds(timeout)}
    if client.asynchronous:
        return _ask_async(client, "retire_workers", args, Deadline(None), _left)
    return _left(client._session.ask_blocking("retire_workers", args, Deadline(None)))


def _when_done(client: Client, op: str, futures: list[Future] | None, args: dict[str, Any], timeout: Timeout) -> Any:
    deadline = Deadline(timeout)
    if client.asynchronous:
        return _when_done_async(client, op, futures, args, deadline)
    if futures is not None:
        client._gathering.until_done([future._record for future in futures], deadline, fail_fast=True)
        args["keys"] = _finished(futures)
    client._session.ask_blocking(op, args, deadline)
    return None


async def _when_done_async(client: Client, op: str, futures: list[Future] | None, args: dict[str, Any], deadline: Deadline) -> None:
    if futures is not None:
        await client._gathering.until_done_async([future._record for future in futures], deadline, fail_fast=True)
        args["keys"] = _finished(futures)
    await client._session.ask(op, args, deadline)


async def _ask_async(client: Client, op: str, args: dict[str, Any], deadline: Deadline, shape: Callable[[Any], Any]) -> Any:
    return shape(await client._session.ask(op, args, deadline))


def _finished(futures: list[Future]) -> list[str]:
    for future in futures:
        if future.status not in ("finished", "pending"):  # pending: lost since, and being made again
            raise error_of(future._record)
    return [future.key for future in futures]


def _left(answer: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    for facts in answer.values():
        if facts["actors"]:
            logger.warning("worker %s has retired, and with it its actors: %s", facts["name"], ", ".join(facts["actors"]))
    return answer


def _whole(number: Any, name: str, least: int) -> None:
    if number is not None and (type(number) is not int or number < least):
        raise ValueError(f"{name} is a whole number of at least {least}, not {number!r}")
