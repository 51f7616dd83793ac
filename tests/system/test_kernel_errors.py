"""Errors, the debugger, and the stop button, in a real kernel: what a user of a notebook reads and gets."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kernels import Kernel

pytestmark = pytest.mark.usefixtures("kernel_loop")

SETUP = """
from jupyterfut import Client, as_completed, get_client, wait
client = Client(n_workers=1, threads_per_worker=2)
%load_ext jupyterfut
"""
FUNCTIONS = """
def ratio(x, y):
    z = x - 1
    return y / z
def double(x):
    return 2 * x
def busy(x):
    print("waits")  # it runs: whoever asked for it waits by now
    while True:
        sum(range(100))
def nested(x):
    return get_client().submit(busy, x).result()
"""


class Talking(Kernel):
    """A kernel of which one sees all that it says, as text without colours."""

    def cell(self, code: str, *, answers: list[str] | None = None, interrupt_at: str = "") -> str:
        """Run a cell. `answers`: what to type when it asks; "q" after them. `interrupt_at`: press stop a moment after it has printed this."""
        said: list[str] = []
        left = list(answers or ())
        timers: list[threading.Timer] = []

        def hear(message: dict[str, Any]) -> None:
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                said.append(content["text"])
                if interrupt_at and interrupt_at in content["text"] and not timers:
                    timers.append(threading.Timer(0.3, os.killpg, (self.manager.provisioner.pid, signal.SIGINT)))
                    timers[0].start()
            elif kind == "error":
                said.append("\n".join(content["traceback"]) + "\n")
            elif kind == "execute_result":
                said.append(content["data"]["text/plain"])

        def asked(message: dict[str, Any]) -> None:
            self.client.input(left.pop(0) if left else "q")

        self.client.execute_interactive(code, timeout=60, output_hook=hear, stdin_hook=asked, allow_stdin=True, stop_on_error=False)
        for timer in timers:
            timer.join()
        return re.sub(r"\x1b\[[0-9;]*m", "", "".join(said))


@pytest.fixture(scope="module")
def kernel() -> Iterator[Talking]:
    kernel = Talking()
    for code in (SETUP, FUNCTIONS):
        assert kernel.cell(code) == ""
    yield kernel
    kernel.end()


def test_an_error_shows_the_notebooks_own_lines(kernel: Talking) -> None:
    kernel.cell("a = client.submit(ratio, 1, 5)\nb = client.submit(double, a)\nfs = client.map(ratio, [3, 1], [1, 1])")
    for asks in ("a.result()", "b.result()", "await b", "client.gather(fs)", "for f in as_completed(fs, with_results=True): pass", "%gather b"):
        said = kernel.cell(asks)
        assert re.search(r"Cell In\[\d+\], line 1\n----> 1 ", said), said
        assert "Cell In[2], line 3, in ratio()\n" in said
        assert "----> 3     return y / z" in said
        assert said.index("Cell In") < said.index("in ratio()")
        assert "/jupyterfut/" not in said
        assert ("b was not run, because a (cell In[3]) failed" in said) == ("b" in asks.split()[-1]), said


def test_a_chain_of_submitted_cells_says_which_failed_first(kernel: Talking) -> None:
    kernel.cell("%%submit --name first\np = 1\nq = ratio(p, 2)\n")
    kernel.cell("%%submit --name second\nr = q + 1\n")
    said = kernel.cell("r.result()")
    assert "----> 3 q = ratio(p, 2)" in said
    assert re.search(r"r was not run, because first-.* failed; between them: q, second-", said), said
    assert "/jupyterfut/" not in said


def test_our_own_errors_stand_at_the_users_line(kernel: Talking) -> None:
    said = kernel.cell("client.submit(double, 1, resources={'GPU': 1}).result(timeout=0.01)")
    assert "TimeoutError: still pending" in said
    assert "/jupyterfut/" not in said


def test_post_mortem_shows_the_remote_source(kernel: Talking) -> None:
    kernel.cell("a = client.submit(ratio, 1, 5)")
    kernel.cell("a.result()")
    said = kernel.cell("%debug", answers=["u", "p 6 * 7"])
    assert "----> 3     return y / z" in said
    assert "42\n" in said


def test_debug_runs_the_failed_call_here(kernel: Talking) -> None:
    kernel.cell("a = client.submit(ratio, 1, client.submit(double, 21))\nb = client.submit(double, a)")
    kernel.cell("b.exception()")
    said = kernel.cell("%futures debug b", answers=["p x, y, z"])
    assert said.startswith("Running a (cell In["), said
    assert "here, with 1 input." in said
    assert "----> 3     return y / z" in said
    assert "(1, 42, 0)" in said


def test_debug_runs_a_failed_cell_here(kernel: Talking) -> None:
    kernel.cell("%%submit\nw = 5\nv = ratio(1, w)\n")
    kernel.cell("v.exception()")
    said = kernel.cell("%futures debug v", answers=["p x, y", "u", "p w"])
    assert "(1, 5)" in said
    assert "----> 3 v = ratio(1, w)" in said
    assert "\n5\n" in said


def test_debug_of_what_has_not_failed(kernel: Talking) -> None:
    kernel.cell("ok = client.submit(double, 1)\nok.result()")
    assert "ok has not failed: it is finished" in kernel.cell("%futures debug ok")
    kernel.cell("import os\nhere = os.getpid()\ndef only_there():\n    import os\n    if os.getpid() != here:\n        raise ValueError\n")
    kernel.cell("t = client.submit(only_there)")
    kernel.cell("t.exception()")
    assert "It ran through here, without an error" in kernel.cell("%futures debug t")


WAITS = {
    "result": ("x = client.submit(busy, 1, pure=False)", "x.result()", 1),
    "gather": ("xs = client.map(busy, range(5), pure=False)", "client.gather(xs)", 5),
    "nested": ("x = client.submit(nested, 1, pure=False)", "x.result()", 2),
    "await": ("x = client.submit(busy, 1, pure=False)", "await x", 1),
    "as_completed": ("xs = client.map(busy, range(3), pure=False)", "for x in as_completed(xs): pass", 3),
    "wait": ("xs = client.map(busy, range(3), pure=False)", "wait(xs)", 3),
    "%gather": ("x = client.submit(busy, 1, pure=False)", "%gather x", 1),
}


@pytest.mark.parametrize("way", WAITS)
def test_stop_takes_back_what_the_cell_has_submitted(kernel: Talking, way: str) -> None:
    kernel.cell("other = client.submit(busy, 'other', pure=False)")
    begins, waits, number = WAITS[way]
    said = kernel.cell(f"{begins}\n{waits}", interrupt_at="waits")
    assert f"Interrupted: cancelled {number} task" in said, said
    assert "/jupyterfut/" not in said
    assert kernel.cell("other.status") == "'pending'"
    kernel.cell("other.cancel()")
    assert kernel.cell("client.gather(client.map(abs, [-1, -2], pure=False))") == "[1, 2]"  # both slots are free


def test_stop_of_a_waiting_submitted_cell(kernel: Talking) -> None:
    said = kernel.cell("%%submit --wait\nbusy(1)\n", interrupt_at="waits")
    assert "Interrupted: cancelled" in said, said
    assert kernel.cell("client.gather(client.map(abs, [-1, -2], pure=False))") == "[1, 2]"


def test_stop_of_a_cells_own_code_takes_nothing_back(kernel: Talking) -> None:
    said = kernel.cell("import time\nmine = client.submit(busy, 2, pure=False)\ntime.sleep(60)", interrupt_at="waits")
    assert "KeyboardInterrupt" in said
    assert "cancelled" not in said
    said = kernel.cell("try:\n    print('waits')\n    mine.result()\nexcept KeyboardInterrupt:\n    print('caught')", interrupt_at="waits")
    assert said == "waits\ncaught\n"
    assert kernel.cell("mine.status") == "'pending'"
    kernel.cell("mine.cancel()")


def test_stop_of_submitted_cells_that_await_or_compute(kernel: Talking) -> None:
    awaits, computes = "import asyncio\nprint('waits')\nawait asyncio.sleep(3600)", "print('waits')\nwhile True:\n    pass"
    for body in (awaits, computes, "client_inside = get_client\nbusy(1)"):
        said = kernel.cell(f"%%submit --wait\n{body}\n", interrupt_at="waits")
        assert "Interrupted: cancelled" in said, said
        assert kernel.cell("client.gather(client.map(abs, [-1, -2], pure=False))") == "[1, 2]"
