"""What a cluster has to say: datasets, metadata, events, logs, and the stream of finished tasks.

`Client` inherits these methods; each is shallow and names the module that does the work.
"""

from __future__ import annotations


class TalkingBack:
    """Methods of `Client` for named data, events and logs."""
