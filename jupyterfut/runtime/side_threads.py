"""Users' code that is not a task: functions of `Client.run`, methods of plugins. An `async def` one runs on the loop, any other in a thread of its
own.

Such a thread is a daemon, made for one call: code that never returns keeps neither the loop nor the process from ending.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable
from typing import Any


async def in_thread(name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call the function in a fresh thread with the caller's context variables; return or raise what it does. If the caller is cancelled, the thread
    goes on and nobody hears of it."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def main() -> None:
        value, error = None, None
        try:
            value = context.run(function, *args, **kwargs)
        except BaseException as raised:  # noqa: BLE001  # the caller's, SystemExit included
            error = raised
        try:
            loop.call_soon_threadsafe(_settle, future, value, error)
        except RuntimeError:
            if not loop.is_closed():  # then nobody waits any more
                raise

    threading.Thread(target=main, name=name, daemon=True).start()
    return await future


async def call(name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call the function, here if it is `async def`, else in a thread; await what it returns if that is a coroutine."""
    if inspect.iscoroutinefunction(function):
        result = function(*args, **kwargs)
    else:
        result = await in_thread(name, function, *args, **kwargs)
        if not inspect.iscoroutine(result):
            return result
    try:
        return await result
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001  # SystemExit included
        raise _for_loops(error) from error.__cause__


def inject(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """`kwargs`, and what of `given` the function has a parameter for that the call leaves open.

    >>> inject(lambda x, worker: x, (1,), {}, {"worker": "w", "dask_worker": "w"})
    {'worker': 'w'}
    >>> inject(lambda worker: worker, (1,), {}, {"worker": "w"})
    {}
    """
    try:
        signature = inspect.signature(function)
        bound = signature.bind_partial(*args, **kwargs).arguments
    except (TypeError, ValueError):
        return kwargs  # it tells nothing of itself, or the call is wrong, which the call itself says best
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY)
    fitting = {
        name: value for name, value in given.items()
        if name not in bound and name in signature.parameters and signature.parameters[name].kind not in variadic
    }  # fmt: skip
    return {**kwargs, **fitting}


def _settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(_for_loops(error))
    else:
        future.set_result(value)


def _for_loops(error: BaseException) -> BaseException:
    """The error, as it may be raised on an event loop: `SystemExit` and `KeyboardInterrupt` would end the loop, no future can hold
    `StopIteration`."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    wrapped = RuntimeError(f"the function raised {type(error).__name__}{f': {error}' if str(error) else ''}")
    wrapped.__cause__ = error
    return wrapped
