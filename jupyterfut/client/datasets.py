"""Published datasets: anything that can be pickled, under a name that every client of the cluster knows, with the futures inside.

The scheduler keeps the pickle, which it never opens, and the tasks of the futures inside, also after the client that published is gone. Who gets a
dataset gets futures of its own client, which know their state at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any

from jupyterfut import serde
from jupyterfut.client import info, values
from jupyterfut.client.notes import NO_DEFAULT
from jupyterfut.client.timeouts import Deadline
from jupyterfut.config import settings
from jupyterfut.core.client.events import Delivered
from jupyterfut.errors import SerializationError
from jupyterfut.wire.payload import Blob, Local

if TYPE_CHECKING:
    from jupyterfut.client.client import Client


def publish(client: Client, args: tuple[Any, ...], name: Any, override: bool, kwargs: dict[str, Any]) -> Any:
    """Publish all, or none."""
    named: dict[Any, Any] = {}
    if name is not None:
        if not args:
            raise TypeError(f"publish_dataset(name={name!r}) needs something to publish")
        named[name] = args[0] if len(args) == 1 else args
    elif args:
        if len(args) != 1 or not isinstance(args[0], dict):
            raise TypeError("publish_dataset takes one positional argument without a name: a dict of names and datasets")
        named.update(args[0])
    twice = sorted(map(str, named.keys() & kwargs.keys()))
    if twice:
        raise TypeError(f"publish_dataset got two datasets of the name {twice[0]!r}")
    named.update(kwargs)
    if not named:
        raise TypeError("publish_dataset needs something to publish: publish_dataset(x, name='a'), publish_dataset(a=x), publish_dataset({'a': x})")
    for one in named:
        _check_name(one)
    items = [[_on_wire(one), *_packed(client, value, one)] for one, value in named.items()]
    return info.ask(client, "dataset_publish", {"items": items, "override": bool(override)})


def get(client: Client, name: Any, default: Any) -> Any:
    """The dataset, the default, or KeyError with the names that there are."""
    _check_name(name)
    args = {"name": _on_wire(name)}
    deadline = Deadline(settings().client.timeout_s)
    undo = partial(values.let_be, client)
    if client.asynchronous:
        return _get_async(client, args, deadline, undo, default)
    try:
        answer = client._session.ask_blocking("dataset_get", args, deadline, undo)
    except KeyError:
        if default is NO_DEFAULT:
            raise
        return default
    return _opened(client, answer)


async def _get_async(client: Client, args: dict[str, Any], deadline: Deadline, undo: Callable[[Any], object], default: Any) -> Any:
    try:
        answer = await client._session.ask("dataset_get", args, deadline, undo)
    except KeyError:
        if default is NO_DEFAULT:
            raise
        return default
    return _opened(client, answer)


def _opened(client: Client, answer: Delivered) -> Any:
    """The value. Interrupted, the answer is let go of."""
    try:
        return values.unpacked(client, answer)
    except Exception:
        raise
    except BaseException:
        values.let_be(client, answer)
        raise


def names(client: Client) -> Any:
    """All names, as a tuple."""
    return info.ask(client, "dataset_list", {}, shape=lambda found: tuple(map(_from_wire, found)))


def unpublish(client: Client, name: Any) -> Any:
    """Raises KeyError for an unknown one."""
    _check_name(name)
    return info.ask(client, "dataset_unpublish", {"name": _on_wire(name)})


def _packed(client: Client, value: Any, name: Any) -> list[Any]:
    """A payload that shares no memory with the value, and the keys of the futures inside. In an in-process cluster what has no futures inside travels
    by reference."""
    local = client._session.local
    try:
        payload, _, holds = serde.dumps_result(value)
    except SerializationError:
        if not local:
            raise
        return [Local(value, 0), []]
    if local and not holds:
        return [Local(value, 0), []]
    if type(payload) is Blob:
        payload = Blob(bytes(payload.head), [bytes(buffer) for buffer in payload.buffers])
    values.refuse_large(payload, f"the dataset {name!r}")
    return [payload, holds]


def _check_name(name: Any) -> None:
    if isinstance(name, bool) or not isinstance(name, (str, int, float, tuple)):
        raise TypeError(f"a dataset's name is a string, a number, or a tuple of these, not {name!r}")
    if isinstance(name, tuple):
        for one in name:
            _check_name(one)


def _on_wire(name: Any) -> Any:
    return list(map(_on_wire, name)) if isinstance(name, tuple) else name


def _from_wire(name: Any) -> Any:
    return tuple(map(_from_wire, name)) if isinstance(name, (list, tuple)) else name


class Datasets(MutableMapping[Any, Any]):
    """`client.datasets`: the published datasets as a mapping; each look is a question to the scheduler.

    In an asynchronous client `await client.datasets["a"]` and `async for name in client.datasets` work, and what Python cannot await raises
    TypeError.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def __getitem__(self, name: Any) -> Any:
        return get(self._client, name, NO_DEFAULT)

    def __setitem__(self, name: Any, value: Any) -> None:
        self._refuse_async("setting an item", "await client.publish_dataset(value, name=name)")
        publish(self._client, (value,), name, False, {})

    def __delitem__(self, name: Any) -> None:
        self._refuse_async("deleting an item", "await client.unpublish_dataset(name)")
        unpublish(self._client, name)

    def __contains__(self, name: object) -> bool:
        self._refuse_async("'in'", "name in await client.list_datasets()")
        return name in names(self._client)

    def __iter__(self) -> Iterator[Any]:
        self._refuse_async("iterating", "async for name in client.datasets")
        return iter(names(self._client))

    def __len__(self) -> int:
        self._refuse_async("len()", "len(await client.list_datasets())")
        return len(names(self._client))

    async def __aiter__(self) -> AsyncIterator[Any]:
        if not self._client.asynchronous:
            raise TypeError("the client is synchronous: iterate with 'for name in client.datasets'")
        for name in await names(self._client):
            yield name

    def __repr__(self) -> str:
        return f"<Datasets of {self._client.address}>"

    def _refuse_async(self, what: str, instead: str) -> None:
        if self._client.asynchronous:
            raise TypeError(f"{what} cannot be awaited on the datasets of an asynchronous client: use {instead}")
