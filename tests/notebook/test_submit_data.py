"""What a `%%submit` cell takes along: large values once, modules beside the notebook by value; and what it keeps: `--cached`."""

from __future__ import annotations

import gc
import os
import stat
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shells import Shell, opened

from jupyterfut import Client, config
from jupyterfut.notebook.submit import cache
from jupyterfut.notebook.submit.content import Content, NoContent


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The notebook's, with a cache of its own beside it."""
    here = tmp_path / "notebook"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(str(here))
    monkeypatch.setenv("JUPYTERFUT_NOTEBOOK_CACHE_DIRECTORY", str(tmp_path / "cache" / "cells"))
    config._read.cache_clear()
    return here


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch, directory: Path, tmp_path: Path) -> Iterator[Shell]:
    """With a cluster of one process."""
    with opened(monkeypatch, tmp_path / "ipython") as notebook:
        with Client(n_workers=1, threads_per_worker=2) as client:
            notebook["client"] = client
            yield notebook
            notebook.ip.reset(new_session=False)


def pieces(notebook: Shell) -> list[str]:
    """The keys of the large pieces that the cluster has. (What has died when the first question is asked is let go of after it.)"""
    gc.collect()
    notebook["client"].has_what()
    return [key for keys in notebook["client"].has_what().values() for key in keys if key.startswith("cell-data-")]


# --- large values


def test_an_array_is_sent_once_and_goes_when_the_notebook_drops_it(notebook: Shell) -> None:
    notebook["a"] = np.arange(300_000.0)
    notebook.run("class Box:\n    pass\nbox = Box()\nbox.inside = [a]\ndef f(): return a.sum()")
    for cell in ("x = a.sum()", "y = box.inside[0].sum(), f()", "a.sort(); a[0] = -1; z = a[0]"):
        notebook.run(f"%%submit --wait\n{cell}")
    assert [notebook.value(name) for name in "xyz"] == [notebook["box"].inside[0].sum()] + [(notebook["box"].inside[0].sum(),) * 2] + [-1.0]
    assert len(pieces(notebook)) == 1, "three cells, one piece; each cell changed a copy of its own"
    notebook.run("del a, box, f, z")
    assert pieces(notebook) == []


def test_a_large_list_is_sent_once(notebook: Shell) -> None:
    notebook["words"] = [f"word {i}" for i in range(200_000)]
    notebook.run("same = words")
    notebook.run("%%submit --wait\nn = len(words), words is same")
    notebook.run("%%submit --wait\nm = words[-1]")
    assert (notebook.value("n"), notebook.value("m")) == ((200_000, True), "word 199999")
    assert len(pieces(notebook)) == 1
    notebook.run("words[0] = 'another'")
    notebook.run("%%submit --wait\nfirst = words[0]")
    assert notebook.value("first") == "another"
    notebook.run("del words, same")
    assert pieces(notebook) == []


def test_values_are_those_of_the_moment_even_when_they_are_large(notebook: Shell) -> None:
    notebook["a"] = np.zeros(300_000)
    notebook.run("import threading")
    notebook.run("%%submit --wait\nx = a[0]")
    notebook.run("a[:] = 1")
    notebook.run("%%submit\ny = a[0]")
    notebook.run("a[:] = 2")
    assert (notebook.value("x"), notebook.value("y")) == (0, 1)


# --- modules beside the notebook


def write(path: Path, text: str) -> None:
    path.write_text(textwrap.dedent(text))
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 10_000_000 * len(text)))  # editors are slower than this


@pytest.fixture
def fresh_modules() -> Iterator[None]:
    yield
    for name in [name for name in sys.modules if name.startswith("beside_")]:
        del sys.modules[name]


@pytest.mark.usefixtures("fresh_modules")
def test_an_edit_on_disk_reaches_the_next_cell(notebook: Shell, directory: Path) -> None:
    write(directory / "beside_base.py", "K = 1\n")
    write(directory / "beside_helper.py", "from beside_base import K\nclass P:\n    pass\ndef f(): return K\n")
    notebook.run("import beside_helper\np = beside_helper.P()")
    notebook.run("%%submit --wait\nx = beside_helper.f(), type(p) is beside_helper.P\nq = beside_helper.P()")
    write(directory / "beside_base.py", "K = 20\n")
    notebook.run("%%submit --wait\ny = beside_helper.f()")
    write(directory / "beside_helper.py", "from beside_base import K\nclass P:\n    pass\ndef f(): return K + 1\n")
    notebook.run("import importlib; importlib.reload(beside_helper)")
    notebook.run("%%submit --wait\nz = beside_helper.f(), isinstance(p, beside_helper.P)")
    assert (notebook.value("x"), notebook.value("y"), notebook.value("z")[0]) == ((1, True), 20, 21)
    assert type(notebook.value("q")).__name__ == "P"


def test_a_package_that_only_the_cell_imports(notebook: Shell, directory: Path) -> None:
    (directory / "beside_pkg").mkdir()
    write(directory / "beside_pkg" / "__init__.py", "from .inner import g\n")
    write(directory / "beside_pkg" / "inner.py", "def g(): return 'first'\n")
    notebook.run("%%submit --wait\nimport beside_pkg\nx = beside_pkg.g()\ndel beside_pkg")
    write(directory / "beside_pkg" / "inner.py", "def g(): return 'second version'\n")
    notebook.run("%%submit --wait\nfrom beside_pkg.inner import g\ny = g()\ndel g")
    assert (notebook.value("x"), notebook.value("y")) == ("first", "second version")


# --- the cache


def count_runs(notebook: Shell, path: Path) -> Callable[[], int]:
    notebook["path"] = path
    path.write_text("")
    return lambda: len(path.read_text())


CELL = "%%submit --wait --cached\nwith open(path, 'a') as file:\n    file.write('x')\ndel file\ny = f(x)\ny"


def test_an_unchanged_cell_gives_its_earlier_result(notebook: Shell, tmp_path: Path) -> None:
    runs = count_runs(notebook, tmp_path / "runs")
    notebook.run("k = 2\ndef f(x): return x * k\nx = 3")
    notebook.run(CELL)
    notebook.run(CELL.replace("del file", "del file   # a comment, and other\n\n# lines"))
    notebook.run("def f(x):\n\n    return x * k")
    notebook.run(CELL)
    assert (runs(), notebook.value("y")) == (1, 6)
    notebook.run("k = 5")
    notebook.run(CELL)
    assert (runs(), notebook.value("y")) == (2, 15)
    notebook.run("x = client.submit(abs, -3)")
    notebook.run(CELL)
    notebook.run("x = client.submit(abs, 3, pure=False)")
    notebook.run(CELL)
    assert (runs(), notebook.value("y")) == (3, 15), "the value of a future counts, not which future it is"
    notebook.run(CELL.replace("--wait ", ""))
    assert "cached: nothing has changed" in notebook.shown.updates.get(timeout=20)


def test_after_a_restart_of_everything(monkeypatch: pytest.MonkeyPatch, directory: Path, tmp_path: Path) -> None:
    for _ in range(2):
        with opened(monkeypatch, tmp_path / "ipython") as notebook:
            with Client(n_workers=1, threads_per_worker=1) as client:
                notebook["client"] = client
                notebook["path"] = tmp_path / "runs"
                notebook.run("import numpy as np\nclass P:\n    def __init__(self, s): self.s = s\n    def m(self): return sorted(self.s)")
                notebook.run("def f(x): return P(x).m(), np.ones(3).sum()\nx = {'b', 'a', 'c'}")
                notebook.run(CELL)
                assert notebook.value("y") == (["a", "b", "c"], 3.0)
                notebook.ip.reset(new_session=False)
    assert (tmp_path / "runs").read_text() == "x"


def test_a_damaged_file_is_ignored_with_a_warning(notebook: Shell, tmp_path: Path) -> None:
    runs = count_runs(notebook, tmp_path / "runs")
    notebook.run("def f(x): return x\nx = 3")
    notebook.run(CELL)
    (file,) = cache.directory().iterdir()
    assert stat.S_IMODE(cache.directory().stat().st_mode) == 0o700
    file.write_bytes(file.read_bytes()[:-1])
    notebook.run(CELL)
    assert (runs(), notebook.value("y")) == (2, 3)


def test_for_each_element(notebook: Shell, tmp_path: Path) -> None:
    runs = count_runs(notebook, tmp_path / "runs")
    notebook.run("def f(x): return x")
    notebook.run(CELL.replace("--cached", "--cached for x in [1, 2]"))
    notebook.run(CELL.replace("--cached", "--cached for x in [2, 3]"))
    assert (runs(), [future.result() for future in notebook["y"]]) == (3, [2, 3])


def test_a_failure_is_not_kept(notebook: Shell) -> None:
    for _ in range(2):
        assert isinstance(notebook.fails("%%submit --wait --cached\n1 / 0"), ZeroDivisionError)
    assert not list(cache.directory().iterdir())


def test_what_was_used_longest_ago_goes(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERFUT_NOTEBOOK_CACHE_BYTES", "2500")
    config._read.cache_clear()
    for number in range(3):
        assert cache.keep(f"n{number}", os.urandom(1000))
        os.utime(cache.directory() / f"n{number}.cell", (number, number))
        if number == 1:
            assert cache.load("n0") is not None  # used, so n1 is the oldest now
    assert (cache.load("n0") is None, cache.load("n1") is None, cache.load("n2") is None) == (False, True, False)
    with pytest.warns(cache.Unusable, match="cache_bytes is 2,500"):
        assert not cache.keep("large", os.urandom(3000))


def test_a_directory_that_others_can_write_to_is_not_used(directory: Path) -> None:
    cache.directory().mkdir(parents=True)
    cache.directory().chmod(0o777)
    with pytest.warns(cache.Unusable, match="others can write"):
        assert not cache.keep("a", 1)


# --- the hash of content


def digest(*values: Any) -> bytes:
    content = Content()
    for value in values:
        content.add(value)
    return content.digest()


def make(text: str, **names: Any) -> Any:
    namespace = {"__name__": "__main__", **names}
    exec(compile(textwrap.dedent(text), f"<cell {id(namespace)}>", "exec"), namespace)
    return namespace["made"]


class _Thing:
    def __init__(self, x: Any) -> None:
        self.x = x


EQUAL = [
    ("sets have no order", {"a", "b", "c"}, {"c", "b", "a"}),
    ("one object or two", [[1], [1]], (lambda one: [one, one])([1])),
    ("arrays", np.arange(4).reshape(2, 2), np.arange(4).reshape(2, 2).T.copy().T),
    ("line numbers", make("def made(x): return x"), make("\n\ndef made(x):\n    # why\n    return x")),
    ("instances", _Thing([1]), _Thing([1])),
    ("classes", make("class made:\n    def m(self): return 1"), make("\nclass made:\n    def m(self): return 1")),
    ("methods", _Thing(1).__init__, _Thing(1).__init__),
]
DIFFERENT = [
    ("type", 1, True),
    ("type of a number", 1, 1.0),
    ("zero", 0.0, -0.0),
    ("order of a dict", {"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ("list and tuple", [1], (1,)),
    ("strings side by side", ["ab", "c"], ["a", "bc"]),
    ("shapes", np.arange(4), np.arange(4).reshape(2, 2)),
    ("dtypes", np.arange(4, dtype="i4"), np.arange(4, dtype="u4")),
    ("code", make("def made(x): return x"), make("def made(x): return x + 1")),
    ("constants", make("def made(x): return x + 2"), make("def made(x): return x + 1")),
    ("globals", make("def made(): return k", k=1), make("def made(): return k", k=2)),
    ("globals of what it calls", make("def g(): return k\ndef made(): return g()", k=1), make("def g(): return k\ndef made(): return g()", k=2)),
    ("defaults", make("def made(x=1): pass"), make("def made(x=2): pass")),
    ("state", _Thing([1]), _Thing([2])),
    ("members", make("class made:\n    k = 1"), make("class made:\n    k = 2")),
    ("large bytes", bytes(2**21), bytes(2**21 - 1) + b"x"),
]


@pytest.mark.parametrize(("one", "other"), [pytest.param(*row[1:], id=row[0]) for row in EQUAL])
def test_the_same_content(one: Any, other: Any) -> None:
    assert digest(one) == digest(other)


@pytest.mark.parametrize(("one", "other"), [pytest.param(*row[1:], id=row[0]) for row in DIFFERENT])
def test_another_content(one: Any, other: Any) -> None:
    assert digest(one) != digest(other)


def test_a_list_inside_itself_has_content() -> None:
    one: list[Any] = [1]
    one.append(one)
    other: list[Any] = [1]
    other.append(other)
    assert digest(one) == digest(other)


def test_what_has_no_content_is_named() -> None:
    import threading

    with pytest.raises(NoContent, match="lock"):
        digest([threading.Lock()])


