"""From a dask graph to rows of calls.

A graph comes in as dask materialises it, after dask's own optimisation: a dict of dask's nodes (`dask._task_spec`) or of the older tuples. Out go
rows of one function (`calls.run`) in columns, thousands in a message, in an order in which every task stands behind those that it needs.

- **Names.** A dask key that is a string is our key as it is; any other (a tuple, as a rule) is its text. A future in a graph stands for its task,
  wherever it stands: as a value of the graph, or in the arguments of a task, bare or in lists, tuples, sets and dict values.
- **What is there already** is not sent: a key whose future lives in this client, a persisted chunk say, ends the search.
- **Order.** Depth first from the wanted keys, inputs in the order of the graph, last users first (`dask_order`): a result is used up soon after it
  was made. The scheduler runs equal priorities in the order in which they come.
- **Inner tasks** are held by the rows that need them only. The client drops its own hold as soon as everything is sent.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dask import _task_spec
from dask._task_spec import Alias, DataNode, Dict, GraphNode, List, Set, Task, TaskRef, Tuple, convert_legacy_graph, parse_input

from jupyterfut.adapters.calls import Caller, run, shared
from jupyterfut.adapters.dask_order import depth_first, with_last_users_first
from jupyterfut.adapters.dask_tasks import evaluate, evaluate_chain, itself
from jupyterfut.client.current import open_clients
from jupyterfut.client.futures import Future
from jupyterfut.core.client.state import Record
from jupyterfut.ids import Key
from jupyterfut.serde.calls import Dep
from jupyterfut.serde.parts import Parts
from jupyterfut.wire.messages import TaskOptions
from jupyterfut.wire.payload import Local, Payload

if TYPE_CHECKING:
    from jupyterfut.client.client import Client

_FIRST_CHUNK = 64
_CHUNK = 2048
_ATOMS = frozenset({int, float, bool, complex, type(None), str, bytes})
_execute_subgraph = getattr(_task_spec, "_execute_subgraph", None)  # the function of a fused task
OptionsOf = Callable[[Any], TaskOptions]


def name_of(key: Any) -> Key:
    """The key of a dask key.

    >>> name_of("sum-1"), name_of(("x-1", 0, 2))
    ('sum-1', "('x-1', 0, 2)")
    """
    return Key(key if type(key) is str else str(key))


def submit(client: Client, graph: Mapping[Any, Any], wanted: Iterable[Any], options_of: OptionsOf) -> dict[Any, Future]:
    """Send what the wanted keys need, and return a future for each of them. Never waits.

    Raises ValueError for a cycle (it names the keys), for a key that is not in the graph, for futures of another cluster; `SerializationError`.
    """
    return _Submission(client, graph, options_of).send(list(dict.fromkeys(wanted)))


class _Submission:
    """One graph on its way."""

    def __init__(self, client: Client, graph: Mapping[Any, Any], options_of: OptionsOf) -> None:
        self.client = client
        self.session = client._session
        self.options_of = options_of
        self.nodes: dict[Any, GraphNode] = convert_legacy_graph(graph)
        self.names = {key: name_of(key) for key in self.nodes}
        if len(set(self.names.values())) < len(self.names):
            raise ValueError(f"two keys of the graph have the same text: {_twins(self.names)}")
        self.rank = {key: place for place, key in enumerate(self.nodes)}
        self.kept: list[Future] = []  # what lives already, until everything is sent
        self.foreign: dict[Key, Future] = {}
        self.records: list[Record] = []  # with one reference each, of what we have sent
        self.given: set[Any] = {key for key in graph if key not in self.nodes}  # a future stands there, under its own name

    def send(self, wanted: list[Any]) -> dict[Any, Future]:
        for key in wanted:
            if key not in self.nodes and key not in self.given:
                raise ValueError(f"the graph has no key {key!r}")
        client, session = self.client, self.session
        try:
            order = self._order(wanted)
            self._post(order)
            table = session.state.records
            futures = {}
            for key in wanted:
                node = self.nodes.get(key)
                name = name_of(key) if node is None else self.names[key]
                with session.lock:
                    record = table.get(name)
                    if record is not None:
                        record.references += 1
                if record is None:
                    record = session.hold(name)
                futures[key] = Future(record, client)
            return futures
        finally:
            self._let_go()

    def _let_go(self) -> None:
        """Drop the hold on all that was sent: each row holds what it needs, and the caller has the futures of what was wanted."""
        session = self.session
        session.deaths.extend(self.records)
        if session.asleep:
            session.wake()

    # --- what to send, in which order

    def _order(self, wanted: list[Any]) -> list[Any]:
        """The keys to send, each behind those that it needs."""
        nodes, rank = self.nodes, self.rank.__getitem__

        def inputs_of(key: Any) -> Sequence[Any] | None:
            node = nodes.get(key)
            if node is None:
                self._look_for(name_of(key))
                return None
            if self._lives(key, node):
                return None
            needed = node.dependencies
            if len(needed) < 2:
                return tuple(needed)
            inside = [one for one in needed if one in nodes]
            inside.sort(key=rank)
            return inside if len(inside) == len(needed) else [*inside, *[one for one in needed if one not in nodes]]

        with self.session.lock:
            order = depth_first(wanted, inputs_of)
        return with_last_users_first(order, {key: nodes[key].dependencies for key in order})

    def _lives(self, key: Any, node: GraphNode) -> bool:
        """Whether a future of this key is alive here, so that its task need not be sent."""
        name = self.names[key]
        record = self.session.state.records.get(name)
        if record is not None:
            record.references += 1
            self.kept.append(Future(record, self.client))
            return True
        return type(node) is Alias and node.target not in self.nodes and name_of(node.target) == name and self._look_for(name)

    def _look_for(self, name: Key) -> bool:
        """A key that the graph names and does not make: somebody has a future of it. True."""
        record = self.session.state.records.get(name)
        if record is not None:
            record.references += 1
            self.kept.append(Future(record, self.client))
            return True
        elsewhere = None
        for client in open_clients():
            record = client._session.state.records.get(name)
            if record is not None:
                if client.cluster_id == self.client.cluster_id:
                    self.foreign[name] = Future(client._session.hold(name), client)
                    return True
                elsewhere = client
        if elsewhere is not None:
            raise ValueError(f"{name} belongs to another cluster: gather it, or scatter its value here")
        return True  # the scheduler may know it all the same; if not, it says so

    # --- rows

    def _post(self, order: list[Any]) -> None:
        size = _FIRST_CHUNK
        start = 0
        while start < len(order):
            options = self.options_of(order[start])
            end = start + 1
            while end < len(order) and end - start < size and self.options_of(order[end]) == options:
                end += 1
            self._post_chunk(order[start:end], options)
            start = end
            size = min(size * 4, _CHUNK)

    def _post_chunk(self, keys: list[Any], options: TaskOptions) -> None:
        payloads: list[Payload] = []
        dependencies: list[list[Key]] = []
        holds: list[list[Key]] = []
        token = os.urandom(8).hex()
        parts = Parts(shared, token)
        local = self.session.local
        for key in keys:
            node = self.nodes[key]
            needed: dict[Any, int] = {}
            if local:
                payloads.append(Local((_call(_resolved(node), needed), {}), 0))
                held: list[Key] = []
            else:
                payload, held = parts.dumps(_call(node, needed))
                if held:  # futures in the arguments are inputs, as far as they can be found
                    needed = {}
                    payload, held = parts.dumps(_call(_resolved(node), needed))
                payloads.append(payload)
            dependencies.append([self._name(one) for one in needed])
            holds.append(held)
        function = Caller(token, tuple(parts.found)) if parts.found else run
        foreign = list(self.foreign.values())
        names: list[str] = [self.names[key] for key in keys]
        self.records += self.client._submitting.rows(function, names, payloads, dependencies, holds, options, foreign)

    def _name(self, key: Any) -> Key:
        name = self.names.get(key)
        if name is None:
            name = self.names[key] = name_of(key)
            self._look_for(name)
        return name


class _Inner(Exception):
    """A task stands inside a task's arguments."""


def _call(node: GraphNode, needed: dict[Any, int]) -> tuple[Any, ...]:
    """The arguments of `run` for a node, with `Dep(i)` for the results it needs, whose dask keys `needed` numbers."""
    kind = type(node)
    if kind is Task:
        function = node.func
        if function is _execute_subgraph and _execute_subgraph is not None:
            return _chain(node, needed)
        try:
            args = tuple([_argument(value, needed) for value in node.args])
            if not node.kwargs:
                return function, args
            return function, args, {name: _argument(value, needed) for name, value in node.kwargs.items()}
        except _Inner:
            needed.clear()
    elif kind is Alias:
        return itself, (_dep(node.target, needed),)
    elif kind is DataNode:
        return itself, (node.value,)
    names = tuple(node.dependencies)
    return evaluate, (node, names, *[_dep(name, needed) for name in names])


def _dep(key: Any, needed: dict[Any, int]) -> Dep:
    return Dep(needed.setdefault(key, len(needed)))


def _argument(value: Any, needed: dict[Any, int]) -> Any:
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is Alias:
        return _dep(value.target, needed)
    if isinstance(value, TaskRef):
        return _dep(value.key, needed)
    if isinstance(value, GraphNode):
        if kind is DataNode:
            return value.value
        if kind is List or kind is Tuple or kind is Set:
            return value.klass([_argument(part, needed) for part in value.args])
        if kind is Dict:
            parts = [_argument(part, needed) for part in value.args]
            return dict(zip(parts[::2], parts[1::2], strict=True))
        raise _Inner
    return value


def _chain(node: Task, needed: dict[Any, int]) -> tuple[Any, ...]:
    """A fused task: its inner tasks in an order in which they can run, and after which of them a result is not needed any more."""
    inner, last, names, *inputs = node.args
    order: list[Any] = []
    seen: set[Any] = set()
    stack = [last]
    while stack:
        key = stack[-1]
        if key in seen or key not in inner:
            stack.pop()
            continue
        missing = [one for one in inner[key].dependencies if one in inner and one not in seen]
        if missing:
            stack += missing
        else:
            seen.add(key)
            order.append(key)
            stack.pop()
    later = {last}
    steps: list[tuple[Any, GraphNode, tuple[Any, ...]]] = []
    for key in reversed(order):
        spent = tuple([one for one in inner[key].dependencies if one not in later])
        later.update(spent)
        steps.append((key, inner[key], spent))
    steps.reverse()
    return evaluate_chain, (tuple(steps), last, tuple(names), *[_argument(value, needed) for value in inputs])


def _resolved(node: GraphNode) -> GraphNode:
    """The node with dask's references for the futures in its arguments: bare, or in lists, tuples, sets and dict values. Itself if there is none."""
    kind = type(node)
    if kind is DataNode:
        value = _parsed(node.value)
        if value is node.value:
            return node
        return Alias(node.key, value.target) if type(value) is Alias else Task(node.key, itself, value)
    if not isinstance(node, Task):
        return node
    if kind is Task and node.func is _execute_subgraph and _execute_subgraph is not None:
        inner = {key: _resolved(one) for key, one in node.args[0].items()}
        if all(one is node.args[0][key] for key, one in inner.items()):
            return node
        return GraphNode.fuse(*inner.values(), key=node.key)
    args = [_parsed(value) for value in node.args]
    kwargs = {name: _parsed(value) for name, value in node.kwargs.items()}
    if all(new is old for new, old in zip(args, node.args, strict=True)) and all(kwargs[name] is value for name, value in node.kwargs.items()):
        return node
    return kind(*args) if kind is not Task else Task(node.key, node.func, *args, **kwargs)


def _parsed(value: Any) -> Any:
    """A task's argument with references for futures; itself, if there are none."""
    if isinstance(value, Task):
        return _resolved(value)
    if type(value) in _ATOMS or isinstance(value, (GraphNode, TaskRef)):
        return value
    new = parse_input(value)
    return new if isinstance(new, GraphNode) else value


def _twins(names: dict[Any, Key]) -> str:
    first: dict[Key, Any] = {}
    for key, name in names.items():
        if name in first:
            return f"{first[name]!r} and {key!r}"
        first[name] = key
    return ""
