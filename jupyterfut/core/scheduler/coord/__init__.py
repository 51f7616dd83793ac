"""The scheduler's half of coordination: queues, variables, semaphores, locks, events, multilocks, and who publishes to whom.

Requests of clients come in (`Coordination.ops` and `late_ops`, by name, see `query`); answers go out as mail, now or, from `parking`, when it is a
waiter's turn. Waiters are served first come, first served; nothing polls, and an operation costs the same however many wait.

What is kept for whom:

- A *queue* and a *semaphore* exist from the first request that names them until they are closed: how large they are is a fact that others count on.
- A *variable* exists while it is set or somebody waits for it, an *event* while it is set or somebody waits for it, a *lock* while somebody holds
  it or waits for it: of one that nobody uses nothing is left.
- Leases, locks, waiters and subscriptions belong to a client and go with it. Items, variables and events belong to nobody and stay.

Values are payloads, never opened here; the futures inside are named beside them (`holds`) and kept alive as long as the value is (`values`).
"""

from __future__ import annotations

from jupyterfut.core.scheduler.coord.coordination import Coordination as Coordination
