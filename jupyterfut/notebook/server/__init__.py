"""The Jupyter server extension: it finds the clusters of its user, starts and stops them as processes, and carries the dashboards to the pages.

Nothing of a cluster runs in the server's process. `connection_files` tells which clusters there are, `launching` starts some, `registry` brings both
together with what their schedulers say (`diagnostics`), `handlers` and `page` open the doors, each behind the server's login, and `extension` is what
Jupyter Server loads. Tokens of clusters come in from files and forms, and never go out.
"""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """What Jupyter Server asks for an extension's application."""
    from jupyterfut.notebook.server.extension import JupyterfutExtension

    return [{"module": "jupyterfut.notebook.server", "app": JupyterfutExtension}]
