"""Large values of the notebook, on the cluster once: by the hash of their content, however many cells read them.

`capture` takes the large pieces out of what a cell reads (the memory of arrays, the pickles of large lists) and asks here for a future of each. A
piece that was brought before costs its hash. It is let go when no name of the notebook refers to the object any more from which it came, which is
looked at when a cell has been run; what a running cell still needs stays until that is done.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Collection, Mapping
from typing import Any

from jupyterfut.client.client import Client
from jupyterfut.client.futures import Future

LARGE_BYTES = 2**20
"""From this size on a piece travels alone."""


class Pieces:
    """The pieces that one client has brought to its cluster."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._futures: dict[str, Future] = {}  # key -> its future
        self._owners: dict[str, tuple[int, set[str]]] = {}  # name of the notebook -> id of its object, keys of the object's pieces

    def bring(self, client: Client, piece: memoryview) -> Future:
        """A future of the bytes. Blocks while they are sent, the first time."""
        import xxhash

        key = f"cell-data-{xxhash.xxh3_128_hexdigest(piece)}-{piece.nbytes}"
        with self._lock:
            future = self._futures.get(key)
        if future is not None and future.status in ("finished", "pending"):
            return future
        future = _sent(client, key, bytes(piece))
        with self._lock:
            self._futures[key] = future
        return future

    def own(self, name: str, value: Any, futures: Collection[Future]) -> None:
        """These pieces, perhaps none, are what `name` stands for now."""
        keys = {future.key for future in futures}
        with self._lock:
            if keys:
                self._owners[name] = (id(value), keys)
            else:
                self._owners.pop(name, None)

    def tidy(self, namespace: Mapping[str, Any]) -> None:
        """Let go of what no name stands for any more."""
        with self._lock:
            for name, (number, _) in list(self._owners.items()):
                if id(namespace.get(name)) != number:
                    del self._owners[name]
            wanted = {key for _, keys in self._owners.values() for key in keys}
            gone = [self._futures.pop(key) for key in list(self._futures) if key not in wanted]
        del gone  # outside of the lock


def _sent(client: Client, key: str, data: bytes) -> Future:
    """Straight to a worker where there is one; else, or where nothing may block, in a task, which waits for one."""
    if not client.asynchronous and client.nthreads():
        return client.scatter({key: data})[key]  # type: ignore[no-any-return]
    return client.submit(_itself, data, key=key)


def _itself(data: bytes) -> bytes:
    return data


_of_client: weakref.WeakKeyDictionary[Client, Pieces] = weakref.WeakKeyDictionary()


def pieces_of(client: Client) -> Pieces:
    """The pieces of a client."""
    pieces = _of_client.get(client)
    if pieces is None:
        pieces = _of_client.setdefault(client, Pieces())
    return pieces


def tidy(namespace: Mapping[str, Any]) -> None:
    """For all clients: see `Pieces.tidy`."""
    for pieces in list(_of_client.values()):
        pieces.tidy(namespace)
