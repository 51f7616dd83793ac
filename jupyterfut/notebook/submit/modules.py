"""Modules that live beside the notebook travel by value: their source goes to every worker, now and when one joins, before the next cell does. So an
edit on disk reaches the workers with the next `%%submit`, whether or not the kernel has reloaded the module, and workers on other machines need no
copy of the directory.

In the kernel `Beside.shipment` says what there is: modules of the notebook's directory (and of the kernel's own, if that is another) that the kernel
has imported or the cell imports, with those that they import. On a worker `install` puts them in front of all other finders; where a source has
changed, the modules are imported afresh. They are ordinary modules there, so their objects travel by name, and what comes back is of the kernel's own
classes.
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import linecache
import os
import sys
import threading
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from jupyterfut.runtime.plugin_classes import WorkerPlugin

BYTES_LIMIT = 2**20
"""Of source, for one module or package with all its parts. What is larger is imported by the workers as anything else."""


class Source(NamedTuple):
    """One module."""

    path: str
    is_package: bool
    text: str


class Shipment(NamedTuple):
    """The modules beside a notebook."""

    digest: str
    modules: dict[str, Source]


# --- in the kernel


class _File(NamedTuple):
    """What is known of a file, as long as it does not change."""

    stamp: tuple[int, int]
    text: str
    imports: frozenset[str]


class Beside:
    """The modules beside one notebook."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._loaded: dict[str, str] = {}  # top-level modules that the kernel has imported from beside the notebook -> their directory
        self._looked_at = 0
        self._last = Shipment("", {})

    def shipment(self, imports: Iterable[str] = ()) -> Shipment:
        """What the workers should have now. `imports`: the modules that a cell names. Costs a look at each file."""
        directories = _directories()
        found: dict[str, Source] = {}
        stamps: list[tuple[str, tuple[int, int]]] = []
        todo = [*self._imported(directories), *imports]
        seen = {"jupyterfut"}
        while todo:
            name = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            for directory in directories:
                if parts := self._parts(name, directory):
                    for part, path in parts.items():
                        file = self._files[path]
                        found[part] = Source(path, path.endswith("__init__.py"), file.text)
                        stamps.append((part, file.stamp))
                        todo += file.imports
                    break
        if found == self._last.modules:
            return self._last
        digest = blake2b(digest_size=16)
        for part in sorted(found):
            digest.update(repr((part, found[part])).encode())
        self._last = Shipment(digest.hexdigest(), found)
        return self._last

    def _imported(self, directories: list[str]) -> list[str]:
        if len(sys.modules) != self._looked_at:
            self._looked_at = len(sys.modules)
            for name, module in list(sys.modules.items()):
                if "." not in name and name not in self._loaded and name != "__main__":
                    self._loaded[name] = _home(module)
        return [name for name, home in self._loaded.items() if home in directories]

    def _parts(self, name: str, directory: str) -> dict[str, str]:
        """Module name -> file of a module or package; empty if there is none here, or it is not for us."""
        alone = os.path.join(directory, f"{name}.py")
        package = os.path.join(directory, name)
        parts: dict[str, str] = {}
        if os.path.isfile(os.path.join(package, "__init__.py")):
            for path in sorted(Path(package).rglob("*.py")):
                inner = path.relative_to(directory).with_suffix("").parts
                if all(part.isidentifier() for part in inner):
                    parts[".".join(inner).removesuffix(".__init__")] = str(path)
            if any(Path(package).rglob("*.so")) or any(Path(package).rglob("*.pyd")):
                return {}
        elif os.path.isfile(alone):
            parts[name] = alone
        total = 0
        for path_ in parts.values():
            total += self._read(path_)
            if total > BYTES_LIMIT:
                return {}
        return parts

    def _read(self, path: str) -> int:
        """Bring what is known of a file up to date; returns its size."""
        about = os.stat(path)
        stamp = (about.st_mtime_ns, about.st_size)
        known = self._files.get(path)
        if known is None or known.stamp != stamp:
            text = Path(path).read_text(encoding="utf-8", errors="replace")
            try:
                imports = imports_of(ast.parse(text))
            except SyntaxError:
                imports = frozenset()  # whoever imports it is told
            self._files[path] = _File(stamp, text, imports)
        return stamp[1]


def imports_of(tree: ast.AST) -> frozenset[str]:
    """The top-level modules that a piece of code imports.

    >>> sorted(imports_of(ast.parse("import a.b, c\\nfrom d.e import f\\nfrom . import g")))
    ['a', 'c', 'd']
    """
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return frozenset(names)


def _directories() -> list[str]:
    """Where the notebook is, and where the kernel is."""
    here = os.path.realpath(os.getcwd())
    notebook = os.environ.get("JPY_SESSION_NAME", "")
    beside = os.path.realpath(os.path.dirname(notebook)) if os.path.isabs(notebook) else here
    return [beside, here] if beside != here else [here]


def _home(module: ModuleType) -> str:
    """The directory in which a top-level module or package stands."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or not file.endswith(".py"):
        return ""
    home = os.path.dirname(os.path.realpath(file))
    return os.path.dirname(home) if os.path.basename(file) == "__init__.py" else home


# --- on a worker


class LocalModules(WorkerPlugin):
    """Brings a shipment to every worker, also to those that join later."""

    def __init__(self, shipment: Shipment) -> None:
        self.shipment = shipment

    def setup(self, worker: Any) -> None:
        if install(self.shipment):
            worker.code_changed()


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and loads what was shipped, before anybody else does."""

    def __init__(self) -> None:
        self.modules: dict[str, Source] = {}

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> importlib.machinery.ModuleSpec | None:
        source = self.modules.get(fullname)
        if source is None:
            return None
        spec = importlib.machinery.ModuleSpec(fullname, self, origin=source.path, is_package=source.is_package)
        spec.has_location = True
        if source.is_package:
            spec.submodule_search_locations = [os.path.dirname(source.path)]  # for its data, where the directory exists
        return spec

    def is_package(self, fullname: str) -> bool:
        return self.modules[fullname].is_package

    def get_source(self, fullname: str) -> str:
        return self.modules[fullname].text

    def get_code(self, fullname: str) -> Any:
        source = self.modules[fullname]
        return compile(source.text, source.path, "exec", dont_inherit=True)


_finder = _Finder()
_lock = threading.Lock()


def install(shipment: Shipment) -> bool:
    """Make the modules importable in this process; returns whether anything has changed. Those that have are imported afresh, with all others of the
    shipment, since they may have taken names from each other."""
    with _lock:
        known = _finder.modules
        changed = {name for name, source in shipment.modules.items() if known.get(name) != source}
        if not changed:
            return False
        if _finder not in sys.meta_path:
            sys.meta_path.insert(0, _finder)
        known.update(shipment.modules)
        for name, source in shipment.modules.items():
            sys.modules.pop(name, None)
            linecache.cache[source.path] = (len(source.text), None, source.text.splitlines(keepends=True), source.path)
        return True
