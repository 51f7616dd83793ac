"""Output of tasks on workers that share this process: stand-ins come with the first worker and go with the last, whoever else captures here."""

from __future__ import annotations

import contextlib
import io
import sys

import pytest

from jupyterfut import Client, plugins
from jupyterfut.client import output
from jupyterfut.runtime.output import aside, attribution, clear_output, display, guests, output_of_task, streams, update_display


class Recorder:
    def __init__(self):
        self.parts = []

    def take(self, client, key, cell, parts):
        self.parts.extend(parts)
        return False

    def ended(self, client, key): ...

    def left(self, client): ...


@pytest.fixture
def heard(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(output, "sink", recorder)
    return recorder.parts


@pytest.fixture
def client():
    with Client(processes=False, threads_per_worker=2) as client:
        yield client


def say(text="task"):
    print(text)


def test_what_tasks_print_is_theirs_and_all_else_is_as_it_was(capsys, heard):
    before = sys.stdout, sys.stderr
    with Client(processes=False) as client:
        print("main")
        client.submit(say).result()
        print("main again", file=sys.stderr)
        assert isinstance(sys.stdout, io.TextIOBase)
        assert not sys.stdout.isatty()
        assert sys.stdout.encoding.lower() == "utf-8"
    assert (sys.stdout, sys.stderr) == before
    assert heard == [["out", "task\n"]]
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("main\n", "main again\n")


def test_two_clusters_share_the_stand_ins(heard):
    before = sys.stdout
    with Client(processes=False) as one:
        mine = sys.stdout
        with Client(processes=False) as other:
            assert sys.stdout is mine
            other.submit(say, "other").result()
        assert sys.stdout is mine
        one.submit(say, "one").result()
    assert sys.stdout is before
    assert heard == [["out", "other\n"], ["out", "one\n"]]


def test_others_may_put_their_own_on_top_and_take_it_away_after_us(client, heard):
    ours = sys.stdout
    with contextlib.redirect_stdout(io.StringIO()) as caught:
        print("main")
    assert sys.stdout is ours
    assert caught.getvalue() == "main\n"
    with contextlib.redirect_stdout(io.StringIO()) as caught:
        with Client(processes=False) as inner:
            print("main")
            inner.submit(say, "inner").result()
        print("end")
    assert caught.getvalue() == "main\nend\n"
    assert heard == [["out", "inner\n"]]


def test_a_stand_in_that_outlives_the_workers_passes_on(capsys):
    with Client(processes=False):
        kept = sys.stdout
    kept.write("still there\n")
    kept.flush()
    assert capsys.readouterr().out == "still there\n"


def test_bytes_and_half_characters(client, heard):
    def task():
        sys.stdout.buffer.write(b"\xe2\x82")
        sys.stdout.buffer.write(b"\xac")
        sys.stdout.writelines(["a", "b\n"])
        with pytest.raises(TypeError, match="must be str, not int"):
            sys.stdout.write(1)

    client.submit(task).result()
    assert heard == [["out", "€ab\n"]]


def test_a_print_to_elsewhere_is_not_ours(client, heard, capsys):
    def task():
        file = io.StringIO()
        print("there", file=file)
        with aside():
            print("aside")
        return file.getvalue()

    assert client.submit(task).result() == "there\n"
    assert heard == []
    assert capsys.readouterr().out == "aside\n"


def test_nobody_is_told_when_it_is_turned_off(heard, monkeypatch, capsys):
    monkeypatch.setenv("JUPYTERFUT_WORKER_OUTPUT_BYTES", "0")
    with Client(processes=False) as client:
        client.submit(say).result()
    assert heard == []
    assert capsys.readouterr().out == "task\n"


def test_a_failed_task_has_its_output_too(client, heard):
    def task():
        print("before")
        raise ValueError("oh")

    with pytest.raises(ValueError, match="oh"):
        client.submit(task).result()
    assert heard == [["out", "before\n"]]


def test_displays_of_ours(client, heard):
    def task():
        handle = display(1, display_id="n", metadata={"text/plain": {"k": 1}})
        assert handle.display_id == "n"
        clear_output()
        update_display(2, display_id="n")
        display({"text/html": "<b>"}, raw=True)
        display(Shy())
        with pytest.raises(TypeError, match="display_id required"):
            display(3, update=True)

    client.submit(task).result()
    assert [part[0] for part in heard] == ["clear", "display", "display", "out"]
    assert heard[1][1]["data"] == {"text/plain": "2"}
    assert heard[2][1]["data"] == {"text/html": "<b>"}
    assert heard[3][1] == "I show myself\n"


class Shy:
    def _ipython_display_(self):
        print("I show myself")


def test_outside_of_tasks_display_prints(client, capsys):
    assert output_of_task() is None
    display(1, [2])
    assert capsys.readouterr().out == "1 [2]\n"


# --- guests


@pytest.fixture
def pyplot():
    return pytest.importorskip("matplotlib.pyplot")


def test_figures_of_tasks_are_their_own_and_of_the_notebook_stay(pyplot, heard, monkeypatch):
    pyplot.switch_backend("agg")
    before = pyplot.show
    mine = pyplot.figure()
    try:
        with Client(processes=False) as client:

            def task():
                assert pyplot.get_fignums() == []
                pyplot.plot([1])
                pyplot.show()
                return pyplot.get_fignums()

            assert client.submit(task).result() == []
            assert pyplot.get_fignums() == [mine.number]
            assert pyplot.gcf() is mine
        assert pyplot.gcf() is mine
        assert pyplot.show is before
    finally:
        pyplot.close("all")
    assert [part[0] for part in heard] == ["display"]


def test_ipythons_display_is_led_only_while_workers_live(heard):
    functions = pytest.importorskip("IPython.core.display_functions")
    original = functions.display
    with Client(processes=False) as client:

        def task():
            functions.display(1)
            functions.clear_output(wait=True)

        client.submit(task).result()
        assert functions.display is not original
    assert functions.display is original
    assert heard == [["clear", True]]


class Publisher:
    def __init__(self):
        self.published = []

    def publish(self, data, metadata=None, **options):
        self.published.append(data)

    def clear_output(self, wait=False):
        self.published.append("clear")


def test_where_a_shell_lives_its_publisher_is_led(heard, monkeypatch):
    from jupyterfut.runtime.output import ipython

    pytest.importorskip("IPython.core.display_functions")
    publisher = Publisher()
    monkeypatch.setattr(ipython, "_shell", lambda: type("Shell", (), {"display_pub": publisher}))
    with Client(processes=False) as client:

        def task():
            publisher.publish({"text/plain": "task"}, transient={"display_id": "d"}, update=True)
            publisher.clear_output(True)

        client.submit(publisher.publish, {"text/plain": "x"}).result()
        client.submit(task).result()
        publisher.publish({"text/plain": "main"})
    assert [part[0] for part in heard] == ["display", "display", "clear"]
    assert publisher.published == [{"text/plain": "main"}]
    assert "publish" not in vars(publisher)


def test_all_guests_are_met_when_they_are_imported():
    assert guests.GUESTS.items() <= plugins.GUESTS.items()


def test_no_guest_is_greeted_by_a_client_alone(monkeypatch):
    assert attribution.collectors == []
    assert streams._ours == {}
    guests.greet()  # as `plugins.host` does for a client: nobody is touched
    functions = sys.modules.get("IPython.core.display_functions")
    assert functions is None or not hasattr(functions.display, "__wrapped__")
