"""Handle Evolving Workflows: the notebook, in a real kernel, cell by cell.

Its functions sleep at random, 13 seconds in a row; here `time.sleep` in the notebook is twenty times as quick.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from kernels import Kernel
from pages import Block, read, with_our_imports

DOCUMENT = "002_evolving_workflows.md"

pytestmark = pytest.mark.usefixtures("kernel_loop")

QUICKER = """
from types import SimpleNamespace
time = SimpleNamespace(sleep=lambda seconds, sleep=time.sleep: sleep(seconds / 20))
"""


def cells() -> dict[str, Block]:
    return {block.section: block for block in read(Path(__file__).with_name(DOCUMENT)) if block.kind == "python"}


def test_the_notebook() -> None:
    code = {number: with_our_imports(block.text) for number, block in cells().items()}
    kernel = Kernel()
    try:
        kernel.run(code["[1]"])
        assert kernel.shown["text/plain"] == "['file.0.txt', 'file.1.txt', 'file.2.txt']"
        kernel.run(code["[2]"] + QUICKER)
        assert "Wall time" in kernel.run(code["[3]"])
        kernel.run(code["[4]"])
        assert "threads=6" in kernel.shown["text/plain"]
        assert "6" in kernel.shown["text/html"]
        kernel.run(code["[5]"])
        same_kind_of_numbers(kernel.shown["text/plain"])
        kernel.run(code["[6]"])
        kernel.run("blocking = client\n" + code["[6a]"])
        same_kind_of_numbers(kernel.shown["text/plain"])
        kernel.run("await client.close()\nclient = blocking\n" + code["[7]"])
        same_kind_of_numbers(kernel.shown["text/plain"])
        kernel.run(code["[8]"])
        kernel.run("sum(results, [])")
        same_kind_of_numbers(kernel.shown["text/plain"])
    finally:
        kernel.end()


def same_kind_of_numbers(shown: str) -> None:
    """From one to ten of ten files, each one more than a number from 0 to 1: which, nobody knows."""
    numbers = ast.literal_eval(shown)
    assert 10 <= len(numbers) <= 100
    assert all(1 <= number <= 2 for number in numbers)
