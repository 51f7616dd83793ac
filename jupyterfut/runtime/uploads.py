"""Files that clients have sent: put into the worker's directory, and imported (or reloaded) there.

Where a module's code is replaced, whatever was made from the old code has to go: its entry in Python's caches, the functions that tasks have named
before (`serde.functions`), and, for an archive, the modules that came out of the earlier one. A module itself is reloaded in place, so that whoever
has imported it sees the new code.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyterfut.runtime.worker_server import Worker

ARCHIVES = (".zip", ".egg", ".pyz")

_lock = threading.Lock()
"""Workers of one process share its modules."""


def save(worker: Worker, filename: str, data: bytes, load: bool) -> str:
    """Write the file into the worker's directory; with `load`, make what it contains importable, and import a module. Returns its path. Raises what
    the import raises, and ValueError for a name that is a path."""
    if filename in ("", ".", "..") or Path(filename).name != filename:
        raise ValueError(f"{filename!r} is not the name of a file")
    directory = worker.local_directory
    path = Path(directory, filename)
    with _lock:
        _write(path, data)
        if load and path.suffix == ".py":
            _put_on_path(directory)
            _import(path)
            worker.code_changed()
        elif load and path.suffix in ARCHIVES:
            _put_on_path(str(path))
            _forget_modules_of(path)
            worker.code_changed()
    return str(path)


def forget(directory: str) -> None:
    """A worker's directory is about to go: nothing is imported from it any more."""
    with _lock:
        sys.path[:] = [entry for entry in sys.path if entry != directory and os.path.dirname(entry) != directory]
        for name, module in list(sys.modules.items()):
            if _is_in(module, directory):
                del sys.modules[name]
        importlib.invalidate_caches()


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    os.replace(part, path)  # a task may be reading the old one


def _put_on_path(entry: str) -> None:
    if entry not in sys.path:
        sys.path.insert(0, entry)


def _import(path: Path) -> None:
    """Import the module from this very file. If it is there already, from wherever, the new code takes the old one's place in it, as in a reload: who
    has imported it sees the new code."""
    name = path.stem
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)  # Python tells versions apart by size and second only
    importlib.invalidate_caches()
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.get(name)
    if module is not None:
        module.__spec__, module.__loader__, module.__file__ = spec, spec.loader, str(path)
        spec.loader.exec_module(module)
        return
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _forget_modules_of(archive: Path) -> None:
    sys.path_importer_cache.pop(str(archive), None)
    importlib.invalidate_caches()
    for name, module in list(sys.modules.items()):
        if _is_in(module, str(archive)):
            del sys.modules[name]


def _is_in(module: object, place: str) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and file.startswith(place + os.sep)
