"""Every task knows whose it is: the client that asked, and in a notebook the cell; so do the tasks that it submits, and the calls of actors."""

from __future__ import annotations

import asyncio

from jupyterfut import Client, get_client
from jupyterfut.client import origins
from jupyterfut.runtime.context import current_origin


def whose() -> tuple[str, str] | None:
    return current_origin()


def whose_child() -> tuple[str, str] | None:
    return get_client().submit(whose, pure=False).result()


async def whose_grandchild() -> tuple[str, str] | None:
    await asyncio.sleep(0)
    return await get_client().submit(whose_child, pure=False)


class Witness:
    def sees(self):
        return current_origin()

    async def sees_too(self):
        await asyncio.sleep(0)
        return current_origin()


def test_tasks_of_tasks_are_their_grandparents(monkeypatch):
    with Client(processes=False, n_workers=2, threads_per_worker=2) as client:
        assert client.submit(whose, pure=False, key="a").result() == ("a", client.id)
        monkeypatch.setattr(origins, "cell_of_call", lambda: "7")
        assert client.submit(whose, pure=False, key="b", priority=3).result() == ("b", f"{client.id}/7")
        assert client.gather(client.map(lambda n: current_origin()[1], range(3))) == [f"{client.id}/7"] * 3
        for ask in (whose_child, whose_grandchild):
            assert client.submit(ask, pure=False).result()[1] == f"{client.id}/7"


def test_a_call_of_an_actor_is_the_callers(monkeypatch):
    with Client(processes=False, n_workers=1) as client:
        witness = client.submit(Witness, actor=True).result()
        for cell in ("1", "2"):
            monkeypatch.setattr(origins, "cell_of_call", lambda cell=cell: cell)
            assert witness.sees().result()[1] == witness.sees_too().result()[1] == f"{client.id}/{cell}"


def test_calls_that_follow_each_other_share_their_options():
    marker = origins.Origins("client-1")
    plain = origins.TaskOptions()
    assert marker.mark(plain) is marker.mark(plain)
    assert marker.mark(plain).origin == "client-1" and origins.Origins("").mark(plain).origin == ""


def test_a_cell_is_introduced_once_to_each_client(monkeypatch):
    monkeypatch.setattr(origins, "cell_of_call", lambda: "7")
    monkeypatch.setattr(origins, "facts_of_cell", lambda cell: {"cell": cell})
    told = []
    marker = origins.Origins("client-1", told.append)
    for options in (origins.TaskOptions(), origins.TaskOptions(priority=1), origins.TaskOptions()):
        marker.mark(options)
    assert told == [{"cell": "7"}]
    marker.begin_again()
    marker.mark(origins.TaskOptions())
    assert told == [{"cell": "7"}] * 2
    monkeypatch.setattr(origins, "facts_of_cell", lambda cell: None)  # a cell that the notebook layer has forgotten
    monkeypatch.setattr(origins, "cell_of_call", lambda: "8")
    assert marker.mark(origins.TaskOptions()).origin == "client-1/8" and len(told) == 2
