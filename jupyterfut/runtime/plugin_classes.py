"""What users derive their plugins from, and the plugins that come with the house.

A plugin is an object whose methods are called when something happens on a worker, on the scheduler, or at a nanny. `Client.register_plugin` pickles
it and sends it there; `worker_plugins`, `scheduler_admin` and `nanny_admin` call it. The scheduler keeps the pickles of worker plugins for workers
that join later, and never opens them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from jupyterfut.runtime.nanny import Nanny
    from jupyterfut.runtime.scheduler_server import Scheduler
    from jupyterfut.runtime.worker_server import Worker

Kind = Literal["worker", "scheduler", "nanny"]


class WorkerPlugin:
    """Code that lives on every worker, beside its tasks. Derive from it, override what you need, and `client.register_plugin(MyPlugin())`.

    Every worker gets a copy of its own, also those that join later, which set it up before their first task. Methods may raise: `setup` at
    registration raises at the client (and the plugin is not kept), anything later is logged by the worker, whose tasks go on. The hooks are those
    of dask.distributed.

    name: what it is registered under, unless `register_plugin(name=)` says otherwise; another plugin of that name takes its place.

    >>> from jupyterfut import Client
    >>> class Counter(WorkerPlugin):
    ...     def setup(self, worker):
    ...         worker.counted = 0
    ...     def transition(self, key, start, finish, worker=None, **kwargs):
    ...         worker.counted += finish == "memory"
    >>> with Client(processes=False, n_workers=1) as client:
    ...     answers = client.register_plugin(Counter())
    ...     total = client.submit(sum, [1, 2]).result()
    ...     list(client.run(lambda worker: worker.counted).values())
    [1]
    """

    name: str = ""

    def setup(self, worker: Worker) -> Any:
        """The plugin has come to a worker. A plain method runs in a thread of its own, so it may block; an `async def` one on the worker's loop. It
        must not wait for tasks: those of a worker that joins begin when its plugins are set up."""

    def teardown(self, worker: Worker) -> Any:
        """The worker is being closed, or the plugin was unregistered or replaced. Like `setup`."""

    def transition(self, key: str, start: str, finish: str, *, worker: Worker, **kwargs: Any) -> None:
        """A task has moved: `start` and `finish` are of released, waiting, ready, executing, memory, error, rescheduled, cancelled. Called on the
        worker's loop after the fact, in order: it must be quick, and must not block."""


class SchedulerPlugin:
    """Code that lives in the scheduler. `client.register_plugin(MyPlugin())` sends it there, if the scheduler runs users' code at all: those of
    `Client()` and `LocalCluster` do, `jupyterfut scheduler` with `--allow-run` (the setting `scheduler.allow_run`).

    The hooks are those of dask.distributed. All run on the scheduler's loop, after the fact: they must be quick. What they raise is logged, and the
    scheduler goes on. A hook that is not overridden costs nothing.

    >>> from jupyterfut import Client
    >>> class Finished(SchedulerPlugin):
    ...     name = "finished"
    ...     def start(self, scheduler):
    ...         self.keys = []
    ...     def transition(self, key, start, finish, **kwargs):
    ...         if finish == "memory":
    ...             self.keys.append(key)
    >>> with Client(processes=False) as client:
    ...     client.register_plugin(Finished())
    ...     total = client.submit(sum, [1, 2], key="total").result()
    ...     client.run_on_scheduler(lambda scheduler: scheduler.plugins["finished"].keys)
    ['total']
    """

    name: str = ""

    def start(self, scheduler: Scheduler) -> Any:
        """The plugin has come to the scheduler. An `async def` one is awaited."""

    def close(self) -> Any:
        """The scheduler is being closed, or the plugin was unregistered or replaced."""

    def update_graph(self, scheduler: Scheduler, *, client: str, keys: set[str], tasks: list[str], **kwargs: Any) -> None:
        """A client has submitted these tasks: `keys` it wants, `tasks` are new rows, in order."""

    def transition(self, key: str, start: str, finish: str, **kwargs: Any) -> None:
        """A task has moved: `start` and `finish` are of released, waiting, queued, processing, memory, erred, forgotten. With `worker=` its name,
        where that is known."""

    def add_worker(self, scheduler: Scheduler, worker: str) -> Any:
        """A worker has joined; `worker` is its address."""

    def remove_worker(self, scheduler: Scheduler, worker: str, **kwargs: Any) -> Any:
        """A worker is gone."""

    def add_client(self, scheduler: Scheduler, client: str) -> None:
        """A client has connected; `client` is its id."""

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        """A client is gone: it said goodbye, or its lease is over."""

    def restart(self, scheduler: Scheduler) -> None:
        """`Client.restart` was called: all tasks are forgotten, the workers are about to be replaced."""


class NannyPlugin:
    """Code that lives beside the worker processes, in whatever supervises them: the cluster's host process for `Client()` and `LocalCluster`, the
    command `jupyterfut worker`. It outlives the worker process and may change what the next one starts with, such as `nanny.env`.

    `setup(nanny)` raises at the client that registers it. `restart = True`: the workers are restarted once it is set up. Nannies that come later get
    it too; their first worker process may be running by then.
    """

    name: str = ""
    restart: bool = False

    def setup(self, nanny: Nanny) -> Any:
        """The plugin has come to a nanny. Like `WorkerPlugin.setup`."""

    def teardown(self, nanny: Nanny) -> Any:
        """The nanny is being closed, or the plugin was unregistered or replaced."""


class UploadFile(WorkerPlugin):
    """A file for every worker, of now and of later: what `Client.upload_file` registers.

    It is put into the worker's `local_directory`. With `load`, a module (`.py`) is imported, and reloaded if it was there already; an archive
    (`.zip`, `.egg`, `.pyz`) is put on `sys.path`, and modules that an earlier archive of that name gave are imported afresh. Tasks that come
    afterwards see the new code. Raises FileNotFoundError here and at once when there is no such file.
    """

    def __init__(self, filepath: str | os.PathLike[str], load: bool = True) -> None:
        path = Path(filepath)
        self.filename = path.name
        self.load = load
        self.data = path.read_bytes()
        self.name = f"upload-{self.filename}"

    def __repr__(self) -> str:
        return f"<UploadFile {self.filename} {len(self.data)} bytes>"

    def setup(self, worker: Worker) -> None:
        from jupyterfut.runtime.uploads import save

        save(worker, self.filename, self.data, self.load)

    def teardown(self, worker: Worker) -> None:
        """The file stays: a newer one may have taken its place. The worker's directory goes with the worker."""


class Environ(WorkerPlugin):
    """Environment variables for every worker, of now and of later. A value of None removes the variable. They are set before a joining worker's first
    task, and for running workers at once, which is too late for libraries that have read them at import: `client.restart()` then.

    (In dask.distributed this is a nanny plugin that restarts the workers by itself.)

    >>> from jupyterfut import Client
    >>> with Client(n_workers=1, threads_per_worker=1) as client:
    ...     answers = client.register_plugin(Environ({"GREETING": "hello"}))
    ...     client.submit(os.getenv, "GREETING").result()
    'hello'
    """

    def __init__(self, environ: dict[str, Any] | None = None) -> None:
        self.environ = {str(key): None if value is None else str(value) for key, value in (environ or {}).items()}
        self.name = f"environ-{_digest(*self.environ)}"

    def setup(self, worker: Worker) -> None:
        for key, value in self.environ.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


class PipInstall(WorkerPlugin):
    """`pip install` on every worker, of now and of later, before a joining worker's first task. Workers of one machine that share an environment take
    turns.

    packages: requirements, as pip takes them. pip_options: options for pip, such as `["--upgrade"]`. restart_workers: restart the workers afterwards,
    so that a package that was imported already is imported afresh.

    `register_plugin` raises RuntimeError with pip's own words when it fails.
    """

    def __init__(self, packages: list[str], pip_options: list[str] | None = None, restart_workers: bool = False) -> None:
        if type(packages) is not list or not packages:
            raise ValueError(f"PipInstall takes a list of requirements, not {packages!r}")
        self.packages = [str(package) for package in packages]
        self.pip_options = [str(option) for option in pip_options or ()]
        self.restart = restart_workers
        self.name = f"pip-install-{_digest(*self.packages, *self.pip_options)}"

    def setup(self, worker: Worker) -> None:
        command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *self.pip_options, *self.packages]
        with _turns(f"pip-{_digest(sys.prefix)}"):
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command[1:])} failed with exit code {done.returncode}: {(done.stderr or done.stdout).strip()[-2000:]}")
        import importlib

        importlib.invalidate_caches()


def _digest(*parts: str) -> str:
    return blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()


@contextmanager
def _turns(name: str) -> Iterator[None]:
    """One at a time among this machine's processes of this user."""
    import tempfile

    user = os.getuid() if hasattr(os, "getuid") else 0
    with open(Path(tempfile.gettempdir()) / f"jupyterfut-{user}-{name}.lock", "a+b") as file:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
            yield
            msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)  # ends with the file
            yield
