"""Plugins and files for the whole cluster, and workers that are replaced: what `administration` hands over to the scheduler's own process, or to its
machine, which keeps it for workers that join later."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from jupyterfut import serde
from jupyterfut.client import everywhere
from jupyterfut.client.outcomes import exception_of
from jupyterfut.client.submit import worker_names
from jupyterfut.client.timeouts import Deadline, Timeout
from jupyterfut.config import settings
from jupyterfut.errors import JupyterfutError, TimeoutError  # noqa: A004
from jupyterfut.runtime.plugin_classes import Kind, NannyPlugin, SchedulerPlugin, UploadFile, WorkerPlugin
from jupyterfut.wire.messages import Failure

if TYPE_CHECKING:
    from jupyterfut.client.client import Client

logger = logging.getLogger("jupyterfut.client")

RESTART_PATIENCE = 4
"""A restart may take so many times `client.timeout_s`, unless the user says otherwise (as in dask.distributed)."""


class Callback(WorkerPlugin):
    """Calls a function on each worker, once: `register_worker_callbacks`."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def setup(self, worker: Any) -> Any:
        from jupyterfut.runtime.side_threads import inject

        return self.function(**inject(self.function, (), {}, {"worker": worker, "dask_worker": worker}))


def kind_of(plugin: Any) -> Kind:
    """Where a plugin belongs. Raises TypeError for what is none."""
    if isinstance(plugin, type):
        raise TypeError(f"register_plugin takes an object, such as {plugin.__name__}(), not the class itself")
    for kind, base in _BASES.items():
        if isinstance(plugin, base):
            return kind
    raise TypeError(f"a plugin is derived from WorkerPlugin, SchedulerPlugin or NannyPlugin, which {plugin!r} is not")


_BASES: dict[Kind, type] = {"worker": WorkerPlugin, "scheduler": SchedulerPlugin, "nanny": NannyPlugin}


def register(client: Client, plugin: Any, kind: Kind, name: str | None, idempotent: bool | None) -> Any:
    """See `Client.register_plugin`."""
    name = name or getattr(plugin, "name", None) or f"{type(plugin).__name__}-{os.urandom(8).hex()}"
    if not isinstance(name, str):
        raise TypeError(f"a plugin's name is a string, not {name!r}")
    if idempotent is None:
        idempotent = bool(getattr(plugin, "idempotent", False))
    pickled = serde.dumps(plugin)
    return everywhere.perform(client, _register(client, pickled, kind, name, idempotent, bool(getattr(plugin, "restart", False) is True)))


async def _register(client: Client, pickled: Any, kind: Kind, name: str, idempotent: bool, restart: bool) -> Any:
    if kind == "scheduler":
        return await client._session.ask("register_scheduler_plugin", {"name": name, "plugin": pickled, "idempotent": idempotent})
    args = {"kind": kind, "name": name, "payload": pickled, "idempotent": idempotent}
    answers = await client._session.ask("register_plugin", args)
    if restart and answers:
        await restart_workers_async(client, None, None)
    return {address: {"status": status} for address, status in answers.items()}


def unregister(client: Client, kind: Kind, name: str) -> Any:
    """See `Client.unregister_worker_plugin`."""
    return everywhere.perform(client, _unregister(client, kind, name))


async def _unregister(client: Client, kind: Kind, name: str) -> Any:
    if kind == "scheduler":
        return await client._session.ask("unregister_scheduler_plugin", {"name": name})
    answers = await client._session.ask("unregister_plugin", {"kind": kind, "name": name})
    return {address: {"status": status} for address, status in answers.items()}


def upload_file(client: Client, filename: Any, load: bool) -> Any:
    """See `Client.upload_file`."""
    return register(client, UploadFile(filename, load), "worker", None, False)


# --- restarts


def restart(client: Client, timeout: Timeout, wait_for_workers: bool) -> Any:
    """See `Client.restart`."""
    return everywhere.perform(client, _restart(client, _restart_deadline(timeout), wait_for_workers))


async def _restart(client: Client, deadline: Deadline, wait: bool) -> None:
    args = {"wait": bool(wait), "timeout_s": deadline.timeout_s}
    value = await client._session.ask("restart", args, everywhere.patient(deadline))
    if value["kept"]:
        logger.warning("these workers have no nanny, so they have dropped their tasks and data but run on: %s", ", ".join(value["kept"]))
    _raise_if_missing(value, deadline)


def restart_workers(client: Client, workers: Any, timeout: Timeout, raise_for_error: bool) -> Any:
    """See `Client.restart_workers`."""
    names = worker_names(workers)
    if names is None:
        raise ValueError("restart_workers takes the workers to restart: their addresses or names")
    return everywhere.perform(client, restart_workers_async(client, names, timeout, raise_for_error))


async def restart_workers_async(client: Client, names: list[str] | None, timeout: Timeout, raise_for_error: bool = True) -> dict[str, str]:
    """The same for these workers, or all."""
    deadline = _restart_deadline(timeout)
    args = {"workers": await everywhere.addresses(client, None) if names is None else names, "timeout_s": deadline.timeout_s}
    value = await client._session.ask("restart_workers", args, everywhere.patient(deadline))
    if raise_for_error:
        _raise_if_missing(value, deadline)
    answers = {address: "OK" if failure is None else str(failure[1]) for address, (_, failure) in value["answers"].items()}
    return {**answers, **dict.fromkeys(value["missing"], "timed out")}


def _restart_deadline(timeout: Timeout) -> Deadline:
    return Deadline(RESTART_PATIENCE * settings().client.timeout_s if timeout is None else timeout)


def _raise_if_missing(value: dict[str, Any], deadline: Deadline) -> None:
    if value["missing"]:
        raise TimeoutError(f"these workers are not back within {deadline}: {', '.join(value['missing'])}")
    for name, (_, failure) in value["answers"].items():
        if failure is not None:
            error = exception_of(Failure(*failure))
            raise JupyterfutError(f"worker {name} could not be restarted: {error}") from error
