"""What an error says of the way that it came, where its traceback goes, and a failed call made here."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from jupyterfut import Client, as_completed, get_client, wait
from jupyterfut.client import blame
from jupyterfut.config import ClientSettings, Settings, settings, use
from jupyterfut.errors import CancelledError, NoSuchKey, TimeoutError  # noqa: A004
from jupyterfut.serde.tracebacks import is_ours


def ratio(x: int, y: int) -> float:
    return x / y


def double(x: Any) -> Any:
    return 2 * x


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(processes=False, n_workers=1, threads_per_worker=1) as client:
        yield client


def notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", []))


def test_a_failure_of_its_own_says_nothing_more(client: Client) -> None:
    assert notes(client.submit(ratio, 1, 0).exception()) == []


def test_what_stands_on_a_failure_says_which_was_first(client: Client) -> None:
    first = client.submit(ratio, 1, 0, key="first")
    second = client.submit(double, first, key="second")
    third = client.submit(double, second, key="third")
    fourth = client.submit(double, third, key="fourth")
    for _ in range(2):  # the note does not pile up
        assert notes(second.exception()) == ["second was not run, because first failed"]
        assert notes(fourth.exception()) == ["fourth was not run, because first failed; between them: second, third"]
    assert notes(first.exception()) == []


def test_a_failure_of_a_task_of_a_task_of_a_task(client: Client) -> None:
    def leaf(x: int) -> int:
        return {}[x]  # type: ignore[no-any-return]  # it fails

    def branch(x: int) -> Any:
        return get_client().submit(leaf, x, key="leaf").result()

    def root(x: int) -> Any:
        return get_client().submit(branch, x, key="branch").result()

    error = client.submit(root, 5, key="root").exception()
    assert notes(error) == ["from the task leaf", "by way of the task branch", "by way of the task root"]
    assert [frame.name.rpartition(".")[2] for frame in traceback.extract_tb(error.__traceback__)] == ["root", "branch", "leaf"]


def test_a_notebook_may_call_them_otherwise(client: Client) -> None:
    blame.label = lambda key, origin: {"a": "x (cell In[3])", "b": "cell In[4]", "c": "cell In[4]"}.get(key, "")
    try:
        a = client.submit(ratio, 1, 0, key="a")
        b = client.submit(double, a, key="b")
        c = client.submit(double, b, key="c")
        d = client.submit(double, c, key="d")
        assert notes(d.exception()) == ["d was not run, because x (cell In[3]) failed; between them: cell In[4]"]
    finally:
        blame.label = None


def ways_to_ask(client: Client, future: Any) -> dict[str, Any]:
    async def awaits() -> Any:
        return await future

    return {
        "result": lambda: future.result(), "gather": lambda: client.gather([future]), "nested": lambda: client.gather({"a": [future]}),
        "as_completed": lambda: list(as_completed([future], with_results=True)), "next": lambda: as_completed([future], with_results=True).next(),
        "await": lambda: asyncio.run(awaits()), "recreate": lambda: client.recreate_error_locally(future),
    }  # fmt: skip


def test_the_traceback_goes_from_the_users_call_to_the_users_code(client: Client) -> None:
    future = client.submit(ratio, 1, 0)
    for way, ask in ways_to_ask(client, future).items():
        with pytest.raises(ZeroDivisionError) as caught:
            ask()
        frames = [frame for frame in traceback.extract_tb(caught.value.__traceback__) if "asyncio" not in frame.filename]
        assert frames[-1].name == "ratio", way
        assert not [frame for frame in frames if is_ours(frame.filename)], way


def test_so_does_that_of_our_own_errors(client: Client) -> None:
    never = client.submit(ratio, 1, 1, resources={"GPU": 1})
    for ask in (lambda: never.result(timeout=0.01), lambda: wait([never], timeout=0.01), lambda: client.gather([never], timeout=0.01)):
        with pytest.raises(TimeoutError) as caught:
            ask()
        assert not [frame for frame in traceback.extract_tb(caught.value.__traceback__) if is_ours(frame.filename)]
    never.cancel()
    with pytest.raises(CancelledError) as cancelled:
        never.result()
    assert traceback.extract_tb(cancelled.value.__traceback__)[-1].filename == __file__


def test_ours_are_shown_on_request(client: Client) -> None:
    future = client.submit(ratio, 1, 0)
    before = settings()
    use(Settings(client=ClientSettings(full_tracebacks="yes")))
    try:
        with pytest.raises(ZeroDivisionError) as caught:
            future.result()
    finally:
        use(before)
    assert [frame for frame in traceback.extract_tb(caught.value.__traceback__) if is_ours(frame.filename)]


def test_a_failed_call_is_made_here(client: Client) -> None:
    held = {"here": False}

    def only_there(x: int, *, y: int) -> int:
        if not held["here"]:
            raise ValueError("there")
        return x + y

    inputs = client.map(double, [1, 2])
    future = client.submit(only_there, inputs[0], y=inputs[1])
    above = client.submit(double, future)
    del inputs  # they are made again
    with pytest.raises(ValueError, match="there"):
        client.recreate_error_locally(above)
    held["here"] = True
    assert client.recreate_error_locally(above) == 6
    assert client.recreate_error_locally(client.submit(double, 4)) == 8


def test_what_cannot_be_made_here_says_so(client: Client) -> None:
    with pytest.raises(TypeError, match="takes a future, not int"):
        client.recreate_error_locally(3)  # type: ignore[arg-type]  # bad input
    cancelled = client.submit(double, 1, resources={"GPU": 1})
    cancelled.cancel()
    with pytest.raises(CancelledError):
        client.recreate_error_locally(cancelled)
    with pytest.raises(ValueError, match="is data, and no call"):
        client.recreate_error_locally(client.scatter(5))
    released = client.submit(double, 1)
    released.result()
    released._record.key = "nobody"  # type: ignore[assignment]  # as if it had been forgotten
    with pytest.raises(NoSuchKey, match="nobody"):
        client.recreate_error_locally(released)


def test_an_asynchronous_client_awaits_it() -> None:
    async def story() -> None:
        async def slowly(x: int) -> float:
            await asyncio.sleep(0)
            return 1 / x

        async with Client(processes=False, asynchronous=True) as client:
            future = client.submit(slowly, 0)
            with pytest.raises(ZeroDivisionError):
                await client.recreate_error_locally(future)
            assert await client.recreate_error_locally(client.submit(double, 2)) == 4

    asyncio.run(story())


def test_a_coroutine_function_is_awaited(client: Client) -> None:
    async def slowly(x: int) -> float:
        await asyncio.sleep(0)
        return 1 / x

    with pytest.raises(ZeroDivisionError):
        client.recreate_error_locally(client.submit(slowly, 0))
