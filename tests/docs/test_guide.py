"""The README and the guide: every block of Python on its pages runs, in order, in one namespace for each page, and gives what its comments say.

A block that needs what a test has not (other machines) says so on its fence: `python needs ...`.
"""

from __future__ import annotations

import operator
import re
from pathlib import Path

import pages
import pytest

import jupyterfut

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = [DOCS.parent / "README.md", *sorted([*(DOCS / "guide").glob("*.md"), *(DOCS / "learn").glob("*.md")])]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_page_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pages.opened(path) as page:
        for block in page.blocks:
            if block.kind != "python" or block.text.startswith("%"):
                continue  # cells with magics are run by the tests of the notebook layer
            if block.note.startswith("needs "):
                compile(block.text, str(block), "exec")
            else:
                pages.run(block, block.text, page.namespace)


def test_every_name_of_the_comparison_is_there() -> None:
    text = (DOCS / "learn" / "coming-from-dask.md").read_text(encoding="utf-8").partition("## Name by name")[2]
    rows = [row.split("|") for row in text.splitlines() if row.startswith("| ") and not row.startswith("| dask")]
    assert len(rows) > 30
    for row in rows:
        for name in re.findall(r"`([\w.]+)`", row[2]):
            operator.attrgetter(name)(jupyterfut)
