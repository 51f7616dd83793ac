"""Completion in the lines of our magics: commands, options, and the names that they take (clusters, workers, futures).

One matcher for IPython's completer (8.6 or newer), asked for each Tab. It knows the magics' own parsers, looks clusters up in their connection
files, and asks no scheduler.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable
from typing import Any

from IPython.core.completer import SimpleCompletion, context_matcher

from jupyterfut.client.current import default_client, open_clients
from jupyterfut.deploy import registry
from jupyterfut.notebook.held import reunion
from jupyterfut.notebook.held.names import names_with_futures

MAGIC_LINE = re.compile(r"(?:^|=)\s*(%%?)(submit|everywhere|gather|cluster|futures)\s(.*)$", re.DOTALL)


class Completer:
    """The matcher of one shell: `add` puts it into the shell's completer, `remove` takes it out."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.matcher = context_matcher(identifier="jupyterfut")(lambda context: self._complete(context))

    def add(self) -> None:
        """Be asked from now on."""
        self.shell.Completer.custom_matchers.insert(0, self.matcher)

    def remove(self) -> None:
        """Be asked no more."""
        matchers = self.shell.Completer.custom_matchers
        if self.matcher in matchers:
            matchers.remove(self.matcher)

    def _complete(self, context: Any) -> dict[str, Any]:
        line = context.text_until_cursor
        found = MAGIC_LINE.search(line)
        if found is None:
            return {"completions": []}
        fragment, words = complete(self.shell, found[2], found[3], cell=found[1] == "%%")
        if not words:
            return {"completions": []}
        return {"completions": [SimpleCompletion(text=word, type="magic") for word in words], "matched_fragment": fragment, "suppress": True}


def complete(shell: Any, magic: str, line: str, *, cell: bool) -> tuple[str, list[str]]:
    """What may stand at the end of a magic's line: the piece of it that is replaced, and the words for it."""
    parser = _parser(shell, magic, cell)
    if parser is None:
        return "", []
    *before, fragment = re.split(r"[\s,]+", f" {line}")[1:] or [""]
    parser, before = _of_command(parser, before)
    commands = _commands(parser)
    previous = parser._option_string_actions.get(before[-1]) if before else None
    if previous is not None and previous.nargs != 0:
        words = _values(shell, magic, parser, previous)
    elif fragment.startswith("-"):
        words = [option for option in parser._option_string_actions if option.startswith("--") or fragment == "-"]
    elif commands:
        words = list(commands)
    else:
        words = [word for action in parser._actions if not action.option_strings for word in _values(shell, magic, parser, action)]
    return fragment, sorted(word for word in dict.fromkeys(words) if word.startswith(fragment))


def _parser(shell: Any, magic: str, cell: bool) -> Any:
    function = shell.magics_manager.magics["cell" if cell else "line"].get(magic)
    return getattr(function, "parser", None)


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _of_command(parser: argparse.ArgumentParser, before: list[str]) -> tuple[argparse.ArgumentParser, list[str]]:
    commands = _commands(parser)
    if before and before[0] in commands:
        return commands[before[0]], before[1:]
    return parser, before


def _values(shell: Any, magic: str, parser: argparse.ArgumentParser, action: argparse.Action) -> list[str]:
    """What an argument may be."""
    if action.choices is not None:
        return [str(choice) for choice in action.choices]
    takes: Callable[[Any], Iterable[str]] | None = None
    if action.dest == "on" or (magic == "cluster" and action.dest == "name" and not action.option_strings):
        takes = _clusters
    elif action.dest == "workers" and magic != "cluster":
        takes = _workers
    elif magic in ("gather", "futures") and not action.option_strings:
        takes = _held_too if parser.prog.endswith(("attach", "clear", "list")) else _names
    return sorted(takes(shell)) if takes is not None else []


def _clusters(shell: Any) -> Iterable[str]:
    return {info.name for info in registry.clusters()} | {name for client in open_clients() if (name := getattr(client.cluster, "name", ""))}


def _workers(shell: Any) -> Iterable[str]:
    """Of a cluster that was started here: of others the names are not known without asking."""
    try:
        cluster = default_client().cluster
    except ValueError:
        return ()
    return list(cluster.workers) if cluster is not None else ()


def _names(shell: Any) -> Iterable[str]:
    return names_with_futures(shell.user_ns, shell.user_ns_hidden)


def _held_too(shell: Any) -> Iterable[str]:
    return {*_names(shell), *reunion.names_held()}
