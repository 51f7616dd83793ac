"""A Jupyter server with JupyterLab and Notebook 7, a headless Chromium, and notebooks opened in it: for tests, and for `benchmarks/notebook.py`.

Nothing here sleeps or looks twice: the server is up when it says so, a page is ready when a condition in it holds (Playwright evaluates that at
every frame). The server has directories of its own for everything, so neither settings nor kernels of the machine's user are seen or touched. What
runs in the page goes through the front end's own commands (`window.jupyterapp`), which are the same in Lab and in Notebook 7; what is ours to test,
buttons and outputs, is clicked and read as a user would.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

FrontEnd = Literal["lab", "notebook"]
Theme = Literal["light", "dark"]

REPOSITORY = Path(__file__).parents[2]
SCREENSHOTS = Path(os.environ.get("JUPYTERFUT_SCREENSHOTS") or Path(tempfile.gettempdir(), "jupyterfut-screenshots"))
PATIENCE_MS = 60_000.0
CHROMIUM_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync")
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LAB_EXTENSION = REPOSITORY / "jupyterfut" / "labextension"
PACKAGES = ("playwright", "jupyterlab", "notebook", "ipykernel", "anywidget", "ipywidgets", "nbconvert")

_SETTINGS: dict[str, dict[str, Any]] = {
    "@jupyterlab/apputils-extension/notification": {"checkForUpdates": False, "fetchNews": "false", "doNotDisturbMode": True},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},  # a test saves when it wants to
}

# Pieces of JavaScript that ask or tell the front end. The panel is the notebook at hand.
_STARTED = "() => window.jupyterapp?.restored?.then(() => true)"
_READY = """withKernel => {
  const panel = window.jupyterapp?.shell?.currentWidget;
  if (!panel?.content?.widgets?.length || !panel.context?.isReady) return false;
  return !withKernel || (panel.sessionContext.isReady && panel.sessionContext.session?.kernel?.status === 'idle');
}"""
_COMMAND = "([name, options]) => window.jupyterapp.commands.execute(name, options).then(() => null)"
_RUN = """index => {
  const { shell, commands } = window.jupyterapp;
  const done = (shell.currentWidget.done ??= {});
  shell.currentWidget.content.deselectAll();
  shell.currentWidget.content.activeCellIndex = index;
  done[index] = '';
  commands.execute('notebook:run-cell').then(well => { done[index] = well ? 'well' : 'badly'; }, () => { done[index] = 'badly'; });
}"""
_DONE = "index => window.jupyterapp.shell.currentWidget.done[index]"
_DISPOSE = "() => window.jupyterapp.shell.currentWidget?.dispose()"
# Keeps the text of an element at each change, with the time (s since the epoch), until the page is left.
_WATCH = """(element, name) => {
  const seen = ((window.seen ??= {})[name] = []);
  const look = () => {
    const text = element.innerText.replace(/\\s+/g, ' ').trim();
    if (!seen.length || seen[seen.length - 1][1] !== text) seen.push([Date.now() / 1000, text]);
  };
  look();
  new MutationObserver(look).observe(element, { subtree: true, childList: true, characterData: true, attributes: true });
}"""
# The texts in an element whose contrast with what is behind them is below a ratio, with that ratio: as WCAG 2 computes it.
_FAINT = """(element, least) => {
  const parse = text => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return { r, g, b, a }; };
  const over = (top, under) => ({ a: 1, ...Object.fromEntries(['r', 'g', 'b'].map(c => [c, top[c] * top.a + under[c] * (1 - top.a)])) });
  const behind = node => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) {
      layers.push(parse(getComputedStyle(at).backgroundColor));
      if (layers.at(-1).a === 1) break;
    }
    return layers.reverse().reduce((under, top) => over(top, under), { r: 255, g: 255, b: 255, a: 1 });
  };
  const linear = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const luminance = c => 0.2126 * linear(c.r) + 0.7152 * linear(c.g) + 0.0722 * linear(c.b);
  const found = [];
  for (const node of element.querySelectorAll('*')) {
    const text = [...node.childNodes].filter(child => child.nodeType === 3).map(child => child.data.trim()).join(' ').trim();
    if (!text || !node.checkVisibility() || ['STYLE', 'SCRIPT'].includes(node.tagName)) continue;
    const background = behind(node);
    const both = [luminance(over(parse(getComputedStyle(node).color), background)), luminance(background)];
    const ratio = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    if (ratio < least) found.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return found;
}"""


def find_chromium() -> str | None:
    """The system's Chromium or Chrome, or None."""
    return next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)


def missing() -> str:
    """What must be installed before any of this works, as a line for humans; "" if all is there."""
    packages = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    wanted = [f"{', '.join(packages)} (pip install 'jupyterfut[test]')"] if packages else []
    if find_chromium() is None:
        wanted.append("Chromium (apt-get install chromium)")
    return " and ".join(wanted)


class Server:
    """A Jupyter server, from its start to `stop`. Everything that it reads and writes lies below `home`."""

    def __init__(self, home: Path, *, static: bool = False, base_url: str = "/") -> None:
        self.home = home
        self._base_url = base_url  # as in an address: a blank is %20
        self.notebooks = home / "notebooks"
        self.runtime = home / "runtime"
        self._settings = home / "settings"
        self.token = secrets.token_hex(16)
        for directory in (self.notebooks, self.runtime, self._settings, home / "config", home / "workspaces"):
            directory.mkdir(parents=True)
        for name, values in _SETTINGS.items():
            self._set(name, values)
        ours = home / "extensions"  # what the repository's tree has, whatever is installed
        ours.mkdir()
        (ours / "jupyterfut").symlink_to(LAB_EXTENSION)
        config = {
            "ServerApp": {
                "ip": "127.0.0.1",
                "port": 0,
                "open_browser": False,
                "root_dir": str(self.notebooks),
                "allow_root": True,
                "base_url": base_url,
                "jpserver_extensions": {"jupyterlab": True, "notebook": True, "jupyterfut": True},
            },
            "IdentityProvider": {"token": self.token},
            "LabApp": {"expose_app_in_browser": True, "extension_manager": "readonly", "extra_labextensions_path": [str(ours)]},
            "JupyterNotebookApp": {"expose_app_in_browser": True, "extra_labextensions_path": [str(ours)]},
        }
        (home / "config" / "jupyter_server_config.json").write_text(json.dumps(config))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jupyter_server"],
            cwd=self.notebooks,
            env=self._environment(static),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.log: list[str] = []
        self.url = self._wait_until_it_runs()
        self._reader = threading.Thread(target=self._read_log, name="jupyter-server-log", daemon=True)
        self._reader.start()

    def _environment(self, static: bool) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "IPYTHON", "JPY_"))}
        path = os.pathsep.join(part for part in (str(REPOSITORY), os.environ.get("PYTHONPATH")) if part)
        return {
            **kept,
            "PYTHONPATH": path,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "JUPYTER_CONFIG_DIR": str(self.home / "config"),
            "JUPYTER_DATA_DIR": str(self.home / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.runtime),
            "JUPYTERLAB_SETTINGS_DIR": str(self._settings),
            "JUPYTERLAB_WORKSPACES_DIR": str(self.home / "workspaces"),
            "IPYTHONDIR": str(self.home / "ipython"),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            **({"JUPYTERFUT_DISPLAY": "static"} if static else {}),
        }

    def _wait_until_it_runs(self) -> str:
        """Read its log up to the line that tells its address."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if "http://127.0.0.1:" in line:
                return "http://127.0.0.1:" + line.split("http://127.0.0.1:")[1].split("/")[0] + self._base_url.rstrip("/")
        raise RuntimeError("the Jupyter server did not start:\n" + "".join(self.log[-30:]))

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        self.log.extend(self.process.stderr)

    def configure(self, *, disturb: bool = False, **settings: Any) -> None:
        """Our own settings (`labextension/schema/plugin.json`), for pages opened from now on; and whether notifications pop up there."""
        self._set("jupyterfut/plugin", settings)
        name = "@jupyterlab/apputils-extension/notification"
        self._set(name, {**_SETTINGS[name], "doNotDisturbMode": not disturb})

    def _set(self, name: str, values: dict[str, Any]) -> None:
        file = self._settings / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))

    def set_theme(self, theme: Theme) -> None:
        """What pages opened from now on look like."""
        self._set("@jupyterlab/apputils-extension/themes", {"theme": f"JupyterLab {theme.title()}"})

    def write(self, name: str, cells: Sequence[str]) -> Path:
        """A new notebook with these code cells, none of them run."""
        import nbformat
        from nbformat.v4 import new_code_cell, new_notebook

        kernelspec = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
        notebook = new_notebook(cells=[new_code_cell(source.strip()) for source in cells], metadata={"kernelspec": kernelspec})
        path = self.notebooks / name
        nbformat.write(notebook, path)
        return path

    def ask(self, method: str, path: str, api: str = "api") -> Any:
        """One request to the server's REST API, or to the one of an extension, blocking."""
        request = urllib.request.Request(f"{self.url}/{api}/{path}", method=method, headers={"Authorization": f"token {self.token}"})
        with urllib.request.urlopen(request, timeout=PATIENCE_MS / 1000) as response:
            body = response.read()
        return json.loads(body) if body else None

    def shut_down_kernels(self) -> None:
        """End all kernels; returns when their processes have ended."""
        for kernel in self.ask("GET", "kernels"):
            self.ask("DELETE", f"kernels/{kernel['id']}")

    def stop_clusters(self) -> None:
        """End all clusters that the server can see; returns when they have ended."""
        for cluster in self.ask("GET", "clusters", "jupyterfut/api")["clusters"]:
            kind = "remotes" if cluster["owner"] == "remote" else "clusters"
            self.ask("DELETE", f"{kind}/{cluster['id']}", "jupyterfut/api")

    def stop(self) -> None:
        """End the server, and with it whatever kernel it still has."""
        self.process.terminate()
        self.process.wait(PATIENCE_MS / 1000)
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()


class Chromium:
    """Playwright's driver and one headless browser, from their start to `stop`."""

    def __init__(self) -> None:
        from playwright.sync_api import sync_playwright

        executable = find_chromium()
        assert executable is not None, missing()
        self._playwright = sync_playwright().start()
        self.browser: Browser = self._playwright.chromium.launch(executable_path=executable, args=list(CHROMIUM_FLAGS))

    def page(self) -> Page:
        """A page with a profile of its own, in a window of ordinary size."""
        context = self.browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(PATIENCE_MS)
        return context.new_page()

    def stop(self) -> None:
        self.browser.close()
        self._playwright.stop()


class Notebook:
    """A notebook that is open in a page. Cells are counted from 0."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page = page
        self.path = path

    def wait_ready(self, *, kernel: bool = True) -> None:
        """Until the notebook is there, and its kernel idle."""
        self.page.wait_for_function(_READY, arg=kernel)

    def cell(self, index: int) -> Locator:
        """The cell with this number."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook .jp-Cell").nth(index)

    def output(self, index: int) -> Locator:
        """All that stands under this cell."""
        return self.cell(index).locator(".jp-Cell-outputArea")

    def run(self, *indexes: int, wait: bool = True) -> None:
        """Run these cells one after the other, each when the kernel is done with the one before. Without `wait`, one cell, not waited for."""
        for index in indexes:
            self.page.evaluate(_RUN, index)
            if wait:
                self.wait_done(index)

    def wait_done(self, index: int) -> None:
        """Until the kernel is done with a cell that `run` started. Raises AssertionError if the cell raised an error."""
        how = self.page.wait_for_function(_DONE, arg=index).json_value()
        assert how == "well", f"cell {index} failed:\n{self.texts(index)[-2000:]}"

    def wait_text(self, index: int, *texts: str | re.Pattern[str]) -> None:
        """Until all of these texts stand under the cell. Raises AssertionError with what stands there instead."""
        from playwright.sync_api import TimeoutError as NotYet

        for text in texts:
            try:
                self.output(index).filter(has_text=text).wait_for()
            except NotYet:
                raise AssertionError(f"{text!r} is not under cell {index}, but:\n{self.texts(index)[-2000:]}") from None

    def texts(self, index: int) -> str:
        """What stands under the cell, as a reader sees it."""
        return str(self.output(index).inner_text()).strip("\n")

    def interrupt(self, index: int) -> None:
        """Interrupt the cell that the kernel is at, and wait until it is."""
        self.command("notebook:interrupt-kernel")
        self.page.wait_for_function(_DONE, arg=index)

    def is_running(self, index: int) -> bool:
        """Whether the kernel has yet to finish a cell that `run` started."""
        return not self.page.evaluate(_DONE, index)

    def faint(self, index: int, ratio: float) -> list[str]:
        """The texts under the cell that are hard to read: their contrast is below the ratio."""
        return list(self.output(index).evaluate(_FAINT, ratio))

    def watch(self, index: int) -> None:
        """Note from now on how the output of a cell changes: see `seen`."""
        self.output(index).evaluate(_WATCH, str(index))

    def seen(self, index: int) -> list[tuple[float, str]]:
        """When (s since the epoch) the watched output of a cell changed, and to what text."""
        return [(when, text) for when, text in self.page.evaluate("name => window.seen[name]", str(index))]

    def command(self, name: str, **options: Any) -> None:
        """One of the front end's own commands, to its end."""
        self.page.evaluate(_COMMAND, [name, options])

    def save(self) -> Any:
        """Save the notebook; returns what is in the file."""
        import nbformat

        self.command("docmanager:save")
        return nbformat.read(self.path, as_version=4)

    def screenshot(self, name: str) -> Path:
        """A picture of the window, below `SCREENSHOTS`."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        file = SCREENSHOTS / f"{name}.png"
        self.page.screenshot(path=file)
        return file


class Window:
    """A page of JupyterLab in which notebooks are opened one after the other: opening one costs less than loading Lab."""

    def __init__(self, server: Server, chromium: Chromium) -> None:
        self.server = server
        self.page = chromium.page()
        self.errors: list[str] = []  # of widgets' own code, which comes from blobs; Lab has errors of its own
        self.page.on("pageerror", lambda error: self.errors.append(str(error.stack)) if "blob:" in str(error.stack) else None)
        self.page.goto(f"{server.url}/lab/workspaces/{uuid.uuid4().hex}?token={server.token}")
        self.page.wait_for_function(_STARTED)

    def open(self, path: Path, *, kernel: bool = True) -> Notebook:
        """Open a notebook, with its kernel or without one."""
        preference = {} if kernel else {"kernelPreference": {"shouldStart": False, "canStart": False}}
        notebook = Notebook(self.page, path)
        notebook.command("docmanager:open", path=path.relative_to(self.server.notebooks).as_posix(), factory="Notebook", **preference)
        notebook.wait_ready(kernel=kernel)
        return notebook

    def reload(self) -> None:
        """Reload the page. Kernels go on, and the notebook at hand is opened again."""
        self.page.reload()
        self.page.wait_for_function(_STARTED)

    def theme(self, theme: Theme) -> None:
        """Switch the theme, as the menu does."""
        self.page.evaluate(_COMMAND, ["apputils:change-theme", {"theme": f"JupyterLab {theme.title()}"}])
        self.page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=f"JupyterLab {theme.title()}")

    def close_notebook(self) -> None:
        """Close the notebook at hand without a question. Its kernel goes on."""
        self.page.evaluate(_DISPOSE)

    def close(self) -> None:
        self.page.context.close()


def open_in_notebook_7(server: Server, chromium: Chromium, path: Path, *, theme: Theme = "light") -> Notebook:
    """A notebook in a page of Notebook 7 of its own; closed with `notebook.page.context.close()`."""
    server.set_theme(theme)
    page = chromium.page()
    page.goto(f"{server.url}/notebooks/{quote(path.relative_to(server.notebooks).as_posix())}?token={server.token}")
    notebook = Notebook(page, path)
    notebook.wait_ready()
    return notebook
