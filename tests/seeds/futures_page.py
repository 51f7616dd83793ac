"""The stories of the pages "Tasks" (003) and "Futures" (004), which are the same page under two names of one thing. Each module subclasses
`FuturesPage` and says which name it uses; what only one of the pages has stands there.

What a page leaves to its reader is in `given`. Objects such as `threading.Event` are shared with the tasks where the cluster lives in this process.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pages
import pytest
from pages import Page

from jupyterfut import Client

THREADS = """
    from jupyterfut import Client

    client = Client(processes=False, n_workers=1, threads_per_worker=1)
"""


class FuturesPage:
    """One method for each section of the page."""

    one: str  #: "task" or "future", as the page calls it
    many: str
    waiting: str  #: the title of the section on waiting

    def test_start_dask_client(self, page: Page) -> None:
        page.run("Start Dask Client")
        assert page["client"].submit(abs, -1).result() == 1

    def test_submit_tasks(self, page: Page) -> None:
        page.given(THREADS, gate=threading.Event())
        page.given("held = client.submit(lambda: gate.wait(60), pure=False)")  # the only thread is busy, so that `a` is still pending
        page.run("Submit Tasks", 0, 1)
        page["gate"].set()
        page.run("Submit Tasks", 2, 3, 4)
        assert page["c"].result() == 32
        assert page["client"].gather(page[self.many]) == list(range(1, 1001))

    def test_move_data(self, page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("training-data.csv").write_text("a,b\n1,2\n3,4\n", encoding="utf-8")
        page.run("Start Dask Client", 0)
        page.run("Submit Tasks", 0, 3, 4)
        page.run("Move Data", 0, 1)
        assert page["results"] == list(range(1, 1001))
        page.given("""
            import pandas as pd

            def my_function(df):
                return int(df.to_numpy().sum())
        """)
        page.run("Move Data", 2)
        assert page[self.one].result() == 10
        page.run("Move Data", 3)
        assert page[self.one].result() == 10
        page.run("Move Data", 4)

    def test_references(self, page: Page) -> None:
        page.given(THREADS)
        page.given(f"{self.one} = client.submit(list, 'abc')\nkey = {self.one}.key\n{self.one}.result()")
        assert page["client"].who_has()[page["key"]]
        page.run("References, Cancellation, and Exceptions", 0)
        page["client"].who_has()  # a death leaves with the messages of its moment, and after them
        assert not page["client"].who_has()

    def test_cancellation(self, page: Page) -> None:
        page.given(THREADS)
        page.given(f"{self.one} = client.submit(list, 'abc')\nkept = {self.one}\n{self.one}.result()")
        page.run("References, Cancellation, and Exceptions", 1)
        assert page["kept"].status == "cancelled"

    def test_exceptions(self, page: Page) -> None:
        page.run("Start Dask Client", 0)
        page.run("Submit Tasks", 0)
        page.run("References, Cancellation, and Exceptions", 2, 3)
        assert isinstance(page["b"].exception(), ZeroDivisionError)
        assert page["b"].traceback() is not None

    def test_waiting(self, page: Page) -> None:
        page.given(THREADS)
        page.given(f"""
            def score(x):
                return 10 - (x - 3) ** 2

            x_values = range(7)
            {self.many} = client.map(score, x_values)
        """)
        page.run(self.waiting, 0)
        assert {future.status for future in page[self.many]} == {"finished"}
        page.run(self.waiting, 1, 2, 3)
        assert page["best"] == 10

    def test_work_that_grows(self, page: Page) -> None:
        page.given(THREADS)
        page.given(f"""
            from jupyterfut import as_completed

            def double(x):
                return 2 * x

            def condition(y):
                return False

            {self.many} = client.map(double, range(1, 4))
        """)
        page.run(self.waiting, 4)
        page.given("""
            seen = []

            def condition(y):
                seen.append(y)
                return y < 16
        """)
        page.run(self.waiting, 4, instead={"client.submit(...)": "client.submit(double, y)"})
        assert sorted(page["seen"]) == [2, 4, 4, 6, 8, 8, 12, 16, 16, 24]

    def test_fire_and_forget(self, page: Page) -> None:
        written: queue.Queue[Any] = queue.Queue()
        page.given(THREADS, written=written)
        page.given("""
            def load(filename):
                return filename

            def process(data):
                return data.upper()

            def write(data, out_filename):
                written.put((out_filename, data))

            filename, out_filename = "letters", "out-letters"
            filenames = ["a", "b", "c"]
        """)
        page.run("Fire and Forget", 0, 1)
        page.given("del a, b, c")
        assert written.get(timeout=20) == ("out-letters", "LETTERS")
        page.given("def process_data(data):\n    return data.upper()")
        # The page calls two functions `process`: the one of the reader that it submits, and its own around it, which would now submit itself.
        page.run("Fire and Forget", 2, instead={"client.submit(process, a)": "client.submit(process_data, a)"})
        assert sorted(written.get(timeout=20) for _ in range(3)) == [("out-a", "A"), ("out-b", "B"), ("out-c", "C")]

    def test_my_function(self, page: Page) -> None:
        page.given(THREADS)
        page.run("Submit Tasks from Tasks", 0)
        assert isinstance(page["client"].submit(page["my_function"], 1).exception(), TypeError)  # `...` is no function
        page.given("def inc(x):\n    return x + 1")
        page.run("Submit Tasks from Tasks", 0, instead={"client.submit(...)": "client.submit(inc, x)"})
        assert page["client"].submit(page["my_function"], 1).result() == 4

    def test_monitor(self, page: Page) -> None:
        devices = [Device(range(3)), Device(range(3, 5))]
        processed: queue.Queue[int] = queue.Queue()
        page.given(THREADS, devices=devices, processed=processed)
        page.given("""
            from jupyterfut import fire_and_forget, get_client

            def process(data):
                processed.put(data)
        """)
        page.run("Submit Tasks from Tasks", 1)  # as the page has it, `monitor` is submitted without its device, and fails unheard
        page.run("Submit Tasks from Tasks", 1, instead={"client.submit(monitor)": "client.submit(monitor, device)"})
        assert sorted(processed.get(timeout=20) for _ in range(5)) == [0, 1, 2, 3, 4]

    def test_monitor_that_secedes(self, page: Page) -> None:
        device = Device(range(4), step_by_step=True)
        page.given(THREADS, device=device)
        page.given("""
            from jupyterfut import fire_and_forget

            def process(data):
                device.go_on.release()
        """)
        page.run("Submit Tasks from Tasks", 2)
        watching = page["client"].submit(page["monitor"], device, pure=False)  # on a worker with one thread, which `process` needs too
        assert isinstance(watching.exception(timeout=20), NoMoreData)

    def test_rejoin(self, page: Page) -> None:
        page.given(THREADS)
        page.given("""
            from jupyterfut import get_client, rejoin, secede

            def func(x):
                return x * x

            def analyze(results):
                return sum(results)
        """)
        page.run("Submit Tasks from Tasks", 3)
        assert page["client"].submit(page["f"], 5).result() == 30

    def test_dask_collection_in_a_task(self, page: Page, tmp_path: Path) -> None:
        names = tmp_path / "names.csv"
        names.write_text("name,x\nalice,1\nbob,2\nalice,3\n", encoding="utf-8")
        page.given(THREADS)
        page.given("import dask.dataframe as dd")
        page.run("Submit Tasks from Tasks", 4)
        assert page["client"].submit(page["f"], "alice", str(names)).result()["x"] == 2

    def test_queue_of_futures(self, page: Page) -> None:
        page.given("""
            from jupyterfut import Client, fire_and_forget, get_client

            def load(filename):
                return filename

            def process(data):
                return data.upper()

            filenames = ["a", "b", "c"]
        """)
        printed = page.enough_after(3)
        page.run("Queues", 0)
        assert sorted(printed) == ["A", "B", "C"]

    def test_queue_of_errors(self, page: Page) -> None:
        page.given(THREADS)
        page.given("from jupyterfut import Queue")
        page.run("Queues", 1)
        page["client"].submit(page["func"], 1).result()
        assert page["error_queue"].qsize() == 0
        page.run("Queues", 1, instead={"...": "raise ValueError(f'cannot do {x}')"})
        page["client"].submit(page["func"], 1).result()
        assert page["error_queue"].get(timeout=20) == "cannot do 1"

    def test_queue_of_small_things(self, page: Page) -> None:
        page.given(THREADS)
        page.given("from jupyterfut import Queue\nq = Queue()")
        page.run("Queues", 2)
        value, future, status = (page["q"].get(timeout=20) for _ in range(3))
        assert value is ...
        assert future.result() is ...
        assert status == {"status": "OK", "stage=": 1234}

    def test_variables(self, page: Page) -> None:
        page.given(THREADS)
        page.given("import numpy as np\nfrom jupyterfut import Variable")
        page.run("Global Variables")
        assert page["var"].get().result().item() is ...

    def test_locks(self, page: Page) -> None:
        page.given(THREADS)
        page.given("filenames = ['a', 'b', 'c']")
        page.run("Locks", 0)
        assert not page["lock"].locked()
        page.run("Locks", 1)
        assert page["client"].gather(page[self.many]) == [..., ..., ...]
        page.run("Locks", 2)
        assert page["client"].gather(page[self.many]) == [..., ..., ...]

    def test_an_event_and_two_clients(self, page: Page) -> None:
        page.given(THREADS)
        with pages.opened(page.path) as other:
            other.given("from jupyterfut import Client\nclient = Client(address)", address=page["client"].address)
            waiting = threading.Thread(target=self.wait_for_event, args=(page,))
            waiting.start()
            with other["client"].as_current():
                other.run("Events", 1)
            waiting.join(20)
            assert not waiting.is_alive()

    @staticmethod
    def wait_for_event(page: Page) -> None:
        with page["client"].as_current():
            page.play("Events", 0)

    def test_an_event_for_many(self, page: Page) -> None:
        page.given(THREADS)
        page.run("Events", 2)
        assert page["client"].gather(page[self.many]) == [None] * 10

    def test_semaphore(self, page: Page) -> None:
        page.given(THREADS)
        page.run("Semaphore")
        assert page["client"].gather(page[self.many]) == [None] * 10

    def test_counter(self, page: Page) -> None:
        page.run("Example: Counter")

    def test_parameter_server(self, page: Page) -> None:
        means = [float(line) for line in page.run("Example: Parameter Server").split()]
        assert len(means) == 20
        assert means[0] == pytest.approx(0.5988202981316124, abs=0.05)
        assert means[10] == pytest.approx(0.9569236575164062, abs=0.01)

    def test_actors_asynchronously(self, page: Page) -> None:
        page.run("Example: Counter", 0)
        page.run("Asynchronous Operation", 0)

        async def story() -> None:
            async with Client(processes=False, asynchronous=True) as client:
                page.given(client=client)
                await page["f"]()

        asyncio.run(story())


class NoMoreData(Exception):
    """The device is empty, and its monitor ends."""


class Device:
    """Something to watch that gives its values and then ends; step by step: the next value only when the one before has been processed."""

    def __init__(self, values: Collection[int], step_by_step: bool = False) -> None:
        self.values = iter(values)
        self.go_on = threading.Semaphore(1 if step_by_step else len(values) + 1)

    def read_data(self) -> int:
        assert self.go_on.acquire(timeout=20)
        for value in self.values:
            return value
        raise NoMoreData
