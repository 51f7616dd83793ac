"""`%%submit`: the cell is a task, and the names that it assigns are futures.

    %%submit -w alice --retries 2
    table = load(path)          # `load` and `path` are the notebook's: they travel with the cell
    best = table.score.max()
    best                        # shown under the cell when it is done

After it `table` and `best` are futures in the notebook. Another `%%submit` cell that reads them waits for them on the cluster, not in the kernel; a
plain cell asks `best.result()` or `await best`. Running the cell again runs it again; its earlier futures are dropped, with the work that only they
wanted.

Nothing is submitted when the cell has a syntax error, an unknown option, or a name that nothing defines.
"""

from __future__ import annotations

import builtins
import operator
import pickle
import uuid
import weakref
from collections.abc import Callable
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from jupyterfut import config
from jupyterfut.client.futures import Future
from jupyterfut.errors import SerializationError
from jupyterfut.notebook.capture import capture
from jupyterfut.notebook.clients import client_at_hand
from jupyterfut.notebook.code import CellCode, cell_number, read_cell, wanted
from jupyterfut.notebook.run import OUTPUTS_ATTRIBUTE, CellSpec, NotAssigned, outputs_of, run_cell
from jupyterfut.notebook.shown import Shown, show
from jupyterfut.views.snapshots import CellView

OUT_OF_BAND_BYTES = 64 * 1024
"""From this size the captured values stand beside the message instead of being copied into it."""

_THROWAWAY = frozenset(["_", "__", "___"])
"""Names that a cell binds because it must bind something; in a notebook they belong to IPython."""


def _resources(text: str) -> dict[str, float]:
    resources = {}
    for part in text.replace(",", " ").split():
        name, equals, amount = part.partition("=")
        if not name or not equals:
            raise ValueError(part)
        resources[name] = float(amount)
        if not resources[name] >= 0:
            raise ValueError(part)
    return resources


def _names(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _times(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(text)
    return int(text)


for _parse, _wanted in ((_resources, "amounts such as GPU=1"), (_times, "a whole number, at least 0")):
    _parse.__name__ = f"value (it takes {_wanted})"  # argparse says: invalid <name>: <text>


_OPTIONS = (
    argument("-o", "--output", metavar="NAMES", type=_names, action="append", help="bring back only these names (a,b)"),
    argument("--name", help="what the task is called; its futures are called by the names that the cell assigns"),
    argument("--wait", action="store_true", help="wait until the cell is done, and show what it shows as any cell does"),
    argument("--get", action="store_true", help="wait, and bind the values themselves instead of futures"),
    argument("-q", "--quiet", action="store_true", help="show nothing under the cell"),
    argument("-w", "--workers", type=_names, metavar="NAMES", help="run it on these workers: names, addresses or hosts (a,b)"),
    argument("-r", "--resources", type=_resources, metavar="AMOUNTS", help="what it takes of a worker's resources (GPU=1,MEM=2e9)"),
    argument("--priority", type=float, default=0.0, help="higher runs first (0)"),
    argument("--retries", type=_times, default=0, help="how often to try again when it fails (0)"),
)


def _magic(function: Callable[..., None]) -> Any:
    """A method as a cell magic with these options, whose `{}` and `$` are left alone."""
    function = cell_magic(function)
    for option in reversed(_OPTIONS):
        function = option(function)
    return no_var_expand(magic_arguments("%submit")(function))


@magics_class
class SubmitMagics(Magics):  # type: ignore[misc]  # IPython has no types
    """`%%submit`. (The other magics of `%load_ext jupyterfut` are in `notebook.magics`.)"""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self._runs: dict[str, weakref.ref[Future]] = {}  # cell id -> what the last run of that cell shows, until it is shown

    @_magic
    def submit(self, line: str, cell: str) -> None:
        """Run the cell on the cluster. What it reads is captured; the names that
        it assigns become futures.

        Returns at once; what the cell shows, or its error, appears beneath it
        when it is done. With --wait and --get it blocks, and raises what the
        cell raises.

        Nothing is submitted when the cell has a syntax error (SyntaxError), an
        unknown option (UsageError), a name that nothing defines (NameError), or
        reads a value that cannot travel (SerializationError).
        """
        __tracebackhide__ = True
        options = parse_argstring(self.submit, line)
        try:
            code = read_cell(self.shell, f"%%submit {line}", cell)
        except SyntaxError as error:
            raise error.with_traceback(None) from None  # the cell's line says it all
        names = self._names_to_bring(code, options.output)
        namespace = self.shell.user_ns
        values = wanted(code, namespace, self.shell.user_ns_hidden, vars(builtins))
        captured = capture(values, namespace)
        client = client_at_hand()
        if client.asynchronous and (options.wait or options.get):
            raise UsageError("%%submit: --wait and --get block, which an asynchronous client cannot; await the futures in the next cell")

        static = config.settings().notebook.display == "static"
        name = options.name or f"cell-{cell_number(self.shell)}"
        token = uuid.uuid4().hex
        where = {"workers": options.workers, "priority": options.priority}
        spec = CellSpec(code.source, code.filename, code.flags, code.shows, names, code.names.changed, client.address.startswith("inproc:"))
        data = pickle.PickleBuffer(captured.data) if len(captured.data) >= OUT_OF_BAND_BYTES else captured.data
        task = client.submit(
            run_cell, spec, data, captured.futures, key=f"{name}-{token}", pure=False, resources=options.resources, retries=options.retries, **where
        )
        futures = {written: client.submit(operator.getitem, task, written, key=f"{written}-{token}", pure=False, **where) for written in names}
        outputs = client.submit(outputs_of, task, key=f"{name}.shown-{token}", pure=False, **where)
        self.shell.push(futures)
        self._forget_earlier_run(outputs)

        blocks = options.wait or options.get
        if not options.quiet and not blocks:
            particular = options.workers or options.resources  # then it may wait for a worker that nobody has
            reason = task._view().reason if particular and not client.asynchronous else ""
            shown = Shown(self.shell, CellView(name, "pending", names, reason), static=static)
            outputs.add_done_callback(shown.finish)
        if blocks or (static and code.shows):
            self._wait(outputs, quiet=options.quiet, raises=blocks)
        if options.get:
            self.shell.push(_values(futures))

    def _names_to_bring(self, code: CellCode, chosen: list[list[str]] | None) -> tuple[str, ...]:
        """The names that become futures. A module that the notebook has anyway stays what it is."""
        if chosen is None:
            modules = {
                name for name in code.names.writes if name not in code.names.assigned and isinstance(self.shell.user_ns.get(name), type(builtins))
            }
            return tuple(name for name in code.names.writes if name not in modules and name not in _THROWAWAY)
        names = tuple(dict.fromkeys(name for part in chosen for name in part))
        for name in names:
            if name not in code.names.writes:
                raise UsageError(f"%%submit: -o {name}: the cell does not assign {name!r} (it assigns {', '.join(code.names.writes) or 'nothing'})")
        return names

    def _wait(self, outputs: Future, *, quiet: bool, raises: bool) -> None:
        __tracebackhide__ = True
        error = outputs.exception()
        if not raises:
            return  # the done callback shows whatever there is
        shown = getattr(error, OUTPUTS_ATTRIBUTE, ()) if error is not None else outputs.result()
        if not quiet:
            show(self.shell, shown)
        if error is not None:
            raise error

    def _forget_earlier_run(self, outputs: Future) -> None:
        """Running a cell again drops what its earlier run was to show (its names are rebound, which drops their futures)."""
        get_parent = getattr(self.shell, "get_parent", None)
        cell_id = (get_parent() or {}).get("metadata", {}).get("cellId") if callable(get_parent) else None
        if cell_id is not None:
            earlier = self._runs.get(cell_id)
            if earlier is not None and (unfinished := earlier()) is not None:
                unfinished.release()
            self._runs[cell_id] = weakref.ref(outputs)


def _values(futures: dict[str, Future]) -> dict[str, Any]:
    """The values of the names, as far as the cell assigned them and they can leave their worker."""
    values = {}
    for name, future in futures.items():
        try:
            values[name] = future.result()
        except (NotAssigned, SerializationError):
            continue  # it stays a future, and says so when it is asked
    return values
