"""What is true of a client's machine between two events. Tests and the simulator call `check` after every one."""

from __future__ import annotations

from jupyterfut.core.client.machine import ClientMachine


def check(machine: ClientMachine) -> None:
    """Raise AssertionError, naming the key, when the machine's records contradict each other.

    >>> from jupyterfut.ids import ClientId
    >>> check(ClientMachine(ClientId("c"), "c"))
    """
    state = machine.state
    for key, record in state.records.items():
        assert record.key == key, f"{record} stands under {key}"
        assert record.references > 0, f"{record} lives without a future"
        assert record.status != "cancelled", f"{record} is cancelled and still in the table"
        assert (record.failure is not None) == (record.status == "error"), f"{record}: failure {record.failure}"
        assert (record.reason is not None) == (record.status == "lost"), f"{record}: reason {record.reason}"
        assert record.payload is None or record.status == "finished", f"{record} has a payload"
        assert record.status != "finished" or record.type is not None, f"{record} has no type"
    for function_id, function in state.functions.items():
        assert function.users > 0, f"function {function_id} has no user"
    for number in (*state.askers, *state.fences):
        assert number < state.next_question, f"question {number} was never asked"
    assert not set(state.askers) & set(state.fences), "a question is a fence too"
    assert all(number in state.askers for number in state.arriving), "a delivery that nobody asked for arrives"
    for key, fence in state.muted.items():
        assert key in state.fences.get(fence, ()), f"{key} is muted until fence {fence}, which does not stand"
    for fence, keys in state.fences.items():
        for key in keys:
            assert state.muted.get(key, 0) >= fence, f"fence {fence} does not mute {key}"
    if state.left:
        assert not state.records, "closed, and records are left"
        assert not state.askers, "closed, and questions are left"


def check_at_rest(machine: ClientMachine) -> None:
    """After all futures are gone and all messages have arrived: nothing is left but the functions that still have a user."""
    check(machine)
    state = machine.state
    assert not state.records, f"records are left: {list(state.records)[:5]}"
    assert not state.askers, f"questions are left: {list(state.askers)[:5]}"
    assert not state.arriving, f"deliveries are left: {list(state.arriving)[:5]}"
    assert not state.fences, f"fences are left: {list(state.fences)[:5]}"
    assert not state.muted, f"keys are muted: {list(state.muted)[:5]}"
