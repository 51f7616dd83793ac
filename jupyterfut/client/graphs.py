"""Graphs of calls made by others: dask collections, and the pool interface of `concurrent.futures`.

`Client` inherits these methods; each is shallow and names the module that does the work.
"""

from __future__ import annotations


class Graphs:
    """Methods of `Client` that run graphs and collections."""
