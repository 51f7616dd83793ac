"""The scheduler's machine: which task runs where, who wants what, what to do when something is lost.

Read `state` first (what is known), then `transitions` (how a task's life goes), `dispatch` (who gets the next task), `members` (who comes and goes),
`machine` (what each message does).
"""

from jupyterfut.core.scheduler.machine import SchedulerMachine
from jupyterfut.core.scheduler.state import SchedulerConfig

__all__ = ["SchedulerConfig", "SchedulerMachine"]
