"""`jupyterfut demo` as a stranger runs it: in a pipe, in a terminal, interrupted; and its progress line."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jupyterfut.cli import demo, demo_work
from jupyterfut.cli.progress import Progress

COMMAND = [sys.executable, "-m", "jupyterfut", "demo", "--files", "6", "--workers", "2"]
PATIENCE_S = 60


def in_a_terminal(command: list[str], **environ: str) -> tuple[subprocess.Popen[bytes], int]:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30", **environ}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True)
    os.close(theirs)
    return process, ours


def read_until(terminal: int, words: str = "") -> str:
    """What is written up to these words, or to the end."""
    seen = b""
    while not words or words not in seen.decode("utf-8", "replace"):
        try:
            data = os.read(terminal, 4096)
        except OSError:
            break  # the other side has closed
        if not data:
            break
        seen += data
    return seen.decode()


def test_in_a_pipe() -> None:
    """Plain lines: nothing is rewritten or coloured, and every number was measured."""
    done = subprocess.run(COMMAND, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "\r" not in done.stdout
    assert "\x1b" not in done.stdout
    one, other = re.findall(r"([\d,]+) functions in [\d.]+ s", done.stdout)
    assert one == other
    tasks, known, grown = (int(number.replace(",", "")) for number in re.search(r"([\d,]+): ([\d,]+) known .* ([\d,]+) that", done.stdout).groups())  # type: ignore[union-attr]
    assert (tasks, known, grown) == (12 + grown, 12, int(one.replace(",", "")))
    shares = [int(share) for share in re.findall(r"(\d+)% of the work", done.stdout)]
    assert len(shares) == 2
    assert 99 <= sum(shares) <= 101


def test_in_a_terminal() -> None:
    process, terminal = in_a_terminal([*COMMAND[:-4], "--files", "12", "--workers", "2"])
    try:
        seen = read_until(terminal)
        assert process.wait(PATIENCE_S) == 0
    finally:
        os.close(terminal)
    assert seen.count("\r\n") < 30
    assert "functions found so far\x1b[K" in seen
    assert "\x1b[36m" in seen


def test_ctrl_c_leaves_nothing_behind() -> None:
    """As a terminal does it: every process of the group gets the signal. What is left is found by the leak check of every test."""
    process, terminal = in_a_terminal([*COMMAND[:-4], "--files", "40", "--workers", "2"], NO_COLOR="1")
    try:
        seen = read_until(terminal, "on 2 workers")
        assert "on 2 workers" in seen
        os.killpg(process.pid, signal.SIGINT)
        rest = read_until(terminal)
        assert process.wait(PATIENCE_S) == 130
    finally:
        os.close(terminal)
    assert "Traceback" not in rest
    assert "\x1b[36m" not in seen + rest


def test_a_form_feed_ends_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "old.py"
    file.write_text("x = 1\n\x0c\ndef f(s):\n    return s\n\x0c\nclass C:\n    def g(self):\n        return 2\n")
    monkeypatch.setattr(demo_work, "module_name", lambda path: "old")
    found = demo_work.find_functions(str(file))
    assert [function.source for function in found.functions] == ["def f(s):\n    return s\n", "    def g(self):\n        return 2\n"]
    assert [demo_work.measure(function).name for function in found.functions] == ["old.f", "old.C.g"]


def test_both_ways_give_the_same() -> None:
    """The plain loop and the tasks, compared without a process of their own."""
    from jupyterfut import Client

    seen: list[tuple[int, int, int, int]] = []
    files = demo_work.library_files(4)
    plain = demo.one_after_the_other(files, lambda *counts: None)
    with Client(processes=False, n_workers=1, threads_per_worker=1) as client:  # CPython 3.11's parser does not bear two threads at a time
        grown = demo.explore(client, files, lambda *counts: seen.append(counts))
    assert sorted(measure.name for measure in plain.measures) == sorted(measure.name for measure in grown.measures)
    assert seen[-1] == (4, 4, len(plain.measures), len(plain.measures))
    assert grown.tasks == 8 + len(plain.measures)


@pytest.mark.parametrize(("arguments", "files"), [([], demo.FILES), (["--quick"], demo.QUICK_FILES), (["--files", "3"], 3), (["--all"], None)])
def test_how_many_files(monkeypatch: pytest.MonkeyPatch, arguments: list[str], files: int | None) -> None:
    asked: list[int | None] = []
    monkeypatch.setattr(demo_work, "library_files", lambda limit: asked.append(limit) or [])
    monkeypatch.setattr(demo, "compare", lambda files, workers, progress: 0)
    assert demo.main(arguments) == 0
    assert asked == [files]


def test_measures() -> None:
    method = "    def f(self, a):\n        if a and self.b:\n            return [x for x in a]\n        return None\n"
    one = demo_work.measure(demo_work.Function("m.f", method))
    assert (one.name, one.lines, one.branches, one.depth) == ("m.f", 4, 4, 1)
    other = demo_work.measure(demo_work.Function("n.g", "def g(me, p):\n    if p and me.q:\n        return [z for z in p]\n    return None\n"))
    assert other.shape == one.shape
    assert demo_work.written_twice([one, other], tokens=10) == [("m.f", "n.g", 4)]
    assert demo_work.written_twice([one, other]) == []


def test_lab_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert demo.main(["--lab"]) == 1
    assert f"{sys.executable} -m pip install" in capsys.readouterr().err


def test_lab_opens_the_notebook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The one of the source tree where it stands; that of an installed package as a copy which the reader may change."""
    commands: list[list[str]] = []

    class Started:
        def __init__(self, command: list[str]) -> None:
            commands.append(command)

        def wait(self) -> int:
            return 0

    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr(demo.subprocess, "Popen", Started)
    assert demo.main(["--lab", "--", "--no-browser"]) == 0
    assert commands[0][1:3] == ["-m", "jupyterlab"]
    assert Path(commands[0][3]).name == demo.NOTEBOOK
    assert "--no-browser" in commands[0]

    package = tmp_path / "site" / "jupyterfut"
    (package / "lessons").mkdir(parents=True)
    (package / "lessons" / demo.NOTEBOOK).write_text("{}")
    (package / "lessons" / "02-another.ipynb").write_text("{}")
    (tmp_path / "02-another.ipynb").write_text("the reader has changed it")
    monkeypatch.setattr(demo_work, "__file__", str(package / "cli" / "demo_work.py"))
    monkeypatch.chdir(tmp_path)
    assert demo.main(["--lab"]) == 0
    assert commands[1][3] == str(tmp_path / demo.NOTEBOOK)
    assert (tmp_path / demo.NOTEBOOK).read_text() == "{}"
    assert (tmp_path / "02-another.ipynb").read_text() == "the reader has changed it"


@pytest.mark.parametrize("arguments", [["--workers", "0"], ["--quick", "--all"], ["--bogus"], ["--", "--no-browser"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        demo.main(arguments)
    assert ended.value.code == 2
    assert "usage: jupyterfut demo" in capsys.readouterr().err


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [200, 80, 40, 24, 10, 1])
def test_progress_keeps_within_the_width(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    out = Terminal()
    progress = Progress(out, {"NO_COLOR": "1"})
    progress.stage("one after the other")(3, 120, 1_234, 5_678)
    line = out.getvalue().removeprefix("\r").removesuffix("\x1b[K")
    assert 0 < len(line) < max(columns, 2)


def test_progress_is_not_rewritten_more_often_than_anyone_can_read() -> None:
    out = Terminal()
    report = Progress(out, {}).stage("counting")
    for n in range(1000):
        report(n, 1000, n, n)
    assert out.getvalue().count("\r") < 100


@pytest.mark.parametrize(
    ("terminal", "environ", "live", "coloured"),
    [
        (True, {}, True, True),
        (True, {"NO_COLOR": "1"}, True, False),
        (True, {"NO_COLOR": ""}, True, True),
        (True, {"TERM": "dumb"}, False, False),
        (False, {}, False, False),
    ],
)
def test_progress_knows_where_it_writes(terminal: bool, environ: dict[str, str], live: bool, coloured: bool) -> None:
    progress = Progress(Terminal() if terminal else io.StringIO(), environ)
    assert (progress.live, progress.colour) == (live, coloured)


def test_progress_without_block_characters() -> None:
    out = Terminal()
    out.encoding = "ascii"
    assert Progress(out, {"NO_COLOR": "1"}).bar(0.5, 10) == "#####....."
