"""`client.dashboard(...)` in a notebook: panes that move while the kernel is busy, and what stays of them in the document."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from browser.lab import Notebook, Window

CLIENT = """
import time
from jupyterfut import Client
client = Client(n_workers=2, threads_per_worker=2, name='study')
def step(i, seconds=0.02):
    time.sleep(seconds)
    return i
futures = client.map(step, range(200))
"""
SLEEP = "time.sleep(600)"


def test_panes_move_while_the_kernel_sleeps(in_lab: Callable[..., Notebook], window: Window) -> None:
    notebook = in_lab(CLIENT, "client.dashboard('workers', 'task-stream')", "more = client.map(step, range(1000, 1400))\n" + SLEEP)
    notebook.run(0, 1)
    notebook.wait_text(1, "Workers")
    output = notebook.output(1)
    output.locator(".jf-pane-workers").wait_for()
    notebook.run(2, wait=False)
    notebook.wait_text(1, "step")  # the legend of the task stream: it heard of tasks that began after the cell did
    assert notebook.is_running(2)
    notebook.screenshot("dashboard-output")
    notebook.interrupt(2)
    notebook.output(1).scroll_into_view_if_needed()
    window.theme("dark")
    pane = output.locator(".jf-pane-workers")
    expect(pane).to_have_css("background-color", "rgb(33, 33, 33)")  # of JupyterLab Dark
    notebook.screenshot("dashboard-output-dark")


def test_a_pane_that_does_not_exist_is_said(in_lab: Callable[..., Notebook]) -> None:
    notebook = in_lab(CLIENT, "client.dashboard('weather')")
    notebook.run(0, 1)
    notebook.wait_text(1, "There is no pane weather")


def test_the_end_of_the_client_is_said(in_lab: Callable[..., Notebook]) -> None:
    notebook = in_lab(CLIENT, "client.dashboard('workers')", "client.close()")
    notebook.run(0, 1)
    notebook.output(1).locator(".jf-pane-workers").wait_for()
    notebook.run(2)
    notebook.wait_text(1, "client is closed")


def test_the_document_holds_a_line_and_no_token(in_lab: Callable[..., Notebook]) -> None:
    notebook = in_lab(CLIENT, "client.dashboard('workers')", "print(client.dashboard_link)")
    notebook.run(0, 1, 2)
    notebook.output(1).locator(".jf-pane-workers").wait_for()
    cells = notebook.save().cells
    data = cells[1].outputs[0].data
    assert data["text/plain"] == "<Dashboard of 'study': workers>"
    assert "token" not in data["text/html"]
    assert cells[2].outputs[0].text.partition("?")[0] in data["text/html"]
