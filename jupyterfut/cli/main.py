"""The command `jupyterfut`: finds the command that was asked for, imports it, runs it.

Each command is a module with `main(arguments) -> exit code`, plugged in under the group `commands` (`jupyterfut.plugins`), so that nothing but the
one asked for is imported and another package can add one. Errors that a user caused end as one line on stderr and exit code 1; wrong usage, as
argparse has it, is exit code 2.
"""

from __future__ import annotations

import sys

from jupyterfut import plugins
from jupyterfut._version import __version__
from jupyterfut.errors import JupyterfutError

HELP = {
    "demo": "run an evolving workflow on this machine and show what is gained; --lab opens the notebook",
    "scheduler": "run a scheduler, for a cluster over several machines",
    "worker": "run workers for a scheduler",
    "dashboard": "open a cluster's dashboard in the browser, or print its link",
    "cluster": "start, list or stop the clusters that run on this machine",
    "config": "print the settings in force and where each comes from",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line `arguments` (default: the process's) and return the exit code.

    >>> main(["--version"])
    jupyterfut 0.1.0
    0
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0 if arguments else 2
    command, *rest = arguments
    if command in ("-V", "--version"):
        print(f"jupyterfut {__version__}")
        return 0
    if command not in plugins.names("commands"):
        print(f"jupyterfut: there is no command {command!r} (there are: {', '.join(plugins.names('commands'))})", file=sys.stderr)
        return 2
    try:
        return int(plugins.load("commands", command)(rest) or 0)
    except (JupyterfutError, OSError) as error:
        print(f"jupyterfut {command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130  # as a shell reports a command that Ctrl-C ended


def usage() -> str:
    """What `jupyterfut --help` prints."""
    names = [*HELP, *(name for name in plugins.names("commands") if name not in HELP)]
    width = max(map(len, names))
    lines = [f"  {name:<{width}}  {HELP.get(name, '(plugin)')}" for name in names]
    return (
        "usage: jupyterfut COMMAND ...\n\ncommands:\n"
        + "\n".join(lines)
        + "\n\n'jupyterfut COMMAND --help' says more. 'jupyterfut --version' prints the version."
    )


if __name__ == "__main__":
    sys.exit(main())
