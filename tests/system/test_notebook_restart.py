"""A kernel that is restarted, killed or lost loses nothing: its kept cluster holds the results, and the notebook's next kernel takes them over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kernels import Kernel

from jupyterfut.deploy import registry
from jupyterfut.runtime import connections
from jupyterfut.runtime.process import wait_gone

pytestmark = pytest.mark.usefixtures("kernel_loop")

SUBMITS = """
from jupyterfut import default_client
client = default_client()
x = client.submit(pow, 2, 10)
ys = client.map(abs, range(-5, 0))
bad = client.submit(lambda: 1 / 0)
nested = {"first": ys[0], "rest": (ys[1], 3)}
"""


class Notebook(Kernel):
    """A kernel that is restarted as a Jupyter server does it."""

    def __init__(self) -> None:
        super().__init__()
        self.cards: list[str] = []

    def restart(self, *, now: bool) -> None:
        self.manager.restart_kernel(now=now)
        self.client.wait_for_ready(timeout=60)

    def say(self, code: str) -> str:
        """Run code; return what it printed and displayed, as text."""
        said: list[str] = []

        def hear(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                said.append(content["text"])
            elif message["msg_type"] in ("execute_result", "display_data", "update_display_data"):
                said.append(content["data"]["text/plain"] + "\n")
            elif message["msg_type"] == "error":
                said.append(f"{content['ename']}: {content['evalue']}\n")

        self.client.execute_interactive(code, timeout=60, output_hook=hear)
        return "".join(said)


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    notebook = Notebook()
    try:
        yield notebook
    finally:
        notebook.end()
        for info in connections.list_connection_files():
            registry.stop(info)
            wait_gone(info.pid, 10)


@pytest.mark.parametrize("now", [True, False], ids=["killed", "told to end"])
def test_a_restart_loses_nothing(notebook: Notebook, now: bool) -> None:
    notebook.say("%load_ext jupyterfut")
    assert "it is kept when the kernel ends" in notebook.say("%cluster start --keep -n 2 -t 1 --name study")
    notebook.say(SUBMITS)
    notebook.say("%%submit\nfrom_cell = sum(ys)\nfrom_cell")
    # One that is still running when the kernel ends, and waits for something that the next kernel does.
    notebook.say("from jupyterfut import Event\nrunning = client.submit(lambda: Event('go on').wait(60), pure=False)")
    notebook.say("assert x.result() == 1024 and bad.exception() and from_cell.result() == 15")

    notebook.restart(now=now)

    found = notebook.say("%load_ext jupyterfut")
    assert "connected to the cluster 'study', started by this notebook" in found
    assert "for 11 h 59 min more" in found
    assert "No name of this notebook" in notebook.say("%futures")
    attached = notebook.say("%futures attach")
    assert "x (1 future), ys (5 futures), bad (1 future), nested (2 futures), from_cell (1 future), running (1 future)" in attached
    assert notebook.say("print(x.status, bad.status, running.status)") == "finished error pending\n"
    assert notebook.say("print(x.result(), [y.result() for y in ys], nested['first'].result(), nested['rest'][1], from_cell.result())") == (
        "1024 [5, 4, 3, 2, 1] 5 3 15\n"
    )
    assert "ZeroDivisionError" in notebook.say("bad.result()")
    assert notebook.say("from jupyterfut import Event\nEvent('go on').set()\nprint(running.result(30))") == "True\n"
    assert "Held for this notebook" not in notebook.say("%futures")


def test_what_a_cell_was_waiting_for_is_kept(notebook: Notebook) -> None:
    """The kernel is killed while its cell waits for what it has just submitted: no cell's end has told of the name."""
    notebook.say("%load_ext jupyterfut")
    notebook.say("%cluster start --keep -n 1 -t 1")
    notebook.client.execute(
        "from jupyterfut import Event, default_client\nclient = default_client()\n"
        "waiting = client.submit(lambda: Event('go on').wait(60), pure=False)\nquick = client.submit(abs, -1)\n"
        "from jupyterfut.notebook import attach\nfrom jupyterfut.notebook.held import holdings\nimport threading\ntold = threading.Event()\n"
        "telling = attach._attached.telling\nreal = telling._say\n"
        "telling._say = lambda client, names, gone: (real(client, names, gone), names and told.set())\n"
        "told.wait(30)\nprint('told')\nwaiting.result()"
    )
    while (said := notebook.client.get_iopub_msg(timeout=60))["msg_type"] != "stream":
        assert said
    notebook.restart(now=True)
    notebook.say("%load_ext jupyterfut")
    assert "attached: waiting (1 future), quick (1 future)" in notebook.say("%futures attach")
    assert notebook.say("from jupyterfut import Event\nEvent('go on').set()\nprint(waiting.result(30), quick.result(30))") == "True 1\n"


def test_another_kernel_of_the_same_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/me/study.ipynb")
    first, second = Notebook(), Notebook()
    try:
        first.say("%load_ext jupyterfut")
        assert "the cluster 'study'" in first.say("%cluster start --keep -n 1 -t 1")  # called after the notebook
        first.say("from jupyterfut import default_client\nx = default_client().submit(pow, 2, 10)\nx.result()")
        (info,) = connections.list_connection_files()
        assert (info.session, info.kernel_id, info.detached) == ("/home/me/study.ipynb", first.id, True)
        assert info.kernel_file.endswith(f"kernel-{first.id}.json")
        first.manager.shutdown_kernel(now=True)
        assert "x     1        finished" in second.say("%load_ext jupyterfut")
        assert second.say("%futures attach\nprint(x.result())").endswith("1024\n")
        second.say("%cluster stop")
    finally:
        first.end()
        second.end()


def test_names_that_were_defined_anew_stay(notebook: Notebook) -> None:
    notebook.say("%load_ext jupyterfut")
    notebook.say("%cluster start --keep -n 1 -t 1")
    notebook.say("from jupyterfut import default_client\nclient = default_client()\nx = client.submit(abs, -1)\ny = client.submit(abs, -2)")
    notebook.restart(now=True)
    notebook.say("x = 'mine'\n%load_ext jupyterfut")
    said = notebook.say("%futures attach")
    assert "attached: y (1 future)" in said
    assert "left alone: x" in said
    assert notebook.say("print(x)") == "mine\n"
    assert "attached: x (1 future)" in notebook.say("%futures attach x")
    assert notebook.say("print(x.result())") == "1\n"


def test_a_lease_ends_where_one_sees_it(notebook: Notebook) -> None:
    notebook.say("import os\nos.environ['JUPYTERFUT_NOTEBOOK_LEASE_S'] = '3 s'\n%load_ext jupyterfut")
    notebook.say("%cluster start --keep -n 1 -t 1")
    notebook.say("from jupyterfut import default_client\nx = default_client().submit(abs, -1)\nx.result()")
    notebook.restart(now=False)
    found = notebook.say("%load_ext jupyterfut")
    if "The lease" not in found:  # it had not ended by then: the card is changed when it does
        while True:
            message = notebook.client.get_iopub_msg(timeout=30)
            if message["msg_type"] == "update_display_data":
                break
        found = message["content"]["data"]["text/plain"]
    assert "The lease of x has ended at " in found
    assert ": 1 result was dropped." in found
    assert "The lease of x has ended" in notebook.say("%futures")
    notebook.say("%futures clear")
    assert "lease" not in notebook.say("%futures")


def test_starting_it_again_uses_it_again(notebook: Notebook) -> None:
    notebook.say("%load_ext jupyterfut")
    notebook.say("%cluster start --keep -n 1 -t 1")
    notebook.restart(now=False)
    notebook.say("%load_ext jupyterfut")
    assert "is running already, and in use now" in notebook.say("%cluster start --keep -n 1 -t 1")
    assert len(connections.list_connection_files()) == 1
    assert "workers=1" in notebook.say("%cluster")
    assert "the cluster has 2 workers" in notebook.say("%cluster scale 2")
    assert "has ended" in notebook.say("%cluster stop")
    assert connections.list_connection_files() == []


def test_a_client_that_is_closed_gives_up_its_results(notebook: Notebook) -> None:
    notebook.say("%load_ext jupyterfut")
    notebook.say("%cluster start --keep -n 1 -t 1 --name study")
    notebook.say("from jupyterfut import default_client\nx = default_client().submit(abs, -1)\nx.result()")
    notebook.say("default_client().close()")
    notebook.restart(now=False)
    assert "Held" not in notebook.say("%load_ext jupyterfut")


def test_an_interrupt_stops_the_waiting_and_loses_nothing(notebook: Notebook) -> None:
    notebook.say("from jupyterfut import Client, Event\n%load_ext jupyterfut\nclient = Client(processes=False)")
    notebook.say("quick = client.submit(abs, -1)\nslow = client.submit(lambda: Event('go on').wait(60), pure=False)\nquick.result()")
    asked = notebook.client.execute("print('waiting')\n%gather quick slow")
    while (said := notebook.client.get_iopub_msg(timeout=60))["msg_type"] != "stream":
        assert said
    notebook.manager.interrupt_kernel()
    while (reply := notebook.client.get_shell_msg(timeout=60))["parent_header"]["msg_id"] != asked:
        assert reply
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert notebook.say("print(quick.result(), slow.status)") == "1 pending\n"
    assert notebook.say("Event('go on').set()\n%gather quick slow\nprint(quick, slow)") == "1 True\n"
    notebook.say("client.close()")


def test_an_asynchronous_client_in_a_kernel(notebook: Notebook) -> None:
    notebook.say("%load_ext jupyterfut")
    notebook.say("from jupyterfut import Client, LocalCluster")
    notebook.say("cluster = LocalCluster(n_workers=1, threads_per_worker=1, detached=True, name='study')")
    notebook.say("client = await Client('study', asynchronous=True)")
    assert notebook.say("x = %submit 6 * 7\nprint(await x)") == "42\n"
    background = "from jupyterfut.notebook import background\nimport asyncio\nawait asyncio.gather(*map(asyncio.wrap_future, background._going_on));"
    assert "the cluster has 2 workers" in notebook.say(f"%cluster scale 2\n{background}")
    assert "UsageError" in notebook.say("%gather x")
    notebook.restart(now=True)
    assert "'study' cannot be reached" not in notebook.say("%load_ext jupyterfut")
    assert "attached: x (1 future)" in notebook.say("%futures attach")
    assert notebook.say("print(x.result())") == "42\n"


def test_completion_in_a_kernel(notebook: Notebook) -> None:
    notebook.say("%load_ext jupyterfut")
    notebook.say("%cluster start --keep --in-kernel")
    notebook.say("from jupyterfut import Client\nclient = Client(n_workers=1, threads_per_worker=1, name='mill')\nlong_name = client.submit(abs, -1)")

    def complete(line: str) -> list[str]:
        asked = notebook.client.complete(line, len(line))
        while (reply := notebook.client.get_shell_msg(timeout=60))["parent_header"]["msg_id"] != asked:
            assert reply
        return [line[: reply["content"]["cursor_start"]] + match for match in reply["content"]["matches"]]

    assert complete("%cluster st") == ["%cluster start", "%cluster stop"]
    assert complete("%cluster start --k") == ["%cluster start --keep"]
    assert complete("%cluster use m") == ["%cluster use mill"]
    assert complete("%gather lo") == ["%gather long_name"]
    assert complete("%futures att") == ["%futures attach"]
    assert complete("%futures cancel ") == ["%futures cancel long_name"]
    assert complete("x = %submit --pri") == ["x = %submit --priority"]
    assert "%%submit --cached" in complete("%%submit --")
    assert complete("%%submit --on ") == ["%%submit --on mill"]
    assert complete("%%everywhere --lo") == ["%%everywhere --local"]
