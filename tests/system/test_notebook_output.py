"""What tasks say lands under the cell that submitted them: with a real kernel, looking at what it sends to the front end."""

from __future__ import annotations

import queue
import textwrap
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kernels import Kernel

pytestmark = pytest.mark.usefixtures("kernel_loop")

Outputs = list[tuple[str, str]]

SAYING = """
from jupyterfut import Client
client = Client(processes=False, n_workers=1)
future = client.submit(abs, -1)
_ = future.result()
def say(origin, *parts):
    client._session.notify(f"output:{client.id}", [future.key, origin, [list(part) for part in parts]])
    client.who_has()
"""
"""A worker's part, played by the kernel itself."""


class Watched(Kernel):
    """A kernel, and all that it sends."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[dict[str, Any]] = []

    def cell(self, code: str, cell_id: str = "") -> str:
        """Run a cell; returns the id of the request."""
        message = self.client.session.msg(
            "execute_request", {"code": code, "silent": False, "store_history": True, "allow_stdin": False, "user_expressions": {}}
        )
        message["metadata"]["cellId"] = cell_id
        self.client.shell_channel.send(message)
        name: str = message["header"]["msg_id"]
        self.until(lambda one: one["msg_type"] == "status" and one["content"]["execution_state"] == "idle" and one["parent_header"]["msg_id"] == name)
        while (reply := self.client.get_shell_msg(timeout=60))["parent_header"]["msg_id"] != name:
            assert reply
        assert reply["content"]["status"] == "ok", "\n".join(reply["content"]["traceback"])
        return name

    def until(self, wanted: Any, timeout_s: float = 60) -> dict[str, Any]:
        """Take in what comes until something that is wanted."""
        deadline = time.monotonic() + timeout_s
        while True:
            message = self.client.get_iopub_msg(timeout=max(0.01, deadline - time.monotonic()))
            self.messages.append(message)
            if wanted(message):
                return message  # type: ignore[no-any-return]  # jupyter_client has no types

    def until_shown(self, request: str, kind: str) -> None:
        """Take in what comes until a cell has this kind of output."""
        if not any(one["msg_type"] == kind for one in self.sent(request)):
            self.until(lambda one: one["msg_type"] == kind and one["parent_header"]["msg_id"] == request)

    def outputs(self, request: str) -> Outputs:
        """What stands under a cell, as a front end keeps it."""
        found: Outputs = []
        for message in self.messages:
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                if found and found[-1][0] == content["name"]:
                    found[-1] = (content["name"], found[-1][1] + content["text"])
                else:
                    found.append((content["name"], content["text"]))
            elif kind in ("display_data", "execute_result"):
                found.append((kind, content["data"]["text/plain"]))
        return found

    def sent(self, request: str) -> list[dict[str, Any]]:
        """The messages of output that were sent for a cell."""
        kinds = ("stream", "display_data", "update_display_data")
        return [message for message in self.messages if message["parent_header"].get("msg_id") == request and message["msg_type"] in kinds]


@pytest.fixture(scope="module")
def shared() -> Iterator[Watched]:
    kernel = Watched()
    kernel.cell(SAYING)
    yield kernel
    kernel.cell("client.close()")
    kernel.end()


@pytest.fixture
def kernel(shared: Watched) -> Watched:
    shared.messages.clear()
    return shared


def test_it_lands_under_its_cell_while_that_runs_and_when_another_does(kernel: Watched) -> None:
    first = kernel.cell("here = client._origins.here()\nsay(here, ['out', 'early\\n'])")
    second = kernel.cell("say(here, ['out', 'late\\n'], ['display', {'data': {'text/plain': 'figure'}, 'metadata': {}}])\nprint('mine')")
    kernel.until_shown(first, "display_data")
    assert kernel.outputs(first) == [("stdout", "early\nlate\n"), ("display_data", "figure")]
    assert kernel.outputs(second) == [("stdout", "mine\n")]


def test_what_the_cell_says_itself_keeps_its_place(kernel: Watched) -> None:
    code = """
    here = client._origins.here()
    print(1)
    say(here, ['out', '2\\n'])
    print(3)
    say(here, ['err', '4\\n'])
    display(5)
    say(here, ['out', '6\\n'])
    print(7, flush=True)
    say(here, ['out', '8\\n'])
    9
    """
    expected = [("stdout", "1\n2\n3\n"), ("stderr", "4\n"), ("display_data", "5"), ("stdout", "6\n7\n8\n"), ("execute_result", "9")]
    for _ in range(5):
        assert kernel.outputs(kernel.cell(textwrap.dedent(code))) == expected


def test_all_of_it_is_there_when_the_cell_is_done(kernel: Watched) -> None:
    cell = kernel.cell("here = client._origins.here()\nfor n in range(50): say(here, ['out', f'{n}\\n'], ['err', f'{n}\\n'])")
    idle = next(i for i, one in enumerate(kernel.messages) if one["msg_type"] == "status" and one["content"]["execution_state"] == "idle")
    outputs = kernel.messages[:idle]
    for name in ("stdout", "stderr"):
        said = "".join(one["content"]["text"] for one in outputs if one["msg_type"] == "stream" and one["content"]["name"] == name)
        assert said == "".join(f"{n}\n" for n in range(50))
    assert len(kernel.sent(cell)) < 40


def test_it_moves_while_the_cell_sleeps(kernel: Watched) -> None:
    code = """
    import threading, time
    here = client._origins.here()
    threading.Timer(0.1, say, (here, ['out', 'moving\\n'])).start()
    time.sleep(1)
    """
    began = time.monotonic()
    cell = kernel.client.execute(textwrap.dedent(code))
    kernel.until_shown(cell, "stream")
    assert time.monotonic() - began < 0.9
    kernel.until(lambda one: one["msg_type"] == "status" and one["content"]["execution_state"] == "idle")
    kernel.client.get_shell_msg(timeout=60)


def test_a_cell_that_is_run_again_does_not_get_what_its_earlier_run_says(kernel: Watched) -> None:
    first = kernel.cell("old = client._origins.here()", cell_id="a")
    second = kernel.cell("new = client._origins.here()", cell_id="a")
    kernel.cell("say(old, ['out', 'old\\n'])\nsay(new, ['out', 'new\\n'])", cell_id="b")
    kernel.until_shown(second, "stream")
    assert (kernel.outputs(first), kernel.outputs(second)) == ([], [("stdout", "new\n")])


def test_a_cell_that_awaits_and_its_background_are_that_cell(kernel: Watched) -> None:
    code = """
    import asyncio
    origins = []
    async def later():
        await asyncio.sleep(0.05)
        origins.append(client._origins.here())
    await asyncio.sleep(0)
    background = asyncio.create_task(later())
    origins.append(client._origins.here())
    """
    kernel.cell(textwrap.dedent(code))
    kernel.cell("await background\norigins.append(client._origins.here())")
    kernel.run("print(*[one.partition('/')[2] for one in origins])")
    said = kernel.run("a, b, c = origins\nprint(a == b, b == c)")
    assert said == "True False\n"


def test_cells_inside_a_cell_are_that_cell(kernel: Watched) -> None:
    code = "a = client._origins.here()\nget_ipython().run_cell('b = client._origins.here()')\nc = client._origins.here()"
    kernel.cell(code)
    assert kernel.run("print(a == b == c)") == "True\n"


def test_an_error_in_what_is_displayed_harms_nobody(kernel: Watched) -> None:
    cell = kernel.cell("here = client._origins.here()\nsay(here, ['display', {'data': {'text/plain': object}, 'metadata': {}}], ['out', 'on\\n'])")
    assert ("stdout", "on\n") in kernel.outputs(cell)


def test_a_cell_that_captures_its_output_captures_that_of_its_tasks(kernel: Watched) -> None:
    figure = "['display', {'data': {'text/plain': 'figure'}, 'metadata': {}}]"
    cell = kernel.cell(f"%%capture caught\nhere = client._origins.here()\nsay(here, ['out', 'one\\n'], ['err', 'two\\n'], {figure})")
    assert kernel.outputs(cell) == []
    assert kernel.run("print(caught.stdout, caught.stderr, [one.data for one in caught.outputs])") == "one\n two\n [{'text/plain': 'figure'}]\n"


def test_with_the_static_display_it_comes_when_the_cell_ends(kernel: Watched) -> None:
    kernel.cell("from jupyterfut import config\nlive = config.settings()")
    kernel.cell("config.use(live._replace(notebook=live.notebook._replace(display='static')))")
    cell = kernel.cell("here = client._origins.here()\nfor n in range(30): say(here, ['err', f'\\r{n} %'])")
    kernel.cell("config.use(live)")
    assert [message["content"]["text"] for message in kernel.sent(cell)] == ["29 %"]


def test_detached_it_goes_to_the_kernels_own_streams(kernel: Watched) -> None:
    kernel.cell("from jupyterfut.notebook import attach\nhere = client._origins.here()\nattach.detach()")
    kernel.cell("say(here, ['out', 'plain\\n'])")
    kernel.cell("attach.attach()")

    def is_plain(message: dict[str, Any]) -> bool:  # whichever cell the kernel takes it for
        return message["msg_type"] == "stream" and message["content"]["text"] == "plain\n"

    if not any(map(is_plain, kernel.messages)):
        kernel.until(is_plain)
    cell = kernel.cell("here = client._origins.here()\nsay(here, ['out', 'again\\n'])")
    assert kernel.outputs(cell) == [("stdout", "again\n")]


def test_listeners_hear_of_the_end_of_each_cell(kernel: Watched) -> None:
    code = """
    from jupyterfut.notebook import attach
    heard = []
    def ended(cell, result):
        heard.append((cell.number, type(result.error_in_exec).__name__))
    attach.on_cell_end(ended)
    attach.on_cell_end(ended)
    """
    kernel.cell(textwrap.dedent(code))
    kernel.client.execute_interactive("1 / 0", timeout=60, output_hook=lambda message: None)
    kernel.cell("attach.off(ended)")
    assert kernel.run("print([name for _, name in heard], len({number for number, _ in heard}))") == "['NoneType', 'ZeroDivisionError'] 2\n"


# --- with real tasks


def iopub_bytes(kernel: Watched, code: str) -> tuple[int, int]:
    """What a cell costs on the kernel's iopub channel, in bytes and messages, until it is done."""
    before = len(kernel.messages)
    kernel.cell(textwrap.dedent(code))
    messages = kernel.messages[before:]
    return sum(len(part) for message in messages for part in kernel.client.session.serialize(message)), len(messages)


@pytest.fixture(scope="module")
def cluster(shared: Watched) -> Watched:
    shared.cell("from jupyterfut import as_completed\nlocal, client = client, Client(n_workers=2, threads_per_worker=1)")
    return shared


def test_a_megabyte_costs_little_more_than_a_megabyte(cluster: Watched) -> None:
    cluster.messages.clear()
    code = """
    def talk():
        for n in range(12_500):
            print(f"{n:>79}")
    client.submit(talk, pure=False).result()
    """
    nbytes, messages = iopub_bytes(cluster, code)
    text = "".join(one["content"]["text"] for one in cluster.messages if one["msg_type"] == "stream")
    assert text == "".join(f"{n:>79}\n" for n in range(12_500))
    assert nbytes < 1_100_000
    assert messages < 60


def test_a_bar_of_ten_thousand_steps_costs_little(cluster: Watched) -> None:
    code = """
    def bar():
        import sys, time
        for n in range(10_000):
            sys.stderr.write(f"\\r{n / 100:6.2f} % " + "#" * (n // 200))
        sys.stderr.write("\\n")
    client.submit(bar, pure=False).result()
    """
    nbytes, _ = iopub_bytes(cluster, code)
    assert nbytes < 50_000


def test_a_cell_that_waits_for_its_tasks_has_what_they_said(cluster: Watched) -> None:
    cluster.messages.clear()
    code = """
    def outer(n):
        from jupyterfut import get_client
        print("outer", n)
        get_client().submit(print, "inner", n, pure=False).result()
        return n
    print("begin")
    for done in as_completed(client.map(outer, range(3), pure=False)):
        done.result()
    print("end")
    """
    cell = cluster.cell(textwrap.dedent(code))
    ((name, text),) = cluster.outputs(cell)
    lines = text.splitlines()
    assert (name, lines[0], lines[-1]) == ("stdout", "begin", "end")
    assert sorted(lines[1:-1]) == [*(f"inner {n}" for n in range(3)), *(f"outer {n}" for n in range(3))]


def test_jupyterfuts_print_and_warn_find_the_cell(cluster: Watched) -> None:
    cluster.messages.clear()
    code = """
    import jupyterfut
    def say_it():
        print("one")
        jupyterfut.print("two")
        print("three")
        jupyterfut.warn("four")
    first = client.submit(say_it, pure=False, workers="1")
    """
    first = cluster.cell(textwrap.dedent(code))
    second = cluster.cell("first.result()\nprint(first.log)")
    cluster.until_shown(first, "stream")
    while not any("four" in text for _, text in cluster.outputs(first)):
        cluster.until(lambda one: one["msg_type"] == "stream")
    assert dict(cluster.outputs(first))["stdout"] == "one\ntwo\nthree\n"
    assert cluster.outputs(second) == [("stdout", "one\ntwo\nthree\n\n")]


def test_an_asynchronous_client_in_a_notebook(cluster: Watched) -> None:
    cluster.messages.clear()
    code = """
    other = await Client(client.cluster, asynchronous=True, set_as_default=False)
    print("begin")
    await other.submit(print, "from a task", pure=False)
    print("end")
    await other.close()
    """
    assert cluster.outputs(cluster.cell(textwrap.dedent(code))) == [("stdout", "begin\nfrom a task\nend\n")]
    cluster.cell("client.close()\nclient = local")


def test_nothing_is_left_unread(kernel: Watched) -> None:
    with pytest.raises(queue.Empty):
        kernel.client.get_iopub_msg(timeout=0.2)
