"""Inputs that other workers hold: who is asked for what, and who is asked next.

Keys wait in one batch a peer while that peer's last request is open, so a peer has at most one open request and batches grow under load. A key's
sources are tried one after the other, the least loaded first; when none is left, the tasks that need the key go back to the scheduler with the list
of those who did not have it.

A peer that gave nothing is asked again only after a while, which doubles each time. The scheduler may well send the same task once more at once
(there is no other holder, or no other worker for it): without the pause the two would play ball as fast as they can.
"""

from __future__ import annotations

from jupyterfut.core.worker.events import Fetch
from jupyterfut.ids import Address, Key

SHUN_FIRST_S = 0.05
"""So long a peer that gave nothing is left alone; doubles with each time in a row, up to `SHUN_MAX_S`."""
SHUN_MAX_S = 5.0


class Wanted:
    """One key that is not here. It is in exactly one place: in a peer's batch (`request` is None) or in an open request."""

    __slots__ = ("key", "peer", "request", "sources", "tried")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.sources: list[Address] = []  #: not asked yet
        self.tried: list[Address] = []  #: asked in vain
        self.peer: Address | None = None
        self.request: int | None = None

    def __repr__(self) -> str:
        return f"<Wanted {self.key} from {self.peer}, request {self.request}, then {self.sources}>"


class Fetches:
    """All keys that are being fetched, and all requests that are open."""

    __slots__ = ("_next", "batches", "me", "open_by_peer", "requests", "shunned", "wanted")

    def __init__(self, me: Address) -> None:
        self.me = me
        self.wanted: dict[Key, Wanted] = {}
        self.batches: dict[Address, dict[Key, None]] = {}  #: peer -> keys to ask for next; never empty
        self.open_by_peer: dict[Address, int] = {}
        self.requests: dict[int, tuple[Address, list[Key]]] = {}
        self.shunned: dict[Address, tuple[float, float]] = {}  #: peers that gave nothing the last time: (until when, for how long)
        self._next = 1

    def want(self, key: Key, sources: list[Address]) -> bool:
        """A task needs `key`; these workers are said to have it. False: there is no one to ask."""
        wanted = self.wanted.get(key)
        if wanted is not None:
            known = {self.me, wanted.peer, *wanted.sources, *wanted.tried}
            wanted.sources += [source for source in dict.fromkeys(sources) if source not in known]
            return True
        wanted = Wanted(key)
        wanted.sources = [source for source in dict.fromkeys(sources) if source != self.me]
        return self._ask_next(wanted)

    def forget(self, key: Key) -> None:
        """Nobody here needs the key any more, or it is here. An open request goes on; its answer will not be wanted."""
        wanted = self.wanted.pop(key, None)
        if wanted is not None:
            self._leave_batch(wanted)

    def start(self, now: float) -> list[Fetch]:
        """Requests to send now: one for every peer that has a batch and no open request, and is not shunned."""
        fetches = []
        for peer in [p for p in self.batches if p not in self.open_by_peer]:
            if peer in self.shunned and now < self.shunned[peer][0]:
                continue
            keys = list(self.batches.pop(peer))
            request = self._next
            self._next += 1
            self.open_by_peer[peer] = request
            self.requests[request] = (peer, keys)
            for key in keys:
                self.wanted[key].request = request
            fetches.append(Fetch(request, peer, keys))
        return fetches

    def next_wake(self) -> float | None:
        """When a shunned peer that has a batch may be asked."""
        if not self.shunned:
            return None
        return min((self.shunned[peer][0] for peer in self.batches if peer in self.shunned and peer not in self.open_by_peer), default=None)

    def gave(self, peer: Address, something: bool, now: float) -> None:
        """What came of a request: the peer is trusted again, or shunned (for longer)."""
        if something:
            self.shunned.pop(peer, None)
            return
        for_s = min(2 * self.shunned[peer][1], SHUN_MAX_S) if peer in self.shunned else SHUN_FIRST_S
        self.shunned = {other: span for other, span in self.shunned.items() if now < span[0] + 10 * SHUN_MAX_S}  # those of old are forgotten
        self.shunned[peer] = (now + for_s, for_s)

    def close(self, request: int) -> tuple[Address, list[Key]]:
        """The request was answered, or never will be: who was asked, and for what."""
        peer, keys = self.requests.pop(request)
        del self.open_by_peer[peer]
        return peer, keys

    def refused(self, request: int, peer: Address, keys: list[Key]) -> list[Wanted]:
        """`peer` did not give these keys of this request. Those still wanted are asked of the next; returned are the ones that nobody is left for."""
        return self._next_source(peer, [w for key in keys if (w := self.wanted.get(key)) is not None and w.request == request])

    def unreachable(self, peer: Address) -> list[Wanted]:
        """No use in sending the batch that waits for `peer` either. Returns the keys that nobody is left for."""
        return self._next_source(peer, [self.wanted[key] for key in self.batches.get(peer, ())])

    def _next_source(self, peer: Address, refused: list[Wanted]) -> list[Wanted]:
        exhausted = []
        for wanted in refused:
            self._leave_batch(wanted)
            wanted.tried.append(peer)
            wanted.request = None
            if not self._ask_next(wanted):
                self.wanted.pop(wanted.key, None)
                exhausted.append(wanted)
        return exhausted

    def _ask_next(self, wanted: Wanted) -> bool:
        if not wanted.sources:
            return False
        peer = wanted.sources[0] if len(wanted.sources) == 1 else min(wanted.sources, key=self._load)
        wanted.sources.remove(peer)
        wanted.peer = peer
        self.wanted[wanted.key] = wanted
        self.batches.setdefault(peer, {})[wanted.key] = None
        return True

    def _load(self, peer: Address) -> tuple[bool, int]:
        request = self.open_by_peer.get(peer)
        return peer in self.shunned, len(self.batches.get(peer, ())) + (len(self.requests[request][1]) if request is not None else 0)

    def _leave_batch(self, wanted: Wanted) -> None:
        if wanted.request is None and wanted.peer is not None:
            batch = self.batches.get(wanted.peer)
            if batch is not None and batch.pop(wanted.key, 0) is None and not batch:
                del self.batches[wanted.peer]
