"""Where data lies: copies, an even spread, and workers that leave without losing any.

`Client` inherits these methods; each is shallow and names the module that does the work.
"""

from __future__ import annotations


class Placing:
    """Methods of `Client` that move data and retire workers."""
