"""Where data lies: copies, an even spread, and workers that leave without losing any.

`Client` inherits these methods; each is shallow and names the module that does the work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from jupyterfut.client import moving
from jupyterfut.client.timeouts import Timeout

if TYPE_CHECKING:
    from jupyterfut.client.client import Client


class Placing:
    """Methods of `Client` that move data and retire workers."""

    # --- `moving`

    def replicate(self, futures: Any, n: int | None = None, workers: Any = None, branching_factor: int = 2, timeout: Timeout = None) -> Any:
        """Copy results to more workers, so that they are at hand there and outlive a worker. Waits for the futures first.

        futures: a future, or a collection of them. n: how many workers shall hold each result; default: all of them. Copies beyond `n` are dropped,
            so `n=1` undoes it. workers: addresses, hosts or names of the workers that count; default: all. branching_factor: how many copies at a
            time are fetched from one holder; those who have a copy give it on.
        timeout: raise `TimeoutError` when it is not done by then (it goes on without you). Workers that come later get no copies.

        Blocks until the copies are there, or returns an awaitable. Raises a failed future's exception; `NotCopied` when workers could not fetch a
        result, or it is an actor's; ValueError for a worker that is not there. As in dask.distributed, but that data which the scheduler keeps itself
        (a few kB) is copied too.

        >>> from jupyterfut import Client
        >>> with Client(n_workers=3, threads_per_worker=1, processes=False) as client:
        ...     squares = client.submit(list, range(10))
        ...     client.replicate(squares)
        ...     len(client.who_has(squares)[squares.key])
        3
        """
        return moving.replicate(_client(self), futures, n, workers, branching_factor, timeout)

    def rebalance(self, futures: Any = None, workers: Any = None, timeout: Timeout = None) -> Any:
        """Move results from workers that hold much to those that hold little, until all hold about the same number of bytes. Each result is copied
        first and dropped then, so tasks may go on meanwhile; what cannot be moved stays where it is.

        futures: only these results may move (they are waited for first); default: all. workers: among these only; default: all.
        timeout: raise `TimeoutError` when it is not done by then (it goes on without you).

        Blocks until it is done, or returns an awaitable. Raises a failed future's exception, ValueError for a worker that is not there. As in
        dask.distributed, but that it looks at the bytes of results and not at the memory of processes.

        >>> from jupyterfut import Client
        >>> with Client(n_workers=2, threads_per_worker=1, processes=False) as client:
        ...     parts = client.map(bytes, range(100_000, 100_008), workers="0", pure=False)
        ...     client.rebalance(parts)
        ...     sorted(map(len, client.has_what().values()))
        [4, 4]
        """
        return moving.rebalance(_client(self), futures, workers, timeout)

    def retire_workers(
        self,
        workers: Any = None,
        close_workers: bool = True,
        *,
        names: Any = None,
        n: int | None = None,
        target: int | None = None,
        minimum: int | None = None,
        memory_ratio: float | None = None,
        remove: bool = True,
        timeout: Timeout = None,
    ) -> Any:
        """Let workers leave without losing anything: they get no new tasks, what they have not started runs elsewhere, what they run may end, and
        results that only they hold are copied to others. Then they end.

        workers, names: which, by address, host or name. Without either, those that cost least are chosen, idle ones that hold little first:
        n: so many; target: as many as leave so many; neither: all idle ones that can be spared, so that the memory limits of the others sum up to
            `memory_ratio` (2) times the bytes of all results, and one worker stays. minimum: at least so many stay.
        close_workers, remove: with either False the workers are emptied and stay connected, but get no tasks any more, for somebody else to end.
        timeout: after so long, tasks that still run are given up there and run again elsewhere; default: they may take as long as they like.

        Blocks until they have left, or returns an awaitable, which give {address: facts}: name, nthreads, ..., and `actors`, the keys of actors that
        ended, since actors cannot move. When you interrupt it the workers retire all the same. Raises ValueError for a worker that is not there, and
        `NotRetired` when no other worker could take over what they hold: then they work on, and nothing is lost. A worker that dies on the way is
        gone, as was wanted; what it held is computed again. As in dask.distributed, which does not wait for running tasks.

        >>> from jupyterfut import Client
        >>> with Client(n_workers=2, threads_per_worker=1, processes=False) as client:
        ...     data = client.scatter(bytes(100_000), workers="0")
        ...     gone = client.retire_workers(workers="0")
        ...     [facts["name"] for facts in gone.values()], len(data.result())
        (['0'], 100000)
        """
        args = {
            "workers": workers, "names": names, "n": n, "target": target, "minimum": minimum, "memory_ratio": memory_ratio,
            "close": close_workers and remove,
        }  # fmt: skip
        return moving.retire_workers(_client(self), args, timeout)


def _client(mixin: Placing) -> Client:
    return cast("Client", mixin)  # the only class that is made of this one
