"""A cluster in a Jupyter kernel: it knows its kernel, survives an interrupt, and ends with the kernel, however that ends."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from jupyterfut.runtime import connections
from jupyterfut.runtime.connections import ConnectionInfo
from jupyterfut.runtime.process import is_alive, wait_gone

jupyter_client = pytest.importorskip("jupyter_client")


class Kernel:
    """A kernel and the one cluster that it started."""

    def __init__(self) -> None:
        self.id = str(uuid.uuid4())
        file = connections.runtime_dir() / f"kernel-{self.id}.json"  # as a Jupyter server names it
        self.manager = jupyter_client.KernelManager(kernel_name="python3", connection_file=str(file))
        self.manager.start_kernel()
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, code: str) -> str:
        """Run code and return what it printed."""
        printed: list[str] = []

        def hear(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
                printed.append(message["content"]["text"])

        reply = self.client.execute_interactive(code, timeout=60, output_hook=hear)
        assert reply["content"]["status"] == "ok", reply["content"]
        return "".join(printed)

    def start_cluster(self) -> ConnectionInfo:
        self.run("from jupyterfut import Client\nclient = Client(n_workers=1, threads_per_worker=1)")
        (info,) = connections.list_connection_files()
        return info

    def end(self) -> None:
        self.client.stop_channels()
        if self.manager.is_alive():
            self.manager.shutdown_kernel()
        self.manager.context.destroy()


@pytest.fixture(scope="module", autouse=True)
def the_clients_own_loop() -> Iterator[None]:
    """Blocking Jupyter clients keep one event loop for good. Made here, it is nobody's leak."""
    from jupyter_core.utils import ensure_event_loop

    loop = ensure_event_loop()
    yield
    loop.close()


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    yield kernel
    kernel.end()


def test_the_connection_file_names_the_kernel(kernel: Kernel) -> None:
    info = kernel.start_cluster()
    assert info.kernel_id == kernel.id
    assert kernel.run("print(client.submit(abs, -1).result())") == "1\n"


def test_a_cluster_ends_with_its_kernel(kernel: Kernel) -> None:
    info = kernel.start_cluster()
    kernel.manager.shutdown_kernel()
    assert wait_gone(info.pid, 10)


def test_a_cluster_ends_with_a_kernel_that_is_killed(kernel: Kernel) -> None:
    info = kernel.start_cluster()
    kernel.manager.shutdown_kernel(now=True)
    assert wait_gone(info.pid, 10)


def test_an_interrupt_reaches_the_cell_and_not_the_cluster(kernel: Kernel) -> None:
    info = kernel.start_cluster()
    message = kernel.client.execute("import threading\nprint('waiting')\nthreading.Event().wait()", stop_on_error=False)
    while (said := kernel.client.get_iopub_msg(timeout=60))["msg_type"] != "stream":
        assert said
    os.killpg(kernel.manager.provisioner.pid, signal.SIGINT)
    while (reply := kernel.client.get_shell_msg(timeout=60))["parent_header"]["msg_id"] != message:
        assert reply
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert kernel.run("print(client.submit(abs, -2).result())") == "2\n"
    assert is_alive(info.pid)
