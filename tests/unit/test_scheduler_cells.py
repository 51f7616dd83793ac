"""What the scheduler is told of notebook cells."""

from __future__ import annotations

from test_scheduler_machine import Cluster

from jupyterfut.core.scheduler.cells import CELLS_KEPT, Cell
from jupyterfut.wire import messages as m

FACTS = {"cell": "3", "cell_id": "abc", "number": 5, "title": "df = read(path)", "submitted": True}


class Notebook(Cluster):
    """Client 0 lives in a kernel."""

    def __init__(self) -> None:
        super().__init__(1, 1, 0)
        self.say(50, m.ClientHello("nb", "nb", False, 0, {"kernel": "k1", "session": "/home/me/a.ipynb", "junk": [1]}))  # type: ignore[arg-type]

    def tell(self, **facts: object) -> m.Reply:
        self.say(50, m.Request(1, "cell_told", {**FACTS, **facts}))
        return self.heard(50, m.Reply)[-1]


def test_a_cell_is_known_by_its_origin() -> None:
    cluster = Notebook()
    assert cluster.tell().failure is None
    assert cluster.machine.state.cells == {"nb/3": Cell("k1", "/home/me/a.ipynb", "abc", 5, "df = read(path)", True, cluster.machine.state.now)}
    assert cluster.machine.state.clients["nb"].info == {"kernel": "k1", "session": "/home/me/a.ipynb"}  # type: ignore[index]


def test_only_the_newest_are_kept() -> None:
    cluster = Notebook()
    for i in range(CELLS_KEPT + 5):
        cluster.tell(cell=str(i))
    assert list(cluster.machine.state.cells) == [f"nb/{i}" for i in range(5, CELLS_KEPT + 5)]


def test_what_makes_no_sense_is_refused() -> None:
    cluster = Notebook()
    for wrong in ({"cell": ""}, {"cell": "a/b"}, {"number": -1}, {"title": 3}):
        failure = cluster.tell(**wrong).failure
        assert failure is not None and failure.kind == "ValueError"
    assert cluster.machine.state.cells == {}
