"""Launch Tasks from Tasks: three ways from data to tasks, and fib in three more, all as the page has them."""

from __future__ import annotations

from pages import Page

DOCUMENT = "000_tasks_from_tasks.md"

READERS_OWN = """
    from jupyterfut import Client

    def download_and_convert_to_list(uri):
        return [len(part) for part in uri.split("/")]

    def process_element(x):
        return 10 * x

    def aggregate(values):
        return sum(values)

    uri = "a/bcd/ef"
    client = e = Client(processes=False, n_workers=1, threads_per_worker=2)
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
    page.given("data = future")  # here the list stays on the cluster
    page.run("Submit tasks from client")
    assert page["n"] == 3
    assert page["client"].gather(page["elements"]) == [1, 3, 2]
    assert page["analysis"].result() == 60


def test_the_sequential_fib(page: Page) -> None:
    assert page.run("Extended Example") == "55\n"


def test_dask_delayed(page: Page) -> None:
    assert page.run("dask.delayed") == "55\n"


def test_get_client(page: Page) -> None:
    assert page.run("Getting the client on a worker", 0) == "55\n"


def test_secede_and_rejoin(page: Page) -> None:
    page.run("Getting the client on a worker", 0)
    page.run("Getting the client on a worker", 1)
    assert page["client"].submit(page["fib"], 11).result() == 89


def test_worker_client(page: Page) -> None:
    page.given("from jupyterfut import Client")  # the page imported it further above
    assert page.run("Connection with context manager") == "55\n"
