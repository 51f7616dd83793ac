"""`%futures debug NAME`: the failed task is run here, and the debugger stands where it fails.

What is fetched are the function and the inputs of the task that failed first. The call is made in the kernel, so its frames have their variables,
which the frames of an exception that came from a worker have not. It is a second run, with its side effects; if it succeeds here, that is said, too.
"""

from __future__ import annotations

import sys
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from jupyterfut.client.blame import named
from jupyterfut.client.recreating import Recipe, recipe
from jupyterfut.serde.tracebacks import is_ours
from jupyterfut.views.text import count, format_bytes

if TYPE_CHECKING:
    from types import TracebackType

    from IPython.core.interactiveshell import InteractiveShell

    from jupyterfut.client.futures import Future

LARGE_BYTES = 50_000_000
"""Inputs of this size are announced before they are fetched."""


def debug(shell: InteractiveShell, future: Future) -> None:
    """Run the future's task here, or the one that it failed because of, and open the debugger where it raises. Blocks.

    Raises UsageError for a task that has not failed, or an asynchronous client; `NoSuchKey` when the failed task is forgotten; what fetching the
    inputs raises.
    """
    __tracebackhide__ = True
    if future.client.asynchronous:
        raise UsageError("%futures debug blocks, which an asynchronous client cannot: use `await client.recreate_error_locally(future)` and %debug")
    if future.status != "error":
        raise UsageError(f"%futures debug: {named(future._record.key)} has not failed: it is {future.status}")
    made = recipe(future)
    _say(_opening(made))
    values = future.client.gather(made.inputs)
    error = failure_of(future, made, values)
    if error is None:
        return
    _say(f"{type(error).__name__}: {error}")
    post_mortem(shell, error)


def failure_of(future: Future, made: Recipe, values: list[Any]) -> BaseException | None:
    """Make the call; what it raises, with the user's frames only. None: it ran through, which is said."""
    function, args, kwargs = made.call(values)
    try:
        value = function(*args, **kwargs)
        if iscoroutine(value):
            future.client.sync(_finish, value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  # whatever the task raises is what is looked for, SystemExit included
        error.__traceback__ = users_frames(error.__traceback__)
        return error
    _say("It ran through here, without an error: what made it fail there is not here (a worker's files or environment, another task, chance).")
    return None


def users_frames(tb: TracebackType | None) -> TracebackType | None:
    """The traceback from the user's first frame on."""
    first = tb
    while first is not None and is_ours(first.tb_frame.f_code.co_filename):
        first = first.tb_next
    return first or tb


def post_mortem(shell: InteractiveShell, error: BaseException) -> None:
    """Open the shell's debugger at the innermost frame of the error. `%debug` later finds it again."""
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    sys.last_exc = error  # type: ignore[attr-defined,unused-ignore]  # Python 3.12
    shell.debugger(force=True)


def _opening(made: Recipe) -> str:
    inputs = f", with {count(len(made.inputs), 'input')}" if made.inputs else ""
    large = f" of {format_bytes(made.nbytes)}, which come here first" if made.nbytes >= LARGE_BYTES else ""
    return f"Running {named(made.key, made.origin)} here{inputs}{large}."


async def _finish(coroutine: Any) -> Any:
    return await coroutine


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
