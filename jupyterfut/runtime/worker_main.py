"""A worker process, from its first line to its exit code.

Its nanny gives it one line of JSON on stdin (`worker_process.worker_settings`) and hears on stdout `{"event": "ready", "address": ...}` when the
scheduler has taken the worker in, or `{"event": "failed", "error": ...}`. SIGTERM ends it in order. The end of stdin is its nanny's end and kills
it at once, even while a task holds the interpreter. It runs in a session of its own, and a task that calls `os._exit` ends nothing but this process.
"""

from __future__ import annotations

import sys
from typing import Any

from jupyterfut import config
from jupyterfut.runtime import child


def main() -> int:
    """The whole life of the process. Returns its exit code."""
    parent = child.begin()
    parent.die_with_it()
    settings = parent.settings
    config.use(config.Settings.from_dict(settings["config"], "the parent's settings"))
    from jupyterfut.runtime import output

    output.own_process(settings["output_pipes"])
    sys.setswitchinterval(config.settings().worker.switch_interval_s)
    import asyncio

    from jupyterfut.runtime.host import new_event_loop

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_serve(parent, settings))


async def _serve(parent: child.Parent, settings: dict[str, Any]) -> int:
    import asyncio

    from jupyterfut.comm import Security
    from jupyterfut.errors import JupyterfutError
    from jupyterfut.runtime import logs
    from jupyterfut.runtime.process import on_stop_signals, relax_gc
    from jupyterfut.runtime.worker_server import Worker

    tls = settings["tls"] or {}
    relax_gc()
    logs.tell_more()
    worker = Worker(
        settings["scheduler"], nthreads=settings["nthreads"], name=settings["name"], memory_limit=settings["memory_limit"],
        resources=settings["resources"], host=settings["host"], port=settings["port"], local_directory=settings["local_directory"],
        nanny=settings["nanny"],
        security=Security(token=settings["token"], tls_cert=tls.get("cert"), tls_key=tls.get("key"), tls_ca=tls.get("ca")),
    )  # fmt: skip
    try:
        await worker.start()
    except (OSError, JupyterfutError) as error:
        parent.report({"event": "failed", "error": f"{type(error).__name__}: {error}"})
        return 1
    loop = asyncio.get_running_loop()
    closing: list[asyncio.Task[None]] = []
    on_stop_signals(loop, lambda: closing.append(loop.create_task(worker.close("told to stop"))))
    parent.report({"event": "ready", "address": worker.address})
    await worker.finished()
    return 0


if __name__ == "__main__":
    sys.exit(main())
