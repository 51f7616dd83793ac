"""Which versions of what run in this process: for `Client.get_versions`."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterable
from typing import Any

from jupyterfut._version import __version__

REQUIRED = ("msgpack", "cloudpickle")
"""What crosses the wire is made by these."""

OPTIONAL = {"numpy": "numpy", "pandas": "pandas", "pyarrow": "pyarrow", "dask": "dask", "uvloop": "uvloop", "xxhash": "xxhash"}
"""Module -> distribution: reported when they are loaded here."""


def versions(packages: Iterable[str] = ()) -> dict[str, Any]:
    """Facts about this process: `host` (Python, operating system, machine) and `packages` ({name: version, or None if it is not installed})."""
    import platform  # takes time to import, and a worker starts without

    found: dict[str, str | None] = {"python": ".".join(map(str, sys.version_info[:3])), "jupyterfut": __version__}
    for name in REQUIRED:
        found[name] = _version(name)
    for module, name in OPTIONAL.items():
        if module in sys.modules:
            found[name] = _version(name)
    for name in packages:
        found[name] = _version(name)
    host = {
        "python": f"{platform.python_version()}.{sys.version_info.releaselevel}", "python-bits": struct.calcsize("P") * 8,
        "implementation": platform.python_implementation(), "OS": platform.system(), "OS-release": platform.release(), "machine": platform.machine(),
        "byteorder": sys.byteorder, "LANG": os.environ.get("LANG", ""), "LC_ALL": os.environ.get("LC_ALL", ""),
    }  # fmt: skip
    return {"host": host, "packages": found}


def _version(name: str) -> str | None:
    module = sys.modules.get(name)
    version = getattr(module, "__version__", None)
    if isinstance(version, str):
        return version
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
