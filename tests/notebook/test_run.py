"""The half of `%%submit` that runs on a worker, called directly: what leaves the worker, and what is shown."""

from __future__ import annotations

import base64
import sys
import threading
from typing import Any

import pytest

from jupyterfut.errors import SerializationError
from jupyterfut.notebook.capture import capture
from jupyterfut.notebook.outputs import bundle, collecting, display, text
from jupyterfut.notebook.run import CellResult, CellSpec, NotAssigned, run_cell
from jupyterfut.notebook.shown import joined

PNG = b"\x89PNG not really"


def run(source: str, names: str, *, shows: bool = True, **values: Any) -> CellResult:
    spec = CellSpec(source, "<cell>", 0, shows, tuple(names.split()), frozenset(), by_reference=False)
    return run_cell(spec, capture(values, {"__name__": "__main__", **values}).data, [])


def test_names_leave_one_by_one() -> None:
    result = run("import io\nf = io.FileIO(0, closefd=False)\ng = (x for x in [])\nh = lambda: g\nx = a + 1\nif a > 5:\n    y = 1", "f g h x y", a=1)
    assert result["x"] == 2
    for name, why in (("f", "FileIO"), ("g", "generator"), ("h", "generator")):
        with pytest.raises(SerializationError, match=f"'{name}' cannot leave the worker .*{why}"):
            result[name]
    with pytest.raises(NotAssigned, match="'y' is not defined"):
        result["y"]


def test_a_class_of_the_cell_and_its_objects_leave() -> None:
    result = run("class P:\n    def __init__(self, x): self.x = x\np = P(3)", "P p")
    assert type(result["p"]) is result["P"]


def test_what_is_shown_keeps_its_order() -> None:
    result = run("print('one')\ndisplay([2])\nprint('three', end='')\nprint('!')\n4", "")
    assert result.outputs == ["one\n", {"text/plain": "[2]"}, "three!\n", {"text/plain": "4"}]
    assert run("print(1)\n4", "", shows=False).outputs == ["1\n"]


def test_display_outside_of_a_cell_is_the_notebooks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shown: list[Any] = []
    monkeypatch.setattr("builtins.display", lambda *objects, **options: shown.append((objects, options)), raising=False)
    display(1, 2, raw=True)
    assert shown == [((1, 2), {"raw": True})]
    monkeypatch.delattr("builtins.display")
    display(1, 2, raw=True)
    assert capsys.readouterr().out == "1 2\n"


def test_richer_forms() -> None:
    class Picture:
        def __repr__(self) -> str:
            return "a picture"

        def _repr_html_(self) -> str:
            return "<b>picture</b>"

        def _repr_png_(self) -> bytes:
            return PNG

        def _repr_latex_(self) -> None:
            return None

    assert bundle(Picture()) == {"text/plain": "a picture", "text/html": "<b>picture</b>", "image/png": base64.b64encode(PNG).decode()}
    assert bundle(Picture) == {"text/plain": repr(Picture)}, "a class is not one of its objects"


def test_an_object_with_its_own_bundle() -> None:
    class Plot:
        def _repr_mimebundle_(self) -> tuple[dict[str, str], dict[str, str]]:
            return {"text/plain": "a plot", "application/x-plot": "{}"}, {}

    assert bundle(Plot()) == {"text/plain": "a plot", "application/x-plot": "{}"}


def test_long_texts() -> None:
    assert text({"k": "x" * 300}) == repr({"k": "x" * 300}), "strings are not cut in pieces"
    assert "\n" in text(list(range(100)))
    assert len(text("x" * 3_000_000)) < 1_100_000


def test_joined() -> None:
    assert joined([{"text/plain": "42", "image/png": "AAAA"}]) == {"text/plain": "42", "image/png": "AAAA"}
    both = joined(["<one>\n", {"text/plain": "2", "image/png": "AAAA"}, {"text/plain": "3", "text/html": "<i>3</i>"}])
    assert both["text/plain"] == "<one>\n2\n3"
    assert "&lt;one&gt;" in both["text/html"]
    assert "data:image/png;base64,AAAA" in both["text/html"]
    assert "<i>3</i>" in both["text/html"]


def test_threads_do_not_mix(capsys: pytest.CaptureFixture[str]) -> None:
    real = sys.stdout
    together = threading.Barrier(3)
    seen: dict[str, list[Any]] = {}

    def cell(name: str) -> None:
        with collecting() as outputs:
            together.wait()
            for _ in range(100):
                print(name)
            together.wait()
        seen[name] = outputs

    threads = [threading.Thread(target=cell, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    together.wait()
    print("mine")
    print("mine too")
    together.wait()
    for thread in threads:
        thread.join()
    assert seen == {"a": ["a\n" * 100], "b": ["b\n" * 100]}
    assert capsys.readouterr().out == "mine\nmine too\n"
    assert sys.stdout is real
