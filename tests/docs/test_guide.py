"""The guide: every block of Python on its pages runs, in order, in one namespace for each page, and gives what its comments say.

A block that needs what a test has not (other machines) says so on its fence: `python needs ...`.
"""

from __future__ import annotations

from pathlib import Path

import pages
import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted([*(DOCS / "guide").glob("*.md"), *(DOCS / "learn").glob("*.md")])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_page_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pages.opened(path) as page:
        for block in page.blocks:
            if block.kind == "python" and not block.note.startswith("needs "):
                pages.run(block, block.text, page.namespace)
            elif block.kind == "python":
                compile(block.text, str(block), "exec")
