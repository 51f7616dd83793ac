"""From a call to a row: pickle, key, record, in the caller's thread. The loop is woken once and sends.

The pure key is a hash over the function's id and the pickled arguments, which are needed anyway, and the keys of dependencies. An equal call whose
record lives sends nothing at all. `map` makes its rows in chunks, a column at a time, so that the first tasks run while the last are still being
pickled.
"""

from __future__ import annotations

import gc
import os
import pickle
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from itertools import count, islice
from typing import TYPE_CHECKING, Any

from jupyterfut.client.future_list import FutureList
from jupyterfut.client.futures import Future
from jupyterfut.core.client import events as ev
from jupyterfut.core.client.state import Record
from jupyterfut.errors import ClosedError, SerializationError
from jupyterfut.ids import FunctionId, Key
from jupyterfut.serde.calls import dumps_call, local_call
from jupyterfut.serde.functions import dumps_function, function_name
from jupyterfut.wire.messages import TaskOptions
from jupyterfut.wire.payload import Blob, Local, Payload

if TYPE_CHECKING:
    from jupyterfut.client.client import Client

DEFAULT_OPTIONS = TaskOptions()
_FIRST_CHUNK = 64
_CHUNK = 2048
_FORMS = 8
"""So many pickled forms of one changing function are kept."""
_LOCAL_FUNCTIONS = 64
"""So many functions that are passed by reference the scheduler knows at a time."""
_ATOMS = frozenset({int, float, bool, type(None)})
_plain_dumps = pickle.dumps


def make_options(
    workers: Any = None,
    resources: Any = None,
    retries: Any = None,
    priority: Any = 0,
    allow_other_workers: bool = False,
    actor: bool = False,
) -> TaskOptions:
    """What the user said about where and how, checked. Raises TypeError and ValueError that name the option.

    >>> make_options(workers="alice", priority=2).workers
    ['alice']
    """
    if workers is None and not resources and not retries and not priority and not allow_other_workers and not actor:
        return DEFAULT_OPTIONS
    if retries is None:
        retries = 0
    if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
        raise ValueError(f"retries is a number of times, at least 0, not {retries!r}")
    if not isinstance(priority, (int, float)) or isinstance(priority, bool):
        raise TypeError(f"priority is a number (higher runs first), not {priority!r}")
    if resources is not None:
        if not isinstance(resources, dict) or not all(isinstance(name, str) for name in resources):
            raise TypeError(f"resources maps names to amounts, such as {{'GPU': 1}}, not {resources!r}")
        for name, amount in resources.items():
            if not isinstance(amount, (int, float)) or amount < 0:
                raise ValueError(f"resources: {name!r} takes an amount of at least 0, not {amount!r}")
    names = worker_names(workers)
    if allow_other_workers and names is None:
        raise ValueError("allow_other_workers=True says what workers= is worth, but there is no workers=")
    return TaskOptions(priority, retries, dict(resources) if resources else None, names, bool(allow_other_workers), bool(actor))


def worker_names(workers: Any) -> list[str] | None:
    """`workers=` as users give it (an address, a host, a name, or a collection of them) as a list of strings; None means any worker.

    >>> worker_names(3), worker_names(("a", "b")), worker_names(None)
    (['3'], ['a', 'b'], None)
    """
    if workers is None:
        return None
    if isinstance(workers, (str, int)) and not isinstance(workers, bool):
        return [str(workers)]
    if isinstance(workers, (list, tuple, set, frozenset)):
        names = []
        for worker in workers:
            if not isinstance(worker, (str, int)) or isinstance(worker, bool):
                raise TypeError(f"workers takes addresses, hosts and names (strings or integers), not {worker!r}")
            names.append(str(worker))
        return names or None
    raise TypeError(f"workers takes an address, a host, a name, or a collection of them, not {workers!r}")


class _Form:
    """One pickled form of a function."""

    __slots__ = ("digest", "fid", "name", "passing")

    def __init__(self, fid: FunctionId, name: str) -> None:
        self.fid = fid
        self.name = name
        self.digest = blake2b(fid.encode(), digest_size=16)  # where the hash of every pure key of it begins
        self.passing = False  # the function cannot be watched: it is defined for one call


class _User:
    """A function object of the user's, and the forms under which it was defined: the last few, since it may change while another thread still
    submits its old form."""

    __slots__ = ("forms", "own", "ref")

    def __init__(self, ref: weakref.ref[Any], form: _Form, own: str) -> None:
        self.ref = ref
        self.forms = [form]
        self.own = own  # see `_by_reference`


class _Here(threading.local):
    """What the call that this thread is making leaves for its end."""

    def __init__(self) -> None:
        self.foreign: list[Future] = []  # dependencies that belong to another client of the same cluster


class Submitting:
    """The client's way from calls to rows."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._session = client._session
        self._users: dict[int, _User] = {}  # by id(function)
        self._fresh = os.urandom(10).hex()  # makes keys that nobody else makes
        self._numbers = count()
        self._mark = client._origins.mark
        self._here = _Here()

    # --- one call

    def submit(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], key: str | None, pure: bool, options: TaskOptions
    ) -> Future:
        """One row, unless an equal call is alive. Raises TypeError and SerializationError at once.

        (Written out where a call would read better: this is the client's whole cost of a task, and each call is some 3 % of it.)
        """
        client = self._client
        session = self._session
        if not callable(func):
            raise TypeError(f"submit takes a function and its arguments: {func!r} is not callable"[:500])
        if session.closed is not None:
            raise ClosedError(session.closed)
        if key is not None and not isinstance(key, str):
            raise TypeError(f"a key is a string, not {key!r}")
        form = self._form(func)
        try:
            if session.local:
                payload, dependencies, holds, content = self._arguments(args, kwargs)
            else:
                payload, dependencies, holds = content, _, _ = dumps_call(args, kwargs, self._find_future)
            if key is None:
                if pure and content is not None and not options.actor:
                    digest = form.digest.copy()
                    if type(content) is bytes:
                        digest.update(content)
                    else:
                        feed(digest, content)
                    for dependency in dependencies:
                        digest.update(dependency.encode())
                    key = f"{form.name}-{digest.hexdigest()}"
                else:
                    key = self.fresh_key(form.name)
            records: dict[Any, Record] = session.state.records
            with session.lock:
                record = records.get(key)
                if record is None:
                    record = records[key] = Record(key)  # type: ignore[arg-type]  # a Key is a str; calling the NewType costs 5 % of a submit
                    if dependencies and self._here.foreign:
                        self._keep_foreign(record)
                    if options is not DEFAULT_OPTIONS:
                        record.particular = bool(options.workers or options.resources)
                    session.commands.append((record, form.fid, payload, dependencies or None, holds or None, self._mark(options)))
                    if session.asleep:
                        session.wake()
                else:
                    record.references += 1
        finally:
            if form.passing:
                session.post(ev.DropFunction(form.fid))
        return Future(record, client)

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Payload, list[Key], list[Key], bytes | Blob | None]:
        """(payload, dependencies, holds, what the pure key is made of)."""
        if not self._session.local:
            spec = dumps_call(args, kwargs, self._find_future)
            return spec.payload, spec.dependencies, spec.holds, spec.payload
        try:
            spec = dumps_call(args, kwargs, self._find_future)
        except SerializationError:
            # By reference it can be passed all the same; only the key cannot come from its content.
            replaced, named, dependencies = local_call(args, kwargs, self._find_future)
            return Local((replaced, named), 0), dependencies, [], None
        if _IMMUTABLE.issuperset(map(type, args)) and _IMMUTABLE.issuperset(map(type, kwargs.values())):
            return spec.payload, spec.dependencies, spec.holds, spec.payload
        replaced, named, dependencies = local_call(args, kwargs, self._find_future)
        return Local((replaced, named), 0), dependencies, spec.holds, spec.payload

    def _find_future(self, value: object) -> Key | None:
        """For the pickler: the key of a future, after a look at whether the scheduler can know it."""
        if not isinstance(value, Future):
            return None
        if value._client is not self._client:
            if value._client.cluster_id != self._client.cluster_id:
                raise ValueError(f"{value.key} belongs to another cluster: gather it, or scatter its value here")
            self._here.foreign.append(value)
        return value._record.key

    def _keep_foreign(self, record: Record) -> None:
        """Futures of another client of the same cluster live until this task has ended: the two clients' words travel on two roads."""
        kept, self._here.foreign = self._here.foreign, []

        def forget(record: Record) -> None:
            kept.clear()

        record.waiters = [forget]

    def fresh_key(self, name: str) -> str:
        """A key that nobody else makes."""
        return f"{name}-{self._fresh}{next(self._numbers):012x}"

    # --- functions

    def _form(self, func: Callable[..., Any]) -> _Form:
        """The function as it is now. The scheduler will have been told of it before the row that names it."""
        session = self._session
        user = self._users.get(id(func))
        if user is not None and user.ref() is not func:
            user = None
        own = "" if user is None else user.own
        if session.local:
            fid, payload, name, own = _by_reference(func, own)
        else:
            fid, payload, name = dumps_function(func)
        if user is not None:
            form = user.forms[-1]
            if form.fid == fid:
                if session.local:
                    self._users[id(func)] = self._users.pop(id(func), user)  # the newest
                return form
        with session.lock:
            user = self._users.get(id(func))
            if user is not None and user.ref() is func:
                for form in user.forms:
                    if form.fid == fid:
                        return form
                form = _Form(fid, name)
                user.forms.append(form)
                session.post(ev.DefineFunction(fid, payload, name))
                if len(user.forms) > _FORMS:
                    session.post(ev.DropFunction(user.forms.pop(0).fid))
                return form
            form = _Form(fid, name)
            session.post(ev.DefineFunction(fid, payload, name))
            try:
                self._users[id(func)] = _User(weakref.ref(func, self._end_of(id(func))), form, own)
            except TypeError:  # no weak references to this kind of callable
                form.passing = True
            if session.local and len(self._users) > _LOCAL_FUNCTIONS:
                self._forget_oldest()
        return form

    def _forget_oldest(self) -> None:
        """A function that is passed by reference does not die while the scheduler has it: the one that was used longest ago is told again, should it
        be used again. (Its tasks keep what they need.)"""
        oldest = self._users.pop(next(iter(self._users)))
        for form in oldest.forms:
            self._session.post(ev.DropFunction(form.fid))

    def _end_of(self, number: int) -> Callable[[weakref.ref[Any]], None]:
        """What to do when a function dies. Like a future's death it may run anywhere, so it only leaves a note."""
        users, session = self._users, self._session

        def gone(ref: weakref.ref[Any]) -> None:
            user = users.get(number)
            if user is not None and user.ref is ref and session.closed is None:  # else nobody would be told
                del users[number]
                session.deaths.extend([form.fid for form in user.forms])
                if session.asleep:
                    session.wake()

        return gone

    # --- many calls

    def map(
        self,
        func: Callable[..., Any],
        iterables: tuple[Iterable[Any], ...],
        kwargs: dict[str, Any],
        key: str | Collection[str] | None,
        pure: bool,
        options: TaskOptions,
        batch_size: int | None,
    ) -> FutureList:
        """A future for each call, in order."""
        if not callable(func):
            raise TypeError(f"map takes a function and iterables: {func!r} is not callable"[:500])
        if not iterables:
            raise TypeError("map takes a function and at least one iterable")
        session = self._session
        if session.closed is not None:
            raise ClosedError(session.closed)
        columns = [_checked(iterable) for iterable in iterables]
        form = self._form(func)
        prefix, keys = _given_keys(key, form.name)
        # One iterable: its items are the calls' only argument, and no tuples are made for them.
        items: Iterator[Any] = iter(columns[0]) if len(columns) == 1 else zip(*columns, strict=False)
        futures = FutureList()
        extend = list.extend
        size = _FIRST_CHUNK
        try:
            while chunk := list(islice(items, min(size, batch_size or _CHUNK))):
                with _no_collections():
                    extend(futures, self._chunk(form, prefix, chunk, len(columns) == 1, kwargs, keys, pure, options))
                size = min(size * 4, _CHUNK)
        finally:
            if form.passing:
                session.post(ev.DropFunction(form.fid))
        return futures

    def _chunk(
        self,
        form: _Form,
        name: str,
        items: list[Any],
        single: bool,
        kwargs: dict[str, Any],
        keys: Iterator[str] | None,
        pure: bool,
        options: TaskOptions,
    ) -> list[Future]:
        """Pickle, key, hold and post one chunk of rows. `single`: an item is the call's only positional argument, else all of them."""
        client = self._client
        fid = form.fid
        dependencies: list[list[Key]] = []
        holds: list[list[Key]] = []
        payloads: list[Any]
        content: list[Any]
        if single and not kwargs and _ATOMS.issuperset(map(type, items)):
            dumps = _plain_dumps
            content = payloads = [dumps((item,), 5) for item in items]
        else:
            made = [self._arguments((item,) if single else item, kwargs) for item in items]
            payloads = [row[0] for row in made]
            content = [row[3] for row in made]
            dependencies = [row[1] for row in made]
            holds = [row[2] for row in made]
        if keys is not None:
            names = list(islice(keys, len(items)))
            if len(names) < len(items):
                raise ValueError("map: there are fewer keys than calls")
        elif pure and not options.actor and None not in content:
            names = _pure_keys(name, form.digest, content, dependencies)
        else:
            names = [
                _pure_keys(name, form.digest, [part], dependencies[row : row + 1])[0]
                if part is not None and pure and not options.actor
                else self.fresh_key(name)
                for row, part in enumerate(content)
            ]
        records = self._post(fid, names, payloads, dependencies, holds, options)
        return [Future(record, client) for record in records]

    def rows(
        self,
        func: Callable[..., Any],
        names: list[str],
        payloads: list[Any],
        dependencies: list[list[Key]],
        holds: list[list[Key]],
        options: TaskOptions,
        foreign: list[Future],
    ) -> list[Record]:
        """Calls that were made elsewhere, such as the tasks of a dask graph: keys and payloads are given. A key whose record lives is not sent. Each
        record has got one reference more, which is the caller's to drop. `foreign`: dependencies of another client of the same cluster."""
        session = self._session
        if session.closed is not None:
            raise ClosedError(session.closed)
        form = self._form(func)
        self._here.foreign = list(foreign)
        try:
            with _no_collections():
                return self._post(form.fid, names, payloads, dependencies, holds, options)
        finally:
            if form.passing:
                session.post(ev.DropFunction(form.fid))

    def _post(
        self, fid: FunctionId, names: list[str], payloads: list[Any], dependencies: list[list[Key]], holds: list[list[Key]], options: TaskOptions
    ) -> list[Record]:
        """Hold the keys, and leave the rows of those that are new for the loop."""
        session = self._session
        here = self._here
        records: list[Record] = []
        fresh: list[int] = []
        if not any(dependencies):
            dependencies = []
        if not any(holds):
            holds = []
        with session.lock:
            if session.closed is not None:
                raise ClosedError(session.closed)
            options = self._mark(options)
            table: dict[Any, Record] = session.state.records
            get = table.get
            for key in names:
                record = get(key)
                if record is None:
                    record = table[key] = Record(key)  # type: ignore[arg-type]  # a Key is a str
                    fresh.append(len(records))
                else:
                    record.references += 1
                records.append(record)
            if len(fresh) == len(records):
                session.commands.append(ev.SubmitColumns(fid, list(records), payloads, dependencies, holds, options))
            elif fresh:
                session.commands.append(
                    ev.SubmitColumns(
                        fid,
                        [records[i] for i in fresh],
                        [payloads[i] for i in fresh],
                        [dependencies[i] for i in fresh] if dependencies else [],
                        [holds[i] for i in fresh] if holds else [],
                        options,
                    )
                )
            if options.workers or options.resources:
                for record in records:
                    record.particular = True
            if here.foreign:
                if fresh:
                    self._keep_foreign(records[fresh[-1]])
                here.foreign = []
            if fresh and session.asleep:
                session.wake()
        return records


@contextmanager
def _no_collections() -> Iterator[None]:
    """Keep the cyclic garbage collector out while a chunk is made: thousands of objects that all stay, and it would look at them again and again.
    It took 3.2 of the 9.1 us that a task of a `map` over 500,000 items cost in the caller's thread (measured side by side)."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _given_keys(key: str | Collection[str] | None, name: str) -> tuple[str, Iterator[str] | None]:
    """`map(key=)`: the prefix of the keys that we make, or the keys themselves."""
    if key is None:
        return name, None
    if isinstance(key, str):
        return key, None
    if not isinstance(key, Iterable):
        raise TypeError(f"map's key is a string (a prefix) or a list of strings, not {key!r}")
    keys = list(key)
    for one in keys:
        if not isinstance(one, str):
            raise TypeError(f"a key is a string, not {one!r}")
    return name, iter(keys)


def _by_reference(func: Callable[..., Any], own: str) -> tuple[FunctionId, Payload, str, str]:
    """How a function is known in an in-process cluster: (id, payload, name, own). The object itself is passed. Two closures may look alike and
    share nothing, so what is not importable or built of immutable parts has an id of its own besides that of its pickle: `own`, kept with the
    object, "" as long as it has none."""
    name = function_name(func)
    payload = Local(func, 0)
    try:
        fid, pickled, _ = dumps_function(func)
    except SerializationError:
        own = own or os.urandom(16).hex()
        return FunctionId(own), payload, name, own
    if not own and dumps_function(func)[1] is pickled:  # the pickle is kept, because nothing that it depends on can change unseen
        return fid, payload, name, ""
    own = own or os.urandom(16).hex()
    return FunctionId(blake2b(f"{own}{fid}".encode(), digest_size=16).hexdigest()), payload, name, own


_IMMUTABLE = frozenset({int, float, bool, complex, type(None), str, bytes, Future})
"""A copy of these is as good as the object itself."""


def _pure_keys(name: str, base: Any, content: list[Any], dependencies: list[list[Key]]) -> list[str]:
    """The keys of a column of calls. `base`: the hash of the function's id, which is copied for each row."""
    prefix = name + "-"
    copy = base.copy
    names: list[str] = []
    for row, part in enumerate(content):
        digest = copy()
        if type(part) is bytes:
            digest.update(part)
        else:
            feed(digest, part)
        if dependencies:
            for key in dependencies[row]:
                digest.update(key.encode())
        names.append(prefix + digest.hexdigest())
    return names


LARGE_BYTES = 2**20
"""From this size on content is hashed by xxHash: 10 GB/s where blake2b does 0.4 (docs/design/decisions/content-hash.md)."""


def feed(digest: Any, content: bytes | Blob) -> None:
    """Hash the content of a pickle, its large buffers included."""
    parts: list[Any] = [content.head, *content.buffers] if type(content) is Blob else [content]
    for part in parts:
        if memoryview(part).nbytes < LARGE_BYTES:
            digest.update(part)
        else:
            import xxhash  # late: most clients never hash anything large

            digest.update(xxhash.xxh3_128_digest(part))


def _checked(iterable: Iterable[Any]) -> Iterable[Any]:
    """Raises TypeError for what cannot be iterated, or is a future."""
    if isinstance(iterable, Future):
        raise TypeError(f"map takes iterables, and a future is none: {iterable!r}. Submit a task that maps over its result, or gather it first")
    if not isinstance(iterable, Iterable) and not hasattr(iterable, "__getitem__"):
        raise TypeError(f"map takes iterables, not {type(iterable).__name__} {iterable!r}"[:500])
    return iterable
