"""A cluster in a Jupyter kernel: it knows its kernel, survives an interrupt, and ends with the kernel, however that ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from kernels import Kernel

from jupyterfut.runtime import connections
from jupyterfut.runtime.connections import ConnectionInfo
from jupyterfut.runtime.process import is_alive, wait_gone

pytestmark = pytest.mark.usefixtures("kernel_loop")


class KernelWithCluster(Kernel):
    """A kernel and the one cluster that it started."""

    def start_cluster(self) -> ConnectionInfo:
        self.run("from jupyterfut import Client\nclient = Client(n_workers=1, threads_per_worker=1)")
        (info,) = connections.list_connection_files()
        return info


@pytest.fixture
def kernel() -> Iterator[KernelWithCluster]:
    kernel = KernelWithCluster()
    yield kernel
    kernel.end()


def test_the_connection_file_names_the_kernel(kernel: KernelWithCluster) -> None:
    info = kernel.start_cluster()
    assert info.kernel_id == kernel.id
    assert kernel.run("print(client.submit(abs, -1).result())") == "1\n"


def test_a_cluster_ends_with_its_kernel(kernel: KernelWithCluster) -> None:
    info = kernel.start_cluster()
    kernel.manager.shutdown_kernel()
    assert wait_gone(info.pid, 10)


def test_a_cluster_ends_with_a_kernel_that_is_killed(kernel: KernelWithCluster) -> None:
    info = kernel.start_cluster()
    kernel.manager.shutdown_kernel(now=True)
    assert wait_gone(info.pid, 10)


def test_an_interrupt_reaches_the_cell_and_not_the_cluster(kernel: KernelWithCluster) -> None:
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
