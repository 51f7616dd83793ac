"""Magics, shell lines and `await` inside a `%%submit` cell; the options that say where it runs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.error import UsageError
from IPython.core.inputtransformer2 import TransformerManager
from shells import Shell, opened

from jupyterfut import Client, LocalCluster
from jupyterfut.notebook import clients
from jupyterfut.notebook.submit.cells import CellNames, names_of
from jupyterfut.notebook.submit.inside import NotHere, arrange, expand, openings


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Shell]:
    """With a cluster of one process."""
    with opened(monkeypatch, tmp_path) as notebook:
        with Client(n_workers=1, threads_per_worker=2) as client:
            notebook["client"] = client
            yield notebook
            notebook.ip.reset(new_session=False)


def look(cell: str) -> CellNames:
    opened_by, rest = openings(cell)
    tree = ast.parse(TransformerManager().transform_cell(rest))
    expand(tree)
    return names_of(arrange(tree, opened_by), None)


# (what it shows, cell, names read, those of them that must be there, names written)
FORMS = [
    ("time an expression", "%time f(a)", "f a", "f a", ""),
    ("time a statement", "%time x = f(a)", "f a", "f a", "x"),
    ("time, assigned", "x = %time f(a)", "f a", "f a", "x"),
    ("time in a function", "def g():\n    %time y = f(a)\n    return y", "f a", "f a", "g"),
    ("time a walrus", "%time (n := a)\nn", "a", "a", "n"),
    ("timeit", "%timeit -n 3 f(a)", "f a", "f a", ""),
    ("timeit binds nothing", "%timeit x = f(a)", "f a", "f a", ""),
    ("time the cell", "%%time\nx = a", "a", "a", "x"),
    ("timeit the cell", "%%timeit -n 2\nx = a", "a", "a", ""),
    ("shell", "!ls {path} $n $$HOME", "path n", "", ""),
    ("shell, assigned", "x = !ls {path.parent / name}", "path name", "", "x"),
    ("the shell's own braces", "!awk '{print $1}' $f", "", "", ""),
    ("shell in a function", "def g(path):\n    !cat {path} {other}\ng(path)", "path other", "path", "g"),
    ("shell and Python", "!cat {x}\ny = x", "x", "x", "y"),
    ("after a binding", "x = 1\n!echo {x}", "", "", "x"),
    ("a script", "%%bash\necho {x} $y", "", "", ""),
    ("ls", "%ls {path}", "path", "", ""),
    ("matplotlib", "%matplotlib inline\nx = 1", "", "", "x"),
]


@pytest.mark.parametrize(("cell", "read", "required", "written"), [pytest.param(*form[1:], id=form[0]) for form in FORMS])
def test_form(cell: str, read: str, required: str, written: str) -> None:
    names = look(cell)
    found = {name: one for name, one in names.reads.items() if name != "get_ipython"}
    assert set(found) == set(read.split())
    assert {name for name, one in found.items() if one.required} == set(required.split())
    assert set(names.writes) - {"_jupyterfut_timed"} == set(written.split())


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("x = 1\n%cd /tmp", "line 2: %cd changes the worker's process"),
        ("%env A=1", "%env NAME reads"),
        ("%pip install x", "PipInstall"),
        ("%load_ext autoreload", "the magic %load_ext does not run on a worker"),
        ("len?", "help"),
        ("%timeit for x in y: pass", "takes one expression"),
    ],
)
def test_what_does_not_run_on_a_worker(cell: str, text: str) -> None:
    with pytest.raises(NotHere, match=text):
        look(cell)


@pytest.mark.parametrize("cell", ["%%capture\nx = 1", "%%writefile f\nx", "%%time x\ny", "%%timeit -n 3 setup()\ny", "\n\n%%html\n<b>"])
def test_a_cell_magic_that_does_not(cell: str) -> None:
    with pytest.raises(NotHere, match="line [24]"):
        openings(cell)


def test_they_run_there(notebook: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    notebook.run("k = 3\ndef f(x): return x * k\nname = 'world'")
    notebook.run(
        "%%submit --wait\n%%time\n%time a = f(2)\nb = %time f(3)\n%timeit -n 2 -r 2 f(4)\n!echo hello {name} $name\n"
        "lines = !printf 'one\\ntwo {k}'\nhere = %pwd\nhome = %env PATH\ntaken = %sx echo sx\n%matplotlib inline\nb"
    )
    values = [notebook.value(name) for name in ("a", "b", "lines", "taken")]
    assert values == [6, 9, ["one", "two 3"], ["sx"]]
    assert notebook.value("here") and notebook.value("home")
    said = capsys.readouterr().out
    assert said.count("Wall time: ") == 3
    assert "2 runs, 2 loops each" in said
    assert "hello world world\n" in said


def test_a_script(notebook: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    notebook.run("%%submit --wait\n%%bash\nfor i in 1 2; do echo script $i; done")
    assert "script 1\n" in capsys.readouterr().out
    assert "bash" in str(notebook.fails("%%submit --wait\n%%bash\nexit 3"))


def test_refused_before_anything_is_submitted(notebook: Shell) -> None:
    error = notebook.fails("%%submit\nx = 1\n%cd /tmp")
    assert isinstance(error, UsageError)
    assert str(error).startswith("%%submit: line 3: %cd")
    assert "x" not in notebook


def test_what_awaits_in_one_cell_shares_a_loop(notebook: Shell) -> None:
    notebook.run("import asyncio")
    notebook.run(
        "%%submit --wait\nlock = asyncio.Lock()\ntask = asyncio.create_task(asyncio.sleep(0.01, 'slept'))\nasync with lock:\n    pass\n"
        "async def gen():\n    yield 1\n    yield 2\nxs = [x async for x in gen()]\ndone = await task\nawait asyncio.sleep(0)"
    )
    assert (notebook.value("done"), notebook.value("xs")) == ("slept", [1, 2])


def test_a_future_can_be_awaited_in_a_cell(notebook: Shell) -> None:
    notebook.run("%%submit --wait\nx = await client.submit(abs, -3)")
    assert notebook.value("x") == 3


def test_on_another_cluster(notebook: Shell) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1, name="the-other") as other:
        try:
            notebook.run("%%submit --wait --on the-other\nfrom jupyterfut import get_client\naddress = get_client().address")
            notebook.run("%%submit --wait\nfrom jupyterfut import get_client\nmine = get_client().address")
            notebook.run("%config SubmitMagics.cluster = 'the-other'\nimport types")
            notebook.run("%%submit --wait\nfrom jupyterfut import get_client\nagain = get_client().address")
            assert notebook.value("address") == notebook.value("again") != notebook.value("mine")
            assert notebook.value("again") == other.scheduler_address
            assert "no-such" in str(notebook.fails("%%submit --on no-such\nx = 1"))
        finally:
            notebook.ip.reset(new_session=False)
            for client in clients.forget():
                client.close()


def test_what_config_says_counts_for_all_cells(notebook: Shell, tmp_path: Path) -> None:
    notebook["path"] = tmp_path / "tries"
    notebook.run("%config SubmitMagics.retries = 1\n%config SubmitMagics.quiet = True")
    notebook.run("%%submit\nwith open(path, 'a+') as f:\n    f.write('x')\nassert path.read_text() == 'xx'\ndone = True")
    assert notebook.value("done") is True
    assert notebook.shown.shown == []
    error: Any = notebook.fails("%%submit --wait --retries 0\n1 / 0")
    assert isinstance(error, ZeroDivisionError)
