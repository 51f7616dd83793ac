"""What is built of the front end and shipped: there, in one version, and small; and the types that it shares with Python are the same.

Where the front end was left out of the installation (`JUPYTERFUT_SKIP_JS`), there is nothing to weigh, and this says so.
"""

from __future__ import annotations

import gzip
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import jupyterfut

PACKAGE = Path(jupyterfut.__file__).parent
LAB, PAGES = PACKAGE / "labextension", PACKAGE / "diagnostics" / "dashboard" / "static"
FRONT = PACKAGE.parent / "labextension"


@pytest.fixture
def built() -> None:
    """What is built of the front end."""
    if not (LAB / "package.json").is_file() and os.environ.get("JUPYTERFUT_SKIP_JS", "0") not in ("", "0"):
        pytest.skip("the front end was left out (JUPYTERFUT_SKIP_JS)")
    assert (LAB / "package.json").is_file(), "the front end has not been built: npm ci && npm run build, in labextension/"


def compressed(files: list[Path]) -> int:
    """Bytes on the way to a browser."""
    return sum(len(gzip.compress(file.read_bytes())) for file in files if file.suffix in (".js", ".css", ".html"))


@pytest.mark.usefixtures("built")
def test_what_jupyterlab_loads_is_small() -> None:
    """JupyterLab waits for its extensions before it shows anything."""
    assert 0 < compressed(sorted((LAB / "static").iterdir())) < 500_000


@pytest.mark.usefixtures("built")
def test_the_pages_are_small() -> None:
    assert {file.name for file in PAGES.iterdir()} >= {"index.html", "standalone.js", "standalone.css", "output.js", "output.css"}
    assert 0 < compressed(sorted(PAGES.glob("standalone.*"))) < 300_000
    assert 0 < compressed(sorted(PAGES.glob("output.*"))) < 300_000


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("directory", [LAB / "static", PAGES])
def test_what_is_contained_of_others_is_named(directory: Path) -> None:
    """Their licenses want to be passed on."""
    licenses = json.loads((directory / "third-party-licenses.json").read_text(encoding="utf-8"))["packages"]
    assert {package["name"] for package in licenses} >= {"uplot", "@dagrejs/dagre"}
    assert all(package["extractedText"] for package in licenses)


@pytest.mark.usefixtures("built")
def test_there_is_one_version() -> None:
    """Written in `_version.py` only; npm's form of it is in what was built."""
    shown = json.loads((LAB / "package.json").read_text(encoding="utf-8"))
    assert shown["name"] == "jupyterfut"
    assert shown["version"].split("-")[0] == ".".join(jupyterfut.__version__.split(".")[:3]).rstrip("abrcdev")
    assert (LAB / shown["jupyterlab"]["_build"]["load"]).is_file()
    assert "version" not in json.loads((FRONT / "package.json").read_text(encoding="utf-8"))


def test_jupyter_is_told_of_both_extensions() -> None:
    assert jupyterfut._jupyter_labextension_paths() == [{"src": "labextension", "dest": "jupyterfut"}]
    enabled = json.loads((PACKAGE.parent / "jupyter-config" / "server-config" / "jupyterfut.json").read_text(encoding="utf-8"))
    assert enabled["ServerApp"]["jpserver_extensions"] == {"jupyterfut": True}


def test_the_types_of_the_snapshots_are_current() -> None:
    done = subprocess.run([sys.executable, FRONT / "snapshots.py", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_python_types_become_typescript() -> None:
    page = runpy.run_path(str(FRONT / "snapshots.py"))["page"]
    source = '''
class Row(TypedDict):
    """One row."""

    name: Literal["a", "b"]  #: of two
    parts: list[int | None]
    pair: NotRequired[tuple[int, str]]
    more: dict[str, list[Row]]

SNAPSHOTS: Final[dict[str, type]] = {"row": Row}
'''
    text = page(source)
    assert text.endswith(
        """
/** One row. */
export interface Row {
  /** of two */
  name: 'a' | 'b';
  parts: (number | null)[];
  pair?: [number, string];
  more: Record<string, Row[]>;
}

/** The topics, and what is told on each. */
export interface Snapshots {
  row: Row;
}

export type Topic = keyof Snapshots;

export const TOPICS: readonly Topic[] = ['row'];
"""
    )


def test_a_type_without_a_counterpart_is_an_error() -> None:
    page = runpy.run_path(str(FRONT / "snapshots.py"))["page"]
    with pytest.raises(Exception, match=r"line 2: no TypeScript is known for 'set\[int\]'"):
        page("class Row(TypedDict):\n    ids: set[int]\n\nSNAPSHOTS: Final[dict[str, type]] = {'row': Row}\n")
