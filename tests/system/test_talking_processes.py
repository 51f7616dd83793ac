"""What worker processes have to say: prints, warnings, logs, events, datasets, the task stream; and workers that join later."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import jupyterfut
from jupyterfut import Client, get_client, get_task_stream, get_worker, warn


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client(n_workers=2, threads_per_worker=1, set_as_default=False) as client:
        client.gather([client.submit(bytes, 100_000, workers=worker, pure=False) for worker in client.nthreads()])
        yield client


def say(x: Any) -> int:
    jupyterfut.print("hello", x)
    warn(f"careful with {x}")
    return os.getpid()


def test_prints_and_warnings_come_from_another_process_before_the_result(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    for x in range(10):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert client.submit(say, x, pure=False).result() != os.getpid()
        assert capsys.readouterr().out == f"hello {x}\n"
        assert [(str(w.message), w.filename) for w in caught] == [(f"careful with {x}", __file__)]


def say_inside(x: int) -> int:
    return int(get_client().submit(say, x, pure=False).result())


def test_tasks_of_tasks_print_here(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    client.unsubscribe_topic("warn")
    client.submit(say_inside, 5, pure=False).result()
    assert capsys.readouterr().out == "hello 5\n"


def log(name: str, text: str, *args: Any) -> str:
    logging.getLogger(name).info(text, *args)
    return str(get_worker().address)


class Unspeakable:
    def __reduce__(self) -> Any:
        raise TypeError("not me")

    def __str__(self) -> str:
        return "in words"


def test_records_come_before_the_result_and_in_order(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client.forward_logging("training")
    for x in range(10):
        future = client.submit(log, "training.loop", "epoch %d of %s", x, "ten", pure=False)
        address = future.result()
        record = caplog.records[-1]
        assert (record.getMessage(), record.args, record.name) == (f"epoch {x} of ten", (x, "ten"), "training.loop")
        assert (record.worker, record.key) == (address, future.key)  # type: ignore[attr-defined]  # what forwarding adds
        assert record.process != os.getpid()
    client.submit(log, "elsewhere", "not wanted").result()
    client.unforward_logging("training")
    client.submit(log, "training.loop", "not wanted").result()
    assert "not wanted" not in caplog.text
    assert len([record for record in caplog.records if record.name.startswith("training")]) == 10


def fail_and_log() -> None:
    try:
        1 / 0
    except ZeroDivisionError:
        logging.getLogger("trouble").exception("it went wrong: %s %s", Unspeakable(), (1, 2), extra={"step": 3, "thing": Unspeakable()})


def test_a_traceback_and_what_cannot_be_pickled_come_as_text(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.forward_logging("trouble", level=logging.WARNING)
    client.submit(fail_and_log).result()
    client.unforward_logging("trouble")
    record = caplog.records[-1]
    assert record.getMessage() == "it went wrong: in words (1, 2)"
    assert "ZeroDivisionError" in caplog.handler.format(record)
    assert (record.step, record.thing) == (3, "in words")  # type: ignore[attr-defined]  # `extra`


def test_two_clients_get_what_each_wants_once(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client.forward_logging()
    client.forward_logging("a", level="DEBUG")
    with Client(client.address, set_as_default=False) as other:
        other.forward_logging("a.b", level="ERROR")
        client.submit(log, "a.b", "once").result()
    client.submit(log, "a", "after the other has gone").result()
    client.unforward_logging()
    client.unforward_logging("a")
    assert [record.getMessage() for record in caplog.records if record.name.startswith("a")] == ["once", "after the other has gone"]


def flood(n: int) -> None:
    for i in range(n):
        logging.getLogger("flood").info("%d", i)


def test_a_flood_is_cut_and_says_so(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    client.forward_logging("flood")
    client.submit(flood, 50_000).result(60)
    client.unforward_logging("flood")
    messages = [record.getMessage() for record in caplog.records if record.name == "flood"]
    numbers = [int(message) for message in messages if message.isdigit()]
    assert numbers == sorted(numbers)
    assert 5_000 <= len(numbers) < 50_000
    assert any("more than 1,000 records a second" in message for message in messages)


def test_a_worker_that_joins_later_forwards_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Client(n_workers=1, threads_per_worker=1, set_as_default=False) as client:
        client.forward_logging("later")
        first = set(client.nthreads())
        client.cluster.scale(2)
        client.wait_for_workers(2)
        (second,) = set(client.nthreads()) - first
        client.submit(log, "later", "from the second", workers=second).result()
        assert [record.worker for record in caplog.records if record.name == "later"] == [second]  # type: ignore[attr-defined]  # as above


SCRIPT = """
from jupyterfut import Client, print, warn
def say():
    print("from a task")
    warn("careful")
if __name__ == "__main__":
    with Client(n_workers=1) as client:
        client.submit(say).result()
        print("from the client")
"""


def test_a_script_prints_each_line_once(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.stdout == "from a task\nfrom the client\n"
    assert done.stderr.count("careful") == 2  # the warning, and its line of code
    assert "script.py:5: UserWarning: careful" in done.stderr


# --- the task stream


def test_rows_of_processes_are_on_this_clock_with_failures_and_transfers(client: Client) -> None:
    a, b = client.nthreads()
    before = time.time()
    with get_task_stream(client) as ts:
        data = client.submit(bytes, 200_000, workers=a, pure=False)
        assert client.submit(len, data, workers=b, pure=False).result() == 200_000
        client.submit(divmod, 1, 0).exception()
    after = time.time()
    made, counted, failed = (next(row for row in ts.data if row["prefix"] == name) for name in ("bytes", "len", "divmod"))
    (moved,) = (row for row in ts.data if row["action"] == "transfer")
    assert (made["worker"], counted["worker"], failed["status"]) == (a, b, "error")
    assert (moved["worker"], moved["type"], moved["key"]) == (b, a, data.key)
    assert moved["nbytes"] >= 200_000
    assert before - 0.1 <= made["start"] <= made["stop"] <= moved["start"] + 0.1
    assert moved["stop"] <= counted["stop"] <= after + 0.1
    assert [what for _, _, what, _ in client.story(data) if what.startswith("worker")] != []


def test_a_worker_that_goes_takes_its_rows_along() -> None:
    with Client(n_workers=2, threads_per_worker=1, set_as_default=False) as client:
        with get_task_stream(client) as ts:
            client.gather([client.submit(abs, -1, workers=worker, pure=False) for worker in client.nthreads()])
            client.cluster.scale(1)
        assert {row["worker"] for row in ts.data if row["prefix"] == "abs"} == set(client.nthreads())
