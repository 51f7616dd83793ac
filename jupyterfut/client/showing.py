"""How futures, lists of futures, clients, clusters and actors show themselves to IPython and Jupyter.

Whoever asks for a MIME bundle gets text and self-contained HTML, as of now. In a Jupyter kernel the notebook layer (the plugin `show` of the group
`notebook`) is given the object instead, and shows a form that lives: it moves with its object and ends in a state that is right in a saved notebook.
With the setting `notebook.display` = "static", in a terminal and in plain Python there is no such thing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jupyterfut import plugins
from jupyterfut.client.terminal import in_notebook
from jupyterfut.config import settings


class Showing:
    """What has a text (`repr`) and HTML, and a form in a notebook."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        raise TypeError(f"{type(self).__name__} has no HTML")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Text and HTML, for whatever shows objects as Jupyter does."""
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def _ipython_display_(self) -> None:
        show_live(self)


def show_live(obj: Any) -> None:
    """Show a form of the object that lives. Raises NotImplementedError, on which IPython goes on to the MIME bundle, where none can."""
    show = live_display()
    if show is None:
        raise NotImplementedError
    show(obj)


def live_display() -> Callable[..., Any] | None:
    """What shows objects as forms that live; None where nothing does."""
    if not in_notebook() or settings().notebook.display == "static":
        return None
    found: Callable[..., Any] = plugins.load("notebook", "show")
    return found
