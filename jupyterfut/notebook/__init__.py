"""The notebook layer: `%load_ext jupyterfut` brings `%%submit`. It sees the client and snapshots, never the runtime.

Nothing here imports IPython before the extension is loaded: workers import `run`, which runs a submitted cell, and have no use for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def _magics() -> list[Any]:
    """The classes of magics that the extension brings."""
    from jupyterfut.notebook.submit_magic import SubmitMagics

    return [SubmitMagics]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Called by `%load_ext jupyterfut`. Loading it again changes nothing."""
    for magics in _magics():
        if magics.__name__ not in shell.magics_manager.registry:
            shell.register_magics(magics)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Called by `%unload_ext jupyterfut`: the magics go, clients, clusters and futures stay. Unloading it again changes nothing."""
    manager = shell.magics_manager
    for cls in _magics():
        magics = manager.registry.pop(cls.__name__, None)
        if magics is None:
            continue
        for kind in ("line", "cell"):
            for name, function in list(manager.magics[kind].items()):
                if getattr(function, "__self__", None) is magics:
                    del manager.magics[kind][name]
