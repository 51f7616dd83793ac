"""The sidebar elsewhere than in the plainest JupyterLab: in the dark, below an address with a blank in it, and in Notebook 7."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from browser.lab import _FAINT as FAINT
from browser.lab import Chromium, Notebook, Server, Theme, Window
from browser.sidebar import Sidebar

LEAST_CONTRAST = 4.5


def test_it_can_be_read_in_both_themes(sidebar: Sidebar, window: Window, in_lab: Callable[..., Notebook]) -> None:
    notebook = in_lab(
        "from jupyterfut import Client\nclient = Client(name='mine', n_workers=1, threads_per_worker=2)", "client.map(lambda i: 1 / i, range(9))"
    )
    sidebar.start("mill", n_workers="1", threads_per_worker="1")
    notebook.run(0, 1)
    sidebar.wait_current("mine")
    sidebar.card("mine").locator(".jf-text-bad").wait_for()
    sidebar.page.evaluate("() => void window.jupyterapp.commands.execute('jupyterfut:open-layout')")
    sidebar.page.locator(".jf-tab").nth(2).wait_for()
    themes: tuple[Theme, Theme] = ("light", "dark")
    for theme in themes:
        window.theme(theme)
        assert sidebar.node.evaluate(FAINT, LEAST_CONTRAST) == []
        sidebar.screenshot(f"sidebar-{theme}")
        sidebar.page.locator("[data-command='jupyterfut:start-cluster']").first.click()
        form = sidebar.page.locator(".jf-dialog")
        form.locator(".jf-form").wait_for()
        sidebar.screenshot(f"sidebar-form-{theme}")
        assert form.locator(".jf-form").evaluate(FAINT, LEAST_CONTRAST) == []
        sidebar.page.keyboard.press("Escape")
        form.wait_for(state="detached")


def test_below_an_address_with_a_blank(chromium: Chromium, tmp_path: Path) -> None:
    with ExitStack() as stack:
        server = Server(tmp_path / "home", base_url="/user/a%20b/")
        stack.callback(server.stop)
        window = Window(server, chromium)
        stack.callback(window.close)
        sidebar = Sidebar(window.page)
        sidebar.start("mill", n_workers="1", threads_per_worker="1")
        sidebar.open_pane("Workers").get_by_text("mill").first.wait_for(state="attached")
        sidebar.card("mill").get_by_role("button", name="One worker more").click()
        sidebar.wait_workers("mill", 2)
        sidebar.press("mill", "Stop")
        sidebar.accept()
        sidebar.wait_gone("mill")


def test_in_notebook_7(server: Server, in_notebook_7: Callable[..., Notebook]) -> None:
    notebook = in_notebook_7("from jupyterfut import Client\nclient = Client(name='seven', n_workers=1, threads_per_worker=1)")
    notebook.run(0)
    sidebar = Sidebar(notebook.page)
    sidebar.wait_current("seven")
    sidebar.card("seven").locator(".jf-sign.jf-mod-accent").wait_for()
    sidebar.open_pane("Workers")
    assert sidebar.open_panes == ["Workers"]
    sidebar.screenshot("sidebar-notebook-7")
    sidebar.press("seven", "Stop")
    sidebar.page.locator(".jp-Dialog").get_by_text("Stop seven?").wait_for()
    sidebar.accept()
    sidebar.wait_gone("seven")
