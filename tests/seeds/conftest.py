"""A page for each test: the fixture `page` opens the document that the test module names as DOCUMENT."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pages
import pytest


@pytest.fixture
def page(request: pytest.FixtureRequest) -> Iterator[pages.Page]:
    with pages.opened(Path(__file__).with_name(request.module.DOCUMENT)) as page:
        yield page
