"""Which tasks ran when: rows of the workers, on this clock."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyterfut import Client, get_client, get_task_stream, performance_report


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(processes=False, n_workers=2, threads_per_worker=1) as client:
        yield client


def work(x: int) -> bytes:
    return bytes(x)


def everywhere(client: Client) -> None:
    """What the scheduler has said to workers by now, they have heard when this is back."""
    client.gather([client.submit(work, 1, workers=worker, pure=False) for worker in client.nthreads()])


def rows_of_workers(client: Client) -> list[object]:
    return list(client.run(lambda dask_worker: dask_worker._executor.rows).values())


def test_rows_say_what_ran_where_and_when(client: Client) -> None:
    client.submit(work, 1).result()  # nobody watches
    before = time.time()
    with get_task_stream() as ts:
        futures = client.map(work, [10, 20])
        client.gather(futures)
    after = time.time()
    client.submit(work, 2).result()  # nobody watches any more
    assert {row["key"] for row in ts.data} == {future.key for future in futures}
    for row in ts.data:
        assert (row["prefix"], row["action"], row["type"], row["status"]) == ("work", "compute", "bytes", "OK")
        assert before - 0.05 <= row["start"] <= row["stop"] <= after + 0.05
        assert row["startstops"] == [{"action": "compute", "start": row["start"], "stop": row["stop"]}]
        assert row["worker"] in client.nthreads()
        assert row["thread"] > 0
    assert ts.data == sorted(ts.data, key=lambda row: row["start"])
    assert ts.figure is None


def test_nothing_is_recorded_while_nobody_asks(client: Client) -> None:
    assert rows_of_workers(client) == [None, None]
    everywhere(client)
    with get_task_stream():
        everywhere(client)
        assert None not in rows_of_workers(client)
        with get_task_stream():
            pass
        everywhere(client)
        assert None not in rows_of_workers(client)
    everywhere(client)
    assert rows_of_workers(client) == [None, None]


def test_a_client_that_goes_takes_its_wish_along(client: Client) -> None:
    with Client(client.address, set_as_default=False) as other:
        assert other.get_task_stream() == []
        everywhere(client)
        assert None not in rows_of_workers(client)
    everywhere(client)
    assert rows_of_workers(client) == [None, None]


def test_failures_are_rows_too(client: Client) -> None:
    with get_task_stream() as ts:
        client.submit(lambda: 1 / 0).exception()
    assert [(row["status"], row["type"], row["nbytes"]) for row in ts.data] == [("error", "", 0)]


def test_the_method_takes_a_part(client: Client) -> None:
    assert client.get_task_stream() == []
    for x in range(5):
        client.submit(work, x).result()
    rows = client.get_task_stream()
    assert len(rows) == 5
    assert client.get_task_stream(count=2) == rows[3:]
    assert client.get_task_stream(count=0) == []
    middle = (rows[2]["start"] + rows[2]["stop"]) / 2
    assert client.get_task_stream(start=middle) == rows[2:]
    assert client.get_task_stream(stop=middle) == rows[:3]
    assert client.get_task_stream(start=middle, count=1) == rows[2:3]
    assert [row["key"] for row in client.get_task_stream(start="1 min", count=2)] == [row["key"] for row in rows[:2]]
    assert client.get_task_stream(start="0 s") == []
    assert client.get_task_stream(stop="1 min") == []


def test_inside_a_task(client: Client) -> None:
    def inner() -> int:
        with get_task_stream() as ts:
            get_client().submit(work, 3).result()
        return len(ts.data)

    assert client.submit(inner).result() == 1


def test_the_picture(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "stream.html"
    with get_task_stream(plot="save", filename=str(path)) as ts:
        client.gather(client.map(work, range(50)))
    assert ts.figure is not None
    assert "<svg" in ts.figure._repr_html_()
    page = path.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "<b>work</b> 50 in" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    rows, figure = client.get_task_stream(plot=True)
    assert rows == []
    assert "no task has ended" in figure.html


def test_an_asynchronous_client() -> None:
    async def main() -> None:
        async with Client(processes=False, n_workers=1, threads_per_worker=1, asynchronous=True) as client:
            async with get_task_stream(client) as ts:
                await client.submit(work, 1)
            assert len(ts.data) == 1
            assert await client.get_task_stream() == []
            await client.submit(work, 2)
            assert len(await client.get_task_stream()) == 1
            with pytest.raises(TypeError, match="async with"):
                get_task_stream(client).__enter__()

    asyncio.run(main())


def test_bad_input(client: Client) -> None:
    with pytest.raises(ValueError, match="plot is"):
        get_task_stream(plot="png")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="count is a number of rows"):
        client.get_task_stream(count=-1)
    with pytest.raises(ValueError, match="is not a duration"):
        client.get_task_stream(start="nonsense")


def test_two_threads_are_two_lanes(client: Client) -> None:
    barrier = threading.Barrier(2)
    with get_task_stream() as ts:
        client.gather([client.submit(barrier.wait, 30, workers=worker, pure=False) for worker in client.nthreads()])
    assert len({row["thread"] for row in ts.data}) == 2


# --- performance_report


def test_a_report_is_one_file_with_everything(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    with performance_report(filename=path):
        futures = client.map(work, range(20))
        failing = client.submit(lambda: 1 / 0)
        client.gather(futures)
        failing.exception()
    page = path.read_text(encoding="utf-8")
    assert "<b>21</b><span>tasks</span>" in page
    assert "<b class=bad>1</b><span>failed</span>" in page
    assert "with performance_report(filename=path):\n    futures = client.map(work, range(20))" in page
    assert "page = path.read_text" not in page
    everywhere(client)
    assert rows_of_workers(client) == [None, None]


def test_a_block_that_raises_has_a_report_too(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        with performance_report(filename=tmp_path / "report.html"):
            client.submit(lambda: 1 / 0).result()
    assert "failed" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_report_that_cannot_be_written_is_refused_first(client: Client, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        with performance_report(filename=tmp_path / "nowhere" / "report.html"):
            pytest.fail("the block must not run")
    assert rows_of_workers(client) == [None, None]


def test_a_report_of_an_asynchronous_client(tmp_path: Path) -> None:
    async def main() -> None:
        async with Client(processes=False, n_workers=1, threads_per_worker=1, asynchronous=True) as client:
            with client.as_current():
                with pytest.raises(TypeError, match="async with"):
                    performance_report(filename=tmp_path / "report.html").__enter__()
                async with performance_report(filename=tmp_path / "report.html"):
                    await client.submit(work, 1)

    asyncio.run(main())
    assert "<b>1</b><span>task</span>" in (tmp_path / "report.html").read_text(encoding="utf-8")
