"""The pages of docs/reference, made from signatures and docstrings: what `help` says, in Markdown, with links.

Every public name of `jupyterfut` gets a place by the module that it comes from, so a new name needs nothing here. A docstring is read as the house
writes it: paragraphs; lines such as `timeout: seconds` for arguments, with their continuation indented; examples with `>>>`; names in backticks.
"""

from __future__ import annotations

import argparse
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import jupyterfut
from jupyterfut import errors, plugins

PAGES = {
    "client": ("Client", "The door to a cluster, and which client is meant where none is named."),
    "futures": ("Futures", "What `submit` gives, and what a task can do about itself."),
    "waiting": ("Waiting", "Futures in the order in which they are done."),
    "coordination": ("Coordination", "Things that many clients and tasks share by name."),
    "actors": ("Actors", "Objects that live on a worker."),
    "deploy": ("Clusters", "Starting, growing and ending clusters; the processes that they are made of."),
    "talking": ("Talking back", "What tasks say, what the cluster does: prints, events, streams and reports."),
    "plugins": ("Plugins and files", "Code that runs with schedulers and workers; what is installed there."),
    "errors": ("Errors", "Every error that can be caught. They are in `jupyterfut.errors`; the commonest also in `jupyterfut`."),
}
"""Page -> title, and what it is about."""

PAGE_OF_NAME = {
    "task": "client", "secede": "futures", "rejoin": "futures", "Reschedule": "futures", "progress": "waiting", "print": "talking", "warn": "talking",
    "get_task_stream": "talking", "performance_report": "talking", "Adaptive": "deploy", "errors": "",
}  # fmt: skip
"""Names that stand elsewhere than their module says; "" for none."""

PAGE_OF_MODULE = [
    ("client.actors", "actors"), ("client.futures", "futures"), ("client.waiting", "waiting"), ("coord", "coordination"), ("adapters", "client"),
    ("actors", "actors"), ("errors", "errors"), ("plugin", "plugins"), ("diagnostics", "talking"), ("client", "client"),
    ("runtime", "deploy"), ("deploy", "deploy"), ("comm", "deploy"),
]  # fmt: skip
"""The first that is found in the module's name wins."""


@dataclass
class Entry:
    """One public name."""

    name: str
    value: Any
    page: str
    aliases: list[str] = field(default_factory=list)


def entries() -> list[Entry]:
    """All public names, each with its other names."""
    found: dict[int, Entry] = {}
    named = [(name, getattr(jupyterfut, name)) for name in sorted(jupyterfut.__all__, key=_own_name_first) if not name.startswith("__")]
    named += [(name, value) for name, value in vars(errors).items() if isinstance(value, type) and value.__module__ == errors.__name__]
    for name, value in named:
        page = PAGE_OF_NAME[name] if name in PAGE_OF_NAME else _page_of(value)
        if page and id(value) not in found:
            found[id(value)] = Entry(name, value, page)
        elif page and name not in (found[id(value)].name, *found[id(value)].aliases):
            found[id(value)].aliases.append(name)
    return list(found.values())


def _own_name_first(name: str) -> tuple[bool, str]:
    value = getattr(jupyterfut, name)
    return getattr(value, "__name__", name) != name, name


def _page_of(value: Any) -> str:
    home = getattr(value, "__module__", "").removeprefix("jupyterfut.")
    page = next((page for part, page in PAGE_OF_MODULE if part in home), None)
    if page is None:
        raise LookupError(f"docs/reference_pages.py knows no page for {value!r} of {home}: add a line to PAGE_OF_MODULE")
    return page


STATES = {"pending", "finished", "error", "cancelled", "lost", "None", "True", "False"}
"""Words that are no names, though some methods are called the same."""


class Links:
    """What a name in backticks leads to."""

    def __init__(self, known: list[Entry]) -> None:
        self.places: dict[str, str] = {}
        for entry in known:
            for name in (entry.name, *entry.aliases):
                self.places[name] = f"{entry.page}.md#{entry.name}"
            if isinstance(entry.value, type):
                for name, _ in members(entry.value):
                    self.places[f"{entry.name}.{name}"] = f"{entry.page}.md#{entry.name}.{name}"

        self._classes = {entry.value for entry in known if isinstance(entry.value, type) and not issubclass(entry.value, BaseException)}

    def documented(self, cls: type) -> bool:
        """Whether the class has a place of its own."""
        return cls in self._classes

    def place(self, said: str, here: Entry | None) -> str | None:
        """Where `said` leads to, seen from an entry."""
        name = re.sub(r"\(.*\)$", "", said)
        if name == said and name in STATES:
            return None
        if here is not None and f"{here.name}.{name}" in self.places:
            name = f"{here.name}.{name}"
        place = self.places.get(name)
        if place is None:
            return None
        return place.removeprefix(f"{here.page}.md") if here is not None else place


def pages() -> dict[str, str]:
    """File name -> text of all pages."""
    known = entries()
    links = Links(known)
    texts = {}
    for page, (title, about) in PAGES.items():
        on_page = [entry for entry in known if entry.page == page]
        parts = [f"# {title}\n\n{about} {MADE}\n"]
        if len(on_page) > 1:
            parts.append(" · ".join(f"[`{entry.name}`](#{entry.name})" for entry in on_page) + "\n")
        parts += [document(entry, links) for entry in on_page]
        texts[f"{page}.md"] = "\n".join(parts)
    texts["magics.md"] = magics_page(links)
    texts["command-line.md"] = command_line_page()
    texts["index.md"] = index_page(known)
    return texts


MADE = "This page is generated from the docstrings by `python docs/generate.py`."


def index_page(known: list[Entry]) -> str:
    """All names, by page."""
    lines = ["# Reference", "", f"Everything that is public. {MADE}", "", "| page | names |", "|---|---|"]
    for page, (title, _) in PAGES.items():
        names = [(name, entry) for entry in known if entry.page == page for name in (entry.name, *entry.aliases)]
        lines.append(f"| [{title}]({page}.md) | {', '.join(f'[`{name}`]({page}.md#{entry.name})' for name, entry in names)} |")
    lines.append("| [In a notebook](magics.md) | `%load_ext jupyterfut`, `%%submit`, `%submit`, `%%everywhere`, `%gather`, `%cluster`, `%futures` |")
    lines.append(f"| [Command line](command-line.md) | {', '.join(f'`jupyterfut {name}`' for name in plugins.names('commands'))} |")
    lines.append("| [Settings](../settings.md) | every setting, its unit and default |")
    return "\n".join(lines) + "\n"


# --- one name


def document(entry: Entry, links: Links) -> str:
    """A class with its methods, or a function."""
    value = entry.value
    parts = [f'<a id="{entry.name}"></a>\n\n## `{entry.name}`\n']
    if entry.aliases:
        parts.append(f"Also called {', '.join(f'`{name}`' for name in entry.aliases)}.\n")
    if not (isinstance(value, type) and issubclass(value, BaseException)):
        parts.append(fence(signature(value, entry.name)))
    elif bases := [base.__name__ for base in value.__bases__ if base is not Exception]:
        parts.append(f"A kind of {', '.join(_linked(f'`{base}`', links, entry) for base in bases)}.\n")
    parts.append(markdown(own_doc(value), links, entry, value))
    if isinstance(value, type):
        methods = list(members(value))
        if bases := [base for base in value.__mro__[1:] if links.documented(base)]:
            parts.append(f"With the methods of {', '.join(f'[`{base.__name__}`]({links.place(base.__name__, entry)})' for base in bases)}.\n")
            methods = [(name, member) for name, member in methods if name in vars(value)]
        if len(methods) > 6:
            parts.append(", ".join(f"[`{name}`](#{entry.name}.{name})" for name, _ in sorted(methods)) + "\n")
        parts += [method(entry, name, member, links) for name, member in methods]
    return "\n".join(part for part in parts if part)


def method(entry: Entry, name: str, member: Any, links: Links) -> str:
    """A method, property or attribute of a class."""
    head = f'<a id="{entry.name}.{name}"></a>\n\n### `{entry.name}.{name}`\n'
    function = member.fget if isinstance(member, property) else member.__func__ if isinstance(member, classmethod | staticmethod) else member
    real = getattr(function, "__name__", name)
    if real != name and hasattr(entry.value, real):
        return f"{head}\nThe same as [`{entry.name}.{real}`](#{entry.name}.{real}).\n"
    said = "A property.\n" if isinstance(member, property) else fence(signature(function, name))
    return "\n".join([head, said, markdown(inspect.getdoc(function) or "", links, entry, function)])


def members(cls: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties that jupyterfut itself defines, in the order of the code."""
    seen = set()
    for base in cls.__mro__:
        if base.__module__.startswith("jupyterfut") and base.__module__ != errors.__name__:
            for name, member in vars(base).items():
                told = isinstance(member, property | classmethod | staticmethod) or inspect.isfunction(member)
                if not name.startswith("_") and told and name not in seen and (inspect.getdoc(getattr(cls, name, None)) or ""):
                    seen.add(name)
                    yield name, member


def own_doc(value: Any) -> str:
    """The docstring of the thing itself, none that is inherited."""
    return inspect.cleandoc(value.__doc__ or "")


def signature(value: Any, name: str) -> str:
    """How it is called, on one line or one argument a line."""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return f"{name}(...)"
    parameters = [parameter for parameter in found.parameters.values() if parameter.name not in ("self", "cls")]
    returns = "" if isinstance(value, type) or found.return_annotation is inspect.Signature.empty else f" -> {_annotation(found.return_annotation)}"
    shown = _shown(parameters)
    line = f"{name}({', '.join(shown)}){returns}"
    return line if len(line) <= 100 else f"{name}(\n" + "".join(f"    {one},\n" for one in shown) + f"){returns}"


def _shown(parameters: list[inspect.Parameter]) -> list[str]:
    shown = []
    kinds = inspect.Parameter
    starred = any(parameter.kind is kinds.VAR_POSITIONAL for parameter in parameters)
    for number, parameter in enumerate(parameters):
        if parameter.kind is kinds.KEYWORD_ONLY and not starred:
            shown.append("*")
            starred = True
        stars = {kinds.VAR_POSITIONAL: "*", kinds.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        annotation = "" if parameter.annotation in (kinds.empty, "Any") else f": {_annotation(parameter.annotation)}"
        default = "" if parameter.default is kinds.empty else f" = {parameter.default!r}" if annotation else f"={parameter.default!r}"
        shown.append(f"{stars}{parameter.name}{annotation}{re.sub(' at 0x[0-9a-f]+', '', default)}")
        following = parameters[number + 1].kind if number + 1 < len(parameters) else None
        if parameter.kind is kinds.POSITIONAL_ONLY and following is not kinds.POSITIONAL_ONLY:
            shown.append("/")
    return shown


def _annotation(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


# --- docstrings


def markdown(doc: str, links: Links, here: Entry | None, value: Any = None) -> str:
    """A docstring as Markdown."""
    arguments = _arguments(value)
    parts: list[str] = []
    for paragraph in re.split(r"\n\s*\n", doc.strip("\n")):
        if paragraph.lstrip().startswith(">>> "):
            if parts and parts[-1].startswith("```python"):
                parts[-1] = parts[-1].removesuffix("```\n") + f"\n{inspect.cleandoc(paragraph)}\n```\n"
            else:
                parts.append(fence(inspect.cleandoc(paragraph)))
        elif all(line.startswith("    ") for line in paragraph.splitlines()):
            parts.append(f"```text\n{textwrap.dedent(paragraph)}\n```\n")
        elif paragraph:
            parts.append(_prose(paragraph, arguments, links, here))
    return "\n".join(parts)


def _prose(paragraph: str, arguments: set[str], links: Links, here: Entry | None) -> str:
    """A paragraph, in which lines about arguments become a list."""
    blocks: list[tuple[str, str, str]] = []  # bullet, argument, text
    for line in paragraph.splitlines():
        about = re.match(r"(\*{0,2}\w+(?:, \*{0,2}\w+)*): (.*)", line)
        if about and {name.strip("* ") for name in about[1].split(",")} <= arguments:
            blocks.append(("- ", f"**{about[1]}**: ", about[2]))
        elif line.startswith("- "):
            blocks.append(("- ", "", line[2:]))
        elif blocks and (line.startswith("  ") or not blocks[-1][0] or line[0].islower()):
            bullet, argument, text = blocks[-1]
            blocks[-1] = bullet, argument, f"{text} {line.strip()}"
        else:
            blocks.append(("", "", line.strip()))
    lines: list[str] = []
    for number, (bullet, argument, text) in enumerate(blocks):
        if number and not (bullet and blocks[number - 1][0]):
            lines.append("")
        lines.append(bullet + argument + _linked(text, links, here))
    return "\n".join(lines) + "\n"


def _linked(text: str, links: Links, here: Entry | None) -> str:
    """Code in backticks with a link where there is a place for it; what Markdown would take for its own, escaped."""
    parts = re.split(r"(`[^`]+`)", text)
    for number, part in enumerate(parts):
        if number % 2:
            place = links.place(part.strip("`"), here)
            parts[number] = f"[{part}]({place})" if place else part
        else:
            parts[number] = part.replace("<", "&lt;").replace("*", "\\*").replace("[", "\\[")
    return "".join(parts)


def _arguments(value: Any) -> set[str]:
    try:
        names = set(inspect.signature(value).parameters)
    except (TypeError, ValueError):
        return set()
    return names | {"options", "kwargs"} | (set(vars(value).get("__annotations__", ())) if isinstance(value, type) else set())


def fence(code: str) -> str:
    """A block of Python."""
    return f"```python\n{code}\n```\n"


# --- the notebook, the command line


def magics_page(links: Links) -> str:
    """The magics, with their options."""
    from jupyterfut.notebook.extension import MAGICS
    from jupyterfut.notebook.magics import submit as submit_magic

    parts = [f"# In a notebook\n\n`%load_ext jupyterfut` brings the magics. {MADE}\n"]
    for magics in MAGICS:
        for kind, sign in (("cell", "%%"), ("line", "%")):
            for name, method in magics.magics[kind].items():
                parser = getattr(magics, method).parser
                parts += [f"## `{sign}{name}`\n", markdown(inspect.cleandoc(parser.description), links, None), options_table(parser)]
                if parser.epilog:
                    parts.append(f"{parser.epilog}\n")
        if magics is submit_magic.SubmitMagics:
            parts.append(markdown(inspect.cleandoc(submit_magic.__doc__ or "").partition("\n\n")[2], links, None))
            parts.append(traits_table(magics))
    return "\n".join(parts)


def traits_table(configurable: Any) -> str:
    """What `%config` can change."""
    rows = [f"### `%config {configurable.__name__}`\n", "| trait | default | what it is for |", "|---|---|---|"]
    for name, trait in sorted(configurable.class_own_traits(config=True).items()):
        rows.append(f"| `{name}` | `{trait.default_value!r}` | {trait.help} |")
    return "\n".join(rows) + "\n"


def command_line_page() -> str:
    """The commands, with their options."""
    parts = [f"# Command line\n\n`jupyterfut COMMAND --help` says the same. {MADE}\n"]
    for name in plugins.names("commands"):
        parser = _parser_of(plugins.load("commands", name))
        parts += [f"## `jupyterfut {name}`\n", f"{parser.description}\n", options_table(parser)]
    return "\n".join(parts)


class _Caught(Exception):
    pass


def _parser_of(command: Any) -> argparse.ArgumentParser:
    """The parser that a command makes, caught when it is about to be used."""

    def catch(parser: argparse.ArgumentParser, *_: object) -> None:
        raise _Caught(parser)

    with mock.patch.object(argparse.ArgumentParser, "parse_args", catch):
        try:
            command([])
        except _Caught as caught:
            parser: argparse.ArgumentParser = caught.args[0]
            return parser
    raise LookupError(f"{command} parses no arguments")


def options_table(parser: argparse.ArgumentParser, prefix: str = "") -> str:
    """Arguments and options, those of its commands too."""
    rows = ["| option | what it is for |", "|---|---|"] if not prefix else []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                about = next((choice.help for choice in action._choices_actions if choice.dest == name), "")
                rows.append(f"| `{prefix}{name}` | {about} |")
                rows += [row for row in options_table(sub, f"{prefix}{name} ").splitlines() if row]
        elif action.help != argparse.SUPPRESS and "--help" not in action.option_strings:
            takes = "" if action.nargs == 0 else f" {action.metavar or (action.dest.upper() if action.option_strings else action.dest)}"
            shown = ", ".join(action.option_strings) + takes if action.option_strings else takes.strip()
            rows.append(f"| `{prefix}{shown}` | {_filled(parser, action)} |")
    return "\n".join(rows) + "\n"


def _filled(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """The help of an option, its placeholders filled in."""
    values = {name: value for name, value in vars(action).items() if value is not argparse.SUPPRESS}
    return ((action.help or "") % {**values, "prog": parser.prog}).replace("|", "\\|")
