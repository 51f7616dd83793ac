"""The sidebar and the notebooks that are open: which cluster is at hand, also while a kernel is busy; new notebooks that begin with a client; cells
that end while nobody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from browser.lab import Chromium, Notebook, Server, Window
from browser.sidebar import Requests, Sidebar

_CURRENT = "path => window.jupyterapp.commands.execute('docmanager:open', { path }).then(() => null)"
_BUSY = "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'busy'"


def open_again(notebook: Notebook) -> None:
    """Bring the notebook to hand."""
    notebook.page.evaluate(_CURRENT, notebook.path.name)


def test_two_notebooks_on_two_clusters(server: Server, sidebar: Sidebar, window: Window) -> None:
    cells = ["from jupyterfut import Client\nclient = Client(name={name!r}, n_workers=1, threads_per_worker=1)"]
    notebooks = {}
    for name in ("north", "south"):
        notebooks[name] = window.open(server.write(f"two-{name}.ipynb", [cells[0].format(name=name)]))
        notebooks[name].run(0)
        sidebar.wait_current(name)  # a kernel has started it: nobody told the sidebar
    pane = sidebar.open_pane("Workers")
    for name in ("north", "south", "north"):
        open_again(notebooks[name])
        sidebar.wait_current(name)
        sidebar.card(name).locator(".jf-sign.jf-mod-accent").wait_for()
        window.page.locator(".jf-status button").get_by_text(name, exact=True).wait_for()
    sidebar.open_pane("Workers")
    pane.get_by_text("Notebook’s cluster: north").wait_for(state="attached")
    pane.get_by_role("combobox", name="Cluster").select_option(label="south")
    assert sidebar.open_panes == ["Workers – south"]
    open_again(notebooks["north"])
    sidebar.wait_current("north")
    assert sidebar.open_panes == ["Workers – south"]  # it is bound to the other one now


def test_a_busy_kernel_is_asked_nothing(sidebar: Sidebar, in_lab: Callable[..., Notebook]) -> None:
    requests = Requests(sidebar.page)
    start = "from jupyterfut import Client\nimport time\nclient = Client(name='busy', n_workers=1, threads_per_worker=1)"
    notebook = in_lab(start, "futures = client.map(lambda i: time.sleep(0.05), range(400))\ntime.sleep(600)")
    notebook.run(0)
    notebook.run(1, wait=False)
    notebook.page.wait_for_function(_BUSY)
    sidebar.wait_current("busy")
    sidebar.card("busy").locator(".jf-cluster-strip [data-tone='processing']").wait_for()
    sidebar.open_pane("Workers")
    sidebar.card("busy").get_by_role("button", name="One worker more").click()
    sidebar.wait_workers("busy", 2)
    sidebar.screenshot("sidebar-busy")
    assert requests.executed == 2  # the two cells
    open_again(notebook)
    assert notebook.is_running(1)
    notebook.interrupt(1)


@pytest.fixture
def attaching(server: Server, chromium: Chromium, kernels: None) -> Iterator[Window]:
    """A page of Lab in which new notebooks are connected to the cluster `mill`."""
    server.configure(disturb=True, autoAttach="mill", notify="always", notifyAfter=0)
    window = Window(server, chromium)
    yield window
    window.close()
    server.configure()
    server.shut_down_kernels()
    server.stop_clusters()


def test_new_notebooks_begin_with_a_client(server: Server, attaching: Window) -> None:
    sidebar = Sidebar(attaching.page)
    requests = Requests(attaching.page)
    early = attaching.open(server.write("attach-early.ipynb", ["'client' in dir()"]))
    early.run(0)
    early.wait_text(0, "False")  # there was no such cluster: nothing is there, and nothing was printed
    sidebar.start("mill", n_workers="1", threads_per_worker="1")
    sidebar.card("mill").locator(".jf-sign").wait_for()

    path = server.write("attach.ipynb", ["client.submit(abs, -7).result()", "client.submit(abs, -8).result()", "dir()"])
    notebook = attaching.open(path, kernel=True)
    notebook.run(0)  # its first cell may rely on it
    notebook.wait_text(0, "7")
    sidebar.card("mill").locator(".jf-sign.jf-mod-accent").wait_for()
    notebook.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    notebook.run(1)
    notebook.wait_text(1, "8")
    asked = requests.executed
    attaching.reload()
    Sidebar(attaching.page).card("mill").locator(".jf-sign.jf-mod-accent").wait_for()
    assert requests.executed == asked  # a kernel that runs on has its client


def test_a_cell_that_ends_is_told_and_found(server: Server, attaching: Window) -> None:
    Sidebar(attaching.page).start("mill", n_workers="1", threads_per_worker="1")
    cells = ["%load_ext jupyterfut", "%%submit\nimport time\ntime.sleep(2)\nanswer = 42", *["'\\n' * 30"] * 12]
    notebook = attaching.open(server.write("told.ipynb", cells))
    notebook.run(0, 1)
    attaching.open(server.write("elsewhere.ipynb", ["1"]))
    toast = attaching.page.locator(".Toastify__toast", has_text="told.ipynb")
    toast.get_by_text("is done after").wait_for()
    Sidebar(attaching.page).screenshot("sidebar-notification")
    toast.get_by_role("button", name="Go to cell").click()
    attaching.page.wait_for_function("() => window.jupyterapp.shell.currentWidget.context?.path === 'told.ipynb'")
    attaching.page.wait_for_function("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex === 1")
