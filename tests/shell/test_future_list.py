"""`FutureList`, what `map` returns: a list wherever a list is wanted."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator

import pytest

from jupyterfut import Client, as_completed, wait
from jupyterfut.client.future_list import FutureList


@pytest.fixture(params=[False, True], ids=["by reference", "pickled"])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    with Client(processes=request.param, n_workers=1, threads_per_worker=2) as client:
        yield client


def test_the_cluster_sees_a_plain_list(client: Client) -> None:
    futures = client.map(abs, range(-3, 0))
    assert type(futures) is FutureList
    assert client.submit(sum, futures).result() == 6
    assert client.submit(lambda named: sum(named["all"]), {"all": futures}).result() == 6
    assert client.submit(lambda items: type(items).__name__, futures).result() == "list"
    gathered = client.gather({"all": futures, "some": (futures[:1],)})
    assert gathered == {"all": [3, 2, 1], "some": ([3],)}
    assert type(client.gather(futures)) is list
    assert wait(futures).not_done == set()
    assert {future.result() for future in as_completed(futures)} == {1, 2, 3}
    with pytest.raises(TypeError, match="takes data"):
        client.scatter(futures)


def test_a_list_with_the_ways_of_lists(client: Client) -> None:
    futures = client.map(abs, range(-3, 0))
    for same in (futures[:], futures.copy(), copy.copy(futures), futures + []):
        assert type(same) is FutureList
        assert same == futures == list(futures)
    carried = pickle.loads(pickle.dumps(futures))
    assert type(carried) is list
    assert [future.key for future in carried] == [future.key for future in futures]


def test_who_watches_hears_of_each_change(client: Client) -> None:
    futures = client.map(abs, range(-3, 0))
    heard: list[int] = []

    def look() -> None:
        heard.append(len(futures))

    futures.watch(look)
    futures.append(futures[0])
    futures.extend(futures[:2])
    futures += futures[:1]
    futures.insert(0, futures.pop())
    futures[0] = futures[1]
    del futures[0]
    futures.remove(futures[0])
    futures.clear()
    assert heard == [4, 6, 7, 6, 7, 7, 6, 5, 0]
    futures.unwatch(look)
    futures.append(1)
    assert len(heard) == 9


def test_its_text_is_short(client: Client) -> None:
    futures = client.map(abs, range(30))
    wait(futures)
    assert repr(futures) == "<FutureList: abs 30 futures: 30 finished>"
    assert repr(futures[:2]) == repr(list(futures[:2]))
    bundle = futures._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert "30 of 30 done" in bundle["text/html"]
    assert repr(FutureList([1])) == "[1]"
