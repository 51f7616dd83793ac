"""`Actor` and `ActorFuture`: an object that lives on one worker, and the calls of its methods.

An `Actor` is made where the result of a task with `actor=True` is opened (`arrive`): the worker describes the object, and this module makes a
stand-in of the description, which looks like the object: its methods can be called, its attributes read. How calls travel is `actor_calls`, what
happens to them on the worker is `runtime.actors`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, NoReturn

from jupyterfut.client.current import client_for
from jupyterfut.client.eventual import Eventual
from jupyterfut.client.futures import Future
from jupyterfut.client.showing import Showing
from jupyterfut.client.timeouts import Timeout
from jupyterfut.ids import Address, Key
from jupyterfut.serde.futures import found
from jupyterfut.views.snapshots import ActorView

if TYPE_CHECKING:
    from jupyterfut.client.actor_calls import CallRecord
    from jupyterfut.client.client import Client


class ActorFuture(Eventual):
    """A method call of an actor. `ActorTask` is the same class, under the newest document's name.

    It is made by calling a method of an `Actor`; the call is on its way by then, and runs whether or not anybody keeps the future or asks for the
    result. `result` and `exception` block (in an asynchronous client, and on the loop of a synchronous one, they return awaitables); `await` works
    in every running event loop, as often as you like; `as_completed`, `wait` and `gather` take these futures too. It belongs to the client that made
    the call and cannot be pickled: send its result.

    >>> from jupyterfut import Client
    >>> class Counter:
    ...     n = 0
    ...     def add(self, x):
    ...         self.n += x
    ...         return self.n
    >>> with Client(processes=False) as client:
    ...     counter = client.submit(Counter, actor=True).result()
    ...     counter.add(1)
    ...     counter.add(2).result()
    <ActorFuture>
    3
    """

    __slots__ = ()

    def __init__(self) -> None:
        raise TypeError("an ActorFuture is made by calling a method of an Actor")

    def result(self, timeout: Timeout = None) -> Any:
        """Wait for the call and return what the method returned: a copy (the object itself in an in-process cluster).

        Raises the method's own exception, with the remote frames, the user's first; `ActorLost` when there will be no answer; `TimeoutError` when it
        has not come within `timeout` (seconds, `timedelta`, "10 ms"; zero looks once), while the call goes on.
        """
        client = self._client
        if client.asynchronous:
            return client._gathering.one_async(self, timeout)
        return client._gathering.one(self, timeout)

    def cancel(self) -> bool:
        """Does nothing and returns False: a call that was made runs, as the calls behind it may build on it. (As a `concurrent.futures.Future` that
        runs; `dask.distributed` has no such method.)"""
        return False

    def __reduce__(self) -> NoReturn:
        raise TypeError("an ActorFuture belongs to the client that made the call: send its result, or the Actor")

    def __repr__(self) -> str:
        return "<ActorFuture>"


class Actor(Showing):
    """A stand-in for an object that lives on a worker: the result of a task that was submitted with `actor=True`.

    Calling a method returns an `ActorFuture` at once. Calls of one caller run in the order in which they were made, one at a time; `async def`
    methods are awaited on the worker's event loop and may overlap, and what was called after one begins when it has come to its first `await`.
    Reading any other attribute blocks and returns its value; in an asynchronous client it returns an awaitable. Attributes cannot be set from
    outside. Names that the object does not have raise `AttributeError` (in an asynchronous client when they are awaited, since they may have appeared
    since the actor was made).

    Methods run in a thread of the actor's own, which takes none of its worker's slots: they may wait for tasks and for other actors, and submit
    tasks (`get_client()`). The constructor runs as a task, in another thread. Arguments and results are pickled (passed by reference in an in-process
    cluster), as they are when the call is made or the method returns: who changes an array afterwards changes his own. Futures in arguments and
    results stay futures.

    An actor is never moved, copied or made again. If its worker goes, calls under way and later ones fail with `ActorLost`; a call is never repeated.
    It lives as long as an `Actor` of it, its future, or a call under way does, anywhere: pickled, an `Actor` keeps it alive on the way, and works
    where it arrives, in tasks, in other actors, in another client. After that the object is dropped on its worker (its `__del__` runs in its own
    thread; no `close` is called for it).

    >>> from jupyterfut import Client
    >>> class Counter:
    ...     n = 0
    ...     def increment(self):
    ...         self.n += 1
    ...         return self.n
    >>> with Client(processes=False) as client:
    ...     counter = client.submit(Counter, actor=True).result()
    ...     future = counter.increment()
    ...     future.result(), counter.n
    (1, 1)
    """

    __slots__ = ("__weakref__", "_actor_address", "_actor_attributes", "_actor_class", "_actor_future", "_actor_methods", "_actor_place")

    _actor_future: Future  # keeps it alive
    _actor_place: tuple[str | None, str]  # id and address of its cluster's scheduler
    _actor_address: Address  # of its worker's data server
    _actor_class: str  # its name
    _actor_methods: frozenset[str]
    _actor_attributes: frozenset[str]

    def __init__(self) -> None:
        raise TypeError("an Actor is the result of a task with actor=True: client.submit(cls, actor=True).result()")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_actor_"):  # one of our own, which `__init__` has not set
            raise AttributeError(name)
        if name in self._actor_methods:
            return ActorMethod(self, name)
        if name not in self._actor_attributes:
            if name == "key":
                return self._actor_future.key
            if name.startswith("_"):
                raise AttributeError(f"{self._actor_class!r} object has no attribute {name!r}")
        future = self._actor_future
        client = future._client
        if client.asynchronous:
            return self._read(name) if name in self._actor_attributes else ActorAttribute(self, name)
        read = self._read(name)
        client._gathering.until_done([read._record], None)
        return ActorMethod(self, name) if _is_method(read) else client._gathering.one(read, None)

    def _read(self, name: str) -> ActorFuture:
        future = self._actor_future
        client = future._client
        return _future_of(client._calling.read(future, self._actor_address, name), client)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"{self._actor_class}.{name} cannot be set from outside: call a method that sets it")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{self._actor_class}.{name} cannot be deleted from outside: call a method that does")

    def __dir__(self) -> list[str]:
        return sorted(name for name in {*self._actor_methods, *self._actor_attributes} if not name.startswith("_"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Actor) and self._actor_future.key == other._actor_future.key and self._actor_address == other._actor_address

    def __hash__(self) -> int:
        return hash(self._actor_future.key)

    def __reduce__(self) -> tuple[Callable[..., Actor], tuple[Any, ...]]:
        future = self._actor_future
        found(Key(future.key))
        cluster, scheduler = self._actor_place
        names = tuple(self._actor_methods), tuple(self._actor_attributes)
        return arrive, (future.key, cluster, scheduler, self._actor_address, self._actor_class, *names)

    def __repr__(self) -> str:
        return f"<Actor: {self._actor_class}, key={self._actor_future.key}>"

    def _repr_html_(self) -> str:
        from jupyterfut.views import html

        return html.actor(self._actor_view(), static=self._actor_future._client._static_display)

    def _actor_view(self) -> ActorView:
        """What is known of it here. Asks nobody."""
        record = self._actor_future._record
        lost = record.status in ("lost", "cancelled", "error")
        names = [sorted(name for name in names if not name.startswith("_")) for names in (self._actor_methods, self._actor_attributes)]
        return ActorView(
            self._actor_class, record.key, "lost" if lost else "running", self._actor_address, tuple(names[0]), tuple(names[1]), record.reason or ""
        )


class ActorMethod:
    """A method of an actor: what `counter.increment` is before it is called."""

    __slots__ = ("_actor", "_name")

    def __init__(self, actor: Actor, name: str) -> None:
        self._actor = actor
        self._name = name

    def __call__(self, /, *args: Any, **kwargs: Any) -> ActorFuture:
        """Call it: the call is on its way when this returns. Never blocks. Raises `SerializationError` for an argument that cannot be pickled, at
        once, and `ClosedError` once the client is closed."""
        actor = self._actor
        future = actor._actor_future
        client = future._client
        return _future_of(client._calling.call(future, actor._actor_address, self._name, args, kwargs), client)

    def __repr__(self) -> str:
        return f"<ActorMethod: {self._actor._actor_class}.{self._name}, key={self._actor._actor_future.key}>"


class ActorAttribute:
    """In an asynchronous client: something of an actor that did not exist yet when the actor was made. Await it to read it, or call it."""

    __slots__ = ("_actor", "_name")

    def __init__(self, actor: Actor, name: str) -> None:
        self._actor = actor
        self._name = name

    def __call__(self, /, *args: Any, **kwargs: Any) -> ActorFuture:
        return ActorMethod(self._actor, self._name)(*args, **kwargs)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._wait().__await__()

    async def _wait(self) -> Any:
        read = self._actor._read(self._name)
        await read._client._gathering.until_done_async([read._record], None)
        return ActorMethod(self._actor, self._name) if _is_method(read) else await read


def arrive(
    key: str, cluster: str | None, scheduler: str, worker: str, class_name: str, methods: tuple[str, ...], attributes: tuple[str, ...]
) -> Actor:
    """Open the description of an actor, or a pickled `Actor`: it belongs to the client at hand from now on, as a future that arrives does."""
    client = client_for(cluster, scheduler)
    future = Future(client._session.hold(Key(key)), client)
    actor = Actor.__new__(Actor)
    put = object.__setattr__
    put(actor, "_actor_future", future)
    put(actor, "_actor_place", (client.cluster_id or cluster, scheduler))
    put(actor, "_actor_address", Address(worker))
    put(actor, "_actor_class", class_name)
    put(actor, "_actor_methods", frozenset(methods))
    put(actor, "_actor_attributes", frozenset(attributes))
    return actor


def _future_of(record: CallRecord, client: Client) -> ActorFuture:
    future = _new_future(ActorFuture)
    future._record = record
    future._client = client
    return future


_new_future = ActorFuture.__new__


def reference_key(value: object) -> Key | None:
    """The key of a future or an actor; None for anything else."""
    if isinstance(value, Future):
        return value._record.key
    if type(value) is Actor:
        return value._actor_future._record.key
    return None


def _is_method(read: ActorFuture) -> bool:
    """Whether the worker has answered that this is no attribute."""
    payload = read._record.payload
    return type(payload) is bytes and not payload
