"""`progress`: a line that is drawn when something has come to its end, and what is left of it where there is no terminal."""

from __future__ import annotations

import asyncio
import io
import re
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from jupyterfut import Client, plugins, progress
from jupyterfut.views.text import key_name


class Terminal(io.StringIO):
    encoding = "utf-8"  # type: ignore[assignment]  # io.StringIO has none

    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        """What the line was, one after the other."""
        return [re.sub(r"\x1b\[\d*[mK]", "", line).strip() for line in self.getvalue().split("\r")[1:]]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("TERM", raising=False)


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(processes=False, n_workers=1, threads_per_worker=2) as client:
        yield client


def inc(x: int) -> int:
    return x + 1


def test_a_line_is_redrawn_up_to_the_end(client: Client) -> None:
    gate = threading.Event()
    terminal = Terminal()

    def wait(x: int) -> None:
        gate.wait(30)

    futures = [client.map(inc, range(10)), {"last": client.submit(wait, 1)}]
    client.gather(futures[0])
    shown = threading.Thread(target=progress, args=futures, kwargs={"file": terminal})
    shown.start()
    while not terminal.lines:
        shown.join(0.001)
    gate.set()
    shown.join(30)
    assert terminal.lines[0].endswith("10 of 11  0.0 s  wait 0/1")
    assert terminal.lines[0].startswith("█" * 36 + "░" * 4)
    assert re.fullmatch("█{40}  11 of 11 done in [0-9.]+ s", terminal.lines[-1])


def test_many_ends_are_few_drawings(client: Client) -> None:
    terminal = Terminal()
    progress(client.map(inc, range(5000)), file=terminal)
    assert terminal.lines[-1].split(" in ")[0].endswith("5,000 of 5,000 done")
    seconds = float(terminal.lines[-1].split(" in ")[1].split()[0])
    assert len(terminal.lines) <= 3 + 10 * (seconds + 0.1)


def test_failed_ones_count_and_are_told(client: Client) -> None:
    out = io.StringIO()
    progress(client.map(lambda x: 1 / x, range(3)), file=out)
    assert re.fullmatch(r"2 of 3 done, 1 failed in [0-9.]+ s\n", out.getvalue())


def test_without_a_terminal_it_is_one_line_on_stderr(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    assert progress(client.submit(inc, 1)) is None
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"1 of 1 done in [0-9.]+ s\n", err)


def test_only_what_has_not_ended(client: Client) -> None:
    futures = client.map(inc, range(3))
    client.gather(futures)
    out = io.StringIO()
    progress(futures, complete=False, file=out)
    assert out.getvalue() == ""
    progress([], file=out)
    assert out.getvalue() == ""


def test_a_list_that_grows_is_followed(client: Client) -> None:
    futures = client.map(inc, range(3))
    more = iter(range(100, 105))

    def grow(future: Any) -> None:
        x = next(more, None)
        if x is not None:
            futures.append(client.submit(inc, x))
            futures[-1].add_done_callback(grow)

    gate = threading.Event()
    first = client.submit(gate.wait, 30)
    first.add_done_callback(grow)
    futures.append(first)
    out = io.StringIO()
    shown = threading.Thread(target=progress, args=(futures,), kwargs={"file": out})
    shown.start()
    gate.set()
    shown.join(30)
    total = int(out.getvalue().split()[0])
    assert 4 <= total <= 9  # all that was in it whenever something ended


def test_groups_by_a_function_of_the_key(client: Client) -> None:
    terminal = Terminal()
    gate = threading.Event()
    futures = [client.submit(gate.wait, 30, key="a-1"), client.submit(gate.wait, 31, key="b-1")]
    shown = threading.Thread(target=progress, args=(futures,), kwargs={"file": terminal, "group_by": lambda key: f"group {key[0]}"})
    shown.start()
    while not terminal.lines:
        shown.join(0.001)
    gate.set()
    shown.join(30)
    assert "group a 0/1, group b 0/1" in terminal.lines[0]


def test_a_narrow_terminal_keeps_its_line(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "12")
    terminal = Terminal()
    progress(client.map(inc, range(5)), file=terminal)
    assert all(len(line) <= 11 for line in terminal.lines)


def test_ctrl_c_leaves_and_the_tasks_go_on(client: Client) -> None:
    gate = threading.Event()
    future = client.submit(gate.wait, 30)

    class Interrupting(Terminal):
        def write(self, text: str) -> int:
            if text.startswith("\r"):
                signal.raise_signal(signal.SIGINT)
            return super().write(text)

    terminal = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        progress(future, file=terminal)
    assert terminal.getvalue().endswith("\n")
    assert future._record.waiters in (None, [])
    gate.set()
    assert future.result() is True


def test_in_an_asynchronous_client_it_is_awaited() -> None:
    async def main() -> str:
        async with Client(processes=False, n_workers=1, threads_per_worker=1, asynchronous=True) as client:
            out = io.StringIO()
            await progress(client.map(inc, range(3)), file=out)
            return out.getvalue()

    assert asyncio.run(main()).startswith("3 of 3 done")


def test_a_notebook_draws_it_itself(client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[Any] = []

    def draw(sources: tuple[Any, ...], futures: list[Any], **options: Any) -> None:
        asked.append((sources, futures, options))

    futures = client.map(inc, range(2))
    assert progress(futures, notebook=True) is None  # nobody draws in notebooks: the line it is
    assert capsys.readouterr().err.startswith("2 of 2")
    monkeypatch.setattr(plugins, "names", lambda group: ["notebook"] if group == "progress" else [])
    monkeypatch.setattr(plugins, "load", lambda group, name: draw)
    assert progress(futures, notebook=True, multi=False, width=3) is None
    assert asked == [((futures,), futures, {"multi": False, "complete": True, "group": key_name, "width": 3})]
    assert capsys.readouterr().err == ""
    assert progress(futures) is None


def test_bad_input_says_what_is_wrong(client: Client) -> None:
    with pytest.raises(TypeError, match="progress takes futures"):
        progress(3)
    with pytest.raises(ValueError, match="group_by is 'prefix' or a function of a key"):
        progress(client.submit(inc, 1), group_by="colour")
    with pytest.raises(TypeError, match="takes no option 'width'"):
        progress(client.submit(inc, 1), width=3)
