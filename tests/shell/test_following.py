"""Following a few tasks: each change is told, where the task runs and since when, and nothing is left behind afterwards."""

from __future__ import annotations

import queue
import threading
import time

import pytest

from jupyterfut import Client
from jupyterfut.client.following import Whereabouts, follow


class Heard(queue.SimpleQueue):
    def until(self, state: str) -> list[Whereabouts]:
        """All that was said, up to the first with this state."""
        said = []
        while not said or said[-1].state != state:
            said.append(self.get(timeout=30))
        return said


@pytest.mark.parametrize("processes", [False, True])
def test_a_task_is_followed_from_submission_to_its_end(processes, tmp_path):
    gate = tmp_path / "gate"
    with Client(processes=processes, n_workers=1, threads_per_worker=1) as client:
        first, heard = client.submit(waits_for, str(gate), key="first"), Heard()
        second = client.submit(abs, -1, key="second")  # behind it, on the same thread
        following = follow(client, ["first", "second"], heard.put)
        running = heard.until("running")[-1]
        assert running.key == "first" and running.worker == "0" and running.since <= time.time()
        gate.touch()
        assert client.gather([first, second]) == [True, 1]
        states = {}
        while states.get("second") != "finished" or states.get("first") != "finished":
            where = heard.get(timeout=30)
            states[where.key] = where.state
        following.stop()
        following.stop()
        assert not client._followers._by_key and not client._followers._known
        third = client.submit(abs, -3)
        assert third.result() == 3 and heard.empty()


def waits_for(path: str) -> bool:
    """Watches a file: the test's own process makes it."""
    import os

    while not os.path.exists(path):
        os.sched_yield()
    return True


def test_whoever_comes_later_is_told_what_is_known_and_failures_are_told():
    gate = threading.Event()
    with Client(processes=False, n_workers=1) as client:
        future = client.submit(lambda: gate.wait(30) and 1 / 0, key="x", pure=False)
        one, two = Heard(), Heard()
        follow(client, ["x"], one.put)
        one.until("running")
        late = follow(client, ["x"], two.put)
        assert two.until("running")
        late.stop()
        gate.set()
        assert one.until("error")
        with pytest.raises(ZeroDivisionError):
            future.result()
        nobody = Heard()
        follow(client, ["no such task"], nobody.put)
        assert nobody.get(timeout=30).state == "unknown"
        assert two.empty() or two.get().state == "running"
