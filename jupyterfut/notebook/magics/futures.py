"""`%futures`: the names of the notebook that hold futures, and what a kept cluster holds for it since its last kernel."""

from __future__ import annotations

from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class, no_var_expand

from jupyterfut import config
from jupyterfut.client.client import Client
from jupyterfut.client.current import open_clients
from jupyterfut.client.futures import Future
from jupyterfut.notebook.background import perform
from jupyterfut.notebook.held import holdings, reunion
from jupyterfut.notebook.held.holdings import Adopted, Kept, matches
from jupyterfut.notebook.held.names import Held, names_with_futures
from jupyterfut.notebook.magics.arguments import Parser, magic_with, text
from jupyterfut.notebook.magics.listings import Listing, futures_table, kept_tables, names_line
from jupyterfut.views.text import count, key_name

PARSER = Parser("%futures", "The futures of this notebook, by the names that hold them. Without a command: list.")
_commands = PARSER.commands()
for _name, _help in {
    "list": "the names that hold futures, and what a kept cluster holds for this notebook since its last kernel, with what is left of the lease",
    "attach": "bind what a kept cluster holds to its names; names that the notebook has defined anew stay, unless asked for by name. A pattern that "
    "fits tasks without a name returns their futures",
    "cancel": "cancel the tasks",
    "retry": "run those that failed again (default: all that failed)",
    "clear": "delete the names, which lets go of the results; without a pattern, only give up what is held since the last kernel",
    "debug": "run a failed task again, here, under the debugger, with its inputs",
}.items():
    _command = _commands.add_parser(_name, help=_help, description=_help)
    _pattern = {"metavar": "PATTERN", "type": text, "help": "a name, a key, or a pattern such as part_*"}
    if _name in ("cancel", "debug"):
        _command.add_argument("pattern", **_pattern)
    else:
        _command.add_argument("pattern", nargs="?", default="", **_pattern)


@magics_class
class FuturesMagic(Magics):  # type: ignore[misc]  # IPython has no types
    """`%futures`."""

    @no_var_expand
    @line_magic
    @magic_with(PARSER)
    def futures(self, line: str) -> Any:
        __tracebackhide__ = True
        options = PARSER.read(line)
        return getattr(self, f"_{options.command or 'list'}")(getattr(options, "pattern", ""))

    # --- the commands

    def _list(self, pattern: str) -> Any:
        static = config.settings().notebook.display == "static"
        names = {name: held for name, held in self._names().items() if matches(pattern, [name, *_few_keys(held)])}
        table = futures_table(names, static=static)
        client = self._keeper()
        if client is None:
            return Listing([table])

        def listed(kept: Kept) -> Listing:
            return Listing([table, *kept_tables(_chosen(kept, pattern), static=static)])

        return perform(client, holdings.ask(client), listed)

    def _attach(self, pattern: str) -> Any:
        __tracebackhide__ = True
        client = self._keeper() or reunion.connect(self.shell)
        if client is None:
            raise UsageError("%futures attach: this notebook has no kept cluster here (start one with: %cluster start --keep)")

        def attached(adopted: Adopted) -> Any:
            bound = [f"{name} ({count(_number(value), 'future')})" for name, value in adopted.bound.items()]
            if bound:
                print(f"attached: {', '.join(bound)}")  # noqa: T201  # the magic's answer
            if adopted.in_the_way:
                names = names_line(dict.fromkeys(adopted.in_the_way))
                print(f"defined anew in this notebook, so left alone: {names} (%futures attach NAME takes one all the same)")  # noqa: T201
            if not (bound or adopted.taken or adopted.in_the_way):
                print(f"nothing is held for this notebook{f' that fits {pattern!r}' if pattern else ''}")  # noqa: T201
            reunion.look_again(client)
            return adopted.taken or None

        return perform(client, holdings.adopt(client, self.shell.user_ns, pattern), attached)

    def _cancel(self, pattern: str) -> None:
        for client, futures in self._matching(pattern, "cancel").items():
            client.cancel([future for future in futures if not future.done()] or futures)

    def _retry(self, pattern: str) -> None:
        for client, futures in self._matching(pattern, "retry").items():
            failed = [future for future in futures if future.status in ("error", "lost")]
            if failed:
                client.retry(failed)

    def _clear(self, pattern: str) -> Any:
        names = [name for name, held in self._names().items() if pattern and matches(pattern, [name, *_few_keys(held)])]
        for name in names:
            self._forget(name)
        client = self._keeper()
        if client is None:
            if pattern and not names:
                raise UsageError(f"%futures clear: nothing fits {pattern!r}")
            return None

        def cleared(dropped: int) -> None:
            reunion.look_again(client)
            if pattern and not names and not dropped:
                raise UsageError(f"%futures clear: nothing fits {pattern!r}")

        return perform(client, holdings.drop(client, pattern), cleared)

    def _forget(self, name: str) -> None:
        """Delete a name, and what IPython keeps of it as outputs of earlier cells."""
        value = self.shell.user_ns.pop(name)
        outputs = self.shell.history_manager.output_hist
        for number in [number for number, output in outputs.items() if output is value]:
            del outputs[number]
        for own in [own for own, kept in self.shell.user_ns.items() if kept is value and own.startswith("_")]:
            self.shell.user_ns[own] = None

    def _debug(self, pattern: str) -> None:
        __tracebackhide__ = True
        found = [future for futures in self._matching(pattern, "debug").values() for future in futures]
        failed = [future for future in found if future.status == "error"]
        if len(found) > 1 and len(failed) != 1:
            raise UsageError(f"%futures debug takes one task; {len(found)} fit {pattern!r}, {len(failed)} of them failed: give the key of one")
        from jupyterfut.notebook.errors.debug import debug

        debug(self.shell, (failed or found)[0])

    # --- what is meant

    def _names(self) -> dict[str, Held]:
        return names_with_futures(self.shell.user_ns, self.shell.user_ns_hidden)

    def _matching(self, pattern: str, verb: str) -> dict[Client, list[Future]]:
        """The futures whose name, key, or task's name fits, by client."""
        found: dict[Future, None] = {}
        for name, held in self._names().items():
            whole = matches(pattern, [name])
            for future in held.futures:
                if whole or matches(pattern, [future.key, key_name(future.key)]):
                    found[future] = None
        if not found and pattern:
            raise UsageError(f"%futures {verb}: no name of this notebook, and no key, fits {pattern!r}")
        by_client: dict[Client, list[Future]] = {}
        for future in found:
            by_client.setdefault(future._client, []).append(future)
        return by_client

    def _keeper(self) -> Client | None:
        """The client of a cluster that outlives this kernel, the latest, if there is one."""
        return next((client for client in reversed(open_clients()) if holdings.outlives(client)), None)


def _few_keys(held: Held) -> list[str]:
    """The keys of a name's futures, for patterns."""
    return [key for future in held.futures[:100] for key in (future.key, key_name(future.key))]


def _chosen(kept: Kept, pattern: str) -> Kept:
    if not pattern:
        return kept
    chosen = []
    for holding in kept.holdings:
        groups = [group for group in holding.groups if matches(pattern, [group.name])]
        unnamed = {called: keys for called, keys in holding.unnamed.items() if matches(pattern, [called, *keys])}
        if groups or unnamed:
            chosen.append(holding._replace(groups=groups, unnamed=unnamed))
    return Kept(chosen, kept.ended)


def _number(value: Any) -> int:
    from jupyterfut.notebook.held.names import held_in

    held = held_in(value)
    return len(held.futures) if held is not None else 0
