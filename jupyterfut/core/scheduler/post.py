"""Outgoing mail: rows for the same peer and of the same kind join one message, so that a thousand tasks make one `Compute` and one `KeysReady`.

Mail keeps its order: a row joins only the last message of its outbox.
"""

from __future__ import annotations

from typing import Any

from jupyterfut.core.effects import Send
from jupyterfut.core.scheduler.state import MEMORY, ClientState, FunctionState, Outbox, State, TaskState, WorkerState
from jupyterfut.ids import Address, Key
from jupyterfut.wire.messages import (
    AsClient,
    CancelTasks,
    Compute,
    ForgetFunctions,
    KeysCancelled,
    KeysFailed,
    KeysLost,
    KeysPending,
    KeysReady,
    Message,
    Notices,
    ReleaseData,
    StealTasks,
    TaskOptions,
)
from jupyterfut.wire.payload import Payload


def append(state: State, outbox: Outbox, message: Message) -> None:
    """Send `message`. A message of columns joins the last one of its kind."""
    messages = outbox.messages
    if messages:
        last = messages[-1]
        kind = type(message)
        if type(last) is kind:
            if kind is ReleaseData or kind is KeysPending:
                last[0].extend(message[0])
                return
            if kind is KeysFailed or kind is StealTasks or (kind is CancelTasks and last[2] == message[2]):
                last[0].extend(message[0])
                last[1].extend(message[1])
                return
            if kind is Notices:
                last[0].extend(message[0])
                last[1].extend(message[1])
                return
            if (kind is KeysCancelled or kind is KeysLost) and last[1] == message[1]:
                last[0].extend(message[0])
                return
    else:
        state.dirty[outbox] = None
    messages.append(message)


def ready(state: State, client: ClientState, task: TaskState, payload: Payload | None) -> None:
    """Tell the client that the result exists, with the result itself when it is small."""
    outbox = client.outbox
    messages = outbox.messages
    if messages:
        last = messages[-1]
        if type(last) is KeysReady:
            keys, payloads, types, nbytes = last
            keys.append(task.key)
            payloads.append(payload)
            types.append(task.type)
            nbytes.append(task.nbytes)
            return
    else:
        state.dirty[outbox] = None
    messages.append(KeysReady([task.key], [payload], [task.type], [task.nbytes]))


def open_ready(state: State, client: ClientState) -> KeysReady:
    """The message to which rows for this client may be appended."""
    messages = client.outbox.messages
    if messages and type(messages[-1]) is KeysReady:
        return messages[-1]
    message = KeysReady([], [], [], [])
    append(state, client.outbox, message)
    return message


def open_release(state: State, worker: WorkerState) -> list[Key]:
    """The keys of the `ReleaseData` to which more may be appended."""
    messages = worker.outbox.messages
    if messages and type(messages[-1]) is ReleaseData:
        return messages[-1].keys
    message = ReleaseData([])
    append(state, worker.outbox, message)
    return message.keys


def open_compute(state: State, worker: WorkerState, function: FunctionState, options: TaskOptions) -> Compute:
    """The message to which calls of this function with these options may be appended."""
    messages = worker.outbox.messages
    if messages:
        last = messages[-1]
        if (
            type(last) is Compute
            and last.function == function.id
            and last.origin == options.origin
            and last.resources == options.resources
            and last.actor == options.actor
        ):
            return last
    message = Compute(function.id, [], [], [], [], [], {}, {}, options.resources, options.actor, options.origin)
    append(state, worker.outbox, message)
    return message


def inputs(message: Compute, task: TaskState) -> None:
    """Say where the inputs of the message's last row are."""
    rows = message.dependencies
    while len(rows) < len(message.keys) - 1:  # rows without inputs before the first with
        rows.append([])
    rows.append([d.key for d in task.dependencies])
    for dependency in task.dependencies:
        if dependency.state == MEMORY:
            if dependency.payload is not None:
                message.inline[dependency.key] = dependency.payload
            else:
                message.where[dependency.key] = addresses(dependency)


def addresses(task: TaskState) -> list[Address]:
    return [worker.address for worker in task.who_has]


def cancel(state: State, task: TaskState) -> None:
    """Tell the task's worker that this attempt is not wanted any more."""
    assert task.worker is not None
    append(state, task.worker.outbox, CancelTasks([task.key], [task.attempt], state.interrupting))


def forget_function(state: State, function: FunctionState) -> None:
    """Nobody calls it any more, here or on the workers."""
    del state.functions[function.id]
    for worker in function.workers:
        del worker.functions[function]
        append(state, worker.outbox, ForgetFunctions([function.id]))
    function.workers.clear()


def notice(state: State, topic: str, value: Any) -> None:
    """Tell all who have subscribed to the topic."""
    for client in state.topics.get(topic, ()):
        append(state, client.outbox, Notices([topic], [value]))


def unsubscribe(state: State, client: ClientState, topic: str) -> None:
    """The client does not listen to the topic any more."""
    subscribers = state.topics.get(topic)
    if subscribers is not None:
        subscribers.pop(client, None)
        if not subscribers:
            del state.topics[topic]


def collect(state: State) -> list[Send]:
    """Everything that was written while the event was handled, as effects."""
    effects: list[Send] = []
    for outbox in state.dirty:
        peer, client = outbox.peer, outbox.client
        if client is None:
            for message in outbox.messages:
                effects.append(Send(peer, message))
        else:
            effects.extend([Send(peer, AsClient(client, message)) for message in outbox.messages])
        outbox.messages = []
    state.dirty.clear()
    return effects
