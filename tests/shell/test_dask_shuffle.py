"""Dataframes are shuffled by tasks while a client is open, since workers need not share a disk; and by dask's own choice before and after."""

from __future__ import annotations

import dask
from dask.utils import get_default_shuffle_method

from jupyterfut import Client


def test_shuffles_are_tasks_while_there_is_a_client() -> None:
    assert get_default_shuffle_method() == "disk"
    with Client(processes=False):
        assert get_default_shuffle_method() == "tasks"
    assert get_default_shuffle_method() == "disk"


def test_what_a_user_sets_stays() -> None:
    with dask.config.set({"dataframe.shuffle.method": "tasks"}):
        with Client(processes=False):
            assert get_default_shuffle_method() == "tasks"
        assert get_default_shuffle_method() == "tasks"
    with Client(processes=False), dask.config.set({"dataframe.shuffle.method": "disk"}):
        assert get_default_shuffle_method() == "disk"


def test_a_shuffle() -> None:
    import dask.dataframe as dd
    import pandas as pd

    with Client(processes=False):
        frame = dd.from_pandas(pd.DataFrame({"a": range(100), "b": [i % 7 for i in range(100)]}), npartitions=8)
        assert sorted(frame.set_index("b").a.compute()) == list(range(100))
        assert frame.merge(frame, on="b").shape[0].compute() == 1430
