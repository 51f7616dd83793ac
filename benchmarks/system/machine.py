"""What the numbers were measured on: versions and machine, without names of hosts, users or paths."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

from benchmarks.system.engines import KNOWN


def versions(engines: list[str]) -> dict[str, str]:
    """Python's version and each engine's; for a jupyterfut that runs from its repository, the commit as well."""
    found = {"python": platform.python_version()}
    for distribution in sorted({KNOWN[engine].distribution for engine in engines} - {""} | {"msgpack", "cloudpickle", "numpy"}):
        try:
            found[distribution] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            found[distribution] = _own_version() if distribution == "jupyterfut" else "not installed"
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
    if commit.returncode == 0:
        found["commit"] = commit.stdout.strip()
    return found


def _own_version() -> str:
    """Of a jupyterfut that runs from its repository without being installed."""
    from jupyterfut._version import __version__

    return __version__


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def machine() -> dict[str, str | int | float]:
    """System, processor, cores, memory, and how busy the machine was before the first measurement."""
    facts: dict[str, str | int | float] = {
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
    }
    if hasattr(os, "getloadavg"):
        facts["load_before"] = round(os.getloadavg()[0], 2)
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        facts["memory_bytes"] = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return facts
