"""Forms of clients, clusters and actors: workers that come and go, and buttons that scale, adapt and close.

The scheduler tells who comes, who goes and how each is (topic "workers"). A cluster that has no client in this process is asked as an object, when
its form is drawn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from jupyterfut.client.actors import Actor
from jupyterfut.client.client import Client
from jupyterfut.client.running import cluster_of
from jupyterfut.core.client import events as ev
from jupyterfut.deploy.cluster import Cluster
from jupyterfut.errors import ClosedError
from jupyterfut.notebook.live.forms import Form, weak
from jupyterfut.views import html, text
from jupyterfut.views.snapshots import ClientView, ClusterView, WorkerView
from jupyterfut.views.style import Look

TOPIC = "workers"


class WorkersForm(Form):
    """What clients and clusters have in common: the workers of a scheduler, as one of its clients hears of them."""

    blocks = True

    def __init__(self, client: Client | None) -> None:
        super().__init__()
        self._client = weak(client, self.changed) if client is not None else lambda: None
        self._session = client._session if client is not None else None
        self._facts: dict[str, dict[str, Any]] = {}  # address -> what the scheduler says of the worker
        self._known = False  # the scheduler has answered
        self._loop = _loop_here()

    def begin(self) -> None:
        session = self._session
        if session is None or session.closed is not None:
            return
        session.listen(TOPIC, self._heard)
        session.at_end.append(self._over)
        session.at_welcome.append(self._ask)
        self._ask()

    def stop(self) -> None:
        session = self._session
        if session is None:
            return
        session.unlisten(TOPIC, self._heard)
        if self._over in session.at_end:
            session.at_end.remove(self._over)
        if self._ask in session.at_welcome:
            session.at_welcome.remove(self._ask)

    def _ask(self) -> None:
        """Who is there now. Whoever comes or goes afterwards is told."""
        assert self._session is not None
        try:
            self._session.post(ev.Ask(self._learn, "identity", {}))
        except ClosedError:
            self.changed()

    def _learn(self, value: Any, failure: Any) -> None:
        if failure is None:
            self._facts = dict(value["workers"])
            self._known = True
        self.changed()

    def _heard(self, told: list[Any]) -> None:
        """On the client's loop: [address, facts] of a worker that is there, or None in their place."""
        address, facts = told
        if facts is None:
            self._facts.pop(address, None)
        else:
            self._facts[address] = facts
        self.changed()

    def _over(self, reason: str) -> None:
        self.changed()

    def workers(self) -> tuple[WorkerView, ...]:
        """As far as they are known."""
        return tuple(_worker(address, facts) for address, facts in list(self._facts.items()))

    def do_to(self, cluster: Cluster, what: str, args: dict[str, Any]) -> None:
        """Scale, adapt, close a cluster, or keep it as it is. Blocks until it is done."""
        n = int(args.get("n", 0))
        calls: dict[str, Callable[[], Any]] = {
            "scale": lambda: cluster.scale(n),
            "adapt": lambda: cluster.adapt(0, n),
            "fix": lambda: cluster.scale(len(self._facts) if self._known else len(cluster.workers)),
            "close": cluster.close,
        }
        if what not in calls:
            super().act(what, args)
        self.perform(calls[what], asynchronous=cluster.asynchronous)

    def perform(self, call: Callable[[], Any], *, asynchronous: bool) -> None:
        """Call it; on its loop, if it is asynchronous. Blocks until it is done."""
        if not asynchronous:
            call()
            return
        if self._loop is None:
            raise ClosedError("the event loop that it lives on is not known")
        asyncio.run_coroutine_threadsafe(_awaited(call), self._loop).result()


async def _awaited(call: Callable[[], Any]) -> None:
    result = call()
    if hasattr(result, "__await__"):
        await result


def _loop_here() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class ClientForm(WorkersForm):
    """The form of a client."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self._view = ClientView(client.address, client.status)
        if client.status == "running" and not client.asynchronous:
            self._view = client._view()
            if self._view.cluster is not None:
                self._first = self._view.cluster.workers

    _first: tuple[WorkerView, ...] = ()

    def refresh(self) -> None:
        client = self._client()
        if client is None or client.status == "closed":
            self._view = self._view._replace(status="closed", cluster=None, futures=None)
            self.ended = True
            return
        cluster = client.cluster
        workers = self.workers() if self._known else self._first
        view = ClusterView(client.address, workers, getattr(cluster, "name", ""), "Cluster", "running", _adapts(cluster))
        self._view = ClientView(client.address, client.status, view, len(client._session.state.records), "")
        self.ended = False

    def html(self, look: Look) -> str:
        return html.client(self._view, look=look)

    def text(self) -> str:
        return text.client(self._view)

    def act(self, what: str, args: dict[str, Any]) -> None:
        client = self._client()
        if client is None:
            raise ClosedError("the client is closed")
        if what == "close":
            self.perform(client.close, asynchronous=client._asynchronous)
        else:
            self.do_to(cluster_of(client), what, args)


class ClusterForm(WorkersForm):
    """The form of a cluster. `client`: one of its clients, if this process has one."""

    def __init__(self, cluster: Cluster, client: Client | None) -> None:
        super().__init__(client)
        self._cluster = weak(cluster, self.changed)
        self._view = ClusterView(cluster.scheduler_address, (), cluster.name, type(cluster).__name__, cluster.status)

    def refresh(self) -> None:
        cluster = self._cluster()
        if cluster is None or cluster.status == "closed":
            self._view = self._view._replace(status="closed", workers=(), adapts=None)
            self.ended = True
            return
        if self._known:
            view = ClusterView(cluster.scheduler_address, self.workers(), cluster.name, type(cluster).__name__, cluster.status)
        else:
            view = cluster.snapshot()
        self._view = view._replace(adapts=_adapts(cluster))
        self.ended = False

    def html(self, look: Look) -> str:
        return html.cluster(self._view, look=look)

    def text(self) -> str:
        return text.cluster(self._view)

    def act(self, what: str, args: dict[str, Any]) -> None:
        cluster = self._cluster()
        if cluster is None:
            raise ClosedError("the cluster is closed")
        self.do_to(cluster, what, args)


class ActorForm(Form):
    """The form of an actor: it ends when the actor does, or nobody has it any more."""

    def __init__(self, actor: Actor) -> None:
        super().__init__()
        self._actor = weak(actor, self.changed)
        self._view = actor._actor_view()
        self._session = actor._actor_future._client._session

    def begin(self) -> None:
        self._session.at_end.append(self._over)

    def stop(self) -> None:
        if self._over in self._session.at_end:
            self._session.at_end.remove(self._over)

    def _over(self, reason: str) -> None:
        self.changed()

    def refresh(self) -> None:
        actor = self._actor()
        if actor is None:
            self._view = self._view._replace(status="released", reason="nobody holds this actor any more")
            self.ended = True
            return
        self._view = actor._actor_view()
        self.ended = self._view.status != "running" or self._session.closed is not None
        if self._session.closed is not None and self._view.status == "running":
            self._view = self._view._replace(status="lost", reason=self._session.closed)

    def html(self, look: Look) -> str:
        return html.actor(self._view, look=look)

    def text(self) -> str:
        return f"<Actor: {self._view.name}, key={self._view.key}>"


def _worker(address: str, facts: dict[str, Any]) -> WorkerView:
    metrics = facts["metrics"]
    return WorkerView(
        str(facts["name"]), address, facts["nthreads"], facts["memory_limit_bytes"], int(metrics.get("memory_bytes", 0)), metrics.get("cpu"),
        facts["executing"], max(0, facts["processing"] - facts["executing"]), "closing" if facts["retiring"] else "running", facts["resources"],
    )  # fmt: skip


def _adapts(cluster: Any) -> tuple[int, int | None] | None:
    adaptive = getattr(cluster, "_adaptive", None)
    if adaptive is None or not adaptive.running:
        return None
    most = adaptive.maximum
    return int(adaptive.minimum), None if most is None or most == float("inf") else int(most)


def clients_of(cluster: Cluster) -> Client | None:
    """A client of this process that is connected to the cluster."""
    from jupyterfut.client.current import open_clients

    return next((client for client in open_clients() if client.cluster is cluster or client.address == cluster.scheduler_address), None)
