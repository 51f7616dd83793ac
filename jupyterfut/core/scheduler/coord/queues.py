"""Queues: values in the order in which they were put, for whoever asks first.

A full queue lets those who put wait, an empty one those who get; both in the order in which they came. A get of exactly n takes what comes until it
has n; if it goes before that, they return to the front. An item whose reader is forgotten while it was on its way goes back to the front too: it is
read at least once, and twice only if its reader was cut off after it had the item and before it could say so.

A queue exists from the first request that names it, with the size that this request gave, until it is closed; then its items are dropped, and who
waits for it is told.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Any

from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.coord import arguments
from jupyterfut.core.scheduler.coord.values import Value, Values
from jupyterfut.core.scheduler.parking import Parked
from jupyterfut.core.scheduler.query import BadRequest
from jupyterfut.core.scheduler.state import ClientState, State, TaskState
from jupyterfut.ids import Key
from jupyterfut.wire.messages import Failure, Reply

ALL = -1
"""The `batch` of a get that takes what is there, perhaps nothing."""


class Getter:
    """One who waits for `wanted` items and has `got` some."""

    __slots__ = ("client", "got", "number", "parked", "wanted")

    def __init__(self, client: ClientState, number: int, wanted: int) -> None:
        self.client = client
        self.number = number
        self.wanted = wanted
        self.got: list[Value] = []
        self.parked: Parked | None = None


class Putter:
    """One whose item waits for room."""

    __slots__ = ("item", "parked")

    def __init__(self, item: Value) -> None:
        self.item = item
        self.parked: Parked


class Queue:
    """One queue. Getters wait only while there are no items, putters only while there is no room."""

    __slots__ = ("getters", "items", "maxsize", "name", "putters")

    def __init__(self, name: str, maxsize: int) -> None:
        self.name = name
        self.maxsize = maxsize  # 0: no limit
        self.items: deque[Value] = deque()
        self.getters: OrderedDict[Getter, None] = OrderedDict()
        self.putters: OrderedDict[Putter, None] = OrderedDict()

    @property
    def full(self) -> bool:
        return 0 < self.maxsize <= len(self.items)

    def __repr__(self) -> str:
        return f"<Queue {self.name}: {len(self.items)} items, {len(self.getters)} getters, {len(self.putters)} putters>"


class Queues:
    """All queues by name."""

    def __init__(self, state: State, values: Values) -> None:
        self._state = state
        self._values = values
        self.queues: dict[str, Queue] = {}
        self._open: dict[Queue, None] = {}  # while a client is forgotten: queues to whose front items come back
        self.ops = {"queue_create": self.create, "queue_unget": self.unget, "queue_size": self.size, "queue_close": self.close}
        self.late_ops = {"queue_put": self.put, "queue_get": self.get}

    def _queue(self, name: str, maxsize: int) -> Queue:
        queue = self.queues.get(name)
        if queue is None:
            queue = self.queues[name] = Queue(name, maxsize)
        return queue

    # --- requests

    def create(self, client: ClientState, args: dict[str, Any]) -> None:
        """Make the queue, if it is not there, with room for `maxsize` items (0: any number)."""
        self._queue(arguments.text(args, "name"), arguments.number(args, "maxsize", 0, 0))

    def put(self, client: ClientState, number: int, args: dict[str, Any]) -> None:
        """Put a value at the end; answered once it is in."""
        name, maxsize, timeout_s = arguments.text(args, "name"), arguments.number(args, "maxsize", 0, 0), arguments.timeout_s(args)
        payload, keys = args["value"], arguments.keys(args, "holds")
        self._values.check(payload)
        queue = self._queue(name, maxsize)
        if not queue.full:
            queue.items.append(self._values.make(payload, keys))
            post.append(self._state, client.outbox, Reply(number, None, None))
            self._match(queue)
            return
        late = f"the queue {name!r} is full: {len(queue.items)} items"
        if timeout_s == 0:
            raise BadRequest(late, "TimeoutError")
        putter = Putter(self._values.make(payload, keys))
        queue.putters[putter] = None
        failure = Failure("TimeoutError", f"{late}, also after {timeout_s or 0:g} s", None, "", Key(""))
        putter.parked = self._state.parked.park(client, number, timeout_s, lambda: self._putter_leaves(queue, putter), failure)

    def get(self, client: ClientState, number: int, args: dict[str, Any]) -> None:
        """Take values from the front: one (`batch` None), exactly so many, or all that are there. Answered with a list of payloads."""
        name, timeout_s, batch = arguments.text(args, "name"), arguments.timeout_s(args), args.get("batch")
        if batch is None:
            wanted = 1
        elif batch == ALL:
            wanted = ALL
        else:
            wanted = arguments.number(args, "batch", 1)
        queue = self._queue(name, 0)
        getter = Getter(client, number, wanted)
        if wanted == ALL:
            getter.got = list(queue.items)
            queue.items.clear()
            self._give(queue, getter)
            self._match(queue)
            return
        queue.getters[getter] = None
        self._match(queue)
        if getter not in queue.getters:
            return
        late = f"the queue {name!r} is empty" if wanted == 1 else f"the queue {name!r} has not {wanted} items"
        if timeout_s == 0:
            self._getter_leaves(queue, getter)
            raise BadRequest(late, "TimeoutError")
        failure = Failure("TimeoutError", f"{late}, also after {timeout_s or 0:g} s", None, "", Key(""))
        getter.parked = self._state.parked.park(client, number, timeout_s, lambda: self._getter_leaves(queue, getter), failure)

    def unget(self, client: ClientState, args: dict[str, Any]) -> None:
        """Put values back at the front, in their order: somebody got them and had given up waiting. `holds` are the futures inside all of them; each
        holds them all, since one answer does not say which belongs where."""
        queue = self.queues.get(arguments.text(args, "name"))
        keys, payloads = arguments.keys(args, "holds"), args["values"]
        for payload in payloads:
            self._values.check(payload)
        if queue is not None:  # else it was closed meanwhile
            queue.items.extendleft([self._values.make(payload, keys) for payload in reversed(payloads)])
            self._match(queue)

    def size(self, client: ClientState, args: dict[str, Any]) -> int:
        """How many items are in the queue."""
        queue = self.queues.get(arguments.text(args, "name"))
        return 0 if queue is None else len(queue.items)

    def close(self, client: ClientState, args: dict[str, Any]) -> None:
        """Drop the queue and its items; who waits for it is told."""
        queue = self.queues.pop(arguments.text(args, "name"), None)
        if queue is None:
            return
        text = f"the queue {queue.name!r} was closed"
        for getter in queue.getters:
            assert getter.parked is not None
            self._state.parked.fail(getter.parked, "ClosedError", text)
            queue.items.extend(getter.got)
        for putter in queue.putters:
            self._state.parked.fail(putter.parked, "ClosedError", text)
            queue.items.append(putter.item)
        for item in queue.items:
            self._values.drop(item)

    # --- who gets what

    def _match(self, queue: Queue) -> None:
        """Items to those who get, room to those who put, until one of them is used up."""
        items, getters, putters = queue.items, queue.getters, queue.putters
        while True:
            while items and getters:
                getter = next(iter(getters))
                while items and len(getter.got) < getter.wanted:
                    getter.got.append(items.popleft())
                if len(getter.got) == getter.wanted:
                    del getters[getter]
                    self._give(queue, getter)
            if not putters or queue.full:
                return
            putter, _ = putters.popitem(last=False)
            items.append(putter.item)
            self._state.parked.answer(putter.parked)

    def _give(self, queue: Queue, getter: Getter) -> None:
        got = getter.got
        if getter.parked is not None:
            self._state.parked.take(getter.parked)
        self._values.give(getter.client, getter.number, [item.payload for item in got], got, lambda: self._return(queue, got, getter.client))

    def _return(self, queue: Queue, items: list[Value], client: ClientState) -> None:
        """These come back to the front. If this client is being forgotten, then the next may have them once all that it had is back: in order."""
        if self.queues.get(queue.name) is queue:
            queue.items.extendleft(reversed(items))
            if self._state.clients.get(client.id) is client:
                self._match(queue)
            else:
                self._open[queue] = None
        else:  # it was closed
            for item in items:
                self._values.drop(item)

    def forget_client(self) -> None:
        """A client has been forgotten: its waiters have left, and what was on its way to it is back."""
        while self._open:
            self._match(self._open.popitem()[0])

    def _getter_leaves(self, queue: Queue, getter: Getter) -> None:
        del queue.getters[getter]
        self._return(queue, getter.got, getter.client)

    def _putter_leaves(self, queue: Queue, putter: Putter) -> None:
        del queue.putters[putter]
        self._values.drop(putter.item)

    # --- for invariants

    def held(self) -> Iterator[TaskState]:
        """What is held by items, wherever they wait."""
        for queue in self.queues.values():
            for item in queue.items:
                yield from item.holds
            for getter in queue.getters:
                for item in getter.got:
                    yield from item.holds
            for putter in queue.putters:
                yield from putter.item.holds

    def left(self) -> list[str]:
        return list(map(repr, self.queues.values()))

    def wrong(self) -> list[str]:
        """What contradicts itself."""
        found = []
        for queue in self.queues.values():
            if queue.items and queue.getters:
                found.append(f"{queue}: they wait though there are items")
            if queue.putters and not queue.full:
                found.append(f"{queue}: they wait though there is room")
            if any(getter.parked is None or not getter.parked.here for getter in queue.getters):
                found.append(f"{queue}: a getter is not parked")
            if not all(putter.parked.here for putter in queue.putters):
                found.append(f"{queue}: a putter is not parked")
        return found
