"""Graphs of calls made by others: dask collections, and the pool interface of `concurrent.futures`.

`Client` inherits these methods; each is shallow and names the module that does the work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from jupyterfut import plugins
from jupyterfut.client.submit import make_options

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from jupyterfut.client.client import Client


class Graphs:
    """Methods of `Client` that run graphs and collections."""

    # --- dask (`adapters.dask`)

    def compute(
        self,
        collections: Any,
        sync: bool = False,
        optimize_graph: bool = True,
        workers: Any = None,
        allow_other_workers: bool = False,
        resources: dict[str, float] | None = None,
        retries: int | None = None,
        priority: float = 0,
        fifo_timeout: Any = None,
        actors: bool = False,
        traverse: bool = True,
        **kwargs: Any,
    ) -> Any:
        """Compute dask collections (delayed, bag, array, dataframe) on the cluster: a future for each, whose result is what the collection's own
        `.compute()` gives.

        collections: one collection gives one future, a list of them a list. What is no collection stays what it is.
        sync: the values instead; then it blocks, or returns an awaitable in an asynchronous client.
        optimize_graph: have dask optimize (fuse, cull) first. traverse: look for collections inside lists, sets, tuples, dicts and iterators, too,
            each of which counts as one collection then. Other options go to dask's optimizer.
        workers, allow_other_workers, resources, retries, priority: of all its tasks, as in `submit`; they win over `dask.annotate`.
        actors: the results are actors. fifo_timeout: is accepted and not used.

        Never blocks, but for `sync` (and for dask, when its optimizer reads files). Raises ImportError without dask, ValueError for a graph with a
        cycle, `SerializationError`. As in dask.distributed. While there is a client, dask's own `x.compute()`, `dask.compute(x)` and
        `dask.persist(x)` run on it as well, also inside tasks.

        >>> import dask
        >>> from jupyterfut import Client
        >>> total = dask.delayed(sum)([dask.delayed(abs)(x) for x in (-1, -2, -3)])
        >>> with Client(processes=False) as client:
        ...     client.compute(total).result(), total.compute()
        (6, 6)
        """
        options = make_options(workers, resources, retries, priority, allow_other_workers, actors)
        return plugins.load("graphs", "compute")(_client(self), collections, sync, optimize_graph, traverse, options, kwargs)

    def persist(
        self,
        collections: Any,
        optimize_graph: bool = True,
        workers: Any = None,
        allow_other_workers: bool = False,
        resources: dict[str, float] | None = None,
        retries: int | None = None,
        priority: float = 0,
        fifo_timeout: Any = None,
        actors: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Start computing dask collections, and return the same collections made of futures (`futures_of` finds them): what is computed from them
        begins there. The results stay on the cluster as long as the collections live.

        collections: one, or a list, which gives a list. The options are those of `compute`; unknown ones are accepted and not used, since
            dask passes on what its callers say.
        Never blocks. Raises what `compute` raises, and TypeError for what is no collection. In an asynchronous client `await collection` waits for
        its futures. As in dask.distributed.

        >>> import dask.bag
        >>> from jupyterfut import Client, futures_of
        >>> with Client(processes=False) as client:
        ...     squares = client.persist(dask.bag.from_sequence(range(4), npartitions=2).map(lambda x: x * x))
        ...     len(futures_of(squares)), squares.sum().compute()
        (2, 14)
        """
        options = make_options(workers, resources, retries, priority, bool(allow_other_workers), actors)
        return plugins.load("graphs", "persist")(_client(self), collections, optimize_graph, options)

    def get(
        self,
        dsk: Any,
        keys: Any,
        workers: Any = None,
        allow_other_workers: bool = False,
        resources: dict[str, float] | None = None,
        sync: bool = True,
        asynchronous: bool | None = None,
        direct: bool | None = None,
        retries: int | None = None,
        priority: float = 0,
        fifo_timeout: Any = None,
        actors: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Run a dask graph: the values of its keys.

        dsk: a dict of tasks (dask's own, or tuples of a function and arguments in which keys stand for results), a HighLevelGraph, an expression.
        keys: one key, or lists of keys however nested; the answer has their shape.
        sync: if False, futures in the same shape, at once. The other options are those of `compute`; asynchronous, direct and unknown ones are
            accepted and not used, since dask passes on what its callers say.
        Blocks, or returns an awaitable in an asynchronous client. Raises the exception of the first task that failed, and what `compute` raises.

        >>> from operator import add
        >>> from jupyterfut import Client
        >>> with Client(processes=False) as client:
        ...     client.get({"x": 1, "y": (add, "x", 1), "z": (sum, ["x", "y"])}, ["z", ["y", "x"]])
        [3, [2, 1]]
        """
        options = make_options(workers, resources, retries, priority, bool(allow_other_workers), actors)
        return plugins.load("graphs", "get")(_client(self), dsk, keys, sync, options)

    # --- concurrent.futures (`adapters.concurrent`)

    def get_executor(self, **options: Any) -> Executor:
        """A `concurrent.futures.Executor` whose calls run on the cluster, for libraries that want one: `loop.run_in_executor`, for example.

        It returns real `concurrent.futures.Future`s, which `concurrent.futures.wait` and `as_completed` take. Their results come to this process as
        soon as they are there. Cancelling one cancels its task, also when it runs already (then the task's result is dropped), and the other way
        round. Dropping the iterator of `map` cancels the calls that are not done. `shutdown(wait=False)` and the end of the client cancel, too.

        options: `workers`, `resources`, `retries`, `priority`, `allow_other_workers`, and `pure` (False: each call runs) of all calls, as in
            `submit`.
        Never blocks. Raises TypeError for an unknown option, naming it. As in dask.distributed and concurrent.futures.

        >>> from jupyterfut import Client
        >>> with Client(processes=False) as client, client.get_executor(retries=1) as executor:
        ...     executor.submit(pow, 2, 10).result(), list(executor.map(abs, [-1, -2]))
        (1024, [1, 2])
        """
        executor: Executor = plugins.load("executors", "concurrent")(_client(self), **options)
        return executor


def _client(self: Graphs) -> Client:
    return cast("Client", self)  # the only class that is made of this one
