"""What is shown of futures, clients, clusters, actors and cells in a notebook, and moves: see `forms` for how, `link` for the page's side of it.

`show` and `progress` are what the client's layer calls in a kernel (plugins); `current` gives the kernel's forms.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

from jupyterfut.client.actors import Actor
from jupyterfut.client.client import Client
from jupyterfut.client.future_list import FutureList, common_name
from jupyterfut.client.futures import Future
from jupyterfut.config import settings
from jupyterfut.deploy.cluster import Cluster
from jupyterfut.notebook.live.clusters import ActorForm, ClientForm, ClusterForm, clients_of
from jupyterfut.notebook.live.forms import Form, Forms
from jupyterfut.notebook.live.tasks import FutureForm, FuturesForm, ProgressForm
from jupyterfut.views import html
from jupyterfut.views.snapshots import FuturesView
from jupyterfut.views.text import count

_lock = threading.Lock()
_forms: Forms | None = None
_shell: Any = None


def current() -> Forms:
    """The forms of this kernel; made with the first. Raises NotImplementedError where there is no kernel."""
    global _forms, _shell
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is None:
        raise NotImplementedError
    with _lock:
        if _forms is None or _shell is not shell:
            if _forms is not None:
                _forms.close()
            _shell, _forms = shell, Forms(_publisher(shell), link=settings().notebook.display != "html")
            _follow_cells(_forms)
        return _forms


def form_of(obj: Any) -> Form:
    """The form of an object. Raises TypeError for what has none."""
    if isinstance(obj, Future):
        return FutureForm(obj)
    if isinstance(obj, Client):
        return ClientForm(obj)
    if isinstance(obj, Cluster):
        return ClusterForm(obj, clients_of(obj))
    if isinstance(obj, Actor):
        return ActorForm(obj)
    if isinstance(obj, list) and (isinstance(obj, FutureList) or holds_futures(obj)):
        return FuturesForm(obj)
    raise TypeError(f"a form shows a future, a list of futures, a client, a cluster or an actor, not {type(obj).__name__} {obj!r}"[:300])


def holds_futures(items: list[Any]) -> bool:
    """Whether a list is one of futures, and of nothing else."""
    return bool(items) and all(isinstance(item, Future) for item in items)


def show(obj: Any) -> None:
    """Show a form of the object under the cell that runs. Never blocks for long."""
    if settings().notebook.display == "widget":
        from IPython.display import display

        from jupyterfut.notebook.widgets import Form as FormWidget

        display(FormWidget(obj))
        return
    add(form_of(obj))


def add(form: Form) -> Form:
    """Show a form that was made already."""
    from jupyterfut.notebook import current as cells

    forms = current()
    cell = cells.current()
    if cell is not None:
        form.cell_id, form.run = cell.cell_id, cell.id
    return forms.add(form)


def progress(
    sources: tuple[Any, ...], futures: list[Future], *, multi: bool = True, complete: bool = True, group: Callable[[str], str], **options: Any
) -> None:
    """Show how far futures are, until all have ended; returns at once. Lists that grow meanwhile are followed: a `FutureList` at once, a plain list
    when something happens to one of its futures."""
    if options:
        raise TypeError(f"progress() takes no option {', '.join(map(repr, options))}")
    followed: Any = sources[0] if len(sources) == 1 and isinstance(sources[0], FutureList) and complete else None
    if followed is None:
        followed = [future for future in futures if complete or not future.done()]
    if settings().notebook.display == "static":
        _show_progress_still(list(followed))
    else:
        lists = tuple(source for source in sources if isinstance(source, list)) if complete else ()
        growing = lists if len(lists) == len(sources) and not isinstance(followed, FutureList) else ()
        add(ProgressForm(followed, group, multi=multi, growing=growing))


def _show_progress_still(futures: list[Future]) -> None:
    """How far they are differs from run to run; how many they are does not."""
    from IPython.display import display

    view = FuturesView(bytes(len(futures)), common_name([future._record for future in futures]), "Progress")
    line = f"<Progress: {view.name + ' ' if view.name else ''}{count(len(futures), 'future')}>"
    display({"text/plain": line, "text/html": html.progress(view, static=True)}, raw=True)


def offer(shell: Any) -> None:
    """Let plain lists of futures (`[client.submit(...) for ...]`) be shown as `map`'s are."""
    shell.display_formatter.ipython_display_formatter.for_type(list, _show_list)


def withdraw(shell: Any) -> None:
    """Undo `offer`, and end all forms."""
    global _forms
    formatter = shell.display_formatter.ipython_display_formatter
    if formatter.type_printers.get(list) is _show_list:
        formatter.pop(list)
    with _lock:
        forms, _forms = _forms, None
    if forms is not None:
        forms.close()


def _show_list(items: list[Any]) -> None:
    """IPython shows a list. It goes on by itself when it is told that this is not implemented."""
    if settings().notebook.display == "static" or not holds_futures(items):
        raise NotImplementedError
    show(items)


def _publisher(shell: Any) -> Callable[[dict[str, str], str, bool], None]:
    known = weakref.ref(shell)

    def publish(bundle: dict[str, str], display_id: str, update: bool) -> None:
        shell = known()
        if shell is not None:
            shell.display_pub.publish(data=bundle, metadata={}, transient={"display_id": display_id}, update=update)

    return publish


def _follow_cells(forms: Forms) -> None:
    """The outputs of a cell go when it is run again, and so do its forms."""
    from jupyterfut.notebook import attach
    from jupyterfut.notebook.current import Cell

    known = weakref.ref(forms)

    def began(cell: Cell) -> None:
        forms = known()
        if forms is None:
            attach.off(began)
        elif cell.cell_id:
            forms.drop([form for form in forms if form.cell_id == cell.cell_id and form.run != cell.id])

    attach.attach()
    attach.on_cell_start(began)
