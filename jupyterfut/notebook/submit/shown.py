"""The card under a submitted cell: first that it is on its way, in the end that it is done, how long the list of its elements was, or how it failed.
What the cell prints and displays is not here: it comes beneath, as any output does (`output`).

The kernel does not wait for it. The card is put under the cell when it is submitted and replaced once, when the cell is done, from the thread in
which the client calls back; it is found by its display id, so it does not matter which cell runs by then.
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from typing import TYPE_CHECKING

from jupyterfut.client.client import Client
from jupyterfut.notebook import live
from jupyterfut.notebook.errors.tracebacks import traceback_text
from jupyterfut.notebook.live.cell import CellForm
from jupyterfut.notebook.submit.run import CELL_ATTRIBUTE, CellEnd
from jupyterfut.notebook.submit.sending import Run
from jupyterfut.views import html, text
from jupyterfut.views.snapshots import CellView

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from jupyterfut.client.futures import Future


def show_card(shell: InteractiveShell, client: Client, run: Run, *, static: bool) -> None:
    """Put the card of this run under the cell that is running."""
    reason = ""
    if not client.asynchronous and any(task._record.particular for task in run.tasks[:1]):
        reason = run.tasks[0]._view().reason  # it may wait for a worker that nobody has
    card = _Card(shell, run, CellView(run.name, "pending", tuple(run.names), reason), static=static)
    for end in run.ends:
        end.add_done_callback(card.ended)
    if not run.ends:
        card.finish([], [])


class _Card:
    """The output of one submitted cell."""

    def __init__(self, shell: InteractiveShell, run: Run, view: CellView, *, static: bool) -> None:
        self.shell = shell
        self.view = view
        self.static = static
        self.run: Run | None = run
        self.left = len(run.ends)
        self.lock = threading.Lock()
        self.form: CellForm | None = None
        if not static and getattr(shell, "kernel", None) is not None:
            self.form = CellForm(view, run.ends, run.tasks, run.names, elements=run.elements, again=self.again)
            live.add(self.form)
            return
        self.display_id = f"jupyterfut-{uuid.uuid4().hex}"
        self._publish(view, update=False)

    def again(self, ends: list[Future]) -> None:
        """Some of its ends have been reopened: the cell runs once more. On the client's loop."""
        with self.lock:
            under_way = self.left > 0
            self.run, self.left = Run(self.view.name, {}, list(ends), list(ends)), len(ends)
        if not under_way:
            for end in ends:
                end.add_done_callback(self.ended)

    def ended(self, end: Future) -> None:
        """The done callback of each end."""
        with self.lock:
            self.left -= 1
            if self.left:
                return
            run, self.run = self.run, None
        assert run is not None
        if end.client.asynchronous:  # we are on the loop, where nothing may block
            self._finishing = asyncio.ensure_future(self._finish_async(run))
            return
        failed = [run.failure(number) for number, one in enumerate(run.ends) if one.status != "finished"]
        errors = [(str(one.status), one.exception()) for one in failed[:1]] * len(failed)
        self.finish([one.result() for one in run.ends if one.status == "finished"], errors)

    async def _finish_async(self, run: Run) -> None:
        failed = [run.failure(number) for number, one in enumerate(run.ends) if one.status != "finished"]
        errors = [(str(one.status), await one.exception()) for one in failed[:1]] * len(failed)
        self.finish([await one for one in run.ends if one.status == "finished"], errors)

    def finish(self, ended: list[CellEnd], failed: list[tuple[str, BaseException]]) -> None:
        """All is done. `failed`: status and error, those of the first as often as something has failed."""
        count = len(ended) + len(failed)
        if failed:
            status, error = failed[0]
            reason = f"{type(error).__name__}: {error}"
            view = self.view._replace(status=status, reason=reason)
            if status == "error":
                culprit = getattr(error, CELL_ATTRIBUTE, self.view.name)
                said = traceback_text(self.shell, error)
                if culprit != self.view.name:
                    said = f"{culprit} failed, from which this cell reads:\n{said}"
                if count > 1:
                    said = f"{len(failed)} of {count} elements failed; the first:\n{said}"
                view = view._replace(traceback=said)
        else:
            cached = bool(ended) and all(end.cached for end in ended)
            view = self.view._replace(status="finished", reason="cached: nothing has changed since an earlier run" if cached else "")
        self._publish(view, update=True)

    def _publish(self, view: CellView, *, update: bool) -> None:
        if self.form is not None:
            self.form.end(view)
            return
        data = {"text/plain": text.cell(view, static=self.static), "text/html": html.cell(view, static=self.static)}
        self.shell.display_pub.publish(data=data, metadata={}, transient={"display_id": self.display_id}, update=update)
