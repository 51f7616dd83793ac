"""Finding what is plugged in: by group and name, through entry points, loaded when first used.

Our own parts that lie *above* the layer which wants them (`cluster.get_client` wants `Client`) come in by the same door, so that no import ever
points upwards. Third parties register in their `pyproject.toml`, group `jupyterfut.<group>`:

    [project.entry-points."jupyterfut.transports"]
    ws = "mypackage.websocket:transport"
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

BUILTIN: dict[str, dict[str, str]] = {
    "client": {"default": "jupyterfut.client.client:Client"},
    "commands": {
        "scheduler": "jupyterfut.cli.scheduler:main",
        "worker": "jupyterfut.cli.worker:main",
        "cluster": "jupyterfut.cli.cluster:main",
        "config": "jupyterfut.cli.config:main",
        "demo": "jupyterfut.cli.demo:main",
    },
    "transports": {},
}
"""What the project itself plugs in: group -> name -> "module:attribute". Names, not imports."""


def names(group: str) -> list[str]:
    """The names plugged into `group`, sorted; nothing is loaded.

    >>> names("client")
    ['default']
    """
    return sorted(BUILTIN.get(group, {}).keys() | _installed(group).keys())


def load(group: str, name: str = "default") -> Any:
    """The object plugged in under `name`. An installed plugin wins over ours of the same name.

    Raises LookupError, naming what there is, when nothing has that name; errors of the plugin's own import come through as they are.
    """
    installed = _installed(group).get(name)
    if installed is not None:
        return installed.load()
    target = BUILTIN.get(group, {}).get(name)
    if target is None:
        raise LookupError(f"no plugin {name!r} in group 'jupyterfut.{group}' (there are: {', '.join(names(group)) or 'none'})")
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


@cache
def _installed(group: str) -> dict[str, Any]:
    from importlib.metadata import entry_points  # 10 ms: only who looks for plugins pays

    return {point.name: point for point in entry_points(group=f"jupyterfut.{group}")}
