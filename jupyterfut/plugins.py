"""Finding what is plugged in: by group and name, through entry points, loaded when first used.

Our own parts that lie *above* the layer which wants them (`cluster.get_client` wants `Client`) come in by the same door, so that no import ever
points upwards. Third parties register in their `pyproject.toml`, group `jupyterfut.<group>`:

    [project.entry-points."jupyterfut.transports"]
    ws = "mypackage.websocket:transport"
"""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from functools import cache
from typing import Any

BUILTIN: dict[str, dict[str, str]] = {
    "client": {"default": "jupyterfut.client.client:Client"},
    "client_of_worker": {"default": "jupyterfut.client.current:client_in"},
    "commands": {
        "scheduler": "jupyterfut.cli.scheduler:main",
        "worker": "jupyterfut.cli.worker:main",
        "cluster": "jupyterfut.cli.cluster:main",
        "config": "jupyterfut.cli.config:main",
        "demo": "jupyterfut.cli.demo:main",
        "dashboard": "jupyterfut.cli.dashboard:main",
    },
    "transports": {},
    "dashboard": {"serve": "jupyterfut.diagnostics.dashboard:serve", "show": "jupyterfut.notebook.dashboard:show"},
    "graphs": {verb: f"jupyterfut.adapters.dask:{verb}" for verb in ("compute", "persist", "get")},
    "notebook": {"attach": "jupyterfut.notebook.attach:attach", "show": "jupyterfut.notebook.live:show"},
    "progress": {"notebook": "jupyterfut.notebook.live:progress"},
    "showing": {"default": "jupyterfut.client.showing:show_live"},
    "executors": {"concurrent": "jupyterfut.adapters.concurrent:ClientExecutor"},
}
"""What the project itself plugs in: group -> name -> "module:attribute". Names, not imports."""


GUESTS: dict[str, str] = {
    "dask.base": "jupyterfut.adapters.dask",
    "joblib.parallel": "jupyterfut.adapters.joblib",
    "IPython.core.display_functions": "jupyterfut.runtime.output.ipython",
    "matplotlib.pyplot": "jupyterfut.runtime.output.pyplot",
    "tqdm.notebook": "jupyterfut.runtime.output.bars",
}
"""Libraries that can run on jupyterfut when both are there: a module of theirs -> ours with `offer()` and `withdraw()`."""


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


# --- libraries that find us


class _Doorkeeper:
    """Stands in `sys.meta_path` as long as there are hosts: the moment after a guest's module is imported, ours for it is called."""

    def __init__(self) -> None:
        self._looking = threading.local()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in GUESTS or getattr(self._looking, "name", None) == name:
            return None
        self._looking.name = name
        try:
            for finder in sys.meta_path:
                spec = finder.find_spec(name, path, target) if finder is not self and hasattr(finder, "find_spec") else None
                if spec is not None:
                    if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                        spec.loader = _Introducing(spec.loader)  # type: ignore[assignment]  # a loader by its methods
                        _coming.add(name)
                    return spec
        finally:
            self._looking.name = None
        return None


class _Introducing:
    """A guest's own loader, and one step more. It is gone from the module's spec before the module runs."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        module.__spec__.loader = module.__loader__ = self._loader
        try:
            self._loader.exec_module(module)
        finally:
            _coming.discard(module.__name__)
        with _hosts_lock:
            _arrived.add(module.__name__)
            if _hosts:
                _greet(module.__name__, "offer")


_hosts: set[object] = set()
_coming: set[str] = set()  # guests whose import has an `_Introducing`, which will look for hosts
_arrived: set[str] = set()  # those whose import had one
_hosts_lock = threading.RLock()  # re-entrant: what greets a guest imports, and may meet the next one
_doorkeeper = _Doorkeeper()


def host(owner: object, present: bool = True) -> None:
    """There is (or is not any more) somebody in this process who can run other libraries' work: an open client, a worker. From the first one until
    the last, libraries that are imported, before or after, find jupyterfut. Imports none of them.

    >>> host("an example")
    >>> host("an example", present=False)
    """
    with _hosts_lock:
        before = bool(_hosts)
        (_hosts.add if present else _hosts.discard)(owner)
        if bool(_hosts) == before:
            return
        if _hosts:
            sys.meta_path.insert(0, _doorkeeper)
        elif _doorkeeper in sys.meta_path:
            sys.meta_path.remove(_doorkeeper)
        late = []
        for guest in GUESTS.keys() & sys.modules.keys():
            if guest in _arrived or not getattr(sys.modules[guest].__spec__, "_initializing", False):
                _greet(guest, "offer" if _hosts else "withdraw")
            elif guest not in _coming:
                late.append(guest)
    for guest in late:  # another thread is importing it, and had begun before there was a host
        importlib.import_module(guest)
        with _hosts_lock:
            if _hosts:
                _greet(guest, "offer")


def _greet(guest: str, verb: str) -> None:
    """Call our module for a guest. What goes wrong there is logged: it must fail neither a client nor somebody else's import."""
    try:
        getattr(importlib.import_module(GUESTS[guest]), verb)()
    except Exception:
        logging.getLogger("jupyterfut").exception("%s and jupyterfut do not get along", guest.partition(".")[0])
