"""The cluster as its owner sees it: code on every worker, plugins, files, restarts, and what workers are doing.

`Client` inherits these methods; each is shallow and names the module that does the work.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from jupyterfut import plugins
from jupyterfut.client import everywhere, registering, watching
from jupyterfut.client.everywhere import OnError
from jupyterfut.client.timeouts import Timeout
from jupyterfut.client.watching import When

if TYPE_CHECKING:
    from jupyterfut.client.client import Client


class Administration:
    """Methods of `Client` for running and looking after a cluster."""

    # --- code everywhere (`everywhere`)

    def run(
        self,
        func: Callable[..., Any],
        /,
        *args: Any,
        workers: Any = None,
        wait: bool = True,
        nanny: bool = False,
        on_error: OnError = "raise",
        run_timeout: Timeout = None,
        **kwargs: Any,
    ) -> Any:
        """Call `func(*args, **kwargs)` on every worker, outside of the task pool; returns {worker's address: what it returned}.

        It is no task: it does not wait for a free thread, has no key, and nobody tries it again. An `async def` function is awaited on the worker's
        loop, where it must not block; any other runs in a thread of its own (in dask.distributed, on the loop), so it may take its time. An argument
        named `worker` (or `dask_worker`) that the call leaves open is the `Worker` itself; `get_worker()` and `get_client()` work, too.

        workers: addresses, hosts or names, instead of all. wait: False does not wait for the function to end, and gives {address: None}; what it
            raises goes to the worker's log. nanny: run in the nannies' processes instead (`nanny` or `dask_worker` is injected).
        on_error: "raise" the first exception as soon as it is here; "return" it in its worker's place; or "ignore", leaving that worker out. A
            worker that cannot be reached, or breaks off, counts as one that raised `ConnectionFailed`.
        run_timeout: `TimeoutError`, naming the worker, for one that has not answered by then (`timeout=` is passed to the function, as is every other
            keyword).

        Blocks, or returns an awaitable. Raises ValueError (no such worker), TypeError (no function), `SerializationError`.

        >>> from jupyterfut import Client
        >>> with Client(processes=False, n_workers=2, threads_per_worker=1) as client:
        ...     sorted(client.run(lambda x, worker: (worker.name, x + 1), 1).values())
        [('0', 2), ('1', 2)]
        """
        return everywhere.run(_client(self), func, args, kwargs, workers, wait, nanny, on_error, run_timeout)

    def run_on_scheduler(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call `func(*args, **kwargs)` in the scheduler's process, on its loop, and return what it returns. An argument named `scheduler` (or
        `dask_scheduler`) that the call leaves open is the `Scheduler` itself. An `async def` function is awaited.

        Nothing else happens there meanwhile, so that what it reads is consistent: it should be quick. A scheduler that other people may use does not
        run users' code: `jupyterfut scheduler` needs `--allow-run`, or the setting `scheduler.allow_run` "yes"; otherwise PermissionError.

        Blocks, or returns an awaitable. Raises what the function raises.

        >>> from jupyterfut import Client
        >>> with Client(processes=False, n_workers=2) as client:
        ...     client.run_on_scheduler(lambda scheduler: len(scheduler.workers))
        2
        """
        return everywhere.run_on_scheduler(_client(self), func, args, kwargs)

    # --- plugins and files (`registering`)

    def register_plugin(self, plugin: Any, name: str | None = None, idempotent: bool | None = None) -> Any:
        """Have a plugin live on every worker (`WorkerPlugin`), in the scheduler (`SchedulerPlugin`) or beside every worker (`NannyPlugin`).

        The plugin is pickled, so each place gets a copy of its own. Workers and nannies that come later get it too, before their first task.

        name: what it is known by; default: its own `name`, else one that is made up. A plugin of the same name is torn down and replaced; with
            `idempotent` (or the plugin's attribute of that name) it stays, and this one is dropped.

        Blocks until it is set up everywhere, or returns an awaitable; returns {address: {"status": "OK"}}, for a scheduler plugin None. What its
        `setup` raises on any worker is raised here, with a note that names the worker, and the plugin is taken out everywhere. Raises TypeError for
        what is no plugin, `SerializationError`, PermissionError (a scheduler plugin, see `run_on_scheduler`).

        >>> from jupyterfut import Client, WorkerPlugin
        >>> class Greeter(WorkerPlugin):
        ...     def setup(self, worker):
        ...         worker.greeting = "hello"
        >>> with Client(processes=False, n_workers=1) as client:
        ...     answers = client.register_plugin(Greeter(), name="greeter")
        ...     list(client.run(lambda worker: worker.greeting).values())
        ['hello']
        """
        return registering.register(_client(self), plugin, registering.kind_of(plugin), name, idempotent)

    def register_worker_plugin(self, plugin: Any, name: str | None = None, nanny: bool | None = None) -> Any:
        """The older name of `register_plugin` for workers (with `nanny`, for nannies). Takes any object with the methods of `WorkerPlugin`."""
        return registering.register(_client(self), plugin, "nanny" if nanny else "worker", name, None)

    def register_scheduler_plugin(self, plugin: Any, name: str | None = None, idempotent: bool | None = None) -> Any:
        """The older name of `register_plugin` for the scheduler. Takes any object with the methods of `SchedulerPlugin`."""
        return registering.register(_client(self), plugin, "scheduler", name, idempotent)

    def register_worker_callbacks(self, setup: Callable[..., Any]) -> Any:
        """Call `setup()` once on every worker, also on those that join later. An argument named `worker` or `dask_worker` is the worker."""
        if not callable(setup):
            raise TypeError(f"register_worker_callbacks takes a function, not {setup!r}")
        return registering.register(_client(self), registering.Callback(setup), "worker", None, None)

    def unregister_worker_plugin(self, name: str, nanny: bool | None = None) -> Any:
        """Take a worker plugin (with `nanny`, a nanny plugin) out everywhere: its `teardown` is called. Blocks, or returns an awaitable. Raises
        ValueError when there is none of that name."""
        return registering.unregister(_client(self), "nanny" if nanny else "worker", name)

    def unregister_scheduler_plugin(self, name: str) -> Any:
        """Take a scheduler plugin out: its `close` is called. Blocks, or returns an awaitable. Raises ValueError when there is none of that name."""
        return registering.unregister(_client(self), "scheduler", name)

    def upload_file(self, filename: str | os.PathLike[str], load: bool = True) -> Any:
        """Send a file to every worker, also to those that join later: into `get_worker().local_directory`.

        A module (`.py`) can be imported by tasks from then on; uploaded again, it is reloaded, and functions of it that tasks name are the new ones.
        An archive (`.zip`, `.egg`, `.pyz`) is put on the workers' `sys.path`. `load=False`: only put it there.

        Blocks until all have it, or returns an awaitable; returns {address: {"status": "OK"}}. Raises FileNotFoundError at once, and what importing
        the module raises. (A call with the key of a result that somebody still holds is not run again only because its module is newer: release the
        old future, or submit with `pure=False`.)

        >>> import pathlib, tempfile
        >>> from jupyterfut import Client
        >>> with tempfile.TemporaryDirectory() as folder, Client(n_workers=1, threads_per_worker=1) as client:
        ...     path = pathlib.Path(folder, "recipes.py")
        ...     size = path.write_text("def double(x): return 2 * x")
        ...     answers = client.upload_file(path)
        ...     def use(x):
        ...         import recipes
        ...         return recipes.double(x)
        ...     client.submit(use, 21).result()
        42
        """
        return registering.upload_file(_client(self), filename, load)

    # --- restarts (`registering`)

    def restart(self, timeout: Timeout = None, wait_for_workers: bool = True) -> Any:
        """Begin anew: all futures of all clients end cancelled, and all worker processes are replaced by fresh ones, also those that hang.

        Nannies do it: each asks its worker to end, kills it after `nanny.close_timeout_s`, and starts another. (The workers of an in-process cluster
        are made anew; a call that still runs ends in its thread, and its result is dropped. A worker without a nanny drops its tasks and data and
        goes on; a warning in the log says so.) Plugins and uploaded files stay. Queues and variables stay, too: what they refer to is computed again.

        timeout: `TimeoutError`, naming the workers that are not back by then; default: four times `client.timeout_s`. wait_for_workers: False only
            waits until the old processes have ended.
        Blocks, or returns an awaitable.

        >>> from jupyterfut import Client
        >>> with Client(processes=False) as client:
        ...     future = client.submit(abs, -1)
        ...     client.restart()
        ...     future.status, client.submit(abs, -1).result()
        ('cancelled', 1)
        """
        return registering.restart(_client(self), timeout, wait_for_workers)

    def restart_workers(self, workers: Any, timeout: Timeout = None, raise_for_error: bool = True) -> Any:
        """Replace the processes of these workers (addresses or names). Their tasks run elsewhere, or again, without blame; what only they held is
        computed again.

        Blocks until the fresh ones have joined, or returns an awaitable; returns {address that it had: "OK"}. timeout: as in `restart`; with
        `raise_for_error=False` a worker that is late, or fails, has "timed out", or the reason, in the answer. Raises ValueError for an unknown
        worker, and for one without a nanny.

        >>> from jupyterfut import Client
        >>> with Client(processes=False, n_workers=2) as client:
        ...     list(client.restart_workers("1").values())
        ['OK']
        """
        return registering.restart_workers(_client(self), workers, timeout, raise_for_error)

    # --- what workers are doing (`watching`)

    def call_stack(self, futures: Any = None, keys: Any = None) -> Any:
        """Where running tasks stand now: {worker's address: {key: frames}}, a frame as a string, the user's function first. Of all tasks, or of these
        futures or keys; workers that run none of them are left out.

        Blocks, or returns an awaitable. Raises TypeError for what is no future.

        >>> import threading
        >>> from jupyterfut import Client
        >>> started, go = threading.Event(), threading.Event()
        >>> def slow():
        ...     started.set()
        ...     go.wait()
        >>> with Client(processes=False, n_workers=1) as client:
        ...     future = client.submit(slow)
        ...     _ = started.wait()
        ...     ((key, frames),) = client.call_stack(future).popitem()[1].items()
        ...     go.set()
        >>> key == future.key, "in slow" in frames[0]
        (True, True)
        """
        return watching.call_stack(_client(self), futures, keys)

    def profile(
        self,
        key: str | None = None,
        start: When = None,
        stop: When = None,
        workers: Any = None,
        merge_workers: bool = True,
        plot: bool | str = False,
        filename: str | os.PathLike[str] | None = None,
        server: bool = False,
        scheduler: bool = False,
    ) -> Any:
        """What tasks have spent their time on: a tree of {"identifier", "description", "count", "children"}, as in dask.distributed. Workers look at
        their running tasks every `worker.profile_interval_s` (10 ms) and count what they see.

        key: only tasks with this prefix, such as "inc". start, stop: only between these times: seconds since the epoch, a `datetime`, or how long ago
            ("10 s"); as finely as `worker.profile_slice_s`, and more coarsely what is long past. workers: addresses, hosts or names.
        merge_workers: False gives {address: tree}.
        filename: also write a flame graph there, as a self-contained HTML page. plot: True returns (tree, figure), of which the figure shows itself
            in a notebook.
        server, scheduler: are not offered (ValueError).

        Blocks, or returns an awaitable. Raises FileNotFoundError for a directory that does not exist.

        >>> from jupyterfut import Client
        >>> def busy():
        ...     from time import thread_time
        ...     end = thread_time() + 0.3
        ...     while thread_time() < end:
        ...         sum(range(1000))
        >>> with Client(processes=False, n_workers=1) as client:
        ...     client.submit(busy).result()
        ...     tree = client.profile(key="busy")
        >>> [node["description"]["name"] for node in tree["children"].values()]
        ['busy']
        """
        return watching.profile(_client(self), key, start, stop, workers, merge_workers, plot, filename, server, scheduler)

    def get_worker_logs(self, n: int | None = None, workers: Any = None, nanny: bool = False) -> Any:
        """The newest log lines of workers, newest first: {address: [(level, text)]}. n: at most so many. nanny: of the nannies instead. A worker
        keeps `worker.log_lines`. (In a cluster without processes, all workers share their lines.)

        Blocks, or returns an awaitable. Raises ValueError for a number that makes no sense, or an unknown worker.
        """
        return watching.worker_logs(_client(self), n, workers, nanny)

    def get_scheduler_logs(self, n: int | None = None) -> Any:
        """The newest log lines of the scheduler, newest first: [(level, text)]. n: at most so many; it keeps `scheduler.log_lines`. Blocks, or
        returns an awaitable.

        >>> from jupyterfut import Client
        >>> with Client(processes=False) as client:
        ...     isinstance(client.get_scheduler_logs(n=3), list)
        True
        """
        return watching.scheduler_logs(_client(self), n)

    def get_versions(self, check: bool = False, packages: Any = None) -> Any:
        """What runs where: {"client", "scheduler", "workers": {address: ...}}, each with `host` (Python, operating system, machine) and `packages`
        (jupyterfut and what it needs; NumPy, pandas, dask and the like where they are loaded; and the `packages` that you name).

        check: raise ValueError, with a table of them, when versions differ that should not: of Python (first two numbers), jupyterfut, msgpack,
            cloudpickle, the `packages`, and what is loaded in several places.
        Blocks, or returns an awaitable.

        >>> from jupyterfut import Client
        >>> with Client(processes=False) as client:
        ...     sorted(client.get_versions(check=True))
        ['client', 'scheduler', 'workers']
        """
        return watching.get_versions(_client(self), check, packages)

    # --- the dashboard

    @property
    def dashboard_link(self) -> str:
        """The cluster's dashboard, for a browser on the scheduler's machine, with the token that opens it; "" where there is none.

        >>> from jupyterfut import Client
        >>> with Client(processes=False) as client:
        ...     client.dashboard_link.startswith("http://127.0.0.1:")
        True
        """
        return str(_client(self)._session.info.get("dashboard", ""))

    def dashboard(self, *panes: str, height: int | None = None) -> Any:
        """Panes of the dashboard as a notebook's output: "task-stream", "progress", "workers", "load", "timings", "graph", "profile", "memory",
        "network", "events", "cells"; without any, an overview. They move while the kernel is busy, and need no port.

        height: of each pane, in pixels. Wants anywidget (`pip install anywidget`) and a front end that shows widgets; elsewhere the object is a line
            of text with the dashboard's address, and that is what is saved in the document.

        Returns at once. Raises ValueError for a height that makes no sense, ClosedError once closed; the front end says which panes it does not know.

        >>> from jupyterfut import Client
        >>> with Client(processes=False, name="mine") as client:
        ...     client.dashboard("task-stream", "workers")
        <Dashboard of 'mine': task-stream, workers>
        """
        return plugins.load("dashboard", "show")(_client(self), panes, height)


def _client(mixin: Administration) -> Client:
    return cast("Client", mixin)  # the only class that is made of this one
