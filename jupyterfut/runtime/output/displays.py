"""`display` and its kin, for code that runs in a task: what IPython's functions of the same names do in a notebook, they do here for the cell that
submitted the task. Outside of tasks they are IPython's, or print.

`builtins.display` of a worker's process is this one, and IPython's own are led here as soon as somebody imports them (`ipython`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Container
from typing import Any

from jupyterfut.runtime.output import descriptors
from jupyterfut.runtime.output.attribution import output_of_task
from jupyterfut.runtime.output.bundles import formatted, portable
from jupyterfut.runtime.output.collector import TaskOutput


class DisplayHandle:
    """A display that can be updated: what `display(..., display_id=True)` returns.

    >>> DisplayHandle("plot")
    <DisplayHandle display_id=plot>
    """

    def __init__(self, display_id: str | None = None) -> None:
        self.display_id = _new_id() if display_id is None else display_id

    def __repr__(self) -> str:
        return f"<{type(self).__name__} display_id={self.display_id}>"

    def display(self, obj: Any, **options: Any) -> None:
        """Show `obj` in one place more."""
        display(obj, display_id=self.display_id, **options)

    def update(self, obj: Any, **options: Any) -> None:
        """Show `obj` in all places of this display."""
        update_display(obj, display_id=self.display_id, **options)


def display(
    *objects: Any,
    include: Container[str] | None = None,
    exclude: Container[str] | None = None,
    metadata: dict[str, Any] | None = None,
    transient: dict[str, Any] | None = None,
    display_id: str | bool | None = None,
    raw: bool = False,
    clear: bool = False,
    **options: Any,
) -> Any:
    """Show objects under the cell that submitted this task, in all forms that they offer. Never blocks; they are there before the task's result is.

    As IPython's: with `display_id` (True: a new one) it returns a handle to update what was displayed; `raw` objects are MIME bundles; `clear` takes
    away first what the cell shows. Raises what the objects' own methods raise. Outside of tasks it is IPython's `display`, or prints.

    >>> from jupyterfut.runtime.output import display
    >>> display("no notebook", "and no task")
    no notebook and no task
    """
    output = output_of_task()
    if output is None:
        return _elsewhere(
            objects, include=include, exclude=exclude, metadata=metadata, transient=transient, display_id=display_id, raw=raw, clear=clear, **options
        )
    name = _new_id() if display_id is True else display_id or (transient or {}).get("display_id") or None
    if options.get("update") and not name:
        raise TypeError("display_id required for update_display")
    if clear:
        output.clear(True)
    if not objects and display_id:
        objects, raw = ({},), True
    for value in objects:
        if raw:
            _publish(output, value, metadata, name, bool(options.get("update")))
            continue
        shows_itself = getattr(type(value), "_ipython_display_", None)
        if callable(shows_itself) and not isinstance(value, type):
            value._ipython_display_()
            continue
        data, about = formatted(value, include, exclude)
        if data:
            _publish(output, data, {**about, **(metadata or {})}, name, bool(options.get("update")))
    return DisplayHandle(str(name)) if display_id else None


def update_display(obj: Any, *, display_id: str, **options: Any) -> None:
    """Show `obj` in the place of what was displayed with this id."""
    options["update"] = True
    display(obj, display_id=display_id, **options)


def publish_display_data(
    data: dict[str, Any], metadata: dict[str, Any] | None = None, *, transient: dict[str, Any] | None = None, update: bool = False, **options: Any
) -> None:
    """Show a MIME bundle."""
    output = output_of_task()
    if output is not None:
        _publish(output, data, metadata, (transient or {}).get("display_id"), update)
    else:
        _elsewhere((data,), metadata=metadata, transient=transient, raw=True, update=update, **options)


def clear_output(wait: bool = False) -> None:
    """Take away what the cell shows; with `wait`, when something new comes."""
    output = output_of_task()
    if output is not None:
        output.clear(bool(wait))
    elif (theirs := _ipython("clear_output")) is not None:
        theirs(wait)


def show_value(value: Any) -> None:
    """Show the value of a cell's last expression, as a notebook does: nothing for None."""
    if value is not None:
        display(value)


def worker_display() -> Callable[..., Any]:
    """What IPython's own `display` becomes on its way to a worker, which may have no IPython."""
    return display


def _publish(output: TaskOutput, data: Any, metadata: dict[str, Any] | None, display_id: Any, update: bool) -> None:
    if not isinstance(data, dict):
        raise TypeError(f"a MIME bundle is a dict, not {data!r}")
    if descriptors.current is not None:
        descriptors.current.catch_up()
    output.display(portable(data), portable(metadata or {}), display_id=str(display_id) if display_id else None, update=update)


def _elsewhere(objects: tuple[Any, ...], **options: Any) -> Any:
    """No task: the display of the notebook or script at hand."""
    theirs = _ipython("display")
    if theirs is None:
        sys.stdout.write(" ".join(map(str, objects)) + "\n")  # as IPython's does where there is no notebook
        return None
    given = {name: value for name, value in options.items() if value}
    return theirs(*objects, **given)


def _ipython(name: str) -> Callable[..., Any] | None:
    """IPython's function, where there is an IPython shell."""
    shell = getattr(sys.modules.get("IPython.core.interactiveshell"), "InteractiveShell", None)
    module = sys.modules.get("IPython.core.display_functions")
    if shell is None or module is None or not shell.initialized():
        return None
    function = getattr(module, name)
    return getattr(function, "__wrapped__", function)  # type: ignore[no-any-return]  # IPython is untyped


def _new_id() -> str:
    return os.urandom(16).hex()
