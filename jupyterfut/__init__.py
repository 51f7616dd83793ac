"""jupyterfut: futures and evolving workflows for notebooks.

Everything a user needs is imported from here, and loaded when it is first used: `import jupyterfut` itself stays light.

>>> import jupyterfut
>>> "Client" in dir(jupyterfut)
True
"""

from __future__ import annotations

from importlib import import_module

from jupyterfut._version import __version__

TYPE_CHECKING = False  # type checkers know the name; `typing` itself would be most of what this import costs
if TYPE_CHECKING:
    from typing import Any

    from jupyterfut.client.actors import Actor, ActorFuture
    from jupyterfut.client.actors import ActorFuture as ActorTask
    from jupyterfut.client.client import Client
    from jupyterfut.client.client import Client as Executor
    from jupyterfut.client.current import default_client, get_client, get_worker, local_client, local_executor, rejoin, secede, worker_client
    from jupyterfut.client.futures import Future, fire_and_forget, futures_of
    from jupyterfut.client.futures import Future as Task
    from jupyterfut.client.printing import print, warn  # noqa: A004
    from jupyterfut.client.progress import progress
    from jupyterfut.client.report import performance_report
    from jupyterfut.client.task import task
    from jupyterfut.client.task_stream import get_task_stream
    from jupyterfut.client.waiting import as_completed, wait
    from jupyterfut.comm.security import Security
    from jupyterfut.coord.event import Event
    from jupyterfut.coord.lock import Lock
    from jupyterfut.coord.multilock import MultiLock
    from jupyterfut.coord.pubsub import Pub, Sub
    from jupyterfut.coord.queue import Queue
    from jupyterfut.coord.semaphore import Semaphore
    from jupyterfut.coord.variable import Variable
    from jupyterfut.deploy.adaptive import Adaptive
    from jupyterfut.deploy.local import LocalCluster
    from jupyterfut.deploy.ssh import SSHCluster
    from jupyterfut.errors import CancelledError, KilledWorker, Reschedule, TimeoutError  # noqa: A004
    from jupyterfut.runtime.nanny import Nanny
    from jupyterfut.runtime.plugin_classes import Environ, NannyPlugin, PipInstall, SchedulerPlugin, UploadFile, WorkerPlugin
    from jupyterfut.runtime.scheduler_server import Scheduler
    from jupyterfut.runtime.worker_server import Worker

_HOME_OF = {
    "Actor": "client.actors",
    "ActorFuture": "client.actors",
    "ActorTask": "client.actors:ActorFuture",
    "Client": "client.client",
    "Executor": "client.client:Client",
    "default_client": "client.current",
    "get_client": "client.current",
    "get_worker": "client.current",
    "worker_client": "client.current",
    "local_client": "client.current",
    "local_executor": "client.current",
    "secede": "client.current",
    "rejoin": "client.current",
    "Future": "client.futures",
    "Task": "client.futures:Future",
    "fire_and_forget": "client.futures",
    "futures_of": "client.futures",
    "print": "client.printing",
    "warn": "client.printing",
    "progress": "client.progress",
    "get_task_stream": "client.task_stream",
    "task": "client.task",
    "performance_report": "client.report",
    "as_completed": "client.waiting",
    "wait": "client.waiting",
    "Queue": "coord.queue",
    "Variable": "coord.variable",
    "Lock": "coord.lock",
    "Event": "coord.event",
    "Semaphore": "coord.semaphore",
    "MultiLock": "coord.multilock",
    "Pub": "coord.pubsub",
    "Sub": "coord.pubsub",
    "Reschedule": "errors",
    "CancelledError": "errors",
    "KilledWorker": "errors",
    "TimeoutError": "errors",
    "Adaptive": "deploy.adaptive",
    "LocalCluster": "deploy.local",
    "SSHCluster": "deploy.ssh",
    "Scheduler": "runtime.scheduler_server",
    "Worker": "runtime.worker_server",
    "Nanny": "runtime.nanny",
    "SchedulerPlugin": "runtime.plugin_classes",
    "WorkerPlugin": "runtime.plugin_classes",
    "NannyPlugin": "runtime.plugin_classes",
    "UploadFile": "runtime.plugin_classes",
    "PipInstall": "runtime.plugin_classes",
    "Environ": "runtime.plugin_classes",
    "Security": "comm.security",
    "errors": "errors:",
}
"""Public name -> its module, and after a colon its name there if that is another (nothing: the module itself)."""

__all__ = [
    "Actor",
    "ActorFuture",
    "ActorTask",
    "Adaptive",
    "CancelledError",
    "Client",
    "Environ",
    "Event",
    "Executor",
    "Future",
    "KilledWorker",
    "LocalCluster",
    "Lock",
    "MultiLock",
    "Nanny",
    "NannyPlugin",
    "PipInstall",
    "Pub",
    "Queue",
    "Reschedule",
    "SSHCluster",
    "Scheduler",
    "SchedulerPlugin",
    "Security",
    "Semaphore",
    "Sub",
    "Task",
    "TimeoutError",
    "UploadFile",
    "Variable",
    "Worker",
    "WorkerPlugin",
    "__version__",
    "as_completed",
    "default_client",
    "errors",
    "fire_and_forget",
    "futures_of",
    "get_client",
    "get_task_stream",
    "get_worker",
    "local_client",
    "local_executor",
    "performance_report",
    "print",
    "progress",
    "rejoin",
    "secede",
    "task",
    "wait",
    "warn",
    "worker_client",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'jupyterfut' has no attribute {name!r}")
    module_name, colon, other = home.partition(":")
    module = import_module(f"jupyterfut.{module_name}")
    value = module if colon and not other else getattr(module, other or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(ipython: Any) -> None:
    """`%load_ext jupyterfut`: the notebook's magics."""
    import_module("jupyterfut.notebook").load_ipython_extension(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """`%unload_ext jupyterfut`."""
    import_module("jupyterfut.notebook").unload_ipython_extension(ipython)


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """What Jupyter Server asks of the extensions that are enabled."""
    points: list[dict[str, Any]] = import_module("jupyterfut.notebook.server")._jupyter_server_extension_points()
    return points


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """What `jupyter labextension develop` asks: where a checkout has the built extension."""
    return [{"src": "labextension", "dest": "jupyterfut"}]
