"""`%%submit` in a real IPython shell, on a real cluster (threads of this process, except where a test says otherwise)."""

from __future__ import annotations

import queue
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from jupyterfut import Client, Future, config
from jupyterfut.client.current import open_clients
from jupyterfut.notebook import clients

PATIENCE_S = 20


class Recorder(DisplayPublisher):
    """Keeps what is displayed, with its display id and whether it replaces something."""

    def start(self) -> None:
        self.shown: list[tuple[str, bool]] = []
        self.updates: queue.SimpleQueue[str] = queue.SimpleQueue()

    def publish(self, data: dict[str, Any], metadata: Any = None, *, transient: Any = None, update: bool = False, **rest: Any) -> None:
        self.shown.append((data["text/plain"], update))
        if update:
            self.updates.put(data["text/plain"])


class Notebook:
    """A shell, and what a user does with it."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.shown: Recorder = shell.display_pub
        self.number = 0

    def run(self, cell: str) -> Any:
        """Run a cell; raise what it raises, else return its value."""
        self.number += 1
        return self.shell.run_cell(cell, store_history=True, silent=False).raise_error() or self.shell.user_ns["_"]

    def fails(self, cell: str) -> BaseException:
        result = self.shell.run_cell(cell, store_history=True)
        error = result.error_before_exec or result.error_in_exec
        assert error is not None, "the cell ran"
        return error

    def __getitem__(self, name: str) -> Any:
        return self.shell.user_ns[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.shell.user_ns[name] = value

    def value(self, name: str) -> Any:
        future = self[name]
        assert isinstance(future, Future), f"{name} is a {type(future).__name__}"
        return future.result(timeout=PATIENCE_S)

    def update(self) -> str:
        """The next text that replaces an output."""
        return self.shown.updates.get(timeout=PATIENCE_S)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Notebook]:
    """A notebook without a client."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    InteractiveShell.clear_instance()
    settings = Config({"HistoryManager": {"enabled": False}, "InteractiveShell": {"colors": "nocolor"}})
    shell = InteractiveShell.instance(config=settings, display_pub_class=Recorder)
    shell.display_pub.start()
    try:
        shell.run_line_magic("load_ext", "jupyterfut")
        yield Notebook(shell)
        shell.reset(new_session=False)
    finally:
        InteractiveShell.clear_instance()


@pytest.fixture
def notebook(bare: Notebook) -> Iterator[Notebook]:
    """A notebook with a client of a cluster in this process."""
    with Client(processes=False, n_workers=2, threads_per_worker=2) as client:
        bare["client"] = client
        yield bare
        bare.shell.reset(new_session=False)


# --- names out


def test_assigned_names_become_futures(notebook: Notebook) -> None:
    notebook.run("%%submit\na = 1 + 1\n(b, *c), d = 'xyz', {'k': a}\nfor e in range(3): pass\ndef f(x): return x + a")
    assert [notebook.value(name) for name in "abcde"] == [2, "x", ["y", "z"], {"k": 2}, 2]
    assert notebook.value("f")(40) == 42


def test_the_dashboard_calls_its_tasks_by_the_cells_names(notebook: Notebook) -> None:
    notebook.run("%%submit --name prepare --wait\nx = 1\ny = 2")
    notebook.run("%%submit --name each --wait for i in [1, 2]\nz = i")
    names = notebook["client"].run_on_scheduler(lambda dask_scheduler: {group.name for group in dask_scheduler.machine.state.groups.values()})
    assert names == {"prepare", "prepare.end", "x", "y", "each", "each.end", "z"}


def test_only_the_names_asked_for(notebook: Notebook) -> None:
    notebook["b"] = "mine"
    notebook.run("%%submit -o a,c\na, b, c, d = 1, 2, 3, 4")
    assert (notebook.value("a"), notebook["b"], notebook.value("c")) == (1, "mine", 3)
    assert "d" not in notebook.shell.user_ns
    error = notebook.fails("%%submit -o z\na = 1")
    assert isinstance(error, UsageError)
    assert "does not assign 'z'" in str(error)


def test_a_name_that_was_not_assigned_after_all(notebook: Notebook) -> None:
    notebook.run("%%submit\nif 1 > 2:\n    a = 1\nb = 2\ntmp = 3\ndel tmp")
    assert notebook.value("b") == 2
    for name in ("a", "tmp"):
        with pytest.raises(NameError, match=f"'{name}' is not defined"):
            notebook.value(name)


def test_get_binds_values(notebook: Notebook) -> None:
    notebook.run("%%submit --get\na = [1, 2]\nif not a:\n    b = 1")
    assert notebook["a"] == [1, 2]
    assert isinstance(notebook["b"], Future)


def test_throwaway_names_stay_with_ipython(notebook: Notebook) -> None:
    notebook.run("%%submit --wait\nfor _ in range(3): pass\nx = 1")
    assert not isinstance(notebook["_"], Future)


def test_a_module_that_the_notebook_has_stays_a_module(notebook: Notebook) -> None:
    notebook.run("import math")
    notebook.run("%%submit --wait\nimport math\nimport cmath\nx = math.pi")
    assert isinstance(notebook["math"], types.ModuleType)
    assert notebook.value("cmath").__name__ == "cmath"


# --- names in


def test_values_are_taken_as_they_are_now(notebook: Notebook) -> None:
    notebook.run("import threading\ngate = threading.Event()\nopen_gate = client.submit(gate.wait)\nxs = [1]")
    notebook.run("%%submit\nopen_gate\ny = xs")
    notebook.run("xs.append(2)\ngate.set()")
    assert notebook.value("y") == [1]


def test_futures_are_found_wherever_they_are(notebook: Notebook) -> None:
    notebook.run("inc = lambda x: x + 1\na, b, c, d = client.map(inc, range(4))")
    notebook.run("class Box:\n    pass\nbox = Box()\nbox.inside = {'deep': [c]}\ndef uses(): return d")
    notebook.run("%%submit\ntotal = [a, b, *[v.bit_length() for v in [b]], box.inside['deep'][0], uses()]")
    assert notebook.value("total") == [1, 2, 2, 3, 4]


def test_cells_form_a_graph(notebook: Notebook) -> None:
    notebook.run("%%submit\nx = 1")
    notebook.run("%%submit\ny = x + 1")
    notebook.run("%%submit\nx = x + y")
    assert notebook.value("x") == 3


def test_functions_and_classes_of_the_notebook_come_along(notebook: Notebook) -> None:
    notebook.run(
        "import math\nk = 2\ndef g(x): return math.floor(x) * k\ndef f(x): return g(x) + 1\nclass A:\n    n = k\n    def m(self): return f(self.n)"
    )
    notebook.run("%%submit\nclass B(A):\n    pass\ny = f(3.5), A().m(), B().m()")
    assert notebook.value("y") == (7, 5, 5)


def test_a_function_sees_what_the_cell_assigns(notebook: Notebook) -> None:
    notebook.run("limit = 1\ncount = 0\ndef over(x): return x > limit\ndef tick():\n    global count\n    count += 1")
    notebook.run("%%submit\nlimit = 10\nys = [over(5), over(50)]\ntick()\ntick()\nseen = count")
    assert notebook.value("ys") == [False, True]
    assert notebook.value("seen") == 2
    assert notebook["count"] == 0


def test_the_client_is_the_workers_own(notebook: Notebook) -> None:
    notebook.run("%%submit\nys = client.gather(client.map(abs, [-1, -2]))")
    assert notebook.value("ys") == [1, 2]


def test_changes_in_place_touch_nobody_elses_object(notebook: Notebook) -> None:
    notebook.run("d = {'a': [1]}\nmade = client.submit(dict, a=[1])\nalias = [made]")
    notebook.run("%%submit\nd['b'] = 2\nd['a'] += [2]\nmade['b'] = 2\nmade['a'].append(9)\nalias[0]['c'] = 3")
    old = notebook["d"], notebook["made"]
    notebook.run("%%submit --get\nd['e'] = 1\n")
    assert notebook["d"] == {"a": [1, 2], "b": 2, "e": 1}
    assert old[1].result(PATIENCE_S) == {"a": [1, 9], "b": 2}
    assert notebook.value("alias") == [{"a": [1], "c": 3}]


def test_the_notebooks_own_object_is_untouched(notebook: Notebook) -> None:
    notebook.run("d = {}\nmine = d")
    notebook.run("%%submit\nd['k'] = 1")
    assert notebook.value("d") == {"k": 1}
    assert notebook["mine"] == {}


def test_what_cannot_travel_is_named(notebook: Notebook) -> None:
    notebook.run("import threading\nlock = threading.Lock()\nx = 1")
    error = notebook.fails("%%submit\ny = (x, lock)")
    assert "'lock' (lock) cannot be sent to the cluster" in str(error)
    assert "y" not in notebook.shell.user_ns


# --- what is wrong is said before anything is submitted


def test_undefined_name(bare: Notebook) -> None:
    error = bare.fails("%%submit\nx = 1\n\ny = x + nowhere\nz = 3")
    assert isinstance(error, NameError)
    assert "'nowhere' is not defined: y = x + nowhere" in str(error)
    last = error.__traceback__
    assert last is not None
    while last.tb_next is not None:
        last = last.tb_next
    assert last.tb_lineno == 4
    assert "x" not in bare.shell.user_ns
    assert open_clients() == []


@pytest.mark.parametrize(
    ("cell", "line", "text"),
    [
        ("%%submit\nx = 1\ny = (", 3, "never closed"),
        ("%%submit\n\n\nx = 1\nreturn x", 5, "'return' outside function"),
        ("%%submit --wait\n  x = 1\n    y = 1", 3, "unexpected indent"),
    ],
)
def test_syntax_error(bare: Notebook, cell: str, line: int, text: str) -> None:
    error = bare.fails(cell)
    assert isinstance(error, SyntaxError)
    assert text in str(error)
    assert error.lineno == line
    assert open_clients() == []


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("--bogus", "unrecognized arguments: --bogus"),
        ("-r GPU", "amounts such as GPU=1"),
        ("-r GPU=-1", "amounts such as GPU=1"),
        ("-r GPU=nan", "amounts such as GPU=1"),
        ("--retries -1", "--retries"),
        ("--retries many", "a whole number"),
        ("--priority high", "--priority"),
        ("--name", "--name"),
    ],
)
def test_bad_option(bare: Notebook, line: str, text: str) -> None:
    error = bare.fails(f"%%submit {line}\nx = 1")
    assert isinstance(error, UsageError)
    assert text in str(error)
    assert "x" not in bare.shell.user_ns
    assert open_clients() == []


def test_a_magic_inside(bare: Notebook) -> None:
    error = bare.fails("%%submit\nx = 1\n%load_ext autoreload")
    assert isinstance(error, UsageError)
    assert "line 3" in str(error)


@pytest.mark.leaks_allowed  # IPython keeps the event loop that it makes for top-level await
def test_an_asynchronous_client_does_not_block(bare: Notebook) -> None:
    bare.run("from jupyterfut import Client\nclient = await Client(asynchronous=True, processes=False)")
    assert isinstance(bare.fails("%%submit --wait\nx = 1"), UsageError)
    bare.run("%%submit\nx = 1\nx + 1")
    bare.run("%%submit\nz = x / 0")
    bare["updates"] = bare.shown.updates
    bare.run("import asyncio\ny = await x\nfailed = await z.exception()")
    bare.run("texts = [await asyncio.to_thread(updates.get, timeout=20) for _ in range(2)]\nawait client.close()")
    assert bare["y"] == 1
    assert isinstance(bare["failed"], ZeroDivisionError)
    assert "ZeroDivisionError" in "".join(bare["texts"])


# --- errors of the cell


def test_error_shows_the_cells_own_lines(notebook: Notebook) -> None:
    error = notebook.fails("%%submit --wait\ndef share(a, b):\n    return a / b\n\nx = share(1, 0)")
    assert isinstance(error, ZeroDivisionError)
    lines = []
    step = error.__traceback__
    while step is not None:
        lines.append((step.tb_frame.f_code.co_name, step.tb_lineno))
        step = step.tb_next
    assert lines[-2:] == [("<module>", 5), ("share", 3)]
    assert "result" not in [name for name, _ in lines], "frames of the client stand between the cell and its error"


def test_error_appears_under_the_cell(notebook: Notebook) -> None:
    notebook.run("%%submit\nprint('so far')\nx = [][1]")
    shown = notebook.update()
    assert "line 3" in shown
    assert "x = [][1]" in shown
    assert "IndexError: list index out of range" in shown


def test_a_failed_cell_fails_its_readers(notebook: Notebook) -> None:
    notebook.run("%%submit -q\nx = 1 / 0")
    notebook.run("%%submit -q\ny = x + 1")
    with pytest.raises(ZeroDivisionError):
        notebook.value("y")


def test_running_a_mended_cell_again(notebook: Notebook) -> None:
    notebook.run("values = []")
    cell = "%%submit -q\nfor v in values:\n    last = v\nelse:\n    last = values[-1]\nseen = last"
    notebook.run(cell)
    with pytest.raises(IndexError):
        notebook.value("seen")
    notebook.run("values = [7]")
    notebook.run(cell)
    assert notebook.value("seen") == 7


def test_running_a_cell_again_drops_its_earlier_run(notebook: Notebook) -> None:
    notebook.shell.get_parent = lambda: {"metadata": {"cellId": "the same"}}
    notebook.run("import threading\ngate = threading.Event()\nopen_gate = client.submit(gate.wait, pure=False)")
    notebook.run("%%submit\nopen_gate\nx = 1\n'first'")
    first = notebook["x"].key
    notebook.run("%%submit\ny = 2\n'second'")
    assert "y" in notebook.update()
    assert "x" not in notebook.shell.user_ns
    del notebook.shell.user_ns["open_gate"]
    notebook.run("gate.set()\nz = client.submit(abs, -1).result()")
    assert first not in notebook["client"].nbytes()
    assert notebook.shown.updates.empty()


# --- options that go to the task


def test_name(notebook: Notebook) -> None:
    notebook.run("%%submit --name prepare\nx = 1")
    assert notebook["x"].key.startswith("x-")
    assert notebook.shown.shown[-1][0].startswith("prepare: ")


def test_retries(notebook: Notebook, tmp_path: Path) -> None:
    notebook["path"] = tmp_path / "tries"
    notebook.run("%%submit --retries 2\nwith open(path, 'a+') as f:\n    f.write('x')\nassert path.read_text() == 'xxx'\ndone = True")
    assert notebook.value("done") is True


def test_workers(notebook: Notebook) -> None:
    (name, *_) = notebook["client"].cluster.workers
    notebook.run(f"%%submit -w {name}\nfrom jupyterfut import get_worker\nwhere = get_worker().name")
    assert str(notebook.value("where")) == name


def test_resources_that_nobody_has(notebook: Notebook) -> None:
    notebook.run("%%submit -r GPU=1\nx = 1")
    assert notebook["x"].status == "pending"
    assert "GPU" in notebook.shown.shown[-1][0].partition("reason: ")[2]
    notebook["x"].cancel()


def test_priority(notebook: Notebook) -> None:
    notebook.run("%%submit --priority 5\nx = 1")
    assert notebook.value("x") == 1


# --- what is shown


@pytest.fixture
def plain_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tasks print comes to the terminal as it is, without the task's name. (Under which cell it comes in a kernel, test_output_kernel tells.)"""
    monkeypatch.setenv("JUPYTERFUT_OUTPUT", "plain")
    config._read.cache_clear()


@pytest.mark.usefixtures("plain_output")
def test_the_card_moves_on_and_the_last_expression_comes_beneath(notebook: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    notebook.run("%%submit\nprint('working')\nx = 6\nx * 7")
    assert notebook.shown.shown[0] == (f"cell-{notebook.number}: pending, futures: x", False)
    assert notebook.update() == f"cell-{notebook.number}: finished, futures: x"
    assert capsys.readouterr().out == "working\n42\n"


@pytest.mark.usefixtures("plain_output")
def test_waiting_shows_it_as_any_cell_does(notebook: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    notebook.run("from IPython.display import display as also\ndef f(): also('shown')")
    notebook.run("%%submit --wait\nprint('working')\ndisplay('shown')\nf()\n6 * 7")
    assert capsys.readouterr().out == "working\n'shown'\n'shown'\n42\n"
    assert notebook.shown.shown == []


@pytest.mark.parametrize(
    "cell", ["%%submit --wait\n6 * 7;", "%%submit --wait -q\ndisplay(1)\n6 * 7", "%%submit --wait\nNone", "%%submit --wait\nx = 1"]
)
def test_silence(capsys: pytest.CaptureFixture[str], notebook: Notebook, cell: str) -> None:
    notebook.run(cell)
    assert notebook.shown.shown == []
    assert capsys.readouterr().out == ""


def test_shell_lines_and_top_level_await(notebook: Notebook) -> None:
    notebook.run("import asyncio")
    notebook.run("%%submit\nlines = !echo one two\nasync def f(): return 1\nx = await f()\nawait asyncio.sleep(0)")
    assert notebook.value("lines") == ["one two"]
    assert notebook.value("x") == 1


@pytest.mark.usefixtures("plain_output")
def test_printing_elsewhere_is_not_taken(notebook: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    notebook.run(
        "import threading\nstarted, go_on = threading.Event(), threading.Event()\nboth = client.submit(lambda: (started.set(), go_on.wait()))"
    )
    notebook.run("%%submit\nboth\nprint('the cell')")
    notebook.run("started.wait()\nprint('the notebook')\ngo_on.set()")
    assert notebook.update().endswith("finished")
    assert capsys.readouterr().out == "the notebook\nthe cell\n"


# --- the extension


def test_loading_and_unloading_again_changes_nothing(bare: Notebook) -> None:
    import jupyterfut

    magics = bare.shell.magics_manager.registry["SubmitMagics"]
    jupyterfut.load_ipython_extension(bare.shell)
    assert bare.shell.magics_manager.registry["SubmitMagics"] is magics
    jupyterfut.unload_ipython_extension(bare.shell)
    jupyterfut.unload_ipython_extension(bare.shell)
    assert "submit" not in bare.shell.magics_manager.magics["cell"]
    jupyterfut.load_ipython_extension(bare.shell)
    assert "submit" in bare.shell.magics_manager.magics["cell"]


def test_first_use_starts_a_cluster_of_processes(bare: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    """And there a cell brings back what it can: an open file stays, alone."""
    try:
        bare.run("%%submit --wait\nimport os\nwith open(os.devnull) as f:\n    pid = os.getpid()\npid != os.getppid()")
        out = capsys.readouterr().out
        assert [line for line in out.splitlines() if line.startswith("jupyterfut: started a local cluster, ")]
        assert out.count("\n") == 2, "one line of ours, and the cell's value"
        assert bare.value("pid") != __import__("os").getpid()
        with pytest.raises(TypeError, match="'f' cannot leave the worker"):
            bare.value("f")
    finally:
        for client in open_clients():
            client.close()
        clients.forget()
