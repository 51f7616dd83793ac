"""A Jupyter kernel for a test: a real one, in a process of its own, with its connection file where a Jupyter server would put it.

A test module that starts kernels keeps their clients' event loop with `pytestmark = pytest.mark.usefixtures("kernel_loop")` (tests/conftest.py).
"""

from __future__ import annotations

import uuid
from typing import Any

from jupyterfut.runtime import connections


class Kernel:
    """A kernel, from its start to `end`."""

    def __init__(self, attempts: int = 2) -> None:
        import jupyter_client

        self.id = str(uuid.uuid4())
        file = connections.runtime_dir() / f"kernel-{self.id}.json"  # as a Jupyter server names it
        while True:
            self.manager = jupyter_client.KernelManager(kernel_name="python3", connection_file=str(file))
            self.manager.start_kernel()
            self.client = self.manager.blocking_client()
            self.client.start_channels()
            try:
                self.client.wait_for_ready(timeout=60)
                break
            except RuntimeError:  # its ports were chosen before it was there, and somebody has taken one meanwhile
                self.client.stop_channels()
                self.manager.shutdown_kernel(now=True)
                self.manager.context.destroy()
                if attempts == 0:
                    raise
                attempts -= 1
        self.shown: dict[str, str] = {}

    def run(self, code: str) -> str:
        """Run code and return what it printed; what it showed, by MIME type, is in `shown`."""
        printed: list[str] = []
        self.shown = {}

        def hear(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
                printed.append(message["content"]["text"])
            elif message["msg_type"] in ("execute_result", "display_data"):
                self.shown.update(message["content"]["data"])

        reply = self.client.execute_interactive(code, timeout=60, output_hook=hear)
        assert reply["content"]["status"] == "ok", reply["content"]
        return "".join(printed)

    def end(self) -> None:
        self.client.stop_channels()
        if self.manager.is_alive():
            self.manager.shutdown_kernel()
        self.manager.context.destroy()
