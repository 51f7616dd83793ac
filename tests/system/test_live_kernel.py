"""Forms that live in a real kernel, as a front end without widgets sees them: which messages come, how many and how large, busy or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernels import Kernel

pytestmark = pytest.mark.usefixtures("kernel_loop")

SET_UP = """
import threading, time
from jupyterfut import Client, progress
client = Client(processes=False, n_workers=1, threads_per_worker=2)
go = threading.Event()
def same(x): return x
"""


class Listener:
    """A kernel, and what it shows under which cell."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.messages: list[dict[str, Any]] = []

    def run(self, code: str, until: str = "idle") -> list[dict[str, Any]]:
        """Run a cell; what was shown until it is done, or until a message whose text contains `until` has come."""
        request = self.kernel.client.execute(code)
        came: list[dict[str, Any]] = []
        idle = found = False
        while not (idle and (found or until == "idle")):
            message = self.kernel.client.get_iopub_msg(timeout=20)
            content, kind = message["content"], message["msg_type"]
            if kind == "error":
                raise AssertionError("\n".join(content["traceback"]))
            if kind == "status" and content["execution_state"] == "idle" and message["parent_header"].get("msg_id") == request:
                idle = True
            if kind in ("display_data", "update_display_data", "execute_result"):
                came.append(message)
                found = found or until in text(message)
        self.messages += came
        return came


def text(message: dict[str, Any]) -> str:
    return str(message["content"]["data"].get("text/plain", ""))


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    return [message["msg_type"] for message in messages]


@pytest.fixture
def listener() -> Iterator[Listener]:
    kernel = Kernel()
    try:
        listener = Listener(kernel)
        listener.run(SET_UP)
        yield listener
        listener.run("go.set(); client.close()")
    finally:
        kernel.end()


def test_a_future_moves_while_the_kernel_is_busy_and_ends_in_the_document(listener: Listener) -> None:
    shown = listener.run("f = client.submit(go.wait, 60); f")
    assert kinds(shown)[0] == "display_data"
    display = shown[0]["content"]["transient"]["display_id"]
    # The cell is busy until the form has been updated: a form that needed the main thread would wait for ever.
    came = listener.run(
        "threading.Timer(0.2, go.set).start()\n"
        "from jupyterfut.notebook import live\n"
        "form = next(iter(live.current()))\n"
        "while 'finished' not in form.in_document: time.sleep(0.01)",
        "finished",
    )
    assert set(kinds(came)) == {"update_display_data"}
    assert all(message["content"]["transient"]["display_id"] == display for message in came)
    assert text(came[-1]).startswith("<Future: status: finished, type: bool")
    assert set(came[-1]["content"]["data"]) == {"text/plain", "text/html"}, "nothing that needs a widget manager"


def test_ten_thousand_futures_in_few_small_messages(listener: Listener) -> None:
    came = listener.run("fs = client.map(same, range(10_000)); fs", "10000 finished")
    assert kinds(came).count("display_data") == 1
    assert max(len(message["content"]["data"]["text/html"]) for message in came) < 100_000
    assert len(came) < 100


def test_a_submitted_cell_has_one_card(listener: Listener) -> None:
    listener.run("%load_ext jupyterfut")
    came = listener.run("%%submit\nx = 1 + 1\n", "finished, futures: x")
    assert kinds(came).count("display_data") == 1
    assert text(came[0]) == "cell-3: pending, futures: x"
    came = listener.run("%%submit for i in range(5)\ny = i\n", "finished, futures: y")
    assert "5 of 5 done" in came[-1]["content"]["data"]["text/html"]


LATE_CARD = """
from jupyterfut.notebook.magics import submit as submit_magic
show_card = submit_magic.show_card
def late(shell, client, run, *, static):
    run.ends[0].result()  # what the cell says has come, too
    show_card(shell, client, run, static=static)
submit_magic.show_card = late
"""


def test_the_card_stands_first_however_fast_the_cell_is(listener: Listener) -> None:
    listener.run("%load_ext jupyterfut" + LATE_CARD)
    came = listener.run("%%submit\nprint('said')\n'shown'\n", "shown")
    assert [text(message) for message in came if message["msg_type"] == "display_data"] == ["cell-3: pending", "'shown'"]


def test_a_failed_cell_runs_again_by_its_button(listener: Listener, tmp_path: Path) -> None:
    listener.run(f"%load_ext jupyterfut\nimport os\nflag = {str(tmp_path / 'sun')!r}")
    came = listener.run("%%submit\nif not os.path.exists(flag): raise ValueError('too wet')\nhome = 'again'\n", "too wet")
    display = came[0]["content"]["transient"]["display_id"]
    came = listener.run(
        "from jupyterfut.notebook import live\nform = list(live.current())[-1]\nopen(flag, 'w').close(); live.current().do(form, 'retry', {})",
        "finished, futures: home",
    )
    assert {message["content"]["transient"]["display_id"] for message in came} == {display}
    listener.run("assert home.result(10) == 'again'")


def test_plain_lists_of_futures_and_progress(listener: Listener) -> None:
    came = listener.run("fs = [client.submit(same, i) for i in range(3)]; fs", "3 finished")
    assert "display_id" in came[0]["content"]["transient"]
    assert kinds(listener.run("[1, 2]")) == ["execute_result"]
    came = listener.run("progress(fs)", "Progress: same 3 futures: 3 finished")
    assert kinds(came)[0] == "display_data"


def test_a_form_as_a_widget(listener: Listener) -> None:
    listener.run("from jupyterfut.notebook.widgets import Form\nf = client.submit(go.wait, 60); form = Form(f)")
    listener.run("while 'running' not in form.html: time.sleep(0.01)")
    listener.run("form._hear(form, {'t': 'do', 'do': 'cancel'}, [])\nwhile 'cancelled' not in form.html: time.sleep(0.01)")
    listener.run("assert f.cancelled(); form.close()")


def test_without_anywidget_and_with_widgets(listener: Listener) -> None:
    came = listener.run("import sys; sys.modules['anywidget'] = None\nf = client.submit(same, 1); f", "status: finished")
    assert text(came[-1]).startswith("<Future: status: finished")
    listener.run("from jupyterfut.notebook.widgets import Form\nform = Form(client)")
    listener.run("assert 'Client' in form._drawn.value and len(form._able.children) == 4")
    listener.run("form._able.children[0].value = 2; form._able.children[1].click()")
    listener.run("while len(client.scheduler_info()['workers']) < 2: time.sleep(0.01)")
    listener.run("form.close()")


def test_static_display_is_a_plain_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERFUT_DISPLAY", "static")
    kernel = Kernel()
    try:
        listener = Listener(kernel)
        listener.run(SET_UP)
        came = listener.run("client.map(same, range(100))")
        assert kinds(came) == ["execute_result"]
        assert text(came[0]) == "<FutureList: same 100 futures>"
        assert not came[0]["content"].get("transient")
        listener.run("client.close()")
    finally:
        kernel.end()


def test_forms_go_with_the_extension(listener: Listener) -> None:
    listener.run("%load_ext jupyterfut")
    listener.run("f = client.submit(go.wait, 60); f")
    listener.run("%unload_ext jupyterfut")
    listener.run("assert not any(thread.name == 'jupyterfut-forms' for thread in threading.enumerate())")
    listener.run("go.set(); f.result()")
