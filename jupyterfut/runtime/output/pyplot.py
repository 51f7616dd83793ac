"""matplotlib in tasks: each task has figures of its own, `plt.show()` shows them under the cell, and what is open at a cell's end is shown there.

pyplot keeps its figures in one table for the whole process, and one of them is "the current figure". Two tasks on two threads would draw into each
other's. So that table is replaced, the moment after `matplotlib.pyplot` was imported, by one that leads to a table of the task at hand; what a task
leaves open goes with the task.
"""

from __future__ import annotations

import functools
import sys
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from jupyterfut.runtime.output import attribution
from jupyterfut.runtime.output.attribution import output_of_task
from jupyterfut.runtime.output.displays import display

MODULE = "matplotlib.pyplot"

_shown: dict[str, Any] = {}  # what was there before us


def show_figures() -> None:
    """Show the figures that this task has open, as at the end of a cell in a notebook, and close them. Does nothing outside of tasks, or where
    matplotlib was not used. Raises what drawing raises."""
    output = output_of_task()
    if output is None or not output.figures:
        return
    managers = list(output.figures.values())
    try:
        for manager in managers:
            display(manager.canvas.figure)
    finally:
        sys.modules[MODULE].close("all")


def offer() -> None:
    """matplotlib.pyplot has been imported, or was there when the first worker came."""
    if _shown or not attribution.collectors:
        return
    gcf = sys.modules["matplotlib._pylab_helpers"].Gcf
    pyplot: Any = sys.modules[MODULE]
    figure = sys.modules["matplotlib.figure"].Figure
    _shown.update(figs=gcf.figs, show=pyplot.show, figure_show=figure.show)
    gcf.figs = _Figures(gcf.figs)

    @functools.wraps(pyplot.show)
    def show(*args: Any, **options: Any) -> Any:
        return _shown["show"](*args, **options) if output_of_task() is None else show_figures()

    @functools.wraps(figure.show)
    def figure_show(self: Any, warn: bool = True) -> Any:
        return _shown["figure_show"](self, warn) if output_of_task() is None else display(self)

    pyplot.show, figure.show = show, figure_show


def withdraw() -> None:
    """No worker is left: as it was."""
    if _shown:
        gcf = sys.modules["matplotlib._pylab_helpers"].Gcf
        gcf.figs = _shown["figs"]
        pyplot: Any = sys.modules[MODULE]
        pyplot.show = _shown["show"]
        sys.modules["matplotlib.figure"].Figure.show = _shown["figure_show"]
        _shown.clear()


class _Figures(OrderedDict[Any, Any]):
    """pyplot's table of figures by number, for whoever looks at it: a task's own, or everybody else's. It holds nothing itself."""

    def __init__(self, others: OrderedDict[Any, Any]) -> None:
        super().__init__()
        self._others = others

    @property
    def _here(self) -> OrderedDict[Any, Any]:
        output = output_of_task()
        if output is None:
            return self._others
        if output.figures is None:
            output.figures = OrderedDict()
        return output.figures

    def __getitem__(self, key: Any) -> Any:
        return self._here[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._here[key] = value

    def __delitem__(self, key: Any) -> None:
        del self._here[key]

    def __contains__(self, key: object) -> bool:
        return key in self._here

    def __iter__(self) -> Iterator[Any]:
        return iter(self._here)

    def __reversed__(self) -> Any:
        return reversed(self._here)

    def __len__(self) -> int:
        return len(self._here)

    def __bool__(self) -> bool:
        return bool(self._here)

    def get(self, key: Any, default: Any = None) -> Any:
        return self._here.get(key, default)

    def pop(self, *args: Any) -> Any:
        return self._here.pop(*args)

    def popitem(self, last: bool = True) -> tuple[Any, Any]:
        return self._here.popitem(last)

    def keys(self) -> Any:
        return self._here.keys()

    def values(self) -> Any:
        return self._here.values()

    def items(self) -> Any:
        return self._here.items()

    def clear(self) -> None:
        self._here.clear()

    def move_to_end(self, key: Any, last: bool = True) -> None:
        self._here.move_to_end(key, last)
