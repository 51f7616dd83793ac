"""What ran on a worker, in few rows."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from jupyterfut.core.worker.stream import ASIDE, COMPUTE, DISK, LANES, OTHERS, ROWS, TRANSFER, Row, Stream

Told = list[tuple[Any, ...]]


def call(name: str, start: float, stop: float, thread: int = 7, *, ok: bool = True, action: str = "compute", nbytes: int = 10) -> Row:
    return (action, f"{name}-{start}", start, stop, thread, "int", nbytes, ok, name)


def told(stream: Stream, rows: list[Row], *alive: int) -> Told:
    """(lane, name, start, stop, count) of the rows that come of these."""
    stream.feed(rows, lambda: alive)
    columns = stream.take()
    return list(zip(columns["threads"], columns["names"], columns["starts"], columns["stops"], columns["counts"], strict=True))


def test_long_calls_are_rows_of_their_own_with_all_that_is_known() -> None:
    stream = Stream(0.01)
    stream.feed([call("f", 1.0, 2.0), call("f", 2.0, 3.0, ok=False)], lambda: {7})
    assert stream.take() == {
        "threads": [0, 0], "names": ["f", "f"], "kinds": [COMPUTE, COMPUTE], "starts": [1.0, 2.0], "stops": [2.0, 3.0], "busy_s": [1.0, 1.0],
        "counts": [1, 1], "erred": [0, 1], "nbytes": [10, 10], "keys": ["f-1.0", "f-2.0"],
    }  # fmt: skip
    assert stream.take()["threads"] == []  # given away


def test_short_calls_of_one_function_are_one_row_for_as_long_as_they_go_on() -> None:
    rows = [call("f", i / 1024, (i + 0.5) / 1024, ok=i != 3) for i in range(1024)]
    stream = Stream(0.01)
    stream.feed(rows, lambda: {7})
    columns = stream.take()
    assert columns["counts"] == [1024] and columns["erred"] == [1] and columns["nbytes"] == [10240] and columns["keys"] == [""]
    assert columns["busy_s"] == [0.5] and columns["stops"] == [1023.5 / 1024]


def test_a_pause_ends_a_row() -> None:
    assert told(Stream(0.01), [call("f", 0.0, 0.001), call("f", 0.5, 0.501), call("f", 0.502, 0.503)]) == [
        (0, "f", 0.0, 0.001, 1),
        (0, "f", 0.5, 0.503, 2),
    ]


def test_functions_that_take_turns_get_their_share_of_each_grain() -> None:
    rows = [call("fg"[i % 2], i / 1000, i / 1000 + (0.0002, 0.0006)[i % 2]) for i in range(100)]
    seen = told(Stream(0.02), rows)
    assert len(seen) <= 2 * (0.1 / 0.02 + 1) and sum(row[-1] for row in seen) == 100
    assert all(one[3] <= other[2] for one, other in pairwise(seen))  # side by side
    f, g = seen[:2]
    assert (f[1], g[1]) == ("f", "g") and abs((g[3] - g[2]) / (f[3] - f[2]) - 3) < 1e-6


def test_too_many_functions_in_one_grain_share_a_row() -> None:
    seen = told(Stream(1.0), [call(f"f{i}", i / 1000, i / 1000 + 0.0005) for i in range(100)])
    assert [row[1] for row in seen] == ["f0", "f1", "f2", "f3", OTHERS] and seen[-1][-1] == 96


def test_a_long_call_stands_between_the_short_ones() -> None:
    seen = told(Stream(0.01), [call("f", 0.0, 0.001), call("slow", 0.001, 0.1), call("f", 0.1, 0.101)])
    assert seen == [(0, "f", 0.0, 0.001, 1), (0, "slow", 0.001, 0.1, 1), (0, "f", 0.1, 0.101, 1)]


def test_a_thread_takes_the_lane_of_one_that_has_ended() -> None:
    stream = Stream(0.01)
    assert [row[0] for row in told(stream, [call("f", 0.0, 1.0, 7), call("f", 0.0, 1.0, 8)], 7, 8)] == [0, 1]
    assert [row[0] for row in told(stream, [call("f", 1.0, 2.0, 9), call("f", 1.0, 2.0, 8)], 8, 9)] == [0, 1]
    crowd = tuple(range(100, 100 + 2 * LANES))
    assert {row[0] for row in told(stream, [call("f", 3.0, 4.0, thread) for thread in crowd], *crowd)} == set(range(LANES))


def test_transfers_and_the_disk_have_lanes_of_their_own_as_many_as_overlap() -> None:
    rows = [
        call("transfer", 0.0, 1.0, 0, action="transfer", nbytes=5),
        call("transfer", 0.5, 1.5, 0, action="transfer", nbytes=6),
        call("read", 1.2, 1.6, 0, action="read", nbytes=7),
        *[call("write", 1.55, 2.0, 0, action="write") for _ in range(9)],
    ]
    stream = Stream(0.01)
    stream.feed(rows, lambda: ())
    columns = stream.take()
    assert columns["threads"][:4] == [-1, -2, -1, -2] and columns["kinds"][:4] == [TRANSFER, TRANSFER, DISK, DISK]
    assert set(columns["threads"]) == set(range(-ASIDE, 0)) and columns["nbytes"][:3] == [5, 6, 7]


def test_what_still_runs_is_a_row_that_has_not_ended() -> None:
    stream = Stream(0.01)
    stream.still([("slow-1", 1.0, 7, "slow")], 5.0, lambda: {7})
    assert told(stream, []) == [(0, "slow", 1.0, 5.0, 0)]


def test_what_is_too_much_is_counted() -> None:
    stream = Stream(0.001)
    assert len(told(stream, [call("f", float(i), i + 0.5) for i in range(ROWS + 5)])) == ROWS
    assert stream.dropped == 5
