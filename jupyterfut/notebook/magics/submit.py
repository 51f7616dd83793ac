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

import asyncio
import builtins
import functools
import types
import weakref
from collections.abc import Callable
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring
from traitlets import Bool, Float, Int, Unicode

from jupyterfut import config
from jupyterfut.client.client import Client
from jupyterfut.client.futures import Future
from jupyterfut.client.waiting import wait
from jupyterfut.notebook import attach
from jupyterfut.notebook.clients import client_at_hand, client_on
from jupyterfut.notebook.submit import for_clause, large
from jupyterfut.notebook.submit.code import CellCode, cell_number, read_cell, wanted
from jupyterfut.notebook.submit.content import NoContent
from jupyterfut.notebook.submit.for_clause import OnCluster
from jupyterfut.notebook.submit.modules import Beside, LocalModules
from jupyterfut.notebook.submit.sending import EarlierRun, Run, Sending, content_of
from jupyterfut.notebook.submit.shown import show_card

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
    argument("--priority", type=float, help="higher runs first (0)"),
    argument("--retries", type=_times, help="how often to try again when it fails (0)"),
    argument("--on", metavar="CLUSTER", help="another cluster than the one in use, by its name or address"),
    argument("--cached", action="store_true", help="give the result of an earlier run, if neither the cell nor what it reads has changed since"),
)


def _magic(function: Callable[..., None]) -> Any:
    """A method as a cell magic with these options, whose `{}` and `$` are left alone."""
    function = cell_magic(function)
    for option in reversed(_OPTIONS):
        function = option(function)
    return no_var_expand(magic_arguments("%submit")(function))


@magics_class
class SubmitMagics(Magics):  # type: ignore[misc]  # IPython has no types
    """`%%submit`. (The other magics of `%load_ext jupyterfut` are in `notebook.magics`.)

    What `%config SubmitMagics.retries = 2` says counts for cells that do not say it themselves.
    """

    quiet = Bool(False, help="show no card under cells").tag(config=True)
    cached = Bool(False, help="cells give the results of earlier runs, where nothing has changed").tag(config=True)
    priority = Float(0.0, help="higher runs first").tag(config=True)
    retries = Int(0, min=0, help="how often a cell is tried again when it fails").tag(config=True)
    cluster = Unicode("", help="the cluster on which cells run, by its name or address; empty: the one in use").tag(config=True)

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self._runs: dict[str, EarlierRun] = {}  # cell of the document -> its last run
        self._beside = Beside()
        self._shipped: weakref.WeakKeyDictionary[Client, str] = weakref.WeakKeyDictionary()
        shell.events.register("post_run_cell", self._cell_ended)

    def leave(self) -> None:
        """The extension is unloaded."""
        self.shell.events.unregister("post_run_cell", self._cell_ended)

    @_magic
    def submit(self, line: str, cell: str) -> None:
        """Run the cell on the cluster. What it reads is captured; the names that
        it assigns become futures.

        Returns at once; what the cell prints and shows, or its error, appears
        beneath it when it comes. With --wait and --get it blocks, and raises
        what the cell raises.

        With `for TARGET in ITERABLE` at the end of the line the cell runs once
        for each element, in parallel, and each name becomes a list of futures in
        order. When a name in ITERABLE is a future itself, so that nobody knows
        yet how many elements there are, each name becomes one future, of the
        list of futures. An element that fails fails alone.

        Nothing is submitted when the cell has a syntax error (SyntaxError), an
        unknown option (UsageError), a name that nothing defines (NameError), or
        reads a value that cannot travel (SerializationError).
        """
        __tracebackhide__ = True
        given, clause = for_clause.split(line)
        options = parse_argstring(self.submit, given)
        try:
            code = read_cell(self.shell, f"%%submit {line}", cell, clause.names if clause else ())
        except SyntaxError as error:
            raise error.with_traceback(None) from None  # the cell's line says it all
        names = self._names_to_bring(code, options.output)
        namespace = self.shell.user_ns
        hidden = self.shell.user_ns_hidden
        values = wanted(code, namespace, hidden, vars(builtins))
        over: list[Any] | OnCluster | None = None
        if clause is not None:
            over = for_clause.elements(clause, wanted(for_clause.reads(clause, code), namespace, hidden, vars(builtins)), code.filename, namespace)

        blocks = options.wait or options.get
        chosen = options.on or self.cluster
        find_client = functools.cache(lambda: client_on(chosen) if chosen else client_at_hand())
        sending = Sending(code, names, values, namespace, find_client, clause)
        name = options.name or f"cell-{cell_number(self.shell)}"
        parcel = sending.parcel(name, self._content(code, values, options))
        client = find_client()
        if client.asynchronous and blocks:
            raise UsageError("%%submit: --wait and --get block, which an asynchronous client cannot; await the futures in the next cell")
        self._ship(client, code)
        whole = {
            "workers": options.workers, "resources": options.resources,
            "retries": self.retries if options.retries is None else options.retries,
            "priority": self.priority if options.priority is None else options.priority,
        }  # fmt: skip
        quiet = options.quiet or self.quiet
        if quiet:
            client._output.silence([origin] if "/" in (origin := client._origins.here()) else sending.task_keys(name, over))
        static = config.settings().notebook.display == "static"
        with attach.below():
            run = sending.submit(client, parcel, over, whole)
            self._forget_earlier_run(run)
            self.shell.push(run.names)
            sending.own_large(client, parcel)
            if not (quiet or blocks):
                show_card(self.shell, client, run, static=static)
        if blocks or (static and code.shows):
            self._wait(run, raises=blocks)
        if options.get:
            self.shell.push(run.values())

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

    def _content(self, code: CellCode, values: dict[str, Any], options: Any) -> Callable[[list[str]], bytes]:
        """For `--cached`: the hash of the code and of what the notebook gives it; the futures' keys say which of them stands where."""
        if not (options.cached or self.cached):
            return lambda keys: b""
        local = self._beside.shipment(code.imports)

        def content(keys: list[str]) -> bytes:
            place = {key: f"future {number}".encode() for number, key in enumerate(keys)}

            def known(value: Any) -> bytes | None:
                if isinstance(value, Future):
                    return place.get(value.key)
                home = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
                return f"{local.digest} {home} {getattr(value, '__qualname__', '')}".encode() if home in local.modules else None

            try:
                return content_of(code, values, known, local.digest if code.imports & local.modules.keys() else "")
            except NoContent as error:
                print(f"%%submit --cached: the cell runs, since nobody can tell whether this is the same value as last time: {error}")  # noqa: T201
                return b""

        return content

    def _ship(self, client: Client, code: CellCode) -> None:
        """Modules beside the notebook, if there are any, as they are on disk now. Blocks until the workers have them, when something has changed."""
        if client.address.startswith("inproc:"):
            return  # the workers have the kernel's own
        shipment = self._beside.shipment(code.imports)
        if shipment.digest != self._shipped.get(client, ""):
            done = client.register_plugin(LocalModules(shipment), name=f"notebook-modules-{client.id}")
            if client.asynchronous:
                self._shipping = asyncio.ensure_future(done)
            self._shipped[client] = shipment.digest

    def _wait(self, run: Run, *, raises: bool) -> None:
        __tracebackhide__ = True
        wait(run.ends)
        failed = next((number for number, end in enumerate(run.ends) if end.status != "finished"), None)
        if failed is not None and raises:
            raise run.failure(failed).exception()

    def _forget_earlier_run(self, run: Run) -> None:
        """Running a cell again drops what its earlier run has made and nobody has taken elsewhere: the names that it does not assign any more go."""
        get_parent = getattr(self.shell, "get_parent", None)
        cell_id = (get_parent() or {}).get("metadata", {}).get("cellId") if callable(get_parent) else None
        if cell_id is None:
            return
        earlier = self._runs.pop(cell_id, None)
        if earlier is not None:
            earlier.drop(self.shell.user_ns, run.names)
        self._runs[cell_id] = EarlierRun(run)

    def _cell_ended(self, result: Any) -> None:
        """A cell of the notebook has been run: large values that it has dropped go from the cluster, too."""
        large.tidy(self.shell.user_ns)
