"""What anybody in the cluster may ask of a worker beside data: the handlers of `Request` at its data server, by name.

Clients come straight here, so the scheduler is neither asked nor kept busy. Users' code that is run here (`run`) is no task: it has no key, no place
in the pool, and nobody counts it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from jupyterfut.runtime.context import at_worker
from jupyterfut.runtime.data_server import Ops
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
        self.ops: Ops = {"run": self.run}

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

    async def _logged(self, job: Any) -> None:
        try:
            await job
        except Exception:
            logger.exception("a function that was run on worker %s (wait=False) has raised", self._worker.name)
