"""The backend behind `joblib.parallel_config("jupyterfut")` (see `adapters.joblib`): joblib's batches as tasks.

The backend takes the client at hand when a loop starts. joblib hears of each batch's end in the client's thread for callbacks, where it sends the
next ones. Functions of the user's notebook travel once a loop. So do large arrays and frames that stand in more than one batch: from the second on
they are scattered, and the batches name them.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from joblib.parallel import AutoBatchingMixin, ParallelBackendBase, parallel_config

from jupyterfut.adapters.calls import Caller, run, shared
from jupyterfut.client.current import get_client
from jupyterfut.client.futures import Future
from jupyterfut.client.submit import make_options
from jupyterfut.client.timeouts import Timeout
from jupyterfut.core.client import events as ev
from jupyterfut.errors import ClosedError
from jupyterfut.runtime.context import blocking, current_task
from jupyterfut.serde.calls import Dep
from jupyterfut.serde.families import family_size
from jupyterfut.serde.functions import function_name
from jupyterfut.serde.parts import Parts
from jupyterfut.wire.payload import Local

if TYPE_CHECKING:
    from jupyterfut.client.client import Client
    from jupyterfut.ids import Key

_OPTIONS = ("workers", "resources", "retries", "priority", "allow_other_workers")
LARGE_BYTES = 64 * 1024
"""Arguments of this size and more, of the families whose size is cheap to know (arrays, frames), are scattered when they come again."""


class JupyterfutBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]  # joblib has no types
    """What `parallel_config("jupyterfut", **options)` makes.

    client: instead of the one at hand. scatter: a list of objects to put on every worker beforehand. wait_for_workers_timeout: how long a loop waits
    for the first worker. The other options (`workers`, `resources`, `retries`, `priority`, `allow_other_workers`) are those of `Client.submit`.

    Raises ValueError when there is no client, TypeError for an unknown option.
    """

    supports_retrieve_callback = True
    supports_inner_max_num_threads = False  # workers set their libraries' threads when they start (OMP_NUM_THREADS and the like)
    default_n_jobs = -1
    # A task costs a tenth of a millisecond here, so batches may be shorter than those for joblib's own processes, and the ends less ragged.
    MIN_IDEAL_BATCH_DURATION = 0.02
    MAX_IDEAL_BATCH_DURATION = 0.5

    def __init__(
        self,
        client: Client | None = None,
        scatter: list[Any] | tuple[Any, ...] | None = None,
        wait_for_workers_timeout: Timeout = 10,
        nesting_level: int | None = None,
        **options: Any,
    ) -> None:
        unknown = [name for name in options if name not in _OPTIONS]
        if unknown:
            raise TypeError(f"the backend 'jupyterfut' takes no option {', '.join(map(repr, unknown))} (there are: {', '.join(_OPTIONS)})")
        if scatter is not None and not isinstance(scatter, (list, tuple)):
            raise TypeError(f"scatter takes a list of objects, not {type(scatter).__name__}")
        super().__init__(nesting_level=nesting_level)
        self._given = client
        self._options = make_options(**options)
        self._patience = wait_for_workers_timeout
        self._client = _usable(get_client() if client is None else client)
        self._data = _Data(self._client)
        for thing in scatter or ():
            self._data.put(thing)
        self._parts: Parts | None = None
        self._caller: Caller | None = None
        self._batches: set[Future] = set()

    # --- joblib asks

    def configure(self, n_jobs: int = 1, parallel: Any = None, **kwargs: Any) -> int:
        """A loop begins: the number of calls that can run side by side."""
        self._client = _usable(get_client() if self._given is None else self._given)
        self.parallel = parallel
        return self.effective_n_jobs(n_jobs)

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """`n_jobs` as it is, if it says a number. -1 is all the cluster's threads, -2 all but one. Waits for the first worker."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is not None and n_jobs > 0:
            return n_jobs
        client = self._client
        if not sum(client.nthreads().values()):
            client.wait_for_workers(1, timeout=self._patience)
        total: int = sum(client.nthreads().values()) + 1 + (-1 if n_jobs is None else n_jobs)
        # One would have joblib run the loop where it stands. Inside a task that is right; elsewhere it was the cluster that was asked for.
        return max(total, 1 if current_task() is not None else 2)

    def get_nested_backend(self) -> tuple[ParallelBackendBase, int]:
        """What loops inside the calls run on: the same cluster. Each batch makes its own (`run_batch`), so joblib's copy is never used."""
        return self, -1

    def start_call(self) -> None:
        """A loop begins."""
        self._batches = set()
        self._data.begin()
        self._parts = None

    def stop_call(self) -> None:
        """A loop has ended, well or not."""
        self._data.end()
        self._parts = self._caller = None
        self._batches = set()

    def terminate(self) -> None:
        """The backend is not needed any more."""
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """A call has failed, or nobody wants the rest."""
        records = [future._record for future in list(self._batches) if not future.done()]
        if records:
            try:
                self._client._session.post(ev.Cancel(records, False, "its joblib loop was aborted"))
            except ClosedError:
                return  # then they have ended already

    @contextmanager
    def retrieval_context(self) -> Iterator[None]:
        """joblib waits for results. Inside a task, the task's place goes to another meanwhile."""
        with blocking():
            yield

    def submit(self, func: Any, callback: Callable[[Any], object] | None = None) -> Any:
        """Send one batch of calls (joblib's `BatchedCalls`). Never raises: joblib may be calling from a callback."""
        try:
            future = self._send(func.items)
        except Exception as error:  # noqa: BLE001  # a batch that cannot be sent is a batch that failed
            refused = _Refused(error)
            if callback is not None:
                callback(refused)
            return refused
        self._batches.add(future)
        future.add_done_callback(self._batches.discard)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    apply_async = submit  # its name before joblib 1.5

    def retrieve_result_callback(self, out: Any) -> Any:
        """The results of a batch that has ended. Raises what a call has raised."""
        return out.result()

    # --- batches

    def _send(self, items: list[tuple[Any, tuple[Any, ...], dict[str, Any]]]) -> Future:
        client = self._client
        submitting = client._submitting
        needed: dict[Key, int] = {}
        futures: list[Future] = []  # until the row holds them
        nested = (self.nesting_level or 0) + 1
        function: Callable[..., Any] = run
        if client._session.local:
            call: Any = (run_batch, (nested, items))
            payload: Any = Local((call, {}), 0)
            holds: list[Key] = []
        else:
            calls = [
                (
                    func,
                    [self._data.replaced(value, needed, futures) for value in args],
                    {name: self._data.replaced(value, needed, futures) for name, value in kwargs.items()},
                )
                for func, args, kwargs in items
            ]
            call = (run_batch, (nested, calls))
            payload, holds = self._dumps(call)
            if self._caller is not None:
                function = self._caller
        name = submitting.fresh_key(f"{function_name(items[0][0]) if items else 'joblib'}-batch")
        (record,) = submitting.rows(function, [name], [payload], [list(needed)], [holds], self._options, [])
        return Future(record, client)

    def _dumps(self, call: Any) -> tuple[Any, list[Key]]:
        """Pickle a batch with the functions that the batches before it have named. One that names more needs a new `Caller`."""
        parts = self._parts
        if parts is None:
            parts = self._parts = Parts(shared, os.urandom(8).hex())
            self._caller = None
        known = len(parts.found)
        payload, holds = parts.dumps(call)
        if len(parts.found) > known:
            token = os.urandom(8).hex()
            self._parts = Parts(shared, token, known=parts.found)
            self._caller = Caller(token, tuple(self._parts.found))
            payload, holds = self._parts.dumps(call)
        return payload, holds


class _Refused:
    """Stands for a batch that could not be sent."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def result(self) -> Any:
        raise self._error


class _Data:
    """Large arguments: what was seen once in this loop, and what was scattered."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kept: list[Any] = []  # scattered for good: the objects, so that their ids stay theirs
        self._always: dict[int, Future] = {}
        self._seen: dict[int, weakref.ref[Any]] = {}
        self._scattered: dict[int, tuple[weakref.ref[Any], Future]] = {}

    def put(self, thing: Any) -> None:
        """On every worker, for as long as the backend lives. Blocks."""
        (future,) = self._client.scatter([thing], broadcast=True)
        self._kept.append(thing)
        self._always[id(thing)] = future

    def begin(self) -> None:
        self._seen.clear()
        self._scattered.clear()

    end = begin

    def replaced(self, value: Any, needed: dict[Key, int], futures: list[Future]) -> Any:
        """The argument, or a `Dep` for it."""
        future = self._always.get(id(value)) or self._found(value)
        if future is None:
            return value
        futures.append(future)
        return Dep(needed.setdefault(future._record.key, len(needed)))

    def _found(self, value: Any) -> Future | None:
        size = family_size(value)
        if size is None or size < LARGE_BYTES:
            return None
        known = self._scattered.get(id(value))
        if known is not None and known[0]() is value:
            return known[1]
        try:
            ref = weakref.ref(value)
        except TypeError:
            return None
        seen = self._seen.get(id(value))
        if seen is None or seen() is not value:
            self._seen[id(value)] = ref
            return None
        future: Future = self._client.scatter(value)
        self._scattered[id(value)] = (ref, future)
        return future


def _usable(client: Client) -> Client:
    if client.asynchronous:
        raise RuntimeError("joblib's loops block: they need a client that is not asynchronous (in another thread, if need be)")
    return client


def run_batch(nesting_level: int, calls: list[tuple[Any, Any, dict[str, Any]]]) -> list[Any]:
    """On a worker: the calls of a batch, one after the other. Loops inside them run on the same cluster."""
    with parallel_config(backend=JupyterfutBackend(nesting_level=nesting_level), n_jobs=-1):
        return [func(*args, **kwargs) for func, args, kwargs in calls]
