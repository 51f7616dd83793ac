"""The pages: links lead somewhere, generated ones are current, every decision is listed, the commands of the README exist."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import jupyterfut
from jupyterfut import plugins
from jupyterfut._version import __version__

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def places(page: Path) -> set[str]:
    """What a link may name after its `#`: anchors, and headings as GitHub makes anchors of them."""
    text = page.read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {*re.findall(r'<a id="([^"]+)">', text), *(re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_a_place(page: Path) -> None:
    for target, place in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
        found = page.parent / target if target else page
        if found.suffix == ".md":
            assert place in places(found), f"{page.name} links to {target}#{place}"


def test_generated_pages_are_current() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_everything_public_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each public name and each of its methods has a docstring, and a place in the reference. (Their examples run as doctests.)"""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import reference_pages

    entries = reference_pages.entries()
    placed = {name for entry in entries for name in (entry.name, *entry.aliases)}
    assert {name for name in jupyterfut.__all__ if not name.startswith("__")} - {"errors"} <= placed
    silent = [entry.name for entry in entries if not reference_pages.own_doc(entry.value)]
    for entry in entries:
        for base in entry.value.__mro__ if isinstance(entry.value, type) else ():
            if base.__module__.startswith("jupyterfut."):
                methods = {name for name, member in vars(base).items() if callable(member) and not name.startswith("_")}
                silent += [f"{entry.name}.{name}" for name in methods if not inspect.getdoc(getattr(entry.value, name))]
    assert not silent


def test_every_decision_is_listed() -> None:
    decisions = ROOT / "docs" / "design" / "decisions"
    listed = set(re.findall(r"\]\((\S+\.md)\)", (decisions / "index.md").read_text(encoding="utf-8")))
    assert listed == {page.name for page in decisions.glob("*.md")} - {"index.md"}


def test_the_readme_has_its_two_lines() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in ("See it run", "Pass the tests"):
        assert re.search(rf"^\| \*\*{name}\*\* \| `[^`\n]+` \|$", text, re.MULTILINE), name  # .ci/run reads them this way


def test_commands_of_the_readme_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\bjupyterfut (scheduler|worker|cluster|config|demo|dashboard)\b", text)) == set(plugins.names("commands"))


def test_the_version_stands_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "jupyterfut/_version.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", __version__)


def test_builtin_plugins_load() -> None:
    for group, entries in plugins.BUILTIN.items():
        for name in entries:
            assert callable(plugins.load(group, name))
    with pytest.raises(LookupError, match="there are: cluster, config, dashboard, demo"):
        plugins.load("commands", "nonsense")
