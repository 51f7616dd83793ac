"""`%%submit` in a real kernel, with a cluster of processes: the guide's page, cell by cell, and what only a kernel has."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernels import Kernel

pytestmark = pytest.mark.usefixtures("kernel_loop")

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "notebook-submit.md"
CELL = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JUPYTERFUT_NOTEBOOK_CACHE_DIRECTORY", str(tmp_path / "cells"))
    monkeypatch.setenv("PYTHONPATH", str(GUIDE.parents[2]) + os.pathsep + os.environ.get("PYTHONPATH", ""))
    kernel = Kernel()
    try:
        kernel.run("from jupyterfut import Client\nclient = Client(n_workers=2, threads_per_worker=1)")
        yield kernel
        kernel.run("client.close()")
    finally:
        kernel.end()


def test_the_guides_page(kernel: Kernel) -> None:
    said = [kernel.run(cell) for cell in CELL.findall(GUIDE.read_text(encoding="utf-8"))]
    assert "on the worker: 499500\n" in said[-1]
    assert "Wall time: " in said[-1]
    assert kernel.run("print(share.result(), [f.result() for f in line], total.result())") == f"{998001 / 332833500} {LINES} 499500\n"


LINES = ["a.csv: 5", "b.csv: 5", "c.csv: 5"]


def test_what_a_cell_prints_stands_under_it_and_quiet_cells_say_nothing(kernel: Kernel) -> None:
    kernel.run("%load_ext jupyterfut")
    assert kernel.run("%%submit --wait\nprint('from the worker')\n!echo and from its shell\nx = 1") == "from the worker\nand from its shell\n"
    assert kernel.run("%%submit --wait -q\nprint('from the worker')\ny = 2\ny") == ""
    assert kernel.run("print(x.result() + y.result())") == "3\n"


def test_cached_in_the_next_kernel(kernel: Kernel, tmp_path: Path) -> None:
    cells = [
        "%load_ext jupyterfut",
        f"class P:\n    def __init__(self, s):\n        self.s = s\np = P({{'b', 'a', 'c'}})\nruns = {str(tmp_path / 'runs')!r}",
        "%%submit --cached\nwith open(runs, 'a') as file:\n    file.write('x')\ndel file\nx = sorted(p.s)",
        "print(x.result())",
    ]
    assert [kernel.run(cell) for cell in cells][-1] == "['a', 'b', 'c']\n"
    other = Kernel()
    try:
        other.run("from jupyterfut import Client\nclient = Client(n_workers=1, threads_per_worker=1)")
        assert [other.run(cell) for cell in cells][-1] == "['a', 'b', 'c']\n"
        other.run("client.close()")
    finally:
        other.end()
    assert (tmp_path / "runs").read_text() == "x"
