"""The environments that a cluster can be started in: the Pythons of the kernels that the server offers, found as the server itself finds them.

A page names an environment by its kernel's name, so nothing but what an administrator or the user has installed as a kernel is ever run.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

OWN = ""
"""The name of the environment that the server itself runs in, when no kernel stands for it."""

_PYTHON = re.compile(r"(python|pypy)[0-9.]*(\.exe)?", re.IGNORECASE)


class Environment(NamedTuple):
    """One Python to start clusters with."""

    name: str  #: the kernel's; "" for the server's own
    title: str
    python: str  #: the interpreter's path
    variables: dict[str, str]  #: that the kernel sets, for the process


def environments(specs: dict[str, Any], own_python: str = sys.executable) -> list[Environment]:
    """Those of these kernel specs (as `KernelSpecManager.get_all_specs` gives them) that are Python's, the server's own first, then by title.

    >>> kernels = {"a": {"spec": {"argv": ["/opt/a/bin/python", "-m", "ipykernel"], "display_name": "A", "language": "python"}},
    ...            "r": {"spec": {"argv": ["R"], "display_name": "R", "language": "R"}}}
    >>> [(each.name, each.title) for each in environments(kernels, own_python="/usr/bin/python3")]
    [('', "the server's own Python"), ('a', 'A')]
    """
    found = [environment for name, each in specs.items() if (environment := _of_kernel(name, each.get("spec") or {}, own_python)) is not None]
    found.sort(key=lambda each: (each.python != own_python, each.title.lower(), each.name))
    if not any(each.python == own_python for each in found):
        found.insert(0, Environment(OWN, "the server's own Python", own_python, {}))
    return found


def _of_kernel(name: str, spec: dict[str, Any], own_python: str) -> Environment | None:
    argv = spec.get("argv") or []
    if str(spec.get("language", "")).lower() != "python" or not argv:
        return None
    metadata = spec.get("metadata") or {}
    if prefix := metadata.get("conda_env_path"):  # nb_conda_kernels starts them through a program of its own
        python = str(Path(prefix) / ("python.exe" if sys.platform == "win32" else "bin/python"))
    else:
        python = _interpreter(str(argv[0]), own_python)
    if not python:
        return None
    variables = {str(key): os.path.expandvars(str(value)) for key, value in (spec.get("env") or {}).items()}
    return Environment(name, str(spec.get("display_name") or name), python, variables)


def _interpreter(command: str, own_python: str) -> str:
    """The path of the Python that a kernel's command is; "" when it is something else (a wrapper, say). A bare "python" is the server's own, as
    Jupyter has it."""
    if not _PYTHON.fullmatch(os.path.basename(command)):
        return ""
    if os.path.dirname(command):
        return command
    if command in ("python", "python3", f"python{sys.version_info[0]}.{sys.version_info[1]}"):
        return own_python
    return shutil.which(command) or ""
