"""One server, one browser and one window of JupyterLab for all browser tests; after each test no kernel and no cluster is left.

Where the browser or one of the packages is not installed these tests are left out, and a line at the end says what to install.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from browser import lab
from browser.lab import Chromium, Notebook, Server, Window, open_in_notebook_7
from browser.sidebar import Sidebar
from jupyterfut.runtime.process import wait_gone

MISSING = lab.missing()
collect_ignore_glob = ["test_*.py"] if MISSING else []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if MISSING:
        terminalreporter.write_line(f"browser tests left out; they need {MISSING}")


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if MISSING:  # a test that is asked for by its file's name is collected all the same
        pytest.fail(f"browser tests need {MISSING}", pytrace=False)
    server = Server(tmp_path_factory.mktemp("jupyter") / "home")
    yield server
    server.stop()


@pytest.fixture(scope="package")
def chromium(server: Server) -> Iterator[Chromium]:
    chromium = Chromium()
    yield chromium
    chromium.stop()


@pytest.fixture(scope="package")
def shared_window(server: Server, chromium: Chromium) -> Iterator[Window]:
    window = Window(server, chromium)
    yield window
    window.close()


@pytest.fixture
def kernels(server: Server) -> Iterator[None]:
    """Ends the kernels that the test started, with the clusters that those started."""
    yield
    server.shut_down_kernels()
    for file in server.runtime.glob("jupyterfut-*.json"):
        pid = json.loads(file.read_text())["pid"]
        assert wait_gone(pid, 10), f"the cluster of a kernel that has ended still runs: process {pid}"


@pytest.fixture
def window(shared_window: Window, kernels: None) -> Iterator[Window]:
    """JupyterLab, light, with no notebook open. Widgets may raise no error in it."""
    yield shared_window
    shared_window.close_notebook()
    shared_window.theme("light")
    errors, shared_window.errors[:] = shared_window.errors.copy(), []
    assert not errors


@pytest.fixture
def sidebar(server: Server, window: Window) -> Iterator[Sidebar]:
    """The sidebar of that page. In the end all tabs are closed, and all clusters ended."""
    sidebar = Sidebar(window.page)
    yield sidebar
    sidebar.close_everything()
    server.shut_down_kernels()
    server.stop_clusters()


@pytest.fixture
def in_lab(server: Server, window: Window, request: pytest.FixtureRequest) -> Callable[..., Notebook]:
    """Writes a notebook with these cells and opens it in JupyterLab."""

    def open_new(*cells: str) -> Notebook:
        return window.open(server.write(f"{_name(request)}.ipynb", cells))

    return open_new


@pytest.fixture
def in_notebook_7(server: Server, chromium: Chromium, kernels: None, request: pytest.FixtureRequest) -> Iterator[Callable[..., Notebook]]:
    """Writes a notebook with these cells and opens it in Notebook 7."""
    opened: list[Notebook] = []

    def open_new(*cells: str) -> Notebook:
        opened.append(open_in_notebook_7(server, chromium, server.write(f"{_name(request)}.ipynb", cells)))
        return opened[-1]

    yield open_new
    for notebook in opened:
        notebook.page.context.close()


def _name(request: pytest.FixtureRequest) -> str:
    return Path(str(request.node.name)).name.replace("[", "-").replace("]", "")
