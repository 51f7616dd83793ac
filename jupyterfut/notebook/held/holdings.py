"""What a cluster holds for this notebook beyond its kernel's life: names are told to it while the kernel lives, and found again by the next one.

Only clusters that outlive the kernel are told (`outlives`). After each cell, and a second into a cell that takes long, the names that hold other
futures than before are said in one message that nobody waits for; a kernel that ends in good order says that too. What the scheduler makes of it is
told in `core/scheduler/notebooks.py`: when the kernel is gone, by whatever way, it holds everything that the notebook's client wanted, until a lease
ends.

The next kernel of the notebook looks for a kept cluster with `find`, lists what is held for it with `ask`, and takes it over with `adopt`: the
futures are its own from then on, with their states, results and errors, and bound to the names that they had.
"""

from __future__ import annotations

import fnmatch
import re
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from jupyterfut import config
from jupyterfut.client.current import open_clients
from jupyterfut.client.futures import Future
from jupyterfut.client.life import before_goodbyes
from jupyterfut.client.timeouts import Deadline
from jupyterfut.core.client import events as ev
from jupyterfut.deploy import registry
from jupyterfut.deploy.kernel import KernelIdentity, kernel_identity
from jupyterfut.notebook.held.names import Shape, actors_in, names_with_futures, remade
from jupyterfut.views.text import key_name

if TYPE_CHECKING:
    from jupyterfut.client.client import Client

TOPIC = "notebooks"
"""On which the scheduler tells of leases that have ended."""

INTO_A_CELL_S = 1.0
"""So long after its start a cell that still runs has its names told: it may wait for what it has just submitted when its kernel is killed."""

_END_OF_CELL = re.compile(r"(.+)\.end-(.+)")

_STATES = {"memory": "finished", "erred": "error"}
"""The scheduler's word for a state -> a future's. All others are pending."""


class Group(NamedTuple):
    """What is held under one name."""

    name: str
    shape: Shape
    keys: list[str]
    states: dict[str, int]  #: status -> how many


class Holding(NamedTuple):
    """What is held since one kernel's end."""

    number: int
    gone_at: float  #: seconds since 1970
    left_s: float  #: until the lease ends
    groups: list[Group]
    unnamed: dict[str, list[str]]  #: what the tasks are called -> keys


class Ended(NamedTuple):
    """A lease that came to its end before anybody took what was held."""

    at: float  #: seconds since 1970
    results: int
    names: list[str]


class Kept(NamedTuple):
    """Everything that a cluster says of this notebook."""

    holdings: list[Holding]
    ended: list[Ended]


class Adopted(NamedTuple):
    """What came of `adopt`."""

    bound: dict[str, Any]  #: name -> the value that it was bound to
    taken: list[Future]  #: without a name, asked for by their keys
    in_the_way: list[str]  #: names that the notebook has bound anew meanwhile, and keeps


def outlives(client: Client) -> bool:
    """Whether the client's cluster goes on without this kernel."""
    if client._owns_cluster or client.address.startswith("inproc://"):
        return False
    return client.cluster is None or bool(getattr(client.cluster, "detached", False))


def find(identity: KernelIdentity) -> list[Any]:
    """The kept clusters of this machine that this notebook has started, the newest first (as `runtime.connections.ConnectionInfo`)."""
    return [info for info in reversed(registry.clusters()) if info.detached and identity.is_mine(info.kernel_id, info.session, info.kernel_file)]


# --- the kernel that lives


class Telling:
    """Tells clusters that outlive the kernel what its names hold. One for each shell; `cell_began` and `cell_ended` are called for each cell."""

    def __init__(self, shell: Any, identity: KernelIdentity) -> None:
        self.shell = shell
        self.identity = identity
        self._told: weakref.WeakKeyDictionary[Client, dict[str, tuple[Shape, list[str]]]] = weakref.WeakKeyDictionary()
        self._timers: list[Any] = []
        before_goodbyes.append(self.leave)

    def client_came(self, client: Client) -> None:
        """A client has been made, in a cell that runs. On its loop."""
        if outlives(client):
            self._begin(client)
            self._arm(client._session.loop)

    def cell_began(self, cell: Any = None) -> None:
        """A cell begins. Never blocks."""
        for client in self._clients():
            self._begin(client)
            loop = client._session.loop
            loop.call_soon_threadsafe(self._arm, loop)

    def cell_ended(self, cell: Any = None, result: Any = None) -> None:
        """A cell has been run: say what has changed. Never blocks."""
        clients = self._clients()
        timers, self._timers = self._timers, []
        for loop, timer in timers:
            if not loop.is_closed():
                loop.call_soon_threadsafe(timer.cancel)
        for client in clients:
            self._begin(client)
        if clients:
            self._tell()

    def end(self) -> None:
        """The layer is taken out of the kernel: nothing more is told."""
        before_goodbyes.remove(self.leave)

    def leave(self) -> None:
        """The kernel ends: what its clients want is to be held. Never blocks."""
        for client in self._clients():
            client._session.post(ev.Ask(_unheard, "notebook_leaves", {}))

    def _clients(self) -> list[Client]:
        return [client for client in open_clients() if outlives(client)]

    def _arm(self, loop: Any) -> None:
        self._timers.append((loop, loop.call_later(INTO_A_CELL_S, self._tell_meanwhile)))

    def _tell_meanwhile(self) -> None:
        try:
            self._tell()
        except RuntimeError:  # the cell is changing a dict or a set at this very moment: the cell's end will tell
            return

    def _begin(self, client: Client) -> None:
        """Whose client this is, before it has any name to tell: from now on what it wants is held."""
        if client not in self._told:
            self._told[client] = {}
            forget = _Forget(self, client)
            with client._session.lock:
                client._session.at_welcome.append(forget)
            self._say(client, {}, [])

    def _tell(self) -> None:
        found: dict[Client, dict[str, tuple[Shape, list[str]]]] = {client: {} for client in self._told if client.status == "running"}
        if not found:
            return
        for name, held in names_with_futures(self.shell.user_ns, self.shell.user_ns_hidden).items():
            owner = held.futures[0]._client
            keys: list[str] = [future._record.key for future in held.futures if future._client is owner]
            if owner in found and len(keys) == len(held.futures):
                found[owner][name] = held.shape, keys
        for client, names in found.items():
            told = self._told[client]
            changed = {name: value for name, value in names.items() if told.get(name) != value}
            gone = [name for name in told if name not in names]
            if changed or gone:
                self._told[client] = names
                self._say(client, changed, gone)

    def _say(self, client: Client, names: dict[str, tuple[Shape, list[str]]], gone: list[str]) -> None:
        lease_s = config.settings().notebook.lease_s
        args = {**_who(self.identity), "names": {name: list(value) for name, value in names.items()}, "gone": gone, "lease_s": lease_s}
        if client._session.closed is None:
            client._session.post(ev.Ask(_unheard, "notebook_names", args))


class _Forget:
    """A scheduler has forgotten a client, and takes it in anew: it has to be told everything again."""

    def __init__(self, telling: Telling, client: Client) -> None:
        self._telling = weakref.ref(telling)
        self._client = weakref.ref(client)

    def __call__(self) -> None:
        telling, client = self._telling(), self._client()
        if telling is not None and client is not None:
            telling._told[client] = {}
            telling._say(client, {}, [])


# --- the kernel after it


async def ask(client: Client, *, seen: bool = False) -> Kept:
    """What the client's cluster holds for this notebook; on the client's loop. With `seen`, ended leases are told for the last time. Nothing, outside
    of a kernel."""
    identity = kernel_identity()
    if identity is None:
        return Kept([], [])
    timeout = Deadline(config.settings().client.timeout_s)
    answer = await client._session.ask("notebook_held", {**_who(identity), "seen": seen}, timeout)
    return Kept([_holding(one) for one in answer["holdings"]], [Ended(at, results, names) for at, results, names in answer["ended"]])


async def adopt(client: Client, namespace: dict[str, Any], pattern: str = "") -> Adopted:
    """Bind what is held for this notebook to its names; on the client's loop. Those that the notebook has bound anew stay as they are, unless
    `pattern` is exactly their name. What has no name comes back as futures if `pattern` fits its keys, or what its tasks are called."""
    bound: dict[str, Any] = {}
    taken: list[Future] = []
    in_the_way: list[str] = []
    for holding in (await ask(client)).holdings:
        made: dict[str, tuple[Shape, list[Future]]] = {}
        for group in holding.groups:
            if not matches(pattern, [group.name]) or group.name in bound:
                continue
            if group.name in namespace and group.name != pattern:
                in_the_way.append(group.name)
                continue
            made[group.name] = group.shape, [Future(key, client) for key in group.keys]
        keys = [key for called, some in holding.unnamed.items() for key in some if pattern and matches(pattern, [key, called])]
        taken += [Future(key, client) for key in keys]
        if not made and not keys:
            continue
        # The keys are wanted by now, so nothing is lost between the two; when this is answered, their states are here as well.
        all_of_it = len(made) == len(holding.groups) and len(keys) == sum(map(len, holding.unnamed.values()))
        what: dict[str, Any] = {"names": None, "keys": None} if all_of_it else {"names": list(made), "keys": keys}
        await client._session.ask("notebook_taken", {"number": holding.number, **what})
        for name, (shape, futures) in made.items():
            actors: dict[Future, Any] = {future: await future for future in actors_in(shape, iter(futures)) if future.status == "finished"}
            bound[name] = remade(shape, iter(futures), partial(_first_known, actors))
    namespace.update(bound)
    return Adopted(bound, taken, in_the_way)


async def drop(client: Client, pattern: str = "") -> int:
    """Give up what is held for this notebook under these names (default: all of it, and what is told of ended leases); on the client's loop. Returns
    how many names (and groups of tasks without one) that were."""
    dropped = 0
    for holding in (await ask(client, seen=not pattern)).holdings:
        names = [group.name for group in holding.groups if matches(pattern, [group.name])]
        keys = [key for called, some in holding.unnamed.items() for key in some if matches(pattern, [key, called])]
        if names or keys or not pattern:
            what: dict[str, Any] = {"names": names, "keys": keys} if pattern else {"names": None, "keys": None}
            await client._session.ask("notebook_taken", {"number": holding.number, **what})
            dropped += len(names) + len({key_name(key) for key in keys})
    return dropped


def listen(client: Client, on_ended: Callable[[Ended], object]) -> None:
    """Let `on_ended` be called, on the client's loop, when a lease of this notebook ends. Never blocks."""
    identity = kernel_identity()

    def heard(told: dict[str, Any]) -> None:
        if identity is not None and identity.is_mine(told["kernel"], told["session"]):
            on_ended(Ended(told["at"], told["results"], told["names"]))

    client._session.listen(TOPIC, heard)


def matches(pattern: str, names: Iterable[str]) -> bool:
    """Whether one of the names fits: as a file name would, or as its beginning does up to a hash. An empty pattern fits all.

    >>> matches("x*", ["xs"]), matches("", ["xs"]), matches("inc-b8", ["inc-b8aaf26b"]), matches("x", ["xs"])
    (True, True, True, False)
    """
    return not pattern or any(fnmatch.fnmatchcase(name, pattern) or ("-" in pattern and name.startswith(pattern)) for name in names)


def _first_known(actors: dict[Future, Any], future: Future) -> Any:
    """The actor, or its future as long as it is being made."""
    return actors.get(future, future)


def _holding(raw: dict[str, Any]) -> Holding:
    tasks = raw["tasks"]
    groups = []
    rest = dict.fromkeys(tasks)
    for name, (shape, keys) in raw["names"].items():
        states: dict[str, int] = {}
        for key in keys:
            status = _STATES.get(tasks[key][0], "pending") if key in tasks else "lost"
            states[status] = states.get(status, 0) + 1
            rest.pop(key, None)
        groups.append(Group(name, shape, keys, states))
    unnamed: dict[str, list[str]] = {}
    own = _of_cells(rest)
    for key in rest:
        if key not in own:
            unnamed.setdefault(key_name(key), []).append(key)
    return Holding(raw["number"], raw["gone_at"], raw["left_s"], groups, unnamed)


def _of_cells(keys: Iterable[str]) -> set[str]:
    """The tasks of `%%submit` cells themselves, of which the user has the names that they assign: `cell-4-TOKEN`, `cell-4.end-TOKEN`."""
    ends = [(key, found) for key in keys if (found := _END_OF_CELL.fullmatch(key))]
    return {key for end, found in ends for key in (end, f"{found[1]}-{found[2]}")}


def _who(identity: KernelIdentity) -> dict[str, str]:
    return {"kernel": identity.kernel, "session": identity.session, "process": identity.process}


def _unheard(value: Any, failure: Any) -> None:
    """The asker who needs no answer."""
