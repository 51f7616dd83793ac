"""Futures as the page shows them: they move while the kernel's main thread sleeps, and their buttons work meanwhile."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from browser.lab import Notebook, Window

CLIENT = """
%load_ext jupyterfut
import time
from jupyterfut import Client, progress, wait
client = Client(n_workers=2, threads_per_worker=2)
def step(i, seconds=0.0):
    time.sleep(seconds)
    return i
def say(word, seconds):
    for i in range(5):
        time.sleep(seconds / 5)
        print(word, i)
def fail_once(flag):
    import os
    if not os.path.exists(flag):
        open(flag, 'w').close()
        raise ValueError('this is what went wrong')
"""
SLEEP = "time.sleep(600)"


def test_a_chip_changes_while_the_kernel_sleeps(in_lab: Callable[..., Notebook]) -> None:
    notebook = in_lab(CLIENT, "first = client.submit(step, 1, 1)\nsecond = client.submit(step, first, 1)\nsecond", SLEEP)
    notebook.run(0, 1)
    notebook.watch(1)
    notebook.run(2, wait=False)
    notebook.wait_text(1, "running")
    notebook.screenshot("chip-running")
    notebook.wait_text(1, "finished")
    assert notebook.is_running(2)
    notebook.interrupt(2)


def test_a_submitted_cell_is_done_while_the_kernel_sleeps(in_lab: Callable[..., Notebook]) -> None:
    notebook = in_lab(CLIENT, "%%submit\nx = step('so be ' + 'it', 1)\nx", SLEEP)
    notebook.run(0, 1)
    notebook.run(2, wait=False)
    notebook.screenshot("cell-running")
    notebook.wait_text(1, "'so be it'", "finished")
    assert notebook.is_running(2)
    notebook.interrupt(2)


def test_a_task_is_cancelled_while_the_kernel_sleeps(in_lab: Callable[..., Notebook]) -> None:
    notebook = in_lab(CLIENT, "long = client.submit(step, 1, 600)\nlong", SLEEP, "long.status")
    notebook.run(0, 1)
    notebook.run(2, wait=False)
    notebook.output(1).get_by_role("button", name="cancel").click()
    notebook.wait_text(1, "cancelled")
    assert notebook.is_running(2)
    notebook.interrupt(2)
    notebook.run(3)
    notebook.wait_text(3, "'cancelled'")
    notebook.screenshot("chip-cancelled")


def test_a_failed_task_is_retried(in_lab: Callable[..., Notebook], tmp_path: Path) -> None:
    notebook = in_lab(CLIENT, f"failing = client.submit(fail_once, {str(tmp_path / 'flag')!r})\nfailing")
    notebook.run(0, 1)
    notebook.wait_text(1, "error", "this is what went wrong")
    notebook.screenshot("chip-failed")
    notebook.output(1).get_by_role("button", name="retry").click()
    notebook.wait_text(1, "finished")


def test_ten_thousand_futures_are_one_small_output(in_lab: Callable[..., Notebook]) -> None:
    notebook = in_lab(CLIENT, "futures = client.map(step, range(10_000), [0.0005] * 10_000)\nfutures", "done = wait(futures)")
    notebook.run(0, 1)
    notebook.watch(1)
    notebook.screenshot("list-10000-running")
    notebook.run(2)
    notebook.wait_text(1, "10,000 of 10,000 done")
    notebook.screenshot("list-10000-finished")
    times = [when for when, _ in notebook.seen(1)]
    assert 2 <= len(times) <= 10 * (times[-1] - times[0] + 0.5) + 2  # it moved, ten times a second at most; the last may have come late, and then two
    outputs = notebook.save().cells[1].outputs
    assert len(outputs) == 1
    assert len(json.dumps(outputs)) < 100_000


def test_a_progress_bar_comes_to_its_end(in_lab: Callable[..., Notebook]) -> None:
    notebook = in_lab(CLIENT, "futures = client.map(step, range(40), [0.1] * 40)\nprogress(futures)", SLEEP)
    notebook.run(0, 1)
    notebook.run(2, wait=False)
    notebook.screenshot("progress-running")
    notebook.wait_text(1, re.compile(r"40\s*/\s*40|40 of 40|100\s*%"))
    assert notebook.is_running(2)
    notebook.screenshot("progress-finished")
    notebook.interrupt(2)


def test_after_a_reload_of_the_page_it_moves_on(window: Window, in_lab: Callable[..., Notebook]) -> None:
    notebook = in_lab(CLIENT, "long = client.submit(step, 1, 600)\nlong")
    notebook.run(0, 1)
    notebook.wait_text(1, "running")
    notebook.save()
    window.reload()
    notebook.wait_ready()
    notebook.output(1).get_by_role("button", name="cancel").click()
    notebook.wait_text(1, "cancelled")


def test_in_notebook_7(in_notebook_7: Callable[..., Notebook]) -> None:
    notebook = in_notebook_7(
        CLIENT,
        "long = client.submit(step, 1, 600)\nlong",
        "%%submit\nx = step('so be ' + 'it', 1)\nx",
        "apples = client.submit(say, 'apple', 1)",
        "pears = client.submit(say, 'pear', 1)",
        SLEEP,
    )
    notebook.run(0, 1, 2, 3, 4)
    notebook.run(5, wait=False)
    notebook.wait_text(1, "running")
    notebook.output(1).get_by_role("button", name="cancel").click()
    notebook.wait_text(1, "cancelled")
    notebook.wait_text(2, "'so be it'")
    notebook.wait_text(3, "apple 4")
    notebook.wait_text(4, "pear 4")
    assert "pear" not in notebook.texts(3)
    assert "apple" not in notebook.texts(4)
    assert notebook.is_running(5)
    notebook.screenshot("notebook-7-while-the-kernel-sleeps")
    notebook.interrupt(5)
