"""What tasks put out on a worker: prints, warnings and logs, displays, figures, progress bars, and what is written below Python.

All of it is collected by task (`collector`) and said to the client that submitted the task, which puts it under the right cell, in `future.log`, or
on the terminal (`client/output.py`, `notebook/output/page.py`); it is there before the task's result is. How it comes here: `streams` stands in for
`sys.stdout` and `sys.stderr`, `displays` for IPython's `display`, `pyplot` for matplotlib's figures, `descriptors` for file descriptors 1 and 2 of
workers' processes; `attribution` knows whose it is. A task that puts nothing out pays for one look at an empty dict.

For code that runs in tasks: `display` and its kin, `show_value` and `show_figures` (the end of a cell), `bundle` (what a notebook shows of a value),
`aside` (what is written inside goes to the worker's own streams).
"""

from __future__ import annotations

from jupyterfut.runtime.output.attribution import aside, output_of_task
from jupyterfut.runtime.output.bundles import Bundle, bundle, text
from jupyterfut.runtime.output.displays import (
    DisplayHandle,
    clear_output,
    display,
    publish_display_data,
    show_value,
    update_display,
    worker_display,
)

__all__ = [
    "Bundle", "DisplayHandle", "aside", "bundle", "clear_output", "display", "output_of_task", "own_process", "publish_display_data", "show_figures",
    "show_value", "text", "update_display", "worker_display",
]  # fmt: skip


def show_figures() -> None:
    """Show the matplotlib figures that this task has open, as at the end of a cell in a notebook, and close them. Does nothing outside of tasks, or
    where matplotlib was not used. Raises what drawing raises."""
    output = output_of_task()
    if output is not None and output.figures:
        from jupyterfut.runtime.output import pyplot

        pyplot.show_figures()


def own_process(pipes: list[int] | None = None) -> None:
    """The first thing that a worker's process does: it is a worker's and nobody else's, so its file descriptors are led to its tasks, `display` is
    everywhere, and matplotlib draws into memory. For good. `pipes`: those to lead them through (`child.spawn`), whose other reader is the nanny."""
    import builtins

    from jupyterfut.runtime.output import descriptors, guests

    descriptors.divert(pipes or [])
    guests.choose_backend()
    builtins.display = display  # type: ignore[attr-defined]  # as in a notebook
