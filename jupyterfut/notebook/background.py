"""Doing what takes time for a magic: a synchronous client's magics block, those of an asynchronous client go on in the background of the cell.

A magic cannot `await`. With an asynchronous client, whose loop is the kernel's own, waiting would therefore stop the very loop that is waited for:
what was asked for is begun, and what comes of it is said when it comes.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from jupyterfut.client.client import Client

T = TypeVar("T")

_going_on: set[concurrent.futures.Future[None]] = set()


def perform(client: Client, coroutine: Coroutine[Any, Any, T], then: Callable[[T], Any]) -> Any:
    """Run the coroutine on the client's loop. Blocks, raises what it raises, and returns `then(result)`; in an asynchronous client it returns at
    once, and `then` is called when there is a result: what it returns is displayed, an error is printed."""
    __tracebackhide__ = True
    if not client.asynchronous:
        return then(client._run(coroutine))
    going_on = asyncio.run_coroutine_threadsafe(_follow(coroutine, then), client._session.loop)
    _going_on.add(going_on)
    going_on.add_done_callback(_going_on.discard)
    return None


async def _follow(coroutine: Coroutine[Any, Any, T], then: Callable[[T], Any]) -> None:
    from IPython.display import display

    try:
        shown = then(await coroutine)
    except Exception as error:  # noqa: BLE001  # nobody can catch it here: it is said where the user looks
        print(f"{type(error).__name__}: {error}")  # noqa: T201
        return
    if shown is not None:
        display(shown)
