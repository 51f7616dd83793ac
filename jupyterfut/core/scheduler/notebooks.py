"""Notebooks: what their futures are called, and the lease on their results when the kernel has gone.

A client that lives in a notebook's kernel says after a cell which names hold which keys (`notebook_names`); as long as it is here that is a note and
nothing more. When it is gone, and has not closed on purpose, its *holding* begins: everything that it wanted stays wanted, for as long as the lease
says, so that a kernel may be restarted, killed, or lost with the machine it ran on. The notebook's next kernel asks what is held for it
(`notebook_held`), wants what it likes, and says so (`notebook_taken`). What is held to the end of its lease is let go: that is kept as an `Ended` for
whoever asks, and told at once to who listens to the topic `notebooks`.

A notebook is known by the id of its kernel, which a restart keeps, or by its session (the path of its file), which another kernel of the same file
shares. `process` tells the kernel's processes apart: of a kernel that asks from another process the earlier one is dead, whether or not its link has
been seen to end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from jupyterfut.core.effects import Effect, Log
from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.coord import arguments
from jupyterfut.core.scheduler.query import BadRequest
from jupyterfut.core.scheduler.state import ClientState, State, TaskState
from jupyterfut.core.scheduler.transitions import Transitions
from jupyterfut.ids import Key

TOPIC = "notebooks"
"""Ends of leases are told here."""

ENDED_KEPT = 100
"""So many ends of leases are remembered."""


class Notebook(NamedTuple):
    """Whose futures these are."""

    kernel: str  #: the kernel's id
    session: str  #: the notebook's path, or ""
    process: str  #: one life of the kernel

    def same(self, other: Notebook) -> bool:
        """Whether the other is this notebook, in whatever kernel."""
        return self.kernel == other.kernel or (self.session != "" and self.session == other.session)


class Named(NamedTuple):
    """What one name of the notebook holds."""

    shape: Any  #: how the keys stand in it, as the notebook wrote it down
    keys: list[Key]


class Ended(NamedTuple):
    """A lease that came to its end."""

    notebook: Notebook
    at: float
    results: int
    names: list[str]


class Holding:
    """The futures of one client: its notes while it is here, then what is held for its notebook."""

    __slots__ = ("gone_at", "holds", "keep", "lease_s", "names", "notebook", "number", "until")

    def __init__(self, number: int, notebook: Notebook) -> None:
        self.number = number
        self.notebook = notebook
        self.names: dict[str, Named] = {}
        self.lease_s = 0.0
        self.keep = False  # it leaves with its kernel: what it wants is to stay
        self.gone_at = self.until = 0.0
        self.holds: dict[TaskState, None] = {}


class Notebooks:
    """All holdings. `forget(client)` is how a client that will not come back is ended."""

    def __init__(self, state: State, transitions: Transitions, forget: Callable[[ClientState], None]) -> None:
        self._state = state
        self._transitions = transitions
        self._forget = forget
        self._numbers = 0
        self._present: dict[ClientState, Holding] = {}
        self._left: dict[int, Holding] = {}
        self.ended: deque[Ended] = deque(maxlen=ENDED_KEPT)
        self.ops: dict[str, Callable[[ClientState, dict[str, Any]], Any]] = {
            "notebook_names": self.told,
            "notebook_leaves": self.leaves,
            "notebook_held": self.held_for,
            "notebook_taken": self.taken,
        }

    # --- while the client is here

    def told(self, client: ClientState, args: dict[str, Any]) -> None:
        """The names that hold other keys than before (`names`: {name: [shape, keys]}), those that hold none any more (`gone`), and how long to keep
        it all when the client has gone."""
        notebook = _notebook(args)
        names = {arguments.text({"name": name}, "name"): _named(value) for name, value in args["names"].items()}
        gone = arguments.texts(args, "gone")
        lease_s = arguments.timeout_s({"timeout_s": args["lease_s"]})
        holding = self._present.get(client)
        if holding is None:
            self._numbers += 1
            holding = self._present[client] = Holding(self._numbers, notebook)
        holding.notebook = notebook
        holding.lease_s = lease_s or 0.0
        for name in gone:
            holding.names.pop(name, None)
        holding.names.update(names)

    def leaves(self, client: ClientState, args: dict[str, Any]) -> None:
        """The client's goodbye is about to come, because its kernel ends. (One that closes while its kernel lives gives up its results.)"""
        if client in self._present:
            self._present[client].keep = True

    def client_left(self, client: ClientState) -> None:
        """It has gone: now what it wanted is held here, unless it has closed on purpose. Called before it is forgotten."""
        holding = self._present.pop(client, None)
        if holding is None:
            return
        away = client.away_until is not None
        holding.gone_at = client.away_until - self._state.config.client_lease_s if client.away_until is not None else self._state.now
        holding.until = holding.gone_at + holding.lease_s
        if not (away or holding.keep) or not client.wanted or holding.until <= self._state.now:
            return
        for task in client.wanted:
            task.held += 1
            holding.holds[task] = None
        self._left[holding.number] = holding

    # --- the notebook's next kernel

    def held_for(self, client: ClientState, args: dict[str, Any]) -> dict[str, Any]:
        """What is held for a notebook: `holdings`, the one that began last first, and `ended`, leases that came to their end: [seconds since 1970,
        number of results, names]. With `seen` these are forgotten."""
        notebook = _notebook(args)
        epoch_s, now = self._state.epoch_s, self._state.now
        for other, holding in list(self._present.items()):
            if holding.notebook.same(notebook) and holding.notebook.process != notebook.process and self._is_dead(other, holding, notebook):
                holding.keep = True
                self._forget(other)
        ended = [one for one in self.ended if one.notebook.same(notebook)]
        if args.get("seen"):
            for one in ended:
                self.ended.remove(one)
        return {
            "holdings": [
                {
                    "number": holding.number,
                    "gone_at": holding.gone_at + epoch_s,
                    "left_s": max(0.0, holding.until - now),
                    "names": {name: [named.shape, list(named.keys)] for name, named in holding.names.items()},
                    "tasks": {task.key: [task.state, task.type, task.nbytes] for task in holding.holds},
                }
                for holding in reversed(self._left.values())
                if holding.notebook.same(notebook)
            ],
            "ended": [[one.at + epoch_s, one.results, one.names] for one in ended],
        }

    @staticmethod
    def _is_dead(client: ClientState, holding: Holding, notebook: Notebook) -> bool:
        """One kernel has one process at a time. Another kernel of the same file may live beside, unless its link is down."""
        return holding.notebook.kernel == notebook.kernel or client.away_until is not None

    def taken(self, client: ClientState, args: dict[str, Any]) -> None:
        """The client itself wants (or nobody does) what these names of a holding hold, and these keys; both None: all of it."""
        holding = self._left.get(arguments.number(args, "number", 0))
        if holding is None:
            return  # its lease has ended meanwhile; what the client wants is not touched by that
        if args["names"] is None and args["keys"] is None:
            self._let_go(holding, list(holding.holds))
            holding.names.clear()
        else:
            taken: dict[Key, None] = dict.fromkeys(arguments.keys(args, "keys"))
            for name in arguments.texts(args, "names"):
                named = holding.names.pop(name, None)
                if named is not None:
                    taken.update(dict.fromkeys(named.keys))
            for named in holding.names.values():
                for key in named.keys:
                    taken.pop(key, None)
            self._let_go(holding, [task for task in holding.holds if task.key in taken])
        if not holding.holds:
            del self._left[holding.number]

    def _let_go(self, holding: Holding, tasks: Iterable[TaskState]) -> None:
        tasks = list(tasks)
        for task in tasks:
            del holding.holds[task]
        self._transitions.let_go(tasks)

    # --- ends

    def next_deadline(self) -> float | None:
        """When the next lease ends."""
        return min((holding.until for holding in self._left.values()), default=None)

    def expire(self, effects: list[Effect]) -> None:
        """End the leases that are over, and say so."""
        for holding in [holding for holding in self._left.values() if holding.until <= self._state.now]:
            results = len(holding.holds)
            self._end(holding)
            where = holding.notebook.session or f"kernel {holding.notebook.kernel}"
            effects.append(Log("info", f"the lease of {where} is over after {holding.lease_s:g} s: {results} results are dropped"))

    def forget_all(self) -> None:
        """The cluster is restarted: nothing is held for anybody."""
        for holding in list(self._left.values()):
            self._end(holding)

    def _end(self, holding: Holding) -> None:
        state = self._state
        ended = Ended(holding.notebook, state.now, len(holding.holds), list(holding.names))
        self.ended.append(ended)
        del self._left[holding.number]
        self._let_go(holding, list(holding.holds))
        told = {"kernel": ended.notebook.kernel, "session": ended.notebook.session, "at": ended.at + state.epoch_s}
        post.notice(state, TOPIC, {**told, "results": ended.results, "names": ended.names})

    # --- for invariants

    def held(self) -> Iterator[TaskState]:
        """What is held for notebooks, each task as often as it is held."""
        for holding in self._left.values():
            yield from holding.holds

    def wrong(self) -> Iterator[str]:
        """What contradicts itself: should be nothing."""
        for client, holding in self._present.items():
            if holding.holds or self._state.clients.get(client.id) is not client:
                yield f"notebook {holding.notebook}: {client} is gone, or held for while it is here"
        for holding in self._left.values():
            if not holding.holds:
                yield f"notebook {holding.notebook}: nothing is held for it"

    def left(self) -> list[str]:
        """What is there: [] when no notebook has gone."""
        return [f"{len(holding.holds)} results for {holding.notebook}" for holding in self._left.values()]


def _notebook(args: dict[str, Any]) -> Notebook:
    notebook = Notebook(arguments.text(args, "kernel"), arguments.text(args, "session"), arguments.text(args, "process"))
    if not notebook.kernel:
        raise BadRequest("a notebook has a kernel")
    return notebook


def _named(value: Any) -> Named:
    shape, keys = value  # keys in their order, some perhaps more than once
    if type(keys) not in (list, tuple) or not all(type(key) is str for key in keys):
        raise BadRequest("keys must be a list of strings")
    return Named(shape, [Key(key) for key in keys])
