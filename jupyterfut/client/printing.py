"""`print` and `warn` that reach every client: inside a task they are also said at the clients of the cluster; elsewhere they are the builtin ones.
(What the builtin `print` puts out in a task reaches the client that submitted it: `output`.)

What is printed in a task is an event on the topic "print" (or "warn"): `{"text", "file", "key", "origin", "worker", "client"}`. It leaves the worker
before the task's result does, on the same road, so it stands in the notebook before the result is there: under the cell that submitted the task, if
that is a cell of this notebook. A client's handlers for the two topics are made here; `client.subscribe_topic("print", ...)` puts another in their
place, `client.unsubscribe_topic("print")` turns them off.
"""

from __future__ import annotations

import builtins
import logging
import sys
import warnings
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

from jupyterfut.client import current, output
from jupyterfut.runtime.context import current_task, current_worker
from jupyterfut.serde import dumps, loads
from jupyterfut.serde.notes import NOTE_BYTES_LIMIT, PLAIN, unpack

if TYPE_CHECKING:
    from jupyterfut.client.client import Client
    from jupyterfut.runtime.worker_server import Worker

logger = logging.getLogger("jupyterfut.client")

STDOUT = 1
STDERR = 2

_CHARS_LIMIT = NOTE_BYTES_LIMIT // 8
"""Of one print: what is longer is cut. (A character may take four bytes.)"""


def print(*args: Any, sep: str | None = " ", end: str | None = "\n", file: TextIO | None = None, flush: bool = False) -> None:  # noqa: A001
    """The builtin `print`, which, called in a task, prints at the clients of the cluster as well: before the task's result is there, and once in each
    process. (What a method of an actor, or a function of `Client.run`, prints takes another road than its result, and may come after it.)

    In a task the arguments are made text on the worker, and `file` is `sys.stdout` (as None is) or `sys.stderr`; any other raises TypeError. Never
    blocks. As in dask.distributed, every client that is connected prints, not only the one that submitted.

    >>> from jupyterfut import Client, print
    >>> with Client(processes=False) as client:
    ...     client.submit(print, "hello from", "a task").result()
    hello from a task
    """
    worker = current_worker()
    if worker is None:
        builtins.print(*args, sep=sep, end=end, file=file, flush=flush)  # that is what it is for
        return
    number = STDOUT if file is None or file is sys.stdout else STDERR if file is sys.stderr else None
    if number is None:
        raise TypeError(f"inside a task, print takes sys.stdout or sys.stderr as its file, not {file!r}: use the builtin print for others")
    for name, value in (("sep", sep), ("end", end)):
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{name} must be None or a string, not {type(value).__name__}")
    text = (" " if sep is None else sep).join(map(str, args)) + ("\n" if end is None else end)
    if worker.echoes:
        from jupyterfut.runtime.output import aside  # here, as below: every client imports this module

        with aside():  # the clients hear of it another way
            builtins.print(text, end="", file=file, flush=flush)  # as above
    if len(text) > _CHARS_LIMIT:
        text = f"{text[:_CHARS_LIMIT]}... ({len(text) - _CHARS_LIMIT:,} more characters)\n"
    _say(worker, "print", {"text": text.encode(errors="replace").decode(), "file": number})


def warn(message: str | Warning, category: type[Warning] | None = UserWarning, stacklevel: int = 1, source: Any = None) -> None:
    """`warnings.warn`, which, called in a task, warns at the clients of the cluster as well, with the line in the task that it came from.

    The filters of each side decide what is shown there. Never blocks. Raises TypeError for a category that is no class of warnings.

    >>> from jupyterfut import Client, warn
    >>> with Client(processes=False) as client:
    ...     client.submit(warn, "the data is old").result()
    """
    worker = current_worker()
    if isinstance(message, Warning):
        category = type(message)
    elif category is None:
        category = UserWarning
    kind: Any = category
    if not (isinstance(kind, type) and issubclass(kind, Warning)):
        raise TypeError(f"category must be a class of warnings, not {category!r}")
    if worker is None:
        warnings.warn(message, category, stacklevel + 1, source)
        return
    if worker.echoes:
        from jupyterfut.runtime.output import aside

        with aside():
            warnings.warn(message, category, stacklevel + 1, source)
    frame: Any = sys._getframe(1)
    for _ in range(stacklevel - 1):
        frame = frame.f_back or frame
    where = {"filename": frame.f_code.co_filename, "lineno": frame.f_lineno}
    _say(worker, "warn", {"warning": _pickled(message, category), "text": str(message)[:_CHARS_LIMIT], "category": category.__name__, **where})


def _pickled(message: str | Warning, category: type[Warning]) -> Any:
    """The warning itself, where it can travel; else its text has to do."""
    try:
        payload = dumps((message, category))
    except TypeError:
        return None
    return payload if type(payload) is bytes else None


def _say(worker: Worker, topic: str, message: dict[str, Any]) -> None:
    """On the worker's own road, in order with what the task does. The scheduler fills in the client."""
    task = current_task()
    key, origin = ("", "") if task is None else (task.key, task.origin)
    message.update(key=key, origin=origin, worker=worker.address, client=None)
    from jupyterfut.runtime.output import output_of_task

    put_out = output_of_task()
    if put_out is not None:
        put_out.flush()  # what the task has put out before is heard before
    worker.say_event(topic, [len(message.get("text", "")) + 200, PLAIN, message])


# --- at the client


def printer(owner: weakref.ref[Client]) -> Callable[[Any], None]:
    """What listens for events on "print", on the session's loop: before whatever comes after them."""

    def heard(event: list[Any]) -> None:
        client = owner()
        if client is None:
            return
        data = _said(event, "text")
        part = ["err" if data.get("file") == STDERR else "out", data["text"]]
        client._output.note(data.get("key", ""), [part])
        if _is_for(client, "print") and not output.show_in_cell(client, data.get("key", ""), data.get("origin", ""), [part]):
            output.write(output.STREAMS[part[0]], part[1])

    return heard


def warner(owner: weakref.ref[Client]) -> Callable[[Any], None]:
    """The same for "warn"."""

    def heard(event: list[Any]) -> None:
        if _is_for(owner(), "warn"):
            data = _said(event, "text")
            message, category = _warning(data)
            try:
                with output.under_cell(data.get("origin", "")):
                    warnings.warn_explicit(message, category, str(data.get("filename", "a task")), int(data.get("lineno", 0)))
            except Warning as error:  # a filter makes it an error: there is nobody here to raise it at
                logger.warning("%s in %s: %s", type(error).__name__, data.get("key", "the cluster"), error)

    return heard


def _said(event: list[Any], wanted: str) -> dict[str, Any]:
    """What `print` and `warn` say; or, if somebody has logged something else under that topic, its text."""
    data = unpack(event[1], event[2])
    return data if isinstance(data, dict) and wanted in data else {wanted: f"{data}\n"}


def _is_for(client: Client | None, topic: str) -> bool:
    """What is printed once in the cluster is printed once in each process, by the oldest of its clients there that want it."""
    if client is None:
        return False
    first = next((one for one in current.open_clients() if one.cluster_id == client.cluster_id and one._subscriptions.listens(topic)), client)
    return first is client


def _warning(data: dict[str, Any]) -> tuple[str | Warning, type[Warning]]:
    if data.get("warning") is not None:
        try:
            message, category = loads(data["warning"])
        except Exception as error:  # noqa: BLE001  # a class that does not exist here, say: the text is here
            logger.debug("cannot unpickle a %s: %s", data.get("category"), error)
        else:
            return message, category
    name = data.get("category", "UserWarning")
    return data["text"] if name == "UserWarning" else f"{name}: {data['text']}", UserWarning
