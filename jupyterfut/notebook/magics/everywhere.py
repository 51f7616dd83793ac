"""`%%everywhere`: a cell of set-up that runs on every worker, also on those that join later."""

from __future__ import annotations

import builtins
import hashlib
import inspect
import os
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, magics_class, no_var_expand

from jupyterfut.client.client import Client
from jupyterfut.notebook.background import perform
from jupyterfut.notebook.clients import client_at_hand, client_on
from jupyterfut.notebook.magics.arguments import Parser, magic_with, text, words
from jupyterfut.notebook.magics.listings import names_line
from jupyterfut.notebook.submit.capture import capture
from jupyterfut.notebook.submit.code import CellCode, read_cell, wanted
from jupyterfut.notebook.submit.everywhere import PRINTED_ATTRIBUTE, SetUp, SetUpLater, set_up

PARSER = Parser(
    "%%everywhere",
    """Run the cell on every worker, and on each that joins later before its first
task: imports, settings, what tasks should find ready.

It is no task and makes no futures. What it reads of the notebook is captured;
its names stay on the workers, where later %%everywhere cells see them, and tasks
as get_worker().everywhere["name"]. What it prints stands here, with the worker's
name before it. If it fails anywhere, its error is raised here, and it does not
run on workers that join later. Run again, the cell takes its own place.""",
)
PARSER.add_argument("-l", "--local", action="store_true", help="run it in the notebook as well")
PARSER.add_argument("-w", "--workers", type=words, metavar="NAMES", help="on these workers only, and on none that joins later (a,b)")
PARSER.add_argument("-q", "--quiet", action="store_true", help="do not show what it prints")
PARSER.add_argument("--on", type=text, metavar="CLUSTER", help="another cluster than the one in use, by its name or address")

_THERE = object()


@magics_class
class EverywhereMagic(Magics):  # type: ignore[misc]  # IPython has no types
    """`%%everywhere`."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self._left: set[str] = set()  # names that earlier cells have left on the workers

    @no_var_expand
    @cell_magic
    @magic_with(PARSER)
    def everywhere(self, line: str, cell: str) -> None:
        __tracebackhide__ = True
        options = PARSER.read(line)
        try:
            code = read_cell(self.shell, f"%%everywhere {line}", cell)
        except SyntaxError as error:
            raise error.with_traceback(None) from None  # the cell's line says it all
        captured = self._captured(code)
        client = client_on(options.on) if options.on else client_at_hand()
        if options.local:
            self.shell.run_cell(cell, store_history=False).raise_error()
        set_up_cell = SetUp(os.urandom(8).hex(), code.source, code.filename, code.flags, captured, code.shows, code.openings)
        name = f"everywhere-{_place(self.shell, cell)}"
        self._left.update(code.names.writes)
        perform(client, _everywhere(client, set_up_cell, name, options.workers, options.quiet), lambda nothing: nothing)

    def _captured(self, code: CellCode) -> bytes:
        __tracebackhide__ = True
        namespace = {**dict.fromkeys(self._left, _THERE), **self.shell.user_ns}
        values = {name: value for name, value in wanted(code, namespace, self.shell.user_ns_hidden, vars(builtins)).items() if value is not _THERE}
        captured = capture(values, self.shell.user_ns)
        if captured.futures:
            names = names_line(future.key for future in captured.futures)
            raise UsageError(f"%%everywhere is no task and waits for nothing, but it reads futures ({names}): gather their values first (%gather)")
        return bytes(captured.data)


async def _everywhere(client: Client, cell: SetUp, name: str, workers: list[str] | None, quiet: bool) -> None:
    """On the client's loop."""
    __tracebackhide__ = True
    names = {address: str(facts["name"]) for address, facts in (await _awaited(client.scheduler_info()))["workers"].items()}
    answers: dict[str, Any] = await _awaited(client.run(set_up, cell, workers=workers, on_error="return"))
    said: dict[str, str] = {}
    errors: dict[str, BaseException] = {}
    for address, answer in answers.items():
        worker = names.get(address, address)
        if isinstance(answer, BaseException):
            errors[worker] = answer
            answer = getattr(answer, PRINTED_ATTRIBUTE, "")
        if answer:
            said[worker] = answer
    if said and not quiet:
        print(labelled(said), end="", flush=True)  # noqa: T201  # what the cell printed, where print puts it
    if errors:
        raise _one_error(errors, len(answers))
    if workers is None:
        await _awaited(client.register_plugin(SetUpLater(cell), name))


def labelled(said: dict[str, str]) -> str:
    """What workers have said, each line with the worker's name; workers that said the same share the lines.

    >>> print(labelled({"1": "ready\\n", "0": "ready\\n", "2": "no GPU\\n"}), end="")
    [0, 1] ready
    [2] no GPU
    """
    by_text: dict[str, list[str]] = {}
    for worker in sorted(said, key=_by_number):
        by_text.setdefault(said[worker], []).append(worker)
    return "".join(f"[{', '.join(workers)}] {line}\n" for text, workers in by_text.items() for line in text.splitlines())


def _one_error(errors: dict[str, BaseException], workers: int) -> BaseException:
    """The first error, which says where it was raised, and what else was."""
    first, *others = sorted(errors, key=_by_number)
    error = errors[first]
    same = [first] + [one for one in others if (type(errors[one]), str(errors[one])) == (type(error), str(error))]
    where = "on every worker" if len(same) == workers > 1 else f"on worker{'s' if len(same) > 1 else ''} {', '.join(same)}"
    error.add_note(f"(%%everywhere: raised {where}; workers that join later do not run this cell)")
    for one in others:
        if one not in same:
            error.add_note(f"(on worker {one}: {type(errors[one]).__name__}: {errors[one]})")
    return error


def _by_number(worker: str) -> tuple[int, int, str]:
    return (0, int(worker), "") if worker.isdecimal() else (1, 0, worker)


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def _place(shell: Any, cell: str) -> str:
    """What a cell is known by when it is run again: its id in the document, else its text."""
    get_parent = getattr(shell, "get_parent", None)
    metadata = (get_parent() or {}).get("metadata", {}) if callable(get_parent) else {}
    return str(metadata.get("cellId") or hashlib.blake2b(cell.encode(), digest_size=8).hexdigest())
