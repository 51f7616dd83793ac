"""`%%submit for NAME in ITERABLE`: once for each element, in parallel; lists of futures, and futures of such lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.error import UsageError
from shells import Shell, opened

from jupyterfut import Client, Future
from jupyterfut.client.future_list import FutureList
from jupyterfut.notebook.submit.for_clause import split


@pytest.fixture(params=["threads", "processes"])
def notebook(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[Shell]:
    """With a cluster in this process, and with one of processes."""
    with opened(monkeypatch, tmp_path) as notebook:
        with Client(processes=request.param == "processes", n_workers=2, threads_per_worker=2) as client:
            notebook["client"] = client
            yield notebook
            notebook.ip.reset(new_session=False)


def values(notebook: Shell, name: str) -> list[Any]:
    """The values of a name that holds a list of futures."""
    held = notebook[name]
    if isinstance(held, Future):
        held = held.result(timeout=20)
    assert isinstance(held, FutureList)
    return [future.result(timeout=20) for future in held]


def test_each_name_is_a_list_of_futures_in_order(notebook: Shell) -> None:
    notebook.run("xs = [3, 1, 2]\nk = 10")
    notebook.run("%%submit for x in xs\ny = x * k\nz = -x")
    assert (values(notebook, "y"), values(notebook, "z")) == ([30, 10, 20], [-3, -1, -2])
    assert "x" not in notebook, "the element's own name is bound in each task only"


def test_elements_of_every_kind(notebook: Shell) -> None:
    notebook.run("class K:\n    def __init__(self, x): self.x = x\ndef f(k): return k.x + 1")
    notebook.run("ks = [K(1), K(2)]\npairs = {'a': 1, 'b': [2]}")
    notebook.run("%%submit for k in ks\nk.x += 10\nw = f(k), isinstance(k, K)")
    notebook.run("%%submit for name, (i, *rest) in zip(pairs, [(1, 2, 3), (4,)])\nv = name, i, rest, pairs[name]")
    notebook.run("%%submit for n in pairs\nm = n")
    notebook.run("%%submit for n in []\nnone = n")
    assert values(notebook, "w") == [(12, True), (13, True)]
    assert [k.x for k in notebook["ks"]] == [1, 2], "the notebook's own objects are untouched"
    assert values(notebook, "v") == [("a", 1, [2, 3], 1), ("b", 4, [], [2])]
    assert values(notebook, "m") == ["a", "b"]
    assert values(notebook, "none") == []


def test_an_element_that_fails_fails_alone(notebook: Shell) -> None:
    error = notebook.fails("%%submit --wait for x in [1, 0, 2]\ny = 2 // x")
    assert isinstance(error, ZeroDivisionError)
    assert "in element 1 of %%submit for x in ...: 0" in error.__notes__
    assert [future.status for future in notebook["y"]] == ["finished", "error", "finished"]


def test_a_list_of_futures_is_read_element_by_element(notebook: Shell) -> None:
    notebook.run("%%submit for x in range(3)\na = x + 1")
    notebook.run("%%submit for x, y in zip(a, 'abc')\nb = x, y")
    notebook.run("%%submit\ntotal = sum(a), b")
    assert values(notebook, "b") == [(1, "a"), (2, "b"), (3, "c")]
    assert notebook.value("total") == (6, [(1, "a"), (2, "b"), (3, "c")])


def test_a_list_that_is_still_being_made(notebook: Shell) -> None:
    """Nobody here knows how many: a task submits the elements, and each name is one future, of the list of futures."""
    notebook.run("%%submit\nfiles = ['a', 'bb', '']")
    notebook.run("%%submit for fn in files\nn = len(fn)")
    notebook.run("%%submit for i in n\nm = i + 1\ntop = max(n)")
    notebook.run("%%submit --wait for i, fn in enumerate(files)\np = i, fn")
    notebook.run("%%submit --get\ntotal = sum(m)")
    assert isinstance(notebook["n"], Future)
    assert values(notebook, "n") == [1, 2, 0]
    assert (values(notebook, "m"), values(notebook, "top")) == ([2, 3, 1], [2, 2, 2])
    assert values(notebook, "p") == [(0, "a"), (1, "bb"), (2, "")]
    assert notebook["total"] == 6
    notebook.run("%%submit for fn in files\nx = 1 / len(fn)")
    assert [future.exception() is None for future in notebook["x"].result()] == [True, True, False]
    assert isinstance(notebook.fails("%%submit --wait for v in files\n1 / len(v)"), ZeroDivisionError)


def test_getting_the_values(notebook: Shell) -> None:
    notebook.run("%%submit --get for x in [1, 2]\ny = x * 2")
    notebook.run("%%submit\nfiles = ['a', 'bb']")
    notebook.run("%%submit --get for fn in files\nn = len(fn)")
    assert (notebook["y"], notebook["n"]) == ([2, 4], [1, 2])


def test_running_it_again_drops_the_earlier_run(notebook: Shell) -> None:
    notebook.ip.get_parent = lambda: {"metadata": {"cellId": "the same"}}
    notebook.run("%%submit --wait for x in [1, 2]\nold = x")
    notebook.run("%%submit --wait for x in [1, 2, 3]\nnew = x")
    assert "old" not in notebook
    assert values(notebook, "new") == [1, 2, 3]


@pytest.mark.parametrize(
    ("line", "error", "text"),
    [
        ("for x in", SyntaxError, "invalid syntax"),
        ("for x.y in xs", UsageError, "into names, not into x.y"),
        ("for x in xs --wait", UsageError, "options stand before"),
        ("for 1 in xs", SyntaxError, "cannot assign to literal"),
    ],
)
def test_what_is_no_clause(line: str, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        split(line)


def test_what_goes_wrong_before_anything_is_submitted(notebook: Shell) -> None:
    assert "'nowhere' is not defined" in str(notebook.fails("%%submit for x in nowhere\ny = x"))
    assert isinstance(notebook.fails("%%submit for x in 5\ny = x"), TypeError)
    assert isinstance(notebook.fails("%%submit for x in [1 / 0]\ny = x"), ZeroDivisionError)
    assert "y" not in notebook
