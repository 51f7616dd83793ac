"""The end of a world: everything is let go, and nothing may be left.

`settle(world)` makes every future die and every function go, waits until nothing moves any more, and raises AssertionError, with what is still there,
when some machine, store or thread keeps something that nobody wants.
"""

from __future__ import annotations

from jupyterfut.core.client.invariants import check_at_rest as check_client_at_rest
from jupyterfut.core.scheduler.invariants import at_rest as at_rest_in_scheduler
from jupyterfut.sim.coordinating import Usher, end_affairs
from jupyterfut.sim.world import World

REST_S = 400.0
"""Virtual seconds after which nothing may be left, once everything was let go."""


def settle(world: World, *, leaving: int | None = None, limit_s: float = REST_S, usher: Usher | None = None) -> None:
    """Let everything go and check that it is gone. `leaving`: of the clients, every fourth closes instead, beginning with this one."""
    if world.trace is not None:
        world.trace.say(world.now(), "everything is let go")
    for number, client in enumerate(world.clients):
        if client.left or not client.alive or (usher is not None and client is usher.client):
            continue
        if leaving is not None and (leaving + number) % 4 == 0:
            client.leave()
        else:
            client.release(list(client.futures))
            client.forget_functions()
    if usher is not None:
        end_affairs(world, usher, limit_s)
    world.run(until=lambda: at_rest(world), limit_s=limit_s)
    check_rest(world)


def at_rest(world: World) -> bool:
    """Whether nothing is left of any task anywhere and nothing is under way."""
    state = world.scheduler.machine.state
    if state.tasks or state.parked or world.clock.foreground:
        return False
    for worker in world.places.values():  # calls that nobody wants may have run until now, and used their client
        if worker.task_client is not None and worker.task_client.functions:
            worker.task_client.forget_functions()
            return False
    if any(client.client_id in state.clients for client in world.clients if client.left):
        return False  # it left before it was welcomed: its lease has to end
    return all(not (worker.store or worker.machine.tasks or worker.threads) for worker in world.places.values() if worker.alive)


def check_rest(world: World) -> None:
    """Nothing is left in any machine."""
    check_machines(world)
    state = world.scheduler.machine.state
    left = at_rest_in_scheduler(world.scheduler.machine)
    assert not left, f"the scheduler keeps {left}"
    assert not state.functions, f"functions are left: {list(state.functions)}"
    transitions = world.scheduler.machine.transitions
    assert not transitions.looks_for, f"futures in opaque arguments are left: {transitions.looks_for}"
    assert not transitions.looked_for, f"futures in opaque arguments are left: {transitions.looked_for}"
    assert not transitions.with_futures, f"results with futures are left: {transitions.with_futures}"
    for client in world.clients:
        if client.left:
            assert client.client_id not in state.clients, f"{client} has left, and is still on record"
        elif client.alive:
            check_client_at_rest(client.machine)
    for worker in world.places.values():
        if worker.alive:
            assert not worker.threads, f"{worker} still runs {[thread.key for thread in worker.threads.values()]}"
            assert not worker.functions or worker.link is None, f"{worker} keeps functions {list(worker.functions)}"


def check_machines(world: World) -> None:
    """The invariants of every machine, once."""
    for node in (world.scheduler, *world.places.values(), *world.clients):
        if node.alive:
            type(node).check(node.machine)


def leftovers(world: World) -> str:
    """What is still there, for the report of a world that does not come to rest."""
    state = world.scheduler.machine.state
    tasks = [(t.key, t.state, t.worker and t.worker.name, [c.id for c in t.wanted_by], t.waiters, t.held) for t in state.tasks.values()]
    lines = [f"pending: {[record.key for record in world.pending()][:10]}", f"scheduler: {tasks[:10]}"]
    for worker in world.places.values():
        lines.append(f"{worker}: link {worker.machine.link.state}, threads {[thread.key for thread in worker.threads.values()][:10]}")
        lines.append(f"    tasks {list(worker.machine.tasks.values())[:10]}, store {list(worker.store)[:10]}")
    lines.append(f"gathers: {[(client.name, client.open_gathers) for client in world.clients if client.open_gathers]}")
    return "\n".join(lines)
