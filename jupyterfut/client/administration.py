"""The cluster as its owner sees it: code on every worker, plugins, files, restarts, and what workers are doing.

`Client` inherits these methods; each is shallow and names the module that does the work.
"""

from __future__ import annotations


class Administration:
    """Methods of `Client` for running and looking after a cluster."""
