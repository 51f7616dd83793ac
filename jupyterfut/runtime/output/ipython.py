"""IPython's own `display` functions, led to tasks' outputs: `from IPython.display import display, HTML, clear_output` works in a task as in a cell.

In a worker's process the functions in `IPython.core.display_functions` are replaced the moment after somebody has imported that module, before
anybody can have copied them. Where a shell lives (workers in a kernel's own process) its publisher is what everything ends in, so that is wrapped;
which formats an object has, the shell's own formatter says. Nothing here imports IPython.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from jupyterfut.runtime.output import attribution, displays
from jupyterfut.runtime.output.attribution import output_of_task

MODULE = "IPython.core.display_functions"

_originals: dict[str, Callable[..., Any]] = {}
_publishers: list[Any] = []


def offer() -> None:
    """IPython has been imported, or was there when the first worker came."""
    if not attribution.collectors:
        return  # an open client alone
    module, shell = sys.modules[MODULE], _shell()
    if shell is not None:
        if not _publishers:
            _wrap(shell.display_pub)
    elif not _originals:
        for name in ("display", "update_display", "publish_display_data", "clear_output"):
            _originals[name] = original = getattr(module, name)
            setattr(module, name, _led(original, getattr(displays, name)))


def withdraw() -> None:
    """No worker is left: as it was."""
    module = sys.modules[MODULE]
    while _originals:
        name, original = _originals.popitem()
        setattr(module, name, original)
    while _publishers:
        publisher = _publishers.pop()
        for name in ("publish", "clear_output"):
            publisher.__dict__.pop(name, None)


def _led(original: Callable[..., Any], ours: Callable[..., Any]) -> Callable[..., Any]:
    """To our function in a task, else to IPython's."""

    @functools.wraps(original)
    def led(*args: Any, **options: Any) -> Any:
        return (original if output_of_task() is None else ours)(*args, **options)

    return led


def _wrap(publisher: Any) -> None:
    """The shell's publisher: this one object, by attributes of its own."""
    publish, clear_output = publisher.publish, publisher.clear_output

    def led_publish(data: Any, metadata: Any = None, *args: Any, **options: Any) -> None:
        if output_of_task() is None:
            publish(data, metadata, *args, **options)
        else:
            displays.publish_display_data(data, metadata, transient=options.get("transient"), update=bool(options.get("update")))

    def led_clear(wait: bool = False) -> None:
        if output_of_task() is None:
            clear_output(wait)
        else:
            displays.clear_output(wait)

    publisher.__dict__["publish"] = led_publish
    publisher.__dict__["clear_output"] = led_clear
    _publishers.append(publisher)


def _shell() -> Any:
    """The shell that lives in this process, if one does."""
    shell = getattr(sys.modules.get("IPython.core.interactiveshell"), "InteractiveShell", None)  # it may be half-imported
    return shell._instance if shell is not None else None
