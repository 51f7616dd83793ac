"""Launch Tasks from Tasks in its oldest text: `Executor` and `local_executor` are the older names of `Client` and `worker_client`."""

from __future__ import annotations

import itertools
import re

from pages import Page

DOCUMENT = "001_local_executor.md"

READERS_OWN = """
    from jupyterfut import Executor

    def download_and_convert_to_list(uri):
        return [len(part) for part in uri.split("/")]

    def process_element(x):
        return 10 * x

    def aggregate(values):
        return sum(values)

    uri = "a/bcd/ef"
    e = Executor(processes=False, n_workers=1, threads_per_worker=2)
"""


def test_gather_the_data_locally(page: Page) -> None:
    page.given(READERS_OWN)
    page.run("Motivating example")
    page.run("Gather the data locally")
    assert page["data"] == [1, 3, 2]
    assert page["analysis"].result() == 60


def test_submit_tasks_from_the_client(page: Page) -> None:
    page.given(READERS_OWN)
    page.run("Motivating example")
    page.given("data = future")
    page.run("Submit tasks from client")
    assert page["analysis"].result() == 60


def test_submit_tasks_from_the_worker(page: Page) -> None:
    page.given(READERS_OWN)
    page.run("Motivating example")
    page.given("data = future")
    page.run("Submit tasks from worker")
    assert page["analysis"].result() == 60


def test_fib_of_a_hundred(page: Page) -> None:
    page.run("Extended Example")


def test_fib_of_a_hundred_on_one_worker_with_two_threads(page: Page) -> None:
    page.run("Extended Example", instead={"Executor()": "Executor(n_workers=1, threads_per_worker=2)"})


def test_restoring_added_only_the_lost_calls(page: Page) -> None:
    """What is restored is what was found, with the lost `e.map(function` put back, and without prompts."""

    def bare(text: str) -> str:
        text = re.sub(r"`+python|`+|In \[\d\]:|Out\[\d\]:|>>>|\.\.\.:?|\[\]", "", text.replace("[...]", ""))
        return re.sub(r"\s+", "", text.replace("e.map(process_element, data)", ", data)").replace("e.map(process_element, elements)", ", elements)"))

    blocks = page.blocks
    pairs = [(found, restored) for found, restored in itertools.pairwise(blocks) if found.note == "as found"]
    assert len(pairs) == 4
    assert all(bare(found.text) == bare(restored.text) for found, restored in pairs)
