"""What `%load_ext jupyterfut` puts into IPython, and `%unload_ext` takes out again: magics, completion, the layer's place in the kernel."""

from __future__ import annotations

import weakref
from typing import Any

from jupyterfut.notebook import attach
from jupyterfut.notebook.held import reunion
from jupyterfut.notebook.magics.cluster import ClusterMagic
from jupyterfut.notebook.magics.completion import Completer
from jupyterfut.notebook.magics.everywhere import EverywhereMagic
from jupyterfut.notebook.magics.expression import ExpressionMagic
from jupyterfut.notebook.magics.futures import FuturesMagic
from jupyterfut.notebook.magics.gather import GatherMagic
from jupyterfut.notebook.magics.submit import SubmitMagics

MAGICS: tuple[Any, ...] = (SubmitMagics, ExpressionMagic, EverywhereMagic, GatherMagic, ClusterMagic, FuturesMagic)
"""The classes of magics that the extension brings."""

_loaded: weakref.WeakKeyDictionary[Any, Completer] = weakref.WeakKeyDictionary()


def load(shell: Any) -> None:
    """See `load_ipython_extension`."""
    if shell in _loaded:
        return
    for magics in MAGICS:
        shell.register_magics(magics)
    _loaded[shell] = completer = Completer(shell)
    completer.add()
    attach.attach()
    reunion.connect(shell)


def unload(shell: Any) -> None:
    """See `unload_ipython_extension`."""
    completer = _loaded.pop(shell, None)
    if completer is None:
        return
    completer.remove()
    manager = shell.magics_manager
    for cls in MAGICS:
        magics = manager.registry.pop(cls.__name__)
        if isinstance(magics, SubmitMagics):
            magics.leave()
        shell.configurables.remove(magics)
        for kind in ("line", "cell"):
            for name, function in list(manager.magics[kind].items()):
                if getattr(function, "__self__", None) is magics:
                    del manager.magics[kind][name]
    attach.detach()
