"""What a cluster has to say: datasets, metadata, events, logs, and the stream of finished tasks.

`Client` inherits these methods; each is shallow and names the module that does the work.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal, cast

from jupyterfut.client import datasets, notes, task_stream, topics
from jupyterfut.client.datasets import Datasets

if TYPE_CHECKING:
    from jupyterfut.client.client import Client


class TalkingBack:
    """Methods of `Client` for named data, events and logs."""

    # --- metadata (`notes`)

    def set_metadata(self, key: str | list[str] | tuple[str, ...], value: Any) -> Any:
        """Leave a small fact with the scheduler, under a name, for every client and task.

        key: a string; or a list of strings that leads into nested dicts, which are made as needed (whatever else stood there is replaced).
        value: plain data (None, bool, int, float, str, bytes, lists, dicts with strings as keys), up to 1 MiB; tuples come back as lists.

        Blocks for one answer of the scheduler, or returns an awaitable. Raises TypeError (other data: the text names the place) and ValueError (too
        large). The names are those of dask.distributed; here metadata stay until the scheduler ends, also those named like a task.

        >>> from jupyterfut import Client
        >>> with Client(processes=False) as client:
        ...     client.set_metadata(["model", "epochs"], 3)
        ...     client.get_metadata("model")
        {'epochs': 3}
        """
        return notes.set_metadata(_client(self), key, value)

    def get_metadata(self, keys: str | list[str] | tuple[str, ...], default: Any = notes.NO_DEFAULT) -> Any:
        """The fact that somebody left with `set_metadata` under this name, or path of names; the empty path `[]` is everything.

        Blocks for one answer of the scheduler, or returns an awaitable. Raises KeyError, naming what there is, unless there is a `default`.

        >>> from jupyterfut import Client
        >>> with Client(processes=False) as client:
        ...     client.get_metadata("model", default="nobody said")
        'nobody said'
        """
        return notes.get_metadata(_client(self), keys, default)

    # --- events (`topics`)

    def log_event(self, topic: str | Collection[str], msg: Any) -> Any:
        """Say `msg` on a topic (or on several): the scheduler stamps it, keeps it for `get_events`, and passes it on to the clients that have
        subscribed.

        msg: anything that can be pickled, up to 1 MiB. Plain data are readable for dashboards, too. Of each topic the newest `scheduler.events_kept`
        are kept (10,000), in at most 16 MiB.

        Never blocks (in an asynchronous client the result may be awaited). Raises `SerializationError`, ValueError (too large), TypeError (the
        topic). Inside a task, `get_worker().log_event(topic, msg)` does the same without a client and adds the worker's address.

        >>> from jupyterfut import Client
        >>> with Client(processes=False) as client:
        ...     client.log_event("training", {"epoch": 1, "loss": 0.5})
        ...     [msg for time, msg in client.get_events("training")]
        [{'epoch': 1, 'loss': 0.5}]
        """
        return topics.log_event(_client(self), topic, msg)

    def get_events(self, topic: str | None = None) -> Any:
        """The events that are kept of a topic, oldest first, as `(time, msg)`: seconds since 1970 by the scheduler's clock, and what was said.
        Without a topic: a dict of all topics. Of a topic that nobody has used: `()`.

        Blocks for one answer of the scheduler, or returns an awaitable.
        """
        return topics.get_events(_client(self), topic)

    def subscribe_topic(self, topic: str, handler: topics.Handler) -> None:
        """Have `handler((time, msg))` called for every event on the topic from now on, in the order in which they reached the scheduler. A topic has
        one handler a client; a second one takes its place. The topics "print" and "warn" have one from the start.

        Handlers run one after the other in a thread of the client's own (that of done callbacks), so that they may block; on the loop, if the client
        is asynchronous. A coroutine function is awaited on the client's loop. What they raise is logged. Never blocks. Raises TypeError.

        >>> import queue
        >>> from jupyterfut import Client
        >>> heard = queue.SimpleQueue()
        >>> with Client(processes=False) as client:
        ...     client.subscribe_topic("training", lambda event: heard.put(event[1]))
        ...     client.log_event("training", "epoch 1")
        ...     heard.get(timeout=10)
        'epoch 1'
        """
        _client(self)._subscriptions.subscribe(topic, handler)

    def unsubscribe_topic(self, topic: str) -> None:
        """Take the topic's handler away. Events that have arrived by now may still reach it. Never blocks. Raises ValueError for a topic without a
        handler."""
        _client(self)._subscriptions.unsubscribe(topic)

    # --- logs (`observing`)

    def forward_logging(self, logger_name: str | None = None, level: int | str = logging.INFO) -> Any:
        """Let what workers log to this logger and those under it (None: the root, that is all) appear in the logger of the same name here, from this
        level on: with its arguments, its traceback as text, the worker's address as `record.worker`, the task's key as `record.key`.

        Holds for the workers that there are and for those that join later. A worker's logger that is stricter is opened to the level meanwhile;
        here the loggers' own levels and handlers decide what is shown. What a task logs arrives before its result, and in order. Of a worker that
        logs more than 1,000 records a second for longer than a few seconds some are dropped, and a warning says so. In an in-process cluster
        (`processes=False`) workers share this process's loggers, and there is nothing to forward.

        Blocks for one answer of the scheduler, or returns an awaitable. Raises ValueError for an unknown level. Goes with the client. The name is
        that of dask.distributed, where records below the worker's own level are not forwarded.

        >>> from jupyterfut import Client
        >>> with Client(processes=False) as client:
        ...     client.forward_logging("training", level="DEBUG")
        ...     client.unforward_logging("training")
        """
        return _client(self)._observing.forward(logger_name, level)

    def unforward_logging(self, logger_name: str | None = None) -> Any:
        """End what `forward_logging` has begun for this logger. Blocks for one answer of the scheduler, or returns an awaitable. Raises ValueError
        for a logger that is not forwarded."""
        return _client(self)._observing.unforward(logger_name)

    # --- datasets (`datasets`)

    def publish_dataset(self, *args: Any, name: Any = None, override: bool = False, **kwargs: Any) -> Any:
        """Give something a name that every client of the cluster knows: a future, a collection of them, a dask collection, or a small value.

        Call it as `publish_dataset(x, name="a")` (several positional arguments make a tuple), `publish_dataset(a=x)`, or `publish_dataset({"a": x})`;
        of several datasets either all are published or none. Names are strings, numbers, or tuples of these. Futures inside keep their tasks
        alive, also when this client is gone, until the dataset is unpublished.

        override: take the place of a dataset of the same name, which is otherwise a KeyError.
        Blocks for one answer of the scheduler, or returns an awaitable. Raises TypeError (no name, nothing to publish), `SerializationError`, and
        ValueError for a value larger than `scheduler.value_limit_bytes`: scatter it, and publish the future.

        >>> from jupyterfut import Client
        >>> with Client(processes=False) as client:
        ...     client.publish_dataset(squares=client.map(pow, [1, 2, 3], [2, 2, 2]))
        ...     client.gather(client.get_dataset("squares"))
        [1, 4, 9]
        """
        return datasets.publish(_client(self), args, name, override, kwargs)

    def get_dataset(self, name: Any, default: Any = notes.NO_DEFAULT) -> Any:
        """What was published under the name; futures inside belong to this client.

        Blocks for one answer of the scheduler, or returns an awaitable. Raises KeyError, naming the datasets that there are, unless there is a
        `default`; and what unpickling it raises.
        """
        return datasets.get(_client(self), name, default)

    def list_datasets(self) -> Any:
        """The names of all published datasets, as a tuple. Blocks for one answer of the scheduler, or returns an awaitable."""
        return datasets.names(_client(self))

    def unpublish_dataset(self, name: Any) -> Any:
        """Take a dataset back. The futures in it live on where somebody else has them. Blocks for one answer of the scheduler, or returns an
        awaitable. Raises KeyError, naming the datasets that there are, for an unknown name."""
        return datasets.unpublish(_client(self), name)

    @property
    def datasets(self) -> Datasets:
        """The published datasets as a mapping: `client.datasets["a"] = future`, `client.datasets["a"]`, `del client.datasets["a"]`, `"a" in
        client.datasets`, `for name in client.datasets`. In an asynchronous client: `await client.datasets["a"]`, `async for name in ...`.

        >>> from jupyterfut import Client
        >>> with Client(processes=False) as client:
        ...     client.datasets["answer"] = client.submit(sum, [40, 2])
        ...     list(client.datasets), client.datasets["answer"].result()
        (['answer'], 42)
        """
        return Datasets(_client(self))

    # --- the task stream (`task_stream`)

    def get_task_stream(
        self,
        start: Any = None,
        stop: Any = None,
        count: int | None = None,
        plot: bool | Literal["save"] = False,
        filename: str = "task-stream.html",
        bokeh_resources: Any = None,
    ) -> Any:
        """Which tasks ran when: a dict for each task that ended while the cluster was recording, by start, with `key`, `prefix` (the key's name),
        `worker` (address), `thread`, `action` ("compute"; "transfer" for inputs fetched from another worker, whose address is the `type`), `start`
        and `stop` (seconds since 1970 by this machine's clock, with which the workers' are compared), `type`, `nbytes`, `status` ("OK" or "error")
        and, as in dask.distributed, `startstops`.

        Recording costs workers a little for each task, so it begins with the first call, which therefore gives nothing, and lasts as long as
        the client; the block `with get_task_stream() as ts:` records just what runs inside. Each worker keeps its newest 100,000 rows, and takes
        them along when it goes.

        start, stop: only what overlaps with this time: seconds since 1970, or a text such as "60s": so long ago. count: the first so many rows
        after `start`, else the last. plot: return `(rows, figure)`; the figure shows itself in a notebook; with "save" it is also written to
        `filename`. bokeh_resources: is accepted and not used.
        Blocks, or returns an awaitable. Raises ValueError for a time without sense.

        >>> from jupyterfut import Client
        >>> with Client(processes=False) as client:
        ...     rows = client.get_task_stream()  # from now on
        ...     total = client.submit(sum, [1, 2]).result()
        ...     [(row["prefix"], row["status"]) for row in client.get_task_stream()]
        [('sum', 'OK')]
        """
        return task_stream.get(_client(self), start, stop, count, plot, filename)


def _client(methods: TalkingBack) -> Client:
    """The only class that is made of these methods."""
    return cast("Client", methods)
