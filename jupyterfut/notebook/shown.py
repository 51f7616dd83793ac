"""What stands under a submitted cell: first that it is on its way, in the end what it printed and displayed, or how it failed.

The kernel does not wait for it. One output is put under the cell when it is submitted and replaced once, when the cell is done, from the thread in
which the client calls back; it is found by its display id, so it does not matter which cell runs by then.
"""

from __future__ import annotations

import asyncio
import traceback
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jupyterfut.notebook.outputs import Bundle, Output
from jupyterfut.notebook.run import OUTPUTS_ATTRIBUTE
from jupyterfut.views import html, text
from jupyterfut.views.snapshots import CellView

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from jupyterfut.client.futures import Future


class Shown:
    """The output of one submitted cell."""

    def __init__(self, shell: InteractiveShell, view: CellView, *, static: bool) -> None:
        self.shell = shell
        self.view = view
        self.static = static
        self.display_id = f"jupyterfut-{uuid.uuid4().hex}"
        self._publish(self._state(view), update=False)

    def finish(self, future: Future) -> None:
        """The done callback of the future of the cell's outputs."""
        if future.client.asynchronous:  # we are on the loop, where nothing may block
            self._finishing = asyncio.ensure_future(self._finish_async(future))
        elif future.status == "finished":
            self._succeeded(future.result())
        else:
            self._failed(future.status, future.exception())

    async def _finish_async(self, future: Future) -> None:
        if future.status == "finished":
            self._succeeded(await future)
        else:
            self._failed(future.status, await future.exception())

    def _succeeded(self, outputs: Sequence[Output]) -> None:
        self._publish(joined(outputs) if outputs else self._state(self.view._replace(status="finished", reason="")), update=True)

    def _failed(self, status: str, error: BaseException) -> None:
        view = self.view._replace(status=status, reason=f"{type(error).__name__}: {error}")
        if status == "error":
            printed = joined(getattr(error, OUTPUTS_ATTRIBUTE, ()))["text/plain"]
            view = view._replace(printed=printed, traceback=traceback_text(self.shell, error))
        self._publish(self._state(view), update=True)

    def _state(self, view: CellView) -> Bundle:
        return {"text/plain": text.cell(view, static=self.static), "text/html": html.cell(view, static=self.static)}

    def _publish(self, bundle: Bundle, *, update: bool) -> None:
        self.shell.display_pub.publish(data=bundle, metadata={}, transient={"display_id": self.display_id}, update=update)


def show(shell: InteractiveShell, outputs: Sequence[Output]) -> None:
    """Show them now, as the outputs of the running cell."""
    for output in outputs:
        if isinstance(output, str):
            print(output, end="", flush=True)  # noqa: T201  # the cell's own text, where print puts it
        else:
            shell.display_pub.publish(data=output, metadata={})


def joined(outputs: Sequence[Output]) -> Bundle:
    """Several outputs as one: all texts in order, and in HTML with the richest form that each has. A single one stays what it is.

    >>> joined(["a line\\n", {"text/plain": "42"}])["text/plain"]
    'a line\\n42'
    """
    if len(outputs) == 1 and isinstance(outputs[0], dict):
        return outputs[0]
    texts = [output if isinstance(output, str) else str(output.get("text/plain", "")) for output in outputs]
    lines = [part if part.endswith("\n") or part is texts[-1] else f"{part}\n" for part in texts]
    return {"text/plain": "".join(lines).removesuffix("\n"), "text/html": html.outputs(outputs)}


def traceback_text(shell: InteractiveShell, error: BaseException) -> str:
    """The error with the user's frames only, cells named as IPython names them."""
    lines = "".join(traceback.format_exception(error))
    names: dict[str, Any] = shell.compile._filename_map
    for filename, number in names.items():
        if filename in lines:
            lines = lines.replace(f'File "{filename}"', f"Cell In[{number}]")
    return lines.rstrip()
