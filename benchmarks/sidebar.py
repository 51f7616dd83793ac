"""How soon the JupyterLab sidebar shows a cluster that a notebook starts: `python -m benchmarks.sidebar [--repetitions 5] [--json FILE]`.

A real JupyterLab in a real headless Chromium, as the browser tests have them (tests/browser/lab.py). A kernel starts a cluster; the page notes, by a
MutationObserver and the machine's one clock, when

    listed    the cluster's card stands in the sidebar, since the scheduler's process has written the connection file
    at hand   the card is marked as that of the notebook at hand, since `Client()` has returned
    frames    messages of the shell channel that the page has sent to the kernel meanwhile, but for the cell itself
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.system.machine import machine

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browser.lab import Chromium, Notebook, Server, Window, missing

TARGET_S = 1.0
START = "import time\nfrom jupyterfut import Client\nclient = Client(n_workers=1, threads_per_worker=1)\nprint('ready', time.time())"
END = "client.close()"

_WATCH = """() => {
  const seen = (window.noted = {});
  const sidebar = document.querySelector('#jupyterfut-sidebar');
  const look = () => {
    const now = Date.now() / 1000;
    if (sidebar.querySelector('.jf-cluster')) seen.listed ??= now;
    if (sidebar.querySelector('.jf-cluster.jf-mod-current')) seen.current ??= now;
  };
  new MutationObserver(look).observe(sidebar, { subtree: true, childList: true, attributes: true });
  look();
}"""
_SEEN = "() => window.noted.listed && window.noted.current ? window.noted : null"
_EMPTY = "() => !document.querySelector('#jupyterfut-sidebar .jf-cluster')"


def measure(window: Window, notebook: Notebook, server: Server, executed: list[str]) -> dict[str, float]:
    """One cluster, from its start to its end."""
    page = window.page
    page.wait_for_function(_EMPTY)
    page.evaluate(_WATCH)
    executed.clear()
    notebook.run(0)
    notebook.wait_done(0)
    seen: dict[str, float] = page.wait_for_function(_SEEN).json_value()
    (file,) = server.runtime.glob("jupyterfut-*.json")
    written = float(json.loads(file.read_text())["started"])
    ready = float(notebook.output(0).inner_text().split("ready", 1)[1].split()[0])
    sent = len(executed) - 1
    notebook.run(1)
    notebook.wait_done(1)
    return {"listed": seen["listed"] - written, "at_hand": seen["current"] - ready, "frames": sent}


def main(arguments: list[str] | None = None) -> int:
    """Print one line a repetition and the worst of all. Exit code 1 when something that it needs is missing."""
    parser = argparse.ArgumentParser("benchmarks.sidebar", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the results there")
    options = parser.parse_args(arguments)
    if wanted := missing():
        print(f"this needs {wanted}")
        return 1
    results: list[dict[str, float]] = []
    executed: list[str] = []
    with tempfile.TemporaryDirectory() as home:
        server, chromium = Server(Path(home, "server")), Chromium()
        window = Window(server, chromium)

        def note(frame: Any) -> None:
            if b"execute_request" in (frame if isinstance(frame, bytes) else frame.encode()):
                executed.append("execute_request")

        window.page.on("websocket", lambda socket: socket.on("framesent", note))
        try:
            notebook = window.open(server.write("sidebar", [START, END]))
            window.page.evaluate("() => window.jupyterapp.shell.activateById('jupyterfut-sidebar')")
            for _ in range(options.repetitions):
                results.append(measure(window, notebook, server, executed))
                print("  ".join(f"{name} {value:.3f}" for name, value in results[-1].items()))
        finally:
            window.close()
            chromium.stop()
            server.stop()
    for name in ("listed", "at_hand"):
        values = [result[name] for result in results]
        print(f"{name}: median {statistics.median(values):.3f} s, worst {max(values):.3f} s (target {TARGET_S:g} s)")
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "results": results}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
