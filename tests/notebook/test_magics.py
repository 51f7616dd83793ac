"""The magics beside `%%submit`, in a real IPython shell, on a cluster of threads of this process (and of processes where a test says so)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.error import UsageError
from shells import PATIENCE_S, Shell, opened

from jupyterfut import Client, Future, LocalCluster
from jupyterfut.client.current import default_client, open_clients
from jupyterfut.errors import CancelledError, TimeoutError  # noqa: A004


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Shell]:
    """A shell without a client."""
    with opened(monkeypatch, tmp_path) as shell:
        yield shell
        for client in open_clients():
            client.close()


@pytest.fixture
def shell(bare: Shell) -> Iterator[Shell]:
    """A shell with a client of a cluster in this process."""
    with Client(processes=False, n_workers=2, threads_per_worker=2) as client:
        bare["client"] = client
        yield bare
        bare.ip.reset(new_session=False)


# --- %submit


def test_an_expression_is_one_future(shell: Shell) -> None:
    shell.run("x = 20\ndef double(y): return 2 * y")
    future = shell.run("%submit double(x) + 2")
    assert isinstance(future, Future)
    assert future.result(PATIENCE_S) == 42
    assert future.key.startswith("expression-")


def test_an_expression_reads_futures_and_is_called_like_its_function(shell: Shell) -> None:
    shell.run("parts = client.map(abs, [-1, -2])\ntotal = %submit sum(parts)")
    assert shell.value("total") == 3
    assert shell["total"].key.startswith("sum-")


def test_options_of_an_expression(shell: Shell) -> None:
    shell.run("from jupyterfut import get_worker\nwhere = %submit -w 1 --name place --priority=2 get_worker().name + f'{1}'")
    assert shell.value("where") == "11"
    assert shell["where"].key.startswith("place-")
    shell.run("negative = %submit -- -5 + 1")
    assert shell.value("negative") == -4


def test_an_expression_that_awaits(shell: Shell) -> None:
    shell.run("import asyncio\nasync def later(x):\n    await asyncio.sleep(0)\n    return x\ny = %submit await later(7)")
    assert shell.value("y") == 7


@pytest.mark.parametrize(
    ("line", "kind", "text"),
    [
        ("", UsageError, "takes an expression"),
        ("x = 1", UsageError, "is none"),
        ("x +", SyntaxError, ""),
        ("nowhere + 1", NameError, "'nowhere' is not defined"),
        ("--bogus 1", UsageError, "unrecognized arguments: --bogus"),
        ("-r GPU 1", UsageError, "'GPU' is no amount such as GPU=1"),
        ("--retries x 1", UsageError, "'x' is no whole number"),
        ("--name", UsageError, "expected one argument"),
    ],
)
def test_nothing_is_submitted(bare: Shell, line: str, kind: type[Exception], text: str) -> None:
    error = bare.fails(f"%submit {line}")
    assert isinstance(error, kind)
    assert text in str(error)
    assert open_clients() == []


def test_an_error_of_an_expression_shows_it(shell: Shell) -> None:
    shell.run("def share(a, b):\n    return a / b\nz = %submit share(1, 0)")
    error = shell.fails("z.result()")
    assert isinstance(error, ZeroDivisionError)


# --- %gather


def test_values_take_the_place_of_futures(shell: Shell) -> None:
    shell.run("x = client.submit(abs, -1)\nys = client.map(abs, [-2, -3])\nd = {'a': (x, 'text'), 'b': [ys[0]]}\nplain = 5")
    shell.run("%gather x ys d plain")
    assert (shell["x"], shell["ys"], shell["d"], shell["plain"]) == (1, [2, 3], {"a": (1, "text"), "b": [2]}, 5)
    assert type(shell["ys"]) is list
    shell.run("%gather x, ys")  # again: nothing happens
    assert shell["x"] == 1


def test_patterns_name_several(shell: Shell) -> None:
    shell.run("part_1, part_2, other = client.map(abs, [-1, -2, -3])\n%gather part_*")
    assert (shell["part_1"], shell["part_2"]) == (1, 2)
    assert isinstance(shell["other"], Future)


def test_a_failure_loses_nothing(shell: Shell) -> None:
    shell.run("good = client.submit(abs, -1)\ngood.result()\nbad = client.submit(lambda: 1 / 0)\nmixed = [good, bad]")
    error = shell.fails("%gather good bad mixed")
    assert isinstance(error, ZeroDivisionError)
    assert "good has its value now, bad, mixed still hold futures" in error.__notes__[-1]
    assert shell["good"] == 1
    assert isinstance(shell["bad"], Future)
    assert [type(one) for one in shell["mixed"]] == [Future, Future]


def test_a_failure_is_told_before_all_is_done(shell: Shell) -> None:
    gate = threading.Event()
    shell["gate"] = gate
    shell.run("slow = client.submit(gate.wait)\nbad = client.submit(lambda: 1 / 0)")
    assert isinstance(shell.fails("%gather slow bad"), ZeroDivisionError)
    gate.set()
    shell.run("%gather slow")
    assert shell["slow"] is True


def test_a_cancelled_future(shell: Shell) -> None:
    shell.run("gone = client.submit(abs, -1)\ngone.cancel()")
    assert isinstance(shell.fails("%gather gone"), CancelledError)


def test_no_longer_than_the_timeout(shell: Shell) -> None:
    gate = threading.Event()
    shell["gate"] = gate
    shell.run("slow = client.submit(gate.wait)\nquick = client.submit(abs, -1)\nquick.result()")
    error = shell.fails("%gather -t 10ms slow quick")
    assert isinstance(error, TimeoutError)
    assert "quick has its value now, slow still holds futures" in str(error)
    gate.set()


@pytest.mark.parametrize(("line", "text"), [("", "takes names"), ("nowhere", "'nowhere' is not defined"), ("no*", "no name that holds futures fits")])
def test_names_that_cannot_be_gathered(shell: Shell, line: str, text: str) -> None:
    assert text in str(shell.fails(f"%gather {line}"))


def test_futures_of_two_clusters(shell: Shell) -> None:
    with Client(processes=False, set_as_default=False) as other:
        shell["other"] = other
        shell.run("both = [client.submit(abs, -1), other.submit(abs, -2)]\n%gather both")
        assert shell["both"] == [1, 2]
        del shell.ip.user_ns["other"]


# --- %futures


def test_the_names_that_hold_futures(shell: Shell) -> None:
    shell.run("x = client.submit(abs, -1, key='x')\nys = client.map(abs, [-2, -3])\nx.result()\nclient.gather(ys)\nnumber = 3")
    head, *rows = [line.split()[:4] for line in repr(shell.run("%futures")).splitlines()]
    assert head == ["name", "futures", "status", "type"]
    assert rows == [["x", "1", "finished", "int"], ["ys", "2", "finished", "int"]]
    assert "<td>ys</td>" in shell.run("%futures list y*")._repr_html_()
    assert "x " not in repr(shell.run("%futures list y*"))


def test_no_futures(bare: Shell) -> None:
    assert repr(bare.run("%futures")) == "No name of this notebook holds a future."


def test_static_display_says_nothing_that_changes(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERFUT_DISPLAY", "static")
    from jupyterfut import config

    config._read.cache_clear()
    shell.run("x = client.submit(abs, -1)")
    assert repr(shell.run("%futures")).split() == ["name", "futures", "x", "1"]


def test_cancel_by_name_and_by_key(shell: Shell) -> None:
    gate = threading.Event()
    shell["gate"] = gate
    shell.run("holds = [client.submit(gate.wait, key=f'wait-{n}') for n in range(4)]\nlast = client.submit(gate.wait, key='other')")
    shell.run("%futures cancel wait-1")
    assert [future.status for future in shell["holds"]] == ["pending", "cancelled", "pending", "pending"]
    shell.run("%futures cancel h*")
    assert {future.status for future in shell["holds"]} == {"cancelled"}
    assert shell["last"].status == "pending"
    gate.set()


def test_retry(shell: Shell) -> None:
    shell.run("tries = []\ndef second_time():\n    tries.append(1)\n    assert len(tries) > 1\n    return len(tries)")
    shell.run("x = client.submit(second_time, pure=False)\ny = client.submit(abs, -1)")
    shell.fails("x.result()")
    shell.run("%futures retry")
    assert shell.value("x") == 2


def test_clear_lets_go(shell: Shell) -> None:
    shell.run("part_1, part_2, other = client.map(abs, [-1, -2, -3])\n%futures clear part_*")
    assert "part_1" not in shell and "part_2" not in shell
    assert shell.value("other") == 3


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("cancel", "the following arguments are required: PATTERN"),
        ("cancel no*", "fits 'no*'"),
        ("clear nothing", "nothing fits 'nothing'"),
        ("bogus", "invalid choice: 'bogus'"),
        ("attach", "has no kept cluster"),
        ("debug nothing", "fits 'nothing'"),
    ],
)
def test_what_futures_cannot_do(shell: Shell, line: str, text: str) -> None:
    error = shell.fails(f"%futures {line}")
    assert isinstance(error, UsageError)
    assert text in str(error)


# --- %%everywhere


def test_set_up_runs_on_every_worker_and_on_those_that_come(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run("level = 7\ndef label(x): return f'level {x}'")
    shell.run("%%everywhere\nprint(label(level))\nready = level + 1\nready")
    assert capsys.readouterr().out == "[0, 1] level 7\n[0, 1] 8\n"
    shell["client"].cluster.scale(3)
    seen = shell["client"].run(lambda worker: worker.everywhere["ready"])
    assert list(seen.values()) == [8, 8, 8]


def test_what_differs_stands_apart(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run("%%everywhere\nfrom jupyterfut import get_worker\nprint('I am', get_worker().name)")
    assert capsys.readouterr().out == "[0] I am 0\n[1] I am 1\n"


def test_later_cells_see_the_names_of_earlier_ones(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run("%%everywhere -q\nimport math as m\ncount = 1")
    shell.run("%%everywhere\ncount += int(m.pi)\nprint(count)")
    assert capsys.readouterr().out == "[0, 1] 4\n"


def test_a_failure_says_where_and_takes_the_cell_back(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    cell = "%%everywhere\nfrom jupyterfut import get_worker\nprint('trying')\nif get_worker().name == '1':\n    1 / 0"
    error = shell.fails(cell)
    assert isinstance(error, ZeroDivisionError)
    assert error.__notes__[-1] == "(%%everywhere: raised on worker 1; workers that join later do not run this cell)"
    assert "[0, 1] trying" in capsys.readouterr().out
    shell["client"].cluster.scale(3)
    (third,) = shell["client"].run(lambda worker: hasattr(worker, "everywhere_done"), workers="2").values()
    assert third is False


def test_on_some_workers_and_here(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run("%%everywhere -l -w 0\nspot = 'x'\nprint(spot)")
    assert sorted(capsys.readouterr().out.split("\n")) == ["", "[0] x", "x"]
    assert shell["spot"] == "x"


def test_it_waits_for_nothing(shell: Shell) -> None:
    shell.run("x = client.submit(abs, -1)")
    assert "reads futures" in str(shell.fails("%%everywhere\nprint(x)"))


@pytest.mark.parametrize(("cell", "kind"), [("x = (", SyntaxError), ("x = nowhere", NameError)])
def test_everywhere_is_checked_first(bare: Shell, cell: str, kind: type[Exception]) -> None:
    assert isinstance(bare.fails(f"%%everywhere\n{cell}"), kind)
    assert open_clients() == []


# --- %cluster


def test_the_cluster_at_hand(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.run("%cluster") is shell["client"].cluster
    capsys.readouterr()
    shell.run("%cluster scale 3")
    assert capsys.readouterr().out == "jupyterfut: the cluster has 3 workers\n"
    assert len(shell["client"].nthreads()) == 3
    shell.run("%cluster adapt 1 4")
    assert capsys.readouterr().out == "jupyterfut: from 1 up to 4 workers, as the work asks for\n"


def test_start_use_and_stop(bare: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    bare.run("%cluster start --in-kernel -n 1 -t 2 --name first")
    assert capsys.readouterr().out == "jupyterfut: started a local cluster, 1 worker with 2 threads in all\n"
    first = default_client()
    bare.run("%cluster start --in-kernel -n 1 -t 1 --name second")
    assert default_client() is not first
    bare.run("%cluster use first")
    assert default_client() is first
    capsys.readouterr()
    bare.run("%cluster stop second\n%cluster stop")
    assert capsys.readouterr().out == "jupyterfut: the cluster has ended\n" * 2
    assert open_clients() == []


def test_clusters_of_processes(bare: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    assert "No cluster of processes runs" in repr(bare.run("%cluster list"))
    with LocalCluster(n_workers=1, threads_per_worker=1, name="mill") as cluster:
        assert repr(bare.run("%cluster list")).split()[5:6] == ["mill"]
        bare.run("%cluster use mill")
        assert default_client().address == cluster.scheduler_address
        bare.run("%cluster scale 2")  # through the scheduler: the object that started it is not this client's
        assert len(cluster.workers) == 2
        bare.run("big = bytes(1_000_000)\nx = %submit len(big)")
        assert bare.value("x") == 1_000_000
        bare.run("%cluster restart")
        assert bare["x"].status == "cancelled"
        assert "in use" in repr(bare.run("%cluster list"))
        capsys.readouterr()
        bare.run("%cluster stop mill")
        assert capsys.readouterr().out == "jupyterfut: the cluster 'mill' has ended\n"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("", "no cluster is in use"),
        ("scale 2", "no cluster is in use"),
        ("scale -1", "is no whole number"),
        ("scale", "required: N"),
        ("adapt 3 2", "not below A"),
        ("start -m lots", "or a share of the machine's memory"),
        ("start --keep --in-kernel", "cannot outlive it"),
        ("start -t 0", "at least one thread"),
        ("stop nobody", "no cluster 'nobody' runs on this machine (none does)"),
        ("bogus", "invalid choice: 'bogus'"),
    ],
)
def test_what_cluster_refuses(bare: Shell, line: str, text: str) -> None:
    error = bare.fails(f"%cluster {line}")
    assert isinstance(error, UsageError)
    assert text in str(error)
    assert open_clients() == []


def test_using_a_cluster_that_is_not_there(bare: Shell) -> None:
    assert "no cluster called 'nobody'" in str(bare.fails("%cluster use nobody"))


# --- with an asynchronous client


@pytest.mark.leaks_allowed  # IPython keeps the event loop that it makes for top-level await
def test_an_asynchronous_client(bare: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    bare.run("from jupyterfut import Client\nclient = await Client(asynchronous=True, processes=False, n_workers=1)\nimport asyncio")
    bare.run("x = %submit 6 * 7\nassert await x == 42")
    assert "x = await x" in str(bare.fails("%gather x"))
    bare.run("from jupyterfut.notebook import background")
    bare.run("%cluster scale 2\nawait asyncio.gather(*map(asyncio.wrap_future, background._going_on));")
    assert capsys.readouterr().out == "jupyterfut: the cluster has 2 workers\n"
    bare.run("%%everywhere\nprint('set up')")
    bare.run("await asyncio.gather(*map(asyncio.wrap_future, background._going_on));")
    assert capsys.readouterr().out == "[0, 1] set up\n"
    bare.run("await client.close()")


# --- the extension


def test_loading_and_unloading(bare: Shell) -> None:
    def there() -> dict[str, Any]:
        manager = bare.ip.magics_manager
        ours = {"submit", "everywhere", "gather", "cluster", "futures"}
        magics = {kind: sorted(ours & manager.magics[kind].keys()) for kind in ("line", "cell")}
        configurables = sorted(type(one).__name__ for one in bare.ip.configurables if type(one).__module__.startswith("jupyterfut"))
        return {**magics, "configurables": configurables, "matchers": len(bare.ip.Completer.custom_matchers)}

    loaded = there()
    assert loaded["line"] == ["cluster", "futures", "gather", "submit"]
    assert loaded["cell"] == ["everywhere", "submit"]
    bare.ip.extension_manager.load_extension("jupyterfut")
    __import__("jupyterfut").load_ipython_extension(bare.ip)
    assert there() == loaded
    for _ in range(2):
        __import__("jupyterfut").unload_ipython_extension(bare.ip)
        assert there() == {"line": [], "cell": [], "configurables": [], "matchers": loaded["matchers"] - 1}
    __import__("jupyterfut").load_ipython_extension(bare.ip)
    assert there() == loaded


def test_help_tells_the_options(bare: Shell) -> None:
    for magic, words in {"cluster": ["start", "--keep", "adapt"], "gather": ["--timeout"], "futures": ["attach"]}.items():
        text = bare.ip.find_line_magic(magic).__doc__
        assert all(word in text for word in words), text
