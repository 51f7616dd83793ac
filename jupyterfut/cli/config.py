"""`jupyterfut config`: every setting with its value, where the value came from, its unit, and what it is for."""

from __future__ import annotations

import argparse
import json
import os

from jupyterfut import config
from jupyterfut.runtime import connections


def main(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser("jupyterfut config", description="Print the settings in force and where each comes from.")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--changed", action="store_true", help="only those that differ from the default")
    args = parser.parse_args(arguments)
    values = [value for value in config.explain() if not args.changed or value.value != value.default]
    if args.json:
        print(json.dumps([value._asdict() | {"variable": config.variable(value.group, value.name)} for value in values], indent=1))
        return 0
    path = config.config_path(os.environ)
    print(f"settings file: {path}{'' if path.exists() else ' (there is none)'}\nconnection files: {connections.runtime_dir()}")
    for value in values:
        unit = f" {value.unit}" if value.unit in ("s", "bytes") else ""
        shown = value.value if value.value != "" else "(empty)"
        print(f"\n{value.group}.{value.name} = {shown}{unit}  [{value.source}]\n    {value.doc}\n    {config.variable(value.group, value.name)}")
    return 0
