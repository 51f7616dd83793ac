"""Libraries that show things, and what becomes of them where workers live. Ours for each is loaded when the library is (`plugins.GUESTS`)."""

from __future__ import annotations

import importlib
import logging
import os
import sys

GUESTS = {
    "IPython.core.display_functions": "jupyterfut.runtime.output.ipython",
    "matplotlib.pyplot": "jupyterfut.runtime.output.pyplot",
    "tqdm.notebook": "jupyterfut.runtime.output.bars",
}
"""As in `plugins.GUESTS`, where they are, too: a module of a library -> ours with `offer()` and `withdraw()`, both idempotent."""

_KEPT_BACKENDS = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")


def greet() -> None:
    """The first worker has come: to libraries that are here already."""
    _tell("offer")


def part() -> None:
    """The last worker has gone."""
    _tell("withdraw")


def choose_backend() -> None:
    """In a worker's process, before anybody imports matplotlib: it is to draw into memory. The backend that a kernel hands on to its children is one
    for kernels."""
    if os.environ.get("MPLBACKEND", "").lower() not in _KEPT_BACKENDS:
        os.environ["MPLBACKEND"] = "agg"


def _tell(verb: str) -> None:
    for guest, ours in GUESTS.items():
        module = sys.modules.get(guest)
        if module is not None and not getattr(module.__spec__, "_initializing", False):
            try:
                getattr(importlib.import_module(ours), verb)()
            except Exception:  # another version of it than we know: its displays stay where they are, and the worker works
                logging.getLogger("jupyterfut.worker").exception("%s and jupyterfut do not get along", guest)
