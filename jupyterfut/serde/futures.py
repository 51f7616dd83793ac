"""How a pickler learns that it met futures. `Future.__reduce__` (in `client`, which this package does not know) calls `found(key)`; who pickles
looks afterwards.

On the fast road that is one comparison: whoever meets something that needs a second look (a future; a buffer too large to be copied) changes
`marks.last`,
and a pickle that finds it as it was is done. The mark is shared by all threads: another thread's future costs us a second look, never a wrong answer.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from jupyterfut.ids import Key


class Marks:
    """`last` is a new object each time somebody met something. No two are alike, so no race can restore an old one."""

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last = object()


marks = Marks()


class _Here(threading.local):
    """The list in which this thread notes the keys that it meets, while somebody wants them."""

    keys: list[Key] | None = None


_here = _Here()


def found(key: Key) -> None:
    """A future with this key is being pickled in this thread. Called by `Future.__reduce__`.

    >>> with collecting() as keys:
    ...     found(Key("x-1"))
    >>> keys
    ['x-1']
    """
    marks.last = object()
    if _here.keys is not None:
        _here.keys.append(key)


@contextmanager
def collecting() -> Iterator[list[Key]]:
    """The keys of the futures pickled in this thread inside the block, in the order met, each as often as it was met."""
    outer, _here.keys = _here.keys, []
    try:
        yield _here.keys
    finally:
        _here.keys = outer
