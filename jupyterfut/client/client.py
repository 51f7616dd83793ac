"""`Client`: the door to a cluster. Wide, since users need the width, and shallow: each method names the module that does the work.

How it is made, connected and closed is in `life`; methods that go together come from `placing`, `administration`, `talking` and `graphs`.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from typing import Any

from jupyterfut.client import current, info, recreating
from jupyterfut.client.administration import Administration
from jupyterfut.client.future_list import FutureList
from jupyterfut.client.futures import Future, futures_within
from jupyterfut.client.gather import Errors
from jupyterfut.client.graphs import Graphs
from jupyterfut.client.latches import Answer, LoopGate
from jupyterfut.client.life import ClientLife, is_running
from jupyterfut.client.placing import Placing
from jupyterfut.client.showing import Showing
from jupyterfut.client.submit import DEFAULT_OPTIONS, make_options
from jupyterfut.client.talking import TalkingBack
from jupyterfut.client.task import task
from jupyterfut.client.timeouts import Deadline, Timeout
from jupyterfut.config import settings
from jupyterfut.core.client import events as ev
from jupyterfut.errors import ClosedError
from jupyterfut.serde.tracebacks import fold
from jupyterfut.views import text
from jupyterfut.views.snapshots import ClientView, ClusterView, WorkerView


class Client(Showing, Placing, Administration, TalkingBack, Graphs, ClientLife):
    """A connection to a cluster, for submitting work and holding its results as futures.

    address: where the scheduler is: "tcp://host:port", "tls://host:port"; the name of a cluster that runs on this machine; a cluster object; a
        `Scheduler`. None starts a `LocalCluster` that ends with the client, and takes its options (`n_workers=`, `threads_per_worker=`,
        `processes=False`, `memory_limit=`, `name=` ...).
    scheduler_file: a connection file instead of an address.
    security: token and certificates (`Security`); a token is found by itself for clusters of this user on this machine.
    timeout: for connecting, in seconds (or "10 s"); default: the setting `comm.connect_timeout_s`, or `deploy.start_timeout_s` when a cluster is
        started.
    asynchronous: live on the caller's event loop; methods that would block return awaitables, and the client is awaited (`await
        Client(asynchronous=True)`, `async with`).
    loop: is accepted and not used; so are dask.distributed's heartbeat_interval, direct_to_workers, serializers, deserializers, extensions and
        connection_limit.
    set_as_default: be what `get_client()` and `default_client()` give.

    Blocks until it is connected. Raises `ConnectionFailed` (nobody listens there), `WrongToken`, `HandshakeError` (another version),
    `WorkerStartError`, TypeError for an option that does not exist. One client may be shared by many threads.

    >>> with Client(processes=False) as client:
    ...     client.submit(pow, 2, 10).result()
    1024
    """

    # --- calls (`submit`)

    def submit(
        self,
        func: Callable[..., Any],
        /,
        *args: Any,
        key: str | None = None,
        workers: Any = None,
        resources: dict[str, float] | None = None,
        retries: int | None = None,
        priority: float = 0,
        allow_other_workers: bool = False,
        actor: bool = False,
        actors: bool = False,
        pure: bool = True,
        **kwargs: Any,
    ) -> Future:
        """Have `func(*args, **kwargs)` called on a worker; returns its `Future` at once.

        Futures may stand anywhere in the arguments: bare, or in lists, tuples, sets, dict values and named tuples; the call waits for them and
        gets their results.

        key: the task's name in the cluster; by default made of the function's name and a hash of function and arguments, so that the same call
            made twice, by any client or task, runs once; with `pure=False` each call is new.
        workers: addresses, hosts or names (strings or integers) of the workers that may run it; with `allow_other_workers` a wish only. A task
            whose workers are not there stays pending, and its repr says why.
        resources: what a run takes of a worker's resources, such as {"GPU": 1}.
        retries: how often a failure is tried again.
        priority: higher runs first; among equals, first come first served.
        actor: the result stays on its worker, as an actor: the future gives an `Actor`, which calls its methods there. Equal calls make different
            actors, and `retries` count for the making only. (`actors` is the same.)

        Never blocks. Raises TypeError (not callable, a key that is no string) and `SerializationError` (an argument that cannot be pickled) at
        once. `ClosedError` once closed.

        >>> with Client(processes=False) as client:
        ...     total = client.submit(sum, [client.submit(abs, -1), client.submit(abs, -2)])
        ...     total.result()
        3
        """
        if workers is None and not (resources or retries or priority or allow_other_workers or actor or actors):
            options = DEFAULT_OPTIONS
        else:
            options = make_options(workers, resources, retries, priority, allow_other_workers, actor or actors)
        return self._submitting.submit(func, args, kwargs, key, pure, options)

    def map(
        self,
        func: Callable[..., Any],
        /,
        *iterables: Iterable[Any],
        key: str | Collection[str] | None = None,
        workers: Any = None,
        resources: dict[str, float] | None = None,
        retries: int | None = None,
        priority: float = 0,
        allow_other_workers: bool = False,
        actor: bool = False,
        actors: bool = False,
        pure: bool = True,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> FutureList:
        """Have `func` called on the elements of the iterables, as the builtin `map` does (up to the shortest); returns a list of futures in order
        (a `FutureList`: a list that shows itself, in a notebook, as a strip of states that moves).

        Takes generators, ranges, arrays; a million elements are fine. `kwargs` are the same for every call. Rows leave in chunks of at most
        `batch_size`, so that the first tasks run while the iterables are still being read. key: a prefix for the keys, or one for each call. The
        other options are those of `submit`.

        Blocks only as long as the iterables do. Raises what `submit` raises.

        >>> with Client(processes=False) as client:
        ...     client.gather(client.map(pow, range(3), [2, 2, 2]))
        [0, 1, 4]
        """
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size is a number of calls, at least 1, not {batch_size!r}")
        options = make_options(workers, resources, retries, priority, allow_other_workers, actor or actors)
        return self._submitting.map(func, iterables, kwargs, key, pure, options, batch_size)

    def task(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Decorate a function, so that calling it submits it to this client and gives a `Future` at once: `@client.task`, or with options of `submit`
        for all calls, `@client.task(retries=2)`. The function itself is `.local`; `.map(...)` submits many calls. See `jupyterfut.task`, which uses
        the client at hand.

        Never blocks. Raises TypeError for an option that does not exist.

        >>> with Client(processes=False) as client:
        ...     @client.task
        ...     def double(x):
        ...         return 2 * x
        ...     double(double(5)).result()
        20
        """
        decorate = task(client=self, **options)
        return decorate if function is None else decorate(function)

    # --- results and data (`gather`, `scatter`)

    def gather(self, futures: Any, errors: Errors = "raise", direct: bool | None = None, timeout: Timeout = None) -> Any:
        """The results of futures, in the shape that they came in: one future, a list, tuple, set or dict (of lists ...), or a generator, which
        gives a generator.

        errors: "raise" the exception of the first that failed, as soon as one has; or "skip" those that failed.
        timeout: raise `TimeoutError` when they are not all done by then. direct: is accepted and not used, since large results always come
            straight from the workers.
        Blocks, or returns an awaitable in an asynchronous client.

        >>> with Client(processes=False) as client:
        ...     client.gather({"a": client.submit(abs, -1), "b": [client.submit(abs, -2)]})
        {'a': 1, 'b': [2]}
        """
        if isinstance(futures, Iterator):
            return (self.gather(future, errors, direct, timeout) for future in futures)
        if self.asynchronous:
            return self._gathering.gather_async(futures, errors, timeout)
        try:
            return self._gathering.gather(futures, errors, timeout)
        except BaseException as error:
            fold(error)
            raise

    def scatter(
        self,
        data: Any,
        workers: Any = None,
        broadcast: bool | int = False,
        direct: bool | None = None,
        hash: bool = True,  # noqa: A002  # the name that users of dask.distributed know
        timeout: Timeout = None,
    ) -> Any:
        """Put data on the cluster; returns futures that are finished already.

        One object gives one future; a list, tuple, set, range or iterator gives one for each element (spread round robin over the workers'
        threads), in the same kind of container; a dict gives a dict, and its keys name the tasks. Equal values share the key `typename-<hash>`,
        unless `hash=False`.

        workers: where to (see `submit`). broadcast: to every worker. timeout: `TimeoutError` when no worker takes it by then. direct: is accepted
            and not used.
        Blocks, or returns an awaitable in an asynchronous client. Raises `SerializationError`.

        >>> with Client(processes=False) as client:
        ...     client.submit(sum, client.scatter([1, 2, 3])).result()
        6
        """
        items, finish = self._scattering.prepare(data, hash)
        if self.asynchronous:
            return self._scatter_async(items, finish, workers, broadcast, timeout)
        self._run(self._scattering.place(items, workers, broadcast, timeout))
        return finish()

    async def _scatter_async(self, items: Any, finish: Callable[[], Any], workers: Any, broadcast: bool | int, timeout: Timeout) -> Any:
        await self._on_loop(self._scattering.place(items, workers, broadcast, timeout))
        return finish()

    # --- changing one's mind

    def cancel(self, futures: Any, force: bool = False, reason: str | None = None, msg: str | None = None) -> Any:
        """Cancel tasks and all that depend on them: they will not run, or are interrupted (`Future.cancel` says how), or their results are dropped.
        Their futures raise `CancelledError`.

        A key that another client wants as well stays alive for that client, unless `force`. `reason` (or `msg`) becomes part of the error.
        Blocks until the scheduler has answered, so that dependants are cancelled too when it returns; or returns an awaitable. (The cancelling
        itself is not put off.)

        >>> with Client(processes=False) as client:
        ...     first = client.submit(abs, -1)
        ...     second = client.submit(abs, first)
        ...     client.cancel(first, reason="no longer needed")
        ...     second.status
        'cancelled'
        """
        records = [future._record for future in futures_within(futures, "cancel")]
        text_of_reason = reason if reason is not None else msg if msg is not None else "cancelled by its client"
        return self._tell(ev.Cancel(records, bool(force), text_of_reason))

    def retry(self, futures: Any) -> Any:
        """Run failed tasks again, together with the failed and forgotten tasks that they stand on. Their futures are pending again; others are
        left alone.

        Blocks for one answer of the scheduler, or returns an awaitable.

        >>> weather = ["rain"]
        >>> def walk():
        ...     if weather[-1] == "rain":
        ...         raise ValueError("too wet")
        ...     return "home again"
        >>> with Client(processes=False) as client:
        ...     future = client.submit(walk, pure=False)
        ...     error = future.exception()
        ...     weather.append("sun")
        ...     client.retry([future])
        ...     error, future.result()
        (ValueError('too wet'), 'home again')
        """
        return self._tell(ev.Retry([future._record for future in futures_within(futures, "retry")]))

    def recreate_error_locally(self, future: Future) -> Any:
        """Make a failed task's call here, in this thread, so that it raises where a debugger can look at its variables (as in dask.distributed). If
        the task failed because an input did, it is the call that failed first. In a notebook, `%futures debug NAME` does this and opens the debugger.

        Waits for the task to end, fetches the inputs of the call (which are made again on the cluster if they were let go), and calls the function:
        for the second time, with all that it does. Returns what it returns, if it does not fail here.
        Blocks, or returns an awaitable. Raises what the function raises; `CancelledError`, `LostData`; `NoSuchKey` if the task that failed first has
        been forgotten; TypeError for what is no future.

        >>> def ratio(x, y):
        ...     return x / y
        >>> with Client(processes=False) as client:
        ...     future = client.submit(ratio, 1, client.submit(int, "0"))
        ...     client.recreate_error_locally(future)
        Traceback (most recent call last):
        ZeroDivisionError: division by zero
        """
        if not isinstance(future, Future):
            raise TypeError(f"recreate_error_locally takes a future, not {type(future).__name__} {future!r}"[:500])
        try:
            return recreating.rerun(self, future)
        except BaseException as error:
            fold(error)
            raise

    def _tell(self, event: Any) -> Any:
        """Post an event, and wait until the scheduler has heard of it and we of what followed at once."""
        session = self._session
        session.post(event)
        if self.asynchronous:
            if is_running(session.loop):
                session.drain()
            gate = LoopGate()
            answer = Answer(gate.open)
            session.post(ev.Ask(answer, "locate", {"keys": []}))
            return _Acknowledged(gate)
        session.ask_blocking("locate", {"keys": []}, Deadline(settings().client.timeout_s))
        return None

    # --- the cluster (`info`)

    def scheduler_info(self, n_workers: int = -1) -> Any:
        """Facts about the cluster: `workers` ({address: {name, nthreads, memory_limit_bytes, ...}}), `tasks` ({state: count}). Blocks, or returns
        an awaitable.

        n_workers: of so many workers only; -1: of all (the default of dask.distributed is 5).

        >>> with Client(processes=False, n_workers=2) as client:
        ...     [worker["name"] for worker in client.scheduler_info()["workers"].values()]
        ['0', '1']
        """
        return info.scheduler_info(self, n_workers)

    def who_has(self, futures: Any = None) -> Any:
        """{key: [addresses of workers that hold its result]}, of all keys or of these futures (or keys). Blocks, or returns an awaitable.

        >>> with Client(processes=False, n_workers=2) as client:
        ...     future = client.submit(bytes, 100_000, key="zeros", workers="1")
        ...     size = len(future.result())
        ...     client.who_has(future) == {"zeros": [client.cluster.workers["1"].address]}
        True
        """
        return info.who_has(self, futures)

    def has_what(self, workers: Any = None) -> Any:
        """{worker's address: [keys of the results it holds]}. Blocks, or returns an awaitable."""
        return info.has_what(self, workers)

    def processing(self, workers: Any = None) -> Any:
        """{worker's address: [keys that it was given and has not finished]}. Blocks, or returns an awaitable."""
        return info.processing(self, workers)

    def nthreads(self, workers: Any = None) -> Any:
        """{worker's address: its number of threads}. Blocks, or returns an awaitable.

        >>> with Client(processes=False, n_workers=2, threads_per_worker=3) as client:
        ...     list(client.nthreads().values())
        [3, 3]
        """
        return info.nthreads(self, workers)

    ncores = nthreads

    def nbytes(self, futures: Any = None) -> dict[str, int]:
        """{key: bytes} of the results that this client's futures refer to. Never blocks."""
        return info.nbytes(self, futures)

    def story(self, *keys_or_futures: Any) -> Any:
        """What the journals of the scheduler and the workers say of these keys: lists of [time, key, what happened, detail], oldest first. Times are
        seconds since 1970; what a worker says begins with its name. Blocks, or returns an awaitable.

        >>> with Client(processes=False) as client:
        ...     future = client.submit(abs, -1, key="one")
        ...     value = future.result()
        ...     [key for _, key, *_ in client.story(future)][0]
        'one'
        """
        return info.story(self, keys_or_futures)

    def wait_for_workers(self, n_workers: Any = 1, timeout: Timeout = None) -> Any:
        """Wait until the cluster has at least `n_workers` workers. Blocks, or returns an awaitable. Raises `TimeoutError`.

        >>> with Client(processes=False, n_workers=2) as client:
        ...     client.wait_for_workers(2, timeout="10 s")
        """
        return info.wait_for_workers(self, n_workers, timeout)

    def _why_pending(self, future: Future) -> str:
        """For a repr: only a task that is particular about its worker is asked after, and never for long."""
        record = future._record
        if not record.particular or self.status != "running":
            return ""
        key = record.key
        if not self.asynchronous:
            return info.why_pending(self, key, 0.5)

        def learn(value: Any, failure: Any) -> None:
            if len(self._reasons) > 1000:
                self._reasons.clear()
            self._reasons[key] = str(value or "") if failure is None else ""

        self._session.post(ev.Ask(learn, "why_pending", {"key": key}))
        return self._reasons.get(key, "")  # what it said last time: a repr cannot wait here

    # --- how it looks (`views`)

    def __repr__(self) -> str:
        return text.client(self._view(), static=self._static_display)

    def _repr_html_(self) -> str:
        from jupyterfut.views import html

        return html.client(self._view(), static=self._static_display)

    def __reduce__(self) -> tuple[Callable[..., Client], tuple[str | None, str]]:
        """A client that a function refers to travels as "the client there": in a task, its worker's."""
        return current.client_for, (self.cluster_id, self.address)

    def _view(self) -> ClientView:
        """What is known of it, for `repr` and for the notebook. Asks the scheduler, for half a second at most, unless that would block the loop."""
        cluster = None
        if self.status == "running" and not self.asynchronous:
            try:
                facts = info.ask(self, "identity", {}, 0.5)
            except (ClosedError, builtins.TimeoutError):
                facts = None  # a repr has to say something even when the scheduler does not
            if facts is not None:
                cluster = _cluster_view(self.address, self.cluster, facts)
        return ClientView(self.address, self.status, cluster, len(self._session.state.records), "")


class _Acknowledged:
    """What `cancel` and `retry` return to asynchronous callers. What they do is done whether or not somebody awaits this."""

    __slots__ = ("_gate",)

    def __init__(self, gate: LoopGate) -> None:
        self._gate = gate

    def __await__(self) -> Generator[Any, None, None]:
        return self._wait().__await__()

    async def _wait(self) -> None:
        await self._gate.wait(None)


def _cluster_view(address: str, cluster: Any, facts: dict[str, Any]) -> ClusterView:
    workers = [
        WorkerView(
            str(worker["name"]), where, worker["nthreads"], worker["memory_limit_bytes"], int(worker["metrics"].get("memory_bytes", 0)),
            worker["metrics"].get("cpu"), worker["executing"], max(0, worker["processing"] - worker["executing"]), "running", worker["resources"],
        )
        for where, worker in facts["workers"].items()
    ]  # fmt: skip
    return ClusterView(address, tuple(workers), getattr(cluster, "name", ""), type(cluster).__name__ if cluster is not None else "Cluster")
