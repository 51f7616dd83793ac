"""Questions with an answer: the handlers of `Request`, by `op`.

Most only read and answer with plain MessagePack values, which is also all that other layers (CLI, views, dashboard) get to see of the state. Those
that change something (`scatter_small`, `missing`) return recommendations for the machine to settle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jupyterfut.core.scheduler import post
from jupyterfut.core.scheduler.dispatch import Dispatch, matches
from jupyterfut.core.scheduler.groups import group_of
from jupyterfut.core.scheduler.parking import Parked
from jupyterfut.core.scheduler.state import (
    ERRED,
    MEMORY,
    QUEUED,
    RELEASED,
    STATES,
    WAITING,
    ClientState,
    State,
    TaskState,
    WorkerState,
    with_member,
)
from jupyterfut.core.scheduler.transitions import Recommendations
from jupyterfut.ids import Key
from jupyterfut.wire.messages import Failure, ReleaseData, Reply, Request, TaskOptions
from jupyterfut.wire.payload import payload_nbytes


class BadRequest(Exception):
    """The request cannot be answered; the text goes back to the one who asked, as the exception that `kind` names (of `jupyterfut.errors`, or a
    builtin one)."""

    def __init__(self, text: str, kind: str = "ValueError") -> None:
        super().__init__(text)
        self.kind = kind


class Query:
    def __init__(self, state: State, dispatch: Dispatch) -> None:
        self.state = state
        self.dispatch = dispatch
        self.ops: dict[str, Callable[[ClientState, dict[str, Any]], Any]] = {
            "locate": self.locate,
            "plan_scatter": self.plan_scatter,
            "identity": self.identity,
            "who_has": self.who_has,
            "has_what": self.has_what,
            "processing": self.processing,
            "nthreads": self.nthreads,
            "why_pending": self.why_pending,
            "story": self.story,
            "subscribe": self.subscribe,
            "unsubscribe": self.unsubscribe,
        }
        self.late_ops: dict[str, Callable[[ClientState, int, dict[str, Any]], None]] = {"wait_for_workers": self._wait_for_workers}
        self._waiting_for_workers: dict[Parked, int] = {}

    def request(self, client: ClientState, request: Request) -> Recommendations:
        """Answer, or park the request until it can be answered. A bad request gets its own error and hurts nobody else."""
        recommendations: Recommendations = []
        try:
            late = self.late_ops.get(request.op)
            if late is not None:
                late(client, request.id, request.args)
                return recommendations
            value: Any = None
            if request.op == "missing":
                self.note_missing(request.args["keys"], recommendations)
            elif request.op == "scatter_small":
                self._scatter_small(client, request.args, recommendations)
            elif request.op in self.ops:
                value = self.ops[request.op](client, request.args)
            else:
                raise BadRequest(f"the scheduler knows no request {request.op!r}")
        except BadRequest as error:
            failure = Failure(error.kind, str(error), None, "", Key(""))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            failure = Failure("ValueError", f"malformed request {request.op!r}: {type(error).__name__}: {error}", None, "", Key(""))
        else:
            post.append(self.state, client.outbox, Reply(request.id, value, None))
            return recommendations
        post.append(self.state, client.outbox, Reply(request.id, None, failure))
        return recommendations

    # --- answered later

    def _wait_for_workers(self, client: ClientState, number: int, args: dict[str, Any]) -> None:
        wanted = int(args["n"])
        here = len(self.state.workers)
        late = Failure("TimeoutError", f"waited for {wanted} workers; they are not all here", None, "", Key(""))
        parked = self.state.parked.park(client, number, args.get("timeout_s"), lambda: self._leave(parked), late)
        self._waiting_for_workers[parked] = wanted
        if here >= wanted:
            self.workers_came()

    def _leave(self, parked: Parked) -> None:
        here = len(self.state.workers)
        wanted = self._waiting_for_workers.pop(parked)
        parked.late = Failure("TimeoutError", f"waited for {wanted} workers; {here} are here", None, "", Key(""))

    def workers_came(self) -> None:
        """Answer those who waited for as many workers as there are now."""
        here = len(self.state.workers)
        for parked in [parked for parked, wanted in self._waiting_for_workers.items() if here >= wanted]:
            del self._waiting_for_workers[parked]
            self.state.parked.answer(parked, here)

    # --- notices

    def subscribe(self, client: ClientState, args: dict[str, Any]) -> None:
        """From now on the client hears what is notified on a topic."""
        self.state.topics.setdefault(str(args["topic"]), {})[client] = None

    def unsubscribe(self, client: ClientState, args: dict[str, Any]) -> None:
        post.unsubscribe(self.state, client, str(args["topic"]))

    # --- data

    def locate(self, client: ClientState, args: dict[str, Any]) -> dict[str, list[str]]:
        """Addresses of the workers that hold each key; [] for a key that nobody holds."""
        found: dict[str, list[str]] = {}
        for key in args["keys"]:
            task = self.state.tasks.get(key)
            found[key] = [worker.address for worker in task.who_has] if task is not None and task.state == MEMORY else []
        return found

    def note_missing(self, missing: list[list[str]], recommendations: Recommendations, reporter: WorkerState | None = None) -> None:
        """Pairs of a key and the address that was said to hold it and, as the reporter found, does not, or cannot be reached.

        What can be made again is made again. Data that cannot is given up only when its last holder itself says that it is gone.
        """
        for key, address in missing:
            task = self.state.tasks.get(Key(key))
            worker = self.state.workers.get(address)  # type: ignore[call-overload]  # an address on the wire is a str
            if task is None or worker is None or worker not in task.who_has:
                continue
            if task.function is not None or task.payload is not None or len(task.who_has) > 1 or worker is reporter:
                self.remove_replica(task, worker, recommendations)
                post.append(self.state, worker.outbox, ReleaseData([task.key]))  # perhaps only the road to it was broken

    def remove_replica(self, task: TaskState, worker: WorkerState, recommendations: Recommendations) -> None:
        self.dispatch.transitions.remove_replica(task, worker, recommendations)

    def plan_scatter(self, client: ClientState, args: dict[str, Any]) -> list[list[str]]:
        """For each of `count` items the workers that should get it: round robin over threads, the emptiest worker first; all of them for
        `broadcast`."""
        names = tuple(args.get("workers") or ())
        workers = [w for w in self.state.workers.values() if (not names or matches(w, names)) and not w.retiring]
        if not workers:
            raise BadRequest(f"no worker matches {list(names)}" if names else "there are no workers to scatter to")
        if args.get("broadcast"):
            return [[worker.address for worker in workers]] * args["count"]
        workers.sort(key=lambda worker: worker.nbytes)
        threads = [worker.address for worker in workers for _ in range(worker.nthreads)]
        return [[threads[i % len(threads)]] for i in range(args["count"])]

    def data_task(self, client: ClientState, key: Key, nbytes: int, type_name: str) -> TaskState:
        """The record of a piece of scattered data, which `client` wants from now on."""
        state = self.state
        task = state.tasks.get(key)
        if task is None:
            group = group_of(state, None, client.id)
            group.counts[RELEASED] += 1
            task = state.tasks[key] = TaskState(key, None, None, TaskOptions(), state.next_seq, group)
            state.next_seq += 1
        if task.state != MEMORY:
            task.nbytes = nbytes
            task.type = type_name
        task.wanted_by = with_member(task.wanted_by, client)
        client.wanted[task] = None
        return task

    def _scatter_small(self, client: ClientState, args: dict[str, Any], recommendations: Recommendations) -> None:
        """Data so small that the scheduler itself is its holder, and sends it along with the tasks that use it."""
        keys, payloads, types, nbytes = args["keys"], args["payloads"], args["types"], args["nbytes"]
        for key, payload, type_name, size in zip(keys, payloads, types, nbytes, strict=True):
            task = self.data_task(client, key, size, type_name)
            if task.payload is None and task.state != MEMORY:
                task.payload = payload
                self.state.retained_bytes += payload_nbytes(payload)
                recommendations.append((task, MEMORY))

    # --- reading

    def identity(self, client: ClientState | None, args: dict[str, Any]) -> dict[str, Any]:
        """Workers and counts of tasks."""
        state = self.state
        counts = dict.fromkeys(STATES[:-1], 0)
        for group in state.groups.values():
            for at in counts:
                counts[at] += group.counts[at]
        return {
            "workers": {worker.address: self.worker_facts(worker) for worker in state.workers.values()},
            "tasks": counts,
            # insiders are parts of the cluster itself, and viewers only look
            "clients": sum(not client_id.startswith("insider-") and not client.info.get("viewer") for client_id, client in state.clients.items()),
            "functions": len(state.functions),
        }

    @staticmethod
    def worker_facts(worker: WorkerState) -> dict[str, Any]:
        return {
            "name": worker.name,
            "nthreads": worker.nthreads,
            "memory_limit_bytes": worker.memory_limit_bytes,
            "resources": worker.resources,
            "pid": worker.pid,
            "retiring": worker.retiring,
            "host": worker.info.get("host", ""),
            "processing": len(worker.processing),
            "executing": min(len(worker.processing) - worker.blocked, worker.nthreads),
            "in_memory": len(worker.has),
            "managed_bytes": worker.nbytes,
            "metrics": worker.metrics,
        }

    def who_has(self, client: ClientState, args: dict[str, Any]) -> dict[str, list[str]]:
        keys = args.get("keys")
        if keys is None:
            keys = [key for key, task in self.state.tasks.items() if task.state == MEMORY]
        return self.locate(client, {"keys": keys})

    def has_what(self, client: ClientState, args: dict[str, Any]) -> dict[str, list[str]]:
        return {worker.address: [task.key for task in worker.has] for worker in self._chosen(args)}

    def processing(self, client: ClientState, args: dict[str, Any]) -> dict[str, list[str]]:
        return {worker.address: [task.key for task in worker.processing] for worker in self._chosen(args)}

    def nthreads(self, client: ClientState, args: dict[str, Any]) -> dict[str, int]:
        return {worker.address: worker.nthreads for worker in self._chosen(args)}

    def _chosen(self, args: dict[str, Any]) -> list[WorkerState]:
        names = tuple(args.get("workers") or ())
        return [worker for worker in self.state.workers.values() if not names or matches(worker, names)]

    def story(self, client: ClientState, args: dict[str, Any]) -> list[list[Any]]:
        epoch_s = self.state.epoch_s
        return [[now + epoch_s, key, what, detail] for now, key, what, detail in self.state.journal.story(*args["keys"])]

    def why_pending(self, client: ClientState, args: dict[str, Any]) -> str:
        """One line that says what a pending task waits for."""
        state = self.state
        task = state.tasks.get(args["key"])
        if task is None:
            return "unknown to the scheduler"
        if task.state == WAITING:
            inputs = [d.key for d in task.dependencies if d.state != MEMORY]
            return f"waits for {len(inputs)} inputs, {inputs[0]} first" if inputs else "waits"
        if task.state == QUEUED:
            return self._why_queued(task)
        if task.state in (RELEASED, ERRED, MEMORY):
            return task.state
        where = task.worker.name if task.worker is not None else "?"
        return f"blocked on worker {where}" if task.blocked else f"at worker {where}"

    def _why_queued(self, task: TaskState) -> str:
        state, options = self.state, task.options
        if not state.workers:
            return "there are no workers"
        everybody = list(state.workers.values())
        if options.workers and not options.allow_other_workers:
            named = [w for w in everybody if matches(w, tuple(options.workers))]
            if not named:
                return f"no worker matches {', '.join(options.workers)}"
            everybody = named
        if options.resources:
            able = [w for w in everybody if all(w.resources.get(name, 0.0) >= amount for name, amount in options.resources.items())]
            if not able:
                wanted = ", ".join(f"{name}={amount:g}" for name, amount in options.resources.items())
                return f"no worker has the resources {wanted}"
        if all(w.emptied for w in everybody):
            return f"worker {everybody[0].name} has retired, and no other is suitable"
        return "every suitable worker is busy"
