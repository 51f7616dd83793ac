"""Cells as tasks, as the page shows them: states that move while the kernel sleeps, output under its own cell, a saved notebook that is right."""

from __future__ import annotations

from collections.abc import Callable

from browser.lab import Notebook, Server, Window

LOAD = "%load_ext jupyterfut"


def test_a_cell_is_shown_as_done_while_the_kernel_sleeps(in_lab: Callable[..., Notebook]) -> None:
    notebook = in_lab(LOAD, "%%submit\nimport time\ntime.sleep(1)\nx = 'so ' + 'be it'\nx", "import time\ntime.sleep(4)")
    notebook.run(0, 1)
    notebook.run(2, wait=False)
    notebook.wait_text(1, "so be it")
    notebook.screenshot("cell-done-while-the-kernel-sleeps")
    assert "[*]" in notebook.cell(2).inner_text()
    notebook.wait_done(2)


def test_a_notebook_opened_again_without_a_kernel_shows_final_states(server: Server, window: Window, in_lab: Callable[..., Notebook]) -> None:
    notebook = in_lab(LOAD, "%%submit\nx = 'so ' + 'be it'\nx", "x.result()")
    notebook.run(0, 1, 2)
    notebook.wait_text(1, "so be it")
    notebook.save()
    window.close_notebook()
    server.shut_down_kernels()
    notebook = window.open(notebook.path, kernel=False)
    notebook.wait_text(1, "so be it")
    assert server.ask("GET", "kernels") == []


def test_in_notebook_7(in_notebook_7: Callable[..., Notebook]) -> None:
    notebook = in_notebook_7(LOAD, "%%submit\nimport time\ntime.sleep(1)\nx = 'so ' + 'be it'\nx", "import time\ntime.sleep(4)")
    notebook.run(0, 1)
    notebook.run(2, wait=False)
    notebook.wait_text(1, "so be it")
    assert "[*]" in notebook.cell(2).inner_text()
    notebook.wait_done(2)
