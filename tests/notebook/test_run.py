"""The half of `%%submit` that runs on a worker, called directly: what leaves the worker."""

from __future__ import annotations

from typing import Any

import pytest

from jupyterfut.errors import SerializationError
from jupyterfut.notebook.submit.capture import capture
from jupyterfut.notebook.submit.run import CellResult, CellSpec, Delivery, NotAssigned, run_cell


def run(source: str, names: str, *, shows: bool = True, **values: Any) -> CellResult:
    spec = CellSpec(source, "<cell>", 0, shows, tuple(names.split()), frozenset(), by_reference=False)
    return run_cell(spec, Delivery(capture(values, {"__name__": "__main__", **values}).data, [], [], []))


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
