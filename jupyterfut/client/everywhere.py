"""Asking workers themselves: one question to each, at once, straight to their data servers; and running functions there, at nannies, in the
scheduler.

The scheduler is asked only who the workers are. A worker that fails, breaks off, or is silent for too long gives an exception in its own name; what
becomes of it is the caller's choice (`on_error`).
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Literal

from jupyterfut import serde
from jupyterfut.client.submit import worker_names
from jupyterfut.client.timeouts import Deadline, Timeout
from jupyterfut.config import settings
from jupyterfut.errors import ConnectionFailed, TimeoutError  # noqa: A004
from jupyterfut.ids import Address
from jupyterfut.wire.messages import Failure
from jupyterfut.wire.payload import Local, Payload

if TYPE_CHECKING:
    from jupyterfut.client.client import Client

OnError = Literal["raise", "return", "ignore"]


def perform(client: Client, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run the coroutine on the session's loop: block for its end, or return an awaitable in an asynchronous client."""
    return client._on_loop(coroutine) if client.asynchronous else client._run(coroutine)


async def addresses(client: Client, workers: Any) -> list[Address]:
    """The workers that are meant. Raises ValueError when a name means nobody."""
    if isinstance(workers, (list, tuple, set, frozenset)) and not workers:
        return []  # nobody, and not everybody
    names = worker_names(workers)
    here: dict[Address, Any] = await client._session.ask("nthreads", {"workers": names}, Deadline(settings().client.timeout_s))
    if names is not None and not here:
        raise ValueError(f"no worker matches {', '.join(names)}")
    return list(here)


async def ask_each(client: Client, op: str, args: dict[str, Any], workers: Any, timeout: Timeout, on_error: OnError) -> dict[str, Any]:
    """{address: answer} of these workers, or all. With "raise", the first exception is raised as soon as it is here; with "return" it stands in its
    worker's place; with "ignore" that worker is left out."""
    deadline = Deadline(timeout)
    here = await addresses(client, workers)
    jobs = {address: asyncio.ensure_future(_ask(client, address, op, args, deadline)) for address in here}
    try:
        if jobs:
            await asyncio.wait(jobs.values(), return_when=asyncio.FIRST_EXCEPTION if on_error == "raise" else asyncio.ALL_COMPLETED)
        answers: dict[str, Any] = {}
        for address, job in jobs.items():
            if not job.done():
                continue
            error = job.exception()
            if error is None:
                answers[address] = job.result()
            elif on_error == "raise" or not isinstance(error, Exception):
                raise error
            elif on_error == "return":
                answers[address] = error
        return answers
    finally:
        for job in jobs.values():
            job.cancel()
        await asyncio.gather(*jobs.values(), return_exceptions=True)


async def _ask(client: Client, address: Address, op: str, args: dict[str, Any], deadline: Deadline) -> Any:
    try:
        async with asyncio.timeout(deadline.left()) as limit:
            return await client._links.ask(address, op, args)
    except builtins.TimeoutError as error:
        if not limit.expired():
            raise
        raise TimeoutError(f"worker {address} has not answered {op!r} within {deadline}") from error
    except ConnectionFailed as error:
        error.add_note(f"(asking worker {address} for {op!r})")
        raise


# --- run


def run(
    client: Client,
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    workers: Any,
    wait: bool,
    nanny: bool,
    on_error: OnError,
    timeout: Timeout,
) -> Any:
    """See `Client.run`."""
    if on_error not in ("raise", "return", "ignore"):
        raise ValueError(f'on_error is "raise", "return" or "ignore", not {on_error!r}')
    if nanny:
        packed = pack(client, func, args, kwargs, by_reference=False)
        return perform(client, _run_at_nannies(client, packed, workers, on_error, timeout))
    packed = pack(client, func, args, kwargs, by_reference=client._session.local)
    return perform(client, _run(client, packed, workers, wait, on_error, timeout))


async def _run(client: Client, call: Payload, workers: Any, wait: bool, on_error: OnError, timeout: Timeout) -> dict[str, Any]:
    answers = await ask_each(client, "run", {"call": call, "wait": wait}, workers, timeout, on_error)
    return {address: _unpack(answer) for address, answer in answers.items()}


async def _run_at_nannies(client: Client, call: Payload, workers: Any, on_error: OnError, timeout: Timeout) -> dict[str, Any]:
    answers = await ask_nannies(client, "run", {"call": call}, workers, timeout, on_error)
    return {name: _unpack(answer) for name, answer in answers.items()}


async def ask_nannies(client: Client, op: str, args: dict[str, Any], workers: Any, timeout: Timeout, on_error: OnError) -> dict[str, Any]:
    """{worker's address: answer} of the nannies of these workers, or of all."""
    from jupyterfut.client.outcomes import exception_of

    deadline = Deadline(timeout)
    request = {"workers": worker_names(workers), "op": op, "args": args, "timeout_s": deadline.timeout_s}
    value = await client._session.ask("ask_nannies", request, patient(deadline))
    answers: dict[str, Any] = {}
    for name, (answer, failure) in value["answers"].items():
        if failure is None:
            answers[name] = answer
        else:
            answers[name] = exception_of(Failure(*failure))
    for name in value["missing"]:
        answers[name] = TimeoutError(f"the nanny of worker {name} has not answered {op!r} within {deadline}")
    errors = [answer for answer in answers.values() if isinstance(answer, BaseException)]
    if errors and on_error == "raise":
        raise errors[0]
    if on_error == "ignore":
        return {name: answer for name, answer in answers.items() if not isinstance(answer, BaseException)}
    return answers


def patient(deadline: Deadline) -> Deadline | None:
    """For a question whose time the scheduler keeps: a little longer than it takes itself."""
    return None if deadline.timeout_s is None else Deadline(deadline.timeout_s + settings().client.timeout_s)


def run_on_scheduler(client: Client, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """See `Client.run_on_scheduler`."""
    return perform(client, _run_on_scheduler(client, pack(client, func, args, kwargs, by_reference=client._session.local)))


async def _run_on_scheduler(client: Client, call: Payload) -> Any:
    return _unpack(await client._session.ask("run_on_scheduler", {"call": call}))


def pack(client: Client, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], *, by_reference: bool) -> Payload:
    """A call, as it travels. Raises TypeError and `SerializationError`."""
    if not callable(func):
        raise TypeError(f"run takes a function, not {func!r}")
    return Local((func, args, kwargs), 0) if by_reference else serde.dumps((func, args, kwargs))


def _unpack(answer: Any) -> Any:
    return answer if answer is None or isinstance(answer, BaseException) else serde.loads(answer)
