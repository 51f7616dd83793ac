"""A cluster that somebody else started, or that was started before this kernel's restart, as an object: `cluster_of(client)`.

Its owner scales a cluster through the pipe on which it started it. Everybody else asks through the scheduler, in whose process the workers are
started (`runtime.host_main`): that is what this object does, with its client's session. It ends nothing by itself; when the client is closed it can
do nothing any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jupyterfut.client.timeouts import Deadline
from jupyterfut.config import settings
from jupyterfut.deploy import registry
from jupyterfut.deploy.cluster import Cluster, ClusterStatus, WorkerInfo
from jupyterfut.errors import ConfigError, JupyterfutError

if TYPE_CHECKING:
    from jupyterfut.client.client import Client


class RunningCluster(Cluster):
    """A cluster that runs, seen through one of its clients. `scale`, `adapt` and `close` work as on the object that started it, if it is one of
    processes of one machine; of others their owner decides, and they raise ConfigError.

    >>> from jupyterfut import Client, LocalCluster
    >>> with LocalCluster(n_workers=1, threads_per_worker=1) as owned, Client(owned.address) as client:
    ...     cluster = cluster_of(client)
    ...     cluster.scale(2)
    ...     len(cluster.workers), cluster.name == owned.name
    (2, True)
    """

    def __init__(self, client: Client) -> None:
        super().__init__(client._thread)
        self.asynchronous = client._asynchronous
        self.security = client._target.security
        self._client = client
        self.name = next((info.name for info in registry.clusters() if info.address == client.address), "")

    @property
    def status(self) -> ClusterStatus:
        """running, or closed: as its client's connection."""
        return "closed" if self._client.status == "closed" else "running"

    @property
    def scheduler_address(self) -> str:
        """Where clients and workers connect."""
        return self._client.address

    @property
    def workers(self) -> dict[str, WorkerInfo]:
        """The workers by name. Asks the scheduler, for half a second at most; in an asynchronous client, where nothing may block, it raises
        TypeError: `await client.scheduler_info()` there."""
        if self._client.asynchronous:
            raise TypeError("in an asynchronous client: await client.scheduler_info()")
        facts = self._client._session.ask_blocking("identity", {}, Deadline(0.5))["workers"]
        return {
            str(worker["name"]): WorkerInfo(
                str(worker["name"]), address, worker["pid"], worker["nthreads"], worker["memory_limit_bytes"],
                "closing" if worker["retiring"] else "running", 0,
            )
            for address, worker in facts.items()
        }  # fmt: skip

    async def listening(self) -> str:
        """Its address: it has been listening for long."""
        return self._client.address

    async def ready(self) -> None:
        """It is."""

    async def scale_async(self, n: int, timeout_s: float | None = None) -> None:
        """`scale`, on the client's loop."""
        await self._ask("cluster_scale", {"n": n, "timeout_s": timeout_s})

    async def adapt_async(self, options: dict[str, Any] | None) -> None:
        """Begin to adapt; None: stop."""
        await self._ask("cluster_adapt", {"options": options})

    async def close_async(self) -> None:
        """End the cluster, whoever started it. Its client ends with it."""
        if self._client.status != "closed":
            await self._client._session.ask("shutdown", {}, Deadline(settings().client.timeout_s))

    async def _ask(self, op: str, args: dict[str, Any]) -> Any:
        try:
            return await self._client._session.ask(op, args)
        except JupyterfutError:
            raise
        except ValueError as error:
            if "knows no request" not in str(error):
                raise
            raise ConfigError("the workers of this cluster are started by whoever started it, not through its scheduler") from None


def cluster_of(client: Client) -> Cluster:
    """The client's cluster: the object that was given to it or that it started, else one that reaches it through the client. Never blocks."""
    return client.cluster if isinstance(client.cluster, Cluster) else RunningCluster(client)
