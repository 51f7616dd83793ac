"""Forms: what is shown of an object in a notebook, from the moment it is shown until nothing of it changes any more.

A form draws itself as HTML and text. The first drawing is an output of the cell with a display id. From then on `Forms`, of which a kernel has one,
takes care that the page and the document follow:

- where a page has the link (`link`), motion goes through it, ten times a second at most for all forms together, and the document is brought up to
  date every two seconds;
- where it has not, the document is updated at the same pace as the page would be;
- the last state always goes into the document, with `update_display`: it is what is saved, exported, and shown again without a kernel.

News come from any thread: a client's loop, a subshell that serves a button, the cell. They only say so (`changed`); a form changes its own fields in
one place (`refresh`), in the thread of `Pace`. A form never keeps what it shows alive. The number of forms is bounded: a notebook that shows
something a thousand times has a thousand outputs, of which the oldest do not move any more.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from jupyterfut.notebook.live.link import Link
from jupyterfut.notebook.live.pace import Pace
from jupyterfut.views.style import Look

logger = logging.getLogger("jupyterfut.notebook")

DOCUMENT_S = 2.0
"""Between two updates of the document, where the page has the link."""

FORMS_KEPT = 200
"""Beyond this number of forms the oldest end, those first whose object has come to its end."""

Publish = Callable[[dict[str, str], str, bool], None]
"""Put a bundle into the document: under a display id; in the place of what has that id, or as a new output."""


class Form:
    """What is shown of one object. Subclasses draw."""

    blocks = False  #: what its buttons do takes time

    def __init__(self) -> None:
        self.lock = threading.RLock()  #: held while it begins, looks and stops; never by who only says that it has changed
        self.id = ""  #: given by `Forms.add`
        self.forms: Forms | None = None
        self.ended = False  #: nothing of it changes by itself any more
        self.trouble = ""  #: what went wrong when a button was pressed, in one line
        self.cell_id = ""  #: the cell in the document that shows it, if it is known
        self.run = ""  #: and its run
        self.in_document = ""  #: what the document shows
        self.mirrors: list[Callable[[str], None]] = []  #: widgets that show it as well

    # --- what subclasses write

    def begin(self) -> None:
        """Follow the object from now on."""

    def stop(self) -> None:
        """Follow it no more. May be called again."""

    def leave(self) -> None:
        """It is not a form any more: its output is gone, or too old."""
        self.stop()

    def refresh(self) -> None:
        """Look at the object; set `ended`. In the thread of `Pace`."""

    def html(self, look: Look) -> str:
        """The form as HTML."""
        raise NotImplementedError

    def text(self) -> str:
        """The form as text."""
        raise NotImplementedError

    def reopened(self, records: list[Any]) -> None:
        """Some tasks run once more. On a client's loop."""

    def act(self, what: str, args: dict[str, Any]) -> None:
        """A button was pressed: any thread but the clients' loops. What it raises is shown in the form."""
        raise ValueError(f"this form knows no {what!r}")

    # --- for all

    def changed(self) -> None:
        """There is something new to be shown. Never blocks; from any thread."""
        if self.forms is not None:
            self.forms.pace.wake(self)

    def bundle(self) -> dict[str, str]:
        """As the document has it."""
        return {"text/plain": self.text(), "text/html": self.html(Look(form=self.id, trouble=self.trouble))}


class Forms:
    """All forms of one kernel."""

    def __init__(self, publish: Publish, *, link: bool = True) -> None:
        self.pace: Pace[Form] = Pace(self._tell)
        self.link = Link(self._wanted, self._act)
        self._publish = publish
        self._linked = link
        self._lock = threading.Lock()
        self._forms: OrderedDict[str, Form] = OrderedDict()
        self._ids = itertools.count(1)
        self._updated: dict[str, float] = {}  # when the document was brought up to date last

    def add(self, form: Form, *, shown: bool = True) -> Form:
        """Show a form. With `shown=False` it has no output: a widget shows it."""
        form.id = f"{self.link.id}.{next(self._ids)}"
        form.forms = self
        with self._lock:
            self._forms[form.id] = form
        try:
            form.refresh()
            if shown:
                bundle = form.bundle()
                form.in_document = bundle["text/html"]
                self._publish(bundle, _display_id(form), False)
        except BaseException:
            self._leave(form)
            raise
        if not form.ended:
            with form.lock:
                form.begin()
            form.changed()  # what has happened between the two looks
        if self._linked and shown:
            self.link.open()
        self._trim()
        return form

    def __len__(self) -> int:
        return len(self._forms)

    def __iter__(self) -> Any:
        return iter(list(self._forms.values()))

    def reopened(self, records: list[Any]) -> None:
        """Some tasks of a client run once more (`Session.at_reopening`): forms that show them, ended or not, look again. On the client's loop."""
        for form in self:
            form.reopened(records)

    def drop(self, forms: Iterable[Form]) -> None:
        """Their outputs are gone from the document: they end, and nobody is told."""
        for form in forms:
            self._leave(form)

    def close(self) -> None:
        """The end of all of them."""
        self.drop(self)
        self.pace.close()
        self.link.close()

    def _trim(self) -> None:
        while len(self._forms) > FORMS_KEPT:
            with self._lock:
                form = next((form for form in self._forms.values() if form.ended), None) or next(iter(self._forms.values()))
            ended = form.ended
            self._leave(form)
            if not ended:
                self._update(form)
            self.link.gone([form.id])

    def _leave(self, form: Form) -> None:
        with self._lock:
            self._forms.pop(form.id, None)
            self._updated.pop(form.id, None)
        with form.lock:
            form.leave()
            form.forms = None
        self.pace.forget(form)
        self.link.forget(form.id)

    # --- telling, in the thread of `Pace`

    def _tell(self, changed: list[Form]) -> None:
        fragments: dict[str, str] = {}
        for form in changed:
            try:
                with form.lock:
                    if form.forms is not None:
                        self._tell_one(form, fragments)
            except Exception:  # one form's trouble must not stop the others
                logger.exception("a form could not be drawn: %r", form)
        if fragments:
            try:
                self.link.push(fragments)
            except Exception:  # the page's trouble must not stop the document
                logger.exception("forms could not be sent to the page")

    def _tell_one(self, form: Form, fragments: dict[str, str]) -> None:
        was = form.ended
        form.refresh()
        if form.ended and not was:
            form.stop()
        elif was and not form.ended:
            form.begin()
            form.changed()
        reached = self.link.reaches(form.id)
        if reached or form.mirrors:
            live = form.html(Look(form=form.id, live=True, trouble=form.trouble))
            if reached:
                fragments[form.id] = live
            for mirror in form.mirrors:
                mirror(live)
        left_s = self._updated.get(form.id, -DOCUMENT_S) + DOCUMENT_S - time.monotonic() if reached else 0.0
        if form.ended or left_s <= 0:
            self._update(form)
        else:
            self.pace.later(form, left_s)

    def _update(self, form: Form) -> None:
        """Bring the document up to date."""
        if not form.in_document:
            return
        bundle = form.bundle()
        if bundle["text/html"] != form.in_document:
            form.in_document = bundle["text/html"]
            self._updated[form.id] = time.monotonic()
            self._publish(bundle, _display_id(form), True)

    # --- hearing, in whichever thread the page is served

    def _wanted(self, ids: Iterable[str]) -> None:
        unknown = []
        for one in ids:
            form = self._forms.get(one)
            if form is None:
                unknown.append(one)
            else:
                self.pace.wake(form)
        if unknown:
            self.link.gone(unknown)

    def _act(self, form_id: str, what: str, args: dict[str, Any]) -> None:
        form = self._forms.get(form_id)
        if form is None:
            self.link.gone([form_id])
            return
        self.start(form, what, args)

    def start(self, form: Form, what: str, args: dict[str, Any]) -> None:
        """Have a form do what its button says, without waiting for what takes time."""
        if form.blocks:  # other buttons, and other people's widgets, are served by this thread as well
            threading.Thread(target=self.do, args=(form, what, args), name="jupyterfut-button", daemon=True).start()
        else:
            self.do(form, what, args)

    def do(self, form: Form, what: str, args: dict[str, Any]) -> None:
        """Have a form do what its button says; what goes wrong is shown in it."""
        form.trouble = ""
        try:
            form.act(what, args)
        except Exception as error:  # noqa: BLE001  # whatever it is, the one who pressed the button is to see it
            form.trouble = f"{type(error).__name__}: {error}"[:500]
        self.pace.wake(form)


def _display_id(form: Form) -> str:
    return f"jupyterfut-{form.id}"


def weak(obj: Any, gone: Callable[[], object]) -> Callable[[], Any]:
    """A weak reference; `gone` is called, in whichever thread it happens, when the object is no more."""
    return weakref.ref(obj, lambda _: gone())
