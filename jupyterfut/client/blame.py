"""Which task failed, and how its failure came here: said in notes (PEP 678) on the exception, which every traceback shows below its last line.

A task's own exception is raised as it is where its result is asked for. When another task stands between, the traceback alone does not tell: a task
was not run because an input failed, perhaps far upstream (`Failure.key`, `Failure.through`); or a task has asked for the result of another, and the
exception went through both. A notebook names the cells and the names that hold the futures (`label`).
"""

from __future__ import annotations

from collections.abc import Callable

from jupyterfut.core.client.state import Record
from jupyterfut.ids import Key
from jupyterfut.runtime.context import current_task
from jupyterfut.views.text import short_key
from jupyterfut.wire.messages import Failure

label: Callable[[str, str], str] | None = None
"""Set by the notebook layer: what the user calls this task, by key and origin, such as "x (cell In[3])"; "" if it knows no better than we."""

FROM = "from the task "
BY_WAY = "by way of the task "


def add_notes(error: BaseException, failure: Failure, record: Record) -> None:
    """Say on `error`, which stands for `failure` and was made for `record`, how it came here. An error of a task that was asked directly, and did not
    come through others, is left as it is."""
    lines = []
    if failure.key and failure.key != record.key:
        lines.append(_not_run(failure, record))
    elif failure.payload is not None and (came := _notes(error)):
        if any(note.startswith((FROM, BY_WAY)) for note in came):
            lines.append(f"{BY_WAY}{named(record.key, failure.origin)}")
    if failure.payload is not None and not lines and current_task() is not None:
        lines.append(f"{FROM}{named(record.key, failure.origin)}")
    if lines:
        notes = _notes(error)
        error.__notes__ = [*notes, *[line for line in lines if line and line not in notes]]  # a list of its own: in-process, copies share the old one


def _notes(error: BaseException) -> list[str]:
    notes = getattr(error, "__notes__", None)
    return [note for note in notes if isinstance(note, str)] if isinstance(notes, list) else []


def _not_run(failure: Failure, record: Record) -> str:
    """ "" where the notebook calls both the same: a cell, and what stands for its end."""
    asked, failed = named(record.key), named(failure.key, failure.origin)
    if asked == failed or asked == named(failure.key):
        return ""
    between = dict.fromkeys(named(key) if key != "..." else "..." for key in failure.through)
    way = [name for name in between if name not in (asked, failed)]
    return f"{asked} was not run, because {failed} failed" + (f"; between them: {', '.join(way)}" if way else "")


def named(key: Key, origin: str = "") -> str:
    """What to call a task.

    >>> named(Key("inc-b8aaf26b99466a7a1980efa1ade6701d"))
    'inc-b8aaf26b…'
    """
    return (label(key, origin) if label is not None else "") or short_key(key)
