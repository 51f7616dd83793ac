"""A real IPython shell for tests of magics, and what a user does with it."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from jupyterfut import Future

PATIENCE_S = 20


class Recorder(DisplayPublisher):
    """Keeps the text of what is displayed; `updates` has that of what replaces something."""

    def start(self) -> None:
        self.shown: list[str] = []
        self.updates: queue.SimpleQueue[str] = queue.SimpleQueue()

    def publish(self, data: dict[str, Any], metadata: Any = None, *, transient: Any = None, update: bool = False, **rest: Any) -> None:
        (self.updates.put if update else self.shown.append)(data["text/plain"])


class Shell:
    """A shell with the extension loaded."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.ip = shell
        self.shown: Recorder = shell.display_pub

    def run(self, cell: str) -> Any:
        """Run a cell; raise what it raises, else return the value of its last expression."""
        result = self.ip.run_cell(cell, store_history=True)
        result.raise_error()
        return result.result

    def fails(self, cell: str) -> BaseException:
        """Run a cell that raises; return what."""
        result = self.ip.run_cell(cell, store_history=True)
        error = result.error_before_exec or result.error_in_exec
        assert error is not None, "the cell ran"
        return error

    def __getitem__(self, name: str) -> Any:
        return self.ip.user_ns[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.ip.user_ns[name] = value

    def __contains__(self, name: str) -> bool:
        return name in self.ip.user_ns

    def value(self, name: str) -> Any:
        """The result of the future with this name."""
        future = self[name]
        assert isinstance(future, Future), f"{name} is a {type(future).__name__}"
        return future.result(timeout=PATIENCE_S)


@contextmanager
def opened(monkeypatch: pytest.MonkeyPatch, path: Path) -> Iterator[Shell]:
    """A shell of its own, gone afterwards."""
    monkeypatch.setenv("IPYTHONDIR", str(path))
    InteractiveShell.clear_instance()
    config = Config({"HistoryManager": {"enabled": False}, "InteractiveShell": {"colors": "nocolor"}})
    shell = InteractiveShell.instance(config=config, display_pub_class=Recorder)
    shell.display_pub.start()
    try:
        shell.run_line_magic("load_ext", "jupyterfut")
        yield Shell(shell)
        shell.reset(new_session=False)
        shell.run_line_magic("unload_ext", "jupyterfut")
    finally:
        InteractiveShell.clear_instance()
