"""The clusters that a server shows to its pages: what is known of each, and one viewer for its summary while anybody looks.

The host (the Jupyter server, a scheduler's dashboard, a kernel) says which clusters there are (`put`, `change`, `remove`); pages (`socket`) take the
whole list, and are told when it changes. As long as somebody `look`s, each cluster's summary is watched once for all. What is wrong with a
connection stands in its cluster's line: `state` and `text`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from jupyterfut.comm import Security
from jupyterfut.diagnostics.viewer import OnSnapshot, OnState, Viewer, ViewerState
from jupyterfut.errors import ConfigError
from jupyterfut.wire.panes import ClusterInfo, Summary

if TYPE_CHECKING:
    from jupyterfut.runtime.scheduler_server import Scheduler

Listener: TypeAlias = Callable[[], object]


class Where(NamedTuple):
    """How to reach a scheduler."""

    scheduler: str | Scheduler  #: its address; or itself, on this very event loop
    security: Security | None = None
    scales: bool = False  #: the host starts its workers, so it can be scaled even if its scheduler says that it cannot


class NoSuchCluster(ConfigError):
    """Nobody knows a cluster of this id."""


class _Entry:
    """One cluster."""

    __slots__ = ("info", "said", "viewer", "where")

    def __init__(self, info: ClusterInfo, where: Where | None) -> None:
        self.info = info  #: as it is shown
        self.said = (info["state"], info["text"])  #: what the host says of its state
        self.where = where
        self.viewer: Viewer | None = None


class Clusters:
    """All clusters of one server. Made and used on one event loop.

    >>> async def example():
    ...     clusters = Clusters()
    ...     clusters.put(cluster_info("a1", name="mine", state="starting"))
    ...     shown = [info["name"] for info in clusters.infos()]
    ...     await clusters.close()
    ...     return shown
    >>> asyncio.run(example())
    ['mine']
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._listeners: dict[Listener, None] = {}
        self._lookers = 0
        self._ending: set[asyncio.Task[None]] = set()

    # --- what the host says

    def put(self, info: ClusterInfo, where: Where | None = None) -> None:
        """There is this cluster, or it is like this now. Without `where` it cannot be looked at yet. The place in the list, oldest first, is that of
        `started`. Of `summary` the one that is known stays, if none is given."""
        entry = self._entries.get(info["id"])
        if entry is None:
            entry = self._entries[info["id"]] = _Entry(info, where)
        else:
            if info["summary"] is None:
                info = {**info, "summary": entry.info["summary"]}
            entry.info, entry.said = info, (info["state"], info["text"])
            if where != entry.where:
                self._unwatch(entry)
                entry.where = where
            elif entry.viewer is not None:
                self._mark(entry, entry.viewer.state, entry.viewer.text)
        if self._lookers:
            self._watch(entry)
        self._changed()

    def change(self, cluster: str, **fields: Any) -> None:
        """Some fields of its line have changed. Raises NoSuchCluster."""
        entry = self._entry(cluster)
        self.put({**entry.info, "state": entry.said[0], "text": entry.said[1], **fields}, entry.where)  # type: ignore[typeddict-item]  # the fields are ClusterInfo's

    def remove(self, cluster: str) -> None:
        """It is gone. Nothing happens if it was not there."""
        entry = self._entries.pop(cluster, None)
        if entry is not None:
            self._unwatch(entry)
            self._changed()

    async def close(self) -> None:
        """Forget all of them, and return when their viewers have said goodbye."""
        for cluster in list(self._entries):
            self.remove(cluster)
        await asyncio.gather(*self._ending)

    # --- what pages ask

    def infos(self) -> list[ClusterInfo]:
        """The whole list, oldest first. To be read only."""
        return sorted((entry.info for entry in self._entries.values()), key=lambda info: info["started"])

    def info(self, cluster: str) -> ClusterInfo:
        """One line. Raises NoSuchCluster."""
        return self._entry(cluster).info

    def __contains__(self, cluster: object) -> bool:
        return cluster in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def look(self) -> Callable[[], None]:
        """From now on somebody looks, until the result is called: summaries are watched."""
        self._lookers += 1
        if self._lookers == 1:
            for entry in self._entries.values():
                self._watch(entry)
        looking = True

        def stop() -> None:
            nonlocal looking
            if looking:
                looking = False
                self._lookers -= 1
                if not self._lookers:
                    for entry in self._entries.values():
                        self._unwatch(entry)

        return stop

    def listen(self, fn: Listener) -> Callable[[], None]:
        """Let `fn()` be called whenever the list has changed, until the result is called. It must not raise."""
        self._listeners[fn] = None
        return lambda: self._listeners.pop(fn, None) and None

    def viewer(self, cluster: str, on_snapshot: OnSnapshot, on_state: OnState) -> Viewer:
        """A viewer of one's own, not yet started. Raises NoSuchCluster, and ConfigError when it cannot be looked at yet."""
        where = self._where(cluster)
        return Viewer(where.scheduler, where.security, on_snapshot=on_snapshot, on_state=on_state)

    async def ask(self, cluster: str, op: str, args: dict[str, Any]) -> Any:
        """A question to the scheduler, over the viewer that all share. Raises what `Viewer.ask` raises, NoSuchCluster, and ConfigError when it cannot
        be asked yet."""
        return await self._shared(cluster).ask(op, args)

    async def ask_workers(self, cluster: str, op: str, args: dict[str, Any]) -> Any:
        """The same for `Viewer.ask_workers`."""
        return await self._shared(cluster).ask_workers(op, args)

    # ---

    def _entry(self, cluster: str) -> _Entry:
        entry = self._entries.get(cluster)
        if entry is None:
            raise NoSuchCluster(f"there is no cluster {cluster!r} (any more)")
        return entry

    def _where(self, cluster: str) -> Where:
        entry = self._entry(cluster)
        if entry.where is None:
            raise ConfigError(f"the cluster {entry.info['name']!r} is {entry.said[0]}" + (f": {entry.said[1]}" if entry.said[1] else ""))
        return entry.where

    def _shared(self, cluster: str) -> Viewer:
        self._where(cluster)
        viewer = self._entries[cluster].viewer
        if viewer is None:
            raise ConfigError("questions are asked while somebody looks")
        return viewer

    def _watch(self, entry: _Entry) -> None:
        if entry.viewer is not None or entry.where is None:
            return

        def on_snapshot(topic: str, summary: Any) -> None:
            told: Summary = summary | {"can_scale": True} if entry.where is not None and entry.where.scales else summary
            entry.info = {**entry.info, "summary": told}
            self._changed()

        def on_state(state: ViewerState, text: str) -> None:
            self._mark(entry, state, text)
            self._changed()

        entry.viewer = Viewer(entry.where.scheduler, entry.where.security, on_snapshot=on_snapshot, on_state=on_state)
        entry.viewer.watch({"summary": {}})
        entry.viewer.start()

    def _mark(self, entry: _Entry, state: ViewerState, text: str) -> None:
        """What the host says of a cluster that comes or goes counts; else what its viewer has found."""
        shown, why = entry.said
        if shown == "running" and state != "connecting":
            shown, why = state, text or why
        entry.info = {**entry.info, "state": shown, "text": why}

    def _unwatch(self, entry: _Entry) -> None:
        viewer, entry.viewer = entry.viewer, None
        if viewer is not None:
            task = asyncio.get_running_loop().create_task(viewer.close())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def _changed(self) -> None:
        for listener in list(self._listeners):
            listener()


def cluster_info(
    id: str,  # noqa: A002  # the field's name
    *,
    name: str,
    address: str = "",
    host: str = "",
    pid: int = 0,
    started: float = 0.0,
    kernel: str = "",
    session: str = "",
    owner: str = "process",
    state: str = "running",
    text: str = "",
) -> ClusterInfo:
    """One line of the list, of which nothing has been heard yet.

    >>> cluster_info("a1", name="mine")["owner"]
    'process'
    """
    return ClusterInfo(
        id=id, name=name, address=address, host=host, pid=pid, started=started, kernel=kernel, session=session, owner=owner, state=state, text=text,
        summary=None,
    )  # fmt: skip
