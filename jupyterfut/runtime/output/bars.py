"""`tqdm.notebook` in a worker's process: its bars are widgets, which need a page that they are connected to. A worker has none, so the name means
tqdm's ordinary bar there, which is text on stderr and moves under the cell as well."""

from __future__ import annotations

import sys

from jupyterfut.runtime.output.attribution import is_own_process

MODULE = "tqdm.notebook"


def offer() -> None:
    """tqdm.notebook has been imported."""
    if is_own_process():
        module, std = sys.modules[MODULE], sys.modules["tqdm.std"]
        for name, ordinary in (("tqdm", std.tqdm), ("tqdm_notebook", std.tqdm), ("trange", std.trange), ("tnrange", std.trange)):
            setattr(module, name, ordinary)


def withdraw() -> None:
    """A worker's process ends with its worker."""
