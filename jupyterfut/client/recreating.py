"""A task's call, run here: `Client.recreate_error_locally`, and the debugger of the notebook layer.

The scheduler gives back the function and the arguments as some client has sent them (`core.scheduler.recipes`); the values of the inputs are fetched
as by `gather`, and made again on the cluster if they were let go. The call is then made in the caller's thread, where a debugger can follow it. No
code of the user's runs in the scheduler, so it needs no permission there.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any, NamedTuple

from jupyterfut.client.futures import Future
from jupyterfut.client.outcomes import error_of
from jupyterfut.client.timeouts import Deadline
from jupyterfut.config import settings
from jupyterfut.ids import FunctionId, Key
from jupyterfut.serde import loads_call, loads_function
from jupyterfut.wire.payload import Payload

if TYPE_CHECKING:
    from jupyterfut.client.client import Client


class Recipe(NamedTuple):
    """How one task is made."""

    key: Key
    origin: str
    name: str  #: of the function
    function: FunctionId
    payload: Payload
    args: Payload
    inputs: list[Future]
    nbytes: int  #: of all inputs together, as far as it is known

    def call(self, values: list[Any]) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        """Function and arguments, with these values of the inputs."""
        args, kwargs = loads_call(self.args, values)
        return loads_function(self.function, self.payload), args, kwargs


def recipe(future: Future) -> Recipe:
    """The recipe of a task that has come to an end; if it has failed because another did, of the one that failed first. Blocks until it has ended.

    Raises its error when it was cancelled or lost, `NoSuchKey` when the scheduler has forgotten what failed first.
    """
    client = future.client
    client._gathering.until_done([future._record], None)
    _must_have_run(future)
    return _read(client, client._session.ask_blocking("recipe", {"key": future.key}, Deadline(settings().client.timeout_s)))


async def recipe_async(future: Future) -> Recipe:
    """The same in a coroutine."""
    client = future.client
    await client._gathering.until_done_async([future._record], None)
    _must_have_run(future)
    return _read(client, await client._session.ask("recipe", {"key": future.key}, Deadline(settings().client.timeout_s)))


def _must_have_run(future: Future) -> None:
    if future.status in ("cancelled", "lost"):
        raise error_of(future._record)


def _read(client: Client, answer: dict[str, Any]) -> Recipe:
    inputs = [Future(client._session.hold(Key(key)), client) for key in answer["dependencies"]]
    return Recipe(
        Key(answer["key"]), answer["origin"], answer["name"], FunctionId(answer["function"]), answer["payload"], answer["args"], inputs,
        sum(answer["nbytes"]),
    )  # fmt: skip


def rerun(client: Client, future: Future) -> Any:
    """Make the task's call here: return or raise what it does. Blocks, or returns an awaitable."""
    if client.asynchronous:
        return _rerun_async(client, future)
    made = recipe(future)
    function, args, kwargs = made.call(client.gather(made.inputs))
    value = function(*args, **kwargs)
    return client.sync(_finish, value) if iscoroutine(value) else value


async def _rerun_async(client: Client, future: Future) -> Any:
    made = await recipe_async(future)
    function, args, kwargs = made.call(await client.gather(made.inputs))
    value = function(*args, **kwargs)
    return await value if iscoroutine(value) else value


async def _finish(coroutine: Any) -> Any:
    return await coroutine
