"""The notebook layer: `%load_ext jupyterfut` brings `%%submit` and its kin. It sees the client and snapshots, never the runtime.

Nothing here imports IPython before the extension is loaded: workers import `run`, which runs a submitted cell, and have no use for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Called by `%load_ext jupyterfut`: the magics, their completion, and in a kernel what brings the output of tasks to their cells. A cluster that
    this notebook has kept over a restart is found and connected to, which is said in a line. Loading it again changes nothing."""
    from jupyterfut.notebook import extension

    extension.load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Called by `%unload_ext jupyterfut`: all of that goes; clients, clusters and futures stay. Unloading it again changes nothing."""
    from jupyterfut.notebook import extension

    extension.unload(shell)


def join(cluster: str, namespace: dict[str, Any]) -> None:
    """Connect a notebook that has just begun: called by front ends for which the user has chosen that (the sidebar's "Connect New Notebooks").

    The client of the cluster with this name becomes the default one, and `client` in the namespace. Blocks until it is connected. Where there is a
    client already, or something else of that name, nothing happens. Raises ConnectionFailed when no such cluster runs.
    """
    from jupyterfut.notebook import clients

    clients.join(cluster, namespace)
