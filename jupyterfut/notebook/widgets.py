"""Forms as widgets, for front ends whose outputs stand in frames of their own (Colab, marimo, VS Code), and for layouts of one's own.

`Form(obj)` is a widget that shows what the object's output shows, moves with it and has its buttons. With anywidget it is drawn by the same module as
outputs are; without it, by ipywidgets' own HTML and buttons. Importing this module imports ipywidgets.
"""

from __future__ import annotations

import re
from typing import Any

import ipywidgets

from jupyterfut.notebook import live
from jupyterfut.notebook.live.forms import Form as LiveForm
from jupyterfut.notebook.live.link import esm, past_the_cell
from jupyterfut.views.style import STYLE, Look

_BUTTON = re.compile(r'<button [^>]*data-do="([^"]*)"[^>]*title="([^"]*)"[^>]*>([^<]*)</button>')
_NUMBER = re.compile(r'<input type="number"[^>]*data-arg="([^"]*)"[^>]*value="(-?\d+)"[^>]*>')


def Form(obj: Any) -> Any:  # noqa: N802  # it makes a widget, and is used as a widget's class is
    """A widget that shows a future, a list of futures, a client, a cluster or an actor. Never blocks for long. Raises TypeError for what has no form,
    and ImportError without ipywidgets.

    Like the form of an output it does not keep the object alive. It ends when it is closed (`widget.close()`).
    """
    form = live.form_of(obj)
    forms = live.current()
    forms.add(form, shown=False)
    widget = _anywidget(form) or _CoreForm(form)
    form.mirrors.append(widget.show)
    form.changed()
    return widget


def _anywidget(form: LiveForm) -> Any:
    try:
        import anywidget
        import traitlets
    except ImportError:
        return None

    class FormWidget(anywidget.AnyWidget):  # type: ignore[misc]  # anywidget is taken as Any
        _esm = esm()
        _css = STYLE.removeprefix("<style>").removesuffix("</style>")
        key = traitlets.Unicode().tag(sync=True)
        html = traitlets.Unicode().tag(sync=True)

        def __init__(self) -> None:
            super().__init__(key=form.id, html=_fragment(form))
            past_the_cell(self)
            self.on_msg(self._hear)

        def show(self, html: str) -> None:
            self.html = html

        def _hear(self, widget: Any, content: dict[str, Any], buffers: Any) -> None:
            if content.get("t") == "do" and form.forms is not None:
                form.forms.start(form, str(content.get("do")), dict(content.get("args") or {}))

        def close(self) -> None:
            if form.forms is not None:
                form.forms.drop([form])
            super().close()

    return FormWidget()


class _CoreForm(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets is taken as Any
    """The same of ipywidgets' own parts."""

    def __init__(self, form: LiveForm) -> None:
        self._form = form
        self._drawn = ipywidgets.HTML()
        self._able = ipywidgets.HBox()
        self._offered: list[str] = []
        self._numbers: dict[str, Any] = {}
        super().__init__([self._drawn, self._able])
        self.show(_fragment(form))

    def show(self, html: str) -> None:
        """Draw it anew."""
        self._drawn.value = STYLE + _NUMBER.sub("", _BUTTON.sub("", html))
        offered = _BUTTON.findall(html)
        if offered != self._offered:
            self._offered = offered
            self._numbers = {
                name: ipywidgets.BoundedIntText(int(value), min=0, max=10**6, layout={"width": "80px"}) for name, value in _NUMBER.findall(html)
            }
            self._able.children = [*self._numbers.values(), *(self._button(*one) for one in offered)]

    def _button(self, act: str, title: str, label: str) -> Any:
        button = ipywidgets.Button(description=label, tooltip=title, layout={"width": "auto"})
        past_the_cell(button)
        button.on_click(lambda _: self._act(act))
        return button

    def _act(self, act: str) -> None:
        if self._form.forms is not None:
            self._form.forms.start(self._form, act, {name: field.value for name, field in self._numbers.items()})

    def close(self) -> None:
        """It shows nothing any more."""
        if self._form.forms is not None:
            self._form.forms.drop([self._form])
        super().close()


def _fragment(form: LiveForm) -> str:
    return form.html(Look(form=form.id, live=True))
