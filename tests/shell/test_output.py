"""What tasks say, at the client: `Future.log`, and a script's stdout and stderr. It is said here as workers say it, on the topic of the client."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from jupyterfut import Client, Future, Scheduler, config
from jupyterfut.runtime.host import LoopThread

KEY = "inc-b8aaf26b99466a7a1980efa1ade6701d"


@pytest.fixture
def client() -> Iterator[Client]:
    """A client over a socket: its tasks do not share its stdout."""
    thread = LoopThread("scheduler")
    thread.start()
    scheduler = thread.run(Scheduler(port=0).start())
    try:
        with Client(scheduler) as client:
            yield client
    finally:
        thread.run(scheduler.close())
        thread.stop()


def say(client: Client, key: str, *parts: list[Any], cell: str = "") -> None:
    """A worker says it; and all of it has arrived."""
    client._session.notify(f"output:{client.id}", [key, f"{client.id}/{cell}" if cell else client.id, [list(part) for part in parts]])
    client.who_has([])


def pending(client: Client, key: str = KEY) -> Future:
    return client.submit(abs, -1, key=key, workers="nobody")


def test_lines_have_the_task_before_them(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    say(client, KEY, ["out", "one\ntw"], ["err", "oh\n"])
    say(client, "mine", ["out", "of another task\n"])
    assert capsys.readouterr() == ("[inc-b8aaf26b] one\n[mine] of another task\n", "[inc-b8aaf26b] oh\n")
    say(client, KEY, ["out", "o\n"], ["display", {"data": {"text/plain": "<Figure>", "image/png": "..."}, "metadata": {}}])
    assert capsys.readouterr().out == "[inc-b8aaf26b] two\n[inc-b8aaf26b] <Figure>\n"


@pytest.mark.parametrize(("setting", "text"), [("plain", "one\n"), ("off", "")])
def test_the_prefix_can_be_left_out_and_so_can_the_output(
    setting: str, text: str, client: Client, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config.settings()
    monkeypatch.setattr(config, "_chosen", [settings._replace(client=settings.client._replace(output=setting))])
    future = pending(client)
    say(client, KEY, ["out", "one\n"])
    assert (capsys.readouterr().out, future.log) == (text, "one\n")


def test_an_unfinished_line_appears_when_its_task_ends(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    future = pending(client)
    say(client, KEY, ["out", "10 %\r20 %"])
    assert capsys.readouterr().out == ""
    client.cancel(future)
    assert capsys.readouterr().out == "[inc-b8aaf26b] 20 %\n"


def test_of_a_task_that_nobody_holds_too(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    say(client, KEY, ["err", "half"], ["end"])
    assert capsys.readouterr().err == "[inc-b8aaf26b] half\n"


def test_the_last_lines_appear_when_the_client_closes(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    say(client, KEY, ["out", "half"])
    client.close()
    assert capsys.readouterr().out == "[inc-b8aaf26b] half\n"


def test_in_the_same_process_text_appears_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with Client(processes=False, n_workers=1) as client:
        say(client, KEY, ["out", "half"], ["err", "10 %\r"])
        assert capsys.readouterr() == ("half", "10 %\r")


class Gone(io.StringIO):
    """A pipe that nobody reads."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_a_stream_that_takes_nothing_harms_nobody(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    future = pending(client)
    for stream in (Gone(), closed, None):
        monkeypatch.setattr(sys, "stdout", stream)
        say(client, KEY, ["out", "one\n"])
    assert future.log == "one\n" * 3
    assert client.who_has([]) == {}


def test_nobody_waits_for_a_pipe_that_is_not_read(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with open(writer, "w") as stream, open(reader, "rb") as pipe:
        monkeypatch.setattr(sys, "stdout", stream)
        for n in range(300):
            say(client, KEY, ["out", f"{n:>999}\n"])  # three times what a pipe takes
        assert client.who_has([]) == {}  # the loop goes on
        lines = [pipe.readline() for _ in range(300)]
        monkeypatch.undo()
    assert lines == [f"[inc-b8aaf26b] {n:>999}\n".encode() for n in range(300)]


def test_what_the_stream_cannot_encode_is_spelt_out(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii"))
    say(client, "k", ["out", "ä\n"])
    assert raw.getvalue() == b"[k] \\xe4\n"


# --- Future.log


def test_a_log_has_everything_in_order_and_bars_folded(client: Client) -> None:
    future = pending(client)
    assert future.log == ""
    say(client, KEY, ["out", "begin\n"], ["err", "0 %\r50 "])
    say(client, KEY, ["err", "%\r100 %\n"], ["display", {"data": {"text/plain": "42"}, "metadata": {}}], ["out", "end"])
    assert future.log == "begin\n100 %\n42\nend"


def test_a_long_log_keeps_its_beginning_and_its_end(client: Client) -> None:
    future = pending(client)
    for n in range(100):
        say(client, KEY, ["out", f"{n} {'x' * 10_000}\n"])
    log = future.log
    lines = log.splitlines()
    assert len(log) < 210_000
    assert lines[0].startswith("0 x") and lines[-1].startswith("99 x")
    assert any("characters left out" in line for line in lines)


def test_a_log_goes_with_its_task(client: Client) -> None:
    future = pending(client)
    say(client, KEY, ["out", "old\n"])
    client.cancel(future)
    again = pending(client)
    say(client, KEY, ["out", "new\n"])
    assert (future.log, again.log) == ("old\n", "new\n")
    again.release()
    assert again.log == ""


def test_an_asynchronous_client_hears_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        async with Scheduler(port=0) as scheduler, Client(scheduler, asynchronous=True) as client:
            future = pending(client)
            client._session.notify(f"output:{client.id}", [KEY, client.id, [["out", "one\n"]]])
            await client.who_has([])
            assert future.log == "one\n"

    asyncio.run(main())
    assert capsys.readouterr().out == "[inc-b8aaf26b] one\n"
