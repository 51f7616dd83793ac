"""What magics are given: parsers made by argparse, whose errors are IPython's `UsageError`, and the small readers of values.

A magic with commands (`%cluster start`) has a parser for each; `magic_with` makes the parser and its help the magic's own, so that `%cluster?` and
completion know the options.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any, NoReturn

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser

from jupyterfut.config import parse_bytes, parse_seconds


class Parser(MagicArgumentParser):  # type: ignore[misc]  # IPython has no types
    """The arguments of a magic. Quotes around a value are taken off; what is wrong is a `UsageError` that names the magic."""

    def __init__(self, prog: str, description: str = "", **more: Any) -> None:
        super().__init__(prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter, **more)

    def error(self, message: str) -> NoReturn:
        """Called by argparse."""
        raise UsageError(f"{self.prog}: {message}")

    def commands(self) -> Any:
        """To this, add the magic's commands with `add_parser(name, help=...)`."""
        return self.add_subparsers(dest="command", metavar="COMMAND", parser_class=_command_parser(self.prog))

    def read(self, line: str) -> argparse.Namespace:
        """The arguments in a line."""
        options: argparse.Namespace = self.parse_argstring(line)
        return options

    @property
    def command_parsers(self) -> dict[str, argparse.ArgumentParser]:
        """The commands' own parsers."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                return dict(action.choices)
        return {}


def _command_parser(magic: str) -> Callable[..., Parser]:
    def make(**options: Any) -> Parser:
        name = str(options.pop("prog")).split()[-1]
        return Parser(f"{magic} {name}", **options)

    return make


def magic_with(parser: Parser) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A method whose arguments this parser reads, and whose docstring tells of them."""

    def take(function: Callable[..., Any]) -> Callable[..., Any]:
        function.parser = parser  # type: ignore[attr-defined]  # where IPython's own magics keep it
        told = [parser.format_usage().replace("usage: ", "::\n\n  ", 1), parser.description or ""]
        told += [f"{name}: {sub.format_help()}" for name, sub in parser.command_parsers.items()] or [parser.format_help().partition("\n\n")[2]]
        function.__doc__ = "\n".join(told)
        return function

    return take


def split_options(parser: Parser, line: str) -> tuple[str, str]:
    """The options at the beginning of a line, and the rest as it stands (an expression has its own quotes). `--` ends the options.

    >>> parser = Parser("%example")
    >>> _ = parser.add_argument("-w"), parser.add_argument("-q", action="store_true")
    >>> split_options(parser, "-w alice -q f('-x', y)"), split_options(parser, "-- -x")
    (('-w alice -q ', "f('-x', y)"), ('', '-x'))
    """
    at = 0
    while found := re.compile(r"\s*(-{1,2}[A-Za-z][\w-]*)(=\S*)?(?=\s|$)|\s*(--)(?=\s|$)").match(line, at):
        if found[3]:
            return line[:at], line[found.end() :].strip()
        action = parser._option_string_actions.get(found[1])
        if action is None:
            parser.error(f"unrecognized arguments: {found[1]} (an expression that begins with '-' comes after '--')")
        at = found.end()
        if action.nargs != 0 and not found[2]:
            value = re.compile(r"\s*(\"[^\"]*\"|'[^']*'|\S+)").match(line, at)
            if value is None:
                parser.error(f"argument {found[1]}: expected one argument")
            at = value.end()
    return line[:at] + (" " if at and not line[:at].endswith(" ") else ""), line[at:].strip()


# --- values


def text(given: str) -> str:
    """A word, without the quotes around it.

    >>> text("'x*'"), text("x*")
    ('x*', 'x*')
    """
    return given[1:-1] if len(given) > 1 and given[0] == given[-1] and given[0] in "\"'" else given


def words(given: str) -> list[str]:
    """Some words with commas or spaces between them.

    >>> words("a,b c")
    ['a', 'b', 'c']
    """
    return text(given).replace(",", " ").split()


def whole(given: str) -> int:
    """A whole number, at least 0."""
    if not given.isdecimal():
        raise argparse.ArgumentTypeError(f"{given!r} is no whole number, at least 0")
    return int(given)


def seconds(given: str) -> float:
    """A time span: 10, 500ms, "2 min"."""
    try:
        return parse_seconds(text(given))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def memory(given: str) -> int | float | str | None:
    """What a worker may use: a size (2GB), a share of the machine's memory (0.5), auto, or none."""
    given = text(given)
    if given in ("auto", "none"):
        return None if given == "none" else given
    try:
        share = float(given)
    except ValueError:
        try:
            return parse_bytes(given)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{error}; or a share of the machine's memory (0.5), auto, none") from None
    return share if 0 < share <= 1 else int(share)


def resources(given: str) -> dict[str, float]:
    """Amounts: GPU=1,MEM=2e9."""
    found = {}
    for part in words(given):
        name, _, amount = part.partition("=")
        try:
            found[name] = float(amount)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{part!r} is no amount such as GPU=1") from None
        if not name or not found[name] >= 0:
            raise argparse.ArgumentTypeError(f"{part!r} is no amount such as GPU=1")
    return found
