"""Tasks: the page that calls futures tasks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from futures_page import FuturesPage
from pages import Page

from jupyterfut import Client, Future, Task

DOCUMENT = "003_tasks.md"


class TestTasks(FuturesPage):
    one, many, waiting = "task", "tasks", "Waiting on Tasks"

    def test_the_name(self) -> None:
        assert Task is Future

    @pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")  # dask's own way with a newer pandas
    def test_write_a_collection(self, page: Page, tmp_path: Path) -> None:
        import dask.dataframe as dd
        import pandas as pd

        frame = dd.from_pandas(pd.DataFrame({"a": [1, 2, 3]}), npartitions=2)

        class Elsewhere:
            """The page's path leads to the directory of this test."""

            @staticmethod
            def to_parquet(path: str, compute: bool) -> object:
                return frame.to_parquet(str(tmp_path / Path(path).name), compute=compute)

        async def story() -> None:
            async with Client(processes=False, asynchronous=True) as client:
                page.given(client=client, ddf=Elsewhere())
                await page.play_async("Asynchronous Operation", 1)

        asyncio.run(story())
        assert sorted(pd.read_parquet(tmp_path / "some.parquet")["a"]) == [1, 2, 3]
