"""Futures: the page as most people know it."""

from __future__ import annotations

import itertools

from futures_page import FuturesPage
from pages import Page

DOCUMENT = "004_futures.md"


class TestFutures(FuturesPage):
    one, many, waiting = "future", "futures", "Waiting on Futures"


def test_restoring_added_only_space(page: Page) -> None:
    def lines(text: str) -> list[str]:
        return [line.strip() for line in text.splitlines() if line.strip()]

    pairs = [(found, restored) for found, restored in itertools.pairwise(page.blocks) if found.note == "as found"]
    assert len(pairs) > 20
    for found, restored in pairs:
        added = ["..."] if "access protected resource" in found.text else []
        assert lines(restored.text) == lines(found.text) + added, str(found)
