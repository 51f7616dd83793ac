"""Where is it now? What shows a few tasks hears of each: waiting, queued, assigned to a worker, running there since when, ended.

Nothing is asked again and again. The scheduler tells where a followed task stands and whenever that changes (topic "follow"). That it was sent to a
worker does not mean that it runs, since a worker is sent more than it has threads: so the worker is asked once, and tells when it starts. Several
followers of one key share one subscription.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from jupyterfut.core.client import events as ev
from jupyterfut.errors import JupyterfutError
from jupyterfut.ids import Address

if TYPE_CHECKING:
    from jupyterfut.client.client import Client

TOPIC = "follow"


class Whereabouts(NamedTuple):
    """Where one task stands."""

    key: str
    state: str  #: waiting, queued, assigned (sent to a worker), running, finished, error, released or unknown (the scheduler does not know it)
    worker: str  #: the name of the worker that has it or, once it has finished, its result; "" for none
    since: float  #: in seconds since 1970: from when on, as far as it is known here


OnChange = Callable[[Whereabouts], object]


class Following:
    """A look at some tasks, until `stop`."""

    def __init__(self, followers: Followers, keys: dict[str, None], on_change: OnChange) -> None:
        self._followers: Followers | None = followers
        self.keys = keys
        self.on_change = on_change

    def stop(self) -> None:
        """No more. Never blocks; a second call does nothing. From any thread."""
        followers, self._followers = self._followers, None
        if followers is not None:
            followers.drop(self)


def follow(client: Client, keys: Iterable[str], on_change: OnChange) -> Following:
    """Have `on_change(Whereabouts)` called, on the client's loop, with where each of these tasks stands now and whenever that changes, until
    `stop()` is called. Meant for a few hundred tasks at most that are shown one by one. Never blocks. Raises ClosedError once the client is closed.

    >>> import threading
    >>> from jupyterfut import Client
    >>> ran = threading.Event()
    >>> with Client(processes=False) as client:
    ...     future = client.submit(ran.wait, 60)
    ...     following = follow(client, [future.key], lambda where: where.state == "running" and ran.set())
    ...     future.result()
    ...     following.stop()
    True
    """
    return client._followers.add(dict.fromkeys(keys), on_change)


class Followers:
    """All that one client follows. Lists of followers change under the session's lock; everything else is the loop's."""

    def __init__(self, client: Client) -> None:
        self._owner = weakref.ref(client)  # the session listens with this, and must not keep a client alive that nobody has
        self._session = client._session
        self._by_key: dict[str, list[Following]] = {}
        self._known: dict[str, tuple[Whereabouts, int]] = {}  # with the attempt, while it is assigned or runs
        self._jobs: set[asyncio.Task[None]] = set()
        self._session.at_welcome.append(self._begin_again)

    def add(self, keys: dict[str, None], on_change: OnChange) -> Following:
        """One more follower."""
        session = self._session
        following = Following(self, keys, on_change)
        with session.lock:
            if not self._by_key:
                session.listen(TOPIC, self._heard)
            new = [key for key in keys if key not in self._by_key]
            for key in keys:
                self._by_key.setdefault(key, []).append(following)
            if new:
                session.post(ev.Ask(_unheard, "follow", {"keys": new}))
        if len(new) < len(keys):
            session.loop.call_soon_threadsafe(self._tell_known, following)
        return following

    def drop(self, following: Following) -> None:
        """One less."""
        session = self._session
        with session.lock:
            ended = []
            for key in following.keys:
                followers = self._by_key.get(key, [])
                if following in followers:
                    followers.remove(following)
                    if not followers:
                        del self._by_key[key]
                        self._known.pop(key, None)
                        ended.append(key)
            if ended and session.closed is None:
                session.post(ev.Ask(_unheard, "unfollow", {"keys": ended}))
            if not self._by_key:
                session.unlisten(TOPIC, self._heard)

    # --- on the loop

    def _begin_again(self) -> None:
        """The scheduler knows nothing of this client any more."""
        with self._session.lock:
            keys = list(self._by_key)
        if keys:
            self._session.post(ev.Ask(_unheard, "follow", {"keys": keys}))

    def _tell_known(self, following: Following) -> None:
        for key in following.keys:
            known = self._known.get(key)
            if known is not None:
                following.on_change(known[0])

    def _heard(self, said: list[Any]) -> None:
        key, state, worker, address, attempt, *ago = said
        if key not in self._by_key:
            return
        if state == "running":
            self._runs(key, attempt, ago[0])
            return
        self._changed(Whereabouts(key, state, worker, time.time()), attempt)
        if state == "assigned":
            job = asyncio.get_running_loop().create_task(self._ask_worker(key, Address(address), attempt))
            self._jobs.add(job)
            job.add_done_callback(self._jobs.discard)

    async def _ask_worker(self, key: str, address: Address, attempt: int) -> None:
        client = self._owner()
        if client is None:
            return
        # A worker that is gone, or closes, says nothing; what becomes of its tasks the scheduler tells.
        with contextlib.suppress(JupyterfutError, OSError):
            ago_s = await client._links.ask(address, "tell_start", {"key": key, "attempt": attempt})
            if ago_s is not None:
                self._runs(key, attempt, ago_s)

    def _runs(self, key: str, attempt: int, ago_s: float) -> None:
        known = self._known.get(key)
        if known is not None and known[1] == attempt and known[0].state == "assigned":
            self._changed(Whereabouts(key, "running", known[0].worker, time.time() - ago_s), attempt)

    def _changed(self, where: Whereabouts, attempt: int) -> None:
        with self._session.lock:
            followers = list(self._by_key.get(where.key, ()))
            if followers:
                self._known[where.key] = (where, attempt)
        for following in followers:
            following.on_change(where)


def _unheard(value: Any, failure: Any) -> None:
    """The asker who needs no answer."""
