"""How far a task is, in a word and a colour. A client knows five states of a future; who follows a pending task knows where it stands as well."""

from __future__ import annotations

from jupyterfut.views.style import Look, dot

_STEPS = ("waiting", "queued", "assigned", "running")
_TONES = {"finished": "good", "running": "wait", "error": "bad", "lost": "bad", "pending": "idle"} | dict.fromkeys(_STEPS[:3], "idle")


def state_dot(status: str, step: str = "") -> str:
    """The spot that stands before a task. An unknown status is grey."""
    state = _state(status, step)
    return dot(_TONES.get(state, "off"), state, moves=state == "running")


def state_text(status: str, step: str, worker: str, look: Look) -> str:
    """The state in words, with the place if there is one.

    >>> state_text("pending", "running", "3", Look()), state_text("pending", "running", "3", Look(static=True))
    ('running on worker 3', 'pending')
    """
    if look.static:
        return status
    state = _state(status, step)
    if not worker or state not in ("running", "assigned"):
        return state
    return f"running on worker {worker}" if state == "running" else f"assigned to worker {worker}"


def _state(status: str, step: str) -> str:
    return step if status == "pending" and step in _STEPS else status
