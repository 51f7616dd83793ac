"""Binder, step by step as repo2docker does it: a copy of the repository, a fresh environment, `pip install -r`, `postBuild`; then a reader comes.

What repo2docker does with these files: `runtime.txt` chooses Python; `requirements.txt` is installed by the environment's own pip, in the root of the
repository; `postBuild` is run there, with the environment first in PATH; then `jupyter lab` is started, and the badge's `urlpath` opened.

Needs a package registry that pip can reach. Where it cannot (a machine without network) the test is skipped, and says so.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BADGE = re.compile(r"\(https://mybinder\.org/v2/gh/(?P<owner>[\w-]+)/(?P<name>[\w.-]+)/HEAD\?urlpath=(?P<path>[^)\s]+)\)")
LESSON, ITS_ANSWER = "05-coordination-and-actors.ipynb", "(800, [2.0, -1.0, 0.5, 0.0, 3.0])"
OPEN_IN_LAB = """
# Starts JupyterLab's server as Binder does, asks it for a notebook's page and for its kind, prints what it says, and ends.
import json, sys
from jupyterlab.labapp import LabApp
from tornado.httpclient import AsyncHTTPClient

server = LabApp.initialize_server(["--no-browser", "--ip=127.0.0.1", "--port=0", "--IdentityProvider.token=binder", "--ServerApp.allow_root=True"])

async def ask():
    address = f"http://127.0.0.1:{server.port}"
    page = await AsyncHTTPClient().fetch(f"{address}/lab/tree/{sys.argv[1]}?token=binder")
    answer = await AsyncHTTPClient().fetch(f"{address}/api/contents/{sys.argv[1]}?content=0&token=binder")
    print(page.code, json.loads(answer.body)["type"])
    server.stop()

server.io_loop.add_callback(ask)  # behind the callback that binds the port
server.start()
"""


def run(command: list[str], directory: Path, environment: dict[str, str]) -> str:
    """What a step of the build prints; when it fails, that is what the test says."""
    done = subprocess.run(command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}"
    return done.stdout


@pytest.fixture
def registry() -> None:
    """Skips where pip reaches no registry: without one nothing can be installed, here or anywhere."""
    options = "install --quiet --dry-run --no-deps --ignore-installed --retries 0 --timeout 10"
    command = [sys.executable, "-m", "pip", *options.split(), "hatchling"]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("pip reaches no package registry from here, and Binder's environment is installed from one")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """What git would give to repo2docker, with the changes of the working tree."""
    names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True).stdout
    copy = tmp_path / "repository"
    for name in names.decode().rstrip("\0").split("\0"):
        if (ROOT / name).is_file():  # one may have been deleted, and that not yet been committed
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    for built in ("labextension/lib", "jupyterfut/labextension", "jupyterfut/diagnostics/dashboard/static"):
        if (ROOT / built).is_dir():  # the front end as it is here: if it is current, a minute of npm is saved
            shutil.copytree(ROOT / built, copy / built)
    return copy


@pytest.fixture
def environment(tmp_path: Path, runtime_directory: Path) -> dict[str, str]:
    """A fresh environment first in PATH, a home of its own, and nothing of ours in the Python path."""
    venv.create(tmp_path / "environment", with_pip=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "JUPYTER", "VIRTUAL_ENV"))}
    (tmp_path / "home").mkdir()
    return kept | {
        "PATH": f"{tmp_path / 'environment' / 'bin'}{os.pathsep}{kept['PATH']}",
        "HOME": str(tmp_path / "home"),
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),  # pip's wheels of earlier runs
        "PIP_NO_COMPILE": "1",  # half of pip's time
        "JUPYTERFUT_SKIP_JS": "0",  # Binder's reader has the sidebar
        "JUPYTER_RUNTIME_DIR": str(runtime_directory),
        "JUPYTERFUT_DISPLAY": "static",
    }


def test_the_files_fit_the_project() -> None:
    """Python is one that the project supports, and the badges of the README open notebooks that there are."""
    python = (ROOT / "binder" / "runtime.txt").read_text().strip()
    assert re.fullmatch(r"python-3\.1[1-9]", python)
    assert os.access(ROOT / "binder" / "postBuild", os.X_OK)
    badges = list(BADGE.finditer((ROOT / "README.md").read_text(encoding="utf-8")))
    opened = [urllib.parse.unquote(badge["path"]) for badge in badges]
    assert opened[0] == "lab/tree/notebooks/01-evolving-workflows.ipynb"
    assert len({(badge["owner"], badge["name"]) for badge in badges}) == 1
    for path in opened:
        assert (ROOT / path.removeprefix("lab/tree/")).is_file(), path


@pytest.mark.slow
@pytest.mark.usefixtures("registry")
def test_binder_builds_and_runs_a_lesson(repository: Path, environment: dict[str, str]) -> None:
    run(["pip", "install", "--quiet", "-r", "binder/requirements.txt"], repository, environment)
    run(["./binder/postBuild"], repository, environment)

    where = run(["python", "-c", "import jupyterfut; print(jupyterfut.__file__)"], repository.parent, environment)
    assert "site-packages" in where, "the lesson below must run on what was installed"
    shutil.rmtree(repository / "jupyterfut")
    version = run(["python", "-c", "import jupyterfut; print(jupyterfut.__version__)"], repository.parent, environment).strip()
    in_lab = run(["jupyter", "labextension", "list"], repository.parent, environment)
    assert re.search(rf"jupyterfut v{re.escape(version)}\S* .*enabled.* .*OK.* \(python, jupyterfut\)", in_lab), in_lab
    in_server = run(["jupyter", "server", "extension", "list"], repository.parent, environment)
    assert re.search(r"jupyterfut .*enabled", in_server) and re.search(rf"jupyterfut {re.escape(version)} .*OK", in_server), in_server

    run(["jupyter", "nbconvert", "--to", "notebook", "--execute", "--output", "done.ipynb", f"notebooks/{LESSON}"], repository, environment)
    cells = json.loads((repository / "notebooks" / "done.ipynb").read_text(encoding="utf-8"))["cells"]
    assert ITS_ANSWER in json.dumps([cell.get("outputs") for cell in cells])

    assert run(["python", "-c", OPEN_IN_LAB, "notebooks/01-evolving-workflows.ipynb"], repository, environment).splitlines()[-1] == "200 notebook"
