"""Every error that a user can catch. Each names the task, worker or address that it is about."""

from __future__ import annotations

import builtins
import concurrent.futures


class JupyterfutError(Exception):
    """Base class of the errors that jupyterfut itself raises (a task's own exception is raised as it is)."""


class CancelledError(JupyterfutError, concurrent.futures.CancelledError):
    """The task was cancelled. Also caught as `concurrent.futures.CancelledError`.

    >>> issubclass(CancelledError, concurrent.futures.CancelledError)
    True
    """


class TimeoutError(JupyterfutError, builtins.TimeoutError):  # noqa: A001
    """A blocking call's `timeout` passed. Also caught as the builtin `TimeoutError`.

    >>> issubclass(TimeoutError, builtins.TimeoutError)
    True
    """


class KilledWorker(JupyterfutError):
    """Workers died while they ran this task, more often than `allowed_failures` allows."""


class LostData(JupyterfutError):
    """Scattered data, or an actor, is gone with the worker that held its only copy."""


class ActorLost(LostData):
    """A call of an actor has no answer, or cannot be made: the worker that holds the actor is gone, the connection to it broke while the call was
    under way (it may have run or not, and is not repeated), or nobody holds the actor any more."""


class NotCopied(JupyterfutError, RuntimeError):
    """A result could not be copied to as many workers as `replicate` was to copy it to. What was copied stays so."""


class NotRetired(JupyterfutError, RuntimeError):
    """A worker could not retire: nobody else could take what only it has. It works on, and nothing was lost."""


class NoSuchKey(JupyterfutError):
    """The scheduler does not know (any more) the task that a future names."""


class SerializationError(JupyterfutError, TypeError):
    """A function, an argument or a result cannot be pickled. The cause is the pickler's own exception."""


class RemoteError(JupyterfutError):
    """Stands in for a remote exception that could not be pickled or unpickled: its type's name and its text."""


class ConnectionFailed(JupyterfutError, OSError):
    """Nobody listens at an address, or the link broke and did not come back."""


class HandshakeError(ConnectionFailed):
    """The other side speaks another protocol or version."""


class WrongToken(HandshakeError):
    """The other side does not know the cluster's token."""


class ProtocolError(JupyterfutError):
    """A frame or message that breaks the protocol: over a limit, truncated, malformed."""


class ClosedError(JupyterfutError):
    """The client, worker or cluster was closed."""


class Reschedule(JupyterfutError):
    """Raised by a task that wants to run again, perhaps elsewhere."""


class TaskInterrupted(KeyboardInterrupt):
    """Raised inside a task that was cancelled while it runs (in a worker process; see `Future.cancel`). Nobody waits for the task any more: let it
    through. `finally` and `with` blocks run, `except Exception` does not catch it; code that ends well on Ctrl-C does so here.

    >>> issubclass(TaskInterrupted, KeyboardInterrupt), issubclass(TaskInterrupted, Exception)
    (True, False)
    """


class ConfigError(JupyterfutError, ValueError):
    """A setting, in the environment, a file or an argument, that does not exist or cannot be read. The text names where it came from."""


class WorkerStartError(JupyterfutError, RuntimeError):
    """A worker or scheduler process did not come up. The text says why, as far as it told."""
