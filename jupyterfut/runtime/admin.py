"""What anybody in the cluster may ask of a worker beside data: the handlers of `Request` at its data server, by name. Loaded for the first request.

Clients come straight here, so the scheduler is neither asked nor kept busy. Users' code that is run here (`run`) is no task: it has no key, no place
in the pool, and nobody counts it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from jupyterfut.runtime import logs, versions
from jupyterfut.runtime.context import at_worker
from jupyterfut.runtime.profiler import lines_of, stacks
from jupyterfut.runtime.side_threads import call, in_thread, inject
from jupyterfut.serde import dumps, loads
from jupyterfut.wire.payload import Local, Payload

if TYPE_CHECKING:
    from jupyterfut.runtime.worker_server import Worker

logger = logging.getLogger("jupyterfut.worker")


class WorkerAdmin:
    """The handlers of one worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def run(self, args: dict[str, Any]) -> Payload | None:
        """Call a function; its result, pickled. With `wait` false: only begin, and log what it raises."""
        job = self._run(args["call"])
        if args.get("wait", True):
            return await job
        self._worker._start_job(self._logged(job))
        return None

    async def _run(self, payload: Payload) -> Payload:
        worker = self._worker
        at_worker.set(worker)
        name = f"jupyterfut-{worker.name}-run"
        function, args, kwargs = await in_thread(name, loads, payload)
        kwargs = inject(function, args, kwargs, {"worker": worker, "dask_worker": worker})
        value = await call(name, function, *args, **kwargs)
        if type(payload) is Local:
            return Local(value, 0)
        return dumps(value)

    def call_stack(self, args: dict[str, Any]) -> dict[str, list[str]]:
        """{key: frames as text} of the tasks that run now, or of these keys among them."""
        keys = args.get("keys")
        running = stacks(self._worker._executor.profiler.sources)
        return {call.key: lines_of(stack) for call, stack in running if keys is None or call.key in keys}

    async def profile(self, args: dict[str, Any]) -> dict[str, Any]:
        """What the profiler has seen."""
        profiler = self._worker._executor.profiler
        return await asyncio.to_thread(profiler.profile, args.get("start"), args.get("stop"), args.get("prefix"))

    def logs(self, args: dict[str, Any]) -> list[list[str]]:
        """The newest log lines. In a process of its own they are all the worker's."""
        only = ("jupyterfut.worker",) if self._worker._local else ()
        return logs.newest(args.get("n"), *only)

    async def versions(self, args: dict[str, Any]) -> dict[str, Any]:
        """What runs here."""
        return await asyncio.to_thread(versions.versions, args.get("packages") or ())

    async def _logged(self, job: Any) -> None:
        try:
            await job
        except Exception:
            logger.exception("a function that was run on worker %s (wait=False) has raised", self._worker.name)
