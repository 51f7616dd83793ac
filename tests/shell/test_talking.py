"""What a cluster has to say: metadata, events, what tasks print and warn, datasets, logs."""

from __future__ import annotations

import asyncio
import queue
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

import jupyterfut
from jupyterfut import CancelledError, Client, Reschedule, Scheduler, Worker, get_client, get_worker, warn
from jupyterfut.errors import SerializationError


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(processes=False, n_workers=1, threads_per_worker=2) as client:
        yield client


def another(client: Client, **options: Any) -> Client:
    return Client(client.address, set_as_default=False, **options)


# --- metadata


def test_metadata_is_there_for_everybody(client: Client) -> None:
    client.set_metadata("epochs", 3)
    with another(client) as other:
        assert other.get_metadata("epochs") == 3
    assert client.submit(lambda: get_client().get_metadata("epochs")).result() == 3


def test_a_path_of_metadata_leads_into_dicts(client: Client) -> None:
    client.set_metadata(["a", "b", "c"], 1)
    client.set_metadata(("a", "b", "d"), [1, (2, None), b"x"])
    assert client.get_metadata("a") == {"b": {"c": 1, "d": [1, [2, None], b"x"]}}
    assert client.get_metadata(["a", "b", "c"]) == 1
    client.set_metadata(["a", "b", "c", "deeper"], 2)  # a plain value on the way makes room
    assert client.get_metadata(["a", "b", "c"]) == {"deeper": 2}
    assert client.get_metadata([]) == client.get_metadata(()) == {"a": {"b": {"c": {"deeper": 2}, "d": [1, [2, None], b"x"]}}}


def test_nobody_changes_metadata_behind_the_schedulers_back(client: Client) -> None:
    mine = {"list": [1]}
    client.set_metadata("x", mine)
    mine["list"].append(2)
    client.get_metadata("x")["list"].append(3)
    assert client.get_metadata("x") == {"list": [1]}


def test_missing_metadata_says_what_there_is(client: Client) -> None:
    client.set_metadata(["model", "epochs"], 3)
    with pytest.raises(KeyError, match=r"no metadata 'nope' \(there are: 'model'\)"):
        client.get_metadata("nope")
    with pytest.raises(KeyError, match=r"inside \['model'\] \(there are: 'epochs'\)"):
        client.get_metadata(["model", "nope"])
    with pytest.raises(KeyError, match="which is no dict but int"):
        client.get_metadata(["model", "epochs", "deeper"])
    assert client.get_metadata("nope", None) is None


@pytest.mark.parametrize(
    ("path", "value", "error", "text"),
    [
        ("x", {"a": [object()]}, TypeError, r"metadata\['a'\]\[0\]: object is not plain data"),
        ("x", {1: 2}, TypeError, "the key 1 is no string"),
        ("x", 2**70, TypeError, "beyond 64 bits"),
        ("x", "\ud800", TypeError, "surrogate"),
        ("x", b"x" * 2_000_000, ValueError, "use scatter"),
        (5, 1, TypeError, "a string, or a list of strings"),
        ([], 1, ValueError, "the path is empty"),
    ],
)
def test_bad_metadata_is_refused_with_its_place(client: Client, path: Any, value: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        client.set_metadata(path, value)
    assert client.get_metadata([]) == {}


def test_metadata_that_holds_itself_is_refused(client: Client) -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(TypeError, match="inside itself"):
        client.set_metadata("ring", ring)


def test_numbers_of_numpy_are_plain_numbers(client: Client) -> None:
    import numpy as np

    client.set_metadata("x", [np.float64(0.5), np.int32(3), np.bool_(True)])
    assert client.get_metadata("x") == [0.5, 3, True]


# --- events


def test_events_come_back_as_they_were_said(client: Client) -> None:
    before = time.time()
    mine = {"epoch": 1, "losses": (0.5, 0.25)}
    client.log_event("training", mine)
    client.log_event(["training", "other"], 7)
    (first, a), (second, b) = client.get_events("training")
    assert (a, b) == ({"epoch": 1, "losses": (0.5, 0.25)}, 7)
    assert a is not mine
    assert before - 0.1 <= first <= second <= time.time() + 0.1
    assert [msg for _, msg in client.get_events()["other"]] == [7]
    assert client.get_events("nobody said that") == ()


def test_a_worker_adds_its_address(client: Client) -> None:
    def work() -> str:
        worker = get_worker()
        worker.log_event("work", {"step": 1})
        worker.log_event(["work"], "done")
        return str(worker.address)

    address = client.submit(work).result()
    assert [msg for _, msg in client.get_events("work")] == [{"step": 1, "worker": address}, {"msg": "done", "worker": address}]


def test_a_handler_hears_what_comes_after_it_subscribed(client: Client) -> None:
    heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
    client.log_event("t", "before")
    client.subscribe_topic("t", heard.put)
    client.subscribe_topic("t", lambda event: heard.put(client.submit(abs, -event[1]).result()))  # in its place; and it may block
    client.log_event("t", 1)
    client.submit(lambda: get_client().log_event("t", 2)).result()
    assert [heard.get(timeout=10), heard.get(timeout=10)] == [1, 2]
    client.unsubscribe_topic("t")
    client.log_event("t", 3)
    client.get_events("t")
    assert heard.empty()
    with pytest.raises(ValueError, match=r"no handler is subscribed to 't' \(there are: print, warn\)"):
        client.unsubscribe_topic("t")


def test_a_handler_may_be_a_coroutine_function_and_may_fail(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    heard: queue.SimpleQueue[Any] = queue.SimpleQueue()

    async def handler(event: Any) -> None:
        if event[1] == "bad":
            raise RuntimeError("not this one")
        heard.put(event[1])

    client.subscribe_topic("t", handler)
    for msg in ("good", "bad", "better"):
        client.log_event("t", msg)
    assert [heard.get(timeout=10), heard.get(timeout=10)] == ["good", "better"]
    client.get_events("t")  # the loop has gone on since
    assert "the handler of events on 't' raised" in caplog.text


@pytest.mark.parametrize("topic", [5, None, ["a", 5]])
def test_a_topic_is_a_string(client: Client, topic: Any) -> None:
    with pytest.raises(TypeError, match="a topic is a string"):
        client.log_event(topic, 1)
    with pytest.raises(TypeError, match="a topic is a string"):
        client.subscribe_topic(topic, print)


def test_bad_events_are_refused(client: Client) -> None:
    with pytest.raises(SerializationError):
        client.log_event("t", (x for x in "ab"))
    with pytest.raises(ValueError, match="use scatter"):
        client.log_event("t", bytes(2_000_000))
    with pytest.raises(TypeError, match="a handler must be callable"):
        client.subscribe_topic("t", 5)  # type: ignore[arg-type]
    assert client.get_events("t") == ()


def test_events_and_metadata_in_an_asynchronous_client() -> None:
    async def main() -> None:
        async with Client(processes=False, n_workers=1, threads_per_worker=1, asynchronous=True) as client:
            heard: list[Any] = []
            arrived = asyncio.Event()

            def handler(event: Any) -> None:
                heard.append(event[1])
                arrived.set()

            await client.set_metadata(["a", "b"], 1)
            assert await client.get_metadata("a") == {"b": 1}
            with pytest.raises(KeyError):
                await client.get_metadata("c")
            client.subscribe_topic("t", handler)
            client.log_event("t", 1)
            await arrived.wait()
            await client.log_event("t", 2)
            assert [msg for _, msg in await client.get_events("t")] == [1, 2]
            assert heard[0] == 1

    asyncio.run(main())


# --- print and warn


def say(x: int) -> int:
    jupyterfut.print("hello", x, sep="-", end="!\n")
    jupyterfut.print("trouble", file=sys.stderr)
    return x


def test_what_a_task_prints_is_there_before_its_result(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    for x in range(20):
        client.submit(say, x, pure=False).result()
        assert capsys.readouterr() == (f"hello-{x}!\n", "trouble\n")


def test_tasks_of_tasks_print_too_and_in_order(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    def outer() -> int:
        jupyterfut.print("before")
        value = int(get_client().submit(say, 1).result())
        jupyterfut.print("after")
        return value

    client.submit(outer).result()
    assert capsys.readouterr().out == "before\nhello-1!\nafter\n"


def test_a_coroutine_prints_too(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    async def task() -> None:
        jupyterfut.print("from a coroutine")

    client.submit(task).result()
    assert capsys.readouterr().out == "from a coroutine\n"


def test_two_clients_in_one_process_print_once(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    with another(client) as other:
        other.submit(say, 1).result()
        client.get_metadata([])  # what was on its way to this one has come
        assert capsys.readouterr().out == "hello-1!\n"


def test_a_client_may_take_the_prints_itself_or_not_want_them(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
    client.subscribe_topic("print", heard.put)
    future = client.submit(say, 1)
    future.result()
    said = heard.get(timeout=10)[1]
    assert (said["text"], said["file"], said["key"], said["client"]) == ("hello-1!\n", 1, future.key, client.id)
    assert said["worker"] in client.nthreads()
    client.unsubscribe_topic("print")
    client.submit(say, 2).result()
    assert capsys.readouterr() == ("", "")
    assert [msg["text"] for _, msg in client.get_events("print")] == ["hello-1!\n", "trouble\n", "hello-2!\n", "trouble\n"]


def test_at_the_client_it_is_the_builtin_print(capsys: pytest.CaptureFixture[str]) -> None:
    jupyterfut.print("a", 1, sep="", end=".")
    assert capsys.readouterr().out == "a1."
    with pytest.raises(TypeError):
        jupyterfut.print("a", sep=5)  # type: ignore[arg-type]


def test_a_task_prints_to_the_two_streams_only(client: Client) -> None:
    def to_a_file() -> None:
        import io

        jupyterfut.print("x", file=io.StringIO())

    with pytest.raises(TypeError, match="inside a task, print takes"):
        client.submit(to_a_file).result()
    with pytest.raises(TypeError, match="sep must be None or a string"):
        client.submit(jupyterfut.print, "x", sep=5).result()


def test_a_very_long_print_is_cut(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    client.submit(jupyterfut.print, "x" * 1_000_000).result()
    out = capsys.readouterr().out
    assert out.startswith("xxx")
    assert out.endswith("more characters)\n")
    assert len(out) < 200_000


def test_half_a_character_does_not_stop_the_others(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    client.submit(jupyterfut.print, "a\ud800b").result()
    client.submit(jupyterfut.print, "c").result()
    assert capsys.readouterr().out == "a?b\nc\n"


class OldData(UserWarning):
    pass


def careful(category: Any = UserWarning) -> int:
    warn("the data is old", category)
    return 1


def test_a_warning_of_a_task_is_a_warning_here(client: Client) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert client.submit(careful).result() == 1
        assert client.submit(careful, OldData).result() == 1
    assert [(str(w.message), w.category, w.filename) for w in caught] == [
        ("the data is old", UserWarning, __file__),
        ("the data is old", OldData, __file__),
    ]


def test_a_filter_that_raises_is_logged(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert client.submit(careful).result() == 1
    assert "the data is old" in caplog.text


def test_a_category_is_a_class_of_warnings(client: Client) -> None:
    with pytest.raises(TypeError, match="category must be a class of warnings"):
        warn("x", int)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="category must be a class of warnings"):
        client.submit(careful, int).result()


def test_at_the_client_it_is_the_usual_warning() -> None:
    with pytest.warns(OldData, match="by hand") as caught:
        warn(OldData("by hand"))
    assert caught[0].filename == __file__


# --- datasets


def test_a_dataset_outlives_the_client_that_published_it(client: Client) -> None:
    with another(client) as other:
        other.publish_dataset({"squares": other.map(pow, [1, 2, 3], [2, 2, 2])}, one=other.submit(abs, -1, pure=False))
    futures = client.get_dataset("squares")
    assert client.gather(futures) == [1, 4, 9]
    assert client.get_dataset("one").result() == 1
    assert client.list_datasets() == ("one", "squares")


def test_a_dataset_keeps_its_tasks_until_it_is_unpublished(client: Client) -> None:
    future = client.submit(abs, -5, pure=False)
    key = future.key
    client.publish_dataset(future, name="kept")
    future.release()
    assert client.get_dataset("kept").result() == 5
    client.unpublish_dataset("kept")
    client.get_metadata([])  # what has been released since is known to the scheduler
    assert client.scheduler_info()["tasks"]["memory"] == 0, key


def test_pending_futures_come_out_of_a_dataset_too(client: Client) -> None:
    import threading

    gate = threading.Event()
    with another(client) as other:
        other.publish_dataset(waits=other.submit(gate.wait, 30))
    future = client.get_dataset("waits")
    assert future.status == "pending"
    gate.set()
    assert future.result() is True


def test_names_and_forms_of_publishing(client: Client) -> None:
    client.publish_dataset(1, 2, name=("a", 3))
    client.publish_dataset({"b": None, 7: [1]})
    assert client.get_dataset(("a", 3)) == (1, 2)
    assert set(client.list_datasets()) == {("a", 3), "b", 7}
    assert client.get_dataset("b") is None
    assert client.get_dataset("c", default=0) == 0
    assert client.submit(lambda: get_client().get_dataset(7)).result() == [1]


def test_an_existing_name_needs_override(client: Client) -> None:
    client.publish_dataset(a=1)
    with pytest.raises(KeyError, match="dataset 'a' exists already: publish it with override=True"):
        client.publish_dataset(a=2, b=3)
    assert client.list_datasets() == ("a",)  # all or none
    client.publish_dataset(a=2, override=True)
    assert client.get_dataset("a") == 2


@pytest.mark.parametrize(
    "look", [lambda client: client.get_dataset("x"), lambda client: client.unpublish_dataset("x"), lambda client: client.datasets["x"]]
)
def test_an_unknown_dataset_names_those_that_there_are(client: Client, look: Any) -> None:
    client.publish_dataset(a=1)
    with pytest.raises(KeyError, match=r"no dataset 'x' \(there are: 'a'\)"):
        look(client)


def test_bad_datasets_are_refused(client: Client) -> None:
    for wrong in (lambda: client.publish_dataset(), lambda: client.publish_dataset(5), lambda: client.publish_dataset({"a": 1}, a=2)):
        with pytest.raises(TypeError, match="publish_dataset"):
            wrong()
    for name in (True, None, b"x", (1, [2])):
        with pytest.raises(TypeError, match="a dataset's name is"):
            client.get_dataset(name)
    assert client.list_datasets() == ()


def test_datasets_are_a_mapping(client: Client) -> None:
    client.datasets["a"] = 1
    client.datasets["b"] = 2
    assert dict(client.datasets) == {"a": 1, "b": 2}
    assert len(client.datasets) == 2
    assert "a" in client.datasets
    assert "c" not in client.datasets
    with pytest.raises(KeyError, match="exists already"):
        client.datasets["a"] = 3
    del client.datasets["a"]
    assert list(client.datasets) == ["b"]
    assert client.datasets.pop("b") == 2
    with pytest.raises(KeyError):
        del client.datasets["a"]


def test_datasets_in_an_asynchronous_client() -> None:
    async def main() -> None:
        async with Client(processes=False, n_workers=1, threads_per_worker=1, asynchronous=True) as client:
            await client.publish_dataset(a=client.submit(abs, -1))
            assert await (await client.get_dataset("a")) == 1
            assert await (await client.datasets["a"]) == 1
            assert [name async for name in client.datasets] == ["a"]
            with pytest.raises(KeyError):
                await client.get_dataset("b")
            assert await client.get_dataset("b", 5) == 5
            with pytest.raises(TypeError, match="await client.publish_dataset"):
                client.datasets["b"] = 1
            for look in (lambda: "a" in client.datasets, lambda: len(client.datasets), lambda: list(client.datasets)):
                with pytest.raises(TypeError, match="asynchronous client"):
                    look()
            await client.unpublish_dataset("a")
            assert await client.list_datasets() == ()

    asyncio.run(main())


def test_a_client_that_nobody_has_goes_though_it_listens(client: Client) -> None:
    import gc
    import weakref

    other = another(client)
    other.subscribe_topic("t", print)
    other.forward_logging("here")
    ref = weakref.ref(other)
    del other
    gc.collect()
    assert ref() is None


# --- logs: what is forwarded from other processes is in tests/system


def test_in_one_process_a_record_comes_once(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.forward_logging("here", level="INFO")
    client.submit(lambda: __import__("logging").getLogger("here").warning("once")).result()
    client.unforward_logging("here")
    assert [record.getMessage() for record in caplog.records if record.name == "here"] == ["once"]


def test_bad_loggers_and_levels_are_refused(client: Client) -> None:
    with pytest.raises(ValueError, match="logging knows no level 'LOUD'"):
        client.forward_logging("x", level="LOUD")
    with pytest.raises(TypeError, match="a level is"):
        client.forward_logging("x", level=None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a logger's name is a string"):
        client.forward_logging(5)  # type: ignore[arg-type]
    client.forward_logging("x")
    with pytest.raises(ValueError, match=r"the logger 'root' is not forwarded \(these are: 'x'\)"):
        client.unforward_logging()


# --- tasks that ask to run again


def test_a_task_may_ask_to_run_again(client: Client) -> None:
    runs: list[int] = []

    def sometimes() -> int:
        runs.append(1)
        if len(runs) < 5:
            raise Reschedule
        return len(runs)

    future = client.submit(sometimes)
    assert future.result() == 5
    assert [what for _, _, what, _ in client.story(future)].count("sent") == 5


def test_a_task_that_waits_for_a_later_one_lets_it_run() -> None:
    done: list[int] = []

    def first() -> int:
        if not done:
            raise Reschedule("the other has not run yet")
        return 1

    with Client(processes=False, n_workers=1, threads_per_worker=1) as client:
        futures = [client.submit(first), client.submit(done.append, 1)]
        assert client.gather(futures) == [1, None]


def test_a_task_that_asks_for_ever_can_be_cancelled(client: Client) -> None:
    def never() -> None:
        raise Reschedule

    future = client.submit(never)
    assert client.submit(abs, -1).result() == 1  # others run
    future.cancel()
    assert future.cancelled()
    assert client.submit(abs, -2).result() == 2
    assert client.processing() == {address: [] for address in client.nthreads()}


# --- links


def test_a_new_scheduler_hears_what_this_client_wants() -> None:
    async def main() -> None:
        s = await Scheduler(port=0).start()
        client = await Client(s, asynchronous=True)
        port = int(s.address.rpartition(":")[2])
        waiting = client.submit(abs, -1)
        await client.forward_logging("training", level=10)
        assert await client.get_task_stream() == []
        client.subscribe_topic("t", print)
        await client.list_datasets()
        topics = {"event:print", "event:warn", "event:t", "log", f"output:{client.id}"}
        assert set(s.machine.state.topics) == topics
        s._listener.close()
        for peer in list(s._clients.values()):
            s._links[peer].stream._sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]  # a socket stream
        s._links.clear()  # it was killed: it says no goodbye
        await s.close()
        async with Scheduler(port=port, token=s.token) as again, Worker(again.address, nthreads=1, token=s.token):
            with pytest.raises(CancelledError):
                await waiting.result(timeout=20)
            await client.list_datasets()
            assert again.machine.observing.told[:2] == ({"training": 10}, True)
            assert set(again.machine.state.topics) == topics
            await client.close()

    asyncio.run(main())


def test_what_a_task_says_is_there_before_its_result_over_sockets(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        async with Scheduler(port=0) as s, Worker(s.address, nthreads=2, token=s.token), Client(s, asynchronous=True) as client:
            for x in range(20):
                assert await client.submit(say, x, pure=False) == x
                assert f"hello-{x}!\n" in capsys.readouterr().out
            assert len(await client.get_events("print")) == 40

    asyncio.run(main())


def test_handlers_inside_tasks_end_with_the_task_client(client: Client) -> None:
    def listen() -> Any:
        heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
        here = get_client()
        here.subscribe_topic("inside", heard.put)
        here.log_event("inside", 5)
        return heard.get(timeout=10)[1]

    assert client.submit(listen).result() == 5  # its thread ends with the worker: a check after each test looks for that
