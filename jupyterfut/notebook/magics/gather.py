"""`%gather x ys`: values in place of futures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class, no_var_expand

from jupyterfut.client.futures import Future
from jupyterfut.client.timeouts import Deadline
from jupyterfut.client.waiting import as_completed
from jupyterfut.errors import TimeoutError  # noqa: A004
from jupyterfut.notebook.held.holdings import matches
from jupyterfut.notebook.held.names import Held, held_in, names_with_futures, with_values
from jupyterfut.notebook.magics.arguments import Parser, magic_with, seconds, text
from jupyterfut.notebook.magics.listings import names_line
from jupyterfut.serde.tracebacks import fold

PARSER = Parser(
    "%gather",
    """Wait for the futures that these names hold, bare or in lists, tuples, sets and
dicts, and put their values in their place.

Names that hold no future stay as they are. If a future fails, its error is
raised as soon as it is known; the names whose futures were done by then have
their values, all others still hold their futures, so nothing is lost, and the
same line goes on where it stopped. So it is after an interrupt.""",
)
PARSER.add_argument("names", nargs="*", type=text, metavar="NAMES", help="names, or patterns such as part_*")
PARSER.add_argument("-t", "--timeout", type=seconds, metavar="TIME", help='wait no longer than this (10, 500ms, "2 min")')


@magics_class
class GatherMagic(Magics):  # type: ignore[misc]  # IPython has no types
    """`%gather`."""

    @no_var_expand
    @line_magic
    @magic_with(PARSER)
    def gather(self, line: str) -> None:
        __tracebackhide__ = True
        options = PARSER.read(line)
        namespace = self.shell.user_ns
        chosen = self._chosen(options.names)
        if not chosen:
            return
        if any(future._client.asynchronous for held in chosen.values() for future in held.futures):
            raise UsageError("%gather blocks, which an asynchronous client cannot: x = await x, or await client.gather(xs)")
        failed: Future | None = None
        late: TimeoutError | None = None
        try:
            failed = _first_failure(chosen.values(), options.timeout)
        except TimeoutError as error:
            late = error
        except KeyboardInterrupt as interrupt:
            fold(interrupt)
            raise
        done = {name: held for name, held in chosen.items() if all(future.status == "finished" for future in held.futures)}
        values = _values_of(done.values())
        self.shell.push({name: with_values(namespace[name], values) for name in done})
        if failed is None and late is None:
            return
        note = _note(done, [name for name in chosen if name not in done])
        if late is not None:
            raise TimeoutError(f"not all futures are done within {Deadline(options.timeout)}; {note}") from None
        assert failed is not None
        failure = failed.exception()
        if f"(%gather: {note})" not in getattr(failure, "__notes__", ()):  # in one process it may be the same exception each time
            failure.add_note(f"(%gather: {note})")
        raise failure

    def _chosen(self, patterns: list[str]) -> dict[str, Held]:
        namespace = self.shell.user_ns
        if not patterns:
            there = names_line(names_with_futures(namespace, self.shell.user_ns_hidden))
            raise UsageError(f"%gather takes names (those that hold futures: {there})")
        chosen: dict[str, Held] = {}
        for pattern in [part for given in patterns for part in given.split(",") if part]:
            if pattern.isidentifier():
                if pattern not in namespace:
                    raise UsageError(f"%gather: name {pattern!r} is not defined")
                held = held_in(namespace[pattern])
                if held is not None and held.shape != "actor":
                    chosen[pattern] = held
                continue
            found = {name: held for name, held in names_with_futures(namespace, self.shell.user_ns_hidden).items() if matches(pattern, [name])}
            if not found:
                raise UsageError(f"%gather: no name that holds futures fits {pattern!r}")
            chosen.update({name: held for name, held in found.items() if held.shape != "actor"})
        return chosen


def _first_failure(chosen: Iterable[Held], timeout: float | None) -> Future | None:
    """Wait until all are done, or until the first has failed, and return that one."""
    __tracebackhide__ = True
    futures = dict.fromkeys(future for held in chosen for future in held.futures)
    if not any(future.status == "pending" for future in futures):  # the common road: nothing to wait for
        return next((future for future in futures if future.status != "finished"), None)
    for future in as_completed(list(futures), timeout=timeout):
        if future.status != "finished":
            done: Future = future
            return done
    return None


def _values_of(chosen: Iterable[Held]) -> Mapping[Future, Any]:
    __tracebackhide__ = True
    by_client: dict[Any, dict[Future, None]] = {}
    for held in chosen:
        for future in held.futures:
            by_client.setdefault(future._client, {})[future] = None
    values: dict[Future, Any] = {}
    for client, futures in by_client.items():
        values.update(zip(futures, client.gather(list(futures)), strict=True))
    return values


def _note(done: Iterable[str], rest: list[str]) -> str:
    have = names_line(done) if done else ""
    gathered = f"{have} {'has its value' if len(list(done)) == 1 else 'have their values'} now, " if have else ""
    return f"{gathered}{names_line(rest)} still {'holds' if len(rest) == 1 else 'hold'} futures"
