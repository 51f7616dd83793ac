"""Pages with code: Markdown whose fenced `python` blocks are run as a reader would type them, in order, in one namespace.

A block may be plain code, or a transcript with `>>>` prompts, or code first and a transcript below it. Where a transcript states an output, it is
compared: `...` stands for anything, hashes in keys are not compared, and an error is recognised by its last line and by the user's own lines in it. A
page shows a future as a human sees it, who looks at `finished` when it has finished: so the harness waits before it looks. In plain code a comment
says what a line gives, `# -> 42`, or raises, `# raises ValueError: no` (`...` stands for anything here too).
Code lives in `__main__`, as in a script or a notebook, so functions travel to workers by value; and in `linecache`, so tracebacks show it.

Tests of seed documents (tests/seeds) and of the guide (tests/docs) are written with it.
"""

from __future__ import annotations

import ast
import asyncio
import doctest
import inspect
import io
import itertools
import linecache
import re
import textwrap
import tokenize
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyterfut import futures_of, wait
from jupyterfut.client import current
from jupyterfut.deploy.cluster import Cluster

FENCE = re.compile(r"^(?P<fence>`{3,})(?P<kind>\w+)(?: (?P<note>[^\n]*))?\n(?P<text>.*?)^(?P=fence)$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
IMPORT = re.compile(r"^((?:>>> |\.\.\. )?\s*)from (?:dask\.)?distributed import ", re.MULTILINE)
KEY = re.compile(r"(key[:=] ?)(?:([\w.]+)-)?[0-9a-f]{12,}")
REMARK = re.compile(r"# (->|raises) (.*)")
FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
NUMBERS = itertools.count(1)


class Enough(BaseException):
    """Ends a loop of a page that would go on for ever: what the test put into the namespace raises it."""


@dataclass(frozen=True)
class Block:
    """One fenced block, where it stands, and what its fence says after the language."""

    page: str
    section: str
    kind: str
    note: str
    text: str
    line: int

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def read(path: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = path.read_text(encoding="utf-8")
    headings = [(found.start(), found[1]) for found in HEADING.finditer(FENCE.sub(lambda fence: " " * len(fence[0]), text))]
    blocks = []
    for fence in FENCE.finditer(text):
        section = [title for start, title in headings if start < fence.start()][-1:]
        line = text.count("\n", 0, fence.start()) + 2
        blocks.append(Block(path.name, section[0] if section else "", fence["kind"], fence["note"] or "", fence["text"].rstrip("\n"), line))
    return blocks


class Page:
    """The blocks of a page, and the namespace that they run in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.blocks = read(path)
        self.namespace: dict[str, Any] = {"__name__": "__main__"}
        self.before = set(current.open_clients())

    def code(self, section: str) -> list[Block]:
        """The blocks of a section that are to be run."""
        found = [block for block in self.blocks if block.section == section and block.kind == "python"]
        assert found, f"no code in section {section!r}: there are {sorted({block.section for block in self.blocks})}"
        return found

    def given(self, code: str = "", **names: Any) -> None:
        """What the page leaves to its reader: values, and definitions as the reader would have typed them."""
        self.namespace.update(names)
        if code:
            _execute(_compile(textwrap.dedent(code), "exec"), self.namespace)

    def run(self, section: str, *numbers: int, instead: dict[str, str] | None = None) -> str:
        """Run the blocks of a section (those with these numbers, from 0), and return what they print.

        instead: replacements in the code, for holes that the page leaves open (`client.submit(...)`). Ends when the code raises `Enough`.
        """
        said = io.StringIO()
        with redirect_stdout(said):
            for number in numbers or range(len(self.code(section))):
                self.play(section, number, instead)
        return said.getvalue()

    def play(self, section: str, number: int, instead: dict[str, str] | None = None) -> None:
        """Run one block, in any thread (`run` catches what the whole process prints)."""
        block = self.code(section)[number]
        try:
            run(block, _filled(block, instead), self.namespace)
        except Enough:
            pass  # the loop of the page has run as often as the test wanted

    async def play_async(self, section: str, number: int) -> None:
        """Run one block that has an `await` at its top level, in the running loop."""
        block = self.code(section)[number]
        value = eval(_compile(with_our_imports(block.text), "exec"), self.namespace)
        if value is not None:
            await value

    def enough_after(self, n: int) -> list[Any]:
        """Let the page's `print` raise `Enough` at the n-th call. Returns the list of what is printed."""
        printed: list[Any] = []

        def print_some(*values: Any) -> None:
            printed.extend(values)
            if len(printed) >= n:
                raise Enough

        self.namespace["print"] = print_some
        return printed

    def __getitem__(self, name: str) -> Any:
        return self.namespace[name]

    def close(self) -> None:
        """Forget the namespace, and close the clients and clusters that were made in it."""
        clusters = [value for value in self.namespace.values() if isinstance(value, Cluster)]
        self.namespace.clear()
        for client in current.open_clients():
            if client not in self.before:
                client.close()
        for cluster in clusters:
            cluster.close()


@contextmanager
def opened(path: Path) -> Iterator[Page]:
    """A page whose clients are closed in the end."""
    page = Page(path)
    try:
        yield page
    finally:
        page.close()


def with_our_imports(code: str) -> str:
    """The one edit that code written for dask.distributed needs.

    >>> with_our_imports("from dask.distributed import Client\\n>>> from distributed import wait")
    'from jupyterfut import Client\\n>>> from jupyterfut import wait'
    """
    return IMPORT.sub(r"\1from jupyterfut import ", code)


def _filled(block: Block, instead: dict[str, str] | None) -> str:
    text = block.text
    for hole, filling in (instead or {}).items():
        assert hole in text, f"{block} has no {hole!r}"
        text = text.replace(hole, filling)
    return text


def run(block: Block, text: str, namespace: dict[str, Any]) -> None:
    """Run the text of a block, and compare the outputs that it states."""
    text = with_our_imports(text)
    text = re.sub(r"\n\n(?=\w+Error: )", "\n", text)  # an error's last line belongs to the lines above it
    plain, prompt, transcript = text.partition(">>> ")
    if plain.strip():
        _run_plain(block, plain, namespace)
    # In a transcript, what follows an empty line without a prompt is a remark or code, and no output.
    for part in re.split(r"\n\s*\n(?!>>> )", prompt + transcript) if prompt else ():
        if ">>> " not in part:
            _execute(_compile(part, "exec"), namespace)
            continue
        for example in doctest.DocTestParser().get_examples(part + "\n"):
            _check(block, example, namespace)


def _run_plain(block: Block, code: str, namespace: dict[str, Any]) -> None:
    """Statement by statement, so that what comments say of them can be compared."""
    name = _remember(code)
    remarks = {token.start[0]: token.string for token in tokenize.generate_tokens(io.StringIO(code).readline) if token.type == tokenize.COMMENT}
    for statement in ast.parse(code, name).body:
        said = REMARK.match(remarks.get(statement.end_lineno or 0, ""))
        if said is None:
            _execute(compile(ast.Module([statement], []), name, "exec", FLAGS, dont_inherit=True), namespace)
            continue
        kind, want = said.groups()
        where = f"{block.page}:{block.line + statement.lineno - 1}: {ast.unparse(statement)}"
        out = io.StringIO()
        try:
            with redirect_stdout(out):
                if isinstance(statement, ast.Expr):
                    value = _execute(compile(ast.Expression(statement.value), name, "eval", FLAGS, dont_inherit=True), namespace)
                    got = out.getvalue() if value is None else repr(value)
                else:
                    _execute(compile(ast.Module([statement], []), name, "exec", FLAGS, dont_inherit=True), namespace)
                    got = out.getvalue()
        except Exception as error:
            if kind != "raises":
                raise
            got = f"{type(error).__name__}: {error}"
            kind = "->"
        if kind == "raises":
            raise AssertionError(f"{where}\n  should raise {want}")
        if not doctest.OutputChecker().check_output(_plain(want), _plain(got), doctest.ELLIPSIS):
            raise AssertionError(f"{where}\n  should say  {want}\n  and says    {got}")


def _check(block: Block, example: doctest.Example, namespace: dict[str, Any]) -> None:
    said = io.StringIO()
    error = ""
    with redirect_stdout(said):
        try:
            value = _execute(_compile(example.source, "single"), namespace)
            if re.search(r"status: (finished|error)", example.want):
                wait(futures_of(value))
            if value is not None:
                said.write(f"{value!r}\n")
        except Exception as raised:
            if not example.want:
                raise
            error = "".join(traceback.format_exception(raised))
    if error:
        _same_error(block, example, error)
    elif example.want and not doctest.OutputChecker().check_output(_plain(example.want), _plain(said.getvalue()), doctest.ELLIPSIS):
        raise AssertionError(f"{block}: {example.source.strip()}\n  should say  {example.want.strip()}\n  and says    {said.getvalue().strip()}")


def _same_error(block: Block, example: doctest.Example, error: str) -> None:
    """The last line is the same, and so are the lines of the user's code (with their arrows and numbers taken off)."""
    *source, last = [re.sub(r"^\s*(?:-*>)?\s*\d*\s", "", line).strip() for line in example.want.strip().splitlines()]
    assert error.strip().splitlines()[-1].endswith(last), f"{block}: {error}"
    culprit = [line for line in source if line and not line.startswith(("def ", "Traceback", "File ", "..."))]
    assert all(line in error for line in culprit), f"{block}: {error}"


def _plain(text: str) -> str:
    """Outputs without what differs from run to run, and with one name for what has two."""
    text = text.replace("<Task:", "<Future:").replace("<ActorTask", "<ActorFuture")
    text = re.sub(r"(type: )(?:\w+\.)+", r"\1", text)  # older pages name the class alone
    text = KEY.sub(lambda found: f"{found[1]}{found[2] or '...'}-HASH", text)
    return re.sub(r"\s+", " ", text).strip() + "\n"


def _compile(code: str, mode: str) -> Any:
    name = _remember(code)
    if mode == "single":
        tree = ast.parse(code)
        if len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr):
            return compile(code.strip(), name, "eval", FLAGS, dont_inherit=True)
    return compile(code, name, "exec", FLAGS, dont_inherit=True)


def _remember(code: str) -> str:
    """A name for the code, under which tracebacks find its lines."""
    name = f"<page {next(NUMBERS)}>"
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    return name


def _execute(code: Any, namespace: dict[str, Any]) -> Any:
    """What `exec` does, or `eval`; code with a top-level `await` gets a loop."""
    value = eval(code, namespace)
    return asyncio.run(value) if code.co_flags & inspect.CO_COROUTINE else value
