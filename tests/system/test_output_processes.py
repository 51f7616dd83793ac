"""What tasks put out in real worker processes: Python's streams, displays, figures, bars, and what is written below Python."""

from __future__ import annotations

import os
import sys
import threading
import time

import pytest

from jupyterfut import Client
from jupyterfut.client import output

pytestmark = pytest.mark.filterwarnings("ignore")  # of libraries in this process


class Recorder:
    """Hears what the notebook layer would."""

    def __init__(self):
        self.parts = {}

    def take(self, client, key, cell, parts):
        self.parts.setdefault(key, []).extend(parts)
        return False

    def ended(self, client, key): ...

    def left(self, client): ...


@pytest.fixture(scope="module")
def workers():
    with Client(n_workers=1, threads_per_worker=2) as client:
        yield client


@pytest.fixture
def run(workers, monkeypatch):
    """Runs a function as a task and gives the parts that it put out. All of them were there before the result."""
    recorder = Recorder()
    monkeypatch.setattr(output, "sink", recorder)

    def run(function, *args):
        future = workers.submit(function, *args, pure=False)
        future.result()
        return recorder.parts.pop(future.key, [])

    return run


def texts(parts, kind="out"):
    return "".join(part[1] for part in parts if part[0] == kind)


def test_prints_and_errors_in_order(run):
    def task():
        print("one")
        print("two", file=sys.stderr)
        sys.stdout.write("three\n")
        sys.stdout.buffer.write("vier €\n".encode())

    assert run(task) == [["out", "one\n"], ["err", "two\n"], ["out", "three\nvier €\n"]]


def test_a_task_that_prints_nothing_says_nothing(run):
    assert run(abs, -1) == []


def test_an_unfinished_line_is_told(run):
    assert run(lambda: print("no end", end="")) == [["out", "no end"], ["end"]]


def test_output_comes_while_the_task_runs(workers, monkeypatch):
    came = threading.Event()
    recorder = Recorder()
    monkeypatch.setattr(output, "sink", recorder)
    monkeypatch.setattr(recorder, "take", lambda client, key, cell, parts: came.set())

    def task():
        from jupyterfut import Event

        print("waiting")
        Event("go on").wait(30)

    from jupyterfut import Event

    future = workers.submit(task, pure=False)
    assert came.wait(30)
    assert not future.done()
    with workers.as_current():
        Event("go on").set()
    future.result()


def test_warnings_and_logs_come_by_stderr(run):
    def task():
        import logging
        import warnings

        warnings.warn("old", UserWarning, stacklevel=1)
        logging.getLogger("mine").error("oh")

    assert "UserWarning: old" in texts(run(task), "err")


@pytest.mark.parametrize("n", [3])
def test_tqdm(run, n):
    def task():
        from tqdm import tqdm
        from tqdm.notebook import tqdm as of_notebooks

        return sum(tqdm(range(n))) + sum(of_notebooks(range(n)))

    assert texts(run(task), "err").count("100%") == 2


# --- below Python


def test_what_is_written_to_descriptors(run):
    def task():
        os.write(1, b"by os.write\n")
        os.write(2, "über 2\n".encode())

    assert sorted(run(task)) == [["err", "über 2\n"], ["out", "by os.write\n"]]


def test_subprocesses(run):
    def task():
        import subprocess

        subprocess.run("echo shell; echo error >&2", shell=True, check=True)
        os.system("echo system")

    parts = run(task)
    assert texts(parts) == "shell\nsystem\n"
    assert texts(parts, "err") == "error\n"


def test_a_subprocess_and_prints_around_it_keep_their_order(run):
    def task():
        for number in range(3):
            print("print", number)
            os.system(f"echo shell {number}")

    assert texts(run(task)) == "".join(f"print {number}\nshell {number}\n" for number in range(3))


def test_c_and_its_buffer(run):
    def task():
        import ctypes

        ctypes.CDLL(None).printf(b"no end of line")
        time.sleep(0.02)  # longer than a task has to take to have C's buffer flushed

    assert texts(run(task)) == "no end of line"


def test_a_subprocess_may_write_more_than_a_pipe_holds(run):
    def task():
        os.system("head -c 3000000 /dev/zero | tr '\\0' x")

    assert texts(run(task)) == "x" * 3_000_000


def test_threads_and_forks_of_a_task(run):
    def task():
        import multiprocessing
        import threading

        for kind in (threading.Thread, multiprocessing.get_context("fork").Process):
            one = kind(target=print, args=(kind.__name__,))
            one.start()
            one.join()

    assert sorted(texts(run(task)).split()) == ["ForkProcess", "Thread"]


def test_coroutines(run):
    async def task():
        import asyncio

        print("here")
        await asyncio.to_thread(print, "there")
        await asyncio.gather(*(said(name) for name in "ab"))

    async def said(name):
        print(name)

    assert texts(run(task)) == "here\nthere\na\nb\n"


def test_two_tasks_do_not_mix(workers, monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(output, "sink", recorder)

    def task(name):
        from jupyterfut import Event

        print(name)
        Event(f"{name} is there").set()
        Event(f"{'ba'['ab'.index(name)]} is there").wait(30)
        print(name)

    futures = workers.map(task, "ab", pure=False)
    workers.gather(futures)
    assert [texts(recorder.parts[future.key]) for future in futures] == ["a\na\n", "b\nb\n"]


def test_the_workers_own_lines_are_no_tasks(run):
    def task():
        import logging

        from jupyterfut.runtime.output import aside

        logging.getLogger("jupyterfut.worker").warning("the worker's own")
        with aside():
            print("aside")
        print("task")

    assert run(task) == [["out", "task\n"]]


def test_a_flood_is_bounded(run):
    def task():
        import resource

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(1000):
            print("x" * 100_000)
        print("the last line")
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    def checked():
        grown = task()
        assert grown < 60_000, grown  # kB

    parts = run(checked)
    assert 4_000_000 <= len(texts(parts)) < 8_000_000
    assert texts(parts, "err").count("were left out") == 1
    assert texts(parts).endswith("the last line\n")


def test_actors(monkeypatch):
    recorder = Recorder()
    heard = threading.Event()
    monkeypatch.setattr(output, "sink", recorder)
    take = recorder.take
    monkeypatch.setattr(recorder, "take", lambda *args: (take(*args), heard.set())[0])
    with Client(n_workers=1, threads_per_worker=1) as client:
        actor = client.submit(Talker, actor=True).result()
        assert actor.say("hello").result() == 5
        assert heard.wait(30)
    assert texts(recorder.parts[actor.key]) == "hello\n"


class Talker:
    def say(self, text):
        print(text)
        return len(text)


# --- displays


def shown(parts):
    return [(kind, value["data"], value["update"]) if kind == "display" else (kind, value) for kind, value in parts]


def test_display_is_builtin_and_ipythons_is_led_there(run):
    def task():
        display({"a": 1})  # noqa: F821
        from IPython.display import HTML, Markdown, clear_output, display_html, publish_display_data
        from IPython.display import display as ipythons

        ipythons(HTML("<b>x</b>"), Markdown("*y*"))
        display_html("<i>", raw=True)
        publish_display_data({"text/plain": "p"})
        clear_output(wait=True)

    run(lambda: __import__("IPython.display"))  # so that nothing takes long
    parts = shown(run(task))
    ways = [{"text/plain": "{'a': 1}"}, {"text/html": "<b>x</b>"}, {"text/markdown": "*y*"}, {"text/html": "<i>"}, {"text/plain": "p"}]
    assert parts[-1] == ("clear", True)  # what had not left by then is wiped out
    for (kind, data, update), way in zip(parts[:-1], ways, strict=False):
        assert (kind, update) == ("display", False)
        assert way.items() <= data.items()
    parts = run(lambda: __import__("IPython.display").display.display(__import__("IPython.display").display.HTML("<b>x</b>")))
    assert parts[0][1]["data"] == {"text/plain": "<IPython.core.display.HTML object>", "text/html": "<b>x</b>"}


def test_handles(run):
    def task():
        handle = display("one", display_id=True)  # noqa: F821
        time.sleep(0.1)  # longer than output waits: it is told
        handle.update("two")
        from IPython.display import update_display

        update_display("three", display_id=handle.display_id)

    first, second = run(task)
    assert first[1]["data"] == {"text/plain": "'one'"}
    assert second[1]["data"] == {"text/plain": "'three'"}
    assert second[1]["update"]
    assert first[1]["display_id"] == second[1]["display_id"]


def test_figures_are_shown_and_are_each_tasks_own(run):
    def task():
        import matplotlib.pyplot as plt

        assert plt.get_backend().lower() == "agg"
        assert plt.get_fignums() == []
        plt.plot([1, 2])
        plt.show()
        assert plt.get_fignums() == []
        plt.figure().text(0.5, 0.5, "left open")
        plt.figure(7)
        assert plt.get_fignums() == [1, 7]

    def cell():
        import matplotlib.pyplot as plt

        from jupyterfut.runtime.output import show_figures, show_value

        _, axes = plt.subplots()
        axes.plot([1, 2])
        show_value(3)
        show_figures()
        assert plt.get_fignums() == []

    for _ in range(2):
        [[_, display]] = run(task)
        assert display["data"]["text/plain"] == "<Figure size 640x480 with 1 Axes>"
        assert display["data"]["image/png"].startswith("iVBOR")
    value, figure = run(cell)
    assert value[1]["data"] == {"text/plain": "3"}
    assert "image/png" in figure[1]["data"]


# --- what is nobody's


def test_a_death_leaves_its_words_on_the_real_stderr(tmp_path):
    import subprocess

    script = tmp_path / "script.py"
    script.write_text(
        "import faulthandler, os\n"
        "from jupyterfut import Client\n"
        "def crash():\n"
        "    os.write(2, b'assertion failed in C\\n')\n"
        "    os.abort()\n"
        "if __name__ == '__main__':\n"
        "    with Client(n_workers=1, threads_per_worker=1) as client:\n"
        "        try:\n"
        "            client.submit(crash, retries=0).result()\n"
        "        except Exception as error:\n"
        "            print(type(error).__name__)\n"
    )
    env = {**os.environ, "PYTHONFAULTHANDLER": "1", "JUPYTERFUT_SCHEDULER_ALLOWED_FAILURES": "0"}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=env, timeout=100, check=False)
    assert done.stdout.strip().endswith("KilledWorker")
    assert "Fatal Python error: Aborted" in done.stderr
    assert "assertion failed in C" in done.stdout + done.stderr
